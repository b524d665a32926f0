"""Windows of text with what a network says of them, for a reader to look at."""

from __future__ import annotations

from typing import NamedTuple

from archforge.data.stored_arrays import LazyArrays
from archforge.datasets.arrays import Subset
from archforge.datasets.base import Samples
from archforge.datasets.batches import Batches
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.training.evaluation import Evaluator
from archforge.training.measures import Measures

__all__ = ["TextWindow", "text_windows"]

WINDOWS = 3


class TextWindow(NamedTuple):
    """A window of text: its characters x, those that follow each of them, y, and those that the network says,
    p. What cannot be printed is a space."""

    x: str
    y: str
    p: str


def text_windows(evaluator: Evaluator, arrays: LazyArrays, batches: Batches) -> list[TextWindow]:
    """Some windows as far from each other as samples of text go; none of other samples."""
    samples = batches.samples
    if not _are_text(samples):
        return []
    places = np.unique(np.linspace(0, len(samples) - 1, WINDOWS).astype(int))
    chosen = Batches(Subset(samples, places), batches.fit, WINDOWS)
    ((batch, prediction),) = evaluator.measured(arrays, chosen.epoch(), Measures())
    found = evaluator.main_loss.classes(prediction, batch.y)
    if found is None:
        return []
    letters = np.array([letter if letter.isprintable() else " " for letter in samples.classes])

    def texts(codes: Array) -> list[str]:
        return ["".join(letters[row]) for row in codes.reshape(len(places), -1)]

    x = samples.take(places).x.argmax(-1)
    return [*map(TextWindow, texts(x), texts(batch.y), texts(found.predicted))]


def _are_text(samples: Samples) -> bool:
    """True for sequences of characters, each a row with a single 1, whose targets are characters too."""
    letters, steps = samples.classes, samples.target_shape
    return bool(letters and steps) and samples.shape == (*(steps or ()), len(letters))
