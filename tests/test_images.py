"""Pictures as inputs: what each of Pillow's modes and formats means, and what is refused, by known pixels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archforge.data import images
from archforge.data.images import IMAGE_SUFFIXES, image_reader
from archforge.data.preprocessing import INTERPOLATIONS, Preprocessing
from archforge.errors import DiagnosticError

pillow = pytest.importorskip("PIL.Image")

COLOURS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]]], np.uint8)
# ITU-R BT.601: (299 R + 587 G + 114 B) / 1000, rounded.
GREY = np.array([[76, 150], [29, 18]], np.uint8)
RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    """No picture makes Pillow warn on the user's screen."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def read(path: Path, channels: int = 3) -> Any:
    return image_reader((channels, 8, 8), None)(path)


def saved(path: Path, image: Any, **options: Any) -> Path:
    image.save(path, **options)
    return path


def colours(mode: str) -> Any:
    """The picture of `COLOURS` in one of Pillow's modes."""
    image = pillow.fromarray(COLOURS)
    if mode == "P":
        return image.quantize(4)
    if mode == "RGBA":
        return pillow.fromarray(np.dstack([COLOURS, np.zeros((2, 2), np.uint8)]))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "file"),
    [
        ("RGB", "x.png"), ("RGB", "x.bmp"), ("RGB", "x.tif"), ("RGB", "x.TIFF"), ("RGB", "x.webp"),
        ("P", "x.png"), ("P", "x.gif"), ("P", "x.tif"), ("RGBA", "x.png"), ("RGBA", "x.tif"),
        ("RGBA", "x.webp"), ("CMYK", "x.tif"),
    ],
)  # fmt: skip
def test_colours_are_the_same_in_every_mode_and_format(mode: str, file: str, tmp_path: Path) -> None:
    """Transparent pixels show their own colours."""
    options = {"lossless": True, "exact": True} if file == "x.webp" else {}
    path = saved(tmp_path / file, colours(mode), **options)
    np.testing.assert_array_equal(read(path), COLOURS.transpose(2, 0, 1))
    np.testing.assert_array_equal(read(path, 1), GREY[None])


def test_what_loses_colours_is_near(tmp_path: Path) -> None:
    # Pillow 11 and 12.0 write no YCbCr into a TIFF that is not compressed.
    options: dict[str, dict[str, Any]] = {"x.jpg": {"quality": 100}, "x.tif": {"compression": "tiff_lzw"}}
    for mode, file, bound in (("YCbCr", "x.tif", 2), ("CMYK", "x.jpg", 16), ("YCbCr", "x.jpg", 16)):
        flat = pillow.new("RGB", (16, 16), (200, 100, 50)).convert(mode)
        found = read(saved(tmp_path / file, flat, **options[file]))
        assert np.abs(found - np.array([200, 100, 50])[:, None, None]).max() <= bound


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_is_the_same_in_each_channel(mode: str, tmp_path: Path) -> None:
    image = pillow.fromarray(RAMP if mode != "1" else (RAMP > 99).astype(np.uint8) * 255).convert(mode)
    known = np.asarray(image.convert("L"))
    for file in ("x.png", "x.tif"):
        path = saved(tmp_path / file, image)
        np.testing.assert_array_equal(read(path), np.stack([known] * 3))
        np.testing.assert_array_equal(read(path, 1), known[None])


@pytest.mark.parametrize("order", ["<u2", ">u2"])
@pytest.mark.parametrize("file", ["x.png", "x.tif"])
def test_of_sixteen_bits_the_upper_eight_count(order: str, file: str, tmp_path: Path) -> None:
    deep = (RAMP.astype(np.uint16) * 256 + 255).astype(order)
    mode = "I;16" if order == "<u2" else "I;16B"
    path = saved(tmp_path / file, pillow.frombytes(mode, (8, 8), deep.tobytes()))
    np.testing.assert_array_equal(read(path, 1), RAMP[None])


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_a_mode_without_black_and_white_is_refused_by_its_name(mode: str, tmp_path: Path) -> None:
    image = pillow.new(mode, (8, 8)) if mode == "LAB" else pillow.fromarray(RAMP).convert(mode)
    path = saved(tmp_path / "x.tif", image)
    with pytest.raises(DiagnosticError, match=f"E0601: .*x.tif has pixels of mode `{mode}`"):
        read(path)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_is_turned_as_its_exif_data_says(turn: int, tmp_path: Path) -> None:
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3)
    # What a camera held so has stored. Source: Exif 2.3, tag 274.
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: upright.T[::-1], 7: upright.T[::-1, ::-1], 8: upright.T[:, ::-1],
    }[turn]  # fmt: skip
    image = pillow.fromarray(np.ascontiguousarray(stored))
    exif = image.getexif()
    exif[274] = turn
    for file in ("x.png", "x.tif", "x.webp"):
        options = {"lossless": True} if file == "x.webp" else {}
        path = saved(tmp_path / file, image.convert("RGB"), exif=exif, **options)
        np.testing.assert_array_equal(read(path, 1), upright[None])


