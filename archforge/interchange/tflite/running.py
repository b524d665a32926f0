"""A file of TensorFlow Lite run by LiteRT, where it is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from archforge.data.opened_files import reason_in
from archforge.interchange.layer_check import TOLERANCE
from archforge.interchange.tflite.opened import TfliteSource
from archforge.interchange.tflite.reading import has_rounded_weights
from archforge.interchange.unsupported import Unsupported
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["TfliteRun"]

# What rounding each layer's input to 8 bits adds up to stays below half of this in the files met.
ROUNDED = 0.1


class TfliteRun:
    """Runs one file. tolerance: larger where weights are whole numbers, since the runtime then rounds what it
    multiplies with them."""

    by = "LiteRT"

    def __init__(self, source: TfliteSource) -> None:
        self.source = source
        self.tolerance = ROUNDED if has_rounded_weights(source) else TOLERANCE

    def __call__(self, inputs: Mapping[str, Array], wanted: list[str]) -> Iterator[tuple[str, Array | None]]:
        """The tensors of these names, in the order of the file. Raises `Unsupported` where nothing here runs
        it."""
        if find_spec("ai_edge_litert") is None:
            raise Unsupported("LiteRT (ai-edge-litert) is not installed")
        numbers = {tensor.name: number for number, tensor in enumerate(self.source.tensors)}
        litert: Any = import_module("ai_edge_litert.interpreter")
        try:
            interpreter = litert.Interpreter(
                model_path=str(self.source.path),
                num_threads=1,
                experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )
            for name, x in inputs.items():
                interpreter.resize_tensor_input(numbers[name], x.shape)
            interpreter.allocate_tensors()
            for name, x in inputs.items():
                interpreter.set_tensor(numbers[name], np.ascontiguousarray(x))
            interpreter.invoke()
            for name in wanted:
                yield name, np.asarray(interpreter.get_tensor(numbers[name]))
        except Exception as error:  # noqa: BLE001  # whatever a foreign runtime finds in a foreign file
            raise Unsupported(f"LiteRT: {reason_in(error)[:200]}") from None
