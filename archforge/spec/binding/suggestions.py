"""Suggestions for words that are none here, those of other frameworks among them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from archforge.errors import did_you_mean, listed, misspelt
from archforge.ops import OP_WORDS
from archforge.spec.syntax.foreign_words import (
    ATTRIBUTES,
    KIND_OF,
    KINDS,
    NO_ATTRIBUTES,
    OPS,
    WAYS,
    plain,
)
from archforge.spec.syntax.syntax_tree import STRUCTURES

__all__ = ["argument_hint", "target_hint"]

_TRAINED = "leave it out, and load the weights that it makes: a spec says what a network computes"
_PICTURES = "it is no step: `preprocess` of a profile says how a picture becomes an input"

_BORDERS = "no op mirrors or repeats a border: `pad` adds one number, as {pad: {sides: 1, value: 0.5}}"

# What others write as a step and is something else here.
_NO_STEPS = {
    "input": "the input stands at the top of a spec: input: [3, 224, 224]",
    "output": "the last value is the output; `outputs: {main: =x}` at the top of a spec names others",
    "if": "a condition stands beside its step: {conv: 64, when: =x.channels > 3}",
    "else": "the step of the other case has a `when` of its own: {..., when: =not (...)}",
    "def": "a block: blocks: {unit: {args: {out: int}, body: [{conv: =out}, relu]}}",
    "weight_norm": _TRAINED,
    "spectral_norm": _TRAINED,
    "rescaling": _PICTURES,
    "normalization": _PICTURES,
    "normalize": f"{_PICTURES}; norms of maps here: {', '.join(KINDS['norms'])}",
    "reflection_pad": _BORDERS,
    "reflect_pad": _BORDERS,
    "mirror_pad": _BORDERS,
    "replication_pad": _BORDERS,
    "circular_pad": _BORDERS,
    "repeat": "it stands beside a step: {conv: 64, repeat: 3}",
    "branch": "branches stand in a merge: {add: [[{conv: 64}], []]} or {concat: [...]}",
    "parallel": "branches stand in a merge: {add: [[{conv: 64}], []]} or {concat: [...]}",
}


def target_hint(
    word: str, known: Iterable[str], values: Iterable[str] = (), given: Iterable[str] = ()
) -> str:
    """Suggestion for the name of an op or block that does not exist. `values` are the names of arguments and
    taps, which need an `=`; `given` are the keys behind the name."""
    names = list(known)
    if word in values:
        return f"a formula starts with `=`: ={word}"
    misread = _misread(word)
    if misread:
        return misread
    word_here = plain(word)
    joined = {name.replace("_", ""): name for name in (*names, *OPS, *WAYS)}
    slip = misspelt(word_here, names) or misspelt(word_here, (w for w in OPS if len(w) > 5)) or ""
    for meant in (word.lower(), word_here, joined.get(word_here.replace("_", ""), ""), slip):
        if meant in WAYS and meant not in names:
            return f"an example that does it: {WAYS[meant]}"
        if meant in _NO_STEPS:
            return _NO_STEPS[meant]
        if OPS.get(meant, meant) in (*names, *STRUCTURES):
            return f"did you mean `{OPS.get(meant, meant)}`?"
    named = next((key for key in given if key in names), None)
    if named:
        return f"a name stands beside its op: {{{named}: ..., name: {word}}}"
    pair = re.fullmatch(r"([A-Za-z][\w.]*)\((.*)\)", word)
    if pair:
        return f"write {{{_op_of(pair[1])}: {{...}}}}" if pair[2] else f"write `{_op_of(pair[1])}`"
    return _of_its_kind(word_here, names)


def _op_of(word: str) -> str:
    """The word here for a word of others, as far as it is known."""
    return OPS.get(plain(word), plain(word))


def _of_its_kind(word: str, names: list[str]) -> str:
    """Suggestion for an op that there is not: those of its kind, and where a new one is written."""
    kind = next((kind for kind, pattern in KIND_OF.items() if re.search(pattern, word)), None)
    if kind and not KINDS[kind]:
        return f"there is no op for {kind}; CONTRIBUTING.md says how to add one"
    own = [name for name in names if name not in OP_WORDS]
    there = f"{kind} here: {listed(KINDS[kind])}" if kind else "docs/ops.md lists the ops"
    there += f"; blocks: {listed(own)}" if own else ""
    return there + (
        f"; a block of your own: blocks: {{{word}: {{body: [...]}}}}" if word.isidentifier() else ""
    )


def _misread(word: str) -> str:
    """Suggestion for several words that YAML read as a single one; empty if `word` is none."""
    usual = unicodedata.normalize("NFKC", word)
    hidden = next((c for c in word if unicodedata.category(c) in ("Cf", "Cc") and c != "\n"), None)
    if hidden:
        return f"remove the hidden character U+{ord(hidden):04X}"
    if re.match(r"[\u2010-\u2015\u2212]", word):
        return f"each step starts with `- `, a plain hyphen, not `{word[0]}`"
    if word.startswith("--"):
        return "each step starts with one `- `"
    if re.match(r"-\S", word):
        return "a space is missing behind `-`"
    if word.startswith("for "):
        return "a loop: {for: {width: [8, 16]}, do: [...]}, or `repeat: 3` beside a step"
    if " - " in word or "\n" in word:
        return "YAML joins lines that are indented further: start each `- ` in the same column"
    pair = re.fullmatch(r"(\w+) *:( *)(\S.*)", usual)
    if pair and (usual != word or pair[2]):
        return f"a plain colon, a space, and no quotes around both: {{{pair[1]}: {pair[3]}}}"
    if pair:
        return f"a space is missing behind `:`: {{{pair[1]}: {pair[3]}}}"
    pair = re.fullmatch(r"([A-Za-z]\w*)[ =]+(\S.*)", word)
    return f"what an op takes goes behind a `:`: {{{pair[1]}: {pair[2]}}}" if pair else ""


def argument_hint(word: str, known: Iterable[str]) -> str:
    """Suggestion for an argument or attribute that does not exist."""
    names = list(known)
    word_here = plain(word)
    for name in (word_here, *ATTRIBUTES.get(word_here, ())):
        if name in names:
            return f"did you mean `{name}`?"
    if word_here in ("mode", "padding_mode") and "sides" in names:
        return _BORDERS
    if word_here in NO_ATTRIBUTES:
        return NO_ATTRIBUTES[word_here]
    axis = re.fullmatch(r"(\w+)_[hwxy]", word_here)
    if axis and _attribute_of(axis[1]) in names:
        return f"one value for each axis: {_attribute_of(axis[1])}: [3, 3]"
    if word_here in ("activation", "act", "nonlinearity") or word_here in OP_WORDS:
        return f"a step of its own: - {word_here if word_here in OP_WORDS else 'relu'}"
    if word.endswith(")"):
        return "a list is written [3, 3]"
    return _misread(word) or did_you_mean(word, names, what="it has")


def _attribute_of(word: str) -> str:
    """The attribute here for a word of others, as far as it is known."""
    return next(iter(ATTRIBUTES.get(word, ())), word)
