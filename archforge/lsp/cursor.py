"""Cursor: the keys around a place in a text of YAML that may be incomplete, as text is while one writes.

A parser of YAML gives up on `conv: {out: `. Here the text before the place is read once, brackets, quotes and
indentation alone, so that there is always an answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["ITEM", "Cursor", "Key", "cursor_at", "word_at"]

ITEM = "-"  # in a path: some item of a list
_KEY = re.compile(r"""("[^"]*"|'[^']*'|[^\s#:{}\[\],"'][^#:{}\[\],]*?)\s*:(?=\s|$)""")
_WORD = re.compile(r"[^\W\d]\w*")
_LAST_WORD = re.compile(rf"{_WORD.pattern}$")


class Key(NamedTuple):
    """A key around the cursor, and where it starts; `ITEM` for an item of a list."""

    name: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a text. `around` are the keys whose value it is in, outermost first; `word` ends at it.

    is_key: a key of a mapping is being written, or could be. in_flow: it is within brackets. formula: what is
    written of a formula up to the cursor, or None outside of one.
    """

    around: tuple[Key, ...]
    word: str
    is_key: bool
    in_flow: bool
    formula: str | None

    @property
    def path(self) -> tuple[str, ...]:
        """The names of the keys around it."""
        return tuple(key.name for key in self.around)


@dataclass(slots=True)
class _OpenCollection:
    """A mapping or list that is open. `column` is that of its keys or dashes, -1 within brackets."""

    is_list: bool
    column: int
    key: Key | None = None


@dataclass(slots=True)
class _Reader:
    levels: list[_OpenCollection] = field(default_factory=list)
    token: str = ""  # what is written since the last bracket, comma, colon or dash
    token_start: int = 0

    def line(self, number: int, text: str) -> None:
        """Read one line, or as much of it as lies before the cursor."""
        column = len(text) - len(text.lstrip(" "))
        if self._in_flow and text.strip() and column <= self._block_column:
            self._forget_brackets()
        if not self._in_flow:
            if not text.strip() or text.lstrip().startswith("#"):
                self.token = ""
                return
            column = self._block(number, text, column)
        self._flow(number, text, column)

    @property
    def _in_flow(self) -> bool:
        return bool(self.levels) and self.levels[-1].column < 0

    @property
    def _block_column(self) -> int:
        """The column of the innermost block: what stands in its brackets stands further to the right."""
        return max((level.column for level in self.levels), default=-1)

    def _forget_brackets(self) -> None:
        """Close the brackets that were left open, further up."""
        while self._in_flow:
            self.levels.pop()

    def leave(self, column: int, *, is_item: bool) -> None:
        """Close the blocks that a line which starts at a column is not in."""
        while self.levels:
            top = self.levels[-1]
            beside = top.column == column and (not top.is_list or is_item)
            if top.column < column or beside:
                return
            self.levels.pop()

    def _block(self, number: int, text: str, column: int) -> int:
        """Read dashes and a key at the start of a line; the column behind them."""
        while text[column:].startswith("- ") or text[column:] == "-":
            self.leave(column, is_item=True)
            if not (self.levels and self.levels[-1].is_list and self.levels[-1].column == column):
                self.levels.append(_OpenCollection(True, column))
            self.levels[-1].key = Key(ITEM, number, column)
            column += 1
            column += len(text[column:]) - len(text[column:].lstrip(" "))
        found = _KEY.match(text, column)
        if found:
            self.leave(column, is_item=False)
            if not (self.levels and not self.levels[-1].is_list and self.levels[-1].column == column):
                self.levels.append(_OpenCollection(False, column))
            self.levels[-1].key = Key(found[1].strip("\"'"), number, column)
            return found.end()
        if text[column:]:
            self.leave(column, is_item=False)
            if self.levels and not self.levels[-1].is_list and self.levels[-1].column == column:
                self.levels[-1].key = None  # another key of the mapping is being written
        return column

    def _flow(self, number: int, text: str, column: int) -> None:
        """Read the rest of a line: scalars, and what stands in brackets."""
        self.token, self.token_start = "", column
        while column < len(text):
            sign = text[column]
            if sign in "\"'" and not self.token.strip():
                end = text.find(sign, column + 1)
                self._add(text[column:] if end < 0 else text[column : end + 1], column)
                column = len(text) if end < 0 else end + 1
                continue
            if sign == "#" and (not column or text[column - 1] == " "):
                self.token = ""
                return
            if sign in "{[" and (self._in_flow or not self.token.strip()):
                key = Key(ITEM, number, column) if sign == "[" else None
                self.levels.append(_OpenCollection(sign == "[", -1, key))
                self.token = ""
            elif sign in "}]" and self._in_flow:
                self.levels.pop()
                self.token = ""
            elif sign == "," and self._in_flow:
                self.levels[-1].key = Key(ITEM, number, column) if self.levels[-1].is_list else None
                self.token = ""
            elif sign == ":" and self._in_flow and text[column + 1 : column + 2] in ("", " "):
                if not self.levels[-1].is_list:
                    self.levels[-1].key = Key(self.token.strip().strip("\"'"), number, self.token_start)
                self.token = ""
            else:
                self._add(sign, column)
            column += 1

    def _add(self, text: str, column: int) -> None:
        if not self.token.strip():
            self.token, self.token_start = "", column
        self.token += text


def cursor_at(text: str, line: int, column: int) -> Cursor:
    """The cursor before a character of a text; lines and columns count from 0."""
    lines = text.split("\n")
    reader = _Reader()
    for number, content in enumerate(lines[:line]):
        reader.line(number, content.rstrip("\r"))
    last = (lines[line] if line < len(lines) else "")[:column]
    reader.line(line, last)
    if not last.strip() and not reader._in_flow:
        reader.leave(len(last), is_item=False)
        if reader.levels and not reader.levels[-1].is_list and reader.levels[-1].column == len(last):
            reader.levels[-1].key = None
    levels = reader.levels
    written = reader.token.strip()
    bare = written.lstrip("\"'")
    is_key = not bare.startswith("=") and (not levels or levels[-1].key is None)
    return Cursor(
        around=tuple(level.key for level in levels if level.key),
        word=found[0] if (found := _LAST_WORD.search(written)) else "",
        is_key=is_key,
        in_flow=reader._in_flow,
        formula=bare[1:] if bare.startswith("=") else None,
    )


def word_at(text: str, line: int, column: int) -> tuple[str, int, Cursor]:
    """The word at a place, empty between words, the column where it starts, and the cursor at its end."""
    lines = text.split("\n")
    for found in _WORD.finditer(lines[line] if line < len(lines) else ""):
        if found.start() <= column <= found.end():
            return found[0], found.start(), cursor_at(text, line, found.end())
    return "", column, cursor_at(text, line, column)
