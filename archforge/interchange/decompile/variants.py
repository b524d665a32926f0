"""Sums that differ in one branch get one skeleton: a projection that is not always there, or a residual whose
value is not always added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from archforge.interchange.decompile.priors import Priors
from archforge.interchange.decompile.skeletons import key_of
from archforge.interchange.decompile.steps import (
    PROJECTION,
    SKIP,
    TreeBranch,
    TreeStep,
    counts_of,
    layers_in,
    lists_of,
    steps_in,
)
from archforge.interchange.decompile.values import ABSENT

__all__ = ["make_optional"]

DROP = "stochastic_depth"
MIN_LAYERS = 2  # of what is added to a value that may be missing; one alone is found everywhere


def make_optional(root: list[TreeStep], priors: Priors, outputs: Sequence[int]) -> None:
    """Give one skeleton to sums in `root` that differ in whether they have a projection, or a second branch
    at all. outputs: the values that the graph gives."""
    _Variants(root, priors, outputs).make()


class _Variants:
    """Rewrites the sums of a graph in place. absent: the least number of a value of steps that are not
    there."""

    def __init__(self, root: list[TreeStep], priors: Priors, outputs: Sequence[int]) -> None:
        self.root = root
        self.priors = priors
        self.counts = counts_of(root, outputs)
        self.absent = 0

    def make(self) -> None:
        groups: dict[Any, list[TreeStep]] = {}
        for step in steps_in(self.root):
            if step.kind == "add" and len(step.branches) == 2 and not step.form:
                first, second = (layers_in(branch.steps) for branch in step.branches)
                step.optional = int(first >= second)
                key, reads = key_of(_body(step).steps)
                if len(reads) == 1:
                    groups.setdefault((key, step.optional), []).append(step)
        for (key, _), merges in groups.items():
            plain = [m for m in merges if not _other(m).steps and _starts(_body(m)) == {_other(m).source}]
            projected: dict[Any, list[TreeStep]] = {}
            for merge in merges:
                steps = _other(merge).steps
                if steps and _starts(_body(merge)) == _starts(_other(merge)):
                    projected.setdefault(key_of(steps)[0], []).append(merge)
            if plain and projected:
                most = max(projected.values(), key=len)
                model = _other(most[0])
                for merge in (*most, *plain):
                    self._set_projection(merge, model)
            elif len(plain) > 1 and not projected and layers_in(_body(plain[0]).steps) >= MIN_LAYERS:
                self._set_skip(key, plain)

    def _set_projection(self, merge: TreeStep, model: TreeBranch) -> None:
        """Make the projection of a sum optional; where the value itself is added, with the steps of `model`
        as ones that are not there."""
        is_there = bool(_other(merge).steps)
        if not is_there:
            branches = list(merge.branches)
            branches[merge.optional] = self._absent(model, _other(merge).source)
            merge.branches = tuple(branches)
        merge.form, merge.args = PROJECTION, {**merge.args, "when": is_there}

    def _absent(self, branch: TreeBranch, source: int) -> TreeBranch:
        """The steps of a branch from another source, none of which is there."""
        values = {branch.source: source}

        def copied(step: TreeStep) -> TreeStep:
            reads = tuple(values.get(v, v) for v in step.reads)
            branches = tuple(
                TreeBranch(values.get(b.source, b.source), [copied(s) for s in b.steps])
                for b in step.branches
            )
            items = [copied(s) for s in step.items]
            self.absent -= 1
            values[step.value] = value = self.absent
            args = dict.fromkeys(step.args, ABSENT)
            return replace(step, args=args, reads=reads, value=value, branches=branches, items=items)

        return TreeBranch(source, [copied(s) for s in branch.steps])

    def _set_skip(self, key: Any, merges: Sequence[TreeStep]) -> None:
        """Make what these sums add to a value, where it stands alone, a sum without the value; stochastic
        depth at its end is not there then."""
        optional, last = merges[0].optional, _body(merges[0]).steps[-1]
        drops = last.kind == DROP
        if drops:
            key, _ = key_of(_body(merges[0]).steps[:-1])
        inside = {id(_body(merge).steps) for merge in merges}
        for _, steps in list(lists_of(self.root)):
            for start in range(len(steps) - len(key) + 1 if id(steps) not in inside else 0):
                items = steps[start : start + len(key)]
                if len(items) < len(key) or self.priors.hold_stem(items) or self._are_read(items):
                    continue
                found, reads = key_of(items)
                if found == key:
                    value = items[-1].value
                    branches = [TreeBranch(reads[0], items), TreeBranch(reads[0], [])]
                    if drops:
                        items.append(self._not_dropped(last, value))
                    branches = branches if optional else branches[::-1]
                    merge = TreeStep("add", {"when": False}, (), value, tuple(branches), SKIP, optional)
                    steps[start : start + len(key)] = [merge]
        for merge in merges:
            changed = [merge, _body(merge).steps[-1]] if drops else [merge]
            for step in changed:
                step.form, step.args = SKIP, {**step.args, "when": True}

    def _are_read(self, steps: Sequence[TreeStep]) -> bool:
        """True if others read a value that stands inside of these steps."""
        inside = counts_of(steps, ())
        return any(self.counts[step.value] > inside[step.value] for step in steps[:-1])

    def _not_dropped(self, model: TreeStep, value: int) -> TreeStep:
        """Stochastic depth that is not there, behind a value."""
        self.absent -= 1
        args = dict.fromkeys(model.args, ABSENT) | {"when": False}
        return TreeStep(DROP, args, (value,), self.absent, form=SKIP)


def _body(merge: TreeStep) -> TreeBranch:
    """The branch of a sum of two that is always there."""
    return merge.branches[1 - merge.optional]


def _other(merge: TreeStep) -> TreeBranch:
    return merge.branches[merge.optional]


def _starts(branch: TreeBranch) -> set[int]:
    """The values that a branch reads from outside."""
    return set(key_of(branch.steps)[1])
