"""The learner of this backend: the kernels of inference and their packing, differentiated by MLX itself.

One forward pass is traced, with parameters as the op files have them. The loss is computed in NumPy from the
outputs as soon as they are there; what MLX differentiates is the sum of the outputs times the gradients that
the loss gave, which has the same derivatives. MLX gives all gradients together, at the end. At ties of max
pooling the last of the largest gets the gradient, not the first as in torch. While MLX traces it keeps all
values, also those within `mx.checkpoint` (MLX 0.32.4: of a chain of 3 x 20 operations 121 values of 121, with
and without), so that steps forward again are of no use here, and are not made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.random import Generator

from archforge.backends.mlx.channels_last import channels_first, channels_last
from archforge.backends.mlx.lowerings import LOWERINGS
from archforge.backends.mlx.sums import mean
from archforge.ir import Backward, Node
from archforge.ops.base import Array
from archforge.ops.batch_norm import BatchNorm
from archforge.plan import Kernel
from archforge.plan.backward import TrainingPlan
from archforge.plan.learner import Completed, Learned, OutputGradients
from archforge.plan.training_step import TrainingStep

__all__ = ["MlxLearner"]

# Kinds of ops whose kernels have no derivative where all of a window or map is 0.
_BY_OP_FILE = frozenset(("global_response_norm", "lp_pool"))


class MlxLearner:
    """A training plan on MLX, for values in `dtype`; parameters and their gradients are float32."""

    def __init__(self, plan: TrainingPlan, dtype: str) -> None:
        self._plan, self._dtype = plan, getattr(mx, dtype)
        self._kernels = {step.node.name: _kernel(step.node, plan) for step in plan.forward}

    @property
    def fallbacks(self) -> tuple[str, ...]:
        nodes = (step.node for step in self._plan.forward)
        missing = (n.op.kind for n in nodes if self._kernels[n.name] is None and not _has_own_form(n))
        return tuple(dict.fromkeys(missing))

    def learn(
        self,
        params: Mapping[str, Array],
        inputs: Mapping[str, Array],
        draws: Callable[[str], Generator],
        loss: OutputGradients,
        complete: Completed | None = None,
    ) -> Learned:
        fixed = {name: mx.array(array) for name, array in params.items() if name not in self._plan.trained}
        buffers: dict[str, mx.array] = {}
        given: Mapping[str, Array] = {}

        def loss_of(trained: dict[str, mx.array]) -> mx.array:
            nonlocal given
            values = {name: self._entered(x) for name, x in inputs.items()}
            for step in self._plan.forward:
                own = {n: (trained | fixed)[full] for n, full in step.params.items()}
                values[step.node.name] = self._forward(step, own, values, draws, buffers)
            given = loss({name: _left(values[name]) for name in self._plan.outputs})
            parts = (
                mx.sum(values[n].astype(mx.float32) * channels_last(mx.array(d))) for n, d in given.items()
            )
            return sum(parts, mx.array(0.0))

        found: dict[str, mx.array] = {}
        trained = {name: mx.array(params[name]) for name in sorted(self._plan.trained)}
        if trained:
            _, found = mx.value_and_grad(loss_of)(trained)
        else:  # which MLX takes for a mistake
            loss_of({})
        mx.eval(found, buffers)
        gradients = {name: np.array(found[name]) for name in self._plan.reached_from(given)}
        if complete:
            for name, gradient in gradients.items():
                complete(name, gradient)
        return Learned(gradients, {name: np.array(array) for name, array in buffers.items()})

    def _entered(self, array: Array) -> mx.array:
        return channels_last(mx.array(np.asarray(array, np.float32))).astype(self._dtype)

    def _forward(
        self,
        step: TrainingStep,
        own: Mapping[str, mx.array],
        values: Mapping[str, mx.array],
        draws: Callable[[str], Generator],
        buffers: dict[str, mx.array],
    ) -> mx.array:
        """The value of a node; new contents of its buffers go to `buffers`, by their full names."""
        node, inputs = step.node, [values[name] for name in step.node.inputs]
        if type(node.op) is BatchNorm:
            y, statistics = _batch_norm(node.op, own, inputs[0])
            buffers |= {step.params[name]: array for name, array in statistics.items()}
            return y
        if _is_dropout(node):
            # What a dropout multiplies by is what it makes of ones.
            ones = np.ones(_left_shape(inputs[0]), np.float32)
            return inputs[0] * self._entered(node.op.train({}, ones, draw=draws(node.name)).output)
        kernel = self._kernels[node.name]
        if kernel is None:
            return self._by_op_file(step, own, inputs, draws(node.name), buffers)
        cast: Any = {name: array.astype(self._dtype) for name, array in own.items()}
        packed = {n: mx.array(array).astype(self._dtype) for n, array in kernel.pack(cast).items()}
        made: mx.array = kernel.run(packed, *inputs)
        return made

    def _by_op_file(
        self,
        step: TrainingStep,
        own: Mapping[str, mx.array],
        inputs: list[mx.array],
        draw: Generator,
        buffers: dict[str, mx.array],
    ) -> mx.array:
        """The value of a node in NumPy, with the gradient of the op's own file."""
        op, names = step.node.op, [*own]
        back: list[Backward] = []

        def forward(*arrays: mx.array) -> mx.array:
            given = tuple(map(_left, arrays[: len(inputs)]))
            params = {n: np.array(a) for n, a in zip(names, arrays[len(inputs) :], strict=True)}
            made = op.train(params, *given, draw=draw)
            back.append(Backward(params, given, made.output, made.saved, made.output))
            buffers.update({step.params[n]: mx.array(a) for n, a in made.buffers.items()})
            return self._entered(made.output)

        def gradients(primals: Any, cotangent: mx.array, output: mx.array) -> tuple[mx.array, ...]:
            found = op.gradient(back[-1]._replace(dy=_left(cotangent)))
            of_inputs = [self._entered(d) for d in found.inputs] or [mx.zeros_like(x) for x in inputs]
            of_params = (found.params.get(n) for n in names)
            return (
                *of_inputs,
                *(
                    mx.zeros_like(own[n]) if d is None else mx.array(d)
                    for n, d in zip(names, of_params, strict=True)
                ),
            )

        function: Any = mx.custom_function(forward)
        function.vjp(gradients)
        value: mx.array = function(*inputs, *own.values())
        return value


