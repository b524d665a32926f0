"""The arguments of kernels: attributes as they are, and geometry in the form that most calls share.

Blocks of different size should be one function, so what follows from the input's size is said
relative to it where that is as clear: one of two equal parts, not channels 64 to 128.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archforge.errors import InternalError
from archforge.export.module.dialect import WrittenOp
from archforge.export.module.kernels import ModuleKernel
from archforge.interchange.layer_text import free_extent, plain, plain_sides
from archforge.ir import Node, TensorType
from archforge.ops.reshape import Reshape
from archforge.ops.slice import Slice
from archforge.ops.window import Window

__all__ = ["kernel_call"]


def kernel_call(node: Node, types: Sequence[TensorType], kernel: ModuleKernel, **more: Any) -> WrittenOp:
    """The call of a kernel for a node with inputs of these types; `more` as `_arguments` has it."""
    args = _arguments(node, types, kernel, **more)
    is_bare = not kernel.takes_params and args == kernel.keywords
    is_activation = is_bare and tuple(types) == (node.op.infer(*types),)
    return WrittenOp(kernel.name, {} if is_activation else args, kernel.takes_params, is_activation)


def _arguments(node: Node, types: Sequence[TensorType], kernel: ModuleKernel, **more: Any) -> dict[str, Any]:
    """The value of each keyword argument of the kernel, for a node with inputs of these types; `more` are
    those that only its file has."""
    known = node.op.attributes() | _window(node, types) | more
    if isinstance(node.op, Slice):
        known |= _part(node.op, types[0])
    if isinstance(node.op, Reshape):
        known |= {"shape": free_extent(node.op.infer(*types).shape)}
    missing = [name for name in kernel.keywords if name not in known]
    if missing:
        raise InternalError(
            f"kernel {kernel.name} asks for {', '.join(missing)}, which `{node.op.kind}` lacks"
        )
    return {name: known[name] for name in kernel.keywords}


def _window(node: Node, types: Sequence[TensorType]) -> dict[str, Any]:
    """The geometry of an op with a window, in numbers: words and `ceil` are worked out here."""
    if not hasattr(node.op, "window"):
        return {}
    window: Window = node.op.window(*types)
    return {
        "kernel": plain(window.kernel),
        "stride": plain(window.stride),
        "dilation": plain(window.dilation),
        "padding": plain_sides(window.padding),
        "overhang": plain_sides(window.overhang(types[0].spatial)),
    }


def _part(op: Slice, x: TensorType) -> dict[str, Any]:
    """The argument `part`, (index, number) of equal parts, in place of `start` and `end`; None if a slice is
    no such part."""
    part = op.part(x)
    return {"part": part, "start": 0, "end": None} if part else {"part": None}
