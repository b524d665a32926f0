"""The engine `nccl`: MLX sums by NCCL, between GPUs of Nvidia. It has never been run.

Source: https://ml-explore.github.io/mlx/build/html/usage/distributed.html, and `mlx.launch --backend nccl`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from archforge.datasets.base import AnyArray
from archforge.errors import fail
from archforge.ops.lazy_numpy import np
from archforge.training.ranks.engines import ProcessStart
from archforge.training.ranks.ring import MlxRanks, mlx_lacks

__all__ = ["ENGINE", "Nccl"]

PORT = "12345"  # of mlx.launch


class NcclRanks(MlxRanks):
    """A group of MLX on GPUs, which add no float64."""

    def sum(self, array: AnyArray) -> AnyArray:
        if array.dtype != np.float64:
            return super().sum(array)
        words = np.zeros((self.size, 2 * len(array)), np.int32)
        words[self.rank] = array.view(np.int32)
        every = super().sum(words.reshape(-1)).reshape(words.shape)
        total: AnyArray = every.view(np.float64).sum(0)
        return total


class Nccl:
    """Sums by NCCL."""

    name = "nccl"

    def lacks(self, *, to_start: bool) -> str:
        if lack := mlx_lacks():
            return lack
        import mlx.core as mx

        return "" if mx.cuda.is_available() else "this MLX finds no GPU of Nvidia"

    def join(self) -> NcclRanks:
        import mlx.core as mx

        try:
            return NcclRanks(mx.distributed.init(strict=True, backend="nccl"), mx.gpu)
        except RuntimeError as error:
            fail("E0909", f"this process cannot join by NCCL: {error}", help="--ranks N starts the ranks")

    def starts(self, command: Sequence[str], hosts: Sequence[str]) -> list[ProcessStart]:
        seen: Counter[str] = Counter()
        found = []
        for rank, host in enumerate(hosts):
            variables = {"NCCL_HOST_IP": hosts[0], "NCCL_PORT": PORT, "MLX_WORLD_SIZE": str(len(hosts))}
            variables |= {"MLX_RANK": str(rank), "CUDA_VISIBLE_DEVICES": str(seen[host])}
            found.append(ProcessStart(command, variables, host))
            seen[host] += 1
        return found


ENGINE = Nccl()
