"""Files that are written whole or not at all.

A file is written beside its place under a name of ours, and renamed. Its writer holds a lock on it meanwhile,
so that the next one who writes into the folder can tell a file whose writer was killed, and delete it.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from archforge.errors import fail
from archforge.paths import is_file, is_folder, is_there, resolved

__all__ = ["made_folder", "one_writer", "reason_of", "rewrite", "sole_writer", "written_beside"]

UNFINISHED = re.compile(r"\.archforge-[0-9a-f]{16}")


def made_folder(folder: Path) -> Path:
    """Make a folder, with those around it, unless it is there; give it back. Raises E0705."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        file = next((part for part in (folder, *folder.parents) if is_file(part)), None)
        help = f"{file} is a file; name a folder beside it" if file else ""
        fail("E0705", f"cannot make the folder {folder}: {reason_of(error)}", help=help)
    return folder


@contextmanager
def written_beside(path: Path, *, synced: bool = True) -> Iterator[BinaryIO]:
    """A file to write, renamed to `path` once it is whole; nothing is left when that fails. Raises E0705.

    A device or a pipe is written to as it is: renaming would put a file in its place. synced: the bytes are
    on the disk before the name is, so that a loss of power, too, leaves the old file or the new one.
    """
    try:
        with suppress(OSError):
            path.lstat()
    except ValueError as error:  # a NUL, or half of a character, in the name
        fail("E0705", f"cannot write {path}: {reason_of(error)}")
    if is_folder(path):
        fail("E0705", f"cannot write {path}: it is a folder")
    beside = path.with_name(f".archforge-{secrets.token_hex(8)}")
    try:
        if is_there(path) and not is_file(path):
            with path.open("wb") as file:
                yield file
            return
        _sweep(path.parent)
        with _opened(beside) as file:
            yield file
            file.flush()
            if synced:
                os.fsync(file.fileno())
            if sys.platform == "win32":  # where an open file keeps its name
                file.close()
            beside.replace(path)
    except OSError as error:
        fail("E0705", f"cannot write {path}: {reason_of(error)}")
    finally:
        with suppress(OSError):
            beside.unlink()


def rewrite(path: Path, text: str) -> None:
    """Give a file that is there another text; its permissions stay, and a link stays one. Raises E0705."""
    path = resolved(path)
    with written_beside(path) as file:
        Path(file.name).chmod(stat.S_IMODE(path.stat().st_mode))
        file.write(text.encode())


def _opened(path: Path) -> BinaryIO:
    """A new file, marked as one that is being written until it is closed or the process ends."""
    while True:
        file = path.open("xb")
        with suppress(OSError):  # where there are no locks, `_sweep` deletes nothing
            _lock(file.fileno(), wait=True)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # `_sweep` came between


def _sweep(folder: Path) -> None:
    """Delete the unfinished files in a folder whose writers have ended."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            if UNFINISHED.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError), Path(entry.path).open("rb") as file:
                    _lock(file.fileno(), wait=False)
                    Path(entry.path).unlink()


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """The block is entered by one process at a time; others wait. Where the file system has no locks, nobody
    waits."""
    with ExitStack() as stack:
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            _lock(descriptor, wait=True)
        yield


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """The block, for a folder or a file that is there, is entered by one process alone. Raises E0705 where
    another is in it; where the file system has no locks, nobody is kept out."""
    with ExitStack() as stack:
        try:
            descriptor = os.open(path, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            _lock(descriptor, wait=False)
        except BlockingIOError:
            kind = "folder" if is_folder(path) else "file"
            help = f"wait for it, or name another {kind}"
            fail("E0705", f"another process is writing to {path}", help=help)
        except OSError:
            pass
        yield


def _lock(descriptor: int, *, wait: bool) -> None:
    """Lock an open file or folder until it is closed or the process ends. Raises OSError where another has
    locked it, unless it is to `wait`, and where there are no locks."""
    if sys.platform == "win32":
        raise OSError
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def reason_of(error: OSError | ValueError) -> str:
    """The system's words for an error, in lower case."""
    return (getattr(error, "strerror", None) or str(error)).lower()
