"""Pages of the codes of diagnostics: why each is a mistake or worth a warning, wrong and right.

`archforge explain E0402` prints a page, and `docs/errors.md` has all. What a code means is in `codes.py`, the
rest in `code_pages.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from archforge.codes import CODES

__all__ = ["CodePage", "code_page", "code_pages", "example"]

VERSION = "archforge: 1\n"
INPUT = "input: [3, 32, 32]\n"


@dataclass(frozen=True, slots=True)
class CodePage:
    """The reason for a code, and a spec with it and one without it; both are empty where no spec alone can
    have it. beside: texts of other files in the folder of either, `spec.yaml`, by their names."""

    why: str
    wrong: str = ""
    right: str = ""
    beside: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> list[tuple[str, str]]:
        """The specs with what each is."""
        named = {f"Beside it, {name}": text for name, text in self.beside.items()}
        return [
            (title, text)
            for title, text in {"Wrong": self.wrong, **named, "Right": self.right}.items()
            if text
        ]


@cache
def code_pages() -> dict[str, CodePage]:
    """The page of each code."""
    text = Path(__file__).with_name("code_pages.yaml").read_text("utf-8")
    return {code: CodePage(**page) for code, page in yaml.safe_load(text).items()}


def code_page(code: str) -> str:
    """The page of a code as text."""
    page = code_pages()[code]
    parts = [f"{code}: {CODES[code]}", page.why]
    for title, spec in page.files:
        parts.append(f"{title}:\n\n" + "\n".join(f"    {line}" for line in spec.rstrip().splitlines()))
    return "\n\n".join(parts)


def example(spec: str) -> str:
    """The whole text of an example: the version and an input in front, where it says none."""
    first = "" if re.search(r"^(input|extends|kind):", spec, re.MULTILINE) else INPUT
    version = "" if re.search(r"^archforge:", spec, re.MULTILINE) else VERSION
    return f"{version}{first}{spec}"
