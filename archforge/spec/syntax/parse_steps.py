"""Parser of steps: a tree becomes bodies, calls, merges and loops, with all mistakes found together."""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from archforge.errors import Diagnostic, DiagnosticError, Note, Span, fail, misspelt
from archforge.ops import OP_WORDS, op_class
from archforge.spec.formulas.compiler import parse_formula, parse_template
from archforge.spec.formulas.formula import Formula, Template
from archforge.spec.syntax.foreign_words import BESIDE, OP_KEYS, plain
from archforge.spec.syntax.form_checks import (
    Mistakes,
    mapping_of,
    refuse_unknown,
    shown,
    torn_text,
    word_of,
)
from archforge.spec.syntax.reserved_names import can_be_named, check_name
from archforge.spec.syntax.syntax_tree import (
    MERGES,
    MODIFIERS,
    STRUCTURES,
    Argument,
    Arguments,
    Body,
    Branch,
    Call,
    For,
    Group,
    Let,
    Merge,
    Modifiers,
    Step,
    Tap,
    Value,
    value_of,
)
from archforge.spec.yaml.tree import Entry, Mapping, Scalar, Sequence, Tree

__all__ = ["NONE", "constant_word", "named_words", "parse_argument", "parse_body"]

_OF_CALLS = ("name", "as", "append", "from", "when", "repeat", "first", "share")
_TAKEN = {
    "for": ("name", "in", "do", "when"),
    "let": ("from", "when"),
    **dict.fromkeys((*MERGES, "seq", "side"), tuple(m for m in _OF_CALLS if m != "first")),
}


NONE = Modifiers()
BRANCHES = "branches"  # those of a merge, beside its attributes


def parse_argument(entry: Entry) -> Argument:
    return Argument(entry.key, entry.key_span, entry.value)


def parse_body(tree: Tree) -> Body:
    """The steps that `tree` writes: one, or a list. Raises all their mistakes of form at once."""
    if not isinstance(tree, Sequence):
        return Body((_step(tree),), tree.span, is_list=False)
    mistakes = Mistakes()
    steps: list[Step] = []
    for item in tree.items:
        try:
            steps.append(_step(item))
        except DiagnosticError as error:
            mistakes.add(*error.diagnostics)
    mistakes.close()
    return Body(tuple(steps), tree.span)


def _step(tree: Tree) -> Step:
    if isinstance(tree, Mapping):
        return _operation(tree, _operator(tree))
    if isinstance(tree, Sequence):
        help = "remove one `- `, or write {seq: [...]}"
        fail("E0204", "a list inside a list of steps", tree.span, help=help)
    if not isinstance(tree.value, str):
        hint = "remove the `-`, or write a step behind it" if tree.value is None else "{conv: 64}"
        fail("E0204", f"a step is the name of an op or a mapping, found {shown(tree)}", tree.span, help=hint)
    span = tree.formula_span
    if span:
        return Tap(tree.span, NONE, parse_formula(tree.value[1:], span))
    if tree.value in STRUCTURES or tree.value in MERGES:
        _nothing_behind(tree.value, tree.span)
    return Call(tree.span, NONE, tree.value, Arguments(tree.span, {}))


def _nothing_behind(kind: str, span: Span) -> NoReturn:
    examples = {"for": "{for: {width: [64, 128]}, do: [...]}", "let": "{let: {name: =x}}"}
    fail("E0204", f"`{kind}` needs something behind it", span, help=examples.get(kind, f"{{{kind}: [...]}}"))


def _operator(tree: Mapping) -> Entry:
    """The entry of a step that is no modifier."""
    operators = [e for e in tree if e.key not in MODIFIERS]
    if len(operators) == 1:
        return operators[0]
    if operators:
        _several_operators(tree, operators)
    hint = "{for: [a, b], in: [...], do: [...]}"
    if "do" not in tree.entries:
        names = " and ".join(f"`{key}`" for key in tree.entries)
        verb = "stands" if len(tree.entries) == 1 else "stand"
        hint = f"{names} {verb} beside an op: {{conv: 64, ...}}" if names else "{conv: 64}"
    fail("E0204", "a step without an op", tree.span, help=hint)


