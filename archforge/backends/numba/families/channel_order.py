"""Orders of channels: what slices, shuffles and concatenations make without moving anything.

Their channels stay where they are in other values, and are copied once, when a kernel reads them that takes
blocks: of all that passes through a chain of such ops only what is read behind it moves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from archforge.backends.numba.runtime.tape import TapeValue
from archforge.plan import Kernel

__all__ = ["AnyOrder", "ChannelOrder"]

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ChannelOrder:
    """A value whose channel i is channel `channel[i]` of the value `sources[source[i]]`.

    The sources lie in blocks of axis 0 and have equal other axes; each of them has a channel here.
    """

    sources: tuple[TapeValue, ...]
    source: Numbers
    channel: Numbers

    @classmethod
    def of(cls, x: TapeValue) -> ChannelOrder:
        """The order of a value's own channels."""
        return cls((x,), np.zeros(x.channels, np.int64), np.arange(x.channels))

    @staticmethod
    def joined(*parts: ChannelOrder) -> ChannelOrder:
        """The channels of all parts, one part behind the other."""
        sources = tuple(dict.fromkeys(value for part in parts for value in part.sources))
        numbers = [np.array([sources.index(value) for value in part.sources]) for part in parts]
        source = np.concatenate([own[part.source] for own, part in zip(numbers, parts, strict=True)])
        return ChannelOrder(sources, source, np.concatenate([part.channel for part in parts]))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return (len(self.channel), *self.sources[0].shape[1:])

    def taking(self, channels: Numbers) -> ChannelOrder:
        """The channels of these numbers, in their order."""
        used, source = np.unique(self.source[channels], return_inverse=True)
        return ChannelOrder(tuple(self.sources[i] for i in used), source, self.channel[channels])

    def stretch(self) -> range:
        """The channels of the only source, if the value is a stretch of them; else empty."""
        first = int(self.channel[0])
        found = range(first, first + len(self.channel))
        is_stretch = len(self.sources) == 1 and np.array_equal(self.channel, found)
        return found if is_stretch else range(0)


@dataclass(frozen=True, slots=True)
class AnyOrder(Kernel):
    """A kernel whose result is an order of its inputs' channels, which `order` gives without a copy."""

    order: Callable[..., ChannelOrder] = field(kw_only=True)
