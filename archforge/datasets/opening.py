"""Data of a path: its format is told by what lies there, or named."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from archforge.atomic_files import reason_of
from archforge.data.opened_files import GZIP, HEAD, FileKind, kind_of
from archforge.datasets.base import Data, Format
from archforge.errors import fail
from archforge.parts import all_parts
from archforge.paths import is_file, is_there

__all__ = ["detect", "open_data"]


def open_data(path: str | Path | None, shape: tuple[int, ...], format: Format | None = None) -> Data:
    """The samples of a file or folder for a network whose input has this shape; those that come with
    archforge where there is no path. Raises E0601."""
    from archforge.datasets.formats.digits import DIGITS, Digits

    if path is None:
        if format is not None and not isinstance(format, Digits):
            fail("E0601", f"data of the format `{format.word}` are needed", help="--data PATH")
        return Digits().open(DIGITS, shape)
    path = Path(path)
    if isinstance(format, Digits):
        fail("E0601", f"{path} is not read: the format `digits` brings its own data", help="leave one out")
    if not is_there(path):
        fail("E0601", f"there is no file or folder {path}")
    try:
        kind = _kind(path)
        if kind and kind.runs_code:
            fail("E0601", f"{path} is no data: it is {kind.words}", help=ARRAYS)
        return (format or detect(path)).open(path, shape)
    except OSError as error:
        fail("E0601", f"cannot read {error.filename or path}: {reason_of(error)}")


def detect(path: Path) -> Format:
    """The format of a file or folder, with the settings that it has by default. Raises E0601, OSError."""
    formats: Mapping[str, type[Format]] = all_parts(Format)
    found = [word for word, cls in formats.items() if cls.recognises(path)]
    if len(found) > 1:
        help = f"--set train.data.format={found[0]}"
        fail("E0601", f"{path} may be {' or '.join(found)}", help=help)
    if not found:
        kind = _kind(path)
        more = f": it is {kind.words}" if kind else ""
        help = f"formats: {', '.join(formats)}; docs/data.md says what each looks like"
        fail("E0601", f"cannot tell the format of {path}{more}", help=(kind and kind.help) or help)
    return formats[found[0]]()


def _kind(path: Path) -> FileKind | None:
    """The kind of a file of another program; of a packed one, that of what is in it."""
    if not is_file(path):
        return None
    if path.suffix.lower() in PICKLED:
        return FileKind("a pickle by its name, which is never executed here", ARRAYS, runs_code=True)
    with path.open("rb") as file:
        head = file.read(HEAD)
        if head.startswith(GZIP):
            with suppress(OSError, EOFError, zlib.error):
                file.seek(0)
                return kind_of(gzip.GzipFile(fileobj=file).read(HEAD)) or kind_of(head)
    return kind_of(head)


PICKLED = (".pkl", ".pickle", ".pt", ".pth")
ARRAYS = "in Python, if you trust it: load it there, and numpy.savez('data.npz', x_train=..., y_train=...)"
