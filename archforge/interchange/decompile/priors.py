"""Rules of taste: what no designer would put into one block, whatever it saves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from archforge.interchange.decompile.steps import LAYERS, TreeStep, layers_in, leaves_of, steps_in
from archforge.ops import all_ops
from archforge.ops.activations import Activation

__all__ = ["ACTIVATIONS", "APART", "NORMS", "Priors"]

NORMS = frozenset({"bn", "layer_norm", "lrn", "global_response_norm"})
ACTIVATIONS = frozenset(
    {"prelu", "softmax"} | {kind for kind, op in all_ops().items() if op.__module__ == Activation.__module__}
)
# Ops that stand by themselves: nobody puts one into a unit with the layer beside it.
APART = frozenset(
    {kind for kind, op in all_ops().items() if kind.endswith("pool") or op.is_identity}
    | {"flatten", "upsample", "linear", "lrn"}
)


class Priors:
    """The habits of one network: where its units begin, and which layers are its stem."""

    def __init__(self, root: list[TreeStep], inputs: int) -> None:
        self.root = root
        self.stem = self._stem(inputs)
        self.start = self._usual_start()

    def _stem(self, inputs: int) -> set[int]:
        """The values of the first layers, those that work on an input of the network."""
        found: set[int] = set()
        reached = set(range(inputs))
        for step in steps_in(self.root):
            if step.reads and step.reads[0] in reached:
                (found if step.kind in LAYERS else reached).add(step.value)
        return found

    def _usual_start(self) -> frozenset[str]:
        """The ops that units begin with, seen in branches: norms or activations, or none of these."""
        votes: Counter[frozenset[str]] = Counter()
        for step in steps_in(self.root):
            for branch in step.branches:
                kind = branch.steps[0].kind if branch.steps else ""
                if kind in NORMS or kind in ACTIVATIONS:
                    votes[NORMS if kind in NORMS else ACTIVATIONS] += 1
                elif kind in LAYERS:
                    votes[frozenset()] += 1
        return votes.most_common(1)[0][0] if votes else frozenset()

    def allow_unit(self, pair: Sequence[TreeStep]) -> bool:
        """True if two steps may be one unit: one that begins as units of this network do, and of which no
        part stands by itself."""
        first, second = map(_first, pair)
        if any(s.kind in APART for s in pair) or pair[0].kind == pair[1].kind:
            return False
        if (first in NORMS or first in ACTIVATIONS) and first not in self.start:
            return False
        return second not in self.start

    def hold_stem(self, steps: Sequence[TreeStep]) -> bool:
        """True if the first layer is in these steps together with others, unless several inputs share it."""
        leaves = [leaf for step in steps for leaf in leaves_of(step)]
        if not any(leaf.value in self.stem and not leaf.shares for leaf in leaves):
            return False
        return layers_in(steps) > 1 or any(s.branches for s in steps)


def _first(step: TreeStep) -> str:
    """The kind of op that a step begins with."""
    while step.items:
        step = step.items[0]
    assert isinstance(step.kind, str)
    return step.kind
