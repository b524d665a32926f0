"""Inputs of `archforge run`: pictures and arrays from files, preprocessed, and the names of classes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from archforge.cli.output import counted
from archforge.errors import did_you_mean, fail
from archforge.ir import TensorType

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Preparation", "prepared", "read_labels"]


class Preparation(NamedTuple):
    """A function from a file to arrays float[*shape], and a description of it."""

    read: Callable[[Path], Collection[NDArray[Any]]]
    words: str


def prepared(paths: Sequence[Path], shape: tuple[int, ...], name: str | None) -> Preparation:
    """A reader of pictures, preprocessed as `name` says or as is usual for their channels, and of .npy files.

    Raises E0001 for a preprocessing that does not exist or fit, and what `image_reader` raises.
    """
    from archforge.data.images import IMAGE_SUFFIXES, PREPROCESSINGS, image_reader
    from archforge.data.samples import read_rows

    if not any(path.suffix.lower() in IMAGE_SUFFIXES for path in paths):
        if name is not None:
            fail("E0001", "`--preprocess` is for pictures: arrays are taken as they are")
        return Preparation(lambda path: read_rows(path, shape), "arrays as they are")
    name = name or ("imagenet" if shape[0] == 3 else "unit")
    if name not in PREPROCESSINGS:
        help = did_you_mean(name, PREPROCESSINGS, what="there are")
        fail("E0001", f"there is no preprocessing `{name}`", help=help)
    chosen = PREPROCESSINGS[name]
    picture = image_reader(shape, chosen)
    if chosen and len(chosen.mean) not in (1, shape[0]):
        help = "--preprocess unit, or none"
        fail(
            "E0001", f"the preprocessing `{name}` is for colours, and the network's input is grey", help=help
        )

    def read(path: Path) -> Collection[NDArray[Any]]:
        return [picture(path)] if path.suffix.lower() in IMAGE_SUFFIXES else read_rows(path, shape)

    words = chosen.describe((shape[1], shape[2])) if chosen else "pixels as they are, 0 to 255"
    return Preparation(read, f"preprocessing {name}: {words}")


def read_labels(path: str, output: TensorType) -> list[str]:
    """The name of each class, one on a line. Raises E0601 unless there are as many as classes."""
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        fail("E0601", f"cannot read {path}: {reason.lower()}")
    if output.shape != (len(lines),):
        fail("E0601", f"{path} has {counted(len(lines), 'line')}, the network's output is {output}")
    return [line.strip() for line in lines]
