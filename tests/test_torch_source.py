"""Networks as source of torch: what can be held without torch."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from archforge import driver
from archforge.errors import DiagnosticError
from archforge.export import Subject
from archforge.export.mlx import mlx_module
from archforge.export.module.layer_file import layer_file
from archforge.export.torch import LAYERS, torch_module, torch_source
from archforge.interchange.torch import calls
from archforge.interchange.torch.calls import CALLS, SIGNATURES, torch_text
from archforge.interchange.unsupported import Unsupported
from archforge.ops import all_ops
from tests.conftest import Run
from tests.formatted import assert_well_formed
from tests.graphs import graph, node
from tests.op_examples import EXAMPLES
from tests.zoo import family, networks

# Names that no layer can have behind a dot, and levels of names that hold more than layers in a row.
ODD_NAMES = graph(
    node("0", "linear", "input", out=4),
    node("a-b.0.in", "linear", "0", out=4),
    node("a-b.2", "linear", "a-b.0.in", out=4),
    node("a-b.2.x", "linear", "a-b.2", out=4),
    node("mixed.1", "linear", "a-b.2.x", out=4),
    node("mixed.word", "linear", "mixed.1", out=4),
    node("rows.0.0.in", "linear", "mixed.word", out=4),
    inputs={"input": (4,)},
)


# What training changes.
DROPPING = graph(
    node("conv", "conv", "input", out=4, kernel=3),
    node("norm", "bn", "conv", momentum=0.25, eps=1e-3),
    node("relu", "relu", "norm"),
    node("drop", "dropout", "relu", rate=0.5),
    node("depth", "stochastic_depth", "drop", rate=0.5),
)


def source_of(spec: str | Mapping[str, Any], profile: str | None = None) -> str:
    network = driver.load(spec, profile=profile)
    return torch_module(Subject(network, (network,)))


def network_of(source: str) -> str:
    """The classes of the network and its blocks, without layers that torch lacks."""
    own = [f"\n\n\n{layer.text}" for layer in layer_file(LAYERS).layers.values()]
    ends = [source.index(text) for text in own if text in source]
    return source[source.index("class ") : min(ends, default=len(source))].strip()


def first_of_each_family() -> list[tuple[str, str]]:
    first = {family(name): (name, spec.profile_names[0]) for name, spec in reversed(networks().items())}
    return [*first.values()]


def test_source_is_as_the_formatter_would_have_it(tmp_path: Path) -> None:
    assert_well_formed(tmp_path, source_of, first_of_each_family())


def test_a_layer_under_two_odd_names_is_so_too(tmp_path: Path) -> None:
    long: dict[str, Any] = {
        "out": 4,
        "kernel": (3, 5),
        "stride": (1, 2),
        "padding": (1, 2),
        "groups": 2,
        "bias": False,
    }
    typed = graph(node("a-b.a-name-of-some-length", "conv", "input", **long), inputs={"input": (4, 8, 8)})
    assert_well_formed(tmp_path, lambda *_: torch_source(typed, "Net", "A test."), [("odd", "names")])


def test_values_in_a_tuple_too_long_for_its_line_are_so_too(tmp_path: Path) -> None:
    assert_well_formed(tmp_path, source_of, [("lenet_5", "paper")])


OF_ONE_NAME = """\
archforge: 1
title: A choice under the name of a layer
input: [3, 8, 8]
blocks:
  unit:
    args: {stride: 1}
    body:
      - {conv: {out: 4, stride: =stride}, when: =stride > 1, name: down}
      - {seq: [{conv: {out: 4, kernel: 3, padding: 1}}, bn, relu], repeat: 3}
      - {upsample: {factor: 2}, when: =stride > 1}
graph:
  - {conv: 4, name: stem}
  - {unit: {stride: 2}, name: a}
  - {unit: {}, name: b}
