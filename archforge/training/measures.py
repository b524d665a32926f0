"""Figures of predictions: the loss, of classes the accuracy, of masks how they overlap with the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from archforge.datasets.base import AnyArray
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["Measures"]

_COUNTS = ("samples", "right", "predictions")
MOST_CLASSES = 2048  # of which every pair is counted


@dataclass(slots=True)
class Measures:
    """Figures of batches, added up. confusion: the number of predictions, int64[right class, predicted
    class]; None where targets are no classes."""

    loss: float = 0.0
    samples: int = 0
    right: int = 0
    predictions: int = 0
    are_masks: bool = False
    confusion: Any = field(default=None, repr=False)  # int64[classes, classes]

    def add(self, loss: float, samples: int, batch: int | None = None) -> None:
        """Add the loss of a batch, or what `samples` of a larger one add to it."""
        self.loss += loss * (batch or samples)
        self.samples += samples

    def add_sums(self, sums: Mapping[str, float], pairs: Measures) -> None:
        """Add such `sums` as measures give, and the pairs of classes of others."""
        other = Measures.of(sums)
        for name in ("loss", *_COUNTS):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if pairs.confusion is not None:
            self.are_masks = pairs.are_masks
            self._add_pairs(pairs.confusion)

    def add_classes(self, predicted: Array, right: Array, classes: int) -> None:
        """Add predicted classes, int[...], and the right ones of the same shape. A right class that is
        negative is not counted."""
        self.are_masks = right.ndim > 2
        counted = right >= 0
        predicted, right = predicted[counted], right[counted]
        self.right += int((predicted == right).sum())
        self.predictions += right.size
        if classes <= MOST_CLASSES:
            pairs = np.bincount(right * classes + predicted, minlength=classes * classes)
            self._add_pairs(pairs.reshape(classes, classes))

    def _add_pairs(self, pairs: AnyArray) -> None:
        self.confusion = pairs if self.confusion is None else self.confusion + pairs

    def sums(self) -> dict[str, float]:
        """Sums that figures are made of, by name, without the pairs of classes."""
        return {name: getattr(self, name) for name in ("loss", *_COUNTS)}

    @classmethod
    def of(cls, sums: Mapping[str, float]) -> Measures:
        """Measures that go on from such sums."""
        samples, right, predictions = (int(sums.get(name, 0)) for name in _COUNTS)
        return cls(sums.get("loss", 0.0), samples, right, predictions)

    @property
    def iou(self) -> float:
        """The mean intersection over union of the classes; of two, that of class 1, the object."""
        overlaps = self.overlaps()
        return float(overlaps[1] if len(overlaps) == 2 else np.nanmean(overlaps))

    def figures(self, prefix: str = "") -> dict[str, float]:
        """The mean loss by name, of classes the accuracy, and of masks the IoU."""
        found = {f"{prefix}loss": self.loss / max(self.samples, 1)}
        if self.predictions:
            found[f"{prefix}accuracy"] = self.right / self.predictions
        if self.are_masks and self.confusion is not None:
            found[f"{prefix}iou"] = self.iou
        return found

    def overlaps(self) -> Array:
        """The intersection over the union of each class, float64[classes]; NaN for a class that is neither
        there nor predicted."""
        assert self.confusion is not None
        hits = np.diag(self.confusion).astype(np.float64)
        unions = self.confusion.sum(0) + self.confusion.sum(1) - hits
        with np.errstate(invalid="ignore"):
            overlaps: Array = np.where(unions > 0, hits / unions, np.nan)
        return overlaps
