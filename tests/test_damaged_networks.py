"""Files of networks with values, words and bytes that they cannot have: each is imported or refused in words.

Random changes, the same in every run: of the values of JSON, of the words of a prototxt, of bytes.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import archforge
from archforge.errors import DiagnosticError
from archforge.interchange.formats import open_file
from archforge.interchange.normalize import normalized
from archforge.interchange.onnx.graph import onnx_graph
from archforge.interchange.written_spec import written_spec
from archforge.weights import rule_weights
from tests.keras_files import layer, random_arrays, sequential, written
from tests.test_weight_formats import layer as caffe_layer

SPEC = """\
archforge: 1
title: T
input: [2, 8, 8]
graph:
  - {conv: {out: 4, kernel: 3}}
  - bn
  - relu
  - {max_pool: 2}
  - {add: [[], [{conv: 4}]]}
  - {concat: [[], [{slice: {start: 1, axis: 0}}]]}
  - flatten
  - {linear: 3}
"""
PROTOTXT = """\
input: "data" input_shape { dim: 1 dim: 2 dim: 9 dim: 8 }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
 convolution_param { num_output: 4 kernel_size: 3 pad: 1 group: 2 } }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "l" type: "LRN" bottom: "p" top: "l" lrn_param { local_size: 3 } }
layer { name: "i" type: "InnerProduct" bottom: "l" top: "i" inner_product_param { num_output: 3 } }
"""
WORDS = ("1000000000", "-1", "0", "9" * 20, "nan", "inf", '"x"', "true", "{", "}", "1e400", '"data"')
VALUES: tuple[Any, ...] = (
    *(10**9, -1, 0, 2**31, 2**63 - 1, -(2**63), 10**30, 1e308, float("inf"), float("nan"), 1.5, True, None),
    *([], {}, "", "x", [[]], [0], [-1], [10**9] * 4, [None], {"a": 1}, "/etc/passwd", [["a", 0, 0]]),
)

Change = Callable[[Random, Path], None]


def of_onnx(folder: Path) -> Path:
    pytest.importorskip("onnx", reason="the extra `onnx` brings it")
    model_of = import_module("tests.onnx_files").model_of
    (folder / "t.yaml").write_text(SPEC)
    network = archforge.load(folder / "t.yaml")
    arrays = {name: array.astype(np.float32) for name, array in rule_weights(network.params).items()}
    path = folder / "net.onnx"
    path.write_bytes(model_of(onnx_graph(network.graph, arrays)))
    return path


def of_keras(folder: Path, ending: str) -> Path:
    pytest.importorskip("h5py", reason="the extra `keras` brings it")
    norm = ("gamma", "beta", "moving_mean", "moving_variance")
    described = sequential(
        (8, 8, 1),
        layer("Conv2D", "c", filters=2, kernel_size=3, activation="relu"),
        layer("BatchNormalization", "n"),
        layer("Flatten", "f"),
        layer("TimeDistributed", "t", layer=layer("ReLU", "r")),
        layer("Dense", "d", units=3),
    )
    shapes: dict[str, Mapping[str, Sequence[int]]] = {
        "c": {"kernel": (3, 3, 1, 2), "bias": (2,)},
        "n": dict.fromkeys(norm, (2,)),
        "d": {"kernel": (72, 3), "bias": (3,)},
    }
    return written(folder, described, random_arrays(shapes), ending)


def of_caffe(folder: Path) -> Path:
    path = folder / "net.prototxt"
    path.write_text(PROTOTXT)
    weights = {"c": (np.ones((4, 1, 3, 3)), np.ones(4)), "i": (np.ones((3, 80)), np.ones(3))}
    kinds = {"c": "Convolution", "i": "InnerProduct"}
    content = b"".join(caffe_layer(name, kinds[name], *arrays) for name, arrays in weights.items())
    path.with_suffix(".caffemodel").write_bytes(content)
    return path


# Changes


def places(tree: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value of a tree of JSON."""
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in entries:
        yield (*place, key)
        yield from places(value, (*place, key))


def other_value(random: Random, text: str) -> str:
    tree = json.loads(text)
    for _ in range(random.choice((1, 1, 2))):
        *way, last = random.choice(list(places(tree)))
        held = tree
        for key in way:
            held = held[key]
        if random.random() < 0.15:
            del held[last]
        else:
            held[last] = deepcopy(random.choice(VALUES))
    return json.dumps(tree)


def in_json(random: Random, path: Path) -> None:
    path.write_text(other_value(random, path.read_text()))


def in_archive(random: Random, path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = other_value(random, members["config.json"].decode()).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def in_hdf5(random: Random, path: Path) -> None:
    with import_module("h5py").File(path, "a") as file:
        file.attrs["model_config"] = other_value(random, file.attrs["model_config"])


def in_words(random: Random, path: Path) -> None:
    words = path.read_text().split(" ")
    for _ in range(random.choice((1, 1, 2))):
        words[random.randrange(len(words))] = random.choice((*WORDS, *words))
    path.write_text(" ".join(words))


def in_bytes(random: Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(random.choice((1, 1, 2, 4))):
        start = random.randrange(len(content))
        stop = start + random.choice((0, 1, 1, 4, 8))
        content[start:stop] = random.choice(
            (random.randbytes(stop - start), b"\xff" * (stop - start), b"\xff\xff\xff\x7f", b"")
        )
    path.write_bytes(content[: random.choice((len(content), len(content), random.randrange(len(content))))])


CASES: dict[str, tuple[Callable[[Path], Path], Change]] = {
    "onnx-bytes": (of_onnx, in_bytes),
    "prototxt-words": (of_caffe, in_words),
    "prototxt-bytes": (of_caffe, in_bytes),
    "json-values": (lambda folder: of_keras(folder, ".json"), in_json),
    "json-bytes": (lambda folder: of_keras(folder, ".json"), in_bytes),
    "keras-values": (lambda folder: of_keras(folder, ".keras"), in_archive),
    "keras-bytes": (lambda folder: of_keras(folder, ".keras"), in_bytes),
    "h5-values": (lambda folder: of_keras(folder, ".h5"), in_hdf5),
    "h5-bytes": (lambda folder: of_keras(folder, ".h5"), in_bytes),
}


def whole(path: Path) -> None:
    """Everything that an import does but for its comparisons."""
    weights = path.with_suffix(".caffemodel")
    made = normalized(open_file(path, weights if weights.exists() else None).read("net", {}))
    for array in written_spec(made, "net", "remark").arrays.values():
        np.asarray(array)


def assert_read_or_refused(case: str, folder: Path, seed: int, times: int) -> None:
    make, change = CASES[case]
    path = make(folder)
    whole(path)
    kept = {each: each.read_bytes() for each in folder.iterdir()}
    for number in range(times):
        change(Random(f"{seed}-{number}"), path)
        try:
            with suppress(DiagnosticError):
                whole(path)
        except Exception as error:
            raise AssertionError(f"{case}, change {seed}-{number}: {error!r}") from error
        for each, content in kept.items():
            each.write_bytes(content)


@pytest.mark.parametrize("case", CASES)
def test_a_damaged_file_is_read_or_refused(case: str, tmp_path: Path) -> None:
    assert_read_or_refused(case, tmp_path, 0, 40)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("case", CASES)
def test_many_damaged_files_are_read_or_refused(case: str, seed: int, tmp_path: Path) -> None:
    assert_read_or_refused(case, tmp_path, seed, 400)
