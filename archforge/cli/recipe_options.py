"""The keys of the section `train` as options of a command: one for each, named and explained as there."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, get_type_hints

import typer

from archforge.meanings import attribute_meanings
from archforge.recipe.recipe import TrainingRecipe

__all__ = ["given_settings", "recipe_options"]

ELSEWHERE = ("data",)  # keys for which a command has options of its own
METAVARS = {int: "N", float: "X"}


def recipe_options(*keys: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator of a command, whose `**recipe` becomes options: `--loss-weights` for `loss_weights`. A
    value is read as in a spec; one that is true or false has two options.

    keys: those of `train` that the command takes; all by default.
    """
    return partial(_with_options, keys)


def _with_options(keys: tuple[str, ...], command: Callable[..., None]) -> Callable[..., None]:
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)
    parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    for name, option in _options(keys).items():
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        )
        hints[name] = option

    def called(**arguments: Any) -> None:
        command(**arguments)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__annotations__ = hints
    called.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[p.replace(annotation=hints[p.name]) for p in parameters]
    )
    return called


def given_settings(recipe: Mapping[str, Any]) -> dict[str, str]:
    """The options that were given, as texts by their keys."""
    return {
        name: value if isinstance(value, str) else str(value).lower()
        for name, value in recipe.items()
        if value is not None
    }


def _options(keys: tuple[str, ...]) -> dict[str, Any]:
    """The annotation of each option by its key."""
    meanings = attribute_meanings(TrainingRecipe)
    found: dict[str, Any] = {}
    for name, field in TrainingRecipe.model_fields.items():
        if name in ELSEWHERE or (keys and name not in keys):
            continue
        flag, meaning = f"--{name.replace('_', '-')}", meanings[name]
        help = f"{meaning[0].upper()}{meaning[1:]}"
        if field.annotation is bool:
            option = typer.Option(f"{flag}/--no-{flag[2:]}", help=help)
            found[name] = Annotated[bool | None, option]
        else:
            metavar = (
                METAVARS.get(field.annotation, "VALUE") if isinstance(field.annotation, type) else "VALUE"
            )
            found[name] = Annotated[str | None, typer.Option(flag, metavar=metavar, help=help)]
    return found
