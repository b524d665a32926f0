"""The schema that editors read: it accepts every spec, and refuses what the compiler refuses."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from pydantic import ValidationError

from archforge.errors import DiagnosticError, SourceFile, Span
from archforge.ops import all_ops
from archforge.resources import templates_folder, zoo_folder
from archforge.spec.binding.environment import check_kind
from archforge.spec.resolve.library import Library, spec_files
from archforge.spec.resolve.resolve import resolve
from archforge.spec.resolve.spec import Spec
from archforge.spec.schema.schema import general_schema, spec_schema
from archforge.spec.schema.values import argument_of
from archforge.spec.syntax.parse_document import SECTIONS
from archforge.spec.syntax.syntax_tree import KINDS, MERGES, MODIFIERS, STRUCTURES, ArgDecl, Header
from tests.pages import REGENERATE
from tests.pages.reference import SCHEMA, schema_text

SHIPPED = [pytest.param(path, id=path.stem) for path in spec_files(zoo_folder())]


class EditorLoader(yaml.SafeLoader):
    """YAML 1.2 as yaml-language-server reads it: `25_557_032`, `on` and `=4*width` are text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


for _tag, _pattern in {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?",
}.items():
    EditorLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^({_pattern})$"), None)


def as_editor(text: str) -> Any:
    return yaml.load(text, EditorLoader)  # noqa: S506  it builds plain data only


@cache
def general() -> Draft7Validator:
    return Draft7Validator(general_schema())


def definition(name: str, **own: Any) -> Draft7Validator:
    """A validator of one definition, or of a schema of its `own` that refers to definitions."""
    return Draft7Validator({"definitions": _definitions(), **(own or {"$ref": f"#/definitions/{name}"})})


@cache
def _definitions() -> dict[str, Any]:
    definitions: dict[str, Any] = general_schema()["definitions"]
    return definitions


def specification(text: str) -> Spec:
    library = Library()
    return resolve(library.read_text(text), library, "spec")


def strict(spec: Spec) -> Draft7Validator:
    return Draft7Validator(spec_schema(spec))


def refusals(validator: Draft7Validator, data: Any) -> list[str]:
    return [f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(data)]


def test_committed_schema_is_the_generated_one() -> None:
    assert SCHEMA.read_text("utf-8") == schema_text(), REGENERATE


def test_committed_schema_is_draft_07() -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    later = {"$defs", "prefixItems", "dependentSchemas", "dependentRequired", "unevaluatedProperties"}
    assert not later & {key for part in mappings(schema) for key in part}


def mappings(node: Any) -> list[dict[str, Any]]:
    found = [node] if isinstance(node, dict) else []
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        found += mappings(child)
    return found


def test_references_lead_somewhere() -> None:
    schema = general_schema()
    used = {part["$ref"].removeprefix("#/definitions/") for part in mappings(schema) if "$ref" in part}
    assert used == set(schema["definitions"])


def test_every_word_of_the_language_is_known() -> None:
    schema = general_schema()
    assert {*schema["properties"]} == {"archforge", *(f.name for f in fields(Header)), *SECTIONS}
    assert {*schema["definitions"]["operation"]["properties"]} == {*MODIFIERS, *STRUCTURES, *all_ops()}


def test_every_op_and_attribute_is_described() -> None:
    definitions = general_schema()["definitions"]
    for word, cls in all_ops().items():
        if word in MERGES:
            continue
        op = definitions[f"op-{word}"]
        assert op["description"], word
        assert {*op.get("properties", {})} == {*cls.model_fields}, word
        for name, attribute in op.get("properties", {}).items():
            required = cls.model_fields[name].is_required()
            assert ("Required." in attribute["description"]) is required, (word, name)
            assert ("Default: " in attribute["description"]) is not required, (word, name)


