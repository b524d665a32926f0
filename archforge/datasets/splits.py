"""Parts of the samples: those that are held back, and a number of them, drawn from a seed."""

from __future__ import annotations

from archforge.datasets.arrays import Subset
from archforge.datasets.base import AnyArray, Data, Samples
from archforge.draws import generator
from archforge.errors import fail
from archforge.ops.lazy_numpy import np

__all__ = ["split"]


def split(
    data: Data, *, validation: float = 0.0, limit: int = 0, stratify: bool = False, seed: int = 0
) -> Data:
    """Data whose held-back samples are the share `validation`, where they had none, and of whose others
    `limit` are left, if it is not 0. stratify: as many of each class. Raises E0609."""
    train, held_back = data.train, data.held_back
    if held_back is None and validation:
        train, held_back = _held_back(train, validation, stratify, seed)
    if limit:
        train = _limited(train, limit, stratify, seed)
    elif stratify and not validation:
        help = "limit or validation, of which it says how they are drawn"
        fail("E0609", "`stratify` changes nothing here", help=help)
    return Data(train, held_back)


def _held_back(samples: Samples, share: float, stratify: bool, seed: int) -> tuple[Subset, Subset]:
    groups = _by_class(samples) if stratify else [np.arange(len(samples))]
    draw = generator(seed, "validation")
    parts = [_parted(draw.permutation(group), round(share * len(group))) for group in groups]
    held_back, train = (np.sort(np.concatenate(part)) for part in zip(*parts, strict=True))
    if not len(train) or not len(held_back):
        message = f"of {len(samples):,} samples, {len(held_back):,} are held back by `validation`, {share:g}"
        fail("E0609", message, help="another share, or more samples")
    return Subset(samples, train), Subset(samples, held_back)


def _parted(drawn: AnyArray, count: int) -> tuple[AnyArray, AnyArray]:
    return drawn[:count], drawn[count:]


def _limited(samples: Samples, limit: int, stratify: bool, seed: int) -> Subset:
    if limit > len(samples):
        help = f"at most {len(samples):,}, or 0 for all"
        fail("E0609", f"`limit` is {limit:,}, and {len(samples):,} samples are there to train on", help=help)
    draw = generator(seed, "limit")
    if not stratify:
        return Subset(samples, np.sort(draw.permutation(len(samples))[:limit]))
    groups = _by_class(samples)
    each, rest = divmod(limit, len(groups))
    if rest:
        least = f"{len(groups) * each}, " if each else ""
        help = f"{least}{len(groups) * (each + 1)}, or `stratify: false`"
        fail("E0609", f"`limit`, {limit:,}, is no multiple of the {len(groups)} classes", help=help)
    small = next((group for group in groups if len(group) < each), None)
    if small is not None:
        label = _labels(samples)[small[0]]
        message = f"class {label} has {len(small):,} samples, `limit` with `stratify` needs {each:,} of each"
        fail("E0609", message, help=f"at most {len(groups) * min(map(len, groups)):,}")
    return Subset(samples, np.sort(np.concatenate([draw.permutation(group)[:each] for group in groups])))


def _by_class(samples: Samples) -> list[AnyArray]:
    labels = _labels(samples)
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def _labels(samples: Samples) -> AnyArray:
    if samples.labels is None:
        fail("E0609", f"`stratify` needs samples of classes, which {samples.name} has not")
    return samples.labels
