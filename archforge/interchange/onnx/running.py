"""A file of ONNX run with its inner values as outputs: by onnxruntime where it is installed, and by onnx's
reference evaluator where it is not, or does not take the file.

It is run in stretches of a few nodes, each a model of its own, so that no more than a few weights and values
are in memory at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from archforge.data.opened_files import reason_in
from archforge.interchange.layer_check import TOLERANCE
from archforge.interchange.onnx.constants import constant_array
from archforge.interchange.onnx.opened import OnnxSource, read_by
from archforge.interchange.unsupported import Unsupported
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["OnnxRun", "onnx_values"]

# Bytes of the weights and values of a stretch: so many that few stretches are needed, and so few that they
# count little beside those of a network.
STRETCH_BYTES = 1 << 23
STORED = 1 << 12  # bytes; larger arrays are inputs of a stretch, and so are not copied


class OnnxRun:
    """Runs one file. by: what ran it last."""

    tolerance = TOLERANCE

    def __init__(self, source: OnnxSource) -> None:
        self.source = source
        self.by = ""

    def __call__(self, inputs: Mapping[str, Array], wanted: list[str]) -> Iterator[tuple[str, Array | None]]:
        """The values of that name in the order of the file; None for those that it does not compute outside
        of inner graphs. Raises `Unsupported` where nothing here runs it."""
        shown = {name for node in self.source.graph.nodes for name in node.outputs}
        yield from ((name, None) for name in wanted if name not in shown)
        asked = shown.intersection(wanted)
        stretches = _Stretches(self.source, asked)
        values = {name: self._as_declared(name, x) for name, x in inputs.items()}
        begin, end, largest = 0, 0, STRETCH_BYTES
        while end < len(stretches.places):
            begin, end = end, stretches.end(end, most=STRETCH_BYTES // largest)
            model, given = stretches.stretch(begin, end, values)
            found, self.by = onnx_values(model, given, stretches.outputs(begin, end))
            yield from ((name, found[name]) for name in found if name in asked)
            largest = max(1, *(array.nbytes for array in found.values()))
            values = {
                n: array for n, array in {**values, **found}.items() if stretches.last.get(n, -1) >= end
            }

    def _as_declared(self, name: str, x: Array) -> Array:
        """An input in the dtype that the file says."""
        helper: Any = import_module("onnx.helper")
        types = {v.name: v.type.tensor_type.elem_type for v in self.source.message.graph.input}
        return x.astype(helper.tensor_dtype_to_np_dtype(types[name]), copy=False)


class _Stretches:
    """The nodes of a file that `asked` needs, by their places in it, and for each value the last of them that
    reads it, as a position in `places`."""

    def __init__(self, source: OnnxSource, asked: Collection[str]) -> None:
        self.message, self.nodes, self.asked = source.message, source.graph.nodes, asked
        constants = {
            node.outputs[0]: constant_array(node.attributes) for node in self.nodes if node.op == "Constant"
        }
        self.arrays = {**source.graph.arrays, **constants}
        needed, places = set(asked), []
        for place in reversed(range(len(self.nodes))):
            node = self.nodes[place]
            if node.op != "Constant" and not needed.isdisjoint(node.outputs):
                places.append(place)
                needed |= read_by(node)
        self.places = places[::-1]
        self.last = {n: at for at, place in enumerate(self.places) for n in read_by(self.nodes[place])}

    def end(self, begin: int, most: int) -> int:
        """The end of a stretch with about so many asked values, whose weights are not too many."""
        size, count = 0, 0
        for at, place in enumerate(self.places[begin:], begin):
            node = self.nodes[place]
            size += sum(self.arrays[name].nbytes for name in read_by(node) if name in self.arrays)
            count += sum(name in self.asked for name in node.outputs)
            if at > begin and (size > STRETCH_BYTES or count > most):
                return at
        return len(self.places)

    def outputs(self, begin: int, end: int) -> list[str]:
        """Values that a stretch has to give: those that are asked for, and those that are read behind it."""
        made = [name for place in self.places[begin:end] for name in self.nodes[place].outputs if name]
        return [name for name in made if name in self.asked or self.last.get(name, -1) >= end]

    def stretch(self, begin: int, end: int, values: Mapping[str, Array]) -> tuple[Any, dict[str, Array]]:
        """The model of a stretch and its inputs; small arrays are stored in it."""
        onnx: Any = import_module("onnx")
        helper = onnx.helper
        model = onnx.ModelProto(ir_version=max(4, self.message.ir_version))
        model.opset_import.extend(self.message.opset_import)
        made: set[str] = set()
        given: dict[str, Array] = {}
        for place in self.places[begin:end]:
            model.graph.node.append(self.message.graph.node[place])
            for name in sorted(read_by(self.nodes[place]) - made - given.keys()):
                array = values.get(name, self.arrays.get(name))
                if array is not None:
                    given[name] = array
            made.update(self.nodes[place].outputs)
        for name, array in given.items():
            dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
            model.graph.input.append(helper.make_tensor_value_info(name, dtype, array.shape))
            if name in self.arrays and array.nbytes <= STORED:
                model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
        stored = {tensor.name for tensor in model.graph.initializer}
        model.graph.name = "stretch"
        return model, {name: array for name, array in given.items() if name not in stored}


def onnx_values(
    model: Any, inputs: Mapping[str, Array], names: Sequence[str]
) -> tuple[Mapping[str, Array], str]:
    """The values of these names, which become outputs of the model, and what has run it. Raises `Unsupported`
    where nothing here does."""
    onnx: Any = import_module("onnx")
    known = {output.name for output in model.graph.output}
    made = onnx.helper.make_empty_tensor_value_info
    model.graph.output.extend(made(name) for name in names if name not in known)
    given = {name: np.require(x, requirements=["C", "A"]) for name, x in inputs.items()}
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
    options.enable_cpu_mem_arena = False
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(model.SerializeToString(), options)
    found: Sequence[Array] = session.run(list(names), dict(inputs))
    return found


def _by_evaluator(model: Any, names: Sequence[str], inputs: Mapping[str, Array]) -> Sequence[Array]:
    evaluator: Any = import_module("onnx.reference").ReferenceEvaluator
    found: Sequence[Array] = evaluator(model).run(list(names), dict(inputs))
    return found
