"""Recipes of preprocessing: in profiles, inherited key by key, changed by options, and told by `run`."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archforge
from archforge.data.preprocessing import INTERPOLATIONS, PIXEL_VALUES, PixelValues, Preprocessing, share_of
from tests.conftest import Run
from tests.zoo import expected, networks

BASE = """\
archforge: 1
kind: template
input: [3, 16, 16]
profiles:
  a: {preprocess: {crop_pct: 16/20, interpolation: bicubic, source: somebody}}
  b: {preprocess: {resize: exact, values: {mean: [1, 2, 3], scale: 128, order: bgr}}}
  c: {}
graph: [{conv: 4, name: stem}, global_avg_pool, flatten]
"""
MEMBER = """\
archforge: 1
extends: base
profiles: {a: {preprocess: {values: inception, crop_pct: 0.5}}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a network of three profiles and a picture."""
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE)
    Path("member.yaml").write_text(MEMBER)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    pytest.importorskip("PIL.Image").fromarray(pixels).save("x.png")
    return tmp_path


def recipe(profile: str) -> Preprocessing | None:
    return archforge.load("member.yaml", profile).preprocessing


def test_a_recipe_is_inherited_key_by_key(folder: Path) -> None:
    assert recipe("a") == Preprocessing("inception", Fraction(1, 2), False, "bicubic", "somebody")
    numbers = PixelValues((1.0, 2.0, 3.0), scale=128.0, bgr=True)
    assert recipe("b") == Preprocessing(numbers, exact=True)
    assert recipe("c") is None


def test_a_recipe_changes_no_graph(folder: Path) -> None:
    graphs = {id(network.graph) for network in next(archforge.check("member.yaml")).networks}
    assert len(graphs) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            [],
            "of profile a (somebody): scaled to shorter side 32, bicubic, centre 16x16, values 0 to 1, less",
        ),
        (["--profile", "c"], "by default, as profile c prescribes none: scaled to shorter side 18, bilinear"),
        (
            ["--profile", "b"],
            "of profile b: scaled to 16x16, bilinear, values over 128, blue first, less 1 2 3",
        ),
        (["--shape", "3x32x32"], "scaled to shorter side 64, bicubic, centre 32x32"),
        (["--shape", "3x32x24"], "scaled to 64x48, bicubic, centre 32x24"),
        (
            ["--resize", "20", "--interpolation", "nearest"],
            "of profile a (somebody), with --resize 20 --interpolation nearest: scaled to shorter side 20",
        ),
        (["--crop-pct", "0.8"], "scaled to shorter side 20, bicubic"),
        (["--crop-pct", "16/18"], "scaled to shorter side 18, bicubic"),
        (["--resize", "exact"], "scaled to 16x16, bicubic, values 0 to 1"),
        (["--profile", "b", "--resize", "17"], "scaled to shorter side 17, bilinear, centre"),
        (["--preprocess", "caffe"], "centre 16x16, values 0 to 255, blue first, less 103.939 116.779 123.68"),
        (["--preprocess", "none"], "1 file, pixels as they are, 0 to 255"),
    ],
)
def test_run_takes_the_recipe_of_the_profile_and_options_win(
    run: Run, folder: Path, options: list[str], says: str
) -> None:
    code, _, err = run("run", "member.yaml", "-p", "a", "-i", "x.png", "--backend", "numpy", *options)
    assert code == 0
    assert says in err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--resize", "12"], "`--resize 12` is less than the network's input, 3x16x16"),
        (["--resize", "20.5"], "`--resize 20.5` is no size"),
        (["--resize", "20", "--crop-pct", "0.9"], "`--resize` and `--crop-pct` say the same"),
        (["--crop-pct", "0"], "`--crop-pct 0` is no share above 0, at most 1"),
        (["--crop-pct", "224/16"], "`--crop-pct 224/16` is no share"),
        (["--crop-pct", "1e-3"], "`--crop-pct 1e-3` is no share"),
        (["--interpolation", "bicubik"], "there is no interpolation `bicubik` for `--interpolation`"),
        (["--preprocess", "imagnet"], "there is no preprocessing `imagnet` for `--preprocess`"),
        (["--preprocess", "none", "--resize", "20"], "`--resize` changes nothing beside `--preprocess none`"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    run: Run, folder: Path, options: list[str], says: str
) -> None:
    code, _, err = run("run", "member.yaml", "-i", "x.png", *options)
    assert code == 2
    assert err.startswith(f"E0001: {says}")


@pytest.mark.parametrize("option", ["--preprocess", "--resize", "--crop-pct", "--interpolation"])
def test_options_of_pictures_are_refused_for_arrays(run: Run, folder: Path, option: str) -> None:
    np.save("x.npy", np.zeros((3, 16, 16), np.float32))
    for inputs in (["x.npy"], ["x.npy", "x.npy"]):
        code, _, err = run("run", "member.yaml", *inputs, option, "unit")
        assert code == 2
        assert err.startswith(f"E0001: `{option}` is for ")


def test_a_recipe_for_colours_is_refused_for_grey(run: Run, folder: Path) -> None:
    Path("grey.yaml").write_text(BASE.replace("kind: template\n", "").replace("[3, 16, 16]", "[1, 16, 16]"))
    code, _, err = run("run", "grey.yaml", "-p", "b", "-i", "x.png")
    assert (code, err.splitlines()[0]) == (
        2,
        "E0607: the preprocessing of profile b is for colours, and the network's input is grey",
    )
    assert run("run", "grey.yaml", "-p", "c", "-i", "x.png", "--backend", "numpy")[0] == 0
    code, _, err = run("run", "grey.yaml", "-i", "x.png", "--preprocess", "caffe")
    assert (code, err[:5]) == (2, "E0001")


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("0.95", Fraction(19, 20)), ("224/232", Fraction(28, 29)), ("1", Fraction(1)), ("1/1", Fraction(1)),
        ("0", None), ("0.0", None), ("1.5", None), ("3/2", None), ("1/0", None), ("", None), ("-1", None),
        ("1e-2", None), ("1e-99999999", None), ("nan", None), (".5", None), ("1/2/3", None), ("\u0661", None),
    ],
)  # fmt: skip
def test_a_share_is_above_0_and_at_most_1(text: str, share: Fraction | None) -> None:
    assert share_of(text) == share


@pytest.mark.parametrize("name", PIXEL_VALUES)
def test_the_named_numbers_are_those_of_their_sources(name: str, tmp_path: Path) -> None:
    from archforge.data.images import image_reader

    image = pytest.importorskip("PIL.Image").new("RGB", (8, 8), (255, 0, 51))
    image.save(tmp_path / "x.png")
    found = image_reader((3, 8, 8), Preprocessing(name))(tmp_path / "x.png")[:, 4, 4]
    by_hand: dict[str, Any] = {
        "imagenet": [0.515 / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225],
        "inception": [1, -1, -0.6],
        "caffe": [51 - 103.939, -116.779, 255 - 123.68],
        "unit": [1, 0, 0.2],
    }
    np.testing.assert_allclose(found, by_hand[name], rtol=1e-6, atol=1e-6)


def test_the_help_names_all_that_can_be_chosen(run: Run) -> None:
    text = re.sub(r"[\s│]+", " ", run("run", "--help")[1])
    for name in (*PIXEL_VALUES, *INTERPOLATIONS):
        assert re.search(rf"\b{name}\b", text)


# The zoo ------------------------------------------------------------------------------------------------


def test_every_profile_of_a_library_has_a_recipe_with_its_source() -> None:
    for name, spec in networks().items():
        for profile in spec.profile_names:
            decl, cells = spec.profile(profile), expected(name, profile)
            if decl.model is None:
                assert not decl.preprocess, f"{name}, {profile} has no library to take it from"
                continue
            if "x" in str(cells["output"]) or str(cells["input"]).count("x") > 2:
                assert not decl.preprocess, (
                    f"{name}, {profile}: masks and videos have no recipe for a picture"
                )
                continue
            source = decl.preprocess["source"]
            assert cells["source"] in source, f"{name}, {profile}: figures and recipe of one version"
            assert {"interpolation", "values"} <= decl.preprocess.keys(), f"{name}, {profile}"
