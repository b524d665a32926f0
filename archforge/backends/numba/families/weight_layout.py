"""The layout of packed weights of a convolution that mixes channels: the order in which its tiles read them.

Weights lie panel by panel of B blocks of output channels, [panel][plane][row][column][lane in][B][lane out].
A plane is a block of input channels. Where there are few channels (`thin`), it is one of them, so that the
first layer of a network multiplies no zeros. The last plane of a pointwise kernel is not filled up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from archforge.backends.numba.families.channel_blocks import blocks_of
from archforge.backends.numba.runtime.tape import Params, aligned
from archforge.backends.numba.runtime.weight_memory import in_large_pages
from archforge.backends.numba.toolchain.machine import machine
from archforge.data.memory_map import forget
from archforge.ir import TensorType
from archforge.ops.base import Array
from archforge.ops.conv import Conv

__all__ = ["MOST_UNROLLED", "WeightLayout"]

MOST_UNROLLED = 4  # floats of a run that a tile unrolls, which divide the lanes of every width


@dataclass(frozen=True, slots=True)
class WeightLayout:
    """The layout of a convolution's weights. Groups too narrow for whole blocks are combined, with zeros
    between them, until they fill some."""

    groups: int
    inputs: int  # channels of a combined group
    outputs: int
    combined: int  # groups of the op in one of these
    panel_blocks: int
    thin: bool

    @classmethod
    def of(cls, op: Conv, x: TensorType, pixels: int) -> WeightLayout:
        """The layout for a convolution over `x`, whose tiles have at most so many pixels."""
        lanes = machine().lanes
        inputs, outputs = x.channels // op.groups, op.out // op.groups
        combined = next(
            m
            for m in range(1, op.groups + 1)
            if m == op.groups or (op.groups % m == m * inputs % lanes == m * outputs % lanes == 0)
        )
        groups = op.groups // combined
        return cls(
            groups=groups,
            inputs=combined * inputs,
            outputs=combined * outputs,
            combined=combined,
            panel_blocks=min(4 if pixels < 5 else 2, blocks_of(combined * outputs)),
            thin=groups == 1 and x.channels <= lanes // 2,
        )

    @classmethod
    def of_products(cls, inputs: int, outputs: int) -> WeightLayout:
        """The layout for many products of vectors with one matrix, as those of a linear layer or of each of
        Winograd's frequencies: panels of two blocks, so that the vectors make one tile, and weights are read
        once."""
        return cls(1, inputs, outputs, 1, min(2, blocks_of(outputs)), thin=False)

    @property
    def planes(self) -> int:
        """Planes of a group's input."""
        return self.inputs if self.thin else blocks_of(self.inputs)

    @property
    def plane_channels(self) -> int:
        """Input channels of a plane."""
        return 1 if self.thin else machine().lanes

    def depth(self, places: int) -> int:
        """Input channels whose weights a panel holds at each place of a kernel of so many places."""
        whole = self.planes * self.plane_channels
        return min(whole, -(-self.inputs // MOST_UNROLLED) * MOST_UNROLLED) if places == 1 else whole

    @property
    def blocks(self) -> int:
        """Blocks of output channels of a group."""
        return blocks_of(self.outputs)

    @property
    def panels(self) -> int:
        """Panels of a group."""
        return -(-self.blocks // self.panel_blocks)

    def pack(self, params: Params) -> Params:
        """`weight` and `bias` as tiles read them."""
        weight = params["weight"]
        packed = in_large_pages((self.groups, self.blocks * self._block_size(weight)))
        for group, first in product(range(self.groups), range(0, self.blocks, self.panel_blocks)):
            begin = group * self.outputs
            rows = weight[begin + first * machine().lanes : begin + self.end_of_panel(first)]
            self.pack_panel(packed[group], first, rows)
            forget(rows)
        return {"weight": packed, "bias": self.pack_bias(params.get("bias"))}

    def end_of_panel(self, first: int) -> int:
        """The channel of a group behind the last one of the panel whose first block is `first`."""
        return min((first + self.panel_blocks) * machine().lanes, self.outputs)

    def pack_panel(self, group: Array, first: int, rows: Array) -> None:
        """Write the panel whose first block is `first` into its group, from rows[channels out, in,
        *kernel]."""
        dense = self._dense(first, rows)
        begin = first * self._block_size(rows)
        panel = group[begin : begin + dense.size]
        axes = (2, 4, 3, 0, 1)
        panel.reshape([dense.shape[i] for i in axes])[...] = dense.transpose(axes)

    def pack_bias(self, given: Array | None) -> Array:
        """float32[groups, channels in whole blocks], zeros without a bias."""
        bias = aligned((self.groups, self.blocks * machine().lanes))
        if given is not None:
            bias[:, : self.outputs] = given.reshape(self.groups, self.outputs)
        return bias

    def _block_size(self, weight: Array) -> int:
        """Floats of one block of output channels."""
        places = math.prod(weight.shape[2:])
        return machine().lanes * self.depth(places) * places

    def _dense(self, first: int, rows: Array) -> Array:
        """float32[B, lane out, plane, lane in, kernel] of a panel, channels filled up with zeros; all in one
        plane where the kernel is pointwise."""
        lanes, kernel = machine().lanes, math.prod(rows.shape[2:])
        inputs, outputs = self.inputs // self.combined, self.outputs // self.combined
        blocks, depth = blocks_of(len(rows)), self.depth(kernel)
        dense = np.zeros((blocks * lanes, depth, kernel), np.float32)
        begin = first * lanes
        end = begin + len(rows)
        for i in range(begin // outputs, -(-end // outputs)):  # the op's groups that the panel belongs to
            part = slice(max(i * outputs, begin) - begin, min((i + 1) * outputs, end) - begin)
            dense[part, i * inputs : (i + 1) * inputs] = rows[part].reshape(-1, inputs, kernel)
        return dense.reshape(blocks, lanes, -1, depth if kernel == 1 else self.plane_channels, kernel)
