"""Defaults of ops and blocks that a caller sets, as `--set bn.eps=1e-3` or `defaults=`: where they apply,
what is refused, and where it is said that they were set."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command

import archforge
from archforge import DiagnosticError, Network
from archforge.backends import available
from archforge.cli.app import COMMANDS, app_for
from archforge.interchange.graph_json import read_graph_json
from archforge.ops import all_ops
from tests.conftest import TINY, Run
from tests.op_examples import EXAMPLES, OpExample


def optional_attributes() -> Iterator[Any]:
    """Each attribute of each op that an example sets to another value than its default, with the example."""
    seen = set()
    for example in EXAMPLES:
        fields = type(example.op).model_fields
        for name, value in example.op.attributes().items():
            key = f"{example.op.kind}.{name}"
            own = not fields[name].is_required() and value != fields[name].default
            if own and len(example.types) == 1 and key not in seen:
                seen.add(key)
                yield pytest.param(example, name, value, id=key)


def spec_of(example: OpExample, without: str, defaults: dict[str, Any]) -> dict[str, Any]:
    """A network of one step, whose call gives every attribute but one."""
    given = {k: plain(v) for k, v in example.op.attributes().items() if k != without}
    graph = [{example.op.kind: given}]
    return {"archforge": 1, "input": list(example.types[0].shape), "graph": graph, "defaults": defaults}


def plain(value: Any) -> Any:
    return [*map(plain, value)] if isinstance(value, tuple) else value


def same(one: Network, other: Network) -> bool:
    nodes = [[(n.name, n.op, n.inputs) for n in network.graph.nodes] for network in (one, other)]
    return nodes[0] == nodes[1] and dict(one.graph.types) == dict(other.graph.types)


@pytest.mark.parametrize(("example", "name", "value"), [*optional_attributes()])
def test_a_default_applies_as_the_spec_s_own_would(example: OpExample, name: str, value: Any) -> None:
    defaults = {example.op.kind: {name: plain(value)}}
    wanted = archforge.load(spec_of(example, name, defaults))
    assert wanted.graph.nodes[0].op == example.op
    assert same(archforge.load(spec_of(example, name, {}), defaults=defaults), wanted)


@pytest.mark.parametrize("word", [w for w, op in all_ops().items() if w != op.op and op.model_fields])
def test_each_word_of_an_op_reaches_the_calls_by_the_others(word: str) -> None:
    """Defaults under an op's name, and under another word for it, are the same ones."""
    op = all_ops()[word]
    example = next(e for e in EXAMPLES if type(e.op) is op and e.op.attributes() != op().attributes())
    (name, value), *_ = [
        (k, plain(v)) for k, v in example.op.attributes().items() if v != op.model_fields[k].default
    ]
    for called, said in ((word, op.op), (op.op, word)):
        spec = {"archforge": 1, "input": list(example.types[0].shape), "graph": [called]}
        for network in (
            archforge.load(spec | {"defaults": {said: {name: value}}}),
            archforge.load(spec, defaults={said: {name: value}}),
        ):
            assert plain(network.graph.nodes[0].op.attributes()[name]) == value


ORDER = """\
archforge: 1
input: [2, 4, 4]
args: {width: 3}
defaults: {bn: {eps: 0.1}, unit: {out: 4}}
profiles: {plain: {}, own: {defaults: {bn: {eps: 0.2}, unit: {out: 5}}}}
blocks: {unit: {args: {out: 6}, body: [{conv: =out}, bn]}}
graph: [unit, {unit: 7}, {bn: {eps: 0.3}}]
"""


@pytest.mark.parametrize("profile", ["plain", "own"])
def test_a_call_wins_over_what_is_set_and_this_over_the_profile_and_the_spec(profile: str) -> None:
    network = archforge.load(ORDER, profile, defaults={"bn": {"eps": 0.4}, "unit": {"out": "=width + 8"}})
    ops = [node.op.attributes() for node in network.graph.nodes]
    assert [op["out"] for op in ops if "out" in op] == [11, 7]
    assert [op["eps"] for op in ops if "eps" in op] == [0.4, 0.4, 0.3]


def test_what_is_set_of_one_attribute_leaves_the_others() -> None:
    text = ORDER.replace("bn: {eps: 0.1}", "bn: {eps: 0.1, momentum: 0.5}")
    bn = archforge.load(text, defaults={"bn": {"eps": 0.4}}).graph.nodes[1].op.attributes()
    assert (bn["eps"], bn["momentum"]) == (0.4, 0.5)


