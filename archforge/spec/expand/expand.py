"""Expansion of a spec to a typed graph: arguments and inputs are bound, steps walked, outputs named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from operator import index
from types import MappingProxyType
from typing import Any, NamedTuple, SupportsIndex

from archforge.errors import Diagnostic, DiagnosticError, Note, Span, did_you_mean, fail, fail_all
from archforge.ir import TensorType, TypedGraph, by_x
from archforge.ops import OP_WORDS
from archforge.spec import limits
from archforge.spec.binding.environment import ArgFrame, Budget, Env, Evaluated, Given, evaluate_argument
from archforge.spec.binding.tensors import POISON, Draft, Tensor
from archforge.spec.expand.assemble import ScopeDraft, assemble
from archforge.spec.expand.graph_warnings import (
    attention_in_maps,
    foreign_axes,
    nothing_shared,
    unread_values,
    unshared,
    untaken_defaults,
)
from archforge.spec.expand.least_input import inputs_nearby, least_input
from archforge.spec.expand.naming import NameScope, assign_names
from archforge.spec.expand.settings import set_arguments, set_defaults, setting_texts
from archforge.spec.expand.walk import At, Walk
from archforge.spec.formulas.failures import MISTAKES, LimitError, mistakes_in
from archforge.spec.formulas.formula import describe
from archforge.spec.resolve.defaults import merge_defaults
from archforge.spec.resolve.network_blocks import refuse_part
from archforge.spec.resolve.spec import Spec
from archforge.spec.syntax.syntax_tree import Argument, ProfileDecl, Value

__all__ = ["Expansion", "FoldedExpansion", "arguments_of", "expand", "expand_folded"]

_SHAPE_CODES = ("E0401", "E0403", "E0405")

InputShape = Sequence[int] | Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True, eq=False)
class Expansion:
    """A typed graph with what `expect` formulas may ask for: argument values and calls of each block.
    `warnings` are of what shows as it is expanded, also those that are meant."""

    spec: Spec
    profile: str
    graph: TypedGraph
    args: Mapping[str, Any]
    uses: Mapping[str, int]  # calls of a block that left at least one op
    blocks: frozenset[str]
    settings: Mapping[str, Argument]  # what a caller gave: of arguments, and defaults as `bn.eps`
    input_shape: InputShape | None  # that a caller gave
    budget: Budget  # what is left of it
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def setting_texts(self) -> tuple[str, ...]:
        """Texts of the settings, each `NAME=VALUE`."""
        return setting_texts(self.settings)

    @property
    def is_changed(self) -> bool:
        """True if a caller gave settings or an input that may differ from those of the profile."""
        return bool(self.settings) or self.input_shape is not None


def expand(
    spec: Spec,
    profile: str | None = None,
    settings: Mapping[str, Argument] | None = None,
    input_shape: InputShape | None = None,
    budget: Budget | None = None,
    *,
    walk: Callable[..., Walk] = Walk,
) -> Expansion:
    """The graph of one profile. `settings` (`--set`) win over every other value of an argument, and over the
    defaults of the profile and the spec. The `budget` may be that of several graphs together; by default it
    is one of its own. walk: makes the walk, perhaps one that remembers more.

    Raises all mistakes that can be found, in the order of their places.
    """
    if spec.graph is None or spec.header.kind != "network":
        raise DiagnosticError((refuse_part(spec),))
    expander = _Expander(spec, spec.profile(profile), settings or {}, budget or Budget(), walk)
    try:
        return expander.run(input_shape)
    except DiagnosticError as error:
        if len({d.mended_by for d in error.diagnostics}) == 1 and error.diagnostics[0].mended_by:
            raise DiagnosticError(tuple(_with_inputs_that_fit(error.diagnostics, expander))) from None
        raise


class FoldedExpansion(NamedTuple):
    """A walk over a graph whose nodes have no names: the drafts of its nodes, where a block that is called
    again with equal arguments on a value of the same type is one, its outputs, and the spec's arguments."""

    drafts: tuple[Draft, ...]
    outputs: Mapping[str, Tensor]
    args: Mapping[str, Any]


