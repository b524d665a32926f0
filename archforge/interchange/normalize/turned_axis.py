"""An op along one axis between two permutations, of which the second undoes the first, is the same op along
the axis that was turned to its place.
"""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node

__all__ = ["RULE"]

ALONG_AXIS = ("layer_norm", "linear", "softmax", "log_softmax", "global_response_norm")


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if node.op.kind != "permute":
        return None
    inner = sight.only(node.inputs[0], *ALONG_AXIS)
    before = sight.maker(inner.inputs[0], "permute") if inner else None
    if inner is None or before is None:
        return None
    there, back = (each.op.attributes()["order"] for each in (before, node))
    axis = inner.op.attributes()["axis"]
    if not isinstance(axis, int | None) or any(there[axis_] != i for i, axis_ in enumerate(back)):
        return None
    op = inner.op.model_copy(update={"axis": there[-1 if axis is None else axis]})
    return Replacement(op, before.inputs, params_of=inner.params_of)


def _examples() -> Iterator[ForeignGraph]:
    for op, attributes in (("layer_norm", {"eps": 0.1}), ("linear", {"out": 4, "axis": -1})):
        yield draft(
            step("there", "permute", "x", order=(1, 2, 0)),
            step("op", op, "there", **attributes),
            step("back", "permute", "op", order=(2, 0, 1)),
        )
    yield draft(  # a value that others read too
        step("there", "permute", "x", order=(1, 2, 0)),
        step("norm", "layer_norm", "there", eps=0.1),
        step("back", "permute", "norm", order=(2, 0, 1)),
        step("again", "permute", "there", order=(2, 0, 1)),
        step("sum", "add", "back", "again"),
    )


RULE = Rule("turned_axis", 0, _apply, _examples)
