"""Winograd convolutions in three stages, each a step of its own, or all three for a chunk of tiles."""

from __future__ import annotations

from archforge.backends.numba.runtime.opcodes import CHUNKS, INPUTS, OUTPUTS, PRODUCTS
from archforge.backends.numba.units.float_runs import copy, fill
from archforge.backends.numba.units.intrinsics import (
    LANES,
    VECTOR,
    call_in,
    call_out,
    call_unit,
    device,
    winograd_record,
)
from archforge.backends.numba.units.tile_rows import run_tiles

__all__ = ["winograd"]


def winograd(row: int, unit: int, scratch: int) -> None:
    """Do all stages for one chunk of tiles, or for all tiles one block of input channels, one frequency, or
    one block of output channels."""
    r = winograd_record(row)
    edge = scratch  # room for the inputs of a tile at the border, and for its outputs and residuals
    if r.stage == CHUNKS:
        first = r.tiles_all * unit // r.chunks
        count = r.tiles_all * (unit + 1) // r.chunks - first
        values = scratch + r.edge
        products = values + r.frequencies * r.values_stride
        for block in range(r.in_blocks):
            inputs(r, block, first, count, values, edge)
        for frequency in range(r.frequencies):
            multiply(r, row, frequency, count, values, products)
        for block in range(r.out_blocks):
            outputs(r, row, block, first, count, products, edge)
    elif r.stage == INPUTS:
        inputs(r, unit, 0, r.tiles_all, r.values, edge)
    elif r.stage == PRODUCTS:
        multiply(r, row, unit, r.tiles_all, r.values, r.products)
    elif r.stage == OUTPUTS:
        outputs(r, row, unit, 0, r.tiles_all, r.products, edge)


@device
def tile_after(r, x, y):
    """The column and row of the tile after (x, y), and 1 if it is in the next image, else 0."""
    if x + 1 < r.tiles_x:
        return x + 1, y, 0
    if y + 1 < r.tiles_y:
        return 0, y + 1, 0
    return 0, 0, 1


@device
def inputs(r, block, first, count, values, edge):
    """Transform the inputs of `count` tiles for one block of channels, to [frequency][block][tile]."""
    row = r.source_width * VECTOR
    out = values + block * r.chunk * VECTOR
    tile_x = first % r.tiles_x
    tile_y = first // r.tiles_x % r.tiles_y
    plane = r.source + first // r.tiles_x // r.tiles_y * r.source_image + block * r.source_height * row
    for _ in range(count):
        x, y = tile_x * r.outputs_x - r.pad_x, tile_y * r.outputs_y - r.pad_y
        if x >= 0 and y >= 0 and x + r.points_x <= r.source_width and y + r.points_y <= r.source_height:
            call_in(r.transform_in, plane + y * row + x * VECTOR, row, out, r.values_stride)
        else:
            fill(edge, r.frequencies * LANES, 0.0)
            left, right = max(0, -x), min(r.points_x, r.source_width - x)
            for line in range(max(0, -y), min(r.points_y, r.source_height - y)):
                if right > left:
                    source = plane + (y + line) * row + (x + left) * VECTOR
                    copy(source, edge + (line * r.points_x + left) * VECTOR, (right - left) * LANES)
            call_in(r.transform_in, edge, r.points_x * VECTOR, out, r.values_stride)
        out += VECTOR
        tile_x, tile_y, images = tile_after(r, tile_x, tile_y)
        plane += images * r.source_image


@device
def multiply(r, row, frequency, count, values, products):
    """Multiply the values of `count` tiles by the weights, for one frequency, to [block][tile]."""
    source = values + frequency * r.values_stride
    out = products + frequency * r.products_stride
    weight = r.weight + frequency * r.out_blocks * r.block_weight
    for p in range(r.panels):
        first = p * r.panel_blocks
        blocks = min(r.panel_blocks, r.out_blocks - first)
        tiles, most = r.tile_table, r.tile_pixels
        if blocks < r.panel_blocks:
            tiles, most = r.tail_table, r.tail_pixels
        run_tiles(
            r,
            row,
            tiles,
            most,
            blocks,
            count,
            source,
            VECTOR,
            weight + first * r.block_weight,
            r.zeros,
            out + first * r.chunk * VECTOR,
            0,
            weight + first * r.block_weight + r.prefetch_ahead,
            r.prefetch_step,
        )


@device
def outputs(r, row, block, first, count, products, edge):
    """Transform the products of `count` tiles to outputs of one block, and finish them."""
    stride = r.products_stride
    line, edge_line = r.width * VECTOR, r.outputs_x * VECTOR
    plane = block * r.height * line
    bias = r.bias + block * VECTOR
    source = products + block * r.chunk * VECTOR
    tile_x = first % r.tiles_x
    tile_y = first // r.tiles_x % r.tiles_y
    image = first // r.tiles_x // r.tiles_y
    for _ in range(count):
        x, y = tile_x * r.outputs_x, tile_y * r.outputs_y
        offset = plane + y * line + x * VECTOR
        out = r.out + image * r.out_image + offset
        residual = r.residual + image * r.residual_image + offset if r.residual else 0
        height, width = min(r.outputs_y, r.height - y), min(r.outputs_x, r.width - x)
        if height == r.outputs_y and width == r.outputs_x:
            call_out(r.transform_out, r.clamp, source, stride, bias, out, line, residual, line)
        else:
            here = 0
            if residual:
                here = edge + r.outputs_y * edge_line
                fill(here, r.outputs_y * r.outputs_x * LANES, 0.0)
                for k in range(height):
                    copy(residual + k * line, here + k * edge_line, width * LANES)
            call_out(r.transform_out, r.clamp, source, stride, bias, edge, edge_line, here, edge_line)
            for k in range(height):
                copy(edge + k * edge_line, out + k * line, width * LANES)
        if r.out_activation:
            for k in range(height):
                call_unit(r.out_activation, out + k * line, width * LANES, r.parameter)
        source += VECTOR
        tile_x, tile_y, images = tile_after(r, tile_x, tile_y)
        image += images
