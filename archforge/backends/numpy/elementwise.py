"""Operations element by element: activations, merges, scalings; and concatenation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from archforge.backends.numpy.bands import bands, pixels
from archforge.backends.numpy.call_memory import Scratch
from archforge.backends.numpy.epilogues import ABSORBED, Part, activate, finish, in_parts
from archforge.ir import TensorType
from archforge.ops.base import Array, Op, resolve_axis
from archforge.ops.batch_norm import BatchNorm
from archforge.ops.concat import Concat
from archforge.ops.layer_norm import LayerNorm
from archforge.ops.scale import LayerScale, Scale
from archforge.plan import Epilogue, Kernel, Lowering
from archforge.plan.contract import Pack

__all__ = ["activation", "batch_norm", "concat", "layer_norm", "layer_scale", "merge", "scale"]

NORM_BYTES = 1 << 18  # of results, over which a norm passes several times


def _parts(out: Array) -> Iterator[Part]:
    """Bands of a map, or all of a batch of vectors."""
    if out.ndim == 2:
        return iter([()])
    return bands(len(out), out.shape[1], out[0, 0].nbytes)


def activation(op: Op, x: TensorType) -> Kernel:
    """An activation by itself, which no other kernel absorbed."""

    def run(params: Mapping[str, Array], x: Array, *, out: Array, scratch: Scratch) -> None:
        for part in _parts(out):
            np.copyto(out[part], x[part])
            activate(op, out[part])

    return Kernel(run)


def merge(ufunc: np.ufunc) -> Lowering:
    """A lowering that applies one operator to several values. Factors get lacking axes before channels."""

    def lower(op: Op, *inputs: TensorType) -> Kernel:
        def run(
            params: Mapping[str, Array],
            *given: Array,
            out: Array,
            scratch: Scratch,
            epilogue: Epilogue | None = None,
        ) -> None:
            ones = (1,) * out.ndim
            values = [v.reshape(*v.shape[:-1], *ones[v.ndim :], v.shape[-1]) for v in given]
            for part in _parts(out):
                pieces = [_piece(v, part) for v in values]
                first, y = pieces[0], out[part]
                if len(inputs) == 1:
                    np.copyto(y, first)
                for other in pieces[1 : len(inputs)]:
                    ufunc(first, other, out=y)
                    first = y
                finish(y, None, pieces[-1] if len(pieces) > len(inputs) else None, epilogue)

        return Kernel(run, absorbs=ABSORBED)

    return lower


def _piece(value: Array, part: Part) -> Array:
    """A part of a value; along axes of extent 1 it is all of them."""
    return value[tuple(s if n > 1 else slice(None) for s, n in zip(part, value.shape, strict=False))]


def _affine(pack: Pack) -> Kernel:
    """A kernel for x * factor + bias, both [C] or [1], which `pack` makes."""

    def parts(params: Mapping[str, Array], x: Array, out: Array, scratch: Scratch) -> Iterator[Part]:
        for part in _parts(out):
            np.multiply(x[part], params["factor"], out=out[part])
            yield part

    return in_parts(parts, pack, "affine")


def scale(op: Scale, x: TensorType) -> Kernel:
    """A map times one number."""
    return _affine(lambda params: {"factor": np.full(1, op.factor, np.float32)})


def layer_scale(op: LayerScale, x: TensorType) -> Kernel:
    """A map times one trained factor for each channel."""
    return _affine(lambda params: {"factor": params[""].reshape(-1)})


def batch_norm(op: BatchNorm, x: TensorType) -> Kernel:
    """A batch norm that no convolution could take in."""

    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
        wide = {name: array.astype(np.float64) for name, array in params.items()}
        factor = wide.get("weight", 1.0) / np.sqrt(wide["running_var"] + op.eps)
        shift = wide.get("bias", 0.0) - wide["running_mean"] * factor
        return {"factor": factor.astype(np.float32), "bias": shift.astype(np.float32)}

    return _affine(pack)


def layer_norm(op: LayerNorm, x: TensorType) -> Kernel | None:
    """A layer norm over the channels of a map; None over other axes."""
    if len(x.shape) < 2 or op.axes(x) != (0,):
        return None

    def parts(params: Mapping[str, Array], x: Array, out: Array, scratch: Scratch) -> Iterator[Part]:
        channels = x.shape[-1]
        share = np.full(channels, 1 / channels, np.float32)
        for _, rows in bands(1, len(x), channels * x.itemsize, NORM_BYTES):
            y = out[rows]
            np.subtract(x[rows], (x[rows] @ share)[:, None], out=y)
            # The mean was rounded, which shows where it is large beside the deviations.
            np.subtract(y, (y @ share)[:, None], out=y)
            deviation = np.einsum("rc,rc->r", y, y)
            deviation /= channels
            deviation += op.eps
            np.divide(y, np.sqrt(deviation, out=deviation)[:, None], out=y)
            if op.affine:
                np.multiply(y, params["weight"], out=y)
            yield (rows,)

    return in_parts(parts, view=pixels)


def concat(op: Concat, *inputs: TensorType) -> Kernel:
    """A concatenation along any axis. Inputs that already lie in place are not copied."""
    axis = resolve_axis(op.axis, inputs[0]) or len(inputs[0].shape)

    def run(params: Mapping[str, Array], *given: Array, out: Array, scratch: Scratch) -> None:
        end = 0
        for x in given:
            start, end = end, end + x.shape[axis]
            part = out[(slice(None),) * axis + (slice(start, end),)]
            if part.ctypes.data != x.ctypes.data:
                np.copyto(part, x)

    return Kernel(run)
