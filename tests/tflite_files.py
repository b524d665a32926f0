"""Files of TensorFlow Lite, written op by op: shared by the tests of their reader."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["TfliteWriter"]

_TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "int8": 9}


class TfliteWriter:
    """A file in the making: tensors and ops, numbered as they come."""

    def __init__(self) -> None:
        self.schema: Any = import_module("tflite")
        self.builder: Any = import_module("flatbuffers").Builder(1024)
        self.buffers: list[int] = []
        self.tensors: list[int] = []
        self.codes: dict[int, int] = {}
        self.ops: list[int] = []
        self._buffer(None)

    def tensor(
        self,
        shape: tuple[int, ...],
        array: NDArray[Any] | None = None,
        *,
        dtype: str = "",
        scales: list[float] | None = None,
        axis: int = 0,
        signature: tuple[int, ...] = (),
    ) -> int:
        """A tensor; its number. With an array it is stored."""
        t, b = self.schema, self.builder
        dtype = dtype or ("float32" if array is None else array.dtype.name)
        name = b.CreateString(f"t{len(self.tensors)}")
        sides = self._numbers(shape)
        signed = self._numbers(signature) if signature else 0
        rule = self._rule(scales, axis) if scales else 0
        buffer = 0 if array is None else self._buffer(array)
        t.TensorStart(b)
        t.TensorAddName(b, name)
        t.TensorAddShape(b, sides)
        t.TensorAddType(b, _TYPES[dtype])
        t.TensorAddBuffer(b, buffer)
        if signed:
            t.TensorAddShapeSignature(b, signed)
        if rule:
            t.TensorAddQuantization(b, rule)
        self.tensors.append(t.TensorEnd(b))
        return len(self.tensors) - 1

    def op(
        self, kind: str, inputs: list[int], *shapes: tuple[int, ...], dtype: str = "float32", **options: Any
    ) -> Any:
        """An op; the number of the tensor that it makes, or of each. options: by the names of the schema, the
        message that has them as `of`."""
        t, b = self.schema, self.builder
        outputs = [self.tensor(shape, dtype=dtype) for shape in shapes]
        given, of = 0, options.pop("of", "")
        if of:
            getattr(t, f"{of}Start")(b)
            for name, value in options.items():
                getattr(t, f"{of}Add{name}")(b, value)
            given = getattr(t, f"{of}End")(b)
        numbers = [self._numbers(tuple(each)) for each in (inputs, outputs)]
        code = getattr(t.BuiltinOperator, kind)
        t.OperatorStart(b)
        t.OperatorAddOpcodeIndex(b, self.codes.setdefault(code, len(self.codes)))
        t.OperatorAddInputs(b, numbers[0])
        t.OperatorAddOutputs(b, numbers[1])
        if of:
            t.OperatorAddBuiltinOptionsType(b, getattr(t.BuiltinOptions, of))
            t.OperatorAddBuiltinOptions(b, given)
        self.ops.append(t.OperatorEnd(b))
        return outputs[0] if len(outputs) == 1 else outputs

    def content(self, inputs: list[int], outputs: list[int]) -> bytes:
        """The bytes of the file."""
        t, b = self.schema, self.builder
        parts = [self._offsets(self.tensors), self._numbers(tuple(inputs)), self._numbers(tuple(outputs))]
        ops = self._offsets(self.ops)
        t.SubGraphStart(b)
        t.SubGraphAddTensors(b, parts[0])
        t.SubGraphAddInputs(b, parts[1])
        t.SubGraphAddOutputs(b, parts[2])
        t.SubGraphAddOperators(b, ops)
        graphs = self._offsets([t.SubGraphEnd(b)])
        codes = self._offsets([self._code(code) for code in self.codes])
        buffers = self._offsets(self.buffers)
        t.ModelStart(b)
        t.ModelAddVersion(b, 3)
        t.ModelAddOperatorCodes(b, codes)
        t.ModelAddSubgraphs(b, graphs)
        t.ModelAddBuffers(b, buffers)
        b.Finish(t.ModelEnd(b), file_identifier=b"TFL3")
        return bytes(b.Output())

    def _code(self, code: int) -> int:
        t, b = self.schema, self.builder
        t.OperatorCodeStart(b)
        t.OperatorCodeAddDeprecatedBuiltinCode(b, min(code, 127))
        t.OperatorCodeAddBuiltinCode(b, code)
        made: int = t.OperatorCodeEnd(b)
        return made

    def _buffer(self, array: NDArray[Any] | None) -> int:
        t, b = self.schema, self.builder
        data = 0 if array is None else b.CreateByteVector(array.tobytes())
        t.BufferStart(b)
        if array is not None:
            t.BufferAddData(b, data)
        self.buffers.append(t.BufferEnd(b))
        return len(self.buffers) - 1

    def _rule(self, scales: list[float], axis: int) -> int:
        t, b = self.schema, self.builder
        vector, zeros = b.CreateNumpyVector(np.array(scales, np.float32)), self._longs([0] * len(scales))
        t.QuantizationParametersStart(b)
        t.QuantizationParametersAddScale(b, vector)
        t.QuantizationParametersAddZeroPoint(b, zeros)
        t.QuantizationParametersAddQuantizedDimension(b, axis)
        made: int = t.QuantizationParametersEnd(b)
        return made

    def _numbers(self, numbers: tuple[int, ...]) -> int:
        made: int = self.builder.CreateNumpyVector(np.array(numbers, np.int32))
        return made

    def _longs(self, numbers: list[int]) -> int:
        made: int = self.builder.CreateNumpyVector(np.array(numbers, np.int64))
        return made

    def _offsets(self, tables: list[int]) -> int:
        b = self.builder
        b.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            b.PrependUOffsetTRelative(table)
        made: int = b.EndVector()
        return made
