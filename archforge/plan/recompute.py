"""Steps forward again on the way back: those that make anew what a scope of the graph has let go of.

Of a scope that is computed again, forward keeps those of its values that others read too. The rest is let go
of, as is what the ops in it save, and made once more just before the first step back through one of its
nodes, as far as gradients read it. Scopes may lie in one another: what the inner one makes once more, the
steps forward again of the outer one let go of. Source: arXiv:1604.06174.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from archforge.ir import Scope
from archforge.plan.training_step import TrainingStep, read_by
from archforge.scopes import inner_scopes, scope_path

__all__ = ["with_recomputation"]


def with_recomputation(
    forward: Sequence[TrainingStep],
    backward: Sequence[TrainingStep],
    scopes: Sequence[Scope],
    recompute: Collection[int],
    outputs: Collection[str],
) -> tuple[list[TrainingStep], list[TrainingStep]]:
    """The steps forward, and those backward with steps forward again among them; of both, those whose op is
    to save something say so. recompute: the scopes that are computed again, by their indices."""
    found, saving = _needed([*_interleaved(forward, backward, scopes, recompute, outputs)])
    return [replace(step, saves=step.node.name in saving) for step in forward], found


def _interleaved(
    forward: Sequence[TrainingStep],
    backward: Sequence[TrainingStep],
    scopes: Sequence[Scope],
    recompute: Collection[int],
    outputs: Collection[str],
) -> Iterator[TrainingStep]:
    """The steps backward, and before the first one in each scope all that can be made again of it."""
    inner = inner_scopes([step.node for step in forward], scopes, outputs)
    around = {
        step.node.name: [s.index for s in scope_path(scopes, step.node.scope) if s.index in recompute]
        for step in forward
    }
    again: dict[int, list[TrainingStep]] = {index: [] for index in recompute}
    for step in forward:
        node = step.node
        for scope in around[node.name]:
            if scope in inner[node.name] or node.op.differs_in_training:
                again[scope].append(replace(step, again=True))
    for step in backward:
        for scope in around[step.node.name]:
            yield from again.pop(scope, ())
        yield step


def _needed(steps: Sequence[TrainingStep]) -> tuple[list[TrainingStep], set[str]]:
    """The steps that are backward or make what a later one reads; and the nodes whose op has to save
    something before them."""
    found: list[TrainingStep] = []
    values: set[str] = set()
    saving: set[str] = set()
    for step in reversed(steps):
        node = step.node
        if not step.again:
            values.update(read_by(node))
            saving.update({node.name} if node.op.differs_in_training else ())
            found.append(step)
        elif node.name in values | saving:
            found.append(replace(step, saves=node.name in saving))
            values.discard(node.name)
            saving.discard(node.name)
            values.update(node.inputs)
    return found[::-1], saving
