"""Forms of the fields of a recipe: the shape in which a spec writes each of them, told by its annotation.

Parser and schema go by these forms, so that neither names a field: a new part, or a new setting of one, is
read, checked and completed by being declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from archforge.parts import Part

__all__ = [
    "Form",
    "ListForm",
    "MapForm",
    "ModelForm",
    "PartForm",
    "RecipeField",
    "ValueForm",
    "fields_of",
    "section",
]


class PartForm(NamedTuple):
    """A part of a kind: `sgd`, `{sgd: 0.1}` or `{sgd: {lr: 0.1}}`."""

    kind: type[Part]


class ModelForm(NamedTuple):
    """A mapping with the fields of a model as keys."""

    model: type[BaseModel]


class ListForm(NamedTuple):
    """A list of items of one form, or one item alone. expected: what the list is, in words."""

    item: Form
    expected: str
    annotation: Any


class MapForm(NamedTuple):
    """A mapping from names or patterns to values of one form."""

    item: Form


class ValueForm(NamedTuple):
    """A plain value: `expected` says which, in words; `annotation` is its type with all rules."""

    expected: str
    annotation: Any


Form = PartForm | ModelForm | ListForm | MapForm | ValueForm


class RecipeField(NamedTuple):
    """A field of a model. required: it has no default. nullable: null is a value of it."""

    form: Form
    required: bool
    nullable: bool


def section() -> type[BaseModel]:
    """The model whose fields are the keys of `train`; only specs that have one load it."""
    from archforge.recipe.recipe import TrainingRecipe

    return TrainingRecipe


@cache
def fields_of(model: type[BaseModel]) -> Mapping[str, RecipeField]:
    """The fields of a model by name, in order of declaration."""
    return {name: _field(info) for name, info in model.model_fields.items()}


def _field(info: FieldInfo) -> RecipeField:
    annotation = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
    form = _form(annotation, info.description or "")
    return RecipeField(form, info.is_required(), NoneType in _options(info.annotation))


def _options(annotation: Any) -> tuple[Any, ...]:
    """The types that a value may have."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _form(annotation: Any, description: str = "") -> Form:
    inner, *rules = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    description = description or next((r.description for r in rules if getattr(r, "description", "")), "")
    options = [option for option in _options(inner) if option is not NoneType]
    if len(options) > 1:
        return ValueForm(description or " or ".join(map(_expected, options)), annotation)
    if options != [inner]:
        return _form(options[0], description)
    if isinstance(inner, type) and issubclass(inner, Part) and "package" in vars(inner):
        return PartForm(inner)
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        return ModelForm(inner)
    origin, arguments = get_origin(inner), get_args(inner)
    if origin is tuple and arguments[1:] == (...,):
        return ListForm(_form(arguments[0]), description or _expected(inner), annotation)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return MapForm(_form(arguments[1]))
    return ValueForm(description or _expected(inner), annotation)


_EXPECTED = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _expected(annotation: Any) -> str:
    """A plain type in words."""
    if get_origin(annotation) is Annotated:
        form = _form(annotation)
        return form.expected if isinstance(form, ValueForm) else "a list"
    if get_origin(annotation) is Literal:
        *others, last = (f"`{word}`" for word in get_args(annotation))
        return f"{', '.join(others)} or {last}" if others else last
    items = [item for item in get_args(annotation) if item is not ...]
    if get_origin(annotation) is tuple:
        return (
            f"a list of {len(items)}" if len(items) > 1 else f"a list, of which each is {_expected(items[0])}"
        )
    return _EXPECTED.get(annotation, "of another kind")
