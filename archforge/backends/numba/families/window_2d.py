"""Windows over maps of two axes; a map of one axis is a single row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from archforge.ir import TensorType
from archforge.ops.window import Window

__all__ = ["Window2d"]


@dataclass(frozen=True, slots=True)
class Window2d:
    """A window over a map and the sizes of both, as (height, width) in pixels. `before` is the padding above
    and to the left, `reach` the size of the kernel with its dilation."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]
    reach: tuple[int, int]
    source: tuple[int, int]
    output: tuple[int, int]

    @classmethod
    def of(cls, window: Window, x: TensorType) -> Window2d | None:
        """The window over a map of one or two axes; None for three."""
        lacking = 2 - len(window.kernel)
        if lacking not in (0, 1):
            return None

        def pair(values: Iterable[int], default: int) -> tuple[int, int]:
            first, second = (*(default,) * lacking, *values)
            return first, second

        return cls(
            kernel=pair(window.kernel, 1),
            stride=pair(window.stride, 1),
            dilation=pair(window.dilation, 1),
            before=pair((before for before, _ in window.padding), 0),
            reach=pair(window.reach, 1),
            source=pair(x.spatial, 1),
            output=pair(window.output, 1),
        )

    @classmethod
    def of_one_pixel(cls, pixels: int) -> Window2d:
        """A kernel of one place over a single row of so many pixels."""
        one, row = (1, 1), (1, pixels)
        return cls(kernel=one, stride=one, dilation=one, before=(0, 0), reach=one, source=row, output=row)

    @property
    def overhangs(self) -> bool:
        """True if a window reads anything outside its source."""
        ends = zip(self.output, self.stride, self.reach, self.before, self.source, strict=True)
        return any(self.before) or any((o - 1) * s + r - b > n for o, s, r, b, n in ends)

    @property
    def is_pointwise(self) -> bool:
        """True if each pixel of the output is made of the same pixel of the source."""
        return self.kernel == (1, 1) and self.stride == (1, 1) and self.source == self.output

    def fields(self) -> dict[str, int]:
        """The fields of a record for the window, on the way back through it."""
        return {
            "rows": self.kernel[0],
            "columns": self.kernel[1],
            "stride_y": self.stride[0],
            "stride_x": self.stride[1],
            "dilation_y": self.dilation[0],
            "dilation_x": self.dilation[1],
            "pad_y": self.before[0],
            "pad_x": self.before[1],
            "source_height": self.source[0],
            "source_width": self.source[1],
            "height": self.output[0],
            "width": self.output[1],
        }
