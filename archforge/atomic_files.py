"""Files that are written whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from archforge.errors import fail

__all__ = ["made_folder", "reason_of", "written_beside"]


def made_folder(folder: Path) -> Path:
    """Make a folder, with those around it, unless it is there; give it back. Raises E0705."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        file = next((part for part in (folder, *folder.parents) if part.is_file()), None)
        help = f"{file} is a file; name a folder beside it" if file else ""
        fail("E0705", f"cannot make the folder {folder}: {reason_of(error)}", help=help)
    return folder


@contextmanager
def written_beside(path: Path) -> Iterator[BinaryIO]:
    """A file to write, renamed to `path` once it is whole; nothing is left when that fails. Raises E0705.

    A device or a pipe is written to as it is: renaming would put a file in its place.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            with path.open("wb") as file:
                yield file
            return
        with beside.open("xb") as file:
            yield file
        beside.replace(path)
    except OSError as error:
        fail("E0705", f"cannot write {path}: {reason_of(error)}")
    finally:
        with suppress(OSError):
            beside.unlink()


def reason_of(error: OSError) -> str:
    """The system's words for an error, in lower case."""
    return (error.strerror or str(error)).lower()
