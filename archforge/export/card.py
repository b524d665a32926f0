"""`model_card.md`: what the network is, whose figures it was held against, and how to use the files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from shlex import quote
from typing import Any

from archforge.analysis.checks import MARKS, Cell
from archforge.analysis.network import Network
from archforge.export.architecture_table import ArchitectureRow, architecture_table
from archforge.export.render import render
from archforge.export.target import Subject, Target
from archforge.ir import by_x

__all__ = ["TARGETS", "card_facts", "model_card"]

SHOWN = 3  # arrays that stand for all


def model_card(subject: Subject) -> str:
    """The card in Markdown."""
    return render("model_card.md.j2", **card_facts(subject))


def card_facts(subject: Subject) -> dict[str, Any]:
    """All that the template of the card prints, and those that extend it, by the names there."""
    network = subject.network
    graph = network.graph
    return {
        "title": _words(network.spec.header.title or network.name),
        "summary": _summary(network),
        "warnings": [*_warnings(network)],
        "inputs": [{"name": n, "shape": str(t)} for n, t in graph.inputs.items()],
        "pictures": _pictures(network),
        "outputs": [{"name": n, "shape": str(graph.types[v])} for n, v in graph.outputs.items()],
        "profiles": [_counts(n, chosen=n.profile == network.profile) for n in subject.profiles],
        "sources": [source for n in subject.profiles for source in _sources(n)],
        "unchecked": [n.profile for n in subject.profiles if not n.cells],
        "architecture": [_row(row) for row in architecture_table(network)],
        "arrays": _arrays(network),
        "name": network.name,
        "profile": network.profile,
        "commands": [*_commands(subject)],
        "files": [{"file": file, "says": says} for file, says in subject.files.items()],
    }


def _summary(network: Network) -> str:
    equals = f", the network of `{network.model}`" if network.model else ""
    paper = network.spec.header.paper
    source = f" Paper: {_paper(paper)}." if paper else ""
    return f"`{network.name}`, profile `{network.profile}`{equals}.{source}"


def _warnings(network: Network) -> Iterator[str]:
    """Warnings for a reader: the network departs from what its name promises, or was changed by hand."""
    header = network.spec.header
    if header.departs:
        yield f"**Departs:** {_words(header.departs)}.{_recommended(network)}"
    if network.expansion.is_changed:
        parts = [f"`{_words(text)}`" for text in network.expansion.setting_texts]
        parts += [f"the input {_shapes(network)}"] if network.expansion.input_shape is not None else []
        yield f"**Changed:** {', '.join(parts)} by hand, so the documented figures do not apply."


def _recommended(network: Network) -> str:
    name = network.spec.header.recommended
    if not name:
        return ""
    option = f" (`--profile {name}`)" if name in network.spec.profile_names else ""
    return f" Recommended: `{name}`{option}."


def _words(text: str) -> str:
    """Words of a spec on one line, in which nothing can break a table of Markdown."""
    return " ".join(text.split()).replace("|", "\\|")


def _paper(paper: str) -> str:
    """The paper as Markdown, a link where its number has a known kind."""
    for prefix, address in (("arXiv:", "https://arxiv.org/abs/"), ("doi:", "https://doi.org/")):
        if re.fullmatch(rf"{prefix}[\w./()-]+", paper):
            return f"[{paper}]({address}{paper.removeprefix(prefix)})"
    return _words(paper)


def _pictures(network: Network) -> str:
    """The preprocessing that the profile prescribes, in words; empty without one, or without a picture."""
    recipe = network.preprocessing
    shape, *others = (t.shape for t in network.graph.inputs.values())
    if recipe is None or others or len(shape) != 3:
        return ""
    source = f" ({_words(recipe.source)})" if recipe.source else ""
    return f"{recipe.describe(shape)}{source}"


def _counts(network: Network, *, chosen: bool) -> dict[str, Any]:
    name = f"**{network.profile}**" if chosen else network.profile
    return {"profile": name, "model": network.model or ""} | {
        k: f"{v:,}" for k, v in network.counts.by_cell().items()
    }


def _sources(network: Network) -> Iterator[dict[str, Any]]:
    """The cells of a profile under the source that they come from."""
    cells = sorted(network.cells, key=lambda c: [n.source for n in network.cells].index(c.source))
    for source, group in groupby(cells, key=lambda c: c.source):
        yield {"profile": network.profile, "source": _words(source), "cells": [_cell(c) for c in group]}


def _cell(cell: Cell) -> dict[str, str]:
    return {
        "cell": cell.cell,
        "documented": _figure(cell.documented),
        "computed": _figure(cell.computed),
        "mark": MARKS[cell.status],
        "note": _words("; ".join(cell.notes)),
    }


def _figure(figure: int | str) -> str:
    return f"{figure:,}" if isinstance(figure, int) else _words(figure)


def _row(row: ArchitectureRow) -> dict[str, str]:
    return {
        "name": _words(row.name),
        "says": _words(row.says),
        "output": by_x(row.output),
        "params": f"{row.params:,}" if row.params else "",
        "macs": f"{row.macs:,}" if row.macs else "",
    }


def _arrays(network: Network) -> str:
    """A sentence on the arrays: their number, names and shapes of some, and the model that named them."""
    params = network.params
    names = list(params)
    shown = names if len(names) <= SHOWN else [*names[: SHOWN - 1], names[-1]]
    examples = ", ".join(f"`{name}` {'x'.join(map(str, params[name].shape))}" for name in shown)
    like = f", named and shaped like {examples}" if names else ""
    whose = f" The names are those of `{network.model}`." if network.model else ""
    if network.model_note:
        whose = f" {network.model_note}."
    return f"{len(names)} arrays{like}.{whose}"


def _commands(subject: Subject) -> Iterator[str]:
    """Lines of a shell that run the network on weights of the reader's."""
    if "model.py" in subject.files:
        yield "python model.py WEIGHTS"
    network = subject.network
    changes = [f" --set {quote(text)}" for text in network.expansion.setting_texts]
    changes += [f" --shape {_shapes(network)}"] if network.expansion.input_shape is not None else []
    named = f"archforge run {network.name} --profile {network.profile}{''.join(changes)}"
    yield f"{named} --weights WEIGHTS --input random"


def _shapes(network: Network) -> str:
    """The shapes of the inputs, as `--shape` takes them."""
    inputs = network.graph.inputs
    return ",".join(str(t) if len(inputs) == 1 else f"{name}={t}" for name, t in inputs.items())


TARGETS = (Target("card", "model_card.md", "this card", model_card, by_default=True),)
