"""Laws over every op: what its file says about it and what its kernel does are one."""

from __future__ import annotations

import math
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from archforge.codes import CODES
from archforge.ir import ShapeError, TensorType
from archforge.meanings import attribute_meanings, text_of
from archforge.ops import all_ops, op_class
from archforge.ops.base import Op, is_pointwise
from archforge.ops.erf import erf
from archforge.ops.pool import AvgPool, MaxPool
from archforge.ops.window_positions import log_coordinates
from tests.op_examples import EXAMPLES, OpExample, bind

OPS = {cls.op: cls for cls in all_ops().values()}

each_op = pytest.mark.parametrize("cls", OPS.values(), ids=OPS)
each_example = pytest.mark.parametrize("example", EXAMPLES, ids=str)


# What an op says about itself ----------------------------------------------------------------------


@each_op
def test_an_op_says_what_it_is(cls: type[Op]) -> None:
    assert cls.__doc__
    assert cls.__doc__ != Op.__doc__
    assert cls.examples
    assert cls.arity == 1 or any(len(e.inputs) > 1 for e in cls.examples)


@each_op
def test_attributes_say_what_they_can_be(cls: type[Op]) -> None:
    for name, field in cls.model_fields.items():
        assert field.description, f"{cls.op}: `{name}` has no description"
        assert not field.description.endswith(".")


@each_op
def test_attributes_say_what_they_mean(cls: type[Op]) -> None:
    meanings = attribute_meanings(cls)
    assert meanings.keys() == cls.model_fields.keys()
    for name, meaning in meanings.items():
        kind = cls.model_fields[name].description or ""
        assert len({*meaning.split()} - {*kind.split()}) > 2, f"{cls.op}: `{name}` says no more than its kind"
        assert not meaning.endswith(".")
    assert len({*meanings.values()}) == len(meanings)


def test_meanings_are_those_of_the_nearest_class_whole() -> None:
    assert attribute_meanings(AvgPool)["count_include_pad"] == (
        "counts padding as elements of value 0; without it the mean is of the elements inside the input"
    )
    assert attribute_meanings(AvgPool)["ceil"] == attribute_meanings(MaxPool)["ceil"]
    assert "Attributes:" not in text_of(AvgPool)
    assert text_of(AvgPool).endswith("x: float[N, C, *spatial] with 1 to 3 spatial axes.")


@each_op
def test_defaults_are_values_that_the_attribute_can_take(cls: type[Op]) -> None:
    op = cls.model_validate(dict(cls.examples[0].attributes))
    assert cls.model_validate(op.attributes()) == op


@each_op
def test_attributes_are_strict(cls: type[Op]) -> None:
    """Text is no number, true is no number, and nothing is ignored."""
    given = dict(cls.examples[0].attributes)
    with pytest.raises(ValidationError):
        cls.model_validate({**given, "no_such_attribute": 1})
    for name, field in cls.model_fields.items():
        for value in ("1", "no such word", float("nan"), float("inf"), [1, 2], object()):
            with pytest.raises(ValidationError):
                cls.model_validate({**given, name: value})
        with pytest.raises(ValidationError):
            cls.model_validate({**given, name: 1 if field.annotation is bool else True})


# What torch 2.13 takes where nothing is said, by our names. `null` as stride is the kernel's extent.
TORCH_DEFAULTS: dict[str, dict[str, object]] = {
    "avg_pool": {"stride": None, "padding": 0, "ceil": False, "count_include_pad": True},
    "bn": {"eps": 1e-5, "momentum": 0.1, "affine": True},
    "channel_dropout": {"rate": 0.5},
    "conv": {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True},
    "conv_transpose": {
        "stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1, "bias": True,
    },
    "dropout": {"rate": 0.5},
    "elu": {"alpha": 1.0},
    "gelu": {"approximate": "none"},
    "layer_norm": {"eps": 1e-5, "affine": True},
    "leaky_relu": {"slope": 0.01},
    "linear": {"bias": True},
    "lp_pool": {"stride": None, "ceil": False},
    "lrn": {"alpha": 1e-4, "beta": 0.75, "k": 1.0},
    "max_pool": {"stride": None, "padding": 0, "dilation": 1, "ceil": False},
    "upsample": {"mode": "nearest", "align_corners": False},
}  # fmt: skip


