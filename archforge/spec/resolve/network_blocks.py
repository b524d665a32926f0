"""Blocks that are networks of other specs: the files that they name, and what a call of one can give."""

from __future__ import annotations

from dataclasses import fields, replace

from archforge.errors import Diagnostic, DiagnosticError, Note, fail
from archforge.spec.resolve.spec import NetworkBlock, Spec
from archforge.spec.syntax.syntax_tree import ArgDecl, BlockDecl, NetworkUse, ProfileDecl

__all__ = ["network_block", "refuse_part"]


def network_block(block: BlockDecl, use: NetworkUse, spec: Spec) -> NetworkBlock:
    """The block that is the network of `spec`. Raises E0315 for a profile that it lacks, E0319 for what is no
    network."""
    if spec.graph is None or spec.header.kind != "network":
        raise DiagnosticError((replace(refuse_part(spec), span=use.spec.span, notes=()),))
    version = _version(use, spec)
    given = spec.values | version.values
    args = {name: decl._replace(default=given.get(name) or decl.default) for name, decl in spec.args.items()}
    inputs = spec.input if isinstance(spec.input, dict) else {}
    args |= {name: ArgDecl(name, value.span, "tensor", None) for name, value in inputs.items()}
    own = {f.name: getattr(block, f.name) for f in fields(BlockDecl)}
    return NetworkBlock(**(own | {"args": args}), spec=spec, version=version)


def _version(use: NetworkUse, spec: Spec) -> ProfileDecl:
    if use.profile is None:
        return spec.profile(None)
    try:
        return spec.profile(use.profile.value)
    except DiagnosticError as error:
        found = error.diagnostics[0]
        notes = (
            (Note("the network is", use.spec.span),)
            if found.span is None
            else (Note("it stands", found.span),)
        )
        fail(found.code, found.message, use.profile.span, help=found.help, notes=notes)


def refuse_part(spec: Spec) -> Diagnostic:
    """The diagnostic for a spec that is no network by itself."""
    what, hint = {
        "template": ("is a template", "name a network that extends it"),
        "blocks": ("holds blocks", "name a network that imports it"),
        "space": ("is a space", f"archforge sample {spec.name} -n 10 -o FOLDER draws networks of it"),
        "network": ("has no `graph`", "add `graph:`, or `extends:` a template"),
    }[spec.header.kind]
    message = f"{spec.name} {what}: it cannot be built by itself"
    return Diagnostic("E0319", message, spec.document.span_of("kind"), help=hint)
