"""Files of ONNX as graphs and specs of ours: what is read, what is normalised, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archforge
from archforge.data.arrays import read_weights
from archforge.errors import DiagnosticError
from archforge.interchange.imported import Imported
from archforge.interchange.layer_check import TOLERANCE, LayerCheck, checked_layers
from archforge.interchange.normalize import normalized
from archforge.interchange.onnx.graph import onnx_graph
from archforge.interchange.onnx.opened import open_onnx
from archforge.interchange.onnx.reading import read_graph
from archforge.interchange.onnx.running import OnnxRun
from archforge.interchange.same_graph import comparable, is_same
from archforge.ir import TypedGraph
from archforge.ops.base import Array
from archforge.spec.expand.expand import expand
from archforge.weights import fresh_weights
from tests.conftest import Run
from tests.graphs import GRAPHS, graph, node, one_op
from tests.imported_ops import kinds
from tests.onnx_files import model_of, stand_in
from tests.op_examples import EXAMPLES, OpExample
from tests.small import each_network, small_network
from tests.zoo import family, networks

onnx = pytest.importorskip("onnx", reason="onnx is an extra")
helper, parser = onnx.helper, onnx.parser


def written(folder: Path, typed: TypedGraph, arrays: Mapping[str, Array]) -> Path:
    """A graph of ours as a file."""
    path = folder / "model.onnx"
    path.write_bytes(model_of(onnx_graph(typed, arrays)))
    return path


def stored(folder: Path, text: str, **arrays: Array) -> Path:
    """A model in onnx's own text form, with stored arrays by name, as a file."""
    model = parser.parse_model(text)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, name) for name, a in arrays.items())
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def imported(path: Path, **shapes: tuple[int, ...]) -> Imported:
    return normalized(read_graph(open_onnx(path), "model", {k.strip("_"): s for k, s in shapes.items()}))


def checked(path: Path, made: Imported) -> LayerCheck:
    """The layers held against the file, of which none may differ."""
    check = checked_layers(made, OnnxRun(open_onnx(path)))
    assert check.layers
    assert check.first is None
    return check


def mistakes(path: Path, **shapes: tuple[int, ...]) -> list[str]:
    with pytest.raises(DiagnosticError) as caught:
        imported(path, **shapes)
    return [f"{d.code}: {d.message.replace(str(path), 'FILE')}" for d in caught.value.diagnostics]


# What is written comes back

# What ONNX has no op for, so that several nodes come back, or another one.
NOT_IN_ONNX = {
    "adaptive_avg_pool": "products with shares, or a global pool",
    "adaptive_max_pool": "a pool over windows, or the largest of each stretch",
    "embedding": "numbers rounded and clipped before a Gather",
    "parameter": "a constant, which is a value beside others alone",
    "unfold": "a convolution that copies, and a reshape",
    "standardized_conv": "a convolution with the weight that nodes before it compute",
    "window_attention": "gathers of tokens, linear layers and products of values between them",
}
NOT_SAID: Mapping[str, str] = {
    "bn-2-4x2x2": "a norm without weight or bias: ONNX's has both",
    "bn-3-3x2x4": "a norm without weight: ONNX's has one",
    "bn-4-3x2x4": "a norm without bias: ONNX's has one",
    "divide-1-6+6+6": "ONNX divides two",
    "layer_norm-4-2x3x4": "axes that are not the last, which are turned there and back",
    "linear-4-4x2x3": "a product along the first axis, which is turned there and back",
    "lp_pool-2-2x6x8": "a partial window",
    "lp_pool-3-2x6x5": "a partial window",
    "lp_pool-4-2x2x2": "a partial window",
    "lrn-3-3x4": "a window over all channels, however wide it is",
    "maximum-2-2x3": "a Max of one value, which is that value",
    "multiply-1-6+6+6": "ONNX multiplies two",
    "subtract-1-6+6+6": "ONNX subtracts two",
    "pad-7-2x3x4": "more of a map, which is cut off again",
    "pad-9-2x4": "as that",
    "pixel_unshuffle-0-2x4x6": "channels first: a reshape, a transposition and a reshape back",
    "pixel_unshuffle-1-2x3x6": "as that",
    "permute-1-3x4x2": "an input with its channels last is read with its channels first",
    "permute-2-5x3": "as that",
    "shuffle-2-4x2x1x2": "groups of one channel, which the shuffle leaves as they are",
}


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_op_comes_back_from_onnx(example: OpExample, tmp_path: Path) -> None:
    typed = one_op(example.op, tuple(t.shape for t in example.types))
    arrays = {f"node.{name}" if name else "node": a for name, a in example.params("float32").items()}
    path = written(tmp_path, typed, arrays)
    if example.op.kind in NOT_IN_ONNX or example.name in NOT_SAID:
        return
    assert is_same(comparable(imported(path).graph), comparable(typed))


@pytest.mark.parametrize("names", [NOT_SAID, NOT_IN_ONNX], ids=["examples", "kinds"])
def test_what_does_not_come_back_is_there(names: Mapping[str, str]) -> None:
    assert set(names) <= {example.name for example in EXAMPLES} | {example.op.kind for example in EXAMPLES}


# Graphs of which something does not come back, as the ops above do not.
NOT_WHOLE = {
    *("norms", "resized", "chain", "fold_batch_norm_example_0", "fold_batch_norm_example_1"),
    "keep_channels_first_example_0",  # a norm along an axis that is not the last: turned there and back
    *(
        "standardize_weights_example_0",
        "standardize_weights_example_1",
    ),  # plain convolutions, by their weights
    "keep_channels_first_example_1",  # inputs with their channels last: read with them first
}


