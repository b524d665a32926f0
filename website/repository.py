"""Pages of the repository as sources of the site: links lead to what is there, and each code has a page."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator
from os.path import normpath, relpath
from pathlib import Path, PurePosixPath

from archforge.codes import CODES
from website.links import is_outside, relinked, targets
from website.networks import ORPHAN

__all__ = ["MARKDOWN", "ROOT", "write_repository"]

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (
    ".", "docs", "docs/decisions", "benchmarks", "benchmarks/results", "editors/vscode", "tests/data",
)  # fmt: skip
MARKDOWN = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.md"))

INDEX, START, MESSAGES, ZOO = "index.md", "docs/README.md", "docs/errors.md", "docs/zoo.md"
GALLERY = "networks/index.md"
PLACES = {"README.md": INDEX, "zoo_specs": GALLERY}


def write_repository(to: Path, networks: Collection[str]) -> None:
    """Write the pages to a folder. networks: the names of those that have a page."""
    _Repository(to, networks).write()


class _Repository:
    """The pages, and the folders and other files that they lead to."""

    def __init__(self, to: Path, networks: Collection[str]) -> None:
        self.to = to
        self.networks = networks
        self.texts = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in MARKDOWN}
        self.places = {page: PLACES.get(page, page) for page in self.texts}
        self.codes = {code: f"docs/messages/{code}.md" for code in CODES}
        self.listings: set[str] = set()

    def write(self) -> None:
        for page, text in self.texts.items():
            if page == MESSAGES:
                text = self._split(text)
            elif page == ZOO:
                text = self._with_networks(text)
            text = self._relinked(text, page, self.places[page])
            text = text if text.startswith("# ") else f"# {page}\n\n{text}"
            self._write(self.places[page], f"{ORPHAN}{text}" if _is_listed(page) else text)
        for folder in self.listings:
            self._write(f"{folder}/index.md", ORPHAN + self._listing(folder))
        with (self.to / INDEX).open("a", encoding="utf-8") as index:
            index.writelines(self._contents())

    def _write(self, place: str, text: str) -> None:
        file = self.to / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")

    def _relinked(self, text: str, page: str, place: str) -> str:
        """The text of a page at a place of the site."""
        return relinked(text, lambda target: self._target(target, page, place))

    def _target(self, target: str, page: str, place: str) -> str:
        """Where a link of a page leads on the site."""
        if is_outside(target) or target.startswith("#"):
            return target
        path, _, anchor = target.partition("#")
        found = self._found(_joined(page, path), anchor)
        to = relpath(found, PurePosixPath(place).parent)
        return to if found in self.codes.values() else f"{to}#{anchor}" if anchor else to

    def _found(self, path: str, anchor: str) -> str:
        """The place of a file or a folder of the repository; one that is no page is copied or listed."""
        if path == MESSAGES and anchor.upper() in self.codes:
            return self.codes[anchor.upper()]
        if path in PLACES:
            return PLACES[path]
        if not (ROOT / path).is_dir():
            if path not in self.places:
                self.to.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / path, self.to / path)
            return self.places.get(path, path)
        if f"{path}/README.md" in self.places:
            return f"{path}/README.md"
        self.listings.add(path)
        return f"{path}/index.md"

    # Pages that the repository has not

    def _split(self, text: str) -> str:
        """The page of all messages without its sections of codes, each of which is written as a page."""
        code_or_group = re.compile(r"^(?=### [EW]\d{4}$|## )", re.MULTILINE)
        kept = []
        for part in code_or_group.split(text):
            code = part[4:9]
            if code not in self.codes:
                kept.append(part)
                continue
            place = self.codes[code]
            _, body = part.split("\n", 1)
            section = f"{ORPHAN}# {code}: {CODES[code]}\n{body}"
            back = f"[All messages](../{PurePosixPath(MESSAGES).name})\n"
            self._write(place, f"{self._relinked(section, MESSAGES, place)}\n{back}")
        return re.sub(
            r"\(#([ew]\d{4})\)", lambda match: f"({PurePosixPath(MESSAGES).name}#{match[1]})", "".join(kept)
        )

    def _with_networks(self, text: str) -> str:
        """The page of the zoo with links to the pages of its networks."""
        up = relpath(PurePosixPath(GALLERY).parent, PurePosixPath(ZOO).parent)

        def link(match: re.Match[str]) -> str:
            name = match[1]
            return f'| <a href="{up}/{name}.html">{name}</a> |' if name in self.networks else match[0]

        return re.sub(r"^\| (\w+) \|", link, text, flags=re.MULTILINE)

    def _listing(self, folder: str) -> str:
        """A page for a folder: its pages by their titles, its other files by their names."""
        lines = [f"# {folder}/\n\n"]
        for file in sorted(path for path in (ROOT / folder).iterdir() if path.is_file()):
            place = self._found(f"{folder}/{file.name}", "")
            lines.append(f"- [{'' if place in self.texts else file.name}]({file.name})\n")
        return "".join(lines)

    # The contents beside each page

    def _contents(self) -> Iterator[str]:
        """The pages under the headings of the page that says which one is for whom, the rest behind."""
        left = dict.fromkeys(place for page, place in self.places.items() if not _is_listed(page))
        left.pop(INDEX)
        caption, groups = "Start", {"Start": [GALLERY]}
        for part in re.split(r"^(\*\*.*\*\*)$", self.texts[START], flags=re.MULTILINE):
            if part.startswith("**"):
                caption = part.strip("*")
                continue
            found = [self._found(_joined(START, t.partition("#")[0]), "") for t in targets(part)]
            for place in dict.fromkeys(found):
                if place in left or place.endswith("/index.md"):
                    groups.setdefault(caption, []).append(place)
                    left.pop(place, None)
        groups["More"] = [*left]
        for caption, places in groups.items():
            yield from _toctree(places, caption)


def _joined(page: str, path: str) -> str:
    return normpath(PurePosixPath(page).parent / path)


def _is_listed(page: str) -> bool:
    """True for a page to which that of its folder leads."""
    return page.startswith("docs/decisions/")


def _toctree(places: list[str], caption: str) -> Iterator[str]:
    """The lines of a part of the contents, as MyST has it."""
    yield f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n"
    yield from (f"{place}\n" for place in places)
    yield "```\n"
