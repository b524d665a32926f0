"""Last step of expansion: drafts of nodes and scopes, once they have names, become a frozen graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from archforge.errors import Diagnostic, Frame, Note, Span, fail_all
from archforge.ir import Graph, Node, Scope, TypedGraph, by_x
from archforge.spec.binding.tensors import Draft, Tensor
from archforge.spec.expand.naming import NameScope, check_full_names

__all__ = ["ScopeDraft", "assemble"]


@dataclass(slots=True, eq=False)
class ScopeDraft:
    """A scope of the graph under construction: a block call, a named sequence, the graph."""

    kind: str
    is_block: bool
    parent: int | None
    span: Span | None
    names: NameScope
    x: Tensor | None
    depth: int = 0  # in other scopes
    output: Tensor | None = None


def assemble(
    name: str,
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
    drafts: Sequence[Draft],
    places: Sequence[ScopeDraft],
    *,
    has_dotted: bool,
) -> TypedGraph:
    """The graph of named drafts. `has_dotted` if a name has dots of its own.

    Raises E0309 for equal full names, E0318 where shared parameters differ in shape.
    """
    input_types = {key: tensor.type for key, tensor in inputs.items()}
    types = input_types | {d.name: d.type for d in drafts}
    if has_dotted or len(types) < len(input_types) + len(drafts):
        check_full_names(inputs, drafts, dict.fromkeys(place.names for place in places[1:]))
    nodes = tuple(
        Node(d.name, d.op, tuple(map(_value, d.inputs)), d.frame, d.span, d.params_of) for d in drafts
    )
    _check_shared(nodes, drafts, places)
    reads = _reads(drafts, places)
    scopes = tuple(_scope(index, place, reads[index]) for index, place in enumerate(places))
    ends = {key: _value(tensor) for key, tensor in outputs.items()}
    return TypedGraph(Graph(name, input_types, nodes, ends, scopes), MappingProxyType(types))


def _value(tensor: Tensor | None) -> str:
    """Name of a value; empty if there is none."""
    if tensor is None:
        return ""
    return tensor.draft.name if tensor.draft else tensor.input_name


def _scope(index: int, place: ScopeDraft, reads: list[str]) -> Scope:
    own = [_value(place.x)] if place.x else []
    inputs = tuple(dict.fromkeys((*own, *reads)))
    return Scope(
        index,
        place.names.name,
        place.kind,
        place.is_block,
        place.parent,
        place.span,
        inputs,
        _value(place.output),
    )


def _reads(drafts: Sequence[Draft], places: Sequence[ScopeDraft]) -> list[list[str]]:
    """Values that the nodes of each scope read and no node in it computes, by the index of the scope."""
    reads: list[list[str]] = [[] for _ in places]
    parents = [place.parent or 0 for place in places]
    depths = [place.depth for place in places]
    for draft in drafts:
        for tensor in draft.inputs:
            source = tensor.draft.frame if tensor.draft else 0
            inside = draft.frame
            while inside != source:  # climb to the scope that holds both
                if depths[inside] >= depths[source]:
                    reads[inside].append(_value(tensor))
                    inside = parents[inside]
                else:
                    source = parents[source]
    return reads


def _check_shared(nodes: Sequence[Node], drafts: Sequence[Draft], places: Sequence[ScopeDraft]) -> None:
    """Raise E0318 where shared parameters differ in shape."""
    if all(node.params_of == node.name for node in nodes):
        return
    seen: dict[str, tuple[tuple[int, ...], Draft]] = {}
    found: list[Diagnostic] = []
    for node, draft in zip(nodes, drafts, strict=True):
        for name, decl in node.op.params(*(t.type for t in draft.inputs)).items():
            shape, first = seen.setdefault(node.param_name(name), (decl.shape, draft))
            if shape != decl.shape:
                message = f"`{node.param_name(name)}` is shared, but its shapes differ"
                calls = _calls(first, places)
                note = Note(f"it is {by_x(shape)}", calls[0].span if calls else first.span)
                trace = _calls(draft, places)
                found.append(
                    Diagnostic("E0318", message, node.span, by_x(decl.shape), notes=(note,), trace=trace)
                )
    fail_all(found)


def _calls(draft: Draft, places: Sequence[ScopeDraft]) -> tuple[Frame, ...]:
    """The block calls that led to a node, outermost first."""
    frames: list[Frame] = []
    at: int | None = draft.frame
    while at is not None:
        place = places[at]
        if place.is_block and place.span:
            frames.insert(0, Frame(place.kind, place.span))
        at = place.parent
    return tuple(frames)
