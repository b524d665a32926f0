"""Activations: element by element, a table of expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from archforge.ops.base import Array, Example, Op
from archforge.ops.lazy import np

__all__ = ["ACTIVATIONS", "Activation", "LeakyRelu"]


class Activation(Op):
    """A function of each element alone, without attributes or parameters."""

    function: ClassVar[Callable[[Array], Array]]
    examples: ClassVar = (Example({}, ((3, 4, 5),)), Example({}, ((7,),)))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        return type(self).function(inputs[0])


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


def _relu6(x: Array) -> Array:
    return np.clip(x, 0, 6)


def _activation(name: str, function: Callable[[Array], Array], doc: str) -> type[Activation]:
    members = {"op": name, "function": staticmethod(function), "__doc__": doc, "__module__": __name__}
    return type(name.title().replace("_", ""), (Activation,), members)


ACTIVATIONS: tuple[type[Activation], ...] = (
    _activation("relu", _relu, "max(x, 0)."),
    _activation("relu6", _relu6, "min(max(x, 0), 6). Source: arXiv:1704.04861."),
)


class LeakyRelu(Op):
    """x where it is positive, slope * x elsewhere."""

    op: ClassVar[str] = "leaky_relu"

    slope: float = 0.01

    examples: ClassVar = (Example({}, ((3, 4, 5),)), Example({"slope": 0.2}, ((7,),)))

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        return np.where(x > 0, x, x * x.dtype.type(self.slope))
