"""Rates of stochastic depth that rise from block to block, as multiples of one step.

Source: linear decay, arXiv:1603.09382, section 3: of L blocks, the k-th is left out with the
probability p * k / L.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from archforge.ir import TypedGraph
from archforge.ops.stochastic_depth import StochasticDepth

__all__ = ["Decay", "Depth", "decay_of"]

MAX_BLOCKS = 400
MIN_RATES = 3  # different ones, of which fewer would be chance
GRAIN = 20  # p is a multiple of 1 / 20


@dataclass(frozen=True, slots=True)
class Decay:
    """The rule rate = p * k / blocks of a network."""

    p: float
    blocks: int

    def rate(self, depth: int) -> float:
        """The rate of the block of that number, as a formula computes it."""
        return self.p * depth / self.blocks

    def text(self, depth: str) -> str:
        """The formula of that rate."""
        return f"{self.p} * {depth} / {self.blocks}"


@dataclass(frozen=True, slots=True)
class Depth:
    """The number of a block, in the place of its rate."""

    depth: int
    decay: Decay


def decay_of(typed: TypedGraph) -> dict[float, Depth]:
    """The depth of each rate of stochastic depth in a graph; empty if they follow no rule, to the last
    bit."""
    drops = [node.op for node in typed.nodes if isinstance(node.op, StochasticDepth)]
    rates = sorted({op.rate for op in drops if op.rate})
    if len(rates) < MIN_RATES:
        return {}
    step = min(b - a for a, b in pairwise(rates))
    depths = [round(rate / step) for rate in rates]
    for blocks in range(depths[-1], MAX_BLOCKS):
        p = round(step * blocks * GRAIN) / GRAIN
        decay = Decay(p, blocks)
        if [decay.rate(depth) for depth in depths] == rates:
            return {rate: Depth(depth, decay) for rate, depth in zip(rates, depths, strict=True)}
    return {}
