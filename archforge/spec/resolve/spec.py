"""Spec: a document merged with all that it extends and imports."""

from __future__ import annotations

from dataclasses import dataclass

from archforge.errors import Diagnostic, did_you_mean, fail
from archforge.python_values import text_or_none
from archforge.spec.formulas.formula import Formula
from archforge.spec.syntax.syntax_tree import (
    ArgDecl,
    Argument,
    BlockDecl,
    Body,
    Defaults,
    Header,
    OutputDecl,
    ProfileDecl,
    RuleDecl,
    SpecDocument,
    Value,
)
from archforge.spec.yaml.tree import Entry
from archforge.spec.yaml.tree import Mapping as MappingTree

__all__ = ["NO_PROFILE", "NetworkBlock", "Spec"]

NO_PROFILE = "default"


@dataclass(frozen=True, slots=True, eq=False)
class Spec:
    """A document merged with its templates and imports, or one `block` of it by itself. `document` is the
    spec's own file. `train` has the keys of the recipe, as they are written. `warnings` are of what shows
    without running it, also those that are meant."""

    name: str
    document: SpecDocument
    header: Header
    input: dict[str, Value] | Value | None
    args: dict[str, ArgDecl]
    values: dict[str, Argument]
    constraints: tuple[Formula, ...]
    defaults: Defaults
    profiles: dict[str, ProfileDecl]
    blocks: dict[str, BlockDecl]
    graph: Body | None
    outputs: dict[str, OutputDecl]
    rules: dict[str, RuleDecl]
    expect: MappingTree | None
    train: dict[str, Entry]
    block: str = ""
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def profile_names(self) -> list[str]:
        """The keys of `expect`; without it all that are declared. The first is the default."""
        if self.expect is not None:
            return list(self.expect.entries)
        return list(self.profiles) or [NO_PROFILE]

    def profile(self, name: str | None) -> ProfileDecl:
        """The profile of that name or model id; `recommended` and None are understood. Raises E0315, and
        E0001 for what is no name."""
        name = text_or_none("profile", name)
        known = self.profile_names
        if name == "recommended":
            name = self.header.recommended
        if name is None:
            name = known[0]
        for key in known:
            decl = self.profiles.get(key)
            if name == key or (decl and decl.model == name):
                return decl or ProfileDecl(key, self.document.span_of("profiles"), {}, {}, {})
        if name == self.header.recommended:
            help = f"archforge build {name.replace('/', ' --profile ')}"
            fail("E0315", f"{self.name} recommends another spec, `{name}`", help=help)
        if name in self.profiles:
            fail(
                "E0315",
                f"profile `{name}` of {self.name} has no figures in `expect`, whose keys are its profiles",
                self.profiles[name].span,
                help=f"add `{name}:` to `expect`; profiles: {', '.join(known)}",
            )
        fail(
            "E0315",
            f"{self.name} has no profile `{name}`",
            help=did_you_mean(name, known, what="profiles"),
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class NetworkBlock(BlockDecl):
    """A block that is a network: of that spec, in that profile. Its arguments are those of the spec, and its
    inputs where it has several."""

    spec: Spec
    version: ProfileDecl

    @property
    def output_names(self) -> tuple[str, ...]:
        """The taps; of a whole network the outputs that it names."""
        return tuple((self.network and self.network.taps) or self.spec.outputs)
