"""Signals during a run: the update under way is finished, a checkpoint kept, then the signal takes effect."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Interruption", "postponed"]

# Ctrl-C, and what a supervisor and a closed terminal send, where the system has them.
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@dataclass(slots=True)
class Interruption:
    """The signal that came while signals were postponed, 0 if none did."""

    number: int = 0

    def __bool__(self) -> bool:
        return self.number != 0


@contextmanager
def postponed() -> Iterator[Interruption]:
    """A block in which a first signal to end is kept, to take effect at its end; a second one takes effect at
    once. In threads other than the main one, which gets no signals, this does nothing."""
    came = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    handlers = {number: handler for number in _SIGNALS if (handler := signal.getsignal(number)) is not None}

    def postpone(number: int, _: object) -> None:
        restore()
        came.number = number

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, postpone)
    try:
        yield came
    finally:
        restore()
    if came:
        signal.raise_signal(came.number)
