"""A model of ONNX as the counterpart of a network: its initialisers, and what its nodes compute with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from archforge.data.stored_arrays import LazyArrays
from archforge.errors import fail
from archforge.interchange.counterparts import Computed
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
        try:
            onnx: Any = import_module("onnx")
        except ImportError:
            fail("E0701", "models of ONNX are run with onnx, which is not installed", help="the extra `onnx`")
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
        found = _run(onnx, model, given, {*outputs, *layers.values()}, self.words)
        shapes = {name: (len(inputs[0]), *type_.shape) for name, type_ in typed.types.items()}
        values = {n: found[value] for n, value in layers.items() if found[value].shape == shapes[n]}
        return Computed([found[name] for name in outputs], values)


def _run(
    onnx: Any, model: Any, given: Mapping[str, Array], wanted: set[str], words: str
) -> Mapping[str, Array]:
    """Values by name: by onnxruntime where it is installed, by onnx's reference evaluator where it is not."""
    have = {value.name for value in model.graph.output}
    names = sorted(wanted)
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in names if n not in have)
    try:
        try:
            runtime: Any = import_module("onnxruntime")
        except ImportError:
            reference: Any = import_module("onnx.reference")
            results = reference.ReferenceEvaluator(model).run(names, dict(given))
        else:
            options = runtime.SessionOptions()
            options.log_severity_level = 3
            session = runtime.InferenceSession(model.SerializeToString(), options)
            results = session.run(names, dict(given))
    except Exception as error:  # noqa: BLE001  each engine has errors of its own
        fail("E0801", f"{words} cannot be run: {type(error).__name__}: {str(error).splitlines()[0]}")
    return dict(zip(names, map(np.asarray, results), strict=True))
