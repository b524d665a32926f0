"""The README is true beyond its sessions: its spec builds, and its figures are those of the zoo."""

from __future__ import annotations

import re

import archforge
from tests.pages import DOCS, README
from tests.pages.sessions import fences
from tests.test_requirements import PROJECT

# Extras for those who change archforge, of which CONTRIBUTING.md tells.
DEVELOPMENT = {"test", "dev", "browser", "site"}


def test_the_spec_of_the_readme_builds() -> None:
    (text,) = (fence.text for fence in fences(README.read_text("utf-8")) if fence.file == "small.yaml")
    network = archforge.load(text)
    assert "stage1.0.conv1.weight" in network.params


def test_the_size_of_the_zoo() -> None:
    page = (DOCS / "zoo.md").read_text(encoding="utf-8")  # held by test_docs
    networks, profiles, figures = re.findall(r"([\d,]+) (?:networks|profiles|documented figures)", page)[:3]
    assert (
        f"{networks} networks in {profiles} profiles with {figures} documented figures"
        in README.read_text("utf-8")
    )


def test_the_table_of_extras_has_each() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", README.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted({*PROJECT["optional-dependencies"]} - DEVELOPMENT)
