"""Weights that are packed anew in each step, by calls on the tape, just before what reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from archforge.backends.numba.families.channel_blocks import blocks_of
from archforge.backends.numba.families.weight_layout import WeightLayout
from archforge.backends.numba.microkernels.turned_squares import TurnedSquare
from archforge.backends.numba.microkernels.winograd_transforms import WeightTransform
from archforge.backends.numba.runtime.records import PACKED_PANEL, PACKING, TRANSFORM
from archforge.backends.numba.runtime.tape import PackedPlace, Tape, aligned, table_of
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import FLOAT, machine
from archforge.backends.winograd_forms import WinogradForm
from archforge.ops.base import Array

__all__ = [
    "DenseWeights",
    "dense_squares",
    "packed_bias",
    "packed_depthwise",
    "packed_frequencies",
    "packed_weights",
]

PACKING_UNIT, TRANSFORMING = UnitRecipe("weight_packing", "pack"), UnitRecipe("weight_packing", "transform")


@dataclass(frozen=True, slots=True)
class DenseWeights:
    """Dense weights as a convolution sees them: bytes from a group, a channel out and a channel in to the
    next, and the offset of each place of its kernel. On the way back outputs and inputs change places."""

    array: Array
    group: int
    channel_out: int
    channel_in: int
    places: tuple[int, ...]

    @classmethod
    def forward(cls, weight: Array, groups: int) -> DenseWeights:
        """[channels out, channels in of a group, *kernel] as it is."""
        inputs, places = weight.shape[1], math.prod(weight.shape[2:])
        row = inputs * places * FLOAT
        offsets = tuple(k * FLOAT for k in range(places))
        return cls(weight, len(weight) // groups * row, row, places * FLOAT, offsets)

    def back(self, places: Sequence[int]) -> DenseWeights:
        """Weights from outputs to inputs, at some places of the kernel in a new order."""
        offsets = tuple(self.places[k] for k in places)
        return DenseWeights(self.array, self.group, self.channel_in, self.channel_out, offsets)


def packed_weights(tape: Tape, layout: WeightLayout, dense: DenseWeights) -> PackedPlace:
    """Record the packing of weights by a layout; returns the place of what `WeightLayout.pack` would make."""
    if not dense.places:
        return PackedPlace(tape.buffer(0).buffer)
    return _packed(tape, layout, dense, layout.plane_channels if len(dense.places) > 1 else None)


def packed_frequencies(
    tape: Tape, layout: WeightLayout, form: WinogradForm, dense: DenseWeights
) -> PackedPlace:
    """Record the packing of weights, and their transform to those of each frequency."""
    depth, lanes = layout.panels[0].depth, machine().lanes
    source = _packed(tape, layout, dense, None)
    size, chunks = layout.blocks * depth * machine().vector, -(-depth // lanes)
    out = PackedPlace(tape.buffer(form.frequencies * size).buffer, nbytes=form.frequencies * size)
    fields = {
        "function": WeightTransform(lanes, form),
        "source": source,
        "places": len(dense.places),
        "depth": depth,
        "chunk": lanes,
        "chunks": chunks,
        "panel_blocks": layout.panel_blocks,
        "blocks": layout.blocks,
        "out": out,
        "out_stride": size,
    }
    tape.call(TRANSFORMING, TRANSFORM, fields, len(layout.panels) * chunks)
    return out


def packed_depthwise(tape: Tape, channels: int, dense: DenseWeights) -> PackedPlace:
    """Record the packing of a weight for each channel and place, as [block][place][lane]."""
    return _packed(tape, WeightLayout.of_channels(channels), dense, 1)


def packed_bias(tape: Tape, channels: int, bias: Array | None) -> PackedPlace | Array:
    """Record the packing of a bias in whole blocks; zeros without one."""
    if bias is None:
        return aligned((blocks_of(channels) * machine().lanes,))
    one = WeightLayout.of_channels(channels, blocks_of(channels))
    return _packed(tape, one, DenseWeights(bias, channels * FLOAT, FLOAT, 0, (0,)), 1)


def dense_squares(places: int, depth: int, to: Literal["vectors", "rows"]) -> dict[str, Any]:
    """The fields for squares of dense weights whose channels in and places lie side by side, [channel in]
    [place], between which and vectors [place][channel in] they are turned; none where squares do not fit."""
    lanes = machine().lanes
    if depth * places % lanes:
        return {}
    order = aligned((depth, places), np.int64)
    order[:] = _vectors(places, depth)
    return {"squares": order.size // lanes, "order": order, "turn": TurnedSquare(lanes, to)}


def _vectors(places: int, depth: int) -> Any:
    """int64[channel in, place], the number of the vector of each."""
    return np.arange(places) * depth + np.arange(depth)[:, None]


def _squares(dense: DenseWeights, depth: int) -> dict[str, Any]:
    """The fields of PACKING for squares of dense weights: of channels in and places that lie side by side, or
    else of the places between each channel in and some channels out; none where neither fits."""
    lanes, places = machine().lanes, len(dense.places)
    are_dense = dense.channel_in == places * FLOAT and dense.places == tuple(
        range(0, dense.channel_in, FLOAT)
    )
    if are_dense and (squares := dense_squares(places, depth, "vectors")):
        return {**squares, "square_step": machine().vector}
    if places < lanes // 4 or max(dense.places) >= machine().vector:
        return {}
    order = aligned((depth, lanes), np.int64)
    order[:] = -1
    order[:, [offset // FLOAT for offset in dense.places]] = _vectors(places, depth)
    fields = {"squares": depth, "order": order, "turn": TurnedSquare(lanes, "vectors")}
    return {**fields, "square_step": dense.channel_in, "reads_beyond": 1}


def _packed(tape: Tape, layout: WeightLayout, dense: DenseWeights, depth: int | None) -> PackedPlace:
    """Record one call for all panels, in planes of `depth` channels; None for all channels of a panel."""
    places = aligned((len(dense.places),), np.int64)
    places[:] = dense.places
    *begins, size = layout.places_of_panels(len(places))
    out = PackedPlace(tape.buffer(size).buffer, nbytes=size)
    rows = [
        {
            "block": panel.block,
            "blocks": panel.blocks,
            "first": panel.first,
            "channels": panel.depth,
            "skipped": panel.first % depth if depth else 0,
            "weight": begin,
        }
        for panel, begin in zip(layout.panels, begins, strict=True)
    ]
    depth = depth or max(panel.depth for panel in layout.panels)
    planes = max(-(-(row["skipped"] + row["channels"]) // depth) for row in rows)
    fields = {
        "source": dense.array,
        "source_group": dense.group,
        "source_out": dense.channel_out,
        "source_in": dense.channel_in,
        "place_offsets": places,
        "places": len(places),
        "planes": planes,
        "depth": depth,
        "groups": layout.groups,
        "inputs": layout.inputs // layout.groups,
        "outputs": layout.outputs // layout.groups,
        "panel_table": table_of(PACKED_PANEL, rows),
        "out": out,
    }
    if layout.combined == 1:
        fields |= _squares(dense, depth)
    tape.call(PACKING_UNIT, PACKING, fields, len(rows) * planes)
    return out
