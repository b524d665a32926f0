"""Sums over ranks, one after the other in a thread of their own, each bounded by a time.

What is summed may be asked for long before it is needed: the thread works while the rank computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread
from typing import Any

from archforge.datasets.base import AnyArray
from archforge.errors import DiagnosticError, fail
from archforge.ops.lazy_numpy import np
from archforge.training.ranks.engines import Engine, Ranks

__all__ = ["GOING_ON", "TIMEOUT_S", "RankGroup", "joined"]

TIMEOUT_S = 300.0
GOING_ON = "--resume goes on from the last checkpoint"


class RankGroup:
    """The ranks of a job as one of them sees them. timeout_s: seconds that it waits for the others, at most.

    Whatever a method sums, every rank must sum it too, in the same order.
    """

    def __init__(self, join: Callable[[], Ranks], timeout_s: float = TIMEOUT_S) -> None:
        self.timeout_s = timeout_s
        self._asked: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        # If a rank is lost, no call of an engine need ever return: the process can end without this thread.
        self._thread = Thread(target=self._work, name="archforge-sums", daemon=True)
        self._thread.start()
        self.rank, self.size = -1, 0
        self._ranks: Ranks = self._result(self._ask(join))
        self.rank, self.size = self._ranks.rank, self._ranks.size

    def leave(self) -> None:
        """End a job that went well."""
        self._result(self._ask(self._ranks.leave))
        self._asked.put(None)
        self._thread.join()

    def begin_sum(self, array: AnyArray) -> Callable[[], AnyArray]:
        """Begin to sum a flat array over all ranks, whose memory is then the sum's. Returns what waits for
        the sum and gives it. Raises E0908 there if a rank is lost or does not answer in time."""
        asked = self._ask(lambda: self._ranks.sum(array))
        return lambda: self._result(asked)

    def sum(self, array: AnyArray) -> AnyArray:
        """The sum of a flat array over all ranks. Raises E0908."""
        return self.begin_sum(array)()

    def rows(self, numbers: Sequence[float]) -> AnyArray:
        """The numbers of each rank, float64[size, len(numbers)]."""
        every = np.zeros((self.size, len(numbers)))
        every[self.rank] = numbers
        return self.sum(every.reshape(-1)).reshape(every.shape)

    def wait(self) -> None:
        """Wait until every rank has come here."""
        self.rows([0])

    def from_first(self, arrays: Sequence[AnyArray]) -> None:
        """Give arrays of the same shapes on every rank the contents, bit by bit, that they have on rank 0."""
        for array in arrays:
            words = np.zeros(-(-array.nbytes // 4), np.int32)
            if self.rank == 0:
                words.view(np.uint8)[: array.nbytes] = np.frombuffer(array.tobytes(), np.uint8)
            sent = self.sum(words).view(np.uint8)[: array.nbytes]
            array[...] = np.frombuffer(sent.tobytes(), array.dtype).reshape(array.shape)

    def text_from_first(self, text: str) -> str:
        """The text that rank 0 gives."""
        data = np.frombuffer(text.encode(), np.uint8)
        length = int(self.rows([len(data)])[0, 0])
        sent = data.copy() if self.rank == 0 else np.zeros(length, np.uint8)
        self.from_first([sent])
        return sent.tobytes().decode()

    def _ask(self, work: Callable[[], Any]) -> Future[Any]:
        asked: Future[Any] = Future()
        self._asked.put((asked, work))
        return asked

    def _result(self, asked: Future[Any]) -> Any:
        try:
            return asked.result(self.timeout_s)
        except TimeoutError:
            message = f"{self._name()} has waited {self.timeout_s:g} s for the others"
            fail("E0908", message, help=f"{GOING_ON}; --timeout waits longer")
        except DiagnosticError:
            raise
        except Exception as error:  # noqa: BLE001  engines raise whatever they like
            fail("E0908", f"{self._name()} has lost another one: {error}", help=GOING_ON)

    def _name(self) -> str:
        return f"rank {self.rank} of {self.size}" if self.size else "a rank that was to join"

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            future, work = asked
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  raised where the result is waited for
                future.set_exception(error)


@contextmanager
def joined(engine: Engine, timeout_s: float = TIMEOUT_S) -> Iterator[RankGroup]:
    """A block in which this process is a rank. At its end all ranks leave together; one that ends otherwise
    just goes, and what started the ranks ends the others."""
    group = RankGroup(engine.join, timeout_s)
    yield group
    group.leave()
