"""Manifests: which files in the folder of a build belong together, and that a build wrote them.

A build takes the folder for itself, writes a manifest that is not complete, which lists the files of the
build before and of this one, then the files, and last the complete manifest. So whenever it is killed, a
reader finds the old build, the new one, or a manifest that says that neither is there.
"""

from __future__ import annotations

import builtins
import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from archforge.atomic_files import made_folder, one_writer, reason_of, written_beside
from archforge.errors import Diagnostic, fail, fail_all
from archforge.json_text import json_lines

__all__ = ["MANIFEST", "BuildFolder", "Manifest", "contradiction", "disown", "write_build"]

MANIFEST = "manifest.json"
VERSION = 1
MAX_BYTES = 1 << 20
WAY_OUT = "remove it, or name another folder"


class ListedFile(BaseModel):
    """A file of a build: its name in the folder, its size and the SHA-256 of its content."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    file: str = Field(pattern=r"^[^/\\]*[^/\\.][^/\\]*$")
    bytes: int
    sha256: str

    @classmethod
    def of(cls, file: str, content: builtins.bytes) -> ListedFile:
        return cls(file=file, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


class Manifest(BaseModel):
    """The content of a manifest. One that is not complete may list two contents of a file, the old and the
    new."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    archforge_build: int = VERSION
    archforge: str
    name: str
    profile: str
    complete: bool
    files: tuple[ListedFile, ...] = Field(strict=False)

    @property
    def names(self) -> set[str]:
        """The names of the files that it lists."""
        return {listed.file for listed in self.files}

    def lists(self, file: str, content: bytes) -> bool:
        """True if it lists a file of that name with that content."""
        return ListedFile.of(file, content) in self.files


@dataclass(frozen=True, slots=True)
class BuildFolder:
    """The folder of a build after it was written: its files and its manifest, the files of the build before
    that were deleted, and those that were left since they have been changed."""

    files: tuple[Path, ...]
    manifest: Path
    removed: tuple[Path, ...]
    left: tuple[Path, ...]


def write_build(
    folder: Path, version: str, name: str, profile: str, contents: Mapping[str, bytes], *, is_shared: bool
) -> BuildFolder:
    """Write the files of a build, by their names, and delete those of the build before that are not among
    them and have not been changed.

    version: that of archforge. is_shared: files of others may be in the folder, and one of a name that is to
    be written is refused unless a build wrote it. Raises E0705.
    """
    made_folder(folder)
    new = tuple(ListedFile.of(file, content) for file, content in contents.items())
    with one_writer(folder):
        before = _manifest_before(folder)
        if is_shared:
            fail_all(_not_ours(folder, new, before))
        listed = before.files if before else ()
        both = tuple(dict.fromkeys((*listed, *new)))
        manifest = Manifest(archforge=version, name=name, profile=profile, complete=False, files=both)
        _write(folder, manifest)
        for file, content in contents.items():
            with written_beside(folder / file) as opened:
                opened.write(content)
        olds = sorted({old.file for old in listed} - set(contents))
        removed = tuple(folder / old for old in olds if _removed(folder, old, listed))
        _write(folder, manifest.model_copy(update={"complete": True, "files": new}))
    left = tuple(folder / old for old in olds if os.path.lexists(folder / old))
    return BuildFolder(tuple(folder / file for file in contents), folder / MANIFEST, removed, left)


def disown(path: Path, content: bytes) -> None:
    """Drop a file that something else than a build is about to write from the manifest beside it, unless it
    is to have the content that the build wrote. Raises E0705."""
    with one_writer(path.parent):
        manifest = _read(path.parent)
        if manifest and path.name in manifest.names and not manifest.lists(path.name, content):
            kept = tuple(listed for listed in manifest.files if listed.file != path.name)
            _write(path.parent, manifest.model_copy(update={"files": kept}))


def contradiction(path: Path, content: bytes) -> str:
    """The reason why a file is not the one that the manifest beside it lists; empty if it is, or where none
    lists it."""
    manifest = _read(path.parent)
    if manifest is None or path.name not in manifest.names:
        return ""
    build = f"the build of {manifest.name}, profile {manifest.profile}"
    if not manifest.complete:
        return f"{build}, was cut short: the files in {path.parent} do not belong together"
    if not manifest.lists(path.name, content):
        return f"it is not the file that {build}, wrote"
    return ""


def _read(folder: Path) -> Manifest | None:
    """The manifest in a folder; None if there is none that can be read."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            manifest = Manifest.model_validate_json(file.read(MAX_BYTES))
    except (OSError, ValueError):
        return None
    return manifest if manifest.archforge_build == VERSION else None


def _manifest_before(folder: Path) -> Manifest | None:
    """The manifest of the build before; None if there is none. Raises E0705 for another file of its name."""
    manifest = _read(folder)
    if manifest is None and os.path.lexists(folder / MANIFEST):
        path = folder / MANIFEST
        fail("E0705", f"{path} is there, and no manifest of a build", help=WAY_OUT)
    return manifest


def _not_ours(folder: Path, new: tuple[ListedFile, ...], before: Manifest | None) -> list[Diagnostic]:
    """A diagnostic for each file that a build would replace though none has written it."""
    known = before.names if before else set()
    return [
        Diagnostic(
            "E0705",
            f"{folder / listed.file} is there, and no build wrote it",
            help=WAY_OUT,
        )
        for listed in new
        if listed.file not in known
        and os.path.lexists(folder / listed.file)
        and _content(folder, listed.file) != listed
    ]


def _removed(folder: Path, file: str, listed: tuple[ListedFile, ...]) -> bool:
    """Delete a file if it still has a content that a build wrote. Raises E0705."""
    if _content(folder, file) not in listed:
        return False
    try:
        (folder / file).unlink()
    except OSError as error:
        fail("E0705", f"cannot remove {folder / file}, of an earlier build: {reason_of(error)}")
    return True


def _content(folder: Path, file: str) -> ListedFile | None:
    """A file as it is now; None if it cannot be read."""
    with suppress(OSError, ValueError):
        return ListedFile.of(file, (folder / file).read_bytes())
    return None


def _write(folder: Path, manifest: Manifest) -> None:
    with written_beside(folder / MANIFEST) as file:
        file.write(json_lines(manifest.model_dump(mode="json")).encode())
