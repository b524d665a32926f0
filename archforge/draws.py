"""Random numbers by name: each draw depends on a seed, a name and numbers, and on no draw before it."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["BatchShare", "generator", "generators", "shared_generator", "shares"]

# Draws from the place of one sample in a sequence to that of the next: the step of numpy.random.PCG64.jumped.
STEP = 0x9E3779B97F4A7C15F39CC0605CEDC835


class BatchShare(NamedTuple):
    """The samples of a batch that one of several processes has: `samples` from number `first` on, of `batch`
    in all."""

    first: int
    samples: int
    batch: int

    @property
    def is_whole(self) -> bool:
        """True if it is the whole batch."""
        return self.samples == self.batch


def generator(seed: int, name: str, *numbers: int) -> Generator:
    """The random numbers of `name`, and of a sample, a step, an epoch or whatever the numbers count."""
    from numpy.random import PCG64, Generator

    return Generator(PCG64([seed, zlib.crc32(name.encode()), *numbers]))


def generators(seed: int, name: str, *numbers: int, samples: Iterable[int]) -> Iterator[Generator]:
    """The random numbers of `name` and `numbers` for each of some samples, by its number.

    It is one generator, each time at another place of its sequence: a new one costs thirty times as much.
    """
    found = generator(seed, name, *numbers)
    bits = found.bit_generator
    start = bits.state
    for sample in samples:
        bits.state = start
        bits.advance(int(sample) * STEP)  # type: ignore[attr-defined]
        yield found


def shares(seed: int, name: str, number: int, *, count: int) -> list[float]:
    """`count` numbers from 0 to below 1, each a multiple of 2**-53, of `name` and of what the number counts.

    They are bits of SHAKE256, the same on every machine and with every Python, and need no NumPy.
    Source: FIPS 202, section 6.2.
    """
    from hashlib import shake_256

    bits = shake_256(f"{seed} {number} {name}".encode()).digest(8 * count)
    return [(int.from_bytes(bits[i : i + 8], "big") >> 11) * 2.0**-53 for i in range(0, len(bits), 8)]


def shared_generator(drawn: Generator, share: BatchShare) -> Any:
    """A generator whose `random(shape)` gives the rows of a share of what `drawn` gives for the whole batch.

    shape: of the share, the samples first. Each number takes one step of PCG64, so that others are skipped.
    """
    return _SharedGenerator(drawn, share)


class _SharedGenerator:
    def __init__(self, drawn: Generator, share: BatchShare) -> None:
        self._drawn, self._share = drawn, share

    def random(self, shape: tuple[int, ...]) -> Any:
        first, samples, batch = self._share
        bits: Any = self._drawn.bit_generator
        row = math.prod(shape[1:])
        bits.advance(first * row)
        numbers = self._drawn.random(shape)
        bits.advance((batch - first - samples) * row)
        return numbers
