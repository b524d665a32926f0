"""Parser of `train`: the trees of the section become a recipe, each field by the form of its annotation.

All mistakes of a section are told together, each at its place. Nothing here names a field or a part: see
`recipe_forms`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from archforge.errors import Diagnostic, Span, listed
from archforge.parts import Part, bare_setting, kind_of, part_named
from archforge.spec import limits
from archforge.spec.formulas.formula import describe
from archforge.spec.syntax.form_checks import Mistakes, mapping_of, shown, torn_text
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
from archforge.spec.syntax.recipe_hints import (
    a_part,
    key_hint,
    key_meant,
    name_of,
    no_part_hint,
    of_owner,
    part_hint,
)
from archforge.spec.syntax.syntax_tree import REACHES
from archforge.spec.syntax.value_hints import value_hint
from archforge.spec.yaml.tree import Entry, Scalar, Sequence, Tree, is_null
from archforge.spec.yaml.tree import Mapping as MappingTree

__all__ = ["BoundFields", "Place", "bind", "parse_train"]

Place = tuple[str, ...]  # a field, and what is inside it: ("optimizer", "sgd", "lr")

_BROKEN: Any = object()  # stands for a value whose mistakes are noted


class BoundFields(NamedTuple):
    """A model made from trees, and where each of its fields is written: the place of a key, of the word of a
    part, or of an item of a list."""

    model: Any
    spans: Mapping[Place, Span]


def parse_train(entry: Entry, profile: str = "") -> dict[str, Entry]:
    """The keys of a section `train`, of a profile or of the spec, each as it is written. Raises all that is
    wrong with them by themselves: what they lack may be inherited."""
    tree = mapping_of(entry.value, "`train`", "train: {loss: cross_entropy, optimizer: {sgd: 0.1}}")
    mistakes = Mistakes()
    mistakes.attempt(lambda: bind((e for e in tree if e.key != REACHES), tree.span), None)
    documented = tree.entries.get(REACHES)
    if documented is not None and profile:
        hint = f"it stands in the `train` of the spec: {REACHES}: {{{profile}: ...}}"
        message = f"`{REACHES}` does not stand in a profile"
        mistakes.add(Diagnostic("E0201", message, documented.key_span, help=hint))
    elif documented is not None and not is_null(documented.value):
        from archforge.spec.syntax.parse_reaches import parse_reaches

        mistakes.attempt(lambda: parse_reaches(documented), None)
    mistakes.close()
    return tree.entries


def bind(entries: Iterable[Entry], span: Span) -> BoundFields:
    """The recipe of these keys; null is as none. Raises all mistakes, each at its place."""
    binder = _Binder()
    written = {entry.key: entry for entry in entries if not is_null(entry.value)}
    model = binder.model(written, section(), (), span)
    binder.mistakes.close()
    return BoundFields(model, binder.spans)


class _Binder:
    """Makes the values of fields, and collects their places and their mistakes."""

    def __init__(self) -> None:
        self.mistakes = Mistakes()
        self.spans: dict[Place, Span] = {}

    def add(self, code: str, message: str, span: Span, help: str = "") -> None:
        self.mistakes.add(Diagnostic(code, message, span, help=help))

    def model(self, written: Mapping[str, Entry], cls: type[BaseModel], place: Place, span: Span) -> Any:
        """The model of these fields; `span` is of what has them."""
        fields, broken = fields_of(cls), set[str]()
        given: dict[str, Any] = {}
        for key, entry in written.items():
            if key not in fields:
                self.unknown(entry, cls, written)
                continue
            field = fields[key]
            self.spans[*place, key] = entry.key_span
            if field.nullable and is_null(entry.value):
                given[key] = None
                continue
            value = self.value(entry.value, field.form, (*place, key), f"`{key}`{of_owner(cls)}")
            if value is _BROKEN:
                broken.add(key)
            else:
                given[key] = value
        for key, field in fields.items():
            if field.required and key not in written and not self.is_meant(key, written, cls):
                broken.add(key)
                message = f"`{name_of(cls)}` needs `{key}`"
                self.add("E0202", message, span, f"{{{name_of(cls)}: {{{key}: ...}}}}")
        try:
            made = cls(**given)
        except ValidationError as error:
            self.refused(error, cls, written, span, told=broken)
            return _BROKEN
        return _BROKEN if broken else made

    def refused(
        self,
        error: ValidationError,
        cls: type[BaseModel],
        written: Mapping[str, Entry],
        span: Span,
        told: Collection[str],
    ) -> None:
        """Note what pydantic refused, in the words of the fields' descriptions."""
        noted = set[int]()
        for found in error.errors():
            key = str(found["loc"][0]) if found["loc"] else ""
            if key in told or (key and key not in written):
                continue
            reason = str(found["ctx"]["error"]) if found["type"] == "value_error" else ""
            if not key:
                if not told:
                    self.add("E0203", f"`{name_of(cls)}`: {reason or found['msg']}", span)
                continue
            tree, form, inside = _inner(written[key].value, fields_of(cls)[key].form, found["loc"][1:])
            if id(tree) in noted:  # by another type that it might have been of
                continue
            noted.add(id(tree))
            what = f"`{inside}` of `{key}`" if inside else f"`{key}`{of_owner(cls)}"
            if reason:
                self.add("E0203", f"{what}: {reason}", tree.span)
            else:
                self.wrong_value(tree, form, what)

    def wrong_value(self, tree: Tree, form: Form, what: str) -> None:
        """Note a plain value of the wrong kind."""
        while isinstance(form, MapForm) or (isinstance(form, ListForm) and not isinstance(tree, Sequence)):
            form = form.item
        expected = form.expected if isinstance(form, ValueForm | ListForm) else "of another kind"
        value = tree.plain()
        hint = value_hint(value, expected, (), tree.span.text if isinstance(tree, Scalar) else "")
        if isinstance(value, float) and "whole" in expected:
            hint = f"write {int(value)}" if value.is_integer() else ""
        if isinstance(value, str) and value.startswith("="):
            hint = "formulas have no place in `train`; `--set train...` gives a value from outside"
        self.add("E0203", f"{what} is {expected}, found {describe(value)}", tree.span, hint)

    def value(self, tree: Tree, form: Form, place: Place, what: str) -> Any:
        """The value of a field, not yet checked where it is a plain one."""
        if isinstance(form, PartForm):
            return self.part(tree, form.kind, place, what)
        if isinstance(form, ModelForm):
            return self.nested(tree, form.model, place, what)
        if isinstance(form, ListForm):
            return self.items(tree, form.item, place, what)
        if isinstance(form, MapForm):
            return self.entries(tree, form.item, place, what)
        return _plain(tree)

    def nested(self, tree: Tree, cls: type[BaseModel], place: Place, what: str) -> Any:
        if isinstance(tree, Scalar) and isinstance(tree.value, cls):
            return tree.value
        if not isinstance(tree, MappingTree):
            keys = listed(cls.model_fields)
            self.add("E0203", f"{what} is a mapping, found {shown(tree)}", tree.span, f"its keys: {keys}")
            return _BROKEN
        return self.model(tree.entries, cls, place, tree.span)

    def items(self, tree: Tree, form: Form, place: Place, what: str) -> Any:
        """The items of a list, or the only one, as a tuple."""
        items = tree.items if isinstance(tree, Sequence) else (tree,)
        if not self.within(limits.RECIPE_ITEMS, len(items), tree.span):
            return _BROKEN
        values = []
        for item in items:
            if isinstance(item, Scalar) and isinstance(item.value, str):
                self.spans[*place, item.value] = item.span
                self.within(limits.PATTERN, len(item.value), item.span)
            values.append(self.value(item, form, place, what))
        return _BROKEN if any(value is _BROKEN for value in values) else tuple(values)

    def entries(self, tree: Tree, form: Form, place: Place, what: str) -> Any:
        """The entries of a mapping from names or patterns."""
        if not isinstance(tree, MappingTree):
            message = f"{what} is a mapping from names, found {shown(tree)}"
            self.add("E0203", message, tree.span, f"{{NAME: {_short(tree)}}}")
            return _BROKEN
        if not self.within(limits.RECIPE_ITEMS, len(tree.entries), tree.span):
            return _BROKEN
        values = {}
        for entry in tree:
            self.spans[*place, entry.key] = entry.key_span
            self.within(limits.PATTERN, len(entry.key), entry.key_span)
            values[entry.key] = self.value(entry.value, form, (*place, entry.key), f"`{entry.key}` of {what}")
        return _BROKEN if any(value is _BROKEN for value in values.values()) else values

    def within(self, limit: limits.Limit, found: int, span: Span) -> bool:
        """True if there are no more than the limit; else that is noted."""
        return self.mistakes.attempt(lambda: limit.check(found, span) or True, otherwise=False)

    def part(self, tree: Tree, kind: type[Part], place: Place, what: str) -> Any:
        """A part: a word, a word with a bare value, or a word with settings."""
        if isinstance(tree, Scalar) and isinstance(tree.value, Part):
            return self.given_part(tree, kind, what)
        if isinstance(tree, Scalar) and isinstance(tree.value, str):
            return self.named(tree.value, tree.span, Scalar(None, tree.span), kind, place)
        if isinstance(tree, MappingTree) and len(tree.entries) == 1:
            ((word, entry),) = tree.entries.items()
            if word not in kind.model_fields or part_named(kind, word):
                return self.named(word, entry.key_span, entry.value, kind, place)
        self.add(
            "E0203", f"{what} is {a_part(kind)}, found {shown(tree)}", tree.span, no_part_hint(tree, kind)
        )
        return _BROKEN

    def given_part(self, tree: Scalar, kind: type[Part], what: str) -> Any:
        """A part that a caller made."""
        if isinstance(tree.value, kind):
            return tree.value
        found = f"the {kind_of(type(tree.value)).what} `{type(tree.value).__name__}`"
        self.add("E0203", f"{what} is {a_part(kind)}, found {found}", tree.span)
        return _BROKEN

    def named(self, word: str, span: Span, tree: Tree, kind: type[Part], place: Place) -> Any:
        cls = part_named(kind, word)
        if cls is None:
            self.add("E0901", f"there is no {kind.what} `{word}`", span, part_hint(word, kind))
            return _BROKEN
        self.spans[*place, word] = span
        if isinstance(tree, MappingTree):
            written = tree.entries
        elif is_null(tree):
            written = {}
        elif first := bare_setting(cls):
            written = {first: Entry(first, tree.span, tree)}
        else:
            self.add("E0203", f"`{word}` takes no setting, found {shown(tree)}", tree.span, f"write `{word}`")
            return _BROKEN
        return self.model(written, cls, (*place, word), span)

    def unknown(self, entry: Entry, cls: type[BaseModel], written: Mapping[str, Entry]) -> None:
        """Note a key that a model does not have."""
        message = f"`{name_of(cls)}` has no key `{entry.key}`"
        if issubclass(cls, Part):
            message = f"the {kind_of(cls).what} `{cls.word}` has no setting `{entry.key}`"
        hint = torn_text(entry, MappingTree(dict(written), entry.key_span)) or key_hint(entry, cls, written)
        self.add("E0201", message, entry.key_span, hint)

    def is_meant(self, key: str, written: Mapping[str, Entry], cls: type[BaseModel]) -> bool:
        """True if an unknown key is probably this one, misspelt."""
        known = cls.model_fields
        return any(key_meant(other, known) == key for other in written if other not in known)


def _inner(tree: Tree, form: Form, location: tuple[Any, ...]) -> tuple[Tree, Form, str]:
    """The item of a tree that pydantic refused, its form, and its name where it has one."""
    name = ""
    for step in location:
        if isinstance(form, ListForm) and isinstance(tree, Sequence) and isinstance(step, int):
            tree, form = tree.items[step], form.item
        elif isinstance(form, MapForm) and isinstance(tree, MappingTree) and step in tree.entries:
            tree, form, name = tree.entries[step].value, form.item, step
        else:
            break
    return tree, form, name


def _short(tree: Tree) -> str:
    """A value in an example."""
    return tree.span.text if isinstance(tree, Scalar) and len(tree.span.text) <= 30 else "..."


def _plain(tree: Tree) -> Any:
    """The plain value of a tree, lists as tuples."""
    if isinstance(tree, Sequence):
        return tuple(map(_plain, tree.items))
    return {e.key: _plain(e.value) for e in tree} if isinstance(tree, MappingTree) else tree.value
