"""Initialisers: torch's spreads, and the parameters that patterns of names are for."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from archforge import driver
from archforge.errors import DiagnosticError
from archforge.parts import all_parts
from archforge.recipe.base import Initialiser
from archforge.recipe.drawn_by import drawn_by
from archforge.recipe.fans import fans
from archforge.recipe.initialisers.kaiming import Kaiming
from archforge.weights import fresh_weights
from tests.make_recipe_parts import torch_spread
from tests.recipe_cases import INITIALISER_CASES, RECIPE_FIGURES, InitialiserCase, part, spread

STORED = json.loads(RECIPE_FIGURES.read_text(encoding="utf-8"))["initialisers"]
RESNET = driver.load("resnet_18", "torchvision").graph.params()


@pytest.mark.parametrize("case", INITIALISER_CASES, ids=str)
def test_the_spread_of_an_initialiser_is_that_of_torch(case: InitialiserCase) -> None:
    found = case.initialiser.draw(case.shape, np.random.default_rng(5))
    assert (found.shape, found.dtype.name) == (case.shape, "float64")
    if str(case) not in STORED:
        return
    mean, deviation, low, high = STORED[str(case)]
    # Of 12,000 numbers, a mean is known to 1 % of the deviation, a deviation to 0.7 %.
    assert spread(found)[0] == pytest.approx(mean, abs=0.06 * deviation)
    assert spread(found)[1] == pytest.approx(deviation, rel=0.04)
    if case.initialiser.word == "uniform" or getattr(case.initialiser, "distribution", "") == "uniform":
        assert spread(found)[2:] == pytest.approx([low, high], abs=0.01 * deviation)


def test_torch_has_every_initialiser_that_is_not_constant_but_one() -> None:
    words = {word for word, cls in all_parts(Initialiser).items() if not cls.is_constant}
    assert {case.initialiser.word for case in INITIALISER_CASES if str(case) in STORED} == words - {"lecun"}


def test_the_stored_spreads_are_those_that_torch_gives() -> None:
    pytest.importorskip("torch")
    for case in INITIALISER_CASES:
        np.testing.assert_allclose(torch_spread(case), STORED.get(str(case), []), rtol=1e-9, atol=1e-12)


def test_constants_and_lecun_by_hand() -> None:
    rng = np.random.default_rng(0)
    assert (part(Initialiser, "constant", value=0.25).draw((2, 3), rng) == 0.25).all()
    assert not part(Initialiser, "zeros").draw((2,), rng).any()
    assert (part(Initialiser, "ones").draw((), rng) == 1).all()
    assert part(Initialiser, "lecun").draw((500, 64), rng).std() == pytest.approx(1 / 8, rel=0.03)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 2, 3, 3), (5, 5)])
def test_an_orthogonal_matrix_is_orthogonal(shape: tuple[int, ...]) -> None:
    flat = (
        part(Initialiser, "orthogonal", scale=3.0).draw(shape, np.random.default_rng(0)).reshape(shape[0], -1)
    )
    product = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(product, 9 * np.eye(len(product)), atol=1e-12)


def test_orthogonal_matrices_are_as_likely_to_turn_either_way() -> None:
    rng, orthogonal = np.random.default_rng(0), part(Initialiser, "orthogonal")
    positive = sum(orthogonal.draw((2, 2), rng)[0, 0] > 0 for _ in range(200))
    assert 70 < positive < 130


def test_truncated_numbers_lie_between_their_bounds() -> None:
    for settings in ({}, {"std": 100.0}, {"std": 0.01, "mean": 2.0}, {"low": -0.1, "high": 5.0}):
        initialiser = part(Initialiser, "truncated_normal", **settings)
        found: Any = initialiser.draw((1000,), np.random.default_rng(0))
        low, high = settings.get("low", -2), settings.get("high", 2)
        assert low <= found.min() < found.max() <= high


def test_fans_count_groups_and_transposed_convolutions_like_any_array() -> None:
    # torch.nn.init._calculate_fan_in_and_fan_out of torch 2.14.
    assert fans((8, 2, 3, 5)) == (30, 120)
    assert fans((10, 4)) == (4, 10)
    assert fans((4 * 7, 3)) == (3, 28)


@pytest.mark.parametrize(
    ("settings", "variance", "shape"),
    [
        ({"mode": "fan_out"}, 2 / 400, (400, 784)),  # dense: 2 / outputs
        ({}, 2 / (16 * 9), (32, 16, 3, 3)),  # conv: 2 / inputs of a kernel
        ({"mode": "fan_out", "nonlinearity": "linear"}, 1 / 256, (256, 43)),  # rnn: 1 / units
        ({"mode": "fan_out", "nonlinearity": "linear"}, 1 / 256, (256, 256)),
        ({"mode": "fan_out", "scale": 2.0}, 2 / 256, (4 * 256, 43)),  # lstm: 2 / units
        ({"mode": "fan_out", "scale": math.sqrt(3)}, 2 / 256, (3 * 256, 256)),  # gru: 2 / units
    ],
)
def test_variances_of_file_003_can_be_said(
    settings: dict[str, Any], variance: float, shape: tuple[int, ...]
) -> None:
    assert Kaiming(**settings).deviation(*fans(shape)) ** 2 == pytest.approx(variance)


@pytest.mark.parametrize(
    ("word", "settings"),
    [
        ("uniform", {"low": 1.0}),
        ("truncated_normal", {"low": 3.0, "high": 2.0}),
        ("truncated_normal", {"mean": 3.0}),
    ],
)
def test_bounds_in_a_wrong_order_are_refused(word: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="`low` must be below `high`"):
        part(Initialiser, word, **settings)


# Patterns


def test_the_last_pattern_that_is_for_a_parameter_draws_it() -> None:
    patterns = {
        "*.weight": part(Initialiser, "kaiming"),
        "fc.*": part(Initialiser, "normal", std=0.01),
        "*.bias": part(Initialiser, "zeros"),
        "layer1.*.bn2.weight": part(Initialiser, "zeros"),
        "bn1.weight": part(Initialiser, "normal", mean=1.0, std=0.02),
    }
    found = {name: initialiser.word for name, initialiser in drawn_by(RESNET, patterns).items()}
    assert found["conv1.weight"] == found["layer4.1.conv2.weight"] == "kaiming"
    assert found["fc.weight"] == "normal"
    assert found["fc.bias"] == found["layer2.0.bn1.bias"] == "zeros"
    assert found["layer1.0.bn2.weight"] == "zeros"
    assert found["bn1.weight"] == "normal"  # a pattern that fits nothing else
    assert "layer2.0.bn1.weight" not in found  # a vector, and the factor of a norm
    assert not any(RESNET[name].role == "buffer" for name in found)


def test_a_random_pattern_for_all_leaves_norms_as_they_are() -> None:
    found = drawn_by(RESNET, {"*": part(Initialiser, "normal", std=0.01)})
    assert found.keys() == {name for name, decl in RESNET.items() if decl.init.kind == "uniform"}


@pytest.mark.parametrize(
    ("pattern", "word", "message", "hint"),
    [
        ("fc.wieght", "zeros", "no parameter is called `fc.wieght`", "did you mean `fc.weight`?"),
        ("*.running_mean", "zeros", "no parameter is called", "it has: conv1.weight"),
        (
            "*.bias",
            "xavier",
            "`xavier` draws matrices and kernels, and `*.bias` fits none: `bn1.bias` is 64",
            "",
        ),
    ],
)
def test_a_pattern_that_is_for_nothing_is_refused(pattern: str, word: str, message: str, hint: str) -> None:
    with pytest.raises(DiagnosticError) as error:
        drawn_by(RESNET, {"fc.weight": part(Initialiser, "zeros"), pattern: part(Initialiser, word)})
    (found,) = error.value.diagnostics
    assert found.code == "E0906"
    assert message in found.message
    assert hint in found.help


def test_what_is_drawn_depends_on_the_seed_and_the_name_alone() -> None:
    decls = {name: RESNET[name] for name in ("fc.weight", "fc.bias", "layer1.0.conv1.weight")}
    kaiming, normal = part(Initialiser, "kaiming"), part(Initialiser, "normal")
    found = fresh_weights(decls, 3, "float32", {"*.weight": kaiming, "*": normal, "fc.weight": kaiming})
    alone = fresh_weights({"fc.weight": RESNET["fc.weight"]}, 3, "float32", {"*": kaiming})
    np.testing.assert_array_equal(found["fc.weight"], alone["fc.weight"])
    wide = fresh_weights(decls, 3, "float64", {"*": kaiming})
    np.testing.assert_array_equal(found["fc.weight"], wide["fc.weight"].astype(np.float32))
    np.testing.assert_array_equal(wide["fc.bias"], fresh_weights(decls, 3, "float64")["fc.bias"])
    assert not np.array_equal(
        wide["fc.weight"], fresh_weights(decls, 4, "float64", {"*": kaiming})["fc.weight"]
    )
