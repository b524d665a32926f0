"""A graph of TorchScript run by torch, with its inner values as outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from archforge.data.opened_files import reason_in
from archforge.interchange.layer_check import TOLERANCE
from archforge.interchange.torchscript.opened import TorchScriptSource
from archforge.interchange.torchscript.reading import is_in_place
from archforge.interchange.unsupported import Unsupported
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["TorchScriptRun"]


class TorchScriptRun:
    """Runs one module. Values that are changed in place later are not shown."""

    by = "torch"
    tolerance = TOLERANCE

    def __init__(self, source: TorchScriptSource) -> None:
        self.source = source

    def __call__(self, inputs: Mapping[str, Array], wanted: list[str]) -> Iterator[tuple[str, Array | None]]:
        """The values of these names. Raises `Unsupported` where torch does not run the module."""
        torch: Any = import_module("torch")
        graph, nodes = self.source.graph.copy(), list(self.source.graph.nodes())
        # A copy has other names for what has none of its own; the order is the same.
        values = {
            value.debugName(): copied
            for node, other in zip(nodes, graph.nodes(), strict=True)
            for value, copied in zip(node.outputs(), other.outputs(), strict=True)
        }
        changed = {next(node.inputs()).debugName() for node in nodes if is_in_place(node)}
        names = [name for name in dict.fromkeys(wanted) if name in values and name not in changed]
        while next(graph.outputs(), None) is not None:
            graph.eraseOutput(0)
        together = graph.create("prim::TupleConstruct", [values[name] for name in names], 1)
        together.output().setType(torch._C.TupleType([torch._C.TensorType.get()] * len(names)))
        graph.appendNode(together)
        graph.registerOutput(together.output())
        arrays = [inputs[value.debugName()] for value in list(self.source.graph.inputs())[1:]]
        given = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
        try:
            function = torch._C._create_function_from_graph("values", graph)
            with torch.no_grad():
                found = dict(zip(names, function(self.source.module, *given), strict=True))
        except Exception as error:  # noqa: BLE001  # whatever torch finds in a foreign module
            raise Unsupported(f"torch: {reason_in(error)[:200]}") from None
        yield from ((name, found[name].numpy() if name in found else None) for name in wanted)
