"""The hosts of a job, as a file lists them."""

from __future__ import annotations

import os
import re
import socket
from functools import cache
from pathlib import Path

from archforge.data.opened_files import opened
from archforge.errors import Diagnostic, SourceFile, Span, fail, fail_all

__all__ = ["HERE", "is_here", "passed_on", "placed", "read_hosts"]

HERE = "127.0.0.1"
MOST_SLOTS = 1024
# Beginnings of the names of variables that ranks on other hosts get too.
PASSED_ON = ("ARCHFORGE_", "MKL_", "MLX_", "NCCL_", "OMP_", "OPENBLAS_", "PYTHONPATH")
_LINE = re.compile(r"(?P<host>[\w.-]+)(?:\s+slots\s*=\s*(?P<slots>\d{1,4}))?\s*")
FORM = "a line is `address` or `address slots=N`, the address a name or of IPv4"


def read_hosts(path: str | Path) -> list[str]:
    """The address of each place for a rank, in order: `10.0.0.1 slots=2` is two. What follows `#` is left
    out. Raises E0601 for a file that cannot be read, and E0909 for lines that are none."""
    with opened(Path(path), "list of hosts") as file:
        source = SourceFile(str(path), file.read().decode("utf-8", "replace"))
    places: list[str] = []
    mistakes: list[Diagnostic] = []
    for number, line in enumerate(source.lines):
        text, _, _ = line.partition("#")
        if not text.strip():
            continue
        start = len(text) - len(text.lstrip())
        found = _LINE.fullmatch(text, start)
        slots = int(found["slots"] or 1) if found else 0
        if not found or not 1 <= slots <= MOST_SLOTS:
            span = Span(source, number, start, len(text.strip()))
            mistakes.append(Diagnostic("E0909", "a host that cannot be read", span, help=FORM))
        else:
            places += [found["host"]] * slots
    fail_all(mistakes)
    if not places:
        fail("E0909", f"{path} lists no host", help=FORM)
    return places


def placed(ranks: int, hosts: str | Path | None) -> list[str]:
    """The address for each of so many ranks, this machine's where no file lists hosts. Raises E0909 for more
    ranks than the file has places."""
    if hosts is None:
        return [HERE] * ranks
    places = read_hosts(hosts)
    if ranks > len(places):
        help = f"--ranks {len(places)}, or `slots=N` behind a host"
        fail("E0909", f"{hosts} has {len(places)} places, too few for {ranks} ranks", help=help)
    return places[:ranks]


@cache
def is_here(host: str) -> bool:
    """True if an address is one of this machine's. Raises E0909 for a name that has none."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError as error:
        fail("E0909", f"the host {host} has no address: {error.strerror}", help="its address in numbers")
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as tried:
            try:
                tried.bind(address)
            except OSError:
                continue
            return True
    return False


def passed_on() -> dict[str, str]:
    """The variables that a rank on another host gets of this process's."""
    return {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
