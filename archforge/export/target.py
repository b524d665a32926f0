"""The contract of export targets: a name, a file, and a pure function from a network to its content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from archforge.analysis.network import Network
from archforge.errors import Diagnostic, InternalError
from archforge.ops.base import Array

__all__ = ["BuildFiles", "DrawingOptions", "ExportContent", "Level", "Refusal", "Subject", "Target"]


class Level(StrEnum):
    """The parts of a network that are boxes of a drawing."""

    BLOCK = "block"  # a call of a block, or several in a row; layers outside of blocks
    LAYER = "layer"


class DrawingOptions(NamedTuple):
    """Choices for a drawing; counts: each box says its parameters and MACs."""

    level: Level = Level.BLOCK
    counts: bool = False


@dataclass(frozen=True, eq=False)
class Subject:
    """One profile of a spec, and what export targets share; what is costly is computed once, on demand.

    profiles: every profile of the spec, checked, the chosen one among them. given: an array for each of the
    network's parameters, by name; without, they are fresh from `seed`. files: the files of a build, each with
    what it is. data_file: what a second file for the weights is to be called, where there can be one; splits:
    the weights are to lie there, however few they are. drawing: for a target that draws.
    """

    network: Network
    profiles: tuple[Network, ...]
    given: Mapping[str, Array] | None = None
    seed: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    data_file: str = ""
    splits: bool = False
    drawing: DrawingOptions = field(default_factory=DrawingOptions)

    @cached_property
    def weights(self) -> Mapping[str, Array]:
        """An array for each parameter and buffer, by its full name, in the order of `network.params`."""
        from archforge.weights.init import fresh_weights

        return fresh_weights(self.network.params, self.seed) if self.given is None else self.given


class ExportContent(NamedTuple):
    """The bytes of a file, and those of `Subject.data_file` beside it, if it names that one."""

    file: bytes
    data: Iterable[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of file that a network can be exported as: `archforge export SPEC --to NAME`.

    `render` is a pure function: the same spec and weights give the same text or bytes. It raises
    `DiagnosticError`, with all of E0704 at once, for ops that the target lacks.
    """

    name: str
    file: str  # what the file is called unless the user says otherwise
    says: str  # what the file is, in words for the help and the model card
    render: Callable[[Subject], str | bytes | ExportContent]
    is_binary: bool = False  # `render` gives bytes or `ExportContent`, not text
    needs_weights: bool = False  # `render` reads `Subject.weights`
    can_split: bool = False  # `render` heeds `Subject.splits`
    draws: bool = False  # `render` heeds `Subject.drawing`
    by_default: bool = False  # `archforge build` writes the file

    def __post_init__(self) -> None:
        if self.by_default and self.needs_weights:
            raise InternalError(f"target {self.name}: a build has no weights to write")

    def content(self, subject: Subject) -> bytes:
        """The bytes of the file; text is UTF-8. Raises what `render` raises."""
        return self.whole(subject).file

    def whole(self, subject: Subject) -> ExportContent:
        """All that is to be written. Raises what `render` raises."""
        content = self.render(subject)
        if isinstance(content, str) is self.is_binary:
            raise InternalError(f"target {self.name} says is_binary={self.is_binary} and gives the other")
        if isinstance(content, ExportContent):
            return content
        return ExportContent(content.encode() if isinstance(content, str) else content)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A target that cannot express a network, with the reasons."""

    target: Target
    diagnostics: tuple[Diagnostic, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "target": self.target.name,
            "file": self.target.file,
            "diagnostics": [d.to_json() for d in self.diagnostics],
        }


@dataclass(frozen=True, slots=True)
class BuildFiles:
    """The content of each file of a build, by its name, and the targets that refuse the network."""

    files: Mapping[str, bytes]
    refused: tuple[Refusal, ...]
