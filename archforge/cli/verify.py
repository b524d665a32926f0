"""`archforge verify`: the outputs of a network against golden ones."""

from __future__ import annotations

from typing import Annotated

import typer

from archforge import driver
from archforge.cli import CHECK_FAILED
from archforge.cli.options import BackendOption, ProfileOption, SpecArgument
from archforge.cli.output import MARKS, paint

__all__ = ["verify"]


def verify(
    spec: SpecArgument,
    golden: Annotated[
        str, typer.Argument(metavar="GOLDEN", help="A golden file: output and taps of a library's network.")
    ],
    profile: ProfileOption = None,
    backend: BackendOption = "auto",
    dtype: Annotated[
        str, typer.Option("--dtype", metavar="NAME", help="float64, float32, or what the backend has.")
    ] = "float64",
) -> None:
    """Run a network on weights and input made by rule, and hold it against golden values, layer by layer.

    Exit code 1 if the output is farther off than rounding explains.
    """
    from archforge.weights.golden import TOLERANCE, read_golden

    wanted = read_golden(golden)
    network = driver.analyse(driver.open_spec(spec), profile)
    output, taps = driver.verify(network, wanted, backend=backend, dtype=dtype)
    tolerance = TOLERANCE.get(dtype, 1e-2)
    worst = max(taps, key=lambda d: d.distance, default=None)
    first_off = next((d for d in taps if d.distance > tolerance), None)
    held = output.distance <= tolerance and first_off is None
    sign, colour = MARKS["ok" if held else "mismatch"]
    print(
        f"{paint(sign, colour)} {network.name}, profile {network.profile}, against {wanted.model} in {dtype}"
    )
    print(
        f"  output {output.distance:.1e} of its standard deviation off, {output.compared - 1} values compared"
    )
    if worst:
        print(f"  taps   {worst.distance:.1e} at most, at `{worst.name}`; {len(taps)} layers compared")
    if first_off:
        print(f"  first layer apart: `{first_off.name}`, {first_off.distance:.1e}")
    raise typer.Exit(0 if held else CHECK_FAILED)
