"""Parts of docs/python_api.md: signatures, fields and docstrings of what programs use."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any

import archforge
from tests.pages.markdown import escaped, table

__all__ = ["API_PARTS"]


def _objects() -> dict[str, Any]:
    """Functions and classes of the page, by name: the public ones of `archforge`, and what those give."""
    from archforge.analysis.checks import Cell
    from archforge.analysis.counts import Counts
    from archforge.analysis.network import Report
    from archforge.errors import Note, Span
    from archforge.ir import ParamDecl
    from archforge.plan import Executable, Plan, Results
    from archforge.sweeps.findings import SpaceFindings
    from archforge.sweeps.job import Job, JobRecord
    from archforge.sweeps.store import SweptNetwork

    public = {name: getattr(archforge, name) for name in archforge.__all__ if name != "__version__"}
    given = (Cell, Counts, Executable, Note, ParamDecl, Plan, Report, Results, Span)
    swept = (Job, JobRecord, SpaceFindings, SweptNetwork)
    return public | {cls.__name__: cls for cls in (*given, *swept)}


def _part(name: str) -> str:
    """A function with its docstring, or a class with its fields and members."""
    found = _objects()[name]
    return _class(found) if inspect.isclass(found) else _function(found)


def _function(function: Callable[..., Any]) -> str:
    return f"```python\n{_head(function)}\n```\n\n{_parameters_listed(function, _says(function))}"


def _parameters_listed(function: Callable[..., Any], text: str) -> str:
    """The text with a line of a list for each parameter that it explains as `name: meaning.`"""
    names = "|".join(inspect.signature(function).parameters)
    listed = re.sub(rf"(?:^|(?<=\.) )({names}): ", r"\n- `\1`: ", text, flags=re.MULTILINE)
    return listed.replace("\n\n\n", "\n\n")


def _class(cls: type) -> str:
    parts = [_says(cls)]
    if fields := _fields(cls):
        parts.append("```python\n" + "\n".join(fields) + "\n```")
    if members := list(_members(cls)):
        parts.append(table(("member", "gives"), members))
    return "\n\n".join(parts)


def _head(function: Callable[..., Any]) -> str:
    """The signature as it is written in the source, a parameter on each line where there are many."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(definition, ast.FunctionDef)
    returns = f" -> {ast.unparse(definition.returns)}" if definition.returns else ""
    parameters = list(_parameters(definition.args))
    line = f"{definition.name}({', '.join(parameters)}){returns}"
    if len(line) <= 88:
        return line
    return "\n".join(
        (f"{definition.name}(", *(f"    {parameter}," for parameter in parameters), f"){returns}")
    )


def _parameters(arguments: ast.arguments) -> Iterator[str]:
    """The parameters in order, each as `name: type = default`, without `self`."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [*[None] * (len(positional) - len(arguments.defaults)), *arguments.defaults]
    last_positional_only = len(arguments.posonlyargs)
    for number, (argument, default) in enumerate(zip(positional, defaults, strict=True), start=1):
        if argument.arg != "self":
            yield _parameter(argument, default)
        if number == last_positional_only:
            yield "/"
    if arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, default)
    if arguments.kwarg:
        yield "**" + _parameter(arguments.kwarg, None)


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    kind = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    value = f" = {ast.unparse(default)}" if default else ""
    return f"{argument.arg}{kind}{value}".replace("'", '"')


def _fields(cls: type) -> list[str]:
    """The fields of a class as they stand in its source, comments included."""
    source = textwrap.dedent(inspect.getsource(cls))
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    lines = source.splitlines()
    fields = [s for s in definition.body if isinstance(s, ast.AnnAssign)]
    return [lines[field.lineno - 1].strip() for field in fields]


def _members(cls: type) -> Iterator[tuple[str, str]]:
    """The public properties and methods of a class, in order, with what they say. Raises ValueError for one
    that says nothing."""
    for name, member in vars(cls).items():
        if name.startswith("_") and name != "__call__":
            continue
        if isinstance(member, property | cached_property):
            yield f"`{name}`", _one_line(cls, name, member)
        elif inspect.isfunction(member):
            yield (
                f"`{_head(member).split(' -> ')[0].replace('__call__', cls.__name__.lower())}`",
                _one_line(cls, name, member),
            )


def _one_line(cls: type, name: str, member: Any) -> str:
    if not member.__doc__:
        raise ValueError(f"{cls.__name__}.{name} has no docstring for docs/python_api.md")
    return _says(member).replace("\n\n", " ")


def _says(documented: Any) -> str:
    """The docstring, a line for each paragraph."""
    text = inspect.cleandoc(documented.__doc__ or "")
    return escaped("\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n")))


API_PARTS: Mapping[str, Callable[[], str]] = {f"api_{name}": partial(_part, name) for name in _objects()}
