"""Syntax of the language as frozen data: values, steps, blocks, documents. No behaviour but evaluation.

Steps and their parts are named tuples: a frozen dataclass takes ten times longer to define, which every
command would pay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from archforge.errors import SourceFile, Span
from archforge.spec.formulas.compiler import parse_formula
from archforge.spec.formulas.formula import Formula, Namespace, Template
from archforge.spec.yaml.tree import Entry, Mapping, Scalar, Sequence, Tree

__all__ = [
    "CELLS",
    "DOCUMENT_KINDS",
    "EDITS",
    "KINDS",
    "MERGES",
    "MODIFIERS",
    "RANGE",
    "RANGES",
    "REACHES",
    "STRUCTURES",
    "ArgDecl",
    "Argument",
    "Arguments",
    "BlockDecl",
    "Body",
    "Branch",
    "Call",
    "Edit",
    "For",
    "Group",
    "Header",
    "Let",
    "Merge",
    "Modifiers",
    "NetworkUse",
    "OutputDecl",
    "ProfileDecl",
    "RuleDecl",
    "SpecDocument",
    "Step",
    "Tap",
    "Value",
    "formulas_in",
    "value_of",
]

MERGES = ("add", "subtract", "multiply", "divide", "concat", "matmul", "maximum")
STRUCTURES = ("seq", "side", "for", "let")
MODIFIERS = ("name", "as", "append", "from", "when", "repeat", "first", "share", "in", "do")
# The figures that `expect` may hold, and what each counts.
CELLS = {
    "layers": "ops, without the merges",
    "leaf_layers": "leaf modules as the table's code counts them; by a rule",
    "input": "shape of the input, such as 3x224x224",
    "output": "shape of the output, such as 1000",
    "weights": "kernels, matrices, and the gamma and beta of norms",
    "biases": "biases of convolutions, linear and recurrent layers",
    "params": "weights and biases",
    "buffers": "stored, not trained: running statistics",
    "macs": "multiply-accumulates of convolutions and matrix products, one image, up to the first output",
}
EDITS = ("replace", "before", "after")
REACHES = "reaches"  # the one key of `train` that is no setting of a run: what it is documented to reach
# A documented count that is a range: `2~3`, or `7~` without an end.
RANGE = re.compile(r"([0-9]{1,18})~([0-9]{1,18})?$")
KINDS = ("int", "float", "bool", "str", "list", "tensor", "steps")
DOCUMENT_KINDS = ("network", "template", "blocks", "space")
RANGES = ("int", "float", "choice")  # the key that makes a mapping a range of values to draw from
# The types of values that are written out, lists and mappings aside.
CONSTANTS = frozenset((int, str, bool, float, type(None)))


class Value(NamedTuple):
    """A literal, a formula, or a list or mapping of values."""

    content: Any  # a constant | Formula | tuple[Value, ...] | dict[str, Value]
    span: Span

    def evaluate(self, names: Namespace) -> Any:
        content = self.content
        if content.__class__ in CONSTANTS:  # nearly all are: the quick way out
            return content
        if isinstance(content, Formula):
            return content.evaluate(names)
        if isinstance(content, tuple):
            names.spend(len(content), self.span)
            return [item.evaluate(names) for item in content]
        if isinstance(content, dict):
            names.spend(len(content), self.span)
            return {key: item.evaluate(names) for key, item in content.items()}
        return content

    @property
    def is_formula(self) -> bool:
        return isinstance(self.content, Formula)

    @property
    def is_constant(self) -> bool:
        """True if there is no formula in it."""
        return self.content.__class__ in CONSTANTS or not any(formulas_in(self))


def value_of(tree: Tree) -> Value:
    """Value that `tree` writes. Raises E0303 or E0304 for a formula that is none."""
    if isinstance(tree, Scalar):
        span = tree.formula_span
        return Value(parse_formula(tree.value[1:], span) if span else tree.value, tree.span)
    if isinstance(tree, Sequence):
        return Value(tuple(map(value_of, tree.items)), tree.span)
    return Value({entry.key: value_of(entry.value) for entry in tree}, tree.span)


def formulas_in(value: Value) -> Iterator[Formula]:
    """Every formula inside `value`."""
    content = value.content
    if isinstance(content, Formula):
        yield content
    elif isinstance(content, tuple | dict):
        for item in content.values() if isinstance(content, dict) else content:
            yield from formulas_in(item)


@dataclass(frozen=True, eq=False)
class Argument:
    """An argument: a value, parsed when it is first asked for, or steps where the callee declares so.

    `inner_steps.steps_of` parses the steps."""

    key: str
    key_span: Span
    tree: Tree

    @property
    def span(self) -> Span:
        return self.tree.span

    @cached_property
    def value(self) -> Value:
        return value_of(self.tree)

    @cached_property
    def looks_like_steps(self) -> bool:
        """True for a list that holds a mapping, which can only be steps: values are scalars and lists of
        them."""
        return isinstance(self.tree, Sequence) and any(isinstance(i, Mapping) for i in self.tree.items)

    @cached_property
    def is_range(self) -> bool:
        """True for values to draw from, as arguments of a space have them: `ranges.parse_range` parses it."""
        return isinstance(self.tree, Mapping) and not self.tree.entries.keys().isdisjoint(RANGES)


class Arguments(NamedTuple):
    """Arguments behind an op or block: named `entries`, or one `bare` value, or neither."""

    span: Span
    entries: dict[str, Argument]
    bare: Argument | None = None


class Modifiers(NamedTuple):
    """Modifiers that stand beside the operator of a step; `tap` is `as` with one name, `kept` with the
    outputs of a block, `source` is `from`."""

    name: Template | None = None
    tap: Template | None = None  # `as: NAME`
    kept: dict[str, Scalar] = {}  # noqa: RUF012  `as: [OUTPUT]` or `as: {NAME: OUTPUT}`
    append: Template | None = None
    source: Value | None = None  # `from`
    when: Value | None = None
    repeat: Value | None = None
    first: dict[str, Argument] = {}  # noqa: RUF012  nobody writes into it
    share: Template | None = None

    def values(self) -> Iterator[Value]:
        """The values among the modifiers, to look for names in."""
        yield from (v for v in (self.source, self.when, self.repeat) if v)
        yield from (a.value for a in self.first.values())

    def templates(self) -> Iterator[Template]:
        yield from (t for t in (self.name, self.tap, self.append, self.share) if t)


class Body(NamedTuple):
    """Steps in order. `is_list` is false for one step written without a list: a name on the body is that
    step's."""

    steps: tuple[Step, ...]
    span: Span
    is_list: bool = True


