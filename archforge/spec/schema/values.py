"""JSON Schema of values as a spec writes them: attributes of ops, arguments of blocks.

Wherever a value is due a formula is too, and a number may be grouped: editors read `25_557_032` and
`=4*width` as text. Most keywords of JSON Schema judge one type and let others pass, so one schema
that lists its types stands for a choice; editors complete and explain that better than `anyOf`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from textwrap import shorten
from typing import Any

from archforge.errors import InternalError
from archforge.meanings import attribute_meanings, text_of
from archforge.ops.base import Op
from archforge.spec.syntax.syntax_tree import ArgDecl
from archforge.spec.yaml.tree import GROUPED

__all__ = [
    "FORMULA",
    "NUMERAL",
    "Json",
    "argument_of",
    "call_of",
    "flag",
    "formula",
    "number",
    "numeral",
    "op_of",
    "plain_text",
]

Json = dict[str, Any]

FORMULA = "^="
NUMERAL = f"^=|^{GROUPED.pattern}"
_STEP = {"items": {"$ref": "#/definitions/step"}}
_OPERATION = {"$ref": "#/definitions/operation"}


# An editor completes a key with the first type that its schema lists: a text is the least in the way.
# A keyword `default` would be written into the spec, and `items` start a list; so the first stands in
# the description, the second inside `allOf`.


def number(kind: str = "integer", **limits: Any) -> Json:
    """A number of that type within `limits`, grouped if it is long, or a formula."""
    told = "a number" if kind == "number" else "a whole number"
    return {
        "type": ["string", kind],
        "pattern": NUMERAL,
        "patternErrorMessage": f"{told}, or a formula such as =4*width",
        **limits,
    }


def numeral(kind: str = "integer", **limits: Any) -> Json:
    """A number of that type, grouped if it is long, where no formula may stand."""
    told = "a number" if kind == "number" else "a whole number"
    return {
        "type": ["string", kind],
        "pattern": f"^{GROUPED.pattern}",
        "patternErrorMessage": told,
        **limits,
    }


def formula(*types: str) -> Json:
    """A formula, or a value of one of `types`."""
    return {"type": ["string", *types], "pattern": FORMULA, "patternErrorMessage": "a formula starts with ="}


def flag() -> Json:
    """True, false, or a formula."""
    return {**formula("boolean"), "patternErrorMessage": "true, false, or a formula such as =stride > 1"}


def plain_text(value: Any) -> str:
    """Text of a plain value in a spec, on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@cache
def op_of(word: str, cls: type[Op]) -> Json:
    """Schema of the arguments of the op `word`, the same object at each call."""
    attributes: dict[str, Json] = {}
    meanings = attribute_meanings(cls)
    for name, fragment in cls.model_json_schema().get("properties", {}).items():
        kind, meaning = fragment["description"], meanings[name]
        told = f"Default: {plain_text(fragment['default'])}" if "default" in fragment else "Required"
        attributes[name] = {
            "description": f"{meaning[0].upper()}{meaning[1:]}: {kind}. {told}.",
            **_value(fragment, f"{kind}, or a formula"),
        }
    text = text_of(cls)
    return call_of(text if word == cls.op else f"Another word for `{cls.op}`. {text}", attributes)


def call_of(description: str, named: Mapping[str, Json]) -> Json:
    """Schema of arguments behind an op or block: none, `named` ones, or a bare value for the first of them.

    A formula in place of all may give a row: a mapping of values by name.
    """
    first = next(iter(named.values()), None)
    if first is None:
        return {
            "description": description,
            "anyOf": [{"type": "null"}, {"type": "object", "maxProperties": 0}],
        }
    bare = {key: rule for key, rule in first.items() if key != "description"}
    if "anyOf" in bare:
        bare["anyOf"] = [*bare["anyOf"], {"type": ["null", "object"]}]
    elif "type" in bare:
        bare["type"] = list(dict.fromkeys(["string", *bare["type"], "null", "object"]))
    if "allOf" in bare:  # a mapping is named values, never one step
        bare["allOf"] = [rule for rule in bare["allOf"] if rule != _OPERATION]
    return {"description": description, **bare, "properties": dict(named), "additionalProperties": False}


def _value(fragment: Json, expected: str) -> Json:
    """Schema of one attribute: pydantic's (2020-12) as draft-07, with formulas and grouped numbers."""
    words: list[Any] = []
    merged: Json = {}
    types: list[str] = []
    for option in _options(fragment):
        if "enum" in option or "const" in option:
            words += option.get("enum", [option.get("const")])
            continue
        types.append(option["type"])
        for key, rule in _rules(option).items():
            if merged.setdefault(key, rule) != rule:
                raise InternalError(f"two rules for `{key}` in one attribute: {fragment}")
    numeric = {"integer", "number"} & {*types}
    pattern = {"pattern": NUMERAL if numeric else FORMULA, "patternErrorMessage": expected}
    merged = {"type": ["string", *types], **pattern, **merged}
    return {"anyOf": [{"enum": words}, merged]} if words else merged


def _options(fragment: Json) -> Iterator[Json]:
    for option in fragment.get("anyOf", [fragment]):
        yield from _options(option) if "anyOf" in option else [option]


def _rules(option: Json) -> Json:
    rules = {k: v for k, v in option.items() if k not in ("title", "description", "default", "type")}
    if option["type"] != "array":
        return rules
    if "prefixItems" in rules:
        rules["items"] = [_value(f, "") for f in rules.pop("prefixItems")]
    else:
        rules["items"] = _value(rules["items"], "")
    return {"allOf": [rules]}


_KINDS: dict[str | None, tuple[str, Json]] = {
    "int": ("a whole number", number()),
    "float": ("a number", number("number")),
    "bool": ("true or false", flag()),
    "str": ("a text", {"type": ["string"]}),
    "list": ("a list", formula("array")),
    "tensor": ("a value such as a tap", formula()),
    "steps": ("steps", {"type": ["string", "array", "object", "null"], "allOf": [_STEP, _OPERATION]}),
    None: ("a value", {"allOf": [{"$ref": "#/definitions/argument"}]}),
}


def argument_of(decl: ArgDecl, owner: str) -> Json:
    """Schema of the values of one argument of a block or spec."""
    kind, schema = _KINDS[decl.kind]
    told = ""
    if decl.default is not None:
        told = f" Default: {shorten(plain_text(decl.default.tree.plain()), 80)}."
    elif decl.required:
        told = " Required."
    return {"description": f"Argument of {owner}: {kind}.{told}", **schema}
