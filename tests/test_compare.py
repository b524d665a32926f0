"""A network held against other specs, files of weights, ONNX models and torch modules: what differs is
named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archforge
from archforge import driver
from archforge.comparison import NetworkCounterpart, compare, counterpart
from archforge.data.arrays import write_arrays
from archforge.errors import DiagnosticError
from archforge.export import target_named
from archforge.interchange.counterparts import Comparison, Computed, compared_values
from archforge.weights import rule_weights
from tests.conftest import TINY, Run

SPEC: dict[str, Any] = {
    "archforge": 1,
    "title": "small",
    "input": [3, 12, 12],
    "graph": [
        {"conv": {"out": 4, "kernel": 3, "padding": 1}, "name": "stem"},
        {"bn": None, "name": "norm"},
        "relu",
        {
            "add": [
                [{"conv": {"out": 4, "kernel": 3, "padding": 1}, "name": "inner"}],
                [{"conv": 4, "name": "short"}],
            ]
        },
        {"max_pool": {"kernel": 2}, "name": "pool"},
        "flatten",
        {"linear": 3, "name": "head"},
    ],
}
RENAMED = {
    "stem": "first",
    "norm": "second",
    "inner": "third",
    "short": "fourth",
    "pool": "fifth",
    "head": "last",
}


def changed(step: str, **attributes: Any) -> dict[str, Any]:
    """The spec with other attributes of one step."""
    spec: dict[str, Any] = json.loads(json.dumps(SPEC))
    steps = [*spec["graph"], *(s for branch in spec["graph"][3]["add"] for s in branch)]
    found = next(s for s in steps if isinstance(s, dict) and s.get("name") == step)
    kind = next(key for key in found if key != "name")
    held = found[kind] if isinstance(found[kind], dict) else {"out": found[kind]} if found[kind] else {}
    found[kind] = {**held, **attributes}
    return spec


def beside(spec: dict[str, Any], other: dict[str, Any]) -> Comparison:
    return compare(archforge.load(spec), NetworkCounterpart(archforge.load(other)))


def test_a_network_equals_itself() -> None:
    found = beside(SPEC, SPEC)
    assert found.ok
    assert found.params.is_equal
    assert {"stem", "norm", "inner", "short", "pool", "head"} <= {layer.name for layer in found.layers}
    assert max(layer.distance for layer in found.layers) == 0


@pytest.mark.parametrize(
    ("step", "attributes", "before"),
    [
        ("norm", {"eps": 1e-3}, "stem"),
        ("stem", {"padding": [[0, 2], [2, 0]]}, None),
        ("inner", {"dilation": 2, "padding": 2}, "relu"),
        ("pool", {"kernel": 3, "stride": 2, "padding": [[1, 0], [1, 0]]}, "add"),
    ],
)
def test_the_layer_that_differs_is_named(step: str, attributes: dict[str, Any], before: str | None) -> None:
    """Names and shapes are equal in all of these, and the output would be one number."""
    found = beside(SPEC, changed(step, **attributes))
    assert found.params.is_equal
    assert not found.ok
    assert found.first_apart
    assert found.first_apart.name == step
    assert (found.last_equal.name if found.last_equal else None) == before


def test_other_names_are_matched_by_order_where_that_says_enough() -> None:
    text = json.dumps({**SPEC, "graph": [s for i, s in enumerate(SPEC["graph"]) if i != 3]})
    chain = json.loads(text)
    for name, new in RENAMED.items():
        text = text.replace(f'"name": "{name}"', f'"name": "{new}"')
    found = beside(chain, json.loads(text))
    assert (found.ok, found.params.how) == (False, "order")
    assert found.params.missing[0] == "stem.weight"
    assert {layer.name for layer in found.layers} >= {"stem", "norm", "head"}
    assert found.first_apart is None
    found = beside(SPEC, changed("stem", out=5))
    assert found.params.shapes["stem.weight"] == ((4, 3, 3, 3), (5, 3, 3, 3))
    assert not found.outputs


def test_the_command_says_what_differs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(json.dumps(SPEC), "utf-8")
    (tmp_path / "b.yaml").write_text(json.dumps(changed("norm", eps=1e-3)), "utf-8")
    code, out, err = run("compare", "a.yaml", "b.yaml")
    assert (code, err) == (1, "")
    assert "12 arrays: names and shapes are equal" in out
    assert "first layer apart: `norm`" in out
    assert "before it, `stem` is equal" in out
    code, out, _ = run("compare", "a.yaml", "a.yaml", "--json")
    assert (code, json.loads(out)["ok"], json.loads(out)["first_apart"]) == (0, True, None)


def test_a_file_of_weights_has_names_and_shapes(run: Run, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(json.dumps(SPEC), "utf-8")
    arrays = rule_weights(archforge.load(SPEC).params)
    write_arrays(tmp_path / "w.npz", {f"module.{n}": a for n, a in arrays.items()})
    code, out, _ = run("compare", "s.yaml", "w.npz")
    assert code == 0
    assert "names and shapes are equal, there behind `module.`\n  values are not compared" in out
    arrays.pop("head.bias")
    arrays |= {"head.weight": np.ones((4, 144)), "aux.weight": np.ones(3)}
    write_arrays(tmp_path / "w.npz", arrays)
    code, out, _ = run("compare", "s.yaml", "w.npz")
    assert code == 1
    for line in (
        "1 array not there: `head.bias`",
        "1 array not here: `aux.weight`",
        "`head.weight` is 3x144 here, 4x144 there",
    ):
        assert line in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nosuch"], "E0002"),
        (["w.npz"], "E0601"),
        (["w.npz", "--other-profile", "x"], "E0001: w.npz has no profiles"),
        (["a.onnx"], "E0601"),
    ],
)
def test_what_cannot_be_compared_is_told(run: Run, tmp_path: Path, arguments: list[str], told: str) -> None:
    (tmp_path / "s.yaml").write_text(json.dumps(SPEC), "utf-8")
    code, out, err = run("compare", "s.yaml", *arguments)
    assert (code, out) == (2, "")
    assert told in err


def test_a_part_that_ends_elsewhere_is_no_layer_apart() -> None:
    one, two = np.array([1.0, 2.0]), np.array([3.0, 5.0])
    here = {"scope": one, "node": two, "scope.last": one}
    for there, layers, unmatched in (
        ({"scope": two}, [], []),  # another value of those here
        ({"scope": np.ones(3)}, [], ["scope"]),
        ({"scope": one + 1}, ["scope"], []),
        ({"node": one}, ["node"], []),
    ):
        found, left = compared_values(here, {"node"}, here, Computed([], there), 1e-9)
        assert ([layer.name for layer in found], list(left)) == (layers, unmatched)
    assert compared_values(here, {"node"}, here, Computed([], {}, {"a": two, "b": two + 1}), 1e-9) == (
        (),
        ("b",),
    )


# ONNX -------------------------------------------------------------------------------------------------------


def onnx_file(tmp_path: Path) -> Any:
    """The model of the spec in ONNX, and the place to write it to."""
    onnx = pytest.importorskip("onnx", reason="the extra `onnx` brings it")
    (tmp_path / "s.yaml").write_text(json.dumps(SPEC), "utf-8")
    made = driver.export(driver.open_spec(tmp_path / "s.yaml"), target_named("onnx"))
    return onnx.load_from_string(made.content.file), tmp_path / "m.onnx"


def test_a_model_of_onnx_equals_the_network_that_it_is_of(tmp_path: Path) -> None:
    model, path = onnx_file(tmp_path)
    path.write_bytes(model.SerializeToString())
    found = compare(archforge.load(SPEC), counterpart(str(path)))
    assert found.ok
    assert {layer.name for layer in found.layers} == {"stem", "norm", "inner", "short", "head"}
    norm = next(node for node in model.graph.node if node.op_type == "BatchNormalization")
    next(a for a in norm.attribute if a.name == "epsilon").f = 1e-2
    path.write_bytes(model.SerializeToString())
    found = compare(archforge.load(SPEC), counterpart(str(path)))
    assert found.first_apart
    assert (found.first_apart.name, found.ok) == ("norm", False)
    del model.graph.node[:]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(DiagnosticError, match=r"E0801: .* cannot be run"):
        compare(archforge.load(SPEC), counterpart(str(path)))


# torch ------------------------------------------------------------------------------------------------------

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, eps=1e-5):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4, eps=eps)
        self.inner, self.short = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(144, 3)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        return self.head(self.pool(self.inner(x) + self.short(x)).flatten(1))

def faulty():
    return Net(1e-3)

other = 5

def leaving():
    raise SystemExit(3)

def demanding(width):
    return Net()

class Narrow(Net):
    def forward(self, x):
        return super().forward(x[..., 1:])
"""


