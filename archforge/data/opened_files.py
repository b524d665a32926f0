"""Files opened for reading: whatever is wrong with one is told as E0601, by its name, with a way out.

One list of what malformed bytes raise serves all readers, and one table of the kinds of files that are taken
for others: a pointer of Git LFS, a page that a server sent in place of a download, a pickle.
"""

from __future__ import annotations

import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn, Protocol

from archforge.atomic_files import reason_of
from archforge.errors import fail

__all__ = [
    "DEFLATED",
    "GZIP",
    "HDF5",
    "HEAD",
    "MALFORMED",
    "TORCHSCRIPT",
    "FileKind",
    "NamedFormat",
    "endings",
    "is_named_as",
    "kind_of",
    "opened",
    "reason_in",
    "refuse_kind",
    "refuse_name",
    "refuse_other_kinds",
    "sha256_of",
]

# What NumPy, zipfile, zlib and json raise on bytes that are not what they claim to be. MemoryError: a header
# that promises more than there is.
MALFORMED = (
    ValueError, TypeError, LookupError, EOFError, SyntaxError, ArithmeticError, MemoryError, RuntimeError,
    zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError,
)  # fmt: skip

HEAD = 512  # bytes that tell the kind of a file
GZIP = b"\x1f\x8b"  # the first bytes of a file that gzip has packed
HDF5 = b"\x89HDF\r\n\x1a\n"  # the first bytes of a file of HDF5
DEFLATED = 1032  # bytes that one byte of zlib's or gzip's can stand for, at most


class FileKind(NamedTuple):
    """A kind of files in words, and the way from one of weights to arrays that archforge reads. runs_code: to
    read it as its own program does is to run what it says. ending: that of the names under which its weights
    are read here, if they are."""

    words: str
    help: str
    runs_code: bool = False
    ending: str = ""


def _read_here(words: str, ending: str, *, runs_code: bool = False) -> FileKind:
    return FileKind(words, f"weights of it are read from a name that ends in {ending}", runs_code, ending)


TORCHSCRIPT = FileKind(
    "a file of torch.jit", "in torch: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')"
)
_UNPACK = "unpack it first"

