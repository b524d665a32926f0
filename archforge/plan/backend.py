"""What a backend is to the planner: kernels for ops, and the form in which it keeps values."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from archforge.ir import TensorType
from archforge.ops.base import Array, Op

if TYPE_CHECKING:
    from archforge.plan.planner import Plan

__all__ = [
    "Backend",
    "Epilogue",
    "Kernel",
    "Lowering",
    "Pack",
    "Program",
    "Tunable",
    "has_reference",
    "unpacked",
]

Pack = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def unpacked(params: Mapping[str, Array]) -> Mapping[str, Array]:
    """The parameters as they are."""
    return params


@dataclass(frozen=True, slots=True)
class Epilogue:
    """What a kernel does to its result before it writes it: merges it with one more input, the last,
    then applies an activation."""

    merge: Op | None = None
    activation: Op | None = None


@dataclass(frozen=True, slots=True)
class Kernel:
    """Computes one node.

    `run(params, *inputs)` takes values in the backend's form; `pack` lays out the node's parameters,
    by the op's names for them, once when they are loaded, and the backend then takes each array over
    with `constant`. Where `absorbs` names kinds of ops that `run` can do besides, it is called with
    the keyword `epilogue` when there are any. Kernels of equal ops with equal `packing` lay out equal
    parameters equally, whatever the size of their inputs; None promises nothing.
    """

    run: Callable[..., Any]
    pack: Pack = unpacked
    absorbs: frozenset[str] = frozenset()
    packing: Hashable = None

    def packs_like(self, other: Kernel) -> bool:
        """Whether what one of the two has packed serves the other."""
        if self.packing is None and other.packing is None:
            return self.pack is other.pack is unpacked
        return self.packing == other.packing


# lowering(op, *types of its inputs): a kernel; None where it has none for this case.
Lowering = Callable[..., Kernel | None]


class Program(Protocol):
    """A loaded plan: arrays of the inputs to the arrays that are wanted, by the names of values. Threads
    may call it together."""

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]: ...

    def watched(self, inputs: Mapping[str, Array], done: Callable[[str], None]) -> dict[str, Array]:
        """The same, one piece after the other. `done` is called when one is over, with the value that its
        step makes, or with nothing when the inputs were taken in and when the outputs are out."""
        ...


class Backend(Protocol):
    """A way to run graphs. What it cannot lower runs on the reference kernel in NumPy."""

    @property
    def name(self) -> str: ...
    @property
    def dtypes(self) -> tuple[str, ...]:
        """What it can compute in, its default first."""
        ...

    def preference(self) -> int:
        """The greatest is what `auto` takes; 0: only when asked for by name, or not installed."""
        ...

    def require(self) -> None:
        """Raises E0701 where the backend cannot run, with what would make it."""
        ...

    def facts(self) -> Mapping[str, str]:
        """What it sees of the machine, in words by name, its library's `version` first; called after
        `require`. For `archforge info`."""
        ...

    def lowerings(self, dtype: str, without: frozenset[str] = frozenset()) -> Mapping[str, Lowering]:
        """Lowerings by kind of op for values in `dtype`, `without` some of `SWITCHES`; called after
        `require`."""
        ...

    def packers(self) -> int:
        """How many threads may lay out parameters at once."""
        ...

    def enter(self, array: Array, dtype: str) -> Any:
        """An array in the axes of the reference, [N, *shape], to the backend's form."""
        ...

    def leave(self, value: Any) -> Array:
        """The way back; float32 where NumPy lacks the dtype."""
        ...

    def constant(self, array: Array, dtype: str) -> Any:
        """A packed parameter to the backend's form; its axes stay."""
        ...

    def program(self, plan: Plan, params: tuple[Mapping[str, Any], ...]) -> Program:
        """What runs the plan with the packed parameters of each step: an `Interpreter` or its own."""
        ...


@runtime_checkable
class Tunable(Backend, Protocol):
    """A backend that has several kernels for some ops, and keeps which of them is the fastest here."""

    def use_of(self, op: Op, *inputs: TensorType) -> str:
        """What a choice is about: the op, as it is used on inputs of these types."""
        ...

    def alternatives(self, op: Op, *inputs: TensorType) -> tuple[str, ...]:
        """The names of the kernels that can compute it, first the one that is taken untuned."""
        ...

    def choosing(self, choices: Mapping[str, str]) -> Backend:
        """The same backend with these kernels, by use, whatever is kept."""
        ...

    def keep(self, choices: Mapping[str, str]) -> Path:
        """Take these kernels from now on, in every process; where that is written. Raises E0705."""
        ...

    def forget(self) -> int:
        """Keep no choices any more; how many files held some."""
        ...


def has_reference(op: Op) -> bool:
    """Whether the op's file gives a kernel in NumPy."""
    return type(op).reference is not Op.reference
