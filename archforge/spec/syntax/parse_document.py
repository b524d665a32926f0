"""Parser of documents: a tree becomes a document of sections, with all mistakes of a file found together."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any, Literal, TypeVar, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model

from archforge.data.class_names import CLASS_NAMES
from archforge.errors import (
    Diagnostic,
    DiagnosticError,
    Note,
    SourceFile,
    closest,
    did_you_mean,
    fail,
    listed,
    misspelt,
)
from archforge.ops import OP_WORDS
from archforge.spec import limits
from archforge.spec.formulas.compiler import parse_formula
from archforge.spec.formulas.formula import Formula
from archforge.spec.syntax.foreign_words import BLOCK_KEYS, EDIT_KEYS, KEYS, NETWORK_KEYS, TYPES
from archforge.spec.syntax.form_checks import (
    Mistakes,
    mapping_of,
    refuse_unknown,
    shown,
    word_of,
    words_in,
)
from archforge.spec.syntax.inner_steps import steps_of
from archforge.spec.syntax.parse_preprocess import parse_preprocess
from archforge.spec.syntax.parse_steps import constant_word, named_words, parse_argument, parse_body
from archforge.spec.syntax.reserved_names import check_name
from archforge.spec.syntax.syntax_tree import (
    DOCUMENT_KINDS,
    EDITS,
    KINDS,
    ArgDecl,
    Argument,
    BlockDecl,
    Body,
    Defaults,
    Edit,
    Header,
    NetworkUse,
    OutputDecl,
    ProfileDecl,
    RuleDecl,
    SpecDocument,
    Value,
    value_of,
)
from archforge.spec.yaml.tree import Entry, Mapping, Scalar, Sequence, Tree, is_null, parse_yaml

__all__ = ["parse_defaults", "parse_document"]

T = TypeVar("T")


# The fields of `Header`, strictly, and in front of them the version of the language.
_HINTS = get_type_hints(Header)
_FIELDS: dict[str, Any] = {f.name: (_HINTS[f.name], f.default) for f in fields(Header)}
_HeaderModel = create_model(
    "_HeaderModel",
    __config__=ConfigDict(strict=True, extra="forbid"),
    archforge=(Literal[1], ...),
    **_FIELDS,
)


SECTIONS = (
    *(
        "input",
        "args",
        "with",
        "constraints",
        "defaults",
        "profiles",
        "blocks",
        "graph",
        "edits",
        "outputs",
        "rules",
        "expect",
        "train",
    ),
)


_KEYS = (*_HeaderModel.model_fields, *SECTIONS)
_EXAMPLES = {
    "args": "{width: 64, depths: list}",
    "with": "{width: 64}",
    "defaults": "{conv: {bias: false}}",
    "profiles": "{documented: {}, paper: {width: 32}}",
    "blocks": "{unit: {args: {out: int}, body: [{conv: =out}, relu]}}",
    "edits": "{graph: {replace: {fc: {linear: 10}}}}",
    "outputs": "{main: =x}",
    **dict.fromkeys(EDITS, "{STEP: [...]}"),
    "constants": "{flatten: 1}",
    "rules": "{leaves: {says: every op, count: =layers}}",
}
_BLOCK_KEYS = ("naming", "args", "body", "outputs", "expect")
_NETWORK_KEYS = ("network", "profile", "taps", "expect")
# Keys of a profile that give no value of an argument.
_OF_PROFILES = frozenset(
    ("defaults", "blocks", "model", "weights", "labels", "preprocess", "train", "constraints")
)


# What others say of an argument.
_OF_DECLARATIONS = frozenset(("type", "default", "help", "doc", "description", "required"))


# A key that no spec has, of each file of JSON that archforge writes.
_OWN_FILES = {
    "archforge_graph": "a graph that archforge wrote",
    "archforge_build": "the manifest of a build",
    "rows": "a ledger that archforge wrote",
    "$schema": "a JSON Schema",
}


def _is_spec(tree: Mapping) -> bool:
    version = tree.get("archforge")
    return isinstance(version, Scalar) and version.plain() == 1


def _refuse_own_files(tree: Mapping) -> None:
    """Raise E0203 for a file that archforge itself wrote of a spec."""
    for key, what in _OWN_FILES.items():
        if key in tree.entries and not _is_spec(tree):
            help = "name the spec that it was made of"
            fail("E0203", f"this is {what}, and no spec", tree.entries[key].key_span, help=help)


def parse_document(source: SourceFile) -> SpecDocument:
    """Parse the text of one file. Raises all its mistakes of form at once."""
    tree = parse_yaml(source)
    if not isinstance(tree, Mapping):
        found = "the file is empty" if is_null(tree) else f"a spec is a mapping, found {shown(tree)}"
        fail("E0203", found, tree.span, help="a spec starts with `archforge: 1`")
    _refuse_own_files(tree)
    mistakes = Mistakes()
    mistakes.attempt(lambda: refuse_unknown(tree, _KEYS, KEYS), None)

    def section(key: str, parse: Callable[[Entry], T]) -> dict[str, T]:
        node = tree.get(key)
        if node is None or is_null(node):
            return {}
        example = f"{key}: {_of_words(node, key) or _EXAMPLES[key]}"
        return mistakes.attempt(lambda: mistakes.each(mapping_of(node, f"`{key}`", example), parse), {})

    document = SpecDocument(
        source=source,
        header=mistakes.attempt(lambda: _header(tree), Header()),
        tree=tree,
        input=mistakes.attempt(lambda: _input(tree.get("input")), None),
        args=_few(section("args", _spec_arg), tree.entries.get("args"), mistakes),
        values=section("with", _given),
        constraints=mistakes.attempt(lambda: _constraints(tree.entries.get("constraints")), ()),
        defaults=section("defaults", _default),
        profiles=section("profiles", _profile),
        blocks=section("blocks", _spec_block),
        graph=mistakes.attempt(lambda: _graph(tree.entries.get("graph")), None),
        edits=section("edits", _edits),
        outputs=section("outputs", _output),
        rules=section("rules", _rule),
        expect=mistakes.attempt(lambda: _expect(tree), None),
        train=mistakes.attempt(lambda: _train(tree.entries.get("train")), {}),
    )
    mistakes.close()
    return document


def _edits(entry: Entry) -> tuple[Edit, ...]:
    """The edits of the graph or of one block."""
    example = f"edits: {{{entry.key}: {{replace: {{STEP: [...]}}, before: {{...}}, after: {{...}}}}}}"
    tree = mapping_of(entry.value, f"`{entry.key}`", example)
    refuse_unknown(tree, EDITS, EDIT_KEYS)
    mistakes = Mistakes()
    found = mistakes.each(tree, lambda part: _entries(part, partial(_edit, part.key)))
    mistakes.close()
    return tuple(edit for edits in found.values() for edit in edits.values())


def _edit(how: str, entry: Entry) -> Edit:
    if is_null(entry.value):
        help = f"{entry.key}: [] leaves it out"
        fail("E0203", f"`{entry.key}` is followed by steps, found nothing", entry.key_span, help=help)
    return Edit(how, entry.key, entry.key_span, parse_body(entry.value))


def _train(entry: Entry | None, profile: str = "") -> dict[str, Entry]:
    """The keys of a section `train`. Only a document that has one loads the recipes."""
    if entry is None or is_null(entry.value):
        return {}
    from archforge.spec.syntax.parse_train import parse_train

    return parse_train(entry, profile)


def _of_words(tree: Tree, key: str) -> str:
    """A section that is a list of words as the mapping that may be meant; empty for another."""
    value = {"args": "int", "profiles": "{}", "outputs": "={}"}.get(key, "")
    pairs = [f"{word}: {value.replace('={}', f'={word}')}" for word in words_in(tree)]
    return f"{{{', '.join(pairs)}}}" if value and pairs else ""


def _few(args: dict[str, ArgDecl], section: Entry | None, mistakes: Mistakes) -> dict[str, ArgDecl]:
    """Return `args`. Notes E0107 for too many of them."""
    if section:
        mistakes.attempt(lambda: limits.ARGUMENTS.check(len(args), section.key_span), None)
    return args


def _header(tree: Mapping) -> Header:
    given = {e.key: e.value.plain() for e in tree if e.key in _HeaderModel.model_fields}
    if isinstance(given.get("imports"), list):
        given["imports"] = tuple(given["imports"])
    if "archforge" not in given and any(closest(e.key, _KEYS) == "archforge" for e in tree):
        given["archforge"] = 1  # misspelled, which is reported already
    try:
        model = _HeaderModel.model_validate(given)
    except ValidationError as error:
        raise DiagnosticError(tuple(_header_mistake(tree, dict(e)) for e in error.errors())) from None
    return Header(**model.model_dump(exclude={"archforge"}))


def _header_mistake(tree: Mapping, error: dict[str, Any]) -> Diagnostic:
    key = str(error["loc"][0])
    value = tree.get(key)
    if value is None:
        message = "`archforge: 1`, the version of the language, is missing"
        return Diagnostic("E0202", message, tree.span, help="put it on the first line")
    if key == "archforge":
        message = f"language version {shown(value)} is not known"
        return Diagnostic("E0206", message, value.span, help="this compiler reads `archforge: 1`")
    if key == "imports" and isinstance(value, Sequence):
        value = value.items[error["loc"][1]]
        return Diagnostic("E0203", f"`imports` is a list of words, found {shown(value)}", value.span)
    kinds = f"one of {listed(DOCUMENT_KINDS)}"
    expected = {"kind": kinds, "imports": "a list of words"}.get(key, "a text")
    hint = ""
    if isinstance(value, Scalar) and value.value is not None:
        hint = f'quote it: "{value.span.text}"'
        if key == "imports":
            hint = f"[{value.span.text}]"
        elif key == "kind":
            near = misspelt(str(value.value), DOCUMENT_KINDS)
            hint = f"did you mean `{near}`?" if near else "leave it out: a network has none"
    elif key == "extends":
        hint = "extends: NAME; one spec, which may extend another"
    return Diagnostic("E0203", f"`{key}` is {expected}, found {shown(value)}", value.span, help=hint)


def _graph(entry: Entry | None) -> Body | None:
    if entry is None:
        return None
    if is_null(entry.value):
        fail("E0202", "`graph` is empty", entry.key_span, help="graph: [{conv: 64}, relu]")
    return parse_body(entry.value)


def _input(tree: Tree | None) -> dict[str, Value] | Value | None:
    if tree is None or not isinstance(tree, Mapping):
        return None if tree is None else _dims(tree)
    sizes = [e.value.value for e in tree if isinstance(e.value, Scalar) and type(e.value.value) is int]
    if sizes and len(sizes) == len(tree.entries):
        help = f"input: {sizes}; a mapping is of several inputs by name"
        fail("E0203", "an input is a list, found its sizes by name", tree.span, help=help)
    mistakes = Mistakes()
    for entry in tree:
        mistakes.attempt(lambda e=entry: check_name(e.key, e.key_span, "an input"), None)  # type: ignore[misc]
    inputs = mistakes.each(tree, lambda entry: _dims(entry.value))
    mistakes.close()
    return inputs


def _dims(tree: Tree) -> Value:
    if isinstance(tree, Sequence) or (isinstance(tree, Scalar) and tree.formula_span):
        return value_of(tree)
    sizes = re.fullmatch(r"\(?[0-9]+( *[x*\u00d7,] *[0-9]+)+\)?", str(tree.plain()))
    hint = f"[{', '.join(re.findall(r'[0-9]+', sizes[0]))}]" if sizes else "[channels, height, width]"
    fail("E0203", f"an input is a list such as [3, 224, 224], found {shown(tree)}", tree.span, help=hint)


def _spec_arg(entry: Entry) -> ArgDecl:
    if entry.key in _OF_PROFILES:
        message = f"`{entry.key}` cannot name an argument: it is a key of profiles"
        fail("E0310", message, entry.key_span, help="give it another name")
    return _arg(entry)


def _arg(entry: Entry) -> ArgDecl:
    mistakes = Mistakes()
    mistakes.attempt(lambda: check_name(entry.key, entry.key_span, "an argument"), None)
    decl = mistakes.attempt(lambda: _declared(entry), ArgDecl(entry.key, entry.key_span, None, None))
    mistakes.close()
    return decl


def _declared(entry: Entry) -> ArgDecl:
    tree = entry.value
    if isinstance(tree, Scalar) and not tree.quoted and isinstance(tree.value, str):
        if tree.value in KINDS:
            return ArgDecl(entry.key, entry.key_span, tree.value, None)
        if tree.value in TYPES:
            message = f"there is no kind of argument `{tree.value}`"
            hint = f'did you mean `{TYPES[tree.value]}`? Quote it as a default: "{tree.value}"'
            fail("E0203", message, tree.span, help=hint)
    if isinstance(tree, Mapping) and tree.entries and not tree.entries.keys() - _OF_DECLARATIONS:
        meant = tree.get("default") or tree.get("type")
        hint = f"{entry.key}: {meant.span.text if isinstance(meant, Scalar) else 'int'}"
        message = f"`{entry.key}` is declared by its default, or by its kind alone"
        fail("E0203", message, tree.span, help=hint)
    argument = _given(entry)
    kind = "bool" if isinstance(tree, Scalar) and isinstance(tree.value, bool) else None
    if argument.looks_like_steps:
        kind = "steps"
        steps_of(argument)  # mistakes in them are mistakes of the document
    else:
        argument.value  # noqa: B018
    return ArgDecl(entry.key, entry.key_span, kind, argument)


def parse_defaults(entry: Entry) -> Defaults:
    """Parse a section of defaults inside another one."""
    return _entries(entry, _default)


def _default(entry: Entry) -> dict[str, Argument]:
    example = f"defaults: {{conv: {{{entry.key}: {shown(entry.value)}}}}}"
    if entry.key in OP_WORDS:
        example = f"defaults: {{{entry.key}: {{ATTRIBUTE: ...}}}}"
    return {e.key: parse_argument(e) for e in mapping_of(entry.value, f"`{entry.key}`", example)}


def _profile(entry: Entry) -> ProfileDecl:
    if is_null(entry.value):
        return ProfileDecl(entry.key, entry.key_span, {}, {}, {}, is_dropped=True)
    mistakes = Mistakes()
    values: dict[str, Argument] = {}
    defaults: Defaults = {}
    blocks: dict[str, BlockDecl] = {}
    labels = ""
    preprocess: dict[str, Any] = {}
    train: dict[str, Entry] = {}
    constraints: tuple[Formula, ...] = ()
    weights: tuple[str, ...] = ()
    model = None
    for item in mapping_of(entry.value, f"profile `{entry.key}`"):
        if item.key == "defaults":
            defaults = mistakes.attempt(lambda i=item: parse_defaults(i), {})  # type: ignore[misc]
        elif item.key == "blocks":
            blocks = mistakes.attempt(lambda i=item: _entries(i, _block), {})  # type: ignore[misc]
        elif item.key == "model":
            model = mistakes.attempt(lambda i=item: word_of(i.value, "`model`"), None)  # type: ignore[misc]
        elif item.key == "weights":
            weights = mistakes.attempt(lambda i=item: _weights(i), ())  # type: ignore[misc]
        elif item.key == "labels":
            labels = mistakes.attempt(lambda i=item: _labels(i), "")  # type: ignore[misc]
        elif item.key == "preprocess":
            preprocess = mistakes.attempt(lambda i=item: parse_preprocess(i), {})  # type: ignore[misc]
        elif item.key == "train":
            train = mistakes.attempt(lambda i=item: _train(i, entry.key), {})  # type: ignore[misc]
        elif item.key == "constraints":
            constraints = mistakes.attempt(lambda i=item: _constraints(i), ())  # type: ignore[misc]
        elif (argument := mistakes.attempt(lambda i=item: _given(i), None)) is not None:  # type: ignore[misc]
            values[item.key] = argument
    mistakes.close()
    return ProfileDecl(
        entry.key,
        entry.key_span,
        values,
        defaults,
        blocks,
        model,
        weights,
        labels,
        preprocess,
        train,
        constraints,
    )


def _given(entry: Entry) -> Argument:
    """A value of an argument. Raises what is wrong with a range."""
    argument = parse_argument(entry)
    if argument.is_range:
        from archforge.spec.syntax.ranges import parse_range

        parse_range(mapping_of(argument.tree, "a range"))
    return argument


def _constraints(entry: Entry | None) -> tuple[Formula, ...]:
    """The conditions that a draw of a space must meet. Raises E0203."""
    if entry is None or is_null(entry.value):
        return ()
    tree, example = entry.value, "constraints: [=depth < 20]"
    if not isinstance(tree, Sequence):
        hint = example
        if isinstance(tree, Scalar) and tree.formula_span:
            hint = f"a list of one: [{tree.span.text}]"
        fail("E0203", f"`constraints` is a list of formulas, found {shown(tree)}", tree.span, help=hint)
    limits.CONSTRAINTS.check(len(tree.items), entry.key_span)
    mistakes = Mistakes()
    found = [mistakes.attempt(lambda i=item: _constraint(i), None) for item in tree.items]  # type: ignore[misc]
    mistakes.close()
    return tuple(formula for formula in found if formula is not None)


def _constraint(tree: Tree) -> Formula:
    span = tree.formula_span if isinstance(tree, Scalar) else None
    if not (isinstance(tree, Scalar) and span):
        hint = f"={tree.value}" if isinstance(tree, Scalar) and isinstance(tree.value, str) else ""
        fail("E0203", f"a constraint is a formula, found {shown(tree)}", tree.span, help=hint)
    return parse_formula(tree.value[1:], span)


def _weights(entry: Entry) -> tuple[str, ...]:
    """The names of released weights, each once. Raises E0203 and E0309."""
    items = entry.value.items if isinstance(entry.value, Sequence) else (entry.value,)
    if not items:
        fail("E0203", "`weights` is empty", entry.key_span, help="weights: [IMAGENET1K_V2, IMAGENET1K_V1]")
    named: dict[str, Tree] = {}
    for item in items:
        name = word_of(item, "a name of weights")
        if name in named:
            notes = (Note("the other is", named[name].span),)
            fail("E0309", f"`{name}` stands twice", item.span, notes=notes)
        named[name] = item
    return tuple(named)


def _labels(entry: Entry) -> str:
    """The word for names of classes that come along. Raises E0203."""
    tree = entry.value
    word = tree.value if isinstance(tree, Scalar) else None
    if isinstance(word, str) and word in CLASS_NAMES:
        return word
    help = "names of your own are given to a run: archforge run --labels FILE"
    if isinstance(word, str) and closest(word, CLASS_NAMES):
        help = did_you_mean(word, CLASS_NAMES)
    fail("E0203", f"`labels` is {listed(CLASS_NAMES)}, found {shown(tree)}", tree.span, help=help)


def _entries(section: Entry, parse: Callable[[Entry], T]) -> dict[str, T]:
    """Results of `parse` on each entry of a section within a block or profile."""
    if is_null(section.value):
        return {}
    mistakes = Mistakes()
    example = f"{section.key}: {_of_words(section.value, section.key) or _EXAMPLES.get(section.key, '{...}')}"
    found = mistakes.each(mapping_of(section.value, f"`{section.key}`", example), parse)
    mistakes.close()
    return found


def _spec_block(entry: Entry) -> BlockDecl:
    """A block, or figures for one that is inherited or imported."""
    tree = mapping_of(entry.value, f"block `{entry.key}`", f"{entry.key}: {{body: [...]}}")
    cases = _expect(tree)
    if cases is None or len(tree.entries) > 1:
        return _block(entry)
    return BlockDecl(entry.key, entry.key_span, "kind", {}, Body((), tree.span), cases, adds_expect=True)


def _block(entry: Entry) -> BlockDecl:
    tree = mapping_of(entry.value, f"block `{entry.key}`", f"{entry.key}: {{body: [...]}}")
    mistakes = Mistakes()
    mistakes.attempt(lambda: check_name(entry.key, entry.key_span, "a block"), None)
    if "network" in tree.entries:
        return _network_block(entry, tree, mistakes)
    mistakes.attempt(lambda: refuse_unknown(tree, (*_BLOCK_KEYS, "network"), BLOCK_KEYS), None)
    args, outputs = tree.entries.get("args"), tree.entries.get("outputs")
    block = BlockDecl(
        entry.key,
        entry.key_span,
        mistakes.attempt(lambda: _naming(tree.get("naming")), "kind"),
        _few(mistakes.attempt(lambda: _entries(args, _arg) if args else {}, {}), args, mistakes),
        mistakes.attempt(lambda: _block_body(entry, tree), Body((), entry.key_span)),
        mistakes.attempt(lambda: _expect(tree), None),
        outputs=mistakes.attempt(lambda: _entries(outputs, _output) if outputs else {}, {}),
    )
    mistakes.close()
    return block


def _network_block(entry: Entry, tree: Mapping, mistakes: Mistakes) -> BlockDecl:
    """A block that is the network of a spec."""
    beside = [tree.entries[key] for key in _BLOCK_KEYS if key in tree.entries and key != "expect"]
    for other in beside:
        message = f"`{other.key}` beside `network`: the block is what that spec says"
        hint = {"args": f"its arguments are given where it is called: {{{entry.key}: {{ARG: value}}}}"}
        hint |= {"outputs": "taps: {NAME: STEP}", "naming": "its steps have the names that they have there"}
        help = hint.get(other.key, "leave out one of the two")
        mistakes.add(Diagnostic("E0201", message, other.key_span, help=help))
    known = (*_NETWORK_KEYS, *(other.key for other in beside))
    mistakes.attempt(lambda: refuse_unknown(tree, known, NETWORK_KEYS), None)
    block = BlockDecl(
        entry.key,
        entry.key_span,
        "kind",
        {},
        Body((), tree.span),
        mistakes.attempt(lambda: _expect(tree), None),
        network=mistakes.attempt(lambda: _network(tree), None),
    )
    mistakes.close()
    return block


def _network(tree: Mapping) -> NetworkUse:
    """The network that a block is. Raises E0203 for what is no word, E0309 and E0310 for names of taps."""
    spec, profile, taps = (tree.get(key) for key in ("network", "profile", "taps"))
    if taps is not None and not isinstance(taps, Mapping | Sequence):
        help = "taps: {skip: layer1, deep: layer4}"
        fail("E0203", f"`taps` is a list or a mapping, found {shown(taps)}", taps.span, help=help)
    assert spec is not None  # it is what makes a block a network
    return NetworkUse(
        constant_word(spec, "`network`"),
        None if profile is None else constant_word(profile, "`profile`"),
        {} if taps is None else named_words(taps, "the name of a step", "taps"),
    )


def _expect(tree: Mapping) -> Mapping | None:
    """The figures of a document or a block. An empty `expect` is as none."""
    expect = tree.get("expect")
    if expect is None or is_null(expect):
        return None
    figures = mapping_of(expect, "`expect`")
    return figures if figures.entries else None


def _naming(tree: Tree | None) -> str:
    style = "kind" if tree is None else word_of(tree, "`naming`")
    if tree and style not in ("kind", "position", "none"):
        fail("E0203", f"`naming` is `kind`, `position` or `none`, found `{style}`", tree.span)
    return style


def _block_body(entry: Entry, tree: Mapping) -> Body:
    body = tree.get("body")
    if body is None and any(BLOCK_KEYS.get(key) in ("body", "network") for key in tree.entries):
        return Body((), tree.span)  # under another word, which is reported already
    if body is None:
        hint = "body: [{conv: 64}, relu]"
        fail("E0202", f"block `{entry.key}` has no `body`", entry.key_span, help=hint)
    return parse_body(body)


def _output(entry: Entry) -> OutputDecl:
    tree = entry.value
    if not isinstance(tree, Mapping):
        return OutputDecl(value_of(tree), None)
    refuse_unknown(tree, ("value", "when"))
    value, when = tree.get("value"), tree.get("when")
    if value is None:
        fail("E0202", f"output `{entry.key}` has no `value`", entry.key_span, help="{value: =x, when: ...}")
    return OutputDecl(value_of(value), value_of(when) if when else None)


def _rule(entry: Entry) -> RuleDecl:
    example = f"{entry.key}: {{says: every op, count: =layers}}"
    tree = mapping_of(entry.value, f"rule `{entry.key}`", example)
    refuse_unknown(tree, ("says", "constants", "count"))
    says, count, constants = tree.get("says"), tree.get("count"), tree.entries.get("constants")
    if says is None or count is None:
        fail("E0202", f"rule `{entry.key}` needs `says` and `count`", entry.key_span, help=example)
    span = count.formula_span if isinstance(count, Scalar) else None
    if not (isinstance(count, Scalar) and span):
        written = count.span.text if isinstance(count, Scalar) and count.value is not None else "layers - 1"
        fail("E0203", f"`count` is a formula, found {shown(count)}", count.span, help=f"count: ={written}")
    mistakes = Mistakes()
    rule = RuleDecl(
        entry.key,
        entry.key_span,
        mistakes.attempt(lambda: word_of(says, "`says`"), ""),
        mistakes.attempt(lambda: _entries(constants, _constant) if constants else {}, {}),
        parse_formula(count.value[1:], span),
    )
    mistakes.close()
    return rule


def _constant(entry: Entry) -> int:
    tree = entry.value
    if isinstance(tree, Scalar) and type(tree.value) is int:
        return tree.value
    fail("E0203", f"constant `{entry.key}` is a whole number, found {shown(tree)}", tree.span)
