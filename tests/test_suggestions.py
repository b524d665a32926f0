"""Suggestions are about meaning, and a way out that is printed leads out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archforge import driver
from archforge.atomic_files import made_folder
from archforge.errors import Diagnostic, DiagnosticError, did_you_mean, listed, misspelt
from archforge.ops import all_ops
from archforge.spec.binding.suggestions import target_hint
from archforge.spec.syntax.foreign_words import (
    ATTRIBUTES,
    KIND_OF,
    KINDS,
    NO_ATTRIBUTES,
    OPS,
    WAYS,
    plain,
)
from archforge.spec.syntax.syntax_tree import STRUCTURES
from tests.pages.errors import CASES, found_in

MEANT = re.compile(r"did you mean `([^`]+)`\?")


# The words of others


def test_every_op_is_of_one_kind() -> None:
    assert sorted(op for ops in KINDS.values() for op in ops) == sorted(all_ops())
    assert KIND_OF.keys() <= KINDS.keys()


def test_words_of_others_mean_what_there_is_here_and_are_nothing_here_themselves() -> None:
    assert set(OPS.values()) <= {*all_ops(), *STRUCTURES}
    assert not {*OPS, *WAYS} & {*all_ops(), *STRUCTURES}
    assert not OPS.keys() & WAYS.keys()
    assert all(plain(word) in (word, "dropout") for word in (*OPS, *WAYS))


def test_attributes_of_others_mean_some_that_there_are() -> None:
    attributes = {name for op in all_ops().values() for name in op.attribute_names()}
    assert {meant for names in ATTRIBUTES.values() for meant in names} <= attributes
    assert not NO_ATTRIBUTES.keys() & (attributes - {"init"})


@pytest.mark.parametrize("word", sorted(WAYS))
def test_an_example_that_is_offered_for_an_op_builds(word: str) -> None:
    text = f"archforge: 1\ninput: [64, 32, 32]\ngraph:\n  - {WAYS[word]}\n"
    assert driver.load(text).graph.nodes


@pytest.mark.parametrize(
    ("word", "way_out"),
    [("weight_norm", "leave it out"), ("nn.SpectralNorm", "leave it out"), ("Rescaling", "`preprocess`")],
)
def test_what_wraps_an_op_or_stands_before_the_network_is_no_step(word: str, way_out: str) -> None:
    assert way_out in target_hint(word, all_ops(), given=["conv"])


# Slips


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("kernal", ("kernel", "padding"), "kernel"),
        ("witdh", ("depth", "width"), "width"),
        ("X", ("x", "input"), "x"),
        ("hid", ("out", "hidden"), "hidden"),
        ("group_norm", ("layer_norm", "bn"), None),
        ("attention", ("flatten",), None),
        ("depth", ("width", "height"), None),
        ("n", ("in", "name"), None),
        ("last", ("as", "append"), None),
        ("", ("a",), None),
    ],
)
def test_another_word_is_no_slip(word: str, known: tuple[str, ...], meant: str | None) -> None:
    assert misspelt(word, known) == meant


def test_of_many_names_the_nearest_are_listed() -> None:
    names = [f"layer{n}.conv" for n in range(100)] + ["head.norm", "head.flatten"]
    assert did_you_mean("top.norm9", names).startswith("known: head.norm, ")
    assert did_you_mean("top.norm9", ["input", "head.norm"]) == "known: input, head.norm"


def test_a_list_of_names_ends() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([]) == ""
    many = listed(f"name{i}" for i in range(30_000))
    assert len(many) < 300
    assert many.endswith("more")


# What is suggested is possible


def suggestions() -> list[tuple[Path, Diagnostic, str]]:
    """Each word that a bad spec is told to write, with the diagnostic that says so."""
    return [
        (path, found, meant[1])
        for path in CASES
        for found in found_in(path)
        if (meant := MEANT.search(found.help)) and found.span and found.span.source.name == path.name
    ]


@pytest.mark.parametrize(
    ("path", "found", "meant"),
    suggestions(),
    ids=[f"{path.stem}-{found.span}" for path, found, _ in suggestions()],
)
def test_a_word_that_was_meant_is_right_there(path: Path, found: Diagnostic, meant: str) -> None:
    span = found.span
    assert span is not None
    lines = path.read_text("utf-8").split("\n")
    line = lines[span.line]
    wrong = line[span.column : span.column + span.length]
    inner = wrong.strip("'\"").rpartition(" ")[2].lstrip("=")
    lines[span.line] = line[: span.column] + wrong.replace(inner, meant) + line[span.column + span.length :]
    assert (found.code, span.line, found.message) not in [
        (d.code, d.span.line if d.span else -1, d.message) for d in mistakes("\n".join(lines), path)
    ]


def mistakes(text: str, path: Path) -> tuple[Diagnostic, ...]:
    """The diagnostics of a changed text that lies beside the bad spec."""
    copy = path.with_name(f".changed.{path.name}")
    copy.write_text(text, "utf-8")
    try:
        (report,) = driver.check([copy])
    except DiagnosticError as error:
        return error.diagnostics
    finally:
        copy.unlink()
    return (*report.diagnostics, *report.failures)


# Names and paths on the command line


@pytest.mark.parametrize("path", [r"C:\specs\x.yaml", "C:/specs/x.yaml", r"specs\x.yaml"])
def test_a_path_of_windows_is_a_path(path: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        driver.open_spec(path)
    (found,) = caught.value.diagnostics
    assert (found.code, path in found.message) == ("E0002", True)
    assert "\\" not in path or "/" in found.help


def test_a_file_that_stands_where_a_folder_is_wanted_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiagnosticError, match=r"file is a file; name a\s+folder"):
        made_folder(tmp_path / "file" / "inner")
