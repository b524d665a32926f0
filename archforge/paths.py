"""Questions about paths that come from anybody. Where pathlib would raise, as for a name that is too long or
holds a NUL, or a folder that may not be entered, the answer is that nothing is there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, TypeGuard

__all__ = ["as_text", "has_drive", "is_file", "is_folder", "is_name", "is_there", "resolved", "within"]


def as_text(path: str | Path) -> str:
    """The path as text that any file can hold: its bytes are taken as UTF-8, whatever the locale has made of
    them."""
    return os.fsencode(path).decode("utf-8", "replace")


def has_drive(path: str) -> bool:
    """True for a path that begins with a drive of Windows, whose colon parts nothing."""
    return re.match(r"[A-Za-z]:[\\/]", path) is not None


def is_name(value: Any) -> TypeGuard[str]:
    """True for the name of a file alone, without a folder on any system: it cannot lead out of one."""
    is_plain = isinstance(value, str) and value not in ("", "..") and "\\" not in value
    return is_plain and Path(value).name == value


def is_there(path: str | Path) -> bool:
    """True if something has this name."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: str | Path) -> bool:
    """True if a file has this name."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | Path) -> bool:
    """True if a folder has this name."""
    return os.path.isdir(path)  # noqa: PTH112


def resolved(path: Path) -> Path:
    """The absolute path without links. Raises OSError or ValueError where none can be told: the working
    folder was deleted, the name holds a NUL."""
    return Path(os.path.realpath(path))


def within(folder: Path, name: str) -> Path | None:
    """The absolute path without links of a file in a folder or below it, by its name from there; None where
    that is elsewhere, or the folder itself."""
    try:
        place, file = resolved(folder), resolved(folder / name)
    except (OSError, ValueError):
        return None
    return file if place in file.parents else None
