"""The table of kernels that train, by kind of op. What is missing or None runs on the op's own file."""

from __future__ import annotations

from archforge.backends.numba.training.kernel import TrainingLowering

__all__ = ["TRAINING"]

TRAINING: dict[str, TrainingLowering] = {}
