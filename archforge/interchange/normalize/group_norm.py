"""An `instance_norm` of groups of channels, each of them a row, is a `group_norm`: so torch exports one."""

from __future__ import annotations

import math
from collections.abc import Iterator

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops.group_norm import GroupNorm
from archforge.ops.instance_norm import InstanceNorm

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    norm = sight.only(node.inputs[0], "instance_norm") if node.op.kind in ("reshape", "flatten") else None
    rows = sight.only(norm.inputs[0], "reshape") if norm else None
    if norm is None or rows is None or not isinstance(norm.op, InstanceNorm) or norm.op.affine:
        return None
    (x,), (groups, *map_) = sight.types(rows), sight.type(rows.name).shape
    if x != sight.type(node.name) or x.channels % groups or groups == x.channels or len(x.shape) > 4:
        return None
    if math.prod(map_) * groups != math.prod(x.shape):
        return None
    return Replacement(GroupNorm(groups=groups, eps=norm.op.eps, affine=False), rows.inputs)


def _examples() -> Iterator[ForeignGraph]:
    for groups, rows in ((2, (2, 60)), (1, (1, 10, 12))):
        yield draft(
            step("rows", "reshape", "x", shape=rows),
            step("norm", "instance_norm", "rows", eps=0.1 * groups, affine=False),
            step("map", "reshape", "norm", shape=(4, 6, 5)),
        )
    yield draft(
        step("rows", "reshape", "x", shape=(2, 4)),
        step("norm", "instance_norm", "rows", eps=0.1, affine=False),
        step("features", "flatten", "norm"),
        shape=(8,),
    )


RULE = Rule("group_norm", 0, _apply, _examples)
