"""Arrays of a file matched with a network: by a mapping, by name, and by order and shape where that says
enough."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archforge
from archforge.data.arrays import read_weights, write_arrays
from archforge.errors import DiagnosticError
from archforge.interchange.converted_weights import behind_flatten
from archforge.ir import TypedGraph
from archforge.ops.base import Array
from archforge.weights import rule_weights
from archforge.weights.layer_order import ArrayGroup, groups_of_network, paired_by_order
from archforge.weights.matching import Matching, matching
from tests.conftest import Run
from tests.zoo import networks

BRANCHES: dict[str, Any] = {
    "archforge": 1,
    "title": "branches",
    "input": [3, 6, 6],
    "graph": [
        {"conv": 4, "name": "stem"},
        {
            "add": [
                [{"conv": 4, "name": "left"}, {"bn": None, "name": "left_norm"}],
                [{"conv": 4, "name": "right"}, {"bn": None, "name": "right_norm"}],
            ]
        },
        {"conv": {"out": 5, "kernel": 2}, "name": "head"},
    ],
}
FAST = ("lenet_5", "resnet_18", "inception_v1", "mobilenet_v2", "densenet_121", "unet")


def given_by(typed: TypedGraph) -> dict[str, Array]:
    """Arrays of no numbers with the names and shapes of a network."""
    return {name: np.broadcast_to(np.float32(0), d.shape) for name, d in typed.params().items()}


def renamed(groups: list[ArrayGroup], order: list[int]) -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays of a file whose layers are those of a network in another order, under names that say nothing;
    and which array is which parameter."""
    arrays: dict[str, Array] = {}
    truth: dict[str, str] = {}
    for place, index in enumerate(order):
        for part, (name, shape) in groups[index].arrays.items():
            arrays[f"l{place}.{part}"] = np.broadcast_to(np.float32(0), shape)
            truth[name] = f"l{place}.{part}"
    return arrays, truth


def groups_of(typed: TypedGraph) -> list[ArrayGroup]:
    shapes = {name: decl.shape for name, decl in typed.params().items()}
    return groups_of_network(typed, shapes, by_array=False)


def an_order(groups: list[ArrayGroup], draw: random.Random) -> list[int]:
    """An order in which the network can compute its layers."""
    order: list[int] = []
    done = 0
    while len(order) < len(groups):
        ready = [i for i, g in enumerate(groups) if not done >> i & 1 and g.after & ~done == 0]
        order.append(draw.choice(ready))
        done |= 1 << order[-1]
    return order


def sources(found: Matching) -> dict[str, str]:
    return {name: m.source for name, m in found.parameters.items()}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", FAST)
def test_order_and_shape_never_say_something_wrong(name: str, seed: int) -> None:
    """Whatever order a file has, each of its layers is among those that it is said to be; one alone is
    right."""
    spec = networks()[name]
    typed = archforge.load(spec.name, spec.profile_names[-1]).graph
    groups = groups_of(typed)
    order = an_order(groups, random.Random(seed))
    _, truth = renamed(groups, order)
    file = [ArrayGroup(f"l{place}", groups[index].arrays) for place, index in enumerate(order)]
    pairing = paired_by_order(groups, file)
    if pairing.failed is None:  # with very many orders that fit, none is followed
        assert all(index in options for index, options in zip(order, pairing.options, strict=True))
        assert sorted(pairing.first) == list(range(len(groups)))
    own = paired_by_order(groups, groups)
    assert own.failed is None
    assert own.first == tuple(range(len(groups)))
    assert len(truth) == len(typed.params())


@pytest.mark.slow
@pytest.mark.parametrize("name", networks())
def test_every_network_of_the_zoo_is_matched_with_itself(name: str) -> None:
    spec = networks()[name]
    for profile in spec.profile_names:
        typed = archforge.load(name, profile).graph
        groups = groups_of(typed)
        arrays, truth = renamed(groups, list(range(len(groups))))
        assert sources(matching(typed, arrays, in_order=True, by_order=True)) == truth


def test_a_chain_is_matched_by_order_alone() -> None:
    typed = archforge.load("lenet_5").graph
    groups = groups_of(typed)
    arrays, truth = renamed(groups, list(range(len(groups))))
    assert sources(matching(typed, arrays, in_order=True)) == truth
    plain = {f"onnx::{i}": array for i, array in enumerate(arrays.values())}  # names without parts
    found = sources(matching(typed, plain, in_order=True))
    assert list(found.values()) == list(plain)


def codes(wrong: pytest.ExceptionInfo[DiagnosticError]) -> list[str]:
    return [d.code for d in wrong.value.diagnostics]


