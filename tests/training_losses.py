"""Runs whose losses are held against those of torch: the same weights, the same batches, the same recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import archforge
from archforge import Network
from archforge.ops.base import Array
from archforge.recipe.initialisers.kaiming import Kaiming
from archforge.recipe.recipe import TrainingRecipe
from archforge.training.run import TrainingRun
from archforge.weights.init import fresh_weights
from tests.zoo import DATA

__all__ = ["TRAINING_CASES", "TRAINING_LOSSES", "TrainingCase", "losses"]

TRAINING_LOSSES: Path = DATA / "training_losses.json"


@dataclass(frozen=True)
class TrainingCase:
    """A network and its recipe: SGD over `steps` batches. tolerance: the largest difference of a loss from
    torch's in the same dtype, as a share of it.

    In float64 runs are equal. In float32 those of networks with batch norm part from each other: torch's own
    is 4e-2 from its own in float64 where ResNet-20 has made 20 steps at a rate of 0.01, so that only short
    steps can be compared.
    """

    spec: str
    profile: str
    dtype: str
    steps: int
    batch: int
    tolerance: float
    lr: float
    momentum: float = 0.9
    shape: tuple[int, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.spec}.{self.profile} {self.dtype}"

    @cached_property
    def network(self) -> Network:
        return archforge.load(self.spec, self.profile, input=self.shape, **self.settings)

    @property
    def weights(self) -> dict[str, Array]:
        """Kernels of convolutions by He's rule, the rest as the ops have it."""
        params = self.network.params
        kernels = {name: Kaiming() for name, decl in params.items() if len(decl.shape) == 4}
        return fresh_weights(params, 1, self.dtype, kernels)

    @property
    def samples(self) -> tuple[Array, Any]:
        """Inputs float32[steps * batch, *shape] that tell their classes int64[steps * batch]."""
        rng = np.random.default_rng(3)
        (type_,) = self.network.graph.inputs.values()
        (output,) = self.network.graph.outputs.values()
        classes = self.network.graph.types[output].shape[0]
        y = rng.integers(0, classes, self.steps * self.batch)
        marks = rng.standard_normal((classes, *type_.shape))
        x = marks[y] + rng.standard_normal((len(y), *type_.shape))
        return x.astype(np.float32), y


_RESNET = TrainingCase("resnet_20_cifar", "paper", "float64", 20, 16, 1e-9, 0.01, shape=(3, 16, 16))
_MOBILENET = TrainingCase(
    "mobilenet_v2",
    "torchvision",
    "float64",
    20,
    8,
    1e-6,
    1e-3,
    shape=(3, 48, 48),
    settings={"classes": 10, "drop": 0},
)
TRAINING_CASES = (
    TrainingCase("lenet_5_mnist", "listing", "float32", 50, 16, 1e-5, 0.01, 0.5),
    _RESNET,
    replace(_RESNET, dtype="float32", tolerance=1e-3, lr=1e-3),
    _MOBILENET,
    replace(_MOBILENET, dtype="float32", tolerance=1e-3, lr=3e-5, momentum=0.0, batch=16, shape=(3, 48, 48)),
)


class _Losses(archforge.Callback):
    """The loss of each update."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_update(self, run: TrainingRun, loss: float) -> None:
        self.found.append(loss)


def losses(case: TrainingCase, backend: str) -> list[float]:
    """The loss of each batch before its update."""
    told = _Losses()
    of_the_spec: dict[str, Any] = dict.fromkeys(TrainingRecipe.model_fields)  # null takes a key away
    recipe = of_the_spec | {
        "loss": "cross_entropy",
        "optimizer": {"sgd": {"lr": case.lr, "momentum": case.momentum}},
        "batch": case.batch,
        "epochs": 1,
        "shuffle": False,
    }
    del recipe["data"]
    archforge.train(
        case.network,
        case.samples,
        weights=case.weights,
        backend=backend,
        dtype=case.dtype,
        callbacks=[told],
        data_settings={},
        **recipe,
    )
    return told.found
