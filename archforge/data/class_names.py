"""Names of classes that come along, by the word for them in a profile's `labels` and in `--labels`."""

from __future__ import annotations

from pathlib import Path

__all__ = ["CLASS_NAMES", "class_names"]

# The file of each, a line for a class. ImageNet's 1,000 classes of ILSVRC 2012 in the order of their WordNet
# ids, which torchvision, timm and Keras have; the names are those of torchvision.models._meta, whose licence,
# BSD-3-Clause, lies beside them.
CLASS_NAMES = {"imagenet": "imagenet.txt"}


def class_names(word: str) -> tuple[str, ...]:
    """The names that a word of `CLASS_NAMES` stands for, in the order of the classes."""
    return tuple(Path(__file__).with_name(CLASS_NAMES[word]).read_text("utf-8").splitlines())
