"""The table of ONNX's ops: our op of the same meaning, and how a node becomes it.

Each function of a node gives a translation for each output that is asked for, in order; outputs beyond them,
such as the indices of a pool, are not said. It raises `Unsupported` with the reason where ours is another op.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from archforge.interchange.onnx.nodes import OnnxNode, OnnxTranslation, bound_op, require
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["ONNX_OPS", "WITHOUT_ONNX_OP", "OnnxOp"]

Translate = Callable[[OnnxNode], list[OnnxTranslation]]


# Element by element


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
        node.attributes.get(name) if array is None else float(array)
        for name, array in (("min", node.constant(1)), ("max", node.constant(2)))
    ]
    require(bounds != [None, None], "no bounds")
    low, high = bounds
    return [
        OnnxTranslation((bound_op("relu6") if bounds == [0, 6] else bound_op("clip", min=low, max=high),))
    ]


def _swish(node: OnnxNode) -> list[OnnxTranslation]:
    require(node.attributes.get("alpha", 1.0) == 1, "a slope other than 1 inside the sigmoid")
    return [OnnxTranslation((bound_op("silu"),))]


def _hard_sigmoid(node: OnnxNode) -> list[OnnxTranslation]:
    slope, offset = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    require(abs(slope - 1 / 6) < 1e-6 and offset == 0.5, "a slope other than torch's 1/6")
    return [OnnxTranslation((bound_op("hard_sigmoid"),))]


def _dropout(node: OnnxNode) -> list[OnnxTranslation]:
    rate, training = node.constant(1), node.constant(2)
    require(training is None or not training, "training mode")
    given = node.attributes.get("ratio", 0.5) if rate is None else float(rate)
    return [OnnxTranslation((bound_op("dropout", rate=given),))]


def _prelu(node: OnnxNode) -> list[OnnxTranslation]:
    slope = node.weight(1)
    require(slope.size == 1, "slopes aligned at the last axis; ours are one, or one per channel")
    return [OnnxTranslation((bound_op("prelu"),), params={"weight": slope.reshape(1)})]


def _merge(kind: str) -> Translate:
    """An op of any number of inputs."""

    def translate(node: OnnxNode) -> list[OnnxTranslation]:
        positions = tuple(range(len(node.inputs)))
        equal = all(node.shape(p) == node.x for p in positions)
        require(equal or kind == "multiply", "broadcasting, which ours leaves to `multiply`")
        axes = len(node.x)

        def aligned(x: Array) -> Array:
            """ONNX aligns at the last axis, which axes of extent 1 in front say as well."""
            return x.reshape((1,) * (axes - x.ndim) + x.shape)

        return [OnnxTranslation((bound_op(kind),), positions, arrange=aligned)]

    return translate


# Windows


def _window(node: OnnxNode, kernel: tuple[int, ...]) -> dict[str, Any]:
    """Kernel, stride, dilation and padding of a node that slides over its input."""
    axes = len(kernel)
    strides = node.ints("strides") or (1,) * axes
    dilations = node.ints("dilations") or (1,) * axes
    pads = node.ints("pads") or (0,) * 2 * axes
    auto = node.attributes.get("auto_pad", "NOTSET")
    padding: Any = tuple(zip(pads[:axes], pads[axes:], strict=True))
    if auto == "VALID":
        padding = "valid"
    elif auto == "SAME_UPPER":
        padding = "same_upper"
    elif auto == "SAME_LOWER":  # as `same_upper`, with the odd element before
        padding = tuple(
            (total - total // 2, total // 2)
            for n, k, s, d in zip(node.x[2:], kernel, strides, dilations, strict=True)
            for total in [max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)]
        )
    return {"kernel": kernel, "stride": strides, "dilation": dilations, "padding": padding}


def _conv(node: OnnxNode) -> list[OnnxTranslation]:
    weight, bias = node.weight(1), node.constant(2)
    attributes = _window(node, weight.shape[2:]) | {"groups": node.attributes.get("group", 1)}
    op = bound_op("conv", out=len(weight), bias=bias is not None, **attributes)
    params = {"weight": weight} | ({} if bias is None else {"bias": bias})
    return [OnnxTranslation((op,), params=params, is_batched=True)]


def _conv_transpose(node: OnnxNode) -> list[OnnxTranslation]:
    weight, bias, groups = node.weight(1), node.constant(2), node.attributes.get("group", 1)
    attributes = _window(node, weight.shape[2:]) | {"groups": groups}
    sizes, strides, dilations = node.x[2:], attributes["stride"], attributes["dilation"]
    excess = node.ints("output_padding") or (0,) * len(sizes)
    wanted = node.ints("output_shape")
    if attributes["padding"] == "same_upper":
        wanted = tuple(n * s for n, s in zip(sizes, strides, strict=True))
    if wanted:  # padding is what the output would have too much, the odd element after
        full = zip(sizes, strides, weight.shape[2:], dilations, excess, wanted, strict=True)
        totals = [(n - 1) * s + d * (k - 1) + 1 + e - o for n, s, k, d, e, o in full]
        excess = tuple(e + max(-t, 0) for e, t in zip(excess, totals, strict=True))
        attributes["padding"] = tuple((max(t, 0) // 2, (max(t, 0) + 1) // 2) for t in totals)
    out = weight.shape[1] * groups
    op = bound_op("conv_transpose", out=out, bias=bias is not None, output_padding=excess, **attributes)
    params = {"weight": weight} | ({} if bias is None else {"bias": bias})
    return [OnnxTranslation((op,), params=params, is_batched=True)]


def _pool(kind: str) -> Translate:
    """A pool over a window."""

    def translate(node: OnnxNode) -> list[OnnxTranslation]:
        attributes = _window(node, node.ints("kernel_shape") or ())
        sides = zip(attributes["kernel"], attributes["dilation"], node.ints("pads") or (), strict=False)
        for k, d, before in sides:
            reach = d * (k - 1) + 1
            require(before <= reach // 2, "padding above half of the window, which torch refuses")
        if kind != "max_pool":
            require({*attributes.pop("dilation")} == {1}, "a dilated window, which torch has for maxima only")
        if kind == "avg_pool":
            attributes["count_include_pad"] = bool(node.attributes.get("count_include_pad", 0))
        if kind == "lp_pool":
            attributes["norm"] = node.attributes.get("p", 2)
        op = bound_op(kind, ceil=bool(node.attributes.get("ceil_mode", 0)), **attributes)
        return [OnnxTranslation((op,), is_batched=True)]

    return translate


def _global_pool(kind: str) -> Translate:
    """A pool over all of a map."""
    return lambda node: [OnnxTranslation((bound_op(kind),), is_batched=True)]


# Matrices and normalisation


def _gemm(node: OnnxNode) -> list[OnnxTranslation]:
    require(not node.attributes.get("transA"), "a transposed input")
    factors = {node.attributes.get(name, 1.0) for name in ("alpha", "beta")}
    require(factors == {1.0}, "factors `alpha` and `beta`")
    matrix, bias = node.weight(1), node.constant(2)
    weight = matrix if node.attributes.get("transB") else matrix.T
    op = bound_op("linear", out=len(weight), bias=bias is not None)
    params = {"weight": weight}
    if bias is not None:
        require(bias.ndim < 2 or len(bias) == 1, "a bias for each image")
        params["bias"] = np.broadcast_to(bias.reshape(-1), len(weight))
    return [OnnxTranslation((op,), params=params, is_batched=True)]


def _matmul(node: OnnxNode) -> list[OnnxTranslation]:
    matrix = node.weight(1)
    require(matrix.ndim == 2, "a second factor that is no matrix")
    op = bound_op("linear", out=matrix.shape[1], bias=False, axis=-1)
    return [OnnxTranslation((op,), params={"weight": matrix.T}, is_batched=True)]


def _batch_norm(node: OnnxNode) -> list[OnnxTranslation]:
    require(not node.attributes.get("training_mode"), "training mode")
    names = ("weight", "bias", "running_mean", "running_var")
    op = bound_op("bn", eps=node.attributes.get("epsilon", 1e-5))
    params = {name: node.weight(position) for position, name in enumerate(names, 1)}
    return [OnnxTranslation((op,), params=params, is_batched=True)]


def _layer_norm(node: OnnxNode) -> list[OnnxTranslation]:
    axes = tuple(range(node.attributes.get("axis", -1) % len(node.x), len(node.x)))
    bias = node.constant(2)
    op = bound_op("layer_norm", axis=axes, eps=node.attributes.get("epsilon", 1e-5))
    require(bias is not None, "no bias, which ours has wherever it has a weight")
    return [OnnxTranslation((op,), params={"weight": node.weight(1), "bias": node.weight(2)})]


def _lrn(node: OnnxNode) -> list[OnnxTranslation]:
    names = {"size": "size", "alpha": "alpha", "beta": "beta", "k": "bias"}
    given = {ours: node.attributes[name] for ours, name in names.items() if name in node.attributes}
    return [OnnxTranslation((bound_op("lrn", **given),), is_batched=True)]


def _softmax(kind: str) -> Translate:
    """A softmax along one axis, the last unless the node says another."""
    return lambda node: [OnnxTranslation((bound_op(kind, axis=node.attributes.get("axis", -1)),))]


# Recurrent layers

# Where torch's gates lie among ONNX's: of an LSTM input, forget, cell, output among input, output,
# forget, cell; of a GRU reset, update, new among update, reset, new.
GATES = {"rnn": (0,), "lstm": (0, 2, 3, 1), "gru": (1, 0, 2)}


def _recurrent(kind: str) -> Translate:
    """A layer in one direction. ONNX's time comes before its batch unless `layout` is 1, and each array
    has an axis for the directions."""

    def translate(node: OnnxNode) -> list[OnnxTranslation]:
        lengths, initial, peepholes = node.constant(4), node.constant(5), node.constant(7)
        require(node.attributes.get("direction") != "bidirectional", "both directions at once")
        require(peepholes is None, "peepholes from the cell to the gates")
        require(initial is None, "an initial state")
        is_batch_first = bool(node.attributes.get("layout", 0))
        steps = node.x[1 if is_batch_first else 0]
        require(lengths is None or {*lengths} == {steps}, "sequences of several lengths")
        is_backwards = node.attributes.get("direction") == "reverse"

        def arrange(x: Array) -> Array:
            x = x if is_batch_first else x.swapaxes(0, 1)
            return x[:, ::-1] if is_backwards else x

        def whole(y: Array) -> Array:
            y = y[:, ::-1] if is_backwards else y
            return y[:, :, None] if is_batch_first else y.swapaxes(0, 1)[:, None]

        def last(y: Array) -> Array:
            return y if is_batch_first else y.swapaxes(0, 1)

        params = _recurrent_params(kind, node)
        attributes = {"linear_before_reset": bool(node.attributes.get("linear_before_reset", 0))}
        op = bound_op(kind, hidden=node.weight(2).shape[-1], **(attributes if kind == "gru" else {}))
        state = (op, bound_op("slice", start=-1))
        found = [
            OnnxTranslation((op,), (0,), params, True, arrange, whole),
            OnnxTranslation(state, (0,), params, True, arrange, last),
        ]
        return [each for each, asked in zip(found, node.outputs, strict=False) if asked is not None]

    return translate


def _recurrent_params(kind: str, node: OnnxNode) -> dict[str, Array]:
    """The arrays of the only direction, their rows in torch's order."""

    def rows(array: Array) -> Array:
        parts = np.split(array, len(GATES[kind]))
        return np.concatenate([parts[gate] for gate in GATES[kind]])

    weight, recurrence, both = node.weight(1)[0], node.weight(2)[0], node.constant(3)
    bias = np.zeros(2 * len(weight), weight.dtype) if both is None else both[0]
    of_input, of_state = np.split(bias, 2)
    return {
        "weight_ih_l0": rows(weight),
        "weight_hh_l0": rows(recurrence),
        "bias_ih_l0": rows(of_input),
        "bias_hh_l0": rows(of_state),
    }


