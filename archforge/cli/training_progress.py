"""Progress of a training run: a line for each epoch, and a bar on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from archforge.training.loop import Callback
from archforge.training.run import TrainingRun

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

__all__ = ["TrainingProgress", "figures_in_words"]

PERCENT = ("accuracy", "iou")
CLOCK = ("seconds", "samples_per_second")


class TrainingProgress(Callback):
    """Lines on standard output: one for each epoch, and one after every `interval` updates if it is not 0; on
    a terminal a bar on standard error, too."""

    def __init__(self, interval: int = 0) -> None:
        self.interval = interval
        self.bar: Bar | None = None
        self.started = 0.0
        self.before = 0  # samples of the epoch that were used before this process

    def on_start(self, run: TrainingRun) -> None:
        self._begin(run)
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self.bar = _bar()
            self.bar.add_task("", total=None, said="")
            self.bar.start()

    def on_update(self, run: TrainingRun, loss: float) -> None:
        setup, place = run.setup, run.place
        updates = place.batch and -(-place.batch // setup.recipe.accumulate)
        figures = run.measures.figures()
        if self.bar:
            speed = (run.measures.samples - self.before) / max(perf_counter() - self.started, 1e-9)
            self.bar.update(
                self.bar.task_ids[0],
                description=f"epoch {place.epoch + 1}/{setup.recipe.epochs}",
                completed=updates,
                total=setup.updates_per_epoch,
                said=f"{figures_in_words(figures)}  {speed:,.0f} images/s",
            )
        if self.interval and place.updates % self.interval == 0:
            self._print(
                f"  epoch {place.epoch + 1}, update {updates:,} of {setup.updates_per_epoch:,}: "
                f"loss {loss:.4f}, so far {figures_in_words(figures)}"
            )

    def on_epoch(self, run: TrainingRun, figures: Mapping[str, float]) -> None:
        epochs = run.setup.recipe.epochs
        number = f"{run.place.epoch}/{epochs}".rjust(2 * len(str(epochs)) + 1)
        best = "  best so far" if run.place.best == run.place.epoch else ""
        speed = f"{figures['samples_per_second']:,.0f} images/s, {figures['seconds']:.1f} s"
        self._print(f"epoch {number}  {figures_in_words(figures)}  ({speed}){best}")
        self._begin(run)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """A block at whose end the bar is gone."""
        try:
            yield
        finally:
            if self.bar:
                self.bar.stop()
                self.bar = None

    def _begin(self, run: TrainingRun) -> None:
        self.started, self.before = perf_counter(), run.measures.samples

    def _print(self, line: str) -> None:
        if self.bar:
            self.bar.stop()
        print(line, flush=True)
        if self.bar:
            self.bar.start()


def figures_in_words(figures: Mapping[str, float]) -> str:
    """Figures by name, shares as percent: `loss 0.1234  accuracy 96.52 %`."""
    words = []
    for name, value in figures.items():
        if name in ("epoch", "lr", *CLOCK):
            continue
        shown = f"{100 * value:.2f} %" if name.endswith(PERCENT) else f"{value:.4f}"
        words.append(f"{name} {shown}")
    return "  ".join(words)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[said]}", markup=False),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
