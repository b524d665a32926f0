"""Checkpoints: all that a run needs to go on, in one safetensors file.

The arrays of the network are in it under `weights.NAME`, those of the optimizer and the moving averages under
`state.NAME`. A text of its header holds the place in the run, what was measured so far, and the conditions
that decide the bits of its results. Nothing in it depends on the clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from archforge.atomic_files import written_beside
from archforge.data.opened_files import opened
from archforge.data.safetensors import read_metadata, read_safetensors, write_safetensors
from archforge.errors import fail
from archforge.json_text import unique
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["Checkpoint", "Place", "previous", "read_checkpoint", "write_checkpoint"]

TEXT = "archforge.checkpoint"
FORMAT = 1
_WHAT = "checkpoint"


@dataclass(slots=True)
class Place:
    """A place in a run, and what was measured up to it.

    updates: number of updates made. epoch: number of epochs that have ended. batch: number of batches of the
    epoch under way that have been used. sums: what is summed over the epoch under way, by name. history: the
    figures of each epoch that has ended, by name. best: the number of the epoch that was the best so far; 0
    for none.
    """

    updates: int = 0
    epoch: int = 0
    batch: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    best: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A run at one place. conditions: what its results depend on, by name."""

    place: Place
    conditions: Mapping[str, Any]
    weights: Mapping[str, Array]
    state: Mapping[str, Array]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the one that `path` held is kept beside it under `previous`'s name. Raises E0705,
    and then both are as they were."""
    arrays = {f"weights.{name}": array for name, array in checkpoint.weights.items()}
    arrays |= {f"state.{name}": array for name, array in checkpoint.state.items()}
    header = {
        "format": FORMAT,
        "place": asdict(checkpoint.place),
        "conditions": dict(checkpoint.conditions),
    }
    with written_beside(path) as file:
        write_safetensors(file, arrays, {TEXT: json.dumps(header, sort_keys=True)})
        file.flush()
        keep(path)


def previous(path: Path) -> Path:
    """The file of the checkpoint before the one in `path`."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def keep(path: Path) -> None:
    """Give the file at `path`, if there is one, the name of `previous` as well, in place of what had it."""
    if path.exists():
        beside = previous(path)
        beside.unlink(missing_ok=True)
        try:
            beside.hardlink_to(path)
        except OSError:  # where the file system has no links
            beside.write_bytes(path.read_bytes())


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file. Raises E0601 for a file that is none, or that is damaged."""
    with opened(path, _WHAT) as file:
        text = read_metadata(file).get(TEXT)
        if text is None:
            fail(
                "E0601",
                f"{path} is no checkpoint: it holds weights alone",
                help=f"-w {path} begins with them",
            )
        header = json.loads(text, object_pairs_hook=unique)
        if header["format"] != FORMAT:
            fail("E0601", f"{path} is a checkpoint of format {header['format']}, this version reads {FORMAT}")
        place, conditions = Place(**header["place"]), dict(header["conditions"])
        file.seek(0)
        stored = read_safetensors(file, path, _WHAT)
    parts: dict[str, dict[str, Array]] = {"weights": {}, "state": {}}
    for name, array in stored.items():
        part, _, rest = name.partition(".")
        if part not in parts:
            fail("E0601", f"{path} is no checkpoint: it holds `{name}`")
        parts[part][rest] = np.asarray(array).copy()
    return Checkpoint(place, conditions, parts["weights"], parts["state"])
