"""Coordinates of the boxes and edges of a network, in CSS pixels, for boxes that are open or closed.

A lane is as wide as its widest box, a row as high as its highest, a gap as its tracks and the shapes that are
written in it. `templates/picture.js` does the same for the boxes that a reader opens; a test holds the
two together.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

from archforge.export.layout.grid import Edge, Grid, GridPlace, Ports, grid_of
from archforge.export.layout.nested import INPUT, OUTPUT, NestedBox

__all__ = [
    "LINE",
    "STACK",
    "EdgeLine",
    "Face",
    "PlacedBox",
    "Planned",
    "path_text",
    "placed",
    "planned",
    "text_width",
    "with_signs",
]

# Sizes of text, and the height of a line of it.
TITLE, SMALL, LINE = 12.0, 9.5, 13.0
MOST_TEXT = 260.0  # of the width of a box
LANE_GAP, EDGE_SPACE = 16.0, 6.0  # between lanes; on both sides of an edge
TRACK, GAP, LABEL = 8.0, 18.0, 11.0  # heights: of a track, of a gap without any, of a shape written in it
FRAME, HEADER = 10.0, 14.0
CORNER = 5.0
STACK = 4.0  # of the second box behind one that stands for several
MERGE = 22.0  # the diameter of the circle of a sum or a product


def text_width(text: str, size: float) -> float:
    """A width, in pixels, in which a text of this size fits in any usual sans-serif font."""
    return size * sum(map(_em, text))


def _em(letter: str) -> float:
    if not letter.isascii():
        return 0.0 if unicodedata.combining(letter) else 1.05
    if letter in "ijl.,:;'|!()[] ftI/":
        return 0.4
    return 1.0 if letter in "mwMW%@" else 0.78 if letter.isupper() else 0.65


def fitted(text: str, size: float, most: float = MOST_TEXT) -> str:
    """The text, or its two ends with a sign of omission between them, no wider than `most`."""
    if text_width(text, size) <= most:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f"{text[: (kept + 1) // 2]}\u2026{text[len(text) - kept // 2 :]}"
        if text_width(short, size) <= most:
            return short
    return "\u2026"


@dataclass(frozen=True, slots=True)
class Face:
    """The text of a closed box, its first line the title, and the size of the box.

    is_round: it is a circle.
    """

    lines: tuple[str, ...]
    width: float
    height: float
    is_round: bool = False


def _face(box: NestedBox, own: Ports, *, counts: bool) -> Face:
    if box.sign:
        return Face((box.sign,), MERGE, MERGE, True)
    title = box.says or box.label
    lines = [f"{box.repeats} \u00d7 {title}" if box.repeats > 1 else title]
    if box.look == "value":
        lines = [box.label]
    elif box.label not in ("", title):
        name = _name(box)
        lines.append(f"{name} \u2026 {box.names[-1].rpartition('.')[2]}" if box.repeats > 1 else name)
    if counts and box.look != "value":
        lines += [
            f"{number:,} {unit}" for number, unit in ((box.params, "params"), (box.macs, "MACs")) if number
        ]
    lines = [fitted(with_signs(line), SMALL if at else TITLE) for at, line in enumerate(lines)]
    width = max(text_width(line, SMALL if at else TITLE) for at, line in enumerate(lines))
    widest = 2 * max(map(abs, (*own.reads.values(), *own.gives.values())), default=0.0)
    height = LINE * len(lines) + 11 + (STACK if box.repeats > 1 else 0.0)
    return Face(tuple(lines), _whole(max(width + 20, widest + 20, 64)), height)


def _name(box: NestedBox) -> str:
    """The name of a box within the box around; with that one's name where it is but a number."""
    return ".".join(box.name.split(".")[-2:]) if box.label.isdigit() else box.label


def with_signs(text: str) -> str:
    """A text with the sign of multiplication between numbers: 3x3 is written so in specs alone."""
    return re.sub("(?<=[0-9])x(?=[0-9])", "\u00d7", text)


def _whole(number: float) -> float:
    return float(round(number))


@dataclass(frozen=True, eq=False)
class Planned:
    """A box with all that does not change when boxes are opened and closed.

    title: of its frame. widths: of the shapes that are written at edges, by their text.
    """

    box: NestedBox
    face: Face
    title: str
    items: tuple[Planned, ...]
    grid: Grid | None

    @cached_property
    def shapes(self) -> Mapping[str, float]:
        """The shapes that are written below its items, by value, with their widths."""
        edges = self.grid.edges if self.grid else ()
        return {e.value: _whole(text_width(e.shape, SMALL)) for e in edges if e.line}

    @property
    def title_width(self) -> float:
        return _whole(text_width(self.title, SMALL)) if self.title else 0.0


def planned(box: NestedBox, *, counts: bool = False) -> Planned:
    """A network's boxes with their texts and grids; counts: closed boxes say their parameters and MACs."""
    return _planned(box, Ports({}, {}), counts, 0)


