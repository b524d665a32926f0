"""Ranks that are threads of one process: an engine for tests."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from archforge.datasets.base import AnyArray
from archforge.training.ranks.group import RankGroup

__all__ = ["ThreadRank", "Threads", "in_ranks"]

Found = TypeVar("Found")


class Threads:
    """A number of ranks. Their sums are of float64, in the order of the ranks."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = Barrier(size)
        self.given: list[AnyArray] = [None] * size  # type: ignore[list-item]

    def rank(self, rank: int) -> ThreadRank:
        """One of them."""
        return ThreadRank(self, rank)


class ThreadRank:
    """A rank of `Threads`."""

    def __init__(self, threads: Threads, rank: int) -> None:
        self._threads, self.rank, self.size = threads, rank, threads.size

    def sum(self, array: AnyArray) -> AnyArray:
        self._threads.given[self.rank] = array.copy()
        self._threads.barrier.wait()
        given = self._threads.given
        assert len({(a.shape, a.dtype) for a in given}) == 1, "ranks sum different things"
        total: AnyArray = sum(a.astype("float64") for a in given).astype(array.dtype)  # type: ignore[union-attr]
        self._threads.barrier.wait()
        return total

    def leave(self) -> None:
        self._threads.barrier.wait()


def in_ranks(work: Callable[[RankGroup], Found], size: int = 2, timeout_s: float = 60) -> list[Found]:
    """The results of a function of each rank's group. Raises what rank 0 raises, else the first other one."""
    threads = Threads(size)

    def of(rank: int) -> Found:
        group = RankGroup(lambda: threads.rank(rank), timeout_s)
        found = work(group)
        group.leave()
        return found

    with ThreadPoolExecutor(size) as pool:
        return [future.result() for future in [pool.submit(of, rank) for rank in range(size)]]
