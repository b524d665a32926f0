"""Binding of calls: arguments, defaults and declarations make an op, or the environment of a block."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NoReturn

from pydantic import ValidationError

from archforge.errors import Diagnostic, DiagnosticError, Note, Span, did_you_mean, fail
from archforge.ir import ShapeError
from archforge.ops import OP_WORDS, op_class
from archforge.ops.base import Op
from archforge.spec.binding.environment import (
    NOTHING,
    ArgFrame,
    Env,
    Evaluated,
    Given,
    evaluate_argument,
)
from archforge.spec.binding.suggestions import argument_hint, target_hint
from archforge.spec.binding.tensors import POISON, Tensor
from archforge.spec.formulas.failures import MISTAKES, Poisoned, mistakes_in
from archforge.spec.formulas.formula import Formula, describe
from archforge.spec.syntax.syntax_tree import (
    CONSTANTS,
    MODIFIERS,
    Argument,
    BlockDecl,
    Call,
    Defaults,
    Value,
)
from archforge.spec.syntax.value_hints import value_hint
from archforge.spec.yaml.tree import Scalar

__all__ = [
    "OpCall",
    "as_attribute",
    "attribute_mistakes",
    "bind_block",
    "is_meant",
    "missing_argument",
    "refuse_bare",
    "shape_mistake",
    "unknown_argument",
    "unknown_output",
    "unknown_target",
]


def unknown_target(
    name: str, span: Span, blocks: Iterable[str], values: Iterable[str], given: Iterable[str] = ()
) -> Diagnostic:
    """The diagnostic for an op or block that does not exist. `values` are the names of formulas here, `given`
    the keys behind it."""
    hint = target_hint(name, [*OP_WORDS, *blocks], values, given)
    return Diagnostic("E0301", f"unknown op or block `{name}`", span, help=hint)


def unknown_argument(
    key: str, span: Span, target: str, known: Iterable[str], block: BlockDecl | None
) -> Diagnostic:
    """The diagnostic for an argument or attribute that `target` does not have."""
    notes = (Note(f"`{target}` is defined", block.span),) if block else ()
    message = f"`{target}` has no {'argument' if block else 'attribute'} `{key}`"
    if key in MODIFIERS and key != "in":  # which is a word for channels too
        hint = f"it stands beside the op: {{{target}: ..., {key}: ...}}"
    else:
        hint = argument_hint(key, known) if block or known else f"it takes none: {target}"
    return Diagnostic("E0306" if block else "E0406", message, span, help=hint, notes=notes)


def unknown_output(target: str, output: Scalar, known: Iterable[str], block: BlockDecl | None) -> Diagnostic:
    """The diagnostic for an output to keep that an op or block does not have."""
    notes = (Note(f"`{target}` is defined", block.span),) if block else ()
    names = sorted(known)
    hint = did_you_mean(output.value, names, what="it has")
    if not names:
        hint = "`as: NAME` keeps its value" + ("; `outputs` of the block name others" if block else "")
        if block and block.network:
            hint = f"taps of the network: {{network: ..., taps: {{{output.value}: STEP}}}}"
    message = f"{f'`{target}`' if target else 'this step'} has no output `{output.value}`"
    return Diagnostic("E0324", message, output.span, help=hint, notes=notes)


def missing_argument(name: str, target: str, span: Span, block: BlockDecl | None) -> Diagnostic:
    """The diagnostic for a required argument or attribute that a call does not give."""
    notes = (Note(f"`{target}` is defined", block.span),) if block else ()
    hint = f"{{{target}: {{{name}: ...}}}}"
    code = "E0307" if block else "E0407"
    return Diagnostic(code, f"`{target}` needs `{name}`", span, help=hint, notes=notes)


def is_meant(name: str, given: Iterable[str], known: Iterable[str]) -> bool:
    """True if one of the `given` keys that are not `known` is probably `name`, misspelled."""
    names = list(known)
    return any(f"`{name}`" in argument_hint(key, names) for key in given if key not in names)


def _given(
    call: Call, bare: Given | None, names: Sequence[str], target: str, *, is_first: bool
) -> dict[str, Given]:
    """Arguments of a call by name: those that it names, or `bare` for the first of `names`, or, if `bare` is
    a row, one for each name in it. Those of `first` win."""
    given: dict[str, Given] = dict(call.arguments.entries)
    if isinstance(bare, Evaluated) and isinstance(bare.value, dict):
        given |= {str(key): Evaluated(value, bare.span) for key, value in bare.value.items()}
    elif bare is not None and names:
        given[names[0]] = bare
    elif bare is not None:
        refuse_bare(target, bare.span)
    if is_first:
        given |= call.modifiers.first
    return given


def _bare_formula(call: Call) -> Argument | None:
    """The bare argument of a call if it is a formula, which may give a row."""
    bare = call.arguments.bare
    return bare if bare is not None and not bare.looks_like_steps and bare.value.is_formula else None


def refuse_bare(target: str, span: Span) -> NoReturn:
    """Raise E0308 for a value behind an op or block that takes none."""
    fail("E0308", f"`{target}` takes no argument", span, help=f"write `{target}` alone")


def _unknown(
    given: Mapping[str, Given], names: Collection[str], target: str, block: BlockDecl | None
) -> list[Diagnostic]:
    found = []
    for key, argument in given.items():
        if key in names:
            continue
        if isinstance(argument, Evaluated):
            message = f"the row has `{key}`, which `{target}` does not take"
            hint = did_you_mean(key, names, what="it takes")
            found.append(Diagnostic("E0306", message, argument.span, help=hint))
        else:
            found.append(unknown_argument(key, argument.key_span, target, names, block))
    return found


def bind_block(
    block: BlockDecl, call: Call, env: Env, spec: Env, defaults: Defaults, *, is_first: bool
) -> Env:
    """The environment of a block's body: all arguments bound. Raises what does not fit, together.

    spec: the spec's own scope, without `args`. `defaults` see it behind the block's arguments; so does the
    block, unless it is imported. A network sees its own arguments as those of a spec.
    """
    formula = _bare_formula(call)
    bare = Evaluated(formula.value.evaluate(env), formula.span) if formula else call.arguments.bare
    given = _given(call, bare, tuple(block.args), block.name, is_first=is_first)
    mistakes = _unknown(given, block.args, block.name, block)
    owner = f"`{block.name}`"
    fallback = defaults.get(block.name, {})
    values: dict[str, Any] = {}
    pending: dict[str, Callable[[], Any]] = {}
    frame = ArgFrame(values, pending, block.args, given)
    outer = Env(env.budget, env.x, env.x, {}, {}, frame, spec.spec)
    inner = Env(env.budget, env.x, env.x, {}, {}, frame, spec.args) if block.imported else outer
    if block.network is not None:
        inner = Env(env.budget, spec=frame)
    for name, decl in block.args.items():
        argument = given.get(name)
        default = fallback.get(name)
        if argument is not None:
            try:
                values[name] = evaluate_argument(decl, argument, env, owner)
            except MISTAKES as error:
                mistakes += mistakes_in(error)
                values[name] = POISON
        elif default is not None:
            pending[name] = partial(evaluate_argument, decl, default, outer, owner)
        elif decl.default is not None:
            pending[name] = partial(evaluate_argument, decl, decl.default, inner, owner)
        elif not decl.required:
            values[name] = None
        else:
            values[name] = POISON
            if not is_meant(name, given, block.args):
                mistakes.append(missing_argument(name, block.name, call.span, block))
    mistakes += [] if mistakes else frame.settle()
    if mistakes:
        raise DiagnosticError(tuple(mistakes))
    return inner


class _WrittenAttributes:
    """Attributes that a call and the defaults write: `constants`, and those that are `computed` at each use,
    with True for those that see the names of the call, not of the spec.

    bare: the attribute that the bare formula of the call stands for, if there is one.
    """

    def __init__(
        self,
        names: Collection[str],
        given: Mapping[str, Given],
        defaults: Mapping[str, Argument],
        formula: Argument | None,
        unknown: list[Diagnostic],
    ) -> None:
        self.given, self.unknown = given, unknown
        self.arguments = {name: a for name, a in {**defaults, **given}.items() if name in names}
        self.bare: str | None = None
        self.constants: dict[str, Any] = {}
        self.computed: list[tuple[str, Value | Evaluated, bool]] = []
        for name, argument in self.arguments.items():
            content = argument if isinstance(argument, Evaluated) else argument.value
            if argument is formula:
                self.bare = name
            elif isinstance(content, Evaluated) or not content.is_constant:
                self.computed.append((name, content, name in given))
            else:
                self.constants[name] = as_attribute(content.evaluate(NOTHING))


class OpCall:
    """A call of an op, read once. `written` is what its arguments and the defaults say, where a bare formula
    stands for one attribute; where that gives a row, the call is read anew with the row."""

    def __init__(self, kind: str, call: Call, defaults: Defaults, *, is_first: bool) -> None:
        self.kind, self.op = kind, op_class(kind)
        self.call, self.is_first = call, is_first
        self.defaults = defaults.get(self.op.op, {})
        self.formula = _bare_formula(call)
        self.written = self._read(call.arguments.bare)
        self.bound: Op | None = None  # one for all uses, where nothing is computed

    def _read(self, bare: Given | None) -> _WrittenAttributes:
        names = self.op.attribute_names()
        given = _given(self.call, bare, names, self.kind, is_first=self.is_first)
        unknown = _unknown(given, names, self.kind, None)
        return _WrittenAttributes(names, given, self.defaults, self.formula, unknown)

    def bind(self, env: Env, spec: Env) -> Op:
        """The op with its attributes. Raises all that do not fit, each at its own place."""
        if self.bound is not None:
            return self.bound
        written = self.written
        values = dict(written.constants)
        if self.formula is not None:
            value = self.formula.value.evaluate(env)
            if isinstance(value, dict):
                written = self._read(Evaluated(value, self.formula.span))
                values = dict(written.constants)
            elif written.bare is not None:
                values[written.bare] = as_attribute(value)
        mistakes = list(written.unknown)
        for name, content, own in written.computed:
            try:
                values[name] = as_attribute(content.evaluate(env if own else spec.at(env.x)))
            except MISTAKES as error:
                mistakes += mistakes_in(error)
        try:
            op = _made(self.op, values)
        except ValidationError as error:
            mistakes += self._refused(error, written, values, env)
        if mistakes:
            raise DiagnosticError(tuple(mistakes))
        if len(values) < len(written.arguments):
            raise Poisoned
        if not written.computed and self.formula is None:
            self.bound = op
        return op

    def _refused(
        self, error: ValidationError, written: _WrittenAttributes, values: Mapping[str, Any], env: Env
    ) -> Iterator[Diagnostic]:
        """Diagnostics for attributes that do not fit, with what the names in their formulas are."""
        spans = {name: argument.span for name, argument in written.arguments.items()}
        present = (*written.given, *spans)
        for found in attribute_mistakes(
            self.op, error, values, spans, self.call.span, given=present, names=env.names
        ):
            formula = next((_formula(a) for a in written.given.values() if a.span is found.span), None)
            notes = tuple(env.origins(formula)) if formula else ()
            yield replace(found, notes=(*found.notes, *notes))


def _made(cls: type[Op], values: dict[str, Any]) -> Op:
    """The op of these attributes. Raises ValidationError.

    Equal ops are one object, so that what is reckoned for one holds for all; lists are left alone, since
    inside them True would pass for 1.
    """
    return _op(cls, **values) if CONSTANTS.issuperset(map(type, values.values())) else cls(**values)


@lru_cache(maxsize=4096, typed=True)
def _op(cls: type[Op], **values: Any) -> Op:
    return cls(**values)


def _formula(argument: Given | None) -> Formula | None:
    content = argument.value.content if isinstance(argument, Argument) else None
    return content if isinstance(content, Formula) else None


def as_attribute(value: Any) -> Any:
    """Value of an attribute: lists become tuples. Raises `Poisoned`."""
    if value is POISON:
        raise Poisoned
    return tuple(map(as_attribute, value)) if isinstance(value, list) else value


def attribute_mistakes(
    cls: type[Op],
    error: ValidationError,
    values: Mapping[str, Any],
    spans: Mapping[str, Span],
    call: Span,
    *,
    given: Iterable[str],
    names: Callable[[], Iterable[str]],
) -> list[Diagnostic]:
    """Diagnostics (E0404, E0407) for values that pydantic refused, in the words of their descriptions.

    given: the attributes that are written, some perhaps without a value. names: gives what a
    formula could have used.
    """
    found: list[Diagnostic] = []
    for name in dict.fromkeys(str(e["loc"][0]) for e in error.errors()):
        if name in values:
            expected = cls.model_fields[name].description or "of another kind"
            message = f"`{name}` of `{cls.op}` is {expected}, found {describe(values[name])}"
            hint = _by_name(cls, name, values[name])
            hint = hint or value_hint(values[name], expected, names(), spans[name].text)
            found.append(Diagnostic("E0404", message, spans[name], help=hint))
        elif name not in given and not is_meant(name, given, cls.model_fields):
            found.append(missing_argument(name, cls.op, call, None))
    return found


def _by_name(cls: type[Op], name: str, value: Any) -> str:
    """Suggestion where a list gives several attributes to the first one, which takes a single value."""
    names = cls.attribute_names()
    is_list = isinstance(value, tuple) and 1 < len(value) <= len(names)
    if name != names[0] or not is_list or "list" in (cls.model_fields[name].description or ""):
        return ""
    if all(isinstance(v, dict) for v in value):
        given = [f"{key}: {describe(v)}" for part in value for key, v in part.items()]
        return f"one mapping, no list: {{{cls.op}: {{{', '.join(given)}}}}}"
    if not all(isinstance(v, int | float) for v in value):
        return ""
    pairs = ", ".join(f"{key}: {describe(v)}" for key, v in zip(names, value, strict=False))
    return f"by name: {{{cls.op}: {{{pairs}}}}}"


def shape_mistake(
    op: Op, error: ShapeError, span: Span, values: tuple[Tensor, ...], env: Env, call: OpCall | None
) -> Diagnostic:
    """A shape that does not fit, at the attribute that says so, with where its values came from."""
    notes: list[Note] = []
    if call is not None and error.attribute in call.written.arguments:
        argument = call.written.arguments[error.attribute]
        if error.attribute in call.written.given:
            span = argument.span
            formula = _formula(argument)
            notes += env.origins(formula) if formula else ()
        else:
            notes.append(Note(f"`{error.attribute}` comes from the defaults", argument.span))
    if len(values) == 1:
        draft, shape = values[0].draft, values[0].type
        source = f"from `{draft.kind}`" if draft else f"`{values[0].input_name}` of the graph"
        notes.append(Note(f"the input is {shape}, {source}", draft.span if draft else None))
    return Diagnostic(
        error.code, error.message, span, error.label, error.help, tuple(notes), mended_by=error.mended_by
    )
