"""A trained row for each number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archforge.ir import WHOLE, Init, ParamDecl, Reach, TensorType
from archforge.ops.base import INPUTS, Array, Backward, Example, Gradients, Op, Positive
from archforge.ops.features import feature_rows
from archforge.ops.lazy_numpy import np

__all__ = ["Embedding"]


class Embedding(Op):
    """The row of a trained table that each number names: a word's, a class's.

    x: numbers of rows, from 0, float[N, *axes]; an input that embeddings alone read takes integers as well,
    and refuses those that name no row. The output is float[N, *axes, out]. weight: float[entries, out].
    Floats are rounded down, one that is none of a row stands for the nearest row, as in JAX, and NaN gives
    NaN. Floats of 32 bits hold all whole numbers up to 2^24, those of 16 bits up to 2,048 or, as bfloat16,
    256. Looking a row up multiplies nothing: it has no MACs. No gradient goes to the numbers. Source:
    torch.nn.Embedding.

    Attributes:
        entries: number of rows, which is one more than the largest number
        out: number of features of each row
    """

    op = "embedding"
    gradient_reads = INPUTS

    entries: Positive
    out: Positive

    examples = (
        Example({"entries": 4, "out": 3}, ((5,),), "a sentence"),
        Example({"entries": 3, "out": 2}, ((2, 3),), "a map of classes"),
        Example({"entries": 1, "out": 4}, ((3,),), "one row"),
    )

    @property
    def rows(self) -> int:
        return self.entries

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        return TensorType((*x.shape, self.out))

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        return {"weight": ParamDecl((self.entries, self.out), "weight", Init("normal", 1.0))}

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        (x,) = inputs
        return (*(Reach(1, axis=number) for number in range(len(x.shape))), WHOLE)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        y: Array = params["weight"][self._rows(x)]
        y[np.isnan(x)] = np.nan
        return y

    def _rows(self, x: Array) -> Any:
        """The numbers of rows, int64 of the shape of `x`."""
        return np.fmin(np.fmax(np.floor(x), 0), self.entries - 1).astype(np.int64)

    def gradient(self, back: Backward) -> Gradients:
        """Each row gets the sum of those that were read of it."""
        (x,), dy = back.inputs, back.dy
        d_weight = np.zeros((self.entries, self.out), dy.dtype)
        np.add.at(d_weight, self._rows(x).reshape(-1), feature_rows(dy))
        return Gradients((np.zeros(x.shape, dy.dtype),), {"weight": d_weight})
