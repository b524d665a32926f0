"""Steps that occur several times become blocks, those first that shorten the description most.

A window is a stretch of a list of steps from which one value alone is read elsewhere. Windows of one skeleton
are occurrences of a block: what they read from outside are its inputs, what differs in them its parameters.
The windows that save most are replaced by calls, again and again, as in grammar compression: layers first,
then merges, then all.

Source: Larsson, Moffat, "Off-line dictionary-based compression" (2000); on description length, Rissanen,
"Modeling by shortest data description" (1978).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from archforge.interchange.decompile.generalise import generalise
from archforge.interchange.decompile.priors import ACTIVATIONS, APART, NORMS, Priors
from archforge.interchange.decompile.skeletons import cost, key_of
from archforge.interchange.decompile.steps import (
    LAYERS,
    Block,
    TreeStep,
    calls_in,
    counts_of,
    leaves_of,
    lists_of,
)
from archforge.interchange.decompile.tree import Source
from archforge.interchange.decompile.values import REQUIRED
from archforge.interchange.decompile.variants import make_optional

__all__ = ["Blocks"]

MAX_WINDOW = 24  # steps
MAX_INPUTS = 4
MAX_PARAMETERS, MAX_REQUIRED = 8, 6  # what a reader keeps in mind
MIN_MERGE = 3  # ops of a merge that is a block by itself
WORTH = 2  # what a block that is no layer and no merge must save, in words


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Steps of a list. reads: the values from outside, in order."""

    steps: list[TreeStep]  # the list that they are part of
    start: int
    stop: int
    reads: tuple[int, ...]
    before: int | None  # the value in front of them

    @property
    def items(self) -> list[TreeStep]:
        return self.steps[self.start : self.stop]


