"""Pictures by class, pictures with masks, CIFAR's files and texts as samples, and data given in Python."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archforge.data.preprocessing import Preprocessing
from archforge.datasets.base import DataSettings, Format, Samples
from archforge.datasets.batches import Batches
from archforge.datasets.examine import class_counts, examine
from archforge.datasets.fit import fitted
from archforge.datasets.formats.cifar import Cifar
from archforge.datasets.formats.folders import Folders
from archforge.datasets.formats.masks import Masks
from archforge.datasets.formats.text import Text
from archforge.datasets.given import given_data
from archforge.datasets.opening import detect, open_data
from archforge.errors import DiagnosticError
from archforge.parts import all_parts

pillow = pytest.importorskip("PIL.Image")

COLOURS = (3, 8, 8)


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(DiagnosticError) as caught:
        call()
    return str(caught.value)


def everything(data: Samples) -> tuple[Any, Any]:
    taken = data.take(np.arange(len(data)))
    return taken.x, taken.y


def picture(path: Path, value: int = 0, size: tuple[int, int] = (8, 8), mode: str = "L") -> Path:
    """A picture of one value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pillow.fromarray(np.full(size, value, np.uint8)).convert(mode).save(path)
    return path


# CIFAR


def records(labels: Any, of: int = 1) -> Any:
    found = np.random.default_rng(0).integers(0, 256, (len(labels), of + 3072), np.uint8)
    found[:, :of] = np.asarray(labels).reshape(-1, of)
    return found


def test_cifar_10_is_read_with_the_names_of_its_classes(tmp_path: Path) -> None:
    # The first record begins as an ONNX model does.
    parts = [records([8, 1]), records([2]), records([9, 3])]
    parts[0][0, 1:3] = 15, 0x12
    for name, part in zip(("data_batch_1", "data_batch_2", "test_batch"), parts, strict=True):
        (tmp_path / f"{name}.bin").write_bytes(part.tobytes())
    (tmp_path / "batches.meta.txt").write_text("\n".join("abcdefghij") + "\n\n")
    assert detect(tmp_path) == Cifar()
    data = open_data(tmp_path, (3, 32, 32))
    assert data.held_back is not None
    x, y = everything(data.train)
    np.testing.assert_array_equal(x, np.concatenate(parts[:2])[:, 1:].reshape(3, 3, 32, 32))
    assert y.tolist() == [8, 1, 2]
    assert everything(data.held_back)[1].tolist() == [9, 3]
    assert "".join(data.train.classes) == "abcdefghij"
    assert len(open_data(tmp_path / "data_batch_1.bin", (3, 32, 32)).train) == 2


