"""`archforge fmt`: one layout, in which a spec says what it said, with its comments, quotes and numbers."""

from __future__ import annotations

import random
import re
import stat
import sys
from collections import Counter
from io import StringIO
from pathlib import Path

import pytest

from archforge import driver
from archforge.errors import DiagnosticError, SourceFile
from archforge.interchange.graph_json import graph_json_text, stored
from archforge.resources import zoo_folder
from archforge.spec.printing.formatted import formatted
from archforge.spec.resolve.library import spec_files
from archforge.spec.yaml.tree import parse_yaml
from tests.conftest import TINY, Run
from tests.test_printing import about

ZOO = spec_files(zoo_folder())
COMMENT = re.compile(r"(?:^|\s)#.*$", re.MULTILINE)
QUOTED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
NUMBER = re.compile(r"\b[0-9][0-9_.e+-]*\b")


def made(text: str) -> str:
    return formatted(SourceFile("<test>", text))


def messy(text: str, draw: random.Random) -> str:
    """A document in another layout: blanks in brackets, further indentation, empty lines."""
    lines = []
    for line in text.splitlines():
        code, comment = line, ""
        if found := COMMENT.search(line):
            code, comment = line[: found.start()], found[0]
        if not QUOTED.search(code) and "=" not in code:
            code = re.sub(r"(?<=[\[{,]) ?(?=\S)", lambda m: " " * draw.randrange(1, 4), code)
        indent = len(code) - len(code.lstrip(" "))
        lines.append(" " * indent + code + comment)
        if draw.random() < 0.1 and not code.rstrip().endswith((">-", "|", ">")):
            lines.append("")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", ZOO, ids=[path.stem for path in ZOO])
def test_the_zoo_is_laid_out_already(path: Path) -> None:
    text = path.read_text("utf-8")
    assert made(text) == text


@pytest.mark.parametrize("path", ZOO[::4], ids=[path.stem for path in ZOO[::4]])
def test_another_layout_of_the_same_says_the_same_and_is_laid_out_once(path: Path) -> None:
    text = path.read_text("utf-8")
    other = messy(text, random.Random(path.stem))
    if ">-" in text or "|" in text:  # texts over several lines, which further lines would change
        other = text.replace("{", "{ ")
    try:
        before = parse_yaml(SourceFile("", other))
    except DiagnosticError:
        pytest.skip("the mess is no YAML")
    out = made(other)
    assert made(out) == out
    assert parse_yaml(SourceFile("", out)).plain() == before.plain()
    assert about(out) == about(other)
    assert Counter(QUOTED.findall(out)) == Counter(QUOTED.findall(other))
    assert Counter(NUMBER.findall(out)) == Counter(NUMBER.findall(other))


@pytest.mark.parametrize("name", ["resnet_18", "lenet_5", "googlenet_small"])
def test_the_graph_stays(name: str, tmp_path: Path) -> None:
    text = (zoo_folder() / f"{name}.yaml").read_text()
    (tmp_path / f"{name}.yaml").write_text(made(text.replace(", ", " ,   ").replace("{", "{  ")))
    here, there = (
        graph_json_text(stored(driver.analyse(driver.open_spec(source))))
        for source in (name, tmp_path / f"{name}.yaml")
    )
    lines = re.compile(r'"line": ?"[^"]*"|"sha256": ?"[^"]*"')
    assert lines.sub("", here) == lines.sub("", there)


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("a: [{b: =f(1, 2), c: 3}]\n", "a: [{b: '=f(1, 2)', c: 3}]\n"),
        ("a: [{b: =w[0], c: =w[1]}]\n", "a: [{b: '=w[0]', c: '=w[1]'}]\n"),
        ("a: {b: =w['x'], c: 1}\n", "a: {b: '=w[''x'']', c: 1}\n"),
        ("do: [{conv: =w, name: conv{i+1}}]\n", "do: [{conv: =w, name: 'conv{i+1}'}]\n"),
        ("a: {b: \"=w\",c: 'x'}\n", "a: {b: \"=w\", c: 'x'}\n"),
        ("n: 25_557_032\nm: 1e-5\n", "n: 25_557_032\nm: 1e-5\n"),
        ("a:   1   # one\n\n\n\nb: 2", "a: 1     # one\n\nb: 2\n"),
    ],
)
def test_what_must_be_quoted_is_and_all_else_is_as_it_was(text: str, out: str) -> None:
    assert made(text) == out
    assert made(out) == out


def test_a_long_list_of_scalars_fills_its_lines() -> None:
    words = [f"word_{n}" for n in range(40)]
    out = made(f"a:\n  b: [{', '.join(words)}]\n")
    assert all(len(line) <= 120 for line in out.splitlines())
    assert len(out.splitlines()) == 5
    assert made(out) == out


# The command ------------------------------------------------------------------------------------------------


MESS = TINY.replace("  - relu", "  -  relu")


def test_files_are_written_or_only_told_of(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(MESS)
    (tmp_path / "other.yaml").write_text(TINY)
    code, out, err = run("fmt", "--check", ".")
    assert (code, err) == (1, "")
    assert out == "would reformat net.yaml\n1 file to reformat, 1 file left as it is\n"
    code, out, err = run("fmt", "--diff", ".")
    assert (code, err) == (1, "1 file to reformat, 1 file left as it is\n")
    assert out.splitlines()[:2] == ["--- net.yaml", "+++ net.yaml (formatted)"]
    assert out.splitlines()[-5:-1][1:3] == ["-  -  relu", "+  - relu"]
    assert path.read_text() == MESS
    code, out, _ = run("fmt", "net.yaml")
    assert code == 0
    assert out == "reformatted net.yaml\n1 file reformatted\n"
    assert path.read_text() == TINY
    assert run("fmt", "--check", ".")[0] == 0


def test_permissions_links_and_line_ends_stay(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_bytes(MESS.replace("\n", "\r\n").encode())
    path.chmod(0o640)
    (tmp_path / "link.yaml").symlink_to(path)
    assert run("fmt", "link.yaml")[0] == 0
    assert (tmp_path / "link.yaml").is_symlink()
    assert path.read_bytes() == TINY.replace("\n", "\r\n").encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert {p.name for p in tmp_path.iterdir()} == {"net.yaml", "link.yaml"}


def test_what_is_no_yaml_is_told_and_the_others_go_on(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("graph: [{conv: 3}\n")
    (tmp_path / "b.yaml").write_bytes(b"a: \xff\n")
    (tmp_path / "c.yaml").write_text(MESS)
    code, out, err = run("fmt", ".")
    assert code == 2
    assert "a.yaml:1:8: E0101" in err
    assert "E0106: b.yaml is not UTF-8 text" in err
    assert out == "reformatted c.yaml\n1 file reformatted, 2 broken files\n"
    assert (tmp_path / "a.yaml").read_text() == "graph: [{conv: 3}\n"


@pytest.mark.parametrize("arguments", [["resnet_18"], ["gone.yaml"], ["-", "net.yaml"], ["empty"], [""], []])
def test_what_cannot_be_formatted_is_a_mistake(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = run("fmt", *arguments)
    assert (code, out) == (2, "")
    assert err[:5] in ("E0001", "E0002", "Usage")


def test_standard_input_goes_to_standard_output(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for options, code, printed in ((), 0, TINY), (("--check",), 1, ""), (("--diff",), 1, "--- stdin\n"):
        monkeypatch.setattr(sys, "stdin", StringIO(MESS))
        found, out, err = run("fmt", "-", *options)
        assert (found, err) == (code, "")
        assert out.startswith(printed)
