"""Warnings that show in the text of a spec once all that it is made of is known, a function for each: what is
written without effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import cached_property
from typing import NamedTuple

from archforge.errors import Diagnostic, Span
from archforge.spec.resolve.space_warnings import space_warnings
from archforge.spec.resolve.step_warnings import idle_name
from archforge.spec.resolve.uses import uses_of
from archforge.spec.syntax.syntax_tree import BlockDecl, Call, ProfileDecl, SpecDocument
from archforge.spec.yaml.tree import Entry, Mapping, Scalar, Tree, is_null

__all__ = ["Import", "warnings_of"]


class Import(NamedTuple):
    """An import: the document that has it, where, and what it names."""

    by: SpecDocument
    span: Span
    of: SpecDocument


# The keys that nobody gets who extends or imports such a file, which is all that it is for.
_TOLD = ("expect", "departs", "repaired", "recommended")
_SECTIONS = (
    "imports",
    "args",
    "with",
    "constraints",
    "defaults",
    "profiles",
    "blocks",
    "outputs",
    "rules",
    "edits",
)
_INNER_SECTIONS = {"profiles": ("defaults", "blocks", "constraints"), "blocks": ("args", "outputs", "expect")}
_IDLE_KEYS = {
    "network": (),
    "space": ("expect",),
    "template": _TOLD,
    "blocks": (
        "input",
        "args",
        "with",
        "defaults",
        "profiles",
        "graph",
        "outputs",
        "train",
        "extends",
        *_TOLD,
    ),
}


def warnings_of(
    document: SpecDocument, chain: Sequence[SpecDocument], imports: Sequence[Import]
) -> tuple[Diagnostic, ...]:
    """The warnings of a document's own text. `chain` is what it extends and itself, `imports` are theirs."""
    found = [*uses_of(document).warnings, *_idle_keys(document), *_idle_constants(document)]
    found += _weights_of_no_model(document)
    found += _unread_block_arguments(document, chain, imports)
    if document.header.kind == "space":
        found += space_warnings(document, chain)
    if document.header.kind in ("network", "space"):
        used = _Used(chain, imports)
        found += _unread_arguments(document, used)
        found += _uncalled(document, used)
        found += _idle_imports(document, used, imports)
        found += _unreachable_profiles(document)
        found += _unused_rules(document, used)
    return tuple(found)


class _Used:
    """The names that the documents of a spec use, together."""

    def __init__(self, chain: Sequence[SpecDocument], imports: Sequence[Import]) -> None:
        self.chain = chain
        uses = [uses_of(part) for part in (*chain, *dict.fromkeys(i.of for i in imports))]
        self.reads = set[str]().union(*(u.reads for u in uses))
        self.words = set[str]().union(*(u.words for u in uses))
        self.own_words = set[str]().union(*(u.words for u in uses[: len(chain)]))  # not those of imports
        self.is_open = any(u.open_calls for u in uses[: len(chain)])  # imported blocks get names as texts

    @cached_property
    def figures(self) -> set[str]:
        """Every text among the figures, and the words of the formulas there, which nobody has parsed yet."""
        trees = [t for p in self.chain for t in (p.expect, *(b.expect for b in p.blocks.values()))]
        texts = [text for tree in trees if tree is not None for text in _texts(tree)]
        formulas = (re.findall(r"\w+", text) for text in texts if text.startswith("="))
        return set(texts).union(*formulas)

    def calls(self, word: str) -> bool:
        """True if a step, or a text, may mean the op or block `word`."""
        return self.is_open or word in self.words


def _idle_keys(document: SpecDocument) -> Iterator[Diagnostic]:
    """W0201: a key with nothing behind it, or that means nothing in a file of its kind."""
    entries, header = document.tree.entries, document.header
    idle = _IDLE_KEYS[header.kind]
    for entry in _empty_sections(document):
        yield Diagnostic("W0201", f"nothing stands behind `{entry.key}`", entry.key_span, help="remove it")
    for key, entry in entries.items():
        if key in idle:
            message = f"`{key}` means nothing in a file of `kind: {header.kind}`"
            hint = f"who {'imports' if header.kind == 'blocks' else 'extends'} it does not get that"
            yield Diagnostic("W0201", message, entry.key_span, help=hint)
        elif key == "with" and header.extends is None:
            message = "`with` is for the arguments of a spec that is extended"
            yield Diagnostic("W0201", message, entry.key_span, help="give the values in `args`")


