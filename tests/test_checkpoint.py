"""Checkpoints: what is read is what was written, the one before is kept, and damaged files are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archforge.errors import DiagnosticError
from archforge.training.checkpoint import Checkpoint, Place, read_checkpoint, write_checkpoint


def checkpoint(updates: int) -> Checkpoint:
    rng = np.random.default_rng(updates)
    return Checkpoint(
        Place(updates, 2, 3, {"loss": 0.1 + updates}, [{"loss": 1 / 3}, {"loss": 2**-1074}], 1),
        {"seed": 7, "recipe": {"optimizer": {"sgd": {"lr": 0.1}}}},
        {"a.weight": rng.standard_normal((3, 4)).astype(np.float32), "b": np.array([updates], np.float32)},
        {"a.weight.momentum": rng.standard_normal((3, 4)).astype(np.float32)},
    )


def same(a: Checkpoint, b: Checkpoint) -> bool:
    arrays = [
        left.keys() == right.keys() and all(np.array_equal(left[n], right[n]) for n in left)
        for left, right in ((a.weights, b.weights), (a.state, b.state))
    ]
    return a.place == b.place and a.conditions == b.conditions and all(arrays)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, checkpoint(1))
    assert same(read_checkpoint(path), checkpoint(1))
    again = tmp_path / "again.safetensors"
    write_checkpoint(again, checkpoint(1))
    assert again.read_bytes() == path.read_bytes()


def test_the_checkpoint_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    for updates in (1, 2, 3):
        write_checkpoint(path, checkpoint(updates))
    assert same(read_checkpoint(path), checkpoint(3))
    assert same(read_checkpoint(tmp_path / "checkpoint.previous.safetensors"), checkpoint(2))
    assert len(list(tmp_path.iterdir())) == 2


def test_arrays_of_a_checkpoint_can_be_written_to(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, checkpoint(1))
    read_checkpoint(path).weights["b"][...] = 5
    assert same(read_checkpoint(path), checkpoint(1))


@pytest.mark.parametrize("size", [0, 7, 8, 100, -1])
def test_a_file_that_is_cut_short_is_refused(size: int, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, checkpoint(1))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DiagnosticError, match="E0601"):
        read_checkpoint(path)
