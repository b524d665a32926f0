"""The larger one of x and a part of x is `leaky_relu`."""

from __future__ import annotations

from collections.abc import Iterator

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops.activations import LeakyRelu

__all__ = ["RULE"]


def _apply(node: Node, sight: Sight) -> Replacement | None:
    if node.op.kind != "maximum" or len(node.inputs) != 2:
        return None
    for x, part in (node.inputs, node.inputs[::-1]):
        scaled = sight.maker(part, "scale")
        if scaled is not None and scaled.inputs == (x,) and 0 < scaled.op.attributes()["factor"] < 1:
            return Replacement(LeakyRelu(slope=scaled.op.attributes()["factor"]), (x,))
    return None


def _examples() -> Iterator[ForeignGraph]:
    for inputs in (("x", "part"), ("part", "x")):
        yield draft(step("part", "scale", "x", factor=0.1), step("larger", "maximum", *inputs))


RULE = Rule("leaky_relu", 0, _apply, _examples)
