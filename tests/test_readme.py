"""The README is true beyond its sessions: its spec builds, and its figures are those of the zoo."""

from __future__ import annotations

import re

import archforge
from tests.pages import DOCS, README
from tests.pages.sessions import fences


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
