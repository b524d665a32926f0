"""The examples of every op, found in the registry, with arrays to run them on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from archforge.ir import TensorType
from archforge.ops import all_ops
from archforge.ops.base import Array, Op

__all__ = ["EXAMPLES", "OpExample", "bind", "examples"]


def bind(kind: str, **attributes: Any) -> Op:
    """The op named `kind` with its attributes validated."""
    return all_ops()[kind].model_validate(attributes)


@dataclass(frozen=True, slots=True)
class OpExample:
    """An op with attributes, and the types of its inputs."""

    op: Op
    types: tuple[TensorType, ...]
    name: str

    def __str__(self) -> str:
        return self.name

    def inputs(self, dtype: DTypeLike, batch: int = 2) -> tuple[Array, ...]:
        """Normal numbers, equal for each dtype, spread enough to reach every branch of a kernel."""
        rng = np.random.default_rng(0)
        return tuple((3 * rng.standard_normal((batch, *t.shape))).astype(dtype) for t in self.types)

    def params(self, dtype: DTypeLike) -> dict[str, Array]:
        """Numbers, equal for each dtype; buffers are positive, as variances must be, indices as they are."""
        rng = np.random.default_rng(1)
        arrays = {}
        for name, decl in self.op.params(*self.types).items():
            if decl.init.kind == "index":
                arrays[name] = decl.computed()
                continue
            sign = 1 if decl.role == "buffer" else rng.choice([-1, 1], decl.shape)
            arrays[name] = np.asarray(sign * rng.uniform(0.5, 1.5, decl.shape)).astype(dtype)
        return arrays

    def reference(self, dtype: DTypeLike, batch: int = 2) -> Array:
        return self.op.reference(self.params(dtype), *self.inputs(dtype, batch))


def examples() -> Iterator[OpExample]:
    """Each example of each op, once."""
    for word, cls in all_ops().items():
        if word != cls.op:
            continue
        for number, example in enumerate(cls.examples):
            shapes = "+".join("x".join(map(str, shape)) for shape in example.inputs)
            yield OpExample(
                cls.model_validate(dict(example.attributes)),
                tuple(map(TensorType, example.inputs)),
                f"{word}-{number}-{shapes}",
            )


EXAMPLES = tuple(examples())
