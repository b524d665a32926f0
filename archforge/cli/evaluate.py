"""`archforge evaluate`: the figures of weights on samples."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from archforge import driver
from archforge.cli.changes import changes
from archforge.cli.compile_options import BackendOption
from archforge.cli.options import (
    WEIGHTS_FILES,
    DtypeOption,
    JsonOption,
    ProfileOption,
    SetOption,
    SizeOption,
    SpecArgument,
    WeightsPrefixOption,
    input_shape,
)
from archforge.cli.output import print_json
from archforge.cli.progress import Progress
from archforge.cli.recipe_options import given_settings, recipe_options
from archforge.cli.training_progress import figures_in_words
from archforge.cli.training_results import print_classes, print_windows
from archforge.spec.resolve.recipe import from_flags

__all__ = ["evaluate"]


@recipe_options("loss", "losses", "loss_weights", "batch", "validation", "limit", "stratify", "seed")
def evaluate(
    spec: SpecArgument,
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            "-w",
            metavar="FILE",
            help=f"{WEIGHTS_FILES.capitalize()}: RUN/best.safetensors.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="A file or folder of samples; those that are held back, if some are. Default: the "
            "handwritten digits that come with archforge.",
        ),
    ] = None,
    prefix: WeightsPrefixOption = "",
    profile: ProfileOption = None,
    shape: SizeOption = None,
    set: SetOption = None,
    backend: BackendOption = "auto",
    dtype: DtypeOption = "float32",
    as_json: JsonOption = False,
    **recipe: Any,
) -> None:
    """Print the loss of weights on samples, and of classes the accuracy, of all and of each."""
    from archforge.training.evaluate import evaluate as measured

    changed, overrides = changes(set)
    opened = driver.open_spec(spec)
    network = driver.analyse(opened, profile, settings=changed, input_shape=input_shape(shape))
    given = driver.given_weights(weights, prefix)
    assert given is not None
    with Progress(f"evaluating {network.name}"):
        measures, batches, windows = measured(
            network,
            data,
            given,
            [*from_flags(given_settings(recipe)), *overrides],
            backend=backend,
            dtype=dtype,
        )
    figures, samples = measures.figures(), batches.samples
    if as_json:
        confusion = measures.confusion
        print_json(
            {
                "name": network.name,
                "profile": network.profile,
                "data": samples.name,
                "samples": measures.samples,
                **figures,
                "classes": list(samples.classes),
                "confusion": None if confusion is None else confusion.tolist(),
                "windows": [window._asdict() for window in windows],
            }
        )
        return
    print(f"{network.name}, profile {network.profile}, on {samples.name}: {measures.samples:,} samples")
    print(figures_in_words(figures))
    print_windows(windows)
    print_classes(measures, samples.classes)
