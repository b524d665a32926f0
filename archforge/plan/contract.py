"""The contract between planner, backends and executables: kernels, steps, plans, programs, backends.

A backend has lowerings, which give a `Kernel` for an op on inputs of certain types, or None. The planner
asks for one for each node of a graph, lets kernels take the nodes behind them along (a `Chain`), and makes
each a `Step` of a `Plan`. When weights are there, `load` has each kernel pack its parameters, and asks the
backend for a `Program` that runs the plan with them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from archforge.errors import Note, fail
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
    "require_dtype",
    "unpacked",
]

Pack = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def unpacked(params: Mapping[str, Array]) -> Mapping[str, Array]:
    """Parameters as they are: the packing of a kernel that needs none."""
    return params


@dataclass(frozen=True, slots=True)
class Epilogue:
    """Ops that a kernel applies to its result before it writes it: a merge with one more input, which is its
    last one, and then an activation."""

    merge: Op | None = None
    activation: Op | None = None


@dataclass(frozen=True, slots=True)
class Kernel:
    """A way to compute one op on inputs of certain types.

    run: takes the packed parameters and the inputs, in the backend's form, and gives the output; it is
    called with the keyword `epilogue` where nodes of the kinds in `absorbs` follow. pack: lays out the
    parameters, by the op's names for them, once when they are loaded; the backend then takes each array
    over with `constant`. packing: kernels of equal ops with equal `packing` lay out equal parameters
    equally, whatever the size of their inputs; None promises nothing. tile_error: 0 where the rounding error
    of an output depends on its own inputs alone; else that error, in float32 and in deviations of the output,
    for a number nearby that is as large as its inputs: one that is 1000 times larger makes 1000 times of it.
    growth: bytes of packed parameters for each byte of the op's own, about. is_slow: True for the reference
    kernel of an op that the backend has no faster one for, where it is the backend's own.
    """

    run: Callable[..., Any]
    pack: Pack = unpacked
    absorbs: frozenset[str] = frozenset()
    packing: Hashable = None
    tile_error: float = 0.0
    growth: float = 1.0
    is_slow: bool = False

    def packs_like(self, other: Kernel) -> bool:
        """True if parameters that one of the two has packed serve the other."""
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
        """The values that the step reads: its node's, then the one that its epilogue merges."""
        return self.chain.inputs

    @property
    def output(self) -> str:
        """The value that the step makes."""
        return self.chain.output

    @property
    def layer(self) -> str:
        """The name of the step's layer in a weights file; that of its node where it has no parameters."""
        # Folding a batch norm joins its name to the convolution's by a plus.
        return self.node.params_of.partition("+")[0] if self.params else self.node.name

    def run(self, params: Mapping[str, Any], *inputs: Any, **options: Any) -> Any:
        """The value that the step makes, from its packed parameters and the values that it reads, all in the
        backend's form. `options` go to the kernel."""
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
    def tile_error(self) -> float:
        """The largest `tile_error` of the steps' kernels."""
        return max((step.kernel.tile_error for step in self.steps), default=0.0)

    @property
    def fallbacks(self) -> tuple[Node, ...]:
        """The nodes that run on reference kernels for want of the backend's own."""
        return tuple(s.node for s in self.steps if s.is_fallback)

    @property
    def fallback_kinds(self) -> tuple[str, ...]:
        """The kinds of their ops, each once."""
        return tuple(dict.fromkeys(node.op.kind for node in self.fallbacks))

    @property
    def slow_kinds(self) -> tuple[str, ...]:
        """The kinds of the ops that run on reference kernels, whether or not these are the backend's own."""
        slow = (s.node.op.kind for s in self.steps if s.is_fallback or s.kernel.is_slow)
        return tuple(dict.fromkeys(slow))


class Watcher:
    """A listener to a watched call, told what has just been done; a subclass overrides what it needs."""

    def took_inputs(self) -> None:
        """Called when the inputs are where the steps read them."""

    def made(self, value: str) -> None:
        """Called when a part of the step that makes `value` is done: all of it, or the part for one image."""

    def gave_outputs(self) -> None:
        """Called when the outputs are arrays that the caller may keep."""


