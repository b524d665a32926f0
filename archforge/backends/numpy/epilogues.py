"""Kernels that finish each part of their results while it is in the cache: bias, residual, activation."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping

import numpy as np

from archforge.backends.numpy.call_memory import Scratch
from archforge.ops.activations import ACTIVATIONS, CLAMPS, Gelu
from archforge.ops.base import Array, Op
from archforge.ops.erf import NORMAL_END, NORMAL_LOGIT
from archforge.plan import Epilogue, Kernel
from archforge.plan.contract import Pack, unpacked

__all__ = ["ABSORBED", "ACTIVATION_KINDS", "Part", "activate", "finish", "in_parts"]

ACTIVATION_KINDS = frozenset(("clip", "elu", "gelu", "leaky_relu", *(cls.op for cls in ACTIVATIONS)))
PIECE = 1 << 15  # floats
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
    elif op.kind == "silu":
        _by_pieces(y, _silu)
    elif isinstance(op, Gelu) and op.approximate == "none":
        _by_pieces(y, _gelu)
    else:
        np.copyto(y, op.reference({}, y))


def _by_pieces(y: Array, function: Callable[[Array], None]) -> None:
    """Apply a function of elements in place, to as many at a time as stay in the cache with its arrays."""
    pieces = [y]
    if y.flags.c_contiguous:
        flat = y.reshape(-1)
        pieces = [flat[start : start + PIECE] for start in range(0, flat.size, PIECE)]
    # An exponential that overflows is a share of 0.
    with np.errstate(over="ignore"):
        for piece in pieces:
            function(piece)


def _silu(y: Array) -> None:
    _divide_by_odds(y, np.negative(y))


def _gelu(y: Array) -> None:
    square = np.square(y)
    np.minimum(square, NORMAL_END, out=square)
    logit = square * NORMAL_LOGIT[0]
    for coefficient in NORMAL_LOGIT[1:-1]:
        logit += coefficient
        logit *= square
    logit += NORMAL_LOGIT[-1]
    logit *= y
    _divide_by_odds(y, logit)


def _divide_by_odds(y: Array, logit: Array) -> None:
    """y / (1 + exp(logit)) in place of y; of the logit nothing is left."""
    np.exp(logit, out=logit)
    logit += 1
    np.divide(y, logit, out=y)
