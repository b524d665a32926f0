"""The difference of two networks: none beside itself, an edit as that one edit, and the same both ways."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from archforge import driver
from archforge.analysis.difference.changes import Effect, GraphDifference, compare_graphs
from archforge.analysis.difference.lines import markdown, text
from archforge.analysis.difference.networks import compare_networks
from archforge.analysis.network import Network
from archforge.errors import InternalError
from archforge.ir import Node, TypedGraph, infer
from archforge.ops import all_ops
from archforge.resources import zoo_folder
from tests.conftest import Run
from tests.zoo import family, networks

# One network of each family, and another beside it, of the next family; most of them in the slow suite.
FAMILIES = {family(name): name for name in [*networks()][::-1]}
QUICK = ("lenet_5", "resnet_18", "googlenet_small", "mobilenet_v2", "shufflenet_v2_x0_5", "gru_text", "unet")


def some(cases: list[Any], quick: Collection[Any]) -> list[Any]:
    """Cases as parameters: those that are not quick are marked as slow."""
    marks = {True: [], False: [pytest.mark.slow]}
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=marks[case in quick])
        for case in cases
    ]


ROW = some([*dict.fromkeys([*QUICK, *FAMILIES.values()])], QUICK)
PAIRS = some([*pairwise([*QUICK, *FAMILIES.values()])], [*pairwise(QUICK)])
READABLE = [
    ("resnet_50", "documented", "resnet_101", "documented"),
    ("resnet_50", "torchvision", "resnet_50", "keras"),
    ("mobilenet_v2", "torchvision", "mobilenet_v3_large", "torchvision"),
    ("mobilenet_v2", "documented", "mobilenet_v3_large", "documented"),
]


def network(name: str, profile: str | None = None) -> Network:
    return driver.analyse(networks()[name], profile)


def compared(one: Network, other: Network) -> GraphDifference:
    return compare_graphs(one.graph, other.graph)


def assert_nothing_differs(name: str) -> None:
    spec = networks()[name]
    for profile in spec.profile_names:
        found = compare_networks(driver.analyse(spec, profile), driver.analyse(spec, profile), ("a", "b"))
        assert found.is_empty, profile
        assert found.knock_on == (0, (0, 0), ("", ""), ("", ""))


@pytest.mark.parametrize("name", ROW)
def test_a_network_does_not_differ_from_itself(name: str) -> None:
    assert_nothing_differs(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", networks())
def test_no_network_differs_from_itself(name: str) -> None:
    assert_nothing_differs(name)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_from_b_to_a_is_from_a_to_b_mirrored_and_effects_add_up(one: str, other: str) -> None:
    here, there = network(one), network(other)
    found, back = compared(here, there), compared(there, here).mirrored()
    assert {*found.changes} == {*back.changes}
    assert found.knock_on.effect == back.knock_on.effect
    effect = sum((change.effect for change in found.changes), found.knock_on.effect)
    assert effect == Effect(there.counts.params - here.counts.params, there.counts.macs - here.counts.macs)
    assert {*found.pairs} <= {node.name for node in here.graph.nodes}
    assert len({*found.pairs.values()}) == len(found.pairs)


# Edits -----------------------------------------------------------------------------------------------------


def edited(typed: TypedGraph, node: Node, **changes: object) -> TypedGraph | None:
    """The graph with other attributes of one node; None where they do not fit it."""
    try:
        op = type(node.op)(**node.op.attributes() | changes)
        nodes = tuple(replace(n, op=op) if n is node else n for n in typed.nodes)
        made = infer(replace(typed.graph, nodes=nodes))
        made.params()
    except (ValidationError, InternalError, ArithmeticError):
        return None
    return made


def edits(typed: TypedGraph, draw: random.Random) -> Iterator[tuple[Node, str, TypedGraph]]:
    """Graphs that differ in one attribute of one node each, in an order by chance."""
    for node in draw.sample(typed.nodes, len(typed.nodes)):
        for name, value in node.op.attributes().items():
            others = (
                {bool: not value, int: 2 * value, float: 2 * value}
                if type(value) in (bool, int, float)
                else {}
            )
            made = edited(typed, node, **{name: others[type(value)]}) if others else None
            if made is not None and value != others[type(value)]:
                yield node, name, made


@pytest.mark.parametrize("name", ROW)
def test_another_value_of_one_attribute_is_the_only_change(name: str) -> None:
    typed, draw = network(name).graph, random.Random(name)
    for (node, attribute, made), _ in zip(edits(typed, draw), range(5), strict=False):
        (found,) = compare_graphs(typed, made).changes
        assert (found.what, found.name, found.attribute) == ("changed", (node.name, node.name), attribute)


@pytest.mark.parametrize("name", ROW)
def test_a_layer_that_is_added_removed_or_renamed_is_the_only_change(name: str) -> None:
    typed, draw = network(name).graph, random.Random(name)
    node = draw.choice(typed.nodes[1:])
    added = Node("new_layer", all_ops()["relu"](), (node.inputs[0],), node.scope, None, "new_layer")
    after = tuple(added.name if value == node.inputs[0] else value for value in node.inputs)
    nodes = [replace(n, inputs=after) if n is node else n for n in typed.nodes]
    place = typed.nodes.index(node)
    made = infer(replace(typed.graph, nodes=(*nodes[:place], added, *nodes[place:])))
    (found,) = compare_graphs(typed, made).changes
    assert (found.what, found.name, found.kind) == ("added", ("", "new_layer"), ("", "relu"))
    (found,) = compare_graphs(made, typed).changes
    assert (found.what, found.name) == ("removed", ("new_layer", ""))
    renamed = Node("other_name", added.op, added.inputs, added.scope, None, "other_name")
    after = tuple("other_name" if value == "new_layer" else value for value in after)
    nodes = [replace(n, inputs=after) if n is node else n for n in typed.nodes]
    again = infer(replace(typed.graph, nodes=(*nodes[:place], renamed, *nodes[place:])))
    (found,) = compare_graphs(made, again).changes
    assert (found.what, found.name) == ("renamed", ("new_layer", "other_name"))


def test_a_shortcut_from_elsewhere_is_told() -> None:
    typed = network("resnet_18").graph
    node = next(n for n in typed.nodes if n.name == "layer1.1.add")
    moved = replace(node, inputs=(node.inputs[0], "maxpool"))
    made = infer(replace(typed.graph, nodes=tuple(moved if n is node else n for n in typed.nodes)))
    (found,) = compare_graphs(typed, made).changes
    assert (found.what, found.name[0]) == ("rewired", "layer1.1.add")
    assert found.values == (node.inputs, moved.inputs)


def spec_text(name: str) -> str:
    return (zoo_folder() / f"{name}.yaml").read_text()


def test_a_block_in_the_middle_is_one_change_and_moves_numbers(run: Run) -> None:
    code, out, _ = run("diff", "resnet_50", "--other-set", "depths=[3, 5, 6, 3]")
    assert code == 1
    (line,) = (line for line in out.splitlines() if line[0] in "+-~>")
    assert line.startswith("+ layer2.4 (bottleneck, 9 layers): +280,832 params, ")


def test_a_layer_in_another_scope_is_renamed(run: Run, tmp_path: Path) -> None:
    flat = "archforge: 1\ninput: [3, 8, 8]\ngraph:\n  - {conv: 4, name: conv}\n  - {bn: {}, name: bn}\n"
    nested = (
        flat.replace("  - {conv", "  - seq:\n    - {conv").replace("  - {bn", "    - {bn")
        + "    name: stem\n"
    )
    (tmp_path / "a.yaml").write_text(flat + "  - relu\n")
    (tmp_path / "b.yaml").write_text(nested + "  - relu\n")
    code, out, err = run("diff", "a.yaml", "b.yaml")
    assert (code, err) == (1, "")
    assert out.splitlines()[2:] == ["> conv -> stem.conv", "> bn -> stem.bn"]


# Text ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("one", "a", "other", "b"), READABLE)
def test_well_known_pairs_read_in_under_ten_lines(one: str, a: str, other: str, b: str) -> None:
    found = compare_networks(network(one, a), network(other, b), (one, other))
    assert len(text(found).splitlines()) < 10


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_every_pair_reads_in_under_ten_lines_and_as_markdown(one: str, other: str) -> None:
    found = compare_networks(network(one), network(other), (one, other))
    assert len(text(found).splitlines()) < 10
    assert len(text(found, every=True).splitlines()) >= len(text(found).splitlines())
    assert markdown(found).count("```") == 2
    json.dumps(found.to_json(), allow_nan=False)


def test_what_is_alike_is_one_line(run: Run) -> None:
    code, out, _ = run("diff", "resnet_50@torchvision", "resnet_50@keras")
    assert code == 1
    assert "~ all 53 conv: bias false -> true: +26,560 params" in out.splitlines()
    assert "~ all 53 bn: eps 1e-05 -> 1.001e-05, momentum 0.1 -> 0.01" in out.splitlines()
    code, out, _ = run("diff", "resnet_50", "resnet_101")
    assert "+ 17 bottleneck, 153 layers (layer3.6 ... layer3.22): +19,018,240 params, " in out


def test_exit_codes_are_those_of_diff(run: Run) -> None:
    assert run("diff", "resnet_18", "resnet_18")[0] == 0
    assert run("diff", "resnet_18", "resnet_34")[0] == 1
    assert run("diff", "resnet_18", "resnet_35")[0] == 2
    code, out, _ = run("diff", "resnet_18", "resnet_18@nix", "--format", "json")
    assert code == 2
    assert json.loads(out)["diagnostics"][0]["code"] == "E0315"


@pytest.mark.parametrize(
    "arguments",
    [
        ["resnet_18"],
        ["resnet_18@keras", "resnet_18@timm", "-p", "timm"],
        ["resnet_18", "resnet_18@timm", "--other-profile", "timm"],
        ["resnet_18", "w.npz", "--other-set", "classes=10"],
        ["w.npz", "w.npz"],
        ["resnet_18", "gone.onnx"],
    ],
)
def test_what_has_no_effect_or_is_not_there_is_a_mistake(run: Run, arguments: list[str]) -> None:
    code, out, err = run("diff", *arguments)
    assert (code, out) == (2, "")
    assert err[:5] in ("E0001", "E0315", "E0601", "E0801")


def test_a_setting_and_an_input_of_one_side(run: Run) -> None:
    code, out, _ = run("diff", "resnet_18", "--other-set", "classes=10")
    assert code == 1
    assert "~ fc (linear): out 1000 -> 10: -507,870 params, -506,880 MACs" in out
    code, out, _ = run("diff", "resnet_18", "--other-shape", "3x160x160")
    assert code == 1
    assert "~ input 3x224x224 -> 3x160x160" in out


def test_a_recipe_and_a_preprocessing_are_compared(run: Run, tmp_path: Path) -> None:
    text = spec_text("lenet_5_mnist")
    assert "lr:" in text
    line = next(line for line in text.splitlines() if "lr:" in line)
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "b.yaml").write_text(text.replace(line, line.replace("lr: ", "lr: 1")))
    code, out, _ = run("diff", "a.yaml", "b.yaml")
    assert code == 1
    assert "~ train: " in out


def test_a_page_is_written_with_exit_codes_as_diff(run: Run) -> None:
    assert run("diff", "lenet_5", "lenet_5", "-o", "a.html") == (0, "wrote a.html\n", "")
    arguments = ("diff", "resnet_18", "resnet_34", "--format", "html", "-o", "b.html")
    assert run(*arguments) == (1, "wrote b.html\n", "")
    assert "resnet_18@documented \u2192 resnet_34@documented" in Path("b.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--format", "html"], "`--format html` needs a file"),
        (["--format", "json", "-o", "a.html"], "`--output` is for html; json is printed"),
        (["-o", "a.txt"], "`a.txt` is no name of a .html file"),
        (["-o", "there/a.html"], "there is no folder there"),
        (["-o", "a.html", "--all"], "`--all` changes nothing"),
    ],
)
def test_a_page_that_cannot_be_is_refused(run: Run, arguments: list[str], says: str) -> None:
    code, out, err = run("diff", "resnet_18", "resnet_34", *arguments)
    assert (code, out, says in out + err) == (2, out if "json" in arguments else "", True)
    assert not [*Path().glob("**/a.*")]


# Weights and files of other formats -------------------------------------------------------------------------


def test_weights_and_networks_of_files(run: Run) -> None:
    assert run("export", "resnet_18", "-p", "torchvision", "--to", "onnx", "-o", "m.onnx")[0] == 0
    assert run("diff", "resnet_18", "m.onnx")[0] == 0
    code, out, _ = run("diff", "m.onnx", "resnet_18@documented")
    assert code == 1
    assert "~ all 20 conv: bias false -> true: +4,800 params" in out


def test_weights_are_compared_by_name_and_shape(run: Run) -> None:
    import numpy as np

    arrays: Any = {n: np.zeros(d.shape, np.float32) for n, d in network("resnet_18", "timm").params.items()}
    np.savez("same.npz", **arrays)
    assert run("diff", "resnet_18", "same.npz")[0] == 0
    arrays["fc.bias"] = np.zeros(10, np.float32)
    del arrays["bn1.bias"]
    np.savez("other.npz", **arrays)
    code, out, _ = run("diff", "resnet_18", "other.npz")
    assert code == 1
    assert "~ fc.bias (array): shape 1000 -> 10" in out
    assert "- bn1.bias (array)" in out
    assert run("diff", "resnet_18", "other.npz", "-o", "page.html")[0] == 1
    assert "- bn1.bias (array)" in Path("page.html").read_text("utf-8").replace('","', " ")


# Git -------------------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a template and a network in two revisions, the working tree being the second."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    specs = tmp_path / "specs"
    specs.mkdir()
    (specs / "base.yaml").write_text(
        "archforge: 1\nkind: template\ninput: [3, 8, 8]\nargs: {width: 4}\n"
        "graph:\n  - {conv: =width, name: conv}\n  - relu\n"
    )
    (specs / "net.yaml").write_text("archforge: 1\ntitle: Net\nextends: base\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    (specs / "base.yaml").write_text((specs / "base.yaml").read_text().replace("width: 4", "width: 6"))
    git("commit", "-qam", "two")
    return tmp_path


def test_a_revision_has_the_templates_of_its_own(run: Run, repository: Path) -> None:
    code, out, err = run("diff", "HEAD~1:specs/net.yaml", "specs/net.yaml")
    assert (code, err) == (1, "")
    assert "~ conv (conv): out 4 -> 6: +8 params" in out
    assert run("diff", "HEAD:specs/net.yaml", "specs/net.yaml")[0] == 0
    assert run("diff", "HEAD@{0}:specs/net.yaml", ":specs/net.yaml")[0] == 0
    assert run("diff", "HEAD~1:specs/net.yaml@default", "HEAD:specs/net.yaml@default")[0] == 1


def test_a_revision_from_the_current_folder(
    run: Run, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository / "specs")
    assert run("diff", "HEAD:./net.yaml", "net.yaml")[0] == 0
    assert run("diff", "HEAD~1:./net.yaml", "net.yaml")[0] == 1


@pytest.mark.parametrize(
    ("side", "says"),
    [
        ("HEAD~9:specs/net.yaml", "git has no `HEAD~9:specs/net.yaml`"),
        ("HEAD~9:specs/net.yaml", "`git log --all` lists"),
        ("HEAD:specs/gone.yaml", "git has no `HEAD:specs/gone.yaml`"),
        ("HEAD:specs/gone.yaml", "from the top of the repository"),
        ("--output=x:specs/net.yaml", "none begins with a dash"),
        ("$(touch x):specs/net.yaml", "git has no"),
        ("HEAD;touch x:specs/net.yaml", "git has no"),
        ("HEAD:../../net.yaml", "git has no"),
        (r"C:\specs\net.yaml", "there is no spec"),
    ],
)
def test_a_revision_that_is_none_is_a_mistake_and_nothing_is_run(
    run: Run, repository: Path, side: str, says: str
) -> None:
    before = {*repository.rglob("*")}
    code, out, err = run("diff", "--", side, "specs/net.yaml")
    assert (code, out) == (2, "")
    assert says in err
    assert {p for p in repository.rglob("*") if ".git" not in p.parts} <= before


def test_mistakes_in_a_revision_are_at_its_lines(run: Run, repository: Path) -> None:
    net = repository / "specs/net.yaml"
    net.write_text(net.read_text() + "withh: {width: 8}\n")
    subprocess.run(["git", "add", "."], cwd=repository, check=True)
    code, _, err = run("diff", ":specs/net.yaml", "HEAD:specs/net.yaml")
    assert code == 2
    assert err.startswith(":specs/net.yaml:4:1: E0201")


def test_bytes_of_a_revision_that_are_no_text_are_at_their_place(run: Run, repository: Path) -> None:
    net = repository / "specs/net.yaml"
    net.write_bytes(net.read_bytes() + b"# \xfc\n")
    subprocess.run(["git", "add", "."], cwd=repository, check=True)
    code, _, err = run("diff", ":specs/net.yaml", "HEAD:specs/net.yaml")
    assert code == 2
    assert err.startswith(":specs/net.yaml:4:3: E0106: byte 0xFC is not UTF-8 text")


def test_no_repository_and_no_git(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    code, _, err = run("diff", "HEAD:net.yaml", "resnet_18")
    assert code == 2
    assert "of a git repository, and here is none" in err
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = run("diff", "HEAD:net.yaml", "resnet_18")
    assert code == 2
    assert "git is not installed" in err


def test_a_file_whose_name_has_a_mark_is_that_file(run: Run, tmp_path: Path) -> None:
    for name in ("a@b.yaml", "HEAD:a.yaml"):
        (tmp_path / name).write_text(spec_text("lenet_5"))
        assert run("diff", name, "lenet_5")[0] == 0
