"""Golden outputs: what a network must compute on weights and inputs made by rule.

A golden file is JSON, packed (`.json.gz`) or not: `output` with `shape`, `mean`, `std` and the first `values`
of the flat output, and `taps`: for values on the way `shape`, `mean`, `std` and the `first` elements. The
weights and the input are those of `archforge.weights.rule_made`.

A tap has the name that its value has in a spec, or stands in `aliases`, with that name, or null for a value
that a spec lacks. `idle` lists the taps that compute nothing, such as a dropout: a spec may leave them out.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archforge.errors import fail
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["TOLERANCE", "Deviation", "Golden", "parsed_golden", "read_golden"]

# Largest difference that rounding explains, in standard deviations of the output.
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}


@dataclass(frozen=True, slots=True)
class Deviation:
    """Distance of a value from the golden one: the largest difference of its compared elements and of its
    mean, in standard deviations of the golden value; infinite where shapes differ or a number is none."""

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
    scale = float(golden["std"]) or 1.0
    apart = np.abs(flat[: len(values)] - np.array(values)).max(initial=abs(flat.mean() - golden["mean"]))
    distance = float(apart) / scale
    return Deviation(name, float("inf") if math.isnan(distance) else distance, len(values) + 1)


def read_golden(path: str | Path) -> Golden:
    """The golden of a .json or .json.gz file. Raises E0601."""
    try:
        data = Path(path).read_bytes()
        return parsed_golden(json.loads(gzip.decompress(data) if str(path).endswith(".gz") else data))
    except OSError as error:
        fail("E0601", f"cannot read {path}: {(error.strerror or str(error)).lower()}")
    except KeyError as error:
        fail("E0601", f"{path} is no golden file: it lacks `{error.args[0]}`")
    except RecursionError:
        fail("E0601", f"{path} is no golden file: its lists and objects are nested too deep")
    except (ValueError, TypeError, OverflowError, EOFError, zlib.error) as error:
        fail("E0601", f"{path} is no golden file: {error}")


def parsed_golden(content: Mapping[str, Any]) -> Golden:
    """The golden of a file's JSON.

    Raises ValueError, TypeError, OverflowError or KeyError for anything else.
    """
    taps = {name: _figures(tap, "first") for name, tap in dict(content["taps"]).items()}
    aliases = dict(content.get("aliases", {}))
    idle = frozenset(content.get("idle", ()))
    if unknown := sorted((aliases.keys() | idle) - taps.keys()):
        raise ValueError(f"`{unknown[0]}` is no tap")
    if wrong := [name for name in aliases.values() if not isinstance(name, str | None)]:
        raise ValueError(f"{wrong[0]!r} is no name")
    output = _figures(content["output"], "values")
    return Golden(str(content["model"]), _shape(content["input"]), output, taps, aliases, idle)


def _figures(entry: Mapping[str, Any], values: str) -> dict[str, Any]:
    """Shape, mean, standard deviation and first elements of one value, as a golden file lists them."""
    shape, listed = _shape(entry["shape"]), [float(v) for v in entry[values]]
    if len(listed) > math.prod(shape):
        raise ValueError(f"{len(listed)} values of an array of {math.prod(shape)}")
    mean, std = float(entry["mean"]), float(entry["std"])
    if wrong := [number for number in (*listed, mean, std) if not math.isfinite(number)]:
        raise ValueError(f"{wrong[0]} is no finite number")
    if std < 0:
        raise ValueError(f"{std} is no standard deviation")
    return {"shape": shape, "mean": mean, "std": std, values: listed}


def _shape(dims: Iterable[Any]) -> tuple[int, ...]:
    shape = tuple(int(n) for n in dims)
    if not shape or min(shape) < 1:
        raise ValueError(f"{list(shape)} is no shape")
    return shape