# Shapes


def _concat(node: OnnxNode) -> list[OnnxTranslation]:
    positions = tuple(range(len(node.inputs)))
    return [OnnxTranslation((bound_op("concat", axis=node.attributes.get("axis", 1)),), positions)]


def _flatten(node: OnnxNode) -> list[OnnxTranslation]:
    axis = node.attributes.get("axis", 1) % len(node.x)
    require(axis < 2, "an axis that flattens the batch too")

    def arranged(x: Array) -> Array:
        return x if axis else x[None]

    return [OnnxTranslation((bound_op("flatten"),), is_batched=True, arrange=arranged)]


def _reshape(node: OnnxNode) -> list[OnnxTranslation]:
    shape = tuple(node.x[i] if n == 0 else int(n) for i, n in enumerate(node.weight(1)))
    return [OnnxTranslation((bound_op("reshape", shape=shape),))]


def _transpose(node: OnnxNode) -> list[OnnxTranslation]:
    order = node.ints("perm") or tuple(reversed(range(len(node.x))))
    return [OnnxTranslation((bound_op("permute", order=order),))]


def _pad(node: OnnxNode) -> list[OnnxTranslation]:
    require(node.attributes.get("mode", "constant") == "constant", "a mode other than `constant`")
    sides, value, given = node.weight(1), node.constant(2), node.constant(3)
    axes = range(len(node.x)) if given is None else [a % len(node.x) for a in given]
    widths = sides.reshape(2, -1).T
    by_axis = {int(axis): (int(a), int(b)) for axis, (a, b) in zip(axes, widths, strict=True)}
    none = (0, 0)
    require(by_axis.get(0, none) == by_axis.get(1, none) == none, "padding of the batch or the channels")
    flat = tuple(n for axis in range(2, len(node.x)) for n in by_axis.get(axis, none))
    op = bound_op("pad", sides=flat, value=0.0 if value is None else float(value))
    return [OnnxTranslation((op,), is_batched=True)]


