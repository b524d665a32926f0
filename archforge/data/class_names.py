"""Names of classes: those that come along, by the word for them in a profile's `labels` and in `--labels`,
and those of a file of weights, in a text of its header.

JSON is imported where it is used: checking a spec does without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

__all__ = ["CLASS_NAMES", "class_names", "class_texts", "classes_in"]

TEXT = "archforge.classes"  # of a header: names as JSON

# The file of each, a line for a class. ImageNet's 1,000 classes of ILSVRC 2012 in the order of their WordNet
# ids, which torchvision, timm and Keras have; the names are those of torchvision.models._meta, whose licence,
# BSD-3-Clause, lies beside them.
CLASS_NAMES = {"imagenet": "imagenet.txt"}


@cache
def class_names(word: str) -> tuple[str, ...]:
    """The names that a word of `CLASS_NAMES` stands for, in the order of the classes."""
    return tuple(Path(__file__).with_name(CLASS_NAMES[word]).read_text("utf-8").splitlines())


def class_texts(names: Iterable[str]) -> dict[str, str]:
    """The texts of a header that say what a network's classes are called; of no names, that nobody knows."""
    import json

    return {TEXT: json.dumps([*names])}


def classes_in(texts: Mapping[str, str]) -> tuple[str, ...] | None:
    """The names that texts of a header say; None where they say nothing. Raises ValueError if malformed."""
    if TEXT not in texts:
        return None
    import json

    names = json.loads(texts[TEXT])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"`{TEXT}` of its header is no list of names")
    return tuple(names)
