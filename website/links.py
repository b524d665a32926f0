"""Links of Markdown pages that stand outside of code."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["is_outside", "relinked", "targets"]

_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_TARGET = re.compile(r"(?<=\]\()[^)\s]+(?=\))")


def targets(page: str) -> list[str]:
    """The targets of a page's links and pictures, in order."""
    return _TARGET.findall(_without_code(page))


def relinked(page: str, changed: Callable[[str], str]) -> str:
    """The page with each target changed."""
    out, end = [], 0
    for match in _TARGET.finditer(_without_code(page)):
        out += [page[end : match.start()], changed(match[0])]
        end = match.end()
    return "".join([*out, page[end:]])


def is_outside(target: str) -> bool:
    """True for the address of something outside of the repository."""
    return re.match(r"[a-z]+:", target) is not None


def _without_code(page: str) -> str:
    """The page with code as blanks, so that places stay."""
    return _CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), page)
