"""The sums of an update over ranks: gradients in a few flat buffers, sent while the way back goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import accumulate

from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.training.measures import Measures
from archforge.training.ranks.group import RankGroup
from archforge.training.sums import Summed

__all__ = ["Exchange"]

MOST_PIECES = 4
LEAST_BYTES = 1 << 20  # of a piece: smaller ones cost their latency


class Exchange:
    """The `Sums` of ranks. gradients: arrays such as those of an update, by full names, in the order in which
    they are complete. buffers: those of the network."""

    def __init__(
        self, group: RankGroup, gradients: Mapping[str, Array], buffers: Mapping[str, Array]
    ) -> None:
        self._group, self._order = group, [*gradients]
        *first, last = _cut(gradients)
        self._pieces = [*map(_FlatBuffer, first), _FlatBuffer({**last, **buffers})]
        # When the last gradient of a piece is complete all of it is; the last piece waits for the buffers.
        self._sent_behind = {[*piece][-1]: flat for piece, flat in zip(first, self._pieces, strict=False)}
        self._views = {name: view for piece in self._pieces for name, view in piece.views.items()}

    def begin(self, batches: int, ending: Callable[[], bool]) -> None:
        self._left, self._ending = batches, ending
        self._begun: set[str] = set()
        self._sums: list[Callable[[], Array]] = []

    def measured(self, part: Measures) -> None:
        if self._left == 1:
            figures = np.array([self._ending(), *part.sums().values()], np.float64)
            self._figures = self._group.begin_sum(figures)

    def complete(self, name: str, gradient: Array) -> None:
        """Add a gradient, and send the piece that it completes."""
        view = self._views[name]
        if name in self._begun:
            view += gradient
        else:
            view[...] = gradient
            self._begun.add(name)
        if self._left == 1 and name in self._sent_behind:
            self._sums.append(self._group.begin_sum(self._sent_behind[name].array))

    def add(self, gradients: Mapping[str, Array]) -> None:
        self._left -= 1  # `complete` has added them

    def finish(self, part: Measures, buffers: Mapping[str, Array], share: float) -> Summed:
        for name, array in buffers.items():
            np.multiply(array, share, out=self._views[name])
        self._sums.append(self._group.begin_sum(self._pieces[-1].array))
        ending, *figures = self._figures().tolist()
        found: dict[str, Array] = {}
        for piece, summed in zip(self._pieces, self._sums, strict=True):
            found |= piece.cut(summed())
        for name, array in buffers.items():
            array[...] = found[name]
        sums = dict(zip(part.sums(), figures, strict=True))
        return Summed({name: found[name] for name in self._order}, sums, ending > 0)


class _FlatBuffer:
    """An array for the elements of several, of which `views` are views by name."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._shapes = {name: array.shape for name, array in arrays.items()}
        sizes = [array.size for array in arrays.values()]
        self._ends = [*accumulate(sizes)]
        self.array: Array = np.zeros(sum(sizes), next((a.dtype for a in arrays.values()), np.float32))
        self.views = self.cut(self.array)

    def cut(self, flat: Array) -> dict[str, Array]:
        """Views by name of an array like this one's."""
        parts = np.split(flat, self._ends[:-1])
        shapes = self._shapes.items()
        return {name: part.reshape(shape) for (name, shape), part in zip(shapes, parts, strict=False)}


def _cut(arrays: Mapping[str, Array]) -> list[dict[str, Array]]:
    """The arrays, in order, in up to `MOST_PIECES` pieces of about equal size."""
    least = max(LEAST_BYTES, sum(array.nbytes for array in arrays.values()) / MOST_PIECES)
    pieces: list[dict[str, Array]] = [{}]
    for name, array in arrays.items():
        if sum(a.nbytes for a in pieces[-1].values()) >= least:
            pieces.append({})
        pieces[-1][name] = array
    return pieces