def _several_operators(tree: Mapping, operators: list[Entry]) -> NoReturn:
    """Refuse a step with two ops: attributes beside their op, a missing `- `, or a misspelled modifier."""
    first = next((e for e in operators if e.key in OP_WORDS), operators[0])
    second = next(e for e in operators if e is not first)
    attributes = op_class(first.key).model_fields if first.key in OP_WORDS else {}
    beside = [e for e in operators if e.key in attributes and e is not first]
    if beside:
        _beside(first, beside, next(iter(attributes)))
    names = ", ".join(f"`{e.key}`" for e in operators[:8])
    fail(
        "E0204", f"a step has one op, found {names}", second.key_span, help=_no_operator(tree, first, second)
    )


def _no_operator(tree: Mapping, first: Entry, second: Entry) -> str:
    """Suggestion for the `second` key of a step whose op is probably the `first` one."""
    steps = (*OP_WORDS, *MERGES, *STRUCTURES)
    if second.key in steps:
        return "each step starts with `- `"
    if second.key in ("else", "otherwise", "elif", "unless"):
        when = tree.get("when")
        text = when.value[1:] if isinstance(when, Scalar) and isinstance(when.value, str) else "..."
        return f"a step of its own for the other case: {{..., when: =not ({text})}}"
    meant = misspelt(second.key, MODIFIERS) or BESIDE.get(second.key)
    if meant in _TAKEN.get(first.key, _OF_CALLS):
        return f"did you mean `{meant}`?"
    pair = re.fullmatch(r"(\w+):(\S+)", second.key)
    if pair:
        return f"a space is missing behind `:`: {pair[1]}: {pair[2]}"
    given = next((e for e in (first, second) if e.key in OP_KEYS and isinstance(e.value, Scalar)), None)
    if given:
        return f"the op is the key of a step: {{{plain(_short(given.value))}: {{...}}}}"
    if first.key not in steps and any(isinstance(e.value, Mapping) for e in (first, second)):
        return f"each step starts with `- `; its name stands beside the op: {{conv: 64, name: {first.key}}}"
    below = f"an argument goes below: {first.key}: {{{second.key}: ...}}; a new step starts with `- `"
    if first.key in steps:
        below = f"beside it stand {', '.join(_TAKEN.get(first.key, _OF_CALLS))}; a new step starts with `- `"
    return torn_text(second, tree) or below


def _beside(op: Entry, attributes: list[Entry], bare: str) -> NoReturn:
    """Refuse an attribute beside its op: `- conv: 64` with `kernel: 3` on the same level."""
    given = [f"{e.key}: {_short(e.value)}" for e in attributes]
    if op.key in MERGES:
        given.insert(0, f"{BRANCHES}: {_short(op.value)}")
    elif isinstance(op.value, Scalar) and op.value.value is not None:
        given.insert(0, f"{bare}: {_short(op.value)}")
    elif isinstance(op.value, Mapping):
        given = [*(f"{e.key}: {_short(e.value)}" for e in op.value), *given]
    names = ", ".join(f"`{e.key}`" for e in attributes)
    verb = "is an attribute and stands" if len(attributes) == 1 else "are attributes and stand"
    fail(
        "E0204",
        f"{names} {verb} beside `{op.key}`, not below it",
        attributes[0].key_span,
        help=f"{op.key}: {{{', '.join(given)}}}",
    )


def _short(tree: Tree) -> str:
    return str(tree.value) if isinstance(tree, Scalar) else "[...]" if isinstance(tree, Sequence) else "..."


