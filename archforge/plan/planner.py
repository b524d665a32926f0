"""The planner: a typed graph becomes the steps that its outputs need, each on a kernel of the backend."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from archforge.errors import Diagnostic, DiagnosticError, did_you_mean, nearest_first
from archforge.ir import Node, TypedGraph
from archforge.lifetimes import lifetimes
from archforge.ops.base import Array, Op
from archforge.passes import ParamTransform
from archforge.plan.contract import Backend, Chain, Kernel, Lowering, Plan, Step, require_dtype
from archforge.plan.fusion import fused

__all__ = ["ACCURACY_FOR_SPEED", "MEMORY_FOR_SPEED", "SWITCHES", "named_values", "plan", "resolve_taps"]

# Parts of planning that can be left out; outputs stay.
SWITCHES = ("fuse_epilogues", "concat_in_place", "share_memory", "winograd", "image_by_image")

# Those that take memory for speed: Winograd's weights are up to four times those of the network.
MEMORY_FOR_SPEED = frozenset({"winograd"})
# Those that lose accuracy for speed: a tile of Winograd's is rounded by its largest number.
ACCURACY_FOR_SPEED = frozenset({"winograd"})


def named_values(typed: TypedGraph) -> dict[str, str]:
    """The value behind each name that can be tapped: a node's, an input's, or that which a scope leaves."""
    # A block without a name of its own has its caller's, and stands behind it in the list.
    known = {s.name: s.output for s in reversed(typed.scopes) if s.name and s.output}
    return known | {value: value for value in typed.types}


def resolve_taps(typed: TypedGraph, names: Iterable[str]) -> dict[str, str]:
    """The value behind each of `names`. Raises E0608 for names that do not exist, all together."""
    known = named_values(typed)
    names = list(names)
    unknown = [
        Diagnostic(
            "E0608",
            f"there is no value `{name}` to tap",
            help=did_you_mean(name, nearest_first(name, known), what="values"),
        )
        for name in names
        if name not in known
    ]
    if unknown:
        raise DiagnosticError(tuple(unknown))
    return {name: known[name] for name in names}


def plan(
    typed: TypedGraph,
    backend: Backend,
    dtype: str,
    taps: Mapping[str, str] = MappingProxyType({}),
    *,
    strict: bool = False,
    without: Collection[str] = (),
    transforms: tuple[ParamTransform, ...] = (),
) -> Plan:
    """Steps for what the outputs and `taps` (name -> value) need, `without` some of `SWITCHES`. `transforms`
    are those of the passes that the graph has gone through.

    Raises E0701 where the backend cannot run, E0703 for a dtype that it lacks, and E0702, all together,
    for ops that nothing can run or, if `strict`, that the backend has no kernel for.
    """
    backend.require()
    require_dtype(backend, dtype)
    wanted = frozenset((*typed.outputs.values(), *taps.values()))
    needed = typed.needed_by(wanted)
    nodes = [node for node in typed.nodes if node.name in needed]
    table = backend.lowerings(dtype, frozenset(without))
    kernels = {n.name: _lowered(n, typed, table) for n in nodes}
    _refuse(nodes, kernels, backend, strict)
    if "fuse_epilogues" in without:
        chains = [Chain(node) for node in nodes]
    else:
        chains = fused(nodes, typed, kernels, wanted)
    steps = tuple(
        Step(
            chain=chain,
            kernel=kernels[chain.node.name] or _through_numpy(chain.node.op, backend, dtype),
            params=chain.node.op.params(*typed.input_types(chain.node)),
            frees=frees,
            is_fallback=kernels[chain.node.name] is None,
        )
        for chain, frees in zip(chains, _frees(chains, typed.inputs, wanted), strict=True)
    )
    return Plan(typed, backend, dtype, steps, taps, transforms, frozenset(without))


def _frees(chains: list[Chain], inputs: Iterable[str], wanted: Iterable[str]) -> list[tuple[str, ...]]:
    """The values whose last use each chain is, unless a caller wants them."""
    lives = lifetimes(((chain.output, chain.inputs) for chain in chains), inputs, wanted)
    return [
        tuple(v for v in dict.fromkeys(chain.inputs) if lives[v].last == place)
        for place, chain in enumerate(chains)
    ]


def _lowered(node: Node, typed: TypedGraph, table: Mapping[str, Lowering]) -> Kernel | None:
    """The backend's kernel for a node, if it has one."""
    lowering = table.get(node.op.kind)
    return lowering(node.op, *typed.input_types(node)) if lowering else None


def _refuse(nodes: list[Node], kernels: Mapping[str, Kernel | None], backend: Backend, strict: bool) -> None:
    """One E0702 for each kind of op that cannot run, at the first node of it."""
    lacking: dict[str, list[Node]] = {}
    for node in nodes:
        if kernels[node.name] is None and (strict or not node.op.has_reference):
            lacking.setdefault(node.op.kind, []).append(node)
    if lacking:
        raise DiagnosticError(tuple(_refusal(kind, found, backend) for kind, found in lacking.items()))


def _refusal(kind: str, nodes: list[Node], backend: Backend) -> Diagnostic:
    uses = f"`{nodes[0].name}`" + (f" and {len(nodes) - 1} more" if len(nodes) > 1 else "")
    fallback = nodes[0].op.has_reference
    return Diagnostic(
        "E0702",
        f"the backend {backend.name} has no kernel for `{kind}` as it is used by {uses}",
        nodes[0].span,
        help="without strict it runs on the reference kernel" if fallback else "",
    )


def _through_numpy(op: Op, backend: Backend, dtype: str) -> Kernel:
    """The reference kernel of an op, which leaves the backend's form of values and enters it again."""

    def run(params: Mapping[str, Array], *inputs: Any) -> Any:
        return backend.enter(op.reference(params, *map(backend.leave, inputs)), dtype)

    return Kernel(run)
