"""Networks of Caffe as graphs and specs of ours: what is read, what is left out, what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import archforge
from archforge import driver
from archforge.errors import DiagnosticError
from archforge.interchange.caffe.network import open_caffe
from archforge.interchange.caffe.reading import read_caffe_network
from archforge.interchange.caffe.running import CaffeRun
from archforge.interchange.imported import Imported
from archforge.interchange.layer_check import checked_layers
from archforge.interchange.normalize import normalized
from archforge.interchange.unsupported import Unsupported
from archforge.interchange.written_spec import written_spec
from archforge.ops.base import Array
from tests.conftest import Run
from tests.imported_ops import ops
from tests.test_weight_formats import field, layer, number, old_layer

INPUT = 'input: "data" input_shape { dim: 1 dim: 4 dim: 9 dim: 8 }\n'
rng = np.random.default_rng(0)


def weight(*shape: int) -> Array:
    return rng.normal(0, 0.5, shape).astype(np.float32)


NORM = [weight(4), weight(4) ** 2 + 1, np.array([2.0])]


def chain(*layers: str) -> str:
    """A prototxt of layers one behind the other, each given by its type, name and settings."""
    text, bottom = INPUT, "data"
    for i, given_layer in enumerate(layers):
        kind, _, settings = given_layer.partition(" ")
        text += f'layer {{ name: "l{i}" type: "{kind}" bottom: "{bottom}" top: "t{i}" {settings} }}\n'
        bottom = f"t{i}"
    return text


def imported(folder: Path, text: str, weights: Mapping[str, list[Array]] | None = None) -> Imported:
    """The normalised graph of a prototxt, whose layers have these blobs."""
    return normalized(read_caffe_network(open_caffe(*files(folder, text, weights)), "net", {}))


def files(
    folder: Path, text: str, weights: Mapping[str, list[Array]] | None = None
) -> tuple[Path, Path | None]:
    path, model = folder / "net.prototxt", folder / "net.caffemodel"
    path.write_text(text, "utf-8")
    if weights is None:
        return path, None
    weights = weights or {"unused": [weight(1)]}
    kinds = {name: "BatchNorm" for name, arrays in weights.items() if len(arrays) == 3}
    kinds |= {name: "InnerProduct" for name, arrays in weights.items() if arrays and arrays[0].ndim == 2}
    model.write_bytes(b"".join(layer(n, kinds.get(n, "Any"), *arrays) for n, arrays in weights.items()))
    return path, model


# Each: a prototxt, the blobs of its layers, and what it is in our ops.
CASES: dict[str, tuple[str, dict[str, list[Array]], list[str]]] = {
    "convolution": (
        chain("Convolution convolution_param { num_output: 6 kernel_size: 3 stride: 2 pad: 1 group: 2 }"),
        {"l0": [weight(6, 2, 3, 3), weight(6)]},
        ["conv out=6 kernel=3 stride=2 padding=1 groups=2"],
    ),
    "one number an axis": (
        chain(
            "Convolution convolution_param { num_output: 2 kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 1"
            " stride_h: 2 stride_w: 1 bias_term: false }"
        ),
        {"l0": [weight(2, 4, 1, 3)]},
        ["conv out=2 kernel=(1, 3) stride=(2, 1) padding=(0, 1) bias=False"],
    ),
    "a dilated one": (
        chain("Convolution convolution_param { num_output: 2 kernel_size: 3 pad: 2 dilation: 2 }"),
        {"l0": [weight(2, 4, 3, 3), weight(2)]},
        ["conv out=2 kernel=3 padding=2 dilation=2"],
    ),
    "deconvolution": (
        chain("Deconvolution convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 group: 4 }"),
        {"l0": [weight(4, 1, 4, 4), weight(4)]},
        ["conv_transpose out=4 kernel=4 stride=2 padding=1 groups=4"],
    ),
    "pools whose last window is partial": (
        chain(
            "Pooling pooling_param { pool: MAX kernel_size: 3 stride: 2 }",
            "Pooling pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }",
        ),
        {},
        ["max_pool kernel=3 stride=2 ceil=True", "avg_pool kernel=3 stride=2 padding=1 ceil=True"],
    ),
    "a pool of whole windows": (
        chain("Pooling pooling_param { pool: MAX kernel_size: 2 stride: 2 round_mode: FLOOR }"),
        {},
        ["max_pool kernel=2"],
    ),
    "a pool of all": (
        chain("Pooling pooling_param { pool: AVE global_pooling: true }"), {}, ["global_avg_pool"],
    ),
    "a norm and its scale": (
        chain(
            "BatchNorm batch_norm_param { eps: 0.001 }",
            "Scale scale_param { bias_term: true }",
        ),
        {"l0": NORM, "l1": [weight(4), weight(4)]},
        ["bn eps=0.001"],
    ),
    "a norm alone": (chain("BatchNorm"), {"l0": NORM}, ["bn affine=False"]),
    "a scale alone": (chain("Scale"), {"l0": [weight(4)]}, ["layer_scale"]),
    "products that end at a map": (
        chain("InnerProduct inner_product_param { num_output: 5 }", "Softmax"),
        {"l0": [weight(5, 288), weight(5)]},
        ["flatten", "linear out=5", "softmax"],
    ),
    "a matrix that is turned": (
        chain(
            "Flatten",
            "InnerProduct inner_product_param { num_output: 5 bias_term: false transpose: true }",
        ),
        {"l1": [weight(288, 5)]},
        ["flatten", "linear out=5 bias=False"],
    ),
    "rectifiers": (
        chain("ReLU relu_param { negative_slope: 0.2 }", "PReLU", "ReLU", "ELU elu_param { alpha: 0.5 }"),
        {"l1": [weight(4)]},
        ["leaky_relu slope=0.2", "prelu per_channel=True", "relu", "elu alpha=0.5"],
    ),
    "other functions": (chain("Sigmoid", "TanH", "AbsVal"), {}, ["sigmoid", "tanh", "abs"]),
    "a response norm": (
        chain("LRN lrn_param { local_size: 3 alpha: 0.5 beta: 0.7 k: 2 }"),
        {},
        ["lrn size=3 alpha=0.5 beta=0.7 k=2.0"],
    ),
    "a power": (
        chain("Power power_param { scale: 0.5 shift: 1 }", "Power power_param { power: 2 }"),
        {},
        ["scale factor=0.5", "offset number=1.0", "multiply"],
    ),
    "sums with coefficients": (
        INPUT
        + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'
        + 'layer { name: "e" type: "Eltwise" bottom: "data" bottom: "r" top: "e"'
        + " eltwise_param { operation: SUM coeff: 0.5 coeff: 1 } }"
        + 'layer { name: "d" type: "Eltwise" bottom: "e" bottom: "r" top: "d"'
        + " eltwise_param { coeff: 1 coeff: -1 } }"
        + 'layer { name: "p" type: "Eltwise" bottom: "d" bottom: "r" top: "p"'
        + " eltwise_param { operation: PROD } }",
        {},
        ["relu", "scale factor=0.5", "add", "subtract", "multiply"],
    ),
    "parts that are put together": (
        INPUT
        + 'layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { slice_point: 1 } }'
        + 'layer { name: "c" type: "Concat" bottom: "b" bottom: "a" top: "c" concat_param { axis: -3 } }',
        {},
        ["roll shift=-1 axis=0"],
    ),
    "another shape": (
        chain("Reshape reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 8 } }"), {},
        ["reshape shape=(2, 18, 8)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_layer_is_said_in_our_ops(case: str, tmp_path: Path) -> None:
    text, weights, expected = CASES[case]
    made = imported(tmp_path, text, weights)
    assert ops(made) == expected
    assert ops(imported(tmp_path, text)) == expected  # without weights, too
    spec = written_spec(made, "net", "")
    assert len(archforge.load(spec.text).graph.nodes) == len(expected)


@pytest.mark.skipif(find_spec("cv2") is None, reason="OpenCV is not installed")
@pytest.mark.parametrize("case", CASES)
def test_a_layer_computes_what_opencv_does(case: str, tmp_path: Path) -> None:
    text, weights, _ = CASES[case]
    source = open_caffe(*files(tmp_path, text, weights))
    try:
        check = checked_layers(normalized(read_caffe_network(source, "net", {})), CaffeRun(source))
    except Unsupported as reason:
        pytest.skip(str(reason))
    assert check.layers
    assert check.first is None


def test_a_norm_and_its_scale_are_one(tmp_path: Path) -> None:
    text, weights, _ = CASES["a norm and its scale"]
    made = imported(tmp_path, text, weights)
    (mean, var, factor), (gamma, beta) = weights["l0"], weights["l1"]
    x = rng.normal(size=(1, 4, 9, 8))
    (node,) = made.graph.nodes
    y = node.op.reference({name.rpartition(".")[2]: array for name, array in made.arrays.items()}, x)
    mean, scale = (a[:, None, None] for a in (mean / factor, gamma / np.sqrt(var / factor + 1e-3)))
    np.testing.assert_allclose(y, (x - mean) * scale + beta[:, None, None], rtol=1e-5, atol=1e-6)


OLD = """
name: "old"
input: "data"
input_dim: 10
input_dim: 4
input_dim: 9
input_dim: 8
layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" blobs_lr: 1 weight_decay: 1
  convolution_param { num_output: 2 kernel_size: 3 } }  # in place from here