@pytest.mark.parametrize("path", SHIPPED)
def test_shipped_spec_names_the_schema(path: Path) -> None:
    first = path.read_text("utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=archforge.schema.json"


@pytest.mark.parametrize("path", SHIPPED)
def test_shipped_spec_fits_the_general_schema_and_its_own(path: Path) -> None:
    library = Library()
    document = library.read(path)
    own = strict(resolve(document, library, path.stem))
    for data in (as_editor(path.read_text("utf-8")), document.tree.plain()):
        assert refusals(general(), data) == []
        assert refusals(own, data) == []


def test_starting_spec_fits_the_schemas() -> None:
    text = (templates_folder() / "new_spec.yaml").read_text("utf-8")
    assert refusals(general(), as_editor(text)) == []
    assert refusals(strict(specification(text)), as_editor(text)) == []


def test_the_same_spec_gives_the_same_schema() -> None:
    text = (zoo_folder() / "resnet.yaml").read_text("utf-8")
    assert json.dumps(spec_schema(specification(text))) == json.dumps(spec_schema(specification(text)))


# Values of all kinds. Whole floats are missing: JSON has one kind of number, and takes 2.0 for 2.
VALUES: list[Any] = [
    *(0, 1, -1, 2, 5, 0.5, -0.5, True, False, None, "a", "same", "none", "tanh", "linear", "valid"),
    *(
        [],
        [1],
        [-1],
        [1, 2],
        [1, 2, 3],
        [0, 0],
        [[0, 1], [2, 0]],
        [[1, -1]],
        [[1, 2, 3]],
        [0.5],
        ["a"],
        [True],
    ),
    {"a": 1},
]


OPS = [word for word in all_ops() if word not in MERGES]


def tuples(value: Any) -> Any:
    """Lists as tuples, as attributes are kept."""
    return tuple(map(tuples, value)) if isinstance(value, list) else value


def takes(word: str, name: str, value: Any) -> bool:
    """True if the op is content with `value` for one attribute."""
    cls = all_ops()[word]
    try:
        cls(**{**next(iter(cls.examples)).attributes, name: tuples(value)})
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("word", OPS)
def test_schema_takes_the_attributes_that_the_op_takes(word: str) -> None:
    schema = definition(f"op-{word}")
    for name in all_ops()[word].model_fields:
        for value in VALUES:
            assert schema.is_valid({name: value}) is takes(word, name, value), f"{name}: {value}"


@pytest.mark.parametrize("word", OPS)
def test_schema_takes_the_first_attribute_bare(word: str) -> None:
    schema = definition(f"op-{word}")
    first = next(iter(all_ops()[word].model_fields), None)
    assert schema.is_valid(None)
    assert schema.is_valid({})
    for value in VALUES:
        if isinstance(value, dict) or value is None:
            continue  # names attributes, or gives none
        assert schema.is_valid(value) is (first is not None and takes(word, first, value)), value


@pytest.mark.parametrize("word", OPS)
def test_schema_takes_formulas_and_grouped_numbers_for_attributes(word: str) -> None:
    schema = definition(f"op-{word}")
    for name in all_ops()[word].model_fields:
        assert schema.is_valid({name: "=4*width"})
        assert schema.is_valid({name: "25_000"}) is takes(word, name, 1), name
        assert not schema.is_valid({name: "25_00"})
        assert not schema.is_valid({f"{name}s": 1})


@pytest.mark.parametrize("kind", KINDS)
def test_schema_takes_the_arguments_that_a_block_takes(kind: str) -> None:
    span = Span(SourceFile("spec", ""), 0, 0)
    decl = ArgDecl("width", span, kind, None)
    schema = definition("", **argument_of(decl, "`block`"))
    for value in VALUES if kind != "steps" else ():  # steps are parsed, not judged as values
        try:
            check_kind(decl, value, span, "`block`")
            taken = True
        except DiagnosticError:
            taken = False
        assert schema.is_valid(value) is taken, value


GOOD = """
archforge: 1
title: A small net
input: [3, 32, 32]
args: {width: 16, classes: int, tail: steps}
with: {classes: 25_000}
defaults: {conv: {bias: false}, unit: {stride: 2}}
profiles:
  small: {width: =4*2, model: torchvision.small, tail: [{conv: =width}, relu]}
  large: {width: 1_024, blocks: {unit: {args: {out: int, stride: 1}, body: [{conv: =out}]}}}
blocks:
  unit:
    naming: position
    args: {out: int, stride: 1}
    body:
      - {conv: {out: =out, kernel: 3, stride: =stride, padding: [1, [0, 1]]}, name: 0}
      - relu:
    expect:
      alone:
        source: x
        profile: small
        input: [3, 8, 8]
        with: {out: 4}
        defaults: {relu: {}}
        layers: 2~3
        biases: 7~
graph:
  - conv: =width
  - =tail
  - {unit: {out: =width, stride: 2}, repeat: 2, first: {stride: 1}, name: 'layer{1+1}'}
  - {unit: =width, when: =width > 8, as: here, append: every}
  - {='"unit"': =width, from: =here, share: twin}
  - for: {out: [16, 32], stride: 1}
    name: stage{i}
    do: [{unit: {out: =out}}]
  - {for: [out, n], in: {a: [8, 1], b: [16, 2]}, when: true, do: {unit: =out, repeat: =n}}
  - let: {before: =x, n: 3}
  - side: [flatten, {linear: 10, as: aux}]
  - add: [[], {branch: [{conv: {out: =x.channels}}], when: =n > 2, name: left}, null]
  - concat: {left: relu, right: [sigmoid]}
  - concat: =every
  - max_pool: {kernel: 3, padding: same}
  - {seq: [flatten, dropout], name: head}
outputs: {main: =x, aux: {value: =aux, when: =n > 2}}
rules:
  leaves: {says: every op, constants: {stem: 4}, count: =layers + stem}
expect:
  small:
    source: a paper
    layers: {documented: 12, rule: leaves}
    params: {approx: 25.5M}
    weights: 25_557_032
    input: 3x32x32
    output: 1000
    biases: {documented: 61_170, computed: 61_710, because: {"a slip": {printed: 61_170, for: 61_710}}}
    macs: {documented: 10, computed: 12, because: {"a layer less": =2*width, "another": misprint}, source: x}
  large: {}
"""


def test_every_form_is_accepted() -> None:
    spec = specification(GOOD)
    Draft7Validator.check_schema(spec_schema(spec))
    for data in (as_editor(GOOD), spec.document.tree.plain()):
        assert refusals(general(), data) == []
        assert refusals(strict(spec), data) == []


# A part of the spec above, and the mistake in its place. The general schema lets the last ones pass.
MISTAKES = {
    "unknown top-level key": ("title:", "titel:"),
    "another version": ("archforge: 1", "archforge: 2"),
    "unknown attribute": ("out: =out, kernel: 3", "out: =out, kernal: 3"),
    "text for a number": ("out: =out, kernel: 3", "out: =out, kernel: three"),
    "text for groups": ("out: =out, kernel: 3", 'out: =out, groups: "a"'),
    "zero channels": ("linear: 10", "linear: 0"),
    "number grouped by four": ("25_557_032", "2555_7032"),
    "two ops in a step": ("{linear: 10, as: aux}", "{linear: 10, relu: {}}"),
    "no op in a step": ("{linear: 10, as: aux}", "{as: aux}"),
    "misspelt modifier": ("{linear: 10, as: aux}", "{linear: 10, nmae: aux}"),
    "a list in a list of steps": ("do: [{unit: {out: =out}}]", "do: [[{unit: {out: =out}}]]"),
    "`for` without `do`": (", when: true, do: {unit: =out, repeat: =n}}", "}"),
    "`repeat` on `for`": ("when: true, do:", "repeat: 2, do:"),
    "`in` without `for`": ("{linear: 10, as: aux}", "{linear: 10, in: [1]}"),
    "`when` on a branch": ("concat: {left: relu,", "concat: {left: {relu: {}, when: =true},"),
    "repeat by a word": ("repeat: 2", "repeat: twice"),
    "unknown padding": ("padding: same", "padding: sames"),
    "three numbers for a side": ("[1, [0, 1]]", "[1, [0, 1, 2]]"),
    "input of five axes": ("input: [3, 32, 32]", "input: [3, 32, 32, 32, 32]"),
    "unknown key of a block": ("naming: position", "namings: position"),
    "a case without input": ("        input: [3, 8, 8]\n", ""),
    "unknown key of a case": ("with: {out: 4}", "using: {out: 4}"),
    "half a range": ("layers: 2~3", "layers: ~3"),
    "unknown naming": ("naming: position", "naming: number"),
    "output without value": ("{value: =aux, when:", "{when:"),
    "rule without words": ("{says: every op, ", "{"),
    "unknown cell": ("weights:", "weight:"),
    "unknown key of a cell": ("{approx: 25.5M}", "{about: 25.5M}"),
    "a reason in words": ("=2*width, ", "a layer, "),
    "a rule for a shape": ("input: 3x32x32", "input: {documented: 3x32x32, rule: leaves}"),
    "half a misprint": ("{printed: 61_170, for: 61_710}", "{printed: 61_170}"),
}
MISTAKES_OF_ONE_SPEC = {
    "unknown op": ("- max_pool:", "- max_poll:"),
    "unknown bare op": ("[flatten, dropout]", "[flatten, droput]"),
    "unknown argument of a block": ("{unit: {out: =out}}", "{unit: {outs: =out}}"),
    "text for an argument": ("{unit: {out: =out}}", "{unit: {out: wide}}"),
    "unknown argument of the spec": ("with: {classes:", "with: {class:"),
    "unknown argument in a profile": ("small: {width:", "small: {wide:"),
    "defaults of nothing": ("defaults: {conv:", "defaults: {convs:"),
    "figures of no profile": ("large: {}", "huge: {}"),
    "unknown rule": ("rule: leaves", "rule: leafs"),
}


@pytest.mark.parametrize(("right", "wrong"), [pytest.param(*m, id=k) for k, m in MISTAKES.items()])
def test_mistake_is_refused(right: str, wrong: str) -> None:
    data = as_editor(_mistaken(right, wrong))
    assert refusals(general(), data)
    assert refusals(strict(specification(GOOD)), data)


@pytest.mark.parametrize(
    ("right", "wrong"), [pytest.param(*m, id=k) for k, m in MISTAKES_OF_ONE_SPEC.items()]
)
def test_mistake_is_refused_by_the_strict_schema_alone(right: str, wrong: str) -> None:
    data = as_editor(_mistaken(right, wrong))
    assert refusals(general(), data) == []
    assert refusals(strict(specification(GOOD)), data)


def _mistaken(right: str, wrong: str) -> str:
    assert GOOD.count(right) >= 1
    return GOOD.replace(right, wrong, 1)


def test_inherited_and_imported_blocks_are_known() -> None:
    text = "archforge: 1\nextends: resnet\nwith: {depths: [1, 1, 1, 1]}\ngraph: [{bottleneck: {width: 8}}]\n"
    own = strict(specification(text))
    assert refusals(own, as_editor(text)) == []
    assert refusals(own, as_editor(text.replace("width", "widht")))
    assert refusals(own, as_editor(text.replace("depths", "depth")))
