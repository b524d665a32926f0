"""Symbols: the blocks and arguments of specs, every place that means one, and a new name for it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from archforge import driver
from archforge.errors import DiagnosticError, SourceFile, Span, fail
from archforge.lsp.cursor import ITEM, word_at
from archforge.lsp.names import block_around, called
from archforge.lsp.open_specs import Analysis, file_of
from archforge.resources import zoo_folder
from archforge.spec.formulas.compiler import parse_formula
from archforge.spec.resolve.family import family_of
from archforge.spec.resolve.library import Library
from archforge.spec.yaml.tree import Entry, Scalar, Sequence, Tree, parse_yaml
from archforge.spec.yaml.tree import Mapping as MappingTree

__all__ = ["Symbol", "new_name", "references", "symbol_at"]

Trail = tuple[str, ...]
# Keys behind which a word is no name of a block or argument, and mappings whose keys are none of a block.
_TEXTS = frozenset(("name", "as", "append", "share", "title", "paper", "departs", "source", "model"))
_NOT_CALLS = frozenset(("args", "with", "let", "for", "first", "profiles", "expect", "train", "preprocess"))


@dataclass(frozen=True, slots=True)
class Symbol:
    """A block, or with `owner` an argument: of a block of that name, or of the spec where that is empty."""

    name: str
    declared: Span
    owner: str | None = None


def symbol_at(analysis: Analysis, line: int, column: int) -> Symbol | None:
    """The symbol that the word at a place means."""
    word, _, cursor = word_at(analysis.text, line, column)
    if not word or analysis.spec is None:
        return None
    block, spec = block_around(analysis, cursor), analysis.spec
    if cursor.formula is not None:
        if block and word in block.args:
            return Symbol(word, block.args[word].span, block.name)
        return Symbol(word, spec.args[word].span, "") if word in spec.args else None
    path = cursor.path
    if block and path[-1:] == ("args",) and word in block.args:
        return Symbol(word, block.args[word].span, block.name)
    callee = called(analysis, path[-1]) if path and path[-2:-1] != ("blocks",) else None
    if callee and word in callee.args:
        return Symbol(word, callee.args[word].span, callee.name)
    if path[:1] in (("args",), ("with",), ("profiles",)) and word in spec.args:
        return Symbol(word, spec.args[word].span, "")
    found = called(analysis, word)
    return Symbol(word, found.span) if found else None


def references(symbol: Symbol, texts: Mapping[Path, str]) -> dict[Path, list[Span]]:
    """Every place that means a symbol, by file: in the one that declares it, and in those beside it that
    extend or import that. texts: of files that are open, over those on the disk."""
    return _places(symbol, family_of(file_of(symbol.declared), texts))


def _places(symbol: Symbol, family: Mapping[Path, str]) -> dict[Path, list[Span]]:
    """Every place in a family of files that means a symbol."""
    home = file_of(symbol.declared)
    found: dict[Path, list[Span]] = defaultdict(list)
    for path, text in family.items():
        try:
            tree = parse_yaml(SourceFile(str(path), text))
        except DiagnosticError:
            continue
        own = {entry.key for entry in _entries(tree, "blocks")}
        for trail, span in _occurrences(tree, symbol.name):
            if _means(symbol, trail, is_home=path == home, own=own):
                found[path].append(span)
    return dict(found)


def _entries(tree: Tree, key: str) -> Iterator[Entry]:
    inner = tree.get(key) if isinstance(tree, MappingTree) else None
    yield from inner if isinstance(inner, MappingTree) else ()


def _occurrences(tree: Tree, name: str, trail: Trail = ()) -> Iterator[tuple[Trail, Span]]:
    """Every key, text and name in a formula that is a name, with the keys around it and what it is."""
    if isinstance(tree, MappingTree):
        for entry in tree:
            if entry.key == name:
                yield (*trail, "key"), entry.text_span
            yield from _occurrences(entry.value, name, (*trail, entry.key))
    elif isinstance(tree, Sequence):
        for item in tree.items:
            yield from _occurrences(item, name, (*trail, ITEM))
    elif isinstance(tree, Scalar) and isinstance(tree.value, str):
        if tree.value == name:
            yield (*trail, "text"), tree.text_span
        for what, span in _in_formulas(tree, name):
            yield (*trail, what), span


def _in_formulas(scalar: Scalar, name: str) -> Iterator[tuple[str, Span]]:
    """The places of a name in a formula, or in those of a text with braces; `uses` where it is one of the
    blocks that a rule counts, `uses.bottleneck`."""
    text, start = str(scalar.value), scalar.text_span
    pieces = [(1, text[1:])] if scalar.formula_span else []
    pieces += [(m.start(1), m[1]) for m in re.finditer(r"\{([^{}]*)\}", text)] if not pieces else []
    for offset, source in pieces:
        try:
            formula = parse_formula(source, start.part(offset, len(source)))
        except DiagnosticError:
            continue
        yield from (("formula", span) for found, span in formula.names if found == name)
        for of, found, span in formula.attributes:
            if (of, found) == ("uses", name):
                yield "uses", span


def _means(symbol: Symbol, trail: Trail, *, is_home: bool, own: set[str]) -> bool:
    """True if a name with these keys around it, in a file with blocks of its own, means a symbol."""
    *around, what = trail
    last = around[-1] if around else ""
    block = around[1] if around[:1] == ["blocks"] and len(around) > 1 else ""
    if symbol.owner is None:
        if what == "text":
            return not _TEXTS.intersection(around[-1:])
        return what == "uses" or (what == "key" and last not in _NOT_CALLS)
    if what == "formula":
        return block == symbol.owner and is_home if symbol.owner else not block or is_home or block in own
    if what != "key":
        return False
    if symbol.owner:
        is_declared = is_home and around == ["blocks", symbol.owner, "args"]
        return is_declared or last in (symbol.owner, "first")
    return around in (["args"], ["with"]) or (len(around) == 2 and around[0] == "profiles")


def new_name(symbol: Symbol, name: str, texts: Mapping[Path, str]) -> dict[Path, list[Span]]:
    """The places to write a new name of a symbol to, proved to leave every network as it is but for names of
    steps. Raises E0309 for a name that cannot be, and E0001 for a change of the networks."""
    if not re.fullmatch(r"[^\W\d]\w*", name):
        fail("E0309", f"`{name}` is no name: letters, digits and _")
    home = file_of(symbol.declared)
    if home.parent == zoo_folder() and home not in texts:
        fail("E0309", f"`{symbol.name}` is declared in the shipped zoo, {home.name}")
    family = family_of(home, texts)
    places = _places(symbol, family)
    renamed = {path: _renamed(family[path], spans, name) for path, spans in places.items()}
    before, after = Library(family), Library(family | renamed)
    for path in family:
        if _structure(path, before) != _structure(path, after):
            fail("E0309", f"`{name}` would change {path.stem}, where it may mean something already")
    return places


def _renamed(text: str, spans: list[Span], name: str) -> str:
    lines = text.split("\n")
    for span in sorted(spans, key=lambda s: (s.line, -s.column)):
        line = lines[span.line]
        lines[span.line] = line[: span.column] + name + line[span.column + span.length :]
    return "\n".join(lines)


def _structure(path: Path, library: Library) -> object:
    """The ops that a file builds and their wiring, by profile, without names of steps; and its mistakes."""
    report = driver.report(path, library)
    graphs = []
    for network in report.networks:
        number = {name: index for index, name in enumerate((*network.graph.inputs, *network.graph.types))}
        nodes = [(n.op.kind, n.op.attributes(), [number[v] for v in n.inputs]) for n in network.graph.nodes]
        graphs.append((network.profile, nodes))
    return graphs, [d.code for d in (*report.diagnostics, *report.failures, *report.warnings)]
