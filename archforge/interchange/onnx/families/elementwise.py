"""Functions of each element alone: activations, dropouts, products with a number."""

from __future__ import annotations

import math
from collections.abc import Mapping

from archforge.interchange.foreign import Erf, Power
from archforge.interchange.onnx.nodes import OnnxNode, OnnxOp, OnnxTranslation, Translate
from archforge.interchange.onnx.writing import OnnxUse, Write
from archforge.interchange.translation import bound_op, number, require

__all__ = ["PARTS", "READ", "WRITTEN"]


def _elementwise(kind: str, attributes: Mapping[str, str] | None = None) -> Translate:
    """An op of one input; `attributes` gives ONNX's name of each attribute of ours."""

    def translate(node: OnnxNode) -> list[OnnxTranslation]:
        names = attributes or {}
        for name in node.attributes:
            require(name in names.values(), f"attribute `{name}`, which ours does not have")
        given = {ours: node.attributes[name] for ours, name in names.items() if name in node.attributes}
        return [OnnxTranslation((bound_op(kind, **given),))]

    return translate


def _clip(node: OnnxNode) -> list[OnnxTranslation]:
    bounds = [
        node.attributes.get(name) if array is None else number(array)
        for name, array in (("min", node.constant(1)), ("max", node.constant(2)))
    ]
    require(bounds != [None, None], "no bounds")
    low, high = (None if bound is None or math.isinf(bound) else bound for bound in bounds)
    if low is None and high is None:
        return [OnnxTranslation((bound_op("identity"),))]
    return [
        OnnxTranslation(
            (bound_op("relu6") if (low, high) == (0, 6) else bound_op("clip", min=low, max=high),)
        )
    ]


def _swish(node: OnnxNode) -> list[OnnxTranslation]:
    require(node.attributes.get("alpha", 1.0) == 1, "a slope other than 1 inside the sigmoid")
    return [OnnxTranslation((bound_op("silu"),))]


def _hard_sigmoid(node: OnnxNode) -> list[OnnxTranslation]:
    """Ours has the slope 1/6, and another one as a factor before it."""
    slope, offset = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    require(offset == 0.5, "an offset other than 0.5")
    gate = bound_op("hard_sigmoid")
    if abs(slope - 1 / 6) < 1e-6:
        return [OnnxTranslation((gate,))]
    return [OnnxTranslation((bound_op("scale", factor=round(6 * slope, 9)), gate))]


def _dropout(node: OnnxNode) -> list[OnnxTranslation]:
    rate, training = node.constant(1), node.constant(2)
    require(training is None or not training, "training mode")
    given = node.attributes.get("ratio", 0.5) if rate is None else number(rate)
    return [OnnxTranslation((bound_op("dropout", rate=given),))]


def _prelu(node: OnnxNode) -> list[OnnxTranslation]:
    """One slope, or one for each channel; before opset 7 these were aligned at the channels."""
    slope = node.weight(1)
    if node.opset < 7 and slope.ndim == 1:
        slope = slope.reshape(-1, *(1,) * (len(node.x) - 2))
    along = node.along(slope)
    require(
        along is None or (node.axes is not None and along[0] == 0),
        "slopes aligned at the last axis; ours are one, or one per channel",
    )
    op = bound_op("prelu", per_channel=along is not None)
    return [OnnxTranslation((op,), params={"weight": slope.reshape(-1)})]


def _power(node: OnnxNode) -> list[OnnxTranslation]:
    exponent = node.weight(1)
    require(exponent.size == 1, "exponents of single elements")
    return [OnnxTranslation((Power(exponent=number(exponent)),))]


def _written(onnx_op: str, attributes: Mapping[str, str] | None = None) -> Write:
    """One node; `attributes` gives ONNX's name of each attribute of ours that it has."""

    def write(use: OnnxUse) -> str:
        given = {theirs: getattr(use.op, ours) for ours, theirs in (attributes or {}).items()}
        return use.node(onnx_op, use.x, **given)

    return write