"""


@pytest.mark.parametrize("source", [torch_module, mlx_module])
def test_a_choice_keeps_its_value_beside_a_layer_of_its_name(source: Any) -> None:
    network = driver.load(yaml.safe_load(OF_ONE_NAME))
    made = ast.walk(ast.parse(source(Subject(network, (network,)))))
    assigned = [
        [ast.unparse(target) for statement in ast.walk(function) if isinstance(statement, ast.Assign)
         for target in statement.targets]
        for function in made if isinstance(function, ast.FunctionDef) and function.name == "__init__"
    ]  # fmt: skip
    assert any("self.given_down" in names for names in assigned)
    assert all(len(names) == len({*names}) for names in assigned)


@pytest.mark.slow
def test_source_of_all_profiles_is_so_too(tmp_path: Path) -> None:
    assert_well_formed(
        tmp_path, source_of, [(n, p) for n, spec in networks().items() for p in spec.profile_names]
    )


# The table of ops


def test_every_op_has_words_or_does_nothing() -> None:
    lacking = {cls.op for cls in all_ops().values() if cls.op not in CALLS and not cls.is_identity}
    assert lacking <= {"identity"}


def test_all_that_is_called_is_torchs_or_in_our_file() -> None:
    file = layer_file(LAYERS)
    called: set[str] = set()
    for example in EXAMPLES:
        with suppress(Unsupported):
            text = torch_text(example.op, example.types)
            called |= {text.callee, text.layer}
    words = {w for text in called for w in re.findall(r"(?<![\w.}\])])[A-Za-z_][\w.]*(?=\()", text)}
    words |= {text for text in called if text and "{" not in text}
    within = {
        "F.pad",
        "torch.maximum",
        "nn.Parameter",
        "torch.cat",
        "torch.full",
        "torch.randn",
        "float",
    }  # expressions
    within |= {f"F.{kind}_pool{rank}d" for kind in ("max", "avg") for rank in "123"}
    within |= {"F.dropout", *(f"F.dropout{rank}d" for rank in "123")}
    assert words - within <= SIGNATURES.keys() | file.layers.keys()
    ranks = {re.sub(r"[123]d$", f"{rank}d", word) for word in words for rank in "123"}
    assert {layer.name for layer in file.closure(ranks)} == file.layers.keys()


# What is written

BLOCKS = {
    "archforge": 1,
    "input": [3, 32, 32],
    "defaults": {"conv": {"bias": False}},
    "blocks": {
        "unit": {
            "args": {"out": "int", "stride": 1},
            "body": [
                {
                    "add": [
                        [
                            {"conv": {"out": "=out", "kernel": 3, "stride": "=stride", "padding": 1}},
                            "bn",
                            "relu",
                            {"conv": {"out": "=out", "kernel": 3, "padding": 1}},
                            {"bn": {"scale": False}},
                        ],
                        [
                            {
                                "conv": {"out": "=out", "stride": "=stride"},
                                "name": "fit",
                                "when": "=input.channels != out",
                            }
                        ],
                    ]
                },
                "relu",
            ],
        }
    },
    "graph": [
        {"conv": {"out": 8, "kernel": 3, "stride": 2, "padding": "same_upper"}, "name": "stem"},
        {
            "for": {"n": [1, 4], "width": [8, 16], "stride": [1, 2]},
            "name": "stage{i+1}",
            "do": [{"unit": {"out": "=width"}, "repeat": "=n", "first": {"stride": "=stride"}}],
        },
        {
            "name": "head",
            "seq": [{"global_avg_pool": {}}, "flatten", {"dropout": 0.2}, {"linear": 10, "name": "fc"}],
        },
    ],
}

BLOCKS_READ = '''
class Spec(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = SameConv2d(3, 8, 3, stride=2, bias=False)
        self.stage1 = nn.Sequential(Unit(8, 8))
        self.stage2 = nn.Sequential(
            Unit(8, 16, stride=2, fit=True),
            *(Unit(16, 16) for _ in range(3)),
        )
        self.head = nn.Sequential(
            OrderedDict(
                global_avg_pool=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
                dropout=nn.Dropout(p=0.2),
                fc=nn.Linear(16, 10),
            ),
        )

    def forward(self, x):
        """float[N, 10] for x float[N, 3, 32, 32]."""
        x = self.stem(x)  # 8x16x16
        x = self.stage1(x)
        x = self.stage2(x)  # 16x8x8
        return self.head(x)  # 10


class Unit(nn.Module):
    """Block unit: stage1.0 and 4 more."""

    def __init__(self, in_channels, out_channels, stride=1, fit=False):
        super().__init__()
        self.conv1 = nn.Conv2d(
            in_channels, out_channels, 3, stride=stride, padding=1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = CenteredBatchNorm2d(out_channels)
        self.fit = (
            nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
            if fit
            else nn.Identity()
        )

    def forward(self, x):
        y = self.conv1(x)
        y = F.relu(self.bn1(y))
        y = self.conv2(y)
        y = self.bn2(y)
        x = self.fit(x)
        return F.relu(y + x)
'''


def test_blocks_loops_and_options_read_like_this() -> None:
    assert network_of(source_of(BLOCKS)) == BLOCKS_READ.strip()


SHARED = {
    "archforge": 1,
    "input": {"left": [4, 8, 8], "right": [4, 8, 8]},
    "blocks": {"tower": {"body": [{"conv": {"out": 4, "kernel": 3, "padding": 1}}, "relu"]}},
    "graph": [
        {
            "concat": [
                {"tower": {}, "from": "=left", "share": "tower"},
                {"tower": {}, "from": "=right", "share": "tower"},
            ],
            "as": "both",
        },
        {"lp_pool": 2, "name": "pool"},
        {"global_response_norm": {}, "name": "response"},
    ],
    "outputs": {"end": "=x", "both": "=both"},
}

SHARED_READS = '''
class Spec(nn.Module):
    def __init__(self):
        super().__init__()
        self.tower = Tower()
        self.response = GlobalResponseNorm(8, 1, (2, 3))

    def forward(self, left, right):
        """Arrays by the names of outputs for left float[N, 4, 8, 8], right float[N, 4, 8, 8]."""
        x = self.tower(left)  # 4x8x8
        tower_2 = self.tower(right)  # 4x8x8
        both = torch.cat((x, tower_2), 1)  # 8x8x8
        x = lp_pool(both, 2, 2, 2)  # 8x4x4
        x = self.response(x)
        return {"end": x, "both": both}


class Tower(nn.Module):
    """Block tower: tower and tower@2."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return F.relu(self.conv(x))
