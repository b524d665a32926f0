"""Small files of weights of other frameworks, for `tests/data/weight_files`, as `tests/weight_files.py` says.

python -m tests.make_weight_files
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from importlib import import_module
from typing import Any

from tests.weight_files import FOLDER, TORCH

__all__ = ["checkpoint", "main"]


def main() -> None:
    """Write the files with the frameworks that are installed."""
    torch = import_module("torch")
    FOLDER.mkdir(exist_ok=True)
    torch.save(checkpoint(), FOLDER / "torch.pth")
    torch.save(checkpoint(), FOLDER / "torch_row.pth", _use_new_zipfile_serialization=False)


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
