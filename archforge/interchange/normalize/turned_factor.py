"""A factor of `matmul` whose last two axes change places is the factor that the op itself transposes.

Of two orders of axes that differ in this alone, the one is taken that has the last two in their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops.matmul import Matmul
from archforge.ops.permute import Permute

__all__ = ["RULE"]

FLAGS = ("transpose_first", "transpose_second")


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if not isinstance(node.op, Matmul):
        return None
    for place, flag in enumerate(FLAGS):
        turn = sight.only(node.inputs[place], "permute")
        if turn is None or not isinstance(turn.op, Permute):
            continue
        *rest, before, last = turn.op.order
        name = f"{turn.name}.turned"
        if before < last or name in sight.draft.graph.types:
            continue
        order = (*rest, last, before)
        op = node.op.model_copy(update={flag: not getattr(node.op, flag)})
        is_moved = order != tuple(sorted(order))
        moved = (replace(turn, name=name, op=Permute(order=order), params_of=name),) if is_moved else ()
        inputs = list(node.inputs)
        inputs[place] = name if is_moved else turn.inputs[0]
        return Replacement(op, tuple(inputs), before=moved)
    return None


def _examples() -> Iterator[ForeignGraph]:
    for place, order in ((0, (0, 2, 1)), (1, (0, 2, 1)), (1, (1, 2, 0))):
        factors = [step("same", "permute", "x", order=(order[0], *sorted(order[1:])))]
        factors.insert(place, step("turned", "permute", "x", order=order))
        yield draft(*factors, step("product", "matmul", factors[0].name, factors[1].name))


# After attention, whose parts are looked for with their transpositions.
RULE = Rule("turned_factor", 5, _apply, _examples)
