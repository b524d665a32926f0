"""Files of Keras as graphs and specs of ours: what is read, what it computes, what is refused."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archforge import driver
from archforge.analysis.counts import count
from archforge.data.arrays import read_weights
from archforge.errors import DiagnosticError
from archforge.interchange.flows import own_axes
from archforge.interchange.formats import open_file
from archforge.interchange.imported import Imported
from archforge.interchange.keras.layers import ACTIVATIONS, KERAS_LAYERS
from archforge.interchange.keras.running import can_be_run, named_classes
from archforge.interchange.normalize import normalized
from archforge.interchange.translation import bound_op
from archforge.interchange.zoo_match import zoo_matches
from archforge.ir import Node, infer
from archforge.ops.base import Array
from archforge.spec.expand.expand import expand
from tests import keras_reference
from tests.conftest import Run
from tests.imported_ops import kinds
from tests.keras_files import ENDINGS, Arrays, functional, layer, random_arrays, sequential, written
from tests.weight_files import FOLDER
from tests.zoo import networks

pytest.importorskip("h5py", reason="the extra `keras` brings it")

Description = dict[str, Any]
Shapes = Mapping[str, Sequence[int]]


def imported(path: Path) -> Imported:
    return normalized(open_file(path).read("model", {}))


def computed(made: Imported, *inputs: Array) -> list[Array]:
    """The outputs of an imported graph for inputs with the axes of the file, in the order of its own, and
    with the axes that the file has too."""
    graph = made.graph
    values = {}
    for (name, type_), x in zip(graph.inputs.items(), inputs, strict=True):
        values[name] = np.moveaxis(x, -1, 1) if made.origins[name].axes != own_axes(type_) else x
    for node in graph.nodes:
        names = node.op.params(*graph.input_types(node))
        params = {own: np.asarray(made.arrays[node.param_name(own)], np.float64) for own in names}
        values[node.name] = node.op.reference(params, *(values[value] for value in node.inputs))
    return [values[value] for value in graph.outputs.values()]


def mistakes(path: Path) -> list[str]:
    with pytest.raises(DiagnosticError) as caught:
        imported(path)
    return [f"{d.code}: {d.message.replace(str(path), 'FILE')}" for d in caught.value.diagnostics]


# What Keras itself has written


@pytest.mark.parametrize("ending", [".h5", ".keras"])
@pytest.mark.parametrize("name", ["keras_image", "keras_rows"])
def test_a_model_of_keras_computes_what_it_computes_there(name: str, ending: str) -> None:
    made = imported(FOLDER / f"{name}{ending}")
    stored = np.load(FOLDER / f"{name}.npz")
    (y,) = computed(made, stored["x"])
    np.testing.assert_allclose(y, stored["y"], rtol=1e-6, atol=1e-6)


# Every layer, against its definition


@dataclass(frozen=True)
class Case:
    """Layers in a row over an input of that shape, and the arrays that they have."""

    shape: tuple[int, ...]
    layers: Sequence[Description]
    arrays: Mapping[str, Mapping[str, Sequence[int]]]

    def __str__(self) -> str:
        return "-".join(each["class_name"] for each in self.layers)


def case(shape: tuple[int, ...], *layers: Description, **arrays: Mapping[str, Sequence[int]]) -> Case:
    return Case(shape, layers, arrays)


def window_cases() -> Iterator[Case]:
    for n, shape in ((1, (9, 2)), (2, (7, 8, 2)), (3, (4, 5, 4, 2))):
        window = (3, 2, 2)[:n]
        conv = {"kernel": (*window, 2, 4), "bias": (4,)}
        for padding in ("valid", "same"):
            settings: dict[str, Any] = {"kernel_size": list(window), "strides": 2, "padding": padding}
            yield case(shape, layer(f"Conv{n}D", "c", filters=4, activation="relu", **settings), c=conv)
            transposed = {"kernel": (*window, 4, 2), "bias": (4,)}
            yield case(shape, layer(f"Conv{n}DTranspose", "c", filters=4, **settings), c=transposed)
            pool = {"pool_size": 3, "strides": 2, "padding": padding}
            for kind in ("MaxPooling", "AveragePooling"):
                yield case(shape, layer(f"{kind}{n}D", "p", **pool))
        yield case(shape, layer(f"MaxPooling{n}D", "p"))
        dilated = {"kernel_size": 2, "dilation_rate": 2, "filters": 4, "groups": 2, "use_bias": False}
        yield case(shape, layer(f"Conv{n}D", "c", **dilated), c={"kernel": (*(2,) * n, 1, 4)})
        for kind in ("GlobalMaxPooling", "GlobalAveragePooling"):
            yield case(shape, layer(f"{kind}{n}D", "p"))
            yield case(shape, layer(f"{kind}{n}D", "p", keepdims=True))
        sides = [1, 2] if n == 1 else [[1, 0], [2, 1], [0, 1]][:n]
        yield case(shape, layer(f"ZeroPadding{n}D", "p", padding=sides))
        yield case(shape, layer(f"Cropping{n}D", "p", cropping=sides))
        yield case(shape, layer(f"UpSampling{n}D", "p", size=2 if n == 1 else [2, 3, 1][:n]))
        yield case(shape, layer(f"SpatialDropout{n}D", "d", rate=0.25))
    causal = layer("Conv1D", "c", filters=3, kernel_size=[3], dilation_rate=2, padding="causal")
    yield case((9, 2), causal, c={"kernel": (3, 2, 3), "bias": (3,)})
    yield case((4, 5, 2), layer("UpSampling2D", "u", size=3, interpolation="bilinear"))
    gaps = layer("Conv2DTranspose", "c", filters=2, kernel_size=2, strides=3, padding="same", use_bias=False)
    yield case((3, 2, 2), gaps, c={"kernel": (2, 2, 2, 2)})
    for n, shape in ((1, (8, 3)), (2, (6, 8, 3))):
        settings = {"kernel_size": 3, "depth_multiplier": 2, "padding": "same", "strides": 2}
        kernel = (*(3,) * n, 3, 2)
        name = "depthwise_kernel" if n == 2 else "kernel"
        deep = layer(f"DepthwiseConv{n}D", "d", **settings, activation="relu6")
        yield case(shape, deep, d={name: kernel, "bias": (6,)})
        apart = {"depthwise_kernel": kernel, "pointwise_kernel": (*(1,) * n, 6, 4), "bias": (4,)}
        yield case(shape, layer(f"SeparableConv{n}D", "s", filters=4, **settings), s=apart)


def other_cases() -> Iterator[Case]:
    for name in (*ACTIVATIONS, "linear"):
        yield case((3, 4, 2), layer("Activation", "a", activation=name))
    norm = {"gamma": (2,), "beta": (2,), "moving_mean": (2,), "moving_variance": (2,)}
    yield case((3, 4, 2), layer("BatchNormalization", "n"), n=norm)
    yield case((2,), layer("BatchNormalization", "n", epsilon=0.1, axis=[1]), n=norm)
    for without, left in (("scale", "gamma"), ("center", "beta")):
        held = {part: shape for part, shape in norm.items() if part != left}
        yield case((3, 4, 2), layer("BatchNormalization", "n", axis=-1, **{without: False}), n=held)
    bare = {part: norm[part] for part in ("moving_mean", "moving_variance")}
    yield case((3, 4, 2), layer("BatchNormalization", "n", scale=False, center=False), n=bare)
    yield case((3, 4, 2), layer("LayerNormalization", "n"), n={"gamma": (2,), "beta": (2,)})
    yield case((3, 4, 2), layer("LayerNormalization", "n", axis=-1, scale=False, center=False))
    yield case(
        (6,), layer("LayerNormalization", "n", axis=[1], epsilon=0.01), n={"gamma": (6,), "beta": (6,)}
    )
    yield case((3, 4, 2), layer("LayerScale", "s", init_values=0.1), s={"gamma": (2,)})
    yield case((3, 4, 2), layer("Rescaling", "r", scale=0.5))
    yield case((3, 4, 2), layer("Rescaling", "r", scale=0.5, offset=-1.0))
    given = {"mean": [[0.5, 0.25]], "variance": [[0.5, 2.0]]}
    yield case((3, 4, 2), layer("Normalization", "n", axis=-1, **given))
    stored = {"mean": (2,), "variance": (2,), "count": ()}
    rescaled = [layer("Rescaling", "r", scale=0.5), layer("Normalization", "n", axis=[3])]
    yield case((3, 4, 2), *rescaled, layer("Rescaling", "q", scale=[2.0, 3.0]), n=stored)
    for settings in ({}, {"max_value": 6.0}, {"max_value": 2}, {"negative_slope": 0.1}):
        yield case((3, 4, 2), layer("ReLU", "r", **settings))
    yield case((3, 4, 2), layer("LeakyReLU", "l", alpha=0.25))
    yield case((3, 4, 2), layer("LeakyReLU", "l", negative_slope=0.125))
    yield case((3, 4, 2), layer("ELU", "e", alpha=0.5))
    yield case((3, 4, 2), layer("PReLU", "p", shared_axes=[1, 2]), p={"alpha": (1, 1, 2)})
    yield case((3, 4, 2), layer("Softmax", "s", axis=-1), layer("Softmax", "t", axis=1))
    inner = {"class_name": "LeakyReLU", "config": {"name": "i", "alpha": 0.25}}
    conv = {"kernel": (1, 1, 2, 3), "bias": (3,)}
    yield case((3, 4, 2), layer("Conv2D", "c", filters=3, kernel_size=1, activation=inner), c=conv)
    for kind in ("Dropout", "GaussianNoise", "Identity", "StochasticDepth"):
        yield case((3, 4, 2), layer(kind, "d"), layer("Activation", "a", activation="relu"))
    drop = layer("Dropout", "d", rate=0.2, noise_shape=[None, 1, 1, 1])
    yield case((3, 4, 2), drop, layer("ReLU", "r"))
    dense = {"kernel": (24, 3), "bias": (3,)}
    head = layer("Dense", "h", units=3, activation="softmax")
    yield case((3, 4, 2), layer("Flatten", "f"), head, h=dense)
    yield case((3, 8), layer("Flatten", "f"), head, h=dense)
    between = [
        layer("Flatten", "f"),
        layer("Dropout", "d"),
        layer("BatchNormalization", "n"),
        layer("ReLU", "r"),
        layer("Softmax", "s"),
    ]
    wide = dict.fromkeys(norm, (24,))
    yield case((3, 4, 2), *between, head, n=wide, h=dense)
    yield case((3, 4, 2), layer("Flatten", "f"), layer("Reshape", "r", target_shape=[3, 4, 2]))
    yield case((3, 4, 2), layer("Flatten", "f"), layer("Reshape", "r", target_shape=[2, 4, -1]))
    yield case((3, 4, 2), layer("Flatten", "f"))
    yield case((3, 4, 2), layer("Reshape", "r", target_shape=[4, 6]))
    yield case((3, 4, 2), layer("Permute", "p", dims=[2, 1, 3]), layer("ReLU", "r"))
    yield case((3, 4, 2), layer("Permute", "p", dims=[3, 1, 2]))
    yield case((3, 4, 2), layer("Dense", "h", units=3, use_bias=False), h={"kernel": (2, 3)})
    squeezed = [layer("GlobalAveragePooling2D", "g"), layer("Reshape", "r", target_shape=[1, 1, 2])]
    narrow = layer("Conv2D", "c", filters=3, kernel_size=[1, 1])
    yield case((3, 4, 2), *squeezed, narrow, layer("Reshape", "q", target_shape=[3]), c=conv)
    yield case((3, 4, 2), squeezed[0], layer("Dense", "h", units=3), h={"kernel": (2, 3), "bias": (3,)})
    grown = [layer("Dense", "h", units=24), layer("Reshape", "r", target_shape=[3, 4, 2]), narrow]
    yield case((5,), *grown, h={"kernel": (5, 24), "bias": (24,)}, c=conv)
    for kind, gates in (("LSTM", 4), ("GRU", 3), ("SimpleRNN", 1)):
        parts: Shapes = {"kernel": (3, gates * 2), "recurrent_kernel": (2, gates * 2)}
        whole_row = layer(kind, "r", units=2, return_sequences=True)
        bias = (2, 6) if kind == "GRU" else (gates * 2,)
        yield case((4, 3), whole_row, r={**parts, "bias": bias})
        yield case((4, 3), layer(kind, "r", units=2, use_bias=False, reset_after=True), r=parts)
    before = layer("GRU", "r", units=2, reset_after=False)
    yield case((4, 3), before, r={"kernel": (3, 6), "recurrent_kernel": (2, 6), "bias": (6,)})
    for inner in (layer("Dense", "d", units=2, activation="relu"), layer("ReLU", "r", max_value=6.0)):
        steps = {"t": {"kernel": (3, 2), "bias": (2,)}} if inner["class_name"] == "Dense" else {}
        yield case((4, 3), layer("TimeDistributed", "t", layer=inner), **steps)
    rows = {"kernel": (3, 2, 3), "bias": (3,)}
    lstm = {"kernel": (3, 8), "recurrent_kernel": (2, 8), "bias": (8,)}
    chain = [layer("Conv1D", "c", filters=3, kernel_size=3), layer("LSTM", "l", units=2)]
    yield case((6, 2), *chain, c=rows, l=lstm)


CASES = [*window_cases(), *other_cases()]


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: f"{n}-{CASES[n]}")
def test_layers_compute_what_keras_defines(number: int, tmp_path: Path) -> None:
    found = CASES[number]
    described = sequential(found.shape, *found.layers)
    ending = ENDINGS[number % len(ENDINGS)] if "hard_sigmoid" not in str(described) else ".keras"
    arrays = random_arrays(found.arrays)
    assert_same(written(tmp_path, described, arrays, ending), described, arrays, found.shape)


def assert_same(path: Path, described: Description, arrays: Arrays, *shapes: tuple[int, ...]) -> None:
    """The file computes here what the definitions of its layers say."""
    rng = np.random.default_rng(1)
    inputs = [rng.standard_normal((2, *shape)) for shape in shapes]
    wanted = keras_reference.model_values(described, arrays, inputs)
    for y, theirs in zip(computed(imported(path), *inputs), wanted, strict=True):
        # A map comes out with its channels first.
        turned = (
            y if y.shape == theirs.shape and np.allclose(y, theirs, 1e-5, 2e-6) else np.moveaxis(y, 1, -1)
        )
        np.testing.assert_allclose(turned, theirs, rtol=1e-5, atol=2e-6)


def test_every_layer_that_is_read_has_a_case() -> None:
    used = {each["class_name"] for found in CASES for each in found.layers}
    merges = {"Add", "Average", "Concatenate", "Multiply", "Subtract"}
    of_training = {
        kind for kind in KERAS_LAYERS if kind.startswith(("Random", "Gaussian", "Alpha", "Activity"))
    }
    functions = {kind for kind in KERAS_LAYERS if kind.startswith("ops.")}
    assert {*KERAS_LAYERS} - used - merges - of_training - functions == set()


# Graphs


def several() -> tuple[Description, Arrays]:
    """Two inputs and outputs, merges, a layer and a model that are called twice, a model in a model."""
    conv = {"filters": 2, "kernel_size": 1}
    deepest = sequential((3, 4, 2), layer("Conv2D", "inner", **conv), name="deepest")
    deepest["name"] = "deepest"
    nested = functional(
        layer("InputLayer", "in", batch_input_shape=[None, 3, 4, 2]),
        layer("Conv2D", "inner", "in", **conv, activation="relu"),
        deepest | {"inbound_nodes": [[["inner", 0, 0, {}]]]},
        inputs=["in"],
        outputs=["deepest"],
        name="nested",
    )
    nested["name"] = "nested"
    described = functional(
        layer("InputLayer", "left", batch_input_shape=[None, 3, 4, 2]),
        layer("InputLayer", "right", batch_input_shape=[None, 3, 4, 2]),
        layer("Conv2D", "shared", "left", "right", **conv),
        layer("Add", "sum", ["left", ("shared", 1)]),
        layer("Subtract", "less", ["sum", "shared"]),
        nested | {"inbound_nodes": [[["sum", 0, 0, {}]], [["less", 0, 0, {}]]]},
        layer("Concatenate", "both", [("nested", 0), ("nested", 1), "left"], axis=-1),
        layer("GlobalAveragePooling2D", "mean", "both", keepdims=True),
        layer("Multiply", "gated", ["both", "mean"]),
        layer("Average", "average", ["left", "right"]),
        layer("Flatten", "flat", "gated"),
        layer("Flatten", "flat_too", "both"),
        layer("Add", "joined", ["flat", "flat_too"]),
        layer("Concatenate", "tail", ["joined", "flat"]),
        layer("Dense", "head", "joined", units=3),
        inputs=["left", "right"],
        outputs=["head", "average", "tail"],
    )
    small = {"kernel": (1, 1, 2, 2), "bias": (2,)}
    arrays = random_arrays(
        {
            "shared": small,
            "nested.inner": small,
            "nested.deepest.inner": small,
            "head": {"kernel": (72, 3), "bias": (3,)},
        }
    )
    return described, arrays


def test_one_shape_for_several_inputs_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, *several(), ".keras")
    with pytest.raises(DiagnosticError) as caught:
        driver.import_file(path, shapes={"": (3, 4, 2)}, layer_check=False)
    (found,) = caught.value.diagnostics
    assert found.message == f"{path} has 2 inputs, and one shape is given"
    assert found.help == "--shape left=SHAPE,right=SHAPE, without the batch"


@pytest.mark.parametrize("ending", ENDINGS)
def test_several_inputs_outputs_and_shared_models_survive(ending: str, tmp_path: Path) -> None:
    described, arrays = several()
    path = written(tmp_path, described, arrays, ending)
    assert_same(path, described, arrays, (3, 4, 2), (3, 4, 2))
    made = imported(path)
    assert list(made.graph.outputs) == ["head", "average", "tail"]
    assert count(made.graph).params == sum(a.size for parts in arrays.values() for a in parts.values())


@pytest.mark.parametrize("ending", ENDINGS)
def test_layers_of_one_name_in_several_models_have_arrays_of_their_own(ending: str, tmp_path: Path) -> None:
    """Two models of the same names, one of one layer alone, in a model that has that name too."""
    dense = {"units": 3, "activation": "tanh"}
    models = [
        sequential((3,), *(layer("Dense", name, **dense) for name in names), name=model) | {"name": model}
        for model, names in (("left", "ab"), ("right", "ab"), ("short", "a"))
    ]
    described = sequential((3,), *models, layer("Dense", "a", **dense))
    whole = {"kernel": (3, 3), "bias": (3,)}
    names = ("left.a", "left.b", "right.a", "right.b", "short.a", "a")
    arrays = random_arrays(dict.fromkeys(names, whole))
    assert_same(written(tmp_path, described, arrays, ending), described, arrays, (3,))


def test_a_factor_without_a_name_is_that_of_a_layer_scale(tmp_path: Path) -> None:
    described = sequential((4, 3), layer("LayerScale", "first"), layer("LayerScale", "second"))
    factors = random_arrays({"first": {"gamma": (3,)}, "second": {"gamma": (3,)}})
    unnamed = {
        "first": {"variable": factors["first"]["gamma"]},
        "second": {"variable_1": factors["second"]["gamma"]},
    }
    assert_same(written(tmp_path, described, unnamed, ".h5"), described, factors, (4, 3))


@pytest.mark.parametrize("module", ["keras.src.ops.numpy", None])
def test_numbers_in_a_graph_are_hard_swish(module: str | None, tmp_path: Path) -> None:
    """MobileNet v3 as Keras writes it: x + 3, relu6, times 1/6, times x; in HDF5 without a module."""

    def op(kind: str, name: str, *values: Any) -> Description:
        found = layer(kind, name)
        return found | {"module": module, "inbound_nodes": [{"args": [*values], "kwargs": {}}]}

    def value(name: str) -> Description:
        return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}

    described = functional(
        layer("InputLayer", "x", batch_shape=[None, 3, 4, 2]),
        op("Add", "shifted", value("x"), 3.0),
        layer("ReLU", "clipped", "shifted", max_value=6.0),
        op("Multiply", "share", 1 / 6, value("clipped")),
        layer("Multiply", "gated", ["x", "share"]),
        inputs=["x"],
        outputs=["gated"],
    )
    made = imported(written(tmp_path, described, {}, ".h5"))
    assert kinds(made) == ["hard_swish"]


def test_padding_and_a_flattened_map_leave_no_nodes(tmp_path: Path) -> None:
    described = sequential(
        (6, 6, 2),
        layer("ZeroPadding2D", "zeros", padding=[[0, 1], [0, 1]]),
        layer("Conv2D", "conv", filters=4, kernel_size=3, strides=2),
        layer("Flatten", "flat"),
        layer("Dense", "head", units=3),
    )
    shapes = {"conv": {"kernel": (3, 3, 2, 4), "bias": (4,)}, "head": {"kernel": (36, 3), "bias": (3,)}}
    made = imported(written(tmp_path, described, random_arrays(shapes), ".h5"))
    assert kinds(made) == ["conv", "flatten", "linear"]
    assert list(made.arrays) == ["conv.weight", "conv.bias", "head.weight", "head.bias"]


def test_settings_of_keras_1_are_read(tmp_path: Path) -> None:
    conv = layer("Convolution2D", "conv", nb_filter=4, nb_row=3, nb_col=2, subsample=[2, 1])
    conv["config"] |= {"border_mode": "same", "dim_ordering": "tf", "bias": False}
    conv["config"]["batch_input_shape"] = [None, 6, 6, 2]
    head = layer("Dense", "head", output_dim=3)
    described = {
        "class_name": "Sequential",
        "config": [conv, layer("Dropout", "d", p=0.25), layer("Flatten", "f"), head],
    }
    shapes: Mapping[str, Shapes] = {
        "conv": {"kernel": (3, 2, 2, 4)},
        "head": {"kernel": (72, 3), "bias": (3,)},
    }
    made = imported(written(tmp_path, described, random_arrays(shapes), ".h5"))
    assert made.graph.nodes[0].op.attributes()["kernel"] == (3, 2)
    assert made.graph.nodes[1].op.attributes()["rate"] == 0.25


# The command


def test_the_command_writes_a_spec_and_weights(run: Run, tmp_path: Path) -> None:
    described = sequential(
        (28, 28, 1),
        layer("Conv2D", "c", filters=2, kernel_size=3, activation="relu"),
        layer("Flatten", "f"),
        layer("Dense", "d", units=10, activation="softmax"),
    )
    shapes = {"c": {"kernel": (3, 3, 1, 2), "bias": (2,)}, "d": {"kernel": (1352, 10), "bias": (10,)}}
    path = written(tmp_path, described, random_arrays(shapes), ".h5")
    code, told, _ = run("import", str(path), "-o", "net.yaml", "--weights", "net.safetensors")
    assert code == 0
    assert told.splitlines()[:3] == [
        "ops         3 in the file, 5 in the spec",
        "spec        10 lines, 0 blocks, 0 loops",
        "parameters  13,550, and 0 in buffers",
    ]
    assert "`input` has its channels last in the file, and first here" in told
    assert Path("net.yaml").read_text("utf-8").startswith("# Imported from model.h5, sha256 ")
    found = read_weights("net.safetensors")
    assert {name: a.shape for name, a in found.items()} == {
        "conv.weight": (2, 1, 3, 3),
        "conv.bias": (2,),
        "linear.weight": (10, 1352),
        "linear.bias": (10,),
    }


def test_open_extents_are_given_in_the_order_of_the_file(run: Run, tmp_path: Path) -> None:
    described = sequential((None, None, 3), layer("GlobalAveragePooling2D", "g"))
    path = written(tmp_path, described, {}, ".h5")
    code, _, told = run("import", str(path))
    assert (code, "leaves extents open: ?x?x3" in told) == (2, True)
    assert "--shape 224x224x3" in told
    code, _, told = run("import", str(path), "--shape", "3x8x8")
    assert (code, "is ?x?x3, and not 3x8x8" in told) == (2, True)
    code, spec, _ = run("import", str(path), "--shape", "8x6x3")
    assert (code, "input: [3, 8, 6]" in spec) == (0, True)


# What is refused


def test_all_that_cannot_be_said_is_told_at_once(run: Run, tmp_path: Path) -> None:
    code = {"class_name": "function", "config": "evil"}
    described = sequential(
        (8, 8, 2),
        layer("Lambda", "run_me", function=["4wEAAAAAAAAA", None, None]),
        layer("Embedding", "first"),
        layer("Embedding", "second"),
        layer("Activation", "odd", activation=code),
        layer("Mine>Layer", "own"),
        layer("LSTM", "deep", units=2),
        layer("Conv2D", "lacks", filters=2, kernel_size=3),
    )
    path = written(tmp_path, described, {}, ".h5")
    found = mistakes(path)
    assert found == [
        "E0804: FILE: `Embedding`: first and 1 more",
        "E0804: FILE: `Lambda`: run_me",
        "E0804: FILE: `Mine>Layer`: own",
    ]
    code_, _, _ = run("import", str(path), "-o", "x.yaml", "--weights", "x.safetensors")
    assert code_ == 2
    assert not Path("x.yaml").exists()
    assert not Path("x.safetensors").exists()


REFUSED: Mapping[str, tuple[Description, str]] = {
    "activation": (layer("Activation", "a", activation="squareplus"), "with the activation 'squareplus'"),
    "function": (
        layer("Activation", "a", activation={"class_name": "function", "config": "mine"}),
        "with an activation of its own, 'mine'",
    ),
    "hard sigmoid": (layer("Activation", "a", activation="hard_sigmoid"), "a slope of 0.2 in Keras 2"),
    "no arrays": (layer("Conv2D", "c", filters=2, kernel_size=1), "a parameter of None"),
    "kernel": (layer("Conv2D", "c", filters=2, kernel_size="3"), "`kernel_size` = '3'"),
    "padding": (layer("MaxPooling2D", "p", padding="full"), "`padding` = 'full'"),
    "dense": (layer("Reshape", "r", target_shape=[7, 7]), "`target_shape` = [7, 7] for 24 elements"),
    "shape": (layer("Reshape", "r", target_shape=[0, -1]), "`target_shape` = [0, -1]"),
    "axis": (layer("BatchNormalization", "n", axis=0), "`axis` = 0"),
    "rank": (layer("Conv1D", "c", filters=2, kernel_size=1), "a value of 3 axes"),
    "threshold": (layer("ReLU", "r", threshold=0.5), "`threshold` = 0.5"),
    "backwards": (layer("LSTM", "l", units=1, go_backwards=True), "with `go_backwards`"),
    "dims": (layer("Permute", "p", dims=[1, 1, 2]), "`dims` = [1, 1, 2]"),
    "both ways": (layer("Bidirectional", "b", layer=layer("LSTM", "l", units=1)), "time that runs backwards"),
    "steps": (
        layer("TimeDistributed", "t", layer=layer("Conv1D", "c", filters=1, kernel_size=1)),
        "of `Conv1D`, for which each step would be an image",
    ),
    "no layer": (layer("TimeDistributed", "t"), "with settings that it cannot have"),
    "unknown": (layer("Attention", "a"), "`Attention`: a"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_ours_is_not_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    bad, said = REFUSED[name]
    (found,) = mistakes(written(tmp_path, sequential((3, 4, 2), bad), {}, ".h5"))
    assert found.startswith("E0804: FILE: ")
    assert said in found


def test_python_is_refused_in_every_kind_of_file(tmp_path: Path) -> None:
    """A class of another package, one under a registered name, and a function of NumPy's."""
    for more, name in (
        ({"module": "os", "class_name": "system"}, "os.system"),
        ({"module": "builtins", "registered_name": "Custom>Dense"}, "Custom>Dense"),
        ({"module": "keras_hub.layers"}, "keras_hub.layers.Dense"),
    ):
        described = sequential((4,), layer("Dense", "d", units=2) | more)
        (found,) = mistakes(written(tmp_path, described, {}, ".h5"))
        assert found == f"E0804: FILE: `{name}`: d"


