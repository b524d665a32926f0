"""Recurrent layers over a sequence: plain, LSTM and GRU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from archforge.ir import WHOLE, Init, ParamDecl, Reach, ShapeError, TensorType
from archforge.ops.activations import sigmoid
from archforge.ops.base import (
    INPUTS,
    OUTPUT,
    Array,
    Backward,
    Example,
    Flag,
    Forward,
    Gradients,
    Op,
    Positive,
    other_axes,
)
from archforge.ops.features import feature_rows, plus_bias
from archforge.ops.lazy_numpy import np

__all__ = ["Gru", "Lstm", "Rnn"]

_REVERSE = "_reverse"  # the end of the names of parameters that go through time backwards

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
_IN_BOTH = Example({"hidden": 3, "bidirectional": True}, ((4, 2),), "in both directions")


class _Recurrent(Op):
    """A recurrent layer. x: float[N, T, F] gives the states float[N, T, hidden] of all steps; before the
    first they are zeros. weight_ih_l0: float[gates * hidden, F], weight_hh_l0: float[gates * hidden,
    hidden], bias_ih_l0 and bias_hh_l0: float[gates * hidden].

    With `bidirectional` a second layer, whose parameters' names end in `_reverse`, goes from the last step to
    the first; its states come behind those of the first along the last axis, float[N, T, 2 * hidden].

    Attributes:
        hidden: number of features of the state, which are those of the output
        biases: number of bias vectors of each gate: of the input's and the state's sums, of one for both, or
            none
        bidirectional: goes through the steps in both directions, with parameters for each
    """

    gradient_reads = INPUTS | OUTPUT
    gates: ClassVar[int]
    kept: ClassVar[int] = 1  # arrays that a step hands to the next, the state first

    hidden: Positive
    biases: Biases = 2
    bidirectional: Flag = False

    @property
    def directions(self) -> tuple[str, ...]:
        """The end of the parameters' names of each direction."""
        return ("", _REVERSE) if self.bidirectional else ("",)

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        if len(x.shape) != 2:
            raise ShapeError(f"`{self.kind}` takes (time, features), found {x}")
        return TensorType((x.shape[0], len(self.directions) * self.hidden))

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        rows, init = self.gates * self.hidden, Init("uniform", 1.0, self.hidden)
        decls = {
            "weight_ih_l0": ParamDecl((rows, inputs[0].shape[1]), "weight", init),
            "weight_hh_l0": ParamDecl((rows, self.hidden), "weight", init),
        }
        names = ("bias_ih_l0", "bias_hh_l0")[: self.biases]
        decls |= {name: ParamDecl((rows,), "bias", init) for name in names}
        return {name + end: decl for end in self.directions for name, decl in decls.items()}

    def macs(self, *inputs: TensorType) -> int:
        (x,) = inputs
        steps, features = x.shape
        return len(self.directions) * steps * self.gates * self.hidden * (features + self.hidden)

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return (WHOLE,) * len(self.infer(*inputs).shape)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return self._in_directions(params, *inputs, stored=1)[0]

    def train(self, params: Mapping[str, Array], *inputs: Array, draw: np.random.Generator) -> Forward:
        states, *others = self._in_directions(params, *inputs)
        return Forward(states, others)

    def _in_directions(
        self, params: Mapping[str, Array], x: Array, *, stored: int | None = None
    ) -> list[Array]:
        """The arrays of `_unrolled`, those of both directions beside each other along the last axis."""
        there, *back = (
            self._unrolled(_of(end, params), _along(end, x), stored=stored) for end in self.directions
        )
        if not back:
            return there
        both = zip(there, *back, strict=True)
        return [np.concatenate([a, _along(_REVERSE, b)], axis=-1) for a, b in both]

    def _unrolled(self, params: Mapping[str, Array], x: Array, *, stored: int | None = None) -> list[Array]:
        """The first `stored` of the arrays that steps make, or all, float[N, T, *] each, the states first."""
        totals = _totals(params, x)
        made = (np.zeros((len(x), self.hidden), x.dtype),) * self.kept
        steps: list[Array] = []
        for t in range(x.shape[1]):
            made = self.step(params, totals[:, t], *made[: self.kept])
            steps = steps or [np.empty((*x.shape[:2], a.shape[1]), x.dtype) for a in made[:stored]]
            for all_steps, new in zip(steps, made, strict=False):
                all_steps[:, t] = new
        return steps

    def step(self, params: Mapping[str, Array], total: Array, *kept: Array) -> tuple[Array, ...]:
        """Arrays that a step hands on, float[N, hidden] each, made of those from the step before and of
        `total` float[N, gates * hidden], the input's part of the sums; and what the way back reads."""
        raise NotImplementedError

    def gradient(self, back: Backward) -> Gradients:
        """The sum over the directions, each in the order of its steps."""
        if not self.bidirectional:
            return self._through_steps(back)
        dx, found = np.zeros_like(back.inputs[0]), dict[str, Array]()
        for number, end in enumerate(self.directions):
            output, dy, *saved = (
                _along(end, np.split(a, 2, axis=-1)[number]) for a in (back.output, back.dy, *back.saved)
            )
            own = Backward(_of(end, back.params), (_along(end, *back.inputs),), output, saved, dy)
            (d_own,), of_params = self._through_steps(own)
            dx = dx + _along(end, d_own)
            found |= {name + end: d for name, d in of_params.items()}
        return Gradients((dx,), found)

    def _through_steps(self, back: Backward) -> Gradients:
        """Back-propagation through all steps of one direction; what does not depend on a later step is
        computed for all at once."""
        (x,), params = back.inputs, back.params
        before = _before(back.output)
        dtotals, dpasts, seen = self.back_through_time(params, before, back)
        found = {
            "weight_ih_l0": feature_rows(dtotals).T @ feature_rows(x),
            "weight_hh_l0": feature_rows(dpasts).T @ feature_rows(before),
        }
        if seen is not before:
            last = slice(-self.hidden, None)
            found["weight_hh_l0"][last] = feature_rows(dpasts[..., last]).T @ feature_rows(seen)
        sums = {"bias_ih_l0": dtotals, "bias_hh_l0": dpasts}
        found |= {name: d.sum(other_axes(d, 2)) for name, d in sums.items() if name in params}
        return Gradients((dtotals @ params["weight_ih_l0"],), found)

    def back_through_time(
        self, params: Mapping[str, Array], before: Array, back: Backward
    ) -> tuple[Array, Array, Array]:
        """Gradients of the sums over the input and of those over the state, float[N, T, gates * hidden] both,
        and what the last gate's rows see of the state, float[N, T, hidden].

        before: the state before each step, float[N, T, hidden].
        """
        raise NotImplementedError


