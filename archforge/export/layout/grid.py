"""Rows and lanes for the boxes in one box, and the ways of the edges between them.

Boxes stand in rows, each below all that it reads, and in lanes, which are columns. The longest way through is
the spine, in lane 0; what runs beside it, a branch or a value that skips boxes, has lanes to its left and
right, the shorter the nearer. A lane belongs to one branch at a time, and an edge turns in the gaps between
rows only, on tracks: so none runs through a box, and none runs along another. Gap 0 is above row 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import NamedTuple

from archforge.export.layout.nested import INPUT, OUTPUT, NestedBox, Wire

__all__ = ["Edge", "Grid", "GridPlace", "Ports", "Turn", "grid_of"]

PORT_STEP = 11  # between the ports of a box
# Ports above and below a box, and those of boxes in it, never stand over each other.
SHIFT_OF_READS = (0.0, 5.5)
SHIFT_OF_GIVES = (2.75, 8.25)


class GridPlace(NamedTuple):
    """The row and the lane of a box, and the number of rows from this one on that it has for itself in its
    lane."""

    row: int
    lane: int
    span: int = 1


@dataclass(frozen=True, slots=True)
class Ports:
    """Distances from the middle of its lane at which each value enters and leaves a box, by value."""

    reads: Mapping[str, float]
    gives: Mapping[str, float]


class Turn(NamedTuple):
    """An edge turns in a gap, on one of its tracks, to the lane and the distance from its middle."""

    gap: int
    track: int
    lane: int
    off: float


@dataclass(frozen=True, slots=True)
class Edge:
    """The way of a value from one box to another, by their indices, `INPUT` or `OUTPUT`.

    line: that below its start, from 1, in which its shape is written; 0 where it is elsewhere. start_off: how
    far from the middle of its lane it leaves its start. is_shortcut: it skips boxes in a lane of its own.
    """

    value: str
    shape: str
    start: int
    end: int
    line: int
    start_off: float
    turns: tuple[Turn, ...]
    is_shortcut: bool
    is_tap: bool

    @property
    def kind(self) -> str:
        """The word for its look: `tap`, `shortcut` or nothing."""
        return "tap" if self.is_tap else "shortcut" if self.is_shortcut else ""


@dataclass(frozen=True, slots=True)
class Grid:
    """The places and ports of the boxes in one box, its edges, and for each gap the number of its tracks, and
    of lines for the shapes that are written in it."""

    places: tuple[GridPlace, ...]
    ports: tuple[Ports, ...]
    edges: tuple[Edge, ...]
    tracks: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def rows(self) -> int:
        return len(self.tracks) - 1


def grid_of(box: NestedBox, own: Ports, depth: int = 0) -> Grid:
    """The grid of the boxes in `box`, whose own ports are given; depth: of the boxes around it."""
    return _GridMaker(box, own, depth).made()


@dataclass(eq=False)
class _LaneRun:
    """Boxes that follow each other and have a lane for their rows, or, without boxes, a value that skips
    some."""

    boxes: list[int]
    wire: Wire | None = None  # of a run without boxes
    first_gap: int = 0
    last_gap: int = 0
    is_left: bool = False
    lane: int = 0


@dataclass(eq=False)
class _Pin:
    """The place at which an edge crosses the upper or the lower side of a gap."""

    lane: int
    off: float

    @property
    def x(self) -> tuple[int, float]:
        return self.lane, self.off


@dataclass(eq=False)
class _Crossing:
    """The pins of one wire in one gap; its horizontal part lies on `track`."""

    above: list[_Pin] = field(default_factory=list)
    below: list[_Pin] = field(default_factory=list)
    track: int = 0

    @property
    def span(self) -> tuple[tuple[int, float], tuple[int, float]]:
        found = [pin.x for pin in (*self.above, *self.below)]
        return min(found), max(found)

    def is_across(self, lane: int) -> bool:
        """True if the horizontal part lies in a lane."""
        (low, _), (high, _) = self.span
        return self.span[0] != self.span[1] and low <= lane <= high


class _GridMaker:
    def __init__(self, box: NestedBox, own: Ports, depth: int) -> None:
        self.items, self.wires, self.own = box.items, box.wires, own
        self.shifts = SHIFT_OF_READS[depth % 2], SHIFT_OF_GIVES[depth % 2]
        self.into: defaultdict[int, list[Wire]] = defaultdict(list)
        self.out_of: defaultdict[int, list[Wire]] = defaultdict(list)
        for wire in self.wires:
            self.out_of[wire.start].append(wire)
            for end in wire.ends:
                self.into[end].append(wire)
        self.into[OUTPUT].sort(key=lambda wire: box.gives_first.index(wire.value))
        self.rows = self._rows()
        self.end_row = max(self.rows, default=-1) + 1
        self.runs = self._runs()
        self.run_of = {i: run for run in self.runs for i in run.boxes}
        self.after = {i: after for run in self.runs for i, after in pairwise(run.boxes)}
        self.skip_of = self._skips()
        self.runs += self.skip_of.values()
        self._give_lanes()

    def made(self) -> Grid:
        self.read_offs, self.give_offs = self._ports()
        gaps: list[dict[str, _Crossing]] = [{} for _ in range(self.end_row + 1)]
        ways = [(wire, end, [*self._way(wire, end)]) for wire in self.wires for end in wire.ends]
        for wire, _, way in ways:
            for gap, above, below in way:
                crossing = gaps[gap].setdefault(wire.value, _Crossing())
                crossing.above.append(above)
                crossing.below.append(below)
        tracks = tuple(_tracked(gap.values()) for gap in gaps)
        lines = self._label_lines()
        edges = tuple(self._edge(wire, end, lines[wire.value, end], way, gaps) for wire, end, way in ways)
        places = tuple(self._place(i, gaps) for i in range(len(self.items)))
        ports = tuple(
            Ports(
                {wire.value: self.read_offs[wire.value, i] for wire in self.into[i]},
                {wire.value: self.give_offs[wire.value] for wire in self.out_of[i]},
            )
            for i in range(len(self.items))
        )
        labels = [0] * len(tracks)
        for edge in edges:
            if edge.line:
                gap = places[edge.start].row + places[edge.start].span
                labels[gap] = max(labels[gap], edge.line)
        return Grid(places, ports, edges, tracks, tuple(labels))

    def _label_lines(self) -> dict[tuple[str, int], int]:
        """The line in which each edge has its shape: one edge of each value, but what comes from around the
        box, or only leaves it, has its shape there."""
        lines = {(wire.value, end): 0 for wire in self.wires for end in wire.ends}
        for i in range(len(self.items)):
            shown = [wire for wire in self.out_of[i] if wire.ends != (OUTPUT,)]
            lines |= {(wire.value, wire.ends[0]): n for n, wire in enumerate(shown, 1)}
        return lines

    def _place(self, i: int, gaps: Sequence[Mapping[str, _Crossing]]) -> GridPlace:
        """The place of a box, which has rows for itself up to the next box of its run, or the end of it, as
        far as no edge turns across its lane."""
        run, row = self.run_of[i], self.rows[i]
        end = self.rows[self.after[i]] if i in self.after else run.last_gap
        last = row + 1
        while last < end and not any(c.is_across(run.lane) for c in gaps[last].values()):
            last += 1
        return GridPlace(row, run.lane, last - row)

    # Rows

    def _rows(self) -> list[int]:
        """The row of each box: the first one below all that it reads."""
        rows: list[int] = []
        for i in range(len(self.items)):
            rows.append(1 + max((rows[f.start] for f in self.into[i] if f.start != INPUT), default=-1))
        return rows

    def _row(self, end: int) -> int:
        """The row of a box; that of the box around is above or below all."""
        return -1 if end == INPUT else self.end_row if end == OUTPUT else self.rows[end]

    # Runs

    def _runs(self) -> list[_LaneRun]:
        """The runs of boxes, the spine first."""
        spine = self._spine()
        taken = set(spine)
        runs = [_LaneRun(spine, first_gap=0, last_gap=self.end_row)]
        for i in range(len(self.items)):
            if i in taken:
                continue
            boxes = [i]
            while (after := self._goes_on(boxes[-1], taken)) is not None:
                boxes.append(after)
                taken.add(after)
            taken.add(i)
            runs.append(_LaneRun(boxes))
        return runs

    def _goes_on(self, i: int, taken: set[int]) -> int | None:
        """The box that goes on a run behind box i, if one does."""
        found = [e for wire in self.out_of[i] for e in wire.ends if e != OUTPUT and e not in taken]
        return min(found, key=lambda e: (self.rows[e], e), default=None)

    def _spine(self) -> list[int]:
        """The boxes on the longest way, in layers, that ends in the first value the box around gives."""
        longest: list[int] = []
        before: list[int] = []
        for i, item in enumerate(self.items):
            wires = [f.start for f in self.into[i] if f.start != INPUT]
            best = max(wires, key=lambda s: longest[s], default=INPUT)
            before.append(best)
            longest.append(len(item.rows) + 1 + (longest[best] if best != INPUT else 0))
        ends = [wire.start for wire in self.into[OUTPUT][:1]]
        at = ends[0] if ends else max(range(len(self.items)), key=lambda i: longest[i], default=INPUT)
        spine: list[int] = []
        while at != INPUT:
            spine.append(at)
            at = before[at]
        return spine[::-1]

    def _straight(self, wire: Wire, end: int) -> bool:
        """True if a wire goes straight down its lane to the box at its end: the next one of its run."""
        spine = self.runs[0].boxes
        if wire.start == INPUT:
            is_main = wire is self.out_of[INPUT][0]
            return is_main and (end == spine[0] if spine else end == OUTPUT)
        if end == OUTPUT:
            return wire is self.into[OUTPUT][0] and bool(spine) and wire.start == spine[-1]
        return wire is self._main(wire.start) and self.after.get(wire.start) == end

    def _main(self, i: int) -> Wire | None:
        """The wire that leaves a box in the middle: that to the next box of its run, or its first."""
        if i == INPUT:
            return self.out_of[INPUT][0]
        after = self.after.get(i, OUTPUT if self.run_of[i] is self.runs[0] else None)
        wires = self.out_of[i]
        if after == OUTPUT and self.into[OUTPUT]:
            return self.into[OUTPUT][0] if self.into[OUTPUT][0].start == i else next(iter(wires), None)
        return next((f for f in wires if after in f.ends), next(iter(wires), None))

    def _enters(self, run: _LaneRun) -> Wire | None:
        """The wire in whose way the first box of a run lies: the one with the nearest start."""
        return max(self.into[run.boxes[0]], key=lambda f: self._row(f.start), default=None)

    def _goes_down(self, wire: Wire) -> bool:
        """True if the lane below the start of a wire is its own: the start ends its run."""
        if wire.start == INPUT:
            return False
        run = self.run_of[wire.start]
        return run is not self.runs[0] and wire.start not in self.after and wire is self._main(wire.start)

    def _skips(self) -> dict[str, _LaneRun]:
        """Sets the gaps of the runs; the runs of values that skip boxes in lanes of their own, by value."""
        for run in self.runs[1:]:
            enters = self._enters(run)
            run.first_gap = self._row(enters.start) + 1 if enters else self.rows[run.boxes[0]]
            last = run.boxes[-1]
            ends = [self._row(e) for f in self.out_of[last] if self._goes_down(f) for e in f.ends]
            run.last_gap = max(ends, default=self.rows[last] + 1)
        skips: dict[str, _LaneRun] = {}
        for wire in self.wires:
            ends = [self._row(e) for e in wire.ends if self._kind(wire, e) == "skips"]
            if ends:
                skips[wire.value] = _LaneRun([], wire, self._row(wire.start) + 1, max(ends))
        return skips

    def _kind(self, wire: Wire, end: int) -> str:
        """The way of a wire to an end: `straight` down, `down` its own lane first, `across` to the lane of
        the end and down that, at once in the `next` row, or it `skips` boxes in a lane of its own."""
        if self._straight(wire, end):
            return "straight"
        if self._goes_down(wire):
            return "down"
        if end != OUTPUT:
            run = self.run_of[end]
            if run is not self.runs[0] and run.boxes[0] == end and self._enters(run) is wire:
                return "across"
        return "next" if self._row(end) == self._row(wire.start) + 1 else "skips"

    # Lanes

    def _give_lanes(self) -> None:
        """Lanes for all runs but the spine, none where another run is: shorter ones are nearer, so that those
        which lie within the rows of others do not cross them."""
        for run in self.runs[1:]:
            run.is_left = bool(run.boxes) and self._is_before_spine(run)
        for run in self.runs[1:]:
            if run.wire is not None:
                ends = [e for e in run.wire.ends if self._kind(run.wire, e) == "skips"]
                at = [self.run_of[i] for i in (run.wire.start, *ends) if i not in (INPUT, OUTPUT)]
                run.is_left = bool(at) and all(r.is_left for r in at)

        def order(run: _LaneRun) -> tuple[int, bool, int]:
            first = run.boxes[0] if run.boxes else 0
            return run.last_gap - run.first_gap, not run.boxes, -first if run.is_left else first

        for is_left in (True, False):
            placed: list[_LaneRun] = []
            for run in sorted((r for r in self.runs[1:] if r.is_left is is_left), key=order):
                beside = [r for r in placed if r.first_gap <= run.last_gap and run.first_gap <= r.last_gap]
                taken = {abs(r.lane) for r in beside}
                within = (
                    abs(r.lane) for r in beside if run.first_gap <= r.first_gap and r.last_gap <= run.last_gap
                )
                nearest = 1 + max(within, default=0)
                lane = next(n for n in count(nearest) if n not in taken)
                run.lane = -lane if is_left else lane
                placed.append(run)

    def _is_before_spine(self, run: _LaneRun) -> bool:
        """True if a run comes, in the order of the spec, before what the spine has beside it."""
        beside = [i for i in self.runs[0].boxes if self.rows[i] >= run.first_gap]
        return bool(beside) and run.boxes[0] < beside[0]

    # Ports

    def _ports(self) -> tuple[dict[tuple[str, int], float], dict[str, float]]:
        reads, gives = self.shifts
        read_offs: dict[tuple[str, int], float] = {}
        give_offs: dict[str, float] = dict(self.own.reads)
        for i in range(len(self.items)):
            lane = self.run_of[i].lane
            main = self._main(i)
            sides = [
                (_mean([self._lane_towards(f, e) for e in f.ends]) - lane, f.value)
                for f in self.out_of[i]
                if f is not main
            ]
            if main is not None:
                give_offs[main.value] = 0.0
            give_offs |= _spread(sides, gives, keep_middle=True)
        for i in range(len(self.items)):
            lane = self.run_of[i].lane
            straight = [f for f in self.into[i] if self._straight(f, i)]
            sides = [(self._side(f, i, lane, give_offs), f.value) for f in self.into[i] if f not in straight]
            # The first value of the box around comes in there, in the middle, even if it goes elsewhere.
            is_below_input = self.runs[0].boxes[:1] == [i] and bool(self.out_of[INPUT])
            offs = _spread(sides, reads, keep_middle=bool(straight) or is_below_input)
            scale = 0.5 if self.items[i].sign else 1.0
            read_offs |= {(value, i): off * scale for value, off in offs.items()}
            read_offs |= {(f.value, i): 0.0 for f in straight}
        read_offs |= {(value, OUTPUT): off for value, off in self.own.gives.items()}
        return read_offs, give_offs

    def _lane_towards(self, wire: Wire, end: int) -> int:
        """The lane by which a wire leaves its start for an end."""
        if self._kind(wire, end) == "skips":
            return self.skip_of[wire.value].lane
        return 0 if end == OUTPUT else self.run_of[end].lane

    def _side(self, wire: Wire, end: int, lane: int, give_offs: Mapping[str, float]) -> float:
        """The distance to the right of its lane from which a wire comes to a box."""
        kind = self._kind(wire, end)
        if kind == "skips":
            return self.skip_of[wire.value].lane - lane
        if kind == "across":
            return 0.0
        start = 0 if wire.start == INPUT else self.run_of[wire.start].lane
        return start - lane or give_offs[wire.value] / 1000

    # Edges

    def _way(self, wire: Wire, end: int) -> Iterator[tuple[int, _Pin, _Pin]]:
        """The gaps in which an edge may turn, from above to below, each with where it comes from and goes
        to."""
        kind = self._kind(wire, end)
        start_lane = 0 if wire.start == INPUT else self.run_of[wire.start].lane
        end_lane = 0 if end == OUTPUT else self.run_of[end].lane
        leaves = _Pin(start_lane, self.give_offs[wire.value])
        arrives = _Pin(end_lane, self.read_offs[wire.value, end])
        first, last = self._row(wire.start) + 1, self._row(end)
        if kind == "down":
            middle = _Pin(start_lane, 0.0)
        elif kind in ("across", "straight"):
            middle = _Pin(end_lane, 0.0)
        elif kind == "skips":
            middle = _Pin(self.skip_of[wire.value].lane, 0.0)
        else:
            middle = leaves
        if first == last:
            yield first, leaves, arrives
        else:
            yield first, leaves, middle
            yield last, middle, arrives

    def _edge(
        self,
        wire: Wire,
        end: int,
        line: int,
        way: Iterable[tuple[int, _Pin, _Pin]],
        gaps: Sequence[Mapping[str, _Crossing]],
    ) -> Edge:
        turns = tuple(
            Turn(gap, gaps[gap][wire.value].track, below.lane, below.off)
            for gap, above, below in way
            if above.x != below.x
        )
        is_shortcut = self._kind(wire, end) == "skips"
        off = self.give_offs[wire.value]
        return Edge(wire.value, wire.shape, wire.start, end, line, off, turns, is_shortcut, wire.is_tap)


def _mean(numbers: Sequence[int]) -> float:
    return sum(numbers) / len(numbers)


def _spread(sides: Sequence[tuple[float, str]], shift: float, *, keep_middle: bool) -> dict[str, float]:
    """Distances from the middle for values that come from, or go to, the left (below 0) or the right."""
    if keep_middle:
        left = sorted((s for s in sides if s[0] < 0), reverse=True)
        right = sorted(s for s in sides if s[0] >= 0)
        offs = {value: -(PORT_STEP * n + shift) for n, (_, value) in enumerate(left, 1)}
        return offs | {value: PORT_STEP * n + shift for n, (_, value) in enumerate(right, 1)}
    middle = (len(sides) - 1) / 2
    ordered = [value for _, value in sorted(sides)]
    return {
        value: 0.0 if n == middle else PORT_STEP * (n - middle) + (shift if n > middle else -shift)
        for n, value in enumerate(ordered)
    }


def _tracked(crossings: Iterable[_Crossing]) -> int:
    """Gives the wires that turn in one gap their tracks, from the top, so that few cross; the number of
    tracks."""
    turning = [c for c in crossings if c.span[0] != c.span[1]]
    ordered: list[_Crossing] = []
    for crossing in turning:
        at = len(ordered)
        while at and _cost(crossing, ordered[at - 1]) < _cost(ordered[at - 1], crossing):
            at -= 1
        ordered.insert(at, crossing)
    tracks = 0
    for at, crossing in enumerate(ordered):
        low, high = crossing.span
        over = [o.track for o in ordered[:at] if o.span[0] <= high and low <= o.span[1]]
        crossing.track = 1 + max(over, default=-1)
        tracks = max(tracks, crossing.track + 1)
    return tracks


def _cost(upper: _Crossing, lower: _Crossing) -> int:
    """The number of crossings of two wires in a gap, with one on a track above that of the other."""
    (low, high), (low_of_lower, high_of_lower) = upper.span, lower.span
    down = {pin.x for pin in lower.above if low <= pin.x <= high}
    return len(down) + len({pin.x for pin in upper.below if low_of_lower <= pin.x <= high_of_lower})
