"""Attention: products of queries with keys, their softmax, and means of values, a tile of queries at a time.

A unit copies the tokens of its window to scratch memory, in the order in which tiles of products read them:
keys turned, so that a vector holds one feature of many keys, and values as they are.
"""

from __future__ import annotations

import math

import numpy as np

from archforge.backends.numba.units.across_channels import total, total_of_squares
from archforge.backends.numba.units.activation import exp32
from archforge.backends.numba.units.float_runs import copy, fill
from archforge.backends.numba.units.intrinsics import (
    LANES,
    VECTOR,
    attention_record,
    call_tile,
    call_turn,
    copy_vector,
    device,
    floats,
    integers,
)
from archforge.ops.window_attention import UNIT

__all__ = ["attend"]

F = np.float32
LEAST_LENGTH = F(UNIT.eps)
QUERIES, KEYS, VALUES = range(3)


def attend(row: int, unit: int, scratch: int) -> None:
    """Compute one head of a part of the queries of one window of one image."""
    r = attention_record(row)
    part, unit = unit % r.parts, unit // r.parts
    head, unit = unit % r.heads, unit // r.heads
    window, image = unit % r.windows, unit // r.windows
    source = r.source + image * r.source_image
    out = r.out + image * r.out_image
    keys, features = (r.tokens + LANES - 1) // LANES, r.width * VECTOR
    values, depth = r.width, (r.tokens + 3) // 4 * 4
    key_panels = scratch
    value_panels = key_panels + keys * LANES * features
    scores = value_panels + depth * features
    queries = scores + r.tile * keys * VECTOR
    rows = queries + r.tile * features
    take_keys(r, source, window, head, keys, key_panels, rows)
    take_values(r, source, window, head, depth, value_panels, rows)
    first, last = r.tokens * part // r.parts, r.tokens * (part + 1) // r.parts
    while first < last:
        # Tiles of nearly equal size, as `families/tile_tables.py` has them.
        count = (last - first) // ((last - first + r.tile - 1) // r.tile)
        for i in range(count):
            take_query(r, source, window, head, first + i, queries + i * features)
        added = r.added
        if added:
            added += (head * r.tokens + first) * keys * VECTOR
        multiply(
            r.scoring,
            r.score_pairs,
            r.score_singles,
            count,
            queries,
            key_panels,
            features // 4,
            keys,
            r.ends,
            VECTOR,
            scores,
            added,
        )
        for i in range(count):
            line = scores + i * keys * VECTOR
            if r.regions:
                part_regions(r, window, first + i, line)
            softmax(line, keys * LANES, rows)
        multiply(
            r.mixing,
            r.mix_pairs,
            r.mix_singles,
            count,
            scores,
            value_panels,
            depth,
            values,
            r.zeros,
            0,
            queries,
            0,
        )
        for i in range(count):
            put(r, out, window, head, first + i, queries + i * features)
        first += count


@device
def place_of(r, window, token):
    """Bytes from the first pixel of a block to a token; below 0 outside the map."""
    return integers(r.places, (window + 1) * r.tokens)[window * r.tokens + token]


@device
def take(r, source, window, head, kind, token, to):
    """Copy the features of a query, a key or a value of one head."""
    block, place = (kind * r.heads + head) * r.width, place_of(r, window, token)
    if place < 0:
        copy(r.outside + block * VECTOR, to, r.width * LANES)
        return
    for i in range(r.width):
        copy_vector(source + (block + i) * r.plane + place, to + i * VECTOR)


@device
def scale(address, count, factor):
    """Multiply numbers by a factor."""
    x = floats(address, count)
    for i in range(count):
        x[i] *= factor


@device
def make_unit(address, count):
    """Divide a vector by its length, as the op `l2_normalize` does."""
    x = floats(address, count)
    length = F(math.sqrt(total_of_squares(x)))
    if length < LEAST_LENGTH:
        length = LEAST_LENGTH
    for i in range(count):
        x[i] /= length


@device
def take_query(r, source, window, head, token, to):
    """Copy a query, times the factor of its head."""
    take(r, source, window, head, QUERIES, token, to)
    if r.cosine:
        make_unit(to, r.width * LANES)
    scale(to, r.width * LANES, floats(r.factors, r.heads)[head])


@device
def take_keys(r, source, window, head, keys, panels, rows):
    """Lay out the keys in panels of two blocks, [feature][block][key], with zeros behind the last key."""
    features = r.width * VECTOR
    for block in range(keys):
        for i in range(LANES):
            token, to = block * LANES + i, rows + i * features
            if token >= r.tokens:
                fill(to, r.width * LANES, F(0))
                continue
            take(r, source, window, head, KEYS, token, to)
            if r.cosine:
                make_unit(to, r.width * LANES)
        pair = block & 1
        line = VECTOR if block == keys - 1 and not pair else 2 * VECTOR
        panel = panels + (block - pair) * LANES * features + pair * VECTOR
        for i in range(r.width):
            call_turn(r.turn, rows + i * VECTOR, features, panel + i * LANES * line, line, r.order)


@device
def take_values(r, source, window, head, depth, panels, row):
    """Lay out the values in panels of two blocks, [value][block][feature], with zeros behind the last one."""
    for token in range(depth):
        if token < r.tokens:
            take(r, source, window, head, VALUES, token, row)
        else:
            fill(row, r.width * LANES, F(0))
        for block in range(r.width):
            pair = block & 1
            line = VECTOR if block == r.width - 1 and not pair else 2 * VECTOR
            panel = panels + (block - pair) * depth * VECTOR + pair * VECTOR
            copy_vector(row + block * VECTOR, panel + token * line)


@device
def multiply(geometry, pairs, singles, count, rows, panels, depth, blocks, bias, bias_step, out, added):
    """Multiply `count` rows by panels of two blocks, or of the last alone, `depth` vectors for each block."""
    for block in range(0, blocks, 2):
        tiles = pairs if block + 1 < blocks else singles
        call_tile(
            integers(tiles, count + 1)[count],
            geometry,
            rows,
            panels + block * depth * VECTOR,
            bias + block * bias_step,
            out + block * VECTOR,
            added + block * VECTOR if added else 0,
            0,
        )


@device
def part_regions(r, window, token, line):
    """Add to the products of a query with the keys of other regions."""
    regions = integers(r.regions + window * r.tokens * 8, r.tokens)
    x = floats(line, r.tokens)
    for i in range(r.tokens):
        x[i] += F(0) if regions[i] == regions[token] else r.apart


@device
def softmax(address, count, spare):
    """Softmax of whole vectors of numbers. What is not a number reaches all of them by their sum."""
    x, most = floats(address, count), floats(spare, LANES)
    copy_vector(address, spare)
    for first in range(LANES, count, LANES):
        for i in range(LANES):
            most[i] = x[first + i] if x[first + i] > most[i] else most[i]
    largest = most[0]
    for i in range(1, LANES):
        largest = most[i] if most[i] > largest else largest
    for i in range(count):
        x[i] = exp32(x[i] - largest)
    scale(address, count, F(1) / total(x))


@device
def put(r, out, window, head, token, row):
    """Copy what a head has made of a query to the token's place; nothing where that is outside the map."""
    place = place_of(r, window, token)
    if place >= 0:
        for i in range(r.width):
            copy_vector(row + i * VECTOR, out + (head * r.width + i) * r.plane + place)
