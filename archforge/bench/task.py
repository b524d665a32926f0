"""The task of a benchmark: a network, weights and inputs made by rule, in a folder that all contestants
read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archforge.analysis.network import Network

__all__ = ["Task"]


@dataclass(frozen=True, slots=True)
class Task:
    """A folder with the files that `worker.py` reads, and the number of threads that compute."""

    folder: Path
    threads: int

    @classmethod
    def write(
        cls,
        network: Network,
        batch: int,
        *,
        folder: Path,
        threads: int,
        source: str,
        settings: Mapping[str, str],
        model: str | None = None,
        model_options: Mapping[str, Any] | None = None,
    ) -> Task:
        """Write the files of a network at one size of batch.

        source: the name, the path or the text that `network` was opened from. settings: the texts of its
        arguments. model: a library's network that the peers run, made with `model_options`; by default the
        same graph.
        """
        import numpy as np

        from archforge.data.arrays import write_arrays
        from archforge.weights import rule_input, rule_weights

        folder.mkdir(parents=True, exist_ok=True)
        inputs = network.graph.inputs
        arrays = {n: rule_input((batch, *t.shape), n).astype("float32") for n, t in inputs.items()}
        np.savez(folder / "inputs.npz", **arrays)  # type: ignore[arg-type]  # arrays, all of them
        write_arrays(folder / "weights.safetensors", rule_weights(network.params, "float32"))
        what = {
            "spec": source,
            "profile": network.profile,
            "settings": dict(settings),
            "input": {name: list(t.shape) for name, t in inputs.items()},
            "model": model,
            "model_options": dict(model_options or {}),
        }
        (folder / "task.json").write_text(json.dumps(what), "utf-8")
        return cls(folder, threads)
