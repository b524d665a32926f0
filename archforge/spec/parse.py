"""From a tree to syntax: the form of documents, blocks and steps. All mistakes of a file together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from archforge.errors import Diagnostic, DiagnosticError, SourceFile, did_you_mean, fail
from archforge.spec.formula import Formula, describe, parse_formula, parse_template
from archforge.spec.syntax import (
    KINDS,
    MERGES,
    MODIFIERS,
    STRUCTURES,
    ArgDecl,
    Argument,
    Arguments,
    BlockDecl,
    Body,
    Branch,
    Call,
    Defaults,
    For,
    Group,
    Header,
    Let,
    Merge,
    Modifiers,
    OutputDecl,
    ProfileDecl,
    RuleDecl,
    SpecDocument,
    Step,
    Tap,
    Value,
    value_of,
)
from archforge.spec.tree import Entry, Mapping, Scalar, Sequence, Tree, parse_yaml

__all__ = ["parse_body", "parse_document"]

T = TypeVar("T")


class _HeaderModel(BaseModel):
    """The header's kinds. `archforge` is the version of the language."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    archforge: Literal[1]
    kind: Literal["network", "template", "blocks"] = "network"
    title: str | None = None
    paper: str | None = None
    departs: str | None = None
    recommended: str | None = None
    extends: str | None = None
    imports: list[str] = []


SECTIONS = ("input", "args", "with", "defaults", "profiles", "blocks", "graph", "outputs", "rules", "expect")