@pytest.mark.parametrize("name", sorted(set(GRAPHS) - NOT_WHOLE))
def test_a_graph_comes_back_from_onnx(name: str, tmp_path: Path) -> None:
    typed = GRAPHS[name]
    made = imported(written(tmp_path, typed, stand_in(typed)))
    assert is_same(comparable(made.graph), comparable(typed.without_dead()))


def assert_comes_back(name: str, profile: str, folder: Path) -> None:
    typed = expand(networks()[name], profile).graph
    holes = {n: np.broadcast_to(np.float32(0.5), d.shape) for n, d in typed.params().items()}
    made = imported(written(folder, typed, holes))
    assert is_same(comparable(made.graph), comparable(typed))


@pytest.mark.parametrize(
    "name",
    [
        "lenet_5",
        "squeezenet_1_1",
        "shufflenet_v2_x0_5",
        "mobilenet_v3_small",
        "convnext_v2_atto",
        "lstm_text",
        "mambaout_femto",
        "vit_ti_16",
    ],
)
def test_a_small_network_comes_back_from_onnx(name: str, tmp_path: Path) -> None:
    assert_comes_back(name, networks()[name].profile_names[0], tmp_path)


# Networks that do not come back, or as others that compute the same, and why.
OTHERWISE = {
    ("lenet_5", "paper"): "factors are those of float32",
    ("inception_v1", "torchvision"): "means of uneven windows are matrix products",
    ("inception_v3", "keras"): "batch norms without a scale have one",
    ("inception_resnet_v2", "keras"): "as that",
    **dict.fromkeys(
        (
            (name, profile)
            for name, spec in networks().items()
            for profile in spec.profile_names
            if family(name) in ("maxvit_t", "swin", "swin3d")
        ),
        "attention in windows is spelled out",
    ),
    ("ssd_300_vgg_16", "torchvision"): "a parameter of each channel is a layer scale",
    ("ssdlite_320_mobilenet_v3_large", "torchvision"): "permutations stand elsewhere",
    ("mvit_v1_b", "torchvision"): "numbers for positions are worked out",
    ("mvit_v2_s", "torchvision"): "products with several matrices that are worked out are refused",
    **dict.fromkeys(
        ((name, "timm") for name in ("bit_50x1", "nf_resnet_50")), "kernels are standardized in the file"
    ),
    **dict.fromkeys(
        (
            (name, "timm")
            for name in (
                *("beit_b_16", "efficientformer_v2_s0", "gcvit_xxtiny", "hieradet_small", "levit_128s"),
                *("maxvit_pico_rw", "tiny_vit_5m"),
            )
        ),
        "numbers for differences of positions are worked out",
    ),
    **dict.fromkeys(
        (
            (name, "timm")
            for name in (
                *("cait_xxs_24", "cpubone_nano", "efficientvit_b0", "hiera_tiny"),
                *("iformer_t", "lowformer_b0", "pvt_v2_b0", "shvit_s1", "tnt_s_16"),
            )
        ),
        "permutations and slices stand elsewhere",
    ),
    **dict.fromkeys(
        ((name, "timm") for name in ("efficientvim_m1", "swiftformer_xs", "volo_d1")),
        "products with parameters are layers, and `unfold` a convolution",
    ),
}


@pytest.mark.slow
@each_network
def test_a_network_comes_back_from_onnx(name: str, profile: str, tmp_path: Path) -> None:
    typed = expand(networks()[name], profile).graph
    if sum(d.size for d in typed.params().values()) > 100_000_000:
        pytest.skip("its weights take long to write")
    if (name, profile) in OTHERWISE:
        with pytest.raises((AssertionError, DiagnosticError)):
            assert_comes_back(name, profile, tmp_path)
    else:
        assert_comes_back(name, profile, tmp_path)


# What other programs write

HEAD = '<ir_version: 8, opset_import: ["" : {opset}]>'
RNG = np.random.default_rng(0)


def weights(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def test_shape_arithmetic_is_worked_out(tmp_path: Path) -> None:
    """`x.view(x.size(0), -1)` of torch, in its long form."""
    path = stored(
        tmp_path,
        HEAD.format(opset=11)
        + """model (float[n, 2, 4, 3] x) => (float[n, 5] y) {
            shape = Shape(x)
            zero = Constant<value = int64 {0}>()
            size = Gather<axis = 0>(shape, zero)
            batch = Unsqueeze<axes = [0]>(size)
            rest = Constant<value = int64[1] {-1}>()
            target = Concat<axis = 0>(batch, rest)
            flat = Reshape(x, target)
            y = Gemm<transB = 1>(flat, w)
        }""",
        w=weights(5, 24),
    )
    made = imported(path)
    assert kinds(made) == ["flatten", "linear"]
    checked(path, made)


def test_the_branch_of_a_constant_if_is_taken_and_dead_nodes_are_gone(tmp_path: Path) -> None:
    path = stored(
        tmp_path,
        HEAD.format(opset=13)
        + """model (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y) {
            no = Constant<value = bool {0}>()
            unknown = NonZero(x)
            a = If(no) <
                then_branch = one () => (float[1, 2, 4, 4] t) { t = Sin(x) },
                else_branch = two () => (float[1, 2, 4, 4] e) { e = Relu(x) }
            >
            y = Tanh(a)
        }""",
    )
    made = imported(path)
    assert kinds(made) == ["relu", "tanh"]
    checked(path, made)


def test_functions_of_a_file_are_put_in_place(tmp_path: Path) -> None:
    path = stored(
        tmp_path,
        """<ir_version: 8, opset_import: ["" : 13, "local" : 1]>
        model (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y) { h = local.f(x) y = local.f(h) }
        <domain: "local", opset_import: ["" : 13]> f (a) => (b) { c = Relu(a) b = Tanh(c) }""",
    )
    made = imported(path)
    assert kinds(made) == ["relu", "tanh"] * 2
    assert checked(path, made).layers == 4


def test_functions_are_counted_before_they_are_put_in_place(tmp_path: Path) -> None:
    """Forty functions that each call the one before twice are 2^40 nodes, in a file of three kilobytes."""
    head = """<ir_version: 8, opset_import: ["" : 13, "local" : 1]>
        model (float[1, 2] x) => (float[1, 2] y) { y = local.f40(x) }"""
    function = '<domain: "local", opset_import: ["" : 13, "local" : 1]> f%d (a) => (b) { %s }'
    twice = [function % (n, f"c = local.f{n - 1}(a) b = local.f{n - 1}(c)") for n in range(1, 41)]
    path = stored(tmp_path, head + function % (0, "b = Relu(a)") + "".join(twice))
    what = f"{3 * 2**40 - 1:,} nodes and calls of functions, at each call anew"
    assert mistakes(path) == [f"E0801: FILE has {what}, and at most 65,536 are read"]
    endless = function % (0, "b = local.f40(a)")
    path = stored(tmp_path, head + endless + "".join(twice))
    assert mistakes(path) == ["E0801: FILE has functions that call each other, more than 100 deep"]


def test_a_file_of_too_many_nodes_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", [f"v{n}"], [f"v{n + 1}"]) for n in range(65_537)]
    ends = [helper.make_tensor_value_info(f"v{n}", onnx.TensorProto.FLOAT, (1, 2)) for n in (0, 65_537)]
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "model", ends[:1], ends[1:])), path)
    assert mistakes(path) == ["E0801: FILE has 65,537 nodes, and at most 65,536 are read"]


