"""MNIST's format: one array a file behind a header of its type and sizes."""

from __future__ import annotations

import gzip
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from archforge.data.opened_files import DEFLATED, GZIP, opened
from archforge.data.stored_arrays import FileVersion, StoredArray
from archforge.datasets.arrays import ArraySamples, sampled
from archforge.datasets.base import AnyArray, Data, Format
from archforge.datasets.picture_files import within
from archforge.errors import fail
from archforge.ir import by_x
from archforge.ops.lazy_numpy import np
from archforge.paths import is_file, is_folder

__all__ = ["Idx"]

WHAT = "idx file"
# The third byte of a file: the type of its elements, whose bytes come highest first.
TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_AXES = 8
IMAGES = re.compile(r"(?i)images?(?=[-_.]|idx)")
SPLITS = (re.compile(r"(?i)train"), re.compile(r"(?i)t10k|test|valid|val"))


class Idx(Format):
    """MNIST's four files, packed by gzip or not, in a folder: `train-images-idx3-ubyte`,
    `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`; or a file of images,
    whose labels lie beside it under the same name with `labels` and `idx1`. Fashion-MNIST, EMNIST and others
    have this format too. Source: yann.lecun.com/exdb/mnist.

    Attributes:
    images: the file of images in the folder; empty for the one whose name has `train`.
    labels: the file of their labels; empty for the name of the images with `labels`.
    held_back_images: the file of images that are held back; empty for the one whose name has `t10k`, `test`
      or `val`.
    held_back_labels: the file of their labels.
    """

    word = "idx"
    elsewhere = ("MNIST", "FashionMNIST", "EMNIST", "ubyte")

    images: str = ""
    labels: str = ""
    held_back_images: str = ""
    held_back_labels: str = ""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        if is_folder(path):
            return bool(_files_of_images(path))
        return is_file(path) and (_is_named_so(path) or _begins_as_idx(path))

    def open(self, path: Path, shape: tuple[int, ...]) -> Data:
        if not is_folder(path):
            if "labels" in path.name and not self.labels:
                help = "the file of images, whose labels lie beside it, or their folder"
                fail("E0601", f"{path} holds labels by its name", help=help)
            for setting in ("images", "held_back_images", "held_back_labels"):
                if getattr(self, setting):
                    fail("E0609", f"`{setting}` is for a folder, and {path} is a file", help="its folder")
            return Data(_samples(path, self._labels(path, self.labels)))
        train = self._images(path, self.images, 0)
        if train is None:
            fail("E0601", f"{path} has no file of images to train on", help="train-images-idx3-ubyte")
        held_back = self._images(path, self.held_back_images, 1)
        samples = _samples(train, self._labels(train, self.labels))
        if held_back is None:
            return Data(samples)
        return Data(samples, _samples(held_back, self._labels(held_back, self.held_back_labels)))

    def _images(self, folder: Path, given: str, split: int) -> Path | None:
        if given:
            return within(folder, given)
        found = [file for file in _files_of_images(folder) if SPLITS[split].search(file.name)]
        plain = [file for file in found if file.suffix != ".gz" or file.with_suffix("") not in found]
        if len(plain) > 1:
            names = ", ".join(file.name for file in plain)
            setting = "held_back_images" if split else "images"
            help = f"--set 'train.data.format={{idx: {{{setting}: {plain[0].name}}}}}'"
            fail("E0601", f"{folder} has several files of images: {names}", help=help)
        return plain[0] if plain else None

    @staticmethod
    def _labels(images: Path, given: str) -> Path:
        if given:
            return within(images.parent, given)
        name = IMAGES.sub("labels", images.name).replace("idx3", "idx1")
        found = [images.with_name(n) for n in (name, f"{name}.gz", name.removesuffix(".gz"))]
        labels = next((file for file in found if is_file(file) and file != images), None)
        if labels is None:
            wanted = name if name != images.name else "train-labels-idx1-ubyte"
            help = f"its labels, {wanted}, beside it; or --set 'train.data.format={{idx: {{labels: NAME}}}}'"
            fail("E0601", f"there are no labels for {images}", help=help)
        return labels


def _files_of_images(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if _is_named_so(file) and is_file(file))


def _is_named_so(path: Path) -> bool:
    return bool(IMAGES.search(path.name)) and "idx" in path.name.lower() and not path.name.startswith(".")


def _begins_as_idx(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(4)
            if head.startswith(GZIP):
                file.seek(0)
                head = gzip.GzipFile(fileobj=file).read(4)
    except (OSError, EOFError):
        return False
    return len(head) == 4 and not any(head[:2]) and head[2] in TYPES and 1 <= head[3] <= MOST_AXES


def _samples(images: Path, labels: Path) -> ArraySamples:
    x, y = _read_idx(images), _read_idx(labels)
    if x.ndim == 1 and y.ndim > 1:
        fail("E0601", f"{images} holds labels, and {labels} images", help="the two are swapped")
    if x.ndim == 1:
        fail("E0601", f"{images} holds labels, not images: it has one axis of {len(x):,}")
    if y.ndim > 1:
        fail("E0601", f"{labels} holds no labels: its shape is {by_x(y.shape)}")
    return sampled(str(images), x, y, names=("images", str(labels.name)))


class IdxHeader(NamedTuple):
    """The header of an idx file: the type of its elements, their shape, and bytes up to the first."""

    dtype: str
    shape: tuple[int, ...]
    length: int

    @property
    def end(self) -> int:
        """Bytes of header and elements together."""
        return self.length + math.prod(self.shape) * np.dtype(self.dtype).itemsize


def _read_idx(path: Path) -> StoredArray:
    """The array of an idx file, packed by gzip or not. Raises E0601."""
    with opened(path, WHAT, may_be_packed=True) as file:
        is_packed = file.read(2) == GZIP
        file.seek(0)
        header = _header(gzip.GzipFile(fileobj=file) if is_packed else file)
        size = os.fstat(file.fileno()).st_size
        if header.end > size * DEFLATED if is_packed else header.end != size:
            have = f"{size:,} packed ones" if is_packed else f"{size:,}"
            raise ValueError(f"its header describes {header.end:,} bytes, the file has {have}")
        dtype = np.dtype(header.dtype).newbyteorder("=")
        version = FileVersion.of(file, path, WHAT)

    def read(file: BinaryIO) -> AnyArray:
        content = b"".join(_parts(gzip.GzipFile(fileobj=file) if is_packed else file, header.end + 1))
        if len(content) != header.end:
            there = "more" if len(content) > header.end else f"{len(content):,}"
            raise ValueError(f"its header describes {header.end:,} bytes, and there are {there}")
        found = np.frombuffer(content, header.dtype, offset=header.length)
        return found.reshape(header.shape).astype(dtype, copy=False)

    return StoredArray(version, header.shape, dtype, header.dtype, read)


def _header(file: BinaryIO | gzip.GzipFile) -> IdxHeader:
    magic = file.read(4)
    if len(magic) < 4 or any(magic[:2]) or magic[2] not in TYPES or not 1 <= magic[3] <= MOST_AXES:
        raise ValueError(f"it begins with {magic.hex(' ')}, and an idx file with 00 00, a type and its axes")
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise ValueError("it ends within its header")
    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, len(sizes), 4))
    return IdxHeader(TYPES[magic[2]], shape, 4 + len(sizes))


def _parts(file: BinaryIO | gzip.GzipFile, most: int) -> Iterator[bytes]:
    """The bytes of a file up to `most`, which a header has said, so that no more is held than there is."""
    while most and (part := file.read(min(most, 1 << 24))):
        yield part
        most -= len(part)
