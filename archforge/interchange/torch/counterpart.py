"""A module of torch as the counterpart of a network: its state dict, and what its parts compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from archforge.data.stored_arrays import LazyArrays
from archforge.errors import fail
from archforge.interchange.counterparts import Computed
from archforge.interchange.torch.libraries import code_of, library
from archforge.interchange.torch.modules import filled, module_params, module_values
from archforge.ir import TypedGraph, by_x
from archforge.ops.base import Array
from archforge.plan import named_values

__all__ = ["TorchCounterpart"]

DEEPEST = 100  # parts of a name


@dataclass(frozen=True, slots=True, eq=False)
class TorchCounterpart:
    """Module that gets a network's weights. words: the name that a user gave it."""

    words: str
    module: Any
    in_order: ClassVar = False  # a state dict is in the order in which the parts were made
    own_weights: ClassVar[LazyArrays | None] = None
    dtype: ClassVar = "float64"

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return module_params(self.module)

    def computed(
        self,
        typed: TypedGraph,
        weights: Mapping[str, Array],
        names: Mapping[str, str],
        inputs: Sequence[Array],
    ) -> Computed:
        """Outputs, and the values of all parts. One that does nothing, and a norm that holds its activation
        and has another name here, need not be in the network."""
        torch = library("torch")
        module = filled(self.module, weights)
        shapes = " and ".join(by_x(x.shape) for x in inputs)
        with code_of(f"{self.words}, on an input of {shapes},"):
            result, values = module_values(module, [torch.from_numpy(x) for x in inputs], DEEPEST)
        given = result if isinstance(result, list | tuple) else [result]
        if isinstance(result, dict):
            given = list(result.values())
        if not all(torch.is_tensor(value) for value in given):
            fail("E0001", f"{self.words} returns {type(result).__name__}, no tensors")
        known = named_values(typed)
        found: dict[str, Array] = {}
        unknown: dict[str, Array] = {}
        for name, value in values.items():
            here = value.maker if value.has_params and value.maker != name else name
            array: Array = value.tensor.numpy()[: len(inputs[0])]
            if here in known:
                found[here] = array
            elif not value.idle:
                unknown[name] = array
        return Computed([value.numpy() for value in given], found, unknown)
