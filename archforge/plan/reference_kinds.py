"""Kinds of ops that a backend leaves to their reference kernels, whatever the network."""

from __future__ import annotations

from archforge.ir import TensorType
from archforge.ops import all_ops
from archforge.ops.base import Op
from archforge.plan.contract import Backend, Lowering

__all__ = ["kinds_on_reference"]


def kinds_on_reference(backend: Backend, dtype: str) -> tuple[str, ...]:
    """The kinds of ops that run on their reference kernels in each of their examples, though others could be
    faster. Raises what `Backend.lowerings` does."""
    table = backend.lowerings(dtype)
    ops = {word: cls for word, cls in all_ops().items() if word == cls.op}
    return tuple(kind for kind, cls in ops.items() if not _is_fast(cls, table.get(kind)))


def _is_fast(cls: type[Op], lowering: Lowering | None) -> bool:
    """True if some example of the op has a kernel that is not slow."""
    if lowering is None:
        return False
    for example in cls.examples:
        kernel = lowering(cls.model_validate(dict(example.attributes)), *map(TensorType, example.inputs))
        if kernel is not None and not kernel.is_slow:
            return True
    return False
