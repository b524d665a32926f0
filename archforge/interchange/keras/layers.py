"""The table of Keras's layers and ours, put together from the files of `families`."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.interchange.keras.families import (
    elementwise,
    merges,
    moves,
    norms,
    recurrent,
    windows,
    wrappers,
)
from archforge.interchange.keras.families.elementwise import ACTIVATIONS
from archforge.interchange.keras.use import Translate

__all__ = ["ACTIVATIONS", "KERAS_LAYERS", "REFUSED"]

_FAMILIES = (elementwise, merges, moves, norms, recurrent, windows, wrappers)

# Layers that specs have no op for, and why.
REFUSED: Mapping[str, str] = {"Bidirectional": "time that runs backwards"}

# By the name of Keras's class, its functions behind `ops.`: how a call of it becomes nodes of ours.
KERAS_LAYERS: Mapping[str, Translate] = dict(
    sorted(row for family in _FAMILIES for row in family.READ.items())
)
