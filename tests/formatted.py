"""Checks of generated source by the formatter."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

RUFF = shutil.which(
    "ruff", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
)


def assert_well_formed(
    folder: Path, source_of: Callable[[str, str], str], cases: Iterable[tuple[str, str]]
) -> None:
    """Raises unless the source of each case, a network and its profile, is left as it is by the formatter."""
    for name, profile in cases:
        source = source_of(name, profile)
        ast.parse(source)
        assert [line for line in source.splitlines() if len(line) > 88] == [], name
        (folder / f"{name}__{profile}.py").write_text(source, "utf-8")
    if RUFF is None:
        pytest.skip("ruff is not installed")
    for command in ("check", "format --check --diff"):
        words = [RUFF, *command.split(), "--isolated", "--no-cache", str(folder)]
        run = subprocess.run(words, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout[:3000]