def test_channels_last_become_channels_first(tmp_path: Path) -> None:
    """The form is that of tf2onnx: a transposition before and after each convolution."""
    path = stored(
        tmp_path,
        HEAD.format(opset=13)
        + """model (float[1, 6, 5, 3] x) => (float[1, 4] y) {
            x1 = Transpose<perm = [0, 3, 1, 2]>(x)
            c1 = Conv<pads = [0, 0, 1, 1]>(x1, w1)
            t1 = Transpose<perm = [0, 2, 3, 1]>(c1)
            s1 = Mul(t1, scale)
            b1 = Add(s1, shift)
            r1 = Relu(b1)
            x2 = Transpose<perm = [0, 3, 1, 2]>(r1)
            c2 = Conv(x2, w2)
            t2 = Transpose<perm = [0, 2, 3, 1]>(c2)
            j = Concat<axis = 3>(t2, r1)
            m = ReduceMean<axes = [1, 2], keepdims = 0>(j)
            p = MatMul(m, w3)
            y = Add(p, b3)
        }""",
        w1=weights(5, 3, 3, 2),
        scale=weights(5),
        shift=weights(5),
        w2=weights(2, 5, 1, 1),
        w3=weights(7, 4),
        b3=weights(4),
    )
    made = imported(path)
    assert made.graph.inputs["input"].shape == (3, 6, 5)
    assert kinds(made) == ["conv", "bn", "relu", "conv", "concat", "global_avg_pool", "linear"]
    assert made.notes == (
        "`input` has its channels last in the file, and first here",
        "1 batch norms are written as products and sums: their statistics are worked into weight and bias",
    )
    checked(path, made)


def test_activations_that_are_spelled_out_are_recognised(tmp_path: Path) -> None:
    path = stored(
        tmp_path,
        HEAD.format(opset=13)
        + """model (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y) {
            g = Sigmoid(x)
            silu = Mul(g, x)
            three = Constant<value = float {3.0}>()
            low = Constant<value = float {0.0}>()
            six = Constant<value = float {6.0}>()
            a = Add(silu, three)
            c = Clip(a, low, six)
            p = Mul(silu, c)
            swish = Div(p, six)
            root = Constant<value = float {1.4142135}>()
            one = Constant<value = float {1.0}>()
            half = Constant<value = float {0.5}>()
            e0 = Div(swish, root)
            e1 = Erf(e0)
            e2 = Add(e1, one)
            e3 = Mul(swish, e2)
            y = Mul(e3, half)
        }""",
    )
    made = imported(path)
    assert kinds(made) == ["silu", "hard_swish", "gelu"]
    checked(path, made)


def test_zeros_that_are_made_for_a_bias_are_none(tmp_path: Path) -> None:
    """The form is that of torch's exporter without optimisation."""
    path = stored(
        tmp_path,
        HEAD.format(opset=18)
        + """model (float[1, 3, 4, 4] x) => (float[1, 2, 4, 4] y) {
            zero = Constant<value_float = 0.0>()
            like = CastLike(zero, x)
            shape = Shape<start = 0, end = 1>(w)
            zeros = Expand(like, shape)
            c = Conv(x, w, zeros)
            y = Conv(c, w2, b2)
        }""",
        w=weights(2, 3, 1, 1),
        w2=weights(2, 2, 1, 1),
        b2=np.zeros(2, np.float32),
    )
    made = imported(path)
    assert [node.op.attributes()["bias"] for node in made.graph.nodes] == [False, True]
    checked(path, made)


def test_a_parameter_that_equals_another_one_is_stored_still(tmp_path: Path) -> None:
    """The form is that of torch's exporter, which stores biases of zeros once."""
    path = stored(
        tmp_path,
        HEAD.format(opset=18)
        + """model (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y) {
            second.bias = Identity(first.bias)
            c = Conv(x, first.weight, first.bias)
            y = Conv(c, second.weight, second.bias)
        }""".replace(".", "_"),
        first_weight=weights(2, 2, 1, 1),
        second_weight=weights(2, 2, 1, 1),
        first_bias=np.zeros(2, np.float32),
    )
    made = imported(path)
    assert [node.op.attributes()["bias"] for node in made.graph.nodes] == [True, True]
    checked(path, made)


