"""model.py computes what the graph says, needs only NumPy, and reads as if people had written it."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archforge import driver
from archforge.data.arrays import read_weights, write_arrays
from archforge.export import Subject
from archforge.export.module import model_source, module_of
from archforge.export.module.kernels import kernel_file, kernel_name
from archforge.export.module.loops import MAX_BODY, Loop, LoopReference, Parts, roll, split_name
from archforge.ir import Node, Scope, TypedGraph
from archforge.ops import all_ops
from archforge.ops.base import Array, Example
from archforge.spec.expand.expand import expand
from archforge.weights import rule_weights
from tests.formatted import RUFF, assert_well_formed
from tests.graphs import GRAPHS, evaluate, graph, inputs_of, node, one_op
from tests.small import AMPLIFYING, each_network, small_network, small_weights
from tests.zoo import networks

# float64; sums run in another order than the reference's.
TOLERANCE = 1e-12

EXAMPLES = [
    pytest.param(kind, example, id=f"{kind}-{i}")
    for kind, cls in all_ops().items()
    if kind == cls.op
    for i, example in enumerate(cls.examples)
]


def module(source: str) -> ModuleType:
    """The module of that text, which may import NumPy and Python's own packages only."""
    for statement in ast.walk(ast.parse(source)):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            assert isinstance(statement, ast.Import)
            assert {a.name for a in statement.names} <= {"numpy", "json", "math", "sys"}
    made = ModuleType("model")
    exec(compile(source, "model.py", "exec"), made.__dict__)  # noqa: S102
    return made


def assert_equal_to_reference(
    typed: TypedGraph, tolerance: float = TOLERANCE, params: dict[str, Array] | None = None
) -> None:
    """Weights are made by rule unless they are given."""
    params, inputs = params or rule_weights(typed.params()), inputs_of(typed)
    expected = evaluate(typed, params, inputs)
    given = module(module_of(typed, "A test.")).forward(params, *inputs.values())
    outputs = typed.outputs
    found = given if len(outputs) > 1 else dict.fromkeys(outputs, given)
    assert list(found) == list(outputs)
    for name, value in outputs.items():
        want = expected[value]
        assert found[name].shape == want.shape
        assert np.abs(found[name] - want).max() <= tolerance * (want.std() or 1.0), name


# What it computes


@pytest.mark.parametrize(("kind", "example"), EXAMPLES)
def test_each_layer_is_its_ops_reference(kind: str, example: Example) -> None:
    assert_equal_to_reference(one_op(all_ops()[kind](**example.attributes), example.inputs))


@pytest.mark.parametrize("name", GRAPHS)
def test_small_graphs_are_their_reference(name: str) -> None:
    assert_equal_to_reference(GRAPHS[name])


@each_network
def test_networks_are_their_reference(name: str, profile: str) -> None:
    weights = small_weights(name, profile)
    assert_equal_to_reference(small_network(name, profile), AMPLIFYING.get(name, TOLERANCE), weights)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet_50", "vgg_16", "inception_v3", "mobilenet_v2", "densenet_121"])
def test_networks_are_their_reference_at_full_size(name: str) -> None:
    assert_equal_to_reference(expand(networks()[name], "torchvision").graph)


def test_layers_keep_the_dtype_of_their_input() -> None:
    for kind, cls in all_ops().items():
        example = cls.examples[0]
        typed = one_op(all_ops()[kind](**example.attributes), example.inputs)
        inputs = [x.astype(np.float32) for x in inputs_of(typed).values()]
        made = module(module_of(typed, "A test."))
        assert made.forward(rule_weights(typed.params(), "float32"), *inputs).dtype == np.float32, kind


def test_no_kernel_is_there_for_nothing() -> None:
    """Each function of kernels.py is an op's, or one of those needs it."""
    kernels = kernel_file().kernels
    assert {k.name for k in kernel_file().closure(map(kernel_name, all_ops()))} == set(kernels)


