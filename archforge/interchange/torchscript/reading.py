"""A graph of TorchScript as a graph of ours, call by call, at a batch of one image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archforge.data.opened_files import MALFORMED, reason_in
from archforge.interchange.draft import GraphDraft
from archforge.interchange.flows import Axes, FixedValue, Flow, Lost
from archforge.interchange.imported import Imported, Origin
from archforge.interchange.names import clean_name, name_in_spec
from archforge.interchange.torchscript.opened import TorchScriptSource
from archforge.interchange.torchscript.ops import ATEN_OPS
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Op
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["read_torchscript"]

_CONTROL = ("prim::If", "prim::Loop")
_LISTS = ("prim::ListConstruct", "prim::TupleConstruct")
_UNPACKED = ("prim::ListUnpack", "prim::TupleUnpack")
_KNOWN = {*ATEN_OPS, *_LISTS, *_UNPACKED}


def read_torchscript(source: TorchScriptSource, name: str, shapes: Mapping[str, tuple[int, ...]]) -> Imported:
    """The graph of a module before it is normalised.

    shapes: of inputs, the batch left out, of which such files say nothing. Raises E0801 for an input without
    a shape and E0804 with all that cannot be said.
    """
    return _TorchScriptReader(source, name).imported(shapes)


class _TorchScriptReader(GraphDraft):
    """The graph so far, and what each name stands for: a value, a number, a part of the module."""

    def __init__(self, source: TorchScriptSource, name: str) -> None:
        super().__init__(str(source.path), name)
        self.source = source
        self.known: dict[str, Any] = {}
        self.paths: dict[str, str] = {}  # of parts of the module

    def imported(self, shapes: Mapping[str, tuple[int, ...]]) -> Imported:
        graph = self.source.graph
        module, *inputs = (value.debugName() for value in graph.inputs())
        self.known[module], self.paths[module] = self.source.module, ""
        names = {_plain_name(value): value for value in inputs}
        for name, shape in self.input_shapes(dict.fromkeys(names), shapes).items():
            hint = "input" if len(names) == 1 else name_in_spec(name)
            self.known[names[name]] = self.add_input(hint, shape, names[name])
        count = 0
        for node in graph.nodes():
            count += node.kind().startswith("aten::")
            self._node(node)
        made = [self.known.get(value.debugName()) for value in graph.outputs()]
        made = made[0] if len(made) == 1 and isinstance(made[0], list) else made
        only = len(made) == 1
        outputs = {"output" if only else f"output_{i}": self._output(each) for i, each in enumerate(made, 1)}
        return self.finished(outputs, count)

    def _output(self, value: Any) -> str:
        try:
            if isinstance(value, Flow):
                return self.ours(value).value
            if not isinstance(value, Lost):
                self.cannot("an output", "which is no value of the network", "the end")
        except Unsupported as reason:
            self.cannot("an output", str(reason), "the end")
        return ""

    def _node(self, node: Any) -> None:
        outputs = [value.debugName() for value in node.outputs()]
        try:
            made = self._read(node)
        except Unsupported as reason:
            made = self._lost(node, str(reason))
        except MALFORMED as error:
            made = self._lost(node, f"with arguments that it cannot have ({reason_in(error)})")
        values = [made] if len(outputs) == 1 else made if isinstance(made, list) else [made] * len(outputs)
        for name, value in zip(outputs, values, strict=False):
            self.known[name] = value
            if isinstance(value, Flow):
                self.origins.setdefault(value.value, Origin(name, value.axes))
        if is_in_place(node):
            self.known[next(node.inputs()).debugName()] = made  # what reads it later reads what it is now

    def _lost(self, node: Any, reason: str) -> Lost:
        self.cannot(node.kind(), reason, self._place(node))
        return Lost()

    def _place(self, node: Any) -> str:
        """The part of the module that a call is for, or else the value that it makes."""
        for value in node.inputs():
            path = self.paths.get(value.debugName(), "")
            if path.rpartition(".")[0]:
                return path.rpartition(".")[0]
        return next((f"%{value.debugName()}" for value in node.outputs()), node.kind())

    def _read(self, node: Any) -> Any:
        """Value that a call makes, or a list of those of several outputs. Raises `Unsupported`."""
        kind, inputs = node.kind(), [value.debugName() for value in node.inputs()]
        if kind == "prim::Constant":
            return _constant(node)
        if kind == "prim::GetAttr":
            return self._part(node, inputs[0])
        if kind in _CONTROL:
            raise Unsupported("the control flow of a scripted module; torch.jit.trace records none")
        given = [self.known.get(name, Lost()) for name in inputs]
        if any(_is_lost(value) for value in given):
            if kind not in _KNOWN and kind.removesuffix("_") not in _KNOWN:
                raise Unsupported("")
            return Lost()
        if kind in _LISTS:
            return given
        if kind in _UNPACKED:
            if not isinstance(given[0], list) or len(given[0]) != node.outputsSize():
                raise Unsupported("of another number of values")
            return given[0]
        translate = ATEN_OPS.get(kind) or ATEN_OPS.get(kind.removesuffix("_"))
        if translate is None:
            raise Unsupported("")
        paths = [self.paths.get(name, "") for name in inputs if isinstance(self.known.get(name), FixedValue)]
        return translate(_CallUse(self, kind.removesuffix("_"), given, [path for path in paths if path]))

    def _part(self, node: Any, owner: str) -> Any:
        """A part of the module: a module, or an array by its path."""
        name = node.s("name")
        path = f"{self.paths[owner]}.{name}".lstrip(".")
        found = getattr(self.known[owner], name)
        output = node.output().debugName()
        self.paths[output] = path
        if hasattr(found, "detach"):
            return FixedValue(_array(found), path)
        return found


class _CallUse:
    """A call with its arguments."""

    def __init__(self, reader: _TorchScriptReader, op: str, given: list[Any], paths: list[str]) -> None:
        self.reader, self.op, self.given, self.paths = reader, op, given, paths

    def arg(self, position: int, default: Any = None) -> Any:
        return self.given[position] if position < len(self.given) else default

    def flow(self, position: int = 0) -> Flow:
        """An argument that the network computes. Raises `Unsupported` for others."""
        found = self.arg(position)
        if not isinstance(found, Flow):
            raise Unsupported("a constant where a value is needed")
        return found

    def array(self, position: int) -> Array | None:
        """An argument that is stored, None for one that is left out. Raises `Unsupported` for others."""
        found = self.arg(position)
        if found is not None and not isinstance(found, FixedValue):
            raise Unsupported(f"an argument {position} that the network computes")
        return None if found is None else found.array

    def add(self, op: Op, *flows: Flow, axes: Axes = (), **params: Array) -> Flow:
        """A node; its value, seen by the axes of the first one or by `axes`."""
        path = self.paths[0].rpartition(".")[0] if params and self.paths else ""
        hint = clean_name(path) if path else op.kind
        stored = self.paths if params else ()
        return self.reader.add(op, flows, hint, params, stored, axes or flows[0].axes)

    def ours(self, flow: Flow) -> Flow:
        return self.reader.ours(flow)


def is_in_place(node: Any) -> bool:
    """True for a call that changes its first argument."""
    kind: str = node.kind()
    return kind.startswith("aten::") and kind.endswith("_") and not kind.endswith("__")


def _plain_name(value: str) -> str:
    """The name of an argument, without the number that torch adds: `x` of `x.2`."""
    name, _, number = value.partition(".")
    return name if number.isdigit() and name else value


def _constant(node: Any) -> Any:
    """The value of a constant: a number, a text, a list, None, or an array."""
    found = node.output().toIValue()
    if not hasattr(found, "detach"):
        return found
    return found.item() if found.dim() == 0 else FixedValue(_array(found))


def _array(tensor: Any) -> Array:
    """The elements of a tensor, halves in 32 bits."""
    tensor = tensor.detach()
    if tensor.is_floating_point() and tensor.element_size() < 4:
        tensor = tensor.float()
    array: Array = np.asarray(tensor.numpy())
    return array


def _is_lost(value: Any) -> bool:
    return isinstance(value, Lost) or (isinstance(value, list) and any(isinstance(v, Lost) for v in value))
