"""Networks of one kernel of any geometry."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from archforge.ir import Node, TypedGraph
from tests.graphs import graph, node

__all__ = [
    "TOLERANCE",
    "WINOGRAD_TOLERANCE",
    "attentions",
    "convolutions",
    "pools",
    "tiled",
    "transposed",
    "with_epilogue",
]

TOLERANCE = 1e-5  # of the reference in float64, for values of about 1: some hundred roundings of float32
WINOGRAD_TOLERANCE = 1e-4  # its transforms subtract what they then sum

sides = st.integers(0, 3)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[TypedGraph, int]:
    """A convolution of any geometry, with or without a sum and an activation behind it, and a batch."""
    groups = draw(st.sampled_from([1, 1, 2, 3, 5, 16, 20]))
    channels = groups * draw(st.sampled_from([1, 2, 3, 7, 8, 16, 17, 24, 33] if groups < 6 else [1, 1, 2, 4]))
    out = groups * draw(st.sampled_from([1, 3, 8, 16, 24, 37] if groups < 6 else [1, 1, 2, 3]))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(st.tuples(sides, sides), st.tuples(sides, sides)))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [draw(st.integers(max(1, r - sum(p)), 13)) for r, p in zip(reach, padding, strict=True)]
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    conv = node(
        "conv",
        "conv",
        "input",
        out=out,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
    )
    return with_epilogue(draw, conv, (channels, *size)), draw(st.integers(1, 3))


@st.composite
def attentions(draw: st.DrawFn) -> tuple[TypedGraph, int]:
    """Attention of tokens, or within windows of a map, with or without what follows, and a batch."""
    heads, width = draw(st.integers(1, 3)), draw(st.sampled_from([1, 3, 4, 8, 15, 16, 17, 32, 40]))
    attributes: dict[str, Any] = {"heads": heads, "bias": draw(st.booleans())}
    if draw(st.booleans()):
        tokens = (*draw(st.sampled_from([(), (2,)])), draw(st.sampled_from([1, 2, 15, 16, 17, 33, 130])))
        layer = node("layer", "attention", "input", **attributes)
        return with_epilogue(draw, layer, (*tokens, heads * width)), draw(st.integers(1, 2))
    axes = draw(st.integers(1, 2))
    window = draw(st.tuples(*[st.integers(2, 5)] * axes))
    attributes["window_size"] = window
    if draw(st.booleans()):
        attributes["grid"] = True
        size = tuple(w * draw(st.integers(1, 3)) for w in window)
    else:
        attributes["shift_size"] = tuple(draw(st.integers(0, w - 1)) for w in window)
        attributes["shrink"] = draw(st.booleans())
        size = tuple(draw(st.integers(1, 11)) for _ in window)
    attributes |= draw(st.sampled_from([dict[str, Any](), {"cosine": True}, {"scale": 0.3}]))
    layer = node("layer", "window_attention", "input", **attributes)
    return with_epilogue(draw, layer, (*size, heads * width)), draw(st.integers(1, 2))


def with_epilogue(draw: st.DrawFn, first: Node, shape: tuple[int, ...]) -> TypedGraph:
    """The node, then perhaps a sum with a second input, then perhaps an activation."""
    inputs = {"input": shape}
    nodes = [first]
    if draw(st.booleans()):
        inputs["other"] = graph(first, inputs=inputs).types[first.name].shape
        nodes.append(node("add", "add", first.name, "other"))
    activation = draw(st.sampled_from(["", "relu", "relu6", "hard_swish", "silu"]))
    if activation:
        nodes.append(node("act", activation, nodes[-1].name))
    return graph(*nodes, inputs=inputs)


@st.composite
def pools(draw: st.DrawFn) -> tuple[TypedGraph, int]:
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    attributes: dict[str, Any] = {
        "kernel": kernel,
        "stride": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "padding": tuple((draw(st.integers(0, k // 2)), draw(st.integers(0, k // 2))) for k in kernel),
        "ceil": draw(st.booleans()),
    }
    kind = draw(st.sampled_from(["max_pool", "avg_pool"]))
    if kind == "avg_pool":
        attributes["count_include_pad"] = draw(st.booleans())
    shape = (draw(st.sampled_from([1, 5, 16, 18])), *(k + draw(st.integers(0, 9)) for k in kernel))
    return graph(node("pool", kind, "input", **attributes), inputs={"input": shape}), draw(st.integers(1, 3))


@st.composite
def transposed(draw: st.DrawFn) -> tuple[TypedGraph, int]:
    """A transposed convolution of any geometry, gaps between its kernels included."""
    groups = draw(st.sampled_from([1, 1, 2, 5]))
    channels = groups * draw(st.sampled_from([1, 3, 16, 17]))
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    size, kernel, stride, dilation = (draw(pair) for _ in range(4))
    full = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(size, stride, dilation, kernel, strict=True)]
    up = node(
        "up",
        "conv_transpose",
        "input",
        out=groups * draw(st.sampled_from([1, 4, 16, 18])),
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        padding=tuple((draw(st.integers(0, (n - 1) // 2)), draw(st.integers(0, n // 2))) for n in full),
        output_padding=tuple(
            draw(st.integers(0, max(both) - 1)) for both in zip(stride, dilation, strict=True)
        ),
        groups=groups,
        bias=draw(st.booleans()),
    )
    return with_epilogue(draw, up, (channels, *size)), draw(st.integers(1, 3))


@st.composite
def tiled(draw: st.DrawFn) -> tuple[TypedGraph, int]:
    """Convolutions of stride 1 whose maps are no multiple of a tile."""
    kernel = draw(st.sampled_from([(3, 3), (3, 3), (1, 7), (7, 1), (3, 1), (1, 2), (5, 5), (4, 2), (6, 1)]))
    size = [draw(st.integers(k, 19)) for k in kernel]
    padding = tuple((draw(st.integers(0, k // 2)), draw(st.integers(0, k - 1))) for k in kernel)
    out = draw(st.sampled_from([1, 16, 40]))
    conv = node("conv", "conv", "input", out=out, kernel=kernel, padding=padding)
    return with_epilogue(draw, conv, (draw(st.sampled_from([9, 16, 35])), *size)), draw(st.integers(1, 3))
