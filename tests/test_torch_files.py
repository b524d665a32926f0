"""Files of torch.save, read without torch: what torch has written, what nobody should, and damaged bytes."""

from __future__ import annotations

import pickle
import struct
import subprocess
import sys
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import archforge
from archforge.data.arrays import read_weights, write_arrays
from archforge.data.frameworks import pickles
from archforge.data.frameworks import torch as torch_files
from archforge.data.frameworks.pickles import RefusedGlobals, read_pickle
from archforge.errors import DiagnosticError
from archforge.weights import rule_weights
from tests.conftest import TINY, Run
from tests.weight_files import FOLDER, TORCH, Call, Storage, Word, dumped, tensor, torch_row, torch_zip

FOUR = np.arange(4, dtype=np.float32)
BYTES = FOUR.tobytes()
NAMES = ["torch.pth", "torch_row.pth"]
A, PAIR = Storage("0", 4), ((2, 2), (2, 1))


def archive(tmp_path: Path, value: Any, storages: dict[str, bytes] | None = None, **more: bytes) -> Path:
    """A file with the pickle of a value, in which the storage `0` has four elements."""
    path = tmp_path / "w.pth"
    path.write_bytes(torch_zip(dumped(value), {"0": BYTES} if storages is None else storages, more))
    return path


def read(path: Path) -> dict[str, Any]:
    """The arrays of a file, read to their ends."""
    return {name: np.asarray(array) for name, array in read_weights(path).items()}


