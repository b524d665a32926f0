"""Drawings: each layer in one box, boxes with the figures of the network, and text that stays text."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest
import yaml

from archforge import driver
from archforge.analysis.network import Network
from archforge.errors import DiagnosticError
from archforge.export import Subject
from archforge.export.dot import dot_text
from archforge.export.drawing import Box, BoxFrame, Drawing, drawing_of
from archforge.export.drawing.pieces import pieces_of
from archforge.export.mermaid import MAX_ARROWS, MAX_CHARACTERS, mermaid_text
from archforge.export.target import DrawingOptions, Level
from archforge.spec.resolve.sources import settings_of
from tests.conftest import Run
from tests.small import each_network
from tests.zoo import networks

DRAWINGS = {"dot": dot_text, "mermaid": mermaid_text}
MOST_BOXES = 54  # at level `block`: SE-Inception-ResNet-v2, whose gates stand between its blocks

each_level = pytest.mark.parametrize("level", Level)


def network(name: str, profile: str | None = None) -> Network:
    return driver.analyse(networks()[name], profile)


def subject(one: Network, level: Level = Level.BLOCK, *, counts: bool = False) -> Subject:
    return Subject(one, (one,), drawing=DrawingOptions(level, counts))


def boxes(items: tuple[Box | BoxFrame, ...]) -> Iterator[Box]:
    for item in items:
        yield from [item] if isinstance(item, Box) else boxes(item.items)


def frames(items: tuple[Box | BoxFrame, ...]) -> Iterator[BoxFrame]:
    for item in items:
        if isinstance(item, BoxFrame):
            yield item
            yield from frames(item.items)


def lines_of(drawing: Drawing) -> list[tuple[str, ...]]:
    return [box.lines for box in boxes(drawing.items)]


# What is drawn


def assert_drawn(one: Network, level: Level) -> None:
    """Raises unless each layer is in one box, the counts of the boxes add up, and arrows lead from what comes
    first to an output."""
    pieces = pieces_of(one, level)
    rows = [row.name for piece in pieces for row in piece.rows]
    assert sorted(rows) == sorted(node.name for node in one.graph.nodes)
    assert sum(piece.params for piece in pieces) == one.counts.params
    assert sum(piece.macs for piece in pieces) == sum(row.macs for row in one.ledger.rows)
    assert len(pieces) == len(rows) if level is Level.LAYER else len(pieces) <= MOST_BOXES
    drawing = drawing_of(one, DrawingOptions(level))
    known, framed = [*boxes(drawing.items)], [*frames(drawing.items)]
    places = {box.id: place for place, box in enumerate(known)}
    assert len({*places, *(frame.id for frame in framed)}) == len(known) + len(framed)
    assert all(places[arrow.start] < places[arrow.end] for arrow in drawing.arrows)
    read = {arrow.start for arrow in drawing.arrows}
    assert all(box.kind == "value" for box in known if box.id not in read)
    assert all(len(frame.items) > 1 for frame in framed)


@pytest.mark.parametrize("name", ["unet", "inception_v1", "nasnet_a_large", "efficientnet_b0", "lstm_text"])
@each_level
def test_a_network_is_drawn_whole(level: Level, name: str) -> None:
    assert_drawn(network(name), level)


@pytest.mark.slow
@each_network
@each_level
def test_every_network_is_drawn_whole(level: Level, name: str, profile: str) -> None:
    assert_drawn(network(name, profile), level)


def test_resnet_18_is_a_chain_of_boxes() -> None:
    drawing = drawing_of(network("resnet_18", "torchvision"), DrawingOptions())
    assert lines_of(drawing) == [
        ("input",),
        ("conv 7x7 / 2, bn, relu", "conv1 ... relu"),
        ("max_pool 3x3 / 2", "maxpool"),
        ("2 x basic", "layer1.0 ... layer1.1"),
        ("2 x basic", "layer2.0 ... layer2.1"),
        ("2 x basic", "layer3.0 ... layer3.1"),
        ("2 x basic", "layer4.0 ... layer4.1"),
        ("global_avg_pool, flatten", "avgpool ... flatten"),
        ("linear", "fc"),
        ("output",),
    ]
    assert [arrow.shape for arrow in drawing.arrows][:3] == ["3x224x224", "64x112x112", "64x56x56"]
    assert len(drawing.arrows) == 9


def test_a_block_that_is_read_from_elsewhere_too_ends_a_run() -> None:
    drawing = drawing_of(network("unet"), DrawingOptions())
    called = [box for box in boxes(drawing.items) if box.kind == "block"]
    assert [box.lines[0] for box in called] == ["convs"] * 9
    merges = {box.id for box in boxes(drawing.items) if box.kind == "merge"}
    assert Counter(arrow.end for arrow in drawing.arrows if arrow.end in merges) == dict.fromkeys(merges, 2)


def test_layers_of_equal_attributes_are_a_run_though_their_maps_grow() -> None:
    says = [lines[0] for lines in lines_of(drawing_of(network("densenet_121"), DrawingOptions()))]
    assert [s for s in says if "dense_layer" in s] == [f"{n} x dense_layer" for n in (6, 12, 24, 16)]


def test_a_block_with_most_layers_is_opened() -> None:
    drawing = drawing_of(network("efficientnet_b0"), DrawingOptions())
    assert [frame.title for frame in frames(drawing.items)] == ["features", "stages", "classifier"]
    assert ("4 x inverted", "6.0 ... 6.3") in lines_of(drawing)


def test_frames_at_level_layer_are_the_scopes() -> None:
    drawing = drawing_of(network("resnet_18", "torchvision"), DrawingOptions(Level.LAYER))
    titles = [frame.title for frame in frames(drawing.items)]
    assert titles[:3] == ["layer1", "0 (basic)", "1 (basic)"]
    assert titles.count("downsample (project)") == 3


def test_the_counts_of_boxes_are_said_where_there_are_some() -> None:
    drawing = drawing_of(network("resnet_18", "torchvision"), DrawingOptions(counts=True))
    assert lines_of(drawing)[1][2:] == ("9,536 params", "118,013,952 MACs")
    assert lines_of(drawing)[2][2:] == ()


# The text

HOSTILE = {
    "archforge": 1,
    "title": '1. end "x" <b>b</b> & \\N `c` **x** #35; ünï 漢\t%% ]) --> |x| ```',
    "input": [3, 8, 8],
    "blocks": {
        "subgraph": {"body": [{"conv": 4, "name": "end"}, {"relu": {}, "name": 'a"b\\nc'}]},
    },
    "defaults": {"conv": {"kernel": 1}},
    "graph": [
        {"subgraph": {}, "name": "1.-x"},
        {"subgraph": {}, "name": "class"},
        {"relu": {}, "name": "graph&<i>;#35;|])%%"},
        {"conv": 3, "name": "漢字-`x`"},
    ],
}
NAMES = {"end", 'a"b\\nc', "1.-x (subgraph)", "class (subgraph)", "graph&<i>;#35;|])%%", "漢字-`x`"}


def hostile() -> Network:
    return driver.analyse(driver.open_spec(HOSTILE))


def read_dot(text: str) -> set[str]:
    """The lines of all labels in a file of DOT, as Graphviz reads them."""
    labels = re.findall(r'label="((?:[^"\\]|\\.)*)"', text)
    escapes = {"\\n": "\n", "\\\\": "\\", '\\"': '"'}
    plain = (re.sub(r"\\.", lambda found: escapes[found[0]], label) for label in labels)
    return {html.unescape(line) for label in plain for line in label.split("\n")}


def read_mermaid(text: str) -> set[str]:
    """The lines of all labels in a flowchart, as Mermaid reads them."""
    labels = re.findall(r'"([^"]*)"', text.split("\nflowchart")[1])
    lines = {line for label in labels for line in label.split("<br>")}
    assert not [line for line in lines if re.search(r"[<>`&*\[\]{}|\\]", line)]
    return {re.sub(r"#(\d+);", lambda found: chr(int(found[1])), line) for line in lines}


READERS = {"dot": read_dot, "mermaid": read_mermaid}
each_drawing = pytest.mark.parametrize("target", DRAWINGS)


@each_drawing
def test_hostile_names_stay_text(target: str) -> None:
    text = DRAWINGS[target](subject(hostile(), Level.LAYER))
    assert READERS[target](text) >= NAMES
    assert all(line.isprintable() for line in text.splitlines())


def test_a_hostile_title_stays_text() -> None:
    title = "".join(c if c.isprintable() else " " for c in str(HOSTILE["title"])) + ", profile default"
    assert title in read_dot(dot_text(subject(hostile())))
    text = mermaid_text(subject(hostile()))
    assert yaml.safe_load(text.split("---")[1])["title"] == title
    assert "`" not in text


def test_settings_stand_in_the_title() -> None:
    one = driver.analyse(networks()["lenet_5"], settings=settings_of({"classes": 7}))
    assert drawing_of(one, DrawingOptions()).title.endswith(", classes=7")


def test_what_mermaid_does_not_draw_is_refused() -> None:
    """The limits are defaults of the settings maxEdges and maxTextSize, which GitHub keeps."""
    assert (MAX_ARROWS, MAX_CHARACTERS) == (500, 50_000)
    deep, long = network("resnet_1001_cifar"), network("efficientnet_b3")
    with pytest.raises(DiagnosticError) as caught:
        mermaid_text(subject(deep, Level.LAYER))
    (found,) = caught.value.diagnostics
    assert found.code == "E0705"
    assert found.message == "graph.mmd would have 3,673 arrows, and Mermaid draws 500 at most"
    assert found.help == "--level block has fewer, and --to dot has no such limit"
    with pytest.raises(DiagnosticError, match="characters, and Mermaid draws 50,000 at most"):
        mermaid_text(subject(long, Level.LAYER, counts=True))
    assert mermaid_text(subject(deep)).count("-->") == 8
    assert dot_text(subject(deep, Level.LAYER)).count("->") == 3673


# The command


def test_the_command_draws_at_a_level_and_with_counts(run: Run) -> None:
    code, out, err = run("export", "lenet_5", "--to", "dot", "--level", "layer", "--counts", "-o", "-")
    one = network("lenet_5")
    assert (code, out, err) == (0, dot_text(subject(one, Level.LAYER, counts=True)), "")


@pytest.mark.parametrize("options", [["--level", "layer"], ["--level", "block"], ["--counts"]])
def test_options_of_drawings_are_refused_elsewhere(run: Run, options: list[str]) -> None:
    code, out, err = run("export", "lenet_5", "--to", "graph", *options)
    assert (code, out) == (2, "")
    assert err == f"E0001: `graph.json` is no drawing\n      help: leave out {options[0]}\n"


# What reads them


@pytest.mark.skipif(not shutil.which("dot"), reason="needs Graphviz")
@pytest.mark.parametrize("name", ["hostile", "unet", "inception_v3", "resnet_18"])
@each_level
def test_graphviz_draws_it_without_a_word(level: Level, name: str) -> None:
    one = hostile() if name == "hostile" else network(name)
    drawing = drawing_of(one, DrawingOptions(level))
    drawn = subprocess.run(
        ["dot", "-Tjson"], input=dot_text(subject(one, level)), capture_output=True, text=True, check=True
    )
    assert drawn.stderr == ""
    found = json.loads(drawn.stdout)
    nodes = [thing for thing in found["objects"] if not thing["name"].startswith("cluster_")]
    assert [node["name"] for node in nodes] == [box.id for box in boxes(drawing.items)]
    assert len(found["edges"]) == len(drawing.arrows)
