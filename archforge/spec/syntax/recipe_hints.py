"""Suggestions for keys and parts of a recipe that there are not, those of other libraries among them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, get_args, get_origin

from pydantic import BaseModel

from archforge.errors import did_you_mean, listed, misspelt
from archforge.parts import Part, all_parts
from archforge.spec.syntax.foreign_words import SETTINGS, TRAIN, plain
from archforge.spec.syntax.recipe_forms import ListForm, MapForm, ModelForm, PartForm, fields_of, section
from archforge.spec.yaml.tree import Entry, Scalar, Sequence, Tree
from archforge.spec.yaml.tree import Mapping as MappingTree

__all__ = [
    "a_part",
    "key_hint",
    "key_meant",
    "name_of",
    "no_part_hint",
    "of_owner",
    "part_hint",
    "setting_meant",
]

# What others add to the name of a part: the kind that it is of.
_SUFFIX = re.compile(r"_?(loss|optimi[sz]er|lr|scheduler|schedule|stopping|initiali[sz]er)?_*$")

USUAL = ("sgd",)  # of several parts that have a setting, the one to name


def _pairs(values: Mapping[str, Tree]) -> str:
    """A mapping of these values, those that are short as they are written."""

    def text(tree: Tree) -> str:
        is_short = isinstance(tree, Scalar) and tree.end is None and 0 < len(tree.span.text) <= 30
        return tree.span.text if is_short else "..."

    return f"{{{', '.join(f'{key}: {text(tree)}' for key, tree in values.items())}}}"


def name_of(cls: type[BaseModel]) -> str:
    """The word that a spec has for a model: that of a part, or the key of `train` that it stands behind."""
    if issubclass(cls, Part):
        return cls.word
    return next((key for key, f in fields_of(section()).items() if f.form == ModelForm(cls)), "train")


def of_owner(cls: type[BaseModel]) -> str:
    """Words that say whose a field is; empty for a key of `train` itself."""
    return f" of `{name_of(cls)}`" if cls is not section() else ""


def a_part(kind: type[Part]) -> str:
    """A kind of part with its article: `an optimizer`."""
    return f"{'an' if kind.what[0] in 'aeiou' else 'a'} {kind.what}"


def _fields_of_parts() -> Iterator[tuple[str, type[Part]]]:
    """The dotted keys of `train` that hold parts, and the kind of each."""

    def inside(model: type[BaseModel], before: str) -> Iterator[tuple[str, type[Part]]]:
        for key, (form, *_) in fields_of(model).items():
            while isinstance(form, ListForm | MapForm):
                form = form.item
            if isinstance(form, PartForm):
                yield before + key, form.kind
            elif isinstance(form, ModelForm):
                yield from inside(form.model, f"{before}{key}.")

    yield from inside(section(), "")


def _nested_text(key: str, value: str) -> str:
    """`data.format` and a value as a spec has them: `data: {format: ...}`."""
    first, *rest = key.split(".")
    return f"{first}: " + (f"{{{_nested_text('.'.join(rest), value)}}}" if rest else value)


def key_meant(word: str, known: Iterable[str]) -> str | None:
    """The key that is meant by another library's word for it, or by a slip; None if none is."""
    names = list(known)
    for name in _foreign(word):
        if name in names:
            return name
    return misspelt(word, names)


def _foreign(word: str) -> Iterator[str]:
    """The keys and settings that another library's word may stand for."""
    here = plain(word)
    whole = next((w for w in (*TRAIN, *SETTINGS) if w.replace("_", "") == here.replace("_", "")), here)
    yield here
    if whole in TRAIN:
        yield TRAIN[whole]
    yield from SETTINGS.get(whole, ())


def setting_meant(word: str) -> tuple[str, ...]:
    """The key of `train` that another library's word stands for, or the key, a part and the part's setting;
    empty if it stands for none."""
    if key := key_meant(word, section().model_fields):
        return (key,)
    for name in _foreign(word):
        for key, kind in _fields_of_parts():
            having = [part for part, cls in all_parts(kind).items() if name in cls.model_fields]
            if having:
                return key, next((part for part in having if part in USUAL), having[0]), name
    return ()