def block_of(*names: str) -> TypedGraph:
    """Two calls of a block whose layers have these names within it, or, with a slash, outside of it."""
    nodes: list[Node] = []
    scopes = [Scope(0, "", "graph", True, None, None)]
    for call in ("b", "b1"):
        scopes.append(Scope(len(scopes), call, "block", True, 0, None))
        for name in names:
            full = name.removeprefix("/") if name.startswith("/") else f"{call}.{name}"
            inputs = (nodes[-1].name if nodes else "input",)
            own = f"{call}.{name}"
            nodes.append(node(own, "linear", *inputs, out=4, params_of=full, scope=len(scopes) - 1))
    return graph(*nodes, inputs={"input": (4,)}, scopes=tuple(scopes))


@pytest.mark.parametrize(
    "names",
    [("a", "{name}"), ("a", "{", '"'), ("a", "/b2.shared"), ("a", "/b"), ("0", "1", "2", "3")],
    ids=str,
)
def test_names_within_a_block_are_what_they_are(names: tuple[str, ...]) -> None:
    assert_equal_to_reference(block_of(*names))


def test_calls_that_lack_the_same_line_in_two_ways_are_told_apart() -> None:
    scopes = [Scope(0, "", "graph", True, None, None)]
    nodes: list[Node] = []
    for index, stands_for_sum in enumerate(("sum", "a", "b"), start=1):
        call = f"b{index}"
        scopes.append(Scope(index, call, "block", True, 0, None))
        x = nodes[-1].name if nodes else "input"
        nodes += [
            node(f"{call}.a", "linear", x, out=4, scope=index),
            node(f"{call}.b", "linear", x, out=4, scope=index),
            node(f"{call}.sum", "add", f"{call}.a", f"{call}.b", scope=index),
            node(f"{call}.all", "concat", *(f"{call}.{n}" for n in (stands_for_sum, "a", "b")), scope=index),
        ]
    assert_equal_to_reference(graph(*nodes, inputs={"input": (4,)}, scopes=tuple(scopes)))


def test_blocks_may_read_and_leave_several_values() -> None:
    scopes = [Scope(0, "", "graph", True, None, None)]
    nodes = [node("start", "linear", "input", out=4)]
    for index in (1, 2, 3):
        call, x = f"b{index}", nodes[-1].name
        scopes.append(Scope(index, call, "block", True, 0, None))
        nodes += [
            node(f"{call}.low", "linear", x, out=4, scope=index),
            node(f"{call}.mixed", "subtract", f"{call}.low", "start", scope=index),
            node(f"{call}.high", "tanh", f"{call}.mixed", scope=index),
            node(f"{call}_after", "subtract", f"{call}.high", f"{call}.low"),
        ]
    typed = graph(*nodes, inputs={"input": (4,)}, scopes=tuple(scopes))
    assert_equal_to_reference(typed)
    source = module_of(typed, "A test.")
    assert "def block_2(p, name, x, x2):" in source  # in the first call both are one value
    assert "    b2, x = block_2(" in source


def test_blocks_may_call_each_other_in_a_ring() -> None:
    """`a` holds `b` and `b` holds `a`, each with a layer before and behind."""
    scopes = [Scope(0, "", "graph", True, None, None)]
    nodes: list[Node] = []
    for top in ("one", "two"):
        path: list[tuple[int, str]] = []
        for depth in range(4):
            above, prefix = path[-1] if path else (0, "")
            scopes.append(
                Scope(
                    len(scopes), f"{prefix}{top if depth == 0 else 'in'}", "ab"[depth % 2], True, above, None
                )
            )
            path.append((scopes[-1].index, f"{scopes[-1].name}."))
        for layer, places in (("before", path), ("behind", path[::-1])):
            for index, prefix in places:
                x = nodes[-1].name if nodes else "input"
                nodes.append(node(f"{prefix}{layer}", "linear", x, out=4, scope=index))
    typed = graph(*nodes, inputs={"input": (4,)}, scopes=tuple(scopes))
    assert_equal_to_reference(typed)
    assert module_of(typed, "A test.").count("\ndef a") == 2


