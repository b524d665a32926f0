"""Blocks by themselves: every row of the documented block table, and a run at the input of each case."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import numpy as np
import pytest

import archforge
from archforge import driver
from archforge.analysis.network import Network
from archforge.resources import zoo_folder
from archforge.spec.resolve.block_spec import block_spec
from archforge.spec.resolve.library import Library, spec_files
from archforge.spec.resolve.spec import Spec
from archforge.weights import rule_input
from tests.zoo import DATA

TABLE: dict[str, dict[str, Any]] = {
    row["block"]: row for row in json.loads((DATA / "luma_block_table.json").read_text())
}


@cache
def blocks() -> dict[str, Spec]:
    """Every block of the zoo that carries figures, as a spec of its own."""
    library = Library()
    specs = [driver.open_spec(path, library) for path in spec_files(zoo_folder())]
    found = (block_spec(s, b.name) for s in specs for b in s.document.blocks.values() if b.expect)
    return {spec.name: spec for spec in found}


CASES = [(name, case) for name, spec in blocks().items() for case in spec.profile_names]


@cache
def network(name: str, case: str) -> Network:
    return driver.analyse(blocks()[name], case)


def figures(name: str, case: str) -> dict[str, Any]:
    """The cells of a case as printed, the documented block that they belong to, and its input."""
    expect = blocks()[name].expect
    assert expect is not None
    cells: Any = expect.entries[case].value.plain()
    row = re.search(r"block table, ([\w.]+)\)", cells.pop("source"))
    printed = {cell: v["documented"] if isinstance(v, dict) else v for cell, v in cells.items()}
    (x,) = network(name, case).graph.inputs.values()
    return printed | {"row": row and row[1], "input": str(x)}


def cases_of(row: str) -> list[dict[str, Any]]:
    return [f for f in (figures(*case) for case in CASES) if f["row"] == row]


def fits(shape: object, documented: str) -> bool:
    """True if a shape has the axes of a documented one, `(N,C_in,H_in,W_in)`, and its numbers."""
    for choice in documented.split(" or "):
        axes = choice.strip("()").split(",")[1:]
        sizes = str(shape).split("x")
        pairs = zip(sizes, axes, strict=False)
        if len(sizes) == len(axes) and all(not a.isdigit() or a == n for n, a in pairs):
            return True
    return False


def test_every_row_of_the_block_table_is_on_a_block() -> None:
    assert {figures(*case)["row"] for case in CASES} - {None} == set(TABLE)


@pytest.mark.parametrize("row", TABLE)
def test_the_printed_layers_and_shapes_of_a_row_are_expected(row: str) -> None:
    printed, found = TABLE[row], cases_of(row)
    assert {f["layers"] for f in found if "layers" in f} == {printed["layers"]}
    assert all(len(f["input"].split("x")) == printed["input"].count(",") for f in found)
    whole = [f for f in found if fits(f["input"], printed["input"]) and fits(f["output"], printed["output"])]
    assert any("layers" in f for f in whole)
    for choice in printed["output"].split(" or "):
        assert any(fits(f["output"], choice) for f in whole)


@pytest.mark.parametrize("row", TABLE)
def test_every_variant_that_the_code_can_build_is_expected(row: str) -> None:
    counted = ("leaf_layers", "weights", "biases")
    variants = {tuple(variant[cell] for cell in counted) for variant in TABLE[row]["code"]}
    assert {tuple(f[cell] for cell in counted) for f in cases_of(row)} == variants


@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_figures_of_a_block_hold(name: str, case: str) -> None:
    done = network(name, case)
    assert done.cells
    assert not done.problems


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_block_runs_by_itself(name: str, case: str) -> None:
    done = network(name, case)
    (x,) = done.graph.inputs.values()
    (y,) = (done.graph.types[value] for value in done.graph.outputs.values())
    found = archforge.compile(done, backend="numpy")(rule_input((1, *x.shape)))
    assert found.shape == (1, *y.shape)
    assert np.isfinite(found).all()
    assert found.std() > 0


CHANGES = [
    ("resnet", "kernel: 3, padding: 1, stride: =stride}", "kernel: 1, stride: =stride}", "basic"),
    ("resnet", "kernel: =1 if stride == 1 else project_kernel", "kernel: 3", "bottleneck"),
    ("mobilenet_v2", "{bn: {}, when: =project_norm}", "bn", "inverted"),
    ("standard_blocks", "linear: =width//reduction", "linear: =width//8", "dense_gate"),
    ("inception_v1", "{unit: {out: =c5, kernel: =wide}}", "{unit: {out: =c5, kernel: 3}}", "inception"),
]


@pytest.mark.parametrize(("spec", "right", "wrong", "block"), CHANGES)
def test_a_changed_block_is_noticed(spec: str, right: str, wrong: str, block: str) -> None:
    text = (zoo_folder() / f"{spec}.yaml").read_text("utf-8")
    assert right in text
    part = block_spec(driver.open_spec(text.replace(right, wrong)), block)
    assert any(driver.analyse(part, case).problems for case in part.profile_names)
