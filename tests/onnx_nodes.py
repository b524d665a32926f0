"""Nodes of ONNX said with our ops, for ONNX's own tests of single nodes.

`TRANSLATORS` is the table: for each ONNX op, what a node is in our terms, or why it has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from archforge.ops.base import Array, Op
from tests.op_examples import bind

__all__ = ["TRANSLATORS", "WITHOUT_COUNTERPART", "Call", "LeftOut", "NodeCase"]


class LeftOut(Exception):
    """Why a case cannot be said with our ops."""


@dataclass(frozen=True, slots=True)
class NodeCase:
    """One node: attributes by ONNX's names, and arrays by position, None for an input left empty."""

    name: str
    onnx_op: str
    attributes: Mapping[str, Any]
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]

    @property
    def x(self) -> Array:
        """The first input. Raises `LeftOut` unless our kernels can take it."""
        x = self.inputs[0]
        if not isinstance(x, np.ndarray):
            raise LeftOut("a sequence or an optional value, not an array")
        if x.dtype not in ("float32", "float64"):
            raise LeftOut("a dtype other than float32 and float64")
        if not x.size:
            raise LeftOut("an empty array")
        return x

    def input(self, position: int) -> Any:
        return self.inputs[position] if position < len(self.inputs) else None

    def ints(self, name: str) -> tuple[int, ...] | None:
        found = self.attributes.get(name)
        return None if found is None else tuple(found)


@dataclass(frozen=True, slots=True)
class Call:
    """Ops applied in turn, the parameters being the first one's. `batched`: the case's own first axis
    is the batch; otherwise a batch of one is put around it. `arrange` brings the result's axes into
    ONNX's order."""

    ops: tuple[Op, ...]
    inputs: tuple[Array, ...]
    params: Mapping[str, Array] = field(default_factory=dict)
    batched: bool = False
    arrange: Callable[[Array], Array] = lambda y: y

    def compute(self) -> Array:
        inputs = self.inputs if self.batched else tuple(x[None] for x in self.inputs)
        y = self.ops[0].reference(self.params, *inputs)
        for op in self.ops[1:]:
            y = op.reference({}, y)
        return self.arrange(y if self.batched else y[0])


# The calls that compute a case's outputs, in their order; outputs beyond them are not compared.
Translator = Callable[[NodeCase], list[Call]]


def require(condition: bool, reason: str) -> None:
    if not condition:
        raise LeftOut(reason)


# Element by element ------------------------------------------------------------------------------


def elementwise(kind: str, attributes: Mapping[str, str] | None = None) -> Translator:
    """An op of one input; `attributes` gives ONNX's name of each attribute of ours."""

    def translate(case: NodeCase) -> list[Call]:
        names = attributes or {}
        for name in case.attributes:
            require(name in names.values(), f"attribute `{name}`, which ours does not have")
        given = {ours: case.attributes[name] for ours, name in names.items() if name in case.attributes}
        return [Call((bind(kind, **given),), (case.x,))]

    return translate


def swish(case: NodeCase) -> list[Call]:
    require(case.attributes.get("alpha", 1.0) == 1, "a slope other than 1 inside the sigmoid")
    return [Call((bind("silu"),), (case.x,))]


def hard_sigmoid(case: NodeCase) -> list[Call]:
    slope, offset = case.attributes.get("alpha", 0.2), case.attributes.get("beta", 0.5)
    require(abs(slope - 1 / 6) < 1e-6 and offset == 0.5, "a slope other than torch's 1/6")
    return [Call((bind("hard_sigmoid"),), (case.x,))]


def dropout(case: NodeCase) -> list[Call]:
    training = case.input(2)
    require(training is None or not training, "training mode")
    rate = case.attributes.get("ratio", 0.5) if case.input(1) is None else case.input(1)
    return [Call((bind("dropout", rate=float(rate)),), (case.x,))]


def prelu(case: NodeCase) -> list[Call]:
    slope = case.input(1)
    require(slope.size == 1, "slopes aligned at the last axis; ours are one, or one per channel")
    return [Call((bind("prelu"),), (case.x,), {"weight": slope.reshape(1)})]