def _planned(box: NestedBox, own: Ports, counts: bool, depth: int) -> Planned:
    face = _face(box, own, counts=counts)
    if not box.items:
        return Planned(box, face, "", (), None)
    inner = Ports(own.reads, dict(zip(box.gives_first, own.gives.values(), strict=True)) if own.gives else {})
    grid = grid_of(box, inner, depth)
    items = tuple(
        _planned(item, _in_order(item, ports), counts, depth + 1)
        for item, ports in zip(box.items, grid.ports, strict=True)
    )
    words = dict.fromkeys([_name(box), box.says, f"\u00d7 {box.repeats}" if box.repeats > 1 else ""])
    title = fitted("  ".join(filter(None, words)), SMALL) if depth else ""
    return Planned(box, face, title, items, grid)


def _in_order(item: NestedBox, ports: Ports) -> Ports:
    """The ports of an item in the order of what it reads and gives."""
    gives = {value: ports.gives[value] for value in item.gives if value in ports.gives}
    return Ports({value: ports.reads[value] for value in item.reads}, gives)


@dataclass(frozen=True, slots=True)
class EdgeLine:
    """An edge as points, from start to end. has_head: it ends at a closed box. label: where its shape begins,
    on its base line, at one edge of each value."""

    edge: Edge
    points: tuple[tuple[float, float], ...]
    has_head: bool
    label: tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class PlacedBox:
    """A box at its place: `x`, `y` are of its upper left corner. items, lines: of an open box.

    title_x: where the title of its frame begins.
    """

    planned: Planned
    x: float
    y: float
    width: float
    height: float
    items: tuple[PlacedBox, ...] = ()
    lines: tuple[EdgeLine, ...] = ()
    is_open: bool = False
    title_x: float = 0.0

    def all(self) -> Iterator[PlacedBox]:
        """The box and all in it."""
        yield self
        for item in self.items:
            yield from item.all()


@dataclass(frozen=True, eq=False)
class _Measured:
    """The size of a box, as it stretches to the left and the right of the middle of its lane; of an open one,
    the places in it: the middles of its lanes, from its own, and the tops of its rows and gaps, from its
    top."""

    planned: Planned
    left: float
    right: float
    height: float
    items: tuple[_Measured, ...] = ()
    lanes: Mapping[int, float] | None = None
    rows: tuple[float, ...] = ()
    gaps: tuple[float, ...] = ()
    title_at: float = 0.0


def placed(plan: Planned, is_open: Callable[[NestedBox], bool]) -> PlacedBox:
    """All boxes that show, with those in the boxes that are to be open; the whole begins at 0, 0."""
    measured = _measured(plan, is_open)
    return _placed(measured, measured.left, 0.0)


def _measured(plan: Planned, is_open: Callable[[NestedBox], bool]) -> _Measured:
    grid = plan.grid
    if grid is None or not is_open(plan.box):
        half = plan.face.width / 2
        return _Measured(plan, half, half, plan.face.height)
    items = tuple(_measured(item, is_open) for item in plan.items)
    lefts: dict[int, float] = {0: EDGE_SPACE}
    rights: dict[int, float] = {0: EDGE_SPACE}
    for edge in grid.edges:
        for turn in edge.turns:
            lefts[turn.lane] = max(lefts.get(turn.lane, EDGE_SPACE), EDGE_SPACE - turn.off)
            rights[turn.lane] = max(rights.get(turn.lane, EDGE_SPACE), EDGE_SPACE + turn.off)
    heights = [0.0] * grid.rows
    for item, place, ports in zip(items, grid.places, grid.ports, strict=True):
        lefts[place.lane] = max(lefts.get(place.lane, 0.0), item.left)
        texts = (off + EDGE_SPACE + plan.shapes[v] for v, off in ports.gives.items() if v in plan.shapes)
        rights[place.lane] = max(rights.get(place.lane, 0.0), item.right, *texts)
        if place.span == 1:
            heights[place.row] = max(heights[place.row], item.height)
    lanes = _lanes(lefts, rights)
    gap_heights = [LABEL * n + TRACK * t + GAP for n, t in zip(grid.labels, grid.tracks, strict=True)]
    for item, place in zip(items, grid.places, strict=True):
        last = place.row + place.span - 1
        room = sum(heights[place.row : last + 1]) + sum(gap_heights[place.row + 1 : last + 1])
        heights[last] += max(item.height - room, 0.0)
    header = HEADER if plan.title else 0.0
    y, rows, gaps = header, [], []
    for gap, height in enumerate(gap_heights):
        gaps.append(y)
        y += height if plan.title or gap not in (0, grid.rows) else 0.0
        if gap < grid.rows:
            rows.append(y)
            y += heights[gap]
    left = FRAME + max(lefts[lane] - x for lane, x in lanes.items())
    right = FRAME + max(rights[lane] + x for lane, x in lanes.items())
    title_at = 0.0
    if plan.title:
        needed = plan.title_width + FRAME + EDGE_SPACE + max(map(abs, _own_ports(grid)), default=0.0)
        if right > left:
            right, title_at = max(right, needed), max(right, needed) - FRAME - plan.title_width
        else:
            left = max(left, needed)
            title_at = FRAME - left
    return _Measured(plan, left, right, y, items, lanes, tuple(rows), tuple(gaps), title_at)