def _operation(tree: Mapping, operator: Entry) -> Step:
    kind, span, value = operator.key, operator.key_span, operator.value
    if isinstance(value, Scalar) and value.value is None and (kind in STRUCTURES or kind in MERGES):
        _nothing_behind(kind, span)
    if len(tree.entries) == 1:
        return _by_kind(tree, operator, NONE)
    mistakes = Mistakes()
    taken = _TAKEN.get(kind, _OF_CALLS)
    for entry in tree:
        if entry.key in MODIFIERS and entry.key not in taken:
            message = f"`{kind}` takes no `{entry.key}`"
            hint = f"it takes {', '.join(taken)}"
            if kind == "for" and entry.key in _TAKEN["seq"]:
                hint = f"a `seq` around it takes it: {{seq: [{{for: ..., do: ...}}], {entry.key}: ...}}"
            mistakes.add(Diagnostic("E0205", message, entry.key_span, help=hint))
    modifiers = mistakes.attempt(lambda: _modifiers(tree), NONE)
    if modifiers.kept and (kind in STRUCTURES or kind in MERGES):
        message = f"`{kind}` has no outputs to keep: it leaves one value"
        mistakes.add(Diagnostic("E0205", message, tree.entries["as"].value.span, help="as: NAME"))
    otherwise: Step = Call(span, modifiers, kind, Arguments(span, {}))
    step = mistakes.attempt(lambda: _by_kind(tree, operator, modifiers), otherwise)
    mistakes.close()
    return step


def _by_kind(tree: Mapping, operator: Entry, modifiers: Modifiers) -> Step:
    kind, span, value = operator.key, operator.key_span, operator.value
    if kind == "for":
        return _for(tree, operator, modifiers)
    if kind == "let":
        mistakes = Mistakes()
        values = mistakes.each(mapping_of(value, "`let`", "let: {width: 64}"), _let)
        mistakes.close()
        return Let(span, modifiers, values)
    if kind in ("seq", "side"):
        return Group(span, modifiers, "seq" if kind == "seq" else "side", parse_body(value))
    if kind in MERGES:
        return _merge(operator, modifiers)
    target: str | Formula = kind
    if kind.startswith("="):
        target = parse_formula(kind[1:], operator.text_span.part(1, len(kind) - 1))
    return Call(span, modifiers, target, _arguments(value))


def _let(entry: Entry) -> Argument:
    check_name(entry.key, entry.key_span, "a value of `let`")
    argument = parse_argument(entry)
    argument.value  # noqa: B018  mistakes in it are mistakes of the document
    return argument


def _modifiers(tree: Mapping) -> Modifiers:
    mistakes = Mistakes()

    def text(key: str, *, names_value: bool = False) -> Template | None:
        node = tree.get(key)
        return None if node is None else mistakes.attempt(lambda: _template(node, key, names_value), None)

    def value(key: str) -> Value | None:
        node = tree.get(key)
        return None if node is None else mistakes.attempt(lambda: value_of(node), None)

    listed = tree.get("as")
    kept: dict[str, Scalar] = {}
    if isinstance(listed, Sequence | Mapping):
        kept = mistakes.attempt(lambda: named_words(listed, "an output", "as"), {})
    first = tree.entries.get("first")
    entries: dict[str, Argument] = {}
    if first and "repeat" not in tree.entries:
        hint = "in a `for`: =a if i == 0 else b"
        mistakes.add(Diagnostic("E0205", "`first` goes with `repeat`", first.key_span, help=hint))
    elif first:
        entries = mistakes.attempt(
            lambda: mistakes.each(mapping_of(first.value, "`first`", "first: {stride: 2}"), parse_argument),
            {},
        )
    if "share" in tree.entries and "name" in tree.entries:
        message = "`share` names the step already"
        mistakes.add(
            Diagnostic("E0205", message, tree.entries["name"].key_span, help="remove one of the two")
        )
    modifiers = Modifiers(
        name=text("name"),
        tap=None if isinstance(listed, Sequence | Mapping) else text("as", names_value=True),
        kept=kept,
        append=text("append", names_value=True),
        source=value("from"),
        when=value("when"),
        repeat=value("repeat"),
        first=entries,
        share=text("share"),
    )
    mistakes.close()
    return modifiers