def key_hint(entry: Entry, cls: type[BaseModel], written: Mapping[str, Entry]) -> str:
    """Suggestion for a key that a model does not have. `written` are the keys beside it: a setting is one of
    a part that is named there, if that has it."""
    word, known = entry.key, cls.model_fields
    if meant := key_meant(word, known):
        return f"did you mean `{meant}`?"
    if not issubclass(cls, Part):
        for key, kind in _fields_of_parts():
            if word in all_parts(kind):
                return _nested_text(key, word)
            named = _words_in(written[key].value) if key in written else []
            parts = [part for word, part in all_parts(kind).items() if word in named] or all_parts(
                kind
            ).values()
            for part in parts:
                for setting in _foreign(word):
                    if setting in part.model_fields:
                        return _nested_text(key, f"{{{part.word}: {_pairs({setting: entry.value})}}}")
    return did_you_mean(word, known, what="it has") if known else "it has none"


def _words_in(tree: Tree) -> list[str]:
    """The words that may be those of parts, in the value of a key."""
    items = tree.items if isinstance(tree, Sequence) else (tree,)
    keys = [key for item in items if isinstance(item, MappingTree) for key in item.entries]
    return keys + [str(item.value) for item in items if isinstance(item, Scalar)]


def _part_meant(word: str, kind: type[Part]) -> str | None:
    """The part of a kind that is meant by another library's word for it, or by a slip; None if none is."""
    parts = all_parts(kind)
    names = {name: part for part, cls in parts.items() for name in (*cls.elsewhere, part)}
    joined = {plain(name).replace("_", ""): part for name, part in names.items()}
    here = plain(word)
    for spelling in (here, _SUFFIX.sub("", here)):
        if found := joined.get(spelling.replace("_", "")):
            return found
    return misspelt(here, parts)


def _with_setting(word: str, cls: type[Part]) -> str:
    """A part as a spec writes it, with the setting that ends another library's word for it:
    `{kaiming: {distribution: uniform}}` of kaiming_uniform."""
    for name, info in cls.model_fields.items():
        for value in get_args(info.annotation) if get_origin(info.annotation) is Literal else ():
            if plain(word).replace("_", "").endswith(str(value)) and value != info.default:
                return f"{{{cls.word}: {{{name}: {value}}}}}"
    return cls.word


def part_hint(word: str, kind: type[Part]) -> str:
    """Suggestion for a part that there is not."""
    call = re.match(r"([A-Za-z][\w.]*)\s*[(: =]", word)
    if call and (meant := _part_meant(call[1], kind)):
        return f"what a part takes stands behind a `:`: {{{meant}: ...}}"
    if meant := _part_meant(word, kind):
        return f"did you mean `{_with_setting(word, all_parts(kind)[meant])}`?"
    for key, other in _fields_of_parts():
        if other is not kind and word in all_parts(other):
            return f"`{word}` is {a_part(other)}: {_nested_text(key, word)}"
    return f"there are: {listed(all_parts(kind)) or 'none yet'}"


def no_part_hint(tree: Tree, kind: type[Part]) -> str:
    """Suggestion for what is no part: neither a word nor a word with its settings."""
    parts = all_parts(kind)
    if isinstance(tree, Sequence):
        return f"one, no list: {next(iter(_words_in(tree)), next(iter(parts), '...'))}"
    if not isinstance(tree, MappingTree) or not tree.entries:
        return f"there are: {listed(parts) or 'none yet'}"
    values = {key: entry.value for key, entry in tree.entries.items()}
    named = [key for key in values if key in parts]
    if len(named) > 1:
        listed_parts = ", ".join(_pairs({word: values[word]}) for word in named)
        return f"one of them, or where several may stand a list: [{listed_parts}]"
    said = next((key for key in ("name", "type", "kind", "class", "class_name") if key in values), "")
    word = named[0] if named else _part_meant(str(values[said].plain()), kind) if said else ""
    inner = {key: value for key, value in values.items() if key not in (said, *named)}
    return f"settings stand behind the word: {{{word or '...'}: {_pairs(inner)}}}"
