"""Templates, printed through Jinja, which is imported when the first one is printed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from archforge.resources import templates_folder

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["environment", "render"]

ESCAPED = ("html.j2", "svg.j2", "xml.j2")  # ends of names of templates whose values are escaped


def render(template: str, **context: Any) -> str:
    """The text of a template of `templates/`. Raises UndefinedError for a name that is not given."""
    return environment().get_template(template).render(context)


@cache
def environment() -> Environment:
    """The settings that all templates are printed with."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=FileSystemLoader(templates_folder()),
        undefined=StrictUndefined,
        autoescape=select_autoescape(ESCAPED, default=False),  # Markdown and Python stay as they are
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
