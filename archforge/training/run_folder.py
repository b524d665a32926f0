"""The folder of a run: its checkpoints, its weights, its history and its report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from warnings import warn

from archforge.atomic_files import made_folder, sole_writer
from archforge.data.arrays import write_arrays
from archforge.data.class_names import class_texts
from archforge.errors import Diagnostic, TrainingWarning, fail, listed
from archforge.ops.base import Array
from archforge.training.checkpoint import Checkpoint, previous, read_checkpoint, write_checkpoint
from archforge.training.history import Row, history_csv, history_lines, read_history, write_text

__all__ = ["RunFolder", "opened_folder"]


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of a run by their names."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def last(self) -> Path:
        return self.path / "last.safetensors"

    @property
    def best(self) -> Path:
        return self.path / "best.safetensors"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def lines(self) -> Path:
        return self.path / "history.jsonl"

    @property
    def table(self) -> Path:
        return self.path / "history.csv"

    @property
    def is_of_a_run(self) -> bool:
        """True if a run has begun here: it makes its history before anything else."""
        return self.checkpoint.exists() or self.lines.exists()

    @property
    def kept(self) -> list[Path]:
        """The files here that a run writes, but for those that are still empty."""
        files = (
            *(self.checkpoint, previous(self.checkpoint), self.last, self.best),
            *(self.report, self.table, self.lines),
        )
        return [file for file in files if file.exists() and file.stat().st_size]

    @property
    def others(self) -> list[str]:
        """The names of all else that is here, which no run touches, but for hidden files."""
        own = {file.name for file in (*self.kept, self.lines)}
        names = (path.name for path in self.path.iterdir())
        return sorted(name for name in names if name not in own and not name.startswith("."))

    def begin(self) -> None:
        """Mark the folder as that of a run. Raises E0705."""
        write_text(self.lines, "")

    def found(self) -> Checkpoint | None:
        """The last whole checkpoint, None where there is none yet."""
        return read_checkpoint(self.checkpoint) if self.checkpoint.exists() else None

    def rows(self, epochs: int) -> list[dict[str, float]]:
        """The rows of the first epochs that are on the disk."""
        return read_history(self.lines)[:epochs] if self.lines in self.kept else []

    def keep_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint. Raises E0705, and the one before is still there."""
        write_checkpoint(self.checkpoint, checkpoint)

    def keep_weights(self, weights: Mapping[str, Array], classes: Sequence[str], *, is_best: bool) -> None:
        """Write the weights, with the names of the classes, as those of the last epoch, and of the best one
        if it is. Raises E0705."""
        texts = class_texts(classes)
        if is_best:
            write_arrays(self.best, weights, texts)
        write_arrays(self.last, weights, texts)

    def keep_report(self, page: str) -> None:
        """Write the report anew. Raises E0705."""
        write_text(self.report, page)

    def keep_history(self, rows: Sequence[Row]) -> None:
        """Write the history anew. Raises E0705."""
        write_text(self.lines, history_lines(rows))
        write_text(self.table, history_csv(rows))


@contextmanager
def opened_folder(path: Path, *, resume: bool) -> Iterator[RunFolder]:
    """The folder of a run, which no other process writes to meanwhile. Raises E0705 for one that holds a run
    already, unless it is to be resumed, and for files of others that a run would write over. Gives a
    `TrainingWarning` where there is nothing to resume."""
    folder = RunFolder(made_folder(path))
    with sole_writer(path):
        for file in folder.kept[:1]:
            if not folder.is_of_a_run:
                message = f"{path} holds {file.name}, which is of no run here and would be written over"
                fail("E0705", message, help="--out names another folder")
            if not resume:
                help = "--resume goes on with it; --out names another folder"
                fail("E0705", f"{path} holds a run already: there is {file.name}", help=help)
        if resume and not folder.checkpoint.exists():
            warn(TrainingWarning(_begins_anew(folder)), stacklevel=5)
        yield folder


def _begins_anew(folder: RunFolder) -> Diagnostic:
    others = folder.others
    beside = f", beside {listed(others)}, which a run does not touch" if others else ""
    message = f"`resume` is without effect: {folder.path} has no checkpoint, and the run begins there{beside}"
    return Diagnostic("W0902", message)