def test_layer_norms_that_are_spelled_out_are_recognised(tmp_path: Path) -> None:
    """The form is torch's, in versions that have no such op."""
    path = stored(
        tmp_path,
        HEAD.format(opset=13)
        + """model (float[1, 3, 4] x) => (float[1, 3, 4] y) {
            m = ReduceMean<axes = [-1]>(x)
            d = Sub(x, m)
            two = Constant<value = float {2.0}>()
            p = Pow(d, two)
            v = ReduceMean<axes = [-1]>(p)
            eps = Constant<value = float {0.00001}>()
            e = Add(v, eps)
            s = Sqrt(e)
            n = Div(d, s)
            w = Mul(n, weight)
            y = Add(w, bias)
        }""",
        weight=weights(4),
        bias=weights(4),
    )
    made = imported(path)
    (node,) = made.graph.nodes
    assert node.op.attributes() == {"axis": -1, "eps": 1e-5, "affine": True}
    assert list(made.arrays) == [node.param_name("weight"), node.param_name("bias")]
    checked(path, made)


def test_functions_of_other_slopes_and_bounds_are_said_by_ours(tmp_path: Path) -> None:
    """The first is Paddle's and Keras's `hard_sigmoid`, the others are as TensorFlow writes them."""
    path = stored(
        tmp_path,
        HEAD.format(opset=13)
        + """model (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y) {
            a = HardSigmoid<alpha = 0.2, beta = 0.5>(x)
            low = Constant<value = float[1] {-0.25}>()
            b = Max(a, low)
            zero = Constant<value = float {0.0}>()
            c = Max(zero, b)
            part = Constant<value = float {0.1}>()
            d = Mul(c, part)
            e = Max(d, c)
            high = Constant<value = float {inf}>()
            y = Clip(e, zero, high)
        }""",
    )
    made = imported(path)
    assert kinds(made) == ["scale", "hard_sigmoid", "clip", "relu", "leaky_relu", "clip"]
    assert made.graph.nodes[0].op.attributes() == {"factor": 1.2}
    checked(path, made)


def test_attention_with_heads_in_place_of_the_batch_is_recognised(tmp_path: Path) -> None:
    """The form is that of torch: tokens are first, then heads, without a batch in front."""
    path = stored(
        tmp_path,
        HEAD.format(opset=13)
        + """model (float[1, 5, 6] x) => (float[1, 5, 6] y) <
            int64[5] parts = {5, 1, 1, 3, 6}, int64[1] first = {0},
            int64[3] heads = {5, 2, 3}, int64[2] rows = {5, 6}, int64[3] tokens = {5, 1, 6},
            int64 q = {0}, int64 k = {1}, int64 v = {2}
        > {
            turned = Transpose<perm = [1, 0, 2]>(x)
            product = MatMul(turned, w)
            qkv = Add(b, product)
            split = Reshape(qkv, parts)
            ahead = Transpose<perm = [3, 1, 2, 0, 4]>(split)
            each = Squeeze(ahead, first2)
            qs = Gather<axis = 0>(each, q)
            ks = Gather<axis = 0>(each, k)
            vs = Gather<axis = 0>(each, v)
            qb = Squeeze(qs, first)
            kb = Squeeze(ks, first)
            vb = Squeeze(vs, first)
            qh = Reshape(qb, heads)
            kh = Reshape(kb, heads)
            vh = Reshape(vb, heads)
            q1 = Transpose<perm = [1, 0, 2]>(qh)
            k1 = Transpose<perm = [1, 2, 0]>(kh)
            v1 = Transpose<perm = [1, 0, 2]>(vh)
            root = Constant<value = float {1.7320508}>()
            q2 = Div(q1, root)
            logits = MatMul(q2, k1)
            shares = Softmax<axis = -1>(logits)
            mixed = MatMul(shares, v1)
            back = Transpose<perm = [1, 0, 2]>(mixed)
            flat = Reshape(back, rows)
            out = Gemm<transB = 1>(flat, w2, b2)
            seen = Reshape(out, tokens)
            y = Transpose<perm = [1, 0, 2]>(seen)
        }""",
        w=weights(6, 18),
        b=weights(18),
        w2=weights(6, 6),
        b2=weights(6),
        first2=np.array([1]),
    )
    made = imported(path)
    assert kinds(made) == ["attention"]
    checked(path, made)


def test_constants_are_said(tmp_path: Path) -> None:
    """Constants of several axes, along the last one, less a value, in front of others, and of no effect."""
    path = stored(
        tmp_path,
        HEAD.format(opset=13)
        + """model (float[1, 2, 3] x) => (float[1, 3, 3] y) {
            a = Add(x, positions)
            one = Constant<value = float {1.0}>()
            b = Sub(one, a)
            c = Mul(b, factors)
            zero = Constant<value = float {0.0}>()
            d = Add(c, zero)
            e = Mul(d, one)
            y = Concat<axis = 1>(token, e)
        }""",
        positions=weights(2, 3),
        factors=weights(3),
        token=weights(1, 1, 3),
    )
    made = imported(path)
    assert sorted(kinds(made)) == sorted(
        ["parameter", "add", "scale", "offset", "parameter", "multiply", "parameter", "concat"]
    )
    checked(path, made)


