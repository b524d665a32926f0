"""Parts of training recipes with settings, and the arrays that they are tried on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from zlib import crc32

import numpy as np

from archforge.ops.activations import sigmoid
from archforge.ops.base import Array
from archforge.parts import Part, all_parts
from archforge.recipe.base import Epoch, Initialiser, Loss, Moment, Optimizer, Schedule
from archforge.recipe.loss_kinds import log_softmax
from tests.zoo import DATA

__all__ = [
    "EPOCHS",
    "INITIALISER_CASES",
    "LOSS_CASES",
    "OPTIMIZER_CASES",
    "RECIPE_FIGURES",
    "SCHEDULE_CASES",
    "STEPS",
    "STORED_STEPS",
    "UPDATES",
    "WATCHED",
    "InitialiserCase",
    "LossCase",
    "OptimizerCase",
    "ScheduleCase",
    "moments",
    "part",
    "projected",
    "slope",
    "spread",
    "start",
]

RECIPE_FIGURES = DATA / "recipe_parts.json"
P = TypeVar("P", bound=Part)


def part(kind: type[P], word: str, **settings: Any) -> P:
    """The part of a kind that has a word, with its settings."""
    made: P = all_parts(kind)[word].model_validate(settings)
    return made


def projected(name: str, array: Array) -> list[float]:
    """Products with two random directions of length 1: a wrong element changes both."""
    directions = np.random.default_rng(crc32(name.encode())).standard_normal((2, *array.shape))
    return [float((array * d).sum() / np.linalg.norm(d)) for d in directions]


# Losses

SHAPES = ((5,), (4, 3), (3, 2, 4))
LOSS_SETTINGS: Mapping[str, tuple[dict[str, Any], ...]] = {
    "cross_entropy": (
        {"smoothing": 0.1},
        {"weights": (0.5, 2.0, 1.0), "axis": -1},
        {"smoothing": 0.2, "weights": (0.5, 2.0, 1.0), "axis": -1, "ignore": 1},
    ),
    "nll": ({"weights": (0.5, 2.0, 1.0), "axis": -1, "ignore": 1},),
    "huber": ({"delta": 0.3},),
}
REDUCTIONS: tuple[dict[str, Any], ...] = ({}, {"reduction": "sum"}, {"reduction": "batch_mean"})
BATCH = 6


@dataclass(frozen=True, slots=True)
class LossCase:
    """A loss, and predictions and targets that it takes; `of_classes` where targets are their numbers."""

    loss: Loss
    shape: tuple[int, ...]
    of_classes: bool

    def __str__(self) -> str:
        given = self.loss.model_dump(exclude_defaults=True)
        shape = "x".join(map(str, self.shape))
        return f"{self.loss.word} {given} {shape} {'classes' if self.of_classes else 'values'}"

    @property
    def axis(self) -> int:
        """The axis of the classes, the batch's counted."""
        return getattr(self.loss, "axis", 0) % len(self.shape) + 1

    def prediction(self, scale: float = 2.0) -> Array:
        """Numbers of the kind that the loss reads, float64."""
        x = scale * np.random.default_rng(1).standard_normal((BATCH, *self.shape))
        if self.loss.reads == "probabilities":
            return sigmoid(x)
        return log_softmax(x, self.axis) if self.loss.reads == "log_probabilities" else x

    def target(self) -> Any:
        """Numbers of classes, or probabilities of classes that add up to 1."""
        rng = np.random.default_rng(2)
        if self.of_classes:
            shape = (BATCH, *np.delete(self.shape, self.axis - 1))
            return rng.integers(0, self.shape[self.axis - 1], shape)
        return np.exp(log_softmax(2 * rng.standard_normal((BATCH, *self.shape)), self.axis))


def _loss_cases() -> Iterator[LossCase]:
    for word, cls in all_parts(Loss).items():
        for settings in (*REDUCTIONS, {"axis": -1}, *LOSS_SETTINGS.get(word, ())):
            loss = cls.model_validate(settings)
            for shape in SHAPES:
                if len(getattr(loss, "weights", ())) in (0, shape[-1]):
                    yield from (LossCase(loss, shape, of_classes) for of_classes in (True, False))


LOSS_CASES = tuple(_loss_cases())


# Optimizers

STEPS = 25
STORED_STEPS = (1, 2, 7, 25)
OPTIMIZER_SETTINGS: Mapping[str, tuple[dict[str, Any], ...]] = {
    "sgd": (
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.5, "dampening": 0.3},
    ),
    "adagrad": ({"initial": 0.1, "eps": 1e-3},),
    "adadelta": ({"rho": 0.7, "eps": 1e-3},),
    "rmsprop": ({"centered": True}, {"momentum": 0.9, "rho": 0.9}, {"centered": True, "momentum": 0.5}),
    "adam": ({"betas": (0.7, 0.9), "eps": 1e-3}, {"amsgrad": True}),
    "adamw": ({"weight_decay": 0.0}, {"amsgrad": True}),
    "amsgrad": ({"betas": (0.5, 0.6)},),
    "nadam": ({"betas": (0.6, 0.9), "momentum_decay": 0.1},),
    "radam": ({"betas": (0.7, 0.9), "eps": 1e-3},),
    "adamax": ({"betas": (0.5, 0.6), "eps": 1e-3},),
    "lion": ({"betas": (0.5, 0.6)},),
    "yogi": ({"betas": (0.5, 0.6), "initial": 0.1},),
}


@dataclass(frozen=True, slots=True)
class OptimizerCase:
    """An optimizer on a small problem."""

    optimizer: Optimizer

    def __str__(self) -> str:
        return f"{self.optimizer.word} {self.optimizer.model_dump(exclude_defaults=True)}"


