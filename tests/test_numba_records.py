"""Records of machine code: every field is explained, set by a family and read by a unit or a microkernel."""

from __future__ import annotations

import ast
import importlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from archforge.backends import available, get
from archforge.errors import InternalError
from archforge.ir import TypedGraph
from archforge.plan import load, plan
from archforge.plan.backward import training_plan
from archforge.weights import rule_weights
from tests.graphs import GRAPHS, graph, node, one_op
from tests.op_examples import EXAMPLES

pytestmark = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")
records = pytest.importorskip("archforge.backends.numba.runtime.records")

NUMBA = "archforge.backends.numba"

# What the examples of ops lack: channels that are read in another order.
ORDERED = graph(
    node("conv", "conv", "input", out=6),
    node("mixed", "shuffle", "conv", groups=2),
    node("end", "conv", "mixed", out=2),
)
# Sums and activations behind a convolution, each kind of it.
GEOMETRIES: dict[str, dict[str, Any]] = {
    "direct": {"kernel": 3, "padding": 1, "groups": 5},
    "depthwise": {"kernel": 3, "padding": 1, "groups": 40},
    "winograd": {"kernel": 3, "padding": 1},
}
WITH_EPILOGUES = {
    kind: graph(
        node("conv", "conv", "input", out=40, **attributes),
        node("sum", "add", "conv", "other"),
        node("act", "silu", "sum"),
        inputs={"input": (40, 40, 40), "other": (40, 40, 40)},
    )
    for kind, attributes in GEOMETRIES.items()
}


@pytest.mark.parametrize("name", records.RECORDS)
def test_every_field_has_a_name_of_its_own_a_unit_and_a_meaning(name: str) -> None:
    fields = records.RECORDS[name].fields
    assert len({field.name for field in fields}) == len(fields)
    assert all(field.unit and field.meaning.strip() for field in fields)


@pytest.mark.parametrize("name", records.RECORDS)
def test_every_field_is_set_by_a_family_and_read_by_machine_code(name: str) -> None:
    names = {field.name for field in records.RECORDS[name].fields}
    if name not in ("STEP", "PANEL", "PACKED_PANEL"):  # which are made with all fields at once
        assert names - fields_set()[name] == set(), "no family sets these"
    assert names - fields_read()[name] == set(), "no unit or microkernel reads these"


def test_a_record_is_not_given_a_field_twice() -> None:
    assert records.merged({"low": 0}, {}, {"high": 1}) == {"low": 0, "high": 1}
    with pytest.raises(InternalError, match="given twice: high, low"):
        records.merged({"low": 0, "high": 1}, {"row": 2}, {"high": 1, "low": 0})


def starts_with_geometry(name: str) -> bool:
    head = records.GEOMETRY.fields
    return bool(records.RECORDS[name].fields[: len(head)] == head)


@cache
def fields_set() -> dict[str, set[str]]:
    """The fields that calls set, by record, over the examples of all ops and graphs with epilogues."""
    found: dict[str, set[str]] = defaultdict(set)
    # An address of nothing: records are made, not run, so that nothing must be compiled.
    with (
        mock.patch(f"{NUMBA}.families.epilogues.address", return_value=1),
        mock.patch(f"{NUMBA}.families.tile_tables.address", return_value=1),
        mock.patch(f"{NUMBA}.training.weight_gradient.address", return_value=1),
    ):
        calls = [*calls_of(sampled())]
        with mock.patch(f"{NUMBA}.families.winograd._chunks", return_value=0):  # each stage is a call
            calls += calls_of([WITH_EPILOGUES["winograd"]])
        calls += training_calls_of(sampled())
        with mock.patch(f"{NUMBA}.families.winograd_cost.trained_form", first_form):
            calls += training_calls_of([WITH_EPILOGUES["winograd"]])
    for call in calls:
        found[name_of(call.record)] |= set(call.fields)
    for name in filter(starts_with_geometry, records.RECORDS):
        found["GEOMETRY"] |= found[name]
    found["PARTS"] = found["STREAM"] & found["CHANNELS"]
    return found


def first_form(op: Any, x: Any, images: int) -> Any:
    """A form of Winograd's, whether it pays or not."""
    cost = importlib.import_module(f"{NUMBA}.families.winograd_cost")
    return next(iter(cost.possible_forms(op, x)))


