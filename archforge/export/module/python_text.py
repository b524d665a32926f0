"""Statements and loops as lines of Python, laid out as the usual formatters do."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from archforge.export.module.functions import Parameter, Word
from archforge.export.module.loops import Loop, Parts, Ref, is_run
from archforge.export.module.names import loop_variable
from archforge.export.module.statements import Statement

__all__ = [
    "INDENT",
    "WIDTH",
    "Scope",
    "bracketed",
    "docstring",
    "literal",
    "loop_lines",
    "name_text",
    "statement_lines",
    "wrapped",
]

WIDTH = 88
INDENT = "    "
MAX_LISTED = 8  # values of a loop that are written one by one

Scope = tuple[str, ...]  # variables of the loops around, innermost last


def loop_lines(
    items: Sequence[Any], lines: Callable[[Any, int, Scope], Iterator[str]], depth: int, scope: Scope = ()
) -> Iterator[str]:
    """The lines of items, where `lines(item, depth, scope)` gives those of one that is no loop."""
    for item in items:
        if not isinstance(item, Loop):
            yield from lines(item, depth, scope)
            continue
        variable = loop_variable(len(scope)) if item.uses_value else "_"
        yield f"{INDENT * depth}for {variable} in {_values(item.values)}:"
        yield from loop_lines(item.body, lines, depth + 1, (*scope, variable))


def _values(values: tuple[int, ...]) -> str:
    first, last = values[0], values[-1]
    if is_run(values):
        return f"range({first}, {last + 1})" if first else f"range({last + 1})"
    step = values[1] - first
    if len(values) > MAX_LISTED and values == tuple(range(first, last + step, step)):
        return f"range({first}, {last + step}, {step})"
    return literal(values)


def statement_lines(statement: Statement, depth: int, scope: Scope) -> Iterator[str]:
    """The lines of one statement at a depth of blocks."""
    if not statement.flag:
        yield from _plain_lines(statement, depth, scope)
        return
    indent = INDENT * depth
    lines = [*_plain_lines(statement, depth + 1, scope)]
    if not statement.targets:
        yield from _either(statement, lines, indent)
        return
    yield f"{indent}if {statement.flag}:"
    yield from lines
    if statement.targets != (statement.otherwise,):
        yield f"{indent}else:"
        yield f"{indent}{INDENT}{statement.targets[0]} = {statement.otherwise}"


def _either(statement: Statement, lines: list[str], indent: str) -> Iterator[str]:
    """A function's end: what the lines return where the flag is true, the other value elsewhere."""
    flat = f"{indent}{lines[0].strip()} if {statement.flag} else {statement.otherwise}"
    if len(lines) == 1 and len(flat) <= WIDTH:
        yield flat
        return
    yield f"{indent}if {statement.flag}:"
    yield from lines
    yield f"{indent}return {statement.otherwise}"


def _plain_lines(statement: Statement, depth: int, scope: Scope) -> Iterator[str]:
    head = f"{INDENT * depth}{', '.join(statement.targets)} = " if statement.targets else _return(depth)
    is_call = statement.callee.isidentifier()
    if is_call:
        arguments = _arguments(statement, scope)
        flat = f"{statement.callee}({', '.join(arguments)})"
    else:
        flat = f" {statement.callee} ".join(statement.inputs)
    line = head + _wrapped(flat, statement)
    comment = f"  # {statement.comment}" if statement.comment else ""
    if len(line) <= WIDTH:
        yield line + comment if len(line + comment) <= WIDTH else line
    elif statement.wraps:
        yield from _in_two(statement, depth, scope)
    elif is_call:
        yield from bracketed(f"{head}{statement.callee}(", arguments, ")", depth)
    else:
        first, *others = statement.inputs
        inner = INDENT * (depth + 1)
        yield from (f"{head}(", f"{inner}{first}", *(f"{inner}{statement.callee} {v}" for v in others))
        yield f"{INDENT * depth})"


def _in_two(statement: Statement, depth: int, scope: Scope) -> Iterator[str]:
    """A statement too long for its wraps: they go on a line of their own."""
    target = statement.targets[0] if statement.targets else "x"
    yield from _plain_lines(replace(statement, targets=(target,), wraps=(), comment=""), depth, scope)
    head = f"{INDENT * depth}{target} = " if statement.targets else _return(depth)
    yield head + _wrapped(target, statement)


def _return(depth: int) -> str:
    return f"{INDENT * depth}return "


def _wrapped(expression: str, statement: Statement) -> str:
    opening = "".join(f"{w}(" for w in reversed(statement.wraps))
    return f"{opening}{expression}{')' * len(statement.wraps)}"


def bracketed(opening: str, items: Sequence[str], closing: str, depth: int) -> Iterator[str]:
    """Items between brackets: on one line, else each on its own; those of a call first on one of their
    own together."""
    flat = f"{opening}{', '.join(items)}{closing}"
    inner = INDENT * (depth + 1)
    if len(flat) <= WIDTH:
        yield flat
        return
    yield opening
    if opening[-2:-1].isidentifier() and len(inner + ", ".join(items)) <= WIDTH:
        yield inner + ", ".join(items)
    else:
        yield from (f"{inner}{item}," for item in items)
    yield f"{INDENT * depth}{closing}"


def _arguments(statement: Statement, scope: Scope) -> list[str]:
    named = (
        ["p", name_text(statement.parts, scope, relative=statement.relative)] if statement.has_name else []
    )
    return [*named, *statement.inputs, *(f"{name}={literal(value)}" for name, value in statement.args)]


def name_text(parts: Parts, scope: Scope, *, relative: bool = False) -> str:
    """A name of parameters as Python: a string, one with loop variables in it, or `name` itself."""
    if relative and not parts:
        return "name"
    if not relative and not any(isinstance(p, Ref) for p in parts):
        return json.dumps("".join(map(str, parts)), ensure_ascii=False)
    texts = ["{name}"] if relative else []
    texts += [_part(p, scope) for p in parts]
    return f'f"{"".join(texts)}"'


def _part(part: str | int | Ref, scope: Scope) -> str:
    if isinstance(part, Ref):
        variable = scope[-1 - part.depth]
        sign = "+" if part.offset > 0 else "-"
        return f"{{{variable} {sign} {abs(part.offset)}}}" if part.offset else f"{{{variable}}}"
    quoted = json.dumps(str(part), ensure_ascii=False)[1:-1]
    return quoted.replace("{", "{{").replace("}", "}}")


def literal(value: Any) -> str:
    """A value of an argument as Python."""
    match value:
        case Parameter(name=name) | Word(name=name):
            return name
        case str():
            return json.dumps(value, ensure_ascii=False)
        case tuple():
            return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
        case Mapping():
            return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
        case _:
            return repr(value)


def docstring(text: str) -> str:
    """Words of a spec, which nobody has to trust, as part of a docstring."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')


def wrapped(text: str) -> str:
    """A paragraph in lines of the usual width."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