def test_a_map_of_one_pixel_is_joined_to_rows(tmp_path: Path) -> None:
    """The heads of a detector, whose last map is one pixel."""
    path = stored(
        tmp_path,
        HEAD.format(opset=18)
        + """model (float[1, 4, 2, 2] x) => (float[1, 5, 4] y) {
            rows = Constant<value_ints = [1, 4, -1]>()
            many = Reshape(x, rows)
            first = Transpose<perm = [0, 2, 1]>(many)
            pixel = GlobalAveragePool(x)
            one = Transpose<perm = [0, 2, 3, 1]>(pixel)
            shape = Constant<value_ints = [1, -1, 4]>()
            second = Reshape(one, shape)
            y = Concat<axis = 1>(first, second)
        }""",
    )
    checked(path, imported(path))


@pytest.mark.parametrize("shape", [(3, 2), (1, 3, 2)])
def test_a_matrix_may_have_axes_of_one_in_front(tmp_path: Path, shape: tuple[int, ...]) -> None:
    model = "model (float[1, 5, 3] x) => (float[1, 5, 2] y) { y = MatMul(x, w) }"
    path = stored(tmp_path, HEAD.format(opset=13) + model, w=weights(*shape))
    made = imported(path)
    assert kinds(made) == ["linear"]
    checked(path, made)


def test_a_mean_or_maximum_over_any_axes_is_a_pool(tmp_path: Path) -> None:
    path = stored(
        tmp_path,
        HEAD.format(opset=13)
        + """model (float[1, 5, 3] x) => (float[1, 3] y, float[1, 5, 1] z, float[1, 3] largest) {
            y = ReduceMean<axes = [1], keepdims = 0>(x)
            z = ReduceMean<axes = [-1]>(x)
            largest = ReduceMax<axes = [1], keepdims = 0>(x)
        }""",
    )
    made = imported(path)
    assert kinds(made).count("global_avg_pool") == 2
    assert kinds(made).count("global_max_pool") == 1
    checked(path, made)


@pytest.mark.parametrize("opset", [6, 9, 11, 13, 18])
def test_ops_of_any_version_are_read(tmp_path: Path, opset: int) -> None:
    """Attributes of older versions are inputs now."""
    axes, pads, ends = (
        "axes = [2, 3]",
        "pads = [0, 0, 1, 1, 0, 0, 1, 1]",
        "starts = [0], ends = [2], axes = [1]",
    )
    old = {
        "Pad": (f"Pad<{pads}>(x)", 11),
        "Slice": (f"Slice<{ends}>(p)", 10),
        "Clip": ("Clip<min = 0.0, max = 6.0>(s)", 11),
        "ReduceMean": (f"ReduceMean<{axes}, keepdims = 0>(c)", 18),
    }
    new = {
        "Pad": "Pad(x, pads)",
        "Slice": "Slice(p, starts, ends, axes)",
        "Clip": "Clip(s, low, six)",
        "ReduceMean": "ReduceMean<keepdims = 0>(c, map)",
    }
    said = {op: text if opset < until else new[op] for op, (text, until) in old.items()}
    path = stored(
        tmp_path,
        HEAD.format(opset=opset)
        + f"""model (float[1, 3, 4, 4] x) => (float[1, 2] y) {{
            p = {said["Pad"]}
            s = {said["Slice"]}
            c = {said["Clip"]}
            y = {said["ReduceMean"]}
        }}""",
        pads=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        starts=np.array([0]),
        ends=np.array([2]),
        axes=np.array([1]),
        low=np.array(0, np.float32),
        six=np.array(6, np.float32),
        map=np.array([2, 3]),
    )
    made = imported(path)
    assert kinds(made) == ["pad", "slice", "relu6", "global_avg_pool"]
    checked(path, made)


def test_each_second_element_of_a_map_is_taken(tmp_path: Path) -> None:
    """The stem of YOLOv5 deals pixels to channels so; bounds may stand in front."""
    path = stored(
        tmp_path,
        HEAD.format(opset=13)
        + """model (float[n, 3, 6, 8] x) => (float[n, 6, 3, 4] y, float[n, 3, 2, 7] z) <
            int64[2] even = {0, 0}, int64[2] odd = {1, 1}, int64[2] far = {9223372036854775807, 8},
            int64[2] axes = {2, 3}, int64[2] twice = {2, 2}, int64[2] last = {5, -1}, int64[2] some = {3, 1}
        > {
            a = Slice(x, even, far, axes, twice)
            b = Slice(x, odd, far, axes, twice)
            y = Concat<axis = 1>(a, b)
            c = Slice(x, even, last, axes, some)
            z = Relu(c)
        }""",
    )
    made = imported(path)
    assert kinds(made).count("max_pool") == 3
    checked(path, made)


def test_several_inputs_outputs_and_shared_weights_survive(tmp_path: Path) -> None:
    typed = graph(
        node("left", "conv", "a", out=3, kernel=3, params_of="twin"),
        node("right", "conv", "b", out=3, kernel=3, params_of="twin"),
        node("difference", "subtract", "left", "right"),
        node("flat", "flatten", "difference"),
        node("score", "linear", "flat", out=2),
        inputs={"a": (2, 5, 5), "b": (2, 5, 5)},
        outputs={"map": "difference", "logits": "score"},
    )
    path = written(tmp_path, typed, stand_in(typed))
    made = imported(path)
    assert list(made.graph.inputs) == ["a", "b"]
    assert list(made.graph.outputs) == ["map", "logits"]
    assert is_same(comparable(made.graph), comparable(typed))
    left, right = (n.params_of for n in made.graph.nodes if n.op.kind == "conv")
    assert left == right
    checked(path, made)


# Faults are found, and named


class KnownRun:
    """The values of a file, computed once."""

    by, tolerance = "", TOLERANCE

    def __init__(self, path: Path) -> None:
        self.run = OnnxRun(open_onnx(path))
        self.values: dict[str, Array | None] = {}

    def __call__(self, inputs: Mapping[str, Array], wanted: list[str]) -> Iterable[tuple[str, Array | None]]:
        self.values = self.values or dict(self.run(inputs, wanted))
        return self.values.items()


