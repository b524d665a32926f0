"""`archforge export`: a network as a file of another kind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from archforge import driver
from archforge.atomic_files import made_folder, written_beside
from archforge.cli.options import (
    WEIGHTS_FILES,
    InputOption,
    JsonOption,
    ProfileOption,
    SetOption,
    SpecArgument,
    Warnings,
    WarningsOption,
    WeightsPrefixOption,
    heed,
    input_shape,
    settings,
)
from archforge.cli.output import print_json
from archforge.cli.progress import Progress
from archforge.data.manifest import disown
from archforge.errors import fail
from archforge.export import Target, all_targets, target_named
from archforge.export.target import DrawingOptions, Level
from archforge.paths import is_folder

__all__ = ["export"]

STANDARD_OUTPUT = "-"
_LISTED = ", ".join(f"{t.name} ({t.file})" for t in all_targets().values())


def export(
    spec: SpecArgument,
    to: Annotated[str, typer.Option("--to", "-t", metavar="NAME", help=f"What to write: {_LISTED}.")],
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            "-w",
            metavar="FILE",
            help=f"For a target that holds weights, {WEIGHTS_FILES}. Default: fresh ones.",
        ),
    ] = None,
    prefix: WeightsPrefixOption = "",
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, metavar="N", help="Seed of fresh weights. Default: 0.")
    ] = None,
    profile: ProfileOption = None,
    input: InputOption = None,
    set: SetOption = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write, - for standard output. Default: in build/NAME, as `archforge build` does.",
        ),
    ] = None,
    external_data: Annotated[
        bool,
        typer.Option(
            "--external-data",
            help="For onnx, write the weights to a second file, FILE.data. Default: where they take 2 GiB.",
        ),
    ] = False,
    level: Annotated[
        Level | None,
        typer.Option(
            "--level",
            help="For dot and mermaid, what is a box: a call of a block, or each layer. Default: block.",
        ),
    ] = None,
    counts: Annotated[
        bool, typer.Option("--counts", help="For dot and mermaid, say the parameters and MACs of each box.")
    ] = False,
    warnings: WarningsOption = Warnings.DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Write a network as one file: for another program, for a document, or to read."""
    target = target_named(to)
    _refuse_idle_options(target, weights, prefix, seed)
    if external_data and not target.can_split:
        fail("E0001", f"`{target.file}` is always one file", help="leave out --external-data")
    for option, given in (("--level", level is not None), ("--counts", counts)):
        if given and not target.draws:
            fail("E0001", f"`{target.file}` is no drawing", help=f"leave out {option}")
    with Progress(f"exporting {spec}") as progress:
        opened = driver.open_spec(spec)
        path = _path(output, driver.default_folder(opened) / target.file, target, as_json=as_json)
        if external_data and path is None:
            fail("E0001", "`--external-data` makes two files, and standard output is one", help="-o FILE")
        data = path.with_name(f"{path.name}.data") if path and target.can_split else None
        made = driver.export(
            opened,
            target,
            profile,
            settings=settings(set),
            input_shape=input_shape(input),
            weights=weights,
            prefix=prefix,
            seed=seed or 0,
            data_file=data.name if data else "",
            splits=external_data,
            drawing=DrawingOptions(level or Level.BLOCK, counts),
        )
        with progress.paused():
            heed(made.network.warnings, warnings)
        if path is not None:
            made_folder(path.parent)
            written = [path]
            if data and made.content.data is not None:
                written.append(data)
                with written_beside(data) as file:
                    file.writelines(made.content.data)
            disown(path, made.content.file)
            with written_beside(path) as file:
                file.write(made.content.file)
    if target.needs_weights and weights is None:
        print(f"the weights are fresh, seed {seed or 0}: -w FILE takes those of a file", file=sys.stderr)
    if path is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(made.content.file)
    elif as_json:
        print_json(
            {
                "name": made.network.name,
                "profile": made.network.profile,
                "target": target.name,
                "file": path.as_posix(),
                "bytes": len(made.content.file),
                "data": written[1].as_posix() if written[1:] else None,
                "weights": weights,
                "seed": seed or 0 if target.needs_weights and weights is None else None,
                "warnings": [w.to_json() for w in made.network.warnings],
                "ok": True,
            }
        )
    else:
        for each in written:
            print(f"wrote {each.as_posix()}")


def _refuse_idle_options(target: Target, weights: str | None, prefix: str, seed: int | None) -> None:
    """Raises E0001 for options that would change nothing."""
    for option, given in (("-w", weights), ("--prefix", prefix or None), ("--seed", seed)):
        if given is not None and not target.needs_weights:
            fail("E0001", f"`{target.file}` holds no weights", help=f"leave out {option}")
    if weights is not None and seed is not None:
        fail("E0001", "`--seed` is for fresh weights, and `-w` names a file of them", help="leave out one")


def _path(output: str | None, default: Path, target: Target, *, as_json: bool) -> Path | None:
    """The file to write, None for standard output. Raises E0001 and E0705 before anything is computed."""
    if output is None:
        return default
    path = Path(output)
    if output != STANDARD_OUTPUT:
        if is_folder(path):
            fail("E0705", f"{path} is a folder", help=f"-o {(path / target.file).as_posix()}")
        _refuse_lying_name(path, target)
        return path
    if as_json:
        fail("E0001", "`--json` would print into what `-o -` prints", help="-o FILE")
    if target.is_binary and sys.stdout.isatty():
        fail("E0001", f"`{target.file}` is binary, and standard output is a terminal", help="-o FILE")
    return None


def _refuse_lying_name(path: Path, target: Target) -> None:
    """Raises E0001 for a name by which the file would be taken for a network or weights of another format."""
    from archforge.data.arrays import WEIGHTS
    from archforge.interchange.formats import FORMATS

    own, found = Path(target.file).suffix, path.suffix.lower()
    others = {ending for format in (*FORMATS, *WEIGHTS) for ending in format.endings} | {".py"}
    if found != own and found in others:
        message = f"`--to {target.name}` writes a `{own}` file, which {path} would not say"
        fail("E0001", message, help=f"-o {path.with_suffix(own).as_posix()}")
