"""Weights of Keras in HDF5, alone or with their model, and in `.keras` archives, without Keras: with h5py.

Before Keras 3 a file says in attributes which layers there are, `layer_names`, and which arrays each of them
has, `weight_names`. Keras 3 numbers them instead: `layers/conv2d_1/vars/0` is the first array of the second
layer of that class, in the order of the model's description, which a `.keras` archive holds beside them.
Source: keras/src/legacy/saving/legacy_h5_format.py, keras/src/saving/saving_lib.py.

Links and arrays that lie elsewhere are not followed, and Python in a model's description is not run.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from itertools import count, takewhile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from archforge.data.frameworks.keras_layers import Layer, named_as_here
from archforge.data.opened_files import DEFLATED
from archforge.data.stored_arrays import FileVersion, StoredArray
from archforge.data.zip_members import stored_at
from archforge.errors import fail
from archforge.json_text import unique
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["DEEPEST", "KerasContent", "hdf5_content", "keras_content", "layers_in", "read_hdf5", "read_keras"]

WEIGHTS, DESCRIPTION, METADATA = "model.weights.h5", "config.json", "metadata.json"
LONGEST_DESCRIPTION = 1 << 26  # bytes
DEEPEST = 32  # models in models
FILTERS = {"gzip", "shuffle", "fletcher32", None}

# Arrays of Keras 3's layers, in the order of their numbers.
_NUMBERED = {
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "SeparableConv1D": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "SeparableConv2D": ("depthwise_kernel", "pointwise_kernel", "bias"),
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN"), ("kernel", "recurrent_kernel", "bias")),
    **dict.fromkeys(("LayerNormalization", "GroupNormalization"), ("gamma", "beta")),
    "Embedding": ("embeddings",),
    "LayerScale": ("gamma",),
    "Normalization": ("mean", "variance", "count"),
    "PReLU": ("alpha",),
}
_KERNEL = ("kernel", "bias")
_FLAGS = {"gamma": "scale", "beta": "center"}  # the settings of a norm that leave an array out
_CELLS = ("LSTM", "GRU", "SimpleRNN")
WRAPPER = "TimeDistributed"  # a layer that holds another one


class KerasContent(NamedTuple):
    """A file of Keras. model: its description, None where it holds weights alone. version: of Keras, as the
    file has it. layers: the arrays of each by the names that Keras gives them; a layer in a model is called
    by both, joined by a dot, where the file does."""

    model: Any
    version: str
    layers: dict[str, Layer]


def read_hdf5(file: BinaryIO, path: Path, what: str) -> dict[str, StoredArray]:
    """The arrays of a file of Keras before version 3, by layer, in the layouts of archforge.

    Raises ValueError, what h5py raises, and E0601 where that is not installed.
    """
    content = hdf5_content(file, path, what)
    return named_as_here(content.layers, dict(_classes(content.model)))


def read_keras(file: BinaryIO, path: Path, what: str) -> dict[str, StoredArray]:
    """The arrays of a `.keras` archive by layer, in the layouts of archforge. Raises what `read_hdf5`
    does."""
    content = keras_content(file, path, what)
    kinds = dict(_classes(content.model))
    layers: dict[str, Layer] = {}
    for name, layer in content.layers.items():
        own = name.rpartition(".")[2]
        if layers.setdefault(own, layer) is not layer:
            raise ValueError(f"two of its layers are called `{own}`")
    return named_as_here(layers, kinds)


def hdf5_content(file: BinaryIO, path: Path, what: str) -> KerasContent:
    """A file of Keras before version 3, its arrays not yet read. Raises as `read_hdf5`."""
    version = FileVersion.of(file, path, what)
    with _hdf5(file) as opened:
        group = _member(opened, "model_weights") if "model_weights" in opened else opened
        if "layer_names" not in group.attrs and "layer_names0" not in group.attrs:
            raise ValueError(
                "it has no `layer_names`: it is of Keras 3, and its .keras file is read, or not of Keras"
            )
        config = opened.attrs.get("model_config")
        model = None if config is None else _described(config)
        described = {str(each.get("name") or each["config"].get("name")): each for each in _named(model)}
        layers: dict[str, dict[str, StoredArray]] = {}
        for layer in _texts(group, "layer_names"):
            held = _member(group, layer)
            names = _texts(held, "weight_names")
            for name, (scope, part) in zip(names, _scopes(names, layer, described.get(layer)), strict=True):
                dataset = _member(held, name)
                array = _stored(dataset, version, _read_hdf5)
                if layers.setdefault(scope, {}).setdefault(part, array) is not array:
                    raise ValueError(f"`{name}` is there twice")
        by = _texts(opened, "keras_version") or _texts(group, "keras_version")
    return KerasContent(model, "".join(by), dict(layers))


def keras_content(file: BinaryIO, path: Path, what: str) -> KerasContent:
    """A `.keras` archive, its arrays not yet read. Raises as `read_hdf5`."""
    version = FileVersion.of(file, path, what)
    with zipfile.ZipFile(file) as archive:
        members = {m.filename: m for m in archive.infolist()}
        if not {WEIGHTS, DESCRIPTION} <= members.keys():
            raise ValueError(f"it has no {WEIGHTS} or no {DESCRIPTION}")
        member = members[WEIGHTS]
        model, about = (
            _text_member(archive, members[name]) if name in members else None
            for name in (DESCRIPTION, METADATA)
        )
    begin, size = stored_at(file, member, WEIGHTS, version.size, "Keras"), member.file_size
    layers: dict[str, Layer] = {}
    with _hdf5(_FilePart(file, begin, size)) as opened:
        for place, name, kind, settings in _numbered(model, "", "", 0):
            group = _member(opened, f"{place}/vars") if f"{place}/vars" in opened else {}
            parts = [p for p in _NUMBERED.get(kind, _KERNEL) if settings.get(_FLAGS.get(p, ""), True)]
            if len(group) > len(parts):
                raise ValueError(f"`{name}`, a {kind}, has {len(group)} arrays")
            read = partial(_read_window, begin, size)
            found = {
                part: _stored(_member(group, str(i)), version, read)
                for i, part in enumerate(parts[: len(group)])
            }
            if found and layers.setdefault(name, found) is not found:
                raise ValueError(f"two of its layers are called `{name}`")
    by = about.get("keras_version") if isinstance(about, dict) else None
    return KerasContent(model, str(by or ""), layers)


def _text_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
    if member.file_size > LONGEST_DESCRIPTION:
        raise ValueError(f"{member.filename} has more than {LONGEST_DESCRIPTION:,} bytes")
    return json.loads(archive.read(member), object_pairs_hook=unique)


# Descriptions ----------------------------------------------------------------------------------------------


def _numbered(
    model: Any, place: str, scope: str, depth: int
) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """The place, name, class and settings of each layer of a model in Keras 3, of the models in it too, whose
    names come before theirs."""
    if depth > DEEPEST:
        raise ValueError(f"its models are more than {DEEPEST} deep")
    counts: Counter[str] = Counter()
    for layer in layers_in(model):
        kind, settings = str(layer.get("class_name")), layer.get("config")
        word = _snake(kind)
        number = f"_{counts[word]}" if counts[word] else ""
        counts[word] += 1
        inside = f"{place}/layers/{word}{number}".lstrip("/")
        if isinstance(settings, dict):
            name = f"{scope}{settings.get('name')}"
            if layers_in(layer):
                yield from _numbered(layer, inside, f"{name}.", depth + 1)
                continue
            if kind == WRAPPER:
                inside, (kind, settings) = f"{inside}/layer", _wrapped(settings)
            yield f"{inside}/cell" if kind in _CELLS else inside, name, kind, settings


def _wrapped(settings: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Class and settings of the layer that another one holds."""
    inner = settings.get("layer")
    config = inner.get("config") if isinstance(inner, dict) else None
    return str(inner.get("class_name")) if inner else "", config if isinstance(config, dict) else {}


