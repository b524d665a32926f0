"""Runs a command over the specs that standard input names, each in a process with limits on time and memory.

One line of JSON for each: seconds of CPU, MiB at the most, exit code, and the fault if there is one.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys

from archforge.cli import main

VIRTUAL = 1024  # MiB that may be mapped beyond what is used


def child(arguments: list[str], seconds: int, mebibytes: int) -> int:
    """Run the command with limits; what it prints goes nowhere."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    room = (mebibytes + VIRTUAL) << 20
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.argv = ["archforge", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def measured(arguments: list[str], seconds: int, mebibytes: int) -> dict[str, object]:
    process = os.fork()
    if process == 0:
        code = 70
        try:
            code = child(arguments, seconds, mebibytes)
        finally:
            os._exit(code)
    _, status, used = os.wait4(process, 0)
    code = os.waitstatus_to_exitcode(status)
    memory = used.ru_maxrss >> 10
    fault = (
        "time" if code < 0 else "memory" if memory > mebibytes else "crash" if code not in (0, 1, 2) else ""
    )
    return {"cpu_s": round(used.ru_utime + used.ru_stime, 2), "mib": memory, "code": code, "fault": fault}


def run() -> None:
    seconds, mebibytes = map(int, sys.argv[1:3])
    command, options = sys.argv[3], sys.argv[4:]
    # Loaded once, so that the processes do not pay for it.
    importlib.import_module(f"archforge.cli.{command}")
    for file in sys.stdin.read().splitlines():
        print(json.dumps(measured([command, file, *options], seconds, mebibytes)), flush=True)


if __name__ == "__main__":
    run()