def _kernel(node: Node, plan: TrainingPlan) -> Kernel | None:
    """The kernel of inference, if MLX can differentiate it."""
    lowering = None if node.op.kind in _BY_OP_FILE else LOWERINGS.get(node.op.kind)
    return lowering(node.op, *plan.typed.input_types(node)) if lowering else None


def _is_dropout(node: Node) -> bool:
    """True if the op at inference returns its input, and in training a random part of it."""
    return node.op.is_identity and node.op.differs_in_training


def _has_own_form(node: Node) -> bool:
    return type(node.op) is BatchNorm or _is_dropout(node)


def _batch_norm(
    op: BatchNorm, own: Mapping[str, mx.array], x: mx.array
) -> tuple[mx.array, dict[str, mx.array]]:
    """A batch norm in training, and its running statistics, as the op's file has them."""
    wide, axes = x.astype(mx.float32), list(range(x.ndim - 1))
    elements = x.size // x.shape[-1]
    average = mean(wide, axes)
    centred = wide - average
    variance = mean(mx.square(centred), axes)
    y = centred * mx.rsqrt(variance + op.eps)
    y = y * own["weight"] if "weight" in own else y
    y = y + own["bias"] if "bias" in own else y
    found = {"running_mean": average, "running_var": variance * (elements / max(elements - 1, 1))}
    statistics = {
        name: own[name] + op.momentum * (mx.stop_gradient(new).reshape(-1) - own[name])
        for name, new in found.items()
    }
    return y.astype(x.dtype), statistics


def _left(value: mx.array) -> Array:
    """A value in the reference's order of axes, float32."""
    return np.ascontiguousarray(np.array(channels_first(value.astype(mx.float32))))


def _left_shape(value: mx.array) -> tuple[int, ...]:
    shape = tuple(value.shape)
    return (shape[0], shape[-1], *shape[1:-1])
