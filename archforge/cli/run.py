"""`archforge run`: a network on an input, or on a folder of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from glob import has_magic
from pathlib import Path
from typing import Annotated, Any

import typer

from archforge import driver
from archforge.analysis.network import Network
from archforge.cli.compile_options import (
    AccuracyOption,
    BackendOption,
    LowMemoryOption,
    NoWinogradOption,
    StrictOption,
    compile_options,
)
from archforge.cli.inputs import PictureOptions
from archforge.cli.labels import labels_for
from archforge.cli.options import (
    WEIGHTS_FILES,
    DtypeOption,
    ProfileOption,
    SetOption,
    SizeOption,
    SpecArgument,
    Warnings,
    WarningsOption,
    WeightsPrefixOption,
    heed,
    heeding,
    input_shape,
    json_option,
    output_file,
    settings,
)
from archforge.cli.output import print_json_line, with_fallbacks
from archforge.cli.progress import Progress
from archforge.cli.run_many import OUTPUTS, open_many
from archforge.cli.run_one import MADE, inputs, origin, print_results
from archforge.data.arrays import write_arrays
from archforge.data.class_names import CLASS_NAMES
from archforge.data.preprocessing import INTERPOLATIONS
from archforge.driver import Accuracy
from archforge.errors import fail
from archforge.paths import is_folder
from archforge.spec.expand.expand import InputShape
from archforge.spec.syntax.syntax_tree import Argument

__all__ = ["run"]

BATCH = 8
ARRAYS = (".npy", ".npz")
MADE_WEIGHTS = ("fresh", "rule")  # that are no files


def run(
    spec: SpecArgument,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="More inputs, so that a shell may expand -i *.jpg."),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            "-w",
            metavar="FILE",
            help=f"{WEIGHTS_FILES.capitalize()}; `fresh` to initialise, `rule` for those of golden outputs.",
        ),
    ] = "fresh",
    prefix: WeightsPrefixOption = "",
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="INPUT",
            help="One .npy or .npz file, `random` to draw an input, `rule` for that of golden outputs; or "
            "many pictures and .npy files: a folder, a pattern in quotes ('photos/**/*.jpg'), or this option "
            "repeated. Default: random.",
        ),
    ] = None,
    profile: ProfileOption = None,
    shape: SizeOption = None,
    set: SetOption = None,
    backend: BackendOption = "auto",
    dtype: DtypeOption = "float32",
    tap: Annotated[
        list[str] | None,
        typer.Option("--tap", metavar="NAME", help="Also keep the value of this node or scope."),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", min=1, metavar="N", help="How many of the largest values to print.")
    ] = 5,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write all outputs and taps to this .npz file, those of many inputs as INPUT/OUTPUT; or "
            "what is printed to this .csv file.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, metavar="N", help="Seed of fresh weights and random inputs.")
    ] = 0,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch",
            "-b",
            min=1,
            metavar="N",
            help=f"Inputs at a time, if there are many. Default: {BATCH}.",
        ),
    ] = None,
    preprocess: Annotated[
        str | None,
        typer.Option(
            "--preprocess",
            metavar="NAME",
            help="Numbers for the pixels of pictures: imagenet or inception (torchvision's or TensorFlow's "
            "mean and deviation), caffe (blue first, less the mean), unit (0 to 1), none (0 to 255, the "
            "picture in its own size). Default: as the profile prescribes, else imagenet for colours and "
            "unit for grey.",
        ),
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(
            "--resize",
            metavar="SIZE",
            help="What pictures are scaled to before their centre is cut: 256 (the shorter side), or exact "
            "(the input's size, whatever the ratio). Default: as the profile prescribes, else 8/7 of the "
            "input.",
        ),
    ] = None,
    crop_pct: Annotated[
        str | None,
        typer.Option(
            "--crop-pct",
            metavar="SHARE",
            help="The same as a share of the scaled picture that is the input: 0.95, or 224/232.",
        ),
    ] = None,
    interpolation: Annotated[
        str | None,
        typer.Option(
            "--interpolation",
            metavar="NAME",
            help=f"The filter that scales pictures: {', '.join(INTERPOLATIONS)}. "
            "Default: as the profile prescribes, else bilinear.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            help=f"Names of the classes: a file with a line for each, {', '.join(CLASS_NAMES)}, or none. "
            "Default: those that the profile says, for weights from a file.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        json_option("Print a JSON object for each of many inputs, on a line of its own.", print_json_line),
    ] = False,
    low_memory: LowMemoryOption = False,
    no_winograd: NoWinogradOption = False,
    accuracy: AccuracyOption = Accuracy.FAST,
    strict_backend: StrictOption = False,
    warnings: WarningsOption = Warnings.DEFAULT,
) -> None:
    """Run a network and print the largest values of its output: for one input, or for each in a folder.

    A file of many that cannot be read is told of and passed over; the exit code is then 1.
    """
    sources = [*(data or ()), *(files or ())] or [MADE[0]]
    many = _is_many(sources)
    pictures = PictureOptions(preprocess, resize, crop_pct, interpolation)
    if not many:
        _refuse_options_of_many({"--batch": batch, **pictures.given(), "--labels": labels, "--json": as_json})
    suffixes = OUTPUTS if many else (".npz",)
    target = None if output is None else output_file(output, "outputs", suffixes)
    with Progress("making weights" if weights in MADE_WEIGHTS else "loading weights") as progress:
        network, arrays = _loaded(spec, weights, prefix, profile, input_shape(shape), settings(set))
        with progress.paused():
            heed(network.warnings, warnings)
        if many:
            named = labels_for(network, labels, None if weights in MADE_WEIGHTS else weights)
        many_inputs = open_many(network, sources, pictures, named, target, bool(tap)) if many else None
        given = {} if many else inputs(network, sources[0], seed, dtype)
        executable = driver.compile(
            network,
            backend=backend,
            dtype=dtype,
            weights=arrays,
            taps=tap or (),
            seed=seed,
            strict=strict_backend,
            **compile_options(low_memory, no_winograd, accuracy),
        )
        plan = executable.plan
        computing = with_fallbacks(plan.backend.name, plan.slow_kinds)
        heading = [
            f"{network.name}, profile {network.profile}, on {computing} in {dtype}",
            f"weights {origin(weights, seed)}, "
            + (many_inputs.words if many_inputs else f"input {origin(sources[0], seed)}"),
        ]
        progress.say(f"running {network.name} on {plan.backend.name}")
        if many_inputs:
            with progress.paused():
                print(*heading, sep="\n", file=sys.stderr)
            with heeding(warnings):
                code = many_inputs.run(executable, batch or BATCH, top, progress, as_json=as_json)
            raise typer.Exit(code)
        with heeding(warnings):
            results = executable.run(given)
    print(*heading, sep="\n")
    print_results(results, top)
    if target is not None:
        write_arrays(target, {**results.outputs, **results.taps})
        print(f"wrote {target}")


def _is_many(sources: Sequence[str]) -> bool:
    """True if the inputs are files to go through, rather than one input of any number of arrays."""
    first = Path(sources[0])
    is_one = sources[0] in MADE or (
        first.suffix in ARRAYS and not is_folder(first) and not has_magic(sources[0])
    )
    return len(sources) > 1 or not is_one


def _refuse_options_of_many(options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if value:
            help = "-i with a folder, a picture or a pattern"
            fail("E0001", f"`{name}` is for a run through many files", help=help)


def _loaded(
    spec: str,
    weights: str,
    prefix: str,
    profile: str | None,
    shape: InputShape | None,
    changed: Mapping[str, Argument],
) -> tuple[Network, Mapping[str, Any] | None]:
    """The network, in the profile that the weights fit if none is named, and the weights unless fresh."""
    from archforge.weights.rule_made import rule_weights

    opened = driver.open_spec(spec)
    is_made = weights in MADE_WEIGHTS
    arrays = driver.given_weights(None if is_made else weights, prefix)
    if arrays is not None and profile is None:
        return driver.fitting_profile(opened, arrays, changed, shape), arrays
    network = driver.analyse(opened, profile, settings=changed, input_shape=shape)
    return network, rule_weights(network.params) if weights == "rule" else arrays