def _empty_sections(document: SpecDocument) -> Iterator[Entry]:
    """Sections with nothing in them, those of profiles, blocks and edits too."""
    yield from (e for e in document.tree if is_null(e.value) or (e.key in _SECTIONS and _is_empty(e)))
    for key, keys in _INNER_SECTIONS.items():
        for part in _parts(document.tree.get(key)):
            yield from (e for e in _parts(part.value) if e.key in keys and _is_empty(e))
    for part in _parts(document.tree.get("edits")):
        yield from (e for e in (part, *_parts(part.value)) if _is_empty(e))
    for part in _parts(document.tree.get("expect")):
        if isinstance(part.value, Mapping) and part.value.entries.keys() <= {"source"}:
            yield part


def _parts(tree: Tree | None) -> Iterable[Entry]:
    return tree if isinstance(tree, Mapping) else ()


def _is_empty(entry: Entry) -> bool:
    tree = entry.value
    return not (tree.entries if isinstance(tree, Mapping) else isinstance(tree, Scalar) or tree.items)


def _weights_of_no_model(document: SpecDocument) -> Iterator[Diagnostic]:
    """W0201: names of weights that a library has, and no model of it."""
    for part in _parts(document.tree.get("profiles")):
        profile = document.profiles.get(part.key)
        if profile is not None and profile.weights and profile.model is None:
            (span,) = [entry.key_span for entry in _parts(part.value) if entry.key == "weights"]
            message = "`weights` names those that a library has for its model, and there is no `model`"
            yield Diagnostic("W0201", message, span, help="model: timm.NAME, or remove it")


def _unread_arguments(document: SpecDocument, used: _Used) -> Iterator[Diagnostic]:
    """W0301: an argument of the spec that no formula reads, and values for one. In a space, a range: what
    follows from drawn values is told of each sample."""
    given = [a for owner in _owners(document) for a in owner.values.values()]
    places = {a.key: a.key_span for a in given}
    places |= {name: decl.span for name, decl in document.args.items()}
    if document.header.kind == "space":
        given += [decl.default for decl in document.args.values() if decl.default]
        ranges = {a.key for a in given if a.is_range}
        places = {name: span for name, span in places.items() if name in ranges}
    for name, span in places.items():
        if name not in used.reads and name not in used.figures:
            yield idle_name("reads the argument", name, span)


def _owners(document: SpecDocument) -> tuple[SpecDocument | ProfileDecl, ...]:
    return (*document.profiles.values(), document)


def _texts(tree: Tree) -> Iterator[str]:
    """Every text in a tree."""
    if isinstance(tree, Scalar):
        if isinstance(tree.value, str):
            yield tree.value
    else:
        for item in (e.value for e in tree) if isinstance(tree, Mapping) else tree.items:
            yield from _texts(item)


def _unread_block_arguments(
    document: SpecDocument, chain: Sequence[SpecDocument], imports: Sequence[Import]
) -> Iterator[Diagnostic]:
    """W0301: an argument that its block never reads. One that another block reads is used where a call may
    be of either: a formula names what is called, or both have the same name."""
    unread = [(block, names) for block, names in uses_of(document).blocks if names]
    if not unread:
        return
    uses = [uses_of(part) for part in (*chain, *dict.fromkeys(i.of for i in imports))]
    called = set[str]().union(*(u.called for u in uses))
    calls = [call for u in uses for call in u.open_calls]
    others = [other for u in uses for other in u.blocks]
    for block, names in unread:
        alike = [] if block.name in called else [_passed(call, block) for call in calls]
        if document.header.kind == "blocks" and block.name not in called:
            alike.append(block.args.keys())  # whoever imports them may call any of them so
        for name in names:
            readers = [other for other, idle in others if name in other.args and name not in idle]
            given = [passed for passed in alike if name in passed <= block.args.keys()]
            if not any(r.name == block.name or any(p <= r.args.keys() for p in given) for r in readers):
                yield idle_name("reads the argument", name, block.args[name].span)


