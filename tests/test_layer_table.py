"""Every layer of the documented layer table is an op, runs in its dimension and gives its shape."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import archforge
from archforge.weights import rule_input
from tests.zoo import DATA

ROWS: list[tuple[str, str, str]] = json.loads((DATA / "luma_layer_table.json").read_text())

Shape = tuple[int, ...]

# What the symbols of the table stand for here.
SIZES = {"C": 4, "C_in": 4, "L_in": 6, "D": 5, "H": 6, "W": 8, "D_in": 5, "H_in": 6, "W_in": 8}
OUTPUT_CHANNELS = ("C_out", "L_out")
ANY_AXES: list[Shape] = [(8,), (6, 8), (5, 6, 8)]

PADDED: dict[str, Any] = {"kernel": 3, "padding": 1}
# The step that a layer is, and what it makes of the size of an axis that the table calls another behind it.
LAYERS: dict[str, tuple[list[dict[str, Any]], Callable[[int], int]]] = {
    "AdaptiveAvgPool": ([{"adaptive_avg_pool": 2}], lambda size: 2),
    "BatchNorm": ([{"bn": {}}], int),
    "Conv": ([{"conv": {"out": 3, **PADDED}}], int),
    "Dense": ([{"linear": 3}], int),
    "DepthConv": ([{"conv": {"out": "=x.channels", "groups": "=x.channels", **PADDED}}], int),
    "Dropout": ([{"dropout": 0.2}], int),
    "DropoutND": ([{"channel_dropout": 0.2}], int),
    "Flatten": ([{"flatten": {}}], int),
    "GlobalAvgPool": ([{"global_avg_pool": {}}], int),
    "GlovalAvgPool": ([{"global_avg_pool": {}}], int),  # as printed
    "Identity": ([{"identity": {}}], int),
    "LayerNorm": ([{"layer_norm": {"axis": "=range(len(x.shape))"}}], int),
    "LocalResponseNorm": ([{"lrn": {}}], int),
    "LpPool": ([{"lp_pool": 2}], lambda size: size // 2),
    "Pool": ([{"max_pool": 2}, {"avg_pool": 2}], lambda size: size // 2),
}


def axes_of(shape: str) -> list[str]:
    """The axes of a documented shape behind the batch; `(*)` is of any number of them, too."""
    return ["*"] if shape == "(*)" else shape.strip("()").split(",")[1:]


def inputs(shape: str) -> list[Shape]:
    """Shapes without the batch that fit a documented one."""
    axes = axes_of(shape)
    known = tuple(SIZES[axis] for axis in axes if axis != "*")
    return [(*known, *rest) for rest in ANY_AXES] if "*" in axes else [known]


def output(shape: str, given: Shape, resized: Callable[[int], int]) -> Shape:
    """The documented output: a symbol of the input keeps its size, and a number is itself."""
    axes = axes_of(shape)
    if "*" in axes:
        return given
    if axes == ["-1"]:
        return (math.prod(given),)
    sizes = []
    for size, axis in zip(given, axes, strict=True):
        if axis in OUTPUT_CHANNELS:
            sizes.append(3)
        elif axis.isdigit():
            sizes.append(int(axis))
        else:
            sizes.append(resized(size) if "_" in axis else size)
    return tuple(sizes)


@pytest.mark.parametrize(("layer", "before", "after"), ROWS, ids=[row[0] for row in ROWS])
def test_a_layer_runs_and_gives_the_documented_shape(layer: str, before: str, after: str) -> None:
    kind = re.sub("[123]D$", "", layer)
    steps, resized = LAYERS["DropoutND" if kind == "Dropout" and kind != layer else kind]
    for shape in inputs(before):
        for step in steps:
            spec = {"archforge": 1, "input": list(shape), "graph": [step]}
            y = archforge.compile(spec, backend="numpy")(rule_input((2, *shape)))
            assert y.shape == (2, *output(after, shape, resized))
            assert np.isfinite(y).all()


def test_the_table_has_layers_in_each_dimension() -> None:
    found: dict[str, str] = {}
    for layer, before, _ in ROWS:
        kind, dimension = re.fullmatch(r"(\w+?)([123]?)D?", layer).groups()  # type: ignore[union-attr]
        found[kind] = found.get(kind, "") + dimension
        assert not dimension or len(axes_of(before)) == 1 + int(dimension)
    assert {k for k, dimensions in found.items() if dimensions == "123"} == {
        "AdaptiveAvgPool", "BatchNorm", "Conv", "DepthConv", "Dropout", "LpPool", "Pool",
    }  # fmt: skip
