"""Fresh weights from a seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from archforge.draws import generator
from archforge.hardware import require_memory
from archforge.ir import ParamDecl
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

if TYPE_CHECKING:
    from archforge.recipe.base import Initialiser

__all__ = ["fresh_weights"]


def fresh_weights(
    decls: Mapping[str, ParamDecl],
    seed: int = 0,
    dtype: str = "float32",
    initialisers: Mapping[str, Initialiser] | None = None,
) -> dict[str, Array]:
    """An array for each declaration, filled as its `init` says, or by the last of the initialisers, given by
    patterns of names, that is for it.

    Each depends on the seed and its own name alone, so that adding a layer leaves the others' start
    as it was, and is drawn in float64, so that every dtype starts from the same numbers. Raises E0706, and
    E0906 for a pattern that is for nothing.
    """
    require_memory(sum(d.size for d in decls.values()) * np.dtype(dtype).itemsize, "the weights")
    chosen: Mapping[str, Initialiser] = {}
    if initialisers:
        from archforge.recipe.drawn_by import drawn_by

        chosen = drawn_by(decls, initialisers)
    return {
        name: decl.computed()
        if decl.init.kind == "index"
        else _fresh(name, decl, seed, chosen.get(name)).astype(dtype, copy=False)
        for name, decl in decls.items()
    }


def _fresh(name: str, decl: ParamDecl, seed: int, initialiser: Initialiser | None) -> Array:
    if initialiser is not None:
        return initialiser.draw(decl.shape, generator(seed, name))
    init = decl.init
    if init.kind == "computed":
        return decl.computed()
    if init.kind == "constant":
        return np.full(decl.shape, init.scale)
    if init.kind == "normal":
        return generator(seed, name).normal(init.mean, init.scale, decl.shape)
    fan_in = math.prod(decl.shape[1:]) if init.fan_in is None else init.fan_in
    bound = init.scale / math.sqrt(fan_in)
    return generator(seed, name).uniform(-bound, bound, decl.shape)
