"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archforge.interchange.flows import Axes
from archforge.interchange.onnx.nodes import OnnxNode, OnnxOp, OnnxTranslation, Translate
from archforge.interchange.onnx.writing import OnnxUse, Write
from archforge.interchange.translation import bound_op, require
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["READ", "WRITTEN"]


# Where torch's gates lie among ONNX's: of an LSTM input, forget, cell, output among input, output,
# forget, cell; of a GRU reset, update, new among update, reset, new.
GATES = {"rnn": (0,), "lstm": (0, 2, 3, 1), "gru": (1, 0, 2)}


_FUNCTIONS = {"rnn": ["tanh"], "lstm": ["sigmoid", "tanh", "tanh"], "gru": ["sigmoid", "tanh"]}


def _recurrent(kind: str) -> Translate:
    """A layer in one direction or both. ONNX's time comes before its batch unless `layout` is 1, and each
    array has an axis for the directions, by which its states lie too."""

    def translate(node: OnnxNode) -> list[OnnxTranslation]:
        lengths, state, cell, peepholes = (node.constant(position) for position in range(4, 8))
        require(peepholes is None, "peepholes from the cell to the gates")
        require(state is None and cell is None, "an initial state")
        is_batch_first = bool(node.attributes.get("layout", 0))
        steps = node.x[1 if is_batch_first else 0]
        require(lengths is None or {*lengths} == {steps}, "sequences of several lengths")
        require(not node.attributes.get("clip"), "sums that are clipped")
        require(not node.attributes.get("input_forget"), "an input gate tied to the forget gate")
        is_both = node.attributes.get("direction") == "bidirectional"
        attributes = _own_attributes(kind, node, 1 + is_both)
        directions = {len(node.weight(1)), len(node.weight(2))}
        require(directions == {1 + is_both}, "weights for another number of directions")
        hidden, biases = node.weight(2).shape[-1], node.constant(3)
        # Zeros are how a layer with one bias is written.
        number = 0 if biases is None else 1 + bool(np.split(biases, 2, axis=1)[1].any())
        op = bound_op(kind, hidden=hidden, biases=number, bidirectional=is_both, **attributes)
        params = _recurrent_params(op, node)
        takes: Axes = (0, 1, 2) if is_batch_first else (1, 0, 2)
        whole: Axes = (0, 1, None, 2) if is_batch_first else (1, None, 0, 2)
        if is_both:
            by_direction: Axes = (0, 1, 2, 3) if is_batch_first else (1, 2, 0, 3)
            apart = bound_op("reshape", shape=(steps, 2, hidden))
            rows = bound_op("reshape", shape=(2 * steps, hidden))
            ends = bound_op("take", indices=(2 * steps - 2, 1))  # each direction's last, of rows by step
            found = [
                OnnxTranslation((op, apart), (0,), params, True, takes, by_direction),
                OnnxTranslation((op, rows, ends), (0,), params, True, takes, takes),
            ]
        else:
            is_backwards = node.attributes.get("direction") == "reverse"
            found = [
                OnnxTranslation((op,), (0,), params, True, takes, whole, is_backwards),
                OnnxTranslation(
                    (op, bound_op("slice", start=-1)), (0,), params, True, takes, takes, is_backwards
                ),
            ]
        return [each for each, asked in zip(found, node.asked, strict=False) if asked]

    return translate


def _recurrent_params(op: Any, node: OnnxNode) -> dict[str, Array]:
    """The arrays of each direction, their rows in torch's order."""

    def rows(array: Array) -> Array:
        parts = np.split(array, len(GATES[op.kind]))
        return np.concatenate([parts[gate] for gate in GATES[op.kind]])

    params: dict[str, Array] = {}
    for way, end in enumerate(op.directions):
        arrays = {"weight_ih": node.weight(1)[way], "weight_hh": node.weight(2)[way]}
        if op.biases:
            of_both = np.split(node.weight(3)[way], 2)
            arrays |= dict(zip(("bias_ih", "bias_hh")[: op.biases], of_both, strict=False))
        params |= {f"{name}_l0{end}": rows(array) for name, array in arrays.items()}
    return params


def _own_attributes(kind: str, node: OnnxNode, directions: int) -> dict[str, Any]:
    """The attributes that one kind of layer has. Raises `Unsupported` for other functions of the gates."""
    given = node.attributes.get("activations") or _FUNCTIONS[kind] * directions
    functions = [name.lower() for name in given[: len(given) // directions]]
    require([*map(str.lower, given)] == functions * directions, "other functions in each direction")
    if kind == "rnn":
        require(functions in (["tanh"], ["relu"]), "another function of the sums than tanh and relu")
        return {"activation": functions[0]}
    require(functions == _FUNCTIONS[kind], "other functions of the gates")
    if kind == "lstm":
        return {}
    return {"linear_before_reset": bool(node.attributes.get("linear_before_reset", 0))}


def _recurrent_written(onnx_op: str) -> Write:
    """The layer between two transpositions, as ONNX's time comes first; runtimes lack its `layout` of 1.

    The arrays are stored as ONNX has them: gates in its order, an axis for directions, one array of biases.
    """

    def write(use: OnnxUse) -> str:
        op, order = use.op, GATES[use.op.kind]

        def rows(name: str) -> Array:
            """An array of every direction, zeros for biases that the op lacks."""
            zeros = np.zeros(len(order) * op.hidden)
            return np.stack([in_order(use.arrays.get(name + end, zeros)) for end in op.directions])

        def in_order(array: Array) -> Array:
            parts = np.split(array, len(order))
            return np.concatenate([parts[order.index(gate)] for gate in range(len(order))])

        weights = [
            use.numbers(word, rows(name)) for word, name in (("W", "weight_ih_l0"), ("R", "weight_hh_l0"))
        ]
        if op.biases:
            biases = [rows(name) for name in ("bias_ih_l0", "bias_hh_l0")]
            weights.append(use.numbers("B", np.concatenate(biases, axis=1)))
        attributes: dict[str, object] = {"hidden_size": op.hidden}
        if op.kind == "gru":
            attributes["linear_before_reset"] = int(op.linear_before_reset)
        if op.kind == "rnn":
            attributes["activations"] = [op.activation.title()] * len(op.directions)
        if op.bidirectional:
            attributes["direction"] = "bidirectional"
        y = use.node(onnx_op, use.transposed(use.x, (1, 0, 2)), *weights, **attributes)
        if op.bidirectional:
            shape = use.whole("shape", [0, 0, 2 * op.hidden])
            return use.node("Reshape", use.transposed(y, (2, 0, 1, 3)), shape)
        return use.transposed(use.node("Squeeze", y, use.whole("directions", [1])), (1, 0, 2))

    return write


READ: Mapping[str, OnnxOp] = {
    "GRU": OnnxOp("gru", _recurrent("gru")),
    "LSTM": OnnxOp("lstm", _recurrent("lstm")),
    "RNN": OnnxOp("rnn", _recurrent("rnn")),
}

WRITTEN: Mapping[str, Write] = {
    "gru": _recurrent_written("GRU"),
    "lstm": _recurrent_written("LSTM"),
    "rnn": _recurrent_written("RNN"),
}