layers { name: "r" type: RELU bottom: "c" top: "c" }
layers { name: "d" type: DROPOUT bottom: "c" top: "c" dropout_param { dropout_ratio: 0.25 } }
layers { name: "f" type: INNER_PRODUCT bottom: "c" top: "f" inner_product_param { num_output: 3 } }
layers { name: "s" type: SOFTMAX bottom: "f" top: "s" }
"""


def test_layers_of_before_2015_are_read(tmp_path: Path) -> None:
    path, model = tmp_path / "old.prototxt", tmp_path / "old.caffemodel"
    path.write_text(OLD, "utf-8")
    kernel, matrix = weight(2, 4, 3, 3), weight(3, 84)
    model.write_bytes(old_layer("c", 4, kernel, weight(2)) + old_layer("f", 14, matrix, weight(3)))
    made = normalized(read_caffe_network(open_caffe(path, model), "old", {}))
    assert ops(made) == [
        "conv out=2 kernel=3",
        "relu",
        "dropout rate=0.25",
        "flatten",
        "linear out=3",
        "softmax",
    ]
    np.testing.assert_array_equal(made.arrays["c.weight"], kernel)
    np.testing.assert_array_equal(made.arrays["f.weight"], matrix)


TRAINED = """
layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 5 } }
layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.5 mean_value: 104 mean_value: 117 crop_size: 9 force_gray: true } }
layer { name: "noise" type: "Dropout" bottom: "data" top: "data" include { phase: TRAIN } }
layer { name: "f" type: "InnerProduct" bottom: "data" top: "f" inner_product_param { num_output: 3 } }
layer { name: "two" type: "ReLU" bottom: "f" top: "two" include { stage: "deploy" } }
layer { name: "three" type: "ReLU" bottom: "f" top: "three" exclude { phase: TEST } }
layer { name: "hit" type: "Accuracy" bottom: "f" bottom: "label" top: "hit" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "label" top: "loss" }
"""


def test_the_phase_of_tests_is_taken(tmp_path: Path) -> None:
    made = imported(tmp_path, TRAINED)
    assert ops(made) == ["flatten", "linear out=3"]
    assert [str(t) for t in made.graph.inputs.values()] == ["1x9x9"]
    assert made.notes == (
        "left out, as no part of a network: hit, loss",
        "before the network, the layer `d` subtracts 104, 117 and multiplies by 0.5",
    )
    staged = 'state { stage: "deploy" }' + TRAINED
    assert ops(imported(tmp_path, staged)) == ["flatten", "linear out=3", "relu"]


def test_a_caffemodel_alone_has_its_network(tmp_path: Path) -> None:
    def blob(array: Array) -> bytes:
        return field(7, field(7, field(1, b"".join(map(number, array.shape)))) + field(5, array.tobytes()))

    kernel = weight(2, 4, 3, 3)
    floats = np.array([0.1], "<f4").tobytes()
    layers = (
        field(1, "data") + field(2, "Input") + field(4, "data")
        + field(143, field(1, b"".join(field(1, n) for n in (1, 4, 9, 8)))),
        field(1, "c") + field(2, "Convolution") + field(3, "data") + field(4, "c")
        + field(106, field(1, 2) + field(2, 0) + field(4, 3)) + blob(kernel),
        field(1, "r") + field(2, "ReLU") + field(3, "c") + field(4, "c")
        + field(123, number(1 << 3 | 5) + floats),
        field(1, "p") + field(2, "Pooling") + field(3, "c") + field(4, "p")
        + field(121, field(1, 1) + field(2, 3) + field(3, 2)),
    )  # fmt: skip
    path = tmp_path / "net.caffemodel"
    path.write_bytes(field(1, "net") + b"".join(field(100, each) for each in layers))
    made = driver.import_file(path)
    assert ops(made.imported) == [
        "conv out=2 kernel=3 bias=False", "leaky_relu slope=0.1", "avg_pool kernel=3 stride=2 ceil=True",
    ]  # fmt: skip
    np.testing.assert_array_equal(made.spec.arrays["conv.weight"], kernel)
    if find_spec("cv2"):
        assert made.check is not None
        assert made.check.layers == 3


def test_parameters_of_one_name_are_shared(tmp_path: Path) -> None:
    shared = 'param { name: "w" } param { name: "b" } convolution_param { num_output: 4 kernel_size: 1 }'
    kernel, bias = weight(4, 4, 1, 1), weight(4)
    text = chain(f"Convolution {shared}", f"Convolution {shared}")
    made = imported(tmp_path, text, {"l0": [kernel, bias], "l1": [kernel, bias]})
    assert len(made.graph.params()) == 2


def test_what_is_not_expressible_is_refused_at_once(run: Run, tmp_path: Path) -> None:
    text = chain(
        "Convolution convolution_param { num_output: 4 kernel_size: 3 }",
        "Normalize norm_param { across_spatial: false }",
        "LRN lrn_param { norm_region: WITHIN_CHANNEL }",
    ) + "".join(
        f'layer {{ name: "b{i}" type: "PriorBox" bottom: "t0" bottom: "data" top: "b{i}"'
        f" prior_box_param {{ min_size: {i} }} }}\n"
        for i in range(3)
    )
    text += 'layer { name: "e" type: "Eltwise" bottom: "t0" bottom: "t0" top: "e"'
    text += " eltwise_param { operation: MAX } }"
    (tmp_path / "ssd.prototxt").write_text(text, "utf-8")
    code, out, err = run("import", "ssd.prototxt", "-o", "ssd.yaml")
    assert (code, out) == (2, "")
    assert err.split("\n\n")[:3] == [
        "E0804: ssd.prototxt: `PriorBox`: ssd.prototxt:5 (b0) and 2 more",
        "E0804: ssd.prototxt: `Normalize`: ssd.prototxt:3 (l1)",
        "E0804: ssd.prototxt: `Eltwise`, the largest of several values: ssd.prototxt:8 (e)\n",
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["ssd.prototxt"]


REFUSED = {
    "LRN lrn_param { norm_region: WITHIN_CHANNEL }": "`LRN`, within each channel",
    "LRN lrn_param { local_size: 4 }": "`LRN`, an even window",
    "Pooling pooling_param { pool: STOCHASTIC kernel_size: 2 }": "`Pooling`, by chance",
    "Pooling pooling_param { kernel_size: 1 stride: 8 }": "`Pooling`, a window beside its input",
    "Power power_param { power: 0.5 }": "`Power`, a power of 0.5",
    "Convolution convolution_param { num_output: 3 kernel_size: 2 group: 2 }": "`Convolution`, 2 groups",
    "Convolution convolution_param { num_output: 3 }": "`Convolution`, no `kernel_size`",
    "Softmax softmax_param { axis: 0 }": "`Softmax`, along the batch",
    "Softmax softmax_param { axis: 7 }": "`Softmax`, axis 7 of an array of 4",
    "BatchNorm batch_norm_param { use_global_stats: false }": "`BatchNorm`, statistics of the batch",
    "Slice slice_param { slice_point: 2 slice_point: 3 }": "`Slice`, 2 points for 1 parts",
}  # fmt: skip


@pytest.mark.parametrize("given_layer", REFUSED)
def test_a_use_that_is_not_expressible_is_refused(given_layer: str, tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError) as caught:
        imported(tmp_path, chain(given_layer))
    assert REFUSED[given_layer] in caught.value.diagnostics[0].message


MISTAKES = {
    'layer { name: "a" type: "ReLU" bottom: "dta" top: "b" }':
        "2:32: E0803: the layer `a` reads `dta`, which nothing before it makes",
    'layer { name: "a" type: "ReLU" bottom: "data" top: "b" relu_param { slope: 1 } }':
        "2:69: E0802: unknown field `slope`",
    'layer { name: "a" type: "ReLU" bottom: "data" top: "b" relu_parm { } }':
        "2:56: E0802: unknown field `relu_parm`",
    'layer { name: "a" type: "Pooling" pooling_param { pool: AVG } }':
        "2:57: E0802: `pool` is AVG, which it cannot be",
    'layer { name: "a" type: "Pooling" pooling_param { kernel_size: 1.5 } }':
        "2:64: E0802: `kernel_size` takes a whole number, found 1.5",
    'layer { name: "a" name: "b" type: "ReLU" }': "2:19: E0802: `name` is given twice",
    'layer { name: "a }': "2:15: E0801: the text is no prototxt: expected a value, found `\"`",
    'layer { name "a" }': "2:14: E0801: the text is no prototxt: expected `:` behind `name`, found `\"a\"`",
    'layer { name: "a"': "2:18: E0801: the text is no prototxt: expected the name of a field or `}`",
    "layer { type: ReLU }": "2:15: E0802: `type` takes text in quotes, found ReLU",
    'layer { name: "a" }': "2:1: E0801: the layer 'a' has no type",
    'input_dim: 3 layer { name: "a" type: "ReLU" bottom: "data" top: "b" }':
        "2:1: E0801: 1 of `input` and 1 of `input_dim`",
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_prototxt_has_its_place(mistake: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(INPUT + mistake, "utf-8")
    code, out, err = run("import", "net.prototxt", "-o", "net.yaml")
    assert (code, out) == (2, "")
    assert err.startswith(f"net.prototxt:{MISTAKES[mistake]}")
    assert not (tmp_path / "net.yaml").exists()


def test_weights_that_do_not_fit_are_refused(run: Run, tmp_path: Path) -> None:
    text = chain("Convolution convolution_param { num_output: 2 kernel_size: 3 }", "PReLU")
    files(tmp_path, text, {"l0": [weight(2, 3, 3, 3), weight(2)], "other": [weight(2)]})
    code, _, err = run("import", "net.prototxt", "net.caffemodel", "-o", "net.yaml")
    assert code == 2
    assert "`Convolution`, a weight of (2, 3, 3, 3) where (2, 4, 3, 3) is needed" in err
    files(tmp_path, text, {"l0": [weight(2, 4, 3, 3), weight(2)]})
    code, _, err = run("import", "net.prototxt", "net.caffemodel", "-o", "net.yaml")
    assert "`PReLU`, whose weight net.caffemodel does not have" in err
    code, _, err = run("import", "net.prototxt", "--weights", "w.npz", "-o", "net.yaml")
    assert (code, err.split("\n")[0]) == (2, "E0705: net.prototxt has no weights that --weights could write")
    code, _, err = run("import", "net.caffemodel", "net.prototxt")
    assert (code, err.split("\n")[0]) == (2, "E0801: net.caffemodel is followed by net.prototxt")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.caffemodel", "net.prototxt"]


def test_weights_without_a_layer_are_told(tmp_path: Path) -> None:
    made = imported(tmp_path, chain("PReLU"), {"l0": [weight(4)], "fc9": [weight(2)]})
    assert made.notes == ("weights of 1 layers are not used: fc9",)


def test_files_that_lie_are_refused(tmp_path: Path) -> None:
    """A text or a caffemodel that is cut, or has other bytes, is read or refused: nothing else is raised."""
    text, weights, _ = CASES["convolution"]
    draws = np.random.default_rng(0)
    refused = 0
    for turn in range(100):
        path, model = files(tmp_path, text, weights)
        assert model is not None
        file = (path, model)[turn % 2]
        content = bytearray(file.read_bytes())
        place = int(draws.integers(len(content)))
        content[place] = int(draws.integers(256))
        file.write_bytes(content[: place if turn % 3 else len(content)])
        for files_of_one in ((path, model), (model, None)):
            try:
                read_caffe_network(open_caffe(*files_of_one), "net", {})
            except DiagnosticError as error:
                refused += bool(error.diagnostics)
    assert refused > 100
