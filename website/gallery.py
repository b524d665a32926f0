"""The gallery: every network of the zoo with its picture and counts, found by filters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from archforge.export.render import render
from website.networks import PICTURE, NetworkRow

__all__ = ["write_gallery"]

INTRODUCTION = """\
---
hide-toc: true
---
# Networks

{count} networks of the zoo. Counts are those of a network's first profile; its page has all profiles, the
documented figures with their sources, and files to take away. [The zoo as one table](../docs/zoo.md), with
errata, is a page of its own.

```{{raw}} html
{html}
```
"""


def write_gallery(rows: Sequence[NetworkRow], sources: Path) -> None:
    """Write the source of the page."""
    text = INTRODUCTION.format(count=len(rows), html=_html(rows))
    (sources / "networks" / "index.md").write_text(text, "utf-8")


def _html(rows: Sequence[NetworkRow]) -> str:
    families = Counter(row.family for row in rows)
    titles = {row.family: row.family_title for row in rows}
    ops = Counter(op for row in rows for op in row.ops)
    ranges = [
        _range("params", "Parameters", [f"{n:,}" for n in sorted(row.params for row in rows)]),
        _range("macs", "MACs of one image", [f"{n:,}" for n in sorted(row.macs for row in rows)]),
        _range("year", "Year of the paper", [str(n) for n in sorted(row.year for row in rows if row.year)]),
    ]
    return render(
        "site_gallery.html.j2",
        rows=[_facts(row) for row in sorted(rows, key=lambda row: row.name)],
        picture_file=PICTURE,
        families=[
            {"name": name, "title": titles[name], "count": families[name]}
            for name in sorted(families, key=lambda name: titles[name].lower())
        ],
        ops=[{"name": name, "count": ops[name]} for name in sorted(ops)],
        ranges=ranges,
    )


def _facts(row: NetworkRow) -> dict[str, object]:
    """A row with its counts as numbers and as texts, and an empty year for none."""
    return {
        **asdict(row),
        "year": row.year or "",
        "params_text": f"{row.params:,}",
        "macs_text": f"{row.macs:,}",
    }


def _range(name: str, title: str, figures: Sequence[str]) -> dict[str, str]:
    """The fields of a range, in which the least and the greatest of the figures stand for examples."""
    least, most = (figures[0], figures[-1]) if figures else ("", "")
    return {"name": name, "title": title, "least": least, "most": most}
