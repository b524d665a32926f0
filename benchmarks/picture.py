"""The ratios of inference.py and training.py as an SVG: bars for each network, the line at 1, readable on
light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import report

PEERS = (*report.ENGINES, "torch")
WIDTH, LEFT, RIGHT, TOP = 860, 150, 44, 74
BAR, GAP, GROUP_GAP = 7, 2, 12  # heights
PANEL_GAP = 40
STEPS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # of the logarithmic axis

STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; }
.quiet { fill: #59636e; font-size: 11px; }
.value { font-size: 9px; fill: #59636e; }
.grid { stroke: #d1d9e0; stroke-width: 1; }
.one { stroke: #1f2328; stroke-width: 1.5; }
.onnxruntime { fill: #0969da; } .openvino { fill: #8250df; } .torch { fill: #bc4c00; }
.ncnn { fill: #1a7f37; } .mnn { fill: #9a6700; } .xnnpack { fill: #bf3989; }
.channels_last { fill: #8250df; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .quiet, .value { fill: #9198a1; }
  .grid { stroke: #3d444d; }
  .one { stroke: #f0f6fc; }
  .onnxruntime { fill: #4493f8; } .openvino { fill: #ab7df8; } .torch { fill: #f0883e; }
  .ncnn { fill: #3fb950; } .mnn { fill: #d29922; } .xnnpack { fill: #f778ba; }
  .channels_last { fill: #ab7df8; }
}
"""


def svg(
    rows: Sequence[dict[str, Any]],
    peers: Sequence[str] = PEERS,
    title: str = "Time of other libraries divided by that of archforge",
) -> str:
    """One panel for each size of batch, which is not named if it is 0, one group of bars for each network."""
    batches = sorted({row["batch"] for row in rows})
    networks = list(dict.fromkeys(row["network"] for row in rows))
    peers = [p for p in peers if any(p in row["median_s"] for row in rows)]
    found = [r for row in rows for p in peers if (r := report.ratio(row, p))]
    panel = (WIDTH - LEFT - RIGHT - PANEL_GAP * (len(batches) - 1)) / len(batches)
    scale = _Scale(found, panel)
    group = len(peers) * (BAR + GAP) - GAP + GROUP_GAP
    bottom = TOP + len(networks) * group
    height = bottom + 44
    parts = [*_heading(peers, title)]
    for i, network in enumerate(networks):
        middle = TOP + i * group + (group - GROUP_GAP) / 2 + 4
        parts.append(f'<text x="{LEFT - 10}" y="{middle:.1f}" text-anchor="end">{escape(network)}</text>')
    by_place = {(row["network"], row["batch"]): row for row in rows}
    for k, batch in enumerate(batches):
        left = LEFT + k * (panel + PANEL_GAP)
        parts += _axis(scale, left, panel, bottom, batch)
        for i, network in enumerate(networks):
            if row := by_place.get((network, batch)):
                parts += _bars(row, peers, scale, left, TOP + i * group)
        one = left + scale.at(1.0)
        parts.append(f'<line class="one" x1="{one:.1f}" y1="{TOP - 6}" x2="{one:.1f}" y2="{bottom}"/>')
    note = (
        "Logarithmic axis. Right of the line at 1, archforge is faster. Medians of interleaved runs, float32."
    )
    parts.append(f'<text class="quiet" x="{LEFT}" y="{height - 8}">{note}</text>')
    body = "\n".join(parts)
    size = f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n<style>{STYLE}</style>'
    return f"{head}\n{body}\n</svg>\n"


class _Scale:
    """Places of ratios on a logarithmic axis of a width that holds them all and 1."""

    def __init__(self, ratios: Sequence[float], width: float) -> None:
        self.low = max([s for s in STEPS if s <= min(ratios, default=1.0)], default=STEPS[0])
        self.low = min(self.low, 0.5)
        self.high = max(*ratios, 2.0) * 1.15 if ratios else 2.0
        self.width = width

    def at(self, ratio: float) -> float:
        inside = min(max(ratio, self.low), self.high)
        return self.width * math.log(inside / self.low) / math.log(self.high / self.low)

    def steps(self) -> list[float]:
        return [s for s in STEPS if self.low <= s <= self.high]


def _heading(peers: Sequence[str], title: str) -> Iterator[str]:
    yield f'<text class="title" x="{LEFT}" y="22">{title}</text>'
    x = LEFT
    for peer in peers:
        yield f'<rect class="{peer}" x="{x}" y="33" width="10" height="10" rx="2"/>'
        yield f'<text x="{x + 15}" y="42">{peer}</text>'
        x += 15 + 8 * len(peer) + 12


def _axis(scale: _Scale, left: float, panel: float, bottom: float, batch: int) -> Iterator[str]:
    if batch:
        x = left + panel
        yield f'<text class="quiet" x="{x:.1f}" y="{TOP - 12}" text-anchor="end">batch {batch}</text>'
    for step in scale.steps():
        x = left + scale.at(step)
        if step != 1.0:
            yield f'<line class="grid" x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom}"/>'
        yield f'<text class="quiet" x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{step:g}</text>'


def _bars(row: dict[str, Any], peers: Sequence[str], scale: _Scale, left: float, top: float) -> Iterator[str]:
    """Bars from the line at 1 to the ratio, on either side of it."""
    one = scale.at(1.0)
    for j, peer in enumerate(peers):
        found = report.ratio(row, peer)
        if found is None:
            continue
        end, y = scale.at(found), top + j * (BAR + GAP)
        x, width = left + min(one, end), max(abs(end - one), 0.5)
        yield f'<rect class="{peer}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" rx="1.5"/>'
        right = left + max(one, end) + 3
        yield f'<text class="value" x="{right:.1f}" y="{y + BAR - 1}">{found:.2f}</text>'