class Tap(NamedTuple):
    """A formula as a step: it gives a value to go on with, steps to run, or the name of an op or block."""

    span: Span
    modifiers: Modifiers
    formula: Formula


class Call(NamedTuple):
    """An op or a block, named outright or by a formula."""

    span: Span
    modifiers: Modifiers
    target: str | Formula
    arguments: Arguments


class Branch(NamedTuple):
    """A branch of a merge; without `when` it is always there."""

    span: Span
    body: Body
    name: Template | None = None
    when: Value | None = None


class Merge(NamedTuple):
    """A merge: branches that all start from the current value, and `call` of the op that takes their
    results, with its attributes."""

    span: Span
    modifiers: Modifiers
    kind: str
    branches: tuple[Branch, ...] | Formula
    call: Call


class Group(NamedTuple):
    """A group of steps: `seq`, or `side`, which leaves the current value as it was."""

    span: Span
    modifiers: Modifiers
    kind: Literal["seq", "side"]
    body: Body


class For(NamedTuple):
    """A loop over columns of equal length, or over named columns in rows."""

    span: Span
    modifiers: Modifiers
    columns: tuple[tuple[str, Span], ...]
    values: dict[str, Value]  # by column; empty when `rows` is given
    rows: Value | None
    body: Body


class Let(NamedTuple):
    """Names for values, for the steps that follow."""

    span: Span
    modifiers: Modifiers
    values: dict[str, Argument]


Step = Tap | Call | Merge | Group | For | Let


class ArgDecl(NamedTuple):
    """An argument: a kind without a value is required (bare `steps` may be left out: none)."""

    name: str
    span: Span
    kind: str | None
    default: Argument | None

    @property
    def required(self) -> bool:
        return self.default is None and self.kind != "steps"

    @property
    def takes_steps(self) -> bool:
        return self.kind == "steps" or (self.default is not None and self.default.looks_like_steps)


