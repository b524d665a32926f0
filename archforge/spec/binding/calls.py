"""Binding of calls: arguments, defaults and declarations make an op, or the environment of a block."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NoReturn

from pydantic import ValidationError

from archforge.errors import Diagnostic, DiagnosticError, Note, Span, did_you_mean, fail
from archforge.ir import ShapeError
from archforge.ops import all_ops
from archforge.ops.base import Op
from archforge.spec.binding.environment import NO_ARGS, ArgFrame, Env, check_kind, evaluate_argument
from archforge.spec.binding.suggestions import argument_hint, target_hint, value_hint
from archforge.spec.binding.tensors import POISON, Tensor
from archforge.spec.formulas.formula import Formula, LimitError, Poisoned, describe
from archforge.spec.syntax.syntax_tree import CONSTANTS, MODIFIERS, Argument, BlockDecl, Call, Defaults

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
    "unknown_target",
]


def unknown_target(name: str, span: Span, blocks: Iterable[str], values: Iterable[str]) -> Diagnostic:
    """The diagnostic for an op or block that does not exist. `values` are the names of formulas here."""
    hint = target_hint(name, [*all_ops(), *blocks], values)
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


class _Evaluated:
    """A value that came by a row."""

    def __init__(self, value: Any, span: Span) -> None:
        self.value, self.span = value, span


def _entries(
    call: Call, is_first: bool, names: Sequence[str], target: str, env: Env
) -> dict[str, Argument | _Evaluated]:
    """What the call gives by name: arguments, a bare value for the first name, or a row's values."""
    given: dict[str, Argument | _Evaluated] = dict(call.arguments.entries)
    bare = call.arguments.bare
    if bare is not None:
        row = None if bare.looks_like_steps or not bare.value.is_formula else bare.value.evaluate(env)
        if isinstance(row, Mapping):
            given |= {str(key): _Evaluated(value, bare.tree.span) for key, value in row.items()}
        elif names:
            given[names[0]] = bare  # the same one for each call: its formula is parsed once
        else:
            refuse_bare(target, bare)
    if is_first:
        given |= call.modifiers.first
    return given


def refuse_bare(target: str, bare: Argument) -> NoReturn:
    """Raise E0308 for a value behind an op or block that takes none."""
    fail("E0308", f"`{target}` takes no argument", bare.tree.span, help=f"write `{target}` alone")