def start() -> dict[str, Array]:
    """The parameters before the first step."""
    rng = np.random.default_rng(4)
    return {"weight": rng.standard_normal((2, 3)), "bias": rng.standard_normal(3)}


def slope(name: str, param: Array, step: int) -> Array:
    """The gradient of a parameter at a step: that of a bowl, steeper along each element than along the one
    before, and shaken. A few numbers are 0."""
    steepness = np.arange(1, param.size + 1).reshape(param.shape)
    shaken = np.random.default_rng([step, crc32(name.encode())]).standard_normal(param.shape)
    return np.where(shaken > 1.5, 0, steepness * param + shaken)


def _optimizer_cases() -> Iterator[OptimizerCase]:
    for word, cls in all_parts(Optimizer).items():
        for settings in ({}, {"lr": 0.1, "weight_decay": 0.1}, *OPTIMIZER_SETTINGS.get(word, ())):
            yield OptimizerCase(cls.model_validate(settings))


OPTIMIZER_CASES = tuple(_optimizer_cases())


# Schedules

EPOCHS, UPDATES = 12, 5
# Of each epoch: falling, then rising and falling again.
WATCHED = (1.0, 0.8, 0.8, 0.7, 0.71, 0.73, 0.7, 0.69996, 0.72, 0.5, 0.6, 0.55)
SCHEDULE_SETTINGS: Mapping[str, tuple[dict[str, Any], ...]] = {
    "constant": ({"scale": 0.3, "epochs": 4},),
    "step": ({"epochs": 3}, {"epochs": 5, "gamma": 0.5}),
    "multistep": ({"epochs": (2, 3, 9)}, {"epochs": (4, 4), "gamma": 0.5}),
    "exponential": ({"gamma": 0.9},),
    "cosine": ({}, {"least": 0.1, "epochs": 8}, {"by": "updates"}),
    "cosine_restarts": (
        {"epochs": 3},
        {"epochs": 2, "growth": 2, "least": 0.05},
        {"epochs": 2, "growth": 3, "by": "updates"},
    ),
    "polynomial": ({}, {"power": 2.0, "epochs": 8}, {"by": "updates", "power": 0.9}),
    "warmup": ({"epochs": 4}, {"updates": 23, "start": 0.01}),
    "one_cycle": ({}, {"rise": 0.1, "start": 10.0, "end": 100.0}),
    "inverse_time": ({"decay": 0.01},),
    "plateau": (
        {"patience": 1},
        {"patience": 0, "gamma": 0.5, "cooldown": 2, "threshold": 0.05},
        {"patience": 1, "of": "accuracy", "least": 0.04},
    ),
}


@dataclass(frozen=True, slots=True)
class ScheduleCase:
    """A schedule with its settings."""

    schedule: Schedule

    def __str__(self) -> str:
        return f"{self.schedule.word} {self.schedule.model_dump(exclude_defaults=True)}"


def moments() -> Iterator[Moment]:
    """Every moment of a small run that comes before an update."""
    figures = ({"val_loss": x, "accuracy": 1 - x} for x in WATCHED)
    history = [Epoch(number, row) for number, row in enumerate(figures, 1)]
    for update in range(EPOCHS * UPDATES):
        yield Moment(update, UPDATES, EPOCHS, history[: update // UPDATES])


SCHEDULE_CASES = tuple(
    ScheduleCase(cls.model_validate(settings))
    for word, cls in all_parts(Schedule).items()
    for settings in SCHEDULE_SETTINGS[word]
)


# Initialisers

INITIALISER_SETTINGS: Mapping[str, tuple[dict[str, Any], ...]] = {
    "kaiming": (
        {},
        {"distribution": "uniform", "mode": "fan_out"},
        {"nonlinearity": "leaky_relu", "slope": 0.5},
        {"nonlinearity": "tanh"},
        {"nonlinearity": "selu", "mode": "fan_out"},
        {"nonlinearity": "linear", "distribution": "uniform"},
        {"nonlinearity": "sigmoid", "scale": 2.0},
    ),
    "xavier": ({}, {"distribution": "normal", "scale": 0.5}),
    "lecun": ({}, {"distribution": "uniform", "scale": 3.0}),
    "orthogonal": ({}, {"scale": 2.0}),
    "normal": ({}, {"std": 0.02, "mean": 1.0}),
    "uniform": ({}, {"low": -0.1, "high": 0.3}),
    "truncated_normal": ({}, {"std": 0.02}, {"std": 5.0, "mean": 0.5, "low": -1.0, "high": 2.0}),
    "constant": ({"value": 0.25},),
    "zeros": ({},),
    "ones": ({},),
}
DRAWN_SHAPES = ((300, 200), (40, 20, 3, 5))


@dataclass(frozen=True, slots=True)
class InitialiserCase:
    """An initialiser, and the shape of what it draws."""

    initialiser: Initialiser
    shape: tuple[int, ...]

    def __str__(self) -> str:
        given = self.initialiser.model_dump(exclude_defaults=True)
        return f"{self.initialiser.word} {given} {'x'.join(map(str, self.shape))}"


def spread(array: Array) -> list[float]:
    """The mean, the deviation, and the bounds of an array."""
    return [float(found) for found in (array.mean(), array.std(), array.min(), array.max())]


INITIALISER_CASES = tuple(
    InitialiserCase(cls.model_validate(settings), shape)
    for word, cls in all_parts(Initialiser).items()
    for settings in INITIALISER_SETTINGS[word]
    for shape in DRAWN_SHAPES
)
