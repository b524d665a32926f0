"""Samples: how each format is read, how they are split and put into batches, and what is refused."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archforge.data.preprocessing import PIXEL_VALUES, Preprocessing
from archforge.datasets.arrays import ArraySamples, sampled
from archforge.datasets.base import Data, DataSettings, Normalise, Samples
from archforge.datasets.batches import Batches
from archforge.datasets.fit import fitted
from archforge.datasets.formats.idx import Idx
from archforge.datasets.formats.npz import Npz
from archforge.datasets.opening import detect, open_data
from archforge.datasets.scaling import scaled
from archforge.datasets.splits import split
from archforge.errors import DiagnosticError

GREY = (1, 28, 28)
PIXELS = np.arange(6 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(6, 28, 28)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.uint8)


def idx(array: Any) -> bytes:
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + bytes(array.astype(np.uint8).tobytes())


def mnist(folder: Path, ending: str = "") -> Path:
    """A folder with the four files."""
    for split_name, count in (("train", 6), ("t10k", 3)):
        for what, array in (("images-idx3", PIXELS[:count]), ("labels-idx1", LABELS[:count])):
            content = idx(array)
            path = folder / f"{split_name}-{what}-ubyte{ending}"
            path.write_bytes(gzip.compress(content) if ending else content)
    return folder


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def samples(count: int = 10, classes: int = 2) -> ArraySamples:
    y = np.arange(count) % classes
    return sampled("numbers", np.arange(count, dtype=np.float32)[:, None], y)


def everything(data: Samples) -> tuple[Any, Any]:
    taken = data.take(np.arange(len(data)))
    return taken.x, taken.y


def refusal(call: Any) -> str:
    with pytest.raises(DiagnosticError) as caught:
        call()
    return str(caught.value)


# Formats


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files_are_read_packed_or_not(ending: str, tmp_path: Path) -> None:
    assert detect(mnist(tmp_path, ending)) == Idx()
    data = open_data(tmp_path, GREY)
    assert data.held_back is not None
    for found, count in ((data.train, 6), (data.held_back, 3)):
        x, y = everything(found)
        np.testing.assert_array_equal(x, PIXELS[:count])
        np.testing.assert_array_equal(y, LABELS[:count])
    alone = open_data(tmp_path / f"t10k-images-idx3-ubyte{ending}", GREY)
    assert (len(alone.train), alone.held_back) == (3, None)


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (idx(PIXELS)[:-1], idx(LABELS), r"its header describes 4,720 bytes, the file has 4,719"),
        (idx(PIXELS) + b"0", idx(LABELS), r"its header describes 4,720 bytes, the file has 4,721"),
        (idx(PIXELS)[:7], idx(LABELS), r"images-idx3-ubyte is no idx file: it ends within its header"),
        (b"", idx(LABELS), r"images-idx3-ubyte is no idx file: it is empty"),
        (
            idx(LABELS),
            idx(PIXELS),
            r"holds labels, and .*labels-idx1-ubyte images\n +help: the two are swapped",
        ),
        (idx(LABELS), idx(LABELS), r"holds labels, not images"),
        (idx(PIXELS), idx(PIXELS), r"labels-idx1-ubyte holds no labels: its shape is 6x28x28"),
        (idx(PIXELS), idx(LABELS[:4]), r"has 6 inputs and 4 targets"),
        (idx(PIXELS[:0]), idx(LABELS[:0]), r"holds no samples: its shape is 0x28x28"),
        (b"\0\0\x07\3" + idx(PIXELS)[4:], idx(LABELS), r"it begins with 00 00 07 03"),
        (b"\x80\x04K.....", idx(LABELS), r"it is a pickle"),
        (b"\0\0\x08\3" + b"\xff" * 12, idx(LABELS), r"its header describes [\d,]+ bytes, the file has 16"),
        (gzip.compress(b"\0\0\x08\3" + b"\xff" * 12, mtime=0), idx(LABELS), r"the file has \d+ packed ones"),
    ],
)
def test_malformed_idx_files_are_told_by_name(
    images: bytes, labels: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(images)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(labels)
    found = refusal(lambda: everything(Idx().open(tmp_path, GREY).train))
    assert "E0601" in found
    assert re.search(said, found), found


@pytest.mark.parametrize(
    "content", [gzip.compress(idx(PIXELS), mtime=0)[:-20], gzip.compress(idx(PIXELS)[:-9], mtime=0)]
)
def test_packed_idx_files_that_end_too_soon_are_told_when_they_are_read(
    content: bytes, tmp_path: Path
) -> None:
    mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").unlink()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    train = open_data(tmp_path, GREY).train
    assert re.search("images-idx3-ubyte.gz is no idx file: ", refusal(lambda: everything(train)))


def test_idx_labels_are_looked_for_by_name(tmp_path: Path) -> None:
    (tmp_path / "emnist-letters-train-images-idx3-ubyte").write_bytes(idx(PIXELS))
    assert "there are no labels for" in refusal(lambda: open_data(tmp_path, GREY))
    (tmp_path / "named").write_bytes(idx(LABELS))
    assert len(open_data(tmp_path, GREY, Idx(labels="named")).train) == 6
    (tmp_path / "emnist-digits-train-images-idx3-ubyte").write_bytes(idx(PIXELS))
    assert "has several files of images" in refusal(lambda: open_data(tmp_path, GREY))


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "val_images", "val_labels"),
        ("X", "y", "testData", "testTargets"),
        ("x", "y", "valid_x", "valid_y"),
    ],
)
def test_npz_files_are_read_by_the_usual_names(names: tuple[str, ...], tmp_path: Path) -> None:
    arrays = (PIXELS, LABELS, PIXELS[:2], LABELS[:2])
    path = saved(tmp_path / "data.npz", **dict(zip(names, arrays, strict=True)))
    assert detect(path) == Npz()
    data = open_data(path, GREY)
    assert data.held_back is not None
    np.testing.assert_array_equal(everything(data.train)[0], PIXELS)
    np.testing.assert_array_equal(everything(data.held_back)[1], LABELS[:2])


def test_npz_arrays_without_names_are_inputs_and_targets(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", PIXELS, LABELS)
    assert len(open_data(tmp_path / "data.npz", GREY).train) == 6


@pytest.mark.parametrize(
    ("arrays", "format", "said"),
    [
        ({"a": PIXELS, "b": LABELS}, Npz(), r"holds `a`, `b`, no inputs with their targets"),
        ({"x": PIXELS}, Npz(), r"has `x` without targets"),
        ({"x": PIXELS, "y": LABELS, "y_test": LABELS}, Npz(), r"has `y_test` without inputs"),
        ({"x": PIXELS, "images": PIXELS, "y": LABELS}, Npz(), r"has two arrays for x: x and images"),
        ({"x": PIXELS, "y": LABELS}, Npz(x="z", y="y"), r"has no array `z` for the setting `x`"),
        ({"x": PIXELS, "y": LABELS}, Npz(x="x"), r"has no array `` for the setting `y`"),
        ({"x": PIXELS.astype(int), "y": LABELS}, Npz(), r"`x` of .* is int64, expected uint8 or floating"),
        ({"x": PIXELS, "y": LABELS.astype("U1")}, Npz(), r"`y` of .* is <U1, expected whole or floating"),
        ({"x": PIXELS, "y": LABELS[:5]}, Npz(), r"has 6 inputs and 5 targets"),
        ({"x": np.zeros((2, 3, 4, 3), "u1"), "y": LABELS[:2]}, Npz(), r"may be the second axis or the last"),
        ({"x": np.float32(1), "y": LABELS}, Npz(), r"holds no samples: its shape is \(\)"),
        ({"x": np.array([None]), "y": LABELS}, Npz(), r"is object, expected uint8"),
    ],
)
def test_npz_files_that_do_not_say_what_they_hold_are_refused(
    arrays: dict[str, Any], format: Npz, said: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "data.npz", **arrays)
    found = refusal(lambda: format.open(path, GREY))
    assert "E0601" in found
    assert re.search(said, found), found


def test_of_val_and_test_one_is_named(tmp_path: Path) -> None:
    names = {f"{part}_{what}": array[: 2 + len(part)] for part in ("train", "val", "test")
             for what, array in (("images", PIXELS), ("labels", LABELS))}  # fmt: skip
    path = saved(tmp_path / "data.npz", **names)
    assert "has the splits val and test" in refusal(lambda: open_data(path, GREY))
    held_back = open_data(path, GREY, Npz(held_back="val")).held_back
    assert held_back is not None
    assert len(held_back) == 5


@pytest.mark.parametrize(
    ("y", "kind", "expected"),
    [
        (LABELS, "class", LABELS),
        (LABELS[:, None], "class", LABELS),
        (np.eye(3)[LABELS], "class", LABELS),
        (np.eye(3, dtype=bool)[LABELS], "class", LABELS),
        (LABELS.astype(float), "values", LABELS),
        (PIXELS, "classes", PIXELS),
        (PIXELS[:, None], "classes", PIXELS),
        (PIXELS[..., None], "classes", PIXELS),
        (PIXELS / 255, "values", (PIXELS / 255).astype(np.float32)),
    ],
)
def test_targets_have_one_form(y: Any, kind: str, expected: Any) -> None:
    found = sampled("data", PIXELS, y)
    assert found.targets == kind
    np.testing.assert_array_equal(everything(found)[1], expected)


@pytest.mark.parametrize("layout", [None, "channels_last"])
def test_channels_come_first(layout: Any) -> None:
    x = np.arange(2 * 5 * 4 * 3, dtype=np.uint8).reshape(2, 5, 4, 3)
    found = sampled("data", x, LABELS[:2], layout=layout)
    assert found.shape == (3, 5, 4)
    np.testing.assert_array_equal(everything(found)[0], x.transpose(0, 3, 1, 2))


def test_colours_are_scaled_as_each_channel_is() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (3, 13, 9), dtype=np.uint8)
    found, _ = scaled(colours, None, (6, 5), Preprocessing())
    assert found.shape == (3, 6, 5)
    for channel, picture in zip(found, colours, strict=True):
        np.testing.assert_array_equal(channel, scaled(picture[None], None, (6, 5), Preprocessing())[0][0])


# The digits


@pytest.mark.parametrize("shape", [(1, 28, 28), (784,), (3, 32, 32), (1, 8, 8), (64,), (1, 9, 40)])
def test_digits_are_enlarged_to_the_input(shape: tuple[int, ...]) -> None:
    data = open_data(None, shape)
    x, y = everything(data.train)
    sides = shape[1:] if len(shape) == 3 else (int(shape[0] ** 0.5),) * 2
    assert x.shape == (1797, *sides)
    np.testing.assert_array_equal(np.bincount(y), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    assert (x.min(), x.max()) == (0, 255)
    factor = min(sides) // 8
    mass = x.astype(int).sum((1, 2)) / factor**2
    np.testing.assert_array_equal(mass, everything(open_data(None, (64,)).train)[0].astype(int).sum((1, 2)))


def test_digits_need_no_path_and_other_formats_do() -> None:
    assert "data of the format `idx` are needed" in refusal(lambda: open_data(None, GREY, Idx()))
    assert "is not read" in refusal(lambda: open_data("x.npz", GREY, detect_digits()))


def detect_digits() -> Any:
    from archforge.datasets.formats.digits import Digits

    return Digits()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x80\x04K.", "it is a pickle, such as torch.save writes, which is never executed here"),
        (gzip.compress(b"\x80\x04K.", mtime=0), "it is a pickle, such as torch.save writes"),
        (gzip.compress(b"text", mtime=0), "it is a compressed file"),
        (b"text", "cannot tell the format"),
        (b"", "cannot tell the format"),
        (b"PK\3\4" + b"x" * 26 + b"a/data.pkl", "it is a file of torch.save"),
    ],
)
def test_files_of_no_format_are_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(content)
    found = refusal(lambda: open_data(tmp_path / "data.bin", GREY))
    assert "E0601" in found
    assert said in found
    assert "help: " in found
    assert "there is no file" in refusal(lambda: open_data(tmp_path / "none", GREY))


# Splits


def parts(data: Data) -> tuple[set[int], set[int]]:
    held_back = everything(data.held_back)[0] if data.held_back else np.empty(0)
    return set(everything(data.train)[0].ravel().astype(int)), set(held_back.ravel().astype(int))


def test_a_split_holds_back_the_share_and_depends_on_the_seed_alone() -> None:
    data = Data(samples(50))
    train, held_back = parts(split(data, validation=0.2, seed=3))
    assert (len(train), len(held_back)) == (40, 10)
    assert train | held_back == set(range(50))
    assert parts(split(data, validation=0.2, seed=3)) == (train, held_back)
    assert parts(split(data, validation=0.2, seed=4)) != (train, held_back)
    own = Data(samples(50), samples(5))
    assert split(own, validation=0.2).held_back is own.held_back


def test_stratified_parts_hold_as_many_of_each_class() -> None:
    found = split(Data(samples(100, classes=5)), validation=0.1, limit=40, stratify=True)
    assert found.train.labels is not None
    assert found.held_back is not None
    assert found.held_back.labels is not None
    assert np.bincount(found.train.labels).tolist() == [8] * 5
    assert np.bincount(found.held_back.labels).tolist() == [2] * 5
    assert parts(found)[0].isdisjoint(parts(found)[1])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"limit": 11}, "`limit` is 11, and 10 samples are there to train on"),
        (
            {"limit": 5, "stratify": True},
            "`limit`, 5, is no multiple of the 2 classes\n      help: 4, 6, or `stratify: false`",
        ),
        ({"validation": 0.01}, "of 10 samples, 0 are held back"),
        ({"stratify": True}, "`stratify` changes nothing here"),
    ],
)
def test_splits_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    assert f"E0609: {said}" in refusal(lambda: split(Data(samples(10)), **settings))


def test_a_class_too_small_for_its_part_is_named() -> None:
    few = sampled("few", np.zeros((5, 1), np.float32), np.array([0, 0, 0, 0, 1]))
    found = refusal(lambda: split(Data(few), limit=4, stratify=True))
    assert "class 1 has 1 samples, `limit` with `stratify` needs 2 of each\n      help: at most 2" in found


# Batches


def batches(data: Samples, size: int = 4, **settings: Any) -> Batches:
    assert data.shape is not None
    return Batches(data, fitted(data, data.shape, DataSettings(), training=True), size, **settings)


def test_an_epoch_holds_each_sample_once_and_its_order_depends_on_seed_and_epoch() -> None:
    found = batches(samples(10), seed=1, shuffle=True)
    orders = [[int(n) for x, _ in found.epoch(number) for n in x.ravel()] for number in (0, 1, 0)]
    assert [sorted(order) for order in orders] == [list(range(10))] * 3
    assert orders[0] == orders[2] != orders[1]
    assert [int(n) for x, _ in batches(samples(10)).epoch() for n in x.ravel()] == list(range(10))


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_the_last_batch_may_be_left_out(drop_last: bool, sizes: list[int]) -> None:
    found = batches(samples(10), drop_last=drop_last)
    assert len(found) == len(sizes)
    assert [len(x) for x, _ in found.epoch()] == sizes


def test_an_epoch_goes_on_at_any_batch_without_reading_those_before() -> None:
    read: list[int] = []

    class Watched(ArraySamples):
        def take(self, indices: Any) -> Any:
            read.extend(indices.tolist())
            return super().take(indices)

    plain = samples(12)
    found = batches(Watched("numbers", plain.x, plain.y), shuffle=True)
    whole = [x.tolist() for x, _ in found.epoch(5)]
    read.clear()
    assert [x.tolist() for x, _ in found.epoch(5, first=2)] == whole[2:]
    assert len(read) == 4


@pytest.mark.parametrize(
    ("x", "shape"),
    [
        ((28, 28), (784,)), ((28, 28), (1, 28, 28)), ((784,), (1, 28, 28)), ((3, 4, 4), (48,)),
        ((5, 7), (5, 7)), ((6, 5), (30,)), ((1, 4, 4), (1, 4, 4)), ((5,), (5,)),
    ],
)  # fmt: skip
def test_samples_are_shaped_as_the_network_takes_them(x: tuple[int, ...], shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, *x), np.uint8)
    data = sampled("data", pixels, LABELS[:4], layout="channels_first" if len(x) == 3 else None)
    settings = DataSettings(normalise=Normalise(mean=0.25, std=0.5))
    (found,) = Batches(data, fitted(data, shape, settings, training=False), 4).epoch()
    assert found.x.dtype == np.float32
    np.testing.assert_allclose(found.x, (pixels.reshape(4, *shape) / 255 - 0.25) / 0.5, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "shape", "settings", "said"),
    [
        (
            (28, 28),
            (1, 32, 32),
            {},
            r"pictures of 28x28, and .* takes 32x32\n +help: --set train\.data\.resize",
        ),
        ((3, 8, 8), (1, 8, 8), {}, r"takes 1x8x8\n +help: --set train\.data\.convert_channels=true"),
        ((8, 8), (3, 8, 8), {}, r"takes 3x8x8\n +help: --set train\.data\.convert_channels=true"),
        ((48,), (3, 4, 4), {}, r"has inputs 48, the network takes 3x4x4\n +help: x\.reshape"),
        ((5, 7), (7, 5), {}, r"has inputs 5x7, the network takes 7x5"),
        ((5,), (6,), {}, r"has inputs 5, the network takes 6"),
        ((8, 8), (1, 8, 8), {"normalise": Normalise(mean=(0.0, 0.0))}, r"`normalise` has 2 numbers"),
        ((5,), (5,), {"resize": "exact"}, r"`resize` is for pictures"),
    ],
)
def test_samples_that_do_not_fit_are_refused(
    x: tuple[int, ...], shape: tuple[int, ...], settings: dict[str, Any], said: str
) -> None:
    data = sampled("data", np.zeros((2, *x), np.uint8), LABELS[:2])
    found = refusal(lambda: fitted(data, shape, DataSettings(**settings), training=True))
    assert re.search(f"E060[79]: .*{said}", found), found


def test_pixels_are_normalised_as_archforge_run_does() -> None:
    colours = sampled("data", np.zeros((1, 3, 4, 4), np.uint8), LABELS[:1])
    caffe = Preprocessing("caffe")
    assert fitted(colours, (3, 4, 4), DataSettings(), training=False).values == PIXEL_VALUES["imagenet"]
    fit = fitted(colours, (3, 4, 4), DataSettings(), caffe, training=False)
    (found,) = Batches(colours, fit, 1).epoch()
    np.testing.assert_allclose(found.x[0, :, 0, 0], [-103.939, -116.779, -123.68], rtol=1e-6)


def test_values_are_left_as_they_are_and_must_be_finite() -> None:
    x = np.linspace(-3, 300, 8, dtype=np.float64).reshape(2, 1, 2, 2)
    data = sampled("data", x, LABELS[:2])
    (found,) = batches(data).epoch()
    np.testing.assert_array_equal(found.x, x.astype(np.float32))
    x[1, 0, 0, 0] = np.nan
    bad = batches(sampled("data", x, LABELS[:2]), shuffle=True)
    assert "sample 1 of data holds values that are not finite" in refusal(lambda: list(bad.epoch()))


def test_batches_of_none_are_refused() -> None:
    assert "E0609: numbers has 10 samples, no whole batch of 11" in refusal(
        lambda: batches(samples(10), 11, drop_last=True)
    )


def test_masks_of_another_size_than_their_pictures_cannot_be_scaled() -> None:
    data = sampled("data", np.zeros((2, 3, 8, 8), np.uint8), np.zeros((2, 6, 6), np.int64))
    assert fitted(data, (3, 8, 8), DataSettings(), training=True).steps is None
    found = refusal(lambda: fitted(data, (3, 4, 4), DataSettings(resize="exact"), training=True))
    assert "E0607: data has pictures of 3x8x8 with masks of 6x6" in found


def test_pickles_are_told_by_their_names_too(tmp_path: Path) -> None:
    (tmp_path / "data.pkl").write_bytes(b"(dp0\n.")
    assert "it is a pickle by its name" in refusal(lambda: open_data(tmp_path / "data.pkl", GREY))
