"""Winograd convolution in three stages, each a step of its own or all three for a chunk of tiles at once."""

from __future__ import annotations

from archforge.backends.numba.families.codes import CHUNKS, INPUTS, OUTPUTS, PRODUCTS
from archforge.backends.numba.units.area import copy, fill, run_tiles
from archforge.backends.numba.units.basics import (
    LANES,
    VECTOR,
    call_in,
    call_out,
    call_unit,
    device,
    winograd_record,
)

__all__ = ["winograd"]


def winograd(row: int, unit: int, scratch: int) -> None:
    """A chunk; or one block of input channels, one frequency, one block of output channels, of all tiles."""
    r = winograd_record(row)
    edge = scratch  # room for 6x6 vectors, for tiles at the border
    if r.stage == CHUNKS:
        first = r.tiles_all * unit // r.chunks
        count = r.tiles_all * (unit + 1) // r.chunks - first
        values = scratch + 36 * VECTOR
        products = values + 36 * r.in_blocks * r.chunk * VECTOR
        for block in range(r.in_blocks):
            inputs(r, block, first, count, values, edge)
        for frequency in range(36):
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
def inputs(r, block, first, count, values, edge):
    """V of `count` tiles for one block: [36][in_blocks][chunk] vectors."""
    stride = r.in_blocks * r.chunk * VECTOR
    for i in range(count):
        tile = first + i
        x = tile % r.tiles_x * 4 - r.pad_x
        y = tile // r.tiles_x % r.tiles_y * 4 - r.pad_y
        image = tile // r.tiles_x // r.tiles_y
        plane = r.source + image * r.source_image + block * r.source_height * r.source_width * VECTOR
        out = values + (block * r.chunk + i) * VECTOR
        row = r.source_width * VECTOR
        if x >= 0 and y >= 0 and x + 6 <= r.source_width and y + 6 <= r.source_height:
            call_in(r.transform_in, plane + y * row + x * VECTOR, row, out, stride)
        else:
            fill(edge, 36 * LANES, 0.0)
            left, right = max(0, -x), min(6, r.source_width - x)
            for line in range(max(0, -y), min(6, r.source_height - y)):
                if right > left:
                    source = plane + (y + line) * row + (x + left) * VECTOR
                    copy(source, edge + (line * 6 + left) * VECTOR, (right - left) * LANES)
            call_in(r.transform_in, edge, 6 * VECTOR, out, stride)


@device
def multiply(r, row, frequency, count, values, products):
    """M of one frequency: [36][out_blocks][chunk] vectors."""
    source = values + frequency * r.in_blocks * r.chunk * VECTOR
    out = products + frequency * r.out_blocks * r.chunk * VECTOR
    weight = r.weight + frequency * r.out_blocks * r.block_weight
    for p in range(r.panels):
        first = p * r.panel_blocks
        blocks = min(r.panel_blocks, r.out_blocks - first)
        tiles, most = r.tiles, r.most_pixels
        if blocks < r.panel_blocks:
            tiles, most = r.tail_tiles, r.tail_most_pixels
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
            0,
            r.zeros,
            out + first * r.chunk * VECTOR,
            0,
        )


@device
def outputs(r, row, block, first, count, products, edge):
    """The outputs of `count` tiles for one block, with the epilogue."""
    stride = r.out_blocks * r.chunk * VECTOR
    line = r.width * VECTOR
    plane = block * r.height * line
    bias = r.bias + block * VECTOR
    for i in range(count):
        tile = first + i
        x, y = tile % r.tiles_x * 4, tile // r.tiles_x % r.tiles_y * 4
        image = tile // r.tiles_x // r.tiles_y
        offset = plane + y * line + x * VECTOR
        out = r.out + image * r.out_image + offset
        residual = r.residual + image * r.residual_image + offset if r.residual else 0
        source = products + (block * r.chunk + i) * VECTOR
        height, width = min(4, r.height - y), min(4, r.width - x)
        if height == 4 and width == 4:
            call_out(r.transform_out, r.epilogue, source, stride, bias, out, line, residual, line)
        else:
            here = 0
            if residual:
                here = edge + 16 * VECTOR
                fill(here, 16 * LANES, 0.0)
                for k in range(height):
                    copy(residual + k * line, here + k * 4 * VECTOR, width * LANES)
            call_out(r.transform_out, r.epilogue, source, stride, bias, edge, 4 * VECTOR, here, 4 * VECTOR)
            for k in range(height):
                copy(edge + k * 4 * VECTOR, out + k * line, width * LANES)
        if r.then:
            for k in range(height):
                call_unit(r.then, out + k * line, width * LANES, r.parameter)
