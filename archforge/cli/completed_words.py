"""Words that complete a command line, for the scripts of `archforge completion`.

A shell asks at each press of a key, so that nothing is loaded but what the question needs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Any, get_args, get_type_hints

from archforge.cli.commands import COMMANDS, GROUPS

__all__ = ["completed", "print_words"]

PROFILE_OPTIONS = ("--profile", "-p", "--other-profile")
# Commands whose arguments are no specs of the zoo.
WITHOUT_SPEC = ("import", "new", "completion")


def print_words(words: Sequence[str]) -> None:
    """Print what completes the last of the words, a line each; nothing where something is wrong."""
    found: Iterable[str] = ()
    with contextlib.suppress(Exception):  # in the middle of a line, whose mistakes are told when it is run
        found = completed(words)
    for word in found:
        print(word)


def completed(words: Sequence[str]) -> list[str]:
    """The words that may stand in place of the last one, which may be empty; none where it is a file."""
    *before, last = words or [""]
    option, equals, value = last.partition("=")
    if option.startswith("--") and equals:
        return [f"{option}={word}" for word in completed([*before, option, value])]
    command = next((c for c in COMMANDS if before[: len(c.split())] == c.split()), "")
    if not command:
        return _fitting(_next_words(before), last)
    arguments = before[len(command.split()) :]
    previous = arguments[-1] if arguments else ""
    if last.startswith("-"):
        return _fitting(_options(command), last)
    if previous in PROFILE_OPTIONS:
        return _fitting(_profiles(_first_spec(arguments)), last)
    if previous.startswith("-") and (known := _values(command, previous)) is not None:
        return _fitting(known, last)
    if command == "completion":
        from archforge.cli.completion import Shell

        return _fitting(Shell, last)
    if command == "explain" and _first_spec(arguments):
        return _names(arguments, last)
    if command in WITHOUT_SPEC:
        return []
    spec, mark, profile = last.rpartition("@")
    if mark:
        return [f"{spec}@{name}" for name in _fitting(_profiles(spec), profile)]
    return _fitting(_zoo(), last)


def _fitting(words: Iterable[str], begun: str) -> list[str]:
    return [word for word in words if word.startswith(begun)]


def _next_words(before: Sequence[str]) -> list[str]:
    """The commands, or behind the name of a group those in it."""
    if not before:
        return [*dict.fromkeys(command.split()[0] for command in COMMANDS), "--help", "--version"]
    if len(before) == 1 and before[0] in GROUPS:
        return [command.split()[1] for command in COMMANDS if command.startswith(f"{before[0]} ")]
    return []


def _zoo() -> list[str]:
    from archforge.resources import zoo_folder

    names = os.listdir(zoo_folder())  # noqa: PTH208
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def _first_spec(arguments: Sequence[str]) -> str:
    """The first argument that is no option, nor probably the value of one."""
    for previous, word in pairwise(["", *arguments]):
        if word and not word.startswith("-") and not (previous.startswith("-") and "=" not in previous):
            return word
    return ""


def _profiles(spec: str) -> list[str]:
    from archforge.spec.resolve.sources import open_spec

    return open_spec(spec.partition("@")[0]).profile_names


def _names(arguments: Sequence[str], begun: str) -> list[str]:
    """The names of scopes and layers that go on from what is begun, as far as the next dot."""
    from archforge.spec.expand.expand import expand
    from archforge.spec.resolve.sources import open_spec

    profile = next((word for option, word in pairwise(arguments) if option in PROFILE_OPTIONS), None)
    graph = expand(open_spec(_first_spec(arguments)), profile).graph
    found: dict[str, None] = {}
    for node in graph.nodes:
        if node.name.startswith(begun):
            rest, dot, _ = node.name[len(begun) :].partition(".")
            found[f"{begun}{rest}{dot}"] = None
    return [*found]


def _parameters(command: str) -> list[Any]:
    import typer

    from archforge.cli.app import app_for

    made: Any = typer.main.get_command(app_for(command.split()))
    for word in command.split():
        made = made.commands[word]
    return list(made.params)


def _options(command: str) -> list[str]:
    own = [
        name for p in _parameters(command) for name in (*p.opts, *p.secondary_opts) if name.startswith("--")
    ]
    return [*own, "--help"]


def _values(command: str, option: str) -> list[str] | None:
    """The words that an option may take, none for a file or a number; None for what takes no value."""
    parameter = next((p for p in _parameters(command) if option in p.opts), None)
    if parameter is None or parameter.is_flag:
        return None
    if option == "--backend":
        from archforge.backends import AUTO, names

        return [AUTO, *names()]
    if option == "--to" and command == "export":
        from archforge.export import all_targets

        return [*all_targets()]
    from archforge.cli.app import function_of

    hint = get_type_hints(function_of(command)).get(parameter.name)
    kinds = [kind for kind in (hint, *get_args(hint)) if isinstance(kind, type) and issubclass(kind, StrEnum)]
    return [str(word) for kind in kinds for word in kind]
