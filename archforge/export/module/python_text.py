"""Statements and loops as lines of Python, laid out as the usual formatters do."""

from __future__ import annotations

import ast
import json
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from archforge.export.module.functions import FunctionParameter, FunctionWord
from archforge.export.module.loops import Loop, LoopReference, Parts, is_run
from archforge.export.module.names import loop_variable
from archforge.export.module.statements import Statement

__all__ = [
    "INDENT",
    "WIDTH",
    "LoopVariables",
    "bracketed",
    "docstring",
    "inner_docstring",
    "item_lines",
    "literal",
    "loop_lines",
    "name_text",
    "statement_lines",
    "switched",
    "wrapped",
]

WIDTH = 88
INDENT = "    "
MAX_LISTED = 8  # values of a loop that are written one by one

LoopVariables = tuple[str, ...]  # variables of the loops around, innermost last


def loop_lines(
    items: Sequence[Any],
    lines: Callable[[Any, int, LoopVariables], Iterator[str]],
    depth: int,
    variables: LoopVariables = (),
) -> Iterator[str]:
    """The lines of items; `lines(item, depth, variables)` gives those of an item that is no loop."""
    for item in items:
        if not isinstance(item, Loop):
            yield from lines(item, depth, variables)
            continue
        variable = loop_variable(len(variables)) if item.uses_value else "_"
        yield f"{INDENT * depth}for {variable} in {_values(item.values)}:"
        yield from loop_lines(item.body, lines, depth + 1, (*variables, variable))


def _values(values: tuple[int, ...]) -> str:
    first, last = values[0], values[-1]
    if is_run(values):
        return f"range({first}, {last + 1})" if first else f"range({last + 1})"
    step = values[1] - first
    if len(values) > MAX_LISTED and values == tuple(range(first, last + step, step)):
        return f"range({first}, {last + step}, {step})"
    return literal(values)


def statement_lines(statement: Statement, depth: int, variables: LoopVariables) -> Iterator[str]:
    """The lines of one statement at a depth of blocks."""
    if not statement.flag:
        yield from _plain_lines(statement, depth, variables)
        return
    yield from switched(statement, statement.flag, [*_plain_lines(statement, depth + 1, variables)], depth)


def switched(statement: Statement, flag: str, lines: list[str], depth: int) -> Iterator[str]:
    """The lines of a statement, one level deeper, under its flag, and what stands for its value where that is
    false."""
    indent = INDENT * depth
    if not statement.targets:
        yield from _either(statement, flag, lines, indent)
        return
    yield f"{indent}if {flag}:"
    yield from lines
    if statement.targets != (statement.otherwise,):
        yield f"{indent}else:"
        yield f"{indent}{INDENT}{statement.targets[0]} = {statement.otherwise}"


def _either(statement: Statement, flag: str, lines: list[str], indent: str) -> Iterator[str]:
    """The end of a function that returns the value of the lines if the flag is true, else another value."""
    flat = f"{indent}{lines[0].strip()} if {flag} else {statement.otherwise}"
    if len(lines) == 1 and len(flat) <= WIDTH:
        yield flat
        return
    yield f"{indent}if {flag}:"
    yield from lines
    yield f"{indent}return {statement.otherwise}"


def _plain_lines(statement: Statement, depth: int, variables: LoopVariables) -> Iterator[str]:
    head = f"{INDENT * depth}{', '.join(statement.targets)} = " if statement.targets else _return(depth)
    is_call = statement.callee.isidentifier()
    if is_call:
        arguments = _arguments(statement, variables)
        flat = f"{statement.callee}({', '.join(arguments)})"
    else:
        flat = f" {statement.callee} ".join(statement.inputs)
    line = head + _wrapped(flat, statement)
    comment = f"  # {statement.comment}" if statement.comment else ""
    if len(line) <= WIDTH:
        yield line + comment if len(line + comment) <= WIDTH else line
    elif statement.wraps:
        yield from _in_two(statement, depth, variables)
    elif is_call:
        yield from bracketed(f"{head}{statement.callee}(", arguments, ")", depth)
    else:
        first, *others = statement.inputs
        inner = INDENT * (depth + 1)
        yield from (f"{head}(", f"{inner}{first}", *(f"{inner}{statement.callee} {v}" for v in others))
        yield f"{INDENT * depth})"


