"""Recurrent layers, forwards through time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archforge.interchange.flows import Flow
from archforge.interchange.keras.use import KerasUse, Translate
from archforge.interchange.translation import bound_op, require

__all__ = ["READ"]


def _recurrent(kind: str) -> Translate:
    def read(use: KerasUse) -> Flow:
        for name in ("go_backwards", "return_state", "stateful", "time_major"):
            require(not use.flag(name, False), f"with `{name}`")
        x = use.draft.ours(use.straight)
        require(len(x.type.shape) == 2, f"a value of {len(x.type.shape)} axes")
        attributes = _attributes(use, kind)
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        op = bound_op(kind, hidden=use.given("units"), **attributes)
        y = use.add(op, x, params=use.params(*names))
        if use.flag("return_sequences", False):
            return y
        return use.add(bound_op("slice", start=-1), y, "_last", gives=(0, 2))

    return read


def _attributes(use: KerasUse, kind: str) -> dict[str, Any]:
    bias = use.flag("use_bias", True)
    activation = use.given("activation", "tanh")
    if kind == "rnn":
        require(activation in ("tanh", "relu"), f"with the activation {activation!r}")
        return {"biases": int(bias), "activation": activation}
    gates = use.given("recurrent_activation", "sigmoid" if use.version > 1 else "hard_sigmoid")
    require(activation == "tanh", f"with the activation {activation!r}")
    require(gates == "sigmoid", f"with {gates!r} for its gates")
    if kind == "lstm":
        return {"biases": int(bias)}
    is_after = use.flag("reset_after", use.version > 2 or "bias_hh_l0" in use.arrays)
    return {"biases": (2 if is_after else 1) * bias, "linear_before_reset": is_after}


READ: Mapping[str, Translate] = {
    "GRU": _recurrent("gru"),
    "LSTM": _recurrent("lstm"),
    "SimpleRNN": _recurrent("rnn"),
}
