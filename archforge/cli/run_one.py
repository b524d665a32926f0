"""A network on one array, or one for each of its inputs: the outputs in a few figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archforge.analysis.network import Network
from archforge.cli.output import table
from archforge.hardware import require_memory
from archforge.ir import by_x

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from archforge.plan import Results

__all__ = ["MADE", "inputs", "origin", "print_results"]

MADE = ("random", "rule")  # inputs that are no files


def origin(source: str, seed: int) -> str:
    """The source of weights or inputs, in words."""
    made = {"fresh": f"fresh, seed {seed}", "random": f"random, seed {seed}", "rule": "by rule"}
    return made.get(source, source)


def inputs(network: Network, data: str, seed: int, dtype: str) -> dict[str, NDArray[Any]]:
    """An array for each input: drawn, by rule, or from a file. Raises E0601, E0607."""
    import numpy as np

    from archforge.data.arrays import read_inputs
    from archforge.data.samples import rows_of
    from archforge.weights.rule_made import rule_input

    types = network.graph.inputs
    if data == "rule":
        arrays = {name: rule_input((1, *t.shape), name) for name, t in types.items()}
    elif data == "random":
        draw, each = np.random.default_rng(seed), np.dtype(np.float64).itemsize
        for name, t in types.items():
            require_memory(t.size * each, f"the input `{name}`, {t}")
        arrays = {name: draw.standard_normal((1, *t.shape)) for name, t in types.items()}
    else:
        found = read_inputs(data, list(types))
        of = {name: data if len(types) == 1 else f"`{name}` of {data}" for name in types}
        return {name: rows_of(found[name], types[name].shape, of[name]) for name in found}
    wanted = "float64" if dtype == "float64" else "float32"
    return {name: array.astype(wanted) for name, array in arrays.items()}


def print_results(results: Results, top: int) -> None:
    """Shape, mean and spread of each value, and the largest of each output."""
    for name, array in results.outputs.items():
        _print_value(name, array)
        _print_largest(array[0], top, of_many=len(array) > 1)
    for name, array in results.taps.items():
        _print_value(name, array)


def _print_value(name: str, array: NDArray[Any]) -> None:
    print(f"{name}  {by_x(array.shape)}  mean {array.mean():.6g}  std {array.std():.6g}")


def _print_largest(first: NDArray[Any], top: int, *, of_many: bool) -> None:
    """The largest values of the first image, each under its index along every axis."""
    import numpy as np

    places = [np.unravel_index(i, first.shape) for i in first.argsort(axis=None)[::-1][:top]]
    rows = [(",".join(map(str, place)), f"{first[place]:.6f}") for place in places]
    print(table(("index", "value of the first image" if of_many else "value"), rows, right=(0, 1)))