def refusal(path: Path) -> str:
    with pytest.raises(DiagnosticError) as caught:
        read(path)
    assert {d.code for d in caught.value.diagnostics} == {"E0601"}
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_has_the_arrays_that_torch_has_saved(name: str) -> None:
    found = read_weights(FOLDER / name)
    assert list(found) == list(TORCH)
    for key, array in TORCH.items():
        held = np.asarray(found[key])
        assert (found[key].dtype, found[key].shape) == (held.dtype, held.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(held, array)
        assert held.flags.c_contiguous
        assert held.flags.aligned


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_file_of_torch_equals_what_torch_reads(is_zip: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="`make test-torch` installs it")
    from tests.make_weight_files import checkpoint

    path = tmp_path / "w.ckpt"
    torch.save(checkpoint(), path, _use_new_zipfile_serialization=is_zip)
    state = torch.load(path, weights_only=True)["state_dict"]
    found = read_weights(path)
    assert {n.removeprefix("state_dict.") for n in found if n.startswith("state_dict.")} == set(state)
    for name, value in state.items():
        wanted = value.detach().float() if value.dtype == torch.bfloat16 else value.detach()
        np.testing.assert_array_equal(np.asarray(found[f"state_dict.{name}"]), wanted.numpy())
    wide = {"u16": torch.arange(3).to(torch.uint16), "u64": torch.arange(3).to(torch.uint64)}
    narrow = {"f8": torch.ones(3, dtype=torch.float8_e4m3fn)}
    torch.save(wide | narrow, path, _use_new_zipfile_serialization=is_zip)
    found = read_weights(path)
    for name, value in wide.items():
        np.testing.assert_array_equal(np.asarray(found[name]), value.numpy())
    with pytest.raises(DiagnosticError, match="dtype float8_e4m3fn, which NumPy cannot hold"):
        np.asarray(found["f8"])
    torch.save(torch.nn.Linear(2, 2), path, _use_new_zipfile_serialization=is_zip)
    assert "`torch.nn.modules.linear.Linear`" in refusal(path)
    with warnings.catch_warnings(action="ignore"):  # of its age
        torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(path)
    assert "it is a file of torch.jit" in refusal(path)


def test_weights_of_torch_run_as_they_are(run: Run, tmp_path: Path) -> None:
    network = archforge.load(TINY)
    arrays = {n: a.astype(np.float32) for n, a in rule_weights(network.params).items()}
    state = {
        f"module.{name}": tensor(Storage(str(i), a.size), a.shape, tuple(s // 4 for s in a.strides))
        for i, (name, a) in enumerate(arrays.items())
    }
    path = archive(
        tmp_path, {"state_dict": state}, {str(i): a.tobytes() for i, a in enumerate(arrays.values())}
    )
    write_arrays(tmp_path / "w.npz", arrays)
    _, wanted, _ = run("run", str(TINY), "-w", str(tmp_path / "w.npz"), "-i", "rule")
    code, _, told = run("run", str(TINY), "-w", str(path), "-i", "rule")
    assert code == 2
    assert "--prefix state_dict.module." in told
    code, found, told = run("run", str(TINY), "-w", str(path), "--prefix", "state_dict.module.", "-i", "rule")
    assert (code, found.replace("w.pth", "w.npz"), told) == (0, wanted, "")


# Pickles that do more than hold tensors
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "posix.system",
        "builtins.eval",
        "builtins.getattr",
        "subprocess.Popen",
        "torch.load",
        "numpy.core.multiarray.scalar",
    ],
)
@pytest.mark.parametrize("is_zip", [True, False])
def test_nothing_is_called_and_all_that_is_refused_is_named(name: str, is_zip: bool, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    value = {
        "w": tensor(A, *PAIR),
        "trap": Call(name, (f"touch {trap}",)),
        "in": [Call("collections.OrderedDict", ([("a", Call("argparse.Namespace", ()))],))],
    }
    path = archive(tmp_path, value)
    if not is_zip:
        path.write_bytes(torch_row(dumped(value), {"0": (4, BYTES)}))
    told = refusal(path)
    assert f"it needs `{name}`, `argparse.Namespace`" in told
    assert "help: if you trust it, in torch" in told
    assert not trap.exists()
    assert "argparse" not in vars(sys.modules["archforge.data.frameworks.pickles"])


def test_every_way_to_call_a_global_is_closed() -> None:
    system = b"cos\nsystem\n"
    state = b"\x80\x02" + system + b"}(X\1\0\0\0aK\1ub."  # BUILD
    for code in (
        b"\x80\x02" + system + b"(X\2\0\0\0idtR.",  # REDUCE
        b"\x80\x02" + system + b"(X\2\0\0\0idt\x81.",  # NEWOBJ
        b"\x80\x04" + system + b"(X\2\0\0\0idt}\x92.",  # NEWOBJ_EX
        b"\x80\x04\x8c\2os\x8c\6system\x93(X\2\0\0\0idtR.",  # STACK_GLOBAL
        state,
        b"\x80\x02" + system + b"Q.",  # BINPERSID
        b"\x80\x02}" + system + b"K\1s.",  # the key of a dict
        b"\x80\x02]" + system + b"a.",  # in a list, never called
    ):
        with pytest.raises(RefusedGlobals, match=r"it names os\.system"):
            read_pickle(_stream(code), {}, lambda given: given)
    for code in (
        b"(S'id'\nios\nsystem\n.",
        b"(cos\nsystem\nX\2\0\0\0ido.",
        b"\x80\x02\x82\1.",
        b"\x80\x05\x97.",
    ):
        with pytest.raises(ValueError, match=r"its pickle has the opcode (INST|OBJ|EXT1|NEXT_BUFFER)"):
            read_pickle(_stream(code), {}, lambda given: given)
    with pytest.raises(ValueError, match="calls str, which is no function"):
        read_pickle(_stream(b"\x80\x02X\1\0\0\0a)R."), {}, lambda given: given)


def _stream(code: bytes) -> Any:
    import io

    return io.BytesIO(code)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_of_every_protocol_are_read(protocol: int) -> None:
    from collections import Counter, OrderedDict

    shared: list[Any] = [1, -2, 2**70, 0.5, None, True, "ä", b"\0\xff", (1, (2,)), ()]
    value = {"a": shared, "b": [shared, shared], 3: OrderedDict([("x", {})]), ("t", 1): 1 + 2j}
    value["many"] = list(range(300))
    found = read_pickle(_stream(pickle.dumps(value, protocol)), {}, lambda given: given)
    assert found == value
    assert found["b"][0] is found["a"]
    counted = Counter("aab")
    if protocol >= 2:  # before, a subclass of dict has a constructor of its own
        assert read_pickle(_stream(pickle.dumps(counted, protocol)), {}, lambda given: given) == counted
    assert sorted(read_pickle(_stream(pickle.dumps({1, 2}, max(protocol, 2))), {}, lambda g: g)) == [1, 2]


def test_what_no_protocol_bounds_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MOST_OPCODES", 1 << 18)
    monkeypatch.setattr(torch_files, "MOST_VALUES", 1 << 14)
    deep = b"\x80\x02" + b")" + b"\x85" * 200_000 + b"K\1" + b"s."
    endless = b"\x80\x02" + b"N0" * (1 << 17) + b"."
    itself = b"\x80\x02}q\0X\1\0\0\0ah\0s."
    laughs = b"\x80\x02]q\0" + b"".join(b"](" + b"h\0" * 50 + b"eq\0" for _ in range(14)) + b"."
    number = b"\x80\x02L" + b"9" * 100_000 + b"L\n."
    for code, said in (
        (b"\x80\x02}" + deep[2:], "has tuple for a key"),
        (endless, "its pickle has more than"),
        (itself, "its containers are more than"),
        (laughs, "its containers are more than"),
        (number, "digits"),
        (b"\x80\x02K\1r\xff\xff\xff\xff.", "it holds no tensors"),  # a memo of four thousand million places
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "bytes"),  # bytes that are not there
        (b"\x80\x02h\5.", "5"),
        (b"\x80\x02(.", "mark"),
        (b"\x80\x020.", "pop from empty list"),
        (b"\x80\x02]", "STOP|no more|exhausted"),
    ):
        path = tmp_path / "w.pth"
        path.write_bytes(torch_zip(code, {}))
        told = refusal(path)
        assert any(word in told for word in said.split("|")), (code[:20], told)


# Tensors that lie beyond their storages
# ---------------------------------------------------------------------------


LYING: dict[str, tuple[Any, str]] = {
    "past the end": (tensor(A, (2, 3), (3, 1)), "ends at byte 24 of a storage of 16"),
    "by its offset": (tensor(A, *PAIR, 1), "ends at byte 20 of a storage of 16"),
    "by its strides": (tensor(A, (2, 2), (3, 1)), "ends at byte 20 of a storage of 16"),
    "back from the start": (tensor(A, (2,), (-1,)), "sizes or strides are no whole numbers"),
    "at a negative offset": (tensor(A, (2,), (1,), -1), "sizes or strides are no whole numbers"),
    "of huge sizes": (tensor(A, (1 << 61, 1 << 61), (1, 1)), "ends at byte"),
    "of impossible sizes": (tensor(A, (1 << 80,), (1,)), "no whole numbers"),
    "of sizes that are texts": (tensor(A, ("2",), (1,)), "no whole numbers"),
    "of no sizes": (tensor(A, None, None), "without a shape"),
    "of too few strides": (tensor(A, (2, 2), (1,)), "2 axes with 1 strides"),
    "of too many axes": (tensor(A, (1,) * 65, (1,) * 65), "65 axes"),
    "to be negated": (tensor(A, *PAIR, 0, {"neg": True}), "negated or conjugated"),
    "without a storage": (Call("torch._utils._rebuild_tensor", (1, 0, (1,), (1,))), "without a storage"),
    "called with too little": (Call("torch._utils._rebuild_tensor_v2", ()), "missing 4 required"),
    "a storage of another size": (tensor(Storage("0", 5), (1,), (1,)), "`data/0` has 16 bytes, expected 20"),
    "a storage of two sizes": (
        [tensor(A, (1,), (1,)), tensor(Storage("0", 2), (1,), (1,))],
        "gives the storage `0` two sizes",
    ),
    "a storage that is missing": (tensor(Storage("7", 4), (1,), (1,)), "`data/7` is missing"),
    "a storage out of the folder": (tensor(Storage("../data.pkl", 4), (1,), (1,)), "is missing"),
    "a storage of no class": (tensor(Storage("0", 4, "torch.Tensor"), (1,), (1,)), "without a class"),
    "a storage without a size": (tensor(Storage("0", "4"), (1,), (1,)), "without a class, a name or a size"),
    "a view of a storage": (tensor(Storage("0", 4, rest=(("1", 0, 2),)), (1,), (1,)), "torch before 0.4"),
    "a storage that is none": (Call("torch.Size", ([1],)), "no tensors"),
    "a class by itself": (Word("torch.FloatStorage"), "no tensors"),
}


@pytest.mark.parametrize("case", LYING)
def test_a_tensor_that_cannot_be_is_refused(case: str, tmp_path: Path) -> None:
    value, said = LYING[case]
    assert said in refusal(archive(tmp_path, {"w": value}))


def test_archives_that_torch_does_not_write_are_refused(tmp_path: Path) -> None:
    value = {"w": tensor(A, *PAIR)}
    whole = archive(tmp_path, value).read_bytes()
    path = tmp_path / "w.pth"
    for length in (0, 1, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refusal(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("archive/data.pkl", dumped(value))
        made.writestr("archive/data/0", bytes(16))
    assert "is compressed or encrypted" in refusal(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("archive/data.pkl", bytes(1 << 27))
    assert "has more than 67,108,864 bytes" in refusal(path)
    path.write_bytes(torch_zip(dumped(value), {"0": BYTES}, {"constants.pkl": b""}))
    assert "it is a file of torch.jit" in refusal(path)
    path.write_bytes(torch_zip(dumped(value), {"0": BYTES}, {"byteorder": b"middle"}))
    assert "neither little nor big" in refusal(path)
    path.write_bytes(
        torch_zip(dumped({"a": value["w"], "a.b": 1} | {"a.0": value["w"], "b": 1}), {"0": BYTES})
    )
    assert list(read_weights(path)) == ["a", "a.0"]
    path.write_bytes(torch_zip(dumped({1: value["w"], "1": value["w"]}), {"0": BYTES}))
    assert "two of its tensors are called `1`" in refusal(path)
    for count, content in ((3, BYTES), (4, BYTES[:-1]), (-1, BYTES), (1 << 62, BYTES)):
        path.write_bytes(torch_row(dumped(value), {"0": (count, content)}))
        assert "cut short, or of another size" in refusal(path)
    path.write_bytes(torch_row(dumped(value), {"1": (4, BYTES)}))
    assert "lists other storages" in refusal(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    assert "a pickle, but not of torch.save" in refusal(path)


def test_bytes_in_the_other_order_are_read(tmp_path: Path) -> None:
    swapped = FOUR.astype(">f4").tobytes()
    path = archive(tmp_path, {"w": tensor(A, *PAIR)}, {"0": swapped}, byteorder=b"big")
    found = np.asarray(read_weights(path)["w"])
    np.testing.assert_array_equal(found, FOUR.reshape(2, 2))
    assert found.dtype.isnative


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_damaged_bytes_give_arrays_or_a_diagnostic(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray((FOLDER / name).read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "w.pth"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(DiagnosticError):
        for array in read_weights(path).values():
            if array.size <= len(content):  # one that repeats an element may have any size
                np.asarray(array)


def test_a_large_file_is_mapped(tmp_path: Path) -> None:
    """A file of 128 MiB, of which the ends are looked at, takes a small part of that in memory."""
    size = 1 << 25
    value = {"large": tensor(Storage("1", size), (size,), (1,)), "small": tensor(A, *PAIR)}
    path = tmp_path / "w.pth"
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as made:
        made.writestr("archive/data.pkl", dumped(value))
        made.writestr("archive/data/0", BYTES)
        large = zipfile.ZipInfo("archive/data/1")
        behind = file.tell() + 30 + len(large.filename)
        large.extra = struct.pack("<HH", 0, -(behind + 4) % 64) + bytes(-(behind + 4) % 64)  # as torch aligns
        with made.open(large, "w") as member:
            for _ in range(size * 4 >> 20):
                member.write(bytes(1 << 20))
    code = (
        "import resource, sys, numpy as np\n"
        "from archforge.data.arrays import read_weights\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "found = read_weights(sys.argv[1])\n"
        "assert np.asarray(found['small']).sum() == 6 and np.asarray(found['large'])[-1] == 0\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(run.stdout) * 1024 < size * 4 / 8
