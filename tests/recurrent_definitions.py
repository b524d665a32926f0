"""Recurrent layers as plain loops: step by step and unit by unit, each product one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from archforge.ops.base import Array

__all__ = ["RECURRENT", "RECURRENT_PRODUCTS"]

Params = Mapping[str, Array]
Row = list[float]


class Sums:
    """Sums that the gates take: rows of weights times a vector, plus a bias. Keeps every product."""

    def __init__(self, params: Params, end: str = "") -> None:
        self.params, self.end = params, end
        self.products: Row = []

    def of(self, side: str, row: int, vector: Row) -> float:
        weights = self.params[f"weight_{side}_l0{self.end}"][row]
        products = [float(w) * v for w, v in zip(weights, vector, strict=True)]
        self.products += products
        name = f"bias_{side}_l0{self.end}"
        return math.fsum(products) + (float(self.params[name][row]) if name in self.params else 0.0)


def sigmoid(v: float) -> float:
    return math.exp(v) / (1 + math.exp(v)) if v < 0 else 1 / (1 + math.exp(-v))


def rnn(op: Any, sums: Sums, x: Row, state: Row, cell: Row) -> tuple[Row, Row]:
    totals = [sums.of("ih", j, x) + sums.of("hh", j, state) for j in range(op.hidden)]
    return [math.tanh(v) if op.activation == "tanh" else max(v, 0.0) for v in totals], cell


def lstm(op: Any, sums: Sums, x: Row, state: Row, cell: Row) -> tuple[Row, Row]:
    new_state, new_cell = [], []
    for j in range(op.hidden):
        into, forget, candidate, out = (
            sums.of("ih", gate * op.hidden + j, x) + sums.of("hh", gate * op.hidden + j, state)
            for gate in range(4)
        )
        new_cell.append(sigmoid(forget) * cell[j] + sigmoid(into) * math.tanh(candidate))
        new_state.append(sigmoid(out) * math.tanh(new_cell[j]))
    return new_state, new_cell


def gru(op: Any, sums: Sums, x: Row, state: Row, cell: Row) -> tuple[Row, Row]:
    h = op.hidden
    reset, update = (
        [sigmoid(sums.of("ih", g * h + j, x) + sums.of("hh", g * h + j, state)) for j in range(h)]
        for g in range(2)
    )
    if op.linear_before_reset:
        past = [r * sums.of("hh", 2 * h + j, state) for j, r in enumerate(reset)]
    else:
        let_through = [r * s for r, s in zip(reset, state, strict=True)]
        past = [sums.of("hh", 2 * h + j, let_through) for j in range(h)]
    new = [math.tanh(sums.of("ih", 2 * h + j, x) + past[j]) for j in range(h)]
    return [(1 - z) * n + z * s for z, n, s in zip(update, new, state, strict=True)], cell


STEPS: dict[str, Callable[[Any, Sums, Row, Row, Row], tuple[Row, Row]]] = {
    "gru": gru,
    "lstm": lstm,
    "rnn": rnn,
}


def run(op: Any, sums: Sums, x: Array) -> Array:
    state = cell = [0.0] * op.hidden
    states = []
    for row in x.tolist():
        state, cell = STEPS[op.kind](op, sums, row, state, cell)
        states.append(state)
    return np.array(states)


def run_all(op: Any, params: Params, x: Array) -> tuple[Array, Row]:
    """The states, and all products."""
    there = Sums(params)
    states = run(op, there, x)
    if not op.bidirectional:
        return states, there.products
    back = Sums(params, "_reverse")
    return np.concatenate([states, run(op, back, x[::-1])[::-1]], axis=1), there.products + back.products


def define(op: Any, params: Params, x: Array) -> Array:
    return run_all(op, params, x)[0]


def products(op: Any, params: Params, x: Array) -> Iterator[tuple[None, float]]:
    return ((None, product) for product in run_all(op, params, x)[1])


RECURRENT: dict[str, Callable[[Any, Params, Array], Array]] = dict.fromkeys(STEPS, define)
RECURRENT_PRODUCTS: dict[str, Callable[[Any, Params, Array], Iterator[tuple[None, float]]]] = dict.fromkeys(
    STEPS, products
)
