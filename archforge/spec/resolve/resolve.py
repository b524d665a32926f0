"""One spec from a document and all that it extends and imports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from archforge.errors import Diagnostic, DiagnosticError, Note, Span, did_you_mean, fail, fail_all
from archforge.ops import OP_WORDS
from archforge.paths import is_file
from archforge.spec import limits
from archforge.spec.binding.calls import unknown_target
from archforge.spec.formulas.formula import Formula
from archforge.spec.resolve.defaults import merge_defaults
from archforge.spec.resolve.edits import edited
from archforge.spec.resolve.library import Library
from archforge.spec.resolve.lint import lint
from archforge.spec.resolve.network_blocks import network_block
from archforge.spec.resolve.spec import NO_PROFILE, NetworkBlock, Spec
from archforge.spec.resolve.spec_warnings import Import, warnings_of
from archforge.spec.syntax.form_checks import Mistakes
from archforge.spec.syntax.syntax_tree import (
    CELLS,
    REACHES,
    ArgDecl,
    Argument,
    BlockDecl,
    Body,
    Defaults,
    Edit,
    NetworkUse,
    ProfileDecl,
    RuleDecl,
    SpecDocument,
)
from archforge.spec.yaml.tree import Entry
from archforge.spec.yaml.tree import Mapping as MappingTree

__all__ = ["resolve"]

GRAPH = "graph"  # the part that is no block


def resolve(document: SpecDocument, library: Library, name: str) -> Spec:
    """The whole spec. Raises E0316 for what it cannot extend or import, else all mistakes that show
    without running it: see `lint`."""
    return _resolved(document, _Files(document, library), name)


def _resolved(document: SpecDocument, files: _Files, name: str) -> Spec:
    chain = _chain(document, files)
    merged = _MergedDocuments(files)
    for link in chain:
        merged.imports(link, ())
        merged.document(link)
    _check_numbers(document, merged)
    header = replace(
        document.header, paper=next((d.header.paper for d in reversed(chain) if d.header.paper), None)
    )
    spec = Spec(
        name=name,
        document=document,
        header=header,
        input=next((d.input for d in reversed(chain) if d.input is not None), None),
        args=merged.args,
        values=merged.values,
        constraints=merged.constraints,
        defaults=merged.defaults,
        profiles=merged.profiles,
        blocks=merged.blocks,
        graph=merged.graph,
        outputs=next((d.outputs for d in reversed(chain) if d.outputs), {}),
        rules=merged.rules,
        expect=document.expect,
        train=merged.train,
    )
    fail_all([*_check_keys(spec, chain), *_idle_ranges(chain), *lint(spec)])
    return replace(spec, warnings=(*warnings_of(document, chain, merged.imported), *merged.of_edits))


class _Files:
    """Files that a spec extends and imports, within the limit of what they hold together."""

    def __init__(self, document: SpecDocument, library: Library) -> None:
        self.library = library
        self.bytes = len(document.source.text)
        self.seen: set[Path] = set()
        self.trail = [document]  # the specs whose networks are parts of each other, the outermost first
        self.networks: dict[int, Spec] = {}  # by the `id` of their documents, which the library keeps

    def document(self, name: str, by: SpecDocument, span: Span) -> SpecDocument:
        """The document that `by` calls `name`. Raises E0316."""
        path = self.library.reference(name, by, span)
        if path not in self.seen:
            self.seen.add(path)
            self.bytes += self.library.size(path)
            limits.ALL_BYTES.check(self.bytes, span)
        return self.library.read(path)

    def network(self, block: BlockDecl, use: NetworkUse, by: SpecDocument) -> NetworkBlock:
        """The block that is the network of a spec that `by` names. Raises E0316, E0319 and E0315, and what is
        wrong with that spec."""
        name, span = use.spec.value, use.spec.span
        document = self.document(name, by, span)
        if document in self.trail:
            circle = [d.source.name for d in self.trail[self.trail.index(document) :]]
            message = f"`{name}` is a network within itself: {' -> '.join([*circle, circle[0]])}"
            fail("E0316", message, span)
        limits.CHAIN.check(len(self.trail) + 1, span)
        spec = self.networks.get(id(document))
        if spec is None:
            self.trail.append(document)
            try:
                spec = _resolved(document, self, Path(name).stem)
            except DiagnosticError as error:
                note = Note(f"it is the network of block `{block.name}`", block.span)
                raise DiagnosticError(
                    tuple(replace(d, notes=(*d.notes, note)) for d in error.diagnostics)
                ) from None
            finally:
                self.trail.pop()
            self.networks[id(document)] = spec
        return network_block(block, use, spec)

    def with_networks(self, blocks: dict[str, BlockDecl], by: SpecDocument) -> dict[str, BlockDecl]:
        """The blocks of a document, those that are networks with what they are."""
        uses = {name: block.network for name, block in blocks.items() if block.network is not None}
        mistakes = Mistakes()
        found: dict[str, BlockDecl] = {}
        for name, use in uses.items():
            block = blocks[name]
            found[name] = mistakes.attempt(lambda b=block, u=use: self.network(b, u, by), block)  # type: ignore[misc]
        mistakes.close()
        return blocks | found if found else blocks


def _check_numbers(document: SpecDocument, merged: _MergedDocuments) -> None:
    """Raise E0107 for too many profiles or cases, each of which is a graph of its own."""
    expected = len(document.expect.entries) if document.expect else 0
    limits.PROFILES.check(max(len(merged.profiles), expected), document.span_of("profiles"))
    cases = sum(len(b.expect.entries) for b in document.blocks.values() if b.expect)
    limits.CASES.check(cases, document.span_of("blocks"))


def _chain(document: SpecDocument, files: _Files) -> list[SpecDocument]:
    """Documents that `document` extends, the farthest first, then itself."""
    chain = [document]
    while (name := chain[0].header.extends) is not None:
        entry = chain[0].tree.entries["extends"]
        base = files.document(name, chain[0], entry.value.span)
        if base in chain:
            fail("E0316", f"`{name}` extends itself, by {len(chain)} steps", entry.value.span)
        limits.CHAIN.check(len(chain) + 1, entry.value.span)
        chain.insert(0, base)
    return chain


class _MergedDocuments:
    """Sections of the documents of a chain, merged by name; later ones win over earlier ones."""

    def __init__(self, files: _Files) -> None:
        self.files = files
        self.args: dict[str, ArgDecl] = {}
        self.values: dict[str, Argument] = {}
        self.constraints: tuple[Formula, ...] = ()
        self.defaults: Defaults = {}
        self.profiles: dict[str, ProfileDecl] = {}
        self.blocks: dict[str, BlockDecl] = {}
        self.rules: dict[str, RuleDecl] = {}
        self.train: dict[str, Entry] = {}
        self.graph: Body | None = None
        self.imported: list[Import] = []
        self.of_edits: list[Diagnostic] = []  # warnings of the edits of the last document

    def imports(self, document: SpecDocument, trail: tuple[SpecDocument, ...]) -> None:
        """The blocks and rules of imported files, and of what these import."""
        tree = document.tree.get("imports")
        spans = [item.span for item in tree.items] if tree is not None and hasattr(tree, "items") else []
        for name, span in zip(document.header.imports, spans, strict=False):
            limits.IMPORTS.check(len(self.imported) + 1, span)
            other = self.files.document(name, document, span)
            if other in trail:
                fail("E0316", f"`{name}` imports itself", span)
            limits.CHAIN.check(len(trail) + 2, span)
            self.imported.append(Import(document, span, other))
            self.imports(other, (*trail, document))
            blocks = self.files.with_networks(other.blocks, other)
            self._add_blocks({key: replace(block, imported=True) for key, block in blocks.items()})
            self.rules |= other.rules

    def document(self, document: SpecDocument) -> None:
        self.args |= document.args
        self.values |= document.values
        self.constraints += document.constraints
        self._add_blocks(self.files.with_networks(document.blocks, document))
        self.rules |= document.rules
        self.defaults = merge_defaults(self.defaults, document.defaults)
        # What is documented to be reached is of the document's own network, as in `expect`.
        self.train = {k: e for k, e in self.train.items() if k != REACHES} | document.train
        self._add_profiles(document)
        self.graph = document.graph or self.graph
        self.of_edits = []
        if document.edits:
            self._edit(document)

    def _edit(self, document: SpecDocument) -> None:
        """Edit the inherited graph and blocks as a document says. Raises E0301 and E0325, and E0202 where
        there is nothing to edit."""
        mistakes = Mistakes()
        for name, edits in document.edits.items():
            mistakes.attempt(lambda n=name, e=edits: self._edit_part(document, n, e), None)  # type: ignore[misc]
        mistakes.close()

    def _edit_part(self, document: SpecDocument, name: str, edits: Sequence[Edit]) -> None:
        span = cast("MappingTree", document.tree.get("edits")).entries[name].key_span
        own = document.graph if name == GRAPH else document.blocks.get(name)
        if own is not None and not (isinstance(own, BlockDecl) and own.adds_expect):
            fail(
                "E0202",
                f"`{name}` is of this file, and not inherited",
                span,
                help="change its steps where they stand",
            )
        if name == GRAPH:
            if self.graph is None:
                fail("E0202", "there is no inherited `graph` to edit", span, help="extends: TEMPLATE")
            self.graph, warnings = edited(self.graph, edits, "the graph")
            self.of_edits += warnings
            return
        block = self.blocks.get(name)
        if block is None:
            hint = did_you_mean(name, (GRAPH, *self.blocks), what="parts")
            fail("E0301", f"there is no block `{name}` to edit", span, help=hint)
        if block.network is not None:
            hint = "its steps are those of that spec; a copy of its own extends it"
            fail("E0202", f"block `{name}` is a network", span, help=hint)
        body, warnings = edited(block.body, edits, f"block `{name}`")
        self.blocks[name] = replace(block, body=body)
        self.of_edits += warnings

    def _add_profiles(self, document: SpecDocument) -> None:
        """Add a document's profiles in front of inherited ones, so that its first is the default. Raises
        E0315 for one that it drops and does not inherit."""
        inherited = dict(self.profiles)
        own: dict[str, ProfileDecl] = {}
        for name, profile in document.profiles.items():
            base = inherited.pop(name, None)
            if not profile.is_dropped:
                blocks = self.files.with_networks(profile.blocks, document)
                profile = profile if blocks is profile.blocks else replace(profile, blocks=blocks)
                own[name] = _merge_profiles(base, profile) if base else profile
            elif base is None:
                message = f"`{name}: null` drops an inherited profile, and there is none of that name"
                hint = did_you_mean(name, self.profiles)
                hint = hint if hint.startswith("did") else f"`{name}: {{}}` declares one"
                fail("E0315", message, profile.span, help=hint)
        self.profiles = own | inherited

    def _add_blocks(self, blocks: Mapping[str, BlockDecl]) -> None:
        for name, block in blocks.items():
            if block.adds_expect and name not in self.blocks:
                hint = did_you_mean(name, self.blocks, what="blocks")
                fail("E0202", f"block `{name}` has no `body`, here or inherited", block.span, help=hint)
            self.blocks[name] = (
                replace(self.blocks[name], expect=block.expect) if block.adds_expect else block
            )


def _merge_profiles(base: ProfileDecl, over: ProfileDecl) -> ProfileDecl:
    return ProfileDecl(
        over.name,
        over.span,
        base.values | over.values,
        merge_defaults(base.defaults, over.defaults),
        base.blocks | over.blocks,
        over.model or base.model,
        over.weights or (() if over.model else base.weights),
        over.labels or base.labels,
        base.preprocess | over.preprocess,
        base.train | over.train,
        base.constraints + over.constraints,
    )


def _check_keys(spec: Spec, chain: list[SpecDocument]) -> list[Diagnostic]:
    """Diagnostics for keys that name an argument, a profile or a block that does not exist."""
    found = Mistakes()

    def need(key: str, span: Span, known: Mapping[str, Any], code: str, what: str, where: str) -> None:
        if key not in known:
            hint = did_you_mean(key, known, what=f"{what}s")
            if what == "profile" and not spec.profiles:
                hint = f"profiles: {{{key}: {{}}}} declares it; without any there is `{NO_PROFILE}`"
            if where.startswith("profile") and key in ("args", "with", "set", "values", "params"):
                hint = "arguments stand in the profile itself: {ARG: value}"
            elif where.startswith("profile") and key == "input":
                hint = "an argument that `input` reads: args: {size: 224}, input: [3, =size, =size]"
            found.add(Diagnostic(code, f"{where} names no {what}: `{key}`", span, help=hint))

    for document in chain:
        for argument in document.values.values():
            need(argument.key, argument.key_span, spec.args, "E0306", "argument", "`with`")
        for profile in document.profiles.values():
            for argument in profile.values.values():
                need(
                    argument.key,
                    argument.key_span,
                    spec.args,
                    "E0306",
                    "argument",
                    f"profile `{profile.name}`",
                )
    blocks = spec.blocks | {k: b for p in spec.profiles.values() for k, b in p.blocks.items()}
    for document in chain:
        for target in _default_targets(document):
            if target.key not in blocks and target.key not in OP_WORDS:
                found.add(unknown_target(target.key, target.key_span, blocks, ()))
    profiles: Mapping[str, Any] = spec.profiles or {NO_PROFILE: None}
    if spec.expect and not any(e.key in profiles for e in spec.expect):
        cells = [e for e in spec.expect if e.key in CELLS or e.key == "source"]
        if cells:
            hint = f"expect: {{{next(iter(profiles))}: {{source: ..., {cells[0].key}: ...}}}}"
            message = f"`{cells[0].key}` belongs to a profile"
            return [*found.found, Diagnostic("E0501", message, cells[0].key_span, help=hint)]
    reaches = spec.document.train.get(REACHES)
    for entry in reaches.value if reaches and isinstance(reaches.value, MappingTree) else ():
        need(entry.key, entry.key_span, dict.fromkeys(spec.profile_names), "E0501", "profile", "`reaches`")
    for entry in spec.expect or ():
        need(entry.key, entry.key_span, profiles, "E0501", "profile", "`expect`")
    recommended = spec.header.recommended
    if recommended and recommended not in spec.profile_names and not _is_spec_name(recommended):
        span = spec.document.tree.entries["recommended"].value.span
        need(recommended, span, dict.fromkeys(spec.profile_names), "E0315", "profile", "`recommended`")
    return found.found


_DRAWN = "`archforge sample` draws from a spec of `kind: space`"


def _idle_ranges(chain: list[SpecDocument]) -> Iterator[Diagnostic]:
    """E0322: ranges and constraints in the documents of a chain that are no spaces."""
    for document in chain:
        if document.header.kind == "space":
            continue
        decls = (decl.default for decl in document.args.values())
        profiles = (a for profile in document.profiles.values() for a in profile.values.values())
        for argument in (*decls, *document.values.values(), *profiles):
            if argument is not None and argument.is_range:
                message = f"`{argument.key}` is a range, in a file of `kind: {document.header.kind}`"
                yield Diagnostic("E0322", message, argument.span, help=_DRAWN)
        for formula in document.every_constraint:
            message = f"a constraint in a file of `kind: {document.header.kind}`"
            yield Diagnostic("E0322", message, formula.span, help=_DRAWN)


def _default_targets(document: SpecDocument) -> Iterator[Entry]:
    """The ops and blocks that a document's `defaults` name, in its profiles too."""
    profiles = document.tree.get("profiles")
    trees = [e.value for e in profiles] if isinstance(profiles, MappingTree) else []
    for tree in (document.tree, *trees):
        defaults = tree.get("defaults") if isinstance(tree, MappingTree) else None
        if isinstance(defaults, MappingTree):
            yield from defaults


def _is_spec_name(name: str) -> bool:
    """True if `recommended` names another spec of the zoo, as `SPEC` or `SPEC/PROFILE`."""
    from archforge.resources import zoo_folder

    return is_file(zoo_folder() / f"{name.partition('/')[0]}.yaml")
