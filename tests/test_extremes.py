"""Numbers at both ends of every dtype, on every backend: activations of the smallest and of the largest, held
against what the op's own kernel makes in extended precision, where nothing overflows."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest

from archforge.backends import available, get
from archforge.ir import TensorType
from archforge.ops.base import Array, Op, is_pointwise
from archforge.ops.interpolation import TAPS
from archforge.plan import load, plan
from tests.graphs import graph, node
from tests.op_examples import EXAMPLES, OpExample


class Format(NamedTuple):
    """A dtype's largest relative rounding error, its smallest normal number and its largest number."""

    unit: float
    smallest: float
    largest: float


FORMATS = {
    "float64": Format(2.0**-53, 2.0**-1022, np.finfo(np.float64).max),
    "float32": Format(2.0**-24, 2.0**-126, float(np.finfo(np.float32).max)),
    "float16": Format(2.0**-11, 2.0**-14, 65504.0),
    "bfloat16": Format(2.0**-8, 2.0**-126, 255 * 2.0**120),
}
EXTENDED: Any = np.longdouble if np.finfo(np.longdouble).maxexp > 1024 else np.float64

each_dtype = pytest.mark.parametrize(
    ("backend", "dtype"),
    [
        (name, dtype)
        for name in available()
        for dtype in get(name).dtypes
        if dtype != "float64" or EXTENDED is not np.float64
    ],
)


def rounded(x: Array, dtype: str) -> Array:
    """The nearest numbers of a dtype, in the dtype that executables take."""
    if dtype == "bfloat16":
        bits = x.astype(np.float32).view(np.uint32)
        return (bits & np.uint32(0xFFFF0000)).view(np.float32)
    wide = "float64" if dtype == "float64" else "float32"
    return x.astype(dtype).astype(wide)


# Activations -------------------------------------------------------------------------------------------


def is_activation(op: Op, x: TensorType) -> bool:
    """True for a function of each element alone, without parameters."""
    return is_pointwise(op, x) and not op.passes_through(x)


ACTIVATIONS = {
    f"{e.op.kind}({', '.join(f'{k}={v}' for k, v in e.op.attributes().items())})": e.op
    for e in EXAMPLES
    if e.op.arity is not None and len(e.types) == 1 and is_activation(e.op, *e.types)
}


def exact(op: Op, x: Array) -> Array:
    """The activation of extended numbers: by its own kernel but for gelu, whose error function is made for
    float64."""
    if op.attributes() == {"approximate": "none"}:
        tails = [math.erfc(-v / math.sqrt(2)) for v in x.ravel()]
        halved: Array = x * np.array(tails, EXTENDED).reshape(x.shape) / 2
        return halved
    return op.reference({}, x)


