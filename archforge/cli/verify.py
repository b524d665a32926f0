"""`archforge verify`: the outputs of a network against golden ones."""

from __future__ import annotations

from typing import Annotated

import typer

from archforge import driver
from archforge.cli.compile_options import AccuracyOption, BackendOption
from archforge.cli.exit_codes import CHECK_FAILED
from archforge.cli.options import SpecArgument
from archforge.cli.output import counted, mark
from archforge.cli.progress import Progress
from archforge.driver import Accuracy
from archforge.spec.resolve.spec import Spec

__all__ = ["verify"]


def verify(
    spec: SpecArgument,
    golden: Annotated[
        str, typer.Argument(metavar="GOLDEN", help="A golden file: output and taps of a library's network.")
    ],
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            "-p",
            metavar="NAME",
            help="A profile of the spec. Default: the one with the model of the golden file, else its first.",
        ),
    ] = None,
    backend: BackendOption = "auto",
    dtype: Annotated[
        str, typer.Option("--dtype", metavar="NAME", help="float64, float32, or what the backend has.")
    ] = "float64",
    accuracy: AccuracyOption = Accuracy.FAST,
) -> None:
    """Run a network on weights and input made by rule, and hold it against golden values, layer by layer.

    Exit code 1 if the output or a layer is farther off than rounding explains, or if a layer is missing.
    """
    from archforge.weights.golden import TOLERANCE, read_golden

    wanted = read_golden(golden)
    opened = driver.open_spec(spec)
    network = driver.analyse(opened, profile or _profile_of(opened, wanted.model))
    with Progress(f"running {network.name} in {dtype}"):
        output, taps = driver.verify(network, wanted, backend=backend, dtype=dtype, accuracy=accuracy)
    tolerance = TOLERANCE.get(dtype, 1e-2)
    worst = max(taps, key=lambda d: d.distance, default=None)
    first_off = next((d for d in taps if d.distance > tolerance), None)
    missing = wanted.missing({d.name for d in taps})
    held = output.distance <= tolerance and first_off is None and not missing
    sign = mark("ok" if held else "mismatch")
    print(f"{sign} {network.name}, profile {network.profile}, against {wanted.model} in {dtype}")
    if output.compared:
        values = counted(output.compared - 1, "value")
        print(f"  output {output.distance:.1e} of its standard deviation off, {values} compared")
    else:
        print("  output has another shape")
    if worst:
        layers = counted(len(taps), "layer")
        print(f"  taps   {worst.distance:.1e} at most, at `{worst.name}`; {layers} compared")
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        print(f"  no value here for {', '.join(f'`{tap}`' for tap in missing[:3])}{more}")
    if first_off:
        print(f"  first layer apart: `{first_off.name}`, {first_off.distance:.1e}")
    raise typer.Exit(0 if held else CHECK_FAILED)


def _profile_of(spec: Spec, model: str) -> str | None:
    """The profile that says it is `model`, if there is one."""
    return next((name for name in spec.profile_names if spec.profile(name).model == model), None)
