"""Specs of a git revision, read from git's store: nothing is checked out, and no shell is used.

`HEAD~3:zoo_specs/resnet_50.yaml` is named as git names it: from the top of the repository, or with `./` from
the current folder. What it extends and imports is read from the same revision.
"""

from __future__ import annotations

import os
import posixpath
import subprocess
from pathlib import Path
from typing import NoReturn

from archforge.errors import SourceFile, fail, printable
from archforge.paths import has_drive, is_there
from archforge.spec.resolve.library import OTHER_SUFFIX, SUFFIX, Library, check_size, decoded
from archforge.spec.resolve.resolve import resolve
from archforge.spec.resolve.spec import Spec
from archforge.spec.syntax.parse_document import parse_document
from archforge.spec.syntax.syntax_tree import SpecDocument

__all__ = ["names_revision", "open_revision"]

TIMEOUT_S = 60
# Git asks nobody, fetches nothing, locks nothing, and says what is wrong in the words that are looked for.
_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
    "LANGUAGE": "C",
}


def names_revision(source: str) -> bool:
    """True for `REVISION:PATH` whose path ends as specs do. A file of that whole name is a file, as is what
    begins with a drive of Windows; a block behind a colon, `resnet:bottleneck`, has no such ending."""
    _, path = _parted(source)
    is_spec = path.lower().endswith((SUFFIX, OTHER_SUFFIX))
    return is_spec and ":" in source and not (has_drive(source) or is_there(source) or "\n" in source)


def _parted(source: str) -> tuple[str, str]:
    """Revision and path: at the last colon, as a path of a spec has none and a revision may have some, such
    as `HEAD@{2026-11-01 12:30}`. `:0:PATH` is of the index."""
    revision, _, path = source.rpartition(":")
    return revision, path


def open_revision(source: str) -> Spec:
    """The spec that `REVISION:PATH` names. Raises E0002 where git does not know it, and what `open_spec`
    raises."""
    revision, path = _parted(source)
    if revision.startswith("-"):
        fail("E0001", f"`{revision}` is no revision: none begins with a dash")
    library = _RevisionLibrary(revision)
    file = Path(_from_top(path))
    return resolve(library.read(file), library, file.stem)


def _from_top(path: str) -> str:
    """A path from the top of the repository; `./` and `../` are of the current folder."""
    if path.split("/")[0] not in (".", ".."):
        return path
    _, out, _ = _git("rev-parse", "--show-prefix")
    return posixpath.normpath(out.decode("utf-8", "surrogateescape").strip() + path)


class _RevisionLibrary(Library):
    """Reader of documents of one revision, which falls back on the shipped zoo as any other."""

    def __init__(self, revision: str) -> None:
        super().__init__()
        self.revision = revision
        self._sizes: dict[Path, int | None] = {}
        self._paths: dict[int, Path] = {}

    def beside(self, file: str, document: SpecDocument) -> Path | None:
        of = self._paths.get(id(document))
        if of is not None:
            path = of.parent / file
            if self._size(path) is not None:
                return path
        return super().beside(file, document)

    def size(self, path: Path) -> int:
        known = self._sizes.get(path)
        return super().size(path) if known is None else known

    def _size(self, path: Path) -> int | None:
        """Bytes of a file of the revision; None where it has none of that path."""
        if path not in self._sizes:
            code, out, _ = _git("cat-file", "-s", self._name(path))
            self._sizes[path] = int(out) if code == 0 else None
        return self._sizes[path]

    def _name(self, path: Path) -> str:
        return f"{self.revision}:{path.as_posix()}"

    def read(self, path: Path) -> SpecDocument:
        if path.is_absolute() and self._sizes.get(path) is None:  # of the shipped zoo
            return super().read(path)
        known = self._documents.get(path)
        if known is not None:
            return known
        name = self._name(path)
        size = self._size(path)
        if size is not None:
            check_size(size, name)
        code, out, error = _git("cat-file", "blob", name)
        if code != 0:
            _refuse(self.revision, path, error)
        document = self._keep(parse_document(SourceFile(name, decoded(out, name))), None)
        self._documents[path], self._paths[id(document)] = document, path
        return document


def _git(*arguments: str) -> tuple[int, bytes, str]:
    """Exit code and what git writes. Raises E0002 where git is not there or does not answer."""
    try:
        done = subprocess.run(
            ["git", "--no-pager", *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=False,
            env={**os.environ, **_QUIET},
        )
    except FileNotFoundError:
        fail("E0002", "git is not installed, which revisions are read by", help="name files instead")
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        fail("E0002", f"git does not run here: {error}")
    return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace").strip()


def _refuse(revision: str, path: Path, said: str) -> NoReturn:
    """Raise E0002 with what git says is wrong with a revision or its file."""
    name = f"{revision}:{path.as_posix()}"
    lines = said.splitlines()
    words = printable(lines[0].removeprefix("fatal: ")) if lines else "git does not say why"
    if "not a git repository" in said:
        fail("E0002", f"`{name}` is of a git repository, and here is none")
    help = "a revision is a commit, a branch or a tag: `git log --all` lists them"
    if words.startswith("path"):
        help = "a path is from the top of the repository, or ./PATH from this folder"
    fail("E0002", f"git has no `{name}`: {words}", help=help)
