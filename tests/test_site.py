"""The site: every page of the repository is on it, links hold, filters answer to keys and a screen reader.

What needs its generator is skipped without it; `make test-browser` installs it and a driver of the browser.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from archforge.codes import CODES
from archforge.export.browser import browser
from archforge.resources import zoo_folder
from tests.zoo import networks
from website.gallery import write_gallery
from website.links import is_outside, relinked, targets
from website.networks import write_network, year_of
from website.repository import MARKDOWN, ROOT, write_repository

FEW = ("lenet_5", "resnet_50", "unet")


def test_every_paper_of_the_zoo_has_a_year() -> None:
    papers = {spec.header.paper for spec in networks().values() if spec.header.paper}
    assert all(1980 < year_of(paper) < 2100 for paper in papers)


def test_links_within_code_are_none() -> None:
    page = "[a](b.md) `[c](d)` ![e](f.svg)\n```text\n[g](h)\n```\n[i](https://j)\n"
    assert targets(page) == ["b.md", "f.svg", "https://j"]
    assert relinked(page, lambda target: target if is_outside(target) else f"../{target}") == page.replace(
        "(b.md)", "(../b.md)"
    ).replace("(f.svg)", "(../f.svg)")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of a site of a few networks."""
    folder = tmp_path_factory.mktemp("sources")
    found = [write_network(zoo_folder() / f"{name}.yaml", folder, folder / "site") for name in FEW]
    rows = [row for row in found if row is not None]
    write_gallery(rows, folder)
    write_repository(folder, {row.name for row in rows})
    return folder


def test_links_of_the_sources_lead_somewhere(sources: Path) -> None:
    pages = [page for page in sources.rglob("*.md") if "site" not in page.parts]
    assert len(pages) > len(MARKDOWN) + len(CODES)
    lost = [
        (page.relative_to(sources).as_posix(), target)
        for page in pages
        for target in targets(page.read_text("utf-8"))
        if not is_outside(target) and not (page.parent / target.partition("#")[0]).exists()
    ]
    assert lost == []


def test_files_beside_a_network_are_there(sources: Path) -> None:
    for name in FEW:
        page = sources / "networks" / f"{name}.md"
        named = re.findall(rf'(?:href|src)="({name}/[^"]+)"', page.read_text("utf-8"))
        assert len(named) > 8
        assert [file for file in named if not (sources / "site" / "networks" / file).is_file()] == []


