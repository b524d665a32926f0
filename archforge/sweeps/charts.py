"""Charts of errors, laid out for an SVG: dots, steps and bands of several series over one axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from archforge.export.render import render
from archforge.training.curves import Tick, ticks

__all__ = ["Chart", "Series", "charts_svg"]

WIDTH, HEIGHT = 420, 270  # of a chart, in pixels
LEFT, RIGHT, TOP, BOTTOM = 54, 16, 44, 40
IN_A_ROW = 3
COLOURS = 6  # of series, in the template
LEGEND = 150  # from one name of the legend to the next
DECADES = 1.5  # a range of more powers of ten than these has a logarithmic axis

Point = tuple[float, float]


class Series(NamedTuple):
    """The part of a chart that is of one space, whose number is that of its colour: dots, a line through
    points, and the outline of a band."""

    name: str
    number: int
    dots: Sequence[Point] = ()
    line: Sequence[Point] = ()
    band: Sequence[Point] = ()


class Chart(NamedTuple):
    """A chart over one axis. below: the name of what is along it. is_share: y is from 0 to 1."""

    title: str
    below: str
    series: Sequence[Series]
    is_share: bool = False


class Axis(NamedTuple):
    """Numbers at places: from `low` at `start` to `high` at `end`, by their logarithms or as they are."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool

    @classmethod
    def of(cls, values: Sequence[float], start: float, end: float, *, log: bool) -> Axis:
        """An axis that has room for all values."""
        low, high = min(values), max(values)
        if log and low > 0 and math.log10(high / low) > DECADES:
            return cls(low, high, start, end, True)
        if low == high:
            low, high = low - (abs(low) or 1) / 10, high + (abs(high) or 1) / 10
        marks = ticks(low, high)
        return cls(min(low, marks[0]), max(high, marks[-1]), start, end, False)

    def at(self, value: float) -> float:
        """The place of a number."""
        low, high, at = self.low, self.high, value
        if self.is_log:
            low, high, at = map(math.log10, (low, high, value))
        return self.start + (self.end - self.start) * (at - low) / (high - low)

    def marks(self) -> list[float]:
        """Round numbers along it."""
        if not self.is_log:
            return [mark for mark in ticks(self.low, self.high) if self.low <= mark <= self.high]
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        every = [m * 10.0**p for p in powers for m in (1, 2, 5)]
        marks = [mark for mark in every if self.low <= mark <= self.high]
        return marks if len(marks) <= 6 else [m for m in marks if math.log10(m) % 1 == 0]


def charts_svg(title: str, charts: Sequence[Chart]) -> str:
    """An SVG with some charts in a row each."""
    columns = min(len(charts), IN_A_ROW)
    placed = [
        {"left": i % IN_A_ROW * WIDTH, "top": i // IN_A_ROW * HEIGHT, **_laid_out(chart)}
        for i, chart in enumerate(charts)
    ]
    return render(
        "charts.svg.j2",
        title=title,
        charts=placed,
        width=columns * WIDTH,
        height=-(-len(charts) // IN_A_ROW) * HEIGHT,
        inner=(LEFT, WIDTH - RIGHT),
        beside=LEFT - 6,
        below=(HEIGHT - BOTTOM + 16, HEIGHT - BOTTOM + 32),
    )


def _laid_out(chart: Chart) -> dict[str, object]:
    """The parts of a chart at their places."""
    points = [point for one in chart.series for part in (one.dots, one.line, one.band) for point in part]
    x = Axis.of([point[0] for point in points], LEFT, WIDTH - RIGHT, log=True)
    heights = [0.0, 1.0] if chart.is_share else [point[1] for point in points]
    y = Axis.of(heights, HEIGHT - BOTTOM, TOP, log=False)

    def place(several: Sequence[Point]) -> str:
        return " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in several)

    return {
        "name": chart.title,
        "along": chart.below + (", logarithmic" if x.is_log else ""),
        "series": [
            {
                "colour": one.number % COLOURS,
                "text": one.name,
                "dot_x": LEFT + 4 + LEGEND * index,
                "text_x": LEFT + 12 + LEGEND * index,
                "dots": [(f"{x.at(a):.1f}", f"{y.at(b):.1f}") for a, b in one.dots],
                "line": place(one.line),
                "band": place(one.band),
            }
            for index, one in enumerate(chart.series)
        ],
        "x_ticks": [Tick(f"{x.at(m):.1f}", f"{x.at(m):.1f}", _short(m)) for m in x.marks()],
        "y_ticks": [Tick(f"{y.at(m):.1f}", f"{y.at(m) + 4:.1f}", f"{m:g}") for m in y.marks()],
    }


def _short(number: float) -> str:
    """A number with a letter for its thousands: 1.5M."""
    for power, letter in ((9, "G"), (6, "M"), (3, "k")):
        if abs(number) >= 10**power:
            return f"{number / 10**power:g}{letter}"
    return f"{number:g}"
