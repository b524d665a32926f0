"""Options of the commands that compile networks: backends, sizes of batches, Winograd's method or none."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from archforge.backends import AUTO, names
from archforge.driver import Accuracy

__all__ = [
    "AccuracyOption",
    "BackendOption",
    "BackendsOption",
    "BatchesOption",
    "LowMemoryOption",
    "NoWinogradOption",
    "StrictOption",
    "compile_options",
]


BackendOption = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME",
        help=f"What computes: {', '.join([AUTO, *names()])} (`archforge info` says more).",
    ),
]
BackendsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        metavar="NAME",
        help=f"A backend that takes part: {', '.join(names())}; may be repeated. "
        "Default: all that `auto` would take here.",
    ),
]
BatchesOption = Annotated[
    list[int] | None,
    typer.Option("--batch", "-b", min=1, metavar="N", help="Images in a call; may be repeated. Default: 1."),
]
StrictOption = Annotated[
    bool, typer.Option("--strict-backend", help="Refuse ops that the backend has no kernel for.")
]
LowMemoryOption = Annotated[
    bool, typer.Option("--low-memory", help="Leave out what takes memory for speed: Winograd's weights.")
]
AccuracyOption = Annotated[
    Accuracy,
    typer.Option(
        "--accuracy",
        help="`strict` takes only kernels whose rounding error depends on an output's own inputs, not on "
        "large numbers beside them.",
    ),
]
NoWinogradOption = Annotated[
    bool, typer.Option("--no-winograd", help="Compute all convolutions directly, as --accuracy strict does.")
]


def compile_options(low_memory: bool, no_winograd: bool, accuracy: Accuracy) -> dict[str, Any]:
    """The keywords of `driver.compile` that stand for these options."""
    without = ["winograd"] if no_winograd else []
    return {"low_memory": low_memory, "without": without, "accuracy": accuracy.value}
