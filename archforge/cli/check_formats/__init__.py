"""The forms in which `archforge check` prints what it finds: a module each, of which one is loaded."""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archforge.cli.check_formats.base import ReportWriter

__all__ = ["CheckFormat", "writer"]


class CheckFormat(StrEnum):
    """A form of the results."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"
    SARIF = "sarif"
    JUNIT = "junit"


_WRITERS = {
    CheckFormat.TEXT: "text.TextWriter",
    CheckFormat.JSON: "json.JsonWriter",
    CheckFormat.GITHUB: "github.GithubWriter",
    CheckFormat.SARIF: "sarif.SarifWriter",
    CheckFormat.JUNIT: "junit.JunitWriter",
}


def writer(format: CheckFormat, *, refuses_warnings: bool) -> ReportWriter:
    """The writer of a form. refuses_warnings: a warning is a mistake."""
    module, _, name = _WRITERS[format].partition(".")
    made: ReportWriter = getattr(import_module(f"{__name__}.{module}"), name)(refuses_warnings)
    return made
