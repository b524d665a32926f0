"""Inputs from many files: found, read ahead of their use, and put together into batches.

No more than a few batches are in memory, however many files there are.
"""

from __future__ import annotations

import glob
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from archforge.atomic_files import reason_of
from archforge.data.images import IMAGE_SUFFIXES
from archforge.data.opened_files import opened, refuse_name
from archforge.data.stored_arrays import StoredArray
from archforge.errors import Diagnostic, DiagnosticError, fail
from archforge.ir import by_x
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.paths import is_file, is_folder, is_there

__all__ = ["Failure", "Sample", "batches", "find_files", "read_ahead", "read_rows", "rows_of"]

SUFFIXES = IMAGE_SUFFIXES | {".npy"}
READERS = 2  # threads; a picture takes a few milliseconds to decode


class Sample(NamedTuple):
    """One input of a network, float[*shape], with the name of its file."""

    name: str
    array: Array


class Failure(NamedTuple):
    """A file that cannot be an input, with the reason."""

    name: str
    reason: Diagnostic


def find_files(sources: Iterable[str]) -> list[Path]:
    """The files of the sources, each once: a file, a folder, or a pattern such as `photos/**/*.jpg`.

    A folder gives its pictures and .npy files in natural order (2 before 10), hidden ones left out.
    Raises E0601, all together, for a source that gives nothing.
    """
    found: list[Path] = []
    missing: list[Diagnostic] = []
    for source in sources:
        files = _files(source)
        found += files
        if not files:
            missing.append(_nothing(source))
    if missing:
        raise DiagnosticError(tuple(missing))
    return list(dict.fromkeys(found))


def _files(source: str) -> list[Path]:
    if is_folder(source):
        try:
            return sorted((p for p in Path(source).iterdir() if _is_sample(p)), key=_natural)
        except OSError as error:
            fail("E0601", f"cannot read the folder {source}: {reason_of(error)}")
    if glob.has_magic(source) and not is_there(source):
        with suppress(ValueError):  # a NUL, or half of a character: no file has such a name
            found = map(Path, glob.iglob(source, recursive=True))  # noqa: PTH207  absolute ones too
            return sorted((p for p in found if _is_sample(p)), key=_natural)
    return [Path(source)] if is_file(source) else []


def _is_sample(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and is_file(path)


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key that sorts names with their numbers as numbers: 2 before 10."""
    parts = re.split(r"(\d+)", path.as_posix().casefold(), flags=re.ASCII)
    return [(int(part), "") if part.isdigit() and part.isascii() else (-1, part) for part in parts]


def _nothing(source: str) -> Diagnostic:
    endings = ", ".join(sorted(SUFFIXES))
    if is_folder(source):
        help = f"files that end in {endings}; of folders within it: -i '{source.rstrip('/')}/**/*.jpg'"
        return Diagnostic("E0601", f"there is no picture and no .npy file in the folder {source}", help=help)
    if glob.has_magic(source):
        return Diagnostic("E0601", f"no file fits the pattern {source}", help=f"files that end in {endings}")
    help = f"--shape {source} is another input size" if re.fullmatch(r"\d+(x\d+)+", source) else ""
    return Diagnostic("E0601", f"there is no file {source}", help=help)


def read_rows(path: Path, shape: Sequence[int]) -> Array:
    """The arrays float[N, *shape] of an .npy file that holds one or N of them, left on the disk until they
    are used. Their sizes may differ from `shape`, their axes may not. Raises E0601, E0607."""
    if path.suffix.lower() != ".npy":
        refuse_name(path, sorted(SUFFIXES))
    with opened(path, "npy file of inputs"):
        array: Array = np.lib.format.open_memmap(path, mode="r")
    return rows_of(array, shape, str(path))


def rows_of(array: Array | StoredArray, shape: Sequence[int], name: str) -> Array:
    """One array float[*shape], or N of them, as float[N, *shape].

    The number of axes tells which, so that 3x3x3 is one picture, channels first. Sizes may differ from
    `shape`. Raises E0607 about `name`, before anything is read.
    """
    expected = by_x(shape)
    rows = (1, *array.shape) if array.ndim == len(shape) else array.shape
    if len(rows) != len(shape) + 1 or not array.size:
        help = "N is 1 or more" if len(rows) == len(shape) + 1 else ""
        message = f"{name} has shape {by_x(array.shape) or 'of no axes'}, expected {expected} or Nx{expected}"
        fail("E0607", message, help=help)
    if len(shape) > 1 and rows[1] != shape[0] and rows[-1] == shape[0]:
        help = f"numpy.moveaxis(x, -1, -{len(shape)})"
        fail("E0607", f"{name} has shape {by_x(array.shape)}: channels come first, {expected}", help=help)
    if not np.issubdtype(array.dtype, np.floating):
        help = "x.astype('float32'), and scaled as the network expects"
        fail("E0607", f"{name} is {array.dtype}, expected floating-point numbers", help=help)
    return np.asarray(array).reshape(rows)


def read_ahead(
    paths: Iterable[Path], read: Callable[[Path], Collection[Array]], ahead: int
) -> Iterator[Sample | Failure]:
    """The arrays that `read` gives for each file, in order, while threads read the next `ahead` files."""

    def settled(path: Path) -> Collection[Array] | Diagnostic:
        try:
            return read(path)
        except DiagnosticError as error:
            return error.diagnostics[0]

    pool = ThreadPoolExecutor(READERS, "archforge-read")
    waiting: deque[tuple[Path, Future[Collection[Array] | Diagnostic]]] = deque()
    try:
        for path in paths:
            waiting.append((path, pool.submit(settled, path)))
            if len(waiting) > ahead:
                yield from _samples(*waiting.popleft())
        while waiting:
            yield from _samples(*waiting.popleft())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _samples(path: Path, read: Future[Collection[Array] | Diagnostic]) -> Iterator[Sample | Failure]:
    found, name = read.result(), path.as_posix()
    if isinstance(found, Diagnostic):
        yield Failure(name, found)
        return
    for index, array in enumerate(found):
        yield Sample(name if len(found) == 1 else f"{name}[{index}]", array)


def batches(samples: Iterable[Sample | Failure], size: int) -> Iterator[list[Sample] | Failure]:
    """Samples of one shape by up to `size`, in order; a failure as soon as it is met."""
    batch: list[Sample] = []
    for sample in samples:
        if isinstance(sample, Failure):
            yield sample
            continue
        if batch and batch[0].array.shape != sample.array.shape:
            yield batch
            batch = []
        batch.append(sample)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
