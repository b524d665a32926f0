"""Warnings that show as a graph is expanded, a function for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from archforge.errors import Diagnostic, Note, Span
from archforge.ir import Op, TypedGraph
from archforge.spec.binding.tensors import Draft
from archforge.spec.expand.naming import NameScope

__all__ = [
    "attention_in_maps",
    "foreign_axes",
    "idle_op",
    "nothing_shared",
    "said_twice",
    "unread_values",
    "unshared",
    "untaken_defaults",
]

COLOURS = (1, 3)  # channels of a picture
SMALLEST = 16  # of the sides of a picture; narrow maps are those of signals
TURNING = ("permute", "reshape")  # ops that may leave a map's shape as it is, and not its axes


def foreign_axes(shape: Sequence[int], span: Span) -> Iterator[Diagnostic]:
    """W0401: a batch among the sizes of an input, its channels behind them, or a picture without any.

    No volume is as shallow, and no map of a picture as narrow, as a picture has channels; and no signal
    happens to be as long as it has channels.
    """
    if len(shape) == 4 and shape[1] in COLOURS:
        message = f"the input is a volume with {_channels(shape[0])}, {shape[1]} deep"
        yield _foreign(message, "the batch is never written", shape[1:], span)
    elif len(shape) in (3, 4) and shape[-1] in COLOURS and min(sizes := shape[-3:-1]) >= SMALLEST:
        message = f"the input has {_channels(shape[0])}, and its maps are {shape[-1]} wide"
        yield _foreign(message, "channels come first", (shape[-1], *sizes), span)
    elif len(shape) == 2 and shape[0] == shape[1] >= SMALLEST:
        message = f"the input is a signal of {_channels(shape[0])}, {shape[1]} long"
        yield _foreign(message, "a picture has channels, which come first", (1, *shape), span)


def _channels(number: int) -> str:
    return f"{number} channel{'s' * (number != 1)}"


def _foreign(message: str, rule: str, meant: Sequence[int], span: Span) -> Diagnostic:
    hint = f"{rule}: [{', '.join(map(str, meant))}]"
    return Diagnostic("W0401", message, span, help=hint)


def attention_in_maps(graph: TypedGraph) -> Iterator[Diagnostic]:
    """W0403: attention on a map as convolutions and pools give it, whose channels would be windows, its rows
    tokens and its columns features."""
    nodes = {node.name: node for node in graph.nodes}
    for node in graph.nodes:
        x = graph.types[node.inputs[0]] if node.op.kind == "attention" else None
        if x is None or len(x.shape) < 3:
            continue
        source = nodes.get(node.inputs[0])
        while source and source.op.kind not in TURNING and not hasattr(source.op, "window"):
            same = [value for value in source.inputs if graph.types[value] == x]
            source = nodes.get(same[0]) if same else None
        if source and hasattr(source.op, "window"):
            message = f"`attention` on a map of {x} makes tokens of its rows, in each channel by itself"
            hint = "tokens of all positions: {reshape: '=[x.channels, -1]'}, then {permute: [1, 0]}"
            yield Diagnostic("W0403", message, node.span, help=hint)


def unread_values(graph: TypedGraph, inputs: Mapping[str, Span]) -> Iterator[Diagnostic]:
    """W0306: a value that is computed, or comes in, and that neither a step nor an output reads. `inputs` are
    the places of the graph's own."""
    read = set(graph.outputs.values()).union(*[node.inputs for node in graph.nodes])
    if len(read) == len(graph.types):
        return
    hint = "go on from it with a tap, name it in `outputs`, or remove it"
    for name, span in inputs.items():
        if name in graph.inputs and name not in read:
            yield Diagnostic("W0306", f"no step and no output reads the input `{name}`", span, help=hint)
    for node in graph.nodes:
        if node.name not in read:
            yield Diagnostic("W0306", f"no step and no output reads `{node.name}`", node.span, help=hint)


def unshared(items: Iterable[Draft | NameScope]) -> Iterator[Diagnostic]:
    """W0307: parameters that are to be shared, and that one step alone has: each call of a block has its own,
    under its own name."""
    places = {item.span: item for item in reversed([*items])}  # the first of the calls of a block
    for span, item in reversed(places.items()):
        if span is not None:
            message = f"no other step here shares the parameters of `{item.name}`"
            hint = "`share` is among the steps of one graph, block call or named list; `name` names a step"
            yield Diagnostic("W0307", message, span, help=hint)


def nothing_shared(scope: NameScope) -> Iterator[Diagnostic]:
    """W0307: steps that should share parameters, and have none."""
    for item in _shared_without_params(scope):
        hint = "remove `share`; `name` names a step"
        yield Diagnostic("W0307", f"`{item.name}` has no parameters to share", item.span, help=hint)


def _shared_without_params(scope: NameScope) -> Iterator[Draft | NameScope]:
    for item in scope.items:
        if item.shared and not _has_params(item):
            yield item
        elif isinstance(item, NameScope):
            yield from _shared_without_params(item)


def _has_params(item: Draft | NameScope) -> bool:
    if isinstance(item, NameScope):
        return any(map(_has_params, item.items))
    return bool(item.op.params(*(value.type for value in item.inputs)))


def idle_op(op: Op, span: Span) -> Diagnostic:
    """W0305: an op whose attributes, as they are written, leave its input as it is."""
    message = f"this `{op.kind}` changes nothing"
    hint = "remove it; `identity` is a step that only counts"
    return Diagnostic("W0305", message, span, help=hint)


def said_twice(op: Op, span: Span, before: Draft) -> Diagnostic:
    """W0305: an op that leaves what an op before it has given as it is."""
    notes = () if span == before.span else (Note("the first one", before.span),)
    message = f"`{op.kind}` on what `{before.op.kind}` has given changes nothing"
    return Diagnostic("W0305", message, span, help="remove one", notes=notes)


def untaken_defaults(untaken: Mapping[tuple[str, str], Span | None], profile: str) -> Iterator[Diagnostic]:
    """Defaults that no call of the profile takes: W0001 where a caller set them, W0308 with their place where
    the profile does."""
    for (target, name), span in sorted(untaken.items(), key=lambda item: item[0]):
        message = f"`{target}.{name}` has no effect: no call of `{target}` in profile `{profile}` takes it"
        hint = f"it is for calls of `{target}` that do not give `{name}` themselves"
        yield Diagnostic("W0308" if span else "W0001", message, span, help=hint)
