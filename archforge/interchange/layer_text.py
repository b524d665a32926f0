"""Ops as text of a library of layers: what the tables of such libraries are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archforge.interchange.unsupported import Unsupported
from archforge.ir import Op, TensorType
from archforge.ops.window import Window
from archforge.ops.window_attention import WINDOW_NAMES

__all__ = [
    "APPLY",
    "LayerNode",
    "LayerText",
    "Writer",
    "activation",
    "attention",
    "conv_args",
    "free_extent",
    "is_even",
    "layer_text",
    "plain",
    "plain_sides",
    "stochastic_depth",
    "window_attention",
]

APPLY = "{self}({0})"


@dataclass(frozen=True, slots=True)
class LayerText:
    """The words for an op. With `owns`, `callee` and `args` construct the layer that owns its parameters, and
    `use` is its value, where `{self}` stands for the layer. Else they are the function that computes it, and
    `layer` is a class of layers that do the same, with the same arguments."""

    callee: str
    args: Mapping[str, Any] = field(default_factory=dict)
    owns: bool = False
    use: str = APPLY
    layer: str = ""


@dataclass(frozen=True, slots=True)
class LayerNode:
    """An op with the types of its inputs."""

    op: Any
    types: Sequence[TensorType]

    @property
    def axes(self) -> int:
        """The number of spatial axes of the first input."""
        return len(self.types[0].spatial)

    @property
    def window(self) -> Window:
        """The window of the op over its input."""
        window: Window = self.op.window(self.types[0])
        return window

    @property
    def padding(self) -> Any:
        """The elements before each spatial axis, which is all of the padding where the window is even."""
        return plain([before for before, _ in self.window.padding])

    @property
    def channels(self) -> int:
        return self.types[0].channels

    @property
    def rank(self) -> int:
        """The number of axes of the first input, the batch left out."""
        return len(self.types[0].shape)

    def dim(self, axis: int) -> int:
        """An axis of the first input by its number with the batch, which ours leave out."""
        return axis % self.rank + 1


Writer = Callable[[LayerNode], LayerText]


def layer_text(table: Mapping[str, Writer], op: Op, types: Sequence[TensorType]) -> LayerText:
    """The words of a table for an op with inputs of these types. Raises `Unsupported`."""
    if op.kind not in table:
        raise Unsupported(f"layer for `{op.kind}`")
    return table[op.kind](LayerNode(op, types))


def window_attention(node: LayerNode) -> LayerText:
    """A layer of a module's own, which has the same arguments in each library."""
    op, (x,) = node.op, node.types
    layer = "CosineWindowAttention" if op.cosine else "WindowAttention"
    args = {"features": x.shape[-1], "heads": op.heads, "window_size": op.window_size}
    args |= {"shift_size": shift} if any(shift := op.shift_of(x)) else {}
    args |= {"grid": op.grid, "shrink": op.shrink, "bias": op.bias, "flat": op.has_flat_index}
    if not op.cosine:
        args |= {"scale": op.scale, "names": WINDOW_NAMES[op.names]}
    return LayerText(layer, args, owns=True)


def activation(function: str, layer: str, *attributes: tuple[str, str]) -> Writer:
    """An activation; attributes: the names of each in the library and of ours."""

    def write(node: LayerNode) -> LayerText:
        args = {name: getattr(node.op, ours) for name, ours in attributes}
        return LayerText(function, args, layer=layer)

    return write


def attention(node: LayerNode) -> LayerText:
    """A layer whose parameters have the names of the library that the op says."""
    op = node.op
    layer = {"torch": "SelfAttention", "timm": "FusedAttention"}[op.names]
    args = {"features": node.types[0].shape[-1], "heads": op.heads, "bias": op.bias}
    return LayerText(layer, args, owns=True)


def stochastic_depth(node: LayerNode) -> LayerText:
    args = {"p": node.op.rate}
    return LayerText("stochastic_depth({0}, {p}, self.training)", args, layer="StochasticDepth")


def conv_args(node: LayerNode) -> dict[str, Any]:
    """The arguments of a convolution that pads both sides alike."""
    op, window = node.op, node.window
    return {
        "in_channels": node.channels,
        "out_channels": op.out,
        "kernel_size": plain(window.kernel),
        "stride": plain(window.stride),
        "padding": node.padding,
        "dilation": plain(window.dilation),
        "groups": op.groups,
        "bias": op.bias,
    }


def plain(values: Sequence[Any]) -> Any:
    """A value for each axis as libraries take it: one for all, where they are alike."""
    return values[0] if len({*values}) == 1 else tuple(values)


def plain_sides(sides: Sequence[tuple[int, int]]) -> int | tuple[tuple[int, int], ...]:
    """(before, after) for each axis, or one number where they are all alike."""
    numbers = {n for pair in sides for n in pair}
    return numbers.pop() if len(numbers) == 1 else tuple(sides)


def free_extent(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape with -1 for its largest extent."""
    largest = shape.index(max(shape))
    return (*shape[:largest], -1, *shape[largest + 1 :])


def is_even(window: Window) -> bool:
    """True if as much is padded before each axis as after it."""
    return all(before == after for before, after in window.padding)