Broken = Callable[[Description], Any]
BROKEN: Mapping[str, tuple[Broken, str]] = {
    "a circle": (
        lambda d: functional(
            layer("InputLayer", "x", batch_shape=[None, 4]),
            layer("Add", "a", ["x", "b"]),
            layer("ReLU", "b", "a"),
            inputs=["x"],
            outputs=["b"],
        ),
        "needs what it computes itself",
    ),
    "a value of nothing": (
        lambda d: functional(
            layer("InputLayer", "x", batch_shape=[None, 4]),
            layer("ReLU", "a", "gone"),
            inputs=["x"],
            outputs=["a"],
        ),
        "reads a value of `gone`, which nothing computes",
    ),
    "no layers": (lambda d: {"class_name": "Sequential", "config": {"layers": []}}, "has no layers"),
    "no model": (lambda d: layer("Dense", "d"), "it describes a `Dense`"),
    "no class": (lambda d: {"config": {}}, "it lacks `class_name`"),
    "a list": (lambda d: [d], "list indices"),
    "twice": (lambda d: sequential((4,), layer("ReLU", "r"), layer("ReLU", "r")), "have the same name"),
    "deep": (lambda d: nested(40), "its models are more than 32 deep"),
    "wide": (lambda d: doubled(15), "calls layers more than 16,384 times"),
    "no shape": (lambda d: {"class_name": "Sequential", "config": [layer("ReLU", "r")]}, "has no shape"),
    "a wild shape": (
        lambda d: {
            "class_name": "Sequential",
            "config": [layer("ReLU", "r", batch_input_shape=[None, -3])],
        },
        "has the shape [None, -3]",
    ),
    "a constant": (
        lambda d: functional(
            layer("InputLayer", "x", batch_shape=[None, 4]),
            layer("ReLU", "a") | {"inbound_nodes": [[["_CONSTANT_VALUE", -1, 3.0, {}]]]},
            inputs=["x"],
            outputs=["a"],
        ),
        "called on a constant",
    ),
    "an option": (
        lambda d: functional(
            layer("InputLayer", "x", batch_shape=[None, 4]),
            layer("Dropout", "a") | {"inbound_nodes": [[["x", 0, 0, {"training": True}]]]},
            inputs=["x"],
            outputs=["a"],
        ),
        "called with `training`",
    ),
}


