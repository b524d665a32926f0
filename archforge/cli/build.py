"""`archforge build`: a network held against its documented figures, and the files to use it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from archforge import driver
from archforge.analysis.checks import Cell
from archforge.analysis.network import Network
from archforge.cli.compile_options import BackendOption, StrictOption
from archforge.cli.exit_codes import CHECK_FAILED
from archforge.cli.options import (
    InputOption,
    JsonOption,
    ProfileOption,
    SetOption,
    SpecArgument,
    Warnings,
    WarningsOption,
    heed,
    input_shape,
    settings,
)
from archforge.cli.output import mark, paint, print_diagnostics, print_json, table
from archforge.cli.progress import Progress
from archforge.paths import is_there
from archforge.spec.resolve.spec import Spec

__all__ = ["build"]


def build(
    spec: SpecArgument,
    profile: ProfileOption = None,
    backend: BackendOption = "auto",
    input: InputOption = None,
    set: SetOption = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="DIR", help="Where to write. Default: build/NAME.")
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Write the files even where a check fails.")
    ] = False,
    strict_backend: StrictOption = False,
    warnings: WarningsOption = Warnings.DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Check a network's figures, compile it, and write its graph, ledger, card and a stand-alone model.py."""
    with Progress(f"building {spec}"):
        built = driver.build(
            driver.open_spec(spec),
            profile,
            settings=settings(set),
            input_shape=input_shape(input),
            backend=backend,
            strict=strict_backend,
            folder=Path(output) if output else None,
            keep_going=keep_going,
            refuse_warnings=warnings is Warnings.ERROR,
        )
    if as_json:
        print_json(built.to_json())
    else:
        print(_text(built))
    heed(built.warnings, warnings)
    _tell_refused(built)
    if not built.ok:
        print_diagnostics(p for n in built.networks for p in n.problems)
        if not built.files and not built.refused:
            print("a check failed: nothing is written (--keep-going writes all the same)", file=sys.stderr)
        raise typer.Exit(CHECK_FAILED)


def _tell_refused(built: driver.Build) -> None:
    """Print the files that are not written, with the reasons, on standard error."""
    sys.stdout.flush()  # what came before stays before
    for index, (path, refusal) in enumerate(built.refused):
        older = ", and the one there is not of this build" if is_there(path) else ""
        reason = f"the target `{refusal.target.name}` refuses the network"
        blank = "\n" if index else ""
        print(f"{blank}{path.as_posix()} is not written{older}: {reason}", file=sys.stderr)
        print_diagnostics(refusal.diagnostics)


def _text(built: driver.Build) -> str:
    spec = built.chosen.spec
    parts = [_heading(built.chosen), _counts(built), _checks(built)]
    if spec.header.repaired:
        parts.append(f"{paint('repaired', 'yellow')}: {spec.header.repaired}")
    if spec.header.departs:
        parts.append(_departs(spec))
    if built.files:
        parts.append(_written(built))
    return "\n\n".join(parts)


def _heading(network: Network) -> str:
    spec = network.spec
    inputs = network.graph.inputs
    shape = ", ".join(str(t) if len(inputs) == 1 else f"{name} {t}" for name, t in inputs.items())
    lines = [paint(spec.header.title or spec.name, "bold")]
    if spec.header.paper:
        lines.append(f"paper  {spec.header.paper}")
    lines += [f"set    {text}" for text in network.expansion.setting_texts]
    return "\n".join([*lines, f"input  {shape}"])


def _counts(built: driver.Build) -> str:
    rows = [_count_row(n, chosen=n.profile == built.chosen.profile) for n in built.networks]
    header = ("profile", "layers", "weights", "biases", "params", "MACs", "model")
    return table(header, rows, right=(1, 2, 3, 4, 5))


def _count_row(network: Network, *, chosen: bool) -> tuple[str, ...]:
    c = network.counts
    figures = (f"{n:,}" for n in (c.layers, c.weights, c.biases, c.params, c.macs))
    return (("> " if chosen else "  ") + network.profile, *figures, network.model or "")


def _checks(built: driver.Build) -> str:
    """The cells of each profile under their source, those that hold plainly on one line."""
    lines = []
    for network in built.networks:
        if not network.cells:
            lines.append(
                f"{network.profile}: {paint('unchecked', 'yellow')}, the spec documents no figures for it"
            )
        for source in dict.fromkeys(c.source for c in network.cells):
            lines.append(f"{network.profile}: {source}")
            cells = [c for c in network.cells if c.source == source]
            plain = [c.cell for c in cells if c.status == "ok" and not c.rule]
            if plain:
                lines.append(f"  {mark('ok')} {', '.join(plain)}")
            lines += [f"  {line}" for c in cells if c.cell not in plain for line in _cell(c)]
    return "\n".join(lines)


def _cell(cell: Cell) -> list[str]:
    """A cell that needs words: by a rule, explained, not applicable or wrong."""
    sign = mark(cell.status)
    if cell.status == "not_applicable":
        return [f"{sign} {cell.cell}: does not apply to the changed network"]
    if cell.rule:
        return [f"{sign} {cell.cell} {_figure(cell.documented)} by rule: {cell.says}"]
    lines = [f"{sign} {cell.cell} {_figure(cell.documented)}, computed {_figure(cell.computed)}"]
    for reason, share in (cell.because or {}).items():
        lines.append(f"    {share:+,}  {reason}" if isinstance(share, int) else f"    {reason}")
    return lines


def _figure(figure: int | str) -> str:
    return f"{figure:,}" if isinstance(figure, int) else figure


def _departs(spec: Spec) -> str:
    name = spec.header.recommended
    hint = (
        f"\nrecommended: {name}" + (f" (--profile {name})" if name in spec.profile_names else "")
        if name
        else ""
    )
    return f"{paint('departs', 'yellow')}: {spec.header.departs}{hint}"


def _written(built: driver.Build) -> str:
    lines = [f"compiled {built.chosen.profile} for {built.backend}, {built.steps} steps"]
    if built.fallbacks:
        lines.append(f"on reference kernels: {', '.join(built.fallbacks)}")
    if built.written:
        lines += [f"wrote {path.as_posix()}" for path in (*built.files, built.written.manifest)]
        lines += [f"removed {path.as_posix()}, of an earlier build" for path in built.written.removed]
        changed = "of an earlier build and changed since, is left as it is"
        lines += [f"{path.as_posix()}, {changed}" for path in built.written.left]
    return "\n".join(lines)
