"""`archforge lint --fix`: what has no effect goes, all else stays as it is written, so does every network."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from archforge import driver
from archforge.errors import SourceFile
from archforge.fixes import FIXED, fixed
from archforge.recipe.digests import graph_digest
from archforge.spec.yaml.removal import without
from archforge.spec.yaml.tree import Mapping, Sequence, Tree, parse_yaml
from tests.conftest import Run
from tests.pages.errors import WARNED
from tests.zoo import family, networks

SPEC = """\
archforge: 1
title: A   # the title
input: [3, 8, 8]
args:
  width: 16
  dead: 3                      # why it is there
  gone: 4
profiles:
  default: {defaults: {bn: {eps: 1e-3}, conv: {bias: false}}}
blocks:
  unused:
    body: [relu]
  used: {args: {n: int, k: 3}, body: [{conv: {out: =n, kernel: 3}}]}
graph:
  - {conv: =width, repeat: 1}
  - {relu: {}, as: tap}
  - {used: 4}   # meant: W0401
  - {relu: {}, when: true}
  - conv: 4
    repeat: 1
"""
MENDED = """\
archforge: 1
title: A   # the title
input: [3, 8, 8]
args:
  width: 16
  dead: 3                      # why it is there
profiles:
  default: {defaults: {conv: {bias: false}}}
blocks:
  used: {args: {n: int}, body: [{conv: {out: =n, kernel: 3}}]}
graph:
  - {conv: =width}
  - {relu: {}}
  - {used: 4}
  - {relu: {}}
  - conv: 4
"""


def digests(path: Path) -> list[str]:
    return [graph_digest(n.graph) for report in driver.check([path]) for n in report.networks]


def test_what_has_no_effect_is_taken_out_and_comments_stay(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(SPEC)
    before = digests(path)
    code, out, err = run("lint", "--fix", "a.yaml")
    assert (code, path.read_text(), digests(path)) == (1, MENDED, before)
    assert out.splitlines()[0] == "fixed a.yaml: W0301: nothing reads the argument `gone`"
    assert out.splitlines()[-1] == "1 spec, 6 rules: 9 fixed, 1 finding"
    assert "nothing reads the argument `dead`" in err
    assert run("lint", "--fix", "a.yaml")[1] == "1 spec, 6 rules: 0 fixed, 1 finding\n"
    report = json.loads(run("lint", "--fix", "--json", "a.yaml")[1])
    assert (report["fixed"], len(report["found"])) == ([], 1)


def test_line_ends_permissions_and_links_stay(run: Run, tmp_path: Path) -> None:
    path, link = tmp_path / "a.yaml", tmp_path / "link.yaml"
    path.write_bytes(SPEC.replace("\n", "\r\n").encode())
    path.chmod(0o640)
    link.symlink_to(path)
    assert run("lint", "--fix", "link.yaml")[0] == 1
    assert path.read_bytes() == MENDED.replace("\n", "\r\n").encode()
    assert (path.stat().st_mode & 0o777, link.is_symlink()) == (0o640, True)


def test_what_a_spec_beside_it_uses_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(SPEC)
    (tmp_path / "b.yaml").write_text("archforge: 1\ntitle: B\nextends: a\nwith: {gone: 5}\n")
    assert "gone" in fixed(path).text
    (tmp_path / "b.yaml").write_text("archforge: 1\ntitle: B\nextends: a\ngraph: [{unused: {}}]\n")
    assert "unused" in fixed(path).text


@pytest.mark.parametrize("path", WARNED, ids=lambda path: path.stem)
def test_fixes_of_specs_with_warnings_leave_networks_as_they_are_and_are_done_once(
    tmp_path: Path, path: Path
) -> None:
    for beside in path.parent.glob("*.yaml"):
        (tmp_path / beside.name).write_bytes(beside.read_bytes())
    copy = tmp_path / path.name
    before, found = digests(copy), fixed(copy)
    assert {d.code for d in found.gone} <= {*FIXED}
    copy.write_bytes(found.text.encode())
    assert digests(copy) == before
    assert fixed(copy).gone == ()


@pytest.mark.parametrize("name", sorted({family(name): name for name in networks()}.values())[::8])
def test_nothing_in_the_zoo_is_fixed(name: str) -> None:
    (report,) = driver.check([name])
    assert fixed(Path(report.path)).gone == ()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--fix"], "name their files or folders"),
        (["--fix", "-"], "name their files or folders"),
        (["--fix", "resnet_50"], "there is no file or folder `resnet_50`"),
        (["--fix", "there.yaml"], "there is no file or folder `there.yaml`"),
        (["--fix", ""], "there is no file or folder ``"),
    ],
)
def test_what_is_no_file_is_a_mistake(run: Run, arguments: list[str], says: str) -> None:
    code, out, err = run("lint", *arguments)
    assert (code, out) == (2, "")
    assert says in err


@pytest.mark.parametrize("text", ["graph: [rellu]\n", "a: [", "\ufefftitle: x\n", "", "\x00"])
def test_a_broken_spec_stays_as_it_is(run: Run, tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    assert run("lint", "--fix", "a.yaml")[0] == 2
    assert path.read_text() == text


# Removal --------------------------------------------------------------------------------------------------


def things(tree: Tree, path: tuple[object, ...] = ()) -> list[tuple[tuple[object, ...], int, int]]:
    """Every entry and item of a tree with its way and place; entries with that of their value, too."""
    out: list[tuple[tuple[object, ...], int, int]] = []
    if isinstance(tree, Mapping):
        for entry in tree:
            spans = (entry.key_span, entry.value.span)
            out += (((*path, entry.key), span.line, span.column) for span in spans)
            out += things(entry.value, (*path, entry.key))
    elif isinstance(tree, Sequence):
        for index, item in enumerate(tree.items):
            out.append(((*path, index), item.span.line, item.span.column))
            out += things(item, (*path, index))
    return out


def removed(plain: Any, path: tuple[Any, ...]) -> Any:
    """Plain data without what is at a path, nor what would be empty by that."""
    head, *rest = path
    items = dict(plain) if isinstance(plain, dict) else dict(enumerate(plain))
    inner = removed(items[head], tuple(rest)) if rest else None
    if inner:
        items[head] = inner
    else:
        del items[head]
    return items if isinstance(plain, dict) else [*items.values()]


@pytest.mark.parametrize("name", sorted({family(name): name for name in networks()}.values())[::6])
def test_a_removed_thing_alone_is_gone(name: str) -> None:
    text = networks()[name].document.source.text
    tree = parse_yaml(SourceFile("", text))
    comments = text.count("#")
    for path, line, column in random.Random(name).sample(
        all_things := things(tree), min(40, len(all_things))
    ):
        outcomes = [removed(tree.plain(), way) for way, *place in all_things if place == [line, column]]
        for shorter in without(text, line, column):
            assert parse_yaml(SourceFile("", shorter)).plain() in outcomes, path
            assert shorter.count("#") == comments