@pytest.mark.parametrize("kind", TORCH_DEFAULTS)
def test_defaults_are_those_of_torch(kind: str) -> None:
    fields = OPS[kind].model_fields
    assert {name: fields[name].default for name in TORCH_DEFAULTS[kind]} == TORCH_DEFAULTS[kind]


def test_fresh_parameters_are_those_of_torch() -> None:
    """Bounds of uniform ones as torch computes them, from the weight's extents but the first."""

    def inits(kind: str, shape: tuple[int, ...], **attributes: object) -> list[tuple[str, str, float]]:
        decls = bind(kind, **attributes).params(TensorType(shape))
        return [
            (name, d.init.kind, d.init.scale / math.sqrt(d.init.fan_in or math.prod(d.shape[1:])))
            if d.init.kind == "uniform"
            else (name, d.init.kind, d.init.scale)
            for name, d in decls.items()
        ]

    conv = [("weight", "uniform", 1 / 6), ("bias", "uniform", 1 / 6)]
    assert inits("conv", (8, 9, 9), out=6, kernel=3, groups=2) == conv
    assert inits("conv_transpose", (6, 9, 9), out=8, kernel=3, groups=2) == conv
    assert inits("linear", (36,), out=5) == conv
    assert inits("bn", (3,)) == [
        ("weight", "constant", 1.0),
        ("bias", "constant", 0.0),
        ("running_mean", "constant", 0.0),
        ("running_var", "constant", 1.0),
    ]
    assert inits("layer_norm", (3,)) == [("weight", "constant", 1.0), ("bias", "constant", 0.0)]
    assert inits("prelu", (3,)) == [("weight", "constant", 0.25)]
    assert inits("layer_scale", (3,)) == [("", "constant", 1e-6)]


def test_an_alias_is_another_word_for_the_same_op() -> None:
    assert op_class("swish") is op_class("silu")
    assert bind("swish").kind == "silu"


def test_merges_and_nothing_else_are_no_layers() -> None:
    assert {kind for kind, cls in OPS.items() if not cls.counts_as_layer} == {
        kind for kind, cls in OPS.items() if cls.arity is None
    }


def test_loading_all_ops_does_not_load_numpy() -> None:
    code = "import sys; from archforge.ops import all_ops; all_ops(); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# What a kernel does --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_example
def test_the_kernel_gives_the_inferred_shape_in_the_dtype_of_its_input(
    example: OpExample, dtype: str
) -> None:
    y = example.reference(dtype)
    assert y.shape == (2, *example.op.infer(*example.types).shape)
    assert y.dtype == dtype


@each_example
def test_float32_is_close_to_float64(example: OpExample) -> None:
    exact = example.reference("float64")
    # 2^-23 is a unit in the last place of 1; a sum of a hundred terms may lose tens of them.
    np.testing.assert_allclose(example.reference("float32"), exact, rtol=3e-6, atol=3e-6 * abs(exact).max())


@each_example
def test_images_of_a_batch_do_not_touch_each_other(example: OpExample) -> None:
    params, inputs = example.params("float64"), example.inputs("float64", batch=3)
    together = example.op.reference(params, *inputs)
    for i in range(3):
        alone = example.op.reference(params, *(x[i : i + 1] for x in inputs))
        np.testing.assert_allclose(together[i : i + 1], alone, rtol=1e-13, atol=1e-13)


@each_example
def test_the_kernel_leaves_its_inputs_as_they_were(example: OpExample) -> None:
    params, inputs = example.params("float64"), example.inputs("float64")
    for array in (*params.values(), *inputs):
        array.setflags(write=False)
    example.op.reference(params, *inputs)


@each_example
def test_the_declared_parameters_are_those_that_the_kernel_uses(example: OpExample) -> None:
    params, inputs = example.params("float64"), example.inputs("float64")
    y = example.op.reference(params, *inputs)
    for name, decl in example.op.params(*example.types).items():
        if decl.init.kind == "index":
            continue  # always the same numbers, which the op knows
        steps = np.linspace(0.5, 1, decl.size).reshape(decl.shape)  # a softmax does not see equal ones
        changed = {**params, name: params[name] + steps}
        assert not np.allclose(example.op.reference(changed, *inputs), y), f"`{name}` has no effect"


