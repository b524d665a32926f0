"""Values of `--set`, told apart: those of a spec, and those of its section `train`."""

from __future__ import annotations

from collections.abc import Sequence

from archforge.cli.options import settings
from archforge.spec.resolve.recipe import Override, from_set
from archforge.spec.syntax.syntax_tree import Argument

__all__ = ["changes"]

RECIPE = "train."


def changes(set: Sequence[str] | None) -> tuple[dict[str, Argument], list[Override]]:
    """Values of `--set`: of the spec's arguments and defaults, and of what lies within `train`."""
    given = list(set or ())
    of_recipe = [text.partition("=") for text in given if text.startswith(RECIPE)]
    of_spec = [text for text in given if not text.startswith(RECIPE)]
    return settings(of_spec), [from_set(name, value) for name, _, value in of_recipe]
