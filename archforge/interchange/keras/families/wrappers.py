"""Layers that hold another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from archforge.interchange.flows import Flow
from archforge.interchange.keras.description import described_layer
from archforge.interchange.keras.families import elementwise, norms
from archforge.interchange.keras.use import KerasUse, Translate
from archforge.interchange.unsupported import Unsupported

__all__ = ["READ"]

# Layers that see each step of a sequence by itself anyhow.
_BY_STEP = {"Dense": norms.READ["Dense"]} | {
    kind: elementwise.READ[kind] for kind in ("Activation", "Dropout", "ELU", "LeakyReLU", "ReLU")
}


def _time_distributed(use: KerasUse) -> Flow:
    inner = described_layer(use.settings["layer"])
    if inner.kind not in _BY_STEP:
        raise Unsupported(f"of `{inner.kind}`, for which each step would be an image")
    return _BY_STEP[inner.kind](replace(use, kind=inner.kind, settings=inner.settings))


READ: Mapping[str, Translate] = {"TimeDistributed": _time_distributed}
