"""Library of documents: found and read from files, the shipped zoo, text, a mapping, or standard input."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path, PureWindowsPath
from types import MappingProxyType
from typing import Any

import yaml

from archforge.atomic_files import reason_of
from archforge.errors import SourceFile, Span, did_you_mean, fail
from archforge.paths import as_text, is_file, is_folder, is_there, resolved
from archforge.resources import zoo_folder
from archforge.spec import limits
from archforge.spec.syntax.parse_document import parse_document
from archforge.spec.syntax.syntax_tree import SpecDocument
from archforge.spec.yaml.plain_text import yaml_text
from archforge.spec.yaml.tree import span_at

__all__ = [
    "OTHER_SUFFIX",
    "PROFILE_MARK",
    "SUFFIX",
    "Library",
    "check_size",
    "decoded",
    "find_spec",
    "is_among_specs",
    "spec_files",
    "split_profile",
]

SUFFIX = ".yaml"
MAX_BYTES = 4 * limits.CHARACTERS.most  # in UTF-8
PROFILE_MARK = "@"  # SPEC@PROFILE
HEAD_BYTES = 1 << 16  # of a file, in which the key is looked for that says it is a spec
_VERSION = re.compile(rb"^archforge[ \t]*:", re.MULTILINE)
OTHER_SUFFIX = ".yml"  # read where it is named in full or lies in a folder, and never added to a name


def spec_files(folder: Path) -> list[Path]:
    """Every file in `folder` and below that ends as YAML does, in capitals too, in order of names."""
    endings = (SUFFIX, OTHER_SUFFIX)
    found = (p for p in folder.rglob("*") if p.suffix.lower() in endings and is_file(p))
    return sorted(p for p in found if not any(q.startswith(".") for q in p.relative_to(folder).parts))


def is_among_specs(path: Path, text: str | None = None) -> bool:
    """True if a file of YAML is meant as a spec: it, or another of its folder, has the key `archforge`. One
    that mistypes the word is a spec by its neighbours.

    text: what is in the file, if it is not what is on the disk.
    """
    if text is not None and _VERSION.search(text.encode()):
        return True
    return any(_has_version(other) for other in _beside(path.parent))


def _has_version(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return bool(_VERSION.search(file.read(HEAD_BYTES)))
    except OSError:
        return False


def find_spec(name: str) -> Path:
    """The file that `name` means: a path, with or without suffix, else a spec of the shipped zoo.

    Raises E0002.
    """
    if found := _found(name):
        return found
    other = Path(name.removesuffix(SUFFIX) + OTHER_SUFFIX)
    if _is_there(other):
        fail("E0002", f"there is no spec `{name}`", help=f"rename `{other}`: specs end in {SUFFIX}")
    if name and is_folder(name):
        fail("E0002", f"`{name}` is a folder", help="name one spec; `archforge check` takes folders")
    if "\\" in name and os.sep == "/":
        help = f"a path has `/` here: {PureWindowsPath(name).as_posix()}"
        fail("E0002", f"there is no spec `{name}`", help=help)
    spec, profile = split_profile(name)
    if profile and _found(spec):
        fail("E0002", f"there is no spec `{name}`", help=f"its profile is named by `--profile {profile}`")
    near = did_you_mean(Path(name).stem, [p.stem for p in spec_files(zoo_folder())])
    hint = near if near.startswith("did") else "`archforge list` shows the shipped zoo"
    fail("E0002", f"there is no spec `{name}`, neither here nor in the shipped zoo", help=hint)


def split_profile(name: str) -> tuple[str, str | None]:
    """The spec and the profile of `SPEC@PROFILE`; None for a name that says no profile."""
    spec, mark, profile = name.rpartition(PROFILE_MARK)
    if not mark or ":" in profile or is_there(name):
        return name, None
    return spec, profile


def _found(name: str) -> Path | None:
    """The file of a spec, as `find_spec` finds it; None where there is none."""
    for candidate in (Path(name), Path(name + SUFFIX)):
        if _is_there(candidate):
            return candidate
    shipped = zoo_folder() / (name if name.endswith(SUFFIX) else name + SUFFIX)
    return shipped if Path(name).name == name and _is_there(shipped) else None


def _is_there(path: Path) -> bool:
    """True if there is something to read: a file, or a pipe such as bash's `<(...)`."""
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except PermissionError:  # reading it says so
        return True
    except (OSError, ValueError):  # no name of a file, being too long perhaps
        return False