def merge(kind: str) -> Translator:
    def translate(case: NodeCase) -> list[Call]:
        equal = all(x.shape == case.x.shape for x in case.inputs)
        require(equal or kind == "multiply", "broadcasting, which ours leaves to `multiply`")
        # ONNX aligns at the last axis, which axes of extent 1 in front say as well.
        inputs = tuple(x.reshape((1,) * (case.x.ndim - x.ndim) + x.shape) for x in case.inputs)
        return [Call((bind(kind),), inputs)]

    return translate


# Windows -------------------------------------------------------------------------------------------


def window(case: NodeCase, kernel: tuple[int, ...]) -> dict[str, Any]:
    """Kernel, stride, dilation and padding of a node that slides over its input."""
    axes = len(kernel)
    strides = case.ints("strides") or (1,) * axes
    dilations = case.ints("dilations") or (1,) * axes
    pads = case.ints("pads") or (0,) * 2 * axes
    auto = case.attributes.get("auto_pad", "NOTSET")
    padding: Any = tuple(zip(pads[:axes], pads[axes:], strict=True))
    if auto == "VALID":
        padding = "valid"
    elif auto == "SAME_UPPER":
        padding = "same_upper"
    elif auto == "SAME_LOWER":  # as `same_upper`, with the odd element before
        padding = tuple(
            (total - total // 2, total // 2)
            for n, k, s, d in zip(case.x.shape[2:], kernel, strides, dilations, strict=True)
            for total in [max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)]
        )
    return {"kernel": kernel, "stride": strides, "dilation": dilations, "padding": padding}


def conv(case: NodeCase) -> list[Call]:
    weight, bias = case.input(1), case.input(2)
    attributes = window(case, weight.shape[2:]) | {"groups": case.attributes.get("group", 1)}
    op = bind("conv", out=len(weight), bias=bias is not None, **attributes)
    params = {"weight": weight} | ({} if bias is None else {"bias": bias})
    return [Call((op,), (case.x,), params, batched=True)]


