"""The zoo as a page: every network with its counts and marks, and the errata of the documented tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from archforge.analysis.activation_memory import BYTES_PER_ELEMENT, activation_peak
from archforge.analysis.checks import MARKS, Cell
from archforge.analysis.network import Network, Report, SpaceFacts
from archforge.export.render import render

__all__ = ["released", "zoo_page"]

MEBIBYTE = 2**20


def zoo_page(reports: Iterable[Report]) -> str:
    """Markdown for `docs/zoo.md`. Broken specs, and what is neither a network nor a space, are left out."""
    counted, spaces = [], []
    for report in reports:
        counted += [report] if report.networks else []
        spaces += [_space(report, facts) for facts in report.spaces]
    networks = [r for r in counted if r.is_network]
    everything = [n for r in counted for n in r.networks]
    profiles = [n for n in everything if not n.spec.block]
    blocks = [n for n in everything if n.spec.block]
    cells = [c for n in everything for c in n.cells]
    return render(
        "zoo.md.j2",
        networks=len(networks),
        profiles=len(profiles),
        cases=len(blocks),
        cells=f"{len(cells):,}",
        by_rule=sum(c.rule is not None and c.status == "ok" for c in cells),
        explained=sum(c.status == "explained" for c in cells),
        mismatches=sum(c.status == "mismatch" for c in cells),
        rows=[_row(n, first=n.profile == n.spec.profile_names[0]) for n in profiles],
        blocks=[_row(n, first=n.profile == n.spec.profile_names[0]) for n in blocks],
        spaces=spaces,
        errata=[_erratum(n, c) for n in everything for c in n.cells if c.because and not _is_library(n)],
        countings=[_erratum(n, c) for n in everything for c in n.cells if c.because and _is_library(n)],
        rules=[_rule(n, c) for n in everything for c in n.cells if c.rule],
        released=[*released(profiles)],
        departures=[_departure(r) for r in networks if r.spec and r.spec.header.departs],
        repairs=[_repair(r) for r in networks if r.spec and r.spec.header.repaired],
    )


def _row(network: Network, *, first: bool) -> dict[str, str]:
    """One line of the table; the network's name stands on its first profile only."""
    counts, figures = network.counts, network.figures
    peak = activation_peak(network.graph) * BYTES_PER_ELEMENT / MEBIBYTE
    return {
        "name": network.name if first else "",
        "profile": network.profile,
        "input": str(figures["input"]),
        "output": str(figures["output"]),
        "layers": f"{counts.layers:,}",
        "weights": f"{counts.weights:,}",
        "biases": f"{counts.biases:,}",
        "params": f"{counts.params:,}",
        "macs": f"{counts.macs:,}",
        "peak": f"{peak:.3g}",
        "marks": _marks(network),
        "sources": "; ".join(dict.fromkeys(c.source for c in network.cells)),
    }


def _space(report: Report, facts: SpaceFacts) -> dict[str, str]:
    """One line of the table of spaces; the space's name stands on its first profile only."""
    return {
        "name": report.name if facts is report.spaces[0] else "",
        "profile": facts.profile,
        "input": facts.input,
        "size": facts.size,
    }


def _marks(network: Network) -> str:
    """`7 ✓ 1 ≈`: the cells that hold and those that are explained; `unchecked` without any."""
    statuses = Counter(cell.status for cell in network.cells)
    return " ".join(f"{n} {MARKS[s]}" for s in MARKS if (n := statuses[s])) or "unchecked"


def _is_library(network: Network) -> bool:
    """True if the profile's figures are a library's own, which are true as the library counts."""
    return network.spec.profile(network.profile).model is not None


def _erratum(network: Network, cell: Cell) -> dict[str, Any]:
    because = cell.because or {}
    reasons = [f"{r} ({s:+,})" if isinstance(s, int) else r for r, s in because.items()]
    return {
        "name": network.name,
        "cell": cell.cell,
        "documented": _figure(cell.documented),
        "computed": _figure(cell.computed),
        "reasons": "; ".join(reasons),
        "source": cell.source,
    }


def _rule(network: Network, cell: Cell) -> dict[str, Any]:
    return {
        "name": network.name,
        "cell": cell.cell,
        "documented": _figure(cell.documented),
        "layers": f"{network.counts.layers:,}",
        "says": cell.says,
    }


def released(profiles: Iterable[Network]) -> Iterator[dict[str, str]]:
    """Facts about the released weights of those profiles that have some."""
    for network in profiles:
        decl = network.spec.profile(network.profile)
        weights = ", ".join(f"`{name}`" for name in decl.weights)
        if weights:
            yield {"name": network.name, "profile": decl.name, "model": decl.model or "", "weights": weights}


def _departure(report: Report) -> dict[str, Any]:
    assert report.spec is not None  # the caller has looked
    header = report.spec.header
    return {"name": report.name, "departs": header.departs, "recommended": header.recommended or ""}


def _repair(report: Report) -> dict[str, Any]:
    assert report.spec is not None  # the caller has looked
    return {"name": report.name, "repaired": report.spec.header.repaired}


def _figure(figure: int | str) -> str:
    return f"{figure:,}" if isinstance(figure, int) else figure
