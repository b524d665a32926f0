"""The initialiser of each fresh parameter, by patterns of names."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.errors import did_you_mean, fail
from archforge.ir import ParamDecl, shape_text
from archforge.recipe.base import Initialiser
from archforge.recipe.patterns import names_that_fit

__all__ = ["drawn_by"]


def drawn_by(decls: Mapping[str, ParamDecl], patterns: Mapping[str, Initialiser]) -> dict[str, Initialiser]:
    """The initialiser of each parameter that one of the patterns is for, by full name; of several the last.

    A pattern is for what it fits of the parameters that are trained, less what its initialiser cannot draw,
    vectors where it needs a matrix; and, where it draws numbers at random and fits others too, less what
    starts as a constant: the factors and offsets of norms. Raises E0906 for a pattern that is for nothing.
    """
    found: dict[str, Initialiser] = {}
    trained = {name: decl for name, decl in decls.items() if decl.role != "buffer"}
    for pattern, initialiser in patterns.items():
        names = names_that_fit(pattern, trained)
        if not names:
            fail(
                "E0906",
                f"no parameter is called `{pattern}`",
                help=did_you_mean(pattern, trained, what="it has"),
            )
        able = [name for name in names if len(trained[name].shape) >= initialiser.least_axes]
        if not able:
            shown = f"`{names[0]}` is {shape_text(trained[names[0]].shape)}"
            fail(
                "E0906",
                f"`{initialiser.word}` draws matrices and kernels, and `{pattern}` fits none: {shown}",
                help="`zeros`, `normal` or `uniform` draw any array",
            )
        drawn = [name for name in able if trained[name].init.kind != "constant"]
        found |= dict.fromkeys(able if initialiser.is_constant else drawn or able, initialiser)
    return found
