"""Attention: a linear layer for queries, keys and values, the heads, and the linear layer behind them.

The rows of the first layer and the columns of the last one are spread so that each head has whole blocks of
channels, with zeros beyond its features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from archforge.backends.numba.families.channel_blocks import AnyAxis, blocks_of
from archforge.backends.numba.families.direct_conv import PackedConv, record_conv
from archforge.backends.numba.families.epilogues import ABSORBED, Ending
from archforge.backends.numba.families.moves import along
from archforge.backends.numba.families.tile_geometry import TileGeometry
from archforge.backends.numba.families.tile_tables import most_pixels, tile_table
from archforge.backends.numba.families.weight_layout import WeightLayout
from archforge.backends.numba.families.window_2d import Window2d
from archforge.backends.numba.microkernels.product_tiles import Product
from archforge.backends.numba.microkernels.turned_squares import TurnedSquare
from archforge.backends.numba.runtime.records import ATTENTION, GEOMETRY, merged
from archforge.backends.numba.runtime.tape import Params, TapeValue, aligned, table_of
from archforge.backends.numba.runtime.unit_recipe import UnitRecipe
from archforge.backends.numba.toolchain.machine import FLOAT, machine
from archforge.ir import TensorType
from archforge.ops.attention import ATTENTION_NAMES, Attention
from archforge.ops.base import Array
from archforge.ops.window_attention import APART, WINDOW_NAMES, WindowAttention
from archforge.ops.window_positions import Places
from archforge.plan import Epilogue, Kernel

__all__ = ["attention", "window_attention"]

ATTEND = UnitRecipe("attention", "attend")
PART = 128  # queries of a unit, about: each turns all keys of its window


def attention(op: Attention, x: TensorType) -> Kernel:
    """Self-attention of tokens, which make one window, or one for each entry of the axes before them."""
    tokens, features = x.shape[-2:]
    places = np.arange(x.size // features).reshape(-1, tokens)
    heads = _Heads(op.heads, features, places)
    first, first_bias, last, last_bias = ATTENTION_NAMES[op.names]

    def pack(params: Params) -> Params:
        layers = (params[first], params.get(first_bias), params[last], params.get(last_bias))
        factor = 1 / math.sqrt(heads.width)
        return {**heads.pack_layers(*layers), "factors": np.full(op.heads, factor, np.float32)}

    return AnyAxis(partial(_record, heads), pack, ABSORBED, packing=heads.layouts, growth=heads.growth)


def window_attention(op: WindowAttention, x: TensorType) -> Kernel:
    """Self-attention of the tokens of each window of a map."""
    found, positions = op.places(x), math.prod(x.shape[:-1])
    places = np.where(found.tokens < positions, found.tokens, -1)
    heads = _Heads(op.heads, x.shape[-1], places, found.regions, cosine=op.cosine)
    first, last = WINDOW_NAMES[op.names]

    def pack(params: Params) -> Params:
        biases = [
            op.added_bias(params[f"{n}.bias"], i) if op.bias else None for i, n in enumerate((first, last))
        ]
        layers = (params[f"{first}.weight"], biases[0], params[f"{last}.weight"], biases[1])
        factors = np.broadcast_to(np.ravel(op.factor(params, heads.width)), op.heads)
        added = op.biases(params)[1][op.index(x)].transpose(2, 0, 1)
        return {
            **heads.pack_layers(*layers),
            "factors": factors.astype(np.float32),
            "added": heads.in_whole_rows(added),
        }

    packing = (heads.layouts, op.cut(x))
    growth = heads.growth + heads.number * heads.tokens**2 / (2 * heads.features) ** 2
    return AnyAxis(partial(_record, heads), pack, ABSORBED, packing=packing, growth=growth)


@dataclass(frozen=True, eq=False, slots=True)
class _Heads:
    """Heads side by side in so many features, over windows of tokens: int64[windows, T], the pixel of each,
    or -1 for one outside the map. regions: int64[windows, T], or None where all see each other."""

    number: int
    features: int
    places: Places
    regions: Places | None = None
    cosine: bool = False

    @property
    def width(self) -> int:
        """Features of one head."""
        return self.features // self.number

    @property
    def blocks(self) -> int:
        """Blocks of channels that a head has."""
        return blocks_of(self.width)

    @property
    def channels(self) -> int:
        """Channels of all heads."""
        return self.number * self.blocks * machine().lanes

    @property
    def tokens(self) -> int:
        """Tokens of a window."""
        return int(self.places.shape[1])

    @property
    def keys(self) -> int:
        """Blocks of the keys of a window."""
        return blocks_of(self.tokens)

    @property
    def parts(self) -> int:
        """Parts into which the queries of a window are cut."""
        return -(-self.tokens // PART)

    @property
    def layouts(self) -> tuple[WeightLayout, WeightLayout]:
        """The weights in front of the heads, and behind them."""
        channels = self.channels
        return (
            WeightLayout.of_products(self.features, 3 * channels),
            WeightLayout.of_products(channels, self.features),
        )

    @property
    def growth(self) -> float:
        """Bytes of both packed layers for each byte of their own."""
        return self.channels / self.features

    def pack_layers(
        self, weight: Array, bias: Array | None, last_weight: Array, last_bias: Array | None
    ) -> Params:
        """The two linear layers as tiles read them, from float32[3F, F], float32[3F], float32[F, F] and
        float32[F]."""
        first, last = self.layouts
        given = {"weight": self._spread(weight)} | ({} if bias is None else {"bias": self._spread(bias)})
        packed = first.pack(given)
        columns = np.ascontiguousarray(self._spread(last_weight.T).T)
        behind = last.pack({"weight": columns} | ({} if last_bias is None else {"bias": last_bias}))
        return {
            "weight": packed["weight"],
            "bias": packed["bias"],
            "last_weight": behind["weight"],
            "last_bias": behind["bias"],
        }

    def _spread(self, rows: Array) -> Array:
        """Rows of heads, one for each feature, with zeros up to whole blocks for each head."""
        of_heads = rows.reshape(-1, self.width, *rows.shape[1:])
        beyond = self.blocks * machine().lanes - self.width
        if not beyond:
            return rows
        spread = np.pad(of_heads, [(0, 0), (0, beyond), *[(0, 0)] * (rows.ndim - 1)])
        return spread.reshape(-1, *rows.shape[1:])

    def in_whole_rows(self, added: Array) -> Array:
        """float32[heads, T, T] with zeros up to whole vectors of keys."""
        made = aligned((*added.shape[:2], self.keys * machine().lanes))
        made[..., : self.tokens] = added
        return made


def _record(
    heads: _Heads,
    params: Params,
    x: TapeValue,
    residual: TapeValue | None = None,
    epilogue: Epilogue | None = None,
) -> TapeValue:
    """Record the three calls of a layer of attention over the features of the last axis."""
    shape, axis = x.shape, len(x.shape) - 1
    x, residual = along(x, axis), along(residual, axis) if residual else None
    window, (first, last) = Window2d.of_one_pixel(x.pixels), heads.layouts
    qkv = x.tape.temporary((x.pixels, first.outputs), 1)
    record_conv(PackedConv(window, first, params["weight"], params["bias"]), x, Ending.of(qkv))
    mixed = x.tape.temporary((x.pixels, last.inputs), 1)
    _record_heads(heads, params, qkv, mixed)
    conv = PackedConv(window, last, params["last_weight"], params["last_bias"])
    return record_conv(conv, mixed, Ending.of(x.tape.output(shape, axis), residual, epilogue))


def _record_heads(heads: _Heads, params: Params, qkv: TapeValue, mixed: TapeValue) -> None:
    """Record the call that makes the outputs of the heads from queries, keys and values."""
    lanes, vector = machine().lanes, machine().vector
    head, keys, depth = heads.blocks * lanes, heads.keys * lanes, -(-heads.tokens // 4) * 4
    ends = aligned((keys,))
    ends[heads.tokens :] = -np.inf
    tile = most_pixels(2)
    fields = merged(
        {"windows": len(heads.places), "tokens": heads.tokens, "heads": heads.number, "parts": heads.parts},
        {"width": heads.blocks, "source": qkv.place, "source_image": qkv.image, "plane": qkv.plane},
        {"outside": params["bias"], "places": np.ascontiguousarray(heads.places * vector)},
        {"factors": params["factors"], "cosine": int(heads.cosine)},
        {"ends": ends, "zeros": aligned((2 * lanes,)), "added": params.get("added", 0)},
        {"regions": 0 if heads.regions is None else np.ascontiguousarray(heads.regions), "apart": APART},
        {"order": np.arange(lanes), "turn": TurnedSquare(lanes, "vectors"), "tile": tile},
        {"scoring": _geometry(head, keys), "mixing": _geometry(depth, head)},
        _tiles("score", heads, head, heads.keys),
        _tiles("mix", heads, keys, heads.blocks),
        {"out": mixed.place, "out_image": mixed.image},
    )
    # Keys and values, a tile of scores and one of queries, and keys that are to be turned.
    scratch = (keys * head + depth * head + tile * (keys + head) + lanes * head) * FLOAT
    units = qkv.tape.batch * len(heads.places) * heads.number * heads.parts
    qkv.tape.call(ATTEND, ATTENTION, fields, units, scratch)


def _geometry(depth: int, results: int) -> Array:
    """The record GEOMETRY of tiles that multiply rows of `depth` floats, and write as many as `results`."""
    passes = TileGeometry(planes=1, plane=0, rows=1, row=0, columns=1, column=0, run=depth, skipped=0, cut=0)
    places = {"out_pixel": results * FLOAT, "out_plane": machine().vector, "residual_pixel": results * FLOAT}
    ahead = {"prefetch_ahead": 0, "prefetch_lines": 0, "prefetch_step": 0}
    return table_of(GEOMETRY, [merged(passes.fields(), places, ahead, {"low": -math.inf, "high": math.inf})])


def _tiles(name: str, heads: _Heads, step: int, blocks: int) -> dict[str, Any]:
    """The fields for tiles of panels of two blocks, and of one where their number is odd; the queries of a
    tile lie `step` floats apart."""
    counts = {heads.tokens // heads.parts, -(-heads.tokens // heads.parts)}

    def table(panel: int) -> Array:
        return tile_table(lambda n: Product(machine().lanes, n, panel, step, 4), most_pixels(2), counts)

    return {f"{name}_pairs": table(2) if blocks > 1 else 0, f"{name}_singles": table(1) if blocks % 2 else 0}
