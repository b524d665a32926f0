"""Losses that are written as ops."""

from __future__ import annotations

from functools import cached_property

from pydantic import ConfigDict, Field

from archforge.errors import fail, listed
from archforge.ir import Array, ShapeError, TensorType, TypedGraph, shape_text
from archforge.ops.base import Axis
from archforge.ops.lazy_numpy import np
from archforge.plan.backward import TrainingPlan, training_plan
from archforge.recipe.base import Classes, Loss, LossValue
from archforge.recipe.digests import graph_digest
from archforge.recipe.targets import target_values

__all__ = ["OpsLoss"]

INPUTS = ("prediction", "target")


class OpsLoss(Loss):
    """The mean of the numbers that a graph makes of a prediction and a target, its two inputs. The gradient
    is that of its ops.

    Attributes:
    name: the name of the graph, and digest: a hash of it, for records.
    typed: the graph.
    axis: the axis along which targets that are numbers of classes stand for a 1 among zeros.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    word = "ops"
    never_said = ("digest",)

    name: str
    digest: str
    typed: TypedGraph = Field(exclude=True)
    axis: Axis = 0

    @classmethod
    def of(cls, typed: TypedGraph, axis: int = 0) -> OpsLoss:
        """The loss of a graph, as `archforge.load` has it. Raises E0904 for one that is no loss."""
        name = typed.graph.name
        odd = {*typed.inputs} ^ {*INPUTS}
        if odd:
            found = f"`{name}` takes {listed(typed.inputs)}"
            fail(
                "E0904",
                f"a loss takes `prediction` and `target`, and {found}",
                help="input: {prediction: ..., ...}",
            )
        if params := typed.params():
            fail("E0904", f"a loss has no parameters, and `{name}` has `{next(iter(params))}`")
        if len(typed.outputs) != 1:
            fail("E0904", f"a loss is one value, and `{name}` has the outputs {listed(typed.outputs)}")
        return cls(name=name, digest=graph_digest(typed), typed=typed, axis=axis)

    @cached_property
    def _plan(self) -> TrainingPlan:
        return training_plan(self.typed, of_inputs=("prediction",))

    def require(self, x: TensorType) -> None:
        wanted = self.typed.inputs["prediction"]
        if x != wanted:
            raise ShapeError(f"the loss `{self.name}` is of predictions of {wanted}")

    def classes(self, prediction: Array, target: Array) -> Classes | None:
        if target.size >= prediction.size:
            return None
        return Classes.along(self.axis % (prediction.ndim - 1) + 1, prediction, target)

    def value(self, prediction: Array, target: Array) -> LossValue:
        found, wanted = TensorType(prediction.shape[1:]), self.typed.inputs["prediction"]
        if found != wanted:
            fail(
                "E0607",
                f"the loss `{self.name}` takes predictions of {wanted}, found {shape_text(found.shape)}",
            )
        if self.typed.inputs["target"] == wanted:
            target = target_values(prediction, target, self.axis % len(wanted.shape) + 1)
        elif TensorType(target.shape[1:]) != self.typed.inputs["target"]:
            expected = self.typed.inputs["target"]
            fail(
                "E0607",
                f"the loss `{self.name}` takes targets of {expected}, found {shape_text(target.shape[1:])}",
            )
        inputs = {"prediction": prediction, "target": target.astype(prediction.dtype, copy=False)}
        passed = self._plan.run({}, inputs, lambda name: np.random.default_rng(0))
        ((name, output),) = passed.outputs.items()
        passed.back({name: np.full_like(output, 1 / max(output.size, 1))})
        gradient = passed.input_gradients.get("prediction", np.zeros_like(prediction))
        return LossValue(float(output.sum(dtype=np.float64)) / max(output.size, 1), gradient)
