"""Files of a build: complete, consistent with the counts, and the same bytes on every machine."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import jinja2
import jinja2.nodes as jn
import pytest

from archforge import driver
from archforge.errors import DiagnosticError
from archforge.export import Subject, export
from archforge.export import render as render_module
from archforge.export.card import model_card
from archforge.export.ledgers import ledger_csv, ledger_json
from archforge.export.module import model_source, numpy_dialect
from archforge.export.module.kernels import KernelFile, kernel_file
from archforge.export.render import render
from archforge.ops import all_ops
from archforge.resources import templates_folder
from tests.small import each_network
from tests.zoo import networks


def subject(name: str, profile: str | None = None) -> Subject:
    spec = networks()[name]
    chosen = driver.analyse(spec, profile)
    return Subject(chosen, tuple(driver.analyse(spec, p) for p in spec.profile_names))


def alone(name: str, profile: str) -> Subject:
    """The profile with no others to print beside it."""
    network = driver.analyse(networks()[name], profile)
    return Subject(network, (network,))


PRINT_HASHES = """
import hashlib, sys
from archforge import driver
from archforge.export import Subject, export
spec = driver.open_spec(sys.argv[1])
networks = tuple(driver.analyse(spec, p) for p in spec.profile_names)
for file, content in export(Subject(networks[0], networks)).files.items():
    print(file, hashlib.sha256(content).hexdigest())