def test_what_can_be_several_is_refused_with_the_candidates() -> None:
    typed = archforge.load(BRANCHES).graph
    groups = groups_of(typed)
    arrays, truth = renamed(groups, list(range(len(groups))))
    with pytest.raises(DiagnosticError) as caught:
        matching(typed, arrays, in_order=True)
    assert codes(caught) == ["E0610"] * 4
    text = str(caught.value)
    assert "`l1` of the file can be `left`, `right`: equal shapes, in branches side by side" in text
    assert '--mapping FILE with {"parameters": {"left": "l1"}}, or --by-order' in text
    assert sources(matching(typed, arrays, in_order=True, by_order=True)) == truth
    # With one of them said, the others follow.
    swapped = sources(matching(typed, arrays, chosen={"right": "l1", "right_norm": "l2"}, in_order=True))
    assert (swapped["left.weight"], swapped["right.weight"]) == ("l3.weight", "l1.weight")
    # Interleaved, as Keras lists them: only the mapping can tell.
    arrays, truth = renamed(groups, [0, 3, 1, 4, 2, 5])
    for by_order in (False, True):  # which would mix the branches
        with pytest.raises(DiagnosticError, match="E0610") as caught:
            matching(typed, arrays, in_order=True, by_order=by_order)
        assert "--by-order" not in str(caught.value)
    assert sources(matching(typed, arrays, chosen={"left": "l2", "left_norm": "l4"}, in_order=True)) == truth


def test_names_count_before_order_and_a_mapping_before_names() -> None:
    network = archforge.load(BRANCHES)
    arrays = given_by(network.graph)
    for prefix in ("", "module.", "state_dict.module."):
        named = {f"{prefix}{n}": a for n, a in reversed(arrays.items())}
        named[f"{prefix}left_norm.num_batches_tracked"] = np.array(3)
        if prefix:
            named["optimizer.step"] = np.array(3)
        found = matching(network.graph, named, in_order=False)
        assert {m.how for m in found.parameters.values()} == {"name"}
        assert list(found.parameters) == list(network.params)
        assert sources(found) == {n: f"{prefix}{n}" for n in network.params}
        assert len(found.left) == (2 if prefix else 1)
    found = matching(
        network.graph, named, chosen={"left": f"{prefix}right", "right": f"{prefix}left"}, in_order=False
    )
    assert found.parameters["left.weight"].source == f"{prefix}right.weight"
    assert found.named == len(network.params)


@pytest.mark.parametrize(
    ("edit", "options", "told"),
    [
        ({"fc.weight": (3,)}, {}, "E0603: nothing in the network takes 1 of the arrays: `fc.weight`"),
        (
            {"fc.weight": (3,), "fc.bias": (3,), "stem.extra": (2,), "step": (1,)},
            {},
            "--leave 'fc.*' --leave 'stem.extra' --leave 'step'",
        ),
        ({"stem.bias": None}, {}, "E0602: the file has no array for `stem.bias`, 4"),
        ({"stem.bias": None, "stm.bias": (4,)}, {"in_order": False}, "of this shape: `stm.bias`"),
        ({"stem.bias": (3,)}, {}, "E0604: `stem.bias` is 4, and `stem.bias` of the file 3"),
        ({}, {"leave": ["aux*"]}, "E0001: no array of the file is called `aux*`"),
        ({}, {"chosen": {"stm.bias": "a"}}, "E0602: the network has no parameter or scope `stm.bias`"),
        ({}, {"chosen": {"stem.bias": "a"}}, "E0603: the file has no array `a`, for `stem.bias`"),
        (
            {},
            {"chosen": {"stem.bias": "head.bias"}},
            "E0604: `stem.bias` is 4, and `head.bias` of the file 5",
        ),
        ({"a.stem.bias": (4,)}, {}, "E0603"),
    ],
)
def test_what_does_not_match_is_told(edit: Mapping[str, Any], options: dict[str, Any], told: str) -> None:
    typed = archforge.load(BRANCHES).graph
    arrays = given_by(typed)
    for name, shape in edit.items():
        arrays.pop(name, None)
        if shape is not None:
            arrays[name] = np.zeros(shape)
    with pytest.raises(DiagnosticError) as caught:
        matching(typed, arrays, **{"in_order": True, **options})
    assert told in str(caught.value).replace("\n            ", " ")


def test_layers_that_do_not_fit_are_named_with_their_place() -> None:
    typed = archforge.load("lenet_5").graph
    groups = groups_of(typed)
    arrays, _ = renamed(groups, list(range(len(groups)))[::-1])
    with pytest.raises(DiagnosticError) as caught:
        matching(typed, arrays, in_order=True)
    text = str(caught.value)
    assert "`l0`, number 1, is the first that cannot" in text
    assert f"of its shapes: `{groups[-1].name}`" in text
    assert codes(caught) == ["E0602", "E0602", "E0603"]


def test_batch_norms_that_a_file_has_folded_are_told() -> None:
    for bias in (True, False):
        one, two = ({"conv": {"out": 4, "bias": bias}} for _ in range(2))
        typed = archforge.load({**BRANCHES, "graph": [one, "bn", two, "bn", "flatten", {"linear": 2}]}).graph
        shapes = [(4, 3, 1, 1), (4,), (4, 4, 1, 1), (4,), (2, 144), (2,)]
        folded = {f"onnx::{i}": np.broadcast_to(np.float32(0), shape) for i, shape in enumerate(shapes)}
        with pytest.raises(
            DiagnosticError, match="its 2 batch norms seem to be folded into its convolutions"
        ):
            matching(typed, folded, in_order=True)


