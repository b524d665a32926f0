"""docs/export.md: networks of the zoo as drawings, which the page shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from archforge.driver import analyse
from archforge.export import Subject
from archforge.export.mermaid import mermaid_text
from archforge.export.target import DrawingOptions
from tests.zoo import networks

__all__ = ["DRAWING_PARTS"]


def _flowchart(name: str, profile: str, options: DrawingOptions) -> str:
    """A network as a block of Mermaid."""
    network = analyse(networks()[name], profile)
    return f"```mermaid\n{mermaid_text(Subject(network, (network,), drawing=options))}```"


DRAWING_PARTS: Mapping[str, Callable[[], str]] = {
    "resnet_18_drawing": partial(_flowchart, "resnet_18", "torchvision", DrawingOptions(counts=True)),
    "unet_drawing": partial(_flowchart, "unet", "listing", DrawingOptions()),
}
