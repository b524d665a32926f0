"""Recurrent layers: the input's part of all sums at once, then step by step.

The value [N, features, time] is turned to [N, time, features] and back. States and sums are float32
in every dtype, since a rounding of one step goes through all that follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mlx.core as mx

from archforge.backends.mlx.channels_last import Params, channels_first, channels_last
from archforge.ir import TensorType
from archforge.ops.base import Array
from archforge.ops.recurrent import Gru, Lstm, Rnn
from archforge.plan import Kernel

__all__ = ["gru", "lstm", "rnn"]

WEIGHTS, BIASES = ("weight_ih", "weight_hh"), ("bias_ih", "bias_hh")

State = tuple[mx.array, ...]
Step = Callable[[Params, mx.array, State], State]


def rnn(op: Rnn, x: TensorType) -> Kernel:
    def step(params: Params, total: mx.array, kept: State) -> State:
        total = total + kept[0] @ params["weight_hh"] + params["bias_hh"]
        return (mx.tanh(total) if op.activation == "tanh" else mx.maximum(total, 0),)

    return _over_time(op, x, step)


def lstm(op: Lstm, x: TensorType) -> Kernel:
    def step(params: Params, total: mx.array, kept: State) -> State:
        state, cell = kept
        total = total + state @ params["weight_hh"] + params["bias_hh"]
        fill, keep, new, read = mx.split(total, 4, axis=1)
        cell = mx.sigmoid(keep) * cell + mx.sigmoid(fill) * mx.tanh(new)
        return mx.sigmoid(read) * mx.tanh(cell), cell

    return _over_time(op, x, step)


def gru(op: Gru, x: TensorType) -> Kernel:
    rows = 2 * op.hidden  # of reset and update

    def step(params: Params, total: mx.array, kept: State) -> State:
        (state,) = kept
        weight, bias = params["weight_hh"], params["bias_hh"]
        gates = mx.sigmoid(total[:, :rows] + state @ weight[:, :rows] + bias[:rows])
        reset, update = mx.split(gates, 2, axis=1)
        if op.linear_before_reset:
            past = reset * (state @ weight[:, rows:] + bias[rows:])
        else:
            past = (reset * state) @ weight[:, rows:] + bias[rows:]
        return ((1 - update) * mx.tanh(total[:, rows:] + past) + update * state,)

    return _over_time(op, x, step)


def _over_time(op: Any, x: TensorType, step: Step) -> Kernel:
    steps, ends = x.shape[0], op.directions

    def run(params: Params, x: mx.array) -> mx.array:
        wide = channels_first(x).astype(mx.float32)
        states = []
        for end in ends:
            own = {name: params[f"{name}{end}"].astype(mx.float32) for name in (*WEIGHTS, *BIASES)}
            states.append(one_way(own, wide, backwards=end != ends[0]))
        return channels_last(mx.concatenate(states, axis=2).astype(x.dtype))

    def one_way(params: Params, x: mx.array, *, backwards: bool) -> mx.array:
        totals = x @ params["weight_ih"] + params["bias_ih"]
        kept = (mx.zeros((len(x), op.hidden)),) * op.kept
        states = []
        for t in reversed(range(steps)) if backwards else range(steps):
            kept = step(params, totals[:, t], kept)
            states.append(kept[0])
        return mx.stack(states[::-1] if backwards else states, axis=1)

    def pack(params: Mapping[str, Array]) -> Mapping[str, Array]:
        none = params["weight_hh_l0"][:, 0] * 0
        packed: dict[str, Array] = {}
        for end in ends:
            packed |= {f"{name}{end}": params[f"{name}_l0{end}"].T for name in WEIGHTS}
            packed |= {f"{name}{end}": params.get(f"{name}_l0{end}", none) for name in BIASES}
        return packed

    return Kernel(run, pack, packing=op.kind)
