"""Weights of Keras, TensorFlow.js, Caffe and ONNX: names and layouts of archforge, and files that lie."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import archforge
from archforge import driver
from archforge.data.arrays import WEIGHTS
from archforge.errors import DiagnosticError
from archforge.ops.base import Array
from tests.conftest import Run
from tests.test_torch_files import read, refusal
from tests.weight_files import FOLDER

LINEAR = np.arange(6, dtype=np.float32).reshape(2, 3)
KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)


def test_a_format_has_endings_of_its_own() -> None:
    endings = [ending for each in WEIGHTS for ending in each.endings]
    assert len(set(endings)) == len(endings)
    page = (Path(__file__).parents[1] / "docs/weights.md").read_text("utf-8")
    assert [e for e in endings if f"`{e}`" not in page] == []


# Keras ------------------------------------------------------------------------------------------------------

KERAS = {
    "keras_image": """
        archforge: 1
        title: the layers of keras_image
        input: [2, 6, 5]
        graph:
          - {conv: {out: 3, kernel: [3, 2]}, name: first}
          - relu
          - {bn: {eps: 1e-3}, name: norm}
          - {conv: {out: 6, kernel: 2, groups: 3, bias: false}, name: depthwise}
          - {conv: {out: 6, kernel: [2, 1], groups: 6, bias: false}, name: separable}
          - {conv: 4, name: joined}
          - relu
          - flatten
          - {linear: 5, name: hidden}
          - relu
          - {linear: 2, name: head}
        """,
    "keras_rows": """
        archforge: 1
        title: the layers of keras_rows
        input: [4, 3]
        graph:
          - {lstm: {hidden: 3, biases: 1}}
          - {gru: {hidden: 2}}
        """,
}


@pytest.mark.parametrize("name", KERAS)
@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_a_model_of_keras_computes_here_what_it_computes_there(
    name: str, ending: str, tmp_path: Path
) -> None:
    pytest.importorskip("h5py", reason="the extra `keras` brings it")
    spec = tmp_path / "spec.yaml"
    spec.write_text(KERAS[name], "utf-8")
    made = driver.convert_weights(driver.open_spec(spec), FOLDER / f"{name}{ending}")
    stored = np.load(FOLDER / f"{name}.npz")
    x = np.moveaxis(stored["x"], -1, 1) if stored["x"].ndim == 4 else stored["x"]
    y = archforge.compile(spec, backend="numpy", dtype="float64", weights=made.arrays)(x)
    np.testing.assert_allclose(y, stored["y"], rtol=1e-6, atol=1e-6)


def test_files_of_keras_are_converted_first(run: Run, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(KERAS["keras_image"], "utf-8")
    code, _, told = run("run", "s.yaml", "-w", str(FOLDER / "keras_image.h5"))
    assert code == 2
    assert "have channels last, and must be converted first" in told
    assert "archforge weights convert" in told


def virtual_layout(h5py: Any) -> Any:
    """Layout of four numbers that are those of `w` in other.h5."""
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "w", (4,))
    return layout


HOSTILE: dict[str, tuple[Callable[[Any, Any], None], str]] = {
    "a link to another file": (
        lambda h5py, group: group.__setitem__("w", h5py.ExternalLink("other.h5", "/w")),
        "is a link to another place",
    ),
    "a soft link": (
        lambda h5py, group: group.__setitem__("w", h5py.SoftLink("/x")),
        "is a link to another place",
    ),
    "numbers in another file": (
        lambda h5py, group: group.create_dataset("w", (4,), "f4", external=[("/etc/passwd", 0, 16)]),
        "are in another file",
    ),
    "a virtual array": (
        lambda h5py, group: group.create_virtual_dataset("w", virtual_layout(h5py)),
        "are in another file",
    ),
    "numbers that are not there": (
        lambda h5py, group: group.create_dataset("w", (1 << 40,), "f4", chunks=(1 << 20,)),
        "is said to take",
    ),
    "texts": (lambda h5py, group: group.create_dataset("w", data=b"text"), "is no array of numbers"),
    "nothing": (lambda h5py, group: None, "it lacks `w`"),
    "a group": (lambda h5py, group: group.create_group("w"), "is no array of numbers"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hdf5_that_leads_out_of_itself_is_refused(case: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra `keras` brings it")
    make, said = HOSTILE[case]
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["w"] = np.ones(4, np.float32)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"layer"]
        layer = file.create_group("layer")
        layer.attrs["weight_names"] = [b"w"]
        make(h5py, layer)
    assert said in refusal(tmp_path / "w.h5")


def test_hdf5_of_others_and_with_channels_first_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra `keras` brings it")
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["w"] = np.ones(4)
    assert "it has no `layer_names`" in refusal(path)
    layer = {"class_name": "Conv2D", "config": {"name": "c", "data_format": "channels_first"}}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([], "S1")
        file.attrs["model_config"] = json.dumps({"config": [layer]})
    assert "`c` has channels first" in refusal(path)
    path = tmp_path / "w.keras"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("metadata.json", "{}")
    assert "it has no model.weights.h5" in refusal(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("metadata.json", "{}")
        made.writestr("config.json", "{}")
        made.writestr("model.weights.h5", bytes(64))
    assert "`model.weights.h5` is compressed or encrypted, which Keras never does" in refusal(path)


# TensorFlow.js ----------------------------------------------------------------------------------------------


def tfjs(
    folder: Path, weights: list[dict[str, Any]], shards: Mapping[str, bytes], more: Mapping[str, Any] = {}
) -> Path:
    """A `model.json` and the files beside it; `more` replaces what it says."""
    for name, content in shards.items():
        (folder / name).write_bytes(content)
    path = folder / "model.json"
    path.write_text(json.dumps({"weightsManifest": [{"paths": list(shards), "weights": weights, **more}]}))
    return path


def test_tensorflow_js_is_read_over_the_ends_of_files(tmp_path: Path) -> None:
    kernel = np.moveaxis(KERNEL, (0, 1), (3, 2))
    steps = np.array([[0, 1], [2, 255]], np.uint8)
    content = kernel.tobytes() + steps.tobytes()
    weights: list[dict[str, Any]] = [
        {"name": "conv/kernel", "shape": list(kernel.shape), "dtype": "float32"},
        {
            "name": "model/dense/kernel",
            "shape": [2, 2],
            "dtype": "float32",
            "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0},
        },
    ]
    path = tfjs(tmp_path, weights, {"a.bin": content[:37], "b.bin": content[37:]})
    found = read(path)
    np.testing.assert_array_equal(found["conv.weight"], KERNEL)
    np.testing.assert_array_equal(found["model.dense.weight"], steps.T * np.float32(0.5) - 1)
    assert [a.dtype for a in found.values()] == [np.float32, np.float32]
    (tmp_path / "b.bin").write_bytes(content[37:] + b"\0")
    assert "it describes" in refusal(path)
    for wrong, said in (
        ({"paths": ["../a.bin"]}, "is no name of a file beside it"),
        ({"paths": ["/etc/passwd"]}, "is no name of a file beside it"),
        ({"paths": [".."]}, "is no name of a file beside it"),
        ({"paths": [""]}, "is no name of a file beside it"),
        ({"paths": ["gone.bin"]}, "no such file"),
        ({"weights": [weights[1], weights[1]]}, "there twice"),
        ({"weights": [weights[0] | {"shape": [-1]}]}, "no name or no shape"),
        ({"weights": [weights[0] | {"shape": [1 << 40]}]}, "ends behind the last of its files"),
        ({"weights": [weights[0] | {"dtype": "string"}]}, "is string, which is not read"),
        ({"weights": 3}, "not iterable"),
    ):
        assert said in refusal(tfjs(tmp_path, weights, {"a.bin": content}, wrong))
    path.write_text("{}")
    assert "no `weightsManifest`" in refusal(path)


# Messages of Protocol Buffers -------------------------------------------------------------------------------


def number(value: int) -> bytes:
    """A whole number as Protocol Buffers write it."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(position: int, content: bytes | str | int) -> bytes:
    """A field of a message."""
    if isinstance(content, int):
        return number(position << 3) + number(content)
    content = content.encode() if isinstance(content, str) else content
    return number(position << 3 | 2) + number(len(content)) + content


