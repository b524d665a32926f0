"""Weights as a caller gives them: prefixes, nested mappings, dtypes; what is kept of them stays as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import archforge
from archforge.data.arrays import read_weights, write_arrays
from archforge.errors import DiagnosticError
from archforge.ir import ParamDecl
from archforge.weights import bind, rule_weights
from archforge.weights.bind import LISTED
from archforge.weights.given import by_name, without_prefix
from tests.conftest import TINY, Run
from tests.test_weights import DECLS, packed, tensor


def test_an_array_that_nothing_needs_may_have_any_dtype(tmp_path: Path) -> None:
    counter = "bn.num_batches_tracked"
    decls = {"x": ParamDecl((2,))}
    floats = {"x": tensor([2], 0, 8)}
    for dtype in ("F8_E4M3", "F4", "U16", "BOOL", "I64", "invented"):
        header = floats | {counter: tensor([2] if dtype != "BOOL" else [8], 8, 16, dtype)}
        if dtype == "U16":
            header[counter]["shape"] = [4]
        if dtype == "I64":
            header[counter]["shape"] = [1]
        path = tmp_path / "w.safetensors"
        path.write_bytes(packed(header, bytes(16)))
        assert list(bind(decls, read_weights(path))) == ["x"]
        complaint = "which NumPy cannot hold" if dtype in ("F8_E4M3", "F4") else "expected floating-point"
        with pytest.raises(DiagnosticError, match=rf"E0605: `{counter}` is \w+, {complaint}"):
            bind({counter: ParamDecl(tuple(header[counter]["shape"]))}, read_weights(path), ignorable=["x"])
    np.savez(tmp_path / "w.npz", **{"x": np.ones(2), counter: np.array([print], object)})  # type: ignore[arg-type]
    assert list(bind(decls, read_weights(tmp_path / "w.npz"))) == ["x"]


def test_bfloat16_is_taken_wherever_it_comes_from(tmp_path: Path) -> None:
    import ml_dtypes

    values = np.array([1.5, -2.0], np.float32)
    narrow = values.astype(ml_dtypes.bfloat16)
    np.savez(tmp_path / "w.npz", x=narrow)
    decls = {"x": ParamDecl((2,))}
    for weights in ({"x": narrow}, read_weights(tmp_path / "w.npz"), dict(np.load(tmp_path / "w.npz"))):
        bound = np.asarray(bind(decls, weights)["x"])
        assert bound.dtype == np.float32
        np.testing.assert_array_equal(bound, values)
    with pytest.raises(DiagnosticError, match="E0605: `x` is uint16") as caught:
        bind(decls, {"x": narrow.view(np.uint16)})
    assert "ml_dtypes.bfloat16" in caught.value.diagnostics[0].help


def test_eight_bits_are_told_as_too_few() -> None:
    import ml_dtypes

    narrow = np.ones(2, ml_dtypes.float8_e4m3fn)
    with pytest.raises(
        DiagnosticError, match="E0605: `x` is float8_e4m3fn, which NumPy cannot hold"
    ) as caught:
        bind({"x": ParamDecl((2,))}, {"x": narrow})
    assert "tensor.float()" in caught.value.diagnostics[0].help


@pytest.mark.parametrize("wrong", [LISTED - 1, LISTED, LISTED + 1, LISTED + 20])
def test_a_mistake_of_many_arrays_is_listed_only_so_far(wrong: int) -> None:
    decls = {f"w{n}": ParamDecl((2,)) for n in range(LISTED + 30)}
    for code, misfit in {"E0604": np.ones(3), "E0605": np.ones(2, int)}.items():
        given = {name: np.ones(2) if n >= wrong else misfit for n, name in enumerate(decls)}
        with pytest.raises(DiagnosticError) as caught:
            bind(decls, given)
        found = caught.value.diagnostics
        assert {d.code for d in found} == {code}
        rest = [f"{wrong - LISTED} more arrays have another"] if wrong > LISTED else []
        assert [d.message.rpartition(" ")[0] for d in found[LISTED:]] == rest
        assert len(found) == min(wrong, LISTED) + len(rest)


def test_a_prefix_of_all_names_is_told_once() -> None:
    weights = rule_weights(DECLS)
    for prefix in ("module.", "model.", "_orig_mod.module.", "ema.", "state_dict.0."):
        given = {f"{prefix}{name}": array for name, array in weights.items()}
        given |= {f"{prefix}bn.num_batches_tracked": np.array(3), "epoch": np.array(3)}
        with pytest.raises(DiagnosticError) as caught:
            bind(DECLS, given)
        assert [(d.code, d.message) for d in caught.value.diagnostics] == [
            ("E0602", f"the names of the weights begin with `{prefix}`, those of the network do not")
        ]
        assert f"--prefix {prefix} " in caught.value.diagnostics[0].help
        for written in (prefix, prefix.removesuffix(".")):
            assert list(bind(DECLS, without_prefix(given, written))) == list(DECLS)
        given[f"{prefix}conv.bias"] = np.ones(9)
        with pytest.raises(DiagnosticError) as caught:
            bind(DECLS, given)
        assert [d.code for d in caught.value.diagnostics] == ["E0602", "E0604"]


def test_of_several_prefixes_one_is_named() -> None:
    weights = rule_weights(DECLS)
    both = {f"{prefix}.{name}": array for prefix in ("model", "ema") for name, array in weights.items()}
    with pytest.raises(DiagnosticError) as caught:
        bind(DECLS, both)
    (diagnostic,) = caught.value.diagnostics
    assert (
        diagnostic.message
        == "the weights hold the network's names more than once, behind `model.` and `ema.`"
    )
    assert list(bind(DECLS, without_prefix(both, "ema"))) == list(DECLS)
    with pytest.raises(DiagnosticError, match=r"E0001: no name .* begins with `modle\.`") as caught:
        without_prefix(both, "modle")
    assert caught.value.diagnostics[0].help == "did you mean `model.`?"


def test_a_second_copy_of_all_names_is_told_once() -> None:
    weights = rule_weights(DECLS)
    given = {**weights, **{f"ema.{name}": array for name, array in weights.items()}}
    with pytest.raises(DiagnosticError) as caught:
        bind(DECLS, given)
    (told,) = caught.value.diagnostics
    assert told.code == "E0603"
    assert "by themselves, and again behind `ema.`" in told.message
    assert "--prefix ema." in told.help
    assert list(bind(DECLS, without_prefix(given, "ema."))) == list(DECLS)
    network = archforge.load(TINY)
    both = {name: np.zeros(decl.shape) for name, decl in network.params.items()}
    both |= {f"ema.{name}": array for name, array in both.items()}
    for profile in (None, network.profile):
        with pytest.raises(DiagnosticError, match=r"again behind `ema\."):
            archforge.compile(TINY, profile, backend="numpy", weights=both)


def test_axes_in_the_order_of_another_library_are_told() -> None:
    decls = {"conv.weight": ParamDecl((8, 3, 5, 5)), "fc.weight": ParamDecl((10, 8))}
    given = {"conv.weight": np.zeros((5, 5, 3, 8)), "fc.weight": np.zeros((8, 10))}
    with pytest.raises(DiagnosticError) as caught:
        bind(decls, given)
    assert [d.help.rpartition(": ")[2] for d in caught.value.diagnostics] == [
        "`array.transpose(3, 2, 0, 1)`",
        "`array.transpose(1, 0)`",
    ]
    with pytest.raises(DiagnosticError) as caught:
        bind(decls, given | {"conv.weight": np.zeros((5, 5, 3, 9))})
    assert not caught.value.diagnostics[0].help


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_beyond_a_dtype_and_masked_ones_are_refused(dtype: str) -> None:
    network = archforge.load(TINY)
    weights = {name: np.ones(decl.shape) for name, decl in network.params.items()}
    first = next(iter(weights))
    x = np.zeros((1, *network.graph.inputs["input"].shape))
    for value, word in ((1e300, "reaches 1e.300"), (np.ma.masked, "masked")):
        wrong, wrong_x = np.ma.array(weights[first]), np.ma.array(x)
        wrong[..., 0] = wrong_x[..., 0] = value
        if dtype == "float64" and value is not np.ma.masked:
            archforge.compile(network, backend="numpy", dtype=dtype, weights=weights | {first: wrong})
            continue
        with pytest.raises(DiagnosticError, match=f"E0605: `{first}` .*{word}"):
            archforge.compile(network, backend="numpy", dtype=dtype, weights=weights | {first: wrong})
        with pytest.raises(DiagnosticError, match=f"E0607: the input `input` .*{word}"):
            archforge.compile(network, backend="numpy", dtype=dtype)(wrong_x)


def test_statistics_without_a_number_give_none_in_silence() -> None:
    spec = {"archforge": 1, "input": [2, 3, 3], "graph": [{"conv": 4}, "bn"]}
    network = archforge.load(spec)
    weights = {name: np.ones(decl.shape) for name, decl in network.params.items()}
    weights["bn.running_var"][1] = -3
    y = archforge.compile(network, backend="numpy", weights=weights)(np.ones((1, 2, 3, 3)))
    assert np.isnan(y[:, 1]).all()
    assert np.isfinite(y[:, [0, 2, 3]]).all()


def test_mappings_within_mappings_have_their_names_joined() -> None:
    weights = rule_weights(DECLS)
    checkpoint = {
        "epoch": 3,
        "state_dict": {"model": weights},
        "optimizer": {"state": {0: {"m": 1}}, "groups": [[1], [2, 3]]},
    }
    flat = by_name(checkpoint)
    assert {"epoch", "state_dict.model.conv.bias", "optimizer.state.0.m", "optimizer.groups"} <= flat.keys()
    with pytest.raises(DiagnosticError, match=r"`state_dict\.model\.`"):
        bind(DECLS, flat)
    assert list(bind(DECLS, without_prefix(flat, "state_dict.model"))) == list(DECLS)
    for wrong in ([1], print, {1: np.ones(2)}):
        with pytest.raises(DiagnosticError, match="E0605: weights are arrays by name"):
            by_name(wrong)


def test_the_commands_take_a_prefix_off(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    weights = rule_weights(archforge.load(tmp_path / "tiny.yaml").params, "float32")
    prefixed = {f"{first}{name}": a for first in ("model.", "ema.") for name, a in weights.items()}
    write_arrays(tmp_path / "both.npz", prefixed)
    write_arrays(tmp_path / "plain.npz", weights)
    command = ("run", "tiny.yaml", "-i", "rule")
    for profile in ((), ("--profile", "default")):
        code, _, error = run(*command, *profile, "-w", "both.npz")
        assert (code, "E0602" in error, "--prefix model." in error) == (2, True, True)
    code, _, error = run(*command, "-w", "both.npz", "--prefix", "mode")
    assert (code, "did you mean `model.`?" in error) == (2, True)
    for idle in (command, ("export", "tiny.yaml", "--to", "graph", "-o", "-")):
        code, _, error = run(*idle, "--prefix", "model")
        assert (code, "E0001" in error) == (2, True)
    outputs = []
    for given in (("plain.npz",), ("both.npz", "--prefix", "ema")):
        code, output, _ = run(*command, "-w", *given)
        assert code == 0
        outputs.append(output.splitlines()[2:])
    assert outputs[0] == outputs[1]


def test_pictures_and_labels_that_were_not_fetched_are_called_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    for name in ("a.png", "b.npy", "labels.txt"):
        (tmp_path / name).write_text(pointer)
    code, output, error = run("run", "tiny.yaml", "-i", "a.png", "b.npy")
    assert code == 1
    assert (output + error).count("it is a pointer of Git LFS") == 2
    np.save(tmp_path / "c.npy", np.zeros((3, 8, 8), np.float32))
    code, _, error = run("run", "tiny.yaml", "-i", "c.npy", "c.npy", "--labels", "labels.txt")
    assert (code, "it is a pointer of Git LFS" in error) == (2, True)
