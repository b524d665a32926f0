"""The layout of networks: boxes apart and within each other, every edge of the graph drawn, none through a
box."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations, pairwise
from math import ceil
from pathlib import Path
from struct import unpack

import pytest

from archforge import driver
from archforge.export.browser import browser
from archforge.export.layout.nested import INPUT, OUTPUT, Look, NestedBox, Wire, nested_boxes
from archforge.export.layout.placing import (
    SMALL,
    TITLE,
    PlacedBox,
    placed,
    planned,
    text_width,
)
from archforge.export.svg import drawn
from archforge.export.target import DrawingOptions, Level
from tests.conftest import Run
from tests.small import each_network
from tests.test_drawings import hostile
from tests.zoo import networks

SOME = [
    "unet",
    "unet_resnet_34",
    "inception_v1",
    "densenet_121",
    "nasnet_a_large",
    "mobilenet_v3_small",
    "skresnet_18",
]
Point = tuple[float, float]


def whole(name: str, profile: str | None = None) -> NestedBox:
    return nested_boxes(driver.analyse(networks()[name], profile))


def opened(box: NestedBox) -> PlacedBox:
    return placed(planned(box), lambda _: True)


# The laws


def assert_laid_out(box: NestedBox) -> None:
    """Raises unless all laws of a picture hold, with every box open and with those of level `block`."""
    plan = planned(box)
    for picture in (placed(plan, lambda _: True), placed(plan, lambda box: box.is_open)):
        for around in picture.all():
            assert_apart(around)
            assert_within(around)
            assert_edges_are_clear(around)
            assert_labelled(around)
            assert_texts_fit(around)


def overlap(a: PlacedBox, b: PlacedBox) -> bool:
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


def assert_apart(around: PlacedBox) -> None:
    for a, b in combinations(around.items, 2):
        assert not overlap(a, b), f"{a.planned.box.name} lies over {b.planned.box.name}"


def assert_within(around: PlacedBox) -> None:
    points = [p for line in around.lines for p in line.points]
    points += [line.label for line in around.lines if line.label]
    for item in around.items:
        points += [(item.x, item.y), (item.x + item.width, item.y + item.height)]
    for x, y in points:
        assert around.x <= x <= around.x + around.width
        assert around.y <= y <= around.y + around.height


def segments(points: tuple[Point, ...]) -> Iterator[tuple[float, float, float, float]]:
    """Left, top, right and bottom of each straight part."""
    for (x1, y1), (x2, y2) in pairwise(points):
        assert x1 == x2 or y1 == y2, "an edge that is slanted"
        assert y2 >= y1, "an edge that goes up"
        if (x1, y1) != (x2, y2):
            yield min(x1, x2), y1, max(x1, x2), y2


def assert_edges_are_clear(around: PlacedBox) -> None:
    """Raises if an edge runs through a box, or along an edge of another value."""
    taken: defaultdict[tuple[bool, float], list[tuple[float, float, str]]] = defaultdict(list)
    for line in around.lines:
        for left, top, right, bottom in segments(line.points):
            edge = PlacedBox(around.planned, left, top, right - left, bottom - top)
            for index, item in enumerate(around.items):
                is_end = index == line.edge.end and item.planned.face.is_round
                assert is_end or not overlap(edge, item), f"{line.edge.value} through {item.planned.box.name}"
            is_upright = left == right
            place = (top, bottom, line.edge.value) if is_upright else (left, right, line.edge.value)
            taken[is_upright, left if is_upright else top].append(place)
    for beside in taken.values():
        for (begin, end, value), (begin_of_other, end_of_other, other) in combinations(beside, 2):
            is_apart = end < begin_of_other or end_of_other < begin
            assert value == other or is_apart, f"{value} runs along {other}"


def assert_labelled(around: PlacedBox) -> None:
    """Raises unless the shape of each value is written once, or where it comes from or goes to outside."""
    shown = Counter(line.edge.value for line in around.lines if line.label)
    for line in around.lines:
        others = [o.edge.end for o in around.lines if o.edge.value == line.edge.value]
        is_outside = line.edge.start == INPUT or others == [OUTPUT]
        assert shown[line.edge.value] == (0 if is_outside else 1)


def assert_texts_fit(around: PlacedBox) -> None:
    plan = around.planned
    if around.is_open:
        assert plan.title_width <= around.width
    else:
        sizes = (TITLE, *[SMALL] * len(plan.face.lines))
        assert all(
            text_width(t, size) <= around.width for t, size in zip(plan.face.lines, sizes, strict=False)
        )


def assert_every_edge_is_drawn(box: NestedBox) -> None:
    """Raises unless each value that a box reads can be followed back to a box that gives it."""
    graph_edges = {(value, row.name) for row in box.rows for value, _ in row.inputs}

    def follow(value: str, index: int, path: tuple[tuple[NestedBox, int], ...]) -> None:
        around = path[-1][0]
        (wire,) = (f for f in around.wires if f.value == value and index in f.ends)
        if wire.start == INPUT:
            follow(value, path[-1][1], path[:-1])
        else:
            item = around.items[wire.start]
            assert value in item.gives
            assert value in {row.name for row in item.rows} | {item.name}

    def visit(at: NestedBox, path: tuple[tuple[NestedBox, int], ...]) -> None:
        for index, item in enumerate(at.items):
            if item.items:
                visit(item, (*path, (item, index)))
            else:
                names = {row.name for row in item.rows}
                graph_edges.difference_update({(v, n) for v in (*item.reads, *names) for n in names})
                for value in item.reads:
                    follow(value, index, path)

    visit(box, ((box, -1),))
    hidden = {
        row.name
        for each in boxes(box)
        if each.repeats > 1
        for row in each.rows[len(each.rows) // each.repeats :]
    }
    assert all(name in hidden for _, name in graph_edges)


def boxes(box: NestedBox) -> Iterator[NestedBox]:
    yield box
    for item in box.items:
        yield from boxes(item)


@pytest.mark.parametrize("name", SOME)
def test_a_network_is_laid_out(name: str) -> None:
    assert_laid_out(whole(name))
    assert_every_edge_is_drawn(whole(name))


@pytest.mark.slow
@each_network
def test_every_network_is_laid_out(name: str, profile: str) -> None:
    assert_laid_out(whole(name, profile))
    assert_every_edge_is_drawn(whole(name, profile))


def any_box(seed: int) -> NestedBox:
    """A box with random boxes in it, each of which reads some of the values before."""
    draw = random.Random(seed)
    given = ["in", *(["tapped"] if draw.random() < 0.5 else [])]
    starts = dict.fromkeys(given, INPUT)
    items: list[NestedBox] = []
    ends: dict[str, list[int]] = {}
    for i in range(draw.randrange(1, 12)):
        reads = tuple(draw.sample([*starts], min(len(starts), draw.choice((1, 1, 1, 2, 3)))))
        if items and draw.random() < 0.6:
            reads = tuple(dict.fromkeys((items[-1].gives[0], *reads)))
        gives = tuple(f"v{i}.{n}" for n in range(draw.choice((1, 1, 1, 2))))
        says = draw.choice(("conv 3x3", "add", "concat"))
        look: Look = "merge" if says != "conv 3x3" else "weights"
        items.append(NestedBox(f"n{i}", f"n{i}", look, says, reads=reads, gives=gives, gives_first=gives))
        for value in reads:
            ends.setdefault(value, []).append(i)
        starts |= dict.fromkeys(gives, i)
    read_beyond = [items[-1].gives[0], *(v for v in starts if draw.random() < 0.1 and starts[v] != INPUT)]
    gives = tuple(dict.fromkeys(read_beyond))
    for value in gives:
        ends.setdefault(value, []).append(OUTPUT)
    wires = tuple(Wire(v, "64x56x56", at, tuple(ends[v])) for v, at in starts.items() if v in ends)
    inner = NestedBox("inner", "inner", "block", "block", items=tuple(items), wires=wires,
                      reads=tuple(given), gives=gives, gives_first=gives)  # fmt: skip
    inputs = [NestedBox(v, v, "value", "input", gives=(v,), gives_first=(v,)) for v in given]
    after = [NestedBox(f"out {v}", v, "value", "output", reads=(v,)) for v in gives]
    outer = tuple(Wire(v, "8", i, (len(given),)) for i, v in enumerate(given))
    outer += tuple(Wire(v, "8", len(given), (len(given) + n,)) for n, v in enumerate(gives, 1))
    return NestedBox("", "", "block", "network", items=(*inputs, inner, *after), wires=outer)


def test_any_graph_is_laid_out() -> None:
    for seed in range(150):
        assert_laid_out(any_box(seed))


# The picture


@pytest.mark.parametrize("level", Level)
def test_a_picture_is_the_same_twice_and_xml(level: Level) -> None:
    network = driver.load("inception_v3")
    texts = {drawn(each, DrawingOptions(level)).text for each in (network, driver.load("inception_v3"))}
    (text,) = texts
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    assert (root.get("width"), root.get("height")) == tuple(root.get("viewBox", "").split()[2:])


def test_resnet_50_is_a_dozen_boxes() -> None:
    box = whole("resnet_50", "torchvision")
    layers = [f"layer{n}" for n in (1, 2, 3, 4)]
    around = ["input", "conv1", "bn1", "relu", "maxpool", *layers, "avgpool", "flatten", "fc", "output"]
    assert [item.label for item in box.items] == around
    layer3 = box.items[around.index("layer3")]
    assert [(item.says, item.repeats) for item in layer3.items] == [("bottleneck", 1), ("bottleneck", 5)]
    assert layer3.params == 7_098_368


def test_a_shortcut_is_told_from_a_branch_and_a_tap_from_an_output() -> None:
    def looks(name: str) -> set[tuple[bool, bool]]:
        return {
            (line.edge.is_shortcut, line.edge.is_tap)
            for around in opened(whole(name)).all()
            for line in around.lines
        }

    assert looks("vgg_16") == {(False, False)}
    assert looks("unet") == {(False, False), (True, False)}
    assert looks("inception_v1") == {(False, False)}


def test_what_a_block_leaves_is_on_its_spine_though_values_before_are_read_too() -> None:
    (encoder,) = (box for box in opened(whole("unet_resnet_34")).all() if box.planned.box.name == "encoder")
    grid = encoder.planned.grid
    assert grid is not None
    assert {place.lane for place in grid.places} == {0}
    assert [line.edge.is_shortcut for line in encoder.lines if line.edge.end == OUTPUT].count(False) == 1


def test_names_and_titles_that_mean_something_to_xml_are_text() -> None:
    root = ET.fromstring(drawn(hostile(), DrawingOptions(Level.LAYER)).text)
    plain = {"svg", "title", "style", "defs", "marker", "path", "rect", "g", "text"}
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == plain


# The command


def test_the_command_writes_an_svg(run: Run) -> None:
    assert run("draw", "unet", "-o", "unet.svg") == (0, "wrote unet.svg\n", "")
    text = Path("unet.svg").read_text("utf-8")
    assert text == drawn(driver.load("unet"), DrawingOptions()).text
    assert run("draw", "unet", "-o", "unet.svg", "--counts")[0] == 0
    assert "221,440 params" in Path("unet.svg").read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["-o", "x.pdf"], "`x.pdf` is no name of a .svg or a .png file"),
        (["-o", "nowhere/x.svg"], "there is no folder nowhere"),
        (["-o", "x.svg", "--scale", "2"], "`--scale` is for a .png"),
    ],
)
def test_mistakes_in_the_command_leave_no_file(run: Run, options: list[str], says: str) -> None:
    code, out, err = run("draw", "unet", *options)
    assert (code, out, says in err) == (2, "", True)
    assert not [*Path().glob("x*")]


def test_without_a_browser_there_is_no_png(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archforge.export.browser.browser", lambda: None)
    code, _, err = run("draw", "unet", "-o", "unet.png")
    assert (code, "write an .svg" in err, Path("unet.png").exists()) == (2, True, False)


@pytest.mark.skipif(browser() is None, reason="no Chromium is installed")
def test_a_png_has_the_pixels_of_the_svg(run: Run) -> None:
    assert run("draw", "lenet_5", "-o", "a.png", "--scale", "3")[0] == 0
    picture = drawn(driver.load("lenet_5"), DrawingOptions())
    size = unpack(">II", Path("a.png").read_bytes()[16:24])
    assert size == (3 * ceil(picture.width), 3 * ceil(picture.height))


@pytest.mark.skipif(browser() is None, reason="no Chromium is installed")
def test_a_png_has_the_picture_alone_within_its_margins(run: Run) -> None:
    pillow = pytest.importorskip("PIL.Image")
    assert run("draw", "lenet_5", "-o", "a.png", "--scale", "1")[0] == 0
    image = pillow.open("a.png").convert("L")
    assert image.getextrema() != (255, 255)
    for top in (0, image.height - 10):
        assert image.crop((0, top, image.width, top + 10)).getextrema() == (255, 255)


def test_a_picture_that_no_browser_draws_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archforge.export.browser.browser", lambda: "chromium")
    code, _, err = run("draw", "nasnet_a_large", "--level", "layer", "-o", "a.png")
    assert (code, "browsers draw 16,384 at most" in err) == (2, True)