def blob(array: Array, *, old: bool = False) -> bytes:
    """An array as Caffe writes it, in the older form with four axes."""
    dims = (1,) * (4 - array.ndim) + array.shape if old else array.shape
    each = b"".join(field(i + 1, n) for i, n in enumerate(dims))
    sizes = each if old else field(7, field(1, b"".join(map(number, dims))))
    return sizes + field(5, array.astype("<f4").tobytes())


def layer(name: str, kind: str, *arrays: Array) -> bytes:
    return field(100, field(1, name) + field(2, kind) + b"".join(field(7, blob(a)) for a in arrays))


def old_layer(name: str, kind: int, *arrays: Array) -> bytes:
    return field(2, field(4, name) + field(5, kind) + b"".join(field(6, blob(a, old=True)) for a in arrays))


MEAN, VAR, FACTOR = np.array([2.0, 4.0]), np.array([6.0, 8.0]), np.array([2.0])


def test_caffe_is_read_in_both_forms_of_its_layers(tmp_path: Path) -> None:
    path = tmp_path / "w.caffemodel"
    path.write_bytes(
        field(1, "net")
        + layer("conv", "Convolution", KERNEL, np.ones(2))
        + layer("norm", "BatchNorm", MEAN, VAR, FACTOR)
        + layer("scale", "Scale", np.ones(2), np.zeros(2))
        + layer("fc", "InnerProduct", LINEAR)
    )
    found = read(path)
    assert list(found) == [
        "conv.weight", "conv.bias", "norm.running_mean", "norm.running_var",
        "scale.weight", "scale.bias", "fc.weight",
    ]  # fmt: skip
    np.testing.assert_array_equal(found["conv.weight"], KERNEL)
    np.testing.assert_array_equal(found["norm.running_var"], VAR / 2)
    path.write_bytes(
        old_layer("conv", 4, KERNEL[:1, :1], np.ones(1)) + old_layer("fc", 14, LINEAR[:1], np.ones(2))
    )
    shapes = {name: array.shape for name, array in read(path).items()}
    assert shapes == {"conv.weight": (1, 1, 2, 2), "conv.bias": (1,), "fc.weight": (1, 3), "fc.bias": (2,)}