def _slice(node: OnnxNode) -> list[OnnxTranslation]:
    starts, ends, given, steps = node.weight(1), node.weight(2), node.constant(3), node.constant(4)
    axes = range(len(starts)) if given is None else given
    require(steps is None or {*steps} == {1}, "steps other than 1")
    ops = []
    for start, end, axis in zip(starts, ends, axes, strict=True):
        size = node.x[axis]
        inside = -size <= start < size and -size <= end <= size
        require(inside, "bounds outside the array, which ours refuses")
        ops.append(bound_op("slice", start=int(start), end=int(end), axis=int(axis)))
    return [OnnxTranslation(tuple(ops))]


def _split(node: OnnxNode) -> list[OnnxTranslation]:
    axis, start, found = node.attributes.get("axis", 0), 0, []
    for part in node.outputs:
        require(part is not None, "a part that is left out")
        end = start + (part or node.x)[axis]
        found.append(OnnxTranslation((bound_op("slice", start=start, end=end, axis=axis),)))
        start = end
    return found


# ONNX's ways to place and round that are floor(i / factor) for a whole factor.
_NEAREST = {("half_pixel", "round_prefer_floor"), ("asymmetric", "floor")}


def _resize(node: OnnxNode) -> list[OnnxTranslation]:
    mode = node.attributes.get("mode", "nearest")
    require(mode != "cubic", "cubic interpolation")
    place = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    require(place != "tf_crop_and_resize", "cropping")
    sizes = zip(node.x, node.outputs[0] or (), strict=True)
    factors = [out / size for size, out in sizes]
    require(all(f == int(f) for f in factors), "a factor that is no whole number")
    if mode == "nearest":
        rounding = node.attributes.get("nearest_mode", "round_prefer_floor")
        require((place, rounding) in _NEAREST, "another nearest element than torch's")
    spatial = tuple(map(int, factors[2:]))
    corners = place == "align_corners"
    name = "nearest" if mode == "nearest" else {1: "linear", 2: "bilinear", 3: "trilinear"}[len(spatial)]
    op = bound_op("upsample", factor=spatial, mode=name, align_corners=corners)
    return [OnnxTranslation((op,), is_batched=True)]


