"""Names of functions and variables in generated modules."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Collection, Iterable

__all__ = ["NameSupply", "identifier", "input_names", "is_taken", "is_word", "loop_variable", "word_of"]

# What a module's template, and every function, already means by a name.
RESERVED = frozenset(
    ("F", "INPUTS", "PARAMETERS", "assign", "build", "check", "forward", "fresh", "inputs", "json", "keras",
     "load", "main", "math", "mx", "name", "nn", "np", "outputs", "p", "parameters", "self", "sys", "torch",
     "x")
)  # fmt: skip
LOOP_VARIABLES = "ijkmn"


def identifier(text: str) -> str:
    """A name of Python made of `text`; empty if nothing of it can be one."""
    word = re.sub(r"[^0-9a-zA-Z]+", "_", text).strip("_")
    return word if word and not word[0].isdigit() else ""


def is_word(name: str) -> bool:
    """True if a name can stand behind a dot."""
    return name.isidentifier() and not keyword.iskeyword(name)


def loop_variable(depth: int) -> str:
    """The variable of a loop within `depth` others."""
    return LOOP_VARIABLES[depth] if depth < len(LOOP_VARIABLES) else f"i{depth}"


def is_taken(word: str) -> bool:
    """True if Python or every generated module means something by `word`."""
    is_loop = word in LOOP_VARIABLES or re.fullmatch(r"i\d+", word) is not None
    return is_loop or keyword.iskeyword(word) or hasattr(builtins, word) or word in RESERVED


def word_of(label: str) -> str:
    """The first part of a name with dots that can name a variable: `downsample` of `downsample.0`."""
    return next((w for w in map(identifier, label.split(".")) if w and not is_taken(w)), "")


class NameSupply:
    """A supply of names, each of which is handed out once."""

    def __init__(self, taken: set[str]) -> None:
        self.taken = taken

    def take(self, wish: str) -> str:
        """A name made of `wish`, with a number where that is taken."""
        return self.numbered(identifier(wish).lower() or "block", "_")

    def numbered(self, base: str, between: str) -> str:
        """`base` itself, or where that is taken with a number behind it; `between` stands between them."""
        name, number = base, 1
        while name in self.taken or is_taken(name):
            number += 1
            name = f"{base}{between}{number}"
        self.taken.add(name)
        return name


def input_names(inputs: Collection[str], taken: Iterable[str]) -> list[str]:
    """The variables for inputs of a network: the names of the spec, and `x` for a single input."""
    names = NameSupply({*taken})
    return ["x"] if len(inputs) == 1 else [names.take(name) for name in inputs]
