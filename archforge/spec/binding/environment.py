"""Environments: the names that formulas see while a graph is expanded, and the arguments among them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from archforge.errors import Diagnostic, DiagnosticError, Note, Span, fail
from archforge.spec import limits
from archforge.spec.binding.tensors import POISON, Tensor
from archforge.spec.formulas.failures import MISTAKES, LimitError, Poisoned, mistakes_in
from archforge.spec.formulas.formula import Formula, Namespace, describe
from archforge.spec.syntax.inner_steps import steps_of
from archforge.spec.syntax.syntax_tree import ArgDecl, Argument, Body
from archforge.spec.syntax.value_hints import value_hint
from archforge.spec.yaml.tree import is_null

__all__ = [
    "NOTHING",
    "NO_ARGS",
    "ArgFrame",
    "Budget",
    "Env",
    "Evaluated",
    "Given",
    "KnownNames",
    "Steps",
    "check_kind",
    "evaluate_argument",
]


@dataclass(slots=True)
class Budget:
    """Work that may still be done for a spec, all its profiles and cases together: `steps` of graphs with
    their arguments, `nodes`, and `items` that formulas go through; `draws` are items that draws of a space
    go through."""

    steps: int = limits.ALL_STEPS.most
    nodes: int = limits.ALL_NODES.most
    items: int = limits.ALL_ITEMS.most
    search: int = 50_000  # steps in the search for a least input
    draws: int = limits.ALL_DRAWN.most

    def spend(self, items: int, span: Span) -> None:
        """Count items that what stands at `span` goes through. Raises `LimitError`."""
        self.items -= items
        if self.items < 0:
            raise LimitError(Diagnostic(limits.ALL_ITEMS.code, limits.ALL_ITEMS.told(), span))


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Steps as the value of an argument; they see the names of the place where they are written."""

    body: Body
    env: Env

    def __str__(self) -> str:
        return "steps"


class Evaluated(NamedTuple):
    """An argument whose value is known: the value of a bare formula, or one of a row."""

    value: Any
    span: Span

    def evaluate(self, names: Namespace) -> Any:
        return self.value


Given = Argument | Evaluated


class ArgFrame:
    """Arguments of one call. Those that are pending are evaluated when first asked for, since a default may
    use other arguments in any order. `given` holds the arguments that the call itself gives."""

    def __init__(
        self,
        values: dict[str, Any],
        pending: dict[str, Callable[[], Any]],
        decls: Mapping[str, ArgDecl],
        given: Mapping[str, Given] | None = None,
    ) -> None:
        self.values = values
        self.pending = pending
        self.decls = decls
        self.given = given or {}
        self._running: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self.values or name in self.pending

    def __iter__(self) -> Iterator[str]:
        return iter((*self.values, *self.pending))

    def __getitem__(self, name: str) -> Any:
        """Value of an argument. A mistake in it is raised once; later it is poison."""
        if name in self.values:
            return self.values[name]
        if name in self._running:
            self._fail_circle(name)
        if len(self._running) >= limits.ARGUMENT_CHAIN.most:
            limits.ARGUMENT_CHAIN.refuse(self.decls[name].span)
        self._running.append(name)
        try:
            self.values[name] = self.pending[name]()
        except (DiagnosticError, Poisoned):
            self.values[name] = POISON
            raise
        finally:
            self._running.pop()
        return self.values[name]

    def _fail_circle(self, name: str) -> None:
        circle = self._running[self._running.index(name) :]
        message = "arguments need each other: " + " -> ".join(f"`{n}`" for n in (*circle, name))
        notes = [Note(f"`{n}` is declared", self.decls[n].span) for n in circle[1:]]
        fail("E0320", message, self.decls[name].span, help="give one of them a value of its own", notes=notes)

    def settle(self) -> list[Diagnostic]:
        """Evaluate all that is pending, and return the mistakes that were not raised before."""
        found: list[Diagnostic] = []
        for name in self.pending:
            try:
                self[name]
            except MISTAKES as error:
                found += mistakes_in(error)
        # What was pending holds the scope that holds it; without it all goes when the last user does.
        self.pending.clear()
        return found


NO_ARGS = ArgFrame({}, {}, {})