class _Mistakes:
    """Collects diagnostics, so that one mistake does not hide the next."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    def attempt(self, parse: Callable[[], T], otherwise: T) -> T:
        try:
            return parse()
        except DiagnosticError as error:
            self.found += error.diagnostics
            return otherwise

    def each(self, entries: Iterable[Entry], parse: Callable[[Entry], T]) -> dict[str, T]:
        """`parse` of each entry; the ones with mistakes are left out."""
        out: dict[str, T] = {}
        for entry in entries:
            try:
                out[entry.key] = parse(entry)
            except DiagnosticError as error:
                self.found += error.diagnostics
        return out

    def close(self) -> None:
        if self.found:
            raise DiagnosticError(tuple(dict.fromkeys(self.found)))


def parse_document(source: SourceFile) -> SpecDocument:
    """The document of one file. Raises all its mistakes of form at once."""
    tree = parse_yaml(source)
    if not isinstance(tree, Mapping):
        fail("E0203", "a spec is a mapping that starts with `archforge: 1`", tree.span)
    mistakes = _Mistakes()
    known = (*_HeaderModel.model_fields, *SECTIONS)
    for entry in tree:
        if entry.key not in known:
            mistakes.attempt(lambda e=entry: _unknown_key(e, known), None)  # type: ignore[misc]
    header = mistakes.attempt(lambda: _header(tree), Header())

    def section(key: str, parse: Callable[[Entry], T], kind: str = "a mapping") -> dict[str, T]:
        node = tree.get(key)
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return {}
        return mistakes.attempt(lambda: mistakes.each(_mapping(node, f"`{key}`"), parse), {})

    document = SpecDocument(
        source=source,
        header=header,
        tree=tree,
        input=mistakes.attempt(lambda: _input(tree.get("input")), None),
        args=section("args", _arg),
        values=section("with", _argument),
        defaults=section("defaults", _default),
        profiles=section("profiles", _profile),
        blocks=section("blocks", _block),
        graph=mistakes.attempt(lambda: parse_body(g) if (g := tree.get("graph")) else None, None),
        outputs=section("outputs", _output),
        rules=section("rules", _rule),
        expect=mistakes.attempt(lambda: _mapping(e, "`expect`") if (e := tree.get("expect")) else None, None),
    )
    mistakes.close()
    return document


def _unknown_key(entry: Entry, known: Iterable[str]) -> None:
    fail(
        "E0201",
        f"unknown key `{entry.key}`",
        entry.key_span,
        help=did_you_mean(entry.key, known, what="keys"),
    )


def _mapping(tree: Tree, what: str) -> Mapping:
    if not isinstance(tree, Mapping):
        fail("E0203", f"{what} is a mapping, found {_shown(tree)}", tree.span)
    return tree


def _shown(tree: Tree) -> str:
    return (
        describe(tree.value)
        if isinstance(tree, Scalar)
        else "a list"
        if isinstance(tree, Sequence)
        else "a mapping"
    )


def _word(tree: Tree, what: str) -> str:
    if not (isinstance(tree, Scalar) and isinstance(tree.value, str)):
        fail("E0203", f"{what} is a word, found {_shown(tree)}", tree.span)
    return tree.value


def _header(tree: Mapping) -> Header:
    given = {e.key: e.value.plain() for e in tree if e.key in _HeaderModel.model_fields}
    try:
        model = _HeaderModel.model_validate(given)
    except ValidationError as error:
        raise DiagnosticError(tuple(_header_mistake(tree, dict(e)) for e in error.errors())) from None
    return Header(**{**model.model_dump(exclude={"archforge"}), "imports": tuple(model.imports)})


def _header_mistake(tree: Mapping, error: dict[str, Any]) -> Diagnostic:
    key = str(error["loc"][0])
    value = tree.get(key)
    if value is None:
        return Diagnostic("E0202", f"`{key}` is missing", tree.span, help="a spec starts with `archforge: 1`")
    if key == "archforge":
        message = f"language version {_shown(value)} is not known"
        return Diagnostic("E0206", message, value.span, help="this compiler reads `archforge: 1`")
    expected = {"kind": "`network`, `template` or `blocks`", "imports": "a list of words"}.get(key, "a text")
    return Diagnostic("E0203", f"`{key}` is {expected}, found {_shown(value)}", value.span)


def _input(tree: Tree | None) -> dict[str, Value] | Value | None:
    if tree is None:
        return None
    if isinstance(tree, Mapping):
        return {entry.key: _dims(entry.value) for entry in tree}
    return _dims(tree)


def _dims(tree: Tree) -> Value:
    if isinstance(tree, Sequence) or (isinstance(tree, Scalar) and tree.formula_span):
        return value_of(tree)
    fail("E0203", f"an input is a list such as [3, 224, 224], found {_shown(tree)}", tree.span)


def _argument(entry: Entry) -> Argument:
    return Argument(entry.key, entry.key_span, entry.value)


def _arg(entry: Entry) -> ArgDecl:
    tree = entry.value
    if not entry.key.isidentifier():
        fail(
            "E0310",
            f"`{entry.key}` cannot be a name in formulas",
            entry.key_span,
            help="letters, digits and _",
        )
    if isinstance(tree, Scalar) and not tree.quoted and tree.value in KINDS:
        return ArgDecl(entry.key, entry.key_span, tree.value, None)
    argument = _argument(entry)
    kind = "bool" if isinstance(tree, Scalar) and isinstance(tree.value, bool) else None
    if argument.looks_like_steps:
        kind = "steps"
        argument.body  # noqa: B018  mistakes in it are mistakes of the document
    else:
        argument.value  # noqa: B018
    return ArgDecl(entry.key, entry.key_span, kind, argument)


def _default(entry: Entry) -> dict[str, Argument]:
    return {e.key: _argument(e) for e in _mapping(entry.value, f"`{entry.key}`")}


def _profile(entry: Entry) -> ProfileDecl:
    mistakes = _Mistakes()
    values: dict[str, Argument] = {}
    defaults: Defaults = {}
    blocks: dict[str, BlockDecl] = {}
    model = None
    empty = isinstance(entry.value, Scalar) and entry.value.value is None
    for item in () if empty else _mapping(entry.value, f"profile `{entry.key}`"):
        if item.key == "defaults":
            defaults = mistakes.each(_mapping(item.value, "`defaults`"), _default)
        elif item.key == "blocks":
            blocks = mistakes.each(_mapping(item.value, "`blocks`"), _block)
        elif item.key == "model":
            model = mistakes.attempt(lambda i=item: _word(i.value, "`model`"), None)  # type: ignore[misc]
        else:
            values[item.key] = _argument(item)
    mistakes.close()
    return ProfileDecl(entry.key, entry.key_span, values, defaults, blocks, model)


def _block(entry: Entry) -> BlockDecl:
    mistakes = _Mistakes()
    tree = _mapping(entry.value, f"block `{entry.key}`")
    known = ("naming", "args", "body", "expect")
    for item in tree:
        if item.key not in known:
            mistakes.attempt(lambda i=item: _unknown_key(i, known), None)  # type: ignore[misc]
    naming = tree.get("naming")
    style = mistakes.attempt(lambda: _word(naming, "`naming`"), "kind") if naming else "kind"
    if naming and style not in ("kind", "position", "none"):
        mistakes.attempt(
            lambda: fail("E0203", f"`naming` is `kind`, `position` or `none`, found `{style}`", naming.span),
            None,
        )
    args = tree.get("args")
    decls: dict[str, ArgDecl] = {}
    if args:
        decls = mistakes.attempt(lambda: mistakes.each(_mapping(args, "`args`"), _arg), decls)
    body_tree = tree.get("body")
    body = Body((), entry.key_span)
    if body_tree is None:
        mistakes.attempt(lambda: fail("E0202", f"block `{entry.key}` has no `body`", entry.key_span), None)
    else:
        body = mistakes.attempt(lambda: parse_body(body_tree), body)
    expect = tree.get("expect")
    cells = mistakes.attempt(lambda: _mapping(expect, "`expect`"), None) if expect else None
    mistakes.close()
    return BlockDecl(entry.key, entry.key_span, style, decls, body, cells)


def _output(entry: Entry) -> OutputDecl:
    tree = entry.value
    if isinstance(tree, Mapping):
        for item in tree:
            if item.key not in ("value", "when"):
                _unknown_key(item, ("value", "when"))
        value, when = tree.get("value"), tree.get("when")
        if value is None:
            fail("E0202", f"output `{entry.key}` has no `value`", entry.key_span)
        return OutputDecl(value_of(value), value_of(when) if when else None)
    return OutputDecl(value_of(tree), None)


def _rule(entry: Entry) -> RuleDecl:
    tree = _mapping(entry.value, f"rule `{entry.key}`")
    for item in tree:
        if item.key not in ("says", "constants", "count"):
            _unknown_key(item, ("says", "constants", "count"))
    says, constants, count = tree.get("says"), tree.get("constants"), tree.get("count")
    if says is None or count is None:
        fail("E0202", f"rule `{entry.key}` needs `says` and `count`", entry.key_span)
    numbers = {e.key: e.value for e in _mapping(constants, "`constants`")} if constants else {}
    for key, number in numbers.items():
        if not (isinstance(number, Scalar) and type(number.value) is int):
            fail("E0203", f"constant `{key}` is a whole number, found {_shown(number)}", number.span)
    span = count.formula_span if isinstance(count, Scalar) else None
    if not (isinstance(count, Scalar) and span):
        fail("E0203", f"`count` is a formula, found {_shown(count)}", count.span)
    plain: dict[str, Any] = {key: number.plain() for key, number in numbers.items()}
    formula = parse_formula(count.value[1:], span)
    return RuleDecl(entry.key, entry.key_span, _word(says, "`says`"), plain, formula)


# Steps


def parse_body(tree: Tree) -> Body:
    """The steps that `tree` writes: one, or a list. Raises all their mistakes of form at once."""
    if not isinstance(tree, Sequence):
        return Body((_step(tree),), tree.span, is_list=False)
    mistakes, steps = _Mistakes(), []
    for item in tree.items:
        try:
            steps.append(_step(item))
        except DiagnosticError as error:
            mistakes.found += error.diagnostics
    mistakes.close()
    return Body(tuple(steps), tree.span)


def _step(tree: Tree) -> Step:
    if isinstance(tree, Scalar) and isinstance(tree.value, str):
        span = tree.formula_span
        if span:
            return Tap(tree.span, Modifiers(), parse_formula(tree.value[1:], span))
        if tree.value in STRUCTURES or tree.value in MERGES:
            fail(
                "E0204",
                f"`{tree.value}` needs something behind it",
                tree.span,
                help=f"{{{tree.value}: [...]}}",
            )
        return Call(tree.span, Modifiers(), tree.value, Arguments(tree.span, {}))
    if isinstance(tree, Scalar):
        fail("E0204", f"a step is the name of an op or a mapping, found {_shown(tree)}", tree.span)
    if isinstance(tree, Sequence):
        fail("E0204", "a list inside a list of steps", tree.span, help="write {seq: [...]}")
    operators = [e for e in tree if e.key not in MODIFIERS]
    if not operators:
        fail("E0204", "a step without an op", tree.span, help="{conv: {...}, name: ...}")
    if len(operators) > 1:
        _several_operators(operators)
    return _operation(tree, operators[0])


def _several_operators(operators: list[Entry]) -> None:
    """A step with two ops: most often a list item's second line, or attributes beside the op."""
    first, second = operators[0], operators[1]
    names = ", ".join(f"`{e.key}`" for e in operators)
    hint = did_you_mean(second.key, MODIFIERS)
    if not hint.startswith("did"):
        hint = (
            f"a new step starts with `- {second.key}:`; attributes go {{{first.key}: {{{second.key}: ...}}}}"
        )
    fail("E0204", f"a step has one op, found {names}", second.key_span, help=hint)


