"""Matrix products, and the ops that normalise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archforge.interchange.onnx.nodes import OnnxNode, OnnxOp, OnnxTranslation, Translate
from archforge.interchange.onnx.writing import OnnxUse, Write
from archforge.interchange.translation import bound_op, require
from archforge.ops.attention import ATTENTION_NAMES
from archforge.ops.lazy_numpy import np
from archforge.ops.window_attention import LARGEST_BIAS, LARGEST_SCALE, WINDOW_NAMES

__all__ = ["READ", "WRITTEN"]


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
    within = not node.has_batch_in_front
    return [OnnxTranslation((op,), params=params, is_batched=not within, has_batch_within=within)]


def _matmul(node: OnnxNode) -> list[OnnxTranslation]:
    """A linear layer, or the product of two values."""
    if not node.constants:
        within = len(node.x) == 2 or not node.has_batch_in_front
        require(not within or node.axes is not None, "matrices without a batch in front")
        op = bound_op("matmul")
        return [OnnxTranslation((op,), (0, 1), is_batched=not within, has_batch_within=within)]
    matrix = node.weight(1)
    is_one = matrix.ndim <= len(node.x) and {*matrix.shape[:-2]} <= {1}
    require(matrix.ndim > 1 and is_one, "a second factor that is no matrix")
    matrix = matrix.reshape(-1, matrix.shape[-1])
    within = not node.has_batch_in_front
    axis = -1 if len(node.x) - (not within) > 2 else None
    op = bound_op("linear", out=matrix.shape[1], bias=False, axis=axis)
    params = {"weight": matrix.T}
    return [OnnxTranslation((op,), params=params, is_batched=not within, has_batch_within=within)]


def _batch_norm(node: OnnxNode) -> list[OnnxTranslation]:
    require(not node.attributes.get("training_mode"), "training mode")
    names = ("weight", "bias", "running_mean", "running_var")
    before = node.attributes.get("momentum", 0.9)  # ONNX's is the share of the statistics before
    op = bound_op("bn", eps=node.attributes.get("epsilon", 1e-5), momentum=round(1 - before, 9))
    params = {name: node.weight(position) for position, name in enumerate(names, 1)}
    return [OnnxTranslation((op,), params=params, is_batched=True)]


def _layer_norm(node: OnnxNode) -> list[OnnxTranslation]:
    is_batched = node.axes is not None  # and then the axes are in our order
    first = node.attributes.get("axis", -1) % len(node.x) - is_batched
    require(first >= 0, "an axis that is the batch's")
    axes = tuple(range(first, len(node.x) - is_batched))
    bias, eps = node.constant(2), node.attributes.get("epsilon", 1e-5)
    if bias is None and np.all(node.weight(1) == 1):
        return [
            OnnxTranslation(
                (bound_op("layer_norm", axis=axes, eps=eps, affine=False),), is_batched=is_batched
            )
        ]
    op = bound_op("layer_norm", axis=axes, eps=eps)
    require(bias is not None, "no bias, which ours has wherever it has a weight")
    params = {"weight": node.weight(1), "bias": node.weight(2)}
    return [OnnxTranslation((op,), params=params, is_batched=is_batched)]


def _group_norm(node: OnnxNode) -> list[OnnxTranslation]:
    """Before version 21 there was one weight and one bias for each group."""
    groups, eps = node.attributes["num_groups"], node.attributes.get("epsilon", 1e-5)
    params = {"weight": node.weight(1), "bias": node.weight(2)}
    if node.opset < 21:
        params = {name: np.repeat(array, node.x[1] // groups) for name, array in params.items()}
    return [_normed("group_norm", params, groups=groups, eps=eps)]


def _instance_norm(node: OnnxNode) -> list[OnnxTranslation]:
    params = {"weight": node.weight(1), "bias": node.weight(2)}
    return [_normed("instance_norm", params, eps=node.attributes.get("epsilon", 1e-5))]


def _normed(kind: str, params: Mapping[str, Any], **attributes: Any) -> OnnxTranslation:
    """A norm, without weight and bias where they change nothing."""
    affine = bool(np.any(params["weight"] != 1) or np.any(params["bias"]))
    op = bound_op(kind, affine=affine, **attributes)
    return OnnxTranslation((op,), params=params if affine else {}, is_batched=True)


def _lrn(node: OnnxNode) -> list[OnnxTranslation]:
    names = {"size": "size", "alpha": "alpha", "beta": "beta", "k": "bias"}
    given = {ours: node.attributes[name] for ours, name in names.items() if name in node.attributes}
    return [OnnxTranslation((bound_op("lrn", **given),), is_batched=True)]


def _softmax(kind: str) -> Translate:
    """A softmax along one axis, the last unless the node says another."""

    def translate(node: OnnxNode) -> list[OnnxTranslation]:
        axis = node.attributes.get("axis", -1 if node.opset >= 13 else 1)
        rest = node.x[axis % len(node.x) + 1 :]
        require(node.opset >= 13 or {*rest} <= {1}, "a softmax over several axes together")
        return [OnnxTranslation((bound_op(kind, axis=node.axis(axis)),))]

    return translate


def _linear_written(use: OnnxUse) -> str:
    """`Gemm` takes matrices alone; other values go through a product along their last axis."""
    weight, *bias = use.own
    if use.rank == 2:
        return use.node("Gemm", use.x, weight, *bias, transB=1)
    axis = use.op.feature_axis(use.types[0]) + 1
    order = [*(a for a in range(use.rank) if a != axis), axis]
    y = use.node("MatMul", use.transposed(use.x, order), use.transposed(weight, (1, 0)))
    y = use.node("Add", y, *bias) if bias else y
    return use.transposed(y, _back(order))


def _rms_norm_written(use: OnnxUse) -> str:
    squares = use.node("ReduceMean", use.node("Mul", use.x, use.x), use.whole("axis", [use.axis]), keepdims=1)
    root = use.node("Sqrt", use.node("Add", squares, use.numbers("eps", use.op.eps)))
    y = use.node("Div", use.x, root)
    return use.node("Mul", y, *_along_axis(use)) if use.own else y


def _along_axis(use: OnnxUse) -> list[str]:
    """The parameters in the shape that values along the op's axis have."""
    shape = [-1 if axis == use.axis else 1 for axis in range(use.rank)]
    return [use.shaped(array, shape, batch=None) for array in use.own]