def nested(depth: int) -> Description:
    found = layer("ReLU", "r")
    for number in range(depth):
        found = sequential((4,), found, name=f"n{number}")
    return found


def doubled(depth: int) -> Description:
    """A model that calls one twice that calls one twice, and so on."""
    found = sequential((4,), layer("ReLU", "r"), name="n")
    for number in range(depth):
        inner = found | {"name": found["config"]["name"]}
        name = inner["name"]
        found = functional(
            layer("InputLayer", "x", batch_shape=[None, 4]),
            inner | {"inbound_nodes": [[["x", 0, 0, {}]], [[name, 0, 0, {}]]]},
            inputs=["x"],
            outputs=[name],
            name=f"n{number}",
        )
        found["config"]["output_layers"] = [[name, 1, 0]]
    return found


@pytest.mark.parametrize("name", BROKEN)
def test_a_description_that_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    make, said = BROKEN[name]
    found = mistakes(written(tmp_path, make({}), {}, ".h5"))
    assert any(said in each for each in found), found
    assert {each[:5] for each in found} <= {"E0801", "E0804"}


def test_files_without_a_model_are_refused(tmp_path: Path) -> None:
    h5py: Any = import_module("h5py")
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"d"]
        file.create_group("d").attrs["weight_names"] = np.array([], "S1")
    assert "holds weights without their model" in mistakes(path)[0]
    path = tmp_path / "model.json"
    graph = {"format": "graph-model", "modelTopology": {"node": []}}
    path.write_text(json.dumps(graph | {"weightsManifest": [{"paths": [], "weights": []}]}), "utf-8")
    assert "it is a graph model of TensorFlow.js" in mistakes(path)[0]
    path.write_text("{}", "utf-8")
    assert "no `weightsManifest`" in mistakes(path)[0]
    path.write_text("[" * 100_000, "utf-8")
    assert mistakes(path)[0].startswith("E0")
    (tmp_path / "x.keras").write_bytes(b"PK\3\4 metadata.json and no more")
    assert mistakes(tmp_path / "x.keras")[0].startswith("E0801: FILE is no file of Keras")


