"""Blocks by themselves: what a case may say, whose figures are checked where, and mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from archforge import driver
from archforge.errors import DiagnosticError

FAMILY = """\
archforge: 1
kind: template
input: [3, 32, 32]
args: {width: int, deep: false}
profiles: {wide: {width: 64}}
blocks:
  unit:
    args: {out: int, kernel: 3}
    body:
      - {conv: {out: =out, kernel: =kernel, padding: same}, repeat: =2 if deep else 1}
      - {linear: {out: =width, axis: 0}}
    expect:
      plain: {source: a table, input: [3, 8, 8], with: {out: 4, width: 5}, layers: 2~3, output: 5x8x8}
      deep: {source: a table, input: [3, 8, 8], with: {out: 4, width: 5, deep: true}, layers: 3}
      pointwise: {source: a table, input: [3, 8, 8], with: {out: 4, kernel: 1}, profile: wide, output: 64x8x8}
      bare:
        source: a table
        input: [3, 8, 8]
        with: {out: 4, width: 5}
        defaults: {conv: {bias: false}}
        biases: 5
graph: [{unit: 4}]
"""
MEMBER = """\
archforge: 1
extends: family
with: {width: 10}
blocks: {unit: {expect: {member: {source: a table, input: [3, 8, 8], with: {out: 4}, output: 10x8x8}}}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "family.yaml").write_text(FAMILY)
    (tmp_path / "member.yaml").write_text(MEMBER)
    return tmp_path


def checked(path: Path) -> list[tuple[str, str, bool]]:
    (report,) = driver.check([path])
    assert not report.diagnostics
    return [(n.name, n.profile, n.ok) for n in report.networks]


def test_a_case_sets_arguments_of_block_and_spec_defaults_and_profile(folder: Path) -> None:
    cases = ("plain", "deep", "pointwise", "bare")
    assert checked(folder / "family.yaml") == [("family:unit", case, True) for case in cases]
    network = driver.load("family:unit", "deep")
    assert [n.name for n in network.graph.nodes] == ["unit.conv1", "unit.conv2", "unit.linear"]


def test_figures_for_an_inherited_block_are_those_of_the_file_that_gives_them(folder: Path) -> None:
    assert checked(folder / "member.yaml") == [("member", "wide", True), ("member:unit", "member", True)]
    (folder / "wrong.yaml").write_text(MEMBER.replace("width: 10", "width: 11"))
    assert checked(folder / "wrong.yaml")[1] == ("wrong:unit", "member", False)


def test_figures_for_an_imported_block(folder: Path) -> None:
    (folder / "shared.yaml").write_text(
        "archforge: 1\nkind: blocks\nblocks: {twice: {body: {conv: =2*input.channels}}}\n"
    )
    (folder / "user.yaml").write_text(
        "archforge: 1\nimports: [shared]\ninput: [3, 8, 8]\ngraph: [twice]\n"
        "blocks: {twice: {expect: {small: {source: a table, input: [4, 2, 2], params: 40}}}}\n"
    )
    assert checked(folder / "user.yaml") == [("user", "default", True), ("user:twice", "small", True)]


MISTAKES = {
    "no input": ("input: [3, 8, 8], with: {out: 4, width", "with: {out: 4, width", "E0507"),
    "unknown argument": ("with: {out: 4, width: 5}", "with: {out: 4, widht: 5}", "E0306"),
    "unknown profile": ("profile: wide", "profile: wild", "E0315"),
    "unknown op in defaults": ("defaults: {conv:", "defaults: {covn:", "E0301"),
    "unknown cell": ("layers: 2~3", "layer: 2~3", "E0502"),
    "arguments in a list": ("with: {out: 4, width: 5}, layers", "with: [4, 5], layers", "E0203"),
    "no range": ("layers: 2~3", "layers: 2-3", "E0507"),
}


@pytest.mark.parametrize(("right", "wrong", "code"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_a_case_is_shown_with_its_place(right: str, wrong: str, code: str, folder: Path) -> None:
    assert right in FAMILY
    (folder / "family.yaml").write_text(FAMILY.replace(right, wrong, 1))
    (report,) = driver.check([folder / "family.yaml"])
    assert {d.code for d in report.diagnostics} == {code}
    assert all(d.span for d in report.diagnostics)


def test_a_range_that_a_count_is_outside_of_is_a_mismatch(folder: Path) -> None:
    (folder / "family.yaml").write_text(FAMILY.replace("layers: 2~3", "layers: 3~"))
    (report,) = driver.check([folder / "family.yaml"])
    assert [d.message for d in report.failures] == ["`layers` is documented as 3~, computed as 2"]


def test_figures_for_a_block_that_is_not_there_are_refused(folder: Path) -> None:
    (folder / "member.yaml").write_text(MEMBER.replace("unit", "unti"))
    with pytest.raises(
        DiagnosticError, match="E0202: block `unti` has no `body`, here or inherited"
    ) as raised:
        driver.open_spec(folder / "member.yaml")
    assert raised.value.diagnostics[0].help == "did you mean `unit`?"
