"""Gradients of op examples: on random inputs, and on whole numbers, where ops have ties and kinks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from archforge.ir import Backward, Forward, Gradients
from archforge.ops.base import Array
from tests.op_examples import OpExample

__all__ = ["backward", "edge_inputs", "projections", "train"]

BATCH = 3


def train(example: OpExample, params: dict[str, Array], inputs: tuple[Array, ...]) -> Forward:
    """The op in training, with equal draws at each call."""
    return example.op.train(params, *inputs, draw=np.random.default_rng(5))


def backward(
    example: OpExample, dtype: DTypeLike = "float64", inputs: tuple[Array, ...] | None = None, **changes: Any
) -> tuple[Backward, Gradients]:
    """The way back through the op on its own inputs or on others, from random gradients of its output."""
    params = example.params(dtype)
    inputs = example.inputs(dtype, BATCH) if inputs is None else inputs
    forward = train(example, params, inputs)
    dy = np.random.default_rng(2).standard_normal(forward.output.shape).astype(dtype)
    back = Backward(params, inputs, forward.output, forward.saved, dy)._replace(**changes)
    return back, example.op.gradient(back)


def edge_inputs(example: OpExample) -> tuple[Array, ...]:
    """Whole numbers, which tie and lie on the kinks of activations; the first of the batch is all zeros."""
    inputs = tuple(np.rint(x) for x in example.inputs("float64", BATCH))
    for x in inputs:
        x[0] = 0
    return inputs


def projections(found: Gradients) -> dict[str, list[float]]:
    """Products of each gradient with two random directions: a wrong element changes both."""
    rng = np.random.default_rng(7)
    named = {f"input {i}": d for i, d in enumerate(found.inputs)}
    named |= {f"parameter {name}": found.params[name] for name in sorted(found.params)}
    return {
        name: [float((d * rng.standard_normal(d.shape)).sum()) for _ in range(2)] for name, d in named.items()
    }