"""


@pytest.mark.parametrize("name", ["resnet_18", "inception_v1", "lenet_5"])
def test_another_process_in_another_folder_writes_the_same_bytes(name: str, tmp_path: Path) -> None:
    root = str(Path(driver.__file__).parents[1])
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", PRINT_HASHES, name],
            cwd=tmp_path,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": root},
            capture_output=True,
            text=True,
            check=True,
        )
        here = export(subject(name)).files
        hashes = {file: hashlib.sha256(content).hexdigest() for file, content in here.items()}
        assert dict(line.split() for line in run.stdout.splitlines()) == hashes


# The ledger


@each_network
def test_the_ledgers_rows_add_up_to_the_counts(name: str, profile: str) -> None:
    one = alone(name, profile)
    counts, ledger = one.network.counts, json.loads(ledger_json(one))
    for column in ("weights", "biases", "buffers"):
        assert (
            sum(row[column] for row in ledger["rows"]) == ledger["totals"][column] == getattr(counts, column)
        )
    macs = sum(row["macs"] for row in ledger["rows"])
    several = len(one.network.graph.outputs) > 1
    assert ledger["totals"]["macs"] == counts.macs
    assert macs > counts.macs if several else macs == counts.macs


def test_the_ledgers_two_forms_agree() -> None:
    one = alone("resnet_18", "torchvision")
    rows = json.loads(ledger_json(one))["rows"]
    *lines, total = csv.DictReader(io.StringIO(ledger_csv(one)))
    assert [line["name"] for line in lines] == [row["name"] for row in rows]
    assert [int(line["macs"]) for line in lines] == [row["macs"] for row in rows]
    assert [line["output_shape"] for line in lines] == ["x".join(map(str, row["output"])) for row in rows]
    assert int(total["macs"]) == one.network.counts.macs
    assert lines[4] == {
        "index": "4",
        "name": "layer1.0.conv1",
        "op": "conv",
        "attributes": "out=64 kernel=3 stride=1 padding=1 dilation=1 groups=1 bias=false",
        "inputs": "maxpool",
        "input_shapes": "64x56x56",
        "output_shape": "64x56x56",
        "weights": "36864",
        "biases": "0",
        "buffers": "0",
        "macs": "115605504",
        "blocks": "seq layer1 > basic layer1.0",
        "line": lines[4]["line"],
    }
    assert lines[4]["line"].startswith("resnet.yaml:")


# The model card


def assert_card_is_complete(one: Subject) -> None:
    card = model_card(one)
    for network in one.profiles:
        for cell in network.cells:
            assert f"### {network.profile}: {cell.source}" in card
            assert f"| {cell.cell} | " in card
        assert f"{network.counts.params:,}" in card
    header = one.network.spec.header
    if header.departs:
        assert header.departs in card.split("## Counts", maxsplit=1)[0]


def test_the_card_says_how_a_picture_becomes_an_input() -> None:
    says = "- pictures: scaled to shorter side 232, bilinear, centre 224x224, values 0 to 1, less 0.485"
    assert says in model_card(alone("resnet_50", "torchvision"))
    assert "- pictures" not in model_card(alone("resnet_50", "documented"))


@pytest.mark.parametrize("name", networks())
def test_the_card_shows_every_checked_figure_with_its_source(name: str) -> None:
    assert_card_is_complete(alone(name, networks()[name].profile_names[0]))


@pytest.mark.parametrize("name", ["resnet_50", "inception_v1", "lenet_5"])
def test_the_card_shows_all_profiles(name: str) -> None:
    assert_card_is_complete(subject(name))


def test_the_card_explains_a_figure_that_does_not_hold_as_printed() -> None:
    card = model_card(subject("lenet_5"))
    (line,) = [line for line in card.splitlines() if line.startswith("| params | 61,170 ")]
    assert line.startswith("| params | 61,170 | 61,710 | ≈ | -540 ")


def test_the_card_collapses_calls_of_a_block() -> None:
    card = model_card(alone("resnet_18", "torchvision"))
    assert "| `conv1` | conv 7x7 / 2, bn, relu | 64x112x112 | 9,536 | 118,013,952 |" in card
    assert "| `layer1.0 ... layer1.1` | 2 x basic | 64x56x56 |" in card


def test_words_of_a_spec_cannot_break_the_card() -> None:
    spec = driver.open_spec(
        {
            "archforge": 1,
            "title": "A | B\n# C",
            "paper": "javascript:alert(1)",
            "input": [4],
            "graph": ["relu"],
        }
    )
    network = driver.analyse(spec)
    card = model_card(Subject(network, (network,)))
    assert card.startswith("# A \\| B # C\n")
    assert "](javascript" not in card


# Ops that a target lacks


def test_all_ops_that_model_py_lacks_come_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    full = kernel_file()
    less = KernelFile({k: v for k, v in full.kernels.items() if k not in ("conv", "relu")}, full.imports)
    monkeypatch.setattr(numpy_dialect, "kernel_file", lambda: less)
    with pytest.raises(DiagnosticError) as caught:
        model_source(alone("resnet_18", "torchvision"))
    found = caught.value.diagnostics
    assert [(d.code, d.message) for d in found] == [
        ("E0704", "model.py has no layer for `conv`: conv1 and 19 more"),
        ("E0704", "model.py has no layer for `relu`: relu and 16 more"),
    ]
    assert all(d.span is not None for d in found)


# Templates


def _logic(template: str) -> list[str]:
    """Parts of a template that decide rather than print."""
    environment = jinja2.Environment(autoescape=True)
    tree = environment.parse(template)
    found = [
        type(n).__name__ for kind in (jn.BinExpr, jn.Compare, jn.Call, jn.Macro) for n in tree.find_all(kind)
    ]
    for node in tree.find_all(jn.If):
        found += ["nested if" for _ in node.find_all(jn.If)]
    return found


TEMPLATES = sorted(templates_folder().glob("*.j2"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.name)
def test_templates_print_and_exporters_decide(path: Path) -> None:
    assert _logic(path.read_text("utf-8")) == []


def test_logic_in_a_template_is_seen() -> None:
    bad = "{% if a %}{% if b %}{{ c + 1 }}{% endif %}{% endif %}{{ f(x) }}"
    assert set(_logic(bad)) == {"Add", "Call", "nested if"}


def test_templates_of_pages_escape_and_those_of_texts_do_not() -> None:
    escapes = render_module.environment().autoescape
    assert callable(escapes)
    assert [escapes(name) for name in ("report.html.j2", "picture.svg.j2")] == [True, True]
    pages = {path.name for path in TEMPLATES if path.name.endswith((".html.j2", ".svg.j2"))}
    assert {path.name for path in TEMPLATES if escapes(path.name)} == pages


def test_a_template_that_is_given_too_little_fails() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("model_card.md.j2", title="only this")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.name)
def test_templates_name_no_op(path: Path) -> None:
    tree = jinja2.Environment(autoescape=True).parse(path.read_text("utf-8"))
    named = {n.name for n in tree.find_all(jn.Name)} | {str(n.value) for n in tree.find_all(jn.Const)}
    assert not named & set(all_ops())