def test_a_batch_norm_of_caffe_and_its_scale_are_one_layer_here(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "archforge: 1\ntitle: s\ninput: [3, 4, 4]\ngraph: [conv: {out: 2, kernel: 2}, bn]\n", "utf-8"
    )
    path = tmp_path / "w.caffemodel"
    path.write_bytes(
        layer("c", "Convolution", KERNEL, np.ones(2))
        + layer("n", "BatchNorm", MEAN, VAR, FACTOR)
        + layer("s", "Scale", np.ones(2), np.zeros(2))
    )
    made = driver.convert_weights(driver.open_spec(tmp_path / "s.yaml"), path)
    assert {n: m.source for n, m in made.matching.parameters.items()} == {
        "conv.weight": "c.weight",
        "conv.bias": "c.bias",
        "bn.weight": "s.weight",
        "bn.bias": "s.bias",
        "bn.running_mean": "n.running_mean",
        "bn.running_var": "n.running_var",
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (layer("a", "Scale", FACTOR) * 2, "two of its layers are called `a`"),
        (field(100, field(1, "a")), "no layer with blobs"),
        (
            field(100, field(1, "a") + field(7, field(7, field(1, number(9))) + field(5, bytes(4)))),
            "4 bytes, too many",
        ),
        (field(100, field(7, field(5, bytes(4)) * 2)), "its numbers in 2 pieces"),
        (field(100, field(7, field(7, field(1, number(1) * 40)))), "40 axes"),
        (b"\xa2\x06\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "its field 100 ends at byte"),
        (b"\x80" * 20, "a number of more than 10 bytes"),
        (b"\x80", "ends within a number"),
        (b"\x07", "a field of the kind 7"),
        (b"\0\0", "its field 0 ends"),
        (field(100, field(1, b"\xff")), "invalid start byte"),
    ],
)
def test_a_caffemodel_that_lies_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "w.caffemodel").write_bytes(content)
    assert said in refusal(tmp_path / "w.caffemodel")


# ONNX -------------------------------------------------------------------------------------------------------


