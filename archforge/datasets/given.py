"""Data given in Python: arrays, and whatever yields pairs of them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from archforge.data.opened_files import reason_in
from archforge.datasets.arrays import sampled
from archforge.datasets.base import AnyArray, Data, Format, Samples
from archforge.datasets.opening import open_data
from archforge.errors import fail
from archforge.hardware import require_memory
from archforge.ops.lazy_numpy import np

__all__ = ["given_data"]

NAME = "the given data"
FORMS = (
    "a path; (x, y); ((x, y), (x_held_back, y_held_back)); a mapping of x_train, y_train, x_test and y_test; "
    "or anything that yields pairs (x, y) of samples or of batches"
)


def given_data(given: Any, shape: tuple[int, ...], format: Format | None = None) -> Data:
    """The data that stand for a value in Python, for a network whose input has this shape.

    given: a path, or None for the digits; data or samples; a pair of arrays; two such pairs, of which the
    second is held back; a mapping of arrays by the names that .npz files have; or an iterable of pairs, of
    samples or of batches, which is read whole. Raises E0601, also for what it yields.
    """
    if given is None or isinstance(given, str | os.PathLike):
        return open_data(None if given is None else Path(given), shape, format)
    if format is not None:
        fail("E0601", f"the format `{format.word}` is for files, and {NAME} are none", help="leave it out")
    if isinstance(given, Data):
        return given
    if hasattr(given, "take") and hasattr(given, "digest"):
        return Data(given)
    if isinstance(given, Mapping):
        from archforge.datasets.formats.npz import Npz

        return Npz().data(NAME, {str(name): _array(array, f"`{name}`") for name, array in given.items()})
    if _is_pair(given):
        return Data(_pair(given))
    if _are_splits(given):
        return Data(_pair(given[0]), _pair(given[1]))
    return Data(_read(_items(given), shape))


def _items(given: Any) -> Iterable[Any]:
    """The items of an iterable. What has a length and numbers its items may end at no index."""
    if _is_array(given) or isinstance(given, str | bytes):
        _refuse(given)
    if isinstance(given, Iterable):
        return given
    if not hasattr(given, "__getitem__") or not hasattr(given, "__len__"):
        _refuse(given)
    return (given[index] for index in range(len(given)))


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__")


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(map(_is_array, value))


def _pair(value: Any) -> Samples:
    return sampled(NAME, *(_array(part, name) for part, name in zip(value, ("x", "y"), strict=True)))


def _are_splits(value: Any) -> bool:
    """True for a tuple of two pairs of arrays, unless their inputs are single ones."""
    if not isinstance(value, tuple) or len(value) != 2 or not all(map(_is_pair, value)):
        return False
    return all(np.ndim(x) > 1 and len(x) == len(y) for x, y in ((x, np.atleast_1d(y)) for x, y in value))


def _read(given: Iterable[Any], shape: Sequence[int]) -> Samples:
    """The samples of an iterable of samples or batches, put together."""
    inputs: list[AnyArray] = []
    targets: list[AnyArray] = []
    are_batches, held = False, 0
    for number, item in enumerate(given):
        if not isinstance(item, tuple | list) or len(item) != 2:
            found = f"item {number} of {NAME} is {_kind(item)}"
            if isinstance(item, list):
                fail("E0601", found, help="lists as arrays: (np.asarray(x), np.asarray(y))")
            _refuse(item, found)
        x, y = (_array(part, f"item {number}") for part in item)
        if not number:
            are_batches = _is_batch(x, y, shape)
        if are_batches and (not x.ndim or not y.ndim or len(x) != len(y)):
            _refuse(item, f"item {number} of {NAME} is no batch, and those before are")
        inputs.append(x if are_batches else x[None])
        targets.append(y if are_batches else y[None])
        if inputs[-1].shape[1:] != inputs[0].shape[1:] or targets[-1].shape[1:] != targets[0].shape[1:]:
            message = f"item {number} of {NAME} has another shape than those before"
            fail("E0601", message, help="samples of one shape")
        held += inputs[-1].nbytes
        require_memory(held, NAME)
    if not inputs:
        fail("E0601", f"{NAME} are empty: nothing was yielded", help="a list, or a generator not yet used up")
    return sampled(NAME, np.concatenate(inputs), np.concatenate(targets))


def _array(part: Any, name: str) -> AnyArray:
    try:
        return np.asarray(part)
    except (ValueError, TypeError, RuntimeError) as error:
        fail("E0601", f"{name} of {NAME} holds no array: {reason_in(error)}")


def _is_batch(x: AnyArray, y: AnyArray, shape: Sequence[int]) -> bool:
    """True if a pair holds several samples: as many targets as inputs, of which each fits the network, or at
    least the pair as a whole does not."""
    if not y.ndim or not x.ndim or len(x) != len(y):
        return False
    size = math.prod(shape)
    return math.prod(x.shape[1:]) == size or x.size != size


def _kind(value: Any) -> str:
    return (
        f"{type(value).__name__} of {len(value)}" if isinstance(value, tuple | list) else type(value).__name__
    )


def _refuse(value: Any, message: str = "") -> NoReturn:
    what = "an array without targets" if _is_array(value) else f"{_kind(value)}, which is no data"
    fail("E0601", message or f"{NAME} are {what}", help=FORMS)
