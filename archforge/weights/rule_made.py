"""Weights and inputs made by a rule that any language can follow, for comparing outputs without weight files.

Rule v1: an array NAME is u = numpy.random.Generator(PCG64(crc32(NAME))).random(size), scaled by the
kind of array that its name and shape tell.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

from archforge.hardware import require_memory
from archforge.ir import ParamDecl, by_x
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["rule_array", "rule_input", "rule_weights"]


def rule_weights(decls: Mapping[str, ParamDecl], dtype: str = "float64") -> dict[str, Array]:
    """An array for each declared parameter and buffer; of whole numbers, that which the op computes. Raises
    E0706."""
    require_memory(sum(d.size for d in decls.values()) * np.dtype(dtype).itemsize, "the weights")
    return {
        name: decl.computed()
        if decl.init.kind == "index"
        else rule_array(name, decl.shape).astype(dtype, copy=False)
        for name, decl in decls.items()
    }


def rule_array(name: str, shape: tuple[int, ...]) -> Array:
    """The array of that name, float64[shape].

    running_var: 0.8 + 0.4u. running_mean and biases: 0.2u - 0.1. The gamma of a norm: 0.6 + 0.4u. Any other
    weight: (2u - 1) * sqrt(6 / fan_in), fan_in = product of shape[1:].
    """
    u = _uniform(name, shape)
    if name.endswith("running_var"):
        return 0.8 + 0.4 * u
    if name.endswith(("running_mean", "bias")) or not shape:
        return 0.2 * u - 0.1
    if len(shape) == 1:
        return 0.6 + 0.4 * u
    # In place: a linear layer of VGG has 103 million elements.
    u *= 2
    u -= 1
    u *= math.sqrt(6 / math.prod(shape[1:]))
    return u


def rule_input(shape: tuple[int, ...], name: str = "input") -> Array:
    """An input of that name, float64[shape] in [-1, 1); `shape` has the batch axis. Raises E0706."""
    require_memory(math.prod(shape) * np.dtype(np.float64).itemsize, f"the input `{name}`, {by_x(shape)}")
    return 2 * _uniform(name, shape) - 1


def _uniform(name: str, shape: tuple[int, ...]) -> Array:
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return np.asarray(generator.random(shape))  # a scalar for the empty shape
