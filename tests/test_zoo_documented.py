"""The documented figures of the zoo: every cell of the table stands in its spec, and what is odd is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

import archforge
from tests.zoo import DATA, expected, networks

TABLE: dict[str, dict[str, int | str]] = json.loads((DATA / "luma_table.json").read_text())
DOCUMENTED = [name for name, spec in networks().items() if "documented" in spec.profile_names]


def documented_cells(name: str) -> dict[str, Any]:
    """The cells of a spec's `documented` profile, each as the table prints it."""
    cells = expected(name, "documented")
    del cells["source"]
    return {cell: v["documented"] if isinstance(v, dict) else v for cell, v in cells.items()}


def test_every_documented_spec_has_a_row_and_every_row_a_spec() -> None:
    assert sorted(TABLE) == sorted(DOCUMENTED)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_cell_of_the_row_is_expected_as_printed(name: str) -> None:
    assert documented_cells(name) == TABLE[name]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_documented_network_comes_first(name: str) -> None:
    assert networks()[name].profile_names[0] == "documented"


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_departure_of_more_than_one_percent_is_told(name: str) -> None:
    spec = networks()[name]
    totals = {p: archforge.load(name, profile=p).counts.params for p in spec.profile_names}
    if max(abs(total - totals["documented"]) for total in totals.values()) > 0.01 * totals["documented"]:
        assert spec.header.departs, f"{name} must say in `departs` why its totals differ: {totals}"
        better = spec.header.recommended or ""
        other = networks().get(better.partition("/")[0])
        assert better in totals or other, f"{name} must name the better one in `recommended`"
        profile = better.partition("/")[2]
        assert not profile or (other and profile in other.profile_names)
