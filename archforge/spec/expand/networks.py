"""Networks that are blocks of other networks: their steps are walked in surroundings of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, cast

from archforge.errors import Note, Span, fail
from archforge.ops import OP_WORDS
from archforge.spec.binding.calls import OpCall
from archforge.spec.binding.environment import ArgFrame, Env
from archforge.spec.binding.tensors import POISON, Draft, FoldedSection, Tensor
from archforge.spec.expand.assemble import ScopeDraft
from archforge.spec.expand.naming import NameScope
from archforge.spec.expand.network_taps import leave_out, tapped
from archforge.spec.resolve.defaults import merge_defaults
from archforge.spec.resolve.spec import NetworkBlock
from archforge.spec.syntax.syntax_tree import BlockDecl, Body, Call, Defaults, NetworkUse, OutputDecl, Value

__all__ = ["NetworkSurroundings", "surrounded", "walk_network"]


class NetworkSurroundings(NamedTuple):
    """Blocks, defaults and arguments of the spec that the steps of one network see. `op_calls`, `uses` and
    `untaken` are what the walk notes of them."""

    blocks: Mapping[str, BlockDecl]
    defaults: Defaults
    spec: Env
    op_calls: dict[tuple[str, int, bool], OpCall]
    uses: Counter[str]
    untaken: dict[tuple[str, str], Span | None]


class Position(Protocol):
    """The part of `walk.At` that is read here."""

    names: NameScope
    place: int


class Walker(Protocol):
    """The part of `walk.Walk` that is used here."""

    blocks: Mapping[str, BlockDecl]
    defaults: Defaults
    spec: Env
    op_calls: dict[tuple[str, int, bool], OpCall]
    uses: Counter[str]
    untaken: dict[tuple[str, str], Span | None]
    networks: dict[int, tuple[Mapping[str, BlockDecl], Defaults, dict[Any, OpCall]]]
    homes: dict[int, NetworkSurroundings]
    set_ops: Defaults
    folds: dict[tuple[Any, ...], FoldedSection] | None
    mistakes_made: int
    drafts: list[Draft]
    places: list[ScopeDraft]
    left_out: list[Draft]

    def body(self, body: Body, x: Tensor | None, env: Env, at: Any) -> Tensor | None: ...
    def outputs(self, declared: Mapping[str, OutputDecl], env: Env) -> Mapping[str, Any]: ...
    def count(self, span: Span, work: int = 1) -> None: ...


@contextmanager
def surrounded(walk: Walker, new: NetworkSurroundings) -> Iterator[NetworkSurroundings]:
    """Walk with `new` surroundings; gives the old ones, which come back at the end."""
    old = NetworkSurroundings(walk.blocks, walk.defaults, walk.spec, walk.op_calls, walk.uses, walk.untaken)
    walk.blocks, walk.defaults, walk.spec, walk.op_calls, walk.uses, walk.untaken = new
    try:
        yield old
    finally:
        walk.blocks, walk.defaults, walk.spec, walk.op_calls, walk.uses, walk.untaken = old


def walk_network(
    walk: Walker, block: NetworkBlock, call: Call, x: Tensor | None, env: Env, at: Position
) -> tuple[Tensor | None, Mapping[str, Any]]:
    """The value that a network leaves, and its outputs: with taps the last of them, and what they need of the
    network; else its main output. `env` has the arguments of its spec, `at` is its scope."""
    use = cast("NetworkUse", block.network)
    mistakes, drafts = walk.mistakes_made, len(walk.drafts)
    x, left = _walked(walk, block, call, x, env, at)
    if walk.mistakes_made > mistakes:
        return POISON, {}
    if use.taps:
        walk.count(call.span, len(walk.drafts) - drafts)  # which are named, and perhaps left out
        left = _tapped(walk, use, drafts, at)
        return [*left.values()][-1], left
    main = next(iter(left.values()), x)
    return main[0] if isinstance(main, list) else main, left


def _walked(
    walk: Walker, block: NetworkBlock, call: Call, x: Tensor | None, env: Env, at: Position
) -> tuple[Tensor | None, Mapping[str, Any]]:
    """The last value of the whole network, and the outputs that it names."""
    spec = block.spec
    inputs: dict[str, Any] = {}
    if isinstance(spec.input, dict):
        x, inputs = None, {name: env.spec.values[name] for name in spec.input}
    elif spec.input is not None:
        _check_axes(spec.input, x, call)
    new = _surroundings(walk, block, env)
    asked = set(new.untaken)
    # Blocks of a network depend on the arguments of its call, which no key of a folded block has.
    folds, walk.folds = walk.folds, None
    with surrounded(walk, new) as outer:
        # Steps that are written outside, and given as an argument, belong there.
        frames = (id(outer.spec.spec), id(outer.spec.args))
        walk.homes |= dict.fromkeys(frames, outer)
        env = Env(env.budget, x, x, {}, inputs, spec=env.spec)
        x = walk.body(cast("Body", spec.graph), x, env, at)
        left = walk.outputs(spec.outputs, env.at(x))
    walk.folds = folds
    for key in asked - new.untaken.keys():
        del walk.untaken[key]
    return x, left


def _surroundings(walk: Walker, block: NetworkBlock, env: Env) -> NetworkSurroundings:
    """The surroundings in the network that a block is; defaults of ops that the caller sets reach into it."""
    known = walk.networks.get(id(block))
    if known is None:
        own = merge_defaults(block.spec.defaults, block.version.defaults)
        own_blocks = block.spec.blocks | block.version.blocks
        known = walk.networks[id(block)] = own_blocks, merge_defaults(own, walk.set_ops), {}
    blocks, defaults, op_calls = known
    spec = Env(env.budget, args=ArgFrame({}, {}, {}), spec=env.spec)
    untaken: dict[tuple[str, str], Span | None]
    untaken = {key: span for key, span in walk.untaken.items() if span is None and key[0] in OP_WORDS}
    return NetworkSurroundings(blocks, defaults, spec, op_calls, Counter(), untaken)


def _check_axes(declared: Value, x: Tensor | None, call: Call) -> None:
    """Raise E0401 where the value that a network gets has not as many axes as its input."""
    axes = declared.content
    if not isinstance(axes, tuple) or x is None or x is POISON or len(axes) == len(x.type.shape):
        return
    message = f"the input of this network has {len(axes)} axes, found {x.type}"
    fail("E0401", message, call.span, notes=(Note("it is declared", declared.span),))


def _tapped(walk: Walker, use: NetworkUse, made: int, at: Position) -> Mapping[str, Tensor]:
    """The values of the taps, and in the walk what they need of the network whose drafts begin at `made`."""
    drafts, places = walk.drafts[made:], walk.places[at.place :]
    values = tapped(use.taps, drafts, places, at.names)
    kept, scopes = leave_out(values.values(), drafts, places, at.names, at.place)
    if len(kept) < len(drafts):
        walk.left_out += drafts  # so that the ids of their ops stay theirs
        walk.drafts[made:], walk.places[at.place :] = kept, scopes
    return values
