"""Samples as inputs of a network: channels, size, numbers and shape, decided before the first is read."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

from archforge.data.preprocessing import PixelValues, Preprocessing
from archforge.datasets.base import AnyArray, DataSettings, Pair, Samples, Transform
from archforge.datasets.scaling import as_grey, scaled
from archforge.draws import generators
from archforge.errors import fail
from archforge.ir import by_x
from archforge.ops.lazy_numpy import np

__all__ = ["Fit", "fitted"]


# As a flag; in a spec it is `train: {data: {resize: exact}}`.
RESIZE = "--set train.data.resize=exact scales both sides, =shorter the shorter one and cuts the rest"


class PictureShape(NamedTuple):
    """The shape of a picture: its channels, its height and its width."""

    channels: int
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PictureSteps:
    """The changes of pictures, one by one. channels, size: those of the network. resize: how they are scaled,
    if they are. augment: what is drawn anew each time."""

    channels: int
    size: tuple[int, int]
    resize: Preprocessing | None = None
    augment: tuple[Transform, ...] = ()

    def of(self, picture: AnyArray, target: Any, draw: Any) -> tuple[AnyArray, Any]:
        """The changed picture [C, H, W] and its target, of which a mask gets the same."""
        picture = picture if picture.ndim == 3 else picture[None]
        if len(picture) != self.channels:
            picture = as_grey(picture) if self.channels == 1 else np.repeat(picture, self.channels, 0)
        mask = target if np.ndim(target) == 2 else None
        if self.resize:
            picture, mask = scaled(picture, mask, self.size, self.resize)
        for transform in self.augment:
            picture, mask = transform.apply(picture, mask, self.size, draw)
        return picture, target if mask is None else mask


@dataclass(frozen=True, slots=True)
class Fit:
    """The way from samples, as they are stored, to inputs float32[N, *shape].

    name: that of the samples. steps: of pictures; None where they are taken as they are. values: the numbers
    for pixels; None for values as they are.
    """

    name: str
    shape: tuple[int, ...]
    steps: PictureSteps | None
    values: PixelValues | None

    def words(self) -> list[str]:
        """The steps in words."""
        words = self.steps.resize.scaling(self.steps.size) if self.steps and self.steps.resize else []
        words += [transform.word for transform in self.steps.augment] if self.steps else []
        return [*words, *(self.values.words() if self.values else ["values as they are"])]

    def batch(self, taken: Pair, numbers: AnyArray, seed: int, epoch: int) -> Pair:
        """Samples as float32[N, *shape], and their targets. numbers: of the samples, which draws depend on.
        Raises E0601, E0607 for what is found only now."""
        x, y = taken
        if self.steps:
            drawn = bool(self.steps.augment)
            draws = generators(seed, "augment", epoch, samples=numbers) if drawn else [None] * len(numbers)
            changed = [self.steps.of(*sample) for sample in zip(x, y, draws, strict=True)]
            x, y = ([pair[i] for pair in changed] for i in (0, 1))
        x, y = self._stacked(x, numbers), self._stacked(y, numbers)
        if x[0].size != math.prod(self.shape):
            message = (
                f"sample {numbers[0]} of {self.name} is {by_x(x.shape[1:])}, expected {by_x(self.shape)}"
            )
            fail("E0607", message, help=RESIZE)
        return Pair(self._in_numbers(x, numbers).reshape(len(x), *self.shape), y)

    def _stacked(self, rows: Any, numbers: AnyArray) -> AnyArray:
        if isinstance(rows, np.ndarray):
            return rows
        odd = next((i for i, row in enumerate(rows) if np.shape(row) != np.shape(rows[0])), None)
        if odd is not None:
            shapes = (by_x(np.shape(rows[i])) for i in (odd, 0))
            message = "sample {} of {} is {}, and sample {} is {}"
            message = message.format(numbers[odd], self.name, next(shapes), numbers[0], next(shapes))
            fail("E0607", message, help=RESIZE)
        return np.stack(rows)

    def _in_numbers(self, x: AnyArray, numbers: AnyArray) -> AnyArray:
        is_values = x.dtype != np.uint8
        x = x.astype(np.float32, order="C", copy=self.values is not None)
        if is_values and not np.isfinite(x).all():
            row = int((~np.isfinite(x.reshape(len(x), -1))).any(1).argmax())
            fail("E0601", f"sample {numbers[row]} of {self.name} holds values that are not finite")
        if self.values is None:
            return x
        if self.values.bgr:
            x = np.ascontiguousarray(x[:, ::-1])
        mean, std = (_by_channel(numbers, x.ndim) for numbers in (self.values.mean, self.values.std))
        x /= np.float32(self.values.scale)
        x -= mean
        x /= std
        return x


def _by_channel(numbers: tuple[float, ...], axes: int) -> AnyArray:
    each = np.asarray(numbers, np.float32)
    return each if len(each) == 1 else each.reshape(-1, *[1] * (axes - 2))


def fitted(
    samples: Samples,
    shape: tuple[int, ...],
    settings: DataSettings,
    profile: Preprocessing | None = None,
    *,
    training: bool,
) -> Fit:
    """The way from samples to inputs of this shape. profile: the recipe for pictures that the network's
    profile prescribes. training: the samples are augmented. Raises E0607, E0609 with what does not fit."""
    if settings.interpolation and not settings.resize and not profile:
        fail("E0609", "`interpolation` changes nothing without `resize`", help=RESIZE)
    found = _found_picture(samples, shape)
    if samples.shape is not None and found is None:
        return _plain(samples, shape, settings)
    wanted = _wanted(samples, found, shape)
    _refuse_channels(samples, found, wanted, settings)
    augment = settings.augment if training else ()
    resize = None
    if not any(transform.gives_size for transform in augment):
        resize = _resize(samples, found, wanted.size, settings, profile)
    values = _values(samples, wanted.channels, settings, profile)
    if found == wanted and not resize and not augment:
        return Fit(samples.name, shape, None, values)
    _refuse_masks(samples, found)
    return Fit(samples.name, shape, PictureSteps(wanted.channels, wanted.size, resize, augment), values)


def _refuse_masks(samples: Samples, found: PictureShape | None) -> None:
    """Raises E0607 for masks that cannot be changed as their pictures are."""
    mask = samples.target_shape or ()
    if samples.targets == "classes" and found and len(mask) == 2 and mask != found.size:
        message = f"{samples.name} has {_words(samples)} with masks of {by_x(mask)}"
        fail("E0607", message, help="masks as large as their pictures, so that both get the same changes")


def _picture_of(shape: tuple[int, ...]) -> PictureShape | None:
    """The picture that an input of this shape can hold: its own axes, or a square in grey or in colours whose
    elements it lists; None if it is for none."""
    if len(shape) == 3:
        return PictureShape(shape[0], (shape[1], shape[2]))
    if len(shape) == 1:
        for channels in (1, 3):
            side = math.isqrt(shape[0] // channels)
            if channels * side * side == shape[0]:
                return PictureShape(channels, (side, side))
    return None


def _found_picture(samples: Samples, shape: tuple[int, ...]) -> PictureShape | None:
    """The pictures of one size that samples are, if they are some and the network takes some."""
    axes = samples.shape or ()
    if len(shape) not in (1, 3):
        return None
    if len(axes) == 3:
        return PictureShape(axes[0], (axes[1], axes[2]))
    return PictureShape(1, (axes[0], axes[1])) if len(axes) == 2 else None


def _wanted(samples: Samples, found: PictureShape | None, shape: tuple[int, ...]) -> PictureShape:
    """The picture that the network takes."""
    if len(shape) == 1 and found and math.prod(samples.shape or ()) == shape[0]:
        return found
    wanted = _picture_of(shape)
    if wanted is None:
        fail("E0607", f"{samples.name} has {_words(samples)}, and the network takes {by_x(shape)}")
    return wanted


def _refuse_channels(
    samples: Samples, found: PictureShape | None, wanted: PictureShape, settings: DataSettings
) -> None:
    """Raises E0607 for pictures of other channels than the network takes, unless they are to be converted."""
    has = found.channels if found else 3
    can_convert = {has, wanted.channels} == {1, 3}
    is_free = samples.stored == "pictures" or settings.convert_channels
    if has != wanted.channels and not (can_convert and is_free):
        takes = by_x((wanted.channels, *wanted.size))
        help = "--set train.data.convert_channels=true" if can_convert else f"pictures of {takes}"
        fail("E0607", f"{samples.name} has {_words(samples)}, and the network takes {takes}", help=help)


def _resize(
    samples: Samples,
    found: PictureShape | None,
    size: tuple[int, int],
    settings: DataSettings,
    profile: Preprocessing | None,
) -> Preprocessing | None:
    """The recipe by which pictures get the network's size; None where they have it. Pictures in files are
    prepared as the profile prescribes all the same, as `archforge run` does."""
    if found and found.size == size and not (profile and samples.stored == "pictures"):
        return None
    recipe = profile
    if settings.resize:
        exact = settings.resize == "exact"
        crop_pct = profile.crop_pct if profile and not exact else None
        recipe = Preprocessing(crop_pct=crop_pct or Fraction(1), exact=exact)
    if recipe is None:
        message = f"{samples.name} has {_words(samples)}, and the network takes {by_x(size)}"
        fail("E0607", message, help=RESIZE)
    return replace(recipe, interpolation=settings.interpolation) if settings.interpolation else recipe


def _words(samples: Samples) -> str:
    return f"pictures of {by_x(samples.shape)}" if samples.shape else "pictures of several sizes"


def _values(
    samples: Samples, channels: int, settings: DataSettings, profile: Preprocessing | None
) -> PixelValues | None:
    """The numbers for pixels, or what values are changed by; None for values as they are. Raises E0609."""
    scale = 1.0 if samples.stored == "values" else 255.0
    if settings.normalise is None:
        return None if scale == 1 else (profile or Preprocessing()).pixel_values(channels)
    given = settings.normalise
    mean, std = (n if isinstance(n, tuple) else (n,) for n in (given.mean, given.std))
    values = PixelValues(mean, std, scale)
    if not values.fits(channels):
        message = f"`normalise` has {max(len(mean), len(std))} numbers, and pictures have {channels} channels"
        fail("E0609", message, help="one number for all channels, or one for each")
    return values


def _plain(samples: Samples, shape: tuple[int, ...], settings: DataSettings) -> Fit:
    """The way of samples that are no pictures. Raises E0607, E0609."""
    found = samples.shape or ()
    is_list = 1 in (len(found), len(shape))
    hides_channels = len(found) == 1 and len(shape) > 1 and shape[0] > 1
    is_alike = is_list or _without_ones(found) == _without_ones(shape)
    if math.prod(found) != math.prod(shape) or not is_alike or hides_channels:
        message = f"{samples.name} has inputs {by_x(found) or '()'}, the network takes {by_x(shape)}"
        help = "x.reshape(-1, channels, height, width), since a list does not say which comes first"
        fail("E0607", message, help=help if hides_channels else "")
    for setting in ("resize", "convert_channels", "augment"):
        if getattr(settings, setting):
            fail("E0609", f"`{setting}` is for pictures, and {samples.name} has inputs {by_x(found)}")
    return Fit(samples.name, shape, None, _values(samples, 1, settings, None))


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)
