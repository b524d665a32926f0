"""Golden outputs: what a network must compute on weights and inputs made by rule.

A golden file is JSON, packed (`.json.gz`) or not: `output` with `shape`, `mean`, `std` and the first `values`
of the flat output, and `taps`: for values on the way `shape`, `mean`, `std` and the `first` elements. `std`
has the divisor n or n - 1. The weights and the input are those of `archforge.weights.rule_made`. Texts may
stand under other keys: what made the file.

A tap has the name that its value has in a spec, or stands in `aliases`, with that name, or null for a value
that a spec lacks. `idle` lists the taps that compute nothing, such as a dropout: a spec may leave them out.
"""

from __future__ import annotations

import gzip
import json
import math
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from archforge.data.opened_files import GZIP, opened
from archforge.json_text import unique
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["TOLERANCE", "Deviation", "Golden", "parsed_golden", "read_golden"]

# Largest difference that rounding explains, in standard deviations of the output.
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}

KEYS = ("model", "input", "output", "taps", "aliases", "idle")
MAX_BYTES = 2**26  # of a golden file; the zoo's have less than 50,000
MAX_ELEMENTS = 2**28  # of an input, or another array


@dataclass(frozen=True, slots=True)
class Deviation:
    """Distance of a value from the golden one: the largest difference of its compared elements, of its mean
    and of its deviation, in standard deviations of the golden value; infinite where shapes differ or a number
    is none."""

    name: str
    distance: float
    compared: int


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Contents of a golden file. `model` is the network of a library that made it."""

    model: str
    input_shape: tuple[int, ...]
    output: Mapping[str, Any]
    taps: Mapping[str, Mapping[str, Any]]
    aliases: Mapping[str, str | None]
    idle: frozenset[str]

    def names(self, known: Collection[str]) -> dict[str, str]:
        """The name in a network of each tap that the network has a value for, in the golden's order.

        known: the names of the network's values.
        """
        names = {tap: self.aliases.get(tap, tap) for tap in self.taps}
        return {tap: name for tap, name in names.items() if name in known and name is not None}

    def missing(self, found: Collection[str]) -> list[str]:
        """The taps that are not `found` though a spec should have them: they compute something."""
        excused = self.idle | {tap for tap, name in self.aliases.items() if name is None}
        return [tap for tap in self.taps if tap not in found and tap not in excused]

    def compare_output(self, array: Array) -> Deviation:
        """Deviation of the output."""
        return _deviation("output", array, self.output, self.output["values"])

    def compare_taps(self, arrays: Mapping[str, Array]) -> list[Deviation]:
        """Deviations of the values of taps, in the golden's order."""
        known = [(n, t) for n, t in self.taps.items() if n in arrays]
        return [_deviation(name, arrays[name], tap, tap["first"]) for name, tap in known]


def _deviation(name: str, array: Array, golden: Mapping[str, Any], values: list[float]) -> Deviation:
    shape = tuple(golden["shape"])
    flat = np.asarray(array, "float64").ravel()
    if array.shape[-len(shape) :] != shape or flat.size != np.prod(shape):
        return Deviation(name, float("inf"), 0)
    std, n = float(golden["std"]), flat.size
    spread = float(flat.std())
    spreads = (spread, spread * math.sqrt(n / (n - 1)) if n > 1 else 0.0)
    apart = np.abs(flat[: len(values)] - np.array(values)).max()
    moved = (abs(flat.mean() - golden["mean"]), min(abs(s - std) for s in spreads))
    distance = float(np.max([apart, *moved])) / (std or 1.0)  # NaN wins
    return Deviation(name, float("inf") if math.isnan(distance) else distance, len(values) + 1)


