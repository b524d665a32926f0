"""The wheel holds all that a user needs, and works from a folder that is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

import archforge

ROOT = Path(__file__).parents[1]
SHIPPED = {"zoo_specs": "archforge/_data/zoo_specs", "templates": "archforge/_data/templates"}


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def build(out: Path, *options: str) -> Path:
    """The wheel that the `build` front end makes of this checkout."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, *options, ROOT, cwd=ROOT)
    (wheel,) = out.glob("*.whl")
    return wheel


def build_resnet_50(*archforge_command: str | Path, folder: Path, **environment: str) -> None:
    """Build a shipped spec in an empty folder, which takes shipped templates too."""
    folder.mkdir()
    run(*archforge_command, "build", "resnet_50.yaml", cwd=folder, **environment)
    assert {"graph.json", "model.py"} <= {path.name for path in (folder / "build" / "resnet_50").iterdir()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"), "--wheel")


def test_the_wheel_holds_the_package_the_zoo_and_the_templates(wheel: Path) -> None:
    assert wheel.name.startswith(f"archforge_zoo-{archforge.__version__}-py3-none-any")
    expected = {f"archforge/{path.relative_to(ROOT / 'archforge')}" for path in files(ROOT / "archforge")}
    for folder, inside in SHIPPED.items():
        assert files(ROOT / folder), f"nothing to ship in {folder}"
        expected |= {f"{inside}/{path.relative_to(ROOT / folder)}" for path in files(ROOT / folder)}
    held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == expected
    assert "archforge/py.typed" in held


def files(folder: Path) -> set[Path]:
    """The files that git would keep of a folder that holds source only."""
    hidden = ("__pycache__", ".ruff_cache")
    return {p for p in folder.rglob("*") if p.is_file() and not set(hidden) & set(p.parts)}


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    # Without options the front end builds the wheel from the source distribution.
    assert build(tmp_path).read_bytes() == wheel.read_bytes()


def test_an_unpacked_wheel_works_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    ZipFile(wheel).extractall(site)
    where = "import archforge.resources as r; print(r.__file__, r.zoo_folder(), r.templates_folder())"
    for path in run(sys.executable, "-c", where, cwd=tmp_path, PYTHONPATH=str(site)).split():
        assert Path(path).is_relative_to(site.resolve())
    build_resnet_50(sys.executable, "-m", "archforge", folder=tmp_path / "elsewhere", PYTHONPATH=str(site))


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "empty", with_pip=True)
    bin_ = tmp_path / "empty" / "bin"
    locked = ROOT / "requirements" / f"{sys.version_info[0]}.{sys.version_info[1]}" / "run.txt"
    install = (bin_ / "python", "-m", "pip", "install", "--quiet")
    run(*install, "--require-hashes", "--requirement", locked, cwd=tmp_path)
    run(*install, "--no-index", wheel, cwd=tmp_path)  # nothing that is not locked is needed
    build_resnet_50(bin_ / "archforge", folder=tmp_path / "elsewhere")
