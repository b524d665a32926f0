"""The version of the package, and the folders of shipped specs and templates: beside it in a checkout, inside
it once installed."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from archforge.errors import InternalError

__all__ = ["own_version", "templates_folder", "zoo_folder"]

_PACKAGE = Path(__file__).resolve().parent


def own_version() -> str:
    """The version of archforge that runs here. The package is not imported before its parts are."""
    version: str = import_module(__package__).__version__
    return version


def zoo_folder() -> Path:
    """The folder of the shipped zoo."""
    return _shipped("zoo_specs")


def templates_folder() -> Path:
    """The folder of the Jinja templates that exporters and `archforge new` print through."""
    return _shipped("templates")


def _shipped(name: str) -> Path:
    # A checkout has no `_data`; the wheel is built with it (tool.hatch.build in pyproject.toml).
    for folder in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise InternalError(f"archforge was installed without its folder `{name}`")
