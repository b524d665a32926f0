"""Recording of a training plan on a tape: every node forward, the loss, and nodes on the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator

from archforge.backends.numba.families.elementwise import record_elements
from archforge.backends.numba.families.moves import along
from archforge.backends.numba.runtime.opcodes import ADD
from archforge.backends.numba.runtime.tape import Tape, TapeValue
from archforge.backends.numba.training.kernel import GradientArray, NodeOnTape, TrainingKernel, WayBack
from archforge.ir import Backward, Node
from archforge.ops.base import Array
from archforge.plan.backward import TrainingPlan
from archforge.plan.learner import Completed, OutputGradients
from archforge.plan.training_step import TrainingStep

__all__ = ["Batch", "TapeRecorder", "TrainedNodes"]


@dataclass(slots=True, eq=False)
class Batch:
    """A batch on its way through a tape: what it was given, and what calls in Python have found."""

    draws: Callable[[str], Generator]
    loss: OutputGradients
    complete: Completed | None = None
    reached: tuple[str, ...] = ()  # the parameters that get gradients
    saved: dict[str, Any] = field(default_factory=dict)  # what op files keep for the way back, by node
    buffers: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class TrainedNodes:
    """A training plan with the kernel of each of its nodes, None for those that run on their op's file, and
    the activations that kernels absorb, by the node before them."""

    plan: TrainingPlan
    kernels: Mapping[str, TrainingKernel | None]
    activations: Mapping[str, Node]


class TapeRecorder:
    """A tape under construction for one size of batch.

    params, gradients, buffers: arrays by full names, which calls find where they are. batch: the one that is
    on its way when a call in Python is run.
    """

    def __init__(
        self,
        nodes: TrainedNodes,
        images: int,
        params: Mapping[str, Array],
        gradients: Mapping[str, Array],
        buffers: Mapping[str, Array],
        batch: Callable[[], Batch],
    ) -> None:
        self._nodes, self._plan, self._batch = nodes, nodes.plan, batch
        self._params, self._gradients, self._buffers = params, gradients, buffers
        self._tape = Tape(images, self._plan.typed.types, {})
        inputs = self._plan.typed.inputs.items()
        self._values = {name: self._tape.input(name, t.shape) for name, t in inputs}
        self._on = {step.node.name: self._node(step) for step in self._plan.forward}
        self._sums: dict[str, TapeValue] = {}  # gradients of values, as far as users have added to them
        self._begun: set[str] = set()  # parameters whose gradient has been written

    def recorded(self, *, tells: bool) -> Tape:
        """The tape of a whole step. tells: `Batch.complete` is called on the way back."""
        absorbed = {node.name for node in self._nodes.activations.values()}
        for step in self._plan.forward:
            if step.node.name not in absorbed:
                self._forward(step)
        self._loss()
        for step in self._plan.backward:
            if step.node.name not in absorbed:
                (self._forward if step.again else self._backward)(step)
            if tells and step.completes:
                self._tell(step.completes)
        return self._tape

    def _node(self, step: TrainingStep) -> NodeOnTape:
        activation = self._nodes.activations.get(step.node.name)
        return NodeOnTape(
            self._tape,
            {name: self._params[full] for name, full in step.params.items()},
            lambda name: self._gradient(step.params.get(name)),
            {name: self._buffers[full] for name, full in step.params.items() if full in self._buffers},
            lambda: self._batch().draws(step.node.name),
            activation.op if activation else None,
        )

    def _gradient(self, name: str | None) -> GradientArray | None:
        """The array for one more use of a parameter, if it is trained."""
        if name is None or name not in self._plan.trained:
            return None
        gradient = GradientArray(self._gradients[name], name in self._begun)
        self._begun.add(name)
        return gradient

    def _made_by(self, node: Node) -> str:
        """The value that the kernel of a node makes: that of the activation behind it, if it has one."""
        return self._nodes.activations.get(node.name, node).name

    # Forward

    def _forward(self, step: TrainingStep) -> None:
        node = step.node
        self._tape.current = node.name
        inputs = tuple(self._values[v] for v in node.inputs)
        kernel = self._nodes.kernels[node.name]
        if kernel is None:
            self._values[node.name] = self._through_file(step, inputs)
        else:
            made = kernel.forward(self._on[node.name], *inputs)
            self._values[self._made_by(node)] = along(made, 0)

    def _through_file(self, step: TrainingStep, inputs: tuple[TapeValue, ...]) -> TapeValue:
        """Record a node that its op's file computes."""
        node, params = step.node, self._on[step.node.name].params

        def compute(*arrays: Array) -> tuple[Array]:
            batch = self._batch()
            made = node.op.train(params, *arrays, draw=batch.draws(node.name))
            if step.saves:
                batch.saved[node.name] = made.saved
            batch.buffers |= {step.params[name]: array for name, array in made.buffers.items()}
            return (made.output,)

        out = self._tape.output(self._plan.typed.types[node.name].shape)
        self._tape.python_call(compute, inputs, (out,))
        return out

    # The loss

    def _loss(self) -> None:
        """Record the call of the loss, with the gradients that the way back needs of it."""
        self._tape.current = "loss"
        outputs, reached = self._plan.outputs, {step.node.name for step in self._plan.gradients}
        wanted = [name for name in outputs if name in reached]

        def compute(*arrays: Array) -> list[Array]:
            batch = self._batch()
            found = batch.loss(dict(zip(outputs, arrays, strict=True)))
            batch.reached = self._plan.reached_from(found)
            shapes = {name: a.shape for name, a in zip(outputs, arrays, strict=True)}
            return [found[n] if n in found else np.zeros(shapes[n], np.float32) for n in wanted]

        values = [self._values[name] for name in outputs]
        self._sums = {name: self._tape.temporary(self._values[name].shape) for name in wanted}
        self._tape.python_call(compute, values, [*self._sums.values()])

    # Back

    def _backward(self, step: TrainingStep) -> None:
        node, kernel = step.node, self._nodes.kernels[step.node.name]
        made = self._made_by(node)
        self._tape.current = f"gradient of {node.name}"
        back = WayBack(
            tuple(self._values[v] for v in node.inputs),
            self._values[made],
            self._sums.pop(made),
            tuple(v in step.of_inputs for v in node.inputs),
            tuple(self._sums.get(v) for v in node.inputs),
        )
        if kernel is None:
            self._through_gradient_of_file(step, back)
            return
        found = kernel.backward(self._on[node.name], back)
        for value, wanted, d in zip(node.inputs, back.wanted, found, strict=False):
            if wanted and d is not None:
                if kernel.adds:
                    self._sums.pop(value, None)
                self._add(value, along(d, 0))

    def _through_gradient_of_file(self, step: TrainingStep, back: WayBack) -> None:
        """Record a gradient that the op's file computes."""
        node, params = step.node, self._on[step.node.name].params
        reads = node.op.gradient_reads
        read = [*(back.inputs if "inputs" in reads else ()), *([back.output] if "output" in reads else ())]
        wanted = [i for i, is_wanted in enumerate(back.wanted) if is_wanted]
        trained = {name: self._on[node.name].gradient(name) for name in step.params} if step.of_params else {}
        images = self._tape.images

        def compute(dy: Array, *arrays: Array) -> list[Array]:
            left = [*arrays]

            def seen(value: TapeValue, is_read: bool) -> Array:
                """The value, or where its elements are not read its shape alone."""
                return left.pop(0) if is_read else np.broadcast_to(np.float32(0), (images, *value.shape))

            inputs = tuple(seen(value, "inputs" in reads) for value in back.inputs)
            output = seen(back.output, "output" in reads)
            saved = self._batch().saved.pop(node.name, None)
            found = node.op.gradient(
                Backward(params, inputs, output, saved, dy, bool(wanted), step.of_params)
            )
            for name, into in trained.items():
                if into is not None:
                    into.array[...] = into.array + found.params[name] if into.adds else found.params[name]
            return [found.inputs[i] for i in wanted]

        made = [self._tape.temporary(back.inputs[i].shape) for i in wanted]
        self._tape.python_call(compute, (back.dy, *read), made)
        for i, d in zip(wanted, made, strict=True):
            self._add(node.inputs[i], d)

    def _tell(self, names: tuple[str, ...]) -> None:
        """Record that these gradients are complete."""

        def compute() -> list[Array]:
            batch = self._batch()
            for name in names:
                if batch.complete and name in batch.reached:
                    batch.complete(name, self._gradients[name])
            return []

        self._tape.python_call(compute, (), ())

    def _add(self, value: str, d: TapeValue) -> None:
        """Add to the gradient of a value. What it was until now may be seen elsewhere, and stays."""
        if value in self._sums:
            d = record_elements(ADD, self._sums[value], d, out=self._tape.temporary(d.shape))
        self._sums[value] = d