def test_a_long_network_is_no_long_wait() -> None:
    """Names that are near to loops everywhere: seconds would be hours if each place looked at all others."""
    nodes = [node("0", "relu", "input")]
    for i in range(1, 5_000):
        name = f"{i}.{i % 7}.{i}" if i % 3 else f"{i}"
        nodes.append(node(name, "prelu", nodes[-1].name))
    began = time.process_time()
    module_of(graph(*nodes, inputs={"input": (2,)}), "A test.")
    assert time.process_time() - began < 10


def test_long_merges_are_laid_out_over_lines() -> None:
    names = [f"a_branch_with_a_long_name_{i}.conv" for i in range(12)]
    convs = [node(name, "conv", "input", out=4) for name in names]
    for end in ([], [node("end", "relu", "sum")]):
        typed = graph(*convs, node("sum", "add", *names), *end)
        assert_equal_to_reference(typed)
        assert max(map(len, module_of(typed, "A test.").splitlines())) <= 88


def test_loops_within_loops_have_variables_of_their_own() -> None:
    names = [".".join(map(str, place)) for place in product(*[range(2)] * 7)]
    nodes: list[Node] = []
    for name in names:
        nodes.append(node(name, "prelu", nodes[-1].name if nodes else "input"))
    assert_equal_to_reference(graph(*nodes))


def test_a_value_that_is_needed_again_is_kept() -> None:
    assert_equal_to_reference(
        graph(
            node("conv", "conv", "input", out=4),
            node("relu", "relu", "conv"),
            node("tanh", "tanh", "relu"),
            node("add", "add", "conv", "tanh", "relu", "conv"),
        )
    )


# How it reads


def network_part(source: str) -> str:
    """The part between the imports and the layers."""
    return re.split(
        r"\n# (?:Layers|Recurrent|Pools|Windows|Element|Along|Shapes)", source.split("# The network\n")[1]
    )[0].strip()


def source_of(name: str, profile: str) -> str:
    network = driver.analyse(networks()[name], profile)
    return model_source(Subject(network, (network,)))


def test_resnet_50_reads_like_this() -> None:
    assert network_part(source_of("resnet_50", "torchvision")) == RESNET_50.strip()


RESNET_50 = '''
def forward(p, x):
    """float[N, 1000] for x float[N, 3, 224, 224]."""
    check(p, x)
    x = conv(p, "conv1", x, stride=2, padding=3)  # 64x112x112
    x = relu(bn(p, "bn1", x))
    x = max_pool(x, kernel=3, stride=2, padding=1)  # 64x56x56
    x = bottleneck(p, "layer1.0", x, downsample=True)  # 256x56x56
    x = bottleneck(p, "layer1.1", x)
    x = bottleneck(p, "layer1.2", x)
    x = bottleneck(p, "layer2.0", x, stride=2, downsample=True)  # 512x28x28
    for i in range(1, 4):
        x = bottleneck(p, f"layer2.{i}", x)
    x = bottleneck(p, "layer3.0", x, stride=2, downsample=True)  # 1024x14x14
    for i in range(1, 6):
        x = bottleneck(p, f"layer3.{i}", x)
    x = bottleneck(p, "layer4.0", x, stride=2, downsample=True)  # 2048x7x7
    x = bottleneck(p, "layer4.1", x)
    x = bottleneck(p, "layer4.2", x)
    x = flatten(global_avg_pool(x))  # 2048
    return linear(p, "fc", x)  # 1000


def bottleneck(p, name, x, *, stride=1, downsample=False):
    """Block bottleneck: layer1.0 and 15 more."""
    y = conv(p, f"{name}.conv1", x)
    y = relu(bn(p, f"{name}.bn1", y))
    y = conv(p, f"{name}.conv2", y, stride=stride, padding=1)
    y = relu(bn(p, f"{name}.bn2", y))
    y = conv(p, f"{name}.conv3", y)
    y = bn(p, f"{name}.bn3", y)
    if downsample:
        x = project(p, f"{name}.downsample", x, stride=stride)
    return relu(y + x)


def project(p, name, x, *, stride=2):
    """Block project: layer1.0.downsample and 3 more."""
    x = conv(p, f"{name}.0", x, stride=stride)
    return bn(p, f"{name}.1", x)
'''

