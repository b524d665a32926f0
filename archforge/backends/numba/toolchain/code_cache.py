"""Machine code on disk, a file for each function, which processes share, and one for each CPU (`machine.py`).

ARCHFORGE_CACHE: the folder, by default `archforge` in the user's cache folder; `~` is a home folder.
ARCHFORGE_CACHE_LIMIT: the most MiB that it keeps, 256 by default, and for a while a 16th
more for each process that writes; what was not used for longest goes first.

A file is a digest and the code that it is of, written beside and renamed: a reader finds all of it or
nothing, whoever else writes, and takes what is damaged for nothing. Where nothing can be written, what is
there is used all the same; where there can be no folder at all, each process compiles for itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from archforge.atomic_files import made_folder, reason_of, written_beside
from archforge.errors import DiagnosticError, fail
from archforge.plan import CodeCache

__all__ = [
    "cache_folder",
    "code_cache",
    "is_kept",
    "limit_bytes",
    "read_code",
    "require_writable",
    "write_code",
]

WAY_OUT = "ARCHFORGE_CACHE names another"
DIGEST = 32  # bytes of SHA-256
LIMIT_MIB = 256
USED_LATELY_S = 3600  # a file that was is not marked as used once more
# Thousands of files take longer to list than a function to compile. A process lists them again when it has
# written this part of the limit, since others write too, and deletes as much where they are over it.
SHARES = 16
_room: dict[tuple[Path, int], int] = {}  # bytes until then, by folder and limit


def cache_folder() -> Path:
    """The folder of all that one process leaves for the next: machine code, choices of kernels. Raises E0705
    where no home folder is known that it could be in."""
    given = os.environ.get("ARCHFORGE_CACHE", "")
    # A relative path is passed over in the one, as its specification says (XDG Base Directory 0.8).
    user = os.environ.get("XDG_CACHE_HOME", "")
    folder = given or (f"{user}/archforge" if Path(user).is_absolute() else "~/.cache/archforge")
    if not folder.startswith("~"):
        return Path(folder)
    path = Path(os.path.expanduser(folder))  # noqa: PTH111  pathlib raises what is hard to tell from other errors
    if not path.is_absolute():
        fail("E0705", f"there is no folder {folder}: no such home folder is known", help=WAY_OUT)
    return path


def _code_folder() -> Path:
    return cache_folder() / "code"


def is_kept(name: str) -> bool:
    """True if there is a file of that name, damaged or not."""
    try:
        return (_code_folder() / name).exists()
    except (OSError, DiagnosticError):
        return False


def read_code(name: str) -> bytes:
    """The code that was written under a name; empty if there is none, or if it is damaged."""
    try:
        path = _code_folder() / name
        data = path.read_bytes()
    except (OSError, DiagnosticError):
        return b""
    digest, code = data[:DIGEST], data[DIGEST:]
    if hashlib.sha256(code).digest() != digest:
        return b""
    with suppress(OSError):  # it may not be ours to mark
        if path.stat().st_mtime < time.time() - USED_LATELY_S:
            os.utime(path)
    return code


def write_code(name: str, code: bytes) -> None:
    """Keep code under a name if the folder can be written. Where all is over the limit the oldest is deleted,
    now or after a few more functions."""
    limit = limit_bytes()
    with suppress(OSError, DiagnosticError):  # to run without a cache is better than not to run
        path = made_folder(_code_folder()) / name
        with written_beside(path, synced=False) as file:  # its digest tells what a loss of power cuts short
            file.write(hashlib.sha256(code).digest() + code)
    with suppress(DiagnosticError):
        place = _code_folder(), limit
        _room[place] = _room.get(place, 0) - DIGEST - len(code)
        if _room[place] < 0:
            _room[place] = _room_made(limit)


def _room_made(limit: int) -> int:
    """Bytes that may be written before the files are listed again, after the oldest are deleted where all are
    over the limit."""
    files, share = sorted(_files(), reverse=True), limit // SHARES
    free = limit - sum(size for _, size, _ in files)
    if free >= 0:
        return min(free, share)
    kept = 0
    for _, size, path in files:
        kept += size
        if kept > limit - share:
            with suppress(OSError):  # another process may have been quicker
                path.unlink()
    return share


def require_writable() -> None:
    """Raises E0705 where no code can be kept."""
    folder = _code_folder()
    if reason := _hindrance(folder):
        fail("E0705", f"nothing can be kept in the folder {folder}: {reason}", help=WAY_OUT)


def _hindrance(folder: Path) -> str:
    """The reason why nothing can be written to a folder, which need not be there yet; empty if there is none.
    Nothing is made to find out."""
    for place in (folder, *folder.parents):
        try:
            status = place.stat()
            if not stat.S_ISDIR(status.st_mode):
                return f"{place} is no folder"
            if not os.access(place, os.W_OK | os.X_OK):
                return f"{place} may not be written"
            return "" if shutil.disk_usage(place).free else f"{place} has no room left"
        except FileNotFoundError:
            if place.is_symlink():
                return f"{place} is a link to nothing"
        except OSError as error:
            return reason_of(error)
    return f"there is no {folder.anchor or 'working folder'}"


def code_cache() -> CodeCache:
    """The functions that are kept, those for other machines and versions too. Raises E0705 where there is no
    folder for them."""
    folder = _code_folder()
    sizes = tuple(size for _, size, path in _files() if path.suffix == ".o")
    return CodeCache(folder, sizes, _hindrance(folder))


def _files() -> Iterator[tuple[float, int, Path]]:
    """The time of last use, the size and the path of each file, half-written ones too."""
    with suppress(OSError, DiagnosticError):
        for entry in os.scandir(_code_folder()):
            with suppress(OSError):
                status = entry.stat()
                yield status.st_mtime, status.st_size, Path(entry.path)


def limit_bytes() -> int:
    """The most bytes that the cache keeps. Raises E0701 for an ARCHFORGE_CACHE_LIMIT that is no number."""
    given = os.environ.get("ARCHFORGE_CACHE_LIMIT", "") or str(LIMIT_MIB)
    if not re.fullmatch(r"\d{1,9}", given):
        fail("E0701", f"ARCHFORGE_CACHE_LIMIT={given} is no number of MiB", help="ARCHFORGE_CACHE_LIMIT=256")
    return int(given) << 20
