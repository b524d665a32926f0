"""Activations: element by element, a table of expressions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from archforge.class_vars import read_once
from archforge.ops.base import INPUTS, OUTPUT, Array, Backward, Example, Gradients, Op, Real
from archforge.ops.erf import erf
from archforge.ops.lazy_numpy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "ACTIVATIONS",
    "CLAMPS",
    "SELU_ALPHA",
    "SELU_SCALE",
    "Activation",
    "Elu",
    "Gelu",
    "LeakyRelu",
    "sigmoid",
]

# Activations that only keep values between two bounds, which kernels do before they store.
CLAMPS = {"relu": (0.0, math.inf), "relu6": (0.0, 6.0)}
_NONNEGATIVE = (*CLAMPS, "abs", "sigmoid", "hard_sigmoid", "softplus")


@read_once
class Activation(Op):
    """A function of each element alone, without attributes or parameters.

    `slope` is its derivative, of what `gradient_reads` names: the input, or the output.
    """

    function: ClassVar[Callable[[Array], Array]]
    slope: ClassVar[Callable[[Array], NDArray[Any]]]
    examples = (Example({}, ((3, 4, 5),)), Example({}, ((7,),)))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return type(self).function(inputs[0])

    def gradient(self, back: Backward) -> Gradients:
        value = back.output if self.gradient_reads == OUTPUT else back.inputs[0]
        return Gradients((back.dy * type(self).slope(value),))


def sigmoid(x: Array) -> Array:
    # The exponential of a negative number alone: it underflows where the other would overflow.
    small: Array = np.exp(-np.abs(x))
    above: Array = np.maximum(small, x >= 0)
    above /= 1 + small
    return above


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _hard_sigmoid(x: Array) -> Array:
    return np.clip(x + 3, 0, 6) / 6


def _expm1(x: Array) -> Array:
    return np.expm1(np.minimum(x, 0))


# Fixed point of zero mean and unit variance; digits of arXiv:1706.02515, section 2 and its code.
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def _selu(x: Array) -> Array:
    return SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * _expm1(x))


def _selu_slope(x: Array) -> Array:
    return SELU_SCALE * np.where(x > 0, 1, SELU_ALPHA * np.exp(np.minimum(x, 0)))


def _silu_slope(x: Array) -> Array:
    gate = sigmoid(x)
    return gate * (1 + x * (1 - gate))


def _hard_swish_slope(x: Array) -> Array:
    return np.where(x <= -3, 0, np.where(x < 3, x / 3 + 0.5, 1))


def _mish_slope(x: Array) -> Array:
    bend: Array = np.tanh(_softplus(x))
    return bend + x * (1 - bend * bend) * sigmoid(x)


def _activation(
    name: str,
    function: Callable[[Array], Array],
    slope: Callable[[Array], NDArray[Any]],
    doc: str,
    *aliases: str,
    reads: frozenset[Literal["inputs", "output"]] = INPUTS,
) -> type[Activation]:
    members: dict[str, Any] = {"op": name, "aliases": aliases, "gradient_reads": reads}
    members |= {"is_idempotent": name in ("abs", *CLAMPS)}
    members |= {"leaves_nonnegative": name in ("abs", "relu"), "is_nonnegative": name in _NONNEGATIVE}
    members |= {"function": staticmethod(function), "slope": staticmethod(slope)}
    members |= {"__doc__": doc, "__module__": __name__}
    return type(name.title().replace("_", ""), (Activation,), members)


ACTIVATIONS: tuple[type[Activation], ...] = (
    _activation("abs", lambda x: np.abs(x), lambda x: np.sign(x), "|x|."),
    _activation("relu", lambda x: np.maximum(x, 0), lambda y: y > 0, "max(x, 0).", reads=OUTPUT),
    _activation(
        "relu6",
        lambda x: np.clip(x, 0, 6),
        lambda y: (y > 0) & (y < 6),
        "min(max(x, 0), 6). Source: arXiv:1704.04861.",
        reads=OUTPUT,
    ),
    _activation("sigmoid", sigmoid, lambda y: y * (1 - y), "1 / (1 + exp(-x)).", reads=OUTPUT),
    _activation("tanh", lambda x: np.tanh(x), lambda y: 1 - y * y, "Hyperbolic tangent.", reads=OUTPUT),
    _activation(
        "hard_sigmoid",
        _hard_sigmoid,
        lambda y: ((y > 0) & (y < 1)) / y.dtype.type(6),
        "relu6(x + 3) / 6. Source: arXiv:1905.02244, section 5.2.",
        reads=OUTPUT,
    ),
    _activation(
        "hard_swish",
        lambda x: x * _hard_sigmoid(x),
        _hard_swish_slope,
        "x * hard_sigmoid(x). Source: as there.",
    ),
    _activation(
        "silu", lambda x: x * sigmoid(x), _silu_slope, "x * sigmoid(x). Source: arXiv:1710.05941.", "swish"
    ),
    _activation("selu", _selu, _selu_slope, "Scaled ELU. Source: arXiv:1706.02515."),
    _activation("softplus", _softplus, sigmoid, "log(1 + exp(x))."),
    _activation(
        "softsign",
        lambda x: x / (1 + np.abs(x)),
        lambda x: np.square(1 / (1 + np.abs(x))),
        "x / (1 + |x|).",
    ),
    _activation(
        "mish",
        lambda x: x * np.tanh(_softplus(x)),
        _mish_slope,
        "x * tanh(softplus(x)). Source: arXiv:1908.08681.",
    ),
)


def _factors(x: Array, slope: float) -> Array:
    """1 where `x` is positive, the slope elsewhere. np.where would take ten times as long."""
    is_positive: NDArray[Any] = x > 0
    factors: Array = is_positive + ~is_positive * x.dtype.type(slope)
    return factors


class LeakyRelu(Op):
    """x where it is positive, slope * x elsewhere.

    Attributes:
        slope: factor of negative elements
    """

    op = "leaky_relu"

    gradient_reads = INPUTS

    slope: Real = 0.01

    examples = (Example({}, ((3, 4, 5),)), Example({"slope": 0.2}, ((7,),)))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        return x * _factors(x, self.slope)

    def gradient(self, back: Backward) -> Gradients:
        (x,) = back.inputs
        return Gradients((back.dy * _factors(x, self.slope),))


class Elu(Op):
    """x where it is positive, alpha * (exp(x) - 1) elsewhere. Source: arXiv:1511.07289.

    Attributes:
        alpha: magnitude of the limit of the output for very negative elements
    """

    op = "elu"

    gradient_reads = INPUTS

    alpha: Real = 1.0

    examples = (Example({}, ((3, 4, 5),)), Example({"alpha": 0.3}, ((7,),)))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        return np.where(x > 0, x, self.alpha * _expm1(x))

    def gradient(self, back: Backward) -> Gradients:
        (x,) = back.inputs
        return Gradients((np.where(x > 0, back.dy, back.dy * self.alpha * np.exp(np.minimum(x, 0))),))


class Gelu(Op):
    """x times the normal distribution's cumulative function, exact or by tanh. Source:
    arXiv:1606.08415, section 2.

    Attributes:
        approximate: how the normal distribution is computed: exactly, or by a formula with tanh
    """

    op = "gelu"

    gradient_reads = INPUTS

    approximate: Annotated[Literal["none", "tanh"], Field(description="`none` or `tanh`")] = "none"

    examples = (Example({}, ((3, 4, 5),)), Example({"approximate": "tanh"}, ((7,),)))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        if self.approximate == "tanh":
            bell: Array = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
        else:
            bell = erf(x * math.sqrt(0.5))
        return 0.5 * x * (1 + bell)

    def gradient(self, back: Backward) -> Gradients:
        x = np.clip(back.inputs[0], -40, 40)  # the slope is 0 or 1 beyond, to the last bit
        if self.approximate == "tanh":
            factor = math.sqrt(2 / math.pi)
            bell = np.tanh(factor * (x + 0.044715 * x**3))
            density = 0.5 * (1 - bell * bell) * factor * (1 + 3 * 0.044715 * x * x)
        else:
            bell = erf(x * math.sqrt(0.5))
            density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        return Gradients((back.dy * (0.5 * (1 + bell) + x * density),))
