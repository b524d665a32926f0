"""The way from a graph to an executable: it goes through its passes, is planned, and gets its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archforge.data.stored_arrays import LazyArrays
from archforge.errors import DiagnosticError
from archforge.hardware import no_memory, require_memory
from archforge.ir import TypedGraph
from archforge.passes import optimise
from archforge.plan.contract import Backend, Plan, Tunable
from archforge.plan.executable import Executable, Shapes, load
from archforge.plan.last_used import LastUsed
from archforge.plan.packing import bytes_to_pack, packed_alike
from archforge.plan.planner import SWITCHES, plan, resolve_taps

__all__ = ["GraphCompiler"]

# Of an element, by dtype; at least two of all others.
BYTES = {"float64": 8, "float32": 4}
LEAST_BYTES = 2

# Bytes of packed parameters for other sizes than the first, over those for the first, and what is never too
# much.
MOST_FOR_SIZES, ALWAYS_FOR_SIZES = 0.3, 16 << 20


@dataclass(frozen=True, slots=True)
class GraphCompiler:
    """A backend and a dtype to compile graphs for, and what is asked of each plan.

    taps: names of nodes, inputs or scopes whose values are returned besides the outputs. strict: refuse
    ops that the backend has no kernel for. without: graph passes, and parts of planning, to leave out.
    """

    backend: Backend
    dtype: str = "float32"
    taps: tuple[str, ...] = ()
    strict: bool = False
    without: frozenset[str] = frozenset()

    def plan(self, graph: TypedGraph) -> Plan:
        """The steps of the graph after its passes.

        Raises E0608 for unknown taps, E0001 for an unknown name in `without`, and what `plan` raises.
        """
        taps = resolve_taps(graph, self.taps)
        passed = optimise(graph, frozenset(taps.values()), self.without.difference(SWITCHES))
        return plan(
            passed.graph,
            self.backend,
            self.dtype,
            taps,
            strict=self.strict,
            without=self.without.intersection(SWITCHES),
            transforms=passed.transforms,
        )

    def executable(
        self,
        graph: TypedGraph,
        arrays: Callable[[], LazyArrays],
        resized: Callable[[Shapes], TypedGraph],
    ) -> Executable:
        """The graph with its parameters, which `arrays` returns by their names whenever they are needed.

        Inputs of other shapes are computed by the graph that `resized` returns for them, with the same
        parameters; it raises `DiagnosticError` for shapes that cannot be. Raises E0706 where a value alone
        needs more memory than there is.
        """
        first = self._loaded(graph, arrays)

        def at(shapes: Shapes, others: list[Executable]) -> Executable:
            return self._loaded(resized(shapes), arrays, (first, *others))

        return replace(first, others=LastUsed(at))

    def _loaded(
        self, graph: TypedGraph, arrays: Callable[[], LazyArrays], before: Sequence[Executable] = ()
    ) -> Executable:
        """The executable of a graph, which takes over what those `before` it have packed alike. Raises
        E0706."""
        size, name = max((type_.size, name) for name, type_ in graph.types.items())
        what = f"the largest value, `{name}` {graph.types[name]}"
        # Before it is planned: kernels may lay out tables as large as a value.
        require_memory(size * BYTES.get(self.dtype, LEAST_BYTES), what)
        try:
            plan = self.plan(graph)
            packed = _packed_by(before, plan)
            if before and bytes_to_pack(plan, packed) > _room(before):
                plan = self._plan_like(before[0].plan, plan, graph)
                packed = _packed_by(before, plan)
            return load(plan, arrays(), packed)
        except MemoryError as error:
            raise DiagnosticError((no_memory(error),)) from error

    def _plan_like(self, first: Plan, plan: Plan, graph: TypedGraph) -> Plan:
        """The plan of a graph with the kernels of the first plan wherever there are several, so that both
        pack alike."""
        if not isinstance(self.backend, Tunable):
            return plan
        taken = {step.output: step.kernel for step in first.steps}
        choices = {
            self.backend.use_of(step.node.op, *(plan.types[v] for v in step.node.inputs)): (
                self.backend.choice_of(taken[step.output])
            )
            for step in plan.steps
            if step.output in taken and not step.is_fallback
        }
        return replace(self, backend=self.backend.choosing(choices)).plan(graph)


def _packed_by(before: Sequence[Executable], plan: Plan) -> dict[str, Mapping[str, Any]]:
    """The parameters that one of some executables has packed as the steps of a plan take them."""
    packed: dict[str, Mapping[str, Any]] = {}
    for done in reversed(before):
        packed |= packed_alike(done.plan, done.params, plan)
    return packed


def _room(before: Sequence[Executable]) -> float:
    """Bytes that may be packed beside those of some executables: all for other sizes together are a share of
    the first one's, or few."""
    first = _packed_bytes(before[:1])
    return max(MOST_FOR_SIZES * first, ALWAYS_FOR_SIZES) - (_packed_bytes(before) - first)


def _packed_bytes(made: Sequence[Executable]) -> int:
    """Bytes of the parameters that some executables have packed, those that they share counted once."""
    sizes: dict[int, int] = {id(a): a.nbytes for e in made for params in e.params for a in params.values()}
    return sum(sizes.values())
