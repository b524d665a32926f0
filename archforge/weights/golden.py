"""Golden outputs: what a network must compute on weights and inputs made by rule.

A golden file is JSON, packed (`.json.gz`) or not: `output` with `shape`, `std` and the first `values`
of the flat output, and `taps`: for named values `shape`, `mean`, `std` and the `first` values. The
weights and the input are those of `archforge.weights.rule_made`.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archforge.errors import fail
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["Deviation", "Golden", "read_golden"]

# Largest difference that rounding explains, in standard deviations of the output.
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far a value is from the golden one: the largest difference of its compared elements and of
    its mean, in standard deviations of the golden value."""

    name: str
    distance: float
    compared: int


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """A golden file. `model` is the library's network that made it."""

    model: str
    input_shape: tuple[int, ...]
    output: Mapping[str, Any]
    taps: Mapping[str, Mapping[str, Any]]

    def compare_output(self, array: Array) -> Deviation:
        """The output's deviation; infinite if its shape differs."""
        return _deviation("output", array, self.output, self.output["values"])

    def compare_taps(self, arrays: Mapping[str, Array]) -> list[Deviation]:
        """Deviations of the values by name, in the golden's order."""
        known = [(n, t) for n, t in self.taps.items() if n in arrays]
        return [_deviation(name, arrays[name], tap, tap["first"]) for name, tap in known]


def _deviation(name: str, array: Array, golden: Mapping[str, Any], values: list[float]) -> Deviation:
    shape = tuple(golden["shape"])
    flat = np.asarray(array, "float64").ravel()
    if array.shape[-len(shape) :] != shape or flat.size != np.prod(shape):
        return Deviation(name, float("inf"), 0)
    scale = float(golden["std"]) or 1.0
    apart = np.abs(flat[: len(values)] - np.array(values)).max(initial=abs(flat.mean() - golden["mean"]))
    return Deviation(name, float(apart) / scale, len(values) + 1)


def read_golden(path: str | Path) -> Golden:
    """The golden of a .json or .json.gz file. Raises E0601."""
    try:
        data = Path(path).read_bytes()
        content = json.loads(gzip.decompress(data) if str(path).endswith(".gz") else data)
        return Golden(
            str(content["model"]),
            _shape(content["input"]),
            _figures(content["output"], "values"),
            {name: _figures(tap, "first") for name, tap in dict(content["taps"]).items()},
        )
    except OSError as error:
        fail("E0601", f"cannot read {path}: {(error.strerror or str(error)).lower()}")
    except KeyError as error:
        fail("E0601", f"{path} is no golden file: it lacks `{error.args[0]}`")
    except (ValueError, TypeError, EOFError, zlib.error) as error:
        fail("E0601", f"{path} is no golden file: {error}")


def _figures(entry: Mapping[str, Any], values: str) -> dict[str, Any]:
    """What a golden file says of one value. Raises ValueError, TypeError or KeyError for anything else."""
    shape, listed = _shape(entry["shape"]), [float(v) for v in entry[values]]
    if len(listed) > math.prod(shape):
        raise ValueError(f"{len(listed)} values of an array of {math.prod(shape)}")
    return {"shape": shape, "mean": float(entry["mean"]), "std": float(entry["std"]), values: listed}


def _shape(dims: Iterable[Any]) -> tuple[int, ...]:
    shape = tuple(int(n) for n in dims)
    if not shape or min(shape) < 1:
        raise ValueError(f"{list(shape)} is no shape")
    return shape