def _passed(call: Call, block: BlockDecl) -> Set[str]:
    """The names of the arguments that a call gives a block; a bare value may be a row with all of them."""
    arguments = call.arguments
    return block.args.keys() if arguments.bare else arguments.entries.keys() | call.modifiers.first.keys()


def _uncalled(document: SpecDocument, used: _Used) -> Iterator[Diagnostic]:
    """W0301: a block without figures of its own that nothing calls, an output of one that nothing keeps, and
    defaults of what nothing calls."""
    for part in _parts(document.tree.get("edits")):
        if part.key != "graph" and not used.calls(part.key):
            yield idle_name("calls the block", part.key, part.key_span)
    for owner in _owners(document):
        for name, block in owner.blocks.items():
            if block.expect is None and not used.calls(name):
                yield idle_name("calls the block", name, block.span)
            else:
                yield from _unkept(block, used)
        for name, defaults in owner.defaults.items():
            if not used.calls(name):
                for argument in defaults.values():
                    yield idle_name("takes defaults of", name, argument.key_span)
                    break


def _unkept(block: BlockDecl, used: _Used) -> Iterator[Diagnostic]:
    """W0301: outputs of a block that no call keeps. With the last tap of a network a call goes on."""
    outputs = {name: decl.value.span for name, decl in block.outputs.items()}
    if block.network is not None:
        outputs = {name: step.span for name, step in [*block.network.taps.items()][:-1]}
    for name, span in outputs.items():
        if name not in used.words:
            yield idle_name("keeps the output", name, span)


def _idle_imports(document: SpecDocument, used: _Used, imports: Sequence[Import]) -> Iterator[Diagnostic]:
    """W0301: an import of which no block and no rule is used, or that stands there twice."""
    seen: set[SpecDocument] = set()
    for by, span, other in imports:
        if by is document and other in seen:
            yield Diagnostic("W0301", f"`{span.text}` is imported twice", span, help="remove one")
        seen.add(other)
        if by is not document or used.is_open or not used.own_words.isdisjoint(other.blocks):
            continue
        is_passed_on = bool(other.header.imports) or not document.blocks.keys().isdisjoint(other.blocks)
        if not is_passed_on and other.rules.keys().isdisjoint(used.figures):
            yield idle_name("uses a block or rule of", span.text, span)


def _unreachable_profiles(document: SpecDocument) -> Iterator[Diagnostic]:
    """W0301: a profile that `expect`, whose keys are the profiles, leaves out."""
    if document.expect and document.expect.entries:
        for name, profile in document.profiles.items():
            if name not in document.expect.entries:
                message = f"the profile `{name}` cannot be chosen: `expect` has the profiles, and lacks it"
                hint = f"give it figures: expect: {{{name}: {{source: ..., ...}}}}"
                yield Diagnostic("W0301", message, profile.span, help=hint)


def _unused_rules(document: SpecDocument, used: _Used) -> Iterator[Diagnostic]:
    """W0301: a rule that no figure is counted by."""
    for name, rule in document.rules.items():
        if name not in used.figures:
            yield idle_name("is counted by the rule", name, rule.span)


def _idle_constants(document: SpecDocument) -> Iterator[Diagnostic]:
    """W0301: a constant that its own rule does not count."""
    for name, rule in document.rules.items():
        idle = rule.constants.keys() - {word for word, _ in rule.count.names}
        if idle:
            tree: Tree | None = document.tree
            for key in ("rules", name, "constants"):
                tree = tree.get(key) if isinstance(tree, Mapping) else None
            for entry in tree if isinstance(tree, Mapping) else ():
                if entry.key in idle:
                    yield idle_name(f"in the rule `{name}` counts", entry.key, entry.key_span)
