"""Spec of one block by itself: to show it, run it, and hold it against its own `expect`.

Each case of the block's `expect` is a profile: `{input: [...], with: {...}, defaults: {...}, profile:,
source:, CELL: ...}`, on top of the spec's profile of that name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from archforge.errors import DiagnosticError, Span, did_you_mean, fail
from archforge.ops import OP_WORDS
from archforge.spec.binding.calls import unknown_target
from archforge.spec.formulas.compiler import parse_formula
from archforge.spec.resolve.defaults import merge_defaults
from archforge.spec.resolve.spec import Spec
from archforge.spec.syntax.parse_document import parse_defaults
from archforge.spec.syntax.syntax_tree import (
    ArgDecl,
    Argument,
    Arguments,
    BlockDecl,
    Body,
    Call,
    Defaults,
    Header,
    Modifiers,
    ProfileDecl,
    Value,
)
from archforge.spec.yaml.tree import Entry, Mapping, Scalar, Tree

__all__ = ["BLOCK_MARK", "block_spec"]

BLOCK_MARK = ":"  # SPEC:BLOCK

# The argument that carries a case's input, and the block that makes its call: no spec can have them.
INPUT = "example_input"
CALL = "example call"
# What a case says besides its figures.
_SETTINGS = ("input", "with", "defaults", "profile")


def block_spec(spec: Spec, name: str) -> Spec:
    """The network that is one call of block `name`. Raises E0301 and, for a malformed case, E0507.

    Its arguments are those that a case gives (without cases those that the block requires) and, where
    the block can see them, the spec's.
    """
    if name not in spec.blocks:
        fail(
            "E0301", f"{spec.name} has no block `{name}`", help=did_you_mean(name, spec.blocks, what="blocks")
        )
    block = spec.blocks[name]
    cases = [_case(entry, block, spec) for entry in block.expect or ()]
    given = {key for case in cases for key in case.given}
    needed = {k: a for k, a in block.args.items() if k in given or (not cases and a.required)}
    visible = {k: a for k, a in spec.args.items() if not a.required or k in spec.values or k in given}
    return replace(
        spec,
        name=f"{spec.name}{BLOCK_MARK}{name}",
        block=name,
        header=replace(Header(), kind="network", title=name, paper=spec.header.paper),
        input=Value(parse_formula(INPUT, block.span), block.span) if cases else None,
        args=visible | needed | ({INPUT: ArgDecl(INPUT, block.span, "list", None)} if cases else {}),
        values={k: a for k, a in spec.values.items() if k not in needed},
        profiles={case.profile.name: case.profile for case in cases},
        blocks=spec.blocks | {CALL: _wrapper(block, needed)},
        graph=Body((_call(CALL, block.span, ()),), block.span),
        outputs={},
        train={},
        expect=Mapping({case.cells.key: case.cells for case in cases}, block.span) if cases else None,
    )


def _call(target: str, span: Span, passed: Iterable[str]) -> Call:
    """A call with each argument passed on under its own name."""
    arguments = {k: Argument(k, span, Scalar(f"={k}", span)) for k in passed}
    return Call(span, Modifiers(), target, Arguments(span, arguments))


def _wrapper(block: BlockDecl, passed: Iterable[str]) -> BlockDecl:
    """A nameless block that calls `block` with the arguments that one case gives."""
    body = Body((_call(block.name, block.span, passed),), block.span)
    return BlockDecl(CALL, block.span, "none", {}, body)


@dataclass(frozen=True, slots=True)
class _Case:
    """A case as a profile, on top of the spec's one that it names; its figures, and the arguments that
    it gives."""

    profile: ProfileDecl
    cells: Entry
    given: Collection[str]


def _case(entry: Entry, block: BlockDecl, spec: Spec) -> _Case:
    """Raises E0507, E0203, E0306 and E0315 for a malformed one."""
    tree = entry.value
    shape = tree.get("input") if isinstance(tree, Mapping) else None
    if not isinstance(tree, Mapping) or shape is None:
        fail(
            "E0507",
            f"case `{entry.key}` of block `{block.name}` has no `input`",
            entry.key_span,
            help="{input: [64, 56, 56], with: {width: 64}, output: 256x56x56}",
        )
    given = tree.get("with")
    if given is not None and not isinstance(given, Mapping):
        fail("E0203", "`with` is a mapping", given.span)
    values = {e.key: Argument(e.key, e.key_span, e.value) for e in given or ()}
    for argument in values.values():
        if argument.key not in block.args and argument.key not in spec.args:
            hint = did_you_mean(argument.key, block.args, what="it has")
            fail("E0306", f"`{block.name}` has no argument `{argument.key}`", argument.key_span, help=hint)
    base = _base(tree.get("profile"), spec, entry)
    defaults = _defaults(tree.entries["defaults"], spec) if "defaults" in tree.entries else {}
    cells = {key: e for key, e in tree.entries.items() if key not in _SETTINGS}
    profile = replace(
        base,
        train={},
        name=entry.key,
        span=entry.key_span,
        values=base.values | values | {INPUT: Argument(INPUT, entry.key_span, shape)},
        defaults=merge_defaults(base.defaults, defaults),
        blocks=base.blocks | {CALL: _wrapper(block, [k for k in values if k in block.args])},
        model=None,
    )
    return _Case(profile, Entry(entry.key, entry.key_span, Mapping(cells, tree.span)), values.keys())


def _defaults(section: Entry, spec: Spec) -> Defaults:
    """A case's defaults, of ops and blocks that there are. Raises E0301."""
    defaults = parse_defaults(section)
    for target, values in defaults.items():
        if target not in spec.blocks and target not in OP_WORDS:
            span = next((a.key_span for a in values.values()), section.key_span)
            raise DiagnosticError((unknown_target(target, span, spec.blocks, ()),))
    return defaults


def _base(named: Tree | None, spec: Spec, entry: Entry) -> ProfileDecl:
    """The spec's profile whose arguments and defaults a case starts from; none by default."""
    if named is None:
        return ProfileDecl(entry.key, entry.key_span, {}, {}, {})
    name = named.plain()
    if name not in spec.profiles:
        hint = did_you_mean(str(name), spec.profiles, what="profiles")
        fail("E0315", f"{spec.name} has no profile `{name}`", named.span, help=hint)
    return spec.profiles[name]
