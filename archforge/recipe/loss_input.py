"""The value of a graph that a loss reads, and the probabilities that an output stands for."""

from __future__ import annotations

from collections.abc import Callable

from archforge.errors import Note, Span, fail
from archforge.ir import Array, Node, ShapeError, TensorType, TypedGraph
from archforge.ops.base import resolve_axis
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import Loss

__all__ = ["class_probabilities", "probabilities_of", "value_for_loss"]

# Ops that make probabilities of any numbers, and their logarithms.
PROBABILITIES = ("sigmoid", "softmax", "hard_sigmoid")
LOG_PROBABILITIES = ("log_softmax",)


def value_for_loss(typed: TypedGraph, output: str, loss: Loss, span: Span | None = None) -> str:
    """The name of the value that a loss reads for an output of a graph: the output, or the input of its last
    op where the loss applies that op itself.

    span: the place of the loss. Raises E0904 where the output is not what the loss takes: probabilities for
    scores, which would be squashed twice; scores for probabilities; logarithms for values; a softmax along
    another axis; a type that it cannot take.
    """
    value = typed.outputs[output]
    last = _last_op(typed, value)
    if last is not None and last.op.kind in loss.takes_under:
        _require_axis(typed, last, loss, span)
        value = last.inputs[0]
    else:
        _require_numbers(typed, value, loss, span)
    try:
        loss.require(typed.types[value])
    except ShapeError as error:
        message = f"`{loss.word}` cannot take the output `{output}`, {typed.types[value]}: {error.message}"
        fail("E0904", message, span, label=error.label, help=error.help)
    return value


def probabilities_of(typed: TypedGraph, output: str, loss: Loss) -> Callable[[Array], Array]:
    """A function from an output of a graph, with a batch axis, to the probabilities that it stands for under
    a loss; the output itself where it stands for none."""
    last = _last_op(typed, typed.outputs[output])
    if last is None or last.op.kind not in loss.takes_under:
        return loss.probabilities
    return np.exp if last.op.kind in LOG_PROBABILITIES else lambda x: x


def class_probabilities(typed: TypedGraph, output: str, loss: Loss) -> Callable[[Array], Array]:
    """A function from an output of a graph, with a batch axis, to probabilities of classes: what a sigmoid or
    softmax has made is taken as it is, its logarithm is undone, and any other as the loss takes it."""
    made = _squashed(typed, typed.outputs[output])
    if made is None:
        return loss.probabilities
    return np.exp if made.op.kind in LOG_PROBABILITIES else lambda x: x


def _last_op(typed: TypedGraph, value: str) -> Node | None:
    """The node that makes a value, behind nodes that change nothing in training; None for an input."""
    nodes = {node.name: node for node in typed.nodes}
    while value in nodes:
        node = nodes[value]
        if node.op.differs_in_training or not node.op.passes_through(*typed.input_types(node)):
            return node
        value = node.inputs[0]
    return None


def _squashed(typed: TypedGraph, value: str) -> Node | None:
    """The node that makes probabilities, or their logarithms, of which a value is made by moving, choosing or
    averaging elements alone; None if there is none."""
    nodes = {node.name: node for node in typed.nodes}
    while value in nodes:
        node = nodes[value]
        if node.op.kind in (*PROBABILITIES, *LOG_PROBABILITIES):
            return node
        # A gradient that reads neither inputs nor output is that of a linear op.
        if node.op.arity != 1 or node.op.gradient_reads or node.op.params(*typed.input_types(node)):
            return None
        value = node.inputs[0]
    return None


def _require_axis(typed: TypedGraph, last: Node, loss: Loss, span: Span | None) -> None:
    """Raises E0904 where the loss is along another axis than the softmax that it takes the place of."""
    axes, x = (getattr(last.op, "axis", None), getattr(loss, "axis", None)), typed.types[last.name]
    if None in axes or _axis(axes[0], x) == _axis(axes[1], x):
        return
    fail(
        "E0904",
        f"`{loss.word}` is over axis {axes[1]}, and the last op, `{last.name}` ({last.op.kind}), over axis "
        f"{axes[0]} of {x}",
        span,
        help=f"`axis: {axes[0]}` of the loss",
        notes=_place(last),
    )


def _axis(axis: int | None, x: TensorType) -> int | None:
    try:
        return None if axis is None else resolve_axis(axis, x)
    except ShapeError:
        return None


def _require_numbers(typed: TypedGraph, value: str, loss: Loss, span: Span | None) -> None:
    """Raises E0904 where the numbers of a value are not of the kind that the loss takes."""
    made = _squashed(typed, value)
    kind = "" if made is None else made.op.kind
    if loss.reads == "scores" and made is not None:
        others = "`nll`" if kind in LOG_PROBABILITIES else "`bce` or `mse`"
        fail(
            "E0904",
            f"`{loss.word}` takes scores, and `{made.name}` ({kind}) has made probabilities of them",
            span,
            help=f"leave `{kind}` out"
            + (", let it be the last op" if kind in loss.takes_under else "")
            + f", or a loss of its output: {others}",
            notes=_place(made),
        )
    if loss.reads == "values" and made is not None and kind in LOG_PROBABILITIES:
        fail(
            "E0904",
            f"`{loss.word}` takes values as targets are, and `{made.name}` ({kind}) gives logarithms",
            span,
            help="`nll` or `cross_entropy`, or `softmax` as the last op",
            notes=_place(made),
        )
    wanted = {"probabilities": PROBABILITIES, "log_probabilities": LOG_PROBABILITIES}.get(loss.reads)
    if wanted is not None and kind not in wanted:
        last = _last_op(typed, value)
        named = f"`{last.name}` ({last.op.kind})" if last else f"the input `{value}`"
        instead = (
            "`bce_with_logits`, which takes"
            if loss.reads == "probabilities"
            else "`cross_entropy`, which takes"
        )
        fail(
            "E0904",
            f"`{loss.word}` takes {loss.reads.replace('_', ' ')}, and {named} gives other numbers",
            span,
            help=f"`{wanted[0]}` as the last op, or {instead} scores",
            notes=_place(last) if last else (),
        )


def _place(node: Node) -> tuple[Note, ...]:
    return (Note(f"`{node.name}` is", node.span),) if node.span else ()
