"""A typed graph as a module of torch, for networks that no library has.

The module runs eagerly, and torch can trace, compile and export it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

from archforge.interchange.torch.ops import TORCH_OPS, TorchFunction, TorchUse, unchanged
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Node, TypedGraph

__all__ = ["torch_network"]


class _TorchCall(NamedTuple):
    """The call that computes one value: a function of the values named in `inputs`."""

    output: str
    function: TorchFunction
    inputs: tuple[str, ...]


def torch_network(typed: TypedGraph, state: Mapping[str, Any], *, training: bool = False) -> Any:
    """A torch.nn.Module from the graph's inputs to a tuple of its outputs, both in order.

    state: a tensor for each parameter of the graph, by its full name; they are used as they are, not copied,
    and batch norms write their running statistics into them in training. training: every op does what it does
    in training. torch gives gradients for those tensors of `state` that require them.
    Raises `Unsupported` for what torch has no function for, all reasons together.
    """
    torch: Any = import_module("torch")
    calls = _calls(typed, state, torch.nn.functional, training=training)

    class GraphModule(torch.nn.Module):  # type: ignore[misc]  # torch is not there for mypy
        """The graph's calls in order, its tensors as buffers."""

        def __init__(self) -> None:
            super().__init__()
            for name in typed.params():
                self.register_buffer(name.replace(".", "/"), state[name])  # no dots are allowed in the name

        def forward(self, *inputs: Any) -> tuple[Any, ...]:
            """The outputs for one tensor of each input, all with the batch as their first axis."""
            values = dict(zip(typed.inputs, inputs, strict=True))
            for output, function, given in calls:
                values[output] = function(*(values[v] for v in given))
            return tuple(values[v] for v in typed.outputs.values())

    return GraphModule().eval()


def _calls(
    typed: TypedGraph, state: Mapping[str, Any], functional: Any, *, training: bool
) -> list[_TorchCall]:
    """The calls that the outputs need, in order. Raises `Unsupported`."""
    needed = typed.needed_by(typed.outputs.values())
    calls: list[_TorchCall] = []
    reasons: dict[str, None] = {}
    for node in typed.nodes:
        if node.name in needed:
            try:
                function = _function(typed, node, state, functional, training=training)
                calls.append(_TorchCall(node.name, function, node.inputs))
            except Unsupported as reason:
                reasons[str(reason)] = None
    if reasons:
        raise Unsupported(f"torch has no function for {'; '.join(reasons)}")
    return calls


def _function(
    typed: TypedGraph, node: Node, state: Mapping[str, Any], functional: Any, *, training: bool
) -> TorchFunction:
    op, types = node.op, typed.input_types(node)
    if op.passes_through(*types) and not (training and op.differs_in_training):
        return unchanged
    if op.kind not in TORCH_OPS:
        raise Unsupported(f"`{op.kind}`")
    own = {name: state[node.param_name(name)] for name in op.params(*types)}
    return TORCH_OPS[op.kind](TorchUse(functional, op, types, typed.types[node.name], own, training))