class Library:
    """Reader of documents, which reads each file once. `unsaved` are texts that stand for files, by paths
    without links."""

    def __init__(self, unsaved: Mapping[Path, str] = MappingProxyType({})) -> None:
        self._unsaved = unsaved
        self._documents: dict[Path, SpecDocument] = {}
        self._folders: dict[int, Path | None] = {}
        self._asked: dict[Path, None] = {}

    def read(self, path: Path) -> SpecDocument:
        """The document of a file. Raises its mistakes, or E0106 and E0107."""
        try:
            real = resolved(path)
        except (OSError, ValueError) as error:
            fail("E0106", f"{path.as_posix()} cannot be read: {reason_of(error)}")
        self._asked[real] = None
        document = self._documents.get(real)
        if document is None:
            name = _shown(path)
            text = self._unsaved[real] if real in self._unsaved else _read_text(path, name)
            document = self._keep(parse_document(SourceFile(name, text)), real.parent)
            self._documents[real] = document
        return document

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that were asked for, also those that have mistakes or could not be read."""
        return tuple(self._asked)

    def read_text(self, text: str, name: str = "<text>") -> SpecDocument:
        """A document from text; `extends` and `imports` reach the shipped zoo only."""
        return self._keep(parse_document(SourceFile(name, text)), None)

    def read_mapping(self, mapping: Mapping[str, Any], name: str = "<mapping>") -> SpecDocument:
        """A document from plain data; messages show it as YAML."""
        try:
            text = yaml_text(dict(mapping), sort_keys=False, allow_unicode=True, width=110)
        except yaml.YAMLError as error:
            fail("E0203", f"{name} holds something that is no plain data: {error}")
        return self.read_text(text, name)

    def read_stdin(self) -> SpecDocument:
        return self.read_text(sys.stdin.read(limits.CHARACTERS.most + 1), "<stdin>")

    def _keep(self, document: SpecDocument, folder: Path | None) -> SpecDocument:
        self._folders[id(document)] = folder
        return document

    def reference(self, name: str, document: SpecDocument, span: Span) -> Path:
        """The file that `extends: name` or `imports: [name]` in `document` means. Raises E0316.

        Specs are untrusted: the name cannot leave the spec's folder or the shipped zoo.
        """
        parts = Path(name).parts
        windows = PureWindowsPath(name)
        if not parts or Path(name).is_absolute() or windows.drive or ".." in (*parts, *windows.parts):
            fail(
                "E0316",
                f"`{name}` leaves the folder of the spec",
                span,
                help="a spec of the same folder, of one below it, or of the zoo",
            )
        if path := self.beside(name if name.endswith(SUFFIX) else name + SUFFIX, document):
            return path
        folders = self._places(document)
        parent = Path(name).parent
        known = dict.fromkeys((parent / p.stem).as_posix() for f in folders for p in _beside(f / parent))
        fail(
            "E0316",
            f"there is no spec `{name}`, neither beside this one nor in the zoo",
            span,
            help=_near(name, known),
        )

    def beside(self, file: str, document: SpecDocument) -> Path | None:
        """The file of that name, from the folder of the document or the shipped zoo; None where neither has
        it. The name leads into both or below them."""
        for folder in self._places(document):
            path = folder / file
            if is_file(path) and (real := resolved(path)).is_relative_to(resolved(folder)):
                return real
        return None

    def size(self, path: Path) -> int:
        """Bytes of a file that `reference` has found."""
        return path.stat().st_size

    def _places(self, document: SpecDocument) -> list[Path]:
        return [folder for folder in (self._folders.get(id(document)), zoo_folder()) if folder]


def _near(name: str, known: Iterable[str]) -> str:
    hint = did_you_mean(name, known)
    return hint if hint.startswith("did") else ""


def _beside(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}")) if is_folder(folder) else []


def _shown(path: Path) -> str:
    """Path for messages: relative where it is below the current folder."""
    try:
        return as_text(resolved(path).relative_to(Path.cwd()).as_posix())
    except (OSError, ValueError):  # the working folder may be gone
        return as_text(path.as_posix())


def _read_text(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # A device or pipe has no size, and perhaps no end.
            data = b"" if size > MAX_BYTES else file.read(MAX_BYTES + 1)
    except OSError as error:
        fail("E0106", f"{name} cannot be read: {reason_of(error)}")
    check_size(max(size, len(data)), name)
    return decoded(data, name)


def check_size(size: int, name: str) -> None:
    """Raise E0107 for a file of too many bytes."""
    if size > MAX_BYTES:
        fail(limits.CHARACTERS.code, f"{name}: {limits.CHARACTERS.told()}")


def decoded(data: bytes, name: str) -> str:
    """The text of a file of that name. Raises E0106."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        source = SourceFile(name, data.decode("utf-8", "replace"))
        span = span_at(source, len(data[: error.start].decode("utf-8")))
        message = f"byte 0x{data[error.start]:02X} is not UTF-8 text"
        fail("E0106", message, span, help="save the file as UTF-8")
