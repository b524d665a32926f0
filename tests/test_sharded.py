"""Safetensors in several files: read by their index, which must be true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archforge
from archforge.data.arrays import read_weights, write_arrays
from archforge.errors import DiagnosticError


def sharded(folder: Path, **changes: Any) -> Path:
    """Weights in two files and their index, of which entries of the map may be changed."""
    write_arrays(folder / "m-1.safetensors", {"a": np.ones(2), "b": np.arange(3.0)})
    write_arrays(folder / "m-2.safetensors", {"c": np.zeros(1)})
    places = {"a": "m-1.safetensors", "b": "m-1.safetensors", "c": "m-2.safetensors"} | changes
    index = folder / "m.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {n: p for n, p in places.items() if p != ""}}))
    return index


def test_sharded_safetensors_are_read_by_their_index(tmp_path: Path) -> None:
    arrays = read_weights(sharded(tmp_path))
    assert {name: np.asarray(a).tolist() for name, a in arrays.items()} == {
        "a": [1, 1],
        "b": [0, 1, 2],
        "c": [0],
    }


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"c": "m-3.safetensors"},
            "there is no file .*m-3.safetensors, which .* lists",
        ),
        ({"c": "m-1.safetensors"}, "m-1.safetensors lacks `c`"),
        ({"b": "m-2.safetensors"}, "m-1.safetensors holds `b`, which .* says is in m-2.safetensors"),
        ({"b": ""}, "m-1.safetensors holds `b`, which .* does not list"),
        ({"c": "../m-2.safetensors"}, "no name of a file beside it"),
        ({"c": "/etc/m-2.safetensors"}, "no name of a file beside it"),
        ({"c": "m-2.npz"}, "which is no .safetensors file"),
        ({"c": 3}, "no name of a file beside it"),
        ({"a": "", "b": "", "c": ""}, "it has no `weight_map`"),
    ],
)
def test_an_index_that_is_not_true_is_refused(
    changes: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(DiagnosticError, match=f"E0601: .*{complaint}"):
        read_weights(sharded(tmp_path, **changes))


def test_an_index_names_each_array_once(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors.index.json"
    for text in ('{"weight_map": {"a": "m", "a": "n"}}', "[]", "{", "[" * 100_000):
        path.write_text(text)
        with pytest.raises(DiagnosticError, match=r"E0601: .*is no safetensors.index.json file of weights"):
            read_weights(path)


def test_one_file_of_several_points_to_their_index(tmp_path: Path) -> None:
    spec = "archforge: 1\ninput: [4]\ngraph: [{linear: 3}]\nprofiles: {a: {}, b: {}}\n"
    one = tmp_path / "m-00002-of-00003.safetensors"
    write_arrays(one, {"linear.bias": np.zeros(3, np.float32)})
    for profile in ("a", None):
        with pytest.raises(DiagnosticError, match="is one of 3 files") as caught:
            archforge.compile(spec, profile, weights=one, backend="numpy")
        (diagnostic,) = caught.value.diagnostics
        assert "m.safetensors.index.json" in diagnostic.help
    whole = one.rename(tmp_path / "m-00001-of-00001.safetensors")
    with pytest.raises(DiagnosticError, match=r"the weights lack `linear\.weight`"):
        archforge.compile(spec, "a", weights=whole, backend="numpy")