def _named(model: Any) -> Iterator[dict[str, Any]]:
    """The layers of a description that have settings."""
    return (layer for layer in layers_in(model) if isinstance(layer.get("config"), dict))


def layers_in(model: Any) -> list[dict[str, Any]]:
    """The descriptions of a model's layers; none of what is no model."""
    config = model.get("config") if isinstance(model, dict) else None
    layers = config.get("layers") if isinstance(config, dict) else config
    return [layer for layer in layers if isinstance(layer, dict)] if isinstance(layers, list) else []


def _snake(kind: str) -> str:
    """The name of a class as Keras writes it in places: `BatchNormalization` is `batch_normalization`."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def _described(config: Any) -> Any:
    if not isinstance(config, str | bytes) or len(config) > LONGEST_DESCRIPTION:
        raise ValueError("its `model_config` is no text")
    return json.loads(config)


def _classes(model: Any) -> Iterator[tuple[str, str]]:
    """Name and class of each layer of a model's description. Raises ValueError for channels first."""
    waiting = [model]
    while waiting:
        for layer in layers_in(waiting.pop()):
            waiting.append(layer)
            settings = layer.get("config")
            if isinstance(settings, dict):
                _refuse_channels_first(settings)
                yield str(settings.get("name")), str(layer.get("class_name"))


def _refuse_channels_first(settings: Mapping[str, Any]) -> None:
    """Raises ValueError: behind a `Flatten` of such a model, the columns of a matrix have another order."""
    if settings.get("data_format") == "channels_first":
        raise ValueError(f"its layer `{settings.get('name')}` has channels first, which is not read")


