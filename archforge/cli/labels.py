"""The names of a network's classes, and the probabilities that their values stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from archforge.analysis.network import Network
from archforge.cli.output import counted
from archforge.data.arrays import read_texts
from archforge.data.class_names import CLASS_NAMES, class_names, classes_in
from archforge.errors import closest, fail
from archforge.ir import TensorType
from archforge.ops.base import Array
from archforge.paths import is_there

__all__ = ["NO_LABELS", "Labels", "labels_for", "read_labels"]

NONE = "none"  # no names, whatever the profile says


class Labels(NamedTuple):
    """Names of classes, `words` that say whose, and a function from the outputs of a batch to probabilities.
    None of them, if there are no names."""

    names: tuple[str, ...] = ()
    words: str = ""
    probabilities: Callable[[Array], Array] = lambda x: x


NO_LABELS = Labels()


def labels_for(network: Network, option: str | None, weights: str | None) -> Labels:
    """The names that the option `--labels` says; else those in the file of `weights`, and where that says
    nothing those of the profile. Fresh weights, None, know no classes. Raises E0601 for names that are not as
    many as the classes."""
    output, value = next(iter(network.graph.outputs.items()))
    made = network.graph.types[value]
    if option == NONE:
        return NO_LABELS
    if option is not None:
        names, whose = _named(option, made), f"labels {option}"
    elif weights is None:
        return NO_LABELS
    else:
        learned = _learned(weights)
        names = network.labels if learned is None else learned
        whose = f"labels of {weights if learned else f'profile {network.profile}'}"
        if made.shape != (len(names),):
            return NO_LABELS
    from archforge.recipe.loss_input import class_probabilities
    from archforge.recipe.losses.cross_entropy import CrossEntropy

    recipe = network.recipe.recipe if network.recipe else None
    loss = (recipe.losses.get(output, recipe.loss) if recipe else None) or CrossEntropy()
    return Labels(names, whose, class_probabilities(network.graph, output, loss))


def _learned(weights: str) -> tuple[str, ...] | None:
    """The names that a file of weights says, none where it says that there are none, and None where it says
    nothing. Raises E0601."""
    try:
        return classes_in(read_texts(weights))
    except (ValueError, RecursionError) as error:
        fail("E0601", f"cannot read {weights}: {error}")


def _named(option: str, output: TensorType) -> tuple[str, ...]:
    """The names of a word or in a file, as many as an output has values. Raises E0601."""
    if option in CLASS_NAMES:
        names = class_names(option)
    elif (near := closest(option, CLASS_NAMES)) and not is_there(option):
        fail("E0601", f"there is no file of labels {option}", help=f"did you mean `{near}`?")
    else:
        names = read_labels(option)
    if output.shape == (len(names),):
        return names
    what = f"{option} has {counted(len(names), 'name')}"
    help = "the name of each class on a line, in their order"
    fail("E0601", f"{what}, the network's output is {output}", help=help)


def read_labels(path: str) -> tuple[str, ...]:
    """The name of each class, one on a line of UTF-8, with a byte order mark or without.

    Empty lines at the end do not count. Raises E0601.
    """
    from archforge.data.opened_files import refuse_other_kinds

    refuse_other_kinds(Path(path), "file of labels")
    try:
        text = Path(path).read_text("utf-8-sig")
        if "\0" in text:  # of UTF-16
            raise ValueError
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        fail("E0601", f"cannot read {path}: {reason.lower()}")
    # `splitlines` would also part a name at characters such as U+2028.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip().split("\n")
    return tuple(line.strip() for line in lines)