class Rnn(_Recurrent):
    """Each state is an activation of a weighted sum of the input and of the state before.

    x: float[N, T, F]. The output holds the states of all steps, float[N, T, hidden]; `{slice: -1}`
    takes the last. Source: torch.nn.RNN; of `bidirectional` doi:10.1109/78.650093.

    Attributes:
        activation: function that makes a new state of the sum
    """

    op = "rnn"
    gates: ClassVar[int] = 1

    activation: Annotated[Literal["tanh", "relu"], Field(description="`tanh` or `relu`")] = "tanh"

    examples = (
        *_EXAMPLES,
        Example({"hidden": 3, "activation": "relu"}, ((3, 4),)),
        _IN_BOTH,
        Example({"hidden": 2, "activation": "relu", "biases": 1, "bidirectional": True}, ((3, 4),)),
    )

    def step(self, params: Mapping[str, Array], total: Array, *kept: Array) -> tuple[Array, ...]:
        (state,) = kept
        total = total + plus_bias(state @ params["weight_hh_l0"].T, params.get("bias_hh_l0"))
        return (np.tanh(total) if self.activation == "tanh" else np.maximum(total, 0),)

    def back_through_time(
        self, params: Mapping[str, Array], before: Array, back: Backward
    ) -> tuple[Array, Array, Array]:
        states = back.output
        slopes = 1 - states * states if self.activation == "tanh" else states > 0
        dtotals, dstate = np.empty_like(states), np.zeros_like(states[:, 0])
        for t in reversed(range(states.shape[1])):
            dtotals[:, t] = (back.dy[:, t] + dstate) * slopes[:, t]
            dstate = dtotals[:, t] @ params["weight_hh_l0"]
        return dtotals, dtotals, before


