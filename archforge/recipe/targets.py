"""Targets of losses: the numbers that a prediction is held against, in its own shape."""

from __future__ import annotations

from collections.abc import Sequence

from archforge.errors import fail
from archforge.ir import Array, shape_text
from archforge.ops.lazy_numpy import np

__all__ = ["target_values"]


def target_values(prediction: Array, target: Array, axis: int, ignore: int | None = None) -> Array:
    """The numbers that a prediction should be, in its shape and dtype.

    target: as many numbers as the prediction has, in its shape but for axes of extent 1; or numbers of
    classes, int[N, *shape without the axis of classes], each of which becomes 1 at its place along the axis
    and 0 elsewhere, and 0 everywhere for the class `ignore`. axis: that of the classes, the batch's counted.
    Raises E0607 for other shapes and classes.
    """
    if _without_ones(target.shape) == _without_ones(prediction.shape):
        return target.astype(prediction.dtype, copy=False).reshape(prediction.shape)
    shape, classes = prediction.shape[:axis] + prediction.shape[axis + 1 :], prediction.shape[axis]
    are_whole = np.issubdtype(target.dtype, np.integer)
    if not are_whole or _without_ones(target.shape) != _without_ones(shape):
        fail(
            "E0607",
            f"targets of {shape_text(target.shape)} {target.dtype} do not fit predictions of "
            f"{shape_text(prediction.shape)}, the batch first in both",
            help=f"targets of {shape_text(prediction.shape)}, or numbers of classes: whole numbers of "
            f"{shape_text(shape)}",
        )
    target = target.reshape(shape)
    counted = np.ones(shape, bool) if ignore is None else target != ignore
    wrong = target[counted & ((target < 0) | (target >= classes))]
    if wrong.size:
        fail(
            "E0607",
            f"the target {wrong[0]} is no class of a prediction of {classes} classes",
            help=f"from 0 to {classes - 1}; a loss over classes may `ignore` one number",
        )
    values = np.zeros_like(prediction)
    index, ones = np.where(counted, target, 0), counted.astype(values.dtype)
    np.put_along_axis(values, np.expand_dims(index, axis), np.expand_dims(ones, axis), axis)
    return values


def _without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape whose axes of extent 1 are left out, but for the batch's."""
    return (*shape[:1], *(n for n in shape[1:] if n != 1))
