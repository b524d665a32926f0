"""`archforge compare`: a network beside a torch module, an ONNX model, a file of weights or another spec."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from archforge.analysis.network import Network
from archforge.cli.exit_codes import CHECK_FAILED
from archforge.cli.options import (
    JsonOption,
    ProfileOption,
    SetOption,
    SizeOption,
    SpecArgument,
    Warnings,
    WarningsOption,
    input_shape,
    network_of,
)
from archforge.cli.output import counted, mark, print_json
from archforge.cli.progress import Progress
from archforge.comparison import compare as compared
from archforge.comparison import counterpart
from archforge.errors import listed
from archforge.interchange.counterparts import Comparison, Counterpart, ParamComparison
from archforge.ir import by_x

__all__ = ["compare"]

LISTED = 8


def compare(
    spec: SpecArgument,
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="torchvision.NAME, timm.NAME, package.module:factory of a torch module, an .onnx file, "
            "a file of weights, or another spec.",
        ),
    ],
    profile: ProfileOption = None,
    other_profile: Annotated[
        str | None, typer.Option("--other-profile", metavar="NAME", help="A profile of the other spec.")
    ] = None,
    shape: SizeOption = None,
    set: SetOption = None,
    warnings: WarningsOption = Warnings.DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Hold a network against another program's: names and shapes of its parameters, then values layer by
    layer.

    Both compute in float64 on weights and an input made by rule; an ONNX model keeps its own weights. Exit
    code 1 if anything differs; the first layer that does is named.
    """
    network = network_of(spec, profile, shape, set, warnings)
    with Progress(f"comparing {network.name} with {what}"):
        other = counterpart(what, other_profile, input_shape(shape))
        found = compared(network, other)
    if as_json:
        print_json(_as_json(network, other, found))
    else:
        _print(network, other, found)
    raise typer.Exit(0 if found.ok else CHECK_FAILED)


def _print(network: Network, other: Counterpart, found: Comparison) -> None:
    sign = mark("ok" if found.ok else "mismatch")
    of = ", ".join([f"{network.name}, profile {network.profile}", *network.expansion.setting_texts])
    print(f"{sign} {of}, against {other.words}")
    for line in _of_params(network, found.params):
        print(f"  {line}")
    for output in found.outputs:
        off = f"{output.distance:.1e} of its standard deviation off" if output.compared else "another shape"
        print(
            f"  output `{output.name}`: {off}, on an input of {', '.join(map(by_x, found.inputs.values()))}"
        )
    if found.layers:
        worst = max(found.layers, key=lambda layer: layer.distance)
        print(f"  {counted(len(found.layers), 'layer')}: {worst.distance:.1e} at most, at `{worst.name}`")
    if found.unmatched:
        print(f"  no value here equals {listed(f'`{n}`' for n in found.unmatched)} of the other")
    if first := found.first_apart:
        off = f"{first.distance:.1e}" if first.compared else "another shape"
        behind = f"; before it, `{found.last_equal.name}` is equal" if found.last_equal else ""
        print(f"  first layer apart: `{first.name}`, {off}{behind}")
    if not found.outputs:
        print("  values are not compared")


def _of_params(network: Network, params: ParamComparison) -> list[str]:
    behind = f", there behind `{params.prefix}`" if params.prefix else ""
    if params.is_equal:
        return [f"{counted(len(network.params), 'array')}: names and shapes are equal{behind}"]
    lines = []
    for names, words in ((params.missing, "not there"), (params.extra, "not here")):
        if names:
            lines.append(f"{counted(len(names), 'array')} {words}: {listed(f'`{n}`' for n in names)}")
    for name, (here, there) in list(params.shapes.items())[:LISTED]:
        lines.append(f"`{name}` is {by_x(here)} here, {by_x(there)} there")
    if len(params.shapes) > LISTED:
        lines.append(f"{len(params.shapes) - LISTED} more arrays have another shape")
    if params.names:
        lines.append("by order and shape they belong together, and so values are compared")
    return lines


def _as_json(network: Network, other: Counterpart, found: Comparison) -> dict[str, Any]:
    first = found.first_apart
    return {
        "name": network.name,
        "profile": network.profile,
        "other": other.words,
        "arrays": len(network.params),
        "missing": list(found.params.missing),
        "extra": list(found.params.extra),
        "shapes": {n: [list(a), list(b)] for n, (a, b) in found.params.shapes.items()},
        "inputs": {name: list(shape) for name, shape in found.inputs.items()},
        "outputs": {o.name: _number(o.distance) for o in found.outputs},
        "layers": {layer.name: _number(layer.distance) for layer in found.layers},
        "unmatched": list(found.unmatched),
        "first_apart": first.name if first else None,
        "last_equal": found.last_equal.name if found.last_equal else None,
        "tolerance": found.tolerance,
        "ok": found.ok,
    }


def _number(distance: float) -> float | None:
    """The distance, None for an infinite one, which JSON lacks."""
    return distance if distance < float("inf") else None
