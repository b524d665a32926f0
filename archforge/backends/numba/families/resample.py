"""Weighted means of neighbouring pixels that differ from place to place: interpolation, and average
pools whose windows are not all of one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from archforge.backends.numba.families import moves
from archforge.backends.numba.runtime.records import RESAMPLE
from archforge.backends.numba.runtime.tape import Params, TapeValue, aligned
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import machine
from archforge.ir import TensorType
from archforge.ops.adaptive_pool import AdaptiveAvgPool, windows
from archforge.ops.base import Op, per_axis
from archforge.ops.interpolation import TAPS
from archforge.plan import Kernel

if TYPE_CHECKING:
    from archforge.ops.resize import Resize
    from archforge.ops.upsample import Upsample

__all__ = ["adaptive_avg_pool", "resize", "upsample"]

RESAMPLING = UnitRecipe("resample", "resample")


@dataclass(frozen=True, slots=True)
class AxisShares:
    """Means along an axis: output i is the sum of the inputs from `begins[i]` on, times `shares[i]`."""

    begins: Sequence[int]
    shares: Sequence[Sequence[float]]

    def fields(self, name: str) -> dict[str, Any]:
        """The fields of RESAMPLE for this axis, whose names begin with `name`."""
        most = max(map(len, self.shares))
        begins, counts = (aligned((len(self.begins),), np.int64) for _ in range(2))
        shares = aligned((len(self.begins), most))
        begins[:] = self.begins
        for i, given in enumerate(self.shares):
            counts[i] = len(given)
            shares[i, : len(given)] = given
        fields = {"begins": begins, "counts": counts, "shares": shares, "most": most}
        return {f"{name}_{field}": value for field, value in fields.items()}


def resize(op: Resize, x: TensorType) -> Kernel | None:
    """A map of another size: from the nearest over any number of axes, by interpolation over one or two."""
    if TAPS[op.mode] == 1:
        return moves.nearest(op, x)
    if len(x.spatial) > 2:
        return None

    def axis(size: int, outputs: int) -> AxisShares:
        indices, shares = op.taps(size, outputs)
        begins = indices[0]
        joined = np.zeros((outputs, TAPS[op.mode]))  # taps outside fall on the element at the edge
        for index, share in zip(indices, shares, strict=True):
            joined[np.arange(outputs), index - begins] += share
        counts = indices[-1] - begins + 1
        return AxisShares(
            begins.tolist(), [each[:n].tolist() for each, n in zip(joined, counts, strict=True)]
        )

    sizes = zip(x.spatial, op.infer(x).spatial, strict=True)
    return _kernel(op, [axis(*both) for both in sizes])


def upsample(op: Upsample, x: TensorType) -> Kernel | None:
    """Upsampling, which is another size too."""
    return resize(op.resize(x), x)


def adaptive_avg_pool(op: AdaptiveAvgPool, x: TensorType) -> Kernel | None:
    """Means over parts of a map that may overlap and differ in size, over one or two axes."""
    if len(x.spatial) > 2:
        return None

    def axis(size: int, count: int) -> AxisShares:
        seen = windows(size, count)
        return AxisShares(
            [w.start for w in seen], [[1 / (w.stop - w.start)] * (w.stop - w.start) for w in seen]
        )

    sizes = per_axis(op.size, len(x.spatial), "size")
    return _kernel(op, [axis(*both) for both in zip(x.spatial, sizes, strict=True)])


def _kernel(op: Op, axes: Sequence[AxisShares]) -> Kernel:
    """A kernel for means along each of the axes; a single axis is that of the columns."""
    rows, columns = [AxisShares([0], [[1.0]]), *axes][-2:]

    def run(params: Params, x: TapeValue) -> TapeValue:
        x = x.blocked()
        out = x.tape.output(op.infer(TensorType(x.shape)).shape)
        vector = machine().vector
        fields = {
            "blocks": x.blocks,
            "height": out.map_size[0],
            "width": out.map_size[1],
            "source": x.place,
            "source_image": x.image,
            "source_plane": x.plane,
            "source_width": x.map_size[1],
            "out": out.place,
            "out_image": out.image,
            "out_plane": out.plane,
            **rows.fields("row"),
            **columns.fields("column"),
        }
        units = x.tape.batch * x.blocks * out.map_size[0]
        line = x.map_size[1] * vector  # and beside it the same in float64
        x.tape.call(RESAMPLING, RESAMPLE, fields, units, 3 * line)
        return out

    return Kernel(run)