class Blocks:
    """The blocks of a graph, those first that others call. root: the graph's steps, with calls of them; a
    list of steps is changed in place."""

    def __init__(self, root: list[TreeStep], source: Source) -> None:
        self.root = root
        self.source = source
        self.found: list[Block] = []
        self.numbers = count(1)
        self.priors = Priors(root, source.inputs)
        self._exhaust(self._layer_windows)
        self._exhaust(self._gates)
        make_optional(root, self.priors, source.outputs)
        self._exhaust(self._merge_windows)
        self._exhaust(self._any_windows, WORTH)
        self._exhaust(self._branch_windows, WORTH)
        self._open_single()

    def _open_single(self) -> None:
        """Put blocks that one step alone calls in the place of that step."""
        while True:
            uses = Counter(id(call.kind) for steps in self._texts() for call in calls_in(steps))
            single = [block for block in self.found if uses[id(block)] < 2]
            if not single:
                return
            for block in single:
                self.open(block)

    def _texts(self) -> Iterator[list[TreeStep]]:
        """The lists that are written: the graph's, and of each block that of one call."""
        yield self.root
        for block in self.found:
            yield block.calls[0].items

    def open(self, block: Block) -> None:
        """Replace the calls of a block by its steps."""
        self.found.remove(block)
        _open(self.root, block)
        for other in self.found:
            for call in other.calls:
                _open(call.items, block)
        for other in self.found:
            self.generalise(other)

    # Windows

    def _closed(self, counts: Counter[int], steps: list[TreeStep], start: int) -> list[int]:
        """The end of the shortest window of two steps or more from which its last value alone is read
        elsewhere, if there is one."""
        unread: Counter[int] = Counter()  # how often each value is read outside of the window
        for stop in range(start + 1, min(start + MAX_WINDOW, len(steps)) + 1):
            step = steps[stop - 1]
            unread.subtract(ref for ref in step.refs() if ref in unread)
            if stop - start > 1 and not any(unread.values()):
                return [stop]
            unread[step.value] = counts[step.value]
        return []

    def _windows(self) -> Iterator[Stretch]:
        """The shortest windows from each step on, and single merges."""
        counts = counts_of(self.root, self.source.outputs)
        for source, steps in lists_of(self.root, self.source.current):
            for start, step in enumerate(steps):
                before = steps[start - 1].value if start else source
                stops = [start + 1] if step.branches and _size([step]) >= MIN_MERGE else []
                stops += self._closed(counts, steps, start)
                for stop in stops:
                    if sum(len(s.reads) > 1 for s in steps[start:stop]) < 2:  # cells are not joined
                        yield Stretch(steps, start, stop, (), before)

    def _layer_windows(self) -> Iterator[Stretch]:
        """Layers with what is of them: pairs, and a layer with the norm and the activation before it."""
        counts = counts_of(self.root, self.source.outputs)
        for window in self._windows():
            yield from self._with_norm_before(window, counts)
            items = window.items
            if len(items) == 2 and all(map(_is_simple, items)) and self.priors.allow_unit(items):
                yield window

    def _with_norm_before(self, pair: Stretch, counts: Counter[int]) -> Iterator[Stretch]:
        """A norm, an activation and the layer behind them, where units of this network begin with norms."""
        steps = pair.steps[pair.start : pair.stop + 1]
        if len(steps) != 3 or self.priors.start != NORMS or counts[steps[1].value] != 1:
            return
        kinds = zip(steps, (NORMS, ACTIVATIONS, LAYERS), strict=True)
        if all(step.kind in kind for step, kind in kinds):
            yield replace(pair, stop=pair.stop + 1)

    def _gates(self) -> Iterator[Stretch]:
        """Products of a value and what is computed from it."""
        for window in self._windows():
            (step, *others) = window.items
            if not others and step.kind == "multiply" and any(not b.steps for b in step.branches):
                yield window

    def _merge_windows(self) -> Iterator[Stretch]:
        for window in self._windows():
            items = window.items
            has_merge = any(s.branches for s in items)
            if len(items) > 2 or (has_merge and (len(items) == 1 or self._follows(items))):
                yield window

    def _follows(self, pair: Sequence[TreeStep]) -> bool:
        """True for a merge and the norm or activation behind it."""
        return bool(pair[0].branches) and (pair[1].kind in NORMS or pair[1].kind in ACTIVATIONS)

    def _branch_windows(self) -> Iterator[Stretch]:
        """Whole branches, such as the towers of a network that compares its inputs."""
        for source, steps in lists_of(self.root):
            if source is not None and len(steps) > 2:
                yield Stretch(steps, 0, len(steps), (), source)

    def _any_windows(self) -> Iterator[Stretch]:
        for window in self._windows():
            items = window.items
            if len(items) != 2 or not (items[0].kind == items[1].kind or any(s.kind in APART for s in items)):
                yield window

    # Blocks

    def _exhaust(self, windows: Callable[[], Iterator[Stretch]], worth: int = 1) -> None:
        while self._replace_best(windows(), worth):
            pass

    def _replace_best(self, windows: Iterator[Stretch], worth: int) -> bool:
        """Replace the windows of one skeleton, those that save most, by calls of a block; False if none saves
        as much as `worth`."""
        found: dict[Any, list[Stretch]] = {}
        for window in windows:
            items = window.items
            key, reads = key_of(items, tell_depthwise=bool(self.priors.start))
            if len(reads) <= MAX_INPUTS and not self.priors.hold_stem(items):
                found.setdefault(key, []).append(replace(window, reads=reads))
        best: tuple[int, list[Stretch], Block] | None = None
        for windows_alike in found.values():
            group = _apart(windows_alike)
            if len(group) < 2 or not self._share_alike(group):
                continue
            before = sum(cost(s) for w in group for s in w.items)
            if before - 2 * len(group) <= (best[0] if best else 0):
                continue
            block = self._block(group)
            after = 2 + len(block.parameters) + sum(map(cost, block.body)) + sum(map(cost, block.calls))
            needed = sum(p.default is REQUIRED for p in block.parameters.values())
            if len(block.parameters) > MAX_PARAMETERS or needed > MAX_REQUIRED:
                continue
            least = 1 if any(len(s.reads) > 1 for s in group[0].items) else worth
            if before - after >= max(least, best[0] + 1 if best else least):
                best = before - after, group, block
        if best is None:
            return False
        _, group, block = best
        for window, call in sorted(zip(group, block.calls, strict=True), key=lambda p: -p[0].start):
            window.steps[window.start : window.stop] = [call]
        self.found.append(block)
        return True

    def _share_alike(self, group: Sequence[Stretch]) -> bool:
        """True unless calls would share parameters in part only, or with steps that are no such calls."""
        rows = [self._shares(w.items) for w in group]
        if not any(rows):
            return True
        leaves = (leaf for w in group for s in w.items for leaf in leaves_of(s))
        owned = sum(self.source.owns(leaf.value) for leaf in leaves)
        if owned > sum(map(len, rows)):
            return False
        calls = Counter(rows)
        owners = Counter(number for row in calls for number in row)
        return all(
            owners[number] == 1 and self.source.uses[number] == count
            for row, count in calls.items()
            for number in row
        )

    def _shares(self, steps: Sequence[TreeStep]) -> tuple[int, ...]:
        """The parameters that steps share with others outside of these."""
        found = [number for step in steps for leaf in leaves_of(step) for number in leaf.shares]
        counts = Counter(found)
        return tuple(number for number in found if counts[number] < self.source.uses[number])

    def _block(self, group: Sequence[Stretch]) -> Block:
        """The block of windows of one skeleton. It goes on from the value that is most often in front of
        it."""
        votes = Counter(w.reads.index(w.before) for w in group if w.before in w.reads)
        main = votes.most_common(1)[0][0] if votes else 0
        block = Block(next(self.numbers))
        for window in group:
            reads = (window.reads[main], *(v for i, v in enumerate(window.reads) if i != main))
            items = window.items
            value = items[-1].value
            block.calls.append(TreeStep(block, {}, reads, value, shares=self._shares(items), items=items))
        self.generalise(block)
        return block

    def generalise(self, block: Block) -> None:
        """Find the block's parameters and body from its calls."""
        inputs = [self.source.channels(call.reads[0]) for call in block.calls]
        found = generalise([call.items for call in block.calls], self.source.channels, inputs)
        block.parameters, block.body = found.parameters, found.steps
        for index, call in enumerate(block.calls):
            call.args = {p.name: p.column[index] for p in found.parameters.values()}
            call.by_default = frozenset(p.name for p in found.parameters.values() if p.by_default[index])


def _apart(windows: Sequence[Stretch]) -> list[Stretch]:
    """Windows that do not overlap."""
    free: dict[int, int] = {}
    out = []
    for window in windows:
        if free.get(id(window.steps), 0) <= window.start:
            free[id(window.steps)] = window.stop
            out.append(window)
    return out


def _size(steps: Sequence[TreeStep]) -> int:
    """The number of ops in steps."""
    return sum(1 for step in steps for _ in leaves_of(step))


def _open(steps: list[TreeStep], block: Block) -> None:
    """Replace calls of a block in steps and their branches by what they stand for."""
    for index in reversed(range(len(steps))):
        step = steps[index]
        for branch in step.branches:
            _open(branch.steps, block)
        if step.kind is block:
            _open(step.items, block)
            steps[index : index + 1] = step.items


def _is_simple(step: TreeStep) -> bool:
    """True for an op, and for a block of nothing else."""
    return not step.branches and all(map(_is_simple, step.items))
