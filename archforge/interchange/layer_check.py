"""A network that was imported, held against its source layer by layer on one random image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from archforge.analysis.activation_memory import activation_peak
from archforge.hardware import require_memory
from archforge.interchange.imported import Imported, Origin
from archforge.ir import Node
from archforge.lifetimes import lifetimes
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["TOLERANCE", "LayerCheck", "RunSource", "checked_layers", "inputs_in_file"]

# Float32 in another order of sums stays below a fifth of this in every file met; a kernel times 1.001 does
# not.
TOLERANCE = 2e-5


# Where all values are small, runtimes compute a sigmoid as exactly as one that is near 1: to 1e-8, not to a
# share of it.
_LEAST = {"sigmoid": 1.0}


class RunSource(Protocol):
    """Computes values of a file by what else can run it. by: what that is. tolerance: by which its values
    differ from exact ones, over the largest of a layer."""

    by: str
    tolerance: float

    def __call__(self, inputs: Mapping[str, Array], wanted: list[str]) -> Iterable[tuple[str, Array | None]]:
        """The values that are asked for by name, for inputs by name: in the order of the file, so that few
        have to be there at once; None for what the file does not show. Raises `Unsupported` where nothing
        here runs it."""


class LayerCheck(NamedTuple):
    """The layers that were compared, the largest deviation over the largest value of its layer, and the layer
    beyond the tolerance at which the comparison ended, if any: its name in the file and its deviation."""

    layers: int
    worst: float
    first: tuple[str, float] | None


def checked_layers(imported: Imported, run: RunSource) -> LayerCheck:
    """Compare the values that both sides have, up to the first that differs. Ours is computed by the
    reference kernels in float64. Raises E0706 where its values cannot be in memory."""
    typed = imported.graph
    needed = np.dtype(np.float64).itemsize * activation_peak(typed)
    require_memory(needed, "the values that are compared, which --no-layer-check leaves out")
    rng = np.random.default_rng(0)
    images = {
        name: rng.standard_normal((1, *type_.shape)).astype(np.float32)
        for name, type_ in typed.inputs.items()
    }
    values: dict[str, Array] = {name: x.astype(np.float64) for name, x in images.items()}
    wanted = [imported.origins[n.name].name for n in typed.nodes if n.name in imported.origins]
    theirs = _InOrder(run(inputs_in_file(imported, images), wanted))
    alive = lifetimes(((node.name, node.inputs) for node in typed.nodes), typed.inputs)
    layers, worst = 0, 0.0
    for place, node in enumerate(typed.nodes):
        y = values[node.name] = _computed(node, imported, values)
        for value in node.inputs:
            if alive[value].last == place:
                values.pop(value, None)
        origin = imported.origins.get(node.name)
        given = None if origin is None else theirs.take(origin.name)
        if origin is None or given is None:
            continue
        deviation = _deviation(_as_in_file(y, origin), given, least=_LEAST.get(node.op.kind, 1e-12))
        layers, worst = layers + 1, max(worst, deviation)
        if not deviation <= run.tolerance:
            return LayerCheck(layers, worst, (origin.name, deviation))
    return LayerCheck(layers, worst, None)


def _computed(node: Node, imported: Imported, values: Mapping[str, Array]) -> Array:
    """The value of a node in float64."""
    params = {
        own: np.asarray(imported.arrays[node.param_name(own)], np.float64)
        for own in node.op.params(*imported.graph.input_types(node))
    }
    return node.op.reference(params, *(values[value] for value in node.inputs))


class _InOrder:
    """Values that are taken in about the order in which they are made."""

    def __init__(self, made: Iterable[tuple[str, Array | None]]) -> None:
        self._made = iter(made)
        self._ahead: dict[str, Array | None] = {}

    def take(self, name: str) -> Array | None:
        """The value of this name, which is forgotten here; None if none is made."""
        while name not in self._ahead:
            pair = next(self._made, None)
            if pair is None:
                return None
            self._ahead[pair[0]] = pair[1]
        return self._ahead.pop(name)


def inputs_in_file(imported: Imported, images: Mapping[str, Array]) -> dict[str, Array]:
    """Inputs by the names and with the axes that the file has, of those by our names."""
    origins = imported.origins
    return {origins[name].name: _as_in_file(x, origins[name]) for name, x in images.items()}


def _as_in_file(array: Array, origin: Origin) -> Array:
    """A value of ours with the axes that the file has."""
    axes = [axis for axis in origin.axes if axis is not None]
    rest = [axis for axis in range(array.ndim) if axis not in axes]
    moved = array.transpose([*axes, *rest]).reshape([array.shape[axis] for axis in axes])
    return np.expand_dims(moved, [place for place, axis in enumerate(origin.axes) if axis is None])


def _deviation(ours: Array, theirs: Array, *, least: float) -> float:
    """The largest difference over the largest value, or over `least`; infinite for other shapes."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.abs(ours - theirs).max() / max(least, float(np.abs(theirs).max())))