def _in_two(statement: Statement, depth: int, variables: LoopVariables) -> Iterator[str]:
    """The lines of a statement that is too long for its wraps, which go on a line of their own."""
    target = statement.targets[0] if statement.targets else "x"
    yield from _plain_lines(replace(statement, targets=(target,), wraps=(), comment=""), depth, variables)
    head = f"{INDENT * depth}{target} = " if statement.targets else _return(depth)
    yield head + _wrapped(target, statement)


def _return(depth: int) -> str:
    return f"{INDENT * depth}return "


def _wrapped(expression: str, statement: Statement) -> str:
    opening = "".join(f"{w}(" for w in reversed(statement.wraps))
    return f"{opening}{expression}{')' * len(statement.wraps)}"


def bracketed(opening: str, items: Sequence[str], closing: str, depth: int) -> Iterator[str]:
    """The lines of items between brackets: one if they fit, else one for each item; those of a call all on
    one line of their own if they fit there."""
    flat = f"{opening}{', '.join(items)}{closing}"
    inner = INDENT * (depth + 1)
    if len(flat) <= WIDTH:
        yield flat
        return
    yield opening
    if opening[-2:-1].replace("_", "a").isalnum() and len(inner + ", ".join(items)) <= WIDTH:
        yield inner + ", ".join(items)
    else:
        for item in items:
            yield from item_lines(item, depth + 1)
    yield f"{INDENT * depth}{closing}"


def item_lines(item: str, depth: int) -> Iterator[str]:
    """The lines of one of several items; a tuple too long for its line has one for each of its own."""
    line = f"{INDENT * depth}{item},"
    head, opening, rest = item.partition("(")
    if len(line) <= WIDTH or not opening or (head and not head.endswith("=")):
        yield line
        return
    text = opening + rest
    made = ast.parse(text, mode="eval").body
    if not isinstance(made, ast.Tuple):
        yield line
        return
    parts = [ast.get_source_segment(text, part) or "" for part in made.elts]
    yield from bracketed(f"{INDENT * depth}{head}(", parts, "),", depth)


def _arguments(statement: Statement, variables: LoopVariables) -> list[str]:
    named = (
        [
            *filter(None, [statement.holder]),
            name_text(statement.parts, variables, relative=statement.relative),
        ]
        if statement.has_name
        else []
    )
    return [*named, *statement.inputs, *(f"{name}={literal(value)}" for name, value in statement.args)]


def name_text(parts: Parts, variables: LoopVariables, *, relative: bool = False) -> str:
    """A name of parameters as Python: a string, one with loop variables in it, or `name` itself."""
    if relative and not parts:
        return "name"
    if not relative and not any(isinstance(p, LoopReference) for p in parts):
        return json.dumps("".join(map(str, parts)), ensure_ascii=False)
    texts = ["{name}"] if relative else []
    texts += [_part(p, variables) for p in parts]
    return f'f"{"".join(texts)}"'


def _part(part: str | int | LoopReference, variables: LoopVariables) -> str:
    if isinstance(part, LoopReference):
        variable = variables[-1 - part.depth]
        sign = "+" if part.offset > 0 else "-"
        return f"{{{variable} {sign} {abs(part.offset)}}}" if part.offset else f"{{{variable}}}"
    quoted = json.dumps(str(part), ensure_ascii=False)[1:-1]
    return quoted.replace("{", "{{").replace("}", "}}")


def literal(value: Any) -> str:
    """A value of an argument as Python."""
    match value:
        case FunctionParameter(name=name, times=times, over=over):
            return f"{times} * {name}" if times > 1 else f"{name} // {over}" if over > 1 else name
        case FunctionWord(name=name):
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


def inner_docstring(text: str) -> str:
    """The docstring of a class or function, without its quotes, in lines of the usual width."""
    opening, closing = f'{INDENT}"""', '"""'
    lines = _filled(opening + docstring(text) + closing, subsequent_indent=INDENT)
    return lines.removeprefix(opening).removesuffix(closing)


def wrapped(text: str) -> str:
    """A paragraph in lines of the usual width."""
    return _filled(text)


def _filled(text: str, subsequent_indent: str = "") -> str:
    return textwrap.fill(
        text, WIDTH, subsequent_indent=subsequent_indent, break_long_words=False, break_on_hyphens=False
    )
