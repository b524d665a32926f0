"""Small files of Keras, written without Keras: descriptions of models, and arrays in each kind of file."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from archforge.data.frameworks.keras import layers_in
from archforge.ops.base import Array

__all__ = ["ENDINGS", "Arrays", "functional", "layer", "random_arrays", "sequential", "written"]

ENDINGS = (".h5", ".keras", ".json")

Description = dict[str, Any]
# Arrays of each layer by the names that Keras gives them; a layer in a model is called by both.
Arrays = Mapping[str, Mapping[str, Array]]


def layer(kind: str, name: str, *inputs: Any, **settings: Any) -> Description:
    """A layer as Keras 2 describes it. inputs: the layers that it is called on, or lists of them for several
    calls; `(name, call)` for another call than the first."""
    calls = [each if isinstance(each, list) else [each] for each in inputs]
    nodes = [[[*(r if isinstance(r, tuple) else (r, 0)), 0, {}] for r in call] for call in calls]
    found = {"class_name": kind, "name": name, "config": {"name": name, **settings}}
    return found | ({"inbound_nodes": nodes} if inputs or kind == "InputLayer" else {})


def sequential(shape: Sequence[int | None], *layers: Description, name: str = "net") -> Description:
    """A chain of layers over an input of that shape, without the batch."""
    start = layer("InputLayer", "start", batch_input_shape=[None, *shape])
    return {"class_name": "Sequential", "config": {"name": name, "layers": [start, *layers]}}


def functional(
    *layers: Description, inputs: Sequence[str], outputs: Sequence[str], name: str = "net"
) -> Description:
    """Layers that say what they are called on."""
    ends = {
        end: [[n, 0, 0] for n in names]
        for end, names in (("input_layers", inputs), ("output_layers", outputs))
    }
    return {"class_name": "Functional", "config": {"name": name, "layers": list(layers), **ends}}


def random_arrays(shapes: Mapping[str, Mapping[str, Sequence[int]]]) -> Arrays:
    """Random numbers of these shapes; variances are positive."""
    rng = np.random.default_rng(0)
    return {
        name: {
            part: rng.uniform(0.5, 1.5, shape).astype(np.float32)
            - np.float32(0.0 if "variance" in part else 1.0)
            for part, shape in parts.items()
        }
        for name, parts in shapes.items()
    }


def written(folder: Path, description: Description, arrays: Arrays, ending: str) -> Path:
    """A file of the kind that its name ends in."""
    path = folder / f"model{ending}"
    {".h5": _write_hdf5, ".keras": _write_keras, ".json": _write_tfjs}[ending](path, description, arrays)
    return path


def _write_hdf5(path: Path, description: Description, arrays: Arrays) -> None:
    h5py: Any = import_module("h5py")
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(description)
        file.attrs["keras_version"] = b"2.9.0"
        group = file.create_group("model_weights")
        layers: dict[str, list[tuple[str, str, Array]]] = {}
        for name, parts in arrays.items():
            outer, _, inner = name.partition(".")
            scope = inner.replace(".", "/") or outer
            layers.setdefault(outer, []).extend((scope, part, array) for part, array in parts.items())
        group.attrs["layer_names"] = [name.encode() for name in layers]
        for name, entries in layers.items():
            held = group.create_group(name)
            held.attrs["weight_names"] = [f"{scope}/{part}:0".encode() for scope, part, _ in entries]
            for scope, part, array in entries:
                held[f"{scope}/{part}:0"] = array


def _write_tfjs(path: Path, description: Description, arrays: Arrays) -> None:
    entries = [
        (f"{name.replace('.', '/')}/{part}", array)
        for name, parts in arrays.items()
        for part, array in parts.items()
    ]
    path.with_name("group1-shard1of1.bin").write_bytes(b"".join(array.tobytes() for _, array in entries))
    weights = [{"name": name, "shape": list(a.shape), "dtype": "float32"} for name, a in entries]
    manifest = [{"paths": ["group1-shard1of1.bin"], "weights": weights}]
    topology = {"keras_version": "2.9.0", "model_config": description}
    text = {"format": "layers-model", "modelTopology": topology, "weightsManifest": manifest}
    path.write_text(json.dumps(text), "utf-8")


def _write_keras(path: Path, description: Description, arrays: Arrays) -> None:
    h5py: Any = import_module("h5py")
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        _write_numbered(file, description, arrays, "", "")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", json.dumps(_modern(description)))
        archive.writestr("model.weights.h5", content.getvalue())


def _write_numbered(file: Any, description: Description, arrays: Arrays, place: str, scope: str) -> None:
    counts: Counter[str] = Counter()
    for each in layers_in(description):
        word = _word(each["class_name"])
        number = f"_{counts[word]}" if counts[word] else ""
        counts[word] += 1
        inside, name = f"{place}layers/{word}{number}", f"{scope}{each['config']['name']}"
        _write_numbered(file, each, arrays, f"{inside}/", f"{name}.")
        inside += "/layer" if each["class_name"] == "TimeDistributed" else ""
        cell = "/cell" if each["class_name"] in ("LSTM", "GRU", "SimpleRNN") else ""
        for i, array in enumerate(arrays.get(name, {}).values()):
            file[f"{inside}{cell}/vars/{i}"] = array


def _word(kind: str) -> str:
    words = {"BatchNormalization": "batch_normalization", "LayerNormalization": "layer_normalization"}
    words |= {"SeparableConv2D": "separable_conv2d", "DepthwiseConv2D": "depthwise_conv2d"}
    words |= {"SeparableConv1D": "separable_conv1d", "DepthwiseConv1D": "depthwise_conv1d"}
    words |= {f"Conv{n}DTranspose": f"conv{n}d_transpose" for n in (1, 2, 3)}
    words |= {"SimpleRNN": "simple_rnn", "PReLU": "p_re_lu", "LayerScale": "layer_scale"}
    words |= {"TimeDistributed": "time_distributed"}
    return words.get(kind, kind.lower())


def _modern(description: Any) -> Any:
    """A description as Keras 3 has it."""
    found = dict(description)
    found["module"], found["registered_name"] = "keras.layers", None
    config = dict(found["config"])
    if "batch_input_shape" in config:
        config["batch_shape"] = config.pop("batch_input_shape")
    if "layers" in config:
        config["layers"] = [_modern(each) for each in config["layers"]]
    found["config"] = config
    found["inbound_nodes"] = [
        {
            "args": [_tensor(*n) for n in node] if len(node) == 1 else [[_tensor(*n) for n in node]],
            "kwargs": {},
        }
        for node in found.get("inbound_nodes", [])
    ]
    return found


def _tensor(name: str, call: int, output: int, _: Any) -> Description:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, call, output]}}
