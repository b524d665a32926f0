"""A file of ONNX run with its inner values as outputs: by onnxruntime where it is installed, and by onnx's
reference evaluator where it is not, or does not take the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from archforge.data.opened_files import reason_in
from archforge.interchange.layer_check import TOLERANCE
from archforge.interchange.onnx.opened import OnnxSource, inlined
from archforge.interchange.unsupported import Unsupported
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["OnnxRun", "onnx_values"]


class OnnxRun:
    """Runs one file. by: what ran it last."""

    tolerance = TOLERANCE

    def __init__(self, source: OnnxSource) -> None:
        self.source = source
        self.by = ""

    def __call__(self, inputs: Mapping[str, Array], wanted: list[str]) -> Mapping[str, Array]:
        """The values of that name that the file computes outside of inner graphs. Raises `Unsupported` where
        nothing here runs it."""
        inner = {name for node in self.source.graph.nodes for name in node.outputs if name}
        onnx: Any = import_module("onnx")
        names = [name for name in dict.fromkeys(wanted) if name in inner]
        path = self.source.path
        model = inlined(onnx.load(path, load_external_data=False), path)
        onnx.load_external_data_for_model(model, str(path.parent))
        found, self.by = onnx_values(model, inputs, names)
        return found


def onnx_values(
    model: Any, inputs: Mapping[str, Array], names: Sequence[str]
) -> tuple[Mapping[str, Array], str]:
    """The values of these names, which become outputs of the model, and what has run it. Raises `Unsupported`
    where nothing here does."""
    onnx: Any = import_module("onnx")
    known = {output.name for output in model.graph.output}
    made = onnx.helper.make_empty_tensor_value_info
    model.graph.output.extend(made(name) for name in names if name not in known)
    given = {name: np.ascontiguousarray(x) for name, x in inputs.items()}
    reasons = []
    for by, run in (("onnxruntime", _by_runtime), ("onnx's reference evaluator", _by_evaluator)):
        try:
            found = [np.asarray(value) for value in run(model, names, given)]
        except Exception as error:  # noqa: BLE001  # whatever a foreign runtime finds in a foreign file
            reasons.append(f"{by}: {reason_in(error)[:200]}")
            continue
        return dict(zip(names, found, strict=True)), by
    raise Unsupported("; ".join(reasons))


def _by_runtime(model: Any, names: Sequence[str], inputs: Mapping[str, Array]) -> Sequence[Array]:
    if find_spec("onnxruntime") is None:
        raise Unsupported("not installed")
    runtime: Any = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(model.SerializeToString(), options)
    found: Sequence[Array] = session.run(list(names), dict(inputs))
    return found


def _by_evaluator(model: Any, names: Sequence[str], inputs: Mapping[str, Array]) -> Sequence[Array]:
    evaluator: Any = import_module("onnx.reference").ReferenceEvaluator
    found: Sequence[Array] = evaluator(model).run(list(names), dict(inputs))
    return found
