"""Texts of `archforge train` and `archforge evaluate` around a run: its beginning, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from archforge.cli.output import counted, mark, table
from archforge.cli.training_progress import figures_in_words
from archforge.hardware import short_bytes
from archforge.ir import by_x
from archforge.ops.lazy_numpy import np
from archforge.recipe.reaches import DocumentedFigure, best_of

if TYPE_CHECKING:
    from archforge.datasets.batches import Batches
    from archforge.training.measures import Measures
    from archforge.training.run_folder import RunFolder
    from archforge.training.setup import Setup
    from archforge.training.text_windows import TextWindow
    from archforge.training.train import Beginning
    from archforge.training.trained import Trained

__all__ = ["print_beginning", "print_classes", "print_dry_run", "print_end", "print_reached", "print_windows"]

MOST_CLASSES = 20  # whose figures are printed


def print_beginning(beginning: Beginning, *, layers: bool) -> None:
    """Print what is trained, on what, and how."""
    setup = beginning.setup
    network, recipe = setup.network, setup.recipe
    print(f"{network.name}, profile {network.profile}: {network.counts.params:,} parameters")
    print(f"data       {_samples(setup.batches)}")
    if setup.held_back:
        print(f"held back  {_samples(setup.held_back)}")
    else:
        print("held back  nothing: `--validation 0.2` holds a fifth back")
    print(
        f"samples    {'; '.join(setup.batches.fit.words())}; {by_x(setup.batches.fit.shape)} for the network"
    )
    losses = dict.fromkeys(part.loss.said() for part in setup.losses.values())
    said = [", ".join(losses), setup.optimizer.said(), *(part.said() for part in recipe.schedule)]
    print(f"recipe     {'; '.join(said)}")
    updates = counted(setup.updates_per_epoch, "update")
    number = min(recipe.batch * recipe.accumulate, len(setup.batches.samples))
    print(f"epochs     {recipe.epochs} of {updates}, {number} samples each")
    if setup.ranks:
        norms = "; batch norms over the whole batch" if recipe.sync_bn else ""
        print(f"ranks      {setup.ranks.size}, {_samples_each(setup.batches)} of each batch{norms}")
    fallbacks = setup.learner.fallbacks
    through = f"; through NumPy: {', '.join(fallbacks)}" if fallbacks else ""
    print(f"backend    {setup.backend.name}, {setup.dtype}{through}")
    if layers:
        print(_layers(beginning))


def _samples(batches: Batches) -> str:
    samples = batches.samples
    shape = by_x(samples.shape) if samples.shape else "of several sizes"
    words = f"{samples.name}: {len(samples):,} samples, {shape}"
    return words + (f", {len(samples.classes)} classes" if samples.classes else "")


def _samples_each(batches: Batches) -> str:
    """The number of samples of a whole batch that a process has, in words."""
    size = batches.share(0).batch
    least, most = size // batches.ranks, -(-size // batches.ranks)
    return counted(least, "sample") if least == most else f"{least} or {most} samples"


def _layers(beginning: Beginning) -> str:
    """A line for each node that owns parameters."""
    setup = beginning.setup
    rows = []
    for node in setup.network.graph.nodes:
        decls = node.op.params(*setup.network.graph.input_types(node))
        if decls:
            names = {node.param_name(name) for name in decls}
            size = f"{sum(decl.size for decl in decls.values()):,}"
            trained = "" if names & setup.plan.trained else "frozen"
            rows.append([node.name, node.op.kind, str(setup.network.graph.types[node.name]), size, trained])
    return table(["layer", "op", "output", "params", ""], rows, right=(3,))


def print_dry_run(beginning: Beginning) -> None:
    """Print how many samples each class has, what a run would need, and how long an epoch would take: two
    updates are made, whose results are thrown away."""
    from itertools import islice

    from archforge.training.loop import groups

    setup = beginning.setup
    labels = setup.batches.samples.labels
    if labels is not None:
        numbers = np.bincount(labels)
        names = setup.batches.samples.classes or [str(i) for i in range(len(numbers))]
        of_each = (f"{name} {number:,}" for name, number in zip(names, numbers, strict=False))
        print(f"classes    {', '.join(of_each)}")
    run, seconds = beginning.run(), []
    for group in islice(groups(setup.batches.epoch(), setup.recipe.accumulate), 2):
        started = perf_counter()
        run.update(group)
        seconds.append(perf_counter() - started)
    arrays = sum(a.nbytes for a in (*run.arrays.values(), *run.updater.state.values()))
    gradients = sum(run.arrays[name].nbytes for name in setup.plan.trained)
    print(
        f"memory     {short_bytes(arrays)} of weights and state, {short_bytes(gradients)} of gradients, "
        f"{_values(setup)}"
    )
    epoch = seconds[-1] * setup.updates_per_epoch
    total = epoch * setup.recipe.epochs
    print(f"time       {seconds[-1]:.3g} s an update, about {epoch:.3g} s an epoch, {total:.3g} s in all")
    print("nothing was written (--dry-run)")


def _values(setup: Setup) -> str:
    """The memory for the values of a batch in words, beside that which they need if all are kept."""
    plan, of_one = setup.plan, setup.batches.share(0).samples * np.dtype(setup.dtype).itemsize
    own, whole = plan.peak_elements, plan.keeping_all().peak_elements
    if not (plan.recompute and setup.backend.recomputes):
        return f"{short_bytes(whole * of_one)} of values"
    kept = f"{short_bytes(whole * of_one)}, {whole / own:.2f} times as much, without `recompute`"
    return f"{short_bytes(own * of_one)} of values ({kept})"


def print_end(trained: Trained, folder: RunFolder) -> None:
    """Print the figures of the best epoch, some windows of text that were held back, and the files that are
    there."""
    from archforge.training.text_windows import text_windows

    number, rows = trained.run.place.best, trained.history
    print(f"ended: {trained.reason}")
    if rows:
        print(f"best epoch {number} of {len(rows)}: {figures_in_words(trained.best)}")
        accuracy = "val_accuracy" if "val_accuracy" in rows[0] else "accuracy"
        if accuracy in rows[0]:
            most = max(row[accuracy] for row in rows)
            least = min(rows, key=lambda row: row[accuracy.replace("accuracy", "loss")])
            print(
                f"{accuracy}: maximum {100 * most:.2f} %, with the least loss {100 * least[accuracy]:.2f} %"
            )
    if held_back := trained.run.setup.held_back:
        print_windows(text_windows(trained.evaluator, trained.weights, held_back))
    files = (folder.best, folder.last, folder.checkpoint, folder.report)
    print(f"in {folder.path}: {', '.join(p.name for p in files if p.exists())}, history.csv, history.jsonl")


def print_windows(windows: Sequence[TextWindow]) -> None:
    """Print windows of text, each with an empty line behind it."""
    for window in windows:
        print("".join(f"  {name} = {text}\n" for name, text in window._asdict().items()))


def print_reached(trained: Trained, reaches: Sequence[DocumentedFigure]) -> Iterator[bool]:
    """Print each documented figure beside the one that was reached; True for one that was."""
    for figure in reaches:
        found = best_of(trained.run.epochs, figure.name)
        reached = found is not None and figure.is_reached(found)
        words = "was not measured" if found is None else f"{found:.4f} reached"
        explained = f", {figure.because}" if figure.because else ""
        sign = mark("ok" if reached else "mismatch")
        print(f"{sign} {figure.name} {figure.documented:g} documented ({figure.source}){explained}: {words}")
        yield reached


def print_classes(measures: Measures, names: Sequence[str]) -> None:
    """Print the accuracy of each class, if they are few."""
    confusion = measures.confusion
    if confusion is None or len(confusion) > MOST_CLASSES:
        return
    totals = confusion.sum(1)
    rows = [
        [names[i] if names else str(i), f"{totals[i]:,}", f"{100 * confusion[i, i] / totals[i]:.2f} %"]
        for i in range(len(confusion))
        if totals[i]
    ]
    print(table(["class", "samples", "right"], rows, right=(1, 2)))