def test_a_file_of_keras_that_lies_is_refused(tmp_path: Path) -> None:
    """Links out of the file, shapes that are not there, descriptions that are bombs, shards elsewhere."""
    h5py: Any = import_module("h5py")
    described = sequential((4,), layer("Dense", "d", units=2))
    arrays = random_arrays({"d": {"kernel": (4, 2), "bias": (2,)}})
    path = written(tmp_path, described, arrays, ".h5")
    with h5py.File(path, "a") as file:
        del file["model_weights/d/d"]
        file["model_weights/d/d"] = h5py.ExternalLink("/etc/passwd", "/")
    assert "is a link to another place" in mistakes(path)[0]
    path = written(tmp_path, described, arrays, ".h5")
    with h5py.File(path, "a") as file:
        del file["model_weights/d"]
        file["model_weights/d"] = h5py.SoftLink("/model_weights/d")
    assert mistakes(path)[0].startswith("E0801")
    path = written(tmp_path, described, arrays, ".h5")
    with h5py.File(path, "a") as file:
        del file["model_weights/d/d/kernel:0"]
        file.create_dataset("model_weights/d/d/kernel:0", (1 << 40, 2), "f4", chunks=(1 << 20, 1))
    assert "is said to take" in mistakes(path)[0]
    path = written(tmp_path, described, arrays, ".keras")
    with zipfile.ZipFile(path) as archive:
        weights = archive.read("model.weights.h5")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", b" " * ((1 << 26) + 1))
        archive.writestr("model.weights.h5", weights, zipfile.ZIP_STORED)
    path.write_bytes(content.getvalue())
    assert "config.json has more than" in mistakes(path)[0]
    path = written(tmp_path, described, arrays, ".json")
    text = path.read_text("utf-8")
    path.write_text(text.replace("group1-shard1of1.bin", "../w.bin"), "utf-8")
    assert "is no name of a file beside it" in mistakes(path)[0]