def read_golden(path: str | Path) -> Golden:
    """The golden of a .json or .json.gz file. Raises E0601."""
    path = Path(path)
    with opened(path, "golden file", may_be_packed=True) as file:
        text = file.read(MAX_BYTES + 1)
        if text.startswith(GZIP):
            with gzip.open(BytesIO(text)) as unpacked:
                text = unpacked.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        try:
            return parsed_golden(json.loads(text, object_pairs_hook=unique))
        except UnicodeDecodeError:
            raise ValueError("it is no text in UTF-8") from None
        except RecursionError:
            raise ValueError("its lists and objects are nested too deep") from None


def parsed_golden(content: Any) -> Golden:
    """The golden of a file's JSON. Raises ValueError for anything else."""
    whole = _object(content, "the file", ("model", "input", "output", "taps"))
    if other := [k for k, v in whole.items() if k not in KEYS and not isinstance(v, str)]:
        raise ValueError(f"`{other[0]}` is none of its keys: {', '.join(KEYS)}, and texts")
    named = _object(whole["taps"], "`taps`")
    taps = {name: _figures(tap, "first", f"the tap `{name}`") for name, tap in named.items()}
    aliases = _object(whole.get("aliases", {}), "`aliases`")
    idle = whole.get("idle", [])
    for name in (*_strings(idle, "`idle`"), *aliases):
        if name not in taps:
            raise ValueError(f"`{name}` is no tap")
    _strings([name for name in aliases.values() if name is not None], "`aliases`")
    output = _figures(whole["output"], "values", "the output")
    (model,) = _strings([whole["model"]], "`model`")
    return Golden(model, _shape(whole["input"], "`input`"), output, taps, aliases, frozenset(idle))


def _object(
    value: Any, what: str, needed: Collection[str] = (), known: Collection[str] = ()
) -> dict[str, Any]:
    """The object that `value` is, with all keys that are `needed`, and if any are `known`, no others."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no object")
    if lacking := [key for key in needed if key not in value]:
        raise ValueError(f"{what} lacks `{lacking[0]}`")
    if known and (extra := [key for key in value if key not in known]):
        raise ValueError(f"{what} has an unknown key `{extra[0]}`")
    return value


def _strings(value: Any, what: str) -> list[str]:
    if not isinstance(value, list):
        raise ValueError(f"{what} is no list")
    if wrong := [item for item in value if not isinstance(item, str)]:
        raise ValueError(f"{what} holds {wrong[0]!r}, which is no name")
    return value


def _figures(value: Any, values: str, what: str) -> dict[str, Any]:
    """Shape, mean, standard deviation and first elements of one value, as a golden file lists them.

    Raises ValueError where they cannot be of one array.
    """
    needed = ("shape", "mean", "std", values)
    entry = _object(value, what, needed, (*needed, "argmax"))
    shape, size = _shape(entry["shape"], what), math.prod(entry["shape"])
    if not isinstance(entry[values], list) or not 1 <= len(entry[values]) <= size:
        raise ValueError(f"{what} lists no elements, or more than its shape has")
    listed = [_number(v, what) for v in entry[values]]
    mean, std = _number(entry["mean"], what), _number(entry["std"], what)
    if std < 0:
        raise ValueError(f"{what} has the standard deviation {std:g}, which is less than 0")
    # None of n numbers is farther from their mean than the root of n - 1 times their deviation.
    bound = (std * math.sqrt(size) + abs(mean) * 1e-6) * (1 + 1e-6)
    if far := [v for v in listed if abs(v - mean) > bound]:
        raise ValueError(f"{what} cannot hold {far[0]:g}: its mean is {mean:g} and its deviation {std:g}")
    return {"shape": shape, "mean": mean, "std": std, values: listed}


def _number(value: Any, what: str) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not -sys.float_info.max <= value <= sys.float_info.max
    ):
        raise ValueError(f"{what} holds {value!r:.40}, which is no finite number")
    return float(value)


def _shape(value: Any, what: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(n) is int and n >= 1 for n in value) or not value:
        raise ValueError(f"{what} has the shape {value!r:.40}, which is none")
    if math.prod(value) > MAX_ELEMENTS:
        raise ValueError(f"{what} has more than {MAX_ELEMENTS:,} elements")
    return tuple(value)
