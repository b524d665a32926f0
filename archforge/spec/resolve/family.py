"""Families of specs: files that extend or import each other, by their texts, which may be unfinished."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from archforge.spec.resolve.library import SUFFIX

__all__ = ["REFERRING", "family_of", "referring", "refers_to", "text_of"]

REFERRING = ("extends", "imports")  # keys behind which other specs are named
# Such a key, and what is behind it, perhaps on lines of its own.
_REFERENCES = re.compile(rf"^(?:{'|'.join(REFERRING)}):.*(?:\n[ \t-].*)*", re.MULTILINE)


def text_of(path: Path, texts: Mapping[Path, str]) -> str:
    """The text of a file: that of `texts`, or else the one on the disk; empty where that cannot be read."""
    if path in texts:
        return texts[path]
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def refers_to(text: str, names: Iterable[str]) -> bool:
    """True if the text of a spec extends or imports one of these names."""
    known = re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b")
    return any(known.search(found[0]) for found in _REFERENCES.finditer(text))


def referring(path: Path) -> list[Path]:
    """The files of a folder that extend or import one of it, on the disk."""
    beside = (other for other in sorted(path.parent.glob(f"*{SUFFIX}")) if other.name != path.name)
    return [other for other in beside if refers_to(text_of(other, {}), [path.stem])]


def family_of(home: Path, texts: Mapping[Path, str]) -> dict[Path, str]:
    """The text of a file and of those in its folder that extend or import it, or one that does.

    texts: of files, over those on the disk.
    """
    beside = dict.fromkeys((home, *sorted(home.parent.glob(f"*{SUFFIX}"))))
    every = {path: text_of(path, texts) for path in beside}
    family = {home: every.pop(home)}
    known: set[str] = set()
    while known != (known := {path.stem for path in family}):
        family |= {path: text for path, text in every.items() if refers_to(text, sorted(known))}
    return family
