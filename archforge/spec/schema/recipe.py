"""JSON Schema of `train`, by the same forms that its parser goes by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from pydantic import BaseModel, TypeAdapter

from archforge.meanings import attribute_meanings, text_of
from archforge.parts import Part, all_parts, bare_setting
from archforge.recipe.reaches import FIGURES
from archforge.spec import limits
from archforge.spec.schema.fixed_parts import mapping, record, ref
from archforge.spec.schema.values import Json, plain_text
from archforge.spec.syntax.recipe_forms import (
    Form,
    ListForm,
    MapForm,
    ModelForm,
    PartForm,
    RecipeField,
    ValueForm,
    fields_of,
    section,
)
from archforge.spec.syntax.syntax_tree import REACHES
from archforge.spec.yaml.tree import GROUPED

__all__ = ["recipe_definitions"]

_TEXT = {"type": "string"}


def recipe_definitions(profiles: Sequence[str] | None) -> Json:
    """The definitions of `train`, of a profile's `train`, and of the kinds of parts. profiles: those of a
    spec, where no others may be named."""
    keys = {key: _or_null(schema) for key, schema in _fields(section(), nullable=False).items()}
    reaches = mapping(
        "Figures that the recipe is documented to reach, by profile.",
        ref("reached") if profiles is None else False,
        properties=dict.fromkeys(profiles or (), ref("reached")),
    )
    told = "The recipe of its training; a key replaces an inherited one, and null takes it away."
    return {
        "train": {"description": told, **_open(record((), **keys, **{REACHES: reaches}))},
        "profile-train": {"description": told, **_open(record((), **keys))},
        "reached": _reached(),
        **_kinds(section()),
    }


def _open(schema: Json) -> Json:
    """A section that may be left empty."""
    return {**schema, "type": ["object", "null"]}


def _or_null(schema: Json) -> Json:
    """A value, or null, which takes an inherited one away."""
    told = {"description": schema["description"]}
    return {**told, "anyOf": [{k: v for k, v in schema.items() if k != "description"}, {"type": "null"}]}


@cache
def _fields(model: type[BaseModel], *, nullable: bool = True) -> dict[str, Json]:
    """The schema of each field of a model, by its name. nullable: null too, where a field takes it."""
    meanings = attribute_meanings(model)
    found: dict[str, Json] = {}
    for name, field in fields_of(model).items():
        schema = {"description": _told(model, name, field, meanings), **_schema(field.form)}
        found[name] = _or_null(schema) if nullable and field.nullable else schema
    return found


def _told(model: type[BaseModel], name: str, field: RecipeField, meanings: Mapping[str, str]) -> str:
    """A field's meaning and default."""
    meaning = meanings.get(name, name)
    default = model.model_fields[name].default
    is_plain = isinstance(default, int | float | str)
    told = "Required" if field.required else f"Default: {plain_text(default)}" if is_plain else ""
    return " ".join(f"{part.rstrip('.')}." for part in (meaning[0].upper() + meaning[1:], told) if part)


def _schema(form: Form) -> Json:
    if isinstance(form, PartForm):
        return ref(_definition(form.kind))
    if isinstance(form, ModelForm):
        return record(_required(form.model), **_fields(form.model))
    if isinstance(form, ListForm):
        item = _schema(form.item)
        return {"anyOf": [{"type": "array", "items": item, **_lengths(form)}, item]}
    if isinstance(form, MapForm):
        names = {
            "propertyNames": {"maxLength": limits.PATTERN.most},
            "maxProperties": limits.RECIPE_ITEMS.most,
        }
        return {"type": "object", "additionalProperties": _schema(form.item), **names}
    return _plain(TypeAdapter(form.annotation).json_schema())


def _lengths(form: ListForm) -> Json:
    """The least and the most items of a list."""
    most = limits.RECIPE_ITEMS.most
    if not isinstance(form.item, ValueForm):
        return {"maxItems": most}
    own = TypeAdapter(form.annotation).json_schema()
    return {"minItems": own.get("minItems", 0), "maxItems": min(own.get("maxItems", most), most)}


# Draft-07 says otherwise what each of some axes is; titles and defaults are for forms, not for specs.
_LEFT_OUT = ("title", "description", "default", "prefixItems", "items")


def _plain(fragment: Json) -> Json:
    """Schema of a plain value: pydantic's (2020-12) as draft-07, with whole numbers grouped by threes."""
    if "anyOf" in fragment:
        return {"anyOf": [_plain(option) for option in fragment["anyOf"]]}
    rules = {key: rule for key, rule in fragment.items() if key not in _LEFT_OUT}
    if "prefixItems" in fragment:
        rules["items"] = [_plain(item) for item in fragment["prefixItems"]]
    elif "items" in fragment:
        rules["items"] = _plain(fragment["items"])
    if rules.get("type") == "integer":
        return {"anyOf": [rules, {"type": "string", "pattern": GROUPED.pattern}]}
    return rules


def _required(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(name for name, field in fields_of(model).items() if field.required)


def _definition(kind: type[Part]) -> str:
    return f"part-{kind.what.replace(' ', '-')}"


def _kinds(model: type[BaseModel]) -> dict[str, Json]:
    """The definitions of all kinds of parts that a model holds, and of those that parts hold."""
    found: dict[str, Json] = {}
    pending: list[Form] = [field.form for field in fields_of(model).values()]
    while pending:
        form = pending.pop()
        if isinstance(form, ListForm | MapForm):
            pending.append(form.item)
        elif isinstance(form, ModelForm):
            pending += [field.form for field in fields_of(form.model).values()]
        elif isinstance(form, PartForm) and _definition(form.kind) not in found:
            parts: Mapping[str, type[Part]] = all_parts(form.kind)
            found[_definition(form.kind)] = _kind(form.kind, parts)
            pending += [field.form for part in parts.values() for field in fields_of(part).values()]
    return dict(sorted(found.items()))


def _kind(kind: type[Part], parts: Mapping[str, type[Part]]) -> Json:
    """A part: its word alone where it needs no setting, or its word with settings."""
    alone = [word for word, part in parts.items() if not _required(part)]
    named = record((), **{word: _settings(part) for word, part in parts.items()})
    one = {**named, "minProperties": 1, "maxProperties": 1}
    return {"description": f"One {kind.what}.", "anyOf": [{"enum": alone}, one] if alone else [one]}


@cache
def _settings(part: type[Part]) -> Json:
    """The settings of a part: none, a bare value for the first, or a mapping."""
    told = {"description": text_of(part)}
    fields, required = _fields(part), _required(part)
    options: list[Json] = [record(required, **fields)]
    options += [] if required else [{"type": "null"}]
    first = bare_setting(part)
    if first and not set(required) - {first}:
        options.append({k: v for k, v in fields[first].items() if k != "description"})
    return {**told, "anyOf": options}


def _reached() -> Json:
    figures: Json = {}
    for name, kind in FIGURES.items():
        number: Json = {"type": "number", "minimum": 0, **({"maximum": 1} if kind.is_share else {})}
        cell = record(
            ("documented",),
            documented={"description": "The figure as printed.", **number},
            computed={"description": "The figure that this recipe gives.", **number},
            because={"description": "The reason why it is another.", **_TEXT},
            source={"description": "Who printed it, where.", **_TEXT},
        )
        both = {"computed": ["because"], "because": ["computed"]}
        told = f"{kind.says[0].upper()}{kind.says[1:]}."
        figures[name] = {"description": told, "anyOf": [number, {**cell, "dependencies": both}]}
    source = {"description": "Who printed the figures, where.", **_TEXT}
    return {**record(("source",), source=source, **figures), "minProperties": 2}
