"""Counts of a graph: layers, weights, biases, buffers and multiply-accumulates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
    totals, of_nodes = _NodeTotals(), _NodeCounts()
    counted: set[str] = set()
    needed = typed.needed_by(list(typed.outputs.values())[:1])
    for node in typed.nodes:
        added = of_nodes.of(node.op, typed.input_types(node), typed.types[node.name])
        is_owner = node.params_of not in counted
        counted.add(node.params_of)
        totals.add(added, is_needed=node.name in needed, is_owner=is_owner)
    return totals.counts()


def count_folded(expansion: FoldedExpansion) -> Counts:
    """Totals over the nodes of an expansion, those that are folded too."""
    output = next(iter(expansion.outputs.values()))
    counter = _FoldedCounter(expansion.drafts)
    return counter.totals(0, len(expansion.drafts), output)[0]


@dataclass(slots=True)
class _NodeTotals:
    """Sums of the counts of nodes."""

    layers: int = 0
    weights: int = 0
    biases: int = 0
    buffers: int = 0
    macs: int = 0
    activations: int = 0

    def add(self, added: Counts, *, is_needed: bool, is_owner: bool = True) -> None:
        """Add a node. is_needed: by the first output. is_owner: of its parameters, which it shares with no
        node before it."""
        self.layers += added.layers
        if is_needed:
            self.macs += added.macs
            self.activations += added.activations
        if is_owner:
            self.weights += added.weights
            self.biases += added.biases
            self.buffers += added.buffers

    def counts(self) -> Counts:
        return Counts(self.layers, self.weights, self.biases, self.buffers, self.macs, self.activations)


class _NodeCounts:
    """Counts of single nodes by op and types, of which many are equal."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, tuple[TensorType, ...]], Counts] = {}

    def of(self, op: Op, types: tuple[TensorType, ...], output: TensorType) -> Counts:
        key = (id(op), types)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _of_node(op, types, output)
        return found


def _of_node(op: Op, types: tuple[TensorType, ...], output: TensorType) -> Counts:
    sizes = {"weight": 0, "bias": 0, "buffer": 0}
    for decl in op.params(*types).values():
        sizes[decl.role] += decl.size
    macs = op.macs(*types)
    activations = output.size if macs else 0
    return Counts(op.counts_as_layer, sizes["weight"], sizes["bias"], sizes["buffer"], macs, activations)


class _FoldedCounter:
    """Counts of drafts, each section of which is counted once."""

    def __init__(self, drafts: Sequence[Draft]) -> None:
        self._drafts = drafts
        self._of_nodes = _NodeCounts()
        self._sections: dict[int, tuple[Counts, bool]] = {}

    def totals(self, start: int, stop: int, output: Tensor) -> tuple[Counts, bool]:
        """Totals of some drafts, and whether their output depends on a value from outside."""
        totals = _NodeTotals()
        needed = {id(output.draft)}
        for draft in reversed(self._drafts[start:stop]):
            is_needed, reads = id(draft) in needed, True
            if isinstance(draft, FoldedDraft):
                added, reads = self._section(draft.section)
            else:
                types = tuple([value.type for value in draft.inputs])
                added = self._of_nodes.of(draft.op, types, draft.type)
            totals.add(added, is_needed=is_needed)
            if is_needed and reads:
                needed.update([id(value.draft) for value in draft.inputs])
        needed.difference_update(map(id, self._drafts[start:stop]))
        return totals.counts(), bool(needed)

    def _section(self, section: FoldedSection) -> tuple[Counts, bool]:
        found = self._sections.get(id(section))
        if found is None:
            found = self.totals(section.start, section.stop, section.output)
            self._sections[id(section)] = found
        return found