def _clip_written(use: OnnxUse) -> str:
    low, high = (0, 6) if use.op.kind == "relu6" else (use.op.min, use.op.max)
    bounds = [("min", low), ("max", high)]
    given = ["" if value is None else use.numbers(word, value) for word, value in bounds]
    return use.node("Clip", use.x, *given)


def _silu_written(use: OnnxUse) -> str:
    """ONNX's `Swish` came with opset 24."""
    return use.node("Mul", use.x, use.node("Sigmoid", use.x))


def _scale_written(use: OnnxUse) -> str:
    return use.node("Mul", use.x, use.numbers("factor", use.op.factor))


def _offset_written(use: OnnxUse) -> str:
    return use.node("Add", use.x, use.numbers("number", use.op.number))


def _layer_scale_written(use: OnnxUse) -> str:
    """ONNX aligns at the last axis, and ours at the channels."""
    (factors,) = use.own
    ones = (1,) * (use.rank - 2)
    if not use.op.keep and ones:
        factors = use.shaped(factors, (-1, *ones), batch=None)
    return use.node("Mul", use.x, factors)


def _prelu_written(use: OnnxUse) -> str:
    (slopes,) = use.own
    if use.op.per_channel and use.rank > 2:
        slopes = use.shaped(slopes, (-1, *(1,) * (use.rank - 2)), batch=None)
    return use.node("PRelu", use.x, slopes)


def _dropout_written(use: OnnxUse) -> str:
    return use.node("Dropout", use.x, use.numbers("rate", use.op.rate))


# Ops that both sides have, with ONNX's name of each attribute.
_SAME: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "Abs": ("abs", {}),
    "Elu": ("elu", {"alpha": "alpha"}),
    "Gelu": ("gelu", {"approximate": "approximate"}),
    "HardSwish": ("hard_swish", {}),
    "Identity": ("identity", {}),
    "LeakyRelu": ("leaky_relu", {"slope": "alpha"}),
    "Mish": ("mish", {}),
    "Relu": ("relu", {}),
    "Selu": ("selu", {}),
    "Sigmoid": ("sigmoid", {}),
    "Softplus": ("softplus", {}),
    "Softsign": ("softsign", {}),
    "Tanh": ("tanh", {}),
}

READ: Mapping[str, OnnxOp] = {
    **{onnx_op: OnnxOp(kind, _elementwise(kind, names)) for onnx_op, (kind, names) in _SAME.items()},
    "Clip": OnnxOp("clip", _clip),
    "Dropout": OnnxOp("dropout", _dropout),
    "HardSigmoid": OnnxOp("hard_sigmoid", _hard_sigmoid),
    "PRelu": OnnxOp("prelu", _prelu),
    "Swish": OnnxOp("silu", _swish),
}

PARTS: Mapping[str, Translate] = {
    "Erf": lambda node: [OnnxTranslation((Erf(),))],
    "Pow": _power,
    "Reciprocal": lambda node: [OnnxTranslation((Power(exponent=-1.0),))],
    "Sqrt": lambda node: [OnnxTranslation((Power(exponent=0.5),))],
}

WRITTEN: Mapping[str, Write] = {
    **{kind: _written(onnx_op, names) for onnx_op, (kind, names) in _SAME.items()},
    "channel_dropout": _written("Identity"),  # ONNX drops single elements only
    "clip": _clip_written,
    "dropout": _dropout_written,
    "hard_sigmoid": lambda use: use.node("HardSigmoid", use.x, alpha=1 / 6, beta=0.5),
    "layer_scale": _layer_scale_written,
    "offset": _offset_written,
    "prelu": _prelu_written,
    "relu6": _clip_written,
    "scale": _scale_written,
    "silu": _silu_written,
    "stochastic_depth": _written("Identity"),
}