def named_words(tree: Sequence | Mapping, what: str, key: str) -> dict[str, Scalar]:
    """The words of a list by themselves, or those of a mapping by its keys: names of taps. `what`: what each
    of them is; `key`: what is in front of them. Raises E0203, E0309 and E0310."""
    mistakes = Mistakes()
    found: dict[str, Scalar] = {}
    spans: dict[str, Span] = {}
    named = [(e.key, e.key_span, e.value) for e in tree] if isinstance(tree, Mapping) else []
    listed = [(None, item.span, item) for item in tree.items] if isinstance(tree, Sequence) else []
    for given, span, item in (*named, *listed):
        word = mistakes.attempt(lambda i=item: constant_word(i, what), None)  # type: ignore[misc]
        if word is None:
            continue
        name = word.value if given is None else given
        if given is None and not can_be_named(name, "a tap"):
            mistakes.add(
                Diagnostic("E0310", f"`{name}` cannot name a tap", span, help=f"{key}: {{NAME: {name}}}")
            )
        else:
            mistakes.attempt(lambda n=name, s=span: check_name(n, s, "a tap"), None)  # type: ignore[misc]
        if name in found:
            notes = (Note("the other is", spans[name]),)
            mistakes.add(Diagnostic("E0309", f"`{key}` has two of the name `{name}`", span, notes=notes))
        found[name], spans[name] = word, span
    if not tree.plain():
        fail("E0203", f"`{key}` is empty", tree.span, help=f"{key}: [NAME], or leave it out")
    mistakes.close()
    return found


def constant_word(tree: Tree, what: str) -> Scalar:
    """The text that `tree` is, which no formula gives. Raises E0203."""
    word = word_of(tree, what)
    if word.startswith("="):
        fail("E0203", f"{what} is a word, found a formula", tree.span, help=f"without `=`: {word[1:]}")
    assert isinstance(tree, Scalar)  # a word is one
    return tree


def _template(node: Tree, key: str, names_value: bool) -> Template:
    """The name that a modifier gives: text with `{formula}` in it, a formula, or a number."""
    if isinstance(node, Scalar) and type(node.value) is int:
        node = Scalar(node.span.text, node.span)
    word = word_of(node, f"`{key}`")
    if not word:
        fail("E0203", f"`{key}` is empty", node.span)
    assert isinstance(node, Scalar)  # a word is one
    template = parse_template(f"{{{word[1:]}}}" if word.startswith("=") else word, node.text_span)
    if names_value and template.text is not None:
        check_name(template.text, node.span, "a tap")
    return template


def _arguments(tree: Tree) -> Arguments:
    if isinstance(tree, Mapping):
        return Arguments(tree.span, {e.key: parse_argument(e) for e in tree})
    if isinstance(tree, Scalar) and tree.value is None:
        return Arguments(tree.span, {})
    return Arguments(tree.span, {}, Argument("", tree.span, tree))


def _merge(operator: Entry, modifiers: Modifiers) -> Merge:
    """A merge of its branches; with attributes the branches are one of them."""
    kind, span, value = operator.key, operator.key_span, operator.value
    attributes: dict[str, Argument] = {}
    listed = operator
    if isinstance(value, Mapping) and BRANCHES in value.entries:
        listed = value.entries[BRANCHES]
        attributes = {e.key: parse_argument(e) for e in value if e is not listed}
    elif isinstance(value, Mapping):
        _refuse_bare_attributes(kind, value)
    call = Call(span, NONE, kind, Arguments(value.span, attributes))
    return Merge(span, modifiers, kind, _branches(kind, listed.value), call)


def _refuse_bare_attributes(kind: str, tree: Mapping) -> None:
    """Raise E0202 for attributes without branches: what has the name of one, and is no branch."""
    for entry in tree:
        if entry.key in op_class(kind).model_fields and isinstance(entry.value, Scalar):
            message = f"`{entry.key}` is an attribute of `{kind}`, and there are no `{BRANCHES}`"
            hint = f"{kind}: {{{BRANCHES}: [...], {entry.key}: {_short(entry.value)}}}"
            fail("E0202", message, entry.key_span, help=hint)


