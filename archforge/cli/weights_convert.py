"""`archforge weights convert`: a file of weights as one with a network's names and layouts."""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from archforge import driver
from archforge.atomic_files import written_beside
from archforge.cli.exit_codes import CHECK_FAILED
from archforge.cli.options import (
    WEIGHTS_FILES,
    JsonOption,
    SetOption,
    SizeOption,
    Warnings,
    WarningsOption,
    WeightsPrefixOption,
    heed,
    input_shape,
    output_file,
    settings,
)
from archforge.cli.output import counted, mark, print_json, table
from archforge.cli.progress import Progress
from archforge.comparison import Verification, verified
from archforge.data.arrays import read_texts, write_arrays
from archforge.interchange.converted_weights import Choices, ConvertedWeights, mapping_of, read_mapping
from archforge.ir import by_x
from archforge.paths import is_there

__all__ = ["convert"]

ENDINGS = (".safetensors", ".npz", ".pth", ".pt")
STILL = 1e-3  # by which outputs change with the input, where they tell little of the weights


def convert(
    file: Annotated[str, typer.Argument(metavar="FILE", help=f"What to convert: {WEIGHTS_FILES}.")],
    to: Annotated[
        str,
        typer.Option(
            "--to", "-t", metavar="SPEC", help="The network: a spec's file, or its name in the zoo."
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The .safetensors, .npz or, for torch, .pth file to write."
        ),
    ],
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            "-p",
            metavar="NAME",
            help="A profile of the spec. Default: the one whose parameters the file has.",
        ),
    ] = None,
    mapping: Annotated[
        str | None,
        typer.Option(
            "--mapping",
            metavar="FILE",
            help="A JSON file that says which array a parameter takes. What it says counts first; the whole "
            "mapping is then written to it.",
        ),
    ] = None,
    leave: Annotated[
        list[str] | None,
        typer.Option(
            "--leave", metavar="PATTERN", help="Leave out the arrays of these names: 'aux*'; may be repeated."
        ),
    ] = None,
    by_order: Annotated[
        bool,
        typer.Option(
            "--by-order",
            help="Where layers of equal shapes are in branches side by side, take the order of the network.",
        ),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Run the network that the file's weights belong to as well, and write nothing unless both "
            "give the same: that of the file, or of torchvision or timm, where these are installed.",
        ),
    ] = False,
    prefix: WeightsPrefixOption = "",
    shape: SizeOption = None,
    set: SetOption = None,
    warnings: WarningsOption = Warnings.DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Write the weights of a file under a network's names and in its layouts, and print which became which.

    Arrays are matched as the mapping says, by name, and what is left by order and shape. What cannot be
    matched, or in several ways, is refused, all together, and nothing is written.
    """
    target = output_file(output, "weights", ENDINGS)
    given = read_mapping(Path(mapping)) if mapping and is_there(mapping) else {}
    with Progress(f"converting {file}") as progress:
        spec = driver.open_spec(to)
        made = driver.convert_weights(
            spec,
            file,
            profile,
            settings=settings(set),
            input_shape=input_shape(shape),
            prefix=prefix,
            choices=Choices(given, tuple(leave or ()), by_order),
        )
        with progress.paused():
            heed(made.network.warnings, warnings)
        found = None
        if verify:
            progress.show("comparing outputs")
            found = verified(made, file, spec, prefix)
        is_written = found is None or found.ok
        if is_written:
            _write(made, file, target, mapping)
    if as_json:
        print_json(_as_json(made, file, target, found))
    else:
        _print(made)
        if found is not None:
            print(_told(found))
        if is_written:
            print(*(f"wrote {path}" for path in (target.as_posix(), mapping) if path), sep="\n")
    if not is_written:
        raise typer.Exit(CHECK_FAILED)


def _write(made: ConvertedWeights, file: str, target: Path, mapping: str | None) -> None:
    with ExitStack() as files:
        if mapping:
            files.enter_context(written_beside(Path(mapping))).write(mapping_of(made, file))
        write_arrays(target, made.arrays, read_texts(file))


def _told(found: Verification) -> str:
    """A line that says how far the outputs are apart."""
    behind = " behind a softmax" if found.softmax else ""
    off = f"outputs{behind} and those of {found.by}: {found.worst:.1e} of the largest value apart"
    if not found.ok:
        return f"{mark('mismatch')} {off}; nothing is written"
    if found.moved < STILL:
        off += f"; little is proved, as another input changes them by {found.moved:.1e}"
    return f"{mark('ok')} {off}"


def _print(made: ConvertedWeights) -> None:
    found = made.matching.parameters
    rows = [
        (name, by_x(made.arrays[name].shape) or "scalar", m.source, _how(m.how, made.flattened.get(name)))
        for name, m in found.items()
    ]
    print(table(("parameter", "shape", "array of the file", "matched by"), rows))
    ways = [m.how for m in found.values()]
    by = ", ".join(f"{ways.count(way)} by {way}" for way in dict.fromkeys(ways))
    print(f"{made.network.name}, profile {made.network.profile}: {counted(len(found), 'array')}, {by}")
    reasons = list(made.matching.left.values())
    for reason in dict.fromkeys(reasons):
        print(f"left out: {counted(reasons.count(reason), 'array')}, {reason}")


def _how(how: str, flattened: tuple[int, ...] | None) -> str:
    return how if flattened is None else f"{how}; columns from {by_x((*flattened[1:], flattened[0]))}"


def _as_json(
    made: ConvertedWeights, file: str, target: Path, found: Verification | None
) -> dict[str, object]:
    return {
        "name": made.network.name,
        "profile": made.network.profile,
        "weights": file,
        "file": target.as_posix(),
        "parameters": [
            {"name": name, "shape": list(made.arrays[name].shape), "array": m.source, "by": m.how}
            | ({"flattened": list(made.flattened[name])} if name in made.flattened else {})
            for name, m in made.matching.parameters.items()
        ],
        "left": dict(made.matching.left),
        "warnings": [w.to_json() for w in made.network.warnings],
        **({"verification": _plain(found)} if found else {}),
        "ok": found is None or found.ok,
    }


def _plain(found: Verification) -> dict[str, object]:
    worst = found.worst if math.isfinite(found.worst) else None
    return {**found._asdict(), "worst": worst}