'''


def test_shared_parameters_several_inputs_and_outputs_read_like_this() -> None:
    assert network_of(source_of(SHARED)) == SHARED_READS.strip()


def test_all_that_torch_lacks_is_refused_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    less = {kind: write for kind, write in CALLS.items() if kind not in ("conv", "relu")}
    monkeypatch.setattr(calls, "CALLS", less)
    code, out, err = run("export", "lenet_5", "--to", "torch", "-p", "modern")
    assert (code, out) == (2, "")
    assert "E0704: model_torch.py has no layer for `conv`: stage1.conv and 1 more" in err
    assert not list(tmp_path.iterdir())
    with pytest.raises(DiagnosticError) as caught:
        source_of("resnet_18", "torchvision")
    found = [(d.code, d.message) for d in caught.value.diagnostics]
    assert found == [
        ("E0704", "model_torch.py has no layer for `conv`: conv1 and 19 more"),
        ("E0704", "model_torch.py has no layer for `relu`: relu and 16 more"),
    ]


def test_names_that_every_layer_has_are_refused_at_once() -> None:
    steps = [{"conv": 4, "name": "train"}, {"conv": 4, "name": "__x"}, {"conv": 4, "name": "_fine"}]
    spec = {"archforge": 1, "input": [3, 8, 8], "graph": steps}
    with pytest.raises(DiagnosticError) as caught:
        source_of(spec)
    assert [d.message.partition("named ")[2] for d in caught.value.diagnostics] == [
        "`train`, which every layer has already",
        "`__x`, which would be hidden",
    ]


def test_the_network_in_words_of_its_spec_cannot_break_the_source() -> None:
    spec = {"archforge": 1, "title": '3 "quotes" """ \\', "input": [3, 8, 8], "graph": [{"conv": 4}]}
    ast.parse(source_of(spec))


@pytest.mark.parametrize("word", ["F", "None", "Exception"])
def test_no_class_has_a_name_that_the_source_or_python_needs(word: str) -> None:
    body = [{"conv": 4, "name": "a"}, "relu", {"conv": 3, "name": "b"}]
    blocks = {word.lower(): {"body": body}}
    spec = {
        "archforge": 1,
        "title": word,
        "input": [3, 8, 8],
        "blocks": blocks,
        "graph": [{word.lower(): {}}],
    }
    classes = [n.name for n in ast.walk(ast.parse(source_of(spec))) if isinstance(n, ast.ClassDef)]
    assert classes == [f"Network{word}", f"{word}2"]
