"""A value over a power of its mean square in neighbouring channels is an `lrn`.

Squares are summed by a pool along the channels, or by a convolution whose weights are equal within a band.
"""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.foreign import Power
from archforge.interchange.normalize.layer_norm import SQUARES, squared
from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.interchange.translation import number
from archforge.ir import Node
from archforge.ops.base import Array
from archforge.ops.conv import Conv
from archforge.ops.lazy_numpy import np
from archforge.ops.lrn import Lrn
from archforge.ops.pad import Pad
from archforge.ops.pool import AvgPool

__all__ = ["RULE"]

Mean = tuple[str, int, float]  # the value of the squares, how many channels, and the factor of their mean


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if node.op.kind != "divide" or len(node.inputs) != 2 or len(sight.type(node.name).shape) < 2:
        return None
    x, below = node.inputs
    power = _within(below, sight, Power.says)
    exponent = power.op.exponent if power and isinstance(power.op, Power) else 1.0
    sum_ = _within(power.inputs[0] if power else below, sight, "offset")
    product = _within(sum_.inputs[0], sight, "scale") if sum_ else None
    if sum_ is None or exponent <= 0:
        return None
    found = _mean(product.inputs[0] if product else sum_.inputs[0], sight)
    if found is None or squared(_within(found[0], sight, *SQUARES)) != x:
        return None
    _, size, factor = found
    alpha = number(factor * (product.op.attributes()["factor"] if product else 1.0))
    return Replacement(Lrn(size=size, alpha=alpha, beta=exponent, k=sum_.op.attributes()["number"]), (x,))


def _within(value: str, sight: Sight, *kinds: str) -> Node | None:
    """The node of one of `kinds` that alone makes a value, up to its shape."""
    shape = sight.only(value, "reshape")
    return sight.only(shape.inputs[0] if shape else value, *kinds)


def _mean(value: str, sight: Sight) -> Mean | None:
    node = _within(value, sight, "avg_pool", "conv")
    if node is None:
        return None
    return _by_pool(node, sight) if isinstance(node.op, AvgPool) else _by_conv(node, sight)


def _by_pool(pool: Node, sight: Sight) -> Mean | None:
    """A mean along the first axis of a map of one channel, in which zeros stand for what is outside."""
    assert isinstance(pool.op, AvgPool)
    before = _within(pool.inputs[0], sight, "pad")
    (x,) = sight.types(before or pool)
    window = pool.op.window(*sight.types(pool))
    sides = list(window.padding)
    if before is not None:
        if not isinstance(before.op, Pad) or before.op.value or before.op.mode != "constant":
            return None
        sides = [(a + c, b + d) for (a, b), (c, d) in zip(before.op.widths(x), sides, strict=True)]
    size, *others = window.kernel
    wanted = [(size // 2, (size - 1) // 2), *((0, 0) for _ in others)]
    padded = any(map(any, window.padding))
    if x.channels != 1 or {*others, *window.stride} != {1} or sides != wanted:
        return None
    if pool.op.ceil or (padded and not pool.op.count_include_pad):
        return None
    return (before or pool).inputs[0], size, 1.0


def _by_conv(conv: Node, sight: Sight) -> Mean | None:
    """A product of the channels with a matrix of one number in a band, and of zeros."""
    assert isinstance(conv.op, Conv)
    matrix = sight.params(conv)["weight"]
    channels = sight.type(conv.name).channels
    (x,) = sight.types(conv)
    is_product = conv.op.window(x).is_pointwise(x.spatial)
    if conv.op.bias or conv.op.groups != 1 or not is_product or matrix.shape[1] != channels:
        return None
    matrix = matrix.reshape(channels, channels)
    value = float(matrix[0, 0])
    for size in range(1, 2 * channels):
        if value > 0 and np.array_equal(matrix, value * _band(channels, size)):
            return conv.inputs[0], size, value * size
    return None


def _band(channels: int, size: int) -> Array:
    """Ones where a channel, by its column, is among the `size` around another, by its row."""
    places = np.arange(channels)
    offsets = places - places[:, None]
    return np.asarray((-(size // 2) <= offsets) & (offsets <= (size - 1) // 2), np.float32)


def _by_pools() -> Iterator[ForeignGraph]:
    for size, sides in ((5, (2, 2)), (2, (1, 0))):
        yield draft(
            step("squares", "multiply", "x", "x"),
            step("one", "reshape", "squares", shape=(1, 4, 6, 5)),
            step("zeros", "pad", "one", sides=(*sides, 0, 0, 0, 0)),
            step("mean", "avg_pool", "zeros", kernel=(size, 1, 1), stride=1),
            step("weighed", "scale", "mean", factor=0.5),
            step("more", "offset", "weighed", number=2.0),
            step("power", Power(exponent=0.75), "more"),
            step("map", "reshape", "power", shape=(4, 6, 5)),
            step("end", "divide", "x", "map"),
        )


def _examples() -> Iterator[ForeignGraph]:
    yield from _by_pools()
    made = draft(
        step("squares", Power(exponent=2), "x"),
        step("sums", "conv", "squares", out=4, bias=False),
        step("more", "offset", "sums", number=0.5),
        step("end", "divide", "x", "more"),
    )
    band = 0.5 * _band(4, 4).reshape(4, 4, 1, 1)
    yield ForeignGraph(made.graph, {**made.arrays, "sums.weight": band})


RULE = Rule("channel_response_norm", 0, _apply, _examples)
