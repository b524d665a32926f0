"""The loop of a run: updates, epochs, what is measured and kept behind each, and the reasons to end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from signal import SIGTERM
from time import perf_counter
from typing import Any

from archforge.datasets.base import Pair
from archforge.training.checkpoint import Checkpoint
from archforge.training.evaluation import Evaluator
from archforge.training.interruption import Interruption, postponed
from archforge.training.measures import Measures
from archforge.training.ranks.agreement import arrays_digest, measured_by_all, require_alike
from archforge.training.report import MaskExample, facts_of, mask_examples, report_html
from archforge.training.run import TrainingRun
from archforge.training.run_folder import RunFolder
from archforge.training.text_windows import text_windows

__all__ = ["Callback", "TrainingLoop"]


class Callback:
    """A listener to a run; a subclass overrides what it needs. `run.stop(reason)` ends the run behind the
    epoch under way."""

    def on_start(self, run: TrainingRun) -> None:
        """Called before the first update."""

    def on_update(self, run: TrainingRun, loss: float) -> None:
        """Called behind each update, with its loss."""

    def on_epoch(self, run: TrainingRun, figures: Mapping[str, float]) -> None:
        """Called behind each epoch, with its figures."""

    def on_end(self, run: TrainingRun, reason: str) -> None:
        """Called at the end, with the reason in words."""


@dataclass(slots=True, eq=False)
class TrainingLoop:
    """A run with what goes on around it.

    conditions: what the results depend on, for the checkpoint. folder: where the run is kept; None to keep
    it in memory alone. checkpoint_every: number of updates between two checkpoints within an epoch; 0 for
    none.
    """

    run: TrainingRun
    evaluator: Evaluator
    conditions: Mapping[str, Any]
    folder: RunFolder | None = None
    callbacks: Sequence[Callback] = ()
    checkpoint_every: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)  # of the epochs, with what the clock says
    held_back: Measures | None = None  # of the last epoch
    examples: Sequence[MaskExample] = ()

    def __call__(self) -> str:
        """Go on to the end of the run. Returns the reason in words. A signal to end takes effect once the
        update under way is made and a checkpoint is kept. Raises E0903, E0705."""
        run, epochs = self.run, self.run.setup.recipe.epochs
        self._tell("on_start")
        with postponed() as signal:
            while not (reason := self._reason()) and run.place.epoch < epochs:
                self._epoch(signal)
                if run.is_ending or (signal and run.setup.ranks is None):
                    signal.number = signal.number or SIGTERM  # another rank's
                    return "interrupted"
        reason = reason or ("the epoch is done" if epochs == 1 else f"all {epochs} epochs are done")
        self._tell("on_end", reason)
        return reason

    def _epoch(self, signal: Interruption) -> None:
        """Go through the samples once, or through what is left of them."""
        run, started, before = self.run, perf_counter(), self.run.measures.samples
        batches = run.setup.batches.epoch(run.place.epoch, first=run.place.batch)
        for group in groups(batches, run.setup.recipe.accumulate):
            loss = run.update(group, lambda: bool(signal))
            self._tell("on_update", loss)
            if run.is_ending:
                self._keep_last_checkpoint()
                return
            if self.checkpoint_every and run.place.updates % self.checkpoint_every == 0:
                self._keep_checkpoint()
        samples, seconds = run.measures.samples - before, perf_counter() - started
        further = self._measured(signal)
        if run.is_ending:
            self._keep_last_checkpoint()
            return
        figures = run.end_epoch(further)
        clock = {"seconds": perf_counter() - started, "samples_per_second": samples / max(seconds, 1e-9)}
        self.rows.append(figures | clock)
        self._keep_epoch()
        self._tell("on_epoch", figures | clock)

    def _measured(self, signal: Interruption) -> dict[str, float]:
        """Figures of the samples that are held back, if there are any."""
        run, held_back, ranks = self.run, self.run.setup.held_back, self.run.setup.ranks
        measures = Measures()
        if held_back is not None:
            batches = held_back.epoch(first=ranks.rank, step=ranks.size) if ranks else held_back.epoch()
            for number, (batch, prediction) in enumerate(
                self.evaluator.measured(run.kept(), batches, measures)
            ):
                if number == 0 and measures.are_masks:  # of rank 0 it is the first batch
                    self.examples = mask_examples(self.evaluator.main_loss, batch, prediction)
                if signal:
                    break
        run.is_ending = bool(signal)
        if ranks:
            measures, run.is_ending = measured_by_all(ranks, measures, run.measures, ending=run.is_ending)
            require_alike(ranks, {"weights": arrays_digest(run.arrays)})
        if run.is_ending or held_back is None:
            return {}
        self.held_back = measures
        return measures.figures("val_")

    def _reason(self) -> str:
        """The reason to stop before the last epoch, in words; empty if there is none."""
        rules = self.run.setup.recipe.stop if self.run.place.history else ()
        found = (rule.reason(self.run.epochs) for rule in rules)
        return self.run.stopped or next(filter(None, found), "")

    def _keep_epoch(self) -> None:
        if self.folder:
            is_best = self.run.place.best == self.run.place.epoch
            self.folder.keep_weights(self.run.kept(), self.run.setup.classes, is_best=is_best)
            self._keep_checkpoint()
            self.folder.keep_history(self.rows)
            self.folder.keep_report(self._report())

    def _report(self) -> str:
        """The page about the run so far."""
        setup = self.run.setup
        return report_html(
            f"{setup.network.spec.header.title}: {self.run.place.epoch} of {setup.recipe.epochs} epochs",
            facts_of(self.conditions, setup),
            self.rows,
            setup.classes,
            self.held_back,
            self.examples,
            text_windows(self.evaluator, self.run.kept(), setup.held_back) if setup.held_back else (),
        )

    def _keep_checkpoint(self) -> None:
        if self.folder:
            run = self.run
            run.place.sums = run.measures.sums()
            self.folder.keep_checkpoint(Checkpoint(run.place, self.conditions, run.arrays, run.updater.state))

    def _keep_last_checkpoint(self) -> None:
        """Keep a checkpoint before the process ends, and where there are several, before any of them does."""
        self._keep_checkpoint()
        if self.run.setup.ranks:
            self.run.setup.ranks.wait()

    def _tell(self, event: str, *facts: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self.run, *facts)


def groups(batches: Iterable[Pair], size: int) -> Iterator[list[Pair]]:
    """Batches by up to `size`, in order."""
    rest = iter(batches)
    while group := list(islice(rest, size)):
        yield group