def _l2_normalize_written(use: OnnxUse) -> str:
    return _unit(use, use.x, use.axis, use.op.eps)


def _unit(use: OnnxUse, x: str, axis: int, eps: float) -> str:
    """`x` over its norm along an axis."""
    norm = use.node("ReduceL2", x, use.whole("axis", [axis]), keepdims=1)
    return use.node("Div", x, use.node("Max", norm, use.numbers("eps", eps)))


def _attention_written(use: OnnxUse) -> str:
    """Nodes of two linear layers and of what is between them."""
    op, shape = use.op, use.types[0].shape
    names = ATTENTION_NAMES[op.names]
    q, k, v = _heads(use, _product(use, use.x, names[0], use.params.get(names[1])), shape)
    scale = use.numbers("share", (shape[-1] // op.heads) ** -0.5)
    logits = use.node("Mul", _logits(use, q, k, shape), scale)
    return _product(use, _mixed(use, logits, v, shape), names[2], use.params.get(names[3]))


def _product(use: OnnxUse, x: str, weight: str, bias: str | None) -> str:
    """The product of the last axis with a matrix, plus a bias if there is one."""
    y = use.node("MatMul", x, use.transposed(use.params[weight], (1, 0)))
    return use.node("Add", y, bias) if bias else y


def _heads(use: OnnxUse, qkv: str, shape: Sequence[int]) -> list[str]:
    """Queries, keys and values of tokens of that shape, which lie side by side. Heads are an axis in front of
    the tokens."""
    axes, parts = len(shape), []
    for number, word in enumerate(("queries", "keys", "values")):
        start, end = (use.whole(word, [(number + past) * shape[-1]]) for past in (0, 1))
        part = use.node("Slice", qkv, start, end, use.whole("features", [axes]))
        heads = use.shaped(part, (*shape[:-1], use.op.heads, shape[-1] // use.op.heads))
        parts.append(use.transposed(heads, _tokens_and_heads(axes)))
    return parts


def _tokens_and_heads(axes: int) -> list[int]:
    """The order that exchanges the axes of tokens and heads, of tokens of that many axes."""
    return [*range(axes - 1), axes, axes - 1, axes + 1]


def _logits(use: OnnxUse, q: str, k: str, shape: Sequence[int]) -> str:
    axes = len(shape)
    return use.node("MatMul", q, use.transposed(k, [*range(axes), axes + 1, axes]))


def _mixed(use: OnnxUse, logits: str, v: str, shape: Sequence[int]) -> str:
    """The values that each token takes of others, its heads side by side again."""
    axes = len(shape)
    mixed = use.node("MatMul", use.node("Softmax", logits, axis=axes + 1), v)
    return use.shaped(use.transposed(mixed, _tokens_and_heads(axes)), shape)


def _window_attention_written(use: OnnxUse) -> str:
    """Tokens are gathered from the map into windows, and from these into the map."""
    op, (x,) = use.op, use.types
    places, features = op.places(x), x.shape[-1]
    positions, shape = len(places.back), (*places.tokens.shape, features)
    first, last = WINDOW_NAMES[op.names]
    rows = use.shaped(use.x, (positions, features))
    if positions in places.tokens:
        rows = use.node("Pad", rows, use.whole("sides", [0, 0, 0, 0, 1, 0]))
    windows = use.node("Gather", rows, use.whole("tokens", places.tokens), axis=1)
    bias = use.params.get(f"{first}.bias")
    if bias and op.cosine:
        bias = use.node("Mul", bias, use.numbers("added", np.repeat([1, 0, 1], features)))
    q, k, v = _heads(use, _product(use, windows, f"{first}.weight", bias), shape)
    if op.cosine:
        q, k = (_unit(use, part, len(shape) + 1, 1e-12) for part in (q, k))
        largest = use.node("Min", use.params["logit_scale"], use.numbers("largest", LARGEST_SCALE))
        scale = use.node("Exp", largest)
    else:
        scale = use.numbers("share", (features // op.heads) ** -0.5 if op.scale is None else op.scale)
    logits = use.node("Mul", _logits(use, q, k, shape), scale)
    biases = use.node("Gather", _biases(use), use.whole("index", op.index(x)), axis=0)
    logits = use.node("Add", logits, use.transposed(biases, (2, 0, 1)))
    apart = op.apart(x)
    if apart is not None:
        logits = use.node("Add", logits, use.numbers("apart", apart))
    tokens = use.shaped(_mixed(use, logits, v, shape), (places.tokens.size, features))
    rows = use.node("Gather", tokens, use.whole("back", places.back), axis=1)
    return use.shaped(_product(use, rows, f"{last}.weight", use.params.get(f"{last}.bias")), x.shape)


def _biases(use: OnnxUse) -> str:
    """The bias of each head for each difference of two positions."""
    if not use.op.cosine:
        return use.params["relative_position_bias_table"]
    coordinates = use.params["relative_coords_table"]
    coordinates = use.shaped(coordinates, (-1, len(use.op.window_size)), batch=None)
    first, bias, second = ("cpb_mlp.0.weight", use.params["cpb_mlp.0.bias"], "cpb_mlp.2.weight")
    hidden = use.node("Relu", _product(use, coordinates, first, bias))
    shares = use.node("Sigmoid", _product(use, hidden, second, None))
    return use.node("Mul", shares, use.numbers("most", LARGEST_BIAS))


def _matmul_written(use: OnnxUse) -> str:
    turned = [*range(use.rank - 2), use.rank - 1, use.rank - 2]
    flags = (use.op.transpose_first, use.op.transpose_second)
    factors = (use.transposed(x, turned) if flag else x for x, flag in zip(use.inputs, flags, strict=True))
    return use.node("MatMul", *factors)


def _back(order: Sequence[int]) -> list[int]:
    """The order of axes that undoes another."""
    return [order.index(axis) for axis in range(len(order))]


def _batch_norm_written(use: OnnxUse) -> str:
    op, channels = use.op, use.types[0].channels
    weight = use.params.get("weight") or use.numbers("weight", np.ones(channels))
    bias = use.params.get("bias") or use.numbers("bias", np.zeros(channels))
    running = [use.params[name] for name in ("running_mean", "running_var")]
    # ONNX's momentum is the share of the statistics before.
    return use.node(
        "BatchNormalization", use.x, weight, bias, *running, epsilon=op.eps, momentum=1 - op.momentum
    )


def _group_norm_written(use: OnnxUse) -> str:
    op, channels = use.op, use.types[0].channels
    affine = use.own or (use.numbers("weight", np.ones(channels)), use.numbers("bias", np.zeros(channels)))
    if op.kind == "instance_norm":
        return use.node("InstanceNormalization", use.x, *affine, epsilon=op.eps)
    return use.node("GroupNormalization", use.x, *affine, epsilon=op.eps, num_groups=op.groups)


def _layer_norm_written(use: OnnxUse) -> str:
    """ONNX normalises the last axes, to which the others are brought."""
    axes = [axis + 1 for axis in use.op.axes(use.types[0])]
    order = [*(a for a in range(use.rank) if a not in axes), *axes]
    extents = [use.types[0].shape[axis - 1] for axis in axes]
    affine = use.own or (use.numbers("weight", np.ones(extents)),)
    x = use.transposed(use.x, order)
    y = use.node("LayerNormalization", x, *affine, axis=-len(axes), epsilon=use.op.eps)
    return use.transposed(y, _back(order))


def _response_norm_written(use: OnnxUse) -> str:
    """x + (x * norms / (mean of norms + eps) * weight + bias)."""
    spatial = [axis for axis in range(1, use.rank) if axis != use.axis]
    weight, bias = _along_axis(use)
    norms = use.node("ReduceL2", use.x, use.whole("map", spatial), keepdims=1)
    mean = use.node("ReduceMean", norms, use.whole("channels", [use.axis]), keepdims=1)
    response = use.node("Div", norms, use.node("Add", mean, use.numbers("eps", use.op.eps)))
    scaled = use.node("Mul", use.node("Mul", use.x, response), weight)
    return use.node("Add", use.x, use.node("Add", scaled, bias))


def _lrn_written(use: OnnxUse) -> str:
    """ONNX's even window has its odd channel after, and onnxruntime takes images alone: other squares are
    summed by a convolution with ones."""
    op, channels, spatial = use.op, use.types[0].channels, use.rank - 2
    if op.size % 2 and spatial == 2:
        return use.node("LRN", use.x, size=op.size, alpha=op.alpha, beta=op.beta, bias=op.k)
    places = np.arange(channels)
    offsets = places[None] - places[:, None]  # of the channel that is read, from the one that is made
    near = (-(op.size // 2) <= offsets) & (offsets <= (op.size - 1) // 2)
    ones = use.numbers("window", near.reshape(channels, channels, *(1,) * spatial))
    sums = use.node("Conv", use.node("Mul", use.x, use.x), ones)
    weighed = use.node("Mul", sums, use.numbers("share", op.alpha / op.size))
    divisor = use.node("Add", weighed, use.numbers("k", op.k))
    return use.node("Div", use.x, use.node("Pow", divisor, use.numbers("beta", op.beta)))


def _softmax_written(onnx_op: str) -> Write:
    return lambda use: use.node(onnx_op, use.x, axis=use.axis)


READ: Mapping[str, OnnxOp] = {
    "BatchNormalization": OnnxOp("bn", _batch_norm),
    "Gemm": OnnxOp("linear", _gemm),
    "GroupNormalization": OnnxOp("group_norm", _group_norm),
    "InstanceNormalization": OnnxOp("instance_norm", _instance_norm),
    "LRN": OnnxOp("lrn", _lrn),
    "LayerNormalization": OnnxOp("layer_norm", _layer_norm),
    "LogSoftmax": OnnxOp("log_softmax", _softmax("log_softmax")),
    "MatMul": OnnxOp("linear", _matmul),
    "Softmax": OnnxOp("softmax", _softmax("softmax")),
}

WRITTEN: Mapping[str, Write] = {
    "attention": _attention_written,
    "bn": _batch_norm_written,
    "global_response_norm": _response_norm_written,
    "group_norm": _group_norm_written,
    "instance_norm": _group_norm_written,
    "l2_normalize": _l2_normalize_written,
    "layer_norm": _layer_norm_written,
    "linear": _linear_written,
    "log_softmax": _softmax_written("LogSoftmax"),
    "lrn": _lrn_written,
    "matmul": _matmul_written,
    "rms_norm": _rms_norm_written,
    "softmax": _softmax_written("Softmax"),
    "window_attention": _window_attention_written,
}
