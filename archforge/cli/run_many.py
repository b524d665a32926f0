"""A network on many files, in batches: each result is printed as it comes, whatever fails beside it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from archforge.analysis.network import Network
from archforge.cli.exit_codes import CHECK_FAILED, INTERRUPTED
from archforge.cli.inputs import PictureOptions, Preparation, prepared
from archforge.cli.labels import Labels
from archforge.cli.output import counted
from archforge.cli.progress import Progress
from archforge.cli.results import OUTPUTS, Result, ResultPrinter, keeping
from archforge.data.samples import Failure, Sample, batches, find_files, read_ahead
from archforge.errors import Diagnostic, DiagnosticError, fail
from archforge.ir import by_x
from archforge.ops.lazy_numpy import np

if TYPE_CHECKING:
    from archforge.plan import Executable

__all__ = ["OUTPUTS", "ManyInputs", "open_many", "results"]

AHEAD = 2  # batches that are read while one is computed
WIDEST = 40  # of the column of names


def results(
    executable: Executable, samples: Iterable[Sample | Failure], batch: int
) -> Iterator[Result | Failure]:
    """The result of each sample, of which `batch` are computed at a time."""
    (name,) = executable.plan.inputs
    for group in batches(samples, batch):
        if isinstance(group, Failure):
            yield group
            continue
        try:
            outputs, taps = executable.run({name: np.stack([s.array for s in group])})
        except DiagnosticError as error:
            if error.diagnostics[0].is_warning:  # of `--warnings error`: of no file by itself
                raise
            yield from (_misfit(sample, executable, error.diagnostics[0]) for sample in group)
            continue
        for i, sample in enumerate(group):
            yield Result(
                sample.name, {n: a[i] for n, a in outputs.items()}, {n: a[i] for n, a in taps.items()}
            )


def _misfit(sample: Sample, executable: Executable, reason: Diagnostic) -> Failure:
    """A sample of a size that the network does not take."""
    (expected,) = executable.plan.inputs.values()
    message = f"{sample.name} is {by_x(sample.array.shape)}, expected {expected}"
    return Failure(sample.name, Diagnostic(reason.code, message, help=reason.help, notes=reason.notes))


class ManyInputs(NamedTuple):
    """Files that are all to go through a network."""

    files: Sequence[Path]
    preparation: Preparation
    labels: Labels
    output: Path | None
    classes: int  # values of the first output

    @property
    def words(self) -> str:
        return ", ".join(
            filter(None, (counted(len(self.files), "file"), self.preparation.words, self.labels.words))
        )

    def run(self, executable: Executable, batch: int, top: int, progress: Progress, *, as_json: bool) -> int:
        """Print all results, keep them in `output`, and say at the end how many there were. Returns the
        exit code; results from before an interruption have been printed and kept."""
        printer = ResultPrinter(
            min(top, self.classes),
            self.labels,
            as_json,
            min(max(len(f.as_posix()) for f in self.files), WIDEST),
        )
        samples = read_ahead(self.files, self.preparation.read, AHEAD * batch)
        done = failed = code = 0
        start = time.monotonic()
        with ExitStack() as stack:
            keep = stack.enter_context(keeping(self.output, printer)) if self.output else None
            try:
                for result in results(executable, samples, batch):
                    with progress.paused():
                        printer.print(result)
                    if isinstance(result, Failure):
                        failed, code = failed + 1, CHECK_FAILED
                        continue
                    done += 1
                    progress.say(f"{executable.plan.name}: {done} done")
                    if keep:
                        keep(result)
            except KeyboardInterrupt:
                code = INTERRUPTED
        words = [f"{counted(done, 'input')} in {time.monotonic() - start:.1f} s"]
        words += [f"{failed} failed"] * bool(failed) + ["interrupted"] * (code == INTERRUPTED)
        words += [f"wrote {self.output}"] * bool(self.output)
        with progress.paused():
            print(", ".join(words), file=sys.stderr)
        return code


def open_many(
    network: Network,
    sources: Sequence[str],
    pictures: PictureOptions,
    labels: Labels,
    output: Path | None,
    has_taps: bool,
) -> ManyInputs:
    """The files behind `sources` for a network. Raises what is wrong before anything is computed."""
    graph = network.graph
    made = graph.types[next(iter(graph.outputs.values()))]
    if len(graph.inputs) > 1:
        message = f"{network.name} has the inputs {', '.join(graph.inputs)}, and many files are for one"
        fail("E0001", message, help="-i with an .npz file of these names")
    if has_taps and (output is None or output.suffix != ".npz"):
        fail("E0001", "`--tap` has nowhere to go", help="-o outputs.npz")
    if output is not None and output.suffix == ".csv" and len(made.shape) > 1:
        fail("E0705", f"the output is {made}, and a .csv file holds classes", help="-o outputs.npz")
    files = find_files(sources)
    return ManyInputs(files, prepared(files, network, pictures), labels, output, made.size)
