"""Diagnostics for text that is not YAML, in the words of its author.

The YAML parser names the token that it stumbled over, which is seldom the one to change: each rule here knows
one slip and the place of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import yaml

from archforge.errors import Diagnostic, Note, SourceFile, Span, fail

__all__ = ["fail_torn_formula", "syntax_error"]

LONG = 2_000
TEXTS = ("title", "paper", "departs", "repaired", "recommended", "says", "source")
NO_ALIAS = "name the steps in `blocks:` and call them"
NO_TAG = "plain YAML only; quote a text that starts with `!`"
FOREIGN = {"*": ("alias", NO_ALIAS), "&": ("anchor", NO_ALIAS), "!": ("tag", NO_TAG)}
PLAIN_WORDS = (
    ("expected the node content, but found '<", "a value is missing where the text ends"),
    ("expected the node content, but found '-'", "inside `{ }` and `[ ]` items have no `- `"),
    ("expected the node content", "a value is missing before this"),
    ("expected <block end>, but found ':'", "a key is missing before this"),
    ("expected <block end>", "this fits nothing above"),
    ("scanning a block scalar", "behind `|` and `>` only `-`, `+` and a digit may stand"),
    ("scanning a directive", "a text cannot start with `%`"),
    ("mapping values are not allowed", "a `:` is not possible here"),
    ("mapping keys are not allowed", "a `?` is not possible here"),
    ("could not find expected ':'", "a `:` is missing before this"),
)


def syntax_error(source: SourceFile, error: yaml.MarkedYAMLError) -> Diagnostic:
    """The diagnostic for a text that is not YAML, from the error of PyYAML's own parser."""
    return _Complaint(source, error).diagnostic()


