"""Random numbers by name: each draw depends on a seed, a name and numbers, and on no draw before it."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["generator"]


def generator(seed: int, name: str, *numbers: int) -> Generator:
    """The random numbers of `name`, and of a sample, a step, an epoch or whatever the numbers count."""
    from numpy.random import PCG64, Generator

    return Generator(PCG64([seed, zlib.crc32(name.encode()), *numbers]))
