"""A cache of what was used last, whose entries are made once, also when threads ask for one together."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["LastUsed"]

Key = TypeVar("Key", bound=Hashable)
Made = TypeVar("Made")


class _CacheSlot(Generic[Made]):
    """A place for an object that the first thread to ask for it makes, while others wait for the lock."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.made: Made | None = None


class LastUsed(Generic[Key, Made]):
    """Objects that `make` returns for a key and those that are kept then, the `most` used last. Threads may
    share it."""

    def __init__(self, make: Callable[[Key, list[Made]], Made], most: int = 4) -> None:
        self._make = make
        self._most = most
        self._slots: OrderedDict[Key, _CacheSlot[Made]] = OrderedDict()
        self._lock = Lock()

    def at(self, key: Key) -> Made:
        """The object for this key. Raises what `make` raises, and then keeps nothing."""
        with self._lock:
            slot = self._slots.setdefault(key, _CacheSlot())
            self._slots.move_to_end(key)
        with slot.lock:
            if slot.made is None:
                try:
                    slot.made = self._make(key, self.kept())
                except BaseException:
                    with self._lock:
                        self._slots.pop(key, None)
                    raise
        with self._lock:
            while len(self._slots) > self._most:
                self._slots.popitem(last=False)
        return slot.made

    def kept(self) -> list[Made]:
        """The objects that are kept now."""
        with self._lock:
            return [slot.made for slot in self._slots.values() if slot.made is not None]