def test_a_block_of_another_profile_may_be_set_and_one_of_none_may_not() -> None:
    text = "archforge: 1\ninput: [2, 4, 4]\nargs: {part: relu}\ngraph: ['=part']\nprofiles:\n  a: {}\n"
    text += "  b: {part: unit, blocks: {unit: {args: {k: 1}, body: {conv: =k}}}}\n"
    assert archforge.load(text, "a", defaults={"unit": {"k": 2}}).graph.nodes[0].op.kind == "relu"
    assert archforge.load(text, "b", defaults={"unit": {"k": 2}}).graph.types["unit.conv"].shape[0] == 2
    with pytest.raises(DiagnosticError, match="E0301: text has no op or block `unlt`"):
        archforge.load(text, "b", defaults={"unlt": {"k": 2}})


@pytest.mark.parametrize(
    ("setting", "code", "told"),
    [
        ("batch_norm.eps=1", "E0301", "did you mean `bn`?"),
        ("bottlneck.width=1", "E0301", "did you mean `bottleneck`?"),
        ("bn.epss=1", "E0406", "did you mean `eps`?"),
        ("relu.slope=1", "E0406", "it has none"),
        ("bottleneck.widht=1", "E0306", "did you mean `width`?"),
        ("bn.eps=x", "E0404", "--set bn.eps:1:1"),
        ("bn.eps=-1", "E0404", "0 or more"),
        ("bn.eps=null", "E0404", "found null"),
        ("conv.kernel=[3, 3, 0]", "E0404", "--set conv.kernel:1:1"),
        ("bn.eps==widht", "E0302", "--set bn.eps:1:2"),
        ("bn.eps==1/", "E0303", "--set bn.eps"),
        ("bottleneck.inner=x", "E0305", 'inner is the text "x"'),
        ("eps=1", "E0306", "resnet_50 has no argument `eps`"),
        ("bn.=1", "E0001", "--set bn.eps=1e-3"),
        (".eps=1", "E0001", "sets nothing"),
        ("bn.eps=", "E0001", "sets nothing"),
        ("a.bn.eps=1", "E0001", "sets nothing"),
        ("classes=10, bn.eps=1e-3", "E0001", "--set classes=10 --set bn.eps=1e-3"),
    ],
)
def test_what_cannot_be_set_is_told(run: Run, setting: str, code: str, told: str) -> None:
    number, out, err = run("show", "resnet_50", "--profile", "torchvision", "--set", setting)
    assert (number, out) == (2, "")
    assert f"{code}: " in err
    assert told in err


@pytest.mark.parametrize(
    ("target", "name", "value", "told"),
    [
        ("bn", "eps", 0.5, []),
        ("conv", "bias", False, []),
        ("unit", "out", 8, []),
        ("unit", "k", 8, []),
        ("conv", "out", 8, ["W0001"]),
        ("layer_norm", "eps", 0.5, ["W0001"]),
        ("other", "k", 8, ["W0001"]),
    ],
)
@pytest.mark.parametrize("profile", ["plain", "own"])
def test_what_no_call_takes_is_warned_of(
    profile: str, target: str, name: str, value: Any, told: list[str]
) -> None:
    other = "blocks: {other: {args: {k: 1}, body: relu}, "
    text = ORDER.replace("{out: 6}", "{out: 6, k: 1}").replace("blocks: {", other)
    network = archforge.load(text, profile, defaults={target: {name: value}})
    assert [w.code for w in network.warnings if w.code == "W0001"] == told


def test_it_is_an_error_where_warnings_are(run: Run) -> None:
    command = ("show", "lenet_5", "--set", "elu.alpha=0.5")
    assert run(*command)[0] == 0
    code, _, err = run(*command, "--warnings", "error")
    assert (code, "W0001: `elu.alpha` has no effect" in err) == (2, True)


def test_all_that_is_wrong_is_told_at_once(run: Run) -> None:
    err = run("show", "resnet_50", "--set", "bnn.eps=1", "--set", "bn.epss=1", "--set", "bn.eps=x")[2]
    assert re.findall(r"E0\d\d\d", err) == ["E0301", "E0406", "E0404"]


@pytest.mark.parametrize("defaults", [5, {"bn": 1}, {"bn": {"eps": object()}}, {1: {"eps": 1}}])
def test_what_is_no_mapping_of_values_is_refused_in_python(defaults: Any) -> None:
    with pytest.raises(DiagnosticError, match=r"E0308|E0301"):
        archforge.load("resnet_18", defaults=defaults)


