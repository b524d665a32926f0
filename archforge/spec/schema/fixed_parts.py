"""Parts of the schema that are the same for every spec: header, modifiers, structures, cells."""

from __future__ import annotations

from typing import Any

from archforge.data.class_names import CLASS_NAMES
from archforge.data.preprocessing import INTERPOLATIONS, PIXEL_VALUES, SHARE
from archforge.spec.schema.values import NUMERAL, Json, flag, formula, number, numeral
from archforge.spec.syntax.parse_preprocess import ORDERS, RESIZES
from archforge.spec.syntax.syntax_tree import CELLS, DOCUMENT_KINDS, EDITS, KINDS, RANGE, RANGES
from archforge.spec.yaml.tree import GROUPED

__all__ = [
    "ARGS",
    "BLOCK",
    "CONSTRAINTS",
    "EDITS_OF_PARTS",
    "HEADER",
    "INPUT",
    "LABELS",
    "MODIFIER",
    "OUTPUTS",
    "PREPROCESS",
    "RULES",
    "STRUCTURE",
    "case",
    "cells",
    "drawn",
    "figure",
    "mapping",
    "record",
    "ref",
    "shape",
]


def ref(definition: str, description: str = "") -> Json:
    """Reference to a definition. Draft-07 ignores a description beside it; editors show it."""
    told = {"description": description} if description else {}
    return {**told, "$ref": f"#/definitions/{definition}"}


def mapping(description: str, values: Any, *, empty: bool = True, **rules: Any) -> Json:
    """A mapping with `values` under all keys but those of `rules`; a section may be left `empty`."""
    types = ["object", "null"] if empty else "object"
    return {"description": description, "type": types, **rules, "additionalProperties": values}


def record(required: tuple[str, ...] = (), **properties: Json) -> Json:
    """A mapping with these keys and no others."""
    needs = {"required": list(required)} if required else {}
    return {"type": "object", "properties": properties, **needs, "additionalProperties": False}


_NAME = ["string", "integer"]
_TEXT = {"type": "string"}

# Names of taps and outputs, in a list or under other names.
_NAMES: Json = {
    "items": _TEXT,
    "minItems": 1,
    "uniqueItems": True,
    "minProperties": 1,
    "propertyNames": {"pattern": "^[^0-9\\W]\\w*$"},
    "additionalProperties": _TEXT,
}

HEADER: Json = {
    "archforge": {"description": "Version of the language.", "const": 1},
    "kind": {
        "description": "network (the default), template (to extend), blocks (to import) or space (to draw "
        "networks from).",
        "enum": list(DOCUMENT_KINDS),
    },
    "title": {"description": "The network's name as people write it.", **_TEXT},
    "paper": {"description": "Where it was published: arXiv:1512.03385, doi:...", **_TEXT},
    "departs": {"description": "How the documented network differs from what a reader expects.", **_TEXT},
    "repaired": {"description": "Where the published network cannot run, and the smallest repair.", **_TEXT},
    "recommended": {"description": "What to use instead: PROFILE, SPEC or SPEC/PROFILE.", **_TEXT},
    "extends": {"description": "The template whose parts this spec takes over.", **_TEXT},
    "imports": {
        "description": "Files whose blocks and rules are used.",
        "type": "array",
        "items": {"type": "string"},
    },
}

MODIFIER: Json = {
    "name": {
        "description": "Name of this step, with formulas in braces: layer{i+1}. "
        "On a list of steps it makes a scope, whose children are numbered from 0.",
        "type": _NAME,
    },
    "as": {
        "description": "Keep the result under this name, for later formulas; or outputs of a block: "
        "[OUTPUT], {NAME: OUTPUT}.",
        "type": ["string", "array", "object"],
        **_NAMES,
    },
    "append": {"description": "Append the result to the list of this name.", "type": "string"},
    "from": {"description": "Start from this value, not from the current one: =tap.", **formula()},
    "when": {
        "description": "Run the step only if this is true; otherwise the value passes on unchanged.",
        **flag(),
    },
    "repeat": {
        "description": "How many times; formulas see i, from 0. With a name: NAME.0, NAME.1, ...",
        **number(minimum=0),
    },
    "first": {"description": "Arguments of the first repeat alone.", "type": "object"},
    "share": {
        "description": "Use the parameters of this name, together with every other step that says so.",
        "type": _NAME,
    },
    "in": {
        "description": "Rows for the columns that `for` lists: a list, or a mapping whose keys are `key`.",
        **formula("array", "object"),
    },
    "do": ref("body", "The steps of the loop."),
}

