"""Weights of another framework's file as those of a network: matched, and put into its layouts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from archforge.analysis.network import Network
from archforge.data.arrays import weights_format
from archforge.data.opened_files import opened
from archforge.data.stored_arrays import LazyArrays, StoredArray
from archforge.ir import TypedGraph
from archforge.json_text import read_json
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.weights.bind import bind
from archforge.weights.matching import Matching, matching

__all__ = ["Choices", "ConvertedWeights", "converted", "mapping_bytes", "mapping_of", "read_mapping"]

LONGEST = 1 << 26  # bytes of a mapping


class Choices(NamedTuple):
    """Choices of a user about a matching: see `archforge.weights.matching`."""

    chosen: Mapping[str, str] = {}
    leave: tuple[str, ...] = ()
    by_order: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ConvertedWeights:
    """Arrays of a file under the names of a network and in its layouts, not yet read. flattened: the shape
    [C, H, W] of the map before the flattening that a parameter comes behind, where its columns change
    places."""

    network: Network
    matching: Matching
    arrays: LazyArrays
    flattened: Mapping[str, tuple[int, ...]]


def converted(network: Network, path: Path, given: LazyArrays, choices: Choices) -> ConvertedWeights:
    """The arrays of a file, which are `given`, for a network. Raises what does not match."""
    kind = weights_format(path)
    found = matching(
        network.graph,
        given,
        chosen=choices.chosen,
        leave=choices.leave,
        in_order=kind.in_order,
        by_order=choices.by_order,
    )
    arrays = bind(network.params, {name: given[m.source] for name, m in found.parameters.items()})
    flattened = behind_flatten(network.graph) if kind.channels_last else {}
    changed = {name: _channels_first(array, flattened.get(name)) for name, array in arrays.items()}
    return ConvertedWeights(network, found, changed, flattened)


def behind_flatten(typed: TypedGraph) -> dict[str, tuple[int, ...]]:
    """The shape [C, *] of the map that was flattened, for each parameter with an element or a column for each
    of its elements."""
    maps: dict[str, tuple[int, ...]] = {}
    found: dict[str, tuple[int, ...]] = {}
    for node in typed.nodes:
        shape, inputs = typed.types[node.name].shape, typed.input_types(node)
        if node.op.kind == "flatten" and len(inputs[0].shape) > 1 and max(inputs[0].shape[1:]) > 1:
            maps[node.name] = inputs[0].shape
            continue
        origin = maps.get(node.inputs[0]) if node.inputs else None
        if origin is None:
            continue
        for part, decl in node.op.params(*inputs).items():
            if decl.shape[-1:] == inputs[0].shape:
                found[node.param_name(part)] = origin
        if shape == inputs[0].shape and all(maps.get(value) == origin for value in node.inputs):
            maps[node.name] = origin
    return found


def _channels_first(array: Array | StoredArray, shape: tuple[int, ...] | None) -> Array | StoredArray:
    """The array with the last axis, over a map that was flattened as [*, C], over one flattened as [C, *]."""
    if shape is None:
        return array
    change = partial(_with_channels_first, shape)
    return array.changed(array.shape, change) if isinstance(array, StoredArray) else change(array)


def _with_channels_first(shape: tuple[int, ...], array: Array) -> Array:
    rows = array.reshape(*array.shape[:-1], *shape[1:], shape[0])
    return np.moveaxis(rows, -1, array.ndim - 1).reshape(array.shape)


# Mappings --------------------------------------------------------------------------------------------------


def read_mapping(path: Path) -> dict[str, str]:
    """The arrays that a mapping names, by parameter or scope. Raises E0601."""
    with opened(path, "mapping of weights") as file:
        content = read_json(file, LONGEST)
        entries = content.get("parameters") if isinstance(content, dict) else None
        if not isinstance(entries, dict) or not all(isinstance(name, str) for name in entries.values()):
            raise ValueError('it is no {"parameters": {NAME: NAME OF THE FILE, ...}}')
        return entries


def mapping_of(weights: ConvertedWeights, source: str) -> bytes:
    """A file that says which array of the `source` each parameter takes, as `read_mapping` reads it."""
    content = {
        "file": Path(source).name,
        "network": weights.network.name,
        "profile": weights.network.profile,
        "parameters": {name: m.source for name, m in weights.matching.parameters.items()},
        "left": dict(weights.matching.left),
    }
    return mapping_bytes(content)


def mapping_bytes(content: Mapping[str, Any]) -> bytes:
    """A file of a mapping, as `read_mapping` reads it: the array of each name is under `parameters`."""
    return f"{json.dumps(content, indent=2, ensure_ascii=False)}\n".encode()
