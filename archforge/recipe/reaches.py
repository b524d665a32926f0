"""Figures that a recipe is documented to reach, which a run is held against."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from archforge.recipe.base import Epoch

__all__ = ["FIGURES", "DocumentedFigure", "FigureKind", "best_of"]


class FigureKind(NamedTuple):
    """A figure of an epoch: what it says, and whether it is a share of 1, of which more is better; else it
    is a number, of which less is better."""

    says: str
    is_share: bool


# The figures of an epoch that can be documented.
FIGURES = {
    "accuracy": FigureKind("share of the samples trained on that are right, the best of all epochs", True),
    "val_accuracy": FigureKind("share of the samples held back that are right, the best of all epochs", True),
    "val_iou": FigureKind("mean overlap of the masks held back with the truth, the best of all epochs", True),
    "loss": FigureKind("loss of the samples trained on, the least of all epochs", False),
    "val_loss": FigureKind("loss of the samples held back, the least of all epochs", False),
}


class DocumentedFigure(NamedTuple):
    """A figure as its `source` prints it. computed: the one that this recipe gives, where it is another and
    `because` says why."""

    name: str
    documented: float
    source: str
    computed: float | None = None
    because: str = ""

    @property
    def bar(self) -> float:
        """The figure that a run must reach."""
        return self.documented if self.computed is None else self.computed

    def to_json(self) -> dict[str, Any]:
        """The cell as a spec has it."""
        explained = {} if self.computed is None else {"computed": self.computed, "because": self.because}
        return {"documented": self.documented, **explained, "source": self.source}

    def is_reached(self, found: float) -> bool:
        """True if a figure is at least as good; one that is no number is not."""
        return found >= self.bar if FIGURES[self.name].is_share else found <= self.bar


def best_of(history: Iterable[Epoch], name: str) -> float | None:
    """The best value of a figure in all epochs; None where none measured it."""
    found = [epoch.figures[name] for epoch in history if name in epoch.figures]
    return (max if FIGURES[name].is_share else min)(found, default=None)
