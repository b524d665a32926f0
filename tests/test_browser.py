"""Pages and pictures in a real Chromium: what shows, answers to clicks and keys, and no word on the console.

`make test-browser` installs Playwright's driver of Python; the browser is the one that is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from archforge import driver
from archforge.analysis.difference.networks import compare_networks
from archforge.cli.live_page import LivePage, PageServer
from archforge.export.browser import browser
from archforge.export.layout.nested import nested_boxes
from archforge.export.layout.placing import PlacedBox, path_text, placed, planned
from archforge.export.network_page import difference_page, network_page
from archforge.export.svg import drawn
from archforge.export.target import DrawingOptions, Level
from tests.test_drawings import hostile
from tests.test_serve import SPEC, save
from tests.zoo import networks

# `ResourceWarning` of Playwright's own pipes
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def playwright() -> Any:
    if browser() is None:
        pytest.skip("no Chromium is installed")
    return pytest.importorskip("playwright.sync_api", reason="`make test-browser` installs Playwright")


@pytest.fixture(scope="module")
def chromium(playwright: Any) -> Iterator[Any]:
    with playwright.sync_playwright() as driven:
        opened = driven.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        yield opened
        opened.close()


class Opened:
    """A page in the browser, with what it wrote to the console and asked the network for."""

    def __init__(self, chromium: Any, path: Path, text: str, **options: Any) -> None:
        path.write_text(text, "utf-8")
        self.page = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}).new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def boxes(self) -> int:
        return int(self.page.locator("[role=treeitem]").count())

    def box(self, name: str) -> Any:
        index = self.page.evaluate("name => view.boxes.find(box => box.name === name).id", name)
        return self.page.locator(f"[data-id='{index}']")


@pytest.fixture
def opened(chromium: Any, tmp_path: Path) -> Iterator[Any]:
    pages: list[Opened] = []

    def open_page(*names: str, text: str = "", **options: Any) -> Opened:
        made = text or network_page([n for name in names for n in driver.every_profile(networks()[name])])
        pages.append(Opened(chromium, tmp_path / "page.html", made, **options))
        return pages[-1]

    yield open_page
    for page in pages:
        assert page.said == []
        assert [url for url in page.asked if not url.startswith("file:")] == []
        page.page.context.close()


def places(box: PlacedBox) -> list[list[float]]:
    return [[each.x, each.y, each.width, each.height] for each in box.all()]


PLACES = """which => {
  const out = [];
  const visit = p => { out.push([p.x, p.y, p.width, p.height]); (p.items ?? []).forEach(visit); };
  visit(layout(view, box => which === "all" || !!box.open));
  return out;
}"""
PATHS = """() => {
  const out = [];
  const visit = p => {
    (p.lines ?? []).forEach(line => out.push(pathText(line.points)));
    (p.items ?? []).forEach(visit);
  };
  visit(layout(view, () => true));
  return out;
}"""
# The texts in boxes and frames that are wider than these.
TOO_WIDE = """group => [...document.querySelectorAll(group)].flatMap(node => {
  const box = node.querySelector(":scope > rect"), texts = node.querySelectorAll(":scope > text:not(.shape)");
  return box ? [...texts].filter(t => t.getBBox().width > box.getBBox().width).map(t => t.textContent) : [];
})"""


@pytest.mark.parametrize("name", ["unet", "inception_v3", "nasnet_a_large", "skresnet_18", "densenet_121"])
def test_the_page_places_boxes_as_the_picture_does(opened: Any, name: str) -> None:
    shown = opened(name).page
    plan = planned(nested_boxes(driver.load(name)))
    opened_all, opened_some = placed(plan, lambda _: True), placed(plan, lambda box: box.is_open)
    for which, picture in (("all", opened_all), ("some", opened_some)):
        found = shown.evaluate(PLACES, which)
        assert found == [pytest.approx(place) for place in places(picture)]
    points = [line.points for box in opened_all.all() for line in box.lines]
    assert shown.evaluate(PATHS) == [path_text(way) for way in points]


def test_blocks_open_and_close_by_click_double_click_and_key(opened: Any) -> None:
    shown = opened("resnet_50")
    before = shown.boxes()
    block = shown.box("layer1.0")
    block.locator(".toggle").click()
    assert block.get_attribute("aria-expanded") == "true"
    assert shown.boxes() > before
    block.locator(".toggle").last.click()
    assert shown.boxes() == before
    block.locator("rect").first.dblclick()
    assert shown.boxes() > before
    shown.page.keyboard.press("ArrowLeft")
    assert shown.boxes() == before
    shown.page.keyboard.press("Enter")
    assert shown.boxes() > before
    shown.page.click("#close")
    assert shown.boxes() == len(shown.page.evaluate("view.whole.items.map(i => i.id)"))
    shown.page.click("#open")
    assert shown.boxes() == shown.page.evaluate("view.boxes.length - 1")


def test_keys_walk_through_boxes_and_into_blocks(opened: Any) -> None:
    shown = opened("resnet_50").page
    chosen = "document.activeElement.dataset.id && view.boxes[document.activeElement.dataset.id].name"
    shown.locator("[role=treeitem]").first.focus()
    names = []
    for key in ("ArrowDown", "ArrowDown", "End", "Home", "ArrowDown", "ArrowUp"):
        shown.keyboard.press(key)
        names.append(shown.evaluate(chosen))
    assert names == ["conv1", "bn1", "output", "input", "conv1", "input"]
    for _ in range(5):
        shown.keyboard.press("ArrowDown")
    assert shown.evaluate(chosen) == "layer1"
    shown.keyboard.press("ArrowRight")  # it is open: into it
    shown.keyboard.press("ArrowRight")  # which opens the block
    shown.keyboard.press("ArrowRight")
    assert shown.evaluate(chosen) == "layer1.0.conv1"
    shown.keyboard.press("ArrowLeft")
    assert shown.evaluate(chosen) == "layer1.0"


def test_a_click_tells_all_of_a_layer(opened: Any) -> None:
    shown = opened("resnet_50")
    shown.box("conv1").locator("rect").click()
    told = shown.page.locator("#details").inner_text()
    for part in ("conv1", "kernel", "118,013,952", "7x7", "64x112x112", "resnet.yaml:17"):
        assert part in told
    shown.box("layer1").locator("rect").first.click(position={"x": 6, "y": 60})
    assert "resnet.yaml:" in shown.page.locator("#details").inner_text()
    shown.box("layer1.0").locator(".toggle").click()
    shown.box("layer1.0.conv2").locator("rect").click()
    assert "layer1 \u203a layer1.0 (bottleneck)" in shown.page.locator("#details").inner_text()


def test_search_finds_opens_and_shows_what_a_repeat_hides(opened: Any) -> None:
    shown = opened("resnet_50").page
    shown.keyboard.press("/")
    shown.keyboard.type("layer3.4 conv kernel=3")
    assert shown.locator("#found").inner_text() == "1 of 175"
    shown.keyboard.press("Enter")
    told = shown.locator("#details").inner_text()
    assert "layer3.4.conv2" in told
    assert "drawn as layer3.1.conv2" in told
    assert shown.locator(".selected").is_visible()
    shown.keyboard.press("Escape")
    assert shown.locator("#found").inner_text() == ""


def test_another_profile_shows_its_own_figures(opened: Any) -> None:
    shown = opened("resnet_50", "lenet_5").page
    assert "25,583,592" in shown.locator("#cells").inner_text()
    shown.select_option("#view", label="torchvision")
    assert "25,557,032" in shown.locator("#cells").inner_text()
    shown.select_option("#view", index=shown.locator("#view option").count() - 1)
    assert shown.title().startswith("LeNet-5")


def test_the_table_has_every_layer_and_leads_to_the_picture(opened: Any) -> None:
    shown = opened("unet").page
    rows = shown.locator("#table tbody tr")
    assert rows.count() == len(driver.load("unet").graph.nodes)
    rows.last.click()
    assert "conv_final" in shown.locator("#details h3").inner_text()


def test_bars_tell_and_lead_to_their_layer(opened: Any) -> None:
    shown = opened("unet").page
    assert shown.locator(".strip").count() == 3
    bar = shown.locator(".strip.params g").nth(20)
    bar.hover()
    assert ": " in shown.locator("#bars figcaption").first.inner_text()
    bar.click()
    assert shown.locator(".selected").count() == 1


@pytest.mark.parametrize("name", ["resnet_50", "inception_v3", "mobilenet_v3_large", "nasnet_a_large"])
def test_texts_fit_into_their_boxes(opened: Any, name: str) -> None:
    shown = opened(name).page
    shown.click("#open")
    assert shown.evaluate(TOO_WIDE, "#picture .node") == []


def test_a_hostile_spec_runs_nothing(opened: Any) -> None:
    spec = {
        "archforge": 1,
        "title": "</script><img src=x onerror=alert(1)>",
        "input": [3, 8, 8],
        "graph": [
            {"relu": {}, "name": "<img/src=x/onerror=alert(2)>"},
            {"conv": 3, "name": '"><script>alert(3)</script>'},
        ],
        "defaults": {"conv": {"kernel": 1}},
    }  # fmt: skip
    for network in (driver.load(spec), hostile()):
        shown = opened(text=network_page([network])).page
        shown.on("dialog", lambda dialog: pytest.fail(dialog.message))
        shown.click("#open")
        assert shown.locator("img").count() == 0
        for row in range(shown.locator("#table tbody tr").count()):
            shown.locator("#table tbody tr").nth(row).click()
        assert shown.locator("img").count() == 0


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_page_is_dark_or_light_as_the_system_is_until_it_is_told(opened: Any, scheme: str) -> None:
    shown = opened("lenet_5", color_scheme=scheme).page
    colour = "getComputedStyle(document.body).backgroundColor"
    found = [shown.evaluate(colour)]
    shown.click("#theme")
    found.append(shown.evaluate(colour))
    light, dark = "rgb(255, 255, 255)", "rgb(13, 17, 23)"
    assert found == ([dark, light] if scheme == "dark" else [light, dark])


def test_a_phone_scrolls_down_alone(opened: Any) -> None:
    shown = opened("resnet_50", viewport={"width": 360, "height": 740}, has_touch=True).page
    assert shown.evaluate("document.documentElement.scrollWidth") <= 360
    shown.locator("[role=treeitem] rect").nth(1).tap()
    assert "conv1" in shown.locator("#details").inner_text()
    assert shown.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("width", [360, 1280])
def test_a_wide_picture_scrolls_within_its_pane(opened: Any, width: int) -> None:
    shown = opened("ssd_300_vgg_16", viewport={"width": width, "height": 740}).page
    assert shown.evaluate("document.getElementById('pane').scrollWidth") > width
    assert shown.evaluate("document.documentElement.scrollWidth") <= width


def test_print_shows_picture_and_tables_without_what_answers(opened: Any) -> None:
    shown = opened("unet").page
    shown.emulate_media(media="print")
    assert [shown.locator(part).is_visible() for part in (".tools", "#details", ".keys", "#table")] == [
        False, False, False, True,
    ]  # fmt: skip
    assert shown.pdf(format="A4").startswith(b"%PDF")


def test_the_live_page_follows_its_file_and_stays_as_it_is_open(
    chromium: Any, playwright: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "net.yaml"
    spec.write_text(SPEC)
    with PageServer(LivePage("net.yaml"), 0) as server:
        Thread(target=server.serve_forever).start()
        follow(chromium, playwright.expect, spec, server.port)
        server.shutdown()


def follow(chromium: Any, expect: Any, spec: Path, port: int) -> None:
    page = chromium.new_context().new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"http://127.0.0.1:{port}/")
    page.locator("[role=treeitem] rect").nth(1).click()
    save(spec, SPEC.replace("out: 4", "out: 8"))
    expect(page.locator("#facts")).to_contain_text("224")
    assert "first" in page.locator("#details h3").inner_text()
    save(spec, SPEC.replace("kernel: 3", "kernel: 30"))
    expect(page.locator("#mistakes")).to_contain_text("net.yaml:5:")
    assert page.locator("[role=treeitem]").count() == 3
    save(spec, SPEC)
    expect(page.locator("#mistakes")).to_be_empty()
    expect(page.locator("#facts")).to_contain_text("112")
    assert said == []
    page.context.close()


# Two networks


def beside(one: str, other: str) -> str:
    sides = [networks()[side.partition("@")[0]] for side in (one, other)]
    found = [driver.analyse(s, n.partition("@")[2]) for s, n in zip(sides, (one, other), strict=True)]
    return difference_page(compare_networks(found[0], found[1], (one, other)))


LOOKS = "which => [...document.querySelectorAll(`#${which} .node`)].map(n => [...n.classList].join(' '))"


def test_two_networks_are_marked_in_both_pictures(opened: Any) -> None:
    shown = opened(text=beside("resnet_50@torchvision", "resnet_101@torchvision")).page
    assert {*shown.evaluate(LOOKS, "picture")} == {"node same"}
    assert {*shown.evaluate(LOOKS, "other_picture")} == {"node same", "node changed"}
    repeats = shown.locator("#other_picture .node.changed[aria-label*='22 times']")
    assert repeats.get_attribute("aria-label").startswith("changed inside: 22 times bottleneck")
    assert "18,992,128" in shown.locator("#facts").inner_text()
    folded = shown.locator("#table button[aria-expanded]").filter(has_text="170 layers")
    before = shown.locator("#table tbody tr").count()
    folded.click()
    assert shown.locator("#table tbody tr").count() == before + 170
    folded.click()
    assert shown.locator("#table tbody tr").count() == before


def test_keys_and_clicks_lead_to_changes_in_both_pictures(opened: Any) -> None:
    shown = opened(text=beside("resnet_50@torchvision", "resnet_50@keras")).page
    for key in "nnn":
        shown.keyboard.press(key)
    assert "stride 1 -> 2" in shown.locator("#changes .chosen").inner_text()
    assert shown.locator(".selected").count() == 2
    row = shown.locator("#details tr.changed", has_text="stride")
    assert row.inner_text().split() == ["stride", "1", "2"]
    shown.keyboard.press("p")
    assert "eps" in shown.locator("#changes .chosen").inner_text()
    shown.locator("#changes button").nth(3).click()
    assert "layer2.0.conv2" in shown.locator("#details h3").inner_text()


def test_a_block_opens_in_both_pictures(opened: Any) -> None:
    shown = opened(text=beside("resnet_50@torchvision", "resnet_50@keras")).page
    before = [shown.locator(f"#{each} [role=treeitem]").count() for each in ("picture", "other_picture")]
    shown.locator("#other_picture .toggle").filter(has_text="+").first.click()
    after = [shown.locator(f"#{each} [role=treeitem]").count() for each in ("picture", "other_picture")]
    assert after[0] > before[0]
    assert after[1] > before[1]
    shown.keyboard.press("ArrowDown")
    assert "layer1.0.conv1" in shown.locator("#details h3").inner_text()
    assert shown.locator(".selected").count() == 2


def test_search_finds_in_both_pictures_and_each_network_shows_alone(opened: Any) -> None:
    shown = opened(text=beside("resnet_50@torchvision", "resnet_101@torchvision")).page
    shown.fill("#search", "layer3 conv2")
    assert shown.locator("#found").inner_text() == "29 of 520"
    shown.keyboard.press("Enter")
    assert shown.locator("#picture .selected").count() == 1
    shown.select_option("#view", index=2)
    assert shown.title().startswith("ResNet-101")
    assert shown.locator("#other_picture").is_hidden()
    assert {*shown.evaluate(LOOKS, "picture")} >= {"node"}
    shown.select_option("#view", index=0)
    assert shown.locator("#other_picture").is_visible()


def test_two_networks_fit_on_a_phone(opened: Any) -> None:
    made = beside("mobilenet_v2@torchvision", "mobilenet_v3_large@torchvision")
    shown = opened(text=made, viewport={"width": 360, "height": 740}).page
    assert shown.evaluate("document.documentElement.scrollWidth") <= 360
    assert shown.evaluate("scrollY") == 0


def test_a_file_beside_a_spec_has_totals_and_changes_alone(opened: Any) -> None:
    network = driver.load("lenet_5")
    found = replace(compare_networks(network, network, ("a", "b")), networks=None)
    shown = opened(text=difference_page(found)).page
    assert shown.locator("#facts").is_visible()
    assert shown.locator("#picture").is_hidden()
    shown.keyboard.press("n")
    shown.keyboard.press("+")


@pytest.mark.parametrize("level", Level)
def test_the_texts_of_a_picture_fit_into_its_boxes(opened: Any, level: Level) -> None:
    text = drawn(driver.load("inception_v3"), DrawingOptions(level, counts=True)).text
    shown = opened(text=f"<!doctype html><meta charset=utf-8>{text}").page
    assert shown.evaluate(TOO_WIDE, "g") == []
