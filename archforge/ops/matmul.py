"""Matrix product of two values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archforge.ir import WHOLE, Reach, ShapeError, TensorType
from archforge.ops.base import (
    INPUTS,
    Array,
    Backward,
    Example,
    Flag,
    Gradients,
    Op,
    mended_by,
    repeats_summed,
)

__all__ = ["Matmul"]


class Matmul(Op):
    """The matrix product of two values over their last two axes, float[N, *, A, B] times float[N, *, B, C],
    for each index of the axes before them, of which one of extent 1 is repeated. A product with a trained
    matrix is `linear`.

    Attributes:
        transpose_first: takes the matrices of the first value with their two axes exchanged
        transpose_second: takes those of the second value so
    """

    op = "matmul"
    arity = None
    counts_as_layer = False
    gradient_reads = INPUTS

    transpose_first: Flag = False
    transpose_second: Flag = False

    examples = (
        Example({}, ((3, 4), (4, 5))),
        Example({"transpose_second": True}, ((2, 3, 4), (2, 5, 4)), "queries and keys of two heads"),
        Example({"transpose_first": True}, ((2, 4, 3), (1, 4, 5)), "one matrix for two"),
        Example({"transpose_first": True, "transpose_second": True}, ((1, 2, 4, 3), (3, 1, 2, 4))),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        if len(inputs) != 2:
            raise ShapeError(
                f"`matmul` is of two values, found {len(inputs)}",
                help="one product inside another",
                code="E0405",
            )
        first, second = inputs
        if len(first.shape) != len(second.shape) or len(first.shape) < 2:
            raise ShapeError(
                f"`matmul` takes two values of equally many axes, 2 or more, found {first} and {second}",
                help="`reshape` brings them there",
                code="E0405",
            )
        rows, depth = self._matrix(first.shape, self.transpose_first)
        other_depth, columns = self._matrix(second.shape, self.transpose_second)
        if depth != other_depth:
            raise ShapeError(
                f"the matrices of {first} and {second} do not fit together",
                label=f"{rows}x{depth} times {other_depth}x{columns}",
                help="the columns of the first are the rows of the second; `transpose_first` and "
                "`transpose_second` exchange the two",
                code="E0405",
                mended_by=mended_by(inputs),
            )
        before = [max(pair) for pair in zip(first.shape[:-2], second.shape[:-2], strict=True)]
        for x in inputs:
            if any(n not in (1, m) for n, m in zip(x.shape, before, strict=False)):
                raise ShapeError(
                    f"the axes before the matrices differ: {first} and {second}",
                    help="equal extents, or 1 where one value is repeated",
                    code="E0405",
                    mended_by=mended_by(inputs),
                )
        return TensorType((*before, rows, columns))

    @staticmethod
    def _matrix(shape: Sequence[int], transpose: bool) -> tuple[int, int]:
        """Rows and columns of a value's matrices, as they are multiplied."""
        rows, columns = shape[-2:]
        return (columns, rows) if transpose else (rows, columns)

    def macs(self, *inputs: TensorType) -> int:
        return self.infer(*inputs).size * self._matrix(inputs[0].shape, self.transpose_first)[1]

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return (WHOLE,) * len(inputs[0].shape)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        first, second = self._matrices(inputs)
        return first @ second

    def _matrices(self, inputs: tuple[Array, ...]) -> tuple[Array, Array]:
        """The two values as they are multiplied."""
        first, second = inputs
        return (
            first.swapaxes(-1, -2) if self.transpose_first else first,
            second.swapaxes(-1, -2) if self.transpose_second else second,
        )

    def gradient(self, back: Backward) -> Gradients:
        first, second = self._matrices(back.inputs)
        multiplied = back.dy @ second.swapaxes(-1, -2), first.swapaxes(-1, -2) @ back.dy
        gradients = self._matrices(multiplied)  # what is exchanged twice is as it was
        return Gradients(tuple(map(repeats_summed, gradients, back.inputs)))
