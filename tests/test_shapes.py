"""benchmarks/shapes.py: its pictures and their masks."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from archforge.datasets.formats.masks import Masks
from archforge.datasets.opening import open_data

FOLDER = Path(__file__).parents[1] / "benchmarks"
if not FOLDER.is_dir():
    pytest.skip("benchmarks/ is not here", allow_module_level=True)
pytest.importorskip("PIL.Image")


def test_pictures_and_masks_are_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    script = importlib.import_module("shapes")
    monkeypatch.setattr(script, "SPLITS", {"train": 3, "val": 2})
    for run in ("first", "second"):
        monkeypatch.setattr(sys, "argv", ["shapes.py", "--out", str(tmp_path / run)])
        script.main()
    sys.modules.pop("shapes")
    first, second = (
        open_data(tmp_path / run, (3, 128, 128), Masks(values=(0, 255))) for run in ("first", "second")
    )
    assert first.held_back
    assert second.held_back
    for part, again, count in ((first.train, second.train, 3), (first.held_back, second.held_back, 2)):
        x, y = part.take(np.arange(count))
        assert all(map(np.array_equal, x, again.take(np.arange(count)).x))
        assert all(mask.shape == (128, 128) and {*np.unique(mask)} == {0, 1} for mask in y)
