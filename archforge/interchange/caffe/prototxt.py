"""The text format of Protocol Buffers, with the place of whatever is wrong.

Source: https://protobuf.dev/reference/protobuf/textformat-spec.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from archforge.errors import Diagnostic, DiagnosticError, SourceFile, Span, did_you_mean, fail_all
from archforge.interchange.caffe.messages import MAX_DEPTH, CaffeEntry, CaffeMessage
from archforge.interchange.caffe.schema import CaffeField, Schema

__all__ = ["parsed"]

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?)(?!\w))
    |(?P<word>[A-Za-z_]\w*)
    |(?P<mark>[{}<>:\[\],;])
    |(?P<other>.)""",
    re.VERBOSE,
)
_BOOLS = dict.fromkeys(("true", "True", "t", "1"), True) | dict.fromkeys(("false", "False", "f", "0"), False)
_CLOSES = {"{": "}", "<": ">"}
_EXPECTED = {"int": "a whole number", "float": "a number", "bool": "true or false", "text": "text in quotes"}


class _Token(NamedTuple):
    """A word, number, text or mark, and where it begins."""

    kind: str
    text: str
    begin: int


class _Wrong(NamedTuple):
    """A value that its field cannot have."""


def parsed(source: SourceFile, schema: Schema) -> CaffeMessage:
    """The message that a text is. Raises E0801 where it is none, E0802 with all fields that are unknown,
    repeated or wrong."""
    parser = _PrototxtParser(source)
    message = parser.message(schema, "", 0)
    fail_all(parser.mistakes)
    return message


class _PrototxtParser:
    """The tokens of a text that are left, and the mistakes in fields so far."""

    def __init__(self, source: SourceFile) -> None:
        self.source = source
        self.text = source.text
        self.starts = [0, *(m.end() for m in re.finditer("\n", self.text))]
        self.tokens = self._tokens()
        self.next = next(self.tokens)
        self.mistakes: list[Diagnostic] = []

    def _tokens(self) -> Iterator[_Token]:
        for match in _TOKEN.finditer(self.text):
            kind = match.lastgroup or ""
            if kind != "space":
                yield _Token(kind, match[0], match.start())
        while True:
            yield _Token("end", "", len(self.text))

    def take(self) -> _Token:
        token, self.next = self.next, next(self.tokens)
        return token

    def span(self, token: _Token) -> Span:
        line = bisect_right(self.starts, token.begin) - 1
        return Span(self.source, line, token.begin - self.starts[line], max(len(token.text), 1))

    def refuse(self, expected: str, token: _Token) -> DiagnosticError:
        """The error of a text that does not go on as it must."""
        found = "the end of the file" if token.kind == "end" else f"`{token.text}`"
        message = f"the text is no prototxt: expected {expected}, found {found}"
        return DiagnosticError((Diagnostic("E0801", message, self.span(token)),))

    def message(
        self, schema: Schema | None, closing: str, depth: int, at: Span | None = None
    ) -> CaffeMessage:
        """The fields up to a closing bracket, or to the end. Without a schema nothing is said of them."""
        if depth > MAX_DEPTH:
            raise self.refuse(f"no message more than {MAX_DEPTH} deep", self.next)
        entries: dict[str, list[CaffeEntry]] = {}
        unknown: list[CaffeEntry] = []
        while self.next.text != closing or self.next.kind not in ("mark", "end"):
            token = self.take()
            if token.kind != "word":
                raise self.refuse("the name of a field" + (f" or `{closing}`" if closing else ""), token)
            self._field(schema, token, entries, unknown, depth)
        self.take()
        return CaffeMessage({k: tuple(v) for k, v in entries.items()}, at, tuple(unknown))

    def _field(
        self,
        schema: Schema | None,
        name: _Token,
        entries: dict[str, list[CaffeEntry]],
        unknown: list[CaffeEntry],
        depth: int,
    ) -> None:
        """One field with all its values, and the mark that may stand behind it."""
        known = schema.fields.get(name.text) if schema else None
        has_colon = self.next.text == ":"
        if has_colon:
            self.take()
        elif self.next.text not in _CLOSES:
            raise self.refuse("`:` or `{`" if known is None else f"`:` behind `{name.text}`", self.next)
        is_message = self.next.text in _CLOSES
        values = list(self._values(known, name, depth))
        if self.next.text in (",", ";"):
            self.take()
        span = self.span(name)
        if schema is None:
            return
        if known is None:
            if is_message and "type" in schema.fields:  # of a layer that Caffe itself does not have
                unknown.append(CaffeEntry(name.text, span))
            else:
                self._mistake(f"unknown field `{name.text}`", span, did_you_mean(name.text, schema.fields))
            return
        found = entries.setdefault(name.text, [])
        if (not known.many and found) or (len(values) > 1 and not known.many):
            self._mistake(f"`{name.text}` is given twice", span, "leave one of them out")
        found += [CaffeEntry(value, span) for value in values]

    def _values(self, known: CaffeField | None, name: _Token, depth: int) -> Iterator[Any]:
        if self.next.text != "[":
            yield self._value(known, name, depth)
            return
        self.take()
        while self.next.text != "]":
            yield self._value(known, name, depth)
            if self.next.text == ",":
                self.take()
            elif self.next.text != "]":
                raise self.refuse("`,` or `]`", self.next)
        self.take()

    def _value(self, known: CaffeField | None, name: _Token, depth: int) -> Any:
        token = self.take()
        kind = None if known is None else known.kind
        if token.text in _CLOSES and token.kind == "mark":
            schema = kind if isinstance(kind, Schema) else None
            found = self.message(schema, _CLOSES[token.text], depth + 1, self.span(name))
            if kind is None or kind == "any" or schema:
                return found
            self._expected(kind, name, token)
            return _Wrong()
        if token.kind not in ("word", "number", "text"):
            raise self.refuse("a value", token)
        text = token.text
        if token.kind == "text":
            text = _unquoted(text)
            while self.next.kind == "text":
                text += _unquoted(self.take().text)
        if kind is None or kind == "any":
            return text
        value = _converted(kind, token.kind, text)
        if isinstance(value, _Wrong):
            self._expected(kind, name, token)
        return value

    def _expected(self, kind: Any, name: _Token, token: _Token) -> None:
        if isinstance(kind, Mapping):
            self._mistake(
                f"`{name.text}` is {token.text}, which it cannot be",
                self.span(token),
                did_you_mean(token.text, kind) or f"one of {', '.join(kind)}",
            )
            return
        expected = "a message in braces" if isinstance(kind, Schema) else _EXPECTED[kind]
        self._mistake(f"`{name.text}` takes {expected}, found {token.text}", self.span(token), "")

    def _mistake(self, message: str, span: Span, help: str) -> None:
        self.mistakes.append(Diagnostic("E0802", message, span, help=help))


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _converted(kind: Any, token: str, text: str) -> Any:
    """The value of a token in a field of a kind."""
    try:
        if kind == "text" and token == "text":
            return text
        if kind == "int" and token == "number":
            return int(text, 0)
        if kind == "float" and token == "number":
            return float(text.rstrip("fF"))
        if kind == "bool" and token != "text":
            return _BOOLS[text]
        if isinstance(kind, Mapping) and token == "word":
            return text if text in kind else _Wrong()
        if isinstance(kind, Mapping) and token == "number":
            return {str(number): word for word, number in kind.items()}[text]
    except (ValueError, KeyError, OverflowError):
        pass
    return _Wrong()