@pytest.mark.parametrize(("labels", "expected"), [("fine", [99, 7]), ("coarse", [19, 3])])
def test_cifar_100_has_two_labels(labels: Any, expected: list[int], tmp_path: Path) -> None:
    (tmp_path / "train.bin").write_bytes(records([[19, 99], [3, 7]], 2).tobytes())
    data = open_data(tmp_path, (3, 32, 32), Cifar(labels=labels))
    assert data.held_back is None
    assert everything(data.train)[1].tolist() == expected


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"data_batch_1.bin": records([1]).tobytes()[:-1]}, "has 3,072 bytes, no multiple of the 3,073"),
        ({"data_batch_1.bin": b""}, "is empty"),
        ({"data_batch_1.bin": records([1, 10]).tobytes()}, "record 1 of .* has the label 10"),
        ({"train.bin": records([[19, 100]], 2).tobytes()}, "record 0 of .* has the label 100"),
        (
            {"data_batch_1": b"\x80\4", "batches.meta": b"\x80\4"},
            "holds the Python version of CIFAR: pickles",
        ),
    ],
)
def test_malformed_files_of_cifar_are_told_by_name(
    files: dict[str, bytes], said: str, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    found = refusal(lambda: everything(open_data(tmp_path, (3, 32, 32)).train))
    assert re.search(f"E0601: .*{said}", found), found


# Pictures by class


def animals(root: Path) -> Path:
    for split, count in (("train", 3), ("val", 2)):
        for number, name in enumerate(("cat", "dog")):
            for index in range(count):
                picture(root / split / name / f"{index}.png", 10 * number + index)
    return root


def test_classes_are_folders_in_the_order_of_their_names(tmp_path: Path) -> None:
    assert detect(animals(tmp_path)) == Folders()
    (tmp_path / "train" / "cat" / ".hidden.png").write_bytes(b"")
    (tmp_path / "train" / "cat" / "notes.txt").write_text("x")
    data = open_data(tmp_path, COLOURS)
    assert data.held_back is not None
    assert data.train.classes == ("cat", "dog")
    x, y = everything(data.train)
    assert y.tolist() == [0, 0, 0, 1, 1, 1]
    assert [int(one[0, 0, 0]) for one in x] == [0, 1, 2, 10, 11, 12]
    assert {one.shape for one in x} == {(3, 8, 8)}
    assert len(data.held_back) == 4
    assert len(open_data(tmp_path / "val", COLOURS).train) == 4


def test_a_held_back_part_may_lack_a_class_but_has_none_of_its_own(tmp_path: Path) -> None:
    root = animals(tmp_path)
    for path in (root / "val" / "cat").iterdir():
        path.unlink()
    (root / "val" / "cat").rmdir()
    held_back = open_data(root, COLOURS).held_back
    assert held_back is not None
    assert held_back.labels is not None
    assert held_back.labels.tolist() == [1, 1]
    picture(root / "val" / "dgo" / "1.png")
    assert "did you mean `dog`" in refusal(lambda: open_data(root, COLOURS))


def test_folders_that_say_nothing_of_classes_are_refused(tmp_path: Path) -> None:
    root = animals(tmp_path)
    (root / "train" / "bird").mkdir()
    assert "bird has no picture" in refusal(lambda: open_data(root, COLOURS))
    picture(root / "train" / "loose.png")
    assert "has pictures beside the folders of classes: loose.png" in refusal(
        lambda: open_data(root, COLOURS)
    )
    picture(root / "test" / "cat" / "1.png")
    assert "has val, test: one of them" in refusal(lambda: open_data(root, COLOURS))
    assert "no folder `vel`" in refusal(lambda: open_data(root, COLOURS, Folders(held_back="vel")))


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b"\x89PNG\r\n\x1a\n0000", "cannot read"), (b"<html>", "it is a web page")],
)
def test_pictures_that_cannot_be_read_are_told_before_the_first_step(
    content: bytes, said: str, tmp_path: Path
) -> None:
    (animals(tmp_path) / "train" / "dog" / "9.png").write_bytes(content)
    found = refusal(lambda: examine(open_data(tmp_path, COLOURS), 2))
    assert re.search(f"E0601: .*{said}", found), found
    assert "9.png" in found


@pytest.mark.parametrize("shape", [(1, 8, 8), (64,)])
def test_pictures_are_grey_for_a_network_of_one_channel(shape: tuple[int, ...], tmp_path: Path) -> None:
    train = open_data(animals(tmp_path), shape).train
    fit = fitted(train, shape, DataSettings(), training=True)
    (found,) = Batches(train, fit, 6).epoch()
    np.testing.assert_allclose(found.x.reshape(6, 64)[:, 0] * 255, [0, 1, 2, 10, 11, 12], rtol=1e-6)


def test_pictures_of_the_networks_size_are_taken_as_they_are(tmp_path: Path) -> None:
    train = open_data(animals(tmp_path), COLOURS).train
    assert train.shape == COLOURS
    assert fitted(train, COLOURS, DataSettings(), training=True).steps is None
    profile = Preprocessing()
    fit = fitted(train, COLOURS, DataSettings(), profile, training=False)
    assert fit.steps is not None
    assert fit.steps.resize == profile


def test_pictures_of_other_sizes_need_a_setting(tmp_path: Path) -> None:
    picture(animals(tmp_path) / "train" / "dog" / "8.png", 200, (11, 5))
    train = open_data(tmp_path, COLOURS).train
    found = refusal(lambda: fitted(train, COLOURS, DataSettings(), training=True))
    assert "has pictures of several sizes, and the network takes 8x8" in found
    fit = fitted(train, COLOURS, DataSettings(resize="shorter"), training=True)
    assert [x.shape for x, _ in Batches(train, fit, 4).epoch()] == [(4, *COLOURS), (3, *COLOURS)]


# Pictures with masks


def masked(root: Path, *, images: str = "images", masks: str = "masks", mask: str = "{}.png") -> Path:
    for index in range(3):
        picture(root / images / f"{index}.png", index)
        values = np.zeros((8, 8), np.uint8)
        values[:, index:] = 255
        (root / masks).mkdir(parents=True, exist_ok=True)
        pillow.fromarray(values).save(root / masks / mask.format(index))
    return root