class OutputDecl(NamedTuple):
    """A named output of the graph or of a block, left out if `when` is false."""

    value: Value
    when: Value | None


class NetworkUse(NamedTuple):
    """The network of a spec as a block: the profile, its first by default, and by the names of the block's
    outputs the steps of the network that compute them. Without `taps` it is the whole network."""

    spec: Scalar
    profile: Scalar | None
    taps: dict[str, Scalar]


@dataclass(frozen=True, slots=True, eq=False)
class BlockDecl:
    """A block: steps, or the `network` of a spec. One that came by `imports` sees its own arguments only.
    `adds_expect`: it has no body, but figures for the block of its name that a template or an import has."""

    name: str
    span: Span
    naming: str
    args: dict[str, ArgDecl]
    body: Body
    expect: Mapping | None = None
    imported: bool = False
    adds_expect: bool = False
    outputs: dict[str, OutputDecl] = field(default_factory=dict)
    network: NetworkUse | None = None

    @property
    def output_names(self) -> tuple[str, ...]:
        """The outputs that a call can keep beside its value."""
        return tuple(self.network.taps if self.network else self.outputs)


Defaults = dict[str, dict[str, Argument]]


@dataclass(frozen=True, slots=True, eq=False)
class ProfileDecl:
    """A version of a spec: values of arguments, defaults and blocks of its own. `model` is a library's id of
    it, `labels` the word for its classes' names, `preprocess` the given fields of its recipe for pictures."""

    name: str
    span: Span
    values: dict[str, Argument]
    defaults: Defaults
    blocks: dict[str, BlockDecl]
    model: str | None = None
    weights: tuple[str, ...] = ()  # released by the library for its model, its own default first
    labels: str = ""
    preprocess: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Entry] = field(default_factory=dict)  # keys of its own, over those of the spec
    constraints: tuple[Formula, ...] = ()  # besides those of the spec
    is_dropped: bool = False  # null, where one is inherited that means nothing here

    def changes(self) -> str:
        """Text of all that the profile changes in its spec: profiles of equal text have equal graphs."""
        values = {k: a.tree.plain() for k, a in self.values.items()}
        defaults = {t: {k: a.tree.plain() for k, a in v.items()} for t, v in self.defaults.items()}
        return repr((values, defaults, list(map(id, self.blocks.values()))))


class Edit(NamedTuple):
    """Steps that `replace` an inherited one, or stand `before` or `after` it. `step` is its name as it is
    written, or its op or block with a number where there are several."""

    how: str
    step: str
    span: Span
    body: Body


@dataclass(frozen=True, slots=True, eq=False)
class RuleDecl:
    """A way in which somebody counted layers: `says` in words, `count` as a formula over named constants."""

    name: str
    span: Span
    says: str
    constants: dict[str, int]
    count: Formula


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """The plain words at the top of a document."""

    kind: Literal["network", "template", "blocks", "space"] = "network"
    title: str | None = None
    paper: str | None = None
    departs: str | None = None
    repaired: str | None = None
    recommended: str | None = None
    extends: str | None = None
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class SpecDocument:
    """One file, parsed and validated by itself; what it extends and imports is not in it."""

    source: SourceFile
    header: Header
    tree: Mapping
    input: dict[str, Value] | Value | None
    args: dict[str, ArgDecl]
    values: dict[str, Argument]  # `with`
    constraints: tuple[Formula, ...]
    defaults: Defaults
    profiles: dict[str, ProfileDecl]
    blocks: dict[str, BlockDecl]
    graph: Body | None
    outputs: dict[str, OutputDecl]
    rules: dict[str, RuleDecl]
    expect: Mapping | None
    train: dict[str, Entry]  # each key as it is written, checked by itself
    edits: dict[str, tuple[Edit, ...]] = field(default_factory=dict)  # of `graph` and of blocks

    @property
    def every_constraint(self) -> tuple[Formula, ...]:
        """The constraints of the document and of its profiles."""
        return (*self.constraints, *(c for p in self.profiles.values() for c in p.constraints))

    def span_of(self, key: str) -> Span:
        """Span of the top-level `key`, or of the first key if there is no such one."""
        entry = self.tree.entries.get(key)
        return entry.key_span if entry else self.tree.span
