"""`archforge run`: a network on an input."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archforge import driver
from archforge.analysis.network import Network
from archforge.cli.options import BackendOption, ProfileOption, SetOption, SpecArgument, input_shape, settings
from archforge.cli.output import table
from archforge.cli.progress import Progress
from archforge.errors import fail
from archforge.ir import by_x

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["run"]


def run(
    spec: SpecArgument,
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            "-w",
            metavar="FILE",
            help="A .safetensors or .npz file, `fresh` to initialise, or `rule` for those of golden outputs.",
        ),
    ] = "fresh",
    data: Annotated[
        str,
        typer.Option(
            "--input",
            "-i",
            metavar="FILE",
            help="A .npy or .npz file, `random` to draw one, or `rule` for that of golden outputs.",
        ),
    ] = "random",
    profile: ProfileOption = None,
    shape: Annotated[
        str | None, typer.Option("--shape", metavar="SHAPE", help="Another input size: 3x160x160.")
    ] = None,
    set: SetOption = None,
    backend: BackendOption = "auto",
    dtype: Annotated[
        str, typer.Option("--dtype", metavar="NAME", help="float32, float64, or what the backend has.")
    ] = "float32",
    tap: Annotated[
        list[str] | None,
        typer.Option("--tap", metavar="NAME", help="Also keep the value of this node or scope."),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", min=1, metavar="N", help="How many of the largest values to print.")
    ] = 5,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write all outputs and taps to this .npz."),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, metavar="N", help="Of fresh weights and random inputs.")
    ] = 0,
) -> None:
    """Run a network and print the largest values of its output."""
    from archforge.weights.files import read_weights, write_arrays

    if output is not None:
        _check_output(Path(output))
    made = weights in ("fresh", "rule")
    with Progress("making weights" if made else "loading weights") as progress:
        given = None if made else read_weights(weights)
        opened, changed = driver.open_spec(spec), settings(set)
        if given is not None and profile is None:
            network = driver.fitting_profile(opened, given, changed, input_shape(shape))
        else:
            network = driver.analyse(opened, profile, settings=changed, input_shape=input_shape(shape))
        if weights == "rule":
            from archforge.weights.rule import rule_weights

            given = rule_weights(network.params)
        inputs = _inputs(network, data, seed, dtype)
        executable = driver.compile(
            network, backend=backend, dtype=dtype, weights=given, taps=tap or (), seed=seed
        )
        progress.say(f"running {network.name} on {executable.plan.backend.name}")
        outputs, taps = executable.run(inputs)
    print(f"{network.name}, profile {network.profile}, on {executable.plan.backend.name} in {dtype}")
    print(f"weights {_origin(weights, seed)}, input {_origin(data, seed)}")
    for name, array in outputs.items():
        _print_value(name, array)
        _print_largest(array[0], top, of_many=len(array) > 1)
    for name, array in taps.items():
        _print_value(name, array)
    if output is not None:
        write_arrays(output, {**outputs, **taps})
        print(f"wrote {output}")


def _check_output(path: Path) -> None:
    """Raises E0705 before anything is computed in vain."""
    if path.suffix != ".npz":
        fail("E0705", f"`{path}` is no name of an .npz file", help="-o outputs.npz")
    if not path.parent.is_dir():
        fail("E0705", f"cannot write {path}: there is no folder {path.parent}")


def _origin(source: str, seed: int) -> str:
    """Where weights or inputs come from, in words."""
    return {"fresh": f"fresh, seed {seed}", "random": f"random, seed {seed}", "rule": "by rule"}.get(
        source, source
    )


def _inputs(network: Network, data: str, seed: int, dtype: str) -> dict[str, NDArray[Any]]:
    import numpy as np

    from archforge.weights.files import read_inputs
    from archforge.weights.rule import rule_input

    types = network.graph.graph.inputs
    if data == "rule":
        arrays = {name: rule_input((1, *t.shape), name) for name, t in types.items()}
    elif data == "random":
        draw = np.random.default_rng(seed)
        arrays = {name: draw.standard_normal((1, *t.shape)) for name, t in types.items()}
    else:
        return dict(read_inputs(data, list(types)))
    return {
        name: array.astype("float64" if dtype == "float64" else "float32") for name, array in arrays.items()
    }


def _print_value(name: str, array: NDArray[Any]) -> None:
    shape = by_x(array.shape)
    print(f"{name}  {shape}  mean {array.mean():.6g}  std {array.std():.6g}")


def _print_largest(first: NDArray[Any], top: int, *, of_many: bool) -> None:
    """The largest values of the first image, each under its index along every axis."""
    import numpy as np

    places = [np.unravel_index(i, first.shape) for i in first.argsort(axis=None)[::-1][:top]]
    rows = [(",".join(map(str, place)), f"{first[place]:.6f}") for place in places]
    print(table(("index", "value of the first image" if of_many else "value"), rows, right=(0, 1)))
