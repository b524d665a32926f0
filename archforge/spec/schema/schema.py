"""JSON Schema (draft-07) of specs, for editors: one for all of them, or a strict one for a single spec.

The general schema cannot know a spec's own blocks, so it lets unknown step keys pass; the strict one
knows the blocks, arguments, profiles and rules of its spec, inherited and imported ones included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from archforge.meanings import text_of
from archforge.ops import all_ops
from archforge.spec.resolve.spec import Spec
from archforge.spec.schema.fixed_parts import (
    ARGS,
    BLOCK,
    CONSTRAINTS,
    EDITS_OF_PARTS,
    HEADER,
    INPUT,
    LABELS,
    MODIFIER,
    OUTPUTS,
    PREPROCESS,
    RULES,
    STRUCTURE,
    case,
    cells,
    drawn,
    figure,
    mapping,
    record,
    ref,
    shape,
)
from archforge.spec.schema.recipe import recipe_definitions
from archforge.spec.schema.values import (
    FORMULA,
    Json,
    argument_of,
    call_of,
    formula,
    op_of,
)
from archforge.spec.syntax.syntax_tree import MERGES, MODIFIERS, STRUCTURES, BlockDecl

__all__ = ["general_schema", "spec_schema"]

_LOOP = ("name", "in", "do", "when")  # what goes with `for`
_PLAIN = tuple(m for m in MODIFIERS if m not in ("in", "do"))


@dataclass(frozen=True)
class _Vocabulary:
    """Names that a schema knows beside the ops. `closed`: it refuses all others."""

    closed: bool = False
    blocks: Mapping[str, Json] = field(default_factory=dict)
    args: Mapping[str, Json] = field(default_factory=dict)
    profiles: Sequence[str] = ()
    rules: Sequence[str] = ()

    @property
    def other(self) -> Any:
        """Schema behind a name that the schema does not know."""
        return False if self.closed else ref("argument")

    @property
    def given(self) -> Any:
        """Schema of a value for an argument of the spec that the schema does not know."""
        return False if self.closed else drawn(ref("argument"))

    @property
    def calls(self) -> dict[str, Json]:
        """Schema behind each op and block, by its name."""
        ops = {word: ref(f"op-{word}") for word in all_ops() if word not in MERGES}
        return ops | {name: ref(f"block-{_pointer(name)}") for name in self.blocks}


def _pointer(name: str) -> str:
    """`name` as a part of a JSON pointer in a URI fragment."""
    return quote(name.replace("~", "~0").replace("/", "~1"))


def general_schema() -> Json:
    """The schema of every spec: it completes, and refuses all but unknown step keys."""
    return _document(_Vocabulary())


def spec_schema(spec: Spec) -> Json:
    """The schema of one spec: it refuses every op, block, argument and profile that does not exist."""
    scopes = [spec.blocks, *(p.blocks for p in spec.profiles.values())]
    names = dict.fromkeys(name for blocks in scopes for name in blocks)
    known = _Vocabulary(
        closed=True,
        blocks={name: _block_call([b[name] for b in scopes if name in b]) for name in names},
        args={name: drawn(argument_of(decl, f"`{spec.name}`")) for name, decl in spec.args.items()},
        profiles=list(spec.profiles) or spec.profile_names,
        rules=list(spec.rules),
    )
    return _document(known)


def _block_call(variants: Sequence[BlockDecl]) -> Json:
    """Schema of the arguments of a block, of which profiles may have their own variants."""
    name = variants[0].name
    named: dict[str, Json] = {}
    for variant in variants:
        for argument, decl in variant.args.items():
            schema = argument_of(decl, f"`{name}`")
            named[argument] = schema if named.get(argument, schema) == schema else ref("argument")
    return call_of(f"A block: {', '.join(named) or 'no arguments'}.", named)


def _document(known: _Vocabulary) -> Json:
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "archforge spec",
        **record(("archforge",), **HEADER, **_sections(known)),
        "definitions": _definitions(known),
    }


def _sections(known: _Vocabulary) -> Json:
    return {
        "input": INPUT,
        "args": ARGS,
        "with": mapping("Values for arguments of the template.", known.given, properties=dict(known.args)),
        "constraints": CONSTRAINTS,
        "defaults": ref("defaults"),
        "profiles": mapping(
            "Variants, each by name: values of arguments, defaults, blocks, and the library's model.",
            ref("profile"),
            properties=dict.fromkeys(known.profiles, ref("profile")),
        ),
        "blocks": ref("blocks"),
        "graph": ref("body", "The steps of the network."),
        "edits": EDITS_OF_PARTS,
        "outputs": OUTPUTS,
        "rules": RULES,
        "expect": mapping(
            "Published figures of each profile; the first is the default.",
            False if known.closed else ref("cells"),
            empty=False,
            properties=dict.fromkeys(known.profiles, ref("cells")),
        ),
        "train": ref("train"),
    }


def _definitions(known: _Vocabulary) -> Json:
    ops = {f"op-{word}": op_of(word, cls) for word, cls in all_ops().items()}
    return {
        "argument": {
            "description": "A value, a formula, or steps.",
            "if": {"type": "array", "contains": {"type": "object"}},
            "then": {"items": ref("step")},
        },
        "step": {
            "description": "An op or block with its arguments, or =tap.",
            "type": ["string", "object"],
            "allOf": [ref("operation")],
            **_words(known),
        },
        "body": {
            "description": "A step, or a list of steps.",
            "type": ["array", "object", "string"],
            "items": ref("step"),
            "allOf": [ref("operation")],
        },
        "operation": _operation(known),
        **_branches(),
        "profile": {
            **mapping("", known.given),
            "properties": {
                "constraints": CONSTRAINTS,
                "model": {
                    "description": "The library's name for it: torchvision.resnet50.",
                    "type": "string",
                },
                "weights": {
                    "description": "Weights that the library has released for it, its own default first.",
                    "type": ["string", "array"],
                    "items": {"type": "string"},
                    "minItems": 1,
                    "uniqueItems": True,
                },
                "labels": LABELS,
                "preprocess": PREPROCESS,
                "defaults": ref("defaults"),
                "blocks": ref("blocks"),
                "train": ref("profile-train"),
                **known.args,
            },
        },
        "defaults": mapping(
            "Values of attributes and arguments that calls do not give, by op or block.",
            False if known.closed else {"type": "object"},
            properties={
                name: {"type": "object", "allOf": [call]}
                for name, call in {**known.calls, **{word: ref(f"op-{word}") for word in MERGES}}.items()
            },
        ),
        "blocks": mapping("Steps under a name, with arguments of their own.", BLOCK),
        "case": case(),
        "cells": cells(),
        "figure": figure(list(known.rules)),
        "shape": shape(),
        **recipe_definitions(known.profiles if known.closed else None),
        **ops,
        **{f"merge-{word}": _merge(word) for word in MERGES},
        **{f"block-{name}": call for name, call in known.blocks.items()},
    }


def _words(known: _Vocabulary) -> Json:
    """Bare words that are steps."""
    if not known.closed:
        return {}
    words = "|".join(map(re.escape, known.calls))
    return {"pattern": f"^=|^({words})$", "patternErrorMessage": "there is no op or block of that name"}


def _operation(known: _Vocabulary) -> Json:
    """A step that is a mapping: one op, block or structure with its modifiers. Judges mappings only."""
    merges = {word: ref(f"merge-{word}", text_of(all_ops()[word])) for word in MERGES}
    alone = {word: _alone(word, _PLAIN) for word in (*STRUCTURES, *merges, *known.calls)}
    alone["for"] = {**_alone("for", _LOOP), "required": ["do"]}
    return {
        "properties": {**known.calls, **merges, **STRUCTURE, **MODIFIER},
        "patternProperties": {FORMULA: {"description": "The op or block that the formula names."}},
        "additionalProperties": known.other,
        "dependencies": {**alone, "in": ["for"], "do": ["for"]},
        "not": {"type": "object", "propertyNames": {"enum": list(MODIFIERS)}},
    }


def _alone(word: str, modifiers: Sequence[str]) -> Json:
    """Rule that beside the op of a step stand modifiers only."""
    told = f"the op of this step is `{word}`; beside it go {', '.join(modifiers)}"
    return {"propertyNames": {"enum": [word, *modifiers], "errorMessage": told}}


def _merge(word: str) -> Json:
    """Branches, or attributes of which they are one."""
    attributes = op_of(word, all_ops()[word]).get("properties", {})
    return {
        "if": {"type": "object", "required": ["branches"]},
        "then": {"properties": {"branches": ref("branches"), **attributes}, "additionalProperties": False},
        "else": ref("branches"),
    }


def _branches() -> Json:
    steps = ref("body", "The steps of a branch with a condition.")
    when = {**MODIFIER["when"], "description": "If false, there is no such branch."}
    return {
        "branches": {
            **formula("array", "object"),
            "items": ref("branch"),
            "additionalProperties": ref("branch"),
        },
        "branch": {
            "description": "A step, or a list of steps; [] is the value itself. "
            "With a condition: {branch: ..., when: =...}.",
            "type": ["string", "array", "object", "null"],
            "items": ref("step"),
            "if": {"type": "object", "required": ["branch"]},
            "then": {
                "properties": {"branch": steps, "when": when, "name": MODIFIER["name"]},
                "additionalProperties": False,
            },
            "else": {"properties": {"branch": steps, "when": False}, "allOf": [ref("operation")]},
        },
    }
