"""The locked versions are those of every supported Python and satisfy pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOLDERS = sorted(path for path in (ROOT / "requirements").iterdir() if path.name.startswith("3."))
# What `make bench` measures archforge beside, and what needs an MPI.
NOT_LOCKED = ("bench", "dask", "mpi", "parquet", "references")


def entries(folder: Path) -> list[str]:
    """The entries of a folder's files: a package, its version, a marker perhaps, its hashes."""
    text = "".join(file.read_text() for file in sorted(folder.glob("*.txt")))
    return re.sub(r"^#.*\n", "", text.replace("\\\n", ""), flags=re.MULTILINE).splitlines()


def test_every_python_that_the_project_names_is_locked() -> None:
    prefix = "Programming Language :: Python :: "
    named = [line.removeprefix(prefix) for line in PROJECT["classifiers"] if line.startswith(f"{prefix}3.")]
    assert [folder.name for folder in FOLDERS] == named


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_lock_holds_exact_versions_with_hashes_and_nothing_else(folder: Path) -> None:
    form = re.compile(r"([a-z0-9-]+)==[\w.]+( ; [^:@]+?)?( +--hash=sha256:[0-9a-f]{64})+")
    found = [form.fullmatch(entry) for entry in entries(folder)]
    assert all(found)
    names = [match[1] for match in found if match]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_lock_satisfies_the_project(folder: Path) -> None:
    """Fails after a change of pyproject.toml without `make lock`."""
    locked = [Requirement(entry.split("--hash")[0]) for entry in entries(folder)]
    versions = {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in locked}
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    extras = PROJECT["optional-dependencies"]
    asked = [*build, *PROJECT["dependencies"], *(r for e in extras if e not in NOT_LOCKED for r in extras[e])]
    for requirement in map(Requirement, asked):
        if requirement.name != PROJECT["name"]:  # an extra that takes in another one
            assert versions[canonicalize_name(requirement.name)] in requirement.specifier
