"""Edits of inherited steps: what is replaced, what stands beside, and which steps cannot be meant."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from archforge.errors import Diagnostic
from archforge.resources import zoo_folder
from archforge.spec.resolve.edits import edited, named_steps
from archforge.spec.resolve.library import Library, spec_files
from archforge.spec.syntax.syntax_tree import Body, Edit
from tests.test_language import expanded, mistakes

FAMILY = """
    archforge: 1
    kind: template
    input: [3, 8, 8]
    args: {head: fc, tail: [sigmoid]}
    blocks:
      unit: {args: {out: 4}, body: {add: [[{conv: =out}, bn, relu, {conv: =out}, bn], {shortcut: =out}]}}
      shortcut: {args: {out: int}, body: {conv: =out}}
    graph:
      - {conv: 4, name: stem}
      - name: features
        seq: [{conv: 4}, relu, {conv: 4}, {unit: {}}]
      - for: {width: [4, 4]}
        name: layer{i+1}
        do: [{unit: =width}, {max_pool: {kernel: 1}}]
      - {add: {left: {conv: 4}, right: [{conv: 4}, relu]}}
      - =tail
      - flatten
      - {linear: 2, name: =head}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "family.yaml").write_text(dedent(FAMILY), "utf-8")
    return tmp_path


def names_after(edits: str, folder: Path, part: str = "graph") -> list[str]:
    text = f"extends: family\nedits:\n  {part}:\n" + indent(dedent(edits).strip("\n"), "    ")
    return [node.name for node in expanded(text, folder=folder).graph.nodes]


def refusals(edits: str, folder: Path) -> tuple[Diagnostic, ...]:
    return mistakes(f"extends: family\nedits: {{graph: {edits}}}", folder=folder)


def test_a_step_is_replaced_left_out_or_gets_others_beside_it(folder: Path) -> None:
    before = [node.name for node in expanded("extends: family", folder=folder).graph.nodes]
    edits = """
    replace: {stem: [{conv: {out: 4, kernel: 3}, name: stem}, {silu: {}, name: act}], flatten: []}
    before: {=head: [global_avg_pool, {flatten: {}, name: flat}]}
    after: {features.conv2: bn, stem: {tanh: {}, name: last}}
    """
    after = names_after(edits, folder)
    assert after[:3] == ["stem", "act", "last"]
    assert [n for n in after if n.startswith("features.")][:5] == [f"features.{i}" for i in (0, 1, 2, 3)] + [
        "features.4.conv1"
    ]
    assert after[-4:] == ["sigmoid", "global_avg_pool", "flat", "fc"]
    assert set(before) - set(after) == {"flatten"} | {n for n in before if n.startswith("features.3.")}


def test_steps_of_loops_branches_and_formulas_are_found(folder: Path) -> None:
    edits = """
    replace: {"layer{i+1}.max_pool": {avg_pool: 1}, left: {identity: {}}, =tail: []}
    after: {right.relu: silu}
    """
    after = names_after(edits, folder)
    found = [n for n in after if n.startswith(("layer1.1", "left", "right"))]
    assert found == ["layer1.1", "left", "right.0", "right.1", "right.2"]
    assert "sigmoid" not in after


def test_a_block_is_edited_wherever_it_is_called(folder: Path) -> None:
    edits = "replace: {relu: silu, shortcut: []}\nafter: {conv1: {identity: {}, name: here}}"
    after = names_after(edits, folder, "unit")
    assert {n.rpartition(".")[2] for n in after if n.startswith("layer")} == {
        *("conv1", "here", "bn1", "silu", "conv2", "bn2", "add", "1")
    }


def test_a_template_edits_its_own_template(folder: Path) -> None:
    text = "archforge: 1\nkind: template\nextends: family\nedits: {graph: {after: {stem: bn}}}\n"
    (folder / "middle.yaml").write_text(text)
    found = expanded("extends: middle\nedits: {graph: {replace: {bn: silu}}}", folder=folder).graph.nodes
    assert [node.name for node in found][:2] == ["stem", "silu"]


def test_imported_blocks_can_be_edited(tmp_path: Path) -> None:
    blocks = "archforge: 1\nkind: blocks\nblocks: {unit: {body: [{conv: 4}, relu]}}\n"
    (tmp_path / "parts.yaml").write_text(blocks)
    text = "imports: [parts]\nedits: {unit: {replace: {relu: silu}}}\ngraph: unit"
    assert [n.name for n in expanded(text, folder=tmp_path).graph.nodes] == ["unit.conv", "unit.silu"]


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ("{replace: {stm: []}}", "the graph has no step `stm`"),
        ("{after: {conv: relu}}", "the graph has no step `conv`"),
        ("{after: {features.conv: relu}}", "the graph has no step `features.conv`"),
        ("{after: {features.conv3: relu}}", "the graph has no step `features.conv3`"),
        (
            "{replace: {features: []}, after: {features.conv1: relu}}",
            "`features.conv1` is within a step of the graph",
        ),
    ],
)
def test_a_step_that_cannot_be_meant_is_refused(edits: str, message: str, folder: Path) -> None:
    (found,) = refusals(edits, folder)
    assert (found.code, found.message[: len(message)]) == ("E0325", message)


def test_a_name_of_several_steps_is_refused_with_their_places(tmp_path: Path) -> None:
    steps = "[{conv: {out: 4}, name: stem, when: =wide}, {conv: 8, name: stem, when: =not wide}]"
    text = f"archforge: 1\nkind: template\ninput: [3, 8, 8]\nargs: {{wide: true}}\ngraph: {steps}\n"
    (tmp_path / "family.yaml").write_text(text)
    (found,) = refusals("{replace: {stem: []}}", tmp_path)
    assert (found.code, len(found.notes)) == ("E0325", 2)


def test_what_an_edit_writes_is_checked_as_if_it_stood_there(folder: Path) -> None:
    assert [d.code for d in refusals("{after: {stem: {covn: 4}}}", folder)] == ["E0301"]
    assert [d.code for d in refusals("{after: {stem: {conv: =width}}}", folder)] == ["E0302"]
    assert [d.code for d in refusals("{after: {flatten: {conv: {out: 4, kernel: 3}}}}", folder)] == ["E0401"]


def test_every_step_of_the_zoo_with_a_name_of_its_own_can_be_replaced_and_no_other_changes() -> None:
    library = Library()
    documents = [library.read(path) for path in spec_files(zoo_folder())]
    for document in documents:
        for body in (*filter(None, [document.graph]), *(b.body for b in document.blocks.values())):
            steps = [*named_steps(body)]
            names = [name for name, _ in steps]
            for name, step in steps:
                if names.count(name) == 1:
                    edit = Edit("replace", name, step.span, Body((step,), step.span, is_list=False))
                    same, _ = edited(body, [edit], "the graph")
                    assert same == body