def _unknown(
    given: Mapping[str, Argument | _Evaluated], names: Collection[str], target: str, block: BlockDecl | None
) -> list[Diagnostic]:
    found = []
    for key, argument in given.items():
        if key in names:
            continue
        if isinstance(argument, _Evaluated):
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

    spec: the spec's own scope. `defaults` see it behind the block's arguments; so does the block,
    unless it is imported.
    """
    given = _entries(call, is_first, tuple(block.args), block.name, env)
    mistakes = _unknown(given, block.args, block.name, block)
    owner = f"`{block.name}`"
    fallback = defaults.get(block.name, {})
    values: dict[str, Any] = {}
    pending: dict[str, Callable[[], Any]] = {}
    frame = ArgFrame(values, pending, block.args, given)
    outer = Env(env.budget, env.x, env.x, {}, {}, frame, spec.spec)
    inner = Env(env.budget, env.x, env.x, {}, {}, frame, NO_ARGS) if block.imported else outer
    for name, decl in block.args.items():
        argument = given.get(name)
        default = fallback.get(name)
        try:
            if isinstance(argument, _Evaluated):
                values[name] = check_kind(decl, argument.value, argument.span, owner)
            elif argument is not None:
                values[name] = evaluate_argument(decl, argument, env, owner)
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
        except LimitError:
            raise
        except DiagnosticError as error:
            mistakes += error.diagnostics
        except Poisoned:
            values[name] = POISON
    mistakes += [] if mistakes else frame.settle()
    if mistakes:
        raise DiagnosticError(tuple(mistakes))
    return inner


class OpCall:
    """A call of an op, read once: the attributes that it and the defaults write out, and the others."""

    def __init__(self, kind: str, call: Call, defaults: Defaults, *, is_first: bool) -> None:
        self.kind, self.call, self.defaults, self.is_first = kind, call, defaults, is_first
        given = dict(call.arguments.entries)
        if call.arguments.bare is not None:
            first, *_ = (*all_ops()[kind].attribute_names(), "")  # of an op that takes none: refused
            given[first] = call.arguments.bare
        if is_first:
            given |= call.modifiers.first
        written = {name: (a.value, name in given) for name, a in (defaults.get(kind, {}) | given).items()}
        self.constants = {name: v.content for name, (v, _) in written.items() if v.is_constant}
        self.others = [(name, v, own) for name, (v, own) in written.items() if not v.is_constant]
        self.bound: Op | None = None  # one for all uses, where nothing is computed

    def bind(self, env: Env, spec: Env) -> Op:
        """The op with its attributes. Raises all that do not fit, each at its own place."""
        if self.bound is not None:
            return self.bound
        values = dict(self.constants)
        try:
            for name, value, own in self.others:
                values[name] = as_attribute(value.evaluate(env if own else spec.at(env.x)))
            op = _made(all_ops()[self.kind], values)
        except LimitError:
            raise
        except (DiagnosticError, Poisoned, ValidationError):  # or a row of several attributes
            return _bind_op(self.kind, self.call, env, spec, self.defaults, is_first=self.is_first)
        if not self.others:
            self.bound = op
        return op


def _bind_op(kind: str, call: Call, env: Env, spec: Env, defaults: Defaults, *, is_first: bool) -> Op:
    """The op with its attributes. Raises all that do not fit, each at its own place."""
    cls = all_ops()[kind]
    names = cls.attribute_names()
    given = _entries(call, is_first, names, kind, env)
    mistakes = _unknown(given, names, kind, None)
    values: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    poisoned = False
    fallback = defaults.get(kind, {})
    for name in (*given, *fallback):
        argument = given.get(name) or fallback[name]
        if name not in names or name in spans:
            continue
        spans[name] = argument.span if isinstance(argument, _Evaluated) else argument.tree.span
        try:
            values[name] = _attribute(argument, env if name in given else spec.at(env.x))
        except LimitError:
            raise
        except DiagnosticError as error:
            mistakes += error.diagnostics
        except Poisoned:
            poisoned = True
    try:
        op = _made(cls, values)
    except ValidationError as error:
        written = (*given, *spans)
        found = attribute_mistakes(cls, error, values, spans, call.span, given=written, names=env.names)
        formulas = {spans[name]: _formula(given.get(name)) for name in values}
        mistakes += [_with_origins(d, formulas.get(d.span) if d.span else None, env) for d in found]
    if mistakes:
        raise DiagnosticError(tuple(mistakes))
    if poisoned:
        raise Poisoned
    return op


def _made(cls: type[Op], values: dict[str, Any]) -> Op:
    """The op of these attributes. Raises ValidationError.

    Equal ops are one object, so that what is reckoned for one holds for all; lists are left alone, since
    inside them True would pass for 1.
    """
    return _op(cls, **values) if CONSTANTS.issuperset(map(type, values.values())) else cls(**values)


@lru_cache(maxsize=4096, typed=True)
def _op(cls: type[Op], **values: Any) -> Op:
    return cls(**values)


def _formula(argument: Argument | _Evaluated | None) -> Formula | None:
    content = argument.value.content if isinstance(argument, Argument) else None
    return content if isinstance(content, Formula) else None


def _with_origins(diagnostic: Diagnostic, formula: Formula | None, env: Env) -> Diagnostic:
    """The same, with what the arguments in the formula are and where they were given."""
    notes = tuple(env.origins(formula)) if formula else ()
    return replace(diagnostic, notes=(*diagnostic.notes, *notes))


def _attribute(argument: Argument | _Evaluated, env: Env) -> Any:
    return as_attribute(argument.value if isinstance(argument, _Evaluated) else argument.value.evaluate(env))


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
            hint = value_hint(values[name], expected, names())
            found.append(Diagnostic("E0404", message, spans[name], help=hint))
        elif name not in given and not is_meant(name, given, cls.model_fields):
            found.append(missing_argument(name, cls.op, call, None))
    return found


def shape_mistake(
    op: Op, error: ShapeError, call: Call, values: tuple[Tensor, ...], env: Env, defaults: Defaults
) -> Diagnostic:
    """A shape that does not fit, at the attribute that says so, with where its values came from."""
    span = call.span
    notes: list[Note] = []
    attribute = error.attribute
    if attribute:
        written = call.modifiers.first.get(attribute) or call.arguments.entries.get(attribute)
        if written is None and attribute == next(iter(type(op).model_fields)):
            written = call.arguments.bare
        default = defaults.get(op.kind, {}).get(attribute)
        formula = _formula(written)
        if written is not None:
            span = written.tree.span
            notes += env.origins(formula) if formula else ()
        elif default is not None:
            notes.append(Note(f"`{attribute}` comes from the defaults", default.tree.span))
    if len(values) == 1:
        draft, shape = values[0].draft, values[0].type
        source = f"from `{draft.kind}`" if draft else f"`{values[0].input_name}` of the graph"
        notes.append(Note(f"the input is {shape}, {source}", draft.span if draft else None))
    return Diagnostic(error.code, error.message, span, error.label, error.help, tuple(notes))