def onnx_model(**arrays: Array) -> Any:
    """A model of ONNX whose nodes use a kernel, a norm and matrices in both orders."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["1"], name="conv"),
        helper.make_node("Flatten", ["1"], ["2"]),
        helper.make_node("MatMul", ["2", "turned"], ["3"]),
        helper.make_node("Gemm", ["3", "plain", "c"], ["4"], transB=1),
        helper.make_node("Gemm", ["4", "gemm_turned"], ["5"], transB=0),
    ]
    made = [onnx.numpy_helper.from_array(array, name) for name, array in reversed(arrays.items())]
    nodes.append(helper.make_node("Identity", ["b"], ["same"]))
    made.append(helper.make_tensor("unused", onnx.TensorProto.FLOAT, [2], [1.0, 2.0]))
    made.append(
        helper.make_tensor(
            "brain", onnx.TensorProto.BFLOAT16, [2], struct.pack("<HH", 0x3FC0, 0xC000), raw=True
        )
    )
    return helper.make_model(helper.make_graph(nodes, "g", [], [], made))


ARRAYS: dict[str, Any] = {
    "k": KERNEL, "b": np.ones(2), "turned": LINEAR, "plain": LINEAR, "c": np.ones(2, np.float16),
    "gemm_turned": LINEAR,
}  # fmt: skip


def test_initialisers_of_onnx_come_in_the_order_of_the_nodes(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx_model(**ARRAYS).SerializeToString())
    found = read(path)
    assert list(found) == [*ARRAYS, "unused", "brain", "same"]
    np.testing.assert_array_equal(found["same"], ARRAYS["b"])
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array.T if "turned" in name else array)
    np.testing.assert_array_equal(found["brain"], np.array([1.5, -2.0], np.float32))
    np.testing.assert_array_equal(found["unused"], np.array([1.0, 2.0], np.float32))


def test_external_data_of_onnx_lie_in_the_folder_of_the_model(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    folder = tmp_path / "model"
    folder.mkdir()
    onnx.save_model(
        onnx_model(**ARRAYS),
        folder / "m.onnx",
        save_as_external_data=True,
        location="m.data",
        size_threshold=0,
    )
    found = read(folder / "m.onnx")
    np.testing.assert_array_equal(found["k"], KERNEL)
    np.testing.assert_array_equal(found["turned"], LINEAR.T)
    (tmp_path / "m.data").write_bytes((folder / "m.data").read_bytes())
    (folder / "link").symlink_to(tmp_path / "m.data")
    model = onnx.load(folder / "m.onnx", load_external_data=False)
    for location, said in (
        ("../m.data", "out of its folder"),
        (str(tmp_path / "m.data"), "out of its folder"),
        ("link", "out of its folder"),
        ("gone", "no such file"),
        (".", "out of its folder"),
    ):
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                entry.value = location if entry.key == "location" else entry.value
        (folder / "m.onnx").write_bytes(model.SerializeToString())
        assert said in refusal(folder / "m.onnx")
    for key, value in (("offset", "99999999"), ("length", "3"), ("offset", "-1")):
        changed = onnx.ModelProto.FromString(model.SerializeToString())
        entries = {e.key: e for e in changed.graph.initializer[0].external_data}
        entries["location"].value, entries[key].value = "m.data", value
        (folder / "m.onnx").write_bytes(changed.SerializeToString())
        assert "m.data has" in refusal(folder / "m.onnx") or key == "length"


# Damaged bytes ----------------------------------------------------------------------------------------------


def whole_files(folder: Path) -> Iterator[Path]:
    """A file of each format that is read without another library."""
    path = folder / "w.caffemodel"
    path.write_bytes(
        layer("conv", "Convolution", KERNEL, np.ones(2)) + layer("norm", "BatchNorm", MEAN, VAR, FACTOR)
    )
    yield path
    entry = {"name": "conv/kernel", "shape": [2, 3, 2, 2], "dtype": "float32"}
    yield tfjs(folder, [entry], {"a.bin": KERNEL.tobytes()})
    path = folder / "w.onnx"
    tensor = (
        b"".join(field(1, n) for n in KERNEL.shape) + field(2, 1) + field(8, "k") + field(9, KERNEL.tobytes())
    )
    path.write_bytes(field(7, field(1, field(1, "k") + field(4, "Conv")) + field(5, tensor)))
    yield path


@pytest.mark.parametrize("ending", [".caffemodel", ".json", ".onnx"])
@given(data=st.data())
def test_damaged_bytes_give_arrays_or_a_diagnostic(
    ending: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = next(p for p in whole_files(folder) if p.suffix == ending)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(DiagnosticError):
        read(path)
