"""`python -m website FOLDER [NETWORK ...]`: build the site into a folder, with all networks or with these."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Collection
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

from archforge.resources import zoo_folder
from archforge.spec.resolve.library import spec_files
from website.gallery import write_gallery
from website.networks import NetworkRow, write_network
from website.repository import ROOT, write_repository


def main(folder: str, *names: str) -> int:
    """Write the sources beside the folder, and the site into it. Returns the exit code: 0, or 1 where a page
    is not whole, such as by a link that leads nowhere."""
    site = Path(folder).resolve()
    sources = site.with_name(f"{site.name}-sources")
    for old in (site, sources):
        shutil.rmtree(old, ignore_errors=True)
    rows = _write_networks(names, sources, site)
    write_gallery(rows, sources)
    write_repository(sources, {row.name for row in rows})
    return _generated(sources, site)


def _write_networks(names: Collection[str], sources: Path, site: Path) -> list[NetworkRow]:
    """Write what there is of each network, by as many processes as there are processors."""
    shutil.copytree(zoo_folder(), site / zoo_folder().name)
    files = [file for file in spec_files(zoo_folder()) if not names or file.stem in names]
    with ProcessPoolExecutor() as pool:
        found = pool.map(partial(write_network, sources=sources, site=site), files, chunksize=4)
        return [row for row in found if row is not None]


def _generated(sources: Path, site: Path) -> int:
    """The pages of the sources, by Sphinx; a warning is a mistake."""
    app = Sphinx(
        srcdir=sources,
        confdir=None,
        outdir=site,
        doctreedir=site.with_name(f"{site.name}-doctrees"),
        buildername="html",
        confoverrides=OPTIONS,
        freshenv=True,
        warningiserror=True,
        parallel=os.cpu_count() or 1,
        status=None,
    )
    app.add_lexer("mermaid", TextLexer)  # Pygments has none
    app.add_search_language(_English)
    app.connect("doctree-read", _search_summaries_alone)
    app.connect("html-page-context", _Contents(), priority=400)  # before the theme's, which asks for them
    app.build()
    return int(app.statuscode)


def _search_summaries_alone(app: Sphinx, page: nodes.document) -> None:
    """Leave the sections of a network's page out of the search: all networks have the same ones."""
    if app.env.docname.startswith("networks/"):
        for section in page.findall(nodes.section):
            section["classes"] += [] if section.parent is page else ["no-search"]


class _Contents:
    """The contents beside pages that they do not list: the same for all of a folder, and made once."""

    def __init__(self) -> None:
        self.made: dict[tuple[object, ...], str] = {}

    def __call__(self, app: Sphinx, page: str, template: str, context: dict[str, Any], tree: object) -> None:
        if page in app.env.files_to_rebuild:  # listed, by pages that would change with it
            return
        make = context["toctree"]

        def contents(**options: Any) -> str:
            key = (PurePosixPath(page).parent, *options.items())
            if key not in self.made:
                self.made[key] = make(**options)
            return self.made[key]

        context["toctree"] = contents


# Words as the search has them, each made once.
_English = type("English", (SearchEnglish,), {"stem": cache(SearchEnglish.stem)})

OPTIONS = {
    "project": "archforge",
    "extensions": ["myst_parser"],
    "myst_heading_anchors": 6,
    "smartquotes": False,
    "html_theme": "furo",
    "html_title": "archforge",
    "html_static_path": [str(ROOT / "website" / "static")],
    "html_css_files": ["site.css"],
    "html_copy_source": False,
    "html_show_sphinx": False,
    "html_show_copyright": False,
    "html_use_index": False,
    # A summary of what the search finds would be fetched, which pages from a disk may not do.
    "html_show_search_summary": False,
}

if __name__ == "__main__":
    gc.set_threshold(200_000, 20)  # most of what is made stays: looking for garbage is a sixth of the time
    sys.exit(main(*sys.argv[1:]))