def numbers(dtype: str) -> Array:
    """Numbers of both signs from the smallest to the largest of the dtype, denser where functions bend:
    [1, 16, n, 3]."""
    limits = FORMATS[dtype]
    smallest = limits.smallest * (2 * limits.unit)
    spread = np.geomspace(smallest, limits.largest / 2, 300)
    near = np.geomspace(1e-4, 1000, 600)
    edges = [0.0, smallest, limits.smallest, limits.largest / 2, limits.largest]
    sizes = np.concatenate([edges, spread, near, np.linspace(80, 110, 121), np.linspace(700, 750, 41)])
    both = np.concatenate([sizes, -sizes])
    both = rounded(both[abs(both) <= limits.largest], dtype)
    return np.resize(both, (1, 16, -(-len(both) // 48), 3))


BEFORE = {
    "alone": (),
    "behind a depthwise convolution": (node("before", "conv", "input", out=16, groups=16, bias=False),),
    "behind a pointwise convolution": (node("before", "conv", "input", out=16, bias=False),),
    "behind a sum": (node("before", "add", "input", "zeros"),),
}


def test_activations_are_found() -> None:
    assert {"silu", "relu", "gelu", "elu", "mish", "leaky_relu"} <= {op.kind for op in ACTIVATIONS.values()}


@each_dtype
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("example", ACTIVATIONS)
def test_activations_are_right_at_both_ends(example: str, before: str, backend: str, dtype: str) -> None:
    op, x = ACTIVATIONS[example], numbers(dtype)
    nodes = BEFORE[before]
    inputs = {"input": x, "zeros": np.zeros_like(x)} if before == "behind a sum" else {"input": x}
    last = node("act", op.kind, nodes[-1].name if nodes else "input", **op.attributes())
    typed = graph(*nodes, last, inputs={name: array.shape[1:] for name, array in inputs.items()})
    weights = {
        name: np.eye(16)[:, :, None, None] if d.shape[1] > 1 else np.ones(d.shape)
        for name, d in typed.params().items()
    }
    with np.errstate(over="ignore"):
        (y,) = load(plan(typed, get(backend), dtype), weights).run(inputs).outputs.values()
    wide: Array = x.astype(EXTENDED)
    expected = exact(op, wide)
    limits = FORMATS[dtype]
    fits = abs(expected) <= limits.largest
    # Some roundings of the result, or of 1 where the function of a large number is its distance from 1.
    allowed = 8 * limits.unit * (abs(expected) + np.minimum(abs(wide), 1)) + limits.smallest
    off = fits & ~(abs(y - expected) <= allowed)
    assert not off.any(), f"of {x[off][:3]}: {y[off][:3]}, not {expected[off][:3]}"
    assert not np.isnan(y).any()


# Sums --------------------------------------------------------------------------------------------------

# Windows of all sizes, from some numbers to whole maps.
MEANS: dict[str, list[tuple[dict[str, Any], tuple[int, ...]]]] = {
    "global_avg_pool": [({}, (5, 7, 7)), ({}, (17, 112, 112)), ({}, (1, 1024, 1024)), ({}, (2, 90_001))],
    "avg_pool": [
        ({"kernel": 3, "stride": 1, "padding": 1}, (17, 20, 21)),
        ({"kernel": 5, "stride": 2, "ceil": True}, (17, 20, 21)),
        ({"kernel": 7}, (5, 7, 7)),
        ({"kernel": (40, 33), "stride": 17}, (2, 100, 90)),
        ({"kernel": 99, "stride": 50, "padding": 49, "count_include_pad": False}, (2, 200, 200)),
        ({"kernel": 1024}, (1, 1024, 1024)),
        ({"kernel": 1000, "stride": 500}, (2, 3000)),
        ({"kernel": (2, 20, 20)}, (2, 4, 40, 40)),
    ],
    "adaptive_avg_pool": [
        ({"size": 1}, (1, 1024, 1024)),
        ({"size": 2}, (1, 512, 512)),
        ({"size": 3}, (2, 500, 502)),
        ({"size": 7}, (2, 17, 18)),
    ],
}

# Ops that average no more elements on a larger map, so that their sums are never long.
SHORT_SUMS = {"resize": "at most four elements along each axis"}


def averages(e: OpExample) -> bool:
    """True for an op that makes equal numbers of equal ones and mixes the numbers of each channel."""
    if len(e.types) > 1 or e.op.params(*e.types):
        return False
    (x,) = e.types
    equal, spread = np.full((1, *x.shape), 0.7), e.inputs("float64", 1)[0]
    found, mixed = (e.op.reference({}, array) for array in (equal, spread))
    return np.allclose(found, 0.7) and not np.isin(mixed, spread).any() and mixed.size < spread.size


def test_every_op_that_averages_is_among_those_of_long_sums() -> None:
    assert {e.op.kind for e in EXAMPLES if averages(e)} == MEANS.keys() | SHORT_SUMS.keys()
    assert max(TAPS.values()) == 4  # what `resize` mixes


@each_dtype
@pytest.mark.parametrize(
    ("kind", "attributes", "shape"),
    [(kind, attributes, shape) for kind, cases in MEANS.items() for attributes, shape in cases],
)
def test_means_of_long_sums_are_good_to_1e_6(
    kind: str, attributes: dict[str, Any], shape: tuple[int, ...], backend: str, dtype: str
) -> None:
    typed = graph(node("mean", kind, "input", **attributes), inputs={"input": shape})
    run, reference = (load(plan(typed, get(b), d), {}) for b, d in ((backend, dtype), ("numpy", "float64")))
    allowed = max(1e-6, 3 * FORMATS[dtype].unit)
    noise = np.random.default_rng(0).standard_normal((1, *shape))
    for x in (np.full_like(noise, 0.1), np.full_like(noise, -9999), 3 + noise):
        given = rounded(x, dtype)
        size = reference(abs(given).astype(np.float64))
        np.testing.assert_array_less(abs(run(given) - reference(given.astype(np.float64))), allowed * size)


# Softmax and norms -------------------------------------------------------------------------------------

FAR = {
    "3e38 apart": [1.5e38, -1.5e38, 0.0],
    "equal and large": [3e38] * 3,
    "close and large": [1e6, 1e6 - 1, 1e6 + 2],
    "104 apart": [0.0, -104.0, -103.0],
    "one minus infinity": [-np.inf, 0.0, 1.0],
}


@pytest.mark.parametrize("backend", available())
@pytest.mark.parametrize("numbers", FAR)
@pytest.mark.parametrize("kind", ["softmax", "log_softmax"])
def test_softmax_is_right_for_numbers_far_off_and_far_apart(kind: str, numbers: str, backend: str) -> None:
    typed = graph(node("made", kind, "input", axis=0), inputs={"input": (3, 2, 2)})
    x = np.broadcast_to(np.array(FAR[numbers], np.float32)[None, :, None, None], (1, 3, 2, 2))
    with np.errstate(divide="ignore", over="ignore"):
        found = load(plan(typed, get(backend), "float32"), {})(x)
        expected = load(plan(typed, get("numpy"), "float64"), {})(x.astype(np.float64))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("backend", available())
@pytest.mark.parametrize("size", [0.0, 0.1, 1e4, 1e18, 1e30])
@pytest.mark.parametrize("kind", ["layer_norm", "lrn"])
def test_norms_of_equal_numbers_of_any_size_are_right(kind: str, size: float, backend: str) -> None:
    attributes: dict[str, Any] = {"axis": 0, "affine": False} if kind == "layer_norm" else {}
    typed = graph(node("made", kind, "input", **attributes), inputs={"input": (20, 3, 2)})
    x = np.full((1, 20, 3, 2), size, np.float32)
    with np.errstate(over="ignore"):
        found = load(plan(typed, get(backend), "float32"), {})(x)
    expected = load(plan(typed, get("numpy"), "float64"), {})(x.astype(np.float64))
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
