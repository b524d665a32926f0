"""Arguments of a call, from the call, the defaults and the declaration, to a bound op or block."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError

from archforge.errors import Diagnostic, DiagnosticError, Note, Span, did_you_mean, fail
from archforge.ops import all_ops
from archforge.ops.base import Op
from archforge.spec.formula import describe
from archforge.spec.scopes import ArgFrame, Env, Steps, Tensor, check_kind, evaluate_argument
from archforge.spec.syntax import ArgDecl, Argument, BlockDecl, Call, Defaults

__all__ = ["bind_block", "bind_op", "missing_argument", "unknown_argument"]

Given = dict[str, tuple[Any, Span]]


def unknown_argument(
    argument: Argument, target: str, known: Iterable[str], block: BlockDecl | None
) -> Diagnostic:
    """The diagnostic for an argument or attribute that `target` does not have."""
    notes = (Note(f"`{target}` is defined", block.span),) if block else ()
    return Diagnostic(
        "E0306" if block else "E0406",
        f"`{target}` has no {'argument' if block else 'attribute'} `{argument.key}`",
        argument.key_span,
        help=did_you_mean(argument.key, known, what="it has"),
        notes=notes,
    )


def missing_argument(name: str, target: str, span: Span, block: BlockDecl | None) -> Diagnostic:
    """The diagnostic for a required argument or attribute that a call does not give."""
    notes = (Note(f"`{target}` is defined", block.span),) if block else ()
    return Diagnostic(
        "E0307" if block else "E0407",
        f"`{target}` needs `{name}`",
        span,
        help=f"{{{target}: {{{name}: ...}}}}",
        notes=notes,
    )


def _entries(
    call: Call, is_first: bool, names: list[str], target: str, env: Env
) -> dict[str, Argument | Any]:
    """What the call gives by name: arguments, a bare value for the first name, or a row's values."""
    given: dict[str, Any] = dict(call.arguments.entries)
    bare = call.arguments.bare
    if bare is not None:
        row = None
        if bare.value.is_formula if not bare.looks_like_steps else False:
            row = bare.value.evaluate(env)
        if isinstance(row, dict):
            given = {key: _Evaluated(value, bare.tree.span) for key, value in row.items()}
            for key in row:
                if key not in names:
                    fail(
                        "E0306",
                        f"the row has `{key}`, which `{target}` does not take",
                        bare.tree.span,
                        help=did_you_mean(key, names, what="it takes"),
                    )
        elif not names:
            fail("E0308", f"`{target}` takes no argument", bare.tree.span, help=target)
        else:
            given = {names[0]: Argument(names[0], bare.key_span, bare.tree)}
    if is_first:
        given |= call.modifiers.first
    return given


class _Evaluated:
    """A value that came by a row."""

    def __init__(self, value: Any, span: Span) -> None:
        self.value, self.span = value, span


def bind_block(
    block: BlockDecl, call: Call, env: Env, spec: ArgFrame, defaults: Defaults, *, is_first: bool
) -> Env:
    """The environment of a block's body: all arguments bound. Raises what does not fit, together."""
    given = _entries(call, is_first, list(block.args), block.name, env)
    mistakes = [
        unknown_argument(a, block.name, block.args, block) for k, a in given.items() if k not in block.args
    ]
    owner = f"`{block.name}`"
    values: dict[str, Any] = {}
    pending: dict[str, Callable[[], Any]] = {}
    visible = ArgFrame({}, {}) if block.imported else spec
    inner = Env(env.budget, env.x, env.x, {}, {}, ArgFrame(values, pending), visible)
    for name, decl in block.args.items():
        argument = given.get(name)
        fallback = defaults.get(block.name, {}).get(name) or decl.default
        if isinstance(argument, _Evaluated):
            values[name] = check_kind(decl, argument.value, argument.span, owner)
        elif argument is not None:
            try:
                values[name] = evaluate_argument(decl, argument, env, owner)
            except DiagnosticError as error:
                mistakes += error.diagnostics
        elif fallback is not None:
            pending[name] = _later(decl, fallback, inner, owner)
        elif decl.required:
            mistakes.append(missing_argument(name, block.name, call.span, block))
        else:
            values[name] = None
    if mistakes:
        raise DiagnosticError(tuple(mistakes))
    inner.args.settle()
    return inner


def _later(decl: ArgDecl, argument: Argument, env: Env, owner: str) -> Callable[[], Any]:
    return lambda: evaluate_argument(decl, argument, env, owner)


def bind_op(kind: str, call: Call, env: Env, defaults: Defaults, *, is_first: bool) -> Op:
    """The op with its attributes. Raises all that do not fit, each at its own place."""
    cls = all_ops()[kind]
    names = list(cls.model_fields)
    given = _entries(call, is_first, names, kind, env)
    mistakes = [unknown_argument(a, kind, names, None) for k, a in given.items() if k not in names]
    values: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    for source in (given, {k: a for k, a in defaults.get(kind, {}).items() if k not in given}):
        for name, argument in source.items():
            if name not in names:
                continue
            try:
                if isinstance(argument, _Evaluated):
                    values[name], spans[name] = _tuples(argument.value), argument.span
                else:
                    values[name] = _tuples(argument.value.evaluate(env))
                    spans[name] = argument.tree.span
            except DiagnosticError as error:
                mistakes += error.diagnostics
    if not mistakes:
        try:
            return cls(**values)
        except ValidationError as error:
            mistakes = _mistakes(cls, error, values, spans, call.span)
    raise DiagnosticError(tuple(mistakes))


def _tuples(value: Any) -> Any:
    """Lists as tuples, as attributes are kept."""
    if isinstance(value, list):
        return tuple(map(_tuples, value))
    if isinstance(value, Tensor):
        value.attribute("shape")  # stops quietly behind a mistake
        return value
    return value


def _mistakes(
    cls: type[Op], error: ValidationError, values: dict[str, Any], spans: dict[str, Span], call: Span
) -> list[Diagnostic]:
    """One diagnostic for each attribute that pydantic refuses, in the words of its description."""
    found: list[Diagnostic] = []
    for name in dict.fromkeys(str(e["loc"][0]) for e in error.errors()):
        if name not in values:
            found.append(missing_argument(name, cls.op, call, None))
            continue
        value = values[name]
        expected = cls.model_fields[name].description or "of another kind"
        hint = (
            "// divides to a whole number" if isinstance(value, float) and "whole number" in expected else ""
        )
        if isinstance(value, Steps):
            hint = "this attribute takes no steps"
        message = f"`{name}` of `{cls.op}` is {expected}, found {describe(value)}"
        found.append(Diagnostic("E0404", message, spans[name], help=hint))
    return found