@pytest.mark.parametrize(
    "names",
    [
        {}, {"masks": "annotations/trimaps", "mask": "{}.gif"},
        {"images": "", "masks": "", "mask": "{}_mask.png"},
        {"images": "train/imgs", "masks": "train/labels", "mask": "label_{}.tif"},
    ],
)  # fmt: skip
def test_pairs_are_found_by_name(names: dict[str, str], tmp_path: Path) -> None:
    assert detect(masked(tmp_path, **names)) == Masks()
    x, y = everything(open_data(tmp_path, COLOURS, Masks(values=(0, 255))).train)
    assert [int(one[0, 0, 0]) for one in x] == [0, 1, 2]
    assert [int(one.sum()) for one in y] == [64, 56, 48]
    assert {str(one.dtype) for one in y} == {"int64"}


def test_palettes_are_numbers_and_values_may_be_joined(tmp_path: Path) -> None:
    root = masked(tmp_path)
    values = np.tile(np.array([1, 2, 3, 3], np.uint8), (8, 2))
    image = pillow.fromarray(values).convert("P")
    image.putpalette([0, 0, 0] + [9, 99, 199] * 3)
    for index in range(3):
        image.save(root / "masks" / f"{index}.png")
    assert everything(open_data(root, COLOURS).train)[1][0][0].tolist() == [1, 2, 3, 3] * 2
    data = open_data(root, COLOURS, Masks(values=((2, 3), 1))).train
    assert everything(data)[1][0][0].tolist() == [1, 0, 0, 0] * 2
    assert data.classes == ("2+3", "1")


