"""Many files through a network: found, read, batched, told as they are done, and none stops the others."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archforge
from archforge.cli import run_many as stream
from archforge.cli.results import Result
from archforge.cli.run_many import results
from archforge.data.images import image_reader
from archforge.data.preprocessing import Preprocessing
from archforge.data.samples import Failure, Sample, batches, find_files, read_ahead, read_rows
from archforge.errors import DiagnosticError
from tests.conftest import Run

SPEC = """\
archforge: 1
title: Tiny
input: [3, 8, 8]
graph:
  - {conv: {out: 5, kernel: 3}, name: stem}
  - global_avg_pool
  - flatten
"""
FIXED = SPEC.replace("global_avg_pool", "relu") + "  - {linear: 4, name: head}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of arrays, the current one's `data`: two fit, one holds three, one cannot be read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(SPEC)
    (tmp_path / "fixed.yaml").write_text(FIXED)
    data = tmp_path / "data"
    data.mkdir()
    draw = np.random.default_rng(0)
    for name, shape in {"x10": (3, 8, 8), "x2": (3, 8, 8), "many": (3, 3, 8, 8)}.items():
        np.save(data / f"{name}.npy", draw.standard_normal(shape).astype("float32"))
    (data / "broken.npy").write_bytes(b"nothing")
    (data / ".hidden.npy").write_bytes(b"nothing")
    (data / "notes.txt").write_text("no input")
    return data


@pytest.fixture
def run(run: Run) -> Run:
    """Runs `archforge run` on NumPy."""
    return lambda *arguments: run("run", *arguments, "--backend", "numpy")


def test_a_line_for_each_input_in_natural_order_and_what_fails_is_told(run: Run, folder: Path) -> None:
    code, out, err = run("tiny.yaml", "-i", "data", "--top", "2")
    names = [line.split()[0] for line in out.splitlines()]
    assert names == [*(f"data/many.npy[{i}]" for i in range(3)), "data/x2.npy", "data/x10.npy"]
    assert all(len(line.split()) == 5 for line in out.splitlines())
    assert code == 1
    assert "E0601: data/broken.npy is no npy file of inputs" in err
    assert "pickle" not in err
    assert "4 files, arrays as they are" in err
    assert "5 inputs in" in err
    assert "1 failed" in err


def test_lines_say_what_the_network_gives(run: Run, folder: Path) -> None:
    code, out, _ = run("tiny.yaml", "-i", "data/x*.npy", "--json", "--top", "5", "--batch", "1")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    for line in lines:
        y = archforge.compile("tiny.yaml", backend="numpy")(np.load(line["file"])[None])[0]
        assert [top["class"] for top in line["top"]] == list(y.argsort()[::-1])
        np.testing.assert_allclose([top["value"] for top in line["top"]], np.sort(y)[::-1], rtol=1e-6)


def test_failures_are_lines_of_json_too(run: Run, folder: Path) -> None:
    np.save(folder / "wide.npy", np.zeros((3, 8, 9), "float32"))
    np.save(folder / "whole.npy", np.zeros((3, 8, 8), "int64"))
    code, out, err = run("fixed.yaml", "-i", "data", "--json")
    lines = {line["file"]: line for line in map(json.loads, out.splitlines())}
    errors = {name: line["error"] for name, line in lines.items() if "error" in line}
    assert {name: e["code"] for name, e in errors.items()} == {
        "data/broken.npy": "E0601",
        "data/wide.npy": "E0607",
        "data/whole.npy": "E0607",
    }
    assert errors["data/wide.npy"]["message"] == "data/wide.npy is 3x8x9, expected 3x8x8"
    assert "`head.weight`" in errors["data/wide.npy"]["notes"][0]["message"]
    assert (code, len(lines)) == (1, 8)
    assert "E06" not in err


def test_what_is_wrong_before_the_first_file_is_a_line_of_json(run: Run, folder: Path) -> None:
    code, out, _ = run("tiny.yaml", "-i", "data", "--tap", "stemm", "-o", "out.npz", "--json")
    (line,) = map(json.loads, out.splitlines())
    assert (code, line["ok"], line["diagnostics"][0]["code"]) == (2, False, "E0608")


def test_results_are_kept_in_a_file(run: Run, folder: Path) -> None:
    (folder / "broken.npy").unlink()
    (folder.parent / "labels.txt").write_text("a\nb\nc c\nd\ne\n")
    assert run("tiny.yaml", "-i", "data", "-o", "out.npz", "--tap", "stem", "--batch", "2")[0] == 0
    with np.load("out.npz") as arrays:
        assert {arrays[n].shape for n in arrays.files if n.endswith("/stem")} == {(5, 6, 6)}
        x10 = arrays["data/x10.npy/output"]
    _, out, _ = run("tiny.yaml", "-i", "data", "-o", "out.csv", "--top", "1", "--labels", "labels.txt")
    rows = [row.split(",") for row in Path("out.csv").read_text().splitlines()]
    assert rows[0] == ["file", "class_1", "label_1", "value_1", "probability_1"]
    best = int(x10.argmax())
    assert rows[-1][:3] == ["data/x10.npy", str(best), ["a", "b", "c c", "d", "e"][best]]
    assert float(rows[-1][3]) == pytest.approx(x10[best], rel=1e-6)
    assert out.splitlines()[-1].endswith(f" {best}  {['a', 'b', 'c c', 'd', 'e'][best]}")


def test_a_map_is_told_by_its_figures(run: Run, folder: Path) -> None:
    (folder.parent / "map.yaml").write_text(SPEC.replace("  - global_avg_pool\n  - flatten\n", ""))
    code, out, _ = run("map.yaml", "data/x10.npy", "-i", "data/x2.npy")
    assert code == 0
    assert [line.split()[:3] for line in out.splitlines()] == [
        ["data/x2.npy", "5x6x6", "mean"],
        ["data/x10.npy", "5x6x6", "mean"],
    ]
    code, _, err = run("map.yaml", "-i", "data", "-o", "out.csv")
    assert (code, err.splitlines()[0]) == (2, "E0705: the output is 5x6x6, and a .csv file holds classes")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["-i", "empty"], "E0601", "no picture and no .npy file in the folder empty"),
        (["-i", "data/*.png"], "E0601", "no file fits the pattern"),
        (["-i", "data", "-i", "nowhere.npy"], "E0601", "there is no file nowhere.npy"),
        (["-i", "3x9x9"], "E0601", "--shape 3x9x9 is another input size"),
        (
            ["-i", "data", "--labels", "tiny.yaml"],
            "E0601",
            "tiny.yaml has 7 names, the network's output is 5",
        ),
        (["-i", "data", "--labels", "nowhere"], "E0601", "cannot read nowhere"),
        (["-i", "data", "--preprocess", "unit"], "E0001", "`--preprocess` is for pictures"),
        (["-i", "data", "--tap", "stem"], "E0001", "`--tap` has nowhere to go"),
        (["-i", "data", "-o", "out.txt"], "E0705", "`out.txt` is no name of a .csv or a .npz file"),
        (["--json"], "E0001", "`--json` is for a run through many files"),
        (["-i", "data/x2.npy", "--batch", "4"], "E0001", "`--batch` is for a run through many files"),
    ],
)
def test_a_wrong_command_is_refused_before_anything_runs(
    run: Run, folder: Path, arguments: list[str], code: str, says: str
) -> None:
    (folder.parent / "empty").mkdir()
    found, _, err = run("tiny.yaml", *arguments)
    assert found == 2
    assert err.startswith(code)
    assert says in err
    assert "Traceback" not in err


def test_networks_of_several_inputs_are_refused(run: Run, folder: Path) -> None:
    two = "archforge: 1\ntitle: Two\ninput: {a: [3], b: [3]}\ngraph: [{add: [=a, =b]}]\n"
    (folder.parent / "two.yaml").write_text(two)
    code, _, err = run("two.yaml", "-i", "data")
    assert (code, err.splitlines()[0]) == (2, "E0001: two has the inputs a, b, and many files are for one")


def test_an_interruption_keeps_what_was_done(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any) -> Iterator[Result | Failure]:
        for count, result in enumerate(results(*arguments)):
            if count == 3:
                raise KeyboardInterrupt
            yield result

    monkeypatch.setattr(stream, "results", interrupted)
    code, out, err = run("tiny.yaml", "-i", "data", "-o", "out.npz", "--batch", "1")
    assert code == 130
    assert len(out.splitlines()) == 2
    assert "2 inputs in" in err
    assert "interrupted, wrote out.npz" in err
    with np.load("out.npz") as arrays:
        assert arrays.files == ["data/many.npy[0]/output", "data/many.npy[1]/output"]
    assert not [p for p in folder.parent.iterdir() if p.name.startswith(".out")]


# Files --------------------------------------------------------------------------------------------------


def test_files_are_found_once_in_natural_order(folder: Path) -> None:
    names = [p.name for p in find_files(["data", "data/x2.npy", "data/*.npy"])]
    assert names == ["broken.npy", "many.npy", "x2.npy", "x10.npy"]
    (folder / "deep").mkdir()
    (folder / "x10.npy").rename(folder / "deep" / "x10.npy")
    assert find_files(["data/**/x*.npy"]) == [Path("data/deep/x10.npy"), Path("data/x2.npy")]


def test_no_more_than_some_files_are_ahead_of_what_is_used() -> None:
    asked: list[Path] = []

    def paths() -> Iterator[Path]:
        for n in range(50):
            asked.append(Path(str(n)))
            yield asked[-1]

    for used, sample in enumerate(read_ahead(paths(), lambda path: [np.zeros(1)], ahead=4)):
        assert isinstance(sample, Sample)
        assert sample.name == str(used)
        assert len(asked) <= used + 5
    assert len(asked) == 50


def test_batches_are_full_and_of_one_shape() -> None:
    small, large = np.zeros((1, 2)), np.zeros((1, 3))
    failure = Failure("f", DiagnosticError)  # type: ignore[arg-type]
    samples = [Sample("", small)] * 3 + [failure] + [Sample("", small)] + [Sample("", large)] * 2
    found = list(batches(samples, 2))
    assert [len(b) if isinstance(b, list) else b for b in found] == [2, failure, 2, 2]


@pytest.mark.parametrize("shape", [(3, 8), (2, 1, 3, 8, 8), (0, 3, 8, 8)])
def test_an_array_of_other_axes_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "x.npy", np.zeros(shape, "float32"))
    with pytest.raises(DiagnosticError, match="expected 3x8x8 or Nx3x8x8"):
        read_rows(tmp_path / "x.npy", (3, 8, 8))


def test_a_file_of_another_ending_is_called_so(tmp_path: Path) -> None:
    for name in ("x.ppm", "x.svg", "x"):
        (tmp_path / name).write_bytes(b"P6 1 1 255")
        with pytest.raises(DiagnosticError, match=r"E0601: cannot tell the format of .*\n.*\.npy, \.png"):
            read_rows(tmp_path / name, (3, 8, 8))


def test_objects_in_a_file_are_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(DiagnosticError, match=r"E0601: .*x.npy is no npy file of inputs"):
        read_rows(tmp_path / "x.npy", (3, 8, 8))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2"])
@pytest.mark.parametrize("axes", [(3, 8, 8), (1, 3, 8, 8), (2, 3, 8, 8), (3, 3, 3)])
def test_an_array_alone_gives_what_it_gives_in_a_folder(
    run: Run, folder: Path, axes: tuple[int, ...], dtype: str, order: Any
) -> None:
    """The number of axes tells a batch from one input: 3x3x3 is one, of 3 channels."""
    array = np.random.default_rng(1).standard_normal(axes).astype(dtype, order=order)
    np.save("x.npy", array)
    np.savez("x.npz", array)
    expected = archforge.compile("tiny.yaml", backend="numpy")(array.reshape(-1, *axes[-3:]).astype("f4"))
    for alone in ("x.npy", "x.npz"):
        assert run("tiny.yaml", "-i", alone, "-o", "alone.npz")[0] == 0
        with np.load("alone.npz") as found:
            np.testing.assert_allclose(found["output"], expected, rtol=1e-3)
    Path("in").mkdir()
    Path("x.npy").rename("in/x.npy")
    assert run("tiny.yaml", "-i", "in", "-o", "many.npz")[0] == 0
    with np.load("many.npz") as found:
        np.testing.assert_allclose(np.stack([found[n] for n in found.files]), expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((8, 8, 3), "f4"), "has shape 8x8x3: channels come first, 3x8x8"),
        (np.zeros((2, 8, 8, 3), "f4"), "has shape 2x8x8x3: channels come first, 3x8x8"),
        (np.zeros((8, 8), "f4"), "has shape 8x8, expected 3x8x8 or Nx3x8x8"),
        (np.zeros((), "f4"), "has shape of no axes, expected 3x8x8"),
        (np.zeros((0, 3, 8, 8), "f4"), "N is 1 or more"),
        (np.zeros((3, 8, 8), "u1"), "is uint8, expected floating-point numbers"),
        (np.zeros((3, 8, 8), "c8"), "is complex64, expected floating-point numbers"),
        (np.zeros((3, 8, 8), "U3"), "is <U3, expected floating-point numbers"),
    ],
)
def test_an_array_that_is_no_input_is_refused_alone_and_passed_over_in_a_folder(
    run: Run, folder: Path, array: Any, says: str
) -> None:
    np.save("x.npy", array)
    code, _, err = run("tiny.yaml", "-i", "x.npy")
    assert (code, err[:5], says in err) == (2, "E0607", True)
    Path("x.npy").rename(folder / "x.npy")
    (folder / "broken.npy").unlink()
    code, out, err = run("tiny.yaml", "-i", "data")
    assert (code, len(out.splitlines()), says in err) == (1, 5, True)


def test_a_batch_of_none_is_refused_in_python(folder: Path) -> None:
    model = archforge.compile("tiny.yaml", backend="numpy")
    with pytest.raises(DiagnosticError, match="N is 1 or more"):
        model(np.zeros((0, 3, 8, 8), np.float32))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n\n"])
def test_labels_are_lines_of_any_system(run: Run, folder: Path, mark: str, end: str, last: str) -> None:
    text = mark + ("a\nb\u2028c\nd\nd\ne" + last).replace("\n", end)
    Path("labels.txt").write_bytes(text.encode())
    code, out, _ = run("tiny.yaml", "-i", "data/x*.npy", "--labels", "labels.txt", "--json")
    found = {top["class"]: top["label"] for line in map(json.loads, out.splitlines()) for top in line["top"]}
    assert (code, found) == (0, {0: "a", 1: "b\u2028c", 2: "d", 3: "d", 4: "e"})


@pytest.mark.parametrize(
    "data",
    ["a\nb\nc\nd\ne".encode(code) for code in ("utf-16", "utf-16-le", "utf-32")]
    + [b"", b'["a","b"]', b"\xe9"],
)
def test_labels_of_another_form_are_refused(run: Run, folder: Path, data: bytes) -> None:
    Path("labels.txt").write_bytes(data)
    code, _, err = run("tiny.yaml", "-i", "data", "--labels", "labels.txt")
    assert (code, err[:5]) == (2, "E0601")


def test_a_row_of_a_table_has_as_many_fields_as_its_head(run: Run, folder: Path) -> None:
    assert run("tiny.yaml", "-i", "data/x*.npy", "-o", "out.csv", "--top", "99")[0] == 0
    assert {len(row.split(",")) for row in Path("out.csv").read_text().splitlines()} == {11}


def test_a_name_that_is_no_utf_8_is_kept_with_escapes(run: Run, folder: Path) -> None:
    name = os.fsdecode(b"data/x\xff.npy")
    try:
        shutil.copy("data/x2.npy", name)
    except OSError:
        pytest.skip("the file system takes no such name")
    for output in ("out.csv", "out.npz"):
        assert run("tiny.yaml", "-i", name, "data/x2.npy", "-o", output)[0] == 0
    assert Path("out.csv").read_text().splitlines()[1].startswith(r"data/x\udcff.npy,")
    with np.load("out.npz") as arrays:
        assert r"data/x\udcff.npy/output" in arrays.files


def test_a_folder_is_no_file_to_write(run: Run, folder: Path) -> None:
    Path("out.csv").mkdir()
    code, out, err = run("tiny.yaml", "-i", "data", "-o", "out.csv")
    assert (code, out, err.splitlines()[0]) == (2, "", "E0705: cannot write out.csv: it is a folder")


def test_what_is_no_file_in_a_folder_is_left_out(run: Run, folder: Path) -> None:
    for name in ("broken.npy", "many.npy", "x2.npy"):
        (folder / name).unlink()
    (folder / "dir.png").mkdir()
    (folder / "dir.npy").mkdir()
    (folder / "loop.npy").symlink_to("loop.npy")
    (folder / "lost.npy").symlink_to("nowhere")
    assert [path.name for path in find_files(["data", "data"])] == ["x10.npy"]


# Pictures -----------------------------------------------------------------------------------------------


def test_without_pillow_the_way_to_install_it_is_told(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    (folder / "x.png").write_bytes(b"")
    code, _, err = run("tiny.yaml", "-i", "data")
    assert (code, err.splitlines()[0]) == (2, "E0601: pictures need Pillow, which is not installed")
    assert "pip install 'archforge-zoo[images]'" in err


def picture(path: Path, pixels: Any, **options: Any) -> Path:
    image = pytest.importorskip("PIL.Image")
    image.fromarray(pixels).save(path, **options)
    return path


def test_a_picture_of_the_right_size_keeps_its_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3)).astype(np.uint8)
    path = picture(tmp_path / "x.png", pixels)
    read = image_reader((3, 8, 6), None)
    np.testing.assert_array_equal(read(path), pixels.transpose(2, 0, 1).astype("float32"))


@pytest.mark.parametrize("size", [(80, 32), (32, 80), (256, 256), (7, 7)])
def test_preprocessing_cuts_the_centre_at_seven_eighths(tmp_path: Path, size: tuple[int, int]) -> None:
    """A picture that brightens to the right: the middle stays, and the cut spans 7/8 of the shorter side."""
    height, width = size
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    path = picture(tmp_path / "x.png", np.broadcast_to(ramp[None, :, None], (height, width, 3)).copy())
    y = image_reader((3, 56, 56), Preprocessing("unit"))(path)
    assert y.shape == (3, 56, 56)
    assert y.dtype == np.float32
    span = 7 / 8 * min(size) / width
    step = 1 / width  # of the ramp; resizing a tiny picture repeats its borders
    assert y.mean() == pytest.approx(0.5, abs=0.02)
    assert y[0, 0, -1] - y[0, 0, 0] == pytest.approx(span, abs=0.02 + step)
    scaled = image_reader((3, 56, 56), Preprocessing("imagenet"))(path)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (y - mean[:, None, None]) / std[:, None, None]
    np.testing.assert_allclose(scaled, expected, rtol=0, atol=1e-5)


def test_grey_deep_turned_and_transparent_pictures_become_what_the_network_takes(tmp_path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    path = picture(tmp_path / "grey.png", grey)
    np.testing.assert_array_equal(image_reader((3, 8, 8), None)(path), np.stack([grey] * 3))
    np.testing.assert_array_equal(image_reader((1, 8, 8), None)(path), grey[None])
    deep = picture(tmp_path / "deep.png", grey.astype(np.uint16) * 256 + 7)
    np.testing.assert_array_equal(image_reader((1, 8, 8), None)(deep), grey[None])
    turned = picture(tmp_path / "turned.tiff", grey)
    with pytest.importorskip("PIL.Image").open(turned) as image:
        exif = image.getexif()
        exif[0x0112] = 3  # upside down
        image.save(tmp_path / "upside.png", exif=exif)
    upside = image_reader((1, 8, 8), None)(tmp_path / "upside.png")
    np.testing.assert_array_equal(upside[0], grey[::-1, ::-1])
    clear = np.dstack([np.stack([grey] * 3, axis=2), np.zeros_like(grey)])
    path = picture(tmp_path / "clear.png", clear)
    np.testing.assert_array_equal(image_reader((3, 8, 8), None)(path), np.stack([grey] * 3))


def test_pictures_stream_beside_arrays(run: Run, folder: Path) -> None:
    picture(folder / "x3.jpg", np.zeros((20, 30, 3), np.uint8))
    (folder / "x4.png").write_bytes(b"no picture")
    code, out, err = run("tiny.yaml", "-i", "data")
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()][-3:] == [
        "data/x2.npy",
        "data/x3.jpg",
        "data/x10.npy",
    ]
    assert "E0601: cannot read data/x4.png" in err
    said = (
        "preprocessing by default, as profile default prescribes none: scaled to shorter side 9, bilinear, "
    )
    steps = "centre 8x8, values 0 to 1, less 0.485 0.456 0.406, over 0.229 0.224 0.225"
    assert said + steps in err
    code, _, err = run("tiny.yaml", "-i", "data", "--preprocess", "imagnet")
    assert (code, "did you mean `imagenet`?" in err) == (2, True)


def test_only_inputs_of_one_or_three_channels_are_pictures(tmp_path: Path) -> None:
    pytest.importorskip("PIL.Image")
    for shape in ((4, 8, 8), (8,)):
        with pytest.raises(DiagnosticError, match="E0607: the network's input is no picture"):
            image_reader(shape, None)
