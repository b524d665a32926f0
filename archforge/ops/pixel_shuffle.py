"""Channels to blocks of pixels and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from archforge.ir import Reach, ShapeError, TensorType
from archforge.ops.base import Array, Backward, Example, Gradients, Op, Positive, require_rank

__all__ = ["PixelShuffle", "PixelUnshuffle"]

_ORDERS = Field(description="`channels_first` or `blocks_first`")


class _BlockMove(Op):
    """Pixel (i, j) of a block of channel c of C is channel c * factor^2 + i * factor + j of the smaller map,
    or (i * factor + j) * C + c for `blocks_first`.

    Attributes:
        factor: pixels of a block along height and along width
        order: which of the two indices that make up a channel of the smaller map counts the slower:
            `channels_first` as in torch and ONNX's CRD, `blocks_first` as in TensorFlow and ONNX's DCR
    """

    factor: Positive = 2
    order: Annotated[Literal["channels_first", "blocks_first"], _ORDERS] = "channels_first"


class PixelShuffle(_BlockMove):
    """A map `factor` times as high and wide, each block of its pixels from `factor`^2 channels of one pixel.

    x: float[N, C * factor^2, H, W] gives float[N, C, H * factor, W * factor]. Source: arXiv:1609.05158;
    torch.nn.PixelShuffle.
    """

    op = "pixel_shuffle"

    examples: ClassVar[tuple[Example, ...]] = (
        Example({}, ((8, 2, 3),)),
        Example({"factor": 3}, ((9, 2, 1),)),
        Example({"order": "blocks_first"}, ((12, 1, 2),), "as in TensorFlow"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (3,), "`pixel_shuffle`")
        if x.channels % self.factor**2:
            raise ShapeError(
                "the square of `factor` must divide the channels",
                "factor",
                label=f"{x.channels} % {self.factor**2} = {x.channels % self.factor**2}",
                code="E0404",
            )
        channels, (height, width) = x.channels // self.factor**2, x.spatial
        return TensorType((channels, height * self.factor, width * self.factor))

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return (Reach(None), *(Reach(1, 1, self.factor) for _ in range(2)))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return _spread(inputs[0], self)

    def gradient(self, back: Backward) -> Gradients:
        return Gradients((_gathered(back.dy, self),))


class PixelUnshuffle(_BlockMove):
    """A map of a `factor`th of the height and the width, each block of pixels as `factor`^2 channels.

    x: float[N, C, H * factor, W * factor] gives float[N, C * factor^2, H, W]; `pixel_shuffle` of the same
    attributes undoes it. Source: torch.nn.PixelUnshuffle.
    """

    op = "pixel_unshuffle"

    examples: ClassVar[tuple[Example, ...]] = (
        Example({}, ((2, 4, 6),)),
        Example({"factor": 3}, ((2, 3, 6),)),
        Example({"order": "blocks_first"}, ((3, 2, 4),), "as in TensorFlow"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_rank(x, (3,), "`pixel_unshuffle`")
        for n in x.spatial:
            if n % self.factor:
                raise ShapeError(
                    f"`factor` must divide height and width, found {x}",
                    "factor",
                    label=f"{n} % {self.factor} = {n % self.factor}",
                    mended_by="other",
                    code="E0404",
                )
        height, width = (n // self.factor for n in x.spatial)
        return TensorType((x.channels * self.factor**2, height, width))

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return (Reach(None), *(Reach(self.factor, self.factor) for _ in range(2)))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return _gathered(inputs[0], self)

    def gradient(self, back: Backward) -> Gradients:
        return Gradients((_spread(back.dy, self),))


def _spread(x: Array, op: _BlockMove) -> Array:
    """Blocks of pixels from channels, float[N, C / factor^2, H * factor, W * factor]."""
    images, channels, height, width = x.shape
    f = op.factor
    if op.order == "channels_first":
        split = x.reshape(images, -1, f, f, height, width)
    else:
        split = x.reshape(images, f, f, -1, height, width).transpose(0, 3, 1, 2, 4, 5)
    return split.transpose(0, 1, 4, 2, 5, 3).reshape(images, channels // f**2, height * f, width * f)


def _gathered(x: Array, op: _BlockMove) -> Array:
    """Channels from blocks of pixels, float[N, C * factor^2, H / factor, W / factor]."""
    images, channels, height, width = x.shape
    f = op.factor
    split = x.reshape(images, channels, height // f, f, width // f, f)
    order = (0, 1, 3, 5, 2, 4) if op.order == "channels_first" else (0, 3, 5, 1, 2, 4)
    return split.transpose(order).reshape(images, channels * f**2, height // f, width // f)