def test_a_template_has_no_page(tmp_path: Path) -> None:
    assert write_network(zoo_folder() / "resnet.yaml", tmp_path, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


class Page(HTMLParser):
    """The ids and addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("href", "src") and value is not None:
                self.addresses.append((tag, value))


def built(folder: Path, *names: str) -> Path:
    """The site of these networks, or of all, below a folder."""
    if find_spec("furo") is None:
        pytest.skip("`make test-browser` installs the generator of the site")
    command = [sys.executable, "-m", "website", str(folder / "site"), *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("few"), *FEW)


def check_links(site: Path) -> None:
    """Every address leads to a file of the site, and to what is there; nothing is loaded from elsewhere."""
    pages = {path: Page(path.read_text("utf-8")) for path in site.rglob("*.html")}
    for path, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), path
        for tag, address in page.addresses:
            parts = urlsplit(address)
            if parts.scheme in ("http", "https", "data"):
                assert tag == "a" or parts.scheme == "data", (path, address)
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), (path, address)
            is_choice = "=" in parts.fragment  # of the gallery's filters
            if parts.fragment and target.suffix == ".html" and not is_choice:
                assert unquote(parts.fragment) in pages[target].ids, (path, address)


def test_links_of_the_site_lead_somewhere(site: Path) -> None:
    check_links(site)


@pytest.mark.slow
def test_the_site_of_the_whole_zoo(tmp_path: Path) -> None:
    site = built(tmp_path)
    check_links(site)
    assert (site / "networks" / "resnet_1001" / "page.html").stat().st_size < 3 * 2**20
    assert {page.stem for page in (site / "networks").glob("*.html")} == {"index", *networks()}
    assert {page.stem for page in (site / "docs" / "messages").glob("*.html")} == {*CODES}


# In a browser

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # of Playwright's own pipes


@pytest.fixture
def shown(site: Path) -> Iterator[Any]:
    """A function that opens a page, which must write nothing to the console and ask nobody for anything."""
    if browser() is None:
        pytest.skip("no Chromium is installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="`make test-browser` installs Playwright")
    said: list[str] = []
    with playwright.sync_playwright() as driven:
        chromium = driven.chromium.launch(executable_path=browser(), args=["--no-sandbox"])

        def open_page(address: str, **options: Any) -> Any:
            page = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}).new_page()
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
            page.on(
                "request",
                lambda request: said.append(request.url) if request.url.startswith("http") else None,
            )
            page.goto(f"{site.as_uri()}/{address}")
            return page

        yield open_page
        chromium.close()
    assert said == []


def names(page: Any) -> list[str]:
    """The networks that the gallery shows, in order."""
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('#gallery > li:not([hidden])')].map(item => item.dataset.name)"
    )
    return found


def test_pages_are_quiet_and_no_wider_than_a_phone(shown: Any, site: Path) -> None:
    pages = ["index", "networks/index", "networks/unet", "networks/unet/page", "docs/errors", "docs/zoo",
             "docs/messages/E0402", "docs/tutorial", "docs/language", "search"]  # fmt: skip
    for address in pages:
        for scheme, width in (("dark", 360), ("light", 1280)):
            page = shown(
                f"{address}.html",
                viewport={"width": width, "height": 740},
                color_scheme=scheme,
                has_touch=True,
            )
            assert page.evaluate("document.documentElement.scrollWidth") <= width, address
            page.context.close()


def test_a_long_family_fits_into_the_filters_of_a_phone(shown: Any) -> None:
    page = shown("networks/index.html", viewport={"width": 360, "height": 740})
    page.evaluate(
        "document.forms.filters.elements.family.add(new Option('A family of a long name '.repeat(4)))"
    )
    within = """() => {
      const right = node => node.getBoundingClientRect().right, limit = right(document.forms.filters);
      return [...document.forms.filters.elements].filter(each => right(each) > limit).map(each => each.name);
    }"""
    assert page.evaluate(within) == []


def test_the_gallery_is_filtered_by_keys_alone(shown: Any) -> None:
    page = shown("networks/index.html")
    assert names(page) == [*FEW]
    page.get_by_role("searchbox", name="Name").focus()
    page.keyboard.type("net res")
    assert names(page) == ["resnet_50"]
    assert page.get_by_role("status").inner_text() == "1 of 3 networks."
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.press("Delete")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("1M")
    page.keyboard.press("Tab")
    page.keyboard.type("30 m")
    assert names(page) == ["resnet_50"]


def test_what_is_chosen_stands_in_the_address(shown: Any) -> None:
    page = shown("networks/index.html#family=unet")
    assert names(page) == ["unet"]
    page.get_by_role("button", name="all networks").click()
    page.wait_for_function("location.hash === ''")
    assert names(page) == [*FEW]
    page.get_by_text("Ops any").click()
    page.get_by_role("checkbox", name="conv_transpose").check()
    page.get_by_label("Order").select_option("fewest parameters")
    address = page.evaluate("location.hash")
    assert names(shown(f"networks/index.html{address}")) == ["unet"]
    page.get_by_role("checkbox", name="conv_transpose").uncheck()
    assert names(page) == ["lenet_5", "resnet_50", "unet"]


def test_a_text_that_is_no_number_is_named(shown: Any) -> None:
    page = shown("networks/index.html")
    field = page.get_by_role("group", name="MACs of one image").get_by_label("from")
    field.fill("fast")
    assert field.get_attribute("aria-invalid") == "true"
    assert page.get_by_role("status").inner_text() == (
        "3 of 3 networks. \u201cfast\u201d says no number: 4.1G, 25M and 25,557,032 do."
    )
    field.fill("4G")
    assert (field.get_attribute("aria-invalid"), names(page)) == ("false", ["resnet_50", "unet"])


def test_a_network_without_a_paper_is_in_no_range_of_years(shown: Any) -> None:
    page = shown("networks/index.html#year_from=1998&year_to=2015&order=-year")
    assert names(page) == ["resnet_50", "unet", "lenet_5"]


def test_the_search_finds_a_network_and_a_message(shown: Any) -> None:
    for words, first in (("U-Net", "U-Net"), ("E0402", "E0402: groups must divide the channels")):
        page = shown(f"search.html?q={words}")
        page.wait_for_selector("#search-results li a")
        assert page.locator("#search-results li a").first.inner_text() == first
