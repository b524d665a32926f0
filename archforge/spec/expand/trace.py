"""Expansion that remembers where each node came from: its call, the names that formulas saw, and the calls
and loops around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from archforge.errors import Span
from archforge.ops.base import Op
from archforge.spec.binding.calls import OpCall
from archforge.spec.binding.environment import ArgFrame, Env
from archforge.spec.binding.tensors import Draft, Tensor
from archforge.spec.expand.expand import Expansion, InputShape, expand
from archforge.spec.expand.walk import At, Flow, Walk
from archforge.spec.resolve.spec import Spec
from archforge.spec.syntax.syntax_tree import Argument, BlockDecl, Call, For, Let

__all__ = ["Around", "NodeTrace", "TracedExpansion", "traced"]


class Around(NamedTuple):
    """A call of a block, or a loop, around a node. env: the names where it is written. is_first: the call is
    the first of its repeats. inside: the names that the block begins with. defaults: of its arguments, which
    the call saw."""

    step: Call | For
    env: Env
    block: BlockDecl | None = None
    is_first: bool = False
    inside: Env | None = None
    defaults: Mapping[str, Argument] = MappingProxyType({})

    @property
    def frame(self) -> ArgFrame | None:
        """The arguments of the call. Those of a network are what its steps see as arguments of their spec."""
        if self.inside is None or self.block is None:
            return None
        return self.inside.args if self.block.network is None else self.inside.spec


@dataclass(frozen=True, slots=True, eq=False)
class NodeTrace:
    """The origin of one node. call: of its op, None where there is none. around: outermost first."""

    draft: Draft
    env: Env
    call: OpCall | None
    around: tuple[Around, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TracedExpansion:
    """An expansion with the trace of each node by its name. lets: the arguments of `let`, by the `id` of the
    names of their body and their own."""

    expansion: Expansion
    traces: Mapping[str, NodeTrace]
    lets: Mapping[tuple[int, str], Argument]


class _TracingWalk(Walk):
    """A walk that keeps a trace of every node that it places."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.traces: list[NodeTrace] = []
        self.around: list[Around] = []
        self.lets: dict[tuple[int, str], Argument] = {}
        self.bodies_kept: list[dict[str, Any]] = []  # whose ids are keys

    def _call_block(self, block: BlockDecl, call: Call, x: Flow, env: Env, at: At, *, is_first: bool) -> Flow:
        self.around.append(Around(call, _kept(env), block, is_first))
        try:
            return super()._call_block(block, call, x, env, at, is_first=is_first)
        finally:
            self.around.pop()

    def _block_body(self, block: BlockDecl, call: Call, x: Flow, inner_env: Env, at: At) -> Flow:
        defaults = self.defaults.get(block.name, {})
        self.around[-1] = self.around[-1]._replace(inside=inner_env, defaults=defaults)
        return super()._block_body(block, call, x, inner_env, at)

    def _for(self, step: For, x: Flow, env: Env, at: At) -> Flow:
        self.around.append(Around(step, _kept(env)))
        try:
            return super()._for(step, x, env, at)
        finally:
            self.around.pop()

    def _let(self, step: Let, env: Env) -> None:
        super()._let(step, env)
        self.bodies_kept.append(env.body)
        self.lets |= {(id(env.body), key): argument for key, argument in step.values.items()}

    def _place(
        self, op: Op, inputs: tuple[Flow, ...], span: Span, env: Env, at: At, call: OpCall | None = None
    ) -> Tensor:
        value = super()._place(op, inputs, span, env, at, call)
        if value.draft is not None:
            self.traces.append(NodeTrace(value.draft, _kept(env), call, tuple(self.around)))
        return value


def _kept(env: Env) -> Env:
    """The names as they are now: taps and lets of a body may change."""
    return replace(env, body=_KeptNames(env.body))


class _KeptNames(dict[str, Any]):
    """The names of a body at one moment; `of` is the `id` of the names that they are taken from."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body)
        self.of: int = body.of if isinstance(body, _KeptNames) else id(body)


def traced(
    spec: Spec,
    profile: str | None = None,
    settings: Mapping[str, Argument] | None = None,
    input_shape: InputShape | None = None,
) -> TracedExpansion:
    """The graph of a profile, with where each of its nodes came from. Raises what `expand` raises."""
    walks: list[_TracingWalk] = []

    def walk(*arguments: Any) -> Walk:
        walks.append(_TracingWalk(*arguments))
        return walks[-1]

    expansion = expand(spec, profile, settings, input_shape, walk=walk)
    (made,) = walks
    by_name = {trace.draft.name: trace for trace in made.traces}  # with what a network as a block cuts off
    traces = {node.name: by_name[node.name] for node in expansion.graph.nodes}
    return TracedExpansion(expansion, traces, made.lets)


def body_id(env: Env) -> int:
    """The `id` of the names of a body, which `lets` are found by."""
    return env.body.of if isinstance(env.body, _KeptNames) else id(env.body)


def blocks_around(around: Sequence[Around]) -> int:
    """The place of the innermost call of a block; -1 if there is none."""
    return next((i for i in range(len(around) - 1, -1, -1) if around[i].block is not None), -1)
