"""Curves of the figures of a run over its epochs, laid out for an SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from archforge.export.render import render

__all__ = ["Tick", "curves_svg", "ticks"]

WIDTH, HEIGHT = 420, 260  # of a panel, in pixels
LEFT, RIGHT, TOP, BOTTOM = 54, 16, 40, 34
LEGEND = 150  # from the beginning of one text of the legend to the next
MOST_TICKS = 6
TITLES = {
    "loss": "Loss",
    "accuracy": "Accuracy",
    "iou": "Mean intersection over union",
    "lr": "Learning rate",
}


class Line(NamedTuple):
    """A curve: its class in the style sheet, its text in the legend and where that is, its points `x,y x,y`
    and the place of its last one."""

    kind: str
    text: str
    dot_x: int
    text_x: int
    points: str
    x: str
    y: str


class Tick(NamedTuple):
    """A number beside an axis: its place along it, that of its text, and the text."""

    at: str
    text_at: str
    text: str


class Panel(NamedTuple):
    """A chart of one figure: where it begins, its title, its curves, and the numbers beside both axes;
    `along` is what the lower one counts."""

    left: int
    title: str
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    along: str = "epoch"


def curves_svg(title: str, history: Sequence[Mapping[str, float]]) -> str:
    """An SVG with a panel for each figure, of what was trained on and of what was held back."""
    found = filter(None, (_panel(name, history) for name in TITLES))
    panels = [panel._replace(left=i * WIDTH) for i, panel in enumerate(found)]
    return render(
        "curves.svg.j2",
        title=title,
        charts=panels,
        width=max(len(panels), 1) * WIDTH,
        height=HEIGHT,
        inner=(LEFT, WIDTH - RIGHT),
        beside=LEFT - 6,
        below=(HEIGHT - BOTTOM + 16, HEIGHT - BOTTOM + 30),
    )


def _panel(name: str, history: Sequence[Mapping[str, float]]) -> Panel | None:
    series = {
        key: [(i, row[key]) for i, row in enumerate(history, 1) if key in row and math.isfinite(row[key])]
        for key in (name, f"val_{name}")
    }
    values = [y for points in series.values() for _, y in points]
    if not values:
        return None
    low, high = min(values), max(values)
    if high == low:
        low, high = low - abs(low) / 2 - 0.5e-9, high + abs(high) / 2 + 0.5e-9
    marks = ticks(low, high)
    low, high = min(low, marks[0]), max(high, marks[-1])
    epochs = len(history)

    def x_at(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (epoch - 1) / max(epochs - 1, 1)

    def y_at(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)

    lines: list[Line] = []
    for key, points in series.items():
        if points:
            placed = [(x_at(i), y_at(y)) for i, y in points]
            text = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
            kind, said = ("held", "held back") if key.startswith("val_") else ("trained", "trained on")
            said = "last" if name == "lr" else said
            legend, (x, y) = LEFT + LEGEND * len(lines), placed[-1]
            said = f"{said}: {points[-1][1]:.4g}"
            lines.append(Line(kind, said, legend + 4, legend + 12, text, f"{x:.1f}", f"{y:.1f}"))
    steps = [e for e in ticks(1, max(epochs, 2)) if e == int(e) and 1 <= e <= epochs] or [1]
    return Panel(
        0,
        TITLES[name],
        lines,
        [Tick(f"{x_at(e):.1f}", f"{x_at(e):.1f}", f"{e:g}") for e in steps],
        [Tick(f"{y_at(t):.1f}", f"{y_at(t) + 4:.1f}", f"{t:g}") for t in marks],
    )


def ticks(low: float, high: float) -> list[float]:
    """Round numbers that cover the range, a few of them."""
    rough = (high - low) / (MOST_TICKS - 1)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = magnitude * next(m for m in (1, 2, 5, 10) if m * magnitude >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]
