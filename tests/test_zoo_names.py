"""Every profile of a library's model has that model's state dict: names, shapes and order."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import archforge
from archforge.weights.bind import bind
from archforge.weights.files import write_arrays
from archforge.weights.rule import rule_weights
from tests.zoo import DATA, expected, networks, reference

LIBRARIES = ("torchvision", "timm")
# Models whose blocks declare the projection of a shortcut before the norm that it reads: the order differs.
DECLARED_EARLIER = ("timm.resnetv2_",)


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
    """As PyTorch lists them: what a module holds itself, such as a layer scale, before its children's."""
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
    """With the batch counters that torch keeps beside each norm's statistics."""
    entries = reference(f"canonical_params/{model}")["entries"]
    given = {key: np.broadcast_to(np.float32(0), shape) for key, shape in entries}
    counters = {key.replace("running_var", "num_batches_tracked"): np.array(1) for key in given}
    params = archforge.load(name, profile=profile).params
    assert bind(params, counters | given).keys() == given.keys()


def test_a_state_dict_comes_out_for_the_library(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    weights = rule_weights(archforge.load("squeezenet_1_1", "torchvision").params, "float32")
    write_arrays(tmp_path / "squeezenet.safetensors", weights)
    entries = dict(reference("canonical_params/torchvision.squeezenet1_1")["entries"])
    written = library.load_file(tmp_path / "squeezenet.safetensors")
    assert {key: list(array.shape) for key, array in written.items()} == entries


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
