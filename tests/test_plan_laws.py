"""Laws of the graphs that tests hold against the reference: each part of planning, each kernel family and
each unit of machine code computes some of them."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from types import FunctionType
from typing import Any
from unittest import mock

import pytest

from archforge.backends import available, get
from archforge.ops import all_ops
from archforge.plan import SWITCHES, GraphCompiler, Kernel, Plan, load
from archforge.plan.arena import lay_out
from archforge.plan.backward import training_plan
from archforge.plan.concat_in_place import inside_concats
from archforge.plan.image_by_image import sections
from archforge.weights import rule_weights
from tests.graphs import GRAPHS, WEIGHTS
from tests.op_examples import EXAMPLES
from tests.test_learners import example_graph, learner_of

needs_numba = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")


@cache
def plans(backend: str, *without: str) -> list[Plan]:
    """The plans of all graphs by hand, after their passes."""
    compiler = GraphCompiler(get(backend), without=frozenset(without))
    return [compiler.plan(typed) for typed in GRAPHS.values()]


def family(kernel: Kernel) -> str:
    """The module of the function that computes."""
    run: Any = kernel.run
    while isinstance(run, partial):
        run = run.func
    return str(run.__module__)


# Every backend ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", available())
def test_every_kernel_family_has_each_epilogue_that_it_can_have(backend: str) -> None:
    possible: set[tuple[str, str]] = set()
    found: set[tuple[str, str]] = set()
    for step in (step for plan in plans(backend) for step in plan.steps):
        name, chain = family(step.kernel), step.chain
        absorbed = [all_ops()[kind] for kind in step.kernel.absorbs]
        merges, activations = (any((op.arity is None) == many for op in absorbed) for many in (True, False))
        possible |= {(name, "merge")} if merges else set()
        possible |= {(name, "activation")} if activations else set()
        possible |= {(name, "merge and activation")} if merges and activations else set()
        done = [word for word in ("merge", "activation") if getattr(chain, word)]
        found.add((name, " and ".join(done)))
    assert possible - found == set()


@pytest.mark.parametrize("alignment", [1, 4])
def test_branches_lie_in_their_concatenation_and_in_one_around_it(alignment: int) -> None:
    direct, nested = False, False
    for plan in plans("numpy"):
        inside = inside_concats(plan, alignment)
        readers = {value: step.output for step in plan.steps for value in step.inputs if value in inside}
        direct |= any(root == readers[value] for value, (root, _) in inside.items())
        nested |= any(root != readers[value] for value, (root, _) in inside.items())
    assert (direct, nested) == (True, True)


def test_several_steps_in_a_row_are_computed_image_by_image() -> None:
    found = [section for plan in plans("numpy") for section in sections(plan, 3, 0)]
    assert any(section.image_by_image and section.end - section.first > 2 for section in found)


# Numba --------------------------------------------------------------------------------------------------


@cache
def recorded(*without: str) -> list[tuple[list[Any], int]]:
    """The calls of each graph for three images, and the bytes of its arena. Nothing fits the cache."""
    found = []
    for name, plan in zip(GRAPHS, plans("numba", *without), strict=True):
        run: Any = load(plan, WEIGHTS[name])
        with mock.patch("archforge.backends.numba.program.CACHES", 0):
            tape = run.program.recorded(3).tape
        calls = [(call.step, call.unit, call.units) for call in tape.calls if hasattr(call, "unit")]
        found.append((calls, lay_out(tape.buffers(), share="share_memory" not in without)[1]))
    return found


@needs_numba
@pytest.mark.parametrize("switch", SWITCHES)
def test_every_part_of_planning_that_can_be_left_out_shows_in_some_graph(switch: str) -> None:
    assert recorded() != recorded(switch)


@needs_numba
def test_every_unit_of_machine_code_computes_some_graph() -> None:
    found = {(unit.file, unit.name) for calls, _ in recorded() for _, unit, _ in calls}
    assert set(units()) - found - trained_units() == set()


def trained_units() -> set[tuple[str, str]]:
    """File and name of every function that learners record for the graphs and the examples of ops."""
    examples = [example_graph(example, with_leaves=True) for example in EXAMPLES]
    found: set[tuple[str, str]] = set()
    for typed in (*GRAPHS.values(), *examples):
        learner: Any = learner_of("numba", training_plan(typed))
        learner.bind(rule_weights(typed.params()))
        calls = learner.recorded(3).calls
        found |= {(call.unit.file, call.unit.name) for call in calls if hasattr(call, "unit")}
    return found


def units() -> Iterator[tuple[str, str]]:
    """File and name of every function that the scheduler can call."""
    folder = importlib.import_module("archforge.backends.numba.units").__path__[0]
    for path in Path(folder).glob("*.py"):
        for function in ast.parse(path.read_text("utf-8")).body:
            arguments = [a.arg for a in function.args.args] if isinstance(function, ast.FunctionDef) else []
            if isinstance(function, ast.FunctionDef) and arguments == ["row", "unit", "scratch"]:
                yield path.stem, function.name


@needs_numba
def test_every_kernel_family_computes_some_graph() -> None:
    found = {family(step.kernel) for plan in plans("numba") for step in plan.steps}
    assert set(families()) - found == set()


def families() -> Iterator[str]:
    """Every module that has a function which returns a kernel."""
    package = importlib.import_module("archforge.backends.numba.families")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        functions = vars(importlib.import_module(module.name)).values()
        own = (f for f in functions if isinstance(f, FunctionType) and f.__module__ == module.name)
        if any(str(f.__annotations__.get("return")).startswith("Kernel") for f in own):
            yield module.name
