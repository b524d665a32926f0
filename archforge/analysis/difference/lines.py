"""A difference in lines of text: what was compared, the totals, then a line for each group of changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from archforge.analysis.difference.changes import Change, Effect, KnockOn, around
from archforge.analysis.difference.grouped import ChangeGroup, grouped
from archforge.analysis.difference.networks import UNITS, NetworkDifference, Total
from archforge.errors import listed
from archforge.spec.printing.scalars import value_text

__all__ = ["MARKS", "ChangeLine", "change_lines", "layer_words", "markdown", "text", "total_rows"]

SHORT = 9  # lines, unless all are asked for
LEAST_SHARE = 0.1  # percent that are told with one digit behind the point
NAMES = 60  # characters of names in a line
LEFT = 160  # characters of what is left out
# How a line begins, by the sort of its changes.
MARKS = {"added": "+", "removed": "-", "renamed": ">", "renumbered": ">"}
OTHER_MARK = "~"


class ChangeLine(NamedTuple):
    """A line of a difference: its mark, its words, and the changes that it tells of; none where it tells of
    what they lead to, or of what is left out."""

    mark: str
    words: str
    changes: tuple[Change, ...] = ()


def text(found: NetworkDifference, *, every: bool = False) -> str:
    """The difference for a terminal; `every`: with as many lines as it takes."""
    one, other = found.titles
    if found.is_empty:
        total = ", ".join(f"{t.before:,} {UNITS[n]}" for n, t in found.totals.items() if n in _BRIEF)
        return f"{one} and {other} are the same: {total}"
    lines = [f"{one} -> {other}", *_total_lines(found.totals)]
    most = None if every else SHORT - len(lines)
    return "\n".join([*lines, *(f"{line.mark} {line.words}" for line in change_lines(found, most))])


_BRIEF = ("params", "macs", "arrays", "elements")


def markdown(found: NetworkDifference, *, every: bool = False) -> str:
    """The difference for a comment of a pull request."""
    one, other = found.titles
    if found.is_empty:
        return f"**`{one}`** and **`{other}`** are the same."
    rows = total_rows(found.totals)
    head = ["", "before", "after", "change"]
    table = [_row(head), _row(["---", "---:", "---:", "---:"]), *map(_row, rows)]
    # GitHub paints the lines of such a block by how they begin.
    most = None if every else SHORT
    signs = {OTHER_MARK: "!", ">": "!"}
    body = [f"{signs.get(mark, mark)} {words}" for mark, words, _ in change_lines(found, most)]
    return "\n".join([f"**`{one}`** → **`{other}`**", "", *table, "", "```diff", *body, "```"])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def total_rows(totals: Mapping[str, Total], *, every: bool = False) -> list[list[str]]:
    """A row for each total that differs, or for every one: its unit, before, after, and what is more, in
    percent too."""
    return [
        [UNITS[name], f"{total.before:,}", f"{total.after:,}", _more(total) if total.more else ""]
        for name, total in totals.items()
        if total.more or every
    ]


def _more(total: Total) -> str:
    if not total.before:
        return f"{total.more:+,}"
    share = 100 * total.more / total.before
    return f"{total.more:+,} ({share:+{'.1f' if abs(share) >= LEAST_SHARE else '.1g'}}%)"


def _total_lines(totals: Mapping[str, Total]) -> Iterator[str]:
    """Totals that differ: parameters and MACs on a line each, the others on one."""
    told = {row[0]: f"{row[0]} {row[1]} -> {row[2]}, {row[3]}" for row in total_rows(totals)}
    first = [UNITS[name] for name in _BRIEF]
    yield from (f"  {told[unit]}" for unit in first if unit in told)
    rest = "; ".join(words for unit, words in told.items() if unit not in first)
    if rest:
        yield f"  {rest}"
    if not told:
        equal = ", ".join(f"{t.before:,} {UNITS[n]}" for n, t in totals.items() if n in _BRIEF)
        yield f"  the totals are equal: {equal}"


def change_lines(found: NetworkDifference, most: int | None = None) -> list[ChangeLine]:
    """A line for each group of changes, and for what they lead to elsewhere: in `most` lines at
    most, the last of which then says how many groups are left out."""
    knock_on = _knock_on(found.knock_on)
    room = None if most is None else most - bool(knock_on)
    groups = grouped(found.changes, room)
    shown = groups if room is None or len(groups) <= room else _weightiest(groups, room - 1)
    lines = [ChangeLine(MARKS.get(g.what, OTHER_MARK), _words(g, found.counts), g.changes) for g in shown]
    if left := [group for group in groups if group not in shown]:
        short = (_words(group, found.counts).partition(": ")[0] for group in left)
        lines.append(ChangeLine(" ", f"also, with --all: {listed(short, LEFT, between='; ')}"))
    return [*lines, *([ChangeLine(" ", knock_on)] if knock_on else [])]


def _weightiest(groups: Sequence[ChangeGroup], most: int) -> list[ChangeGroup]:
    """The groups with the largest effects, in their order."""

    def key(group: ChangeGroup) -> tuple[bool, int, int, int]:
        is_name = group.what in ("renamed", "renumbered")
        return is_name, -abs(group.effect.params), -abs(group.effect.macs), -len(group.changes)

    best = sorted(groups, key=key)[:most]
    return [group for group in groups if group in best]


def _words(group: ChangeGroup, counts: Mapping[str, int]) -> str:
    effect = _effect(group.effect)
    return _SENTENCES[group.what](group, counts) + (f": {effect}" if effect else "")


def _changed(group: ChangeGroup, counts: Mapping[str, int]) -> str:
    values = ", ".join(_detail(name, pairs, group) for name, pairs in group.details.items())
    return f"{_layers(group, counts)}: {values}"


def _layers(group: ChangeGroup, counts: Mapping[str, int]) -> str:
    """The layers of a group, all of one op: by name, or as how many of how many there are."""
    names = [name or twin for name, twin in group.names]
    kind = group.kinds[0][0]
    if len(names) == 1:
        return f"{names[0]} ({kind})"
    if len(names) == counts.get(kind):
        return f"all {len(names):,} {kind}"
    return f"{len(names):,} {kind} ({_named(names)})"


def _named(names: Sequence[str]) -> str:
    return listed(names, NAMES)


def _detail(name: str, pairs: Mapping[tuple[Any, Any], int], group: ChangeGroup) -> str:
    """`kernel 3 -> 5`, with how many layers have it if not all do; of many pairs of values the most usual."""
    layers = sum(pairs.values())
    times = f" in {layers:,}" if layers != len(group.names) else ""
    most = sorted(pairs, key=lambda pair: -pairs[pair])
    told = " or ".join(f"{_value(a)} -> {_value(b)}" for a, b in most[:2])
    if len(pairs) <= 2:
        return f"{name} {told}{times}".strip()
    return f"{name}{times} ({_value(most[0][0])} -> {_value(most[0][1])} and {len(pairs) - 1} more)"


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "nothing" if value is None else value_text(value)


def _stated(group: ChangeGroup, counts: Mapping[str, int]) -> str:
    values = ", ".join(_detail(name, pairs, group) for name, pairs in group.details.items())
    return f"{group.names[0][0]}: {values}"


def _whole(group: ChangeGroup, counts: Mapping[str, int]) -> str:
    """Layers or blocks that one side alone has."""
    names = [name or twin or group.kinds[0][0] or group.kinds[0][1] for name, twin in group.names]
    kinds = Counter(change.kind[0] or change.kind[1] for change in group.changes)
    many = ", ".join(f"{number:,} {kind}" if len(names) > 1 else kind for kind, number in kinds.items())
    within = f", {group.layers:,} layers" if group.layers > len(names) else ""
    if len(names) == 1:
        return f"{names[0]} ({many}{within})"
    span = f"{names[0]} ... {names[-1]}" if len({around(n) for n in names}) == 1 else _named(names)
    return f"{many}{within} ({span})"


def _replaced(group: ChangeGroup, counts: Mapping[str, int]) -> str:
    pairs = Counter(change.kind for change in group.changes)
    if len(group.names) == 1:
        (name, _), ((a, b), *_) = group.names[0], pairs
        return f"{name}: {a} -> {b}"
    if len(pairs) == 1:
        ((a, b),) = pairs
        return f"{a} -> {b} in {len(group.names):,} layers ({_named([n for n, _ in group.names])})"
    return ", ".join(f"{a} -> {b} in {number:,}" for (a, b), number in pairs.items())


def _renamed(group: ChangeGroup, counts: Mapping[str, int]) -> str:
    (a, b), *others = group.names
    more = f" and {len(others):,} more" if others else ""
    return f"{'renumbered ' if group.what == 'renumbered' else ''}{a} -> {b}{more}"


def _rewired(group: ChangeGroup, counts: Mapping[str, int]) -> str:
    if len(group.names) > 1:
        return f"{_layers(group, counts)} read other values"
    return _of_one(group.changes[0])


def _shared(group: ChangeGroup, counts: Mapping[str, int]) -> str:
    if len(group.names) > 1:
        return f"{_layers(group, counts)} have the parameters of other layers"
    return _of_one(group.changes[0])


def _of_one(change: Change) -> str:
    return f"{change.name[0]} ({change.kind[0]}) {layer_words(change)}"


def layer_words(change: Change) -> str:
    """The words for a change of one layer that both sides have, without its name; else empty."""
    if change.what == "changed":
        return f"{change.attribute} {_value(change.values[0])} -> {_value(change.values[1])}"
    if change.what == "replaced":
        return " -> ".join(change.kind)
    if change.what == "rewired":
        here, there = (", ".join(values) for values in change.values)
        return f"reads {there}, not {here}"
    if change.what == "shared":
        here, there = (f"those of {value}" if value else "its own" for value in change.values)
        return f"has {there}, not {here}, as parameters"
    return ""


def _end(group: ChangeGroup, counts: Mapping[str, int]) -> str:
    return "; ".join(_one_end(change) for change in group.changes)


def _one_end(change: Change) -> str:
    before, after = change.values
    name = change.name[0] or change.name[1]
    words = change.what if name == change.what else f"{change.what} `{name}`"
    return f"{words} {before or 'absent'} -> {after or 'absent'}"


_SENTENCES = {
    "changed": _changed,
    "replaced": _replaced,
    "added": _whole,
    "removed": _whole,
    "renamed": _renamed,
    "renumbered": _renamed,
    "rewired": _rewired,
    "shared": _shared,
    "input": _end,
    "output": _end,
    "stated": _stated,
}


def _effect(effect: Effect) -> str:
    told = ((effect.params, "params"), (effect.macs, "MACs"))
    return ", ".join(f"{number:+,} {unit}" for number, unit in told if number)


def _knock_on(found: KnockOn) -> str:
    effect = _effect(found.effect)
    if not found.layers:
        return f"by what changed before them, these layers have {effect} besides" if effect else ""
    shapes = f" ({found.shapes[0]} -> {found.shapes[1]})" if found.shapes[0] != found.shapes[1] else ""
    number = "1 layer follows" if found.layers == 1 else f"{found.layers:,} layers follow"
    return f"{number}, from {found.first[0]}{shapes} on" + (f": {effect}" if effect else "")