@each_op
def test_an_identity_is_one_and_nothing_else_is(cls: type[Op]) -> None:
    found = []
    for example in (e for e in EXAMPLES if type(e.op) is cls):
        inputs = example.inputs("float64")
        found.append(example.op.reference(example.params("float64"), *inputs) is inputs[0])
    assert all(found) == cls.is_identity


@each_op
def test_an_op_that_changes_nothing_again_says_so(cls: type[Op]) -> None:
    again = []
    for example in (e for e in EXAMPLES if type(e.op) is cls):
        params = example.params("float64")
        y = example.op.reference(params, *example.inputs("float64"))
        with suppress(ShapeError):
            same_shape = example.op.infer(TensorType(y.shape[1:])).shape == y.shape[1:]
            again.append(
                cls.arity == 1 and not params and same_shape and np.allclose(example.op.reference({}, y), y)
            )
    assert (any(again) and all(again) and not cls.is_identity) == cls.is_idempotent


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_example
def test_large_numbers_neither_overflow_nor_warn(example: OpExample, dtype: str) -> None:
    inputs = (x * 1e4 for x in example.inputs(dtype))
    assert np.isfinite(example.op.reference(example.params(dtype), *inputs)).all()


def test_erf_is_accurate() -> None:
    x = np.concatenate([np.linspace(-7, 7, 20_001), np.linspace(-0.5, 0.5, 2_001), [-1e300, 1e300]])
    exact = [math.erf(v) for v in x]
    np.testing.assert_allclose(erf(x), exact, rtol=1e-15, atol=0)
    np.testing.assert_allclose(erf(x[:-2].astype("float32")), exact[:-2], rtol=1e-6, atol=0)


@pytest.mark.parametrize("example", [e for e in EXAMPLES if is_pointwise(e.op, *e.types)], ids=str)
def test_pointwise_ops_do_the_same_wherever_an_axis_is(example: OpExample) -> None:
    inputs = example.inputs("float64")
    turned = example.op.reference({}, *(np.moveaxis(x, 1, -1) for x in inputs))
    np.testing.assert_array_equal(turned, np.moveaxis(example.op.reference({}, *inputs), 1, -1))


def test_what_tells_axes_apart_is_not_pointwise() -> None:
    found = {e.op.kind for e in EXAMPLES if is_pointwise(e.op, *e.types)}
    assert {"add", "dropout", "elu", "maximum", "relu", "scale"} <= found
    assert not {"channel_dropout", "layer_scale", "pad", "permute", "prelu", "resize", "softmax"} & found


# Any input at all ----------------------------------------------------------------------------------

extents = st.lists(st.integers(1, 6), min_size=1, max_size=5)


@each_op
@given(data=st.data())
def test_an_input_is_refused_with_a_reason_or_computed(cls: type[Op], data: st.DataObject) -> None:
    attributes = data.draw(st.sampled_from([e.attributes for e in cls.examples]))
    count = data.draw(st.integers(1, 3)) if cls.arity is None else cls.arity
    shapes = data.draw(st.lists(extents, min_size=count, max_size=count))
    op = cls.model_validate(dict(attributes))
    types = tuple(TensorType(tuple(shape)) for shape in shapes)
    y = _inferred(op, types)
    if isinstance(y, ShapeError):
        assert y.code in CODES
        assert y.attribute is None or y.attribute in cls.model_fields
        return
    assert min(y.shape) >= 1
    assert OpExample(op, types, "drawn").reference("float64").shape == (2, *y.shape)


def _inferred(op: Op, types: tuple[TensorType, ...]) -> TensorType | ShapeError:
    try:
        return op.infer(*types)
    except ShapeError as error:
        return error


def test_differences_in_a_window_are_on_a_logarithmic_scale_to_base_eight() -> None:
    places = log_coordinates((2, 3))
    farthest = math.log(9, 8)  # of 1 + 8
    half = math.log(5, 8)  # of 1 + 8 / 2
    assert places.shape == (1, 3, 5, 2)
    assert places[0, :, 0, 0] == pytest.approx([-farthest, 0, farthest])
    assert places[0, 0, :, 1] == pytest.approx([-farthest, -half, 0, half, farthest])