def with_set() -> list[str]:
    """The commands that take `--set`."""
    takes = [name for name in COMMANDS if any("--set" in p.opts for p in command_named(name).params)]
    return [name for name in takes if name != "serve"]  # which goes on, and shows mistakes on its page


def command_named(name: str) -> Any:
    """The command of that name; one of two words is in a group."""
    found: Any = get_command(app_for(name.split()))
    for word in name.split():
        found = found.commands[word]
    return found


@pytest.mark.parametrize("command", with_set())
def test_every_command_that_takes_set_takes_defaults(run: Run, tmp_path: Path, command: str) -> None:
    if command in ("warm", "tune", "profile") and "numba" not in available():
        pytest.skip("numba is not installed")
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    np.savez(tmp_path / "w.npz", x=np.ones(1))
    arguments = {
        "export": ["tiny.yaml", "--to", "ledger_csv"],
        "run": ["tiny.yaml", "-w", "fresh"],
        "evaluate": ["tiny.yaml", "-w", "fresh"],
        "compare": ["tiny.yaml", "tiny.yaml"],
        "diff": ["tiny.yaml", "tiny.yaml"],
        "draw": ["tiny.yaml", "-o", "tiny.svg"],
        "explain": ["tiny.yaml", "stem"],
        "report": ["tiny.yaml", "-o", "tiny.html"],
        "sample": ["anynet_x"],
        "sweep": ["anynet_x"],
        "weights convert": ["w.npz", "--to", "tiny.yaml", "-o", "out.npz"],
    }.get(command, ["tiny.yaml"])
    code, _, err = run(*command.split(), *arguments, "--set", "conv.strid=2")
    assert code == 2
    assert "E0406: `conv` has no attribute `strid`" in err
    assert "did you mean `stride`?" in err


def test_it_is_said_wherever_the_network_is(run: Run, tmp_path: Path) -> None:
    options = ("--profile", "torchvision", "--set", "bn.eps=1e-3", "--set", "classes=10")
    assert run("show", "resnet_18", *options)[1].startswith(
        "ResNet-18, profile torchvision, bn.eps=1e-3, classes=10\n"
    )
    code, out, _ = run("build", "resnet_18", *options, "-o", "out")
    assert code == 0
    assert "set    bn.eps=1e-3\nset    classes=10\n" in out
    assert "torchvision.resnet18" not in out
    stored = read_graph_json(tmp_path / "out/graph.json")
    assert (stored.settings, stored.model) == (("bn.eps=1e-3", "classes=10"), None)
    card = (tmp_path / "out/model_card.md").read_text(encoding="utf-8")
    assert "**Changed:** `bn.eps=1e-3`, `classes=10` by hand" in card
    assert "--set bn.eps=1e-3 --set classes=10 --weights" in card
    assert "bn.eps=1e-3" in (tmp_path / "out/model.py").read_text(encoding="utf-8").split('"""')[1]
    (chosen,) = [
        p
        for p in json.loads(run("build", "resnet_18", *options, "-o", "out", "--json")[1])["profiles"]
        if p["profile"] == "torchvision"
    ]
    assert chosen["settings"] == ["bn.eps=1e-3", "classes=10"]
    assert {cell["status"] for cell in chosen["cells"]} == {"not_applicable"}


def test_a_network_that_nobody_changed_says_nothing_of_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    assert run("build", "tiny.yaml", "-o", "out")[0] == 0
    assert '"settings"' not in (tmp_path / "out/graph.json").read_text(encoding="utf-8")
    assert "Changed" not in (tmp_path / "out/model_card.md").read_text(encoding="utf-8")


def test_other_sizes_of_an_executable_keep_what_was_set() -> None:
    import numpy as np

    options: dict[str, Any] = {"backend": "numpy", "dtype": "float64", "seed": 1}
    x = np.random.default_rng(0).standard_normal((1, 3, 40, 40))
    network = {"archforge": 1, "input": [3, 32, 32], "graph": [{"conv": 4}, "bn", "global_avg_pool"]}
    set_ = archforge.compile(network, defaults={"bn": {"eps": 0.5}}, **options)(x)
    said = archforge.compile(network | {"defaults": {"bn": {"eps": 0.5}}}, **options)(x)
    plain_ = archforge.compile(network, **options)(x)
    assert np.array_equal(set_, said)
    assert not np.allclose(set_, plain_)
