"""Networks of Caffe that everybody has, in the words of their own prototxts, without weights.

The layers are those of their authors: BVLC's CaffeNet and GoogLeNet, VGG-16 (arXiv:1409.1556), ResNet-50
(arXiv:1512.03385) and SqueezeNet 1.1; the numbers of parameters are those of the caffemodels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archforge import driver

Prototxt = Callable[[], Iterator[str]]

V1_TYPES = {
    "Convolution": "CONVOLUTION",
    "ReLU": "RELU",
    "Pooling": "POOLING",
    "LRN": "LRN",
    "InnerProduct": "INNER_PRODUCT",
    "Dropout": "DROPOUT",
    "Softmax": "SOFTMAX",
}


def layer(kind: str, name: str, bottoms: str, top: str = "", settings: str = "", more: str = "") -> str:
    """A layer; without `top` it is called like its value."""
    read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    param = {"InnerProduct": "inner_product", "BatchNorm": "batch_norm"}.get(kind, kind.lower())
    inside = f"{param}_param {{ {settings} }}" if settings else ""
    return f'layer {{ name: "{name}" type: "{kind}" {read} top: "{top or name}" {inside} {more} }}'


def conv(name: str, bottom: str, out: int, kernel: int, settings: str = "") -> str:
    learns = "param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }"
    filler = 'weight_filler { type: "gaussian" std: 0.01 }'
    given = f"num_output: {out} kernel_size: {kernel} {settings} {filler}"
    return layer("Convolution", name, bottom, settings=given, more=learns)


def relu(value: str) -> str:
    return layer("ReLU", f"relu_{value}", value, value)


def pool(name: str, bottom: str, settings: str = "pool: MAX kernel_size: 3 stride: 2") -> str:
    return layer("Pooling", name, bottom, settings=settings)


def linear(name: str, bottom: str, out: int) -> str:
    return layer("InnerProduct", name, bottom, settings=f"num_output: {out}")


def head(size: int) -> str:
    """An input as old files say it, with ten pictures."""
    return f'name: "net" input: "data" input_dim: 10 input_dim: 3 input_dim: {size} input_dim: {size}'


def caffenet() -> Iterator[str]:
    """The network of training and test, of which the test is read."""
    for phase, batch in (("TRAIN", 256), ("TEST", 50)):
        source = f'include {{ phase: {phase} }} data_param {{ source: "lmdb" batch_size: {batch} }}'
        crop = "transform_param { mirror: true crop_size: 227 }"
        yield f'layer {{ name: "data" type: "Data" top: "data" top: "label" {source} {crop} }}'
    norm = "local_size: 5 alpha: 0.0001 beta: 0.75"
    yield conv("conv1", "data", 96, 11, "stride: 4") + relu("conv1") + pool("pool1", "conv1")
    yield layer("LRN", "norm1", "pool1", settings=norm)
    yield conv("conv2", "norm1", 256, 5, "pad: 2 group: 2") + relu("conv2") + pool("pool2", "conv2")
    yield layer("LRN", "norm2", "pool2", settings=f"{norm} norm_region: ACROSS_CHANNELS")
    yield conv("conv3", "norm2", 384, 3, "pad: 1") + relu("conv3")
    yield conv("conv4", "conv3", 384, 3, "pad: 1 group: 2") + relu("conv4")
    yield conv("conv5", "conv4", 256, 3, "pad: 1 group: 2") + relu("conv5") + pool("pool5", "conv5")
    value = "pool5"
    for number in (6, 7):
        value, before = f"fc{number}", value
        yield linear(value, before, 4096) + relu(value)
        yield layer("Dropout", f"drop{number}", value, value, "dropout_ratio: 0.5")
    yield linear("fc8", value, 1000)
    yield layer("Accuracy", "accuracy", "fc8 label", more="include { phase: TEST }")
    yield layer("SoftmaxWithLoss", "loss", "fc8 label")


def vgg_16() -> Iterator[str]:
    yield head(224)
    value = "data"
    for stage, (number, width) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), start=1):
        for i in range(1, number + 1):
            value, before = f"conv{stage}_{i}", value
            yield conv(value, before, width, 3, "pad: 1") + relu(value)
        yield pool(f"pool{stage}", value, "pool: MAX kernel_size: 2 stride: 2")
        value = f"pool{stage}"
    for number, out in ((6, 4096), (7, 4096), (8, 1000)):
        value, before = f"fc{number}", value
        yield linear(value, before, out)
        yield "" if number == 8 else relu(value) + layer("Dropout", f"drop{number}", value, value)
    yield layer("Softmax", "prob", value)


def resnet_50() -> Iterator[str]:
    yield head(224)

    def normed(name: str, bottom: str, out: int, kernel: int, settings: str) -> str:
        scale = layer("Scale", f"scale_{name}", name, name, "bias_term: true")
        norm = layer("BatchNorm", f"bn_{name}", name, name, "use_global_stats: true")
        return conv(name, bottom, out, kernel, settings) + norm + scale

    yield normed("conv1", "data", 64, 7, "stride: 2 pad: 3") + relu("conv1") + pool("pool1", "conv1")
    value = "pool1"
    for stage, (number, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=2):
        for i in range(number):
            name, before = f"res{stage}{'abcdef'[i]}", value
            stride = f"stride: {2 if stage > 2 and i == 0 else 1} bias_term: false"
            if i == 0:
                yield normed(f"{name}_branch1", before, 4 * width, 1, stride)
                value = f"{name}_branch1"
            a, b, c = (f"{name}_branch2{letter}" for letter in "abc")
            yield normed(a, before, width, 1, stride) + relu(a)
            yield normed(b, a, width, 3, "pad: 1 bias_term: false") + relu(b)
            yield normed(c, b, 4 * width, 1, "bias_term: false")
            yield layer("Eltwise", name, f"{value} {c}", settings="operation: SUM") + relu(name)
            value = name
    yield pool("pool5", value, "pool: AVE kernel_size: 7 stride: 1") + linear("fc1000", "pool5", 1000)
    yield layer("Softmax", "prob", "fc1000")


def squeezenet() -> Iterator[str]:
    shape = "shape: { dim: 1 dim: 3 dim: 227 dim: 227 }"
    yield f'layer {{ name: "data" type: "Input" top: "data" input_param {{ {shape} }} }}'
    yield conv("conv1", "data", 64, 3, "stride: 2") + relu("conv1") + pool("pool1", "conv1")
    value = "pool1"
    for i, width in enumerate((16, 16, 32, 32, 48, 48, 64, 64), start=2):
        small, first, second = (f"fire{i}/{part}" for part in ("squeeze1x1", "expand1x1", "expand3x3"))
        yield conv(small, value, width, 1) + relu(small) + conv(first, small, 4 * width, 1) + relu(first)
        yield conv(second, small, 4 * width, 3, "pad: 1") + relu(second)
        yield layer("Concat", f"fire{i}/concat", f"{first} {second}")
        value = f"fire{i}/concat"
        if i in (3, 5):
            yield pool(f"pool{i}", value)
            value = f"pool{i}"
    yield layer("Dropout", "drop9", value, value) + conv("conv10", value, 1000, 1) + relu("conv10")
    yield pool("pool10", "conv10", "pool: AVE global_pooling: true") + layer("Softmax", "prob", "pool10")


def googlenet() -> Iterator[str]:
    yield head(224)
    norm = "local_size: 5 alpha: 0.0001 beta: 0.75"
    yield conv("conv1/7x7_s2", "data", 64, 7, "stride: 2 pad: 3") + relu("conv1/7x7_s2")
    yield pool("pool1", "conv1/7x7_s2") + layer("LRN", "norm1", "pool1", settings=norm)
    yield conv("conv2/3x3_reduce", "norm1", 64, 1) + relu("conv2/3x3_reduce")
    yield conv("conv2/3x3", "conv2/3x3_reduce", 192, 3, "pad: 1") + relu("conv2/3x3")
    yield layer("LRN", "norm2", "conv2/3x3", settings=norm) + pool("pool2", "norm2")
    value = "pool2"
    for name, *widths in (
        ("3a", 64, 96, 128, 16, 32, 32), ("3b", 128, 128, 192, 32, 96, 64),
        ("4a", 192, 96, 208, 16, 48, 64), ("4b", 160, 112, 224, 24, 64, 64),
        ("4c", 128, 128, 256, 24, 64, 64), ("4d", 112, 144, 288, 32, 64, 64),
        ("4e", 256, 160, 320, 32, 128, 128), ("5a", 256, 160, 320, 32, 128, 128),
        ("5b", 384, 192, 384, 48, 128, 128),
    ):  # fmt: skip
        at, (a, b, c, d, e, f) = f"inception_{name}", widths
        yield conv(f"{at}/1x1", value, a, 1) + relu(f"{at}/1x1")
        for size, less, more in ((3, b, c), (5, d, e)):
            small, wide = f"{at}/{size}x{size}_reduce", f"{at}/{size}x{size}"
            yield conv(small, value, less, 1) + relu(small)
            yield conv(wide, small, more, size, f"pad: {size // 2}") + relu(wide)
        yield pool(f"{at}/pool", value, "pool: MAX kernel_size: 3 stride: 1 pad: 1")
        yield conv(f"{at}/pool_proj", f"{at}/pool", f, 1) + relu(f"{at}/pool_proj")
        parts = " ".join(f"{at}/{part}" for part in ("1x1", "3x3", "5x5", "pool_proj"))
        value = f"{at}/output"
        yield layer("Concat", value, parts)
        if name in ("3b", "4e"):
            yield pool(f"pool_{name}", value)
            value = f"pool_{name}"
    yield pool("pool5", value, "pool: AVE kernel_size: 7 stride: 1")
    yield layer("Dropout", "drop", "pool5", "pool5", "dropout_ratio: 0.4")
    yield linear("loss3/classifier", "pool5", 1000) + layer("Softmax", "prob", "loss3/classifier")


def as_v1(text: str) -> str:
    """The prototxt in the older form, with types in capitals and without quotes."""
    for kind, word in V1_TYPES.items():
        text = text.replace(f'type: "{kind}"', f"type: {word}")
    text = text.replace("layer {", "layers {")
    return text.replace(
        "param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }", "blobs_lr: 1 blobs_lr: 2"
    )


PARAMETERS: dict[Prototxt, int] = {
    caffenet: 60_965_224,
    vgg_16: 138_357_544,
    squeezenet: 1_235_496,
    googlenet: 6_998_552,
    resnet_50: 25_557_096,  # the paper's first convolution has a bias
}
LINES: dict[Prototxt, int] = {caffenet: 26, vgg_16: 24, squeezenet: 32, googlenet: 46, resnet_50: 33}


@pytest.mark.slow
@pytest.mark.parametrize(
    "network", PARAMETERS, ids=["caffenet", "vgg_16", "squeezenet", "googlenet", "resnet_50"]
)
def test_a_famous_network_is_read(network: Prototxt, tmp_path: Path) -> None:
    assert_read("\n".join(network()), network, tmp_path)


@pytest.mark.slow
def test_the_older_form_is_the_same_network(tmp_path: Path) -> None:
    assert_read(as_v1("\n".join(vgg_16())), vgg_16, tmp_path)


def assert_read(text: str, network: Prototxt, folder: Path) -> None:
    path = folder / "net.prototxt"
    path.write_text(text, "utf-8")
    shapes = {"": (3, 227, 227)} if network is caffenet else {}
    made = driver.import_file(path, shapes=shapes)
    assert made.network.counts.params == PARAMETERS[network]
    assert made.spec.lines <= LINES[network]
