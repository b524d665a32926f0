"""The normaliser: what other formats spell out in several ops becomes the op of ours that it is.

Each rule lies in a file of its own with its `RULE`; they are found by being there. A rule replaces one node
by another that computes the same value; what nothing reads any more is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from archforge.errors import Diagnostic, InternalError, fail_all
from archforge.interchange.foreign import ForeignOp
from archforge.interchange.imported import Imported, Origin, Problem
from archforge.interchange.normalize.rule import ForeignGraph, Rule, Sight
from archforge.ir import Node, TypedGraph
from archforge.ops.base import Array

__all__ = ["all_rules", "left_foreign", "normalized", "rewritten"]

Origins = Mapping[str, Origin]
MAX_SWEEPS = 100  # each makes the graph smaller or its ops plainer; none of the files met took ten


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule by rank, then by name."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    rules = [module.RULE for module in modules if hasattr(module, "RULE")]
    return tuple(sorted(rules, key=lambda rule: (rule.rank, rule.name)))


def normalized(imported: Imported) -> Imported:
    """The network with every rule applied until none fits, and notes of what was done. Raises E0804 for what
    is left that specs do not have, all at once."""
    result, used = rewritten(ForeignGraph(imported.graph, imported.arrays), all_rules())
    notes = [rule.note.format(n=used[rule.name]) for rule in all_rules() if rule.note and used[rule.name]]
    foreign = _foreign(result.graph, imported.origins)
    fail_all(Diagnostic("E0804", f"{imported.file}: {problem}") for problem in foreign)
    origins = {name: origin for name, origin in imported.origins.items() if name in result.graph.types}
    return replace(
        imported,
        graph=result.graph,
        arrays=result.arrays,
        origins=origins,
        notes=(*imported.notes, *notes),
    )


def left_foreign(typed: TypedGraph, arrays: Mapping[str, Array], origins: Origins) -> list[Problem]:
    """The ops of a graph that no rule makes ours, by their words: what `normalized` would refuse."""
    return _foreign(rewritten(ForeignGraph(typed, arrays), all_rules())[0].graph, origins)


def _foreign(typed: TypedGraph, origins: Origins) -> list[Problem]:
    places: dict[str, list[str]] = {}
    for node in typed.nodes:
        if isinstance(node.op, ForeignOp):
            origin = origins.get(node.name)
            places.setdefault(node.op.kind, []).append(origin.name if origin else node.name)
    return [Problem(kind, "", tuple(names)) for kind, names in places.items()]


def rewritten(draft: ForeignGraph, rules: Sequence[Rule]) -> tuple[ForeignGraph, Counter[str]]:
    """The draft after these rules, each tried until none of its rank or below fits, and how often each
    did."""
    used: Counter[str] = Counter()
    draft = _without_dead(draft)
    for _ in range(MAX_SWEEPS):
        sight = Sight(draft)
        for rule in rules:
            changed = _swept(sight, rule)
            if changed is not None:
                draft, times = changed
                used[rule.name] += times
                break
        else:
            return draft, used
    raise InternalError(f"the normaliser does not end: {used}")


def _swept(sight: Sight, rule: Rule) -> tuple[ForeignGraph, int] | None:
    """The draft that is seen, with a rule applied wherever it fits at once, and how often; None if it fits
    nowhere."""
    draft = sight.draft
    nodes: list[Node] = []
    arrays: dict[str, Array] = {}
    types = dict(draft.graph.types)
    times = 0
    for node in draft.graph.nodes:
        found = rule.apply(node, sight)
        if found is not None:
            times += 1
            owner = found.params_of or node.name
            node = replace(node, op=found.op, inputs=found.inputs, params_of=owner)
            arrays |= {node.param_name(own): array for own, array in found.params.items()}
            arrays.update(found.arrays)
            for new in found.before:
                types[new.name] = new.op.infer(*(types[value] for value in new.inputs))
            nodes.extend(found.before)
        nodes.append(node)
    if not times:
        return None
    graph = replace(draft.graph.graph, nodes=tuple(nodes))
    return _without_dead(ForeignGraph(TypedGraph(graph, types), {**draft.arrays, **arrays})), times


def _without_dead(draft: ForeignGraph) -> ForeignGraph:
    """The draft without identities, nodes that no output needs, and their arrays."""
    graph = draft.graph.graph
    passed = {n.name: n.inputs[0] for n in graph.nodes if n.op.kind == "identity"}
    graph = graph.replace_uses(passed) if passed else graph
    typed = TypedGraph(graph, draft.graph.types).without_dead()
    return ForeignGraph(typed, {name: draft.arrays[name] for name in typed.params()})
