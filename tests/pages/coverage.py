"""docs/coverage.md: what computes each op, counted over the examples in the op's file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from archforge.errors import DiagnosticError
from archforge.ops import all_ops
from archforge.ops.base import Op
from tests.pages.markdown import table

if TYPE_CHECKING:
    from archforge.plan.contract import Lowering
    from tests.op_examples import OpExample

__all__ = ["coverage"]

Takes = Callable[["OpExample"], bool]


def coverage() -> str:
    """The table op x way to compute it. Raises E0701 where a backend cannot be asked: it is the same table on
    every machine, or none."""
    from tests.op_examples import EXAMPLES

    columns: dict[str, Takes] = {"reference": _has_reference, **_backends(), "model.py": _in_module}
    rows = []
    for word, cls in all_ops().items():
        if word == cls.op:
            own = [example for example in EXAMPLES if type(example.op) is cls]
            marks = (_share([takes(example) for example in own]) for takes in columns.values())
            rows.append((f"`{word}`", *marks, _in_torch(cls), ", ".join(_in_onnx(word))))
    return table(("op", *columns, "torch", "ONNX"), rows)


def _share(taken: list[bool]) -> str:
    """The mark for the examples of an op that are taken: all, some or none."""
    return "yes" if all(taken) else f"{sum(taken)} of {len(taken)}" if any(taken) else ""


def _has_reference(example: OpExample) -> bool:
    return example.op.has_reference


def _backends() -> dict[str, Takes]:
    """Tests by the names of backends, each of whether it has a kernel of its own in float32."""
    from archforge.backends import all_backends
    from archforge.backends.numpy.lowerings import LOWERINGS

    for backend in all_backends().values():
        backend.require()
    tables = {name: backend.lowerings("float32") for name, backend in all_backends().items()}
    # The reference kernels are NumPy's too, so that what it offers is more than what is its own.
    tables["numpy"] = LOWERINGS
    return {name: partial(_has_kernel, lowerings) for name, lowerings in tables.items()}


def _has_kernel(lowerings: Mapping[str, Lowering], example: OpExample) -> bool:
    lowering = lowerings.get(example.op.kind)
    return lowering is not None and lowering(example.op, *example.types) is not None


def _in_module(example: OpExample) -> bool:
    from archforge.export.module import module_of
    from tests.graphs import one_op

    try:
        module_of(one_op(example.op, tuple(t.shape for t in example.types)), "")
    except DiagnosticError:
        return False
    return True


def _in_torch(cls: type[Op]) -> str:
    from archforge.interchange.torch.ops import TORCH_OPS

    return "yes" if cls.op in TORCH_OPS or cls.is_identity else ""


def _in_onnx(kind: str) -> list[str]:
    """The ONNX ops that mean the op named `kind`."""
    from archforge.interchange.onnx.ops import ONNX_OPS

    return [onnx_op for onnx_op, row in ONNX_OPS.items() if row.kind == kind]
