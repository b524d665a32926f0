"""docs/source.md: a network of the zoo as source, which the page shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from archforge.driver import analyse
from archforge.export import Subject, all_targets
from tests.zoo import networks

__all__ = ["SOURCE_PARTS"]


def _source(target: str) -> str:
    """ResNet-18 as a block of Python."""
    network = analyse(networks()["resnet_18"], "torchvision")
    text = all_targets()[target].content(Subject(network, (network,))).decode()
    return f"<!-- fmt: off -->\n\n```python\n{text}```\n\n<!-- fmt: on -->"  # formatted for lines of its own


def _classes(target: str) -> str:
    """The classes of ResNet-18 alone, without docstring, imports and what the library lacks."""
    _, *classes = _source(target).split("\n\n\nclass ")
    network = [text.partition("\n\n\n")[0].removesuffix("```\n\n<!-- fmt: on -->") for text in classes]
    told = "\n\n\nclass ".join(network)
    return f"<!-- fmt: off -->\n\n```python\nclass {told.rstrip()}\n```\n\n<!-- fmt: on -->"


SOURCE_PARTS: Mapping[str, Callable[[], str]] = {
    "resnet_18_torch": partial(_source, "torch"),
    "resnet_18_mlx": partial(_classes, "mlx"),
}
