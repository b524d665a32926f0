"""Names that a spec cannot give to a thing of its own."""

from __future__ import annotations

from keyword import iskeyword

from archforge.errors import Span, fail
from archforge.ops import OP_WORDS
from archforge.spec import limits
from archforge.spec.formulas.functions import CONSTANTS, FUNCTIONS
from archforge.spec.syntax.syntax_tree import MERGES, MODIFIERS, STRUCTURES

__all__ = ["VALUES", "can_be_named", "check_name"]

# What the language gives formulas to read.
VALUES = {
    "x": "the value at a step",
    "input": "what a block or the graph receives",
    "i": "the number of an iteration",
    "key": "the key of a row in `for`",
    "row": "the row in `for`",
}


def check_name(name: str, span: Span, what: str) -> None:
    """Raise E0310 unless `name` can be given to `what`, such as "an argument"."""
    limits.NAME.check(len(name), span)
    if not name.isidentifier():
        fail("E0310", f"`{name}` cannot name {what}", span, help="letters, digits and _, no digit first")
    meaning = _meaning(name, what)
    if meaning:
        fail("E0310", f"`{name}` cannot name {what}: it is {meaning}", span, help="give it another name")


def can_be_named(name: str, what: str) -> bool:
    """True if `name` can be given to `what`, such as "an argument"."""
    return len(name) <= limits.NAME.most and name.isidentifier() and not _meaning(name, what)


def _meaning(name: str, what: str) -> str:
    """Meaning of `name` in the language itself; empty if it has none."""
    if name in CONSTANTS or iskeyword(name):
        return "a word of formulas"
    if name in OP_WORDS or name in MERGES:
        return "an op"
    if what == "a block":
        return "a word of steps" if name in (*STRUCTURES, *MODIFIERS, "branch") else ""
    return "a function" if name in FUNCTIONS else VALUES.get(name, "")
