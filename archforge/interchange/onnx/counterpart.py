"""A model of ONNX as the counterpart of a network: its initialisers, and what its nodes compute with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from archforge.data.stored_arrays import LazyArrays
from archforge.errors import fail
from archforge.interchange.counterparts import Computed
from archforge.interchange.onnx.package import onnx_package
from archforge.interchange.onnx.running import onnx_values
from archforge.interchange.unsupported import Unsupported
from archforge.ir import TypedGraph
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.weights.bind import shape_of

__all__ = ["OnnxCounterpart"]


@dataclass(frozen=True, slots=True, eq=False)
class OnnxCounterpart:
    """Model in a file, which keeps its own weights. words: the name that a user gave it."""

    words: str
    path: Path
    own_weights: LazyArrays
    in_order: ClassVar = True
    dtype: ClassVar = "float32"

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        floats = {n: a for n, a in self.own_weights.items() if np.issubdtype(a.dtype, np.floating) and a.ndim}
        return {name: shape_of(array) for name, array in floats.items()}

    def computed(
        self,
        typed: TypedGraph,
        weights: Mapping[str, Array],
        names: Mapping[str, str],
        inputs: Sequence[Array],
    ) -> Computed | None:
        """Outputs, and for each layer of the network the value of the last node that reads its weights."""
        onnx = onnx_package("E0701")
        try:
            model = onnx.load(self.path)
        except Exception as error:  # noqa: BLE001  protobuf's errors have no common class but this
            fail("E0801", f"{self.path} cannot be read: {type(error).__name__}: {error}")
        readers = {name: node.output[0] for node in model.graph.node for name in node.input}
        layers = {
            node.name: readers[names[own]]
            for node in typed.nodes
            for own in map(node.param_name, node.op.params(*typed.input_types(node)))
            if names.get(own) in readers
        }
        held = {tensor.name for tensor in model.graph.initializer}
        feeds = [value.name for value in model.graph.input if value.name not in held]
        if len(feeds) != len(inputs):
            fail("E0001", f"{self.words} has {len(feeds)} inputs, the network {len(inputs)}")
        given = dict(zip(feeds, (x.astype(np.float32) for x in inputs), strict=True))
        outputs = [value.name for value in model.graph.output]
        wanted = list(dict.fromkeys([*outputs, *layers.values()]))
        try:
            found, _ = onnx_values(model, given, wanted)
        except Unsupported as reason:
            fail("E0801", f"{self.words} cannot be run: {reason}")
        shapes = {name: (len(inputs[0]), *type_.shape) for name, type_ in typed.types.items()}
        values = {n: found[value] for n, value in layers.items() if found[value].shape == shapes[n]}
        return Computed([found[name] for name in outputs], values)
