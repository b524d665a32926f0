"""Batches of samples, read ahead of their use, in an order that a seed and the number of an epoch decide."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from archforge.datasets.base import AnyArray, Pair, Samples
from archforge.datasets.fit import Fit
from archforge.draws import BatchShare, generator
from archforge.errors import fail
from archforge.ops.lazy_numpy import np

__all__ = ["Batches"]

READERS = 2  # threads
AHEAD = 3  # batches that are read before they are asked for


@dataclass(frozen=True, slots=True)
class Batches:
    """Samples by up to `size`, each as the network takes it.

    shuffle: another order in each epoch, which depends on `seed` and the epoch's number alone. drop_last: a
    last batch that is not whole is left out. rank, ranks: each batch is cut among so many processes, and this
    is the number of one. Raises E0609 where no batch is left, or one has fewer samples than processes.
    """

    samples: Samples
    fit: Fit
    size: int
    seed: int = 0
    shuffle: bool = False
    drop_last: bool = False
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if not len(self):
            message = f"{self.samples.name} has {len(self.samples):,} samples, no whole batch of {self.size}"
            fail("E0609", message, help="a smaller batch, or `drop_last: false`")
        last = self.share(len(self) - 1).batch
        if last < self.ranks:
            which = "a batch" if self.size < self.ranks else "the last batch of an epoch"
            help = "a larger batch, or fewer ranks" if self.size < self.ranks else "`drop_last: true`"
            message = f"{which} has {last} of {len(self.samples):,} samples, too few for {self.ranks} ranks"
            fail("E0609", message, help=help)

    def __len__(self) -> int:
        """The number of batches of an epoch."""
        whole, rest = divmod(len(self.samples), self.size)
        return whole + (rest > 0 and not self.drop_last)

    def order(self, epoch: int) -> AnyArray:
        """The numbers of the samples in the order of an epoch, int64[len(samples)]."""
        if not self.shuffle:
            return np.arange(len(self.samples))
        return generator(self.seed, "shuffle", epoch).permutation(len(self.samples))

    def share(self, batch: int) -> BatchShare:
        """The part of a batch that this process has: parts differ by one sample at most."""
        size = min(self.size, len(self.samples) - batch * self.size)
        first, end = (size * rank // self.ranks for rank in (self.rank, self.rank + 1))
        return BatchShare(first, end - first, size)

    def epoch(self, number: int = 0, *, first: int = 0, step: int = 1) -> Iterator[Pair]:
        """The batches of an epoch from `first` on, every one or each `step`-th: inputs float32[N, *shape] and
        their targets, of this process's part. Others are not read. Raises E0601 and E0607 for a sample that
        cannot be read or does not fit."""
        order = self.order(number)
        pool = ThreadPoolExecutor(READERS, "archforge-read")
        waiting: deque[Future[Pair]] = deque()
        try:
            for batch in range(first, len(self), step):
                share = self.share(batch)
                start = batch * self.size + share.first
                chosen = order[start : start + share.samples]
                waiting.append(pool.submit(self._batch, chosen, number))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _batch(self, chosen: AnyArray, epoch: int) -> Pair:
        return self.fit.batch(self.samples.take(chosen), chosen, self.seed, epoch)
