"""Safetensors in several files, as the Hugging Face hub has large models: an index says which holds what.

The index is JSON, `{"weight_map": {NAME: FILE, ...}}`; the files lie beside it.
Source: https://huggingface.co/docs/huggingface_hub, serialization.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from archforge.data.opened_files import opened
from archforge.data.safetensors import HEADER_LIMIT, read_safetensors
from archforge.data.stored_arrays import StoredArray
from archforge.errors import fail
from archforge.json_text import read_json
from archforge.paths import is_name

__all__ = ["INDEX", "SHARD", "read_sharded"]

INDEX = ".safetensors.index.json"
SHARD = ".safetensors"


def read_sharded(file: BinaryIO, path: Path, what: str) -> dict[str, StoredArray]:
    """The arrays of all files that an index lists, by name.

    Raises ValueError if the index is malformed, and E0601 for a file that is missing or holds something else
    than the index says.
    """
    places = _places(read_json(file, HEADER_LIMIT))
    found: dict[str, StoredArray] = {}
    for shard in dict.fromkeys(places.values()):
        beside = path.with_name(shard)
        held = _read_shard(beside, path)
        listed = {name for name, place in places.items() if place == shard}
        if lacking := sorted(listed - held.keys()):
            fail("E0601", f"{beside} lacks `{lacking[0]}`, which {path.name} says is there")
        if other := next((name for name in held if name not in listed), None):
            where = f"says is in {places[other]}" if other in places else "does not list"
            fail("E0601", f"{beside} holds `{other}`, which {path.name} {where}")
        found |= held
    return {name: found[name] for name in places}


def _places(index: Any) -> dict[str, str]:
    """The name of the file that each array is in. Raises ValueError."""
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places:
        raise ValueError("it has no `weight_map`")
    for name, shard in places.items():
        if not is_name(shard):
            raise ValueError(f"`{name}` is said to be in {shard!r}, which is no name of a file beside it")
        if not shard.endswith(SHARD):
            raise ValueError(f"`{name}` is said to be in {shard}, which is no {SHARD} file")
    return places


def _read_shard(beside: Path, index: Path) -> dict[str, StoredArray]:
    if not beside.exists():
        help = f"fetch every file that {index.name} lists"
        fail("E0601", f"there is no file {beside}, which {index.name} lists", help=help)
    what = "safetensors file of weights"
    with opened(beside, what) as file:
        return read_safetensors(file, beside, what)
