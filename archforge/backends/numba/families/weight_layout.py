"""The layout of packed weights of a convolution that mixes channels: the order in which its tiles read them.

Weights lie panel by panel of B blocks of output channels, [panel][plane][row][column][lane in][B][lane out].
A plane is a block of input channels. Where there are few channels (`thin`), it is one of them, so that the
first layer of a network multiplies no zeros. Of the first and the last plane a panel has those lanes alone
that its groups read, in whole `MOST_UNROLLED` words. A word is a float, or the bfloat16 of two lanes in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np

from archforge.backends.numba.families.channel_blocks import blocks_of, lanes_of
from archforge.backends.numba.runtime.tape import ALIGNMENT, Params
from archforge.backends.numba.runtime.weight_memory import in_large_pages
from archforge.backends.numba.toolchain.machine import FLOAT, machine
from archforge.data.memory_map import forget
from archforge.data.stored_arrays import narrowed
from archforge.ir import TensorType
from archforge.ops.base import Array
from archforge.ops.conv import Conv

__all__ = ["MOST_UNROLLED", "PanelKind", "WeightLayout", "WeightPanel"]

MOST_UNROLLED = 4  # words of a run that a tile unrolls, which divide the lanes of every width


class PanelKind(NamedTuple):
    """Panels of so many blocks that pass over equal planes alike: all but the first channels of the first
    one, as many as `skipped`, and `depth` channels in all."""

    blocks: int
    skipped: int
    depth: int


@dataclass(frozen=True, slots=True)
class WeightPanel:
    """The blocks of output channels that a tile computes at once, and the input channels that it reads: those
    of the groups that have a channel in these blocks. All numbers count from the map's first channel on."""

    block: int
    blocks: int
    first: int
    depth: int
    # The planes of the combined group that it belongs to.
    plane: int
    planes: int

    def kind(self, plane_channels: int) -> PanelKind:
        """The kind of the panel where planes have so many channels."""
        return PanelKind(self.blocks, self.first % plane_channels, self.depth)


