"""State dicts as files of torch.save, written without torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archforge
from archforge.data.arrays import read_weights, write_arrays
from archforge.data.frameworks.torch_writing import STORAGES, with_counters
from archforge.errors import DiagnosticError
from archforge.interchange.torch.libraries import library_module
from archforge.weights import rule_weights
from tests.conftest import TINY, Run
from tests.zoo import networks

TORCH = "`make test-interchange` installs it"
NORMED = TINY.replace("  - relu\n", "  - {bn: {}, name: norm}\n  - relu\n")

draw = np.random.default_rng(0)
ARRAYS = {
    **{f"of.{dtype}": (100 * draw.standard_normal((2, 3, 4))).astype(dtype) for dtype in STORAGES},
    "turned": draw.standard_normal((3, 4)).T,
    "number": np.float32(0.5) * np.ones(()),
    "empty": np.zeros((0, 3)),
    "n\u00e4me \u5bbf": np.ones(1, ">f4"),
    "norm.running_var": np.ones(2, np.float32),
}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.pth", ARRAYS)
    write_arrays(tmp_path / "b.pt", ARRAYS)
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pt").read_bytes()
    found = read_weights(tmp_path / "a.pth")
    assert [*found] == [*ARRAYS, "norm.num_batches_tracked"]
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(np.asarray(found[name]), array)


def test_a_dtype_that_torch_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError, match="which torch has no storage for"):
        write_arrays(tmp_path / "a.pth", {"x": np.array(["a"])})
    assert [*tmp_path.iterdir()] == []


def test_weights_become_a_state_dict(run: Run, tmp_path: Path) -> None:
    Path("net.yaml").write_text(NORMED)
    weights = rule_weights(archforge.load("net.yaml").params)
    write_arrays("w.safetensors", weights)
    assert run("weights", "convert", "w.safetensors", "--to", "net.yaml", "-o", "w.pth")[0] == 0
    assert [*read_weights("w.pth")][2:7] == [
        "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"
    ]  # fmt: skip
    assert run("run", "net.yaml", "-w", "w.pth", "--backend", "numpy")[0] == 0


# With torch ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mapped", [False, True])
def test_torch_reads_what_is_written(tmp_path: Path, mapped: bool) -> None:
    torch = pytest.importorskip("torch", reason=TORCH)
    write_arrays(tmp_path / "a.pth", ARRAYS)
    found = torch.load(tmp_path / "a.pth", weights_only=True, mmap=mapped)
    assert found.pop("norm.num_batches_tracked").item() == 0
    for name, array in ARRAYS.items():
        assert found[name].is_contiguous()
        np.testing.assert_array_equal(found[name].numpy(), array)


def profiles(library: str) -> Iterator[Any]:
    for name, spec in networks().items():
        for decl in map(spec.profile, spec.profile_names):
            if (decl.model or "").startswith(f"{library}."):
                yield pytest.param(name, decl.name, decl.model, id=f"{name}-{decl.name}")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "profile", "model"), [*profiles("torchvision"), *profiles("timm")])
def test_every_profile_of_torch_is_loaded_strictly(name: str, profile: str, model: str) -> None:
    torch = pytest.importorskip("torch", reason=TORCH)
    pytest.importorskip(model.partition(".")[0], reason=TORCH)
    try:
        with torch.device("meta"):
            module = library_module(model)
    except NotImplementedError:  # RegNets of torchvision reckon with tensors
        module = library_module(model)
    params = archforge.load(name, profile).params
    arrays = {n: np.broadcast_to(np.float32(0), decl.shape) for n, decl in params.items()}
    held = dict(with_counters(arrays))
    state = module.state_dict()  # with what it says of its version
    assert held.keys() == state.keys()
    state.update((n, torch.empty(a.shape, device="meta")) for n, a in held.items())
    module.load_state_dict(state, strict=True, assign=True)


@pytest.mark.parametrize("name", ["mnasnet_0_5", "mobilenet_v3_small"])
def test_a_state_dict_computes_in_torch_what_it_does_here(run: Run, tmp_path: Path, name: str) -> None:
    torch = pytest.importorskip("torch", reason=TORCH)
    pytest.importorskip("torchvision", reason=TORCH)
    network = archforge.load(name, "torchvision")
    write_arrays("w.npz", rule_weights(network.params))
    command = ("weights", "convert", "w.npz", "--to", name, "-o", "w.pth", "-p", "torchvision", "--verify")
    assert run(*command)[0] == 0
    module = library_module(str(network.model))
    module.load_state_dict(torch.load("w.pth", weights_only=True), strict=True)
    x = draw.standard_normal((1, 3, 64, 64)).astype(np.float32)
    model = archforge.compile(name, "torchvision", weights="w.pth", input=(3, 64, 64), backend="numpy")
    with torch.no_grad():
        np.testing.assert_allclose(model(x), module.eval()(torch.from_numpy(x)).numpy(), rtol=0, atol=1e-4)