class Lstm(_Recurrent):
    """Each state is read from a cell, which gates fill and empty.

    The parameters' rows are the gates in torch's order: input, forget, cell, output. x: float[N, T, F].
    The output holds the states of all steps, float[N, T, hidden]; `{slice: -1}` takes the last.
    Source: doi:10.1162/neco.1997.9.8.1735; torch.nn.LSTM.
    """

    op = "lstm"
    gates: ClassVar[int] = 4
    kept: ClassVar[int] = 2

    examples = (*_EXAMPLES, _IN_BOTH)

    def step(self, params: Mapping[str, Array], total: Array, *kept: Array) -> tuple[Array, ...]:
        state, cell = kept
        total = total + plus_bias(state @ params["weight_hh_l0"].T, params.get("bias_hh_l0"))
        total = total.reshape(len(total), 4, self.hidden)
        total[:, (0, 1, 3)] = sigmoid(total[:, (0, 1, 3)])
        fill, keep, new, read = total.swapaxes(0, 1)
        np.tanh(new, out=new)
        cell = keep * cell + fill * new
        return read * np.tanh(cell), cell, total.reshape(len(total), -1)

    def saved_elements(self, *inputs: TensorType) -> int:
        return (1 + self.gates) * self.infer(*inputs).size  # the cells and all gates

    def back_through_time(
        self, params: Mapping[str, Array], before: Array, back: Backward
    ) -> tuple[Array, Array, Array]:
        cells, gates = back.saved
        fill, keep, new, read = np.split(gates, 4, axis=-1)
        shown = np.tanh(cells)
        by_cell = np.stack(  # slopes of the first three sums
            [new * fill * (1 - fill), _before(cells) * keep * (1 - keep), fill * (1 - new * new)], axis=2
        )
        by_state, to_cell = shown * read * (1 - read), read * (1 - shown * shown)
        dtotals = np.empty_like(gates)
        by_gate = dtotals.reshape(*before.shape[:2], 4, self.hidden)
        dstate = dcell = np.zeros_like(before[:, 0])
        for t in reversed(range(before.shape[1])):
            dstate = back.dy[:, t] + dstate
            dcell = dcell + dstate * to_cell[:, t]
            np.multiply(dcell[:, None], by_cell[:, t], out=by_gate[:, t, :3])
            np.multiply(dstate, by_state[:, t], out=by_gate[:, t, 3])
            dstate, dcell = dtotals[:, t] @ params["weight_hh_l0"], dcell * keep[:, t]
        return dtotals, dtotals, before


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

    op = "gru"
    gates: ClassVar[int] = 3

    linear_before_reset: Flag = True

    examples = (
        *_EXAMPLES,
        Example({"hidden": 4, "linear_before_reset": False}, ((3, 5),), "as in the paper"),
        Example({"hidden": 3, "biases": 1, "linear_before_reset": False}, ((4, 2),)),
        _IN_BOTH,
        Example({"hidden": 2, "linear_before_reset": False, "bidirectional": True}, ((4, 2),)),
    )

    def step(self, params: Mapping[str, Array], total: Array, *kept: Array) -> tuple[Array, ...]:
        (state,) = kept
        rows = 2 * self.hidden  # of reset and update
        weight, bias = params["weight_hh_l0"].T, params.get("bias_hh_l0")
        first, second = (None, None) if bias is None else (bias[:rows], bias[rows:])
        gates = sigmoid(total[:, :rows] + plus_bias(state @ weight[:, :rows], first))
        reset, update = np.split(gates, 2, axis=1)
        seen = state if self.linear_before_reset else reset * state
        past = plus_bias(seen @ weight[:, rows:], second)
        new: Array = np.tanh(total[:, rows:] + (reset * past if self.linear_before_reset else past))
        return ((1 - update) * new + update * state,)

    def back_through_time(
        self, params: Mapping[str, Array], before: Array, back: Backward
    ) -> tuple[Array, Array, Array]:
        totals = _totals(params, *back.inputs)
        rows = 2 * self.hidden  # of reset and update
        weight, bias = params["weight_hh_l0"], params.get("bias_hh_l0")
        first, second = (None, None) if bias is None else (bias[:rows], bias[rows:])
        gates = sigmoid(totals[..., :rows] + plus_bias(before @ weight[:rows].T, first))
        reset, update = np.split(gates, 2, axis=-1)
        seen = before if self.linear_before_reset else reset * before
        past = plus_bias(seen @ weight[rows:].T, second)
        new = np.tanh(totals[..., rows:] + (reset * past if self.linear_before_reset else past))
        dtotals, dpasts = np.empty_like(totals), np.empty_like(totals)
        dstate = np.zeros_like(before[:, 0])
        for t in reversed(range(totals.shape[1])):
            r, z, n, state = reset[:, t], update[:, t], new[:, t], before[:, t]
            dstate = back.dy[:, t] + dstate
            dnew = dstate * (1 - z) * (1 - n * n)
            dpast = dnew * r if self.linear_before_reset else dnew
            dseen = dpast @ weight[rows:]
            by_reset = dnew * past[:, t] if self.linear_before_reset else dseen * state
            dgates = np.concatenate([by_reset * r * (1 - r), dstate * (state - n) * z * (1 - z)], axis=1)
            dtotals[:, t] = np.concatenate([dgates, dnew], axis=1)
            dpasts[:, t] = np.concatenate([dgates, dpast], axis=1)
            through_new = dseen if self.linear_before_reset else dseen * r
            dstate = dstate * z + through_new + dgates @ weight[:rows]
        return dtotals, dpasts, seen


def _of(end: str, params: Mapping[str, Array]) -> dict[str, Array]:
    """The parameters of the direction whose names end so, under the names of the first one."""
    is_back = end == _REVERSE
    return {n.removesuffix(_REVERSE): a for n, a in params.items() if n.endswith(_REVERSE) == is_back}


def _along(end: str, steps: Array) -> Array:
    """An array of all steps, [N, T, *], in the order of a direction, and from that order back."""
    return steps[:, ::-1] if end == _REVERSE else steps


def _totals(params: Mapping[str, Array], x: Array) -> Array:
    """The sums over the input at all steps, float[N, T, gates * hidden]."""
    return plus_bias(x @ params["weight_ih_l0"].T, params.get("bias_ih_l0"))


def _before(steps: Array) -> Array:
    """An array that steps hand on, float[N, T, hidden], as each step got it: zeros at the first."""
    shifted = np.zeros_like(steps)
    shifted[:, 1:] = steps[:, :-1]
    return shifted