def _operation(tree: Mapping, operator: Entry) -> Step:
    kind, span, value = operator.key, operator.key_span, operator.value
    taken = {"for": ("name", "in", "do", "when")}.get(kind, MODIFIERS[:-2])
    for entry in tree:
        if entry.key in MODIFIERS and entry.key not in taken:
            fail("E0205", f"`{kind}` takes no `{entry.key}`", entry.key_span, help=f"{', '.join(taken)}")
    modifiers = _modifiers(tree)
    if kind == "for":
        return _for(tree, operator, modifiers)
    if kind == "let":
        return Let(span, modifiers, {e.key: _let(e) for e in _mapping(value, "`let`")})
    if kind in ("seq", "side"):
        return Group(span, modifiers, "seq" if kind == "seq" else "side", parse_body(value))
    if kind in MERGES:
        return Merge(span, modifiers, kind, _branches(operator))
    target: str | Formula = kind
    if kind.startswith("="):
        target = parse_formula(kind[1:], span.part(1 + (span.length > len(kind)), len(kind) - 1))
    return Call(span, modifiers, target, _arguments(value))


def _let(entry: Entry) -> Argument:
    argument = _argument(entry)
    argument.value  # noqa: B018  mistakes in it are mistakes of the document
    return argument


def _modifiers(tree: Mapping) -> Modifiers:
    def text(key: str) -> Any:
        node = tree.get(key)
        if node is None:
            return None
        if isinstance(node, Scalar) and type(node.value) is int:
            node = Scalar(str(node.value), node.span)
        word = _word(node, f"`{key}`")
        if word.startswith("="):
            word = f"{{{word[1:]}}}"
        if not word:
            fail("E0203", f"`{key}` is empty", node.span)
        return parse_template(word, node.span.part(node.span.length - len(word), len(word)))

    def value(key: str) -> Value | None:
        node = tree.get(key)
        return None if node is None else value_of(node)

    first = tree.get("first")
    entries = {e.key: _argument(e) for e in _mapping(first, "`first`")} if first else {}
    return Modifiers(
        text("name"),
        text("as"),
        text("append"),
        value("from"),
        value("when"),
        value("repeat"),
        entries,
        text("share"),
    )


