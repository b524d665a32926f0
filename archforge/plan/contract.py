"""What planner, backends and executables agree on: kernels, steps, plans, programs, backends."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from archforge.ir import Node, ParamDecl, TensorType, TypedGraph
from archforge.lifetimes import Lifetime, lifetimes
from archforge.ops.base import Array, Op
from archforge.passes import ParamTransform

__all__ = [
    "Backend",
    "Chain",
    "CodeCache",
    "Compiling",
    "Epilogue",
    "Kernel",
    "Limits",
    "Lowering",
    "Pack",
    "Plan",
    "Program",
    "Step",
    "Tunable",
    "Watcher",
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


@dataclass(frozen=True, eq=False)
class Chain:
    """A node, and the nodes that its kernel applies to the result before it writes it: a merge with one more
    value, an activation, or the merge and then the activation."""

    node: Node
    merge: Node | None = None
    activation: Node | None = None

    @cached_property
    def then(self) -> tuple[Node, ...]:
        """The nodes after the first, in order."""
        return tuple(node for node in (self.merge, self.activation) if node is not None)

    @cached_property
    def output(self) -> str:
        """The value that the chain leaves."""
        return (self.node, *self.then)[-1].name

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The values that the chain reads: its node's, then the other one of the merge."""
        merged = self.merge.inputs if self.merge else ()
        return (*self.node.inputs, *(value for value in merged if value != self.node.name))

    @cached_property
    def epilogue(self) -> Epilogue | None:
        """The ops after the first; None for a node by itself."""
        if not self.then:
            return None
        return Epilogue(
            merge=self.merge.op if self.merge else None,
            activation=self.activation.op if self.activation else None,
        )

    def followed_by(self, node: Node) -> Chain | None:
        """The chain with `node` as its next one: a merge of two values, which must be the first after the
        chain's own node, or an activation, which ends the chain. None for any other node."""
        if self.activation:
            return None
        if node.op.arity is None:
            return replace(self, merge=node) if len(node.inputs) == 2 and not self.merge else None
        return replace(self, activation=node) if len(node.inputs) == 1 else None


@dataclass(frozen=True, slots=True)
class Step:
    """A kernel bound to its place. `frees` are the values that no later step or output reads."""

    chain: Chain
    kernel: Kernel
    params: Mapping[str, ParamDecl]
    frees: tuple[str, ...]
    is_fallback: bool

    @property
    def node(self) -> Node:
        """The node whose parameters the kernel has."""
        return self.chain.node

    @property
    def then(self) -> tuple[Node, ...]:
        """The nodes that the kernel computes besides, as its epilogue."""
        return self.chain.then

    @property
    def inputs(self) -> tuple[str, ...]:
        """The values that it reads: its node's, then the one that its epilogue merges."""
        return self.chain.inputs

    @property
    def output(self) -> str:
        """The value that it makes."""
        return self.chain.output

    @property
    def layer(self) -> str:
        """Its name as in a weights file: that of its parameters, where it has some."""
        # Folding a batch norm joins its name to the convolution's by a plus.
        return self.node.params_of.partition("+")[0] if self.params else self.node.name

    def run(self, params: Mapping[str, Any], *inputs: Any, **options: Any) -> Any:
        """The value that it makes, from the packed parameters and what it reads, in the backend's form."""
        if self.chain.epilogue is not None:
            options["epilogue"] = self.chain.epilogue
        return self.kernel.run(params, *inputs, **options)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Plan:
    """The steps, in order, that compute the outputs of a graph and `taps`, values by the names that a caller
    gave them. `transforms`, in order, make the parameters of the graph from those before its passes.
    `without` are the parts of planning that were left out."""

    graph: TypedGraph
    backend: Backend
    dtype: str
    steps: tuple[Step, ...]
    taps: Mapping[str, str]
    transforms: tuple[ParamTransform, ...] = ()
    without: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The name of the network."""
        return self.graph.graph.name

    @property
    def inputs(self) -> Mapping[str, TensorType]:
        """The type of each input by its name."""
        return self.graph.inputs

    @property
    def outputs(self) -> Mapping[str, str]:
        """The value of each output by its name."""
        return self.graph.outputs

    @property
    def types(self) -> Mapping[str, TensorType]:
        """The type of every value, inputs included."""
        return self.graph.types

    def __repr__(self) -> str:
        return f"<plan of {self.name}: {len(self.steps)} steps on {self.backend.name} in {self.dtype}>"

    @property
    def wanted(self) -> frozenset[str]:
        """The values that a caller sees."""
        return frozenset((*self.outputs.values(), *self.taps.values()))

    def lifetimes(self) -> dict[str, Lifetime]:
        """The steps at which each value must be there: inputs from -1 on, and what a caller sees up to the
        number of steps."""
        reads = ((step.output, step.inputs) for step in self.steps)
        return lifetimes(reads, self.inputs, self.wanted)

    @property
    def fallbacks(self) -> tuple[Node, ...]:
        """The nodes that run on reference kernels for want of the backend's own."""
        return tuple(s.node for s in self.steps if s.is_fallback)

    @property
    def fallback_kinds(self) -> tuple[str, ...]:
        """The kinds of their ops, each once."""
        return tuple(dict.fromkeys(node.op.kind for node in self.fallbacks))


class Watcher:
    """Told what a watched call has just done; a subclass overrides what it wants to know."""

    def took_inputs(self) -> None:
        """The inputs are where the steps read them."""

    def made(self, value: str) -> None:
        """A part of the step that makes `value` is done: all of it, or the part for one image."""

    def gave_outputs(self) -> None:
        """The outputs are arrays of the caller's."""


class Program(Protocol):
    """A loaded plan: arrays of the inputs to the arrays that are wanted, by the names of values. Threads
    may call it together."""

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]: ...

    def watched(self, inputs: Mapping[str, Array], watcher: Watcher) -> dict[str, Array]:
        """A call that does one step after the other, and tells `watcher` when each is done."""
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


@dataclass(frozen=True, slots=True)
class Limits:
    """Peak rates of this machine, each per second: floating-point operations (a multiply-add counts as two)
    of one thread and of all `threads` together, and bytes that all of them read from memory."""

    threads: int
    one_flops: float
    all_flops: float
    read_bytes: float


@dataclass(frozen=True, slots=True)
class CodeCache:
    """Machine code on disk, which processes share: its folder, and the size in bytes of each function."""

    folder: Path
    function_bytes: tuple[int, ...]


@runtime_checkable
class Compiling(Backend, Protocol):
    """A backend that compiles machine code for this machine when a network first needs it, and keeps it on
    disk. Code of its own can also measure what the machine can do at most."""

    def machine(self) -> Mapping[str, str]:
        """Properties of the machine that its kernels are made for, in words by name. Raises E0701."""
        ...

    def limits(self, threads: int) -> Limits:
        """Measure the peak rates of the machine with so many threads; takes about a second."""
        ...

    def compiled(self) -> Sequence[str]:
        """The functions that this process has compiled, since they were not on disk."""
        ...

    def code_cache(self) -> CodeCache:
        """The machine code that is kept now."""
        ...

    def require_writable_cache(self) -> None:
        """Raises E0705 where no machine code can be kept."""
        ...