@pytest.mark.parametrize(
    ("change", "settings", "said"),
    [
        (lambda root: (root / "masks" / "1.png").unlink(), {}, "there is no mask for 1 of the files"),
        (lambda root: (root / "images" / "1.png").unlink(), {}, "there is no picture for 1 of the files"),
        (lambda root: picture(root / "masks" / "1_gt.png"), {}, "are of one name"),
        (lambda root: picture(root / "masks" / "1.png", 0, (8, 7)), {}, "is 8x8, and its mask .* is 8x7"),
        (lambda root: picture(root / "masks" / "1.png", 0, mode="RGB"), {}, "is no mask: its pixels are RGB"),
        (lambda root: picture(root / "masks" / "1.png", 7), {}, "has the value 7, which stands for no class"),
        (lambda root: None, {"values": (0, 0)}, "the mask value 0 stands for two classes, 0 and 1"),
        (lambda root: None, {"masks": "msk"}, "there is no folder .*msk"),
        (lambda root: None, {"masks": "../masks"}, "`../masks` leads out of"),
        (lambda root: None, {"held_back": "/"}, "`/` leads out of"),
    ],
)
def test_masks_that_do_not_belong_to_pictures_are_refused(
    change: Any, settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    change(masked(tmp_path))
    format = Masks(**({"values": (0, 255)} | settings))
    found = refusal(lambda: everything(open_data(tmp_path, COLOURS, format).train))
    assert re.search(f"E060[19]: .*{said}", found), found


def test_masks_of_another_size_are_told_before_the_first_step(tmp_path: Path) -> None:
    picture(masked(tmp_path) / "masks" / "1.png", 0, (7, 8))
    assert "and its mask" in refusal(lambda: examine(open_data(tmp_path, COLOURS), 2))


def test_values_of_masks_beyond_the_classes_ask_for_a_table(tmp_path: Path) -> None:
    data = open_data(masked(tmp_path), COLOURS)
    found = refusal(lambda: examine(data, 2))
    assert "has class 255, and the network has the classes 0 to 1\n" in found
    assert "--set 'train.data.format={masks: {values: [0, 255]}}'" in found
    examine(data, 2, ignore=255)
    examine(open_data(tmp_path, COLOURS, Masks(values=(0, 255))), 2)


def test_masks_are_scaled_as_their_pictures_are(tmp_path: Path) -> None:
    data = open_data(masked(tmp_path), (3, 4, 4), Masks(values=(0, 255))).train
    fit = fitted(data, (3, 4, 4), DataSettings(resize="exact"), training=False)
    (found,) = Batches(data, fit, 3).epoch()
    assert found.y.shape == (3, 4, 4)
    assert found.y[2, 0].tolist() == [0, 1, 1, 1]


# Text


def test_text_is_windows_of_characters_with_the_next_as_targets(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"abc\r\nabcd" * 4)
    assert detect(tmp_path / "a.txt") == Text()
    data = open_data(tmp_path / "a.txt", (3, 5))
    assert data.held_back is not None
    assert (len(data.train), len(data.held_back)) == (23, 3)
    assert data.train.classes == ("\n", "a", "b", "c", "d")
    x, y = everything(data.train)
    assert (x.shape, x.dtype, y.shape) == ((23, 3, 5), np.float32, (23, 3))
    assert x[1].argmax(-1).tolist() == [2, 3, 0]
    assert y[1].tolist() == [3, 0, 1]
    assert x.sum() == 23 * 3
    whole = open_data(tmp_path / "a.txt", (3, 6), Text(held_back=0.0, alphabet="dcba\nz"))
    assert (len(whole.train), whole.held_back) == (29, None)


@pytest.mark.parametrize(
    ("content", "shape", "settings", "said"),
    [
        (b"abcabc", (3, 4), {}, "has 3 different characters, the network takes 4\n +help: an input of 3x3"),
        (b"abcabc", (1, 28, 28), {}, "is text, and the network takes 1x28x28"),
        (b"abcabc\xff", (3, 4), {}, "is no text in UTF-8: byte 6 is ff"),
        (b"", (3, 4), {}, "is no text: it is empty"),
        (b"abcabc", (7, 3), {}, "has 5 characters to train on, fewer than a window of 7 and one"),
        (b"abcabc" * 2, (5, 3), {}, "has 2 characters held back, fewer than a window of 5"),
        (b"abcabc", (3, 2), {"alphabet": "ab"}, "has 'c', which is not in `alphabet`"),
        (b"abcabc", (3, 3), {"alphabet": "aba"}, "`alphabet` has 'a' twice"),
    ],
)
def test_texts_that_do_not_fit_are_refused(
    content: bytes, shape: tuple[int, ...], settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    found = refusal(lambda: open_data(tmp_path / "a.txt", shape, Text(**settings)))
    assert re.search(f"E060[179]: .*{said}", found), found


# Data held against a network


def arrays(labels: Any) -> tuple[Any, Any]:
    return np.zeros((len(labels), 4), np.float32), np.asarray(labels)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 1, 3], r"has class 3, and the network has the classes 0 to 2\n +help: a network of 4 classes"),
        (
            [1, 2, 3],
            r"has class 3, .*\n +help: classes are numbered from 0: y - 1",
        ),
        ([0, 2, 2], r"has no sample of class 1 of the network's 3"),
        (
            [0, 1, 1],
            r"has no sample of class 2 of the network's 3\n +help: a network of 2 classes: --set",
        ),
        ([0, 7, 8, 9, 11], r"has the classes 7 to 9, 11, and the network has the classes 0 to 2"),
        ([0, -1, 2], r"sample 1 of `y` of the given data has class -1"),
    ],
)
def test_classes_that_are_not_the_networks_are_refused(labels: list[int], said: str) -> None:
    found = refusal(lambda: examine(given_data(arrays(labels), (4,)), 3))
    assert re.search(f"E060[17]: .*{said}", found), found


def test_classes_are_counted() -> None:
    data = given_data(arrays([0, 2, 2, 1]), (4,))
    examine(data, 3)
    counts = class_counts(data.train, 3)
    assert counts is not None
    assert counts.tolist() == [1, 1, 2]


# Data in Python

X, Y = np.arange(24, dtype=np.float32).reshape(6, 4), np.arange(6) % 3


