"""Arrays survive files, rules are what the golden outputs were made with, and bad data is refused."""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from archforge.atomic_files import written_beside
from archforge.data.arrays import read_inputs, read_weights, write_arrays
from archforge.data.memory_map import forget
from archforge.data.stored_arrays import StoredArray
from archforge.errors import DiagnosticError
from archforge.ir import Init, ParamDecl, TensorType
from archforge.ops.base import Array
from archforge.ops.window_attention import WindowAttention
from archforge.weights import bind, fresh_weights, rule_input, rule_weights

SUFFIXES = [".safetensors", ".npz"]
DTYPES = ["float64", "float32", "float16", "int64", "int32", "uint8", "bool", ">f4"]


def sample() -> dict[str, Array]:
    """Arrays of all kinds of shapes, orders and names."""
    arrays = {f"a.{dtype}": np.arange(12).reshape(3, 4).astype(dtype) for dtype in DTYPES}
    return arrays | {
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 3)),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "every second": np.arange(10.0)[::2],
        "file": np.ones(2),
        "größe/x": np.ones(1),
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_arrays_survive_a_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    write_arrays(path, sample())
    found = read_weights(path)
    assert set(found) == set(sample())
    for name, array in sample().items():
        assert found[name].dtype == array.dtype.newbyteorder("=") or suffix == ".npz"
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_is_the_same_bytes_each_time_and_stands_alone(suffix: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_arrays(tmp_path / f"{name}{suffix}", sample())
    one, two = sorted(tmp_path.iterdir())
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("length", range(1, 10))
def test_the_data_of_a_safetensors_file_is_aligned(tmp_path: Path, length: int) -> None:
    path = tmp_path / "w.safetensors"
    write_arrays(path, {"n" * length: np.ones(3, np.float32)})
    data = path.read_bytes()
    assert (8 + int.from_bytes(data[:8], "little")) % 8 == 0
    assert len(data) == 8 + int.from_bytes(data[:8], "little") + 12


def test_safetensors_are_those_of_its_reference_implementation(tmp_path: Path) -> None:
    arrays = {name: np.ascontiguousarray(a) for name, a in sample().items() if a.dtype.byteorder != ">"}
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    write_arrays(ours, arrays)
    safetensors.numpy.save_file(arrays, theirs, {"format": "np"})
    for found in (safetensors.numpy.load_file(ours), read_weights(theirs)):
        assert set(found) == set(arrays)
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


def test_what_a_mapped_file_held_is_given_back_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    weights = {"small": np.ones(3, np.float32), "large": np.arange(1 << 20, dtype=np.float32).reshape(64, -1)}
    write_arrays(path, weights)
    arrays = {name: np.asarray(array) for name, array in read_weights(path).items()}
    assert not arrays["large"].flags.writeable
    before = resident(path)
    for _ in range(2):
        np.testing.assert_array_equal(arrays["large"], weights["large"])
        if before is not None:
            assert (resident(path) or 0) > 4000
        for rows in (arrays["large"][:17], arrays["large"][17:], arrays["small"], weights["large"]):
            forget(rows)
        assert resident(path) == before
    np.testing.assert_array_equal(arrays["small"], 1)


def resident(path: Path) -> int | None:
    """KiB of a mapped file that this process holds; None where the system does not tell."""
    maps = Path("/proc/self/smaps")
    if not maps.exists():
        return None
    _, _, rest = maps.read_text().partition(str(path))
    return int(rest.partition("\nRss:")[2].split()[0])


def test_bfloat16_is_widened(tmp_path: Path) -> None:
    header = {"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    path = tmp_path / "b.safetensors"
    path.write_bytes(packed(header, struct.pack("<HH", 0x3FC0, 0xC000)))
    x = np.asarray(read_weights(path)["x"])
    assert x.dtype == np.float32
    assert x.tolist() == [1.5, -2.0]


def packed(header: Any, data: bytes = b"") -> bytes:
    """The bytes of a safetensors file."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(shape: Any, begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    """An entry of a safetensors header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


ONE = json.dumps(tensor([1], 0, 4)).encode()
NPY = b"\x93NUMPY\x01\x00"


def npy(shape: str) -> bytes:
    """A header for float64 of that shape, and no data."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return NPY + struct.pack("<H", len(header)) + header


def npz(*members: tuple[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    """The bytes of a zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


MALFORMED: dict[str, bytes] = {
    "empty.safetensors": b"",
    "short.safetensors": b"\1\0\0",
    "long header.safetensors": struct.pack("<Q", 1 << 60) + b"{}",
    "not json.safetensors": packed(b"{]"),
    "not utf8.safetensors": packed(b"\xff\xfe"),
    "nested.safetensors": packed(b"[" * 100_000),
    "list.safetensors": packed([]),
    "no fields.safetensors": packed({"x": 3}),
    "odd shape.safetensors": packed({"x": tensor(["a"], 0, 4)}, b"1234"),
    "negative.safetensors": packed({"x": tensor([-1], 0, -4)}),
    "wrong size.safetensors": packed({"x": tensor([2], 0, 4)}, b"1234"),
    "hole.safetensors": packed({"x": tensor([1], 4, 8)}, b"12345678"),
    "overlap.safetensors": packed({"x": tensor([1], 0, 4), "y": tensor([1], 0, 4)}, b"1234"),
    "truncated.safetensors": packed({"x": tensor([2], 0, 8)}, b"1234"),
    "trailing.safetensors": packed({"x": tensor([1], 0, 4)}, b"123456"),
    "twice.safetensors": packed(
        b'{"x": %s, "x": %s}' % ((json.dumps(tensor([1], 0, 4)).encode(),) * 2), b"1234"
    ),
    "boolean.safetensors": packed({"x": tensor([True], 0, 4)}, b"1234"),
    "enormous.safetensors": packed({"x": tensor([0, 10**30], 0, 0)}),
    "axes.safetensors": packed({"x": tensor([1] * 65, 0, 4)}, b"1234"),
    "float8.safetensors": packed({"x": tensor([4], 4, 0, "F8_E4M3")}, b"1234"),
    "unhashable.safetensors": packed({"x": {"dtype": [], "shape": [], "data_offsets": [0, 4]}}, b"1234"),
    "empty.npz": b"",
    "text.npz": b"hello",
    "array.npz": NPY,
    "half.npz": b"PK\3\4",
    "twice.npz": npz(("x.npy", npy("()") + bytes(8)), ("x.npy", npy("()") + bytes(8))),
    "text.in.npz": npz(("x.npy", npy("()") + bytes(8)), ("read me", b"hello")),
    "promise.npz": npz(("x.npy", npy("(1000, 1000)"))),
    "trailing.npz": npz(("x.npy", npy("()") + bytes(9))),
    "bomb.npz": npz(("x.npy", npy("(3,)") + bytes(24))).replace(
        struct.pack("<I", 24 + len(npy("(3,)"))), b"\xff\xff\xff\x7f"
    ),
    "bzip2.npz": npz(("x.npy", npy("()") + bytes(8)), how=zipfile.ZIP_BZIP2),
    "negative.npz": npz(("x.npy", npy("(-1, -1)") + bytes(8))),
    "empty.npy": b"",
    "magic.npy": b"NUMPX",
    "version.npy": b"\x93NUMPY\x09\x00",
    "header.npy": NPY + struct.pack("<H", 4) + b"{{{{",
    "code.npy": NPY + struct.pack("<H", 20) + b"__import__('os')    ",
    "huge.npy": npy("(99999999999999,)"),
    "data.npy": npy("(3,)"),
}


def read(path: Path) -> dict[str, StoredArray]:
    """Read as weights, or as an input if the file can hold only that."""
    return read_inputs(path, ["x"]) if path.suffix == ".npy" else read_weights(path)


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_a_diagnostic(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(MALFORMED[name])
    with pytest.raises(DiagnosticError, match=r"E0601: .*is no \w+ file of \w+: .") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def zipped(*names: str) -> bytes:
    """A zip archive whose members have these names."""
    return npz(*((name, b"content") for name in names))


# Files that are taken for weights: their first bytes, what they are called, and a word of the way out.
OTHER_KINDS: dict[str, tuple[bytes, str, str]] = {
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS", "git lfs pull"),
    "page": (b"\n<!DOCTYPE html><html>Sign in", "a web page", "download"),
    "torch": (zipped("archive/data.pkl", "archive/data/0"), "torch.save", "ends in .pth"),
    "script": (zipped("script/data/0", "script/code/a.py"), "torch.jit", "torch.jit.load"),
    "pickle": (pickle.dumps({"a": 1}), "a pickle", "ends in .pth"),
    "hdf5": (b"\x89HDF\r\n\x1a\n\0\0", "Keras", "ends in ."),
    "keras": (zipped("metadata.json", "config.json", "model.weights.h5"), "Keras", "ends in ."),
    "onnx": (b"\x08\x08\x12\x07pytorch", "an ONNX model", "ends in .onnx"),
    "gzip": (gzip.compress(b"content"), "a compressed file", "unpack"),
    "gguf": (b"GGUF\3\0\0\0", "GGUF", ""),
}


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".npy", ".weights"])
@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_a_file_of_another_kind_is_called_what_it_is(kind: str, suffix: str, tmp_path: Path) -> None:
    content, words, help = OTHER_KINDS[kind]
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(DiagnosticError) as caught:
        read(path)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E0601"
    assert words in diagnostic.message
    assert help in diagnostic.help


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".npy", ".bin", ".dat", ""])
@pytest.mark.parametrize("ending", [*SUFFIXES, ".npy"])
def test_a_file_of_a_wrong_name_is_called_what_it_holds(ending: str, suffix: str, tmp_path: Path) -> None:
    arrays = {"a": np.arange(3.0)}
    if ending == ".npy":
        np.save(tmp_path / "right.npy", arrays["a"])
    else:
        write_arrays(tmp_path / f"right{ending}", arrays)
    path = (tmp_path / f"right{ending}").rename(tmp_path / f"w{suffix}")
    if ending == suffix:
        assert next(iter(read(path).values())).shape == (3,)
        return
    with pytest.raises(DiagnosticError, match=f"E0601: .*: it holds what {ending} files do") as caught:
        read(path)
    readable = [".npy", ".npz"] if suffix == ".npy" else SUFFIXES
    assert (caught.value.diagnostics[0].help == f"name it w{ending}") == (ending in readable)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("w.npz", "w.bin"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(DiagnosticError, match="E0601"):
            read_weights(tmp_path / name)


def test_pickles_are_refused(tmp_path: Path) -> None:
    objects = np.array([print], object)
    np.savez(tmp_path / "p.npz", x=objects)
    np.save(tmp_path / "p.npy", objects)
    for name, array in (
        ("x", read_weights(tmp_path / "p.npz")["x"]),
        ("i", read_inputs(tmp_path / "p.npy", ["i"])["i"]),
    ):
        with pytest.raises(DiagnosticError, match=r"E0601: .*pickles are never executed"):
            np.asarray(array)
        with pytest.raises(DiagnosticError, match=f"E0605: `{name}` is object, expected floating-point"):
            bind({name: ParamDecl((1,))}, {name: array})


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("gone.npz", "no such file"),
        ("folder.npz", "is a directory"),
        ("w.pt", "no such file"),
        ("w.weights", "cannot tell the format"),
        ("w", "cannot tell the format"),
    ],
)
def test_a_file_that_cannot_be_opened_is_a_diagnostic(name: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(DiagnosticError, match=f"E0601: .*{complaint}"):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".npy"])
@given(data=st.data())
def test_damaged_bytes_give_arrays_or_a_diagnostic(
    suffix: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / f"w{suffix}"
    if suffix == ".npy":
        np.save(path, np.arange(6.0).reshape(2, 3))
    else:
        write_arrays(path, {"a": np.arange(6.0).reshape(2, 3), "b": np.ones(2, np.float32)})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(DiagnosticError):
        for array in read(path).values():
            held = np.asarray(array)
            # Whatever the headers say, deflated bytes are at most so many times as long.
            assert held.nbytes <= 1032 * len(content)


def test_inputs_come_by_name_or_alone(tmp_path: Path) -> None:
    a, b = np.ones((1, 2)), np.zeros((1, 3))
    np.save(tmp_path / "one.npy", a)
    np.savez(tmp_path / "one.npz", anything=a)
    np.savez(tmp_path / "two.npz", a=a, b=b)
    assert read_inputs(tmp_path / "one.npy", ["x"])["x"].shape == (1, 2)
    assert read_inputs(tmp_path / "one.npz", ["x"])["x"].shape == (1, 2)
    assert {n: x.shape for n, x in read_inputs(tmp_path / "two.npz", ["b", "a"]).items()} == {
        "b": (1, 3),
        "a": (1, 2),
    }
    with pytest.raises(DiagnosticError, match=r"E0601: .*lacks the input `c`"):
        read_inputs(tmp_path / "two.npz", ["a", "c"])
    with pytest.raises(DiagnosticError, match=r"E0601: .*holds `a`, which is no input"):
        read_inputs(tmp_path / "two.npz", ["b"])


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    path.write_bytes(b"old")

    def fail_midway() -> None:
        with written_beside(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_midway()
    with pytest.raises(DiagnosticError, match=r"E0705: .*cannot hold"):
        write_arrays(tmp_path / "c.safetensors", {"x": np.ones(1, complex)})
    with pytest.raises(DiagnosticError, match="E0705"):
        write_arrays(tmp_path / "o.npz", {"x": np.array([print], object)})
    assert [p.name for p in tmp_path.iterdir()] == ["w.npz"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["gone/w.npz", "w.txt", "w.npz/w.npz"])
def test_a_place_that_cannot_be_written_is_a_diagnostic(name: str, tmp_path: Path) -> None:
    (tmp_path / "w.npz").write_bytes(b"")
    with pytest.raises(DiagnosticError, match="E0705"):
        write_arrays(tmp_path / name, {"x": np.ones(1)})


RULES: dict[str, tuple[tuple[int, ...], Callable[[Array], Array]]] = {
    "bn.running_var": ((4,), lambda u: 0.8 + 0.4 * u),
    "bn.running_mean": ((4,), lambda u: 0.2 * u - 0.1),
    "bn.weight": ((4,), lambda u: 0.6 + 0.4 * u),
    "bn.bias": ((4,), lambda u: 0.2 * u - 0.1),
    "conv.weight": ((2, 3, 5, 1), lambda u: (2 * u - 1) * math.sqrt(6 / 15)),
    "temperature": ((), lambda u: 0.2 * u - 0.1),
}


def test_the_rule_is_that_of_the_golden_outputs() -> None:
    decls = {name: ParamDecl(shape) for name, (shape, _) in RULES.items()}
    for name, array in rule_weights(decls).items():
        shape, scale = RULES[name]
        u = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).random(math.prod(shape))
        np.testing.assert_array_equal(array, scale(u.reshape(shape)))
        assert array.shape == shape
        assert array.dtype == np.float64
    u = np.random.Generator(np.random.PCG64(zlib.crc32(b"input"))).random(6)
    np.testing.assert_array_equal(rule_input((1, 2, 3)), 2 * u.reshape(1, 2, 3) - 1)
    assert rule_weights(decls, "float32")["bn.bias"].dtype == np.float32


DECLS = {
    "conv.weight": ParamDecl((8, 4, 3, 3)),
    "conv.bias": ParamDecl((8,), "bias", Init("uniform", 1.0, 36)),
    "bn.weight": ParamDecl((8,), "weight", Init("constant", 1.0)),
    "bn.running_mean": ParamDecl((8,), "buffer", Init("constant", 0.0)),
}


def test_fresh_weights_depend_on_the_seed_and_their_own_name_alone() -> None:
    whole, part = fresh_weights(DECLS, 7), fresh_weights({"conv.bias": DECLS["conv.bias"]}, 7)
    np.testing.assert_array_equal(whole["conv.bias"], part["conv.bias"])
    assert not np.array_equal(whole["conv.bias"], fresh_weights(DECLS, 8)["conv.bias"])
    renamed = fresh_weights({"other.bias": DECLS["conv.bias"]}, 7)["other.bias"]
    assert not np.array_equal(whole["conv.bias"], renamed)
    wide = fresh_weights(DECLS, 7, "float64")["conv.weight"]
    np.testing.assert_array_equal(wide.astype(np.float32), whole["conv.weight"])


@pytest.mark.parametrize("fill", [fresh_weights, rule_weights])
def test_what_is_written_into_computed_arrays_changes_no_others(
    fill: Callable[..., dict[str, Array]],
) -> None:
    op = WindowAttention(heads=1, window_size=(2, 2), cosine=True)
    decls = {name: decl for name, decl in op.params(TensorType((4, 4, 2))).items() if decl.init.computed}
    expected = {name: array.copy() for name, array in fill(decls, dtype="float64").items()}
    for array in fill(decls, dtype="float64").values():
        array += 1
    for name, array in fill(decls, dtype="float64").items():
        assert np.array_equal(array, expected[name])
    assert np.array_equal(op.index(TensorType((4, 4, 2))).ravel(), expected["relative_position_index"])


def test_fresh_weights_are_filled_as_declared() -> None:
    weights = fresh_weights(DECLS, 1, "float64")
    assert set(weights["bn.weight"]) == {1.0}
    assert set(weights["bn.running_mean"]) == {0.0}
    for name in ("conv.weight", "conv.bias"):
        assert 0.9 / 6 < abs(weights[name]).max() <= 1 / 6 or name == "conv.bias"  # fan_in is 36
        assert abs(weights[name]).max() <= 1 / 6


def test_arrays_that_fit_are_bound_as_they_are() -> None:
    given = rule_weights(DECLS, "float16")
    given |= {"bn.num_batches_tracked": np.array(3), "aux1.fc.weight": np.ones(2), "stray": np.ones(1)}
    del given["stray"]
    bound = bind(DECLS, dict(reversed(given.items())), ignorable=["aux1", "aux2"])
    assert list(bound) == list(DECLS)
    assert all(bound[name] is given[name] for name in DECLS)


def test_all_that_does_not_fit_is_reported_together() -> None:
    given: dict[str, Any] = dict(rule_weights(DECLS))
    given["conv.weigth"] = given.pop("conv.weight")
    given["conv.bias"] = np.ones(9)
    given["bn.weight"] = np.ones(8, np.int32)
    given["aux.weight"] = np.ones(1)
    with pytest.raises(DiagnosticError) as caught:
        bind(DECLS, given, ignorable=["au"])
    assert [(d.code, d.message, d.help) for d in caught.value.diagnostics] == [
        ("E0602", "the weights lack `conv.weight`, 8x4x3x3", "the weights hold `conv.weigth` of this shape"),
        ("E0603", "the network has no parameter `conv.weigth`", "did you mean `conv.weight`?"),
        ("E0603", "the network has no parameter `aux.weight`", ""),
        ("E0604", "`conv.bias` is 9, expected 8", ""),
        ("E0605", "`bn.weight` is int32, expected floating-point numbers", ""),
    ]


def test_a_quite_different_network_does_not_print_hundreds_of_lines() -> None:
    decls = {f"layer{i}.weight": ParamDecl((2, 2)) for i in range(100)}
    with pytest.raises(DiagnosticError) as caught:
        bind(decls, {})
    assert len(caught.value.diagnostics) == 9
    assert caught.value.diagnostics[-1].message == "92 more such scopes, of 100 arrays in all"
    with pytest.raises(DiagnosticError) as caught:
        bind({}, {f"optimizer.{i}.moment": np.ones(2) for i in range(300)})
    assert [d.message for d in caught.value.diagnostics] == [
        "nothing in the network fits 300 arrays in `optimizer`, the first is `optimizer.0.moment`"
    ]


def test_what_is_no_array_is_refused() -> None:
    class Stubborn:
        def __array__(self, dtype: object = None, copy: object = None) -> Array:
            raise TypeError("unsupported ScalarType BFloat16")

    decls = {"w": ParamDecl((1,))}
    for value in (Stubborn(), [[1.0], [2.0, 3.0]], "text", None):
        with pytest.raises(DiagnosticError, match=r"E060[45]"):
            bind(decls, {"w": value})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_changed_is_not_read_again(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    first = {"x": np.arange(4.0), "y": np.ones(3)}

    def replaced() -> None:
        write_arrays(tmp_path / f"v{suffix}", first)
        (tmp_path / f"v{suffix}").replace(path)

    def overwritten() -> None:
        path.write_bytes(path.read_bytes())
        os.utime(path, ns=(1, 1))  # the clock of a file system may be coarse

    for change in (replaced, overwritten, lambda: os.truncate(path, 90), path.unlink):
        write_arrays(path, first)
        arrays = read_weights(path)
        np.testing.assert_array_equal(np.asarray(arrays["x"]), first["x"])
        change()
        with pytest.raises(DiagnosticError, match=r"E0601: .*(has changed since|no such file)"):
            np.asarray(arrays["y"])
