"""The one place that prints through Jinja; it is loaded when an export first prints."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from archforge.resources import templates_folder

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render"]


def render(template: str, **context: Any) -> str:
    """The text of a template; a name that it uses and that is not given is an error."""
    return _environment().get_template(template).render(context)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(templates_folder()),
        undefined=StrictUndefined,
        autoescape=False,  # Markdown and Python, not HTML
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
