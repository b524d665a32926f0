"""Small files of weights of other frameworks, for `tests/data/weight_files`, as `tests/weight_files.py` says.

python -m tests.make_weight_files torch keras
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict
from importlib import import_module
from typing import Any

import numpy as np

from tests.weight_files import FOLDER, TORCH

__all__ = ["checkpoint", "main"]


def main() -> None:
    """Write the files of the frameworks that are named, `torch` or `keras`."""
    for name in sys.argv[1:]:
        {"torch": write_torch, "keras": write_keras}[name]()


def write_torch() -> None:
    """One checkpoint in the two formats of torch."""
    torch = import_module("torch")
    torch.save(checkpoint(), FOLDER / "torch.pth")
    torch.save(checkpoint(), FOLDER / "torch_row.pth", _use_new_zipfile_serialization=False)


def write_keras() -> None:
    """Two models in the two formats of Keras, with an input and what they make of it."""
    keras: Any = import_module("keras")
    layers = keras.layers
    keras.utils.set_random_seed(0)
    image = keras.Sequential(
        [
            keras.Input((6, 5, 2)),
            layers.Conv2D(3, (3, 2), activation="relu"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(2, depth_multiplier=2, use_bias=False),
            layers.SeparableConv2D(4, (2, 1), activation="relu"),
            layers.Flatten(),
            layers.Dense(5, activation="relu"),
            layers.Dense(2),
        ]
    )
    rows = keras.Sequential(
        [keras.Input((4, 3)), layers.LSTM(3, return_sequences=True), layers.GRU(2, return_sequences=True)]
    )
    draws = np.random.default_rng(0)
    for name, model in (("keras_image", image), ("keras_rows", rows)):
        model.set_weights([draws.uniform(0.2, 1, w.shape) - 0.5 * (w.ndim > 1) for w in model.get_weights()])
        x = draws.standard_normal((2, *model.input_shape[1:])).astype(np.float32)
        model.save(FOLDER / f"{name}.keras")
        model.save(FOLDER / f"{name}.h5")
        np.savez(FOLDER / f"{name}.npz", x=x, y=np.asarray(model.predict(x, verbose=0)))


def checkpoint() -> dict[str, Any]:
    """A checkpoint of torch whose tensors are those of `TORCH`: views, shared storages, parameters."""
    torch: Any = import_module("torch")
    start = "state_dict."
    state = OrderedDict(
        (name.removeprefix(start), torch.from_numpy(array.copy()))
        for name, array in TORCH.items()
        if name.startswith(start)
    )
    base = state["base"]
    state["conv.bias"] = torch.nn.Parameter(state["conv.bias"])
    state["channels_last"] = state["channels_last"].contiguous(memory_format=torch.channels_last)
    state["tied"], state["transposed"], state["row"] = base, base.t(), base[2]
    state["every_second"] = base[:, 1::2]
    state["expanded"] = torch.tensor([[7.0], [8.0]], dtype=torch.float64).expand(2, 3)
    state["of.bfloat16"] = state["of.bfloat16"].to(torch.bfloat16)
    optimizer = {
        "state": {0: {"step": 3, "exp_avg": torch.ones(2, dtype=torch.float64)}},
        "momenta": [torch.tensor([3.0], dtype=torch.float64), (torch.tensor([4.0], dtype=torch.float64),)],
        "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0, 1]}],
    }
    return {
        "epoch": 3,
        "arch": "tiny",
        "best": 0.75,
        "seen": {1, 2},
        "raw": b"\x00\xff",
        "milestones": Counter([30, 60]),
        "state_dict": state,
        "optimizer": optimizer,
        "nothing": None,
    }


if __name__ == "__main__":
    main()
