"""The per-layer ledger as CSV, for spreadsheets, and as JSON."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from archforge.analysis.ledger import LedgerRow
from archforge.export.target import Subject, Target
from archforge.ir import by_x
from archforge.json_text import json_lines

__all__ = ["TARGETS"]


def ledger_csv(subject: Subject) -> str:
    """The ledger as CSV: a header, one line for each node, and a line of totals."""
    book = subject.network.ledger
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    rows = [_cells(row) for row in book.rows]
    writer.writerow(rows[0] if rows else ())
    writer.writerows(row.values() for row in rows)
    totals = book.totals
    figures = (totals.weights, totals.biases, totals.buffers, totals.macs)
    writer.writerow(["", "total", "", "", "", "", "", *figures, "", ""])
    return text.getvalue()


def ledger_json(subject: Subject) -> str:
    """The ledger as JSON, with one node on each line."""
    book = subject.network.ledger
    return json_lines(
        {
            "name": subject.network.name,
            "profile": subject.network.profile,
            "rows": [_plain(row) for row in book.rows],
            "totals": subject.network.counts.by_cell(),
        }
    )


def _cells(row: LedgerRow) -> dict[str, object]:
    return {
        "index": row.index,
        "name": row.name,
        "op": row.op,
        "attributes": " ".join(
            f"{k}={json.dumps(v, separators=(',', ':'))}" for k, v in row.attributes.items()
        ),
        "inputs": " ".join(name for name, _ in row.inputs),
        "input_shapes": " ".join(by_x(shape) for _, shape in row.inputs),
        "output_shape": by_x(row.output),
        "weights": row.weights,
        "biases": row.biases,
        "buffers": row.buffers,
        "macs": row.macs,
        "blocks": " > ".join(f"{kind} {name}" for kind, name in row.blocks),
        "line": row.line,
    }


def _plain(row: LedgerRow) -> dict[str, Any]:
    return {
        "index": row.index,
        "name": row.name,
        "op": row.op,
        "attributes": dict(row.attributes),
        "inputs": [{"name": name, "shape": shape} for name, shape in row.inputs],
        "output": row.output,
        "weights": row.weights,
        "biases": row.biases,
        "buffers": row.buffers,
        "macs": row.macs,
        "blocks": [{"kind": kind, "name": name} for kind, name in row.blocks],
        "line": row.line,
    }


TARGETS = (
    Target(
        "ledger_csv",
        "ledger.csv",
        "every layer with its shapes, parameters and multiply-accumulates",
        ledger_csv,
        by_default=True,
    ),
    Target("ledger_json", "ledger.json", "the same for programs", ledger_json, by_default=True),
)
