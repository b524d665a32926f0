"""A rank of a job that `archforge train --ranks` has started: `python -m archforge.cli.rank ARGUMENTS`.

It runs `archforge ARGUMENTS`, and ends as at a SIGTERM when its standard input does: whoever started it wants
it to end, or has gone. An input that begins otherwise than the job's is left alone; some engines give some
ranks none.
"""

from __future__ import annotations

import os
import signal
from threading import Thread

from archforge.cli import main
from archforge.training.ranks.job import GREETING

__all__: list[str] = []


def _watch() -> None:
    if os.read(0, len(GREETING)) == GREETING:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    Thread(target=_watch, daemon=True).start()
    try:
        main()
    except SystemExit as stop:
        if isinstance(stop.code, int) and stop.code:
            os._exit(stop.code)  # a library may wait for ever, and Python at its end for the library
