"""Single values as a spec writes them: plain where the language reads them back as they are, quoted
elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from archforge.spec.yaml.tree import reads_as_text

__all__ = ["can_be_plain", "has_escapes", "is_clearly_text", "quoted", "value_text", "write_scalar"]

# The start of a plain scalar: an indicator only where it cannot be taken for one.
_START = re.compile(r"[^\s\-?:,\[\]{}#&*!|>'\"%@`]|[-?:](?=[^\s,\[\]{}])")
_SPACED = re.compile(r":(?= |$)| #|^ | $|^---|^\.\.\.")
# Characters that a text holds as escapes: line ends of any YAML, and what nobody sees or no file may hold.
_ESCAPED = re.compile(
    "[\x00-\x1f\x7f-\xa0\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)
_ESCAPES = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\", '"': '\\"'}
# Words that YAML 1.1 reads as true, false or null; editors may.
_OTHERWISE = re.compile(r"y|yes|n|no|on|off|true|false|null", re.IGNORECASE)
_FLOW_INDICATORS = set(",[]{}")


def write_scalar(value: str | float | bool | None, *, in_flow: bool) -> str:
    """A text, number, true, false or null on one line, inside brackets if `in_flow`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return repr(value)
    plain = reads_as_text(value) and not _OTHERWISE.fullmatch(value) and can_be_plain(value, in_flow=in_flow)
    return value if plain else quoted(value)


def value_text(value: Any) -> str:
    """A value with lists and mappings in it on one line."""
    if isinstance(value, Mapping):
        pairs = (f"{write_scalar(key, in_flow=True)}: {value_text(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    return write_scalar(value, in_flow=True)


def can_be_plain(text: str, *, in_flow: bool) -> bool:
    """True if YAML reads `text` without quotes as one plain scalar, be it a text or a number."""
    if not _START.match(text) or _SPACED.search(text) or has_escapes(text):
        return False
    return not (in_flow and (_FLOW_INDICATORS.intersection(text) or ":" in text or "?" in text))


def is_clearly_text(text: str, *, in_flow: bool) -> bool:
    """True for a text whose quotes nobody needs: a formula, or words that no reader of YAML takes for a
    number."""
    starts = text.startswith("=") or text[:1].isalpha()
    return starts and not _OTHERWISE.fullmatch(text) and can_be_plain(text, in_flow=in_flow)


def has_escapes(text: str) -> bool:
    """True if some character of `text` must be written as an escape, which only double quotes can hold."""
    return _ESCAPED.search(text) is not None


def quoted(text: str) -> str:
    """`text` in quotes, single ones where that is possible."""
    if has_escapes(text):
        return '"' + re.sub(rf'[\\"]|{_ESCAPED.pattern}', _escape, text) + '"'
    if "'" in text and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "''") + "'"


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    code = ord(char)
    width, letter = (2, "x") if code < 0x100 else (4, "u") if code < 0x10000 else (8, "U")
    return _ESCAPES.get(char, f"\\{letter}{code:0{width}X}")