def fail_torn_formula(source: SourceFile, line: int, column: int) -> NoReturn:
    """Refuse the formula that starts at `column` in a flow collection, pointing at all of it."""
    text = source.line(line)
    depth, end = 0, len(text)
    for index in range(column, len(text)):
        char = text[index]
        depth += (char in "([{") - (char in ")]}")
        if depth < 0 or (depth == 0 and char in ",#"):
            end = index
            break
    formula = text[column:end].rstrip()
    fail(
        "E0104",
        "inside `{ }` or `[ ]` a formula that holds `, [ ] { }` must be quoted",
        Span(source, line, column, len(formula)),
        help=_quoted(formula),
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class _Complaint:
    """A complaint of the YAML parser: where it stopped (`line`, `column`), what it was `reading`, where that
    starts (`context`), and its words (`problem`)."""

    def __init__(self, source: SourceFile, error: yaml.MarkedYAMLError) -> None:
        self.source = source
        mark = error.problem_mark or error.context_mark
        self.line, self.column = (mark.line, mark.column) if mark else (0, 0)
        self.reading = error.context or ""
        self.context = error.context_mark
        self.problem = error.problem or ""
        self.text = source.line(self.line)
        self.before = self.text[: self.column]

    def diagnostic(self) -> Diagnostic:
        rules: list[Callable[[], Diagnostic | None]]
        rules = [self.tab, self.foreign, self.document, self.quote, self.unclosed]
        if len(self.text) <= LONG:  # the others search a line again and again
            rules += [self.inline_list, self.template, self.question_mark, self.formula, self.comma]
            rules += [self.colon_in_text]
            rules += [self.missing_space, self.missing_colon, self.indentation, self.text_behind]
            rules += [self.first_character]
        for rule in rules:
            found = rule()
            if found:
                return found
        return self.at(self.line, self.column, self.in_plain_words())

    def in_plain_words(self) -> str:
        """The parser's words, or plain ones where it names tokens."""
        whole = f"{self.reading}: {self.problem}"
        return next((plain for words, plain in PLAIN_WORDS if words in whole), self.problem or "not YAML")

    def at(self, line: int, column: int, message: str, *, length: int = 1, help: str = "") -> Diagnostic:
        """The diagnostic at a place; behind the end it is the end of the last line with text."""
        while line > 0 and not self.source.line(line).strip():
            line -= 1
            column = len(self.source.line(line).rstrip())
        return Diagnostic("E0101", message, Span(self.source, line, column, length), help=help)

    def document(self) -> Diagnostic | None:
        if "<document start>" not in self.problem:
            return None
        return self.at(self.line, self.column, "a spec is one YAML document", help="remove `---` or `...`")

    def inline_list(self) -> Diagnostic | None:
        if "sequence entries are not" not in self.problem:
            return None
        item = self.text[self.column + 1 :].split(" #")[0].strip()
        message = "a list with `- ` starts on a line of its own"
        return self.at(self.line, self.column, message, help=f"on one line: [{item}, ...]")

    def line_above(self) -> int:
        """The nearest line above with something on it that is no comment; -1 if there is none."""
        line = self.line - 1
        while line >= 0 and not self.source.line(line).split("#")[0].strip():
            line -= 1
        return line

    def tab(self) -> Diagnostic | None:
        dashes = re.match(r"[\s-]*", self.text)
        blank = dashes[0] if dashes else ""
        if "\t" not in blank or "cannot start any token" not in self.problem:
            return None
        tab = blank.index("\t")
        return self.at(self.line, tab, "a tab where YAML takes spaces", help="indent with spaces")

    def foreign(self) -> Diagnostic | None:
        """An alias, an anchor or a tag that is none even in YAML."""
        is_foreign = re.search(r"an alias|an anchor|a tag|tag handle", f"{self.reading} {self.problem}")
        if not is_foreign or not self.context:
            return None
        text = self.source.line(self.context.line)[self.context.column :]
        kind, help = FOREIGN[text[0]]
        name = re.split(r"[\s,\]}]", text, maxsplit=1)[0]
        found = self.at(
            self.context.line, self.context.column, f"{kind} `{name}`", length=len(name), help=help
        )
        return replace(found, code="E0103")

    def formula(self) -> Diagnostic | None:
        """A formula in a flow collection: a plain scalar there ends at `, [ ] { }`."""
        starts = [m.start() for m in re.finditer(r"(?<=[:,{\[\s])=(?![=\s])", self.before)]
        if starts and "expected ',' or" in self.problem and self.is_inline():
            fail_torn_formula(self.source, self.line, starts[-1])
        return None

    def template(self) -> Diagnostic | None:
        """A template that must be quoted: `name: layer{i}` in a flow collection, or `name: {i}x` anywhere."""
        if not re.search(r"',' or '}'|expected <block end>", self.problem):
            return None
        for word in re.finditer(r"[\w.{+*/-]*\{[^{}:,]*\}[\w.-]*(?:\{[^{}:,]*\}[\w.-]*)*", self.text):
            is_formula = self.text[: word.start()].endswith("=")
            if word.start() <= self.column <= word.end() and not is_formula:
                text = word[0]
                message = "a name with braces must be quoted here"
                found = self.at(self.line, word.start(), message, length=len(text), help=_quoted(text))
                return replace(found, code="E0104")
        return None

    def quote(self) -> Diagnostic | None:
        if "escape character" in self.problem:
            hint = "between \" a backslash starts an escape: use '...'"
            return self.at(self.line, self.column, "an unknown escape in a text", help=hint)
        if not self.context or not re.search("unexpected (?:end of stream|document sep)", self.problem):
            return None
        return self.at(self.context.line, self.context.column, "a quote that is never closed")

    def is_inline(self) -> bool:
        """True if the collection that is being read starts on this line."""
        return self.context is not None and self.context.line == self.line

    def unclosed(self) -> Diagnostic | None:
        ends = "<stream end>" in self.problem
        if "expected ',' or" in self.problem and self.context and (ends or not self.is_inline()):
            opening = self.source.line(self.context.line)[self.context.column : self.context.column + 1]
            found = self.at(self.context.line, self.context.column, f"`{opening}` is never closed")
            place = self.at(self.line, self.column, "").span
            return replace(found, notes=(Note("the text ends" if ends else "something else starts", place),))
        if self.text[self.column : self.column + 1] in ("}", "]") and "expected" in self.problem:
            char = self.text[self.column]
            return self.at(self.line, self.column, f"`{char}` closes nothing", help="remove it")
        return None

    def question_mark(self) -> Diagnostic | None:
        """`{says: why?}`: in a flow collection `?` ends a text."""
        if not re.search(r"expected ',' or .* got '\?'", self.problem):
            return None
        word = re.search(r"[^\s,:{}\[\]]*$", self.before)
        column = word.start() if word else self.column
        text = re.split(r"[,\]}]", self.text[column:], maxsplit=1)[0].rstrip()
        message = "inside `{ }` or `[ ]` a text that holds `?` must be quoted"
        return self.at(self.line, column, message, length=len(text), help=_quoted(text))

    def comma(self) -> Diagnostic | None:
        if "expected ',' or" not in self.problem:
            return None
        value = re.search(r"\b(\w+): ([^{},\[\]:'\"]*)$", self.before)
        if value and value[1] in TEXTS:
            text = re.split("[,}]", self.text[value.start(2) :])[0].rstrip()
            message = "a text that holds `: ` must be quoted"
            return self.at(self.line, value.start(2), message, length=len(text), help=_quoted(text))
        word = re.search(r"[\w'\"]+\s*$", self.before)
        column = word.start() if word and self.text[self.column : self.column + 1] == ":" else self.column
        length = self.column - column if column < self.column else 1
        return self.at(self.line, column, "a comma is missing before this", length=length)

    def colon_in_text(self) -> Diagnostic | None:
        """A text that holds `: `, as in `title: ResNet: the best`, or two keys on one line."""
        if "mapping values are not allowed" not in self.problem:
            return None
        value = re.match(r"\s*(?:- +)*[\w=.]+: +(?=\S)", self.text)
        if not value or value.end() >= self.column:
            return None
        text = self.text[value.end() :].split(" #")[0].rstrip()
        key = value[0].strip(" -:")
        if re.match(r".*?, *\w+: ", text):
            message = "two keys on one line"
            help = f"put each on a line of its own, or all into braces: {{{self.text.strip()}}}"
            return self.at(self.line, self.column, message, help=help)
        if key not in TEXTS and re.match(r"\w+: ", text):
            message = "two keys on one line"
            return self.at(self.line, self.column, message, help=f"{key}: {{{text}}}")
        message = "a text that holds `: ` must be quoted"
        return self.at(self.line, value.end(), message, length=len(text), help=_quoted(text))

    def missing_space(self) -> Diagnostic | None:
        """A missing space in `-relu` or `conv:64`, which YAML takes for words that go on in the next line."""
        line = self.line_above()
        above = self.source.line(line)
        word = re.match(r"\s*(?:- +)*(?:-(?=[A-Za-z_={])|[A-Za-z_]\w*:(?=\w))", above)
        if not word or "mapping values are not allowed" not in self.problem:
            return None
        column = word.end() - 1
        return self.at(line, column, f"a space is missing behind `{above[column]}`")

    def missing_colon(self) -> Diagnostic | None:
        line = self.context.line if self.context and "expected ':'" in self.problem else self.line_above()
        text = self.source.line(line).split(" #")[0]
        word = re.fullmatch(r"\s*(?:- +)*([A-Za-z_]\w*)(?: +[^:{}\[\]]*)?", text)
        if line < 0 or not word or not re.search(r"expected ':'|mapping values", self.problem):
            return None
        name = word[1]
        rest = text[word.end(1) :].strip()
        message = f"a `:` is missing behind `{name}`"
        own = re.match(r"\s*(?:- +)*", text)
        before = self.source.line(line - 1) if line else ""
        if not rest and own and "-" not in own[0] and re.match(rf"\s{{{len(own[0])}}}- ", before):
            help = f"an item of the list starts with `- `: - {name}"
            return self.at(
                line, word.start(1), "a key among the items of a list", length=len(name), help=help
            )
        return self.at(line, word.start(1), message, length=len(name), help=f"{name}: {rest}".strip())

    def indentation(self) -> Diagnostic | None:
        """A line that starts at a column where nothing above it can go on."""
        if not re.search(r"expected <block end>|mapping values", self.problem):
            return None
        own = len(self.text) - len(self.text.lstrip())
        above = self.starts_above()
        if not above or (self.before.strip(" -") and "mapping values" not in self.problem):
            return None
        is_item = self.text.startswith("- ", own)
        word = re.match(r"- *[^\s:]*:?|[^\s:]+:?", self.text[own:])
        length = len(word[0]) if word else 1
        if any(column == own and item != is_item for column, item, _ in above):
            message = "an item of a list among keys" if is_item else "a key among the items of a list"
            help = "remove `- `, or indent it below its key" if is_item else "each item starts with `- `"
            return self.at(self.line, own, message, length=length, help=help)
        fitting = [(abs(column - own), column, line) for column, item, line in above if item == is_item]
        _, column, line = min(fitting or [(0, *above[0][::2])], key=lambda found: found[0])
        help = f"indent by {column} spaces, as in line {line + 1}"
        return self.at(self.line, own, "the indentation fits nothing above", length=length, help=help)

    def starts_above(self) -> list[tuple[int, bool, int]]:
        """Starts above to which this line could belong: columns of items and keys that are still open,
        nearest first, each with True for an item of a list, and its line."""
        found: list[tuple[int, bool, int]] = []
        for line in range(self.line - 1, -1, -1):
            text = self.source.line(line)
            dashes = re.match(r" *((?:- +)*)(?=[^\s#])", text)
            if not dashes:
                continue
            items = [m.start() for m in re.finditer("-", text[: dashes.end()])]
            starts = [(column, True, line) for column in items] + [(dashes.end(), False, line)]
            found += [s for s in reversed(starts) if not found or s[0] < min(c for c, _, _ in found)]
        return found

    def text_behind(self) -> Diagnostic | None:
        """Text behind a closing quote or bracket: `'quoted' and more`, `{i}x`, `[a] b`."""
        closing = re.search(r"['\"}\]]\s*$", self.before)
        if not closing or "expected <block end>" not in self.problem:
            return None
        message = f"text behind the closing `{self.before.rstrip()[-1]}`"
        rest = self.text[self.column :].split(" #")[0].rstrip()
        help = "quote the whole value, or remove it"
        return self.at(self.line, self.column, message, length=len(rest), help=help)

    def first_character(self) -> Diagnostic | None:
        if "cannot start any token" not in self.problem:
            return None
        char = self.text[self.column : self.column + 1]
        word = re.match(r"[^,\]}#]*", self.text[self.column :])
        text = word[0].rstrip() if word else char
        help = f"quote it: {_quoted(text)}"
        return self.at(
            self.line, self.column, f"a text cannot start with `{char}`", length=len(text), help=help
        )
