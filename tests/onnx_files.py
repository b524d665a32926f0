"""Our graphs as models of ONNX, checked and run: shared by the tests of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from archforge.interchange.onnx.graph import OnnxGraph, onnx_graph
from archforge.interchange.onnx.model import onnx_file
from archforge.ir import TypedGraph
from archforge.ops.base import Array

__all__ = ["HAS_RUNTIME", "assert_sound", "model_of", "run_model", "stand_in"]

HAS_RUNTIME = find_spec("onnxruntime") is not None


def model_of(graph: OnnxGraph) -> bytes:
    """The bytes of the file, all of it in one."""
    return onnx_file(graph, {}, "0").content


def stand_in(typed: TypedGraph, seed: int = 0) -> dict[str, Array]:
    """Float32 parameters under which values stay of about 1 through many layers: the smaller, the more."""
    rng, gain = np.random.default_rng(seed), 1 if len(typed.nodes) < 3000 else 0.1
    arrays = {}
    for name, decl in typed.params().items():
        if decl.role == "buffer":
            made = (
                rng.uniform(0.7, 1.3, decl.shape) if name.endswith("var") else rng.normal(0, 0.1, decl.shape)
            )
        elif decl.init.kind == "constant" or len(decl.shape) < 2:
            base = decl.init.scale if decl.init.kind == "constant" else 0
            made = base + 0.05 * rng.standard_normal(decl.shape)
        else:
            made = gain * rng.standard_normal(decl.shape, np.float32) / np.sqrt(np.prod(decl.shape[1:]))
        arrays[name] = np.asarray(made, np.float32)
    return arrays


def assert_sound(typed: TypedGraph) -> None:
    """Raises unless onnx's checker takes the graph, and its strict inference finds our shape for every value.

    The arrays are inputs here, so that a network of any size costs its graph alone.
    """
    import onnx

    holes = {name: np.broadcast_to(np.float32(0), d.shape) for name, d in typed.params().items()}
    graph = onnx_graph(typed, holes)
    model = onnx.load_from_string(model_of(replace(graph, params={})))
    for name, array in graph.params.items():
        given = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, array.shape)
        model.graph.input.append(given)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    values = [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]
    shapes = {v.name: v.type.tensor_type.shape.dim for v in values}
    needed = {*typed.outputs.values(), *(v for n in typed.nodes for v in n.inputs if n.name in graph.values)}
    for value in typed.needed_by(typed.outputs.values()) & needed:
        batch, *others = shapes[graph.values[value]]
        assert not batch.HasField("dim_value"), value  # `Resize` gives an open batch another name
        assert tuple(d.dim_value for d in others) == typed.types[value].shape, value


def run_model(content: bytes | Path, inputs: Mapping[str, Array]) -> list[Any]:
    """The outputs by onnxruntime where it is installed, by onnx's reference evaluator where it is not."""
    if HAS_RUNTIME:
        onnxruntime: Any = import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        run = partial(onnxruntime.InferenceSession(content, options).run, None)
    else:
        from onnx.reference import ReferenceEvaluator

        run = partial(ReferenceEvaluator(content).run, None)
    outputs: list[Any] = run(dict(inputs))
    return outputs
