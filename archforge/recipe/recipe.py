"""The section `train` of a spec: the settings of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from archforge.datasets.base import DataSettings
from archforge.ops.base import Count, Flag, Positive, PositiveReal
from archforge.parts import Part, changed_fields, stored_fields
from archforge.recipe.base import Initialiser, Loss, NotNegative, Optimizer, Schedule, Share, Stop

__all__ = ["Clip", "TrainingRecipe"]

Seed = Annotated[int, Field(ge=0, lt=1 << 32, description="a whole number from 0 to below 2^32")]


class Clip(BaseModel):
    """Bounds of gradients before an update.

    Attributes:
    norm: the largest norm of all gradients together; beyond it they are scaled down to it.
    value: the largest magnitude of an element, which is cut there.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    norm: PositiveReal | None = None
    value: PositiveReal | None = None


class TrainingRecipe(BaseModel):
    """The settings of a training run. Where none is given for `loss` and `optimizer`, the run is refused.

    Attributes:
    data: the format of the data and what is done to samples.
    loss: the loss of every output, or of the only one.
    losses: a loss for each output by its name, in place of `loss`.
    loss_weights: a factor of the loss of an output by its name; 1 for the others.
    optimizer: the rule of the updates, with its learning rate.
    schedule: factors of the learning rate, multiplied.
    batch: number of samples of an update.
    accumulate: number of batches whose gradients make one update.
    epochs: number of times that every sample is used.
    clip: bounds of the gradients.
    spare: parameters that the weight decay spares: `norms`, `biases`.
    ema: decay of the moving average of the parameters, which is what is kept; 0 for none.
    init: initialisers of fresh parameters by patterns of their names; the last one that fits is taken.
    freeze: patterns of the names of parameters that stay as they are; the running statistics of a batch norm
      follow the batches all the same, as in torch.
    recompute: patterns of the names of blocks and scopes whose inner values are let go of and computed again
      on the way back, to save memory.
    validation: the share of the samples that is held back where the data have no split of their own.
    limit: the number of samples that is trained on; 0 for all.
    stratify: the limit and the validation hold as many samples of each class.
    shuffle: samples come in another order in each epoch.
    drop_last: a last batch that is not whole is left out.
    sync_bn: batch norms take their statistics from the whole batch where several processes share it, not from
      the part of each.
    seed: of whatever is drawn.
    stop: rules that end the run before the last epoch.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    data: DataSettings = Field(default_factory=lambda: DataSettings())
    loss: Loss | None = None
    losses: Mapping[str, Loss] = Field(default_factory=dict)
    loss_weights: Mapping[str, NotNegative] = Field(default_factory=dict)
    optimizer: Optimizer | None = None
    schedule: tuple[Schedule, ...] = ()
    batch: Positive = 32
    accumulate: Positive = 1
    epochs: Positive = 10
    clip: Clip = Field(default_factory=Clip)
    spare: tuple[Literal["norms", "biases"], ...] = ()
    ema: Share = 0.0
    init: Mapping[str, Initialiser] = Field(default_factory=dict)
    freeze: tuple[str, ...] = ()
    recompute: tuple[str, ...] = ()
    validation: Share = 0.0
    limit: Count = 0
    stratify: Flag = False
    shuffle: Flag = True
    drop_last: Flag = False
    sync_bn: Flag = False
    seed: Seed = 0
    stop: tuple[Stop, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The recipe as plain values: each part as its settings by its word."""
        return _fields(self, brief=False)

    def brief(self) -> dict[str, Any]:
        """The recipe as a spec would have it, with what differs from the defaults alone."""
        return _fields(self, brief=True)

    def completed(self, stored: Any) -> Any:
        """The values that `to_json` gave of a recipe, and the defaults of fields, of its own and of its
        parts, that there were not yet when it was stored."""
        return _completed(stored, self)


def _fields(model: BaseModel, *, brief: bool) -> dict[str, Any]:
    """The fields of a model as plain values; if `brief`, those without a default or of another value."""
    found = changed_fields(model) if brief else stored_fields(model)
    return {name: _plain(value, brief=brief) for name, value in found.items()}


def _plain(value: Any, *, brief: bool) -> Any:
    """A value of a recipe as JSON has it; a part is its settings by its word, or its word alone."""
    if isinstance(value, Part):
        settings = _fields(value, brief=brief)
        return value.word if brief and not settings else {value.word: settings}
    if isinstance(value, BaseModel):
        return _fields(value, brief=brief)
    if isinstance(value, Mapping):
        return {key: _plain(item, brief=brief) for key, item in value.items()}
    return [_plain(item, brief=brief) for item in value] if isinstance(value, tuple | list) else value


def _completed(stored: Any, value: Any) -> Any:
    """A stored value with the defaults of what it lacks beside `value`, as far as both are alike."""
    if isinstance(value, Part) and isinstance(stored, Mapping) and stored.keys() == {value.word}:
        return {value.word: _with_defaults(stored[value.word], value)}
    if isinstance(value, BaseModel) and not isinstance(value, Part) and isinstance(stored, Mapping):
        return _with_defaults(stored, value)
    if isinstance(value, Mapping) and isinstance(stored, Mapping):
        return {key: _completed(item, value.get(key)) for key, item in stored.items()}
    if isinstance(value, tuple) and isinstance(stored, list) and len(value) == len(stored):
        return [_completed(item, beside) for item, beside in zip(stored, value, strict=True)]
    return stored


def _with_defaults(stored: Mapping[str, Any], model: BaseModel) -> dict[str, Any]:
    missing = {
        name: _plain(field.get_default(call_default_factory=True), brief=False)
        for name, field in type(model).model_fields.items()
        if not (field.exclude or field.is_required() or name in stored)
    }
    return missing | {name: _completed(item, getattr(model, name, None)) for name, item in stored.items()}