FAULTS = ("swap", "scale", "eps", "side", "stride")


def with_fault(made: Imported, fault: str, rng: Any) -> tuple[Imported, str]:
    """The network with one thing wrong, and the name of the layer in the file."""
    nodes, arrays = list(made.graph.nodes), dict(made.arrays)
    kernels = {node: node.param_name("weight") for node in nodes if node.op.kind == "conv"}
    changed: Mapping[str, Any] = {}
    match fault:
        case "swap":
            shapes = {node: arrays[kernel].shape for node, kernel in kernels.items()}
            pairs = [pair for pair in combinations(kernels, 2) if shapes[pair[0]] == shapes[pair[1]]]
            wrong, other = pairs[int(rng.integers(len(pairs)))]
            one, two = kernels[wrong], kernels[other]
            arrays[one], arrays[two] = arrays[two], arrays[one]
        case "scale":
            wrong = list(kernels)[int(rng.integers(len(kernels)))]
            arrays[kernels[wrong]] = arrays[kernels[wrong]] * np.float32(1.001)
        case "eps":
            norms = [node for node in nodes if node.op.kind == "bn"]
            wrong = norms[int(rng.integers(len(norms)))]
            changed = {"eps": 1e-3}
        case "side":
            padded = [node for node in kernels if node.op.attributes()["padding"] == 1]
            wrong = padded[int(rng.integers(len(padded)))]
            changed = {"padding": ((0, 2), (1, 1))}
        case _:
            maps = [node for node in kernels if max(made.graph.types[node.name].spatial) > 1]
            wrong = maps[int(rng.integers(len(maps)))]
            changed = {"stride": 3 - wrong.op.attributes()["stride"]}
    nodes[nodes.index(wrong)] = replace(wrong, op=wrong.op.model_copy(update=changed))
    typed = replace(made.graph, graph=replace(made.graph.graph, nodes=tuple(nodes)))
    return replace(made, graph=typed, arrays=arrays), made.origins[wrong.name].name


def faults_found(folder: Path, times: int) -> int:
    """Count the faults that are named, of so many of each kind."""
    typed = small_network("resnet_18", "torchvision")
    path = written(folder, typed, stand_in(typed))
    made, run, rng = imported(path), KnownRun(path), np.random.default_rng(0)
    assert checked_layers(made, run).first is None
    found = 0
    for fault in FAULTS * times:
        faulty, name = with_fault(made, fault, rng)
        first = checked_layers(faulty, run).first
        found += first is not None and first[0] == name
    return found


def test_the_first_layer_that_differs_is_the_faulty_one(tmp_path: Path) -> None:
    assert faults_found(tmp_path, 1) == len(FAULTS)


@pytest.mark.slow
def test_of_a_hundred_faults_the_faulty_layer_is_named(tmp_path: Path) -> None:
    assert faults_found(tmp_path, 20) >= 99


# Refusals


def test_all_that_cannot_be_said_is_refused_at_once(tmp_path: Path) -> None:
    path = stored(
        tmp_path,
        HEAD.format(opset=13)
        + """model (float[1, 4, 4, 4] x) => (float[1, 4, 4, 4] y) {
            a = Sin(x)
            b = Sin(a)
            c = Conv<dilations = [1, 1]>(x, w)
            d = AveragePool<kernel_shape = [3, 3], pads = [2, 2, 2, 2]>(x)
            e = MatMul(b, c)
            f = NonMaxSuppression(d, e)
            y = Relu(f)
        }""",
        w=weights(4, 4, 1, 1),
    )
    assert mistakes(path) == [
        "E0804: FILE: `Sin`: a and 1 more",
        "E0804: FILE: `AveragePool`, padding above half of the window, which torch refuses: d",
        "E0804: FILE: `NonMaxSuppression`: f",
    ]


def test_what_only_the_normaliser_finds_is_refused_with_the_rest(tmp_path: Path) -> None:
    path = stored(
        tmp_path,
        HEAD.format(opset=13)
        + """model (float[1, 4] x) => (float[1, 4] y, float[1, 4] z) {
            a = Erf(x)
            b = Sin(a)
            y = Relu(b)
            z = Sqrt(x)
        }""",
    )
    assert mistakes(path) == [
        "E0804: FILE: `Sin`: b",
        "E0804: FILE: `the error function`: a",
        "E0804: FILE: `a power`: z",
    ]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Reshape(x, n)", [0, 0, 0, 0, 0]),
        ("Reshape<allowzero = 1>(x, n)", [1, 0, -1]),
        ("Pad(x, n)", [0, 0, 0]),
        ("Unsqueeze(x, n)", [0, 0]),
        ("Transpose<perm = [0, 1, 7, 2]>(x)", []),
        ("Split<axis = 9>(x)", []),
        ("Conv<pads = [1]>(x, n)", []),
        ("Clip()", []),
        ("If(n)", [1]),
        ("Concat()", []),
    ],
)
def test_a_node_that_cannot_be_is_refused_with_its_place(
    text: str, numbers: list[int], tmp_path: Path
) -> None:
    path = stored(
        tmp_path,
        HEAD.format(opset=13) + f"model (float[1, 2, 4, 4] x) => (float[1, 2] y) {{ y = {text} }}",
        n=np.array(numbers, np.int64),
    )
    (found,) = mistakes(path)
    op = text[: min(text.index(c) for c in "<(" if c in text)]
    assert found.startswith(f"E0804: FILE: `{op}`, ")
    assert found.endswith(": y")