class Indexed:
    """Samples by their numbers, which do not end, as of some data sets of torch."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return X[index % 6], int(Y[index % 6])


@pytest.mark.parametrize(
    "given",
    [
        (X, Y),
        [X, Y],
        list(zip(X, Y, strict=True)),
        ((x, int(y)) for x, y in zip(X, Y, strict=True)),
        [(X[:4], Y[:4]), (X[4:], Y[4:])],
        iter([(X[:5], Y[:5]), (X[5:], Y[5:])]),
        [(x.reshape(2, 2), y) for x, y in zip(X, Y, strict=True)],
        [(x, np.eye(3)[y]) for x, y in zip(X, Y, strict=True)],
        {"x": X, "y": Y},
        {"train_images": X, "train_labels": Y},
        Indexed(),
        given_data((X, Y), (4,)),
        given_data((X, Y), (4,)).train,
    ],
)
def test_arrays_and_whatever_yields_pairs_of_them_are_data(given: Any) -> None:
    data = given_data(given, (4,))
    assert data.held_back is None
    x, y = everything(data.train)
    np.testing.assert_array_equal(x.reshape(6, 4), X)
    np.testing.assert_array_equal(y, Y)


def test_the_second_of_two_pairs_is_held_back() -> None:
    data = given_data(((X, Y), (X[:2], Y[:2])), (4,))
    assert data.held_back is not None
    assert (len(data.train), len(data.held_back)) == (6, 2)
    assert given_data(None, (1, 28, 28)).train.name == "archforge's set of 1,797 digits"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "the given data are int, which is no data"),
        (X, "the given data are an array without targets"),
        ([], "the given data are empty"),
        ([1, 2], "item 0 of the given data is int"),
        ([(1, 2, 3)], "item 0 of the given data is tuple of 3"),
        ((X, Y[:5]), "has 6 inputs and 5 targets"),
        ((X, Y.astype(str)), "`y` of the given data is <U"),
        ((X.astype(int), Y), "`x` of the given data is int64, expected uint8 or floating-point numbers"),
        ([(X[0], 1), (X[0, :3], 1)], "item 1 of the given data has another shape than those before"),
        ([([[1], [1, 2]], 0)], "item 0 of the given data holds no array"),
        ({"a": X}, "holds `a`, no inputs with their targets"),
        ((X[:0], Y[:0]), "holds no samples"),
        ("none.npz", "there is no file or folder none.npz"),
    ],
)
def test_values_that_are_no_data_are_refused(given: Any, said: str) -> None:
    found = refusal(lambda: given_data(given, (4,)))
    assert re.search(f"E0601: .*{said}", found), found


def test_folders_held_back_without_any_to_train_on_are_refused(tmp_path: Path) -> None:
    (animals(tmp_path) / "train").rename(tmp_path / "trian")
    assert "has val, and no folder called train" in refusal(lambda: open_data(tmp_path, COLOURS))


# Damaged files


def cifar(root: Path) -> None:
    (root / "data_batch_1.bin").write_bytes(records([1, 0, 1, 0]).tobytes())


def text(root: Path) -> None:
    (root / "a.txt").write_bytes(b"ab" * 20)


def idx(root: Path) -> None:
    images = bytes([0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0, 8]) + bytes(range(256))
    (root / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    (root / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 4, 0, 1, 0, 1]))


def npz(root: Path) -> None:
    np.savez_compressed(root / "a.npz", x=np.zeros((4, 8, 8), np.uint8), y=np.arange(4) % 2)


SAMPLES: dict[str, tuple[Callable[[Path], Any], tuple[int, ...], str]] = {
    "cifar": (cifar, (3, 32, 32), ""),
    "folders": (animals, COLOURS, ""),
    "idx": (idx, (1, 8, 8), ""),
    "masks": (masked, COLOURS, ""),
    "npz": (npz, (1, 8, 8), "a.npz"),
    "text": (text, (3, 2), "a.txt"),
}


def test_every_format_of_files_has_samples_here() -> None:
    assert {*SAMPLES, "digits"} == {*all_parts(Format)}


@pytest.mark.parametrize("word", SAMPLES)
def test_damaged_files_are_diagnostics_or_read(word: str, tmp_path: Path) -> None:
    """Whatever bytes a file has, nothing but a diagnostic comes of it, and every batch has its shape."""
    make, shape, name = SAMPLES[word]
    make(tmp_path)
    draw = np.random.default_rng(0)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    told: set[str] = set()
    for _ in range(60):
        path = files[draw.integers(len(files))]
        whole = path.read_bytes()
        damaged = bytearray(whole)
        if draw.random() < 0.3:
            damaged = damaged[: draw.integers(len(whole))]
        for _ in range(draw.integers(1, 4)):
            if damaged:
                damaged[draw.integers(len(damaged))] = draw.integers(256)
        path.write_bytes(damaged)
        try:
            train = open_data(tmp_path / name, shape, all_parts(Format)[word]()).train
            examine(given_data(train, shape), None)
            fit = fitted(train, shape, DataSettings(), training=True)
            for batch in Batches(train, fit, 2).epoch():
                assert batch.x.shape[1:] == shape
        except DiagnosticError as error:
            told |= {diagnostic.code for diagnostic in error.diagnostics}
        path.write_bytes(whole)
    assert told
    assert told <= {"E0601", "E0607", "E0706"}
