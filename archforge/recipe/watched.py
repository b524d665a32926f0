"""Figures of epochs that schedules and rules to stop watch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from archforge.errors import fail
from archforge.parts import Part
from archforge.recipe.base import Epoch
from archforge.recipe.reaches import FIGURES

__all__ = ["Figure", "figures_of", "require_measured"]

Figure = Literal["loss", "accuracy", "val_loss", "val_accuracy"]


def figures_of(history: Iterable[Epoch], name: Figure) -> list[float]:
    """A figure of each epoch, turned so that less is better: shares are negative."""
    sign = -1 if FIGURES[name].is_share else 1
    return [sign * epoch.figures[name] for epoch in history]


def require_measured(rules: Sequence[Part], measured: Collection[str]) -> None:
    """Raises E0902 where schedules or rules to stop watch, as their setting `of`, a figure that no epoch of a
    run will have."""
    for rule in rules:
        name = getattr(rule, "of", None)
        if name is None or name in measured:
            continue
        same = name.removeprefix("val_")
        hint = f"`of: {same}`" if same in measured else "a loss over classes"
        if name.startswith("val_") and "val_loss" not in measured:
            hint = f"`validation: 0.1` holds samples back, or {hint}"
        fail("E0902", f"`{rule.word}` watches `{name}`, which is not measured in this run", help=hint)
