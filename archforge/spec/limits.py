"""Limits of the language, each at home here. Specs are untrusted: whatever they can make long, many or deep
has a bound, several times what the largest network of the zoo needs.
"""

from __future__ import annotations

from typing import NamedTuple, NoReturn

from archforge.errors import Span, fail

__all__ = ["Limit"]


class Limit(NamedTuple):
    """The `most` of something that a spec may have: `of` is its name in messages and in the reference."""

    most: int
    of: str
    code: str = "E0317"

    def told(self, found: int | None = None) -> str:
        """Message for more than that; `found` is how many there are, where that is known."""
        return f"more than {self.most:,} {self.of}" + ("" if found is None else f": {found:,}")

    def check(self, found: int, span: Span | None, *, help: str = "") -> None:
        """Raise the code of this limit if `found` is more than it."""
        if found > self.most:
            self.refuse(span, found, help=help)

    def refuse(self, span: Span | None, found: int | None = None, *, help: str = "") -> NoReturn:
        """Raise the code of this limit, which is exceeded at `span`."""
        fail(self.code, self.told(found), span, help=help)


# Files
CHARACTERS = Limit(1_000_000, "characters in a file", "E0107")
SLOW_CHARACTERS = Limit(100_000, "characters in a file that only PyYAML's own parser can read", "E0107")
ALL_BYTES = Limit(1_000_000, "bytes in a spec and all that it extends, imports and has as networks", "E0316")
LEVELS = Limit(60, "levels of nesting in a file", "E0107")
VALUES = Limit(100_000, "values in a file", "E0107")
KEYS = Limit(1_000, "keys in a mapping", "E0107")
CHAIN = Limit(16, "specs that extend or import each other, or are networks in each other", "E0316")
IMPORTS = Limit(200, "files that imports bring, repeated ones again", "E0316")
ARGUMENTS = Limit(100, "arguments of a block or a spec", "E0107")
PROFILES = Limit(100, "profiles of a spec", "E0107")
CASES = Limit(300, "cases of the blocks of a spec", "E0107")
CONSTRAINTS = Limit(100, "constraints of a space", "E0107")
RANGE_VALUES = Limit(20_000, "values in a logarithmic range with a step", "E0321")
DRAWN = Limit(100, "values that a range draws together", "E0321")
COMPARED = Limit(200_000, "comparisons of names with the templates of taps", "E0107")

# Formulas
FORMULA = Limit(1_000, "characters in a formula, or in a name with formulas", "E0304")
ALL_FORMULAS = Limit(200_000, "characters in the formulas of a file, and in its texts with braces", "E0107")
FORMULA_LEVELS = Limit(100, "levels of nesting in a formula", "E0304")
LIST = Limit(10_000, "items in a list or text", "E0305")
LIST_LEVELS = Limit(8, "levels of lists in each other", "E0305")
NUMBER = Limit(10**18, "a number itself", "E0305")

# Graphs
ARGUMENT_CHAIN = Limit(20, "arguments that need each other in a row")
EXTENT = Limit(1_000_000, "elements along an axis of an input", "E0203")
AXIS = Limit(10**18, "elements along an axis of a value")
CALLS = Limit(40, "calls of blocks in each other")
BODIES = Limit(50, "lists of steps in each other, those of blocks included")
SCOPES = Limit(50, "blocks and named lists in each other")
NAME = Limit(300, "characters in the full name of a step")
APPENDED = Limit(10_000, "values in a list that `append` makes")
NODES = Limit(10_000, "nodes in a graph")
# Those of all profiles and cases together
ALL_NODES = Limit(40_000, "nodes in the graphs of a spec together")
ALL_STEPS = Limit(150_000, "steps, arguments and inputs in the graphs of a spec together")
ALL_ITEMS = Limit(1_000_000, "items that the formulas of a spec go through")
ALL_DRAWN = Limit(5_000_000, "items that the draws of a space go through until a network is found")

# Training
RECIPE_ITEMS = Limit(100, "items in a list or mapping of `train`", "E0107")
PATTERN = Limit(300, "characters in a name or pattern of `train`", "E0107")