@pytest.mark.parametrize("file", ["x.gif", "x.png", "x.webp", "x.tif"])
def test_of_several_frames_the_first_counts(file: str, tmp_path: Path) -> None:
    frames = [pillow.new("L", (4, 4), value) for value in (0, 255)]
    options = {"lossless": True} if file == "x.webp" else {}
    path = saved(tmp_path / file, frames[0], save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(read(path, 1), np.zeros((1, 4, 4)))


def test_transparency_by_a_palette_or_one_colour_is_left_out(tmp_path: Path) -> None:
    by_palette = saved(tmp_path / "p.png", colours("P"), transparency=bytes([0, 128, 255]))
    by_colour = saved(tmp_path / "c.png", colours("RGB"), transparency=(255, 0, 0))
    for path in (by_palette, by_colour):
        np.testing.assert_array_equal(read(path), COLOURS.transpose(2, 0, 1))
        np.testing.assert_array_equal(read(path, 1), GREY[None])


# What is no picture -------------------------------------------------------------------------------------


def broken(image: bytes) -> dict[str, bytes]:
    """A damaged picture in some ways."""
    flipped = bytearray(image)
    flipped[len(image) // 2] ^= 255
    return {
        "nothing": b"",
        "some bytes": b"no picture",
        "its first byte": image[:1],
        "its first half": image[: len(image) // 2],
        "all but its end": image[:-20],
        "another byte in the middle": bytes(flipped),
    }


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_damaged_pictures_are_refused_or_read_but_never_fall_over(suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    good = saved(
        tmp_path / f"good{suffix}", pillow.fromarray(rng.integers(0, 255, (20, 20, 3)).astype(np.uint8))
    )
    for number, data in enumerate(broken(good.read_bytes()).values()):
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(data)
        with warnings.catch_warnings(), suppress(DiagnosticError):
            warnings.simplefilter("ignore")  # Pillow tells of damaged tags
            assert read(path).shape[0] == 3


def test_other_formats_of_pillow_are_not_opened(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.ppm", pillow.new("RGB", (2, 2)))
    with pytest.raises(DiagnosticError, match=r"E0601: cannot read .*x.png: cannot identify"):
        read(path.rename(tmp_path / "x.png"))


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "x.png", pillow.new("1", (40_000, 3_000)))
    with pytest.raises(DiagnosticError, match=r"E0601: .*x.png is 3000x40000, .* at most 100,000,000 pixels"):
        read(path)
    monkeypatch.setattr(images, "MAX_PIXELS", 63)
    with pytest.raises(DiagnosticError, match=r"E0601: .*at most 63 pixels"):
        read(saved(tmp_path / "y.png", pillow.fromarray(RAMP)))


# Sizes --------------------------------------------------------------------------------------------------


def test_of_a_long_thin_picture_only_the_centre_is_scaled(tmp_path: Path) -> None:
    """One pixel by 5,000 would be 256 by 1,280,000: a gigabyte."""
    column = np.linspace(0, 255, 5000).astype(np.uint8)
    for pixels in (column[:, None], column[None]):
        path = saved(tmp_path / "x.png", pillow.fromarray(np.ascontiguousarray(pixels)))
        found = image_reader((1, 224, 224), Preprocessing("unit"))(path) * 255
        # 224 rows of 256 for each pixel lie within the middle pixels 2499 and 2500, whose values are equal.
        np.testing.assert_allclose(found, column[2499], atol=1)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_scaling_the_centre_alone_gives_what_scaling_all_gives(
    interpolation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of 255 levels may differ where Pillow rounds a place: it keeps 24 bits of it."""
    rng = np.random.default_rng(0)
    for size in ((3, 700), (640, 11), (50, 60), (300, 200)):
        path = saved(tmp_path / "x.png", pillow.fromarray(rng.integers(0, 256, size).astype(np.uint8)))
        read = image_reader((1, 40, 56), Preprocessing("unit", interpolation=interpolation))
        whole = read(path)
        monkeypatch.setattr(images, "MAX_SCALED", 0)
        part = read(path)
        monkeypatch.undo()
        apart = np.abs(part - whole) * 255
        assert (apart > 1e-3).mean() < (0.2 if interpolation == "nearest" else 0.05)
        if interpolation not in ("nearest", "box"):
            assert apart.max() < 2.001