STRUCTURE: Json = {
    "seq": ref("body", "Steps in order."),
    "side": ref("body", "Steps beside the main path: the value stays as it was."),
    "for": {
        "description": "A loop over columns of equal length, {width: [64, 128], stride: [1, 2]}, "
        "or a list of column names with rows under `in`. Formulas see the columns, i, key and row.",
        "type": ["object", "array"],
        "allOf": [{"items": {"type": "string"}}],
    },
    "let": {"description": "Names for values, for the steps that follow.", "type": "object"},
}

DIMS = {**formula("array"), "items": number(minimum=1), "minItems": 1, "maxItems": 4}

INPUT = {
    "description": "Shape without the batch axis, [3, 224, 224], or several by name.",
    **DIMS,
    "type": ["array", "string", "object"],
    "additionalProperties": DIMS,
}

_BOUNDS = {"type": "array", "minItems": 2, "maxItems": 2}
_RANGE = record(
    int={"description": "The first and the last of whole numbers.", **_BOUNDS, "items": numeral()},
    float={"description": "The first and the last of numbers.", **_BOUNDS, "items": numeral("number")},
    choice={"description": "Values, one of which is drawn.", "type": "array", "minItems": 1},
    step={"description": "Between neighbouring numbers. Default: 1 for whole ones.", **numeral("number")},
    log={"description": "Draw on a logarithmic scale. Default: false.", "type": "boolean"},
    count={"description": "Draw a list of so many.", **numeral(minimum=1)},
)


def drawn(values: Json) -> Json:
    """Schema of what an argument of a spec may be given: `values`, or a range to draw from, in a space."""
    is_range = {"type": "object", "anyOf": [{"required": [key]} for key in RANGES]}
    return {"description": values.get("description", ""), "if": is_range, "then": _RANGE, "else": values}


ARGS = mapping(
    "Arguments: a default, or a kind alone for one that must be given: "
    "int, float, bool, str, list, tensor, steps. In a space also a range to draw from.",
    drawn({"anyOf": [{"enum": list(KINDS)}, ref("argument")]}),
    propertyNames={"pattern": "^[^0-9\\W]\\w*$"},
)

CONSTRAINTS: Json = {
    "description": "Conditions that every draw of a space must meet: formulas over its arguments.",
    "type": ["array", "null"],
    "items": formula(),
}

OUTPUTS: Json = mapping(
    "What the network gives; the first is the main one. Default: the last value, as output.",
    {**record(("value",), value=formula(), when=MODIFIER["when"]), **formula("object")},
)

_CASES = mapping("Figures of the block by itself, case by case.", ref("case"), empty=False)
_STEPS = record(
    naming={
        "description": "How unnamed children are called: by kind (conv1, conv2), by position (0, 1), "
        "or, with none, as if the call were not there.",
        "enum": ["kind", "position", "none"],
    },
    args=ARGS,
    body=ref("body", "The steps; `input` is what they receive."),
    outputs={**OUTPUTS, "description": "Values that a call can keep beside the last one: as: [OUTPUT]."},
    expect=_CASES,
)
_NETWORK = record(
    network={"description": "The spec whose network this is.", **_TEXT},
    profile={"description": "Its profile; the first by default.", **_TEXT},
    taps={
        "description": "Steps of the network whose values a call can keep. It goes on with the last; what "
        "none of them needs is left out.",
        "type": ["array", "object"],
        **_NAMES,
    },
    expect=_CASES,
)
# Without a body it adds figures to the block that is inherited or imported.
BLOCK: Json = {
    "if": {"required": ["network"]},
    "then": _NETWORK,
    "else": {**_STEPS, "anyOf": [{"required": ["body"]}, {"required": ["expect"]}]},
}

_PLACES = dict(zip(EDITS, ("in place of a step", "in front of a step", "behind a step"), strict=True))
EDITS_OF_PARTS = mapping(
    "Changes of inherited steps: of the graph, or of a block.",
    {
        **record(),
        "properties": {
            how: mapping(f"Steps {at}, by its name.", ref("body"), empty=False) for how, at in _PLACES.items()
        },
    },
)

RULES = mapping(
    "Ways in which somebody counted layers.",
    record(
        ("says", "count"),
        says={"description": "What is counted, in words.", **_TEXT},
        constants=mapping("Numbers of the formula, by what each counts.", number()),
        count={
            "description": "A formula over counts, ops.KIND, uses.BLOCK, arguments and constants.",
            **formula(),
        },
    ),
)

_NUMBERS = {"type": ["number", "array"], "items": {"type": "number"}, "minItems": 1, "maxItems": 3}

