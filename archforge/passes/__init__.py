"""Graph passes: rewrites of a typed graph that keep its outputs, whatever the backend.

Each is in a file of its own that ends with its `PASS`; it is found by being there. `optimise` runs them in
order, infers the types again after each, and verifies that nothing is lost that must stay.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from archforge.errors import InternalError, did_you_mean, fail
from archforge.ir import TypedGraph, infer
from archforge.passes.graph_pass import ParamTransform, Pass, Rewrite

__all__ = ["Optimised", "ParamTransform", "Pass", "Rewrite", "all_passes", "optimise", "passes_after"]


@dataclass(frozen=True, slots=True)
class Optimised:
    """A graph after its passes, and the transforms that make its parameters from those before, in order."""

    graph: TypedGraph
    transforms: tuple[ParamTransform, ...] = ()


@cache
def all_passes() -> dict[str, Pass]:
    """Every pass by name, in the order in which they run."""
    modules = [import_module(f"{__name__}.{m.name}") for m in iter_modules(__path__)]
    found: list[Pass] = [m.PASS for m in modules if hasattr(m, "PASS")]
    return {p.name: p for p in sorted(found, key=lambda p: (p.rank, p.name))}


def optimise(typed: TypedGraph, taps: Collection[str] = (), without: Collection[str] = ()) -> Optimised:
    """The graph after all passes but those in `without`. `taps` names values that must survive.

    Raises E0001 for a pass that does not exist, `InternalError` if a pass breaks its promise.
    """
    for name in without:
        _require_pass(name)
    done = Optimised(typed)
    for step in all_passes().values():
        if step.name not in without:
            rewrite = step.run(done.graph, frozenset(taps))
            if rewrite.graph is done.graph.graph:
                continue
            after = _verified(step.name, done.graph, rewrite, taps)
            done = Optimised(after, done.transforms + rewrite.transforms)
    return done


def passes_after(name: str) -> list[str]:
    """The passes that run after that one. Raises E0001 for a pass that does not exist."""
    _require_pass(name)
    names = list(all_passes())
    return names[names.index(name) + 1 :]


def _require_pass(name: str) -> None:
    passes = all_passes()
    if name not in passes:
        fail("E0001", f"there is no pass `{name}`", help=did_you_mean(name, passes, what="passes"))


def _verified(name: str, before: TypedGraph, rewrite: Rewrite, taps: Collection[str]) -> TypedGraph:
    """The typed graph after a pass. Raises `InternalError` unless all that must stay has stayed."""
    after = infer(rewrite.graph)
    lost = [tap for tap in taps if tap not in after.types]
    changed = [v for v, t in after.types.items() if before.types.get(v, t) != t]
    problems = {
        "lost the taps": lost,
        "changed the types of": changed,
        "changed the outputs": _changed_outputs(before, after),
        "left scopes with values that are gone": _dangling(after),
        "left parameters without a source": _sourceless(before, after, rewrite.transforms),
    }
    found = [f"{problem} {', '.join(names)}" for problem, names in problems.items() if names]
    names = [n.name for n in after.nodes]
    if len(set(names)) != len(names):
        found.append("made two nodes of one name")
    if found:
        raise InternalError(f"pass {name} {'; '.join(found)}")
    return after


def _changed_outputs(before: TypedGraph, after: TypedGraph) -> list[str]:
    """Names of outputs that came, went or have another type."""
    old, new = (_output_types(t) for t in (before, after))
    return [name for name in old | new if old.get(name) != new.get(name)]


def _output_types(typed: TypedGraph) -> dict[str, object]:
    return {name: typed.types[value] for name, value in typed.outputs.items()}


def _dangling(typed: TypedGraph) -> list[str]:
    """Values of scopes that the graph does not have."""
    values = [v for s in typed.scopes for v in (*s.inputs, s.output)]
    return [v for v in dict.fromkeys(values) if v and v not in typed.types]


def _sourceless(before: TypedGraph, after: TypedGraph, transforms: tuple[ParamTransform, ...]) -> list[str]:
    """Parameters that the graph before did not have in their shape, and that no transform makes."""
    have: dict[str, tuple[int, ...]] = {name: decl.shape for name, decl in before.params().items()}
    for transform in transforms:
        have |= transform.makes
    return [name for name, decl in after.params().items() if have.get(name) != decl.shape]
