"""Files of the repository that are generated from the code, each with the text that it must hold now.

`make generated` writes all of them; tests hold them. A page is generated in part only: what stands between
`<!-- generated: NAME -->` and `<!-- end -->`, and what its sessions print.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tests.pages import errors, reference
from tests.pages.api import API_PARTS
from tests.pages.coverage import coverage
from tests.pages.exports import EXPORT_PARTS
from tests.pages.libraries import libraries_page
from tests.pages.lint import LINT_PARTS
from tests.pages.markdown import with_parts
from tests.pages.pictures import PICTURES
from tests.pages.recipes import DATA_PARTS, recipes_page
from tests.pages.results import RESULTS_PARTS
from tests.pages.sessions import refreshed
from tests.pages.source import SOURCE_PARTS

__all__ = ["DOCS", "PAGES", "README", "REGENERATE", "ROOT", "generated"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"

# What a test says of a file that is not as it would be generated.
REGENERATE = "not what the code gives now: run `make generated` and read the diff"


PARTS: Mapping[str, Callable[[], str]] = {
    **DATA_PARTS,
    **reference.LANGUAGE_PARTS,
    **API_PARTS,
    **RESULTS_PARTS,
    **EXPORT_PARTS,
    **SOURCE_PARTS,
    **LINT_PARTS,
    "coverage": coverage,
}


def _page(name: str) -> str:
    """The text of a page that is generated in part: its parts made anew, then its sessions run."""
    return refreshed(with_parts((ROOT / name).read_text("utf-8"), PARTS))


def _onnx_conformance() -> str:
    from tests.onnx_conformance import render

    return render()


def _graphs_without_golden() -> str:
    from tests.test_zoo_numerics import pinned_text

    return pinned_text()


def _lines_when_folded() -> str:
    from tests.test_fold import folded_text

    return folded_text()


IN_PART = (
    "README.md",
    "docs/coverage.md",
    "docs/explain.md",
    "docs/export.md",
    "docs/onnx.md",
    "docs/data.md",
    "docs/diff.md",
    "docs/distributed.md",
    "docs/formatting.md",
    "docs/interchange.md",
    "docs/language.md",
    "docs/life_of_a_network.md",
    "docs/lint.md",
    "docs/pictures.md",
    "docs/python_api.md",
    "docs/results.md",
    "docs/source.md",
    "docs/training.md",
    "docs/ci.md",
    "docs/tutorial.md",
)

# The pages of docs/ and README.md, their pictures, and the schema, by path; one test holds them all.
PAGES: Mapping[Path, Callable[[], str]] = {
    **{ROOT / name: partial(_page, name) for name in IN_PART},
    DOCS / "errors.md": errors.page,
    DOCS / "libraries.md": libraries_page,
    DOCS / "ops.md": reference.ops_page,
    DOCS / "recipes.md": recipes_page,
    DOCS / "zoo.md": reference.zoo_text,
    **{DOCS / "pictures" / name: picture for name, picture in PICTURES.items()},
    reference.SCHEMA: reference.schema_text,
}


def generated() -> Mapping[Path, Callable[[], str]]:
    """Every generated file: the pages, and those that tests of their own hold."""
    specs = (*errors.CASES, *errors.WARNED)
    return {
        **{path.with_suffix(".txt"): partial(errors.printed, path) for path in specs},
        ROOT / "tests" / "data" / "folded.json": _lines_when_folded,
        ROOT / "tests" / "data" / "graphs.json": _graphs_without_golden,
        DOCS / "onnx_conformance.md": _onnx_conformance,
        **PAGES,
    }
