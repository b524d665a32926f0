"""Training steps of a graph: every op forward, then the ops that a gradient passes through backward.

The plan is of the typed graph before any pass: what folds or fuses layers for inference would take away what
is trained. It names no op. A value lives until the last step that reads it, forward or backward; of a value
that a gradient asks the shape alone, the shape stays. What a scope lets go of to save memory is made again by
steps forward among those backward, which `recompute.py` places.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from archforge.ir import Array, Backward, Node, TypedGraph
from archforge.ops.lazy_numpy import np
from archforge.plan.recompute import with_recomputation
from archforge.plan.training_step import TrainingStep, read_by

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["ForwardPass", "TrainingPlan", "training_plan"]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPlan:
    """The steps of one update but for its loss, which stands between `forward` and `backward`.

    outputs: the values that the loss reads. trained: full names of the parameters that get gradients.
    of_inputs: the inputs of the graph that get gradients too. recompute: indices of the scopes of which steps
    forward stand among those backward too.
    """

    typed: TypedGraph
    outputs: tuple[str, ...]
    trained: frozenset[str]
    of_inputs: frozenset[str]
    recompute: frozenset[int]
    forward: tuple[TrainingStep, ...]
    backward: tuple[TrainingStep, ...]

    @property
    def gradients(self) -> tuple[TrainingStep, ...]:
        """The steps that go back; the others among those backward go forward again."""
        return tuple(step for step in self.backward if not step.again)

    def keeping_all(self) -> TrainingPlan:
        """The plan in which nothing is made again."""
        frozen = self.typed.params().keys() - self.trained
        return training_plan(self.typed, self.outputs, frozen, self.of_inputs)

    @property
    def peak_elements(self) -> int:
        """The number of elements that values, their gradients and what ops save have at most at a time, for
        one sample."""
        types = self.typed.types
        live = peak = sum(type_.size for type_ in self.typed.inputs.values())

        def account(step: TrainingStep, more: int, less: int) -> None:
            nonlocal live, peak
            live += more
            peak = max(peak, live)
            live -= less + sum(types[name].size for name in step.frees)

        for step in self.forward:
            account(step, self._made_by(step), 0)
        gradients = set(self.outputs)
        live += sum(types[name].size for name in gradients)
        for step in self.backward:
            if step.again:
                account(step, self._made_by(step), 0)
                continue
            name, new = step.node.name, step.of_inputs - gradients
            own = types[name].size if name in gradients else 0
            account(step, sum(types[value].size for value in new), own + self._saved_of(step.node))
            gradients = gradients - {name} | new
        return peak

    def _made_by(self, step: TrainingStep) -> int:
        """The number of elements of what a step forward makes."""
        return self.typed.types[step.node.name].size + (self._saved_of(step.node) if step.saves else 0)

    def _saved_of(self, node: Node) -> int:
        return node.op.saved_elements(*self.typed.input_types(node))

    def run(
        self, params: Mapping[str, Array], inputs: Mapping[str, Array], draws: Callable[[str], Generator]
    ) -> ForwardPass:
        """The outputs for a batch, and the way back from them.

        params: every array by its full name. draws: the random numbers of a node, by its name, from their
        beginning at each call.
        """
        passed = ForwardPass(self, params, dict(inputs), draws)
        for step in self.forward:
            passed.step(step)
        return passed

    def reached_from(self, outputs: Collection[str]) -> tuple[str, ...]:
        """The trained parameters that these outputs alone give gradients, in the order in which those are
        complete."""
        of_values, found = {*outputs}, set[str]()
        for step in self.gradients:
            if step.node.name in of_values:
                of_values |= step.of_inputs
                found.update(step.params.values())
        return tuple(name for step in self.backward for name in step.completes if name in found)


@dataclass(slots=True, eq=False)
class ForwardPass:
    """The values of one batch that outputs and gradients need, and the new contents of `buffers`, by their
    full names. It can go back once; `input_gradients` are then those of the inputs that get some."""

    plan: TrainingPlan
    params: Mapping[str, Array]
    values: dict[str, Array]
    draws: Callable[[str], Generator]
    buffers: dict[str, Array] = field(default_factory=dict)
    input_gradients: dict[str, Array] = field(default_factory=dict)
    _saved: dict[str, Any] = field(default_factory=dict)

    @property
    def outputs(self) -> dict[str, Array]:
        """The values that the loss reads, by their names in the graph."""
        return {name: self.values[name] for name in self.plan.outputs}

    def step(self, step: TrainingStep) -> None:
        """Compute one node in training, for the first time or again."""
        node = step.node
        own = {name: self.params[full] for name, full in step.params.items()}
        made = node.op.train(own, *(self.values[v] for v in node.inputs), draw=self.draws(node.name))
        self.values[node.name] = made.output
        if step.saves:
            self._saved[node.name] = made.saved
        self.buffers |= {step.params[name]: array for name, array in made.buffers.items()}
        self._free(step)

    def back(
        self, gradients: Mapping[str, Array], complete: Callable[[str, Array], None] | None = None
    ) -> dict[str, Array]:
        """Gradients of the loss with respect to the trained parameters, by their full names.

        gradients: those with respect to the outputs, by their names in the graph; an output that the loss
        does not depend on is left out. complete: called with each gradient as soon as no step adds to it.
        """
        of_values, of_params, whole = dict(gradients), dict[str, Array](), dict[str, Array]()
        for step in self.plan.backward:
            if step.again:
                self.step(step)
                continue
            node = step.node
            dy = of_values.pop(node.name, None)
            saved = self._saved.pop(node.name, None)
            if dy is not None:
                found = node.op.gradient(self._on_the_way_back(step, saved, dy))
                for value, d in zip(node.inputs, found.inputs, strict=False):  # none where none is wanted
                    if value in step.of_inputs:
                        _add(of_values, value, d)
                for name, d in found.params.items():
                    if step.params[name] in self.plan.trained:
                        _add(of_params, step.params[name], d)
            for name in step.completes:
                if name in of_params:
                    whole[name] = of_params[name]
                    if complete:
                        complete(name, whole[name])
            self._free(step)
        self.input_gradients = {name: d for name, d in of_values.items() if name in self.plan.of_inputs}
        return whole

    def _on_the_way_back(self, step: TrainingStep, saved: Any, dy: Array) -> Backward:
        own = {name: self.params[full] for name, full in step.params.items()}
        inputs = tuple(self.values[v] for v in step.node.inputs)
        output = self.values[step.node.name]
        return Backward(own, inputs, output, saved, dy, bool(step.of_inputs), step.of_params)

    def _free(self, step: TrainingStep) -> None:
        """Let go of values that no later step reads; gradients may still ask for their shape and dtype."""
        for name in step.frees:
            old = self.values[name]
            self.values[name] = np.broadcast_to(np.zeros((), old.dtype), old.shape)


def _add(sums: dict[str, Array], name: str, more: Array) -> None:
    """Add to a sum that begins with its first summand; arrays that others may hold are left as they are."""
    sums[name] = sums[name] + more if name in sums else more


def training_plan(
    typed: TypedGraph,
    outputs: Collection[str] = (),
    frozen: Collection[str] = (),
    of_inputs: Collection[str] = (),
    recompute: Collection[int] = (),
) -> TrainingPlan:
    """The plan of one update of a graph.

    outputs: the values that the loss reads; the graph's own by default. frozen: full names of parameters
    that are not trained. of_inputs: inputs of the graph whose gradients are wanted. recompute: indices of the
    scopes whose inner values are computed again on the way back. Nodes that lead to no output are left out,
    and so is the way back through nodes before which nothing gets a gradient.
    """
    outputs = tuple(dict.fromkeys(outputs or typed.outputs.values()))
    trained = frozenset(n for n, decl in typed.params().items() if decl.role != "buffer") - {*frozen}
    needed = typed.needed_by(outputs)
    forward: list[TrainingStep] = []
    backward: list[TrainingStep] = []
    reached = set(of_inputs)  # values that depend on a trained parameter or on such an input
    for node in (n for n in typed.nodes if n.name in needed):
        own = {name: node.param_name(name) for name in node.op.params(*typed.input_types(node))}
        of_values = frozenset(reached.intersection(node.inputs))
        of_params = not trained.isdisjoint(own.values())
        forward.append(TrainingStep(node, own))
        if of_values or of_params:
            reached.add(node.name)
            backward.insert(0, TrainingStep(node, own, of_values, of_params))
    backward = [replace(s, completes=c) for s, c in zip(backward, _completes(trained, backward), strict=True)]
    forward, backward = with_recomputation(forward, backward, typed.scopes, recompute, outputs)
    frees = _frees(outputs, forward, backward)
    return TrainingPlan(
        typed,
        outputs,
        trained,
        frozenset(of_inputs),
        frozenset(recompute),
        tuple(replace(s, frees=f) for s, f in zip(forward, frees, strict=False)),
        tuple(replace(s, frees=f) for s, f in zip(backward, frees[len(forward) :], strict=True)),
    )


def _completes(trained: Collection[str], backward: list[TrainingStep]) -> list[tuple[str, ...]]:
    """The trained parameters that each step on the way back is the last to have."""
    last = {name: number for number, step in enumerate(backward) for name in step.params.values()}
    return [
        tuple(name for name in step.params.values() if name in trained and last[name] == number)
        for number, step in enumerate(backward)
    ]


def _frees(
    outputs: Collection[str], forward: Sequence[TrainingStep], backward: Sequence[TrainingStep]
) -> list[tuple[str, ...]]:
    """The values that each step, forward and then backward, lets go of. Those that the loss is the last to
    read are let go of by the step behind it."""
    order: list[tuple[str, Collection[str]]] = [(s.node.name, s.node.inputs) for s in forward]
    order += [("", outputs)]
    order += [(s.node.name, s.node.inputs) if s.again else ("", read_by(s.node)) for s in backward]
    frees: list[tuple[str, ...]] = []
    wanted: set[str] = set()  # by later steps
    for made, read in reversed(order):
        names = dict.fromkeys((*read, made) if made else read)
        frees.append(tuple(name for name in names if name not in wanted))
        wanted.discard(made)
        wanted.update(read)
    frees.reverse()
    behind_loss = frees.pop(len(forward))
    if backward:
        frees[len(forward)] += behind_loss
    return frees
