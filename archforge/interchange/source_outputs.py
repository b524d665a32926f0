"""Outputs of the network that a file of weights belongs to: by the runtime of a file that holds its network,
or by the module of torchvision or timm whose weights they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from archforge.analysis.network import Network
from archforge.data.opened_files import is_named_as
from archforge.data.stored_arrays import LazyArrays
from archforge.errors import fail, listed
from archforge.interchange.formats import FORMATS, open_file
from archforge.interchange.imported import Imported
from archforge.interchange.layer_check import inputs_in_file
from archforge.interchange.normalize import normalized
from archforge.interchange.torch.counterpart import TorchCounterpart
from archforge.interchange.torch.libraries import LIBRARIES, library_module
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Node, by_x
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.weights.bind import COUNTER, shape_of

__all__ = ["SourceOutput", "SourceRun", "holds_network", "outputs_of_file", "outputs_of_library"]

MODULE_TOLERANCE = 1e-9  # of float64 in another order of sums
CLASSES = "classes"  # the argument of specs that libraries call `num_classes`


class SourceOutput(NamedTuple):
    """An output of a source. softmax: the last op of the source, if it is one that the network may lack."""

    value: Array
    softmax: Node | None = None


class SourceRun(NamedTuple):
    """Outputs of a source in their order. by: what computed them. tolerance: by which they may differ from
    exact ones, over the largest value."""

    by: str
    outputs: Sequence[SourceOutput]
    tolerance: float


def holds_network(path: Path) -> bool:
    """True for a file whose name says that it holds a network, not weights alone."""
    return is_named_as(path.name, FORMATS)


def outputs_of_file(path: Path, inputs: Sequence[Array]) -> SourceRun:
    """The outputs of a file that holds its network, on inputs [1, *shape] with channels first. Raises what
    its reader raises, and E0801 where nothing here runs it, or its inputs are others."""
    source = open_file(path)
    shapes = {"": inputs[0].shape[1:]} if len(inputs) == 1 else {}
    imported = normalized(source.read(path.stem, shapes))
    typed = imported.graph
    if [t.shape for t in typed.inputs.values()] != [x.shape[1:] for x in inputs]:
        theirs = ", ".join(by_x(t.shape) for t in typed.inputs.values())
        ours = ", ".join(by_x(x.shape[1:]) for x in inputs)
        fail("E0801", f"{path} takes {theirs}, the network {ours}", help=f"--shape {theirs}")
    images = {name: x.astype(np.float32) for name, x in zip(typed.inputs, inputs, strict=True)}
    wanted = {
        value: imported.origins[value].name for value in typed.outputs.values() if value in imported.origins
    }
    try:
        found = dict(source.run(inputs_in_file(imported, images), list(wanted.values())))
    except Unsupported as reason:
        fail("E0801", f"nothing here runs {path}: {reason}")
    outputs = [
        SourceOutput(_as_here(array, imported, value), _softmax(imported, value))
        for value, name in wanted.items()
        if (array := found.get(name)) is not None
    ]
    return SourceRun(source.run.by, outputs, source.run.tolerance)


def _as_here(array: Array, imported: Imported, value: str) -> Array:
    """An output of a file with the axes that ours has."""
    axes = imported.origins[value].axes
    kept = array.reshape([n for n, axis in zip(array.shape, axes, strict=True) if axis is not None])
    order = np.argsort([axis for axis in axes if axis is not None])
    return kept.transpose(order).reshape(len(array), *imported.graph.types[value].shape)


def _softmax(imported: Imported, value: str) -> Node | None:
    node = next((n for n in imported.graph.nodes if n.name == value), None)
    return node if node is not None and node.op.kind == "softmax" else None


def outputs_of_library(
    network: Network, given: LazyArrays, names: Mapping[str, str], inputs: Sequence[Array]
) -> SourceRun | None:
    """The outputs of the module of torchvision or timm that a network's profile is, with the arrays of a file
    and as many classes as the network; None where it is none.

    names: of the file's arrays, by those of the module. Raises E0701 where the library is not installed, and
    E0602 where the module has other arrays.
    """
    decl = network.spec.profiles.get(network.profile)
    model = decl.model if decl else None
    if model is None or model.partition(".")[0] not in LIBRARIES:
        return None
    typed = network.graph
    classes = typed.types[next(iter(typed.outputs.values()))].size
    module = library_module(model, classes if CLASSES in network.expansion.settings else None)
    other = TorchCounterpart(model, module)
    arrays = {name: given[source] for name, source in names.items() if not name.endswith(COUNTER)}
    apart = [n for n, shape in other.shapes.items() if n not in arrays or shape_of(arrays[n]) != shape]
    if apart or len(arrays) != len(other.shapes):
        fail("E0602", f"{model} has other arrays: {listed(apart or arrays.keys() - other.shapes.keys())}")
    found = other.computed(typed, {n: np.array(a, np.float64) for n, a in arrays.items()}, {}, inputs)
    return SourceRun(model, [SourceOutput(value) for value in found.outputs], MODULE_TOLERANCE)
