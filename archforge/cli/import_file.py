"""`archforge import`: a network of another format as a spec with weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import typer

from archforge import driver
from archforge.atomic_files import made_folder, written_beside
from archforge.cli.options import JsonOption, input_shape
from archforge.cli.output import counted, print_json
from archforge.cli.progress import Progress
from archforge.data.arrays import write_arrays
from archforge.errors import fail
from archforge.paths import is_folder

__all__ = ["import_file"]


def import_file(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A file of ONNX; of Keras: .keras, .h5, or the model.json of TensorFlow.js; of Caffe: a "
            ".prototxt, or a .caffemodel; of TensorFlow Lite; of torch.jit.",
        ),
    ],
    weights_file: Annotated[
        str | None,
        typer.Argument(
            metavar="[WEIGHTS]",
            help="The file of its weights where they lie in another: of a .prototxt the .caffemodel.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="SPEC.yaml", help="Where to write the spec. Default: standard output."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="OUT.safetensors",
            help="Where to write the weights, under the names that the spec gives them; .npz is taken too.",
        ),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            "--shape",
            metavar="SHAPE",
            help="The input's shape without the batch, where the file leaves it open: 3x224x224; of several "
            "inputs: left=1x28x28,right=1x28x28. What is open is told.",
        ),
    ] = None,
    no_layer_check: Annotated[
        bool,
        typer.Option(
            "--no-layer-check",
            help="Do not compute each layer on both sides, which takes most of the time for a large file.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a network of another format as a spec, with its weights, proved to compute the same."""
    _refuse_places(output, weights)
    given = input_shape(shape)
    shapes = {"": given} if isinstance(given, tuple) else given or {}
    with Progress(f"importing {file}") as progress:
        made = driver.import_file(
            file,
            weights_file,
            shapes={name: tuple(dims) for name, dims in shapes.items()},
            layer_check=not no_layer_check,
        )
        if weights is not None:
            _refuse_without_weights(made, file)
            progress.show("writing weights")
            made_folder(Path(weights).parent)
            write_arrays(weights, dict(made.spec.arrays))
        if output is not None:
            made_folder(Path(output).parent)
            with written_beside(Path(output)) as spec:
                spec.write(made.spec.text.encode())
    written = [path for path in (output, weights) if path is not None]
    if as_json:
        print_json(_facts(made, file, written, is_printed=output is None))
        return
    told = sys.stdout if output is not None else sys.stderr
    for line in _report(made):
        print(line, file=told)
    for path in written:
        print(f"wrote {Path(path).as_posix()}", file=told)
    if output is None:
        print(made.spec.text, end="")


def _refuse_places(output: str | None, weights: str | None) -> None:
    """Raises E0705 before anything is read."""
    for option, path in (("-o", output), ("--weights", weights)):
        if path is not None and is_folder(Path(path)):
            fail("E0705", f"{path} is a folder", help=f"{option} FILE")


def _refuse_without_weights(made: driver.ImportedSpec, file: str) -> None:
    """Raises E0705 before anything is written."""
    if not made.imported.has_weights:
        help = f"archforge import {file} WEIGHTS"
        fail("E0705", f"{file} has no weights that --weights could write", help=help)


def _report(made: driver.ImportedSpec) -> Iterator[str]:
    """Lines with the facts that a user wants first."""
    counts, network = made.network.counts, made.imported
    yield f"ops         {network.nodes_in_file:,} in the file, {len(network.graph.nodes):,} in the spec"
    parts = ((made.spec.lines, "line"), (made.spec.blocks, "block"), (made.spec.loops, "loop"))
    yield f"spec        {', '.join(counted(number, word) for number, word in parts)}"
    yield f"parameters  {counts.params:,}, and {counts.buffers:,} in buffers"
    if made.check is not None:
        layers, worst, _ = made.check
        yield f"layers      {layers:,} compared with {made.checked_by}, largest deviation {worst:.1e}"
    else:
        yield f"layers      not compared: {made.reason or '--no-layer-check'}"
    for (name, folded, besides, without), found in groupby(made.is_like, key=itemgetter(0, 2, 3, 4)):
        profiles = [like.profile for like in found]
        words = f", its {counted(folded, 'batch norm')} folded into convolutions" if folded else ""
        words += f", with a {' and a '.join(besides)} besides" if besides else ""
        words += f", without its outputs {', '.join(without)}" if without else ""
        yield f"network     {name}, profile{'s' * (len(profiles) > 1)} {', '.join(profiles)}{words}"
    if made.is_near is not None:
        near = made.is_near
        yield f"network     nearly {near.network}, profile {near.profile}, but for"
        yield from (f"            - {difference}" for difference in near.differences)
    for note in network.notes:
        yield f"note        {note}"


def _facts(made: driver.ImportedSpec, file: str, written: list[str], *, is_printed: bool) -> dict[str, Any]:
    check = made.check
    return {
        "file": file,
        "written": written,
        "ops": {"file": made.imported.nodes_in_file, "spec": len(made.imported.graph.nodes)},
        "lines": made.spec.lines,
        "blocks": made.spec.blocks,
        "loops": made.spec.loops,
        "params": made.network.counts.params,
        "buffers": made.network.counts.buffers,
        "layers": check and {"compared": check.layers, "with": made.checked_by, "worst": check.worst},
        "networks": [like._asdict() for like in made.is_like],
        "nearly": made.is_near and made.is_near._asdict(),
        "notes": list(made.imported.notes),
        "spec": made.spec.text if is_printed else None,
        "ok": True,
    }