def expand_folded(
    spec: Spec,
    profile: ProfileDecl,
    settings: Mapping[str, Argument],
    input_shape: InputShape | None,
    drawn: Mapping[str, Evaluated],
    budget: Budget | None = None,
) -> FoldedExpansion | None:
    """The nodes of one sample of a space, for counting them; None where steps share parameters, which takes
    their names. `drawn` has the values of arguments that are ranges.

    Raises the mistakes of `expand`, but for those of names.
    """
    return _Expander(spec, profile, settings, budget or Budget(), drawn=drawn).folded(input_shape)


def arguments_of(
    spec: Spec,
    profile: ProfileDecl,
    set: Mapping[str, Argument],
    budget: Budget,
    drawn: Mapping[str, Evaluated],
) -> Env:
    """The environment of a spec's arguments, none of them evaluated: the `drawn` ones win over those that a
    caller has `set`, these over the profile's. A range that is not drawn has no value."""
    values: dict[str, Any] = {}
    pending: dict[str, Callable[[], Any]] = {}
    given: dict[str, Given] = {**spec.values, **profile.values, **set, **drawn}
    env = Env(budget, spec=ArgFrame(values, pending, spec.args, given))
    owner = f"`{spec.name}`"
    for name, decl in spec.args.items():
        argument = given.get(name) or decl.default
        if argument is None:
            values[name] = POISON if decl.required else None
        elif isinstance(argument, Argument) and argument.is_range:
            values[name] = POISON
        else:
            pending[name] = partial(evaluate_argument, decl, argument, env, owner)
    return env


def _with_inputs_that_fit(found: Sequence[Diagnostic], expander: _Expander) -> Iterator[Diagnostic]:
    """Diagnostics of an input of the wrong size: too small, with the least one that is not, or another, with
    those nearby that fit."""
    budget = expander.env.budget
    tries = Budget(steps=budget.search, items=budget.search)

    def mistakes(shapes: Mapping[str, tuple[int, ...]]) -> set[str]:
        try:
            _Expander(expander.spec, expander.profile, expander.settings, tries).run(shapes)
        except DiagnosticError as error:
            if min(tries.steps, tries.items, tries.nodes - 1) < 0:
                raise LimitError from None
            return {d.mended_by for d in error.diagnostics}
        return set()

    def fits(shapes: Mapping[str, tuple[int, ...]]) -> bool:
        return not mistakes(shapes)

    shapes = {name: tensor.type.shape for name, tensor in expander.inputs.items()}
    told = ""
    with suppress(LimitError):
        if found[0].mended_by == "larger":
            least = least_input(shapes, lambda shapes: mistakes(shapes) <= {"other"})
            told = f"the least that fits is {_in_words(least)}" if least and fits(least) else ""
            if least and not told:
                told = "".join(f"one that fits is {_in_words(s)}" for s in inputs_nearby(least, fits)[-1:])
        elif any(len(shape) > 1 for shape in shapes.values()):
            told = " and ".join(map(_in_words, inputs_nearby(shapes, fits)))
            told = f"inputs that fit: {told}" if told else ""
    budget.search = max(min(tries.steps, tries.items), 0)
    return (replace(d, help="; ".join(filter(None, (d.help, told)))) for d in found)


