"""A network that refuses an input for being too small says which one is not."""

from __future__ import annotations

import re

import numpy as np
import pytest

from archforge import driver
from archforge.errors import DiagnosticError
from archforge.spec.expand.least_input import least_input

HEAD = "archforge: 1\ninput: {}\ngraph: {}\n"
NETWORKS = ["alexnet", "densenet_121", "inception_v3", "lenet_5", "squeezenet_1_0", "vgg_16", "zfnet"]


def refused(source: str, shape: tuple[int, ...] | None = None) -> str:
    """The help for an input that is too small; empty if it is not."""
    try:
        driver.load(source, input=shape)
    except DiagnosticError as error:
        (first, *_) = error.diagnostics
        return first.help
    return ""


@pytest.mark.parametrize("name", NETWORKS)
def test_the_least_input_of_a_network_fits_and_no_smaller_one_does(name: str) -> None:
    channels = driver.load(name).graph.inputs["input"].channels
    found = re.search(r"the least that fits is (\S+)$", refused(name, (channels, 1, 1)))
    assert found
    shape = tuple(map(int, found[1].split("x")))
    assert shape[0] == channels
    assert refused(name, shape) == ""
    assert refused(name, (channels, *(n - 1 for n in shape[1:]))).endswith(f"is {found[1]}")


@pytest.mark.parametrize(
    ("input", "graph", "least"),
    [
        ("[3, 4, 4]", "[{max_pool: 7}]", "3x7x7"),
        ("[3, 90, 4]", "[{conv: {out: 4, kernel: 5, stride: 2}}, {max_pool: 3}]", "3x90x9"),
        ("[3, 4]", "[{avg_pool: 5}]", "3x5"),
        ("[3, 4, 4, 4]", "[{avg_pool: 5}]", "3x5x5x5"),
        ("[3, 4, 4]", "[{slice: {axis: 1, start: 2, end: 9}}]", "3x9x9"),
        ("[3, 4, 4]", "[{pad: [-3, -3, -3, -3]}]", "3x7x7"),
        ("[3, 1, 1]", "[{conv_transpose: {out: 3, kernel: 3, stride: 2, padding: 2}}]", "3x2x2"),
        ("{a: [3, 4, 4], b: [3, 9, 9]}", "[{max_pool: 7, from: =a}]", "a=3x7x7,b=3x9x9"),
    ],
)
def test_whatever_shrinks_its_input_says_how_large_it_must_be(input: str, graph: str, least: str) -> None:
    assert refused(HEAD.format(input, graph)).endswith(f"; the least that fits is {least}")


@pytest.mark.parametrize(
    "graph",
    [
        "[{max_pool: 1000000}]",  # larger than is looked for
        "[{max_pool: 7}, flatten, {linear: 3}, {conv: 3}]",  # that no size mends
        "[{slice: {start: 2, end: 9}}]",  # too few channels
        "[{seq: [{relu: {}, when: =i < 9}], repeat: 25000}, {max_pool: 7}]",  # too long to be tried often
    ],
)
def test_nothing_is_said_where_nothing_is_found(graph: str) -> None:
    found = refused(HEAD.format("[3, 4, 4]", graph))
    assert found
    assert "least" not in found


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((3, 100, 100), "inputs that fit: 3x96x96 and 3x112x112"),
        ((3, 100, 80), "inputs that fit: 3x96x80 and 3x112x80"),
        ((3, 5, 5), "a larger input; the least that fits is 3x16x16"),
        ((3, 5, 100), "a larger input; one that fits is 3x16x112"),
        ((3, 20, 20), "inputs that fit: 3x16x16 and 3x32x32"),
    ],
)
def test_a_network_whose_maps_must_meet_names_inputs_that_do(shape: tuple[int, ...], told: str) -> None:
    assert refused("unet", shape).endswith(told)
    for size in re.findall(r"\d+(?:x\d+)+", told):
        assert refused("unet", tuple(map(int, size.split("x")))) == ""


def test_of_what_no_size_mends_no_size_is_told() -> None:
    for graph in ("[{add: [{conv: {out: 3, kernel: 3}}, []]}]", "[{add: [{conv: 4}, []]}]"):
        assert "least" not in refused(HEAD.format("[3, 32, 32]", graph))


def test_an_executable_names_inputs_that_it_takes() -> None:
    model = driver.compile("unet", backend="numpy", input=(3, 32, 32))
    with pytest.raises(DiagnosticError, match="inputs that fit: 3x16x16 and 3x32x32"):
        model(np.zeros((1, 3, 20, 20), np.float32))


def test_a_spec_with_another_mistake_is_told_of_that_alone() -> None:
    with pytest.raises(DiagnosticError) as caught:
        driver.load(HEAD.format("[3, 4, 4]", "[{side: {max_pool: 7}}, {conv: {out: 4, groups: 2}}]"))
    assert "least" not in str(caught.value)


def test_the_search_halves_between_what_fits_and_what_does_not() -> None:
    tried: list[int] = []

    def fits(shapes: object) -> bool:
        assert isinstance(shapes, dict)
        tried.append(shapes["x"][1])
        return bool(shapes["x"][1] >= 300)

    assert least_input({"x": (3, 5, 400)}, fits) == {"x": (3, 300, 400)}
    assert len(tried) < 20
