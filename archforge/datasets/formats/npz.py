"""NumPy's archives of arrays by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from archforge.data.npy import read_npz
from archforge.data.opened_files import opened
from archforge.data.stored_arrays import LazyArrays
from archforge.datasets.arrays import Layout, sampled
from archforge.datasets.base import Data, Format, Samples
from archforge.errors import did_you_mean, fail
from archforge.paths import is_file

__all__ = ["Npz"]

# The words of names, taken apart at `_`, in small letters.
INPUTS = frozenset(("x", "images", "image", "imgs", "data", "inputs", "input", "features"))
TARGETS = frozenset(("y", "labels", "label", "targets", "target", "masks", "mask"))
TRAIN = frozenset(("train", "training", "tr"))
TEST = frozenset(("test", "te"))
VALIDATION = frozenset(("val", "valid", "validation", "dev"))
POSITIONAL = {"arr_0": "x", "arr_1": "y"}  # as numpy.savez names what has no name


class Npz(Format):
    """Arrays by name in an .npz file: inputs called `x`, `images`, `data`, `inputs` or `features` and targets
    called `y`, `labels`, `targets` or `masks`, each with `train`, `test` or `val` before or behind, as in
    `x_train` and `test_labels`. Pictures are uint8 from 0 to 255 or floats as they are, [N, H, W],
    [N, C, H, W] or [N, H, W, C]. Targets are numbers of classes [N], masks of such numbers [N, H, W], rows
    with a single 1, or floats. Source: numpy.lib.format.

    Attributes:
    x: the name of the inputs; empty to find it.
    y: the name of the targets.
    held_back_x: the name of the inputs that are held back.
    held_back_y: the name of their targets.
    held_back: the split that is held back where there are both, `val` or `test`; the other is not used.
    layout: the place of the channels where it cannot be seen, as in [N, 3, H, 3]: `channels_first` or
      `channels_last`.
    """

    word = "npz"
    elsewhere = ("numpy", "npy")

    x: str = ""
    y: str = ""
    held_back_x: str = ""
    held_back_y: str = ""
    held_back: Literal["val", "test"] | None = None
    layout: Layout | None = None

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return path.suffix.lower() == ".npz" and is_file(path)

    def open(self, path: Path, shape: tuple[int, ...]) -> Data:
        with opened(path, "npz file of samples") as file:
            arrays = read_npz(file, path, "npz file of samples")
        return self.data(str(path), arrays)

    def data(self, path: str, arrays: LazyArrays) -> Data:
        """The samples of arrays by name. path: of their file, or words. Raises E0601."""
        pairs = self._found(path, arrays)
        train = self._given(path, arrays, ("x", "y")) or pairs.get("train") or pairs.get("")
        if train is None:
            help = "arrays called x_train, y_train, x_test and y_test; or the settings `x` and `y` of `npz`"
            fail("E0601", f"{path} holds {_names(arrays)}, no inputs with their targets", help=help)
        held_back = self._given(path, arrays, ("held_back_x", "held_back_y")) or self._split(path, pairs)
        return Data(self._samples(path, arrays, train), held_back and self._samples(path, arrays, held_back))

    def _samples(self, path: str, arrays: LazyArrays, pair: tuple[str, str]) -> Samples:
        x, y = (arrays[name] for name in pair)
        return sampled(path, x, y, names=pair, layout=self.layout)

    def _given(self, path: str, arrays: LazyArrays, settings: tuple[str, str]) -> tuple[str, str] | None:
        """The pair of arrays that two settings name; None where they do not."""
        names = (getattr(self, settings[0]), getattr(self, settings[1]))
        for setting, name in zip(settings, names, strict=True):
            if any(names) and name not in arrays:
                help = did_you_mean(name, arrays, what="it holds")
                fail("E0601", f"{path} has no array `{name}` for the setting `{setting}`", help=help)
        return names if any(names) else None

    def _split(self, path: str, pairs: Mapping[str, tuple[str, str]]) -> tuple[str, str] | None:
        if self.held_back:
            if self.held_back not in pairs:
                fail("E0601", f"{path} has no split `{self.held_back}`", help=f"it has: {', '.join(pairs)}")
            return pairs[self.held_back]
        if "val" in pairs and "test" in pairs:
            help = "--set 'train.data.format={npz: {held_back: test}}', or val"
            fail("E0601", f"{path} has the splits val and test: one of them is held back", help=help)
        return pairs.get("test") or pairs.get("val")

    @staticmethod
    def _found(path: str, arrays: LazyArrays) -> dict[str, tuple[str, str]]:
        """The names of inputs and targets by the split that they belong to: train, val, test or none."""
        found: dict[tuple[str, str], str] = {}
        for name in arrays:
            role, split = _role(name)
            if role and found.setdefault((split, role), name) != name:
                help = f"--set 'train.data.format={{npz: {{{role}: {name}}}}}'"
                fail("E0601", f"{path} has two arrays for {role}: {found[split, role]} and {name}", help=help)
        splits = dict.fromkeys(split for split, _ in found)
        for split, role in found:
            other = "y" if role == "x" else "x"
            if (split, other) not in found:
                help = "both, or the settings `x` and `y` of `npz`"
                message = (
                    f"{path} has `{found[split, role]}` without {'targets' if role == 'x' else 'inputs'}"
                )
                fail("E0601", message, help=help)
        return {split: (found[split, "x"], found[split, "y"]) for split in splits}


def _role(name: str) -> tuple[str, str]:
    """The role of an array by its name, `x`, `y` or none, and its split, `train`, `val`, `test` or none."""
    words = re.split(r"[_\-. ]", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", POSITIONAL.get(name, name)).lower())
    role = "x" if any(w in INPUTS for w in words) else ""
    role = "y" if any(w in TARGETS for w in words) else role
    for split, known in (("train", TRAIN), ("val", VALIDATION), ("test", TEST)):
        if any(word in known for word in words):
            return role, split
    return role, ""


def _names(arrays: LazyArrays) -> str:
    return ", ".join(f"`{name}`" for name in arrays) or "nothing"
