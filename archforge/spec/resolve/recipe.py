"""Recipe of a spec's training: its `train`, that of a profile over it, and what a caller gives over both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from archforge.errors import SourceFile, Span, fail, type_in_words
from archforge.parts import Part, bare_setting, part_named
from archforge.spec.resolve.spec import Spec
from archforge.spec.syntax.form_checks import Mistakes
from archforge.spec.syntax.parse_train import Place, bind
from archforge.spec.syntax.recipe_forms import (
    Form,
    ListForm,
    MapForm,
    ModelForm,
    PartForm,
    ValueForm,
    fields_of,
    section,
)
from archforge.spec.syntax.syntax_tree import REACHES
from archforge.spec.yaml.tree import Entry, Scalar, Sequence, Tree, is_null, parse_yaml
from archforge.spec.yaml.tree import Mapping as MappingTree

if TYPE_CHECKING:
    from archforge.recipe.reaches import DocumentedFigure
    from archforge.recipe.recipe import TrainingRecipe

__all__ = ["BoundRecipe", "Override", "from_flags", "from_place", "from_python", "from_set", "recipe_of"]


class BoundRecipe(NamedTuple):
    """A recipe with the place where each of its fields is written, and the figures that it is documented to
    reach. by_caller: the keys that a caller gave, over those of the spec."""

    recipe: TrainingRecipe
    spans: Mapping[Place, Span]
    reaches: tuple[DocumentedFigure, ...] = ()
    by_caller: frozenset[str] = frozenset()

    def is_given(self, key: str) -> bool:
        """True if the spec or a caller gives this key; else it has its default."""
        return (key,) in self.spans

    def span(self, *place: str) -> Span | None:
        """Span of a field such as `optimizer`, `sgd`, `lr`, or of the innermost that is written around it;
        None for one that has its default."""
        inner = (place[:end] for end in range(len(place), 0, -1))
        return next((self.spans[part] for part in inner if part in self.spans), None)

    def to_json(self) -> dict[str, Any]:
        """The recipe as a spec would have it, defaults left out, and the figures that it is documented to
        reach."""
        figures = {figure.name: figure.to_json() for figure in self.reaches}
        return {**self.recipe.brief(), **({REACHES: figures} if figures else {})}


class Override(NamedTuple):
    """A value that a caller gives: of a whole key of `train`, or of what is inside one."""

    place: Place
    value: Tree

    @property
    def key(self) -> str:
        """The key of `train`."""
        return self.place[0]


def recipe_of(spec: Spec, profile: str | None = None, overrides: Iterable[Override] = ()) -> BoundRecipe:
    """The recipe of one profile. A key of the profile's `train` replaces the spec's, one of an override both;
    null takes a key away.

    Raises E0315 for an unknown profile, and all that is wrong with the keys together. What a recipe lacks, or
    what does not fit the network, is for `recipe_mistakes` to find.
    """
    decl = spec.profile(profile)
    keys = {**spec.train, **decl.train}
    documented = keys.pop(REACHES, None)
    mistakes = Mistakes()
    given = list(overrides)
    for override in given:
        keys = mistakes.attempt(partial(_changed, keys, override), keys)
    mistakes.close()
    bound = bind(keys.values(), spec.document.span_of("train"))
    reaches = _reaches(documented, decl.name)
    return BoundRecipe(bound.model, bound.spans, reaches, frozenset(override.key for override in given))


def _reaches(documented: Entry | None, profile: str) -> tuple[DocumentedFigure, ...]:
    """The documented figures of one profile."""
    if documented is None or is_null(documented.value):
        return ()
    from archforge.spec.syntax.parse_reaches import parse_reaches

    return parse_reaches(documented).get(profile, ())


# What callers give


def from_flags(flags: Mapping[str, str | None]) -> list[Override]:
    """Values of flags by the keys of `train` that they are: `{"epochs": "5", "optimizer": "sgd: 0.1"}`; those
    that are None were not given. Raises what is no YAML, of all flags together."""
    given = {key: text for key, text in flags.items() if text is not None}
    mistakes = Mistakes()
    found = [
        mistakes.attempt(partial(_override, (key,), f"--{key.replace('_', '-')}", text), None)
        for key, text in given.items()
    ]
    mistakes.close()
    return [override for override in found if override]


def from_set(name: str, text: str) -> Override:
    """The value of `--set train.optimizer.sgd.lr=0.1`: `name` is all before the `=`. Raises E0001."""
    return from_place(name.partition(".")[2], text, f"--set {name}", "--set train.optimizer.sgd.lr=0.1")


def from_place(name: str, text: str, source: str, help: str = "") -> Override:
    """The value of a key of `train`, or of what is inside one: `name` is `optimizer.sgd.lr`. source: the
    option that gives it; help: what it could be. Raises E0001 for a name of nothing."""
    place = tuple(name.split("."))
    if not all(place):
        fail("E0001", f"`{source}` names nothing in `train`", help=help)
    return _override(place, source, text)


def from_python(values: Mapping[str, Any]) -> list[Override]:
    """Values of keyword arguments: `epochs=5`, `optimizer={"sgd": {"lr": 0.1}}`, `optimizer="adam"`, and
    parts that a caller made; a function is a loss of its own. Raises E0308 for what no spec can hold."""
    given = {key: _as_loss(value) if key in ("loss", "losses") else value for key, value in values.items()}
    return [Override((key,), _tree(key, value)) for key, value in given.items()]


def _as_loss(value: Any) -> Any:
    """A value whose functions are losses."""
    if isinstance(value, Mapping):
        return {key: _as_loss(item) for key, item in value.items()}
    if not callable(value) or isinstance(value, type):
        return value
    from archforge.recipe.own_loss import OwnLoss

    return OwnLoss.of(value)


def _override(place: Place, source: str, text: str) -> Override:
    if not text.strip():
        fail("E0001", f"`{source}` has no value", help=f"{source} null takes it away")
    given = text.strip()
    if given.startswith("*"):  # a pattern, which only YAML takes for an alias
        given = json.dumps(given)
    return Override(place, parse_yaml(SourceFile(source, given)))


def _tree(key: str, value: Any) -> Tree:
    """The tree of a value from Python: of its JSON, which is YAML, or where it holds a part of the value
    itself, with the place of the whole."""
    try:
        if not _holds_part(value):
            return parse_yaml(SourceFile(key, json.dumps(value, ensure_ascii=False, default=_from_numpy)))
        source = SourceFile(key, repr(value))
    except (TypeError, ValueError, RecursionError):
        help = "numbers, texts, true, false, null, lists and mappings of them, and parts of recipes"
        fail("E0308", f"`{key}` is no plain value, but {type_in_words(value)}", help=help)
    return _with_parts(value, Span(source, 0, 0, max(len(source.line(0)), 1)))


def _from_numpy(value: Any) -> Any:
    """The plain value of an array or a number of NumPy. Raises TypeError for anything else."""
    if not hasattr(value, "tolist"):
        raise TypeError(type(value))
    return value.tolist()


def _holds_part(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_part, value.values()))
    return any(map(_holds_part, value)) if isinstance(value, list | tuple) else isinstance(value, Part)


def _with_parts(value: Any, span: Span) -> Tree:
    if isinstance(value, Mapping):
        pairs = ((str(key), _with_parts(item, span)) for key, item in value.items())
        return MappingTree({key: Entry(key, span, tree) for key, tree in pairs}, span)
    if isinstance(value, list | tuple):
        return Sequence(tuple(_with_parts(item, span) for item in value), span)
    return Scalar(_from_numpy(value) if hasattr(value, "tolist") else value, span)


# Where they go


def _changed(keys: Mapping[str, Entry], override: Override) -> dict[str, Entry]:
    """The keys of `train` with what a caller gives in its place. Raises E0001."""
    key, value = override.key, override.value
    if len(override.place) > 1 and key in fields_of(section()):
        old = keys[key].value if key in keys else Scalar(None, value.span)
        value = _inside(old, fields_of(section())[key].form, override.place[1:], override)
    return {**keys, key: Entry(key, override.value.span, value)}


def _inside(tree: Tree, form: Form, place: Place, override: Override) -> Tree:
    """A tree with the value of an override at this place inside it."""
    if not place:
        return override.value
    first, rest = place[0], place[1:]
    if isinstance(form, MapForm):
        return _with_entry(tree, ".".join(place), override.value)
    if isinstance(form, ModelForm):
        field = fields_of(form.model).get(first)
        old = tree.get(first) if isinstance(tree, MappingTree) else None
        inner = field.form if field else ValueForm("", None)
        return _with_entry(tree, first, _inside(old or Scalar(None, tree.span), inner, rest, override))
    if isinstance(form, PartForm):
        return _part_with(tree, form, first, rest, override)
    if isinstance(form, ListForm) and isinstance(form.item, PartForm):
        items: list[Tree] = [] if is_null(tree) else [tree]
        if isinstance(tree, Sequence):
            items = list(tree.items)
        at = next((i for i, item in enumerate(items) if _word(item) == first), len(items))
        old = items[at] if at < len(items) else Scalar(None, tree.span)
        items[at:] = [_inside(old, form.item, place, override), *items[at + 1 :]]
        return Sequence(tuple(items), tree.span)
    inner_key = ".".join(override.place[: len(override.place) - len(place)])
    fail(
        "E0001",
        f"`{inner_key}` has nothing inside it",
        override.value.span,
        help=f"--set train.{inner_key}=...",
    )


def _part_with(tree: Tree, form: PartForm, word: str, rest: Place, override: Override) -> Tree:
    """A part with one of its settings changed, or the only one of a part that is not there yet."""
    now = _word(tree)
    if now not in ("", word):
        key = ".".join(override.place[: len(override.place) - 1 - len(rest)])
        fail(
            "E0001",
            f"the {form.kind.what} is `{now}`, not `{word}`",
            override.value.span,
            help=f"--set train.{key}.{now}..., or --set train.{key}='{{{word}: {{...}}}}' for another one",
        )
    if not rest:
        return _with_entry(Scalar(None, tree.span), word, override.value)
    settings = tree.entries[word].value if isinstance(tree, MappingTree) else Scalar(None, tree.span)
    cls = part_named(form.kind, word)
    if cls is not None and not isinstance(settings, MappingTree) and not is_null(settings):
        settings = _with_entry(Scalar(None, tree.span), bare_setting(cls), settings)
    inner = _inside(settings, ModelForm(cls) if cls else ValueForm("", None), rest, override)
    return _with_entry(Scalar(None, tree.span), word, inner)


def _word(tree: Tree) -> str:
    """The word of a part as it is written; empty for what is none."""
    if isinstance(tree, MappingTree) and len(tree.entries) == 1:
        return next(iter(tree.entries))
    return tree.value if isinstance(tree, Scalar) and isinstance(tree.value, str) else ""


def _with_entry(tree: Tree, key: str, value: Tree) -> MappingTree:
    """A mapping with one entry set; a new one in place of what is none."""
    entries = tree.entries if isinstance(tree, MappingTree) else {}
    return MappingTree({**entries, key: Entry(key, value.span, value)}, tree.span)
