"""docs/recipes.md and docs/data.md: the keys of `train`, and every part of a recipe with its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from pydantic import BaseModel

from archforge.datasets.base import DataSettings, Format, Transform
from archforge.meanings import attribute_meanings, text_of
from archforge.parts import Part, all_parts
from archforge.recipe.base import Initialiser, Loss, Optimizer, Schedule, Stop
from archforge.recipe.recipe import Clip, TrainingRecipe
from archforge.spec.schema.values import plain_text
from archforge.spec.syntax.recipe_forms import ListForm, ValueForm, fields_of
from tests.pages.markdown import escaped, table

__all__ = ["DATA_KINDS", "DATA_PARTS", "KINDS", "recipes_page"]

# The kinds of parts, by the heading of their section; those of data are on a page of their own.
KINDS: dict[str, type[Part]] = {
    "Losses": Loss,
    "Optimizers": Optimizer,
    "Schedules": Schedule,
    "Initialisers": Initialiser,
    "Rules to stop": Stop,
}
DATA_KINDS: dict[str, type[Part]] = {"formats": Format, "augmentations": Transform}

_PAGE = """# Recipes

The section `train` of a spec says how its network is trained. Its keys and the parts that they name are
here, each with its settings and their defaults. A part is written as its word with settings,
`optimizer: {{sgd: {{lr: 0.1, momentum: 0.9}}}}`; the first setting is what a bare value sets,
`{{sgd: 0.1}}`, and a word alone takes the defaults, `loss: cross_entropy`. `data` and its formats and
augmentations have [a page of their own](data.md). This page is generated from the parts.

## Keys

{keys}

Of `clip`:

{clip}

{sections}
"""


def recipes_page() -> str:
    """The text of `docs/recipes.md`."""
    return _PAGE.format(
        keys=_keys(TrainingRecipe),
        clip=_keys(Clip),
        sections="\n\n".join(f"## {heading}\n\n{_kind(kind)}" for heading, kind in KINDS.items()),
    )


def _keys(model: type[BaseModel]) -> str:
    return table(("key", "meaning"), ((f"`{name}`", _meaning(model, name)) for name in model.model_fields))


def _meaning(model: type[BaseModel], name: str) -> str:
    return escaped(attribute_meanings(model)[name].rstrip("."))


def _kind(kind: type[Part]) -> str:
    return "\n\n".join(_part(word, cls) for word, cls in all_parts(kind).items())


def _part(word: str, cls: type[Part]) -> str:
    names = ", ".join(f"`{name}`" for name in cls.elsewhere)
    other = f"\n\nElsewhere: {names}." if names else ""
    rows = _settings_rows(cls)
    settings = f"\n\n{table(('setting', 'meaning', 'is', 'default'), rows)}" if rows else ""
    return f"### {word}\n\n{escaped(text_of(cls))}{other}{settings}"


def _settings_rows(cls: type[Part]) -> list[tuple[str, str, str, str]]:
    """The settings of a part: the name, meaning, kind of value and default of each."""
    rows = []
    for name, field in fields_of(cls).items():
        expected = field.form.expected if isinstance(field.form, ValueForm | ListForm) else "a mapping"
        default = cls.model_fields[name].default
        is_empty = default in ("", None, ())
        told = "required" if field.required else "" if is_empty else f"`{plain_text(default)}`"
        rows.append((f"`{name}`", _meaning(cls, name), expected, told))
    return rows


# The parts of docs/data.md that are generated.
DATA_PARTS: Mapping[str, Callable[[], str]] = {
    "data_settings": lambda: _keys(DataSettings),
    **{name: partial(_kind, kind) for name, kind in DATA_KINDS.items()},
}
