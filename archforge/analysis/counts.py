"""Counts of a graph: layers, weights, biases, buffers and multiply-accumulates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from archforge.ir import Op, TensorType, TypedGraph
from archforge.spec.binding.tensors import Draft, FoldedDraft, FoldedSection, Tensor
from archforge.spec.expand.expand import FoldedExpansion

__all__ = ["Counts", "count", "count_folded", "figures"]


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals of one network. `params` is weights plus biases; buffers are not among them.

    `weights` are kernels, matrices and the gamma and beta of norms, `biases` those of convolutions,
    linear and recurrent layers. `macs` are of convolutions and matrix products for one image, as far
    as the first output needs them; FLOPs are twice as many. `layers` are op nodes, merges left out.
    `activations` are elements of the outputs of those convolutions and matrix products, as
    arXiv:2003.13678 counts them.
    """

    layers: int
    weights: int
    biases: int
    buffers: int
    macs: int
    activations: int

    @property
    def params(self) -> int:
        """Weights and biases together."""
        return self.weights + self.biases

    def by_name(self) -> dict[str, int]:
        """Each count under its name: those of cells, and `activations`."""
        return self.by_cell() | {"activations": self.activations}

    def by_cell(self) -> dict[str, int]:
        """Each count under the name of its cell in `expect`, which every output of ours uses."""
        return {
            "layers": self.layers,
            "weights": self.weights,
            "biases": self.biases,
            "params": self.params,
            "buffers": self.buffers,
            "macs": self.macs,
        }


def figures(typed: TypedGraph, counts: Counts) -> dict[str, int | str]:
    """Every figure of a graph that `expect` may hold without a rule, under the name of its cell: its counts,
    and the shapes of its inputs and outputs, `3x224x224`."""
    inputs, outputs = typed.inputs.values(), (typed.types[value] for value in typed.outputs.values())
    return {**counts.by_cell(), "input": _shapes(inputs), "output": _shapes(outputs)}


def _shapes(types: Iterable[TensorType]) -> str:
    return ", ".join(map(str, types))


def count(typed: TypedGraph) -> Counts:
    """Totals over the whole graph; arrays that several nodes share count once."""
    totals, tallies = _NodeTotals(), _Tallies()
    counted: set[str] = set()
    needed = typed.needed_by(list(typed.outputs.values())[:1])
    for node in typed.nodes:
        tally = tallies.of(node.op, typed.input_types(node), typed.types[node.name])
        is_owner = node.params_of not in counted
        counted.add(node.params_of)
        totals.add(tally, is_needed=node.name in needed, is_owner=is_owner)
    return Counts(*totals.tally())


def count_folded(expansion: FoldedExpansion) -> Counts:
    """Totals over the nodes of an expansion, those that are folded too."""
    output = next(iter(expansion.outputs.values()))
    counter = _FoldedCounter(expansion.drafts)
    return Counts(*counter.totals(0, len(expansion.drafts), output)[0])


class _Tally(NamedTuple):
    """The counts that one node adds, or several: the fields of `Counts`."""

    layers: int
    weights: int
    biases: int
    buffers: int
    macs: int
    activations: int


@dataclass(slots=True)
class _NodeTotals:
    """Sums of tallies."""

    layers: int = 0
    weights: int = 0
    biases: int = 0
    buffers: int = 0
    macs: int = 0
    activations: int = 0

    def add(self, tally: _Tally, *, is_needed: bool, is_owner: bool = True) -> None:
        """Add a node. is_needed: by the first output. is_owner: of its parameters, which it shares with no
        node before it."""
        self.layers += tally.layers
        if is_needed:
            self.macs += tally.macs
            self.activations += tally.activations
        if is_owner:
            self.weights += tally.weights
            self.biases += tally.biases
            self.buffers += tally.buffers

    def tally(self) -> _Tally:
        return _Tally(self.layers, self.weights, self.biases, self.buffers, self.macs, self.activations)


class _Tallies:
    """Tallies of nodes by op and types, of which many are equal."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, tuple[TensorType, ...]], _Tally] = {}

    def of(self, op: Op, types: tuple[TensorType, ...], output: TensorType) -> _Tally:
        key = (id(op), types)
        tally = self._known.get(key)
        if tally is None:
            tally = self._known[key] = _tally(op, types, output)
        return tally


def _tally(op: Op, types: tuple[TensorType, ...], output: TensorType) -> _Tally:
    sizes = {"weight": 0, "bias": 0, "buffer": 0}
    for decl in op.params(*types).values():
        sizes[decl.role] += decl.size
    macs = op.macs(*types)
    activations = output.size if macs else 0
    return _Tally(op.counts_as_layer, sizes["weight"], sizes["bias"], sizes["buffer"], macs, activations)


class _FoldedCounter:
    """Counts of drafts, each section of which is counted once."""

    def __init__(self, drafts: Sequence[Draft]) -> None:
        self._drafts = drafts
        self._tallies = _Tallies()
        self._sections: dict[int, tuple[_Tally, bool]] = {}

    def totals(self, start: int, stop: int, output: Tensor) -> tuple[_Tally, bool]:
        """Totals of some drafts, and whether their output depends on a value from outside."""
        totals = _NodeTotals()
        needed = {id(output.draft)}
        for draft in reversed(self._drafts[start:stop]):
            is_needed, reads = id(draft) in needed, True
            if isinstance(draft, FoldedDraft):
                tally, reads = self._section(draft.section)
            else:
                types = tuple([value.type for value in draft.inputs])
                tally = self._tallies.of(draft.op, types, draft.type)
            totals.add(tally, is_needed=is_needed)
            if is_needed and reads:
                needed.update([id(value.draft) for value in draft.inputs])
        needed.difference_update(map(id, self._drafts[start:stop]))
        return totals.tally(), bool(needed)

    def _section(self, section: FoldedSection) -> tuple[_Tally, bool]:
        found = self._sections.get(id(section))
        if found is None:
            found = self.totals(section.start, section.stop, section.output)
            self._sections[id(section)] = found
        return found
