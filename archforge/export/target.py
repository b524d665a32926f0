"""What an export target is: a file name, and a pure function from a network to its text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from archforge.analysis.network import Network

__all__ = ["Subject", "Target"]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is exported: one profile of a spec, and all its checked profiles to print beside it."""

    network: Network
    profiles: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """One file of a build. `render` is a pure function: the same spec gives the same text.

    It raises `DiagnosticError`, with all of E0704 at once, for ops that the target lacks.
    """

    file: str
    says: str  # what the file is, in words for the model card
    render: Callable[[Subject], str]