LABELS: Json = {
    "description": "Whose names the classes have: those of the weights that the library has released.",
    "enum": list(CLASS_NAMES),
}

PREPROCESS: Json = {
    "description": "How a picture becomes an input of the profile.",
    "minProperties": 1,
    **record(
        resize={
            "description": "shorter (the default): the shorter side decides and the rest is cut; "
            "exact: both sides are scaled, each by itself.",
            "enum": list(RESIZES),
        },
        crop_pct={
            "description": "The share of the scaled picture whose centre is the input: 0.95, or as two "
            "sizes, 224/232. Default: 7/8, or 1 where resize is exact.",
            "type": ["number", "string"],
            "exclusiveMinimum": 0,
            "maximum": 1,
            "pattern": f"^{SHARE}$",
            "patternErrorMessage": "a share such as 0.95 or 224/232",
        },
        interpolation={"description": "The filter. Default: bilinear.", "enum": list(INTERPOLATIONS)},
        values={
            "description": "The numbers for pixels: imagenet (the default for colours; less torchvision's "
            "mean, over its deviation), inception (-1 to 1), caffe (0 to 255, blue first, less a mean), unit "
            "(0 to 1; the default for grey), or (pixel / scale - mean) / std of each channel.",
            "anyOf": [
                {"enum": list(PIXEL_VALUES)},
                record(
                    mean={"description": "For all channels, or one for each. Default: 0.", **_NUMBERS},
                    std={"description": "For all channels, or one for each. Default: 1.", **_NUMBERS},
                    scale={
                        "description": "The number that pixels of 0 to 255 are divided by. Default: 255.",
                        "type": "number",
                        "exclusiveMinimum": 0,
                    },
                    order={"description": "Of the channels. Default: rgb.", "enum": list(ORDERS)},
                ),
            ],
        },
        source={"description": "Who prescribes it.", **_TEXT},
    ),
}

_SOURCE: Json = {"description": "Who printed the figure, where.", **_TEXT}
_SHAPES = ("input", "output")
_COUNT: Json = {
    "type": ["string", "integer"],
    "minimum": 0,
    "pattern": f"^{GROUPED.pattern}|^{RANGE.pattern}",
    "patternErrorMessage": "a whole number such as 25_557_032, or a range such as 2~3",
}


def cells() -> Json:
    """The figures of one profile."""
    kinds = {name: ref("shape" if name in _SHAPES else "figure") for name in CELLS}
    by_name: Json = {
        name: {"description": f"{told}.", "allOf": [kinds[name]]} for name, told in CELLS.items()
    }
    return record(source=_SOURCE, **by_name)


def case() -> Json:
    """The figures of a block by itself, and what it is called with."""
    settings = {
        "input": {**INPUT, "description": "Shape of what the block receives."},
        "with": mapping("Values for arguments of the block, or of the spec.", ref("argument")),
        "defaults": ref("defaults"),
        "profile": {"description": "The spec's profile that the case stands in.", **_TEXT},
    }
    return record(("input",), **(cells()["properties"] | settings))


def figure(rules: list[str]) -> Json:
    """A number, or a mapping that says how it is approximate, wrong or counted."""
    rule = {"description": "The rule that gives it, from `rules`.", **({"enum": rules} if rules else _TEXT)}
    misprint = record(("printed", "for"), printed=_COUNT, **{"for": _COUNT})
    share = {
        **misprint,
        **number(),
        "type": ["string", "integer", "object"],
        "pattern": f"^misprint$|{NUMERAL}",
    }
    told = "Reasons and what each adds, which sum to documented - computed: a number, a formula, "
    fields = record(
        documented={"description": "The figure as printed.", **_COUNT},
        computed={"description": "The figure that is true.", **_COUNT},
        because=mapping(told + "{printed: 61_170, for: 61_710}.", share, empty=False),
        rule=rule,
        approx={
            "description": "A figure at the precision of its source: 25.5M.",
            "type": ["string", "number"],
        },
        source=_SOURCE,
    )
    return {**fields, **_COUNT, "type": ["string", "integer", "object"]}


def shape() -> Json:
    """A shape, 3x224x224, or a mapping that says how a printed one is wrong."""
    kind = {"type": ["string", "integer"]}
    fields = record(
        documented={"description": "The shape as printed.", **kind},
        computed={"description": "The shape that is true.", **kind},
        because=mapping("The reason, as {REASON: misprint}.", {"enum": ["misprint"]}, empty=False),
        source=_SOURCE,
    )
    return {**fields, "type": ["string", "integer", "object"]}
