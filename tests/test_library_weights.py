"""Released weights that the zoo names, against the libraries that have released them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import archforge
from archforge.data.class_names import class_names
from archforge.weights import rule_input, rule_weights
from tests.zoo import expected, networks


def released(library: str) -> Iterator[Any]:
    """The model of each profile of a library, its weights, and the number of its parameters."""
    for name, spec in networks().items():
        for decl in map(spec.profile, spec.profile_names):
            maker, _, model = (decl.model or "").partition(".")
            if maker == library:
                params = expected(name, decl.name)["params"]
                yield pytest.param(model, decl.weights, params, id=f"{name}-{decl.name}")


@pytest.mark.parametrize(("model", "weights", "params"), [*released("torchvision")])
def test_weights_of_torchvision(model: str, weights: tuple[str, ...], params: int) -> None:
    models = pytest.importorskip("torchvision.models", reason="`make test-torch` installs it")
    enum = models.get_model_weights(model)
    classes = len(enum.DEFAULT.meta["categories"])
    whole = [w for w in enum if len(w.meta["categories"] or ()) == classes]
    # Of vision transformers some weights are for larger pictures, and have more positions.
    fit = [w for w in whole if not model.startswith("vit") or w.meta["num_params"] == params]
    assert weights[0] == (enum.DEFAULT if enum.DEFAULT in fit else fit[0]).name
    if classes == 1000:
        assert {tuple(w.meta["categories"]) for w in fit} == {class_names("imagenet")}
    assert sorted(weights) == sorted(w.name for w in fit)


@pytest.mark.parametrize(("model", "weights", "params"), [*released("timm")])
def test_weights_of_timm(model: str, weights: tuple[str, ...], params: int) -> None:
    models = pytest.importorskip("timm.models", reason="`make test-torch` installs it")
    names = [name for name in models.list_pretrained() if name.partition(".")[0] == model]
    configs = [models.get_pretrained_cfg(name) for name in names]
    default = models.get_pretrained_cfg(model)
    assert sorted(weights) == sorted(c.tag for c in configs if c.num_classes == default.num_classes)
    assert weights[:1] == tuple(default.tag for _ in weights[:1])


def test_timms_classes_have_the_same_names() -> None:
    """timm tells the WordNet ids of its 1,000 classes with all words for each."""
    data = pytest.importorskip("timm.data", reason="`make test-torch` installs it")
    info = data.ImageNetInfo("imagenet-1k")
    of_two_words = {"crane bird": "crane", "maillot tank suit": "maillot"}  # and each stands for two classes
    for number, name in enumerate(class_names("imagenet")):
        words = info.index_to_description(number).lower()
        assert of_two_words.get(name, name).lower() in words


@pytest.mark.parametrize(("model", "weights", "params"), [*released("keras")])
def test_weights_of_keras(model: str, weights: tuple[str, ...], params: int) -> None:
    assert weights == ("imagenet",)
    keras = pytest.importorskip("keras", reason="it is in no environment of the tests")
    assert callable(getattr(keras.applications, model))


def test_only_profiles_of_libraries_have_weights() -> None:
    for spec in networks().values():
        for decl in map(spec.profile, spec.profile_names):
            assert decl.model or not decl.weights


def test_weights_of_a_relative_give_its_outputs_with_defaults_set() -> None:
    """Networks that timm has taken from TensorFlow have the arrays of its own, another eps and padding."""
    torch = pytest.importorskip("torch", reason="`make test-torch` installs it")
    timm = pytest.importorskip("timm", reason="`make test-torch` installs it")
    relative = timm.create_model("tf_efficientnet_b0", pretrained=False).eval().double()
    names = archforge.load("efficientnet_b0", "timm").params
    arrays = rule_weights(names, "float64")
    relative.load_state_dict({n: torch.from_numpy(a) for n, a in arrays.items()}, strict=False)
    x = rule_input((1, 3, 64, 64))
    with torch.no_grad():
        wanted = relative(torch.from_numpy(x)).numpy()
    options: dict[str, Any] = {
        "backend": "numpy",
        "dtype": "float64",
        "weights": arrays,
        "input": (3, 64, 64),
    }
    defaults: dict[str, Any] = {"bn": {"eps": 1e-3}, "conv": {"padding": "same_upper"}}
    plain = archforge.compile("efficientnet_b0", "timm", **options)(x)
    found = archforge.compile("efficientnet_b0", "timm", defaults=defaults, **options)(x)
    assert np.abs(found - wanted).max() < 1e-9 * wanted.std()
    assert np.abs(plain - wanted).max() > 1e-2 * wanted.std()