def _branches(kind: str, tree: Tree) -> tuple[Branch, ...] | Formula:
    if isinstance(tree, Scalar):
        span = tree.formula_span
        if span:
            return parse_formula(tree.value[1:], span)
        what = f"`{kind}` takes a list or a mapping of branches"
        help = f"{kind}: [[{{conv: 64}}], []]; [] is the value itself, [=name] a tap"
        fail("E0203", f"{what}, found {shown(tree)}", tree.span, help=help)
    mistakes = Mistakes()
    branches: list[Branch] = []
    pairs = [(None, t) for t in tree.items] if isinstance(tree, Sequence) else [(e, e.value) for e in tree]
    for entry, item in pairs:
        try:
            name = parse_template(entry.key, entry.text_span) if entry else None
            branches.append(_branch(item, name))
        except DiagnosticError as error:
            mistakes.add(*error.diagnostics)
    mistakes.close()
    return tuple(branches)


def _branch(tree: Tree, name: Template | None) -> Branch:
    if isinstance(tree, Scalar) and tree.value is None:
        return Branch(tree.span, Body((), tree.span), name)
    if isinstance(tree, Mapping) and "branch" in tree.entries:
        refuse_unknown(tree, ("branch", "when", "name"))
        modifiers = _modifiers(tree)
        if name and modifiers.name:
            message = "the branch has two names"
            fail("E0309", message, tree.entries["name"].key_span, help="remove one of the two")
        body = parse_body(tree.entries["branch"].value)
        return Branch(tree.span, body, modifiers.name or name, modifiers.when)
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
    mistakes = Mistakes()
    columns = mistakes.attempt(lambda: _columns(operator.value, tree.entries.get("in")), _Columns((), {}))
    body = mistakes.attempt(lambda: parse_body(do), Body((), do.span))
    mistakes.close()
    return For(operator.key_span, modifiers, columns.names, columns.values, columns.rows, body)


class _Columns(NamedTuple):
    """Table of a loop: values by column, or rows of named columns."""

    names: tuple[tuple[str, Span], ...]
    values: dict[str, Value]
    rows: Value | None = None


def _columns_hint(columns: Tree, rows: Entry | None) -> str:
    """Suggestion for what stands where `for` has its columns."""
    if isinstance(columns, Scalar) and rows is not None:
        return f"a list of names: {{for: [{columns.span.text}], in: ..., do: ...}}"
    if isinstance(columns, Scalar) and type(columns.value) is int:
        return f"{{for: {{n: =range({columns.value})}}, do: ...}}, or `repeat: {columns.value}` beside a step"
    pair = re.fullmatch(r"(\w+) in (.+)", columns.span.text) if isinstance(columns, Scalar) else None
    if pair:
        return f"{{for: {{{'n' if pair[1] == 'i' else pair[1]}: ={pair[2]}}}, do: ...}}"
    return "{for: {width: [64, 128]}, do: ...} or {for: [width, stride], in: [[64, 1], ...], do: ...}"


def _columns(columns: Tree, rows: Entry | None) -> _Columns:
    mistakes = Mistakes()
    if isinstance(columns, Mapping):
        if rows:
            message = "`in` goes with a list of column names"
            mistakes.add(Diagnostic("E0205", message, rows.key_span, help="for: [a, b]"))
        found = _Columns(
            tuple((e.key, e.key_span) for e in columns), mistakes.each(columns, lambda e: value_of(e.value))
        )
    elif isinstance(columns, Sequence) and rows:
        names = tuple((word_of(c, "a column"), c.span) for c in columns.items)
        found = _Columns(names, {}, mistakes.attempt(lambda: value_of(rows.value), None))
    else:
        fail(
            "E0203",
            f"`for` takes columns, found {shown(columns)}{'' if rows else ' without `in`'}",
            columns.span,
            help=_columns_hint(columns, rows),
        )
    first: dict[str, Span] = {}
    for name, span in found.names:
        mistakes.attempt(lambda n=name, s=span: check_name(n, s, "a column"), None)  # type: ignore[misc]
        if first.setdefault(name, span) is not span:
            note = Note("the other is", first[name])
            mistakes.add(Diagnostic("E0309", f"two columns are named `{name}`", span, notes=(note,)))
    mistakes.close()
    return found
