"""One executable serves inputs of any size that its parameters allow, as if it were compiled for each."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock
from weakref import ref

import numpy as np
import pytest

import archforge
from archforge import DiagnosticError
from archforge.backends import available
from archforge.ir import TensorType
from archforge.ops.base import Array
from archforge.plan import Executable, LastUsed
from archforge.weights import rule_input, rule_weights

each_backend = pytest.mark.parametrize("backend", available())

# Adaptive pools, global pools, and a network that is convolutional throughout.
NETWORKS = [
    ("resnet_18", "torchvision", (65, 65), (33, 65)),
    ("inception_v3", "timm", (75, 75), (91, 75)),
    ("unet", None, (32, 32), (48, 16)),
]
PYRAMID: dict[str, Any] = {
    "archforge": 1,
    "title": "Pyramid",
    "input": [3, 8, 8],
    "args": {"classes": 4},
    "graph": [
        {"conv": {"out": 20, "kernel": 3, "padding": 1}, "name": "stem"},
        "bn",
        {"max_pool": {"kernel": 2}, "when": "=input.height > 12"},
        {"conv": {"out": 20, "kernel": 3, "padding": 1}, "name": "body"},
        "relu",
        {"avg_pool": {"kernel": 3, "padding": 1, "count_include_pad": False}},
        "global_avg_pool",
        "flatten",
        {"linear": "=classes"},
    ],
}
FLAT: dict[str, Any] = {
    "archforge": 1,
    "title": "Flat",
    "input": [3, 8, 8],
    "graph": [{"conv": {"out": 4, "kernel": 3}}, "flatten", {"linear": {"out": 2}, "name": "head"}],
}

WIDE: dict[str, Any] = {
    "archforge": 1,
    "title": "Wide",
    "input": [64, 32, 32],
    "graph": [
        {"conv": {"out": 96, "kernel": 3, "padding": 1}},
        "relu",
        {"conv": {"out": 64, "kernel": 3, "padding": 1}},
        "global_avg_pool",
    ],
}


def image(size: tuple[int, ...], batch: int = 1, channels: int = 3) -> Array:
    return rule_input((batch, channels, *size)).astype("float32")


@each_backend
@pytest.mark.parametrize(("name", "profile", "size", "other"), NETWORKS, ids=[n for n, *_ in NETWORKS])
def test_another_size_computes_what_a_network_of_that_size_does(
    name: str, profile: str | None, size: tuple[int, int], other: tuple[int, int], backend: str
) -> None:
    channels = archforge.load(name, profile).graph.inputs["input"].channels
    network = archforge.load(name, profile, input=(channels, *size))
    weights = rule_weights(network.params, "float32")
    run = archforge.compile(network, weights=weights, backend=backend)
    run(image(size, channels=channels))
    resized = archforge.load(name, profile, input=(channels, *other))
    expected = archforge.compile(resized, weights=weights, backend=backend)
    x = image(other, 2, channels)
    np.testing.assert_array_equal(run(x), expected(x))


@each_backend
@pytest.mark.parametrize("size", [(9, 8), (13, 20), (32, 32)])
def test_settings_taps_seeds_and_what_depends_on_the_size_carry_over(
    size: tuple[int, int], backend: str
) -> None:
    options: dict[str, Any] = {"backend": backend, "seed": 3, "taps": ["stem", "body"], "classes": 7}
    first = archforge.compile(PYRAMID, **options)
    expected = archforge.compile(PYRAMID, input=(3, *size), **options)
    x = image(size, 3)
    (y, taps), (right, right_taps) = first(x), expected(x)
    np.testing.assert_array_equal(y, right)
    for name in ("stem", "body"):
        np.testing.assert_array_equal(taps[name], right_taps[name])


def test_several_inputs_change_their_sizes_together() -> None:
    spec = {
        "archforge": 1,
        "title": "Two",
        "input": {"left": [3, 8, 8], "right": [3, 8, 8]},
        "graph": [{"add": ["=left", "=right"]}, {"conv": {"out": 2, "kernel": 3}}, "global_avg_pool"],
    }
    run = archforge.compile(spec, backend="numpy")
    assert run(left=image((9, 5)), right=image((9, 5))).shape == (1, 2, 1, 1)
    with pytest.raises(DiagnosticError) as caught:
        run(left=image((9, 5)), right=image((8, 8)))
    assert [d.code for d in caught.value.diagnostics] == ["E0607"]
    assert "the input `left` has shape 1x3x9x5, expected Nx3x8x8" in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((1, 3, 9, 8), "another size needs other weights: `head.weight` is 2x144, and would be 2x168"),
        ((1, 2, 8, 8), "another size needs other weights: `conv.weight` is 4x3x3x3, and would be 4x2x3x3"),
        ((1, 3, 2, 8), "the window does not fit its input of 3x2x8"),
    ],
)
def test_a_size_that_the_network_cannot_take_is_refused_with_the_reason(
    shape: tuple[int, ...], reason: str
) -> None:
    run = archforge.compile(FLAT, backend="numpy")
    for _ in range(2):
        with pytest.raises(DiagnosticError) as caught:
            run(np.zeros(shape, "float32"))
        (found,) = caught.value.diagnostics
        assert (found.code, found.message[-18:]) == ("E0607", ", expected Nx3x8x8")
        assert [n.message for n in found.notes] == [reason]
    assert run(image((8, 8))).shape == (1, 2)


@pytest.mark.parametrize("shape", [(3, 9, 9), (1, 1, 3, 9, 9), (0, 3, 9, 9), (1, 3, 9, 0)])
def test_other_axes_and_empty_arrays_are_no_other_size(shape: tuple[int, ...]) -> None:
    with pytest.raises(DiagnosticError, match="E0607: the input `input` has shape"):
        archforge.compile(PYRAMID, backend="numpy")(np.zeros(shape, "float32"))


def test_an_image_of_another_size_lacks_the_batch_axis_too() -> None:
    with pytest.raises(DiagnosticError, match=r"help: add a batch axis: `x\[None\]`"):
        archforge.compile(PYRAMID, backend="numpy")(np.zeros((3, 9, 9), "float32"))


# What is kept -------------------------------------------------------------------------------------------


def resized(run: Executable, size: tuple[int, int]) -> Executable:
    assert run.others
    return run.others.at((("input", (3, *size)),))


def shared(first: Executable, other: Executable) -> set[str]:
    """The nodes with parameters that are the very same arrays."""
    known = {step.node.name: params for step, params in zip(first.plan.steps, first.params, strict=True)}
    steps = zip(other.plan.steps, other.params, strict=True)
    return {s.node.name for s, params in steps if s.params and known.get(s.node.name) is params}


@each_backend
def test_parameters_that_lie_the_same_are_packed_once(backend: str) -> None:
    first = archforge.compile(PYRAMID, backend=backend)
    assert shared(first, resized(first, (7, 8))) == {"bn", "body", "linear"}


@pytest.mark.skipif("numba" not in available(), reason="numba is not installed")
def test_parameters_that_lie_differently_are_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    from archforge.backends.numba.families import winograd_cost

    def expected_form(op: Any, x: TensorType, *, bfloat16: bool = False) -> Any:
        return next(winograd_cost.possible_forms(op, x), None) if x.spatial == (10, 10) else None

    monkeypatch.setattr(winograd_cost, "expected_form", expected_form)
    first = archforge.compile(PYRAMID, backend="numba")
    other = resized(first, (10, 10))
    assert shared(first, other) == {"bn", "linear"}
    expected = archforge.compile(PYRAMID, backend="numpy", input=(3, 10, 10))
    np.testing.assert_allclose(first(image((10, 10))), expected(image((10, 10))), rtol=0, atol=1e-5)


def test_an_executable_that_is_dropped_gives_its_memory_back_at_once() -> None:
    """Nobody waits for the garbage collector, which commands turn off."""
    run = archforge.compile(PYRAMID, backend="numpy")
    other = resized(run, (10, 10))
    arrays = [ref(array) for made in (run, other) for params in made.params for array in params.values()]
    assert arrays
    gc.disable()
    try:
        del run, other
        assert not any(array() is not None for array in arrays)
    finally:
        gc.enable()


def test_what_was_used_last_is_kept() -> None:
    made: list[int] = []

    def make(size: int, _: list[str]) -> str:
        made.append(size)
        return f"size {size}"

    kept = LastUsed(make, most=2)
    assert [kept.at(size) for size in (0, 1, 0, 2, 0)] == ["size 0", "size 1", "size 0", "size 2", "size 0"]
    assert made == [0, 1, 2]
    kept.at(1)
    assert made == [0, 1, 2, 1]


def test_threads_that_ask_for_one_size_share_it_and_a_failure_is_not_kept() -> None:
    made: list[int] = []
    together = threading.Barrier(4)

    def make(size: int, _: list[str]) -> str:
        made.append(size)
        if len(made) == 1:
            raise ValueError("once")
        return f"size {size}"

    kept = LastUsed(make)

    def ask(_: int) -> str:
        together.wait()
        try:
            return kept.at(9)
        except ValueError:
            return "refused"

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(4)))
    assert sorted(found) == ["refused", "size 9", "size 9", "size 9"]
    assert made == [9, 9]


@each_backend
def test_threads_can_call_with_different_sizes(backend: str) -> None:
    run = archforge.compile(PYRAMID, backend=backend)
    images = [image((8 + n % 3, 9), batch) for n in range(3) for batch in (1, 2)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, images * 3))
    for x, found in zip(images * 3, together, strict=True):
        np.testing.assert_array_equal(found, run(x))


@pytest.mark.skipif("numba" not in available(), reason="numba is not installed")
def test_plans_of_other_sizes_pack_a_share_of_what_the_first_has_packed_at_most() -> None:
    """The form of Winograd's method that the cost model takes depends on the size of a map."""
    network = archforge.load(WIDE)
    run = archforge.compile(network, backend="numba", weights=rule_weights(network.params))
    assert run.others is not None
    sizes = [(9, 9), (14, 30), (7, 40), (56, 20), (12, 12)]
    with mock.patch("archforge.plan.graph_compiler.ALWAYS_FOR_SIZES", 0):
        for size in sizes:
            run.others.at((("input", (64, *size)),))
    first = packed(run)
    every = {key: size for plan in (run, *run.others.kept()) for key, size in packed(plan).items()}
    assert sum(every.values()) <= 1.3 * sum(first.values())


def packed(run: Executable) -> dict[int, int]:
    """The bytes of packed arrays by what tells them apart."""
    return {id(array): array.nbytes for params in run.params for array in params.values()}
