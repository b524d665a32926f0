"""Random numbers by name: each draw depends on a seed, a name and numbers, and on no draw before it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["generator", "generators"]

# Draws from the place of one sample in a sequence to that of the next: the step of numpy.random.PCG64.jumped.
STEP = 0x9E3779B97F4A7C15F39CC0605CEDC835


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
