"""Inputs of `archforge run`: pictures and arrays from files, preprocessed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from archforge.analysis.network import Network
from archforge.data.preprocessing import INTERPOLATIONS, PIXEL_VALUES, Preprocessing, share_of
from archforge.errors import did_you_mean, fail
from archforge.ir import by_x

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PictureOptions", "Preparation", "prepared"]

NONE = "none"  # pixels as they are, 0 to 255, the picture in its own size


class PictureOptions(NamedTuple):
    """The options of preprocessing, each as it was typed; they win over the profile."""

    preprocess: str | None = None
    resize: str | None = None
    crop_pct: str | None = None
    interpolation: str | None = None

    def given(self) -> dict[str, str]:
        """The options that were typed, as they are spelt."""
        return {f"--{k.replace('_', '-')}": v for k, v in self._asdict().items() if v is not None}

    def applied(self, recipe: Preprocessing, shape: tuple[int, ...]) -> Preprocessing | None:
        """The recipe with what was typed, for an input of this shape; None for `--preprocess none`.

        Raises E0001 for what does not exist or fit.
        """
        if self.preprocess == NONE:
            if others := [option for option in self.given() if option != "--preprocess"]:
                help = "leave one of them out"
                fail("E0001", f"`{others[0]}` changes nothing beside `--preprocess {NONE}`", help=help)
            return None
        if self.preprocess is not None:
            _one_of("--preprocess", self.preprocess, (*PIXEL_VALUES, NONE), "preprocessing")
            recipe = replace(recipe, values=self.preprocess)
        if self.interpolation is not None:
            _one_of("--interpolation", self.interpolation, INTERPOLATIONS, "interpolation")
            recipe = replace(recipe, interpolation=self.interpolation)
        if self.resize is not None:
            recipe = self._resized(self.resize, recipe, shape)
        if self.crop_pct is not None:
            share = share_of(self.crop_pct)
            if share is None:
                help = "--crop-pct 0.95, or as two sizes, 224/232"
                fail("E0001", f"`--crop-pct {self.crop_pct}` is no share above 0, at most 1", help=help)
            recipe = replace(recipe, crop_pct=share)
        return recipe

    def _resized(self, resize: str, recipe: Preprocessing, shape: tuple[int, ...]) -> Preprocessing:
        """The recipe with another size of the scaled picture."""
        if resize == "exact":
            return replace(recipe, exact=True, crop_pct=None)
        if not (resize.isascii() and resize.isdigit()):
            help = "--resize 256, the shorter side, or exact, both sides to the input's size"
            fail("E0001", f"`--resize {resize}` is no size", help=help)
        side, least = int(resize[:9]), min(shape[1:])
        if self.crop_pct is not None:
            fail("E0001", "`--resize` and `--crop-pct` say the same", help="leave one of them out")
        if side < least:
            fail("E0001", f"`--resize {resize}` is less than the network's input, {by_x(shape)}")
        return replace(recipe, exact=False, crop_pct=Fraction(least, side))


def _one_of(option: str, word: str, known: Sequence[str], what: str) -> None:
    if word not in known:
        help = did_you_mean(word, known, what="there are")
        fail("E0001", f"there is no {what} `{word}` for `{option}`", help=help)


class Preparation(NamedTuple):
    """A function from a file to arrays float[*shape], and a description of it."""

    read: Callable[[Path], Collection[NDArray[Any]]]
    words: str


def prepared(paths: Sequence[Path], network: Network, options: PictureOptions) -> Preparation:
    """A reader of pictures, preprocessed as the network's profile prescribes and the options say, and of .npy
    files.

    Raises E0001 for options that do not fit, and what `image_reader` raises.
    """
    from archforge.data.images import IMAGE_SUFFIXES, image_reader
    from archforge.data.samples import read_rows

    (shape,) = (t.shape for t in network.graph.inputs.values())
    if not any(path.suffix.lower() in IMAGE_SUFFIXES for path in paths):
        if given := options.given():
            fail("E0001", f"`{next(iter(given))}` is for pictures: arrays are taken as they are")
        return Preparation(lambda path: read_rows(path, shape), "arrays as they are")
    image_reader(shape, None)  # which refuses inputs that are no pictures
    prescribed = network.preprocessing
    recipe = options.applied(prescribed or Preprocessing(), shape)
    if recipe and not recipe.pixel_values(shape[0]).fits(shape[0]):
        whose = "" if options.preprocess else f" of profile {network.profile}"
        message = f"the preprocessing{whose} is for colours, and the network's input is grey"
        fail("E0001" if options.preprocess else "E0607", message, help=f"--preprocess unit, or {NONE}")
    picture = image_reader(shape, recipe)

    def read(path: Path) -> Collection[NDArray[Any]]:
        return [picture(path)] if path.suffix.lower() in IMAGE_SUFFIXES else read_rows(path, shape)

    return Preparation(read, _words(network, prescribed, options, recipe, shape))


def _words(
    network: Network,
    prescribed: Preprocessing | None,
    options: PictureOptions,
    recipe: Preprocessing | None,
    shape: tuple[int, ...],
) -> str:
    """The preprocessing in words: who prescribes it, what the command changes, and the steps."""
    if recipe is None:
        return "pixels as they are, 0 to 255"
    if prescribed:
        source = f" ({prescribed.source})" if prescribed.source else ""
        origin = f"of profile {network.profile}{source}"
    else:
        origin = f"by default, as profile {network.profile} prescribes none"
    if given := options.given():
        origin += f", with {' '.join(f'{option} {value}' for option, value in given.items())}"
    return f"preprocessing {origin}: {recipe.describe(shape)}"
