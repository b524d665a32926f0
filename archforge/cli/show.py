"""`archforge show`: the layers of a network, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from archforge.backends import AUTO, names
from archforge.cli.layer_rows import EXTRA_COLUMNS, LayerTable, joined_rows, node_rows, step_rows
from archforge.cli.options import (
    InputOption,
    JsonOption,
    ProfileOption,
    SetOption,
    SpecArgument,
    Warnings,
    WarningsOption,
    network_of,
)
from archforge.cli.output import print_json
from archforge.errors import did_you_mean, fail
from archforge.ir import Node, TypedGraph
from archforge.scopes import nodes_within, scope_names
from archforge.spec.printing.scalars import value_text

if TYPE_CHECKING:
    from archforge.analysis.network import Network
    from archforge.plan import Plan

__all__ = ["show"]

ALL = "all"
_COLUMNS = "; ".join(f"{name}: {column.says}" for name, column in EXTRA_COLUMNS.items())


def show(
    spec: SpecArgument,
    profile: ProfileOption = None,
    input: InputOption = None,
    set: SetOption = None,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth", "-d", min=1, metavar="N", help="Join layers whose names agree in their first N parts."
        ),
    ] = None,
    block: Annotated[
        str | None,
        typer.Option(
            "--block", "-b", metavar="NAME", help="Only this block or scope: `bottleneck`, `layer1.0`."
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--with", metavar="COLUMN,...", help=f"More columns. {_COLUMNS}; {ALL}."),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="PASS", help="Show the graph after this pass and those before it."),
    ] = None,
    as_plan: Annotated[
        bool, typer.Option("--plan", help="The steps that a backend runs, and what is fused into each.")
    ] = False,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend", metavar="NAME", help=f"The backend of --plan: {', '.join([AUTO, *names()])}."
        ),
    ] = None,
    warnings: WarningsOption = Warnings.DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Print every layer with its inputs, output, parameters and multiply-accumulates.

    A line names its inputs, unless the only one is the line above; `.bn2` is in the line's own scope.
    """
    if depth is not None and as_json:
        fail("E0001", "`--depth` does not go with `--json`", help="each row has its full name to join by")
    if as_plan and (after, block, depth) != (None, None, None):
        help = "leave out --after, --block and --depth"
        fail("E0001", "`--plan` shows every step, after all passes", help=help)
    if backend is not None and not as_plan:
        fail("E0001", "`--backend` is what runs the steps of a plan", help="add --plan")
    extra = _extra(columns)
    network = network_of(spec, profile, input, set, warnings)
    title = f"{network.spec.header.title or network.name}, profile {network.profile}"
    title = ", ".join((title, *network.expansion.setting_texts))
    typed = network.graph
    if as_plan:
        plan = _planned(typed, AUTO if backend is None else backend)
        typed = plan.graph
        rows = step_rows(plan)
        title += f", {len(rows)} steps on {plan.backend.name}"
    else:
        if after is not None:
            typed = _after(typed, after)
            title += f", after {after}"
        nodes = list(typed.nodes) if block is None else _of_block(typed, block)
        rows = joined_rows(nodes, depth) if depth else node_rows(nodes)
    shown = LayerTable(typed, rows, extra)
    if as_json:
        print_json(shown.json_rows())
        return
    text = shown.text(with_total=block is None)
    print(title)
    print(text)
    beside = sum(map(shown.macs, rows)) - shown.counts.macs
    if block is None and beside:
        print(f"the total leaves out {beside:,} MACs that the first output does not need")
    if block is None and not as_plan:
        print_recipe(network)
    if network.model_note:
        print(f"the network of {network.model}: {network.model_note}")


def print_recipe(network: Network) -> None:
    """Print how the network's spec trains it, and what that is documented to reach, if the spec says so."""
    if network.recipe is None:
        return
    print(f"train: {value_text(network.recipe.recipe.brief())}")
    for figure in network.recipe.reaches:
        found = "" if figure.computed is None else f", here {figure.computed:g}: {figure.because}"
        print(f"documented: {figure.name} {figure.documented:g} ({figure.source}){found}")


def _extra(columns: str | None) -> Sequence[str]:
    """The names of the columns of `--with`, in the order of the table. Raises E0001."""
    named = [name.strip() for name in columns.split(",")] if columns is not None else []
    for name in named:
        if name not in (*EXTRA_COLUMNS, ALL):
            help = did_you_mean(name, (*EXTRA_COLUMNS, ALL), what="columns")
            fail("E0001", f"there is no column `{name}` to show", help=help)
    return [name for name in EXTRA_COLUMNS if name in named or ALL in named]


def _after(typed: TypedGraph, name: str) -> TypedGraph:
    """The graph after a pass and those before it. Raises E0001 for a pass that does not exist."""
    from archforge.passes import optimise, passes_after

    return optimise(typed, without=passes_after(name)).graph


def _planned(typed: TypedGraph, backend: str) -> Plan:
    """The plan of the graph after all passes. Raises E0701."""
    from archforge import backends
    from archforge.plan import GraphCompiler

    return GraphCompiler(backends.get(backend)).plan(typed)


def _of_block(typed: TypedGraph, block: str) -> list[Node]:
    """The nodes of the first call of a block, or of a scope by its name."""
    scopes = typed.scopes
    found = next((s for s in scopes if block in (s.name, s.is_block and s.kind)), None) if block else None
    if found is None:
        help = did_you_mean(block, scope_names(scopes), what="blocks and scopes")
        fail("E0001", f"there is no block or scope `{block}`", help=help)
    return nodes_within(found, typed.nodes, scopes)