@dataclass(frozen=True, slots=True)
class WeightLayout:
    """The layout of a convolution's weights. Groups too narrow for whole blocks are combined until they fill
    some; the last groups may be fewer."""

    groups: int
    inputs: int  # channels of all groups
    outputs: int
    combined: int  # groups side by side that fill whole blocks
    panel_blocks: int
    thin: bool
    bfloat16: bool = False

    @classmethod
    def of(cls, op: Conv, x: TensorType, pixels: int, *, bfloat16: bool = False) -> WeightLayout:
        """The layout for a convolution over `x`, whose tiles have at most so many pixels."""
        lanes, groups = machine().lanes, op.groups
        inputs, outputs = x.channels // groups, op.out // groups
        combined = min(groups, lanes // math.gcd(inputs, outputs, lanes))
        thin = groups == 1 and x.channels <= lanes // 2
        bfloat16 = bfloat16 and not thin
        if combined == 1:
            most = min(4 if pixels < 5 else 2, blocks_of(outputs))
            return cls(groups, x.channels, op.out, 1, most, thin, bfloat16)
        layout = cls(groups, x.channels, op.out, combined, 2, thin, bfloat16)
        return replace(layout, panel_blocks=max(panel.blocks for panel in layout.panels))

    @classmethod
    def of_products(cls, inputs: int, outputs: int) -> WeightLayout:
        """The layout for many products of vectors with one matrix, as those of a linear layer or of each of
        Winograd's frequencies: panels of two blocks, so that the vectors make one tile, and weights are read
        once."""
        return cls(1, inputs, outputs, 1, min(2, blocks_of(outputs)), thin=False)

    @classmethod
    def of_channels(cls, channels: int, panel_blocks: int = 1) -> WeightLayout:
        """The layout for one number of each channel at each place of a kernel: [panel][place][B][lane]."""
        return cls(1, 1, channels, 1, panel_blocks, thin=True)

    @property
    def panels(self) -> tuple[WeightPanel, ...]:
        """The panels of all groups, in order."""
        return _panels(self)

    @property
    def plane_channels(self) -> int:
        """Input channels of a plane."""
        return 1 if self.thin else machine().lanes

    @property
    def blocks(self) -> int:
        """Blocks of output channels."""
        return blocks_of(self.outputs)

    @property
    def floats(self) -> int:
        """Packed weights for one place of the kernel: multiply-adds of a pixel."""
        return sum(panel.blocks * panel.depth for panel in self.panels) * machine().lanes

    @property
    def word_channels(self) -> int:
        """Input channels whose numbers share a word of 32 bits."""
        return 2 if self.bfloat16 else 1

    def places_of_panels(self, kernel: int) -> list[int]:
        """Bytes from the first panel's weights to those of each panel, for a kernel of so many places; last
        those of all."""
        ends = [0]
        for panel in self.panels:
            words = panel.blocks * panel.depth // self.word_channels * kernel
            ends.append(ends[-1] + words * machine().vector)
        return ends

    def pack(self, params: Params) -> Params:
        """`weight` and `bias` as tiles read them."""
        weight, lanes = params["weight"], machine().lanes
        begins = [place // FLOAT for place in self.places_of_panels(math.prod(weight.shape[2:]))]
        packed = in_large_pages((begins[-1],))
        for panel, (begin, end) in zip(self.panels, pairwise(begins), strict=True):
            rows = weight[panel.block * lanes : (panel.block + panel.blocks) * lanes]
            if self.bfloat16:
                self._pack_pairs(packed[begin:end], panel, rows)
            else:
                self.pack_panel(packed[begin:end], panel, rows)
            forget(rows)
        return {"weight": packed, "bias": self.pack_bias(params.get("bias"))}

    def pack_panel(self, into: Array, panel: WeightPanel, rows: Array) -> None:
        """Write a panel from its rows[channels out, channels in of a group, *kernel]."""
        kernel = math.prod(rows.shape[2:])
        dense, begin = self._dense(panel, rows.reshape(*rows.shape[:2], kernel)), 0
        for planes, channels in self._cut(panel, kernel):
            end = begin + planes * channels
            part = dense[:, :, begin:end].reshape(*dense.shape[:2], planes, channels, kernel)
            axes = (2, 4, 3, 0, 1)
            into[: part.size].reshape([part.shape[i] for i in axes])[...] = part.transpose(axes)
            into, begin = into[part.size :], end

    def _pack_pairs(self, into: Array, panel: WeightPanel, rows: Array) -> None:
        """Write a panel in bfloat16: words of two lanes in, [word][B][lane out]."""
        floats = np.empty(
            (len(into) // (panel.blocks * machine().lanes), 2, panel.blocks, machine().lanes), np.float32
        )
        self.pack_panel(floats.reshape(-1), panel, rows)
        words = into.view(np.uint16).reshape(len(floats), panel.blocks, machine().lanes, 2)
        words[...] = np.moveaxis(narrowed(floats), 1, -1)

    def _cut(self, panel: WeightPanel, kernel: int) -> list[tuple[int, int]]:
        """A panel's channels in as they lie in planes: (planes, channels of each), with a part of the first
        and of the last. Those of a pointwise kernel lie as in one plane."""
        if kernel == 1:
            return [(1, panel.depth)]
        whole = self.plane_channels
        head = min(-panel.first % whole, panel.depth)
        body, tail = divmod(panel.depth - head, whole)
        return [
            (planes, channels)
            for planes, channels in ((1, head), (body, whole), (1, tail))
            if planes * channels
        ]

    def pack_bias(self, given: Array | None) -> Array:
        """float32[channels in whole blocks], zeros without a bias."""
        return lanes_of(np.zeros(self.outputs, np.float32) if given is None else given)

    def _dense(self, panel: WeightPanel, rows: Array) -> Array:
        """float32[B, lane out, depth, kernel] of a panel, from rows[channels out, channels in of a group,
        kernel]; zeros for channels that are not there or of another group."""
        inputs, outputs = self.inputs // self.groups, self.outputs // self.groups
        size = panel.depth * rows.shape[2]
        # Rows an odd number of cache lines apart: at a power of 2 all would share few sets of the L1 cache.
        apart = (-(-size * FLOAT // ALIGNMENT) | 1) * ALIGNMENT // FLOAT
        whole = np.zeros((panel.blocks * machine().lanes, apart), np.float32)[:, :size]
        dense = whole.reshape(len(whole), panel.depth, -1)
        begin = panel.block * machine().lanes
        end = begin + len(rows)
        for group in range(begin // outputs, -(-end // outputs)):
            part = slice(max(group * outputs, begin) - begin, min((group + 1) * outputs, end) - begin)
            first = group * inputs - panel.first
            dense[part, first : first + inputs] = rows[part]
        return dense.reshape(panel.blocks, machine().lanes, *dense.shape[1:])


@cache
def _panels(layout: WeightLayout) -> tuple[WeightPanel, ...]:
    """The panels of a layout. Blocks that read the same groups share one, up to as many as a panel has."""
    lanes, made = machine().lanes, list[WeightPanel]()
    inputs, outputs = layout.inputs // layout.groups, layout.outputs // layout.groups
    unit = 1 if layout.thin else MOST_UNROLLED * layout.word_channels

    def groups_of(block: int) -> tuple[int, int]:
        """The first group with a channel in a block, and the one behind the last."""
        return block * lanes // outputs, -(-min((block + 1) * lanes, layout.outputs) // outputs)

    for (begin, end), same in groupby(range(layout.blocks), groups_of):
        blocks = [*same]
        start = begin // layout.combined * layout.combined * inputs
        stop = min(start + layout.combined * inputs, layout.inputs)
        first = begin * inputs // unit * unit
        depth = -(-(end * inputs - first) // unit) * unit
        plane, planes = (0, layout.inputs) if layout.thin else (start // lanes, blocks_of(stop - start))
        for i in range(0, len(blocks), layout.panel_blocks):
            some = min(layout.panel_blocks, len(blocks) - i)
            made.append(WeightPanel(blocks[i], some, first, depth, plane, planes))
    return tuple(made)