class Program(Protocol):
    """A plan with packed parameters, as a function from arrays of the inputs to arrays of the values that a
    caller sees, by their names. Threads may call it together."""

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]: ...

    def watched(self, inputs: Mapping[str, Array], watcher: Watcher) -> dict[str, Array]:
        """A call that does one step after the other, and tells `watcher` when each is done."""
        ...


@runtime_checkable
class Backend(Protocol):
    """A way to run graphs. Ops that it cannot lower run on their reference kernel in NumPy."""

    @property
    def name(self) -> str:
        """The name of its package, by which users ask for it."""
        ...

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Names of the dtypes that it can compute in, its default first."""
        ...

    def preference(self) -> int:
        """Rank for `auto`, which takes the backend with the greatest; 0 for one that is not installed or
        runs only when asked for by name."""
        ...

    def require(self) -> None:
        """Raises E0701 where the backend cannot run, with what would make it."""
        ...

    def facts(self) -> Mapping[str, str]:
        """Properties of its library and of the machine for `archforge info`, in words by name, the library's
        `version` first; a dtype that not every machine can compute in has a fact under its name. Called after
        `require`."""
        ...

    def lowerings(self, dtype: str, without: frozenset[str] = frozenset()) -> Mapping[str, Lowering]:
        """Lowerings by kind of op for values in `dtype`, `without` some of `SWITCHES`; called after
        `require`."""
        ...

    def packers(self) -> int:
        """Number of threads that may pack parameters at once."""
        ...

    def enter(self, array: Array, dtype: str) -> Any:
        """An array float[N, *shape], as the reference kernels take it, in the backend's form."""
        ...

    def leave(self, value: Any) -> Array:
        """A value in the backend's form as an array float[N, *shape]; float32 where NumPy lacks its dtype."""
        ...

    def constant(self, array: Array, dtype: str) -> Any:
        """A packed parameter in the backend's form; its axes stay."""
        ...

    def program(self, plan: Plan, params: tuple[Mapping[str, Any], ...]) -> Program:
        """A program that runs the plan with the packed parameters of each step: an `Interpreter`, or one of
        the backend's own."""
        ...


def require_dtype(backend: Backend, dtype: str) -> None:
    """Raises E0703 for a dtype that the backend lacks, with the reason if it is one of this machine."""
    if dtype not in backend.dtypes:
        reason = backend.facts().get(dtype, "")
        fail(
            "E0703",
            f"the backend {backend.name} cannot compute in {dtype}",
            notes=[Note(f"{dtype} {reason}")] if reason else [],
            help=f"dtypes of {backend.name}: {', '.join(backend.dtypes)}",
        )


@runtime_checkable
class Tunable(Backend, Protocol):
    """A backend that has several kernels for some ops, and keeps which one is the fastest on this machine."""

    def use_of(self, op: Op, *inputs: TensorType) -> str:
        """The name that a choice is kept under: the op, as it is used on inputs of these types."""
        ...

    def alternatives(self, op: Op, *inputs: TensorType) -> tuple[str, ...]:
        """Names of the kernels that can compute the op on such inputs, first the one taken untuned."""
        ...

    def choice_of(self, kernel: Kernel) -> str:
        """The name, as `alternatives` has it, of a kernel of an op that has several."""
        ...

    def choosing(self, choices: Mapping[str, str]) -> Backend:
        """A backend like this one that takes the named kernels, by use, whatever is kept."""
        ...

    def keep(self, choices: Mapping[str, str]) -> Path:
        """Take the named kernels from now on, in every process. Returns the file of it. Raises E0705."""
        ...

    def forget(self) -> int:
        """Drop all choices that are kept. Returns the number of files that held some. Raises E0705."""
        ...

    def require_writable_cache(self) -> None:
        """Raises E0705 where no choices can be kept."""
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
    """Machine code on disk, which processes share: its folder, the size in bytes of each function, and the
    reason why no more can be kept, empty if more can."""

    folder: Path
    function_bytes: tuple[int, ...]
    hindrance: str = ""


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
        """The machine code that is kept now. Raises E0705 where there is no folder for it."""
        ...

    def require_writable_cache(self) -> None:
        """Raises E0705 where no machine code can be kept."""
        ...