@pytest.mark.parametrize(
    ("opset", "nodes", "message"),
    [
        (13, "y = Relu(x) y = Tanh(x)", "FILE has two values called 'y'"),
        (13, "x = Relu(x) y = Tanh(x)", "FILE has two values called 'x'"),
        (13, "w = Relu(x) y = Tanh(w)", "FILE has two values called 'w'"),
        (0, "y = Relu(x)", "FILE says no version of ONNX's ops, and 1 to "),
        (999, "y = Relu(x)", "FILE says the version 999 of ONNX's ops, and 1 to "),
    ],
)
def test_names_and_versions_that_cannot_be_are_refused(
    tmp_path: Path, opset: int, nodes: str, message: str
) -> None:
    text = f"model (float[1, 2] x) => (float[1, 2] y) {{ {nodes} }}"
    (found,) = mistakes(stored(tmp_path, HEAD.format(opset=opset) + text, w=weights(2)))
    assert found.startswith(f"E0801: {message}")


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = stored(
        tmp_path, HEAD.format(opset=13) + "model (float[1, 2] x) => (float[1, 2] y) { y = Relu(x) }"
    )
    path.write_bytes(path.read_bytes().replace(b"\x01x", b"\x01\xff"))
    assert mistakes(path) == ["E0801: FILE has a name that is not UTF-8: b'\\xff'"]


def test_an_output_that_nothing_computes_is_refused(tmp_path: Path) -> None:
    path = stored(
        tmp_path, HEAD.format(opset=13) + "model (float[1, 2] x) => (float[1, 2] z) { y = Relu(x) }"
    )
    assert mistakes(path) == ["E0804: FILE: `an output`, which nothing computes: z"]


OPEN = HEAD.format(opset=13) + "model (float[n, 3, h, w] x) => (float[n, 3, h, w] y) { y = Relu(x) }"


def test_open_extents_are_asked_for_and_taken(tmp_path: Path) -> None:
    path = stored(tmp_path, OPEN)
    assert mistakes(path) == ["E0801: the input 'x' of FILE leaves extents open: 3xhxw"]
    for shapes in ({"_": (3, 8, 9)}, {"x": (3, 8, 9)}):
        assert imported(path, **shapes).graph.inputs["input"].shape == (3, 8, 9)
    for shapes, message in (
        ({"x": (4, 8, 9)}, "E0801: the input 'x' of FILE is 3xhxw, and not 4x8x9"),
        ({"z": (3, 8, 9)}, "E0801: FILE has no input 'z'"),
    ):
        assert mistakes(path, **shapes) == [message]


def test_what_is_open_is_asked_for_by_name_and_extent(tmp_path: Path) -> None:
    def told(inputs: str, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
        text = f"model ({inputs}) => (float[n, 3] y) {{ a = Relu(x) b = Relu(z) y = Add(a, b) }}"
        source = open_onnx(stored(tmp_path, HEAD.format(opset=13) + text))
        with pytest.raises(DiagnosticError) as caught:
            read_graph(source, "model", shapes)
        return [f"{d.message.replace(str(source.path), 'FILE')} | {d.help}" for d in caught.value.diagnostics]

    both = "--shape x=1x48xN,z=N, without the batch, with a number for each N"
    open_inputs = "float[n, 1, 48, w] x, float[n, t] z"
    assert told(open_inputs, {}) == [
        "the input 'x' of FILE leaves extents open: 1x48xw | ",
        f"the input 'z' of FILE leaves extents open: t | {both}",
    ]
    assert told(open_inputs, {"": (1, 48, 9)}) == [f"FILE has 2 inputs, and one shape is given | {both}"]
    assert told("float[n, 3] x, float z", {}) == [
        "the input 'z' of FILE is a scalar, without a batch axis | "
    ]


def test_shape_arithmetic_behind_what_cannot_be_said_is_no_second_cause(tmp_path: Path) -> None:
    path = stored(
        tmp_path,
        HEAD.format(opset=13)
        + """model (float[1, 4] x) => (float[1, 4] y) {
            a = Sin(x)
            shape = Shape(a)
            zero = Constant<value = int64 {0}>()
            size = Gather<axis = 0>(shape, zero)
            axes = Constant<value = int64[1] {0}>()
            sizes = Unsqueeze(size, axes)
            state = ConstantOfShape(sizes)
            b = Cos(a)
            c = ScatterElements(b, size, state)
            y = Relu(c)
        }""",
    )
    assert mistakes(path) == [
        "E0804: FILE: `Sin`: a",
        "E0804: FILE: `Cos`: b",
        "E0804: FILE: `ScatterElements`: c",
    ]


SMALL = HEAD.format(opset=13) + "model (float[1, 2] x) => (float[1, 3] y) { y = Gemm<transB = 1>(x, w) }"


@pytest.mark.parametrize(
    ("location", "offset", "length", "message"),
    [
        ("../data.bin", 0, 24, "lies in '../data.bin', outside of the file's folder"),
        ("/etc/passwd", 0, 24, "lies in '/etc/passwd', outside of the file's folder"),
        ("", 0, 24, "lies in '', outside of the file's folder"),
        ("a\0b", 0, 24, "lies in 'a\\x00b', outside of the file's folder"),
        ("link.bin", 0, 24, "lies in 'link.bin', outside of the file's folder"),
        ("data.bin", 8, 24, "takes 24 bytes, and 'data.bin' does not have them at 8"),
        ("data.bin", 0, 16, "takes 24 bytes, and 'data.bin' does not have them at 0"),
        ("data.bin", -8, 24, "takes 24 bytes, and 'data.bin' does not have them at -8"),
    ],
)
def test_a_file_beside_is_not_believed(
    tmp_path: Path, location: str, offset: int, length: int, message: str
) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "data.bin").write_bytes(bytes(24))
    (tmp_path / "data.bin").write_bytes(bytes(24))
    (folder / "link.bin").symlink_to(tmp_path / "data.bin")
    model = parser.parse_model(SMALL)
    tensor = onnx.TensorProto(name="w", dims=[3, 2], data_type=1, data_location=1)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    model.graph.initializer.append(tensor)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert mistakes(path) == [f"E0801: the array 'w' of FILE {message}"]


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ({"dims": [3, 2], "data_type": 1, "raw_data": bytes(8)}, "cannot be read: "),
        ({"dims": [-1], "data_type": 1, "raw_data": bytes(8)}, "has a negative extent"),
        ({"dims": [1], "data_type": 99, "raw_data": bytes(8)}, "has a type that is not known: 99"),
        ({"dims": [10**9, 10**9], "data_type": 1, "raw_data": bytes(8)}, "cannot be read: "),
    ],
)
def test_a_lying_array_is_refused(tmp_path: Path, tensor: dict[str, Any], message: str) -> None:
    model = parser.parse_model(SMALL)
    model.graph.initializer.append(onnx.TensorProto(name="w", **tensor))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    (found,) = mistakes(path)
    assert found.startswith(f"E0801: the array 'w' of FILE {message}")


