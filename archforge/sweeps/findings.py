"""Findings of a sweep: distributions of errors, their bands, the best values of arguments, frontiers.

Bands are of the bootstrap: the networks are drawn again from themselves, with replacement, many times.
Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6 and 13.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from archforge.draws import generator
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.sweeps.store import SweptNetwork

__all__ = [
    "Distribution",
    "FrontierPoint",
    "Interval",
    "SpaceFindings",
    "arguments",
    "columns",
    "frontier",
    "likely_best",
]

RESAMPLES = 2500
BAND = (2.5, 50.0, 97.5)  # percentiles
# Of the networks of a space, the share that is drawn to find the best among them; as pycls has it, with 2,500
# resamples (pycls/sweep/analysis.py).
SHARE = 0.25
NO_ARGUMENTS = ("draw", "weights", "biases", "buffers")
MOST_ENTRIES = 8  # of an argument that is a list, each of which is an argument of its own


class Interval(NamedTuple):
    """The middle of a band and its ends, between which 95 % of what was drawn again lies."""

    low: float
    middle: float
    high: float


class Distribution(NamedTuple):
    """The share F(e) of networks whose error is at most e, at each error, with the ends of its band. Each
    float64[n]; errors in order."""

    errors: Array
    shares: Array
    low: Array
    high: Array


class FrontierPoint(NamedTuple):
    """A network of a frontier: no other has so little of a measure and so small an error."""

    draw: int
    value: float
    error: float


@dataclass(frozen=True, slots=True)
class SpaceFindings:
    """The networks of one space of which something came, in order of their draws: those that were trained,
    and those that failed."""

    name: str
    trained: Sequence[SweptNetwork]
    failed: Sequence[SweptNetwork]

    @classmethod
    def of(cls, name: str, networks: Iterable[SweptNetwork]) -> SpaceFindings:
        """The findings of these networks."""
        trained: list[SweptNetwork] = []
        failed: list[SweptNetwork] = []
        for found in networks:
            if found.record:
                (trained if found.record.is_trained else failed).append(found)
        return cls(name, trained, failed)

    @property
    def errors(self) -> Array:
        """The errors of those that were trained, float64[n]."""
        return np.array([found.error for found in self.trained], np.float64)

    def best(self, number: int) -> list[SweptNetwork]:
        """Networks of least error, the best first."""
        return sorted(self.trained, key=lambda found: found.error)[:number]

    def distribution(self) -> Distribution:
        """F(e) of arXiv:2003.13678, section 3.1, with its band."""
        errors = np.sort(self.errors)
        again = np.sort(_again(errors), axis=1)
        below = np.stack([np.searchsorted(row, errors, side="right") for row in again]) / len(errors)
        low, _, high = np.percentile(below, BAND, axis=0)
        return Distribution(errors, np.searchsorted(errors, errors, side="right") / len(errors), low, high)

    def median(self) -> Interval:
        """The median error, and the band of medians."""
        low, _, high = np.percentile(np.median(_again(self.errors), axis=1), BAND)
        return Interval(float(low), float(np.median(self.errors)), float(high))


def _again(errors: Array) -> Array:
    """Errors drawn again, float64[RESAMPLES, n]."""
    found: Array = errors[_indices(len(errors))]
    return found


def _indices(number: int, share: float = 1.0) -> Any:
    size = (RESAMPLES, max(round(share * number), 1))
    return generator(0, "resamples", number).integers(number, size=size)


def likely_best(values: Array, errors: Array) -> Interval:
    """The values that the best of a quarter of the networks have. values, errors: float64[n]."""
    drawn = _indices(len(errors), SHARE)
    best = np.take_along_axis(drawn, np.argmin(errors[drawn], axis=1)[:, None], axis=1)[:, 0]
    return Interval(*map(float, np.percentile(values[best], BAND)))


def frontier(networks: Iterable[SweptNetwork], measure: str) -> list[FrontierPoint]:
    """The networks that no other beats in a measure and in error, in order of the measure."""
    steps = sorted(
        (FrontierPoint(one.job.draw.number, measured(one, measure), one.error) for one in networks),
        key=lambda step: (step.value, step.error),
    )
    found: list[FrontierPoint] = []
    for step in steps:
        if not found or step.error < found[-1].error:
            found.append(step)
    return found


def measured(network: SweptNetwork, measure: str) -> float:
    """A count of a network by its name, or `seconds`, which its training took."""
    return float(network.record.seconds if measure == "seconds" and network.record else network.row[measure])


def arguments(row: Mapping[str, Any], counts: Sequence[str]) -> dict[str, Any]:
    """The arguments of a network by name. counts: names that are no arguments."""
    return {name: value for name, value in row.items() if name not in (*NO_ARGUMENTS, *counts)}


def columns(row: Mapping[str, Any], counts: Sequence[str]) -> dict[str, float]:
    """The arguments of a network that are numbers, by name; an entry of a list as `depths[0]`. counts: names
    that are no arguments."""
    found: dict[str, float] = {}
    for name, value in arguments(row, counts).items():
        entries = value if isinstance(value, list) and len(value) <= MOST_ENTRIES else [value]
        numbers = [entry for entry in entries if type(entry) in (int, float)]
        if len(numbers) == len(entries):
            names = [f"{name}[{i}]" for i in range(len(entries))] if entries is value else [name]
            found |= dict(zip(names, map(float, numbers), strict=True))
    return found