def training_calls_of(graphs: Iterable[TypedGraph]) -> Iterator[Any]:
    learner = importlib.import_module(f"{NUMBA}.training.learner")
    for typed in graphs:
        learning = learner.NumbaLearner(training_plan(typed))
        learning.bind(rule_weights(typed.params()))
        yield from (call for call in learning.recorded(2).calls if hasattr(call, "record"))


def calls_of(graphs: Iterable[TypedGraph]) -> Iterator[Any]:
    for typed in graphs:
        run = load(plan(typed, get("numba"), "float32"), rule_weights(typed.params()))
        program: Any = run.program
        yield from (call for call in program.recorded(2).tape.calls if hasattr(call, "record"))


def sampled() -> list[TypedGraph]:
    examples = (one_op(e.op, tuple(t.shape for t in e.types)) for e in EXAMPLES)
    return [*examples, *GRAPHS.values(), *WITH_EPILOGUES.values(), ORDERED]


def name_of(table: Any) -> str:
    return next(str(name) for name, known in records.RECORDS.items() if known == table)


@cache
def fields_read() -> dict[str, set[str]]:
    """The fields that units and microkernels read, by record."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, names in read_by_microkernels():
        for record in records.RECORDS:
            if record == name or (name == "GEOMETRY" and starts_with_geometry(record)):
                found[record] |= names
    folder = Path(records.__file__).parents[1] / "units"
    modules = {path.stem: ast.parse(path.read_text("utf-8")) for path in folder.glob("*.py")}
    for name in records.RECORDS:
        for tree in modules.values():
            if f"{name.lower()}_record" in imported_from(tree, "intrinsics"):
                found[name] |= attributes_of_records(tree)
                for other in modules:
                    if other != "intrinsics" and imported_from(tree, other):
                        found[name] |= attributes_of_records(modules[other])
    for name in filter(starts_with_geometry, records.RECORDS):  # a unit reads where its tiles prefetch
        found["GEOMETRY"] |= found[name]
    found["PARTS"] = found["STREAM"] & found["CHANNELS"]
    return found


def read_by_microkernels() -> list[tuple[str, set[str]]]:
    """The fields whose places the code of each kind of microkernel takes, with the record's name."""
    from archforge.backends.numba.microkernels.channel_streams import ChannelStream
    from archforge.backends.numba.microkernels.outer_products import OuterProduct
    from archforge.backends.numba.microkernels.product_tiles import Product
    from archforge.backends.numba.microkernels.window_tiles import Reduction, WindowTile
    from archforge.backends.numba.microkernels.windows_back import WindowBack
    from archforge.backends.numba.microkernels.winograd_transforms import OutputTransform
    from archforge.backends.numba.toolchain.machine_code import Recipe
    from archforge.backends.winograd_forms import WinogradAxis, WinogradForm

    microkernels: list[Recipe] = [
        Product(4, 2, 1, 4, 1),
        WindowTile(4, 2, 3, 1, (1, 1), 1, 1, "dot"),
        WindowTile(4, 2, 3, 1, (1, 1), 1, 1, "mean"),
        Reduction(4, "mean"),
        OuterProduct(4, 2, 2),
        ChannelStream(4, "normal"),
        WindowBack(4, "max"),
        OutputTransform(4, WinogradForm(WinogradAxis(2, 3), WinogradAxis(2, 3))),
    ]
    read: list[tuple[str, set[str]]] = []
    offset = records.RecordTable.offset

    def noted(table: Any, name: str) -> int:
        read.append((name_of(table), {name}))
        return int(offset(table, name))

    with mock.patch.object(records.RecordTable, "offset", noted):
        for microkernel in microkernels:
            microkernel.module()
    return read


def imported_from(tree: ast.Module, module: str) -> set[str]:
    """The names that a module takes from another one of its folder."""
    imports = (
        n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == f"{NUMBA}.units.{module}"
    )
    return {alias.name for statement in imports for alias in statement.names}


def attributes_of_records(tree: ast.Module) -> set[str]:
    """The attributes of the variables that are records in every unit."""
    names = ("r", "step", "panel", "geometry")
    return {
        n.attr
        for n in ast.walk(tree)
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id in names
    }
