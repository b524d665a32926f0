"""docs/export.md: what the page shows of networks that are exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from archforge.driver import analyse
from archforge.export import Subject
from archforge.export.keras import keras_text
from archforge.export.mermaid import mermaid_text
from archforge.export.target import DrawingOptions
from tests.zoo import networks

__all__ = ["EXPORT_PARTS"]


def _flowchart(name: str, profile: str, options: DrawingOptions) -> str:
    """A network as a block of Mermaid."""
    network = analyse(networks()[name], profile)
    return f"```mermaid\n{mermaid_text(Subject(network, (network,), drawing=options))}```"


def _network_in_keras(name: str, profile: str) -> str:
    """The part of a module that is the network, without its layers."""
    network = analyse(networks()[name], profile)
    text = keras_text(Subject(network, (network,)))
    return f"```python\n{text.split('# The network')[1].split('# Layers')[0].strip()}\n```"


EXPORT_PARTS: Mapping[str, Callable[[], str]] = {
    "resnet_18_drawing": partial(_flowchart, "resnet_18", "torchvision", DrawingOptions(counts=True)),
    "resnet_18_keras": partial(_network_in_keras, "resnet_18", "torchvision"),
    "unet_drawing": partial(_flowchart, "unet", "listing", DrawingOptions()),
}
