"""Recurrent layers over a sequence: plain, LSTM and GRU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from archforge.ir import WHOLE, Init, ParamDecl, Reach, ShapeError, TensorType
from archforge.ops.activations import sigmoid
from archforge.ops.base import Array, Example, Flag, Op, Positive
from archforge.ops.lazy_numpy import np

__all__ = ["Gru", "Lstm", "Rnn"]

Biases = Annotated[
    int,
    Field(ge=0, le=2, description="how many bias vectors each gate has: 2 (input's and state's), 1 or 0"),
]

# What every recurrent op is tested on.
_CASES: tuple[tuple[dict[str, Any], tuple[int, ...], str], ...] = (
    ({"hidden": 4}, (3, 5), ""),
    ({"hidden": 3, "biases": 1}, (4, 2), "one bias vector"),
    ({"hidden": 2, "biases": 0}, (2, 3), "no bias"),
)
_EXAMPLES = tuple(Example(attributes, (shape,), note) for attributes, shape, note in _CASES)


class _Recurrent(Op):
    """A recurrent layer. x: float[N, T, F] gives the states float[N, T, hidden] of all steps; before the
    first they are zeros. weight_ih_l0: float[gates * hidden, F], weight_hh_l0: float[gates * hidden,
    hidden], bias_ih_l0 and bias_hh_l0: float[gates * hidden].

    Attributes:
        hidden: number of features of the state, which are those of the output
        biases: number of bias vectors of each gate: of the input's and the state's sums, of one for both, or
            none
    """

    gates: ClassVar[int]
    kept: ClassVar[int] = 1  # arrays that a step hands to the next, the state first

    hidden: Positive
    biases: Biases = 2

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        if len(x.shape) != 2:
            raise ShapeError(f"`{self.kind}` takes (time, features), found {x}")
        return TensorType((x.shape[0], self.hidden))

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        rows, init = self.gates * self.hidden, Init("uniform", 1.0, self.hidden)
        decls = {
            "weight_ih_l0": ParamDecl((rows, inputs[0].shape[1]), "weight", init),
            "weight_hh_l0": ParamDecl((rows, self.hidden), "weight", init),
        }
        names = ("bias_ih_l0", "bias_hh_l0")[: self.biases]
        return decls | {name: ParamDecl((rows,), "bias", init) for name in names}

    def macs(self, *inputs: TensorType) -> int:
        (x,) = inputs
        steps, features = x.shape
        return steps * self.gates * self.hidden * (features + self.hidden)

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return (WHOLE,) * len(self.infer(*inputs).shape)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        totals = _plus(x @ params["weight_ih_l0"].T, params.get("bias_ih_l0"))
        kept = (np.zeros((len(x), self.hidden), x.dtype),) * self.kept
        states = np.empty((*x.shape[:2], self.hidden), x.dtype)
        for t in range(x.shape[1]):
            kept = self.step(params, totals[:, t], *kept)
            states[:, t] = kept[0]
        return states

    def step(self, params: Mapping[str, Array], total: Array, *kept: Array) -> tuple[Array, ...]:
        """Arrays that a step hands on, float[N, hidden] each, made of those from the step before and of
        `total` float[N, gates * hidden], the input's part of the sums."""
        raise NotImplementedError


class Rnn(_Recurrent):
    """Each state is an activation of a weighted sum of the input and of the state before.

    x: float[N, T, F]. The output holds the states of all steps, float[N, T, hidden]; `{slice: -1}`
    takes the last. Source: torch.nn.RNN.

    Attributes:
        activation: function that makes a new state of the sum
    """

    op: ClassVar[str] = "rnn"
    gates: ClassVar[int] = 1

    activation: Annotated[Literal["tanh", "relu"], Field(description="`tanh` or `relu`")] = "tanh"

    examples: ClassVar = (*_EXAMPLES, Example({"hidden": 3, "activation": "relu"}, ((3, 4),)))

    def step(self, params: Mapping[str, Array], total: Array, *kept: Array) -> tuple[Array, ...]:
        (state,) = kept
        total = total + _plus(state @ params["weight_hh_l0"].T, params.get("bias_hh_l0"))
        return (np.tanh(total) if self.activation == "tanh" else np.maximum(total, 0),)


class Lstm(_Recurrent):
    """Each state is read from a cell, which gates fill and empty.

    The parameters' rows are the gates in torch's order: input, forget, cell, output. x: float[N, T, F].
    The output holds the states of all steps, float[N, T, hidden]; `{slice: -1}` takes the last.
    Source: doi:10.1162/neco.1997.9.8.1735; torch.nn.LSTM.
    """

    op: ClassVar[str] = "lstm"
    gates: ClassVar[int] = 4
    kept: ClassVar[int] = 2

    examples: ClassVar = _EXAMPLES

    def step(self, params: Mapping[str, Array], total: Array, *kept: Array) -> tuple[Array, ...]:
        state, cell = kept
        total = total + _plus(state @ params["weight_hh_l0"].T, params.get("bias_hh_l0"))
        fill, keep, new, read = np.split(total, 4, axis=1)
        cell = sigmoid(keep) * cell + sigmoid(fill) * np.tanh(new)
        return sigmoid(read) * np.tanh(cell), cell


class Gru(_Recurrent):
    """Each state is a mean of the one before and of a new one, weighed by the update gate; the reset
    gate says how much of the one before the new one sees.

    The parameters' rows are the gates in torch's order: reset, update, new. `linear_before_reset`
    weighs the matrix product of the state with its bias, as torch and cuDNN do; else the state itself,
    as in the paper. x: float[N, T, F]. The output holds the states of all steps, float[N, T, hidden];
    `{slice: -1}` takes the last. Source: arXiv:1406.1078, section 2.3; torch.nn.GRU; ONNX GRU.

    Attributes:
        linear_before_reset: applies the reset gate to the product of the state with its matrix, as in torch;
            without it to the state, as in the paper
    """

    op: ClassVar[str] = "gru"
    gates: ClassVar[int] = 3

    linear_before_reset: Flag = True

    examples: ClassVar = (
        *_EXAMPLES,
        Example({"hidden": 4, "linear_before_reset": False}, ((3, 5),), "as in the paper"),
        Example({"hidden": 3, "biases": 1, "linear_before_reset": False}, ((4, 2),)),
    )

    def step(self, params: Mapping[str, Array], total: Array, *kept: Array) -> tuple[Array, ...]:
        (state,) = kept
        rows = 2 * self.hidden  # of reset and update
        weight, bias = params["weight_hh_l0"].T, params.get("bias_hh_l0")
        first, second = (None, None) if bias is None else (bias[:rows], bias[rows:])
        gates = sigmoid(total[:, :rows] + _plus(state @ weight[:, :rows], first))
        reset, update = np.split(gates, 2, axis=1)
        seen = state if self.linear_before_reset else reset * state
        past = _plus(seen @ weight[:, rows:], second)
        new: Array = np.tanh(total[:, rows:] + (reset * past if self.linear_before_reset else past))
        return ((1 - update) * new + update * state,)


def _plus(x: Array, bias: Array | None) -> Array:
    return x if bias is None else x + bias
