"""Accuracy that is asked for: strict kernels answer for an output's own inputs alone; inputs that cost the
fast ones accuracy give a warning; no others do."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import archforge
from archforge.backends import available, get
from archforge.driver import Accuracy
from archforge.errors import DiagnosticError
from archforge.ops.base import Array
from archforge.plan import ACCURACY_FOR_SPEED, Executable, load, plan
from tests.conftest import Run
from tests.graphs import one_op
from tests.op_examples import EXAMPLES, OpExample
from tests.test_kernels import each_backend

# Two convolutions that Winograd computes, of 3 channels and of 16.
NET: dict[str, Any] = {
    "archforge": 1,
    "title": "Two convolutions",
    "input": [3, 40, 40],
    "graph": [{"conv": {"out": 16, "kernel": 3, "padding": 1}} for _ in range(2)],
}


def image(pixel: float | None = None, seed: int = 0) -> Array:
    """An image from 0 to 1, one pixel of which is given."""
    made = np.random.default_rng(seed).random((1, 3, 40, 40))
    if pixel is not None:
        made[..., 20, 20] = pixel
    return made


def alarmed(run: Executable, x: Array) -> bool:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        run(x)
    return any(isinstance(w.message, archforge.AccuracyWarning) for w in found)


# Strict ------------------------------------------------------------------------------------------------


def outlier_stays_within_reach(example: OpExample, backend: str) -> None:
    """Fail where an output changes that does not depend on the changed element of the input."""
    typed = one_op(example.op, tuple(t.shape for t in example.types))
    arrays = {typed.nodes[0].param_name(n): a for n, a in example.params("float64").items()}
    strict = load(plan(typed, get(backend), "float32", without=ACCURACY_FOR_SPEED), arrays)
    reference = load(plan(typed, get("numpy"), "float64"), arrays)
    inputs = dict(zip(typed.inputs, example.inputs("float64", 1), strict=True))
    first = next(iter(inputs))
    changed = {**inputs, first: inputs[first].copy()}
    changed[first].flat[inputs[first].size // 2] = -9999
    (before, after), (was, is_) = (
        [next(iter(run.run(given).outputs.values())) for given in (inputs, changed)]
        for run in (reference, strict)
    )
    np.testing.assert_array_equal(was[before == after], is_[before == after])


@pytest.mark.parametrize("backend", available())
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_strict_kernels_keep_an_outlier_to_the_outputs_that_see_it(example: OpExample, backend: str) -> None:
    outlier_stays_within_reach(example, backend)


@each_backend
@pytest.mark.filterwarnings("ignore::archforge.AccuracyWarning")
@pytest.mark.parametrize("pixel", [-9999, 1e6, 3e30])
def test_strict_accuracy_keeps_outputs_that_do_not_see_an_outlier(pixel: float, backend: str) -> None:
    x = image(pixel)
    exact = archforge.compile(NET, backend="numpy", dtype="float64")
    unreached = exact(x) == exact(image())
    off = {
        accuracy: abs(archforge.compile(NET, backend=backend, accuracy=accuracy)(x) - exact(x))[
            unreached
        ].max()
        for accuracy in map(str, Accuracy)
    }
    assert off["strict"] < 1e-6
    assert off["fast"] > 1e-4, "if tiles are guarded now, the switch and the warning are in vain"


def test_every_step_that_rounds_by_tiles_is_left_out_where_accuracy_is_strict() -> None:
    for backend in available():
        fast, strict = (archforge.compile(NET, backend=backend, accuracy=a) for a in Accuracy)
        assert (fast.tile_error > 0) == (backend != "mlx")
        assert strict.tile_error == 0


def test_an_accuracy_that_is_none_is_refused() -> None:
    with pytest.raises(DiagnosticError, match="E0001: there is no accuracy `exact`"):
        archforge.compile(NET, accuracy="exact")


# The look at inputs ------------------------------------------------------------------------------------


@each_backend
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ratio", [1e3, 1e5])
def test_the_estimate_of_what_is_lost_is_near_what_is_lost(ratio: float, seed: int, backend: str) -> None:
    x = np.random.default_rng(seed).standard_normal((1, 16, 24, 24))
    x[..., 8, 8] = ratio  # at the corner of a tile
    net = {**NET, "input": [16, 24, 24], "graph": [{"conv": {"out": 64, "kernel": 3, "padding": 1}}]}
    weights = {
        "conv.weight": np.random.default_rng(9).standard_normal((64, 16, 3, 3)),
        "conv.bias": np.zeros(64),
    }
    fast = archforge.compile(net, backend=backend, weights=weights)
    expected = archforge.compile(net, backend="numpy", dtype="float64", weights=weights)(x)
    beside = np.ones(expected.shape, bool)
    beside[..., 7:10, 7:10] = False
    with pytest.warns(archforge.AccuracyWarning):
        found = fast(x)
    lost = abs(found - expected)[beside].max() / expected[beside].std()
    assert fast.tile_error * ratio / 2 < lost < 8 * fast.tile_error * ratio


GOOD = {
    "0 to 1": image(),
    "normalised": (image() - 0.45) / 0.225,
    "0 to 255": np.floor(256 * image()),
    "16 bits": np.floor(65536 * image()),
    "dark, with a lamp": np.where(image() > 0.9999, 255, np.floor(4 * image(seed=1))),
    "mostly one grey": np.where(image() > 0.1, 0.0056, image(seed=1)),
    "black": 0 * image(),
    "white": 0 * image() + 1,
    "letterbox": np.pad(image()[:, :, 10:30], ((0, 0), (0, 0), (10, 10), (0, 0))),
}
WIDE = {
    "one fill pixel": image(-9999),
    "one pixel of 1e6": image(1e6),
    "one 255 in 0 to 1": image(300),
    "infinity": image(np.inf),
    "not a number": image(np.nan),
    **{
        f"{share:.0%} missing": np.where(image(seed=1) < share, -9999, image()) for share in (0.001, 0.3, 0.9)
    },
}


@each_backend
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*GOOD, *WIDE])
def test_inputs_of_great_range_give_a_warning_and_others_none(name: str, dtype: str, backend: str) -> None:
    x = (GOOD | WIDE)[name].astype(dtype)
    assert alarmed(archforge.compile(NET, backend=backend), x) == (name in WIDE)
    assert not alarmed(archforge.compile(NET, backend=backend, accuracy="strict"), x)


def test_run_tells_of_an_input_of_great_range_and_of_the_way_out(run: Run) -> None:
    np.save("wide.npy", image(-9999).astype(np.float32))
    Path("net.yaml").write_text(yaml.safe_dump(NET), "utf-8")
    command = ("run", "net.yaml", "-i", "wide.npy", "--backend", "numpy")
    code, out, err = run(*command)
    assert code == 0
    assert out
    assert "W0607: the input `input` reaches 9999: " in err
    assert "--accuracy strict" in err
    assert run(*command, "--accuracy", "strict")[::2] == (0, "")
    code, out, err = run(*command, "--warnings", "error")
    assert code == 2
    assert "W0607" in err


@pytest.mark.parametrize("backend", sorted({"numba", "numpy"} & {*available()}))
@pytest.mark.parametrize("features", [70_000, 1_000_000])
def test_long_rows_are_added_as_exactly_as_short_ones(features: int, backend: str) -> None:
    spec = {"archforge": 1, "title": "Long", "input": [features], "graph": [{"linear": 2}]}
    drawn = np.random.default_rng(0).random((3, features), np.float32)
    weight, x = np.stack([drawn[0], np.full(features, 1 / 3, np.float32)]), drawn[2:]
    x[:, ::2] = 0.7  # equal products, whose roundings have one sign, beside others
    weights = {"linear.weight": weight, "linear.bias": np.zeros(2, np.float32)}
    found = archforge.compile(spec, backend=backend, weights=weights)(x)
    exact = x.astype(np.float64) @ weight.T.astype(np.float64)
    assert np.abs(found / exact - 1).max() < 1e-5