@dataclass(slots=True, eq=False)  # one is made at every step: a frozen one would take twice as long
class Env:
    """The names that a formula sees, innermost first: loop variables, taps and lets of the body,
    the block's arguments, the spec's. `x` is the current value, `input` what the body received."""

    budget: Budget
    x: Tensor | None = None
    input: Tensor | None = None
    loop: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    args: ArgFrame = NO_ARGS
    spec: ArgFrame = NO_ARGS

    def lookup(self, name: str) -> Any:
        if name == "x" and self.x is not None:
            return self.x
        if name == "input" and self.input is not None:
            return self.input
        for layer in (self.loop, self.body, self.args.values, self.spec.values, self.args, self.spec):
            if name in layer:
                value = layer[name]
                if value is POISON:
                    raise Poisoned
                return value
        raise KeyError(name)

    def names(self) -> Iterable[str]:
        own = [n for n, v in (("x", self.x), ("input", self.input)) if v is not None]
        return (*self.loop, *self.body, *self.args, *self.spec, *own)

    def spend(self, items: int, span: Span) -> None:
        self.budget.spend(items, span)

    def origins(self, formula: Formula) -> Iterator[Note]:
        """Notes on the arguments that a formula reads: their values, and where these were given."""
        for name, _ in dict.fromkeys(formula.names):
            frame = next((f for f in (self.args, self.spec) if name in f), None)
            if frame is not None and not (name in self.loop or name in self.body):
                span = frame.given[name].span if name in frame.given else frame.decls[name].span
                yield Note(f"`{name}` is {describe(frame[name])}", span)

    def at(self, x: Tensor | None) -> Env:
        """Environment with the same names, where `x` is the current value."""
        return (
            self
            if x is self.x
            else Env(self.budget, x, self.input, self.loop, self.body, self.args, self.spec)
        )

    def looping(self, **variables: Any) -> Env:
        """Environment with loop variables in front of the same names."""
        loop = self.loop | variables
        return Env(self.budget, self.x, self.input, loop, self.body, self.args, self.spec)


@dataclass(frozen=True, slots=True)
class KnownNames:
    """Names whose values are known, as a formula sees them."""

    values: Mapping[str, Any]
    budget: Budget

    def lookup(self, name: str) -> Any:
        return self.values[name]

    def names(self) -> Iterable[str]:
        return self.values

    def spend(self, items: int, span: Span) -> None:
        self.budget.spend(items, span)


# The environment of constants, of which a file holds only so many.
NOTHING = Env(Budget(items=sys.maxsize))


_KIND_TESTS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "int": (lambda v: type(v) is int, "a whole number"),
    "float": (lambda v: type(v) in (int, float), "a number"),
    "bool": (lambda v: type(v) is bool, "true or false"),
    "str": (lambda v: isinstance(v, str), "a text"),
    "list": (lambda v: isinstance(v, list), "a list"),
    "tensor": (lambda v: isinstance(v, Tensor), "a value such as a tap"),
    "steps": (lambda v: v is None or isinstance(v, Steps | list | str), "steps"),
}


def check_kind(
    decl: ArgDecl, value: Any, span: Span, owner: str, known: Callable[[], Iterable[str]] = tuple
) -> Any:
    """Return `value` if the declaration takes it. Raises E0308. `known` gives names that it might mean."""
    if decl.kind is None or value is POISON:
        return value
    test, expected = _KIND_TESTS[decl.kind]
    if not test(value):
        message = f"`{decl.name}` of {owner} is {expected}, found {describe(value)}"
        notes = () if decl.span is span else (Note(f"`{decl.name}` is declared", decl.span),)
        fail("E0308", message, span, help=value_hint(value, expected, known(), span.text), notes=notes)
    return value


def evaluate_argument(decl: ArgDecl, argument: Given, env: Env, owner: str) -> Any:
    """The value of an argument in the scope where it is written, of the declared kind."""
    if isinstance(argument, Evaluated):
        return check_kind(decl, argument.value, argument.span, owner, env.names)
    if argument.looks_like_steps or (decl.takes_steps and not argument.value.is_formula):
        value: Any = None if is_null(argument.tree) else Steps(steps_of(argument), env)
    else:
        value = argument.value.evaluate(env)
    return check_kind(decl, value, argument.tree.span, owner, env.names)
