"""Write the versions that the Makefile installs: they fit each other, each with the hashes of all its files.

    python requirements/resolve.py UV FOLDER PYTHON [OPTION ...]

FOLDER gets run.txt and a file for each of `EXTRAS`, for that PYTHON (3.11, ...) and every platform; a package
stands in the first file that needs it. The versions are the newest that pyproject.toml allows, or what an
OPTION of `uv pip compile` asks for.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Each file, and the extras of pyproject.toml that it adds to those above it.
EXTRAS = {
    "run": [],
    "dev": ["dev"],
    "fast": ["fast"],
    "mlx": ["mlx"],
    "browser": ["browser"],
    "site": ["site"],
}


def main(uv: str, folder: str, python: str, *options: str) -> None:
    """Resolve all extras at once, then deal the packages out to the files."""
    scratch = ROOT / "build" / "resolve" / python
    scratch.mkdir(parents=True, exist_ok=True)
    every_extra = [extra for extras in EXTRAS.values() for extra in extras]
    locked = _resolve(uv, scratch, python, every_extra, "--generate-hashes", *options)
    versions = scratch / "versions.txt"
    versions.write_text("".join(locked.values()))
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, extras in EXTRAS.items():
        needed = _resolve(uv, scratch, python, extras, f"--constraint={versions}")
        lines = "".join(locked.pop(package) for package in needed if package in locked)
        _write(Path(folder, f"{name}.txt"), f"# For Python {python}, by `make lock`.\n{lines}")


def _resolve(uv: str, scratch: Path, python: str, extras: list[str], *options: str) -> dict[str, str]:
    """The lines of each package that archforge with `extras`, and building it, needs."""
    major, minor = map(int, python.split("."))
    this_python = f"python_full_version < '{major}.{minor + 1}'"
    # Without this, uv would resolve for all later versions of Python too.
    (scratch / "pyproject.toml").write_text(f'[tool.uv]\nenvironments = ["{this_python}"]\n')
    command = [uv, "pip", "compile", "--universal", f"--python-version={python}", f"--project={scratch}"]
    command += ["--fork-strategy=fewest", "--quiet", "--no-header", "--no-annotate", *options]
    command += [*(f"--extra={extra}" for extra in extras), "pyproject.toml", "-"]
    done = subprocess.run(command, cwd=ROOT, input="hatchling", stdout=subprocess.PIPE, text=True, check=True)
    text = done.stdout.replace(f"{this_python} and ", "").replace(f" ; {this_python}", "")
    found: dict[str, str] = {}
    for lines, package in re.findall(r"^((\S+)==.*\n(?: .*\n)*)", text, re.MULTILINE):
        found[package] = found.get(package, "") + lines
    return found


def _write(file: Path, text: str) -> None:
    """Write what has changed: `make` installs anew where a file is newer than what was installed by it."""
    if not file.exists() or file.read_text() != text:
        file.write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