def _upsample(node: OnnxNode) -> list[OnnxTranslation]:
    factors = tuple(int(f) for f in node.weight(1)[2:])
    return [OnnxTranslation((bound_op("upsample", factor=factors),), is_batched=True)]


# The table


class OnnxOp(NamedTuple):
    """A row: our op of the same meaning, and what translates a node."""

    kind: str
    translate: Translate


ONNX_OPS: Mapping[str, OnnxOp] = {
    "Abs": OnnxOp("abs", _elementwise("abs")),
    "Add": OnnxOp("add", _merge("add")),
    "AveragePool": OnnxOp("avg_pool", _pool("avg_pool")),
    "BatchNormalization": OnnxOp("bn", _batch_norm),
    "Clip": OnnxOp("clip", _clip),
    "Concat": OnnxOp("concat", _concat),
    "Conv": OnnxOp("conv", _conv),
    "ConvTranspose": OnnxOp("conv_transpose", _conv_transpose),
    "Dropout": OnnxOp("dropout", _dropout),
    "Elu": OnnxOp("elu", _elementwise("elu", {"alpha": "alpha"})),
    "Flatten": OnnxOp("flatten", _flatten),
    "Gelu": OnnxOp("gelu", _elementwise("gelu", {"approximate": "approximate"})),
    "Gemm": OnnxOp("linear", _gemm),
    "GRU": OnnxOp("gru", _recurrent("gru")),
    "GlobalAveragePool": OnnxOp("global_avg_pool", _global_pool("global_avg_pool")),
    "GlobalMaxPool": OnnxOp("global_max_pool", _global_pool("global_max_pool")),
    "HardSigmoid": OnnxOp("hard_sigmoid", _hard_sigmoid),
    "HardSwish": OnnxOp("hard_swish", _elementwise("hard_swish")),
    "Identity": OnnxOp("identity", _elementwise("identity")),
    "LRN": OnnxOp("lrn", _lrn),
    "LSTM": OnnxOp("lstm", _recurrent("lstm")),
    "LayerNormalization": OnnxOp("layer_norm", _layer_norm),
    "LeakyRelu": OnnxOp("leaky_relu", _elementwise("leaky_relu", {"slope": "alpha"})),
    "LogSoftmax": OnnxOp("log_softmax", _softmax("log_softmax")),
    "LpPool": OnnxOp("lp_pool", _pool("lp_pool")),
    "MatMul": OnnxOp("linear", _matmul),
    "MaxPool": OnnxOp("max_pool", _pool("max_pool")),
    "Mish": OnnxOp("mish", _elementwise("mish")),
    "Mul": OnnxOp("multiply", _merge("multiply")),
    "PRelu": OnnxOp("prelu", _prelu),
    "Pad": OnnxOp("pad", _pad),
    "RNN": OnnxOp("rnn", _recurrent("rnn")),
    "Relu": OnnxOp("relu", _elementwise("relu")),
    "Reshape": OnnxOp("reshape", _reshape),
    "Resize": OnnxOp("upsample", _resize),
    "Selu": OnnxOp("selu", _elementwise("selu")),
    "Sigmoid": OnnxOp("sigmoid", _elementwise("sigmoid")),
    "Slice": OnnxOp("slice", _slice),
    "Softmax": OnnxOp("softmax", _softmax("softmax")),
    "Softplus": OnnxOp("softplus", _elementwise("softplus")),
    "Softsign": OnnxOp("softsign", _elementwise("softsign")),
    "Split": OnnxOp("slice", _split),
    "Sub": OnnxOp("subtract", _merge("subtract")),
    "Sum": OnnxOp("add", _merge("add")),
    "Swish": OnnxOp("silu", _swish),
    "Tanh": OnnxOp("tanh", _elementwise("tanh")),
    "Transpose": OnnxOp("permute", _transpose),
    "Upsample": OnnxOp("upsample", _upsample),
}

# Our ops that no single op of ONNX says, and what ONNX has instead.
WITHOUT_ONNX_OP: Mapping[str, str] = {
    "adaptive_avg_pool": "ONNX pools to a given size only globally",
    "channel_dropout": "ONNX drops single elements only",
    "global_response_norm": "norms of whole channels over their mean, several nodes",
    "layer_scale": "a product with a stored array",
    "relu6": "a Clip from 0 to 6, which is read as one",
    "scale": "a product with a stored number",
    "shuffle": "a reshape, a transposition and a reshape back",
    "stochastic_depth": "ONNX drops single elements only",
}
