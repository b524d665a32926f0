"""A file of TensorFlow Lite as a graph of ours, op by op, at a batch of one image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from archforge.data.opened_files import MALFORMED, reason_in
from archforge.interchange.draft import GraphDraft
from archforge.interchange.flows import Axes, FixedValue, Flow, Lost
from archforge.interchange.imported import Imported, Origin
from archforge.interchange.names import name_in_spec
from archforge.interchange.tflite.opened import TensorInFile, TfliteOp, TfliteSource
from archforge.interchange.tflite.ops import MAP_AXES, TFLITE_OPS
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Op
from archforge.ops.base import Array
from archforge.ops.flatten import Flatten
from archforge.ops.lazy_numpy import np

__all__ = ["has_rounded_weights", "read_tflite"]

_WHOLE = ("int8", "uint8", "int16")
_INDICES = ("int32", "int64", "bool")


def read_tflite(source: TfliteSource, name: str, shapes: Mapping[str, tuple[int, ...]]) -> Imported:
    """The graph of a file before it is normalised.

    shapes: of inputs in the file's order of axes, the batch left out, where it leaves extents open. Raises
    E0801 for an input that is none of ours and E0804 with all that cannot be said.
    """
    return _TfliteGraphReader(source, name).imported(shapes)


def has_rounded_weights(source: TfliteSource) -> bool:
    """True if weights are stored as whole numbers that stand for floats, and read by ops of floats."""
    return any(True for _ in _rounded(source))


def _rounded(source: TfliteSource) -> Iterator[int]:
    """The tensors of whole numbers that ops of floats read as weights."""
    for op in source.ops:
        if op.op != "DEQUANTIZE" and source.tensors[op.outputs[0]].is_float:
            for number in op.inputs:
                tensor = source.tensors[number] if number >= 0 else None
                if tensor is not None and tensor.array is not None and tensor.dtype in _WHOLE:
                    yield number


class _TfliteGraphReader(GraphDraft):
    """The graph so far, and the value of each tensor."""

    def __init__(self, source: TfliteSource, name: str) -> None:
        super().__init__(str(source.path), name)
        self.source = source
        self.known: dict[int, FixedValue | Flow | Lost] = {}
        self.turned: list[str] = []  # inputs and outputs whose axes are in another order here
        self.flat: dict[str, Flow] = {}  # rows in the file's order, and the values that they are of
        self.multiples: dict[str, tuple[str, float]] = {}

    def imported(self, shapes: Mapping[str, tuple[int, ...]]) -> Imported:
        source = self.source
        self._inputs(shapes)
        for op in source.ops:
            self._op(op)
        only = len(source.outputs) == 1
        outputs = {}
        for number in source.outputs:
            name = source.tensors[number].name
            outputs["output" if only else name_in_spec(name)] = self._output(number, name)
        return self.finished(outputs, len(source.ops), tuple(self._notes()))

    def _notes(self) -> Iterator[str]:
        """Remarks on the file that its user should know."""
        for name in self.turned:
            yield f"`{name}` has its channels last in the file, and first here"
        rounded = len(set(_rounded(self.source)))
        if rounded:
            what = (
                f"{rounded} weights are stored as whole numbers, and are the floats here that they stand for"
            )
            yield f"{what}; TensorFlow Lite rounds what it multiplies with them, too"

    def _inputs(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        read = {number for op in self.source.ops for number in op.inputs}
        used = [number for number in self.source.inputs if number in read]
        tensors = {self.source.tensors[number].name: self.source.tensors[number] for number in used}
        declared = {name: tensor.extents for name, tensor in tensors.items()}
        found = self.input_shapes(declared, shapes)
        for number, (name, shape) in zip(used, found.items(), strict=True):
            tensor = tensors[name]
            if not tensor.is_float:
                self.cannot("an input", f"which holds {tensor.dtype}", name)
            if tensor.shape[:1] != (1,):
                self.cannot("an input", f"of a batch of {tensor.shape[0]}", name)
            is_map = len(shape) == 3
            if is_map:
                self.turned.append(name)
            hint = "input" if len(used) == 1 else name_in_spec(name)
            self.known[number] = self.add_input(hint, shape, name, MAP_AXES if is_map else ())

    def _output(self, number: int, name: str) -> str:
        value = self.known.get(number)
        try:
            if isinstance(value, Flow) and value.axes == MAP_AXES:
                self.turned.append(name)
                return value.value
            if isinstance(value, Flow):
                return self.ours(value).value
            if not isinstance(value, Lost):
                self.cannot("an output", "which no op computes from the inputs", name)
        except Unsupported as reason:
            self.cannot("an output", str(reason), name)
        return ""

    def _op(self, op: TfliteOp) -> None:
        place = self.source.tensors[op.outputs[0]].name if op.outputs and op.outputs[0] >= 0 else op.op
        try:
            values = self._read(op)
        except Unsupported as reason:
            self.cannot(op.op, str(reason), place)
            values = [Lost()] * len(op.outputs)
        except MALFORMED as error:
            self.cannot(op.op, f"with inputs or attributes that it cannot have ({reason_in(error)})", place)
            values = [Lost()] * len(op.outputs)
        for number, value in zip(op.outputs, values, strict=False):
            if number >= 0:
                self.known[number] = value
                if isinstance(value, Flow):
                    self.origins.setdefault(value.value, Origin(self.source.tensors[number].name, value.axes))

    def _read(self, op: TfliteOp) -> Sequence[FixedValue | Flow | Lost]:
        """The values that an op makes. Raises `Unsupported`."""
        made = [self.source.tensors[number] for number in op.outputs if number >= 0]
        read = [self.source.tensors[number] for number in op.inputs if number >= 0]
        kinds = {t.dtype for t in made} | {t.dtype for t in read if t.array is None}
        if whole := kinds.intersection(_WHOLE):
            raise Unsupported(f"whose arithmetic is {', '.join(sorted(whole))}")
        if made and all(tensor.dtype in _INDICES for tensor in made):
            is_index = op.op in _SHAPES
            if not is_index or any(number in self.source.outputs for number in op.outputs):
                raise Unsupported("")
            return [Lost()] * len(op.outputs)
        use = _OpUse(self, op)
        if op.op == "DEQUANTIZE" and isinstance(use.value(0), Lost):
            return [Lost()]
        if op.op == "DEQUANTIZE":
            return [FixedValue(use.needed(0))]
        if op.op not in TFLITE_OPS:
            raise Unsupported("")
        if any(isinstance(use.value(i), Lost) for i in range(len(op.inputs)) if not use.is_index(i)):
            return [Lost()] * len(op.outputs)
        flows = TFLITE_OPS[op.op](use)
        if len(flows) != len(op.outputs):
            raise Unsupported(f"{len(op.outputs)} outputs")
        for number, flow in zip(op.outputs, flows, strict=True):
            shape = self.source.tensors[number].shape
            if flow.shape != shape and not self._is_open():
                raise Unsupported(f"a value of {flow.shape}, and the file says {shape}")
        return flows

    def _is_open(self) -> bool:
        """True if the file leaves extents of inputs open, and those of what follows are not its own."""
        tensors = (self.source.tensors[number] for number in self.source.inputs)
        return any(None in tensor.extents[1:] for tensor in tensors)


# Ops that compute shapes, which are known.
_SHAPES = frozenset(
    {"ADD", "CAST", "CONCATENATION", "GATHER", "MUL", "PACK", "REDUCE_PROD", "SHAPE", "SLICE", "SQUEEZE",
     "STRIDED_SLICE", "SUB"}
)  # fmt: skip


class _OpUse:
    """An op with the values that it reads."""

    def __init__(self, reader: _TfliteGraphReader, op: TfliteOp) -> None:
        self.reader, self.given, self.op = reader, op, op.op
        self.stored: list[str] = []

    def option(self, name: str) -> Any:
        return self.given.option(name)

    def inputs(self) -> int:
        return len(self.given.inputs)

    def outputs(self) -> int:
        return len(self.given.outputs)

    def result(self, position: int = 0) -> tuple[int, ...]:
        """The shape of an output in the file."""
        return self._tensor(self.given.outputs[position]).shape

    def _tensor(self, number: int) -> TensorInFile:
        return self.reader.source.tensors[number]

    def is_index(self, position: int) -> bool:
        number = self.given.inputs[position]
        return number >= 0 and self._tensor(number).dtype in _INDICES

    def value(self, position: int) -> FixedValue | Flow | Lost | None:
        """The value of an input, None for one that is left out. Raises `Unsupported` for one that nothing
        computes."""
        number = self.given.inputs[position] if position < len(self.given.inputs) else -1
        if number < 0:
            return None
        if number in self.reader.known:
            return self.reader.known[number]
        tensor = self._tensor(number)
        if tensor.array is None:
            raise Unsupported(f"a value {tensor.name!r} that nothing computes, or that is stored sparsely")
        return FixedValue(_floats(tensor), tensor.name)

    def flow(self, position: int = 0) -> Flow:
        """The value of an input that the network computes. Raises `Unsupported` for others."""
        found = self.value(position)
        if not isinstance(found, Flow):
            raise Unsupported("a constant where a value is needed")
        return found

    def constant(self, position: int) -> Array | None:
        """The array of an input, None for one that is left out. Raises `Unsupported` for a computed one."""
        found = self.value(position)
        if found is not None and not isinstance(found, FixedValue):
            raise Unsupported(f"an input {position} that another op computes")
        if found is not None and found.name:
            self.stored.append(found.name)
        return found.array if found is not None else None

    def needed(self, position: int) -> Array:
        """The array of an input. Raises `Unsupported` where there is none."""
        found = self.constant(position)
        if found is None:
            raise Unsupported(f"without its input {position}")
        return found

    def add(self, op: Op, *flows: Flow, axes: Axes = (), **params: Array) -> Flow:
        """A node; its value, seen by the axes of the first one or by `axes`."""
        stored = self.stored if params else ()
        made = self.reader.add(op, flows, op.kind, params, stored, axes or flows[0].axes)
        if op.kind == "scale":
            self.reader.multiples[made.value] = (flows[0].value, op.attributes()["factor"])
        return made

    def seen_as(self, flow: Flow, axes: tuple[int, ...]) -> Flow:
        return self.reader.seen_as(flow, axes)

    def ours(self, flow: Flow) -> Flow:
        return self.reader.ours(flow)

    def scaled(self, flow: Flow) -> tuple[str, float] | None:
        return self.reader.multiples.get(flow.value)

    def flattened(self, flow: Flow) -> Flow:
        """A value as one row, in the order of the file."""
        row = self.add(Flatten(), self.ours(flow), axes=(0, 1))
        self.reader.flat[row.value] = flow
        return row

    def turned(self, flow: Flow) -> Flow | None:
        return self.reader.flat.get(flow.value)


def _floats(tensor: TensorInFile) -> Array:
    """The array of a stored tensor, whole numbers as the floats that they stand for."""
    assert tensor.array is not None
    array, rule = tensor.array, tensor.quantization
    if tensor.dtype == "float16":
        return array.astype(np.float32)
    if rule is None or tensor.is_float:
        return array
    sides = [1] * array.ndim
    if len(rule.scales) > 1:
        sides[rule.axis] = -1
    scales, zeros = (np.asarray(numbers, np.float32).reshape(sides) for numbers in (rule.scales, rule.zeros))
    return (array.astype(np.float32) - zeros) * scales