BRANCHY = """
archforge: 1
input: [3, 16, 16]
blocks:
  mixed:
    args: {out: int, act: relu, gate: true}
    body:
      - concat:
          pool: [{max_pool: {kernel: 3, stride: 1, padding: 1}}, {conv: =out}]
          small: {conv: =out}
          large: [{conv: =out}, {=act: {}}, {conv: {out: =out, kernel: 3, padding: 1}}]
      - multiply:
          - []
          - branch: [global_avg_pool, {conv: {out: =3*out}, name: squeeze}, sigmoid]
            when: =gate
graph:
  - {conv: {out: 8, kernel: 3, padding: 1}, name: stem, as: start}
  - for: {out: [4, 4, 6, 6]}
    name: stage{i+1}
    do: {mixed: {out: =out, act: "='relu' if i < 2 else 'tanh'", gate: =i > 0}}
  - side: [global_avg_pool, flatten, {linear: 5}]
    name: early
    as: early
  - let: {width: =x.channels}
  - {conv: =width}
  - concat: [=start, []]
  - repeat: 3
    seq: [{conv: {out: =width, kernel: 3, padding: 1}}, relu]
    name: tail
  - global_avg_pool
  - flatten
outputs: {features: =x, scores: =early}
"""

BRANCHY_READS = '''
def forward(p, x):
    """Arrays by the names of outputs for x float[N, 3, 16, 16]."""
    check(p, x)
    stem = conv(p, "stem", x, padding=1)  # 8x16x16
    x = mixed(p, "stage1", stem)  # 12x16x16
    x = mixed_2(p, "stage2", x, activation=relu)
    x = mixed_2(p, "stage3", x, activation=tanh)  # 18x16x16
    stage4 = mixed_2(p, "stage4", x, activation=tanh)
    x = flatten(global_avg_pool(stage4))  # 18
    scores = linear(p, "early.2", x)  # 5
    x = conv(p, "conv", stage4)
    x = concat(stem, x)  # 26x16x16
    for i in (0, 2, 4):
        x = relu(conv(p, f"tail.{i}", x, padding=1))
    x = flatten(global_avg_pool(x))  # 18
    return {"features": x, "scores": scores}


def mixed(p, name, x):
    """Block mixed: stage1."""
    pool = max_pool(x, kernel=3, stride=1, padding=1)
    pool = conv(p, f"{name}.pool.1", pool)
    small = conv(p, f"{name}.small", x)
    large = relu(conv(p, f"{name}.large.0", x))
    large = conv(p, f"{name}.large.2", large, padding=1)
    return concat(pool, small, large)


def mixed_2(p, name, x, *, activation):
    """Block mixed: stage2 and 2 more."""
    pool = max_pool(x, kernel=3, stride=1, padding=1)
    pool = conv(p, f"{name}.pool.1", pool)
    small = conv(p, f"{name}.small", x)
    large = activation(conv(p, f"{name}.large.0", x))
    large = conv(p, f"{name}.large.2", large, padding=1)
    x = concat(pool, small, large)
    y = global_avg_pool(x)
    y = sigmoid(conv(p, f"{name}.squeeze", y))
    return x * y
'''


def test_a_network_with_branches_reads_like_this() -> None:
    typed = driver.load(BRANCHY).graph
    assert_equal_to_reference(typed)
    assert network_part(module_of(typed, "A test.")) == BRANCHY_READS.strip()