def conv_transpose(case: NodeCase) -> list[Call]:
    weight, groups = case.input(1), case.attributes.get("group", 1)
    attributes = window(case, weight.shape[2:]) | {"groups": groups}
    sizes, strides, dilations = case.x.shape[2:], attributes["stride"], attributes["dilation"]
    excess = case.ints("output_padding") or (0,) * len(sizes)
    wanted = case.ints("output_shape")
    if attributes["padding"] == "same_upper":
        wanted = tuple(n * s for n, s in zip(sizes, strides, strict=True))
    if wanted:  # padding is what the output would have too much, the odd element after
        full = zip(sizes, strides, weight.shape[2:], dilations, excess, wanted, strict=True)
        totals = [(n - 1) * s + d * (k - 1) + 1 + e - o for n, s, k, d, e, o in full]
        excess = tuple(e + max(-t, 0) for e, t in zip(excess, totals, strict=True))
        attributes["padding"] = tuple((max(t, 0) // 2, (max(t, 0) + 1) // 2) for t in totals)
    op = bind("conv_transpose", out=weight.shape[1] * groups, bias=False, output_padding=excess, **attributes)
    return [Call((op,), (case.x,), {"weight": weight}, batched=True)]


def pool(kind: str) -> Translator:
    def translate(case: NodeCase) -> list[Call]:
        attributes = window(case, case.ints("kernel_shape") or ())
        for k, d, pads in zip(
            attributes["kernel"], attributes["dilation"], case.ints("pads") or (), strict=False
        ):
            require(pads <= (d * (k - 1) + 1) // 2, "padding above half of the window, which torch refuses")
        if kind != "max_pool":
            require({*attributes.pop("dilation")} == {1}, "a dilated window, which torch has for maxima only")
        if kind == "avg_pool":
            attributes["count_include_pad"] = bool(case.attributes.get("count_include_pad", 0))
        if kind == "lp_pool":
            attributes["norm"] = case.attributes.get("p", 2)
        op = bind(kind, ceil=bool(case.attributes.get("ceil_mode", 0)), **attributes)
        return [Call((op,), (case.x,), batched=True)]

    return translate


def global_pool(kind: str) -> Translator:
    return lambda case: [Call((bind(kind),), (case.x,), batched=True)]


# Matrices and normalisation ------------------------------------------------------------------------


def gemm(case: NodeCase) -> list[Call]:
    require(not case.attributes.get("transA"), "a transposed input")
    factors = {case.attributes.get(name, 1.0) for name in ("alpha", "beta")}
    require(factors == {1.0}, "factors `alpha` and `beta`")
    matrix, bias = case.input(1), case.input(2)
    weight = matrix if case.attributes.get("transB") else matrix.T
    op = bind("linear", out=len(weight), bias=bias is not None)
    params = {"weight": weight}
    if bias is not None:
        require(bias.ndim < 2 or len(bias) == 1, "a bias for each image")
        params["bias"] = np.broadcast_to(bias.reshape(-1), len(weight))
    return [Call((op,), (case.x,), params, batched=True)]


def matmul(case: NodeCase) -> list[Call]:
    matrix = case.input(1)
    require(matrix.ndim == 2, "a second factor that is no matrix")
    op = bind("linear", out=matrix.shape[1], bias=False, axis=-1)
    return [Call((op,), (case.x,), {"weight": matrix.T}, batched=True)]


def batch_norm(case: NodeCase) -> list[Call]:
    require(not case.attributes.get("training_mode"), "training mode")
    names = ("weight", "bias", "running_mean", "running_var")
    op = bind("bn", eps=case.attributes.get("epsilon", 1e-5))
    return [Call((op,), (case.x,), dict(zip(names, case.inputs[1:], strict=True)), batched=True)]


def layer_norm(case: NodeCase) -> list[Call]:
    axes = tuple(range(case.attributes.get("axis", -1) % case.x.ndim, case.x.ndim))
    op = bind("layer_norm", axis=axes, eps=case.attributes.get("epsilon", 1e-5))
    return [Call((op,), (case.x,), {"weight": case.input(1), "bias": case.input(2)})]


def lrn(case: NodeCase) -> list[Call]:
    names = {"size": "size", "alpha": "alpha", "beta": "beta", "k": "bias"}
    given = {ours: case.attributes[name] for ours, name in names.items() if name in case.attributes}
    return [Call((bind("lrn", **given),), (case.x,), batched=True)]


def softmax(kind: str) -> Translator:
    return lambda case: [Call((bind(kind, axis=case.attributes.get("axis", -1)),), (case.x,))]


# Recurrent layers ----------------------------------------------------------------------------------

# Where torch's gates lie among ONNX's: of an LSTM input, forget, cell, output among input, output,
# forget, cell; of a GRU reset, update, new among update, reset, new.
GATES = {"rnn": (0,), "lstm": (0, 2, 3, 1), "gru": (1, 0, 2)}


def recurrent(kind: str) -> Translator:
    """A layer in one direction. ONNX's time comes before its batch unless `layout` is 1, and each array
    has an axis for the directions."""

    def translate(case: NodeCase) -> list[Call]:
        lengths, initial, peepholes = case.input(4), case.input(5), case.input(7)
        require(case.attributes.get("direction") != "bidirectional", "both directions at once")
        require(peepholes is None, "peepholes from the cell to the gates")
        require(initial is None, "an initial state")
        batch_first = bool(case.attributes.get("layout", 0))
        x = case.x if batch_first else case.x.swapaxes(0, 1)
        require(lengths is None or {*lengths} == {x.shape[1]}, "sequences of several lengths")
        backwards = case.attributes.get("direction") == "reverse"

        def whole(y: Array) -> Array:
            y = y[:, ::-1] if backwards else y
            return y[:, :, None] if batch_first else y.swapaxes(0, 1)[:, None]

        def last(y: Array) -> Array:
            return y if batch_first else y.swapaxes(0, 1)

        params = _recurrent_params(kind, case)
        attributes = {"linear_before_reset": bool(case.attributes.get("linear_before_reset", 0))}
        op = bind(kind, hidden=case.attributes["hidden_size"], **(attributes if kind == "gru" else {}))
        given = (x[:, ::-1] if backwards else x,)
        calls = [Call((op, bind("slice", start=-1)), given, params, batched=True, arrange=last)]
        if case.outputs[0].ndim == 4:  # else the sequence of states is not asked for
            calls.insert(0, Call((op,), given, params, batched=True, arrange=whole))
        return calls

    return translate


def _recurrent_params(kind: str, case: NodeCase) -> dict[str, Array]:
    """The arrays of the only direction, their rows in torch's order."""

    def rows(array: Array) -> Array:
        parts = np.split(array, len(GATES[kind]))
        return np.concatenate([parts[gate] for gate in GATES[kind]])

    weight, recurrence = case.input(1)[0], case.input(2)[0]
    bias = np.zeros(2 * len(weight), weight.dtype) if case.input(3) is None else case.input(3)[0]
    of_input, of_state = np.split(bias, 2)
    return {
        "weight_ih_l0": rows(weight),
        "weight_hh_l0": rows(recurrence),
        "bias_ih_l0": rows(of_input),
        "bias_hh_l0": rows(of_state),
    }


# Shapes --------------------------------------------------------------------------------------------


def concat(case: NodeCase) -> list[Call]:
    return [Call((bind("concat", axis=case.attributes["axis"]),), case.inputs)]


def flatten(case: NodeCase) -> list[Call]:
    axis = case.attributes.get("axis", 1) % case.x.ndim
    require(axis < 2, "an axis that flattens the batch too")
    x = case.x if axis else case.x[None]
    return [Call((bind("flatten"),), (x,), batched=True)]


def reshape(case: NodeCase) -> list[Call]:
    shape = tuple(case.x.shape[i] if n == 0 else int(n) for i, n in enumerate(case.input(1)))
    return [Call((bind("reshape", shape=shape),), (case.x,))]


def transpose(case: NodeCase) -> list[Call]:
    order = case.ints("perm") or tuple(reversed(range(case.x.ndim)))
    return [Call((bind("permute", order=order),), (case.x,))]


def pad(case: NodeCase) -> list[Call]:
    require(case.attributes.get("mode", "constant") == "constant", "a mode other than `constant`")
    axes = range(case.x.ndim) if case.input(3) is None else [a % case.x.ndim for a in case.input(3)]
    widths = case.input(1).reshape(2, -1).T
    sides = {int(axis): (int(a), int(b)) for axis, (a, b) in zip(axes, widths, strict=True)}
    none = (0, 0)
    require(sides.get(0, none) == sides.get(1, none) == none, "padding of the batch or the channels")
    value = 0.0 if case.input(2) is None else float(case.input(2))
    flat = tuple(n for axis in range(2, case.x.ndim) for n in sides.get(axis, none))
    return [Call((bind("pad", sides=flat, value=value),), (case.x,), batched=True)]


def slice_(case: NodeCase) -> list[Call]:
    starts, ends, axes, steps = (case.input(i) for i in range(1, 5))
    axes = range(len(starts)) if axes is None else axes
    require(steps is None or {*steps} == {1}, "steps other than 1")
    ops = []
    for start, end, axis in zip(starts, ends, axes, strict=True):
        size = case.x.shape[axis]
        require(
            -size <= start < size and -size <= end <= size, "bounds outside the array, which ours refuses"
        )
        ops.append(bind("slice", start=int(start), end=int(end), axis=int(axis)))
    return [Call(tuple(ops), (case.x,))]


def split(case: NodeCase) -> list[Call]:
    axis, start, calls = case.attributes.get("axis", 0), 0, []
    for part in case.outputs:
        end = start + part.shape[axis]
        calls.append(Call((bind("slice", start=start, end=end, axis=axis),), (case.x,)))
        start = end
    return calls


# ONNX's ways to place and round that are floor(i / factor) for a whole factor.
_NEAREST = {("half_pixel", "round_prefer_floor"), ("asymmetric", "floor")}


def resize(case: NodeCase) -> list[Call]:
    mode = case.attributes.get("mode", "nearest")
    require(mode != "cubic", "cubic interpolation")
    place = case.attributes.get("coordinate_transformation_mode", "half_pixel")
    require(place != "tf_crop_and_resize", "cropping")
    sizes = zip(case.x.shape, case.outputs[0].shape, strict=True)
    factors = [out / size for size, out in sizes]
    require(all(f == int(f) for f in factors), "a factor that is no whole number")
    if mode == "nearest":
        rounding = case.attributes.get("nearest_mode", "round_prefer_floor")
        require((place, rounding) in _NEAREST, "another nearest element than torch's")
    spatial = tuple(map(int, factors[2:]))
    corners = place == "align_corners"
    name = "nearest" if mode == "nearest" else {1: "linear", 2: "bilinear", 3: "trilinear"}[len(spatial)]
    op = bind("upsample", factor=spatial, mode=name, align_corners=corners)
    return [Call((op,), (case.x,), batched=True)]


def upsample(case: NodeCase) -> list[Call]:
    factors = tuple(int(f) for f in case.input(1)[2:])
    return [Call((bind("upsample", factor=factors),), (case.x,), batched=True)]


TRANSLATORS: dict[str, tuple[str, Translator]] = {
    "Abs": ("abs", elementwise("abs")),
    "Add": ("add", merge("add")),
    "AveragePool": ("avg_pool", pool("avg_pool")),
    "BatchNormalization": ("bn", batch_norm),
    "Concat": ("concat", concat),
    "Conv": ("conv", conv),
    "ConvTranspose": ("conv_transpose", conv_transpose),
    "Dropout": ("dropout", dropout),
    "Elu": ("elu", elementwise("elu", {"alpha": "alpha"})),
    "Flatten": ("flatten", flatten),
    "Gelu": ("gelu", elementwise("gelu", {"approximate": "approximate"})),
    "Gemm": ("linear", gemm),
    "GRU": ("gru", recurrent("gru")),
    "GlobalAveragePool": ("global_avg_pool", global_pool("global_avg_pool")),
    "GlobalMaxPool": ("global_max_pool", global_pool("global_max_pool")),
    "HardSigmoid": ("hard_sigmoid", hard_sigmoid),
    "HardSwish": ("hard_swish", elementwise("hard_swish")),
    "Identity": ("identity", elementwise("identity")),
    "LRN": ("lrn", lrn),
    "LSTM": ("lstm", recurrent("lstm")),
    "LayerNormalization": ("layer_norm", layer_norm),
    "LeakyRelu": ("leaky_relu", elementwise("leaky_relu", {"slope": "alpha"})),
    "LogSoftmax": ("log_softmax", softmax("log_softmax")),
    "LpPool": ("lp_pool", pool("lp_pool")),
    "MatMul": ("linear", matmul),
    "MaxPool": ("max_pool", pool("max_pool")),
    "Mish": ("mish", elementwise("mish")),
    "Mul": ("multiply", merge("multiply")),
    "PRelu": ("prelu", prelu),
    "Pad": ("pad", pad),
    "RNN": ("rnn", recurrent("rnn")),
    "Relu": ("relu", elementwise("relu")),
    "Reshape": ("reshape", reshape),
    "Resize": ("upsample", resize),
    "Selu": ("selu", elementwise("selu")),
    "Sigmoid": ("sigmoid", elementwise("sigmoid")),
    "Slice": ("slice", slice_),
    "Softmax": ("softmax", softmax("softmax")),
    "Softplus": ("softplus", elementwise("softplus")),
    "Softsign": ("softsign", elementwise("softsign")),
    "Split": ("slice", split),
    "Sub": ("subtract", merge("subtract")),
    "Sum": ("add", merge("add")),
    "Swish": ("silu", swish),
    "Tanh": ("tanh", elementwise("tanh")),
    "Transpose": ("permute", transpose),
    "Upsample": ("upsample", upsample),
}

WITHOUT_COUNTERPART = {
    "adaptive_avg_pool": "ONNX pools to a given size only globally",
    "channel_dropout": "ONNX drops single elements only",
    "global_response_norm": "norms of whole channels over their mean, several nodes",
    "layer_scale": "a product with a stored array",
    "relu6": "`Clip` at other bounds in every case",
    "scale": "a product with a stored number",
    "shuffle": "a reshape, a transposition and a reshape back",
    "stochastic_depth": "ONNX drops single elements only",
}