def _own_ports(grid: Grid) -> list[float]:
    """The distances from the middle at which values enter a box."""
    return [edge.start_off for edge in grid.edges if edge.start == INPUT]


def _lanes(lefts: Mapping[int, float], rights: Mapping[int, float]) -> dict[int, float]:
    """The middles of lanes, that of lane 0 at 0."""
    lanes = {0: 0.0}
    for lane in sorted(lane for lane in lefts if lane > 0):
        before = max(lanes)
        lanes[lane] = lanes[before] + rights[before] + LANE_GAP + lefts[lane]
    for lane in sorted((lane for lane in lefts if lane < 0), reverse=True):
        before = min(lanes)
        lanes[lane] = lanes[before] - lefts[before] - LANE_GAP - rights[lane]
    return lanes


def _placed(measured: _Measured, x: float, y: float) -> PlacedBox:
    """A box whose lane has its middle at x, and whose top is at y."""
    plan, lanes = measured.planned, measured.lanes
    width = measured.left + measured.right
    if lanes is None or plan.grid is None:
        return PlacedBox(plan, x - measured.left, y, width, measured.height)
    grid = plan.grid
    items = tuple(
        _placed(item, x + lanes[place.lane], y + _top(measured, item, place))
        for item, place in zip(measured.items, grid.places, strict=True)
    )
    lines = tuple(_lines(measured, items, x, y))
    return PlacedBox(
        plan, x - measured.left, y, width, measured.height, items, lines, True, x + measured.title_at
    )


def _top(measured: _Measured, item: _Measured, place: GridPlace) -> float:
    """The top of a box in the middle of its rows."""
    room = measured.gaps[place.row + place.span] - measured.rows[place.row]
    return measured.rows[place.row] + (room - item.height) / 2


def _lines(measured: _Measured, items: tuple[PlacedBox, ...], x: float, y: float) -> Iterator[EdgeLine]:
    grid, lanes = measured.planned.grid, measured.lanes
    if grid is None or lanes is None:
        return
    for edge in grid.edges:
        if edge.start == INPUT:
            at, top = x + edge.start_off, y
        else:
            start = items[edge.start]
            at, top = x + lanes[grid.places[edge.start].lane] + edge.start_off, start.y + start.height
        label = None
        if edge.line:
            place = grid.places[edge.start]
            label = (at + EDGE_SPACE - 1, y + measured.gaps[place.row + place.span] + LABEL * edge.line)
        points = [(at, top)]
        for turn in edge.turns:
            height = y + measured.gaps[turn.gap] + LABEL * grid.labels[turn.gap] + TRACK * (turn.track + 1)
            points.append((at, height))
            at = x + lanes[turn.lane] + turn.off
            points.append((at, height))
        if edge.end == OUTPUT:
            points.append((at, y + measured.height))
            yield EdgeLine(edge, tuple(points), False, label)
        else:
            end = items[edge.end]
            points.append((at, end.y + _below_top(end.planned.face, at - end.x)))
            yield EdgeLine(edge, tuple(points), not items[edge.end].is_open, label)


def _below_top(face: Face, x: float) -> float:
    """The distance from the top of a box down to its outline, at a distance from its left."""
    if not face.is_round:
        return 0.0
    radius = face.width / 2
    return radius - sqrt(max(radius**2 - (x - radius) ** 2, 0.0))


def path_text(points: tuple[tuple[float, float], ...]) -> str:
    """Points as the path of an SVG, with rounded corners."""
    out = [f"M{_point(points[0])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(CORNER, _distance(before, corner) / 2, _distance(corner, after) / 2)
        begin, end = _towards(corner, before, radius), _towards(corner, after, radius)
        out.append(f"L{_point(begin)}Q{_point(corner)} {_point(end)}")
    out.append(f"L{_point(points[-1])}")
    return "".join(out)


def _distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _towards(start: tuple[float, float], end: tuple[float, float], distance: float) -> tuple[float, float]:
    """The point at this distance on the horizontal or vertical line from start to end."""
    whole = _distance(start, end) or 1.0
    return (
        start[0] + (end[0] - start[0]) * distance / whole,
        start[1] + (end[1] - start[1]) * distance / whole,
    )


def _point(point: tuple[float, float]) -> str:
    return f"{point[0]:.2f} {point[1]:.2f}".replace(".00", "")
