"""Kernels that finish each part of their results while it is in the cache: bias, residual, activation."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping

import numpy as np

from archforge.backends.numpy.call_memory import Scratch
from archforge.ops.activations import ACTIVATIONS, CLAMPS, Gelu
from archforge.ops.base import Array, Op
from archforge.ops.erf import TAIL, TAIL_SLOPE
from archforge.plan import Epilogue, Kernel
from archforge.plan.contract import Pack, unpacked

__all__ = ["ABSORBED", "ACTIVATION_KINDS", "Part", "activate", "finish", "in_parts"]

ACTIVATION_KINDS = frozenset(("clip", "elu", "gelu", "leaky_relu", *(cls.op for cls in ACTIVATIONS)))
ABSORBED = ACTIVATION_KINDS | {"add"}

Part = tuple[slice, ...]  # of any axes from the first on


def _whole(value: Array) -> Array:
    return value


# `parts(params, x, out, scratch)` writes the result part by part, and gives each before the next is begun.
Parts = Callable[[Mapping[str, Array], Array, Array, Scratch], Iterator[Part]]


def in_parts(
    parts: Parts, pack: Pack = unpacked, packing: Hashable = None, *, view: Callable[[Array], Array] = _whole
) -> Kernel:
    """A kernel that finishes each part of its result while it is in the cache, with the parameter `bias` if
    there is one, a residual and the epilogue. All maps are seen through `view`."""

    def run(
        params: Mapping[str, Array],
        x: Array,
        residual: Array | None = None,
        *,
        out: Array,
        scratch: Scratch,
        epilogue: Epilogue | None = None,
    ) -> None:
        x, out = view(x), view(out)
        residual = None if residual is None else view(residual)
        for part in parts(params, x, out, scratch):
            rest = None if residual is None else residual[part]
            finish(out[part], params.get("bias"), rest, epilogue)

    return Kernel(run, pack, ABSORBED, packing=packing)


def finish(y: Array, bias: Array | None, residual: Array | None, epilogue: Epilogue | None) -> None:
    """Add a bias [C] and a residual to `y` [..., C], then apply the epilogue's activation, all in place."""
    if bias is not None:
        np.add(y, bias, out=y)
    if residual is not None:
        np.add(y, residual, out=y)
    if epilogue and epilogue.activation:
        activate(epilogue.activation, y)


def activate(op: Op, y: Array) -> None:
    """Apply an activation in place."""
    if op.kind in CLAMPS:
        y.clip(*CLAMPS[op.kind], out=y)
    elif isinstance(op, Gelu) and op.approximate == "none":
        _gelu(y)
    else:
        np.copyto(y, op.reference({}, y))


def _gelu(y: Array) -> None:
    """Apply gelu in place: max(y, 0) - |y| times the part of the normal distribution beyond |y|."""
    size = np.abs(y)
    x = np.minimum(size, 20)  # the part beyond is 0 in float32
    x *= math.sqrt(0.5)
    t = x * TAIL_SLOPE
    t += 1
    np.divide(1, t, out=t)
    tail = t * TAIL[0]
    for coefficient in TAIL[1:]:
        tail += coefficient
        tail *= t
    x *= x
    np.exp(np.negative(x, out=x), out=x)
    tail *= x
    tail *= 0.5
    tail *= size
    np.subtract(np.maximum(y, 0), tail, out=y)
