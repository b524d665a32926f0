"""Augmentations and scaling: a picture and its mask get the same draw, which depends on no order."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from archforge.data.preprocessing import Preprocessing
from archforge.datasets.arrays import sampled
from archforge.datasets.base import DataSettings, Transform
from archforge.datasets.batches import Batches
from archforge.datasets.fit import fitted
from archforge.datasets.scaling import as_grey, cut_and_scaled, scaled
from archforge.datasets.transforms.horizontal_flip import HorizontalFlip
from archforge.datasets.transforms.padded_crop import PaddedCrop
from archforge.datasets.transforms.random_resized_crop import RandomResizedCrop
from archforge.draws import generator, generators
from archforge.errors import DiagnosticError
from archforge.parts import all_parts

pillow = pytest.importorskip("PIL.Image")

TRANSFORMS = all_parts(Transform)
SIZE = (8, 10)
PLACES = np.arange(1, 81).reshape(SIZE)  # a number for each pixel; 0 is what a transform adds


def by_nearest(cls: type[Transform]) -> Transform:
    """The transform with its default settings, but for a filter that makes no new values."""
    return cls(**({"interpolation": "nearest"} if "interpolation" in cls.model_fields else {}))


@pytest.mark.parametrize("cls", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_pictures_and_masks_get_the_same_draw(cls: type[Transform], dtype: Any) -> None:
    picture = np.stack([PLACES, 2 * PLACES, PLACES]).astype(dtype)
    seen = set()
    for seed in range(20):
        found, mask = by_nearest(cls).apply(picture, PLACES, SIZE, generator(seed, "augment"))
        assert mask is not None
        assert (found.shape, found.dtype, mask.shape) == (picture.shape, picture.dtype, SIZE)
        np.testing.assert_array_equal(found[0], mask)
        np.testing.assert_array_equal(found[1], 2 * mask)
        alone, none = by_nearest(cls).apply(picture, None, SIZE, generator(seed, "augment"))
        np.testing.assert_array_equal(alone, found)
        assert none is None
        seen.add(mask.tobytes())
    assert len(seen) > 1


@pytest.mark.parametrize("cls", TRANSFORMS.values(), ids=TRANSFORMS)
def test_draws_depend_on_seed_sample_and_epoch_and_on_no_order(cls: type[Transform]) -> None:
    x = np.random.default_rng(0).integers(0, 256, (7, 3, *SIZE), np.uint8)
    data = sampled("data", x, np.arange(7))
    fit = fitted(data, (3, *SIZE), DataSettings(augment=(by_nearest(cls),)), training=True)

    def epoch(number: int, size: int, first: int = 0, **settings: Any) -> dict[int, bytes]:
        batches = Batches(data, fit, size, **settings).epoch(number, first=first)
        return {int(y): x.tobytes() for batch in batches for x, y in zip(*batch, strict=True)}

    whole = epoch(3, 7)
    assert epoch(3, 2, shuffle=True) == whole
    assert epoch(3, 2, first=2) == {n: whole[n] for n in range(4, 7)}
    assert epoch(4, 7) != whole
    assert epoch(3, 7, seed=1) != whole


def test_draws_of_neighbouring_samples_have_nothing_in_common() -> None:
    table = np.stack([draw.random(8) for draw in generators(0, "augment", 1, samples=range(4000))])
    deviations = (table - 0.5) * np.sqrt(12)  # of mean 0 and variance 1
    for distance in (1, 2, 256, 2048):
        for shift in (0, 1):
            pairs = deviations[distance:, shift:] * deviations[:-distance, : 8 - shift]
            assert abs(pairs.mean()) < 5 / np.sqrt(pairs.size)


def test_held_back_samples_are_not_augmented() -> None:
    data = sampled("data", np.zeros((2, 3, *SIZE), np.uint8), np.arange(2))
    settings = DataSettings(augment=(HorizontalFlip(p=1.0),))
    assert fitted(data, (3, *SIZE), settings, training=False).steps is None


@pytest.mark.parametrize(("p", "share"), [(0.0, 0.0), (1.0, 1.0), (0.25, 0.25)])
def test_pictures_are_turned_with_the_probability(p: float, share: float) -> None:
    turned = 0
    for seed in range(400):
        found, _ = HorizontalFlip(p=p).apply(PLACES[None], None, SIZE, generator(seed, "augment"))
        np.testing.assert_array_equal(np.sort(found, -1), PLACES[None])
        turned += int(found[0, 0, 0] == 10)
    assert abs(turned / 400 - share) < 0.07


def test_a_padded_crop_is_any_part_of_the_padded_picture() -> None:
    padded = np.pad(PLACES, 2)
    parts = {padded[i : i + 8, j : j + 10].tobytes() for i in range(5) for j in range(5)}
    transform = PaddedCrop(padding=2)
    found = {
        transform.apply(PLACES[None], None, SIZE, generator(seed, "augment"))[0].tobytes()
        for seed in range(300)
    }
    assert found == parts
    large, _ = PaddedCrop(padding=0).apply(PLACES[None], None, (3, 10), generator(0, "augment"))
    assert large[0].tobytes() in {PLACES[i : i + 3].tobytes() for i in range(6)}
    with pytest.raises(DiagnosticError, match=r"E0607: a picture of 8x10 with a border of 2 holds no part"):
        transform.apply(PLACES[None], None, (13, 10), generator(0, "augment"))


@pytest.mark.parametrize("size", [(60, 80), (200, 30)])
def test_a_resized_crop_has_the_drawn_area_and_ratio(size: tuple[int, int]) -> None:
    transform = RandomResizedCrop(scale=(0.1, 0.3), ratio=(0.5, 2.0))
    areas, ratios = [], []
    for seed in range(500):
        top, left, height, width = transform.box(size, generator(seed, "augment"))
        assert top >= 0
        assert left >= 0
        assert top + height <= size[0]
        assert left + width <= size[1]
        areas.append(height * width / math.prod(size))
        ratios.append(width / height)
    assert 0.1 * 0.93 <= min(areas) < 0.11
    assert 0.29 < max(areas) <= 0.3 * 1.07
    assert 0.5 * 0.9 <= min(ratios) < 0.55
    assert max(ratios) <= 2.0 * 1.1


@pytest.mark.parametrize(
    ("size", "box"),
    [((1, 100), (0, 49, 1, 1)), ((100, 3), (48, 0, 4, 3)), ((3, 4), (0, 0, 3, 4))],
)
def test_where_no_part_fits_the_middle_is_taken(size: tuple[int, int], box: tuple[int, ...]) -> None:
    """The boxes are those of torchvision, whose ratio here is 3/4 to 4/3."""
    assert RandomResizedCrop(scale=(1.0, 1.0)).box(size, generator(0, "augment")) == box


def test_scaling_is_that_of_pillow() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (3, 20, 30), np.uint8)
    image = pillow.fromarray(picture.transpose(1, 2, 0))
    for name in ("nearest", "bilinear", "bicubic"):
        expected = image.resize((9, 12), pillow.Resampling[name.upper()])
        recipe = Preprocessing(exact=True, interpolation=name)
        found, _ = scaled(picture, None, (12, 9), recipe)
        np.testing.assert_array_equal(found.transpose(1, 2, 0), np.asarray(expected))
        cut, _ = cut_and_scaled(picture, None, (2, 3, 10, 20), (12, 9), name)
        part = image.crop((3, 2, 23, 12)).resize((9, 12), pillow.Resampling[name.upper()])
        np.testing.assert_array_equal(cut.transpose(1, 2, 0), np.asarray(part))


def test_floats_and_single_channels_are_scaled_channel_by_channel() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (3, 20, 30), np.uint8)
    recipe = Preprocessing(exact=True)
    whole, _ = scaled(picture, None, (12, 9), recipe)
    for channel in range(3):
        one, _ = scaled(picture[channel : channel + 1], None, (12, 9), recipe)
        np.testing.assert_array_equal(one[0], whole[channel])
    floats, _ = scaled(picture.astype(np.float32), None, (12, 9), recipe)
    assert np.abs(floats - whole).max() <= 1.01  # bytes are rounded along each axis


def test_colours_are_made_grey_as_pillow_does() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (3, 50, 60), np.uint8)
    expected = np.asarray(pillow.fromarray(picture.transpose(1, 2, 0)).convert("L"))
    np.testing.assert_array_equal(as_grey(picture)[0], expected)
    assert np.abs(as_grey(picture.astype(np.float32))[0] - expected).max() <= 0.51


def test_channels_are_converted_where_it_is_asked_for() -> None:
    settings = DataSettings(convert_channels=True)
    for shape, channels in (((2, 8, 8), 3), ((2, 3, 8, 8), 1)):
        data = sampled("data", np.full(shape, 51, np.uint8), np.arange(2))
        fit = fitted(data, (channels, 8, 8), settings, Preprocessing("unit"), training=False)
        (found,) = Batches(data, fit, 2).epoch()
        assert found.x.shape == (2, channels, 8, 8)
        np.testing.assert_allclose(found.x, 0.2, rtol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_a_resized_crop_takes_the_place_of_resize_in_training(training: bool) -> None:
    data = sampled("data", np.zeros((2, 3, 20, 30), np.uint8), np.arange(2))
    settings = DataSettings(resize="shorter", augment=(RandomResizedCrop(),))
    fit = fitted(data, (3, 8, 8), settings, training=training)
    assert fit.steps is not None
    assert (fit.steps.resize is None) == training
    (found,) = Batches(data, fit, 2).epoch()
    assert found.x.shape == (2, 3, 8, 8)


def test_a_fit_says_what_it_does() -> None:
    data = sampled("data", np.zeros((2, 3, 20, 30), np.uint8), np.arange(2))
    settings = DataSettings(resize="exact", augment=(PaddedCrop(),))
    words = fitted(data, (3, 8, 8), settings, training=True).words()
    assert words[:3] == ["scaled to 8x8, bilinear", "padded_crop", "values 0 to 1"]


def test_pictures_are_changed_as_torchvision_changes_them() -> None:
    """Skipped where torchvision is not installed."""
    transforms = pytest.importorskip("torchvision.transforms")
    picture = np.random.default_rng(0).integers(0, 256, (3, 45, 61), np.uint8)
    mask = picture[0].astype(np.int64)
    image, of_mask = pillow.fromarray(picture.transpose(1, 2, 0)), pillow.fromarray(mask.astype(np.int32))
    nearest = transforms.InterpolationMode.NEAREST

    found, found_mask = scaled(picture, mask, (32, 40), Preprocessing(exact=True))
    np.testing.assert_array_equal(found.transpose(1, 2, 0), transforms.Resize((32, 40))(image))
    np.testing.assert_array_equal(found_mask, transforms.Resize((32, 40), nearest)(of_mask))
    shorter, _ = scaled(picture, None, (32, 32), Preprocessing(crop_pct=Fraction(1)))
    expected = transforms.CenterCrop(32)(transforms.Resize(32)(image))
    np.testing.assert_array_equal(shorter.transpose(1, 2, 0), expected)
    np.testing.assert_array_equal(as_grey(picture)[0], transforms.Grayscale()(image))

    draws = range(4000)
    ours = [RandomResizedCrop().box((45, 61), generator(n, "augment")) for n in draws]
    theirs = [
        transforms.RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in draws
    ]  # of torch's own draws
    np.testing.assert_allclose(np.mean(ours, 0), np.mean(theirs, 0), atol=1)
    np.testing.assert_allclose(np.std(ours, 0), np.std(theirs, 0), atol=1)
