"""Every profile of a library's model has that model's state dict: names, shapes and order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archforge
from archforge.data.arrays import read_weights, write_arrays
from archforge.data.safetensors import write_safetensors
from archforge.ir import ParamDecl
from archforge.weights.bind import bind
from tests.zoo import DATA, expected, family, networks, reference

LIBRARIES = ("torchvision", "timm")
# Parameters above which a file takes long to write; the format knows no size.
LARGE = 12_000_000
# Models whose blocks declare the projection of a shortcut, two products, norms, or what attention ends in
# before what they read: the order differs.
DECLARED_EARLIER = (
    *("timm.cait_", "timm.fasternet_", "timm.fastvit_", "timm.focalnet_", "timm.pvt_v2_", "timm.resnetv2_"),
    *("timm.efficientvim_", "timm.hieradet_", "timm.nextvit_", "timm.nf_", "timm.swiftformer_"),
    *("timm.tiny_vit_", "timm.twins_", "timm.vitamin_", "timm.volo_", "torchvision.mvit", "torchvision.swin"),
)


def library_profiles() -> list[tuple[str, str, str]]:
    """(spec, profile, model) of every checked profile that reproduces a model of a library in PyTorch."""
    return [
        (name, profile, model)
        for name, spec in networks().items()
        for profile in spec.profile_names
        if (model := spec.profile(profile).model) and model.split(".")[0] in LIBRARIES
    ]


def state_dict(name: str, profile: str) -> list[list[object]]:
    params = archforge.load(name, profile=profile).params
    return [[key, list(params[key].shape)] for key in own_before_children(params)]


def own_before_children(names: Iterable[str], depth: int = 0) -> list[str]:
    """The order in which PyTorch lists parameters: those of a module itself before its children's."""
    modules: dict[str, list[str]] = {}
    own = []
    for name in names:
        parts = name.split(".")
        if len(parts) == depth + 1:
            own.append(name)
        else:
            modules.setdefault(parts[depth], []).append(name)
    return own + [name for inner in modules.values() for name in own_before_children(inner, depth + 1)]


@pytest.mark.parametrize(("name", "profile", "model"), library_profiles())
def test_names_shapes_and_order_equal_the_library(name: str, profile: str, model: str) -> None:
    library = reference(f"canonical_params/{model}")
    ours, theirs = state_dict(name, profile), library["entries"]
    if model.startswith(DECLARED_EARLIER):
        ours, theirs = sorted(ours, key=repr), sorted(theirs, key=repr)
    assert ours == theirs
    assert expected(name, profile)["source"] == library["source"]


@pytest.mark.parametrize(("name", "profile", "model"), library_profiles())
def test_a_librarys_state_dict_goes_in_as_it_is(name: str, profile: str, model: str) -> None:
    """The batch counters go in as well, which torch keeps beside each norm's statistics."""
    entries = reference(f"canonical_params/{model}")["entries"]
    given = {key: np.broadcast_to(np.float32(0), shape) for key, shape in entries}
    counters = {key.replace("running_var", "num_batches_tracked"): np.array(1) for key in given}
    params = archforge.load(name, profile=profile).params
    assert bind(params, counters | given | tables(params)).keys() == given.keys()


def tables(params: Mapping[str, ParamDecl]) -> dict[str, Any]:
    """The tables of places in a network, which are never others."""
    return {key: decl.computed() for key, decl in params.items() if decl.init.kind == "index"}


class Hollow(np.ndarray):
    """An array of which no data is written: that of all these models would be gigabytes."""

    def tobytes(self, order: Any = None) -> bytes:
        return b""


@pytest.mark.parametrize(("name", "profile", "model"), library_profiles())
def test_what_is_written_has_the_librarys_names_and_shapes(name: str, profile: str, model: str) -> None:
    params = archforge.load(name, profile=profile).params
    arrays = {key: np.broadcast_to(np.float32(0), decl.shape).view(Hollow) for key, decl in params.items()}
    file = BytesIO()
    write_safetensors(file, arrays)
    header = json.loads(file.getvalue()[8:])
    written = {key: (entry["dtype"], entry["shape"]) for key, entry in header.items()}
    entries = reference(f"canonical_params/{model}")["entries"]
    assert written == {key: ("F32", shape) for key, shape in entries}


def smallest_members() -> list[tuple[str, str, str]]:
    """The library profile of fewest parameters of each family."""
    by_family: dict[str, tuple[int, tuple[str, str, str]]] = {}
    for name, profile, model in library_profiles():
        member = archforge.load(name, profile=profile).counts.params, (name, profile, model)
        by_family[family(name)] = min(by_family.get(family(name), member), member)
    return [member for params, member in by_family.values() if params < LARGE]


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize(("name", "profile", "model"), smallest_members())
def test_a_state_dict_comes_out_and_goes_in_again(
    name: str, profile: str, model: str, suffix: str, tmp_path: Path
) -> None:
    params = archforge.load(name, profile=profile).params
    weights = {key: np.full(decl.shape, i, "float32") for i, (key, decl) in enumerate(params.items())}
    weights |= {key: table.astype("float32") for key, table in tables(params).items()}
    write_arrays(tmp_path / f"weights{suffix}", weights)
    found = read_weights(tmp_path / f"weights{suffix}")
    entries = reference(f"canonical_params/{model}")["entries"]
    assert {key: list(array.shape) for key, array in found.items()} == dict(entries)
    for key, array in bind(params, found).items():
        np.testing.assert_array_equal(array, weights[key])


def test_every_library_profile_says_which_model_it_is() -> None:
    for name, spec in networks().items():
        for profile in spec.profile_names:
            library = profile.split("_")[0]
            if library in (*LIBRARIES, "keras"):
                assert (spec.profile(profile).model or "").startswith(f"{library}."), f"{name}: {profile}"


def test_no_reference_lies_unused() -> None:
    used = {f"{model}.json.gz" for _, _, model in library_profiles()}
    assert {path.name for path in (DATA / "canonical_params").iterdir()} == used


def test_a_changed_network_would_be_noticed() -> None:
    entries = reference("canonical_params/torchvision.resnet50")["entries"]
    assert state_dict("resnet_50", "keras") != entries  # biases
    assert state_dict("resnet_101", "torchvision") != entries