# What Keras itself says of the same file

APPLICATIONS: Mapping[str, Mapping[str, Any]] = {
    "MobileNetV2": {"alpha": 0.35, "input_shape": (96, 96, 3)},
    "MobileNetV3Small": {"alpha": 0.75, "input_shape": (64, 64, 3)},
    "DenseNet121": {"input_shape": (64, 64, 3)},
    "EfficientNetB0": {"input_shape": (64, 64, 3)},
    "ConvNeXtTiny": {"input_shape": (64, 64, 3)},
}


# Files that the version of Keras that wrote them does not open.
UNOPENED = {("ConvNeXtTiny", ".h5"), ("MobileNetV3Small", ".h5")}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's arrays, by NumPy
@pytest.mark.parametrize("ending", [".h5", ".keras"])
@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_is_that_of_keras(name: str, ending: str, tmp_path: Path) -> None:
    keras: Any = pytest.importorskip("keras", reason="`make test-interchange` installs it")
    model = getattr(keras.applications, name)(weights=None, classes=10, **APPLICATIONS[name])
    model.save(tmp_path / f"model{ending}")
    made = driver.import_file(tmp_path / f"model{ending}")
    if (name, ending) in UNOPENED:
        model.save(tmp_path / "model.keras")
        other = driver.import_file(tmp_path / "model.keras", layer_check=False)
        assert made.check is None
        assert made.spec.text.partition("\n")[2] == other.spec.text.partition("\n")[2]
        assert made.spec.arrays.keys() == other.spec.arrays.keys()
        for own, array in made.spec.arrays.items():
            np.testing.assert_array_equal(array, other.spec.arrays[own])
        return
    assert made.check is not None, made.reason
    assert made.check.layers > 50
    assert made.check.worst < 2e-5