def test_a_module_of_any_package_is_compared_layer_by_layer(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="`make test-torch` installs it")
    (tmp_path / "s.yaml").write_text(json.dumps(SPEC), "utf-8")
    (tmp_path / "compared_net.py").write_text(NET, "utf-8")
    code, out, err = run("compare", "s.yaml", "compared_net:Net")
    assert (code, err) == (0, "")
    assert "6 layers" in out
    code, out, _ = run("compare", "s.yaml", "compared_net:faulty")
    assert code == 1
    assert "first layer apart: `norm`" in out
    for what, told in (
        ("compared_net:Nett", "did you mean `Net`?"),
        ("compared_nett:Net", "there is no package compared_nett"),
        ("compared_net:other", "makes int, no torch.nn.Module"),
        ("compared_net:leaving", "`compared_net:leaving` raises SystemExit: 3"),
        ("compared_net:demanding", "`compared_net:demanding` raises TypeError: "),
        ("compared_net:Narrow", "compared_net:Narrow, on an input of 1x3x12x12, raises RuntimeError: "),
    ):
        code, _, err = run("compare", "s.yaml", what)
        assert (code, told in err) == (2, True)


@pytest.mark.parametrize("model", ["torchvision.resnet18", "timm.resnet18", "timm.mobilenetv3_small_100"])
def test_profiles_of_libraries_equal_them_layer_by_layer(model: str, run: Run) -> None:
    for name in ("torch", "torchvision", "timm"):
        pytest.importorskip(name, reason="`make test-torch` installs it")
    spec = "mobilenet_v3_small" if "mobilenet" in model else "resnet_18"
    code, out, _ = run("compare", spec, model, "-p", model, "--shape", "3x64x64")
    assert code == 0
    assert "names and shapes are equal" in out
    code, out, _ = run("compare", spec, model, "-p", model, "--shape", "3x64x64", "--set", "bn.eps=1e-3")
    assert code == 1
    assert "first layer apart: `" in out


def test_torch_is_asked_for_where_it_is_missing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torchvision", None)
    (tmp_path / "tiny.yaml").write_text(TINY, "utf-8")
    code, _, err = run("compare", "tiny.yaml", "torchvision.resnet18")
    assert code == 2
    assert "E0701" in err
