"""Recipes of the zoo against the libraries that they are from: pictures become the same arrays."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import archforge
from archforge.data.images import image_reader
from archforge.data.preprocessing import Preprocessing
from archforge.interchange.torch.libraries import library_module
from tests.conftest import Run
from tests.zoo import networks

# Of values of about -3 to 3; Keras subtracts means of pixels of 0 to 255 in float32.
TOLERANCE = 1e-6
KERAS_TOLERANCE = 1e-5
# Keras builds a network to have its layers; one of each group has all that stands before its stem.
SAME_LAYERS = {
    "ConvNeXt": "ConvNeXtTiny",
    "EfficientNetB": "EfficientNetB0",
    "EfficientNetV2B": "EfficientNetV2B0",
    "EfficientNetV2": "EfficientNetV2S",
    "MobileNetV3": "MobileNetV3Small",
}


def recipes(library: str) -> Iterator[Any]:
    """The model of each profile of a library, and its recipe."""
    for name, spec in networks().items():
        for decl in map(spec.profile, spec.profile_names):
            maker, _, model = (decl.model or "").partition(".")
            if (
                maker == library and decl.preprocess
            ):  # not of videos, nor of pixels, which keep a picture whole
                yield pytest.param(model, Preprocessing(**decl.preprocess), id=f"{name}-{decl.name}")


@pytest.fixture(scope="module", params=[(300, 413), (500, 333), (64, 47)], ids=str)
def picture(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of smooth colours with noise, as photographs are."""
    pillow = pytest.importorskip("PIL.Image")
    height, width = request.param
    rng = np.random.default_rng(0)
    coarse = pillow.fromarray(rng.integers(40, 216, (8, 8, 3)).astype(np.uint8))
    smooth = np.asarray(coarse.resize((width, height), pillow.Resampling.BICUBIC), np.int64)
    path = tmp_path_factory.mktemp("pictures") / "x.png"
    noisy = np.clip(smooth + rng.integers(-30, 30, smooth.shape), 0, 255)
    pillow.fromarray(noisy.astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize(("model", "recipe"), [*recipes("torchvision")])
def test_pictures_are_those_of_torchvisions_default_weights(
    model: str, recipe: Preprocessing, picture: Path
) -> None:
    models = pytest.importorskip("torchvision.models", reason="`make test-torch` installs it")
    transforms = models.get_model_weights(model).DEFAULT.transforms()
    (size,) = transforms.crop_size
    expected = transforms(pytest.importorskip("PIL.Image").open(picture))
    # Two networks begin with other numbers of their own where they are given weights.
    network = next((cls for cls in _classes(models, model) if hasattr(cls, "_transform_input")), None)
    if network is not None:
        expected = network._transform_input(SimpleNamespace(transform_input=True), expected[None])[0]
    found = image_reader((3, size, size), recipe)(picture)
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=2 * TOLERANCE)


@pytest.mark.parametrize("picture", [(300, 413)], indirect=True)
@pytest.mark.parametrize(
    ("name", "model"),
    [("resnet_18", "torchvision.resnet18"), ("vgg_11", "torchvision.vgg11"), ("resnet_18", "timm.resnet18"),
     ("inception_v3", "torchvision.inception_v3"), ("inception_v3", "timm.inception_v3")],
)  # fmt: skip
def test_pictures_run_on_weights_of_a_library_give_its_logits(
    run: Run, picture: Path, tmp_path: Path, name: str, model: str
) -> None:
    """Fresh weights, since what the files of released ones hold is the same by name and shape."""
    torch = pytest.importorskip("torch", reason="`make test-torch` installs it")
    pytest.importorskip(model.partition(".")[0], reason="`make test-torch` installs it")
    torch.manual_seed(0)
    module = library_module(model).eval()
    torch.save(module.state_dict(), "w.pth")
    options = ("-w", "w.pth", "-i", str(picture), "-o", "out.npz", "--backend", "numpy")
    code, out, err = run("run", name, "-p", model.partition(".")[0], *options)
    assert (code, "labels of profile" in err, len(out.splitlines())) == (0, True, 6)
    network = archforge.load(name, model)
    (shape,) = (t.shape for t in network.graph.inputs.values())
    pixels = image_reader(shape, network.preprocessing)(picture)
    with torch.no_grad():
        expected = module(torch.from_numpy(pixels)[None])[0].numpy()
    with np.load("out.npz") as arrays:
        found = arrays[f"{picture.as_posix()}/output"]
    largest = max(1, np.abs(expected).max())  # of fresh weights of torchvision's Inception v3 1e11
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * largest)


def _classes(models: Any, model: str) -> list[Any]:
    """The classes that the module of a model's builder defines."""
    module = sys.modules[models.get_model_builder(model).__module__]
    return [c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__]


@pytest.mark.parametrize(("model", "recipe"), [*recipes("timm")])
def test_pictures_are_those_of_timms_default_weights(
    model: str, recipe: Preprocessing, picture: Path
) -> None:
    timm = pytest.importorskip("timm", reason="`make test-torch` installs it")
    config = timm.data.resolve_data_config(pretrained_cfg=timm.models.get_pretrained_cfg(model).to_dict())
    image = pytest.importorskip("PIL.Image").open(picture)
    for shape in (config["input_size"], (3, 160, 160), (3, 192, 128)):
        expected = timm.data.create_transform(**config | {"input_size": shape})(image)
        found = image_reader(shape, recipe)(picture)
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=TOLERANCE)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's arrays, by NumPy
@pytest.mark.parametrize(("model", "recipe"), [*recipes("keras")])
def test_pictures_are_those_of_keras(model: str, recipe: Preprocessing, picture: Path) -> None:
    """`load_img`, `preprocess_input`, and the layers before the stem, which specs leave out."""
    keras = pytest.importorskip("keras")
    module = sys.modules[getattr(keras.applications, model).__module__]
    loaded = np.asarray(keras.utils.load_img(picture, target_size=(128, 96)), np.float32)
    expected = module.preprocess_input(loaded.copy())
    group = next((g for g in sorted(SAME_LAYERS, key=len, reverse=True) if model.startswith(g)), None)
    if group == "EfficientNetB":  # whose numbers come with its weights, but for these
        assert recipe.pixel_values(3).std == tuple(module.IMAGENET_STDDEV_RGB)
        recipe = replace(recipe, values="unit")
        expected = expected / 255
    elif group:
        expected = _before_the_stem(keras, SAME_LAYERS[group], expected)
    found = image_reader((3, 128, 96), recipe)(picture).transpose(1, 2, 0)
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=KERAS_TOLERANCE)


def _before_the_stem(keras: Any, model: str, pixels: Any) -> Any:
    for layer in getattr(keras.applications, model)(weights=None).layers[1:]:
        if type(layer).__name__ not in ("Rescaling", "Normalization"):
            break
        pixels = keras.ops.convert_to_numpy(layer(pixels[None] if pixels.ndim == 3 else pixels))
    return pixels[0] if pixels.ndim == 4 else pixels
