"""The fixed parts of a run: data fitted to the network, losses at their values, a plan and its learner."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from archforge.analysis.network import Network
from archforge.datasets.base import Data, Samples
from archforge.datasets.batches import Batches
from archforge.datasets.examine import examine
from archforge.datasets.fit import fitted
from archforge.datasets.formats.digits import DIGITS_RECIPE, Digits
from archforge.datasets.splits import split
from archforge.draws import BatchShare
from archforge.errors import fail
from archforge.ir import by_x
from archforge.meanings import text_of
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.plan.backward import TrainingPlan, training_plan
from archforge.plan.learner import Learner, Learning
from archforge.recipe.base import Loss, Optimizer
from archforge.recipe.loss_input import value_for_loss
from archforge.recipe.patterns import names_that_fit
from archforge.recipe.recipe import TrainingRecipe
from archforge.recipe.watched import require_measured
from archforge.scopes import scopes_that_fit
from archforge.spec.resolve.recipe import BoundRecipe, Override, from_python, recipe_of
from archforge.training.measures import Measures
from archforge.training.ranks.batch_norm import with_shared_batch_norms
from archforge.training.ranks.group import RankGroup

__all__ = [
    "OutputLoss",
    "Setup",
    "add_losses",
    "batches_of",
    "examined",
    "input_of",
    "losses_of",
    "main_loss",
    "parts_of",
    "recipe_for",
    "set_up",
]


class OutputLoss(NamedTuple):
    """The loss of one output of a network. value: the value of the graph that it reads. factor: what it is
    multiplied by."""

    loss: Loss
    value: str
    factor: float = 1.0


def main_loss(losses: Mapping[str, OutputLoss]) -> OutputLoss:
    """The loss of the main output, which is the first."""
    return next(iter(losses.values()))


def add_losses(
    measures: Measures,
    losses: Mapping[str, OutputLoss],
    values: Mapping[str, Array],
    target: Array,
    parts: Sequence[float] | None = None,
    batch: int | None = None,
) -> tuple[float, list[Array]]:
    """Add the figures of a batch, given the values of the graph. Returns its loss, and the gradient of each
    output's, its factor left out.

    parts: of samples that are some of a larger batch, the part of each loss's mean that they are, and `batch`
    the number of all. What is returned is then what they add to its loss.
    """
    total, gradients = 0.0, []
    for part, of_mean in zip(losses.values(), parts or [1.0] * len(losses), strict=True):
        loss, gradient = part.loss.value(values[part.value], target)
        total += part.factor * loss * (of_mean if part.loss.is_mean else 1.0)
        gradients.append(gradient)
    main = main_loss(losses)
    if classes := main.loss.classes(values[main.value], target):
        measures.add_classes(*classes)
    measures.add(total, len(target), batch)
    return total, gradients


@dataclass(frozen=True, eq=False)
class Setup:
    """The fixed parts of a run. losses: by the names of outputs, that of the main one first. ranks: the
    processes that make it together, if there are several."""

    network: Network
    recipe: TrainingRecipe
    batches: Batches
    held_back: Batches | None
    losses: Mapping[str, OutputLoss]
    plan: TrainingPlan
    learner: Learner
    backend: Learning
    dtype: str
    ranks: RankGroup | None = None

    @property
    def input(self) -> str:
        """The name of the network's input."""
        return input_of(self.network)[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes that are learned; empty where the data have none."""
        return self.batches.samples.classes

    @property
    def optimizer(self) -> Optimizer:
        """The rule of the updates."""
        assert self.recipe.optimizer is not None
        return self.recipe.optimizer

    @property
    def updates_per_epoch(self) -> int:
        """The number of updates that an epoch makes."""
        return math.ceil(len(self.batches) / self.recipe.accumulate)

    def parts_of_means(
        self, share: BatchShare, values: Mapping[str, Array], target: Array
    ) -> tuple[float, ...]:
        """The part of each loss's mean over a batch that the samples of a share are."""
        parts = (share.samples / share.batch,) * len(self.losses)
        if self.ranks is None or not self.weighs_targets:
            return parts
        own = [part.loss.weight(values[part.value], target) for part in self.losses.values()]
        every = self.ranks.sum(np.array(own)).tolist()
        return tuple(weight / (total or 1) for weight, total in zip(own, every, strict=True))

    @cached_property
    def weighs_targets(self) -> bool:
        """True if samples may count differently in a loss's mean over a batch."""
        samples = self.batches.samples
        return any(part.loss.weighs(samples.targets, samples.labels) for part in self.losses.values())


def input_of(network: Network) -> tuple[str, tuple[int, ...]]:
    """The name and the shape of the network's input. Raises E0607 for several, since samples have one."""
    inputs = network.graph.inputs
    if len(inputs) > 1:
        help = "a network of one input; `slice` takes it apart"
        fail("E0607", f"a sample has one input, and {network.name} has {', '.join(inputs)}", help=help)
    ((name, type_),) = inputs.items()
    return name, type_.shape


def recipe_for(network: Network, data: Any, overrides: Iterable[Override]) -> BoundRecipe:
    """The recipe of the network's profile on these data, with what a caller gives over it. The digits bring
    settings of their own. Raises E0601 where there are no data for a network that digits are not for."""
    spec, profile, given = network.spec, network.profile, [*overrides]
    if data is not None:
        return recipe_of(spec, profile, given)
    _require_digits(network)
    brought = from_python(DIGITS_RECIPE)
    bound = recipe_of(spec, profile, [*brought, *given])
    asked = any(override.key == "stratify" for override in given)
    if asked or bound.recipe.limit or bound.recipe.validation:
        return bound
    return recipe_of(spec, profile, [*(own for own in brought if own.key != "stratify"), *given])


def _require_digits(network: Network) -> None:
    """Raises E0601 for a network whose spec names other data, or whose input is no picture."""
    _, shape = input_of(network)
    format = recipe_of(network.spec, network.profile).recipe.data.format
    if format is not None and not isinstance(format, Digits):
        what = text_of(type(format)).split(";")[0].split(". ")[0]
        message = f"{network.name} learns from data of the format `{format.word}`, and none are given"
        fail("E0601", message, help=f"--data PATH, in Python `data`: {what[0].lower()}{what[1:]}")
    if len(shape) not in (1, 3):
        message = f"no data are given, and the digits that come with archforge are no {by_x(shape)}"
        fail("E0601", message, help="--data PATH, in Python `data`")


def set_up(
    network: Network,
    bound: BoundRecipe,
    data: Data,
    backend: Learning,
    dtype: str,
    *,
    strict: bool,
    ranks: RankGroup | None = None,
) -> Setup:
    """The fixed parts of a run."""
    recipe = bound.recipe
    losses = losses_of(network, bound)
    parts = parts_of(network, recipe, data, losses)
    batches = batches_of(network, recipe, parts.train, training=True)
    if ranks:
        batches = replace(batches, rank=ranks.rank, ranks=ranks.size)
    held_back = batches_of(network, recipe, parts.held_back, training=False) if parts.held_back else None
    measured = ["loss", "accuracy"] if _classes(network, losses) else ["loss"]
    held = [f"val_{name}" for name in measured] if held_back else []
    require_measured([*recipe.schedule, *recipe.stop], [*measured, *held])
    frozen = {name for pattern in recipe.freeze for name in names_that_fit(pattern, network.params)}
    values, scopes = {part.value for part in losses.values()}, network.graph.scopes
    recompute = {s.index for pattern in recipe.recompute for s in scopes_that_fit(pattern, scopes)}
    plan = training_plan(network.graph, values, frozen, recompute=recompute)
    learned = plan
    if ranks and recipe.sync_bn:
        shared = with_shared_batch_norms(network.graph, ranks)
        learned = training_plan(shared, values, frozen, recompute=recompute)
    learner = backend.learner(learned, dtype)
    if strict and learner.fallbacks:
        kinds = ", ".join(learner.fallbacks)
        fail(
            "E0702",
            f"the backend {backend.name} has no gradient for {kinds}",
            help="without --strict-backend",
        )
    return Setup(network, recipe, batches, held_back, losses, plan, learner, backend, dtype, ranks)


def parts_of(network: Network, recipe: TrainingRecipe, data: Data, losses: Mapping[str, OutputLoss]) -> Data:
    """The samples to train on and those that are held back. Raises what the network cannot learn from."""
    parts = split(
        data, validation=recipe.validation, limit=recipe.limit, stratify=recipe.stratify, seed=recipe.seed
    )
    return examined(network, parts, losses)


def examined(network: Network, data: Data, losses: Mapping[str, OutputLoss]) -> Data:
    """The data. Raises what the network cannot learn from, E0601 and E0607."""
    ignored = getattr(main_loss(losses).loss, "ignore", None)
    examine(data, _classes(network, losses), ignored)
    return data


def _classes(network: Network, losses: Mapping[str, OutputLoss]) -> int | None:
    """The number of classes that the main output decides between."""
    main = main_loss(losses)
    return main.loss.class_number(network.graph.types[main.value])


def batches_of(network: Network, recipe: TrainingRecipe, samples: Samples, *, training: bool) -> Batches:
    """Samples as the network takes them."""
    _, shape = input_of(network)
    way = fitted(samples, shape, recipe.data, network.preprocessing, training=training)
    if not training:
        return Batches(samples, way, recipe.batch)
    return Batches(
        samples, way, recipe.batch, recipe.seed, shuffle=recipe.shuffle, drop_last=recipe.drop_last
    )


def losses_of(network: Network, bound: BoundRecipe) -> dict[str, OutputLoss]:
    """The loss of each output that has one."""
    recipe, found = bound.recipe, {}
    for name in network.graph.outputs:
        loss = recipe.losses.get(name, recipe.loss)
        if loss is not None:
            place = ("losses", name) if name in recipe.losses else ("loss",)
            value = value_for_loss(network.graph, name, loss, bound.span(*place))
            found[name] = OutputLoss(loss, value, recipe.loss_weights.get(name, 1.0))
    return found
