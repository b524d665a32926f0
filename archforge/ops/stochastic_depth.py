"""Stochastic depth: a dropout of whole residual branches."""

from __future__ import annotations

from archforge.ops.base import Example
from archforge.ops.identity import Dropout

__all__ = ["StochasticDepth"]


class StochasticDepth(Dropout):
    """Stochastic depth: in training all of an image's elements are zeroed together with probability `rate`,
    else scaled by 1 / (1 - rate): its residual branch is skipped. Source: arXiv:1603.09382;
    torchvision.ops.StochasticDepth, mode `row`."""

    op = "stochastic_depth"

    examples = (Example({"rate": 0.2}, ((2, 3, 4),)), Example({}, ((5,),)))

    def mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0], *(1,) * (len(shape) - 1))
