"""A trained array of any shape: a class token, an embedding of positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from archforge.ir import WHOLE, Init, ParamDecl, Reach, TensorType
from archforge.ops.base import Array, Backward, Example, Flag, Gradients, Op, Positive, Real
from archforge.ops.lazy_numpy import np

__all__ = ["FreeParameter"]


class FreeParameter(Op):
    """A trained array, the same for every sample. Of the input it takes the number of samples alone, so it
    stands in a branch: `{concat: [{parameter: [1, 768], name: class_token}, []]}`.

    The array is called like the step: float[1, *shape], as torch's modules hold what they spread over a
    batch, or float[shape]. Fresh elements are normal numbers.

    Attributes:
        shape: extents of the output, the batch left out
        mean: mean of the fresh elements
        std: standard deviation of the fresh elements; 0 makes them all equal
        batch_axis: stores the array with an axis of extent 1 in front, where the batch has its own
    """

    op = "parameter"

    shape: Annotated[
        tuple[Positive, ...], Field(min_length=1, description="a list of positive whole numbers")
    ]
    mean: Real = 0.0
    std: Annotated[float, Field(ge=0, allow_inf_nan=False, description="a number, 0 or more")] = 0.02
    batch_axis: Flag = True

    examples = (
        Example({"shape": (1, 4)}, ((3, 4),), "a class token"),
        Example({"shape": (3,), "mean": 1.0, "std": 0.0, "batch_axis": False}, ((2, 4, 5),)),
        Example({"shape": (2, 3, 2)}, ((5,),), "a map"),
    )

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(self.shape)

    def params(self, *inputs: TensorType) -> dict[str, ParamDecl]:
        init = Init("normal", self.std, mean=self.mean) if self.std else Init("constant", self.mean)
        return {"": ParamDecl((*((1,) if self.batch_axis else ()), *self.shape), "weight", init)}

    def reach(self, *inputs: TensorType) -> tuple[Reach, ...]:
        return (WHOLE,) * len(self.shape)

    def reference(self, params: Mapping[str, Array], *inputs: Array) -> Array:
        (x,) = inputs
        return np.array(np.broadcast_to(params[""].reshape(1, *self.shape), (len(x), *self.shape)), x.dtype)

    def gradient(self, back: Backward) -> Gradients:
        (x,) = back.inputs
        inputs = (np.zeros(x.shape, back.dy.dtype),) if back.of_inputs else ()
        return Gradients(inputs, {"": back.dy.sum(0).reshape(back.params[""].shape)})