def _in_words(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Shapes of inputs as the option `--shape` takes them."""
    words = {name: by_x(shape) for name, shape in shapes.items()}
    return words.get("input") or ",".join(f"{name}={shape}" for name, shape in words.items())


class _Expander:
    """One expansion: the environment of the spec, and the walk that collects nodes and mistakes."""

    def __init__(
        self,
        spec: Spec,
        profile: ProfileDecl,
        settings: Mapping[str, Argument],
        budget: Budget,
        walk: Callable[..., Walk] = Walk,
        drawn: Mapping[str, Evaluated] = MappingProxyType({}),
    ) -> None:
        self.spec = spec
        self.profile = profile
        self.settings = settings
        self.inputs: Mapping[str, Tensor] = {}
        self.env = arguments_of(spec, profile, set_arguments(settings, spec), budget, drawn)
        defaults = merge_defaults(spec.defaults, profile.defaults)
        own = merge_defaults({}, set_defaults(settings, spec)) if settings else {}
        defaults = merge_defaults(defaults, own)
        self.walk = walk(spec.blocks | profile.blocks, defaults, self.env)
        self.walk.set_ops = {target: values for target, values in own.items() if target in OP_WORDS}
        declared = None if spec.block else spec.document.profiles.get(profile.name)
        self.walk.untaken |= {
            (target, name): argument.key_span
            for target, values in (declared.defaults if declared else {}).items()
            for name, argument in values.items()
        }
        self.walk.untaken |= {(target, name): None for target, values in own.items() for name in values}

    def _missing(self) -> list[Diagnostic]:
        """Arguments of the spec that nothing gives a value."""
        keys = [key for key in ("with", "extends") if key in self.spec.document.tree.entries]
        found = []
        for name, value in self.env.spec.values.items():
            if value is POISON and name not in self.env.spec.pending:
                decl = self.spec.args[name]
                span = self.spec.document.span_of(keys[0]) if keys else decl.span
                notes = (Note("it is declared", decl.span),) if keys else ()
                hint = f"with: {{{name}: ...}}" if keys else "give it a default, or make this a template"
                code, message = "E0307", f"argument `{name}` has no value"
                range = self.env.spec.given.get(name) or decl.default
                if range is not None:
                    code, message = "E0322", f"`{name}` is a range here, and a network gives it a value"
                    notes = (Note("the range stands", range.span),)
                found.append(Diagnostic(code, message, span, help=hint, notes=notes))
        return found

    def folded(self, input_shape: InputShape | None) -> FoldedExpansion | None:
        """The nodes, without names. Raises all mistakes, but for those of names."""
        self.walk.folds = {}
        _, outputs = self._walked(input_shape)
        if self.walk.shares:
            return None
        return FoldedExpansion(tuple(self.walk.drafts), outputs, self.env.spec.values)

    def run(self, input_shape: InputShape | None) -> Expansion:
        """The typed graph. Raises all mistakes."""
        walk = self.walk
        inputs, outputs = self._walked(input_shape)
        graph = assemble(
            self.spec.name, inputs, outputs, walk.drafts, walk.places, has_dotted=walk.has_dotted
        )
        walk.warnings += untaken_defaults(walk.untaken, self.profile.name)
        return Expansion(
            self.spec,
            self.profile.name,
            graph,
            MappingProxyType(dict(self.env.spec.values)),
            walk.uses,
            frozenset(walk.blocks),
            self.settings,
            input_shape,
            self.env.budget,
            (*walk.warnings, *self._unread(graph), *attention_in_maps(graph)),
        )

    def _walked(self, input_shape: InputShape | None) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Inputs and outputs, the walk done, and the nodes named where none of them are folded."""
        assert self.spec.graph is not None  # who calls has refused it
        walk = self.walk
        outputs: dict[str, Tensor] = {}
        inputs: dict[str, Tensor] = {}
        try:
            walk.count(self.spec.graph.span, 1 + len(self.spec.args) + len(walk.blocks))
            walk.note(self._missing())
            walk.note(self.env.spec.settle())
            inputs = self.inputs = self._inputs(input_shape)
            single = None if isinstance(self.spec.input, dict) else inputs["input"]
            root = NameScope("graph", None, None)
            walk.places.append(ScopeDraft("graph", True, None, None, root, single))
            env = Env(self.env.budget, single, single, {}, {} if single else dict(inputs), spec=self.env.spec)
            x = walk.body(self.spec.graph, single, env, At(root, 0))
            walk.places[0].output = x
            outputs = self._outputs(x, env)
            if walk.folds is None:
                walk.warnings += unshared(assign_names(root))
                walk.warnings += nothing_shared(root) if walk.shares else ()
        except (DiagnosticError, LimitError) as error:
            walk.note(error.diagnostics)
        except RecursionError:
            walk.note([Diagnostic("E0317", "steps are nested too deeply", self.spec.graph.span)])
        walk.settle()
        fail_all(self._with_batch_note(walk.found.values()))
        return inputs, outputs

    def _unread(self, graph: TypedGraph) -> Iterable[Diagnostic]:
        """Warnings of values that nothing reads, where steps or outputs may leave one."""
        if not self.walk.leaves_values and not self.spec.outputs:
            return ()
        declared = self.spec.input
        named = declared if isinstance(declared, dict) else {"input": declared}
        return unread_values(graph, {name: value.span for name, value in named.items() if value})

    def _with_batch_note(self, found: Iterable[Diagnostic]) -> list[Diagnostic]:
        """Mistakes, those of shape with a note where an input of four axes may be one with a batch."""
        declared = self.spec.input
        shape = self.walk.places[0].x if self.walk.places else None
        if not isinstance(declared, Value) or shape is None or len(shape.type.shape) != 4:
            return list(found)
        note = Note(
            "an input of 4 axes is a volume, since the batch is never written; it stands", declared.span
        )
        return [replace(d, notes=(*d.notes, note)) if d.code in _SHAPE_CODES else d for d in found]

    def _inputs(self, given: InputShape | None) -> dict[str, Tensor]:
        declared = self.spec.input
        if declared is None and given is None:
            hint = "input: [3, 224, 224], or --input 3x224x224"
            span = self.spec.document.span_of("graph")
            self.walk.note([Diagnostic("E0202", f"{self.spec.name} has no `input`", span, help=hint)])
            return {"input": POISON}
        bare = declared is None
        declared = declared or Value((), self.spec.document.span_of("input"))
        named = declared if isinstance(declared, dict) else {"input": declared}
        if isinstance(given, Mapping):
            _refuse_unknown(given, named, self.spec.name)
        out: dict[str, Tensor] = {}
        for name, value in named.items():
            override = given.get(name) if isinstance(given, Mapping) else given
            out[name] = POISON
            try:
                shape = [] if bare else value.evaluate(self.env)
                if override is not None:
                    shape = _overridden(name, shape, override)
                out[name] = Tensor(_input_type(shape, value.span), None, name)
                self.walk.warnings += foreign_axes(shape, value.span)
            except MISTAKES as error:
                self.walk.note(mistakes_in(error))
        return out

    def _outputs(self, x: Tensor | None, env: Env) -> dict[str, Tensor]:
        if not self.spec.outputs:
            if x is None:
                fail("E0312", "the graph leaves no value", self.spec.document.span_of("graph"))
            return {"output": x}
        out: dict[str, Tensor] = {}
        for name, value in self.walk.outputs(self.spec.outputs, env.at(x)).items():
            named = (
                {f"{name}.{i}": v for i, v in enumerate(value)} if isinstance(value, list) else {name: value}
            )
            for twice in out.keys() & named.keys():
                span = self.spec.outputs[name].value.span
                self.walk.note([Diagnostic("E0309", f"two outputs are named `{twice}`", span)])
            out |= named
        if not out and not self.walk.found:
            fail("E0312", "every output is left out by its `when`", self.spec.document.span_of("outputs"))
        return out


def _refuse_unknown(given: Mapping[str, Any], named: Mapping[str, Value], spec: str) -> None:
    """Raise E0001 for the shape of an input that the spec does not have."""
    for name in given:
        if name not in named:
            fail("E0001", f"{spec} has no input `{name}`", help=did_you_mean(name, named, what="inputs"))


def _overridden(name: str, declared: list[int], given: Any) -> list[int]:
    """The shape that a caller gives in place of the declared one, NumPy's numbers as plain ones. Raises E0001
    for what is none, and for another rank."""
    is_listed = isinstance(given, Iterable) and not isinstance(given, str | Mapping)
    shape = [index(n) if isinstance(n, SupportsIndex) else n for n in given] if is_listed else []
    if not is_listed or (declared and len(shape) != len(declared)):
        found = by_x(shape) if is_listed else repr(given)
        meant = by_x(declared) or "one to four axes"
        help = f"{len(declared) or 'one to four'} whole numbers, the batch left out"
        fail("E0001", f"{found} is no shape for the input `{name}`, which is {meant}", help=help)
    return shape


def _input_type(shape: Any, span: Span) -> TensorType:
    fits = isinstance(shape, list) and 1 <= len(shape) <= 4
    most = limits.EXTENT.most
    if not fits or not all(type(d) is int and 1 <= d <= most for d in shape):
        expected = f"one to four whole numbers from 1 to {most:,}"
        words = [d for d in shape if isinstance(d, str)] if isinstance(shape, list) else []
        hint = "[channels, height, width], without the batch"
        if (words and not fits) or any(word not in ("N", "None", "B", "batch", "?") for word in words):
            hint = f"a formula starts with `=`: ={words[0]}"
        fail("E0203", f"an input is {expected}, found {describe(shape)}", span, help=hint)
    return TensorType(tuple(shape))
