"""The engine `ring`: MLX sums along a ring of TCP connections, on any system that has MLX.

Each rank finds its number in MLX_RANK and all addresses in MLX_HOSTFILE, as `mlx.launch` sets them too.
Source: https://ml-explore.github.io/mlx/build/html/usage/distributed.html
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from archforge.datasets.base import AnyArray
from archforge.errors import fail
from archforge.ops.lazy_numpy import np
from archforge.training.ranks.engines import ProcessStart
from archforge.training.ranks.hosts import is_here

__all__ = ["ENGINE", "MlxRanks", "Ring", "mlx_lacks"]

HOSTFILE = "MLX_HOSTFILE"
FIRST_PORT = 32323  # of mlx.launch, and taken where hosts are other machines, whose free ports nobody knows


class MlxRanks:
    """A group of MLX."""

    def __init__(self, group: Any, stream: Any) -> None:
        self._group, self._stream = group, stream
        self.rank, self.size = int(group.rank()), int(group.size())

    def sum(self, array: AnyArray) -> AnyArray:
        import mlx.core as mx

        with mx.stream(self._stream):
            given = mx.array(array, dtype=getattr(mx, array.dtype.name))
            total = mx.distributed.all_sum(given, group=self._group, stream=self._stream)
            mx.eval(total)
            return np.array(total)

    def leave(self) -> None:
        """Nothing: connections end with the process."""


class Ring:
    """Sums by MLX along a ring."""

    name = "ring"

    def lacks(self, *, to_start: bool) -> str:
        return mlx_lacks()

    def join(self) -> MlxRanks:
        import mlx.core as mx

        if missing := [name for name in ("MLX_RANK", HOSTFILE) if not os.environ.get(name)]:
            help = "--ranks N starts the ranks of a run, and so does mlx.launch"
            fail("E0909", f"this process is no rank of a ring: {missing[0]} is not set", help=help)
        try:
            with _hostfile():
                return MlxRanks(mx.distributed.init(strict=True, backend="ring"), mx.cpu)
        except RuntimeError as error:
            help = "the addresses of --hosts; a port is free again when the process that has it ends"
            fail("E0909", f"this process cannot join the ring{_own_address()}: {error}", help=help)

    def starts(self, command: Sequence[str], hosts: Sequence[str]) -> list[ProcessStart]:
        addresses = json.dumps([[f"{host}:{port}"] for host, port in zip(hosts, _ports(hosts), strict=True)])
        return [
            ProcessStart(command, {"MLX_RANK": str(rank), HOSTFILE: addresses}, host)
            for rank, host in enumerate(hosts)
        ]


def mlx_lacks() -> str:
    """The reason why there is no MLX, in words; empty where there is."""
    try:
        is_there = find_spec("mlx.core") is not None
    except ModuleNotFoundError:
        is_there = False
    return "" if is_there else "MLX is not installed (pip install 'archforge-zoo[mlx]')"


@contextmanager
def _hostfile() -> Iterator[None]:
    """A block in which MLX_HOSTFILE names a file, as MLX wants it, if it holds the text of one."""
    text = os.environ.get(HOSTFILE, "")
    if not text.startswith("["):
        yield
        return
    with TemporaryDirectory(prefix="archforge-") as folder:
        file = Path(folder) / "ring.json"
        file.write_text(text)
        os.environ[HOSTFILE] = str(file)
        try:
            yield
        finally:
            os.environ[HOSTFILE] = text


def _own_address() -> str:
    """The address of this rank in words, if its launcher is ours."""
    text = os.environ[HOSTFILE]
    return f" as {json.loads(text)[int(os.environ['MLX_RANK'])][0]}" if text.startswith("[") else ""


def _ports(hosts: Sequence[str]) -> list[int]:
    """A port for each rank: free ones where all run on this machine."""
    if not all(map(is_here, hosts)):
        return [FIRST_PORT + rank for rank in range(len(hosts))]
    sockets = [socket.create_server((host, 0)) for host in hosts]
    ports = [int(bound.getsockname()[1]) for bound in sockets]
    for bound in sockets:
        bound.close()
    return ports


ENGINE = Ring()