@pytest.mark.skipif(RUFF is None, reason="ruff is not installed")
def test_modules_are_as_the_formatter_would_have_them(tmp_path: Path) -> None:
    assert_well_formed(
        tmp_path, source_of, [(name, spec.profile_names[0]) for name, spec in networks().items()]
    )


@pytest.mark.slow
@pytest.mark.skipif(RUFF is None, reason="ruff is not installed")
def test_modules_of_all_profiles_are_so_too(tmp_path: Path) -> None:
    assert_well_formed(
        tmp_path, source_of, [(n, p) for n, spec in networks().items() for p in spec.profile_names]
    )


# Loops


@dataclass(frozen=True)
class Said:
    """A statement that only says its name."""

    parts: Parts
    word: str
    comment: str = ""


def unrolled(items: tuple[Any, ...], values: tuple[int, ...] = ()) -> Iterator[tuple[str, str]]:
    """The statements of loops, one after the other."""
    for item in items:
        if isinstance(item, Loop):
            for value in item.values:
                yield from unrolled(item.body, (*values, value))
        else:
            parts = (
                str(values[-1 - p.depth] + p.offset) if isinstance(p, LoopReference) else str(p)
                for p in item.parts
            )
            yield "".join(parts), item.word


def lines(items: Iterable[Any]) -> int:
    return sum(1 + lines(item.body) if isinstance(item, Loop) else 1 for item in items)


def is_shorter(item: Any) -> bool:
    """True if no loop takes as many lines as it stands for."""
    if not isinstance(item, Loop):
        return True
    return len(item.values) * lines(item.body) > lines([item]) and all(map(is_shorter, item.body))


NAMES = st.builds("a{}.{}".format, st.sampled_from(["0", "1", "2", "02", "b"]), st.integers(1, 3))


@settings(max_examples=1000)
@given(st.lists(st.tuples(NAMES, st.sampled_from("pq")), max_size=12))
def test_loops_say_the_same_in_the_same_order(said: list[tuple[str, str]]) -> None:
    rolled = roll([Said(split_name(name), word) for name, word in said])
    assert list(unrolled(rolled)) == said
    assert all(is_shorter(item) for item in rolled)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 20))
def test_stages_of_blocks_become_loops(stages: int, blocks: int, first: int) -> None:
    said = [
        (f"stage{s}.{b}.conv{c}", "p")
        for s in range(first, first + stages)
        for b in range(blocks)
        for c in (1, 2)
    ]
    items = [Said(split_name(name), word) for name, word in said]
    rolled = roll(items)
    assert list(unrolled(rolled)) == said
    if stages > 1:
        assert len(rolled) == 1


def test_stages_that_no_body_can_hold_are_loops_of_loops() -> None:
    said = [(f"stage{s}.{b}.conv", "p") for s in range(3) for b in range(MAX_BODY + 1)]
    (stage,) = rolled = roll([Said(split_name(name), word) for name, word in said])
    assert list(unrolled(rolled)) == said
    assert lines([stage]) == 3


def test_a_loop_cuts_no_scope_in_two() -> None:
    said = ["layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer2.2"]
    items = [Said(split_name(name), "p") for name in said]
    assert not any(isinstance(item, Loop) and len(item.body) > 1 for item in roll(items))


def test_a_comment_that_is_not_true_of_each_round_is_left_out() -> None:
    items = [Said(split_name(f"a{i}"), "p", f"{i}") for i in range(4)]
    (loop,) = roll(items)
    assert loop.body[0].comment == ""
    (loop,) = roll([replace(item, comment="same") for item in items])
    assert loop.body[0].comment == "same"


# Words of a spec, which nobody has to trust


HOSTILE = 'x"""\nraise SystemExit(1)\n\u2028"""\\'


def test_words_of_a_spec_stay_words() -> None:
    spec = {
        "archforge": 1,
        "title": HOSTILE,
        "departs": HOSTILE,
        "input": [4],
        "graph": [{"linear": 4, "name": "a'b"}, "relu"],
    }
    network = driver.load(spec)
    made = module(model_source(Subject(network, (network,))))
    assert 'raise SystemExit(1) """\\' in str(made.__doc__)


