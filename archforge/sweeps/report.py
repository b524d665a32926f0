"""The report of a sweep: a page of HTML that needs nothing beside it, the figures behind it as CSV."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from archforge.analysis.sampling import COUNTS
from archforge.export.render import render
from archforge.ops.lazy_numpy import np
from archforge.sweeps.charts import Chart, Series, charts_svg
from archforge.sweeps.findings import (
    Distribution,
    SpaceFindings,
    arguments,
    columns,
    frontier,
    likely_best,
    measured,
)
from archforge.training.history import history_csv, write_text

__all__ = ["BEST", "write_report"]

WORDS = "words"
PICTURES = ("distribution", "frontier")
BEST = 5  # networks of each space that are told of
MOST_VALUES = 20  # of an argument that is no number, each of which is a row
SHOWN = 10  # draws that failed for one reason
MEASURES = {
    "macs": "multiply-accumulates",
    "params": "parameters",
    "activations": "activations",
    "seconds": "seconds of training",
}


class PagePart(NamedTuple):
    """A part of the page: a text, a picture and a table, where they are there. table: its class, `WORDS` if
    the last column is text."""

    title: str
    text: str = ""
    svg: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    table: str = "figures"


def write_report(folder: Path, spaces: Sequence[SpaceFindings], settings: Mapping[str, str]) -> list[Path]:
    """Write the page, its first pictures and the figures behind it into a folder, and give their paths.
    settings: of the sweep, each as JSON. Raises E0705."""
    trained = [space for space in spaces if space.trained]
    distributions = {space.name: space.distribution() for space in trained}
    pictures = [_distributions(distributions, _error(trained)), _frontiers(trained)] if trained else []
    texts = {
        "samples.csv": _csv(_sample_rows(spaces)),
        "distribution.csv": _csv(_distribution_rows(distributions)),
        "frontier.csv": _csv(_frontier_rows(trained)),
        **{f"{name}.svg": part.svg for name, part in zip(PICTURES, pictures, strict=False)},
        "report.html": _page(spaces, trained, pictures, settings),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in reversed(texts)]


def _page(
    spaces: Sequence[SpaceFindings],
    trained: Sequence[SpaceFindings],
    pictures: Sequence[PagePart],
    settings: Mapping[str, str],
) -> str:
    parts = [_summary(spaces), *pictures, *map(_arguments, trained), *map(_best, trained)]
    if any(space.failed for space in spaces):
        parts.append(_failures(spaces))
    plain = {name: json.loads(value) for name, value in settings.items()}
    facts = [(name, _words(value)) for name, value in plain.items() if value not in (None, {})]
    names = ", ".join(space.name for space in spaces)
    return render("sweep.html.j2", title=f"Sweep of {names}", facts=facts, parts=parts)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {item}" for name, item in value.items())
    return str(value)[:32]


def _error(trained: Sequence[SpaceFindings]) -> str:
    """The figure that errors come from, in words."""
    name = trained[0].trained[0].figure
    return f"1 - {name}" if name.endswith("accuracy") else name


def _summary(spaces: Sequence[SpaceFindings]) -> PagePart:
    rows = []
    for space in spaces:
        row = [space.name, str(len(space.trained)), str(len(space.failed))]
        if space.trained:
            low, middle, high = space.median()
            errors = space.errors
            figures = (errors.min(), middle, low, high, errors.mean())
            row += [f"{figure:.4f}" for figure in figures]
        rows.append(row)
    names = ("space", "trained", "failed", "least error", "median", "from", "to", "mean")
    text = (
        "The median is between the two figures beside it in 95 % of what is drawn again from these networks."
    )
    return PagePart("Spaces", text, columns=names, rows=rows)


def _distributions(distributions: Mapping[str, Distribution], error: str) -> PagePart:
    series = []
    for number, (name, found) in enumerate(distributions.items()):
        low, high = (_stairs(found.errors, shares) for shares in (found.low, found.high))
        line = _stairs(found.errors, found.shares)
        series.append(Series(name, number, line=line, band=[*low, *reversed(high)]))
    text = "The share F(e) of the networks of a space whose error is at most e; bands hold 95 % of resamples."
    chart = Chart("F(e)", f"error ({error})", series, is_share=True)
    return PagePart("Distributions of errors", text, charts_svg("F(e)", [chart]))


def _stairs(errors: Any, shares: Any) -> list[tuple[float, float]]:
    """The corners of a function that rises at each error."""
    before = [0.0, *shares[:-1]]
    pairs = zip(errors, before, shares, strict=True)
    return [(float(e), float(share)) for e, old, new in pairs for share in (old, new)]


def _frontiers(trained: Sequence[SpaceFindings]) -> PagePart:
    charts = []
    for measure, words in MEASURES.items():
        series = []
        for number, space in enumerate(trained):
            dots = [(measured(one, measure), one.error) for one in space.trained]
            line = [(step.value, step.error) for step in frontier(space.trained, measure)]
            series.append(Series(space.name, number, dots, line))
        charts.append(Chart(f"Error against {words}", measure, series))
    text = "Each dot is a network; the line joins those that no other beats in both."
    return PagePart("Frontiers", text, charts_svg("Frontiers", charts))


def _arguments(space: SpaceFindings) -> PagePart:
    every = [columns(one.row, COUNTS) for one in space.trained]
    names = [name for name in every[0] if all(name in row for row in every)]
    charts = []
    for name in names:
        values = np.array([row[name] for row in every])
        if values.min() < values.max():
            best, bottom, top = likely_best(values, space.errors), space.errors.min(), space.errors.max()
            band = [(best.low, bottom), (best.high, bottom), (best.high, top), (best.low, top)]
            dots = [*zip(values.tolist(), space.errors.tolist(), strict=True)]
            line = [(best.middle, bottom), (best.middle, top)]
            said = f"{best.low:.4g} to {best.high:.4g}"
            charts.append(Chart(name, name, [Series(said, 0, dots, line, band)]))
    text = (
        "Bands: where the best of a quarter of the networks, drawn again and again, lies in 95 of 100 cases."
    )
    svg = charts_svg(f"Arguments of {space.name}", charts) if charts else ""
    rows, title = _words_rows(space, names), f"Error against each argument of {space.name}"
    heads = ("argument", "networks", "least error", "median", "value")
    return PagePart(title, text, svg, heads, rows, table=WORDS)


def _words_rows(space: SpaceFindings, charted: Iterable[str]) -> list[list[str]]:
    """Each value of the arguments that are no numbers, with the errors of its networks. charted: the columns
    that have a chart."""
    charted_names = {name.partition("[")[0] for name in charted}
    groups: dict[tuple[str, str], list[float]] = {}
    for one in space.trained:
        for name, value in arguments(one.row, COUNTS).items():
            if name not in charted_names:
                groups.setdefault((name, _plain(value)), []).append(one.error)
    several = Counter(name for name, _ in groups)
    return [
        [name, str(len(errors)), f"{min(errors):.4f}", f"{np.median(errors):.4f}", value]
        for (name, value), errors in sorted(groups.items())
        if 1 < several[name] <= MOST_VALUES
    ]


def _plain(value: Any) -> str:
    """A value in a table: numbers of up to 6 digits."""
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _best(space: SpaceFindings) -> PagePart:
    rows = []
    for one in space.best(BEST):
        figures = (f"{measured(one, name):,.6g}" for name in MEASURES)
        drawn = ", ".join(f"{name} = {_plain(value)}" for name, value in one.job.draw.values.items())
        rows.append([str(one.job.draw.number), f"{one.error:.4f}", *figures, drawn])
    text, names = "Their specs lie in the folder best.", ("draw", "error", *MEASURES, "drawn")
    return PagePart(f"The best of {space.name}", text, columns=names, rows=rows, table=WORDS)


def _failures(spaces: Sequence[SpaceFindings]) -> PagePart:
    """The reasons, each with its first draws: samples.csv has all of them."""
    draws: dict[tuple[str, str], list[str]] = {}
    for space in spaces:
        for one in space.failed:
            if one.record:
                draws.setdefault((space.name, one.record.reason), []).append(str(one.job.draw.number))
    rows = [
        [name, str(len(found)), ", ".join(found[:SHOWN]) + ", ..." * (len(found) > SHOWN), reason]
        for (name, reason), found in draws.items()
    ]
    heads = ("space", "networks", "draws", "reason")
    return PagePart("Networks that failed", columns=heads, rows=rows, table=WORDS)


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows under a header of all their names; a list is JSON."""
    return history_csv(
        [{k: json.dumps(v) if isinstance(v, list | bool) else v for k, v in row.items()} for row in rows]
    )


def _sample_rows(spaces: Sequence[SpaceFindings]) -> list[dict[str, Any]]:
    """A row for each network: what came of it, its arguments and counts, its history."""
    found = []
    for space in spaces:
        for one in sorted((*space.trained, *space.failed), key=lambda one: one.job.draw.number):
            record = one.record
            if record:
                came = {"error": record.error, "reason": record.reason, "seconds": record.seconds}
                history = {"history": [*map(dict, record.history)]}
                found.append({"space": space.name, **one.row, **came, "machine": record.machine, **history})
    return found


def _distribution_rows(distributions: Mapping[str, Distribution]) -> list[dict[str, Any]]:
    return [
        {"space": name, "error": float(e), "share": float(s), "low": float(a), "high": float(b)}
        for name, found in distributions.items()
        for e, s, a, b in zip(*found, strict=True)
    ]


def _frontier_rows(trained: Sequence[SpaceFindings]) -> list[dict[str, Any]]:
    return [
        {"space": space.name, "measure": measure, **step._asdict()}
        for space in trained
        for measure in MEASURES
        for step in frontier(space.trained, measure)
    ]
