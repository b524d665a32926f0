"""Runs follow those of torch, loss by loss, on every backend that trains."""

from __future__ import annotations

import json

import numpy as np
import pytest

from archforge.backends import all_backends, available
from archforge.plan.learner import Learning
from tests.make_training_losses import torch_losses
from tests.training_losses import TRAINING_CASES, TRAINING_LOSSES, TrainingCase, losses

# It takes a quarter of a minute, and what MobileNetV2 has that ResNet-20 lacks is among its ops' own laws.
SLOW = ("mobilenet_v2", "mlx")
RUNS = [
    pytest.param(
        case, name, id=f"{case}-{name}", marks=[pytest.mark.slow] if (case.spec, name) == SLOW else []
    )
    for case in TRAINING_CASES
    for name in available()
    if isinstance(backend := all_backends()[name], Learning) and case.dtype in backend.dtypes
]
STORED = json.loads(TRAINING_LOSSES.read_text("utf-8"))


def deviation(found: list[float], wanted: list[float]) -> float:
    assert len(found) == len(wanted)
    return float(np.max(np.abs(np.array(found) - wanted) / np.array(wanted)))


@pytest.mark.parametrize(("case", "backend"), RUNS)
def test_losses_follow_those_of_torch(case: TrainingCase, backend: str) -> None:
    assert deviation(losses(case, backend), STORED[str(case)]) <= case.tolerance


@pytest.mark.parametrize("case", TRAINING_CASES, ids=str)
def test_the_stored_losses_are_those_of_torch(case: TrainingCase) -> None:
    pytest.importorskip("torch", reason="needs torch: `make test-torch`")
    assert deviation(torch_losses(case), STORED[str(case)]) <= case.tolerance