@pytest.mark.parametrize(
    "word", ["class", "print", "np", "p", "name", "x", "conv", "taps", "i", "check", "é{}"]
)
def test_names_of_nodes_inputs_and_outputs_take_nothing_away(word: str) -> None:
    typed = graph(
        node(f"{word}.a", "linear", word, out=4),
        node(f"{word}.b", "linear", "other", out=4),
        node(word + "_", "add", f"{word}.a", f"{word}.b"),
        node("end", "relu", word + "_"),
        inputs={word: (3,), "other": (5,)},
        outputs={word: "end", f'"{word}\\': word + "_"},
    )
    assert_equal_to_reference(typed)


# As a program


def written(tmp_path: Path, name: str, profile: str) -> tuple[Path, dict[str, Array]]:
    path = tmp_path / "model.py"
    path.write_text(source_of(name, profile), "utf-8")
    return path, rule_weights(expand(networks()[name], profile).graph.params(), "float32")


def run(path: Path, *arguments: str, code: int = 0) -> str:
    # -I: nothing of this checkout or its environment variables is seen.
    done = subprocess.run(
        [sys.executable, "-I", str(path), *arguments],
        cwd=path.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_the_program_runs_a_file_of_weights_in_either_format(tmp_path: Path) -> None:
    path, weights = written(tmp_path, "lenet_5", "modern")
    printed = set()
    for suffix in ("npz", "safetensors"):
        write_arrays(tmp_path / f"w.{suffix}", weights)
        printed.add(run(path, f"w.{suffix}"))
    (text,) = printed
    assert len(text.splitlines()) == 5
    assert len(run(path).splitlines()) == 5  # without weights


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_it_reads_weights_as_we_do(tmp_path: Path, suffix: str, dtype: str) -> None:
    path, weights = written(tmp_path, "lenet_1", networks()["lenet_1"].profile_names[0])
    file = tmp_path / f"w.{suffix}"
    write_arrays(file, {k: v.astype(dtype) for k, v in weights.items()})
    loaded, expected = module(path.read_text("utf-8")).load(str(file)), read_weights(file)
    assert list(loaded) == list(expected)
    for name, array in expected.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)


def test_it_widens_bfloat16(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    header = {"a": {"dtype": "BF16", "shape": [2, 1], "data_offsets": [0, 4]}, "__metadata__": {"by": "hand"}}
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes([0x80, 0x3F, 0x20, 0xC0]))
    loaded = module(module_of(GRAPHS["chain"], "A test.")).load(file)
    np.testing.assert_array_equal(loaded["a"], np.array([[1.0], [-2.5]], np.float32))
    np.testing.assert_array_equal(loaded["a"], read_weights(file)["a"])


def test_arrays_that_do_not_fit_are_refused_by_name() -> None:
    typed = GRAPHS["chain"]
    made = module(module_of(typed, "A test."))
    fitting, (x,) = rule_weights(typed.params()), inputs_of(typed).values()
    counter = {"bn1.num_batches_tracked": np.array(3)}
    made.forward(fitting | counter, x)  # torch's, which no output depends on
    wrong: list[tuple[Mapping[str, Array], Array, str]] = [
        ({k: v for k, v in fitting.items() if k != "conv2.bias"}, x, "conv2.bias is None, expected (6,)"),
        (fitting | {"conv1.bias": np.zeros(4)}, x, "conv1.bias is (4,), expected None"),
        (fitting | {"fc.weight": np.zeros((5, 5))}, x, "fc.weight is (5, 5), expected"),
        (fitting, x[:, :, 1:], "x is (2, 4, 5, 6), expected (N, 4, 6, 6)"),
    ]
    for params, image, message in wrong:
        with pytest.raises(ValueError, match=re.escape(message)):
            made.forward(params, image)
