"""The networks that amplify do so by themselves, on the reference kernels alone."""

from __future__ import annotations

import numpy as np
import pytest

from archforge.ops.base import Array
from archforge.weights import rule_weights
from tests.graphs import evaluate, inputs_of
from tests.small import AMPLIFYING, small_network
from tests.zoo import networks


def moved(name: str) -> float:
    """The way that a last bit of each input moves the output of a network, in its standard deviations."""
    typed = small_network(name, networks()[name].profile_names[0])
    weights, inputs = rule_weights(typed.params()), inputs_of(typed)
    near = {key: _last_bit_off(x) for key, x in inputs.items()}
    before, after = evaluate(typed, weights, inputs), evaluate(typed, weights, near)
    return max(float(np.abs(before[v] - after[v]).max() / before[v].std()) for v in typed.outputs.values())


def _last_bit_off(x: Array) -> Array:
    """Every other number the next above, and the others the next below."""
    is_even = np.arange(x.size).reshape(x.shape) % 2 == 0
    near: Array = np.nextafter(x, np.where(is_even, np.inf, -np.inf))
    return near


@pytest.mark.parametrize("name", AMPLIFYING)
def test_what_a_last_bit_does_explains_the_tolerance_of_a_network_that_amplifies(name: str) -> None:
    assert AMPLIFYING[name] / 50 < moved(name) < AMPLIFYING[name]


@pytest.mark.parametrize("name", ["resnet_18", "fasternet_t0", "starnet_s2"])
def test_other_networks_keep_a_last_bit_small(name: str) -> None:
    assert moved(name) < 1e-13
