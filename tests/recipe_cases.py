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
from archforge.recipe.base import Loss
from archforge.recipe.loss_kinds import log_softmax
from tests.zoo import DATA

__all__ = ["LOSS_CASES", "RECIPE_FIGURES", "LossCase", "part", "projected"]

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
