"""The learner of this backend: a training plan on one tape, forward, the loss, and back.

The tape is recorded once for each size of batch. Kernels of the table in `lowerings.py` record machine code;
other ops run on their own files in Python, between steps of machine code, and so does the loss. Values live
as long as calls of the tape touch them, so that those of both directions share one arena. Parameters are read
where the caller has them, and their gradients written to arrays of the learner's own, both as the op files
have them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.random import Generator

from archforge.backends.numba.runtime.tape import Tape, aligned
from archforge.backends.numba.runtime.workspace import Workspace
from archforge.backends.numba.training.kernel import TrainingKernel
from archforge.backends.numba.training.lowerings import TRAINING
from archforge.backends.numba.training.recorder import Batch, TapeRecorder, TrainedNodes
from archforge.errors import InternalError
from archforge.ir import Node
from archforge.ops.base import Array
from archforge.plan import LastUsed, Watcher
from archforge.plan.backward import TrainingPlan
from archforge.plan.learner import Completed, Learned, OutputGradients

__all__ = ["NumbaLearner"]


class NumbaLearner:
    """A training plan on machine code. It learns one batch at a time."""

    def __init__(self, plan: TrainingPlan) -> None:
        self._plan = plan
        kernels = {step.node.name: _lowered(step.node, plan) for step in plan.forward}
        self._nodes = TrainedNodes(plan, kernels, _absorbed(plan, kernels))
        decls = plan.typed.params()
        self._gradients = {name: aligned(decls[name].shape) for name in sorted(plan.trained)}
        self._buffers = {name: aligned(decls[name].shape) for name in _updated(plan)}
        self._given: dict[str, Array] = {}
        self._params: dict[str, Array] = {}
        self._workspaces = LastUsed(self._workspace, most=2)  # whole batches, and the last one of an epoch
        self._arena = aligned((0,), np.uint8)
        self._batch: Batch | None = None

    @property
    def fallbacks(self) -> tuple[str, ...]:
        nodes = (step.node for step in self._plan.forward)
        return tuple(dict.fromkeys(n.op.kind for n in nodes if self._nodes.kernels[n.name] is None))

    def learn(
        self,
        params: Mapping[str, Array],
        inputs: Mapping[str, Array],
        draws: Callable[[str], Generator],
        loss: OutputGradients,
        complete: Completed | None = None,
        watcher: Watcher | None = None,
    ) -> Learned:
        """One batch forward and back. A watcher is told after each call of the tape which step it was of: a
        node, `loss`, `gradient of NODE` or `weight gradient of NODE`."""
        self.bind(params)
        batch = self._batch = Batch(draws, loss, complete)
        workspace = self._workspaces.at((len(next(iter(inputs.values()))), complete is not None))
        if watcher:
            workspace.watched(inputs, {}, watcher)
        else:
            workspace.run(inputs, {})
        self._batch = None
        return Learned(
            {name: self._gradients[name] for name in batch.reached},
            {name: batch.buffers.get(name, array) for name, array in self._buffers.items()},
        )

    def bind(self, params: Mapping[str, Array]) -> None:
        """Have machine code read the parameters where they are, or copies of those that it cannot read."""
        if any(self._given.get(name) is not array for name, array in params.items()):
            self._given = dict(params)
            self._params = {name: np.asarray(array, np.float32, order="C") for name, array in params.items()}
            self._workspaces = LastUsed(self._workspace, most=2)
            return
        for name, array in params.items():
            if self._params[name] is not array:
                self._params[name][...] = array

    def recorded(self, images: int, *, tells: bool = False) -> Tape:
        """The tape for a size of batch, once there are parameters. tells: it calls `Batch.complete`."""
        arrays = (self._params, self._gradients, self._buffers)
        return TapeRecorder(self._nodes, images, *arrays, self._on_its_way).recorded(tells=tells)

    def _workspace(self, key: tuple[int, bool], _: list[Workspace]) -> Workspace:
        images, tells = key
        return Workspace(self.recorded(images, tells=tells), memory=self._memory)

    def _memory(self, size: int) -> Array:
        """Memory for the values of one size of batch, which the others use too if it is large enough."""
        if size > len(self._arena):
            self._arena = aligned((size,), np.uint8)
        return self._arena

    def _on_its_way(self) -> Batch:
        if self._batch is None:
            raise InternalError("a call in Python ran without a batch")
        return self._batch


def _updated(plan: TrainingPlan) -> Iterator[str]:
    """The buffers that training changes; others, such as indices, are only read."""
    for node in (step.node for step in plan.forward):
        if node.op.differs_in_training:
            decls = node.op.params(*plan.typed.input_types(node))
            yield from (node.param_name(name) for name, decl in decls.items() if decl.role == "buffer")


def _lowered(node: Node, plan: TrainingPlan) -> TrainingKernel | None:
    """The kernel for a node, if there is one."""
    lowering = TRAINING.get(node.op.kind)
    return lowering(node.op, *plan.typed.input_types(node)) if lowering else None


def _absorbed(plan: TrainingPlan, kernels: Mapping[str, TrainingKernel | None]) -> dict[str, Node]:
    """The activations that the kernel before them takes along, since nothing else reads what is between."""
    uses = Counter(value for step in plan.forward for value in step.node.inputs)
    uses.update(plan.outputs)
    found: dict[str, Node] = {}
    for step in plan.forward:
        before = step.node.inputs[0] if len(step.node.inputs) == 1 else ""
        kernel = kernels.get(before)
        if kernel and step.node.op.kind in kernel.absorbs and uses[before] == 1:
            found[before] = step.node
    return found