def test_keras_is_let_run_nothing_but_its_own_layers() -> None:
    """A file says by name what Keras imports and calls, in any of its settings."""
    for name in (
        "os.system",
        "keras.utils.get_file",
        "keras.src.utils.python_utils.func_load",
        "keras.layers.Lambda",
        "keras.layers.TorchModuleWrapper",
        "keras.saving.load_model",
        "builtins.function",
        "kerashub.layers.Dense",
        "__lambda__",
        "function",
    ):
        assert not can_be_run(name), name
    described = sequential((4,), layer("Dense", "d", kernel_initializer={"class_name": "Zeros"}))
    assert all(map(can_be_run, named_classes(described)))
    for name in ("keras.layers.Dense", "keras.initializers.Zeros", "keras.src.models.functional.Functional"):
        assert can_be_run(name)
    hidden = {"module": "os", "class_name": "system", "config": {}}
    described = sequential((4,), layer("Dense", "d", bias_regularizer=[{"deep": hidden}]))
    assert "os.system" in named_classes(described)


def test_a_network_of_the_zoo_is_named_with_what_is_around_it() -> None:
    whole = expand(networks()["lenet_5"], networks()["lenet_5"].profile_names[0]).graph
    (name,), (output,) = whole.inputs, whole.outputs.values()
    norm, softmax = bound_op("bn", affine=False), bound_op("softmax")
    graph = whole.graph.replace_uses({name: "norm"})
    nodes = (
        Node("norm", norm, (name,), 0, None, "norm"),
        *graph.nodes,
        Node("end", softmax, (output,), 0, None, "end"),
    )
    around = infer(replace(graph, nodes=nodes, outputs={"output": "end"}))
    assert [(m.network, m.besides) for m in zoo_matches(around, networks().values())] == [
        ("lenet_5", ("bn", "softmax"))
    ]