def test_columns_behind_a_flattened_map_are_found() -> None:
    graph: list[Any] = [
        {"conv": 2},
        "flatten",
        {"dropout": 0.5},
        "bn",
        "relu",
        {"linear": 3, "name": "first"},
        {"linear": 3, "name": "second"},
    ]
    typed = archforge.load({**BRANCHES, "graph": graph}).graph
    columns = {"bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "first.weight"}
    assert behind_flatten(typed) == dict.fromkeys(columns, (2, 6, 6))
    pooled = [{"conv": 2}, "global_avg_pool", "flatten", {"linear": 3}]
    assert behind_flatten(archforge.load({**BRANCHES, "graph": pooled}).graph) == {}


# The command ------------------------------------------------------------------------------------------------


def test_a_file_is_converted_as_a_user_would(run: Run, tmp_path: Path) -> None:
    network = archforge.load("lenet_5")
    arrays = rule_weights(network.params, "float32")
    scopes = list(dict.fromkeys(name.rpartition(".")[0] for name in arrays))
    given = [f"l{scopes.index(scope)}.{part}" for scope, _, part in (n.rpartition(".") for n in arrays)]
    write_arrays(tmp_path / "w.npz", dict(zip(given, arrays.values(), strict=True)))
    command = ("weights", "convert", "w.npz", "--to", "lenet_5", "-o", "out.npz", "--mapping", "m.json")
    code, out, err = run(*command)
    assert (code, err) == (0, "")
    assert f"{len(arrays)} arrays, {len(arrays)} by order\nwrote out.npz\nwrote m.json\n" in out
    written = read_weights(tmp_path / "out.npz")
    assert list(written) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(written[name], array)
    mapping = json.loads((tmp_path / "m.json").read_text("utf-8"))
    assert mapping["parameters"] == dict(zip(arrays, given, strict=True))
    before = (tmp_path / "m.json").read_bytes(), (tmp_path / "out.npz").read_bytes()
    code, out, _ = run(*command, "--json")
    assert {p["by"] for p in json.loads(out)["parameters"]} == {"mapping"}
    assert before == ((tmp_path / "m.json").read_bytes(), (tmp_path / "out.npz").read_bytes())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-o", "out.txt"], "E0705: `out.txt` is no name of a"),
        (["-o", "none/out.npz"], "E0705: cannot write none/out.npz: there is no folder none"),
        (["-o", "out.npz", "--mapping", "w.npz"], "E0601: w.npz is no mapping of weights"),
        (["-o", "out.npz", "--mapping", "bad.json"], 'it is no {"parameters"'),
        (["-o", "out.npz", "--prefix", "x"], "E0001: no name of the weights begins with `x.`"),
        (["-o", "out.npz", "-p", "timm"], "E0315"),
        (["-o", "out.npz"], "E0602"),
    ],
)
def test_nothing_is_written_where_something_is_wrong(
    run: Run, tmp_path: Path, arguments: list[str], told: str
) -> None:
    write_arrays(tmp_path / "w.npz", {"a.weight": np.ones(3)})
    (tmp_path / "bad.json").write_text('{"parameters": {"a": 1}}')
    before = sorted(tmp_path.iterdir())
    code, out, err = run("weights", "convert", "w.npz", "--to", "lenet_5", *arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert sorted(tmp_path.iterdir()) == before


def test_no_weights_are_left_where_their_mapping_cannot_be_written(run: Run, tmp_path: Path) -> None:
    write_arrays(tmp_path / "w.npz", given_by(archforge.load("lenet_5").graph))
    code, _, err = run(
        "weights", "convert", "w.npz", "--to", "lenet_5", "-o", "out.npz", "--mapping", "none/m.json"
    )
    assert (code, err) == (2, "E0705: cannot write none/m.json: no such file or directory\n")
    assert [path.name for path in tmp_path.iterdir()] == ["w.npz"]


@pytest.mark.parametrize("model", ["torchvision.resnet18", "torchvision.mobilenet_v2", "timm.resnet18"])
def test_what_is_written_loads_in_the_library(model: str, run: Run, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="`make test-torch` installs it")
    from archforge.interchange.torch.libraries import library_module

    spec = "mobilenet_v2" if "mobilenet" in model else "resnet_18"
    module = library_module(model)
    torch.save({"state_dict": {f"module.{n}": t for n, t in module.state_dict().items()}}, tmp_path / "w.pth")
    code, _, err = run("weights", "convert", "w.pth", "--to", spec, "-p", model, "-o", "out.safetensors")
    assert (code, err) == (0, "")
    written = {
        n: torch.from_numpy(np.array(a)) for n, a in read_weights(tmp_path / "out.safetensors").items()
    }
    other = library_module(model)
    other.load_state_dict(written, strict=True)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(module.eval()(x), other.eval()(x))