def _arguments(tree: Tree) -> Arguments:
    if isinstance(tree, Mapping):
        return Arguments(tree.span, {e.key: _argument(e) for e in tree})
    if isinstance(tree, Scalar) and tree.value is None:
        return Arguments(tree.span, {})
    return Arguments(tree.span, {}, Argument("", tree.span, tree))


def _branches(operator: Entry) -> tuple[Branch, ...] | Formula:
    tree = operator.value
    if isinstance(tree, Mapping):
        pairs = [(parse_template(e.key, e.key_span), e.value) for e in tree]
        return tuple(_branch(node, name) for name, node in pairs)
    if isinstance(tree, Sequence):
        mistakes, branches = _Mistakes(), []
        for item in tree.items:
            try:
                branches.append(_branch(item, None))
            except DiagnosticError as error:
                mistakes.found += error.diagnostics
        mistakes.close()
        return tuple(branches)
    span = tree.formula_span
    if span:
        return parse_formula(tree.value[1:], span)
    fail("E0203", f"`{operator.key}` takes a list or a mapping of branches, found {_shown(tree)}", tree.span)


def _branch(tree: Tree, name: Any) -> Branch:
    if isinstance(tree, Scalar) and tree.value is None:
        return Branch(tree.span, Body((), tree.span), name)
    if isinstance(tree, Mapping) and "branch" in tree.entries:
        for entry in tree:
            if entry.key not in ("branch", "when", "name"):
                _unknown_key(entry, ("branch", "when", "name"))
        modifiers = _modifiers(tree)
        return Branch(
            tree.span, parse_body(tree.entries["branch"].value), modifiers.name or name, modifiers.when
        )
    if isinstance(tree, Mapping) and "when" in tree.entries:
        fail(
            "E0313",
            "`when` on a branch could drop the branch or skip its step",
            tree.entries["when"].key_span,
            help="drop the branch: {branch: ..., when: ...}; skip the step: [{..., when: ...}]",
        )
    return Branch(tree.span, parse_body(tree), name)


def _for(tree: Mapping, operator: Entry, modifiers: Modifiers) -> For:
    do = tree.get("do")
    if do is None:
        fail("E0202", "`for` needs `do`", operator.key_span, help="{for: {...}, do: [...]}")
    rows = tree.get("in")
    columns = operator.value
    body = parse_body(do)
    if isinstance(columns, Mapping):
        if rows is not None:
            fail("E0205", "`in` goes with a list of column names", tree.entries["in"].key_span)
        names = tuple((e.key, e.key_span) for e in columns)
        values = {e.key: value_of(e.value) for e in columns}
        return For(operator.key_span, modifiers, names, values, None, body)
    if isinstance(columns, Sequence) and rows is not None:
        names = tuple((_word(c, "a column"), c.span) for c in columns.items)
        return For(operator.key_span, modifiers, names, {}, value_of(rows), body)
    fail(
        "E0203",
        f"`for` takes columns, found {_shown(columns)}{'' if rows else ' without `in`'}",
        columns.span,
        help="{for: {width: [64, 128]}, do: ...} or {for: [width, stride], in: [[64, 1], ...], do: ...}",
    )
