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
from archforge.export.network_page import network_page
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


def views(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(Tags(text).json)["views"]
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


# The command


def test_the_command_writes_the_page(run: Run) -> None:
    assert run("report", "unet", "lenet_5", "-o", "a.html") == (0, "wrote a.html\n", "")
    shown = views(Path("a.html").read_text("utf-8"))
    assert [view["name"] for view in shown] == ["U-Net", *["LeNet-5"] * (len(shown) - 1)]


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
    ],
)
def test_mistakes_leave_no_file(run: Run, arguments: list[str], says: str) -> None:
    code, out, err = run("report", *arguments)
    assert (code, out, says in err) == (2, "", True)
    assert not [*Path().glob("*.ht*")]
