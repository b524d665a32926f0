"""Pages of networks: the card of each with its picture, exports and spec; beside it a page to work with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from archforge import driver
from archforge.analysis.network import Report
from archforge.cli.output import counted
from archforge.errors import DiagnosticError
from archforge.export import Subject, Target, all_targets
from archforge.export.card import card_facts
from archforge.export.network_page import network_page
from archforge.export.render import render
from archforge.export.svg import drawn
from archforge.export.target import DrawingOptions
from archforge.export.zoo_page import released
from archforge.resources import zoo_folder
from archforge.spec.resolve.library import Library
from archforge.spec.resolve.spec import Spec

__all__ = ["NetworkRow", "write_network", "year_of"]

PAGE, PICTURE = "page.html", "picture.svg"
# The gallery leads to these pages, not the contents.
ORPHAN = "---\norphan: true\n---\n"
# Targets whose files are left to commands of the reader's: the two take as long as half of the others.
COMMANDS_ALONE = ("keras", "mlx")
# Of papers that have no number of arXiv: when they were presented, perhaps before the print that is cited.
YEARS = {"doi:10.1109/5.726791": 1998, "doi:10.1145/3065386": 2012}


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """The facts of a network by which it is found; its counts are those of its first profile.

    family: the spec that it extends in the end. year: that of its paper, 0 without one. ops: those of all
    profiles.
    """

    name: str
    title: str
    family: str
    family_title: str
    year: int
    params: int
    macs: int
    layers: int
    ops: tuple[str, ...]
    profiles: tuple[str, ...]


def write_network(spec_file: Path, sources: Path, site: Path) -> NetworkRow | None:
    """Write the source of a network's page, and to the site the files beside it; nothing for a spec that is
    no network. Raises `DiagnosticError` for a broken one."""
    report = driver.report(spec_file, _library())
    if report.diagnostics:
        raise DiagnosticError(report.diagnostics)
    if report.spec is None or not (report.is_network and report.networks):
        return None
    return _write(report, report.spec, sources, site)


def year_of(paper: str) -> int:
    """The year of a paper, by its number of arXiv or `YEARS`. Raises KeyError for one with neither."""
    match = re.match(r"arXiv:(\d\d)\d\d\.\d{4,5}", paper)
    return 2000 + int(match[1]) if match else YEARS[paper.partition(" ")[0]]


@cache
def _library() -> Library:
    """The templates, each read once in a process."""
    return Library()


def _write(report: Report, spec: Spec, sources: Path, site: Path) -> NetworkRow:
    network, name = report.networks[0], report.name
    folder = site / "networks" / name
    folder.mkdir(parents=True, exist_ok=True)
    subject = Subject(network, report.networks)
    exports = [*_exports(subject, folder)]
    picture = drawn(network, DrawingOptions())
    (folder / PICTURE).write_text(picture.text, "utf-8")
    (folder / PAGE).write_text(network_page(report.networks), "utf-8")
    row = _row(report, spec)
    text = render(
        "site_network.md.j2",
        **card_facts(subject),
        family=row.family,
        family_title=row.family_title,
        year=row.year,
        page_file=PAGE,
        picture_file=PICTURE,
        width=round(picture.width),
        height=round(picture.height),
        released=[*released(report.networks)],
        exports=exports,
        profile_count=counted(len(report.networks), "profile"),
        specs=[f"{name}.yaml" for name in (report.name, *_bases(spec))],
        spec=spec.document.source.text.rstrip(),
    )
    source = sources / "networks" / f"{name}.md"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(f"{ORPHAN}{text}", "utf-8")
    return row


def _row(report: Report, spec: Spec) -> NetworkRow:
    network = report.networks[0]
    family = [report.name, *_bases(spec)][-1]
    counts = network.counts
    return NetworkRow(
        report.name,
        spec.header.title or report.name,
        family,
        _title(family),
        year_of(spec.header.paper) if spec.header.paper else 0,
        counts.params,
        counts.macs,
        counts.layers,
        tuple(sorted({row.op for n in report.networks for row in n.ledger.rows})),
        tuple(n.profile for n in report.networks),
    )


def _bases(spec: Spec) -> Iterator[str]:
    """The names of the specs that one extends, the nearest first."""
    name = spec.document.header.extends
    while name:
        yield name
        name = _library().read(zoo_folder() / f"{name}.yaml").header.extends


def _title(name: str) -> str:
    """The title of a spec of the zoo."""
    title = _library().read(zoo_folder() / f"{name}.yaml").header.title or name
    return title.removesuffix(" family")


def _exports(subject: Subject, folder: Path) -> Iterator[dict[str, str]]:
    """A line for each target; its file, a link where it is there, is written to the folder."""
    for target in all_targets().values():
        yield {"target": target.name, "says": _says(target), "file": _written(target, subject, folder)}


def _written(target: Target, subject: Subject, folder: Path) -> str:
    if target.needs_weights or target.name in COMMANDS_ALONE:
        return f"`{target.file}`"
    try:
        (folder / target.file).write_bytes(target.content(subject))
    except DiagnosticError as error:
        reasons = "; ".join(dict.fromkeys(d.message for d in error.diagnostics))
        return f"none: {reasons}"
    return f'<a href="{folder.name}/{target.file}">{target.file}</a>'


def _says(target: Target) -> str:
    """The meaning of a target's file, with a link where it names a page."""
    return re.sub(r"docs/(\w+\.md)", r"[\1](../docs/\1)", target.says)
