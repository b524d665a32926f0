"""The page of `archforge report`: what it holds, that it is one file, and that names cannot become anything
else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from archforge import driver
from archforge.analysis.difference.networks import NetworkDifference, compare_networks
from archforge.export.network_page import difference_page, network_page
from tests.conftest import Run
from tests.test_drawings import hostile
from tests.zoo import networks

MOST_BYTES = 3_000_000


class Tags(HTMLParser):
    """The tags of a page with their attributes, and the text of the JSON in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.json = ""
        self.in_json = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.in_json = dict(attrs).get("type") == "application/json"

    def handle_endtag(self, tag: str) -> None:
        self.in_json = False

    def handle_data(self, data: str) -> None:
        self.json += data if self.in_json else ""


def data(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Tags(text).json)
    return found


def views(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = data(text)["views"]
    return found


def page(name: str) -> str:
    return network_page(driver.every_profile(networks()[name]))


def layers(box: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "items" not in box:
        yield box
    for item in box.get("items", ()):
        yield from layers(item)


def test_the_page_has_every_layer_and_every_cell_of_every_profile() -> None:
    shown = views(page("resnet_50"))
    known = driver.every_profile(networks()["resnet_50"])
    assert [view["choice"] for view in shown] == [network.profile for network in known]
    for view, network in zip(shown, known, strict=True):
        assert view["counts"] == network.counts.by_cell()
        assert [row[0] for row in view["rows"]] == [node.name for node in network.graph.nodes]
        assert sum(row[5] + row[6] for row in view["rows"]) == network.counts.params
        assert sum(row[8] for row in view["rows"]) == network.counts.macs
        assert max(row[10] for row in view["rows"]) == view["peak"]
        assert [(c["cell"], c["status"], c["source"]) for c in view["cells"]] == [
            (c.cell, c.status, c.source) for c in network.cells
        ]


def test_the_page_says_where_each_layer_and_block_is_written() -> None:
    (view,) = views(page("unet"))
    lines = {view["texts"][row[14]] for row in view["rows"]}
    assert all(re.fullmatch(r"unet\.yaml:[0-9]+", line) for line in lines)
    assert {i["where"] for i in view["whole"]["items"] if i["look"] == "block"} <= {
        f"unet.yaml:{n}" for n in range(99)
    }


def test_the_page_needs_nothing_beside_it() -> None:
    text = page("lenet_5")
    tags = Tags(text).tags
    assert not [
        attributes for _, attributes in tags for key in attributes if key in ("src", "href", "srcset")
    ]
    assert "default-src 'none'" in text
    assert "connect-src" not in text  # so that the script, too, can ask for nothing
    assert not re.search(r"@import|url\((?!#)", text)


def test_the_page_is_the_same_twice() -> None:
    assert page("unet") == page("unet")


@pytest.mark.parametrize("name", ["resnet_1202_cifar", "nasnet_a_large"])
def test_the_page_of_a_deep_network_is_small(name: str) -> None:
    assert len(page(name).encode()) <= MOST_BYTES


def test_names_and_titles_that_mean_something_to_html_stay_text() -> None:
    plain = {tag for tag, _ in Tags(page("lenet_5")).tags}
    network = hostile()
    text = network_page([network])
    assert {tag for tag, _ in Tags(text).tags} == plain
    assert {row[0] for row in views(text)[0]["rows"]} == {node.name for node in network.graph.nodes}
    spec = {
        "archforge": 1,
        "title": "</script><script>alert(1)</script><!--",
        "input": [3, 8, 8],
        "graph": ["relu"],
    }
    text = network_page([driver.load(spec)])
    assert {tag for tag, _ in Tags(text).tags} == plain
    assert views(text)[0]["name"] == spec["title"]


# Two networks


def between(one: str, other: str) -> NetworkDifference:
    """The difference of two networks, each as NAME@PROFILE."""
    (name, profile), (twin, of_twin) = one.split("@"), other.split("@")
    sides = driver.analyse(networks()[name], profile), driver.analyse(networks()[twin], of_twin)
    return compare_networks(*sides, (one, other))


PAIRS = [
    ("resnet_50@torchvision", "resnet_101@torchvision"),
    ("resnet_50@torchvision", "resnet_50@keras"),
    ("mobilenet_v2@torchvision", "mobilenet_v3_large@torchvision"),
    pytest.param("resnet_1001@documented", "resnet_1202_cifar@paper", marks=pytest.mark.slow),
    ("unet@listing", "lenet_5@paper"),
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_a_page_of_two_networks_has_each_layer_once_beside_its_own(one: str, other: str) -> None:
    found = between(one, other)
    shown = data(difference_page(found))
    told, sides = shown["difference"], shown["views"]
    names = [[row[0] for row in view["rows"]] for view in sides]
    for side in (0, 1):
        numbers = [pair[side] for pair in told["rows"] if pair[side] >= 0]
        assert sorted(numbers) == [*range(len(names[side]))]
        assert [*told["states"][side]].count("ra"[side]) == len(names[side]) - len(found.pairs)
    assert {(names[0][a], names[1][b]) for a, b in told["rows"] if a >= 0 and b >= 0} == {
        *found.pairs.items()
    }
    assert [a for a, _ in told["rows"] if a >= 0] == [*range(len(names[0]))]
    assert [told["back"][b] for b in told["pairs"] if b >= 0] == [
        a for a, b in enumerate(told["pairs"]) if b >= 0
    ]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_layers_that_are_called_the_same_are_the_same_and_changed_ones_say_what(one: str, other: str) -> None:
    told, (here, there) = (found := data(difference_page(between(one, other))))["difference"], found["views"]
    for index, (state, twin) in enumerate(zip(told["states"][0], told["pairs"], strict=True)):
        assert (state == "c") == (str(index) in told["notes"])
        if state in "sf":
            sides = ((here, here["rows"][index]), (there, there["rows"][twin]))
            one_row, other_row = ((view["texts"][row[4]], *row[5:7], row[8]) for view, row in sides)
            assert (one_row == other_row) == (state == "s")
    for _, words, *numbers in told["lines"]:
        assert words
        assert all(
            0 <= i < len(view["rows"])
            for view, side in zip((here, there), numbers, strict=True)
            for i in side
        )


def test_a_page_of_a_network_beside_itself_says_so() -> None:
    told = data(difference_page(between("lenet_5@paper", "lenet_5@paper")))["difference"]
    assert (told["lines"], {*told["states"][0]}, {*told["states"][1]}) == ([], {"s"}, {"s"})
    assert [row[0] for row in told["totals"]][:2] == ["params", "MACs"]


def test_names_of_two_hostile_networks_stay_text() -> None:
    network = hostile()
    titles = ("</script><script>alert(1)</script>", "<b>")
    text = difference_page(compare_networks(network, driver.load("lenet_5"), titles))
    assert {tag for tag, _ in Tags(text).tags} == {tag for tag, _ in Tags(page("lenet_5")).tags}
    assert data(text)["difference"]["titles"] == [*titles]


# The command


def test_the_command_writes_the_page(run: Run) -> None:
    assert run("report", "unet", "lenet_5", "-o", "a.html") == (0, "wrote a.html\n", "")
    shown = views(Path("a.html").read_text("utf-8"))
    assert [view["name"] for view in shown] == ["U-Net", *["LeNet-5"] * (len(shown) - 1)]


def test_of_two_specs_the_page_shows_what_changed(run: Run) -> None:
    assert run("report", "resnet_50@torchvision", "resnet_50@keras", "-o", "a.html")[0] == 0
    shown = data(Path("a.html").read_text("utf-8"))
    assert shown["difference"]["titles"] == ["resnet_50@torchvision", "resnet_50@keras"]
    assert [view["choice"] for view in shown["views"]] == ["torchvision", "keras"]
    assert run("report", "resnet_50", "resnet_101", "lenet_5", "-o", "a.html")[0] == 0
    assert "difference" not in data(Path("a.html").read_text("utf-8"))


def test_the_command_takes_a_profile_and_settings(run: Run) -> None:
    assert run("report", "resnet_50", "-p", "timm", "--set", "classes=10", "-o", "a.html")[0] == 0
    (view,) = views(Path("a.html").read_text("utf-8"))
    assert (view["output"], {cell["status"] for cell in view["cells"]}) == ("10", {"not_applicable"})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["unet", "-o", "a.htm"], "`a.htm` is no name of a .html file"),
        (["unet", "no_such", "-o", "a.html"], "there is no spec `no_such`"),
        (["unet", "-p", "keras", "-o", "a.html"], "keras"),
        (["unet", "-o", "there/a.html"], "there is no folder there"),
        (
            ["resnet_50@keras", "-p", "timm", "-o", "a.html"],
            "`--profile timm` changes nothing for `resnet_50@keras`",
        ),
        (["unet@keras", "-o", "a.html"], "keras"),
    ],
)
def test_mistakes_leave_no_file(run: Run, arguments: list[str], says: str) -> None:
    code, out, err = run("report", *arguments)
    assert (code, out, says in err) == (2, "", True)
    assert not [*Path().glob("*.ht*")]
