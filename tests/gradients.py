"""Gradients of op examples and of whole networks, as they are stored and held against torch's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.random import Generator
from numpy.typing import DTypeLike

from archforge import driver
from archforge.ir import Backward, Forward, Gradients, TypedGraph
from archforge.ops.base import Array
from archforge.weights import rule_weights
from tests.graphs import inputs_of
from tests.op_examples import OpExample
from tests.zoo import DATA

__all__ = [
    "CASES",
    "EDGE_GRADIENTS",
    "NETWORK_GRADIENTS",
    "Case",
    "backward",
    "draws",
    "edge_inputs",
    "loss_gradients",
    "network_figures",
    "projections",
    "train",
]

EDGE_GRADIENTS: Path = DATA / "edge_gradients.json"
NETWORK_GRADIENTS = "network_gradients"
BATCH = 3


# Examples of ops


def train(example: OpExample, params: dict[str, Array], inputs: tuple[Array, ...]) -> Forward:
    """The op in training, with equal draws at each call."""
    return example.op.train(params, *inputs, draw=np.random.default_rng(5))


def backward(
    example: OpExample, dtype: DTypeLike = "float64", inputs: tuple[Array, ...] | None = None, **changes: Any
) -> tuple[Backward, Gradients]:
    """The way back through the op on its own inputs or on others, from random gradients of its output."""
    params = example.params(dtype)
    inputs = example.inputs(dtype, BATCH) if inputs is None else inputs
    forward = train(example, params, inputs)
    dy = np.random.default_rng(2).standard_normal(forward.output.shape).astype(dtype)
    back = Backward(params, inputs, forward.output, forward.saved, dy)._replace(**changes)
    return back, example.op.gradient(back)


def edge_inputs(example: OpExample) -> tuple[Array, ...]:
    """Whole numbers, which tie and lie on the kinks of activations; the first of the batch is all zeros. A
    divisor is 1 where it would be 0."""
    inputs = tuple(np.rint(x) for x in example.inputs("float64", BATCH))
    for x in inputs:
        x[0] = 0
    if example.op.kind == "divide":
        for x in inputs[1:]:
            x[x == 0] = 1
    return inputs


def projections(found: Gradients) -> dict[str, list[float]]:
    """Products of each gradient with two random directions: a wrong element changes both."""
    named = {f"input {i}": d for i, d in enumerate(found.inputs)}
    named |= {f"parameter {name}": found.params[name] for name in sorted(found.params)}
    return {name: _projected(name, d) for name, d in named.items()}


def draws(name: str) -> Generator:
    """Random numbers that depend on a name alone."""
    return np.random.default_rng(crc32(name.encode()))


def _projected(name: str, array: Array) -> list[float]:
    """Products with two random directions of length 1, float64."""
    directions = draws(name).standard_normal((2, *array.shape))
    return [float((array * d).sum() / np.linalg.norm(d)) for d in directions]


# Whole networks


@dataclass(frozen=True, slots=True)
class Case:
    """A network of the zoo on a small input, perhaps with arguments that make it smaller."""

    name: str
    input: tuple[int, ...] | None = None
    profile: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_large: bool = False

    def __str__(self) -> str:
        return self.name

    def arrays(self) -> tuple[TypedGraph, dict[str, Array], dict[str, Array]]:
        """The graph, whose dropouts drop nothing, with float64 parameters and inputs by rule."""
        network = driver.load(self.name, self.profile, input=self.input, **self.settings)
        typed = network.graph
        nodes = tuple(
            replace(n, op=n.op.model_copy(update={"rate": 0.0}))
            if n.op.is_identity and n.op.differs_in_training
            else n
            for n in typed.nodes
        )
        typed = replace(typed, graph=replace(typed.graph, nodes=nodes))
        return typed, dict(rule_weights(typed.params())), inputs_of(typed, batch=4)


def loss_gradients(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """The gradients of a loss that weighs each element of each output by a random number."""
    return {name: draws(name).standard_normal(y.shape) for name, y in outputs.items()}


def network_figures(
    outputs: Mapping[str, Array], gradients: Mapping[str, Array], buffers: Mapping[str, Array]
) -> dict[str, Any]:
    """The figures that are stored of a network: projections of all arrays, and the largest gradient."""
    return {
        "largest": max(float(np.abs(d).max()) for d in gradients.values()),
        "outputs": {name: _projected(name, y) for name, y in outputs.items()},
        "gradients": {name: _projected(name, gradients[name]) for name in sorted(gradients)},
        "buffers": {name: _projected(name, buffers[name]) for name in sorted(buffers)},
    }


SWIN = {"width": 32, "head_width": 16, "depths": (2, 2), "window": (4, 4)}
# The smallest member of each family, on an input as small as leaves its maps something to see.
CASES = (
    Case("alexnet_small", (1, 96, 96), is_large=True),
    Case("regnet_32", (1, 48, 48)),
    Case("cnn_mnist"),
    Case("convnext_tiny", (3, 32, 32), is_large=True),
    Case("convnext_v2_atto", (3, 64, 64)),
    Case("densenet_small", (1, 64, 64)),
    Case("efficientnet_b0", (3, 64, 64)),
    Case("efficientnet_v2_b0", (3, 64, 64)),
    Case("fashion_cnn", (1, 28, 28), is_large=True),
    Case("inception_v2", (3, 139, 139), is_large=True),
    Case("inception_resnet_v1", (3, 139, 139), is_large=True),
    Case("googlenet_small", (1, 64, 64)),
    Case("inception_v4", (3, 139, 139), is_large=True),
    Case("lenet_1"),
    Case("lenet_5_mnist"),
    Case("minivgg_mnist"),
    Case("mlp_mnist"),
    Case("mnasnet_0_5", (3, 64, 64)),
    Case("mobilenet_v1", (3, 64, 64)),
    Case("mobilenet_v2", (3, 64, 64)),
    Case("mobilenet_v3_small", (3, 64, 64), "torchvision"),
    Case("nasnet_a_large", (3, 99, 99), settings={"widths": (24, 48, 96), "cells": 1}),
    Case("nin_cifar", (3, 32, 32)),
    Case("pnasnet_5_large", (3, 99, 99), settings={"widths": (24, 48, 96), "cells": 1}),
    Case("gru_text"),
    Case("lstm_text"),
    Case("rnn_text"),
    Case("regnet_x_200mf", (3, 64, 64)),
    Case("resnest_50d", (3, 64, 64), is_large=True),
    Case("resnet_2_2_2_cifar"),
    Case("resnet_9", settings={"widths": (8, 16, 32, 32)}),
    Case("resnet_20_cifar"),
    Case("resnet_200", (3, 64, 64), is_large=True),
    Case("resnet_v2_18", (3, 64, 64)),
    Case("se_resnet_18", (3, 64, 64)),
    Case("shufflenet_v2_x0_5", (3, 64, 64)),
    Case("skresnet_18", (3, 64, 64)),
    Case("squeezenet_1_1", (3, 64, 64)),
    Case("swin_t", (3, 36, 40), settings=SWIN),
    Case("swin_v2_t", (3, 36, 40), settings=SWIN),
    Case("swin3d_t", (3, 4, 32, 48), settings=SWIN | {"window": (2, 3, 3)}),
    Case("maxvit_t", (3, 64, 64), settings={"stem": 16, "widths": (32, 64), "depths": (2, 1), "window": 4}),
    Case("unet", (3, 32, 32), is_large=True),
    Case("vgg_11_small", (1, 32, 32), is_large=True),
    Case("vit_ti_16", (3, 48, 48), settings={"width": 64, "heads": 2, "depth": 2}),
    Case("xception", (3, 96, 96), settings={"middle": 1}),
    Case("xception_41", (3, 64, 64), is_large=True),
    Case("convmixer_768_32", (3, 56, 56), settings={"depth": 3}),
    Case("deeplab_v3_resnet_50", (3, 64, 64), is_large=True),
    Case("dla_34", (3, 64, 64)),
    Case("dpn_68", (3, 64, 64)),
    Case("ese_vovnet_19b_dw", (3, 64, 64)),
    Case("fasternet_t0", (3, 64, 64)),
    Case("fcn_resnet_50", (3, 64, 64), is_large=True),
    Case("ghostnet_100", (3, 64, 64)),
    Case("hgnet_tiny", (3, 64, 64)),
    Case("inception_next_atto", (3, 64, 64)),
    Case("lraspp_mobilenet_v3_large", (3, 64, 64)),
    Case("mc3_18", (3, 4, 32, 32)),
    Case("s3d", (3, 13, 209, 209), is_large=True),
    Case("selecsls_42b", (3, 64, 64)),
    Case("starnet_s1", (3, 64, 64)),
    Case("unet_resnet_34", (3, 64, 64)),
    Case("cait_xxs_24", (3, 48, 48), settings={"width": 48, "heads_of": 2, "depth": 2}),
    Case("cspnext_tiny", (3, 64, 64), is_large=True),
    Case("darknet_53", (3, 32, 32), settings={"depths": (1, 1, 1, 1, 1)}, is_large=True),
    Case("fcos_resnet_50", (3, 64, 64), is_large=True),
    Case("focalnet_tiny_srf", (3, 32, 32), settings={"width": 16, "depths": (1, 1, 1, 1)}),
    Case("hrnet_w18_small", (3, 64, 64), is_large=True),
    Case("lcnet_v2_base", (3, 64, 64), is_large=True),
    Case("mixer_s_32", (3, 64, 64), settings={"width": 32, "depth": 2}),
    Case("pit_ti", (3, 64, 64), settings={"width": 8, "depths": (1, 1, 1)}),
    Case("poolformer_s12", (3, 64, 64), settings={"widths": (8, 16, 32, 32)}),
    Case("pvt_v2_b0", (3, 64, 64), is_large=True),
    Case("rdnet_tiny", (3, 64, 64), is_large=True),
    Case("nextvit_small", (3, 64, 64), is_large=True),
    Case("repghostnet_050", (3, 64, 64), is_large=True),
    Case("repvgg_a0", (3, 64, 64), settings={"widths": (8, 16, 32, 32)}),
    Case("repvit_m0_9", (3, 64, 64), is_large=True),
    Case("retinanet_resnet_50", (3, 64, 64), is_large=True),
    Case("res2net_50_26w_4s", (3, 64, 64), is_large=True),
    Case("rexnet_100", (3, 64, 64), is_large=True),
    Case("shvit_s1", (3, 64, 64), is_large=True),
    Case("ssdlite_320_mobilenet_v3_large", (3, 96, 96), is_large=True),
    Case("tnt_s_16", (3, 32, 32), settings={"width": 64, "heads_of": 2, "inner": 16, "depth": 2}),
    Case(
        "twins_svt_small",
        (3, 64, 64),
        settings={"widths": (16, 32, 64, 64), "depths": (2, 2, 2, 2), "window": 2},
    ),
    Case("visformer_tiny", (3, 64, 64), is_large=True),
    Case("crossvit_ti", (3, 48, 48), settings={"widths": (24, 48), "depths": ((1, 1),)}),
    Case("davit_tiny", (3, 32, 32), settings={"width": 32, "depths": (1, 1, 1, 1), "window": 1}),
    Case("efficientvit_b0", (3, 64, 64), is_large=True),
    Case("fastvit_t8", (3, 64, 64), is_large=True),
    Case("mobilevit_xxs", (3, 64, 64), is_large=True),
    Case("nest_tiny", (3, 64, 64), settings={"width": 16, "heads_of": (1, 2, 4), "depths": (1, 1, 1)}),
    Case("swiftformer_xs", (3, 64, 64), is_large=True),
    Case("tresnet_m", (3, 64, 64), is_large=True),
    Case(
        "iformer_t",
        (3, 64, 64),
        settings={"widths": (8, 16, 32, 32), "depths": (1, 1, 5, 3), "groups": (0, 0, 1, 1)},
    ),
    Case(
        "lowformer_b0",
        (3, 64, 64),
        settings={"widths": (8, 8, 16, 64, 64), "depths": (0, 1, 1, 1, 1), "features": (32, 32)},
    ),
    Case(
        "cpubone_nano",
        (3, 64, 64),
        settings={"widths": (8, 8, 16, 64, 64), "depths": (0, 1, 1, 1, 1), "features": (32, 32)},
    ),
    Case(
        "vitamin_s",
        (3, 32, 32),
        settings={"stem": 8, "widths": (8, 16, 64), "depths": (1, 2, 2), "classes": 10},
    ),
    Case("hiera_tiny", (3, 64, 64), settings={"width": 8, "depths": (1, 1, 1, 1)}),
    Case("efficientvim_m1", (3, 96, 96), settings={"widths": (16, 24, 32), "depths": (1, 1, 1)}),
    Case(
        "levit_128s",
        (3, 64, 64),
        settings={"widths": (16, 24, 32), "heads_of": (2, 2, 2), "depths": (1, 1, 1), "features": 8},
    ),
    Case("nf_resnet_50", (3, 32, 32), settings={"depths": (1, 1, 1, 1), "classes": 10}, is_large=True),
    Case("bit_50x1", (3, 32, 32), settings={"depths": (1, 1, 1, 1), "classes": 10}, is_large=True),
    Case(
        "tiny_vit_5m",
        (3, 64, 64),
        settings={"widths": (8, 8, 16, 16), "depths": (1, 1, 1, 1), "windows_of": (4, 4, 4, 2), "head": 4},
    ),
    Case("beit_b_16", (3, 32, 32), settings={"width": 16, "depth": 2, "heads_of": 2}),
    Case(
        "mvit_v2_s",
        (3, 4, 32, 32),
        settings={"heads_of": (1, 2), "head": 8, "apart": 2, "classes": 10},
    ),
    Case("lambda_resnet_26t", (3, 64, 64), settings={"width": 32, "keys": 4, "window": 3}),
    Case(
        "hieradet_small",
        (3, 32, 32),
        settings={"width": 8, "depths": (1, 1, 1, 1), "global_blocks": (2,), "windows_of": (4, 2, 4, 2)},
    ),
    Case(
        "volo_d1",
        (3, 32, 32),
        settings={"stem": 8, "widths": (16, 32, 32, 32), "depths": (1, 1, 1, 1), "heads_of": (2, 2, 2, 2)},
    ),
    Case(
        "efficientformer_v2_s0",
        (3, 64, 64),
        settings={
            "widths": (8, 8, 16, 16),
            "ratios": ((1,), (2,), (1, 1), (1, 2)),
            "attentive_last": 1,
            "heads_of": 2,
        },
    ),
    Case(
        "gcvit_xxtiny",
        (3, 64, 64),
        settings={"width": 8, "depths": (2, 2, 2, 2), "heads_of": (1, 2, 2, 2), "windows_of": (4, 4, 4, 2)},
    ),
    Case(
        "maxvit_pico_rw",
        (3, 64, 64),
        settings={
            "stem": (8, 8),
            "widths": (16, 16, 32, 32),
            "depths": (1, 1, 1, 1),
            "window": 2,
            "head_width": 8,
        },
    ),
    Case("resnet_26d", (3, 64, 64), is_large=True),
    Case("vit_s_resnet_26d", (3, 64, 64), settings={"width": 32, "depth": 2, "heads_of": 2}, is_large=True),
)
