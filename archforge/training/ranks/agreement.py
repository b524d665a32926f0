"""Facts that ranks must have alike, the place that they begin at, and their measures together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from archforge.datasets.base import AnyArray
from archforge.errors import fail
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.training.checkpoint import Place
from archforge.training.measures import Measures
from archforge.training.ranks.group import RankGroup

__all__ = ["arrays_digest", "measured_by_all", "place_of_first", "require_alike"]

DIGEST_BYTES = 6  # what a float64 holds as a whole number


def require_alike(group: RankGroup, facts: Mapping[str, Any]) -> None:
    """Raises E0907 on every rank unless all have equal facts, plain values by the same names on each."""
    rows = group.rows([_number(fact) for fact in facts.values()])
    for rank, row in enumerate(rows):
        odd = [name for name, own, first in zip(facts, row, rows[0], strict=True) if own != first]
        if odd:
            help = "the same spec, options, data and versions for every rank"
            fail("E0907", f"rank {rank} has other {', '.join(odd)} than rank 0", help=help)


def _number(fact: Any) -> int:
    text = json.dumps(fact, sort_keys=True, default=str)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:DIGEST_BYTES])


def arrays_digest(arrays: Mapping[str, Array]) -> str:
    """A hash of the bits of arrays, by name."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        found.update(arrays[name].tobytes())
    return found.hexdigest()


def place_of_first(group: RankGroup, place: Place) -> Place:
    """The place that rank 0 gives."""
    return Place(**json.loads(group.text_from_first(json.dumps(asdict(place)))))


def measured_by_all(
    group: RankGroup, measures: Measures, trained: Measures, *, ending: bool
) -> tuple[Measures, bool]:
    """The measures of all ranks, some of which are this one's, and True if a rank is `ending`. Those of
    training, of which the sums are everyone's already, get the pairs of classes of all."""
    sums = measures.sums()
    *totals, endings = group.rows([*sums.values(), ending]).sum(0).tolist()
    found = Measures.of(dict(zip(sums, totals, strict=True)))
    found.are_masks, found.confusion = _pairs_of_all(group, measures)
    trained.are_masks, trained.confusion = _pairs_of_all(group, trained)
    return found, endings > 0


def _pairs_of_all(group: RankGroup, part: Measures) -> tuple[bool, AnyArray | None]:
    """True if targets are masks, and the pairs of classes of all ranks; one without samples has neither."""
    own = part.confusion
    are_masks, classes = map(int, group.rows([part.are_masks, 0 if own is None else len(own)]).max(0))
    if not classes:
        return part.are_masks, None
    pairs = np.zeros(classes * classes) if own is None else own.astype(np.float64).reshape(-1)
    return bool(are_masks), group.sum(pairs).astype(np.int64).reshape(classes, classes)
