"""The documented figures of the zoo: every cell of the table stands in its spec, and what is odd is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

import archforge
from tests.zoo import DATA, expected, networks

TABLE: dict[str, dict[str, int | str]] = json.loads((DATA / "luma_table.json").read_text())
# The papers of the table's headings, each with the names that stand below it.
PAPERS = {
    "doi:10.1162/neco.1989.1.4.541": ("lenet_1", "lenet_4", "lenet_5"),
    "doi:10.1145/3065386": ("alexnet", "zfnet"),
    "arXiv:1409.1556": ("vgg_11", "vgg_13", "vgg_16", "vgg_19"),
    "arXiv:1409.4842": ("inception_v1", "inception_v2", "inception_v3"),
    "arXiv:1602.07261": ("inception_v4", "inception_resnet_v1", "inception_resnet_v2"),
    "arXiv:1610.02357": ("xception",),
    "arXiv:1512.03385": ("resnet_18", "resnet_34", "resnet_50", "resnet_101", "resnet_152"),
    "arXiv:1603.05027": ("resnet_200", "resnet_269", "resnet_1001"),
    "arXiv:1704.04861": ("mobilenet_v1",),
    "arXiv:1801.04381": ("mobilenet_v2",),
    "arXiv:1905.02244": ("mobilenet_v3_small", "mobilenet_v3_large"),
    "arXiv:1709.01507": ("se_resnet_50", "se_resnet_152", "se_inception_resnet_v2"),
}
# Networks that the paper of their heading does not have, with the one that has them.
ELSEWHERE = {
    **dict.fromkeys(("lenet_1", "lenet_4", "lenet_5"), "doi:10.1109/5.726791"),
    **dict.fromkeys(("inception_v2", "inception_v3"), "arXiv:1512.00567"),
    "zfnet": "arXiv:1311.2901",
}
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


@pytest.mark.parametrize(("paper", "name"), [(p, name) for p, names in PAPERS.items() for name in names])
def test_the_paper_is_that_of_the_heading_unless_another_has_the_network(paper: str, name: str) -> None:
    assert networks()[name].header.paper == ELSEWHERE.get(name, paper)


def test_every_row_of_the_table_stands_below_a_paper() -> None:
    assert sorted(name for names in PAPERS.values() for name in names) == sorted(TABLE)


@pytest.mark.parametrize(
    "name", [name for name in networks() if name.startswith(("resnet_", "wide_", "se_"))]
)
def test_only_a_network_of_pre_activation_blocks_cites_their_paper(name: str) -> None:
    """The default profile is meant. The paper of ResNet's second version has these blocks."""
    spec = networks()[name]
    network = archforge.load(name)
    called = {scope.kind for scope in network.graph.scopes if scope.is_block}
    is_second = any(kind.startswith("preact") for kind in called)
    assert (spec.header.paper == "arXiv:1603.05027") == is_second, called


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
