"""The names that a document reads and calls, and the warnings of its steps: one walk over its text, made once
however many specs extend or import it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast
from weakref import WeakKeyDictionary

from archforge.errors import Diagnostic, DiagnosticError, Span
from archforge.spec.formulas.formula import Formula, Template
from archforge.spec.resolve.step_warnings import (
    branches_like_steps,
    idle_first,
    idle_group,
    idle_loop,
    idle_merge,
    idle_name,
    idle_tap,
    idle_when,
    no_kernel,
    of_modifiers,
    replaced_name,
)
from archforge.spec.syntax.inner_steps import steps_of
from archforge.spec.syntax.parse_steps import NONE
from archforge.spec.syntax.syntax_tree import (
    Argument,
    BlockDecl,
    Body,
    Call,
    For,
    Group,
    Let,
    Merge,
    OutputDecl,
    ProfileDecl,
    SpecDocument,
    Step,
    Tap,
    Value,
)

__all__ = ["DocumentUses", "uses_of"]

_LOOP = frozenset(("i", "key", "row"))
_MADE: WeakKeyDictionary[SpecDocument, DocumentUses] = WeakKeyDictionary()


class DocumentUses:
    """The uses of one document, and the warnings of its steps.

    reads: names that formulas read, without those of a block's own arguments. words: ops and blocks that
    steps call, and every text that could name one. called: those that a step calls by name. open_calls: calls
    whose op or block a formula names. blocks: each block with those of its arguments that it never reads.
    """

    def __init__(self) -> None:
        self.reads: set[str] = set()
        self.words: set[str] = set()
        self.called: set[str] = set()
        self.open_calls: list[Call] = []
        self.blocks: list[tuple[BlockDecl, list[str]]] = []
        self.warnings: list[Diagnostic] = []


def uses_of(document: SpecDocument) -> DocumentUses:
    """The uses of a document without mistakes."""
    uses = _MADE.get(document)
    if uses is None:
        uses = _MADE[document] = DocumentUses()
        _UsesWalk(uses).document(document)
    return uses


class _Unread(NamedTuple):
    """A name that no formula has read so far, and the list of steps that it was set in, or is there for."""

    body: Body
    what: str
    span: Span


class _UsesWalk:
    """One walk. `reads` and `words` are those of the part that it is in, `made` the taps and lets there, and
    `unread` those, by name, that no formula has read so far; `told` are the places of those that were warned
    of. `defaulted` are the ops and blocks whose kernel has a default in the document."""

    def __init__(self, uses: DocumentUses) -> None:
        self.uses = uses
        self.reads = uses.reads
        self.words = uses.words
        self.made: list[tuple[str, str, Span]] = []
        self.unread: dict[str, _Unread] = {}
        self.told: set[Span] = set()
        self.defaulted: set[str] = set()

    def document(self, document: SpecDocument) -> None:
        for decl in document.args.values():
            if decl.default:
                self.argument(decl.default)
        self.arguments(document.values.values())
        owners: tuple[SpecDocument | ProfileDecl, ...] = (document, *document.profiles.values())
        self.defaulted = {
            name for owner in owners for name, given in owner.defaults.items() if "kernel" in given
        }
        for owner in owners:
            for defaults in owner.defaults.values():
                self.arguments(defaults.values())
            for block in owner.blocks.values():
                self.block(block)
        for profile in document.profiles.values():
            self.arguments(profile.values.values())
        inputs = document.input.values() if isinstance(document.input, dict) else (document.input,)
        for value in inputs:
            if value is not None:
                self.value(value)
        for formula in document.every_constraint:
            self.formula(formula)
        for rule in document.rules.values():
            self.formula(rule.count)
        for edits in document.edits.values():
            for edit in edits:
                self.body(edit.body)
        self.made, self.unread = [], {}  # taps of arguments and edits are for whoever runs them
        if document.graph:
            self.body(document.graph)
        self.outputs(document.outputs)
        if document.header.kind == "network" and (document.outputs or document.header.extends is None):
            self.idle_names(self.made)

    def block(self, block: BlockDecl) -> None:
        """A block, whose own arguments are names of its own."""
        outer = self.reads, self.words, self.made, self.unread
        self.reads, self.words, self.made, self.unread = set(), set(), [], {}
        for decl in block.args.values():
            if decl.default:
                self.argument(decl.default)
        for name, decl in block.args.items():
            if name not in self.reads:
                self.unread[name] = _Unread(block.body, "argument", decl.span)
        self.body(block.body)
        self.outputs(block.outputs)
        idle = [n for n, d in block.args.items() if n not in self.reads and d.span not in self.told]
        self.uses.blocks.append((block, idle))
        self.idle_names(self.made)
        inner, words = self.reads.difference(block.args), self.words
        words.discard(block.name)
        self.reads, self.words, self.made, self.unread = outer
        self.reads |= inner
        self.words |= words

    def outputs(self, outputs: Mapping[str, OutputDecl]) -> None:
        for output in outputs.values():
            self.value(output.value)
            if output.when:
                self.uses.warnings += idle_when(output.when)
                self.value(output.when)

    def idle_names(self, names: Iterable[tuple[str, str, Span]]) -> None:
        for what, name, span in names:
            if name not in self.reads and span not in self.told:
                self.uses.warnings.append(idle_name(f"reads the {what}", name, span))

    # Steps

    def body(self, body: Body) -> None:
        for step in body.steps:
            self.step(step)
            if step.__class__ is Tap and len(body.steps) > 1:
                self.uses.warnings += idle_tap(step)
            elif step.__class__ is Let:
                for name, argument in step.values.items():
                    self.sets(step, name, _Unread(body, "value", argument.key_span))
            tap = step.modifiers.tap
            if tap is not None and tap.text is not None:
                self.sets(step, tap.text, _Unread(body, "tap", tap.span))
            for name, output in step.modifiers.kept.items():
                self.sets(step, name, _Unread(body, "output", output.span))

    def sets(self, step: Step, name: str, now: _Unread) -> None:
        """Take a name that a step sets. One that the same list of steps has set before, unread, is idle."""
        before = self.unread.get(name)
        if before is not None and before.body is now.body and step.modifiers.when is None:
            self.told.add(before.span)
            self.uses.warnings.append(replaced_name(before.what, name, before.span, now.span))
        self.unread[name] = now

    def step(self, step: Step) -> None:
        modifiers = step.modifiers
        if modifiers is not NONE:
            self.modifiers(step)
        kind = step.__class__
        if kind is Call:
            self.call(cast("Call", step))
        elif kind is Tap:
            self.formula(cast("Tap", step).formula)
        else:
            self.structure(step)

    def structure(self, step: Step) -> None:
        match step:
            case Merge():
                self.merge(step)
            case Group():
                self.uses.warnings += idle_group(step)
                self.body(step.body)
            case For():
                self.loop(step)
            case Let():
                self.made += [("value", name, argument.key_span) for name, argument in step.values.items()]
                self.arguments(step.values.values())

    def modifiers(self, step: Step) -> None:
        modifiers = step.modifiers
        self.uses.warnings += of_modifiers(modifiers)
        for value in (modifiers.source, modifiers.when, modifiers.repeat):
            if value is not None:
                self.value(value)
        self.arguments(modifiers.first.values())
        for template in modifiers.templates():
            self.template(template)
        for made in (modifiers.tap, modifiers.append):
            if made is not None and made.text is not None:
                self.made.append(("tap", made.text, made.span))
        for name, output in modifiers.kept.items():
            self.made.append(("output", name, output.span))
            self.words.add(output.value)

    def call(self, call: Call) -> None:
        if isinstance(call.target, str):
            self.words.add(call.target)
            self.uses.called.add(call.target)
            if call.target not in self.defaulted:
                self.uses.warnings += no_kernel(call)
        else:
            self.uses.open_calls.append(call)
            self.formula(call.target)
        if call.modifiers.first:
            self.uses.warnings += idle_first(call)
        self.arguments(call.arguments.entries.values())
        if call.arguments.bare is not None:
            self.argument(call.arguments.bare)

    def merge(self, step: Merge) -> None:
        self.words.add(step.kind)
        self.uses.warnings += branches_like_steps(step)
        self.uses.warnings += idle_merge(step)
        self.arguments(step.call.arguments.entries.values())
        if isinstance(step.branches, Formula):
            self.formula(step.branches)
            return
        for branch in step.branches:
            if branch.name:
                self.template(branch.name)
            if branch.when:
                self.uses.warnings += idle_when(branch.when)
                self.value(branch.when)
            self.body(branch.body)

    def loop(self, step: For) -> None:
        """A loop, whose columns are names of its own. One that nothing reads may be there to count."""
        self.uses.warnings += idle_loop(step)
        for value in step.values.values():
            self.value(value)
        if step.rows:
            self.value(step.rows)
        outer, self.reads = self.reads, set()
        self.body(step.body)
        if step.modifiers.name:
            self.template(step.modifiers.name)
        names = [name for name, _ in step.columns]
        if "row" not in self.reads and len(names) > 1:
            idle = [("column", name, span) for name, span in step.columns if name not in self.reads]
            self.idle_names(idle if len(idle) < len(names) else idle[1:])
        outer |= self.reads.difference(names, _LOOP)
        self.reads = outer

    # Values

    def arguments(self, arguments: Iterable[Argument]) -> None:
        for argument in arguments:
            self.argument(argument)

    def argument(self, argument: Argument) -> None:
        if argument.looks_like_steps:
            try:
                self.body(steps_of(argument))
            except DiagnosticError:  # the linter tells of it
                return
        else:
            self.value(argument.value)

    def value(self, value: Value) -> None:
        content = value.content
        kind = content.__class__
        if kind is Formula:
            self.formula(content)
        elif kind is str:
            self.words.add(content)
        elif kind is tuple:
            for item in content:
                self.value(item)
        elif kind is dict:
            self.words.update(content)
            for item in content.values():
                self.value(item)

    def template(self, template: Template) -> None:
        for part in template.parts:
            if isinstance(part, Formula):
                self.formula(part)

    def formula(self, formula: Formula) -> None:
        for name, _ in formula.names:
            self.reads.add(name)
            self.unread.pop(name, None)
        if "'" in formula.source or '"' in formula.source:
            self.words.update(re.findall(r"\w+", formula.source))