@pytest.mark.parametrize("content", [b"", b"\x00", b"not a model at all", bytes(1000), b"\x08\x0a"])
def test_what_is_no_file_of_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    (found,) = mistakes(path)
    assert found.startswith("E0801: FILE is no file of ONNX: ")


# The command


def test_the_command_writes_a_spec_with_its_weights(run: Run, tmp_path: Path) -> None:
    assert run("export", "resnet_18", "-p", "torchvision", "--to", "onnx", "-o", "net.onnx")[0] == 0
    code, out, err = run("import", "net.onnx", "-o", "net.yaml", "--weights", "net.safetensors")
    assert (code, err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert lines["parameters"] == "11,689,512, and 9,600 in buffers"
    assert lines["layers"].startswith("69 compared with onnx")
    assert lines["network"].startswith("resnet_18, profiles ")
    assert "torchvision" in lines["network"]
    assert out.endswith("wrote net.yaml\nwrote net.safetensors\n")
    spec = (tmp_path / "net.yaml").read_text()
    assert spec.startswith("# Imported from net.onnx, sha256 ")
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    ours = archforge.compile(tmp_path / "net.yaml", weights=tmp_path / "net.safetensors", backend="numpy")
    zoo = archforge.load("resnet_18", "torchvision")
    theirs = archforge.compile(zoo, weights=fresh_weights(zoo.params, 0), backend="numpy")
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    assert len(read_weights(tmp_path / "net.safetensors")) == len(zoo.params)


def test_the_command_prints_the_spec_where_no_file_is_named(run: Run, tmp_path: Path) -> None:
    assert run("export", "lenet_5", "--to", "onnx", "-o", "net.onnx")[0] == 0
    code, out, err = run("import", "net.onnx")
    assert code == 0
    assert out.startswith("# Imported from net.onnx")
    assert err.startswith("ops ")
    code, out, _ = run("import", "net.onnx", "-o", "net.yaml", "--json")
    told = json.loads(out)
    assert (code, told["ok"], told["written"], told["params"]) == (0, True, ["net.yaml"], 61_710)
    assert told["networks"][0]["network"] == "lenet_5"
    assert told["layers"]["worst"] < TOLERANCE
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.onnx", "net.yaml"]


def test_the_comparison_can_be_left_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("export", "lenet_5", "--to", "onnx", "-o", "net.onnx")[0] == 0
    monkeypatch.setattr("archforge.interchange.layer_check.checked_layers", None)
    code, out, _ = run("import", "net.onnx", "-o", "net.yaml", "--no-layer-check")
    assert code == 0
    assert "layers      not compared: --no-layer-check\n" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.onnx"], "E0601: cannot read missing.onnx: no such file or directory\n"),
        (
            ["lenet_5"],
            "E0801: there is no file lenet_5; the network of the zoo of that name is a spec already\n",
        ),
        (["net.yaml"], "E0801: net.yaml is a spec by its name, which needs no import\n"),
        (["net.onnx", "-o", "."], "E0705: . is a folder\n      help: -o FILE\n"),
        (["net.onnx", "--shape", "3xh"], "E0001: `3xh` is no shape\n"),
        (["net.onnx", "-o", "o.yaml", "--weights", "w.txt"], "E0705: cannot tell the format of w.txt"),
    ],
)
def test_mistakes_of_the_command_are_told(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    assert run("export", "lenet_5", "--to", "onnx", "-o", "net.onnx")[0] == 0
    code, out, err = run("import", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]


def test_values_beyond_the_memory_are_refused_before_they_are_computed(run: Run, tmp_path: Path) -> None:
    text = "model (float[1, 3, h, w] x) => (float[1, 3, h, w] y) { y = Relu(x) }"
    stored(tmp_path, HEAD.format(opset=13) + text)
    code, _, err = run("import", "model.onnx", "--shape", "3x900000x900000", "-o", "net.yaml")
    assert code == 2
    assert err.startswith("E0706: ")
    assert "which --no-layer-check leaves out" in err


def test_nothing_is_written_where_a_layer_differs(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("export", "lenet_5", "--to", "onnx", "-o", "net.onnx")[0] == 0

    def differs(*_: object) -> LayerCheck:
        return LayerCheck(3, 0.5, ("stage1.conv", 0.5))

    monkeypatch.setattr("archforge.interchange.layer_check.checked_layers", differs)
    code, out, err = run("import", "net.onnx", "-o", "net.yaml")
    assert (code, out) == (2, "")
    assert err.startswith(
        "E0805: the layer 'stage1.conv' of net.onnx was imported as one that deviates by 5.0e-01"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]
