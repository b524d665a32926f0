"""The engine `mpi`: any MPI that mpi4py finds, by `mpirun`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from time import sleep
from typing import Any

from archforge.datasets.base import AnyArray
from archforge.errors import fail
from archforge.training.ranks.engines import ProcessStart
from archforge.training.ranks.hosts import HERE, passed_on

__all__ = ["ENGINE", "Mpi"]

# Open MPI takes them from the environment, and other MPIs do not know them: more ranks than cores are no
# mistake, and nothing but the ranks' own words is printed.
OPEN_MPI = {
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_orte_execute_quiet": "1",
}
ROOT = ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM")
SHORTEST_S, LONGEST_S = 2e-5, 1e-3  # between two looks at whether a sum is there


class MpiRanks:
    """The world of MPI."""

    def __init__(self, mpi: Any) -> None:
        self._mpi, self._world = mpi, mpi.COMM_WORLD
        self.rank, self.size = int(self._world.rank), int(self._world.size)

    def sum(self, array: AnyArray) -> AnyArray:
        # A blocking call would keep a core busy that computes.
        pending, pause = self._world.Iallreduce(self._mpi.IN_PLACE, array), SHORTEST_S
        while not pending.Test():
            sleep(pause)
            pause = min(1.5 * pause, LONGEST_S)
        return array

    def leave(self) -> None:
        """Finalise MPI. A job in which a rank ends without it is ended by `mpirun`."""
        self._mpi.Finalize()


class Mpi:
    """Sums by MPI."""

    name = "mpi"

    def lacks(self, *, to_start: bool) -> str:
        if not find_spec("mpi4py"):
            return "mpi4py is not installed (pip install 'archforge-zoo[mpi]')"
        if to_start and not shutil.which("mpirun"):
            return "there is no mpirun (Open MPI: apt install openmpi-bin, brew install open-mpi)"
        return ""

    def join(self) -> MpiRanks:
        import mpi4py

        mpi4py.rc.finalize = False
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:
            fail("E0909", f"mpi4py finds no MPI: {error}", help="an MPI, such as Open MPI")
        if MPI.COMM_WORLD.size == 1:
            MPI.Finalize()
            help = "--ranks N starts the ranks of a run, and so does mpirun -n N"
            fail("E0909", "this process is alone in MPI's world", help=help)
        return MpiRanks(MPI)

    def starts(self, command: Sequence[str], hosts: Sequence[str]) -> list[ProcessStart]:
        is_open_mpi = _is_open_mpi()
        if (
            is_open_mpi
            and hasattr(os, "geteuid")
            and os.geteuid() == 0
            and not all(map(os.environ.get, ROOT))
        ):
            fail("E0909", "Open MPI does not run as root", help=" ".join(f"{name}=1" for name in ROOT))
        run, variables = ["mpirun", "-n", str(len(hosts))], OPEN_MPI
        if {*hosts} != {HERE}:
            places = ",".join(f"{host}:{number}" for host, number in Counter(hosts).items())
            run += ["--host" if is_open_mpi else "-hosts", places]
            variables = OPEN_MPI | {"OMPI_MCA_mca_base_env_list": ";".join(passed_on())}
        return [ProcessStart([*run, *command], variables, HERE)]


def _is_open_mpi() -> bool:
    told = subprocess.run(["mpirun", "--version"], capture_output=True, text=True, check=False).stdout
    return "Open MPI" in told or "OpenRTE" in told


ENGINE = Mpi()