def _scopes(names: Sequence[str], layer: str, described: Any) -> Iterator[tuple[str, str]]:
    """The layer of each array of a group and its name there: `conv1/kernel:0`, in a model
    `net/conv1/kernel:0`. described: the layer of that group, None where the file does not say it.

    Keras names scopes as it likes, and lists the arrays of layers in their order.
    """
    if described is not None and layers_in(described):
        yield from _in_model(names, layer, described)
        return
    found = [_scope(name, layer) for name in names]
    is_model = len({scope for scope, _ in found}) > 1
    yield from ((scope if is_model else layer, part) for scope, part in found)


def _scope(name: str, layer: str) -> tuple[str, str]:
    *scopes, part = name.split(":")[0].split("/")
    scopes = [scope for scope in scopes if not re.fullmatch(r"(lstm|gru|simple_rnn)_cell(_\d+)?", scope)]
    return ".".join(dict.fromkeys(scopes)) or layer, part


def _in_model(names: Sequence[str], layer: str, described: Any) -> Iterator[tuple[str, str]]:
    """Arrays of a model that is a layer, as `_scopes` gives them: layers of one name come in their order."""
    free: dict[str, list[str]] = {}
    for _, inner, _, _ in _numbered(described, "", f"{layer}.", 0):
        free.setdefault(inner.rpartition(".")[2], []).append(inner)
    places: dict[tuple[str, ...], list[str]] = {}
    taken: set[tuple[str, str]] = set()
    for name in names:
        *scopes, part = name.split(":")[0].split("/")
        own = next((scope for scope in reversed(scopes) if scope in free), None)
        if own is None:
            yield _scope(name, layer)
            continue
        known = places.setdefault(tuple(scopes), [])
        place = next((p for p in known if (p, part) not in taken), None)
        if place is None:
            if not free[own]:
                raise ValueError(f"`{name}` is there twice")
            place = free[own].pop(0)
            known.append(place)
        taken.add((place, part))
        yield place, part


# HDF5 ------------------------------------------------------------------------------------------------------


def _hdf5(file: Any) -> Any:
    try:
        h5py: Any = import_module("h5py")
    except ImportError:
        fail(
            "E0601",
            "files of Keras need h5py, which is not installed",
            help="pip install h5py, the extra `keras`",
        )
    file.seek(0)
    return h5py.File(file, "r")


class _FilePart(io.RawIOBase):
    """Part of a file, as a file of its own."""

    def __init__(self, file: BinaryIO, begin: int, size: int) -> None:
        self._file, self._begin, self._size, self._place = file, begin, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._begin + self._place)
        content = self._file.read(max(min(len(buffer), self._size - self._place), 0))
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)


def _member(group: Any, name: str) -> Any:
    """Content of a group under a name, whose parts are joined by slashes. Raises ValueError for a link that
    leads elsewhere."""
    h5py: Any = import_module("h5py")
    for part in name.split("/"):
        if part not in group:
            raise ValueError(f"it lacks `{name}`")
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"`{name}` is a link to another place, and none is followed")
        group = group[part]
    return group


def _texts(group: Any, name: str) -> list[str]:
    """The texts of an attribute; a long one is split over several with numbers."""
    numbered = takewhile(group.attrs.__contains__, (f"{name}{i}" for i in count()))
    pieces = [name] if name in group.attrs else numbered
    found = [text for piece in pieces for text in np.ravel(group.attrs[piece])]
    return [text.decode() if isinstance(text, bytes) else str(text) for text in found]


def _stored(dataset: Any, version: FileVersion, read: Any) -> StoredArray:
    """A dataset as an array of the file. Raises ValueError for one whose numbers are not all in it."""
    h5py: Any = import_module("h5py")
    name = dataset.name
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or dataset.dtype.kind not in "fiub":
        raise ValueError(f"`{name}` is no array of numbers")
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"the numbers of `{name}` are in another file")
    if dataset.compression not in FILTERS:
        raise ValueError(f"`{name}` is compressed by {dataset.compression}")
    size, held = math.prod(dataset.shape) * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if size > held * (DEFLATED if dataset.compression else 1):
        raise ValueError(f"`{name}` is said to take {size} bytes, and has {held}")
    dtype = dataset.dtype.newbyteorder("=")
    return StoredArray(version, dataset.shape, dtype, str(dtype), partial(read, name))


def _read_hdf5(name: str, file: Any) -> Array:
    with _hdf5(file) as opened:
        array = np.asarray(opened[name][()])
        return array.astype(array.dtype.newbyteorder("="), copy=False)


def _read_window(begin: int, size: int, name: str, file: BinaryIO) -> Array:
    return _read_hdf5(name, _FilePart(file, begin, size))
