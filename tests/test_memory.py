"""The activation peak on graphs small enough to count by hand."""

from __future__ import annotations

import pytest

import archforge
from archforge.analysis.activation_memory import activation_peak


def peak(graph: str) -> int:
    return activation_peak(archforge.load(f"archforge: 1\ninput: [2, 4, 4]\ngraph: {graph}\n").graph)


@pytest.mark.parametrize(
    ("graph", "elements"),
    [
        ("[relu]", 32 + 32),
        ("[relu, relu, relu]", 32 + 32),
        ("[{conv: 6}, {conv: 1}]", 96 + 32),  # 32 + 96 at the first, 96 + 16 at the second
        ("[{add: [relu, []]}]", 32 + 32 + 32),  # the input waits for the sum
        ("[{concat: [{conv: 3}, {conv: 4}]}]", 48 + 64 + 112),
        ("[{max_pool: 2, as: kept}, {conv: 6}, {concat: [=x, =kept]}]", 8 + 24 + 32),  # kept waits, 2x2x2
    ],
)
def test_what_is_alive_at_once(graph: str, elements: int) -> None:
    assert peak(graph) == elements
