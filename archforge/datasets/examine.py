"""Data held against what a network decides, before the first step."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.datasets.base import AnyArray, Data, Samples
from archforge.errors import Diagnostic, fail_all, listed
from archforge.ops.lazy_numpy import np

__all__ = ["class_counts", "examine"]

FEW = 16  # samples whose masks are looked at


def class_counts(samples: Samples, classes: int) -> AnyArray | None:
    """The number of samples of each class, int64[classes or more]; None where samples are of no class."""
    return None if samples.labels is None else np.bincount(samples.labels, minlength=classes)


def examine(data: Data, classes: int | None, ignore: int | None = None) -> None:
    """Raises E0601 and E0607, all together, for samples that a network cannot learn from: files that cannot
    be read or do not belong together, classes beyond its own, classes without a sample.

    classes: the number that the network decides between; None where it predicts values. ignore: the class
    that the loss leaves out.
    """
    parts = [part for part in (data.train, data.held_back) if part is not None]
    for part in parts:
        part.examine()
    found = [d for part in parts for d in _beyond(part, classes, ignore)] if classes else []
    if classes and not found:
        found += _empty(data.train, classes)
    fail_all(found)


def _beyond(samples: Samples, classes: int | None, ignore: int | None) -> Iterator[Diagnostic]:
    """A diagnostic for the classes of samples that the network has not, if there are some."""
    if samples.targets == "values" or classes is None:
        return
    labels = samples.labels
    if labels is None:
        few = np.unique(np.linspace(0, len(samples) - 1, FEW).astype(np.int64))
        labels = np.concatenate([np.ravel(target) for target in samples.take(few).y])
    beyond = np.unique(labels[(labels >= classes) & (labels != (-1 if ignore is None else ignore))])
    if not beyond.size:
        return
    help = _network_of(max(int(labels.max()) + 1, len(samples.classes)))
    if samples.targets == "classes" and samples.stored == "pictures":
        values = ", ".join(map(str, np.unique(labels)))
        help = f"--set 'train.data.format={{masks: {{values: [{values}]}}}}', the values of each class"
    elif labels.min() == 1 and beyond.tolist() == [classes]:
        help = "classes are numbered from 0: y - 1"
    has = _named(samples) or f"{samples.name} has {_classes(beyond)}"
    yield Diagnostic("E0607", f"{has}, and the network has the classes 0 to {classes - 1}", help=help)


def _empty(samples: Samples, classes: int) -> Iterator[Diagnostic]:
    """A diagnostic for classes of the network without a sample to learn from, if there are some."""
    counts = class_counts(samples, classes)
    if counts is None or counts.all():
        return
    help = f"{_network_of(int(counts.nonzero()[0].max()) + 1)}, or samples of each"
    missing = _classes(np.flatnonzero(counts == 0))
    message = f"{samples.name} has no sample of {missing} of the network's {classes}"
    if len(samples.classes) < classes and samples.classes:
        message = f"{_named(samples)}, and the network {classes}"
    yield Diagnostic("E0607", message, help=help)


def _named(samples: Samples) -> str:
    """The classes that samples have names for, in words; empty where they have none."""
    names = samples.classes
    return f"{samples.name} has {len(names)} classes, {listed(names, 80)}" if names else ""


def _network_of(classes: int) -> str:
    return f"a network of {classes} classes: --set classes={classes}, where the spec has that argument"


def _classes(numbers: AnyArray) -> str:
    """Numbers of classes in words, those that follow each other as a range."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    words = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return f"class {numbers[0]}" if len(numbers) == 1 else f"the classes {listed(words, 80)}"