# The first that fits counts.
_KINDS: tuple[tuple[Callable[[bytes], bool], FileKind], ...] = (
    (
        lambda head: head.startswith(b"version https://git-lfs"),
        FileKind("a pointer of Git LFS, and the file itself was not fetched", "git lfs pull"),
    ),
    (
        lambda head: head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")),
        FileKind("a web page", "download the file itself; some servers send a page where a login is missing"),
    ),
    (
        lambda head: head.startswith(b"PK") and b"/data.pkl" in head[:200],
        _read_here("a file of torch.save", ".pth", runs_code=True),
    ),
    (lambda head: head.startswith(b"PK") and b"/data/0" in head[:200], TORCHSCRIPT),
    (
        lambda head: head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5",
        _read_here(
            "a pickle, such as torch.save writes, which is never executed here", ".pth", runs_code=True
        ),
    ),
    (
        lambda head: head.startswith(HDF5),
        _read_here("a file of HDF5, as Keras writes", ".h5"),
    ),
    (
        lambda head: head.startswith(b"PK") and b"metadata.json" in head[:200],
        _read_here("a file of Keras", ".keras"),
    ),
    (
        lambda head: head[:1] == b"\x08" and 1 <= head[1] <= 20 and head[2:3] in b"\x12\x1a\x22\x2a\x3a",
        _read_here("an ONNX model", ".onnx"),
    ),
    (
        lambda head: head.startswith((GZIP, b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf")),
        FileKind("a compressed file", _UNPACK),
    ),
    (lambda head: head[257:262] == b"ustar", FileKind("a tar archive", _UNPACK)),
    (lambda head: head.startswith(b"GGUF"), FileKind("a file of GGUF", "")),
)


# Files that are read here, by their first bytes and the ending that their names should have.
_OWN: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (lambda head: head[5:9] == b"\0\0\0{", ".safetensors"),  # behind a length below 2^40
    (lambda head: head.startswith(b"PK") and b".npy" in head[:200], ".npz"),
    (lambda head: head.startswith(b"\x93NUMPY"), ".npy"),
)


def _ending_for(path: Path, head: bytes) -> str | None:
    """The ending that a file should have by its first bytes, if it has another."""
    ending = next((ending for fits, ending in _OWN if fits(head)), None)
    return None if ending is None or path.name.lower().endswith(ending) else ending


def kind_of(head: bytes) -> FileKind | None:
    """The kind of a file of another program, by its first bytes; None for one that is not known here."""
    return next((kind for fits, kind in _KINDS if len(head) > 2 and fits(head)), None)


@contextmanager
def opened(
    path: Path,
    what: str,
    *,
    takes: str = "",
    known: Collection[str] = (),
    may_be_packed: bool = False,
    is_known: bool = False,
) -> Iterator[BinaryIO]:
    """A file to read as `what`, such as `npz file of weights`.

    Raises E0601 if it cannot be opened, is empty or of another kind, or if what is done with it raises what
    malformed bytes do. takes: the ending of a kind of another program that the reader takes. known: the
    endings of what can be read here under another name. may_be_packed: the reader takes files that gzip has
    packed. is_known: what it is has been told already, so its first bytes are not looked at.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():  # a pipe would be waited for
            fail("E0601", f"cannot read {path}: it is no regular file")
        with path.open("rb") as file:
            if not is_known:
                head = file.read(HEAD)
                _refuse_others(path, what, head, takes, may_be_packed=may_be_packed)
                if ending := _ending_for(path, head):
                    message = f"{path} is no {what}: it holds what {ending} files do"
                    fail("E0601", message, help=_renamed(path, ending, known))
                file.seek(0)
            yield file
    except OSError as error:
        fail("E0601", f"cannot read {path}: {reason_of(error)}")
    except MALFORMED as error:
        fail("E0601", f"{path} is no {what}: {reason_in(error)}")


def _refuse_others(path: Path, what: str, head: bytes, takes: str, *, may_be_packed: bool) -> None:
    """Raises E0601 for an empty file and for one of another program than the reader takes."""
    if not head:
        fail("E0601", f"{path} is no {what}: it is empty")
    kind = None if may_be_packed and head.startswith(GZIP) else kind_of(head)
    if kind and (not kind.ending or kind.ending != takes):
        refuse_kind(path, what, kind)


def refuse_kind(path: Path, what: str, kind: FileKind) -> NoReturn:
    """Raises E0601 for a file that is to be read as `what`, and is of this kind."""
    fail("E0601", f"{path} is no {what}: it is {kind.words}", help=kind.help)


def _renamed(path: Path, ending: str, known: Collection[str]) -> str:
    return f"name it {path.with_suffix(ending).name}" if ending in known else ""


def refuse_other_kinds(path: Path, what: str) -> None:
    """Raises E0601 for a file that cannot be opened, is empty, or is of another program."""
    with opened(path, what):
        pass


def refuse_name(path: Path, known: Collection[str]) -> NoReturn:
    """Raises E0601 for a file whose name has none of the `known` endings; its bytes may tell more."""
    if path.is_dir():
        fail("E0601", f"{path} is a folder", help=f"a file in it: {endings(known)}")
    head = b""
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(HEAD)
    more, help = "", endings(known)
    if kind := kind_of(head):
        more, help = f": it is {kind.words}", kind.help
    elif ending := _ending_for(path, head):
        more = f": it holds what {ending} files do"
        help = _renamed(path, ending, known) or help
    fail("E0601", f"cannot tell the format of {path} from its name{more}", help=help)


class NamedFormat(Protocol):
    """A format whose files have names that end so, in small letters or capitals."""

    @property
    def endings(self) -> tuple[str, ...]: ...


def is_named_as(path: str | Path, formats: Iterable[NamedFormat]) -> bool:
    """True if a file's name ends as those of one of the formats do."""
    return str(path).lower().endswith(tuple(ending for each in formats for ending in each.endings))


def endings(known: Iterable[str]) -> str:
    """The help line for a file's name that ends in nothing known."""
    *rest, last = known
    return f"a name that ends in {', '.join(rest)}{' or ' if rest else ''}{last}"


def reason_in(error: BaseException) -> str:
    """The first line of what an error of a reader says, or else its name."""
    return str(error).splitlines()[0] if str(error).strip() else type(error).__name__


def sha256_of(file: BinaryIO) -> str:
    """The digest of the bytes of a file from where it stands, a part at a time."""
    digest = sha256()
    for part in iter(partial(file.read, 1 << 20), b""):
        digest.update(part)
    return digest.hexdigest()
