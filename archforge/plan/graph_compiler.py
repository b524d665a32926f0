"""The way from a graph to an executable: it goes through its passes, is planned, and gets its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from archforge.data.stored_arrays import LazyArrays
from archforge.errors import DiagnosticError
from archforge.hardware import no_memory, require_memory
from archforge.ir import TypedGraph
from archforge.passes import optimise
from archforge.plan.contract import Backend, Plan
from archforge.plan.executable import Executable, Shapes, load
from archforge.plan.last_used import LastUsed
from archforge.plan.packing import packed_alike
from archforge.plan.planner import SWITCHES, plan, resolve_taps

__all__ = ["GraphCompiler"]

# Of an element, by dtype; at least two of all others.
BYTES = {"float64": 8, "float32": 4}
LEAST_BYTES = 2


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
        return replace(first, others=LastUsed(partial(self._resized, first, arrays, resized)))

    def _resized(
        self,
        first: Executable,
        arrays: Callable[[], LazyArrays],
        resized: Callable[[Shapes], TypedGraph],
        shapes: Shapes,
    ) -> Executable:
        """The executable for inputs of other shapes, which shares with the first one what is packed alike."""
        return self._loaded(resized(shapes), arrays, first)

    def _loaded(
        self, graph: TypedGraph, arrays: Callable[[], LazyArrays], first: Executable | None = None
    ) -> Executable:
        """The executable of a graph, which takes over what `first` has packed alike. Raises E0706."""
        size, name = max((type_.size, name) for name, type_ in graph.types.items())
        what = f"the largest value, `{name}` {graph.types[name]}"
        # Before it is planned: kernels may lay out tables as large as a value.
        require_memory(size * BYTES.get(self.dtype, LEAST_BYTES), what)
        try:
            plan = self.plan(graph)
            before = packed_alike(first.plan, first.params, plan) if first else {}
            return load(plan, arrays(), before)
        except MemoryError as error:
            raise DiagnosticError((no_memory(error),)) from error
