"""The multiply-adds that the numba backend records for the zoo, held against those of the definition:
channels are filled up to whole vectors, and no more."""

from __future__ import annotations

from functools import cache
from typing import Any
from unittest import mock

import pytest

from archforge.backends import available
from archforge.driver import load
from archforge.ir import TensorType
from archforge.ops.conv import Conv
from tests.zoo import networks

pytestmark = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")
direct_conv = pytest.importorskip("archforge.backends.numba.families.direct_conv")
machines = pytest.importorskip("archforge.backends.numba.toolchain.machine")
records = pytest.importorskip("archforge.backends.numba.runtime.records")
tapes = pytest.importorskip("archforge.backends.numba.runtime.tape")

# Groups of 4, 8, 24 and 40 channels, whose number has few divisors, and unequal numbers in and out.
QUICK = {"regnet_x_1_6gf", "regnet_x_4gf", "regnet_y_400mf", "regnet_y_3_2gf", "senet_154", "alexnet"}
MOST_OF_NETWORK = 1.15
UNROLLED = 4  # channels in are read in fours


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in networks()]
)
def test_convolutions_that_mix_channels_multiply_what_fills_a_vector_and_no_more(name: str) -> None:
    typed, needed, for_groups = load(name).graph, 0, 0
    for node in typed.graph.nodes:
        x = typed.types[node.inputs[0]]
        if not isinstance(node.op, Conv) or len(x.spatial) > 2 or node.op.groups == node.op.out == x.channels:
            continue
        macs = node.op.macs(x)
        done = recorded(node.op, x)
        assert done <= macs * most_filled(node.op, x) + 1e-6 * macs, (node.op, str(x))
        needed += macs
        for_groups += done - macs if node.op.groups > 1 else 0
    assert not needed or 1 + for_groups / needed <= MOST_OF_NETWORK


def test_the_last_of_combined_groups_may_be_fewer() -> None:
    """55 groups of 8 channels are 27 vectors and a half."""
    assert recorded(Conv(out=440, kernel=3, padding=1, groups=55), TensorType((440, 7, 7))) == (
        440 * 49 * 9 * filled(8, machines.machine().lanes)
    )


def most_filled(op: Conv, x: TensorType) -> float:
    """The factor by which filling up vectors raises an op's multiply-adds: whole vectors for the channels out
    of a group, and fours for the channels in of those that share one, but for the few that a network may
    begin with."""
    lanes: int = machines.machine().lanes
    outputs = op.out // op.groups
    inputs = x.channels // op.groups * max(min(lanes // outputs, op.groups), 1)
    unit = 1 if op.groups == 1 and inputs <= lanes // 2 else UNROLLED
    return filled(outputs, lanes) / outputs * filled(inputs, unit) / inputs


def filled(channels: int, unit: int) -> int:
    """The number of channels in whole units."""
    return -(-channels // unit) * unit


@cache
def recorded(op: Conv, x: TensorType) -> int:
    """The multiply-adds of a direct convolution of one image, by the records that its tiles read."""
    kernel = direct_conv.direct(op, x)
    tape = tapes.Tape(1, {}, {})
    weights: Any = {name: tapes.PackedPlace(tape.buffer(0).buffer) for name in ("weight", "bias")}
    with mock.patch("archforge.backends.numba.families.tile_tables.address", return_value=1):
        kernel.run(weights, tape.input("x", x.shape))
    (call,) = tape.calls
    return int(sum(multiply_adds(call.fields, panel) for panel in call.fields["panel_table"]))


def multiply_adds(fields: Any, panel: Any) -> int:
    """The multiply-adds of a panel's tiles for all pixels of the output."""
    g = fields["geometries"][panel["geometry"] // records.GEOMETRY.dtype.itemsize]
    read = (g["planes"] * g["run"] - g["skipped"] - g["cut"]) * g["rows"] * g["columns"]
    return int(read * panel["blocks"] * fields["height"] * fields["width"] * machines.machine().lanes)
