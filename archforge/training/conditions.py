"""The conditions that decide the bits of a run's results, as its checkpoints record them."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from archforge.errors import Diagnostic, TrainingWarning
from archforge.hardware import cpu_name, threads
from archforge.recipe.digests import graph_digest
from archforge.recipe.recipe import TrainingRecipe
from archforge.resources import own_version
from archforge.training.setup import Setup

__all__ = ["OF_MACHINE", "conditions_of", "warn_of_differences"]

VARIABLES = ("OPENBLAS_", "OMP_", "MKL_")  # beginnings of the names of those that change what BLAS computes

# Keys of a recipe that change no bit.
WITHOUT_EFFECT = ("recompute",)

# Conditions that checkpoints have not always had, as they were before.
BEFORE = {"ranks": 1}

# Conditions that may differ between the machines of one run.
OF_MACHINE = ("cpu", "threads", "variables")


def conditions_of(setup: Setup) -> dict[str, Any]:
    """Facts that the results of a run depend on, by name, as plain values."""
    held_back, backend = setup.held_back, setup.backend
    return {
        "network": f"{setup.network.name}, profile {setup.network.profile}",
        "graph": graph_digest(setup.network.graph),
        "data": setup.batches.samples.digest,
        "held_back": held_back.samples.digest if held_back else "",
        "recipe": _effective(setup.recipe.to_json()),
        "dtype": setup.dtype,
        "ranks": setup.ranks.size if setup.ranks else 1,
        "backend": backend.name,
        "versions": {
            "archforge": own_version(),
            backend.name: backend.facts()["version"],
        },
        "cpu": cpu_name(),
        "threads": threads().number,
        "variables": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(VARIABLES)},
    }


def warn_of_differences(then: Mapping[str, Any], now: Mapping[str, Any], recipe: TrainingRecipe) -> None:
    """Give a `TrainingWarning` for each condition that is another than when the checkpoint was kept, perhaps
    by a version that had fewer of them. recipe: that of `now`."""
    then = {**BEFORE, **then, "recipe": _effective(recipe.completed(then["recipe"]))}
    for words in _differences(then, now):
        help = "the results will not be those of the run that was not interrupted"
        warning = TrainingWarning(Diagnostic("W0901", f"since the checkpoint, {words}", help=help))
        warnings.warn(warning, stacklevel=4)


def _effective(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a stored recipe that change bits."""
    return {name: value for name, value in recipe.items() if name not in WITHOUT_EFFECT}


def _differences(then: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The conditions that have changed, each in words."""
    for name in sorted(then.keys() | now.keys()):
        before, after = then.get(name), now.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _differences(before, after, f"{prefix}{name}.")
        elif before != after:
            yield f"{prefix}{name} was {json.dumps(before)} and is {json.dumps(after)}"
