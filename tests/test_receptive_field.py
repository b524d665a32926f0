"""Receptive fields hold against what NaN reaches, and against published figures."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import archforge
from archforge.analysis.receptive_field import Field, receptive_fields
from archforge.ir import TypedGraph
from archforge.ops.base import Array
from tests.graphs import GRAPHS, WEIGHTS, evaluate, graph, inputs_of, node
from tests.op_examples import EXAMPLES, OpExample


def reached(example: OpExample, which: int, source: int, target: int) -> Array:
    """bool[extent of the output's axis, extent of the input's]: elements that NaN in the input makes NaN."""
    columns = []
    inputs = list(example.inputs("float64", batch=1))
    for place in range(example.types[which].shape[source]):
        spoilt = inputs[which].copy()
        np.moveaxis(spoilt, source + 1, 0)[place] = np.nan
        given = [*inputs[:which], spoilt, *inputs[which + 1 :]]
        y = np.isnan(example.op.reference(example.params("float64"), *given))
        columns.append(np.moveaxis(y, target + 1, 0).any(axis=tuple(range(1, y.ndim))))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_nothing_beyond_the_reach_of_an_op_matters(example: OpExample) -> None:
    for target, reach in enumerate(example.op.reach(*example.types)):
        source = target if reach.axis is None else reach.axis
        for which, type_ in enumerate(example.types):
            if reach.elements is None or source >= len(type_.shape):
                continue
            size = type_.shape[source]
            if size == 1:  # repeated along the axis
                continue
            found = [np.flatnonzero(row) for row in reached(example, which, source, target)]
            spans = [int(row[-1] - row[0]) + 1 if row.size else 0 for row in found]
            assert max(spans) <= reach.elements
            if size >= 2 * reach.elements:
                assert max(spans) == reach.elements
            for row, later in zip(found, found[reach.outputs :], strict=False):
                both = [*row, *later]
                if row.size == later.size > 0 and min(both) > 0 and max(both) < size - 1:
                    assert abs(later[0] - row[0]) == reach.inputs  # backwards where a border is mirrored


def test_every_kind_of_reach_is_exercised() -> None:
    seen = {reach for e in EXAMPLES for reach in e.op.reach(*e.types)}
    assert any(reach.elements is None for reach in seen)
    assert any((reach.elements or 0) > 1 and reach.inputs > 1 for reach in seen)
    assert any((reach.elements or 0) > 1 and reach.outputs > 1 for reach in seen)
    assert any(reach.axis is not None for reach in seen)


def dependent(typed: TypedGraph, name: str, value: str, source: str) -> Array:
    """bool[elements along the value's first spatial axis, along that of the input `source`]."""
    columns = []
    inputs = inputs_of(typed, batch=1)
    for place in range(inputs[source].shape[2]):
        spoilt = inputs[source].copy()
        spoilt[:, :, place] = np.nan
        found = evaluate(typed, WEIGHTS[name], inputs | {source: spoilt})[value]
        columns.append(np.isnan(found).any(axis=(0, 1, 3)))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("name", GRAPHS)
def test_no_element_outside_the_field_of_a_value_matters(name: str) -> None:
    typed = GRAPHS[name]
    is_turned = any(n.op.kind == "permute" for n in typed.nodes)  # an axis may follow another of the input
    if is_turned or any(len(t.shape) != 3 for t in typed.inputs.values()):
        return
    for value, (rows, *_) in receptive_fields(typed).items():
        if len(typed.types[value].shape) != 3 or value in typed.inputs or rows.elements is None:
            continue
        for source in typed.inputs:
            for row in dependent(typed, name, value, source):
                found = np.flatnonzero(row)
                assert found.size == 0 or found[-1] - found[0] + 1 <= rows.elements


# The column `receptive field` and `effective stride` of the table in doi:10.23915/distill.00021, for the last
# layer before global pooling; its ResNets stride as Keras's do, its AlexNet is that of arXiv:1404.5997.
PUBLISHED = [
    ("alexnet", "torchvision", "avgpool", 195, 32),
    ("vgg_16", "torchvision", "features.30", 212, 32),
    ("resnet_50", "keras", "layer4", 483, 32),
    ("resnet_152", "keras", "layer4", 1507, 32),
    ("inception_v4", "timm", "features.21", 2071, 32),
]


@pytest.mark.parametrize(("name", "profile", "place", "extent", "stride"), PUBLISHED)
def test_fields_are_those_of_the_published_table(
    name: str, profile: str, place: str, extent: int, stride: int
) -> None:
    typed = archforge.load(name, profile).graph
    value = next((s.output for s in typed.graph.scopes if s.name == place), place)
    fields = receptive_fields(typed)[value]
    assert {field.elements for field in fields} == {extent}
    assert {field.stride for field in fields} == {stride}


def test_axes_keep_their_own_fields() -> None:
    typed = graph(
        node("conv", "conv", "input", out=4, kernel=(3, 1), stride=(2, 1)),
        node("last", "permute", "conv", order=(1, 2, 0)),
        node("mixed", "linear", "last", out=8, axis=-1),
        node("first", "permute", "mixed", order=(2, 0, 1)),
        node("pool", "max_pool", "first", kernel=2),
        node("up", "upsample", "pool", factor=2),
        node("flat", "flatten", "up"),
        inputs={"input": (3, 12, 12)},
    )
    fields = receptive_fields(typed)
    one, two = Fraction(1), Fraction(2)
    assert fields["input"] == (Field(one, one), Field(one, one))
    assert fields["first"] == (Field(Fraction(3), two), Field(one, one))
    assert fields["pool"] == (Field(Fraction(5), Fraction(4)), Field(two, two))
    assert fields["up"] == (Field(Fraction(5), two), Field(two, one))
    assert [field.elements for field in fields["flat"]] == [None, None]


def test_where_branches_meet_the_largest_field_counts_and_a_gate_sees_all() -> None:
    typed = graph(
        node("wide", "conv", "input", out=4, kernel=5, padding=2),
        node("sum", "add", "input", "wide"),
        node("mean", "global_avg_pool", "sum"),
        node("gated", "multiply", "sum", "mean"),
    )
    fields = receptive_fields(typed)
    assert [field.elements for field in fields["sum"]] == [5, 5]
    assert [field.elements for field in fields["gated"]] == [None, None]
    assert [field.stride for field in fields["gated"]] == [1, 1]
    assert [field.stride for field in fields["mean"]] == [None, None]
