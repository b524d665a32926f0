"""Text as sequences of characters."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

from archforge.data.opened_files import opened
from archforge.datasets.base import AnyArray, Data, Format, Pair, Stored, Targets
from archforge.errors import fail
from archforge.ir import by_x
from archforge.ops.base import Rate
from archforge.ops.lazy_numpy import np
from archforge.paths import is_file

__all__ = ["Text"]


class Text(Format):
    """A text file in UTF-8 as windows of characters, one at each place, each character a row with a single 1;
    the target of each is the next character. The network's input says how long a window is, and how many
    different characters there are. Source: miniDLF, whose windows are drawn at random for testing: there
    `held_back` is 0, and the recipe's `validation` is 0.2; such windows overlap those that are trained on.

    Attributes:
    alphabet: the characters, in the order of their numbers; empty for those of the text, sorted.
    held_back: the share at the end of the text that is held back.
    """

    word = "text"
    elsewhere = ("txt", "characters")

    alphabet: str = ""
    held_back: Rate = 0.2

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return path.suffix.lower() == ".txt" and is_file(path)

    def open(self, path: Path, shape: tuple[int, ...]) -> Data:
        if len(shape) != 2:
            help = "an input of two axes, characters of a window and different ones: [60, 43]"
            fail("E0607", f"{path} is text, and the network takes {by_x(shape)}", help=help)
        window, size = shape
        text = _read(path)
        alphabet = self.alphabet or "".join(sorted(set(text)))
        if len(set(alphabet)) < len(alphabet):
            twice = next(c for c in alphabet if alphabet.count(c) > 1)
            fail("E0609", f"`alphabet` has {twice!r} twice")
        if len(alphabet) != size:
            message = f"{path} has {len(alphabet)} different characters, the network takes {size}"
            fail("E0607", message, help=f"an input of {window}x{len(alphabet)}")
        codes = _codes(path, text, alphabet)
        end = len(codes) - round(len(codes) * self.held_back)
        train = TextWindows(path, codes[:end], window, alphabet)
        held_back = TextWindows(path, codes[end:], window, alphabet) if self.held_back else None
        for part, said in ((train, "to train on"), (held_back, "held back")):
            if part is not None and len(part) < 1:
                have = f"{path} has {len(part.codes):,} characters {said}"
                message = f"{have}, fewer than a window of {window} and one"
                fail("E0601", message, help="a longer text, or another share `held_back`")
        return Data(train, held_back)


class TextWindows:
    """Windows of a text, one at each place. codes: the numbers of its characters."""

    stored: Stored = "values"
    targets: Targets = "classes"
    labels = None

    def __init__(self, path: Path, codes: AnyArray, window: int, alphabet: str) -> None:
        self.name = str(path)
        self.codes, self.classes = codes, tuple(alphabet)
        self.shape = (window, len(alphabet))
        self.target_shape = (window,)

    @cached_property
    def digest(self) -> str:
        hash = hashlib.sha256("".join(self.classes).encode("utf-8", "surrogatepass"))
        hash.update(np.ascontiguousarray(self.codes).data)
        return hash.hexdigest()

    def __len__(self) -> int:
        return max(len(self.codes) - self.shape[0], 0)

    def take(self, indices: AnyArray) -> Pair:
        places = indices[:, None] + np.arange(self.shape[0] + 1)
        codes = self.codes[places]
        return Pair(np.eye(self.shape[1], dtype=np.float32)[codes[:, :-1]], codes[:, 1:])

    def examine(self) -> None:
        """Nothing: the text is read."""


def _read(path: Path) -> str:
    with opened(path, "text") as file:
        content = file.read()
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        message = f"{path} is no text in UTF-8: byte {error.start:,} is {content[error.start]:02x}"
        fail("E0601", message, help="save it as UTF-8")


def _codes(path: Path, text: str, alphabet: str) -> AnyArray:
    """The numbers of the characters of a text, int64[len(text)]."""
    points, known = (
        np.frombuffer(t.encode("utf-32-le", "surrogatepass"), np.uint32) for t in (text, alphabet)
    )
    order = np.argsort(known)
    places = np.minimum(np.searchsorted(known[order], points), len(known) - 1)
    codes: AnyArray = order[places]
    unknown = np.flatnonzero(known[codes] != points)
    if unknown.size:
        fail("E0609", f"{path} has {text[unknown[0]]!r}, which is not in `alphabet`")
    return codes
