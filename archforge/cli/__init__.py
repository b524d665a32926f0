"""The command line. `main` turns all that goes wrong into a message and an exit code."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import signal
import sys
import traceback
from contextlib import suppress
from threading import Timer
from typing import TextIO

from archforge.cli.exit_codes import INTERNAL_ERROR, INTERRUPTED, OUTPUT_CLOSED, USER_ERROR

__all__ = ["main"]

# What writing to standard output meets on a full or broken disk.
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


# Ctrl-C, and what a supervisor and a closed terminal send, where the system has them.
_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class EndingSignal(KeyboardInterrupt):
    """A signal that ends the command; all is cleaned up as after any interrupt.

    Where a bare KeyboardInterrupt has passed through `exec`, as of a dataclass, CPython exits by SIGINT
    whoever has caught it.
    """


def main() -> None:
    """Run the command and exit."""
    # Next to nothing that a command makes is a cycle: looking for them costs a third of its time.
    gc.disable()
    # pydantic would look for plugins in all that is installed, and have them see every model.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Python would print a traceback for one more Ctrl-C while it ends.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)
    received: list[int] = []

    def end(number: int, _: object) -> None:
        received.append(number)
        raise EndingSignal

    def ignored(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is EndingSignal:  # a destructor was at work: once more, when it is done
            Timer(0.01, os.kill, (os.getpid(), received.pop())).start()
        else:
            hook(unraisable)

    handlers = {number: signal.getsignal(number) for number in _ENDING}
    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, end)
    hook, sys.unraisablehook = sys.unraisablehook, ignored
    code: str | int | None = 0
    try:
        _run()
    except KeyboardInterrupt:  # typer sees to it in commands, but not while they are loaded
        code = INTERRUPTED
    except SystemExit as stop:
        code = stop.code
    for number, handler in handlers.items():
        signal.signal(number, handler)
    sys.unraisablehook = hook
    try:
        sys.stderr.flush()
    except OSError:  # nobody can be told, and Python would exit with 120
        _drop(sys.stderr)
    sys.exit(128 + received[0] if received and code == INTERRUPTED else code)


def _run() -> None:
    try:
        try:
            _command()
        finally:
            sys.stdout.flush()  # here, where what goes wrong can still be told
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        _drop(sys.stdout)
        sys.exit(OUTPUT_CLOSED)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # typer makes it 1, which means that a check failed
            sys.exit(OUTPUT_CLOSED)
        raise
    except MemoryError as error:
        from archforge.hardware import no_memory

        print(no_memory(error).render(), file=sys.stderr)
        sys.exit(USER_ERROR)
    except Exception as error:  # noqa: BLE001  Python would exit with 1, which means that a check failed
        if isinstance(error, OSError) and error.filename is None and error.errno in _UNWRITABLE:
            with suppress(OSError):
                print(f"E0705: cannot write the output: {os.strerror(error.errno).lower()}", file=sys.stderr)
            _drop(sys.stdout)
            sys.exit(USER_ERROR)
        traceback.print_exc()
        print("this is a bug of archforge: please report it with the spec that shows it", file=sys.stderr)
        sys.exit(INTERNAL_ERROR)


def _command() -> None:
    if sys.argv[1:3] == ["completion", "words"]:  # at each press of a key: without what a command loads
        from archforge.cli.completed_words import print_words

        print_words(sys.argv[3:])
        return
    from archforge.cli.app import app_for
    from archforge.cli.output import adapt_streams

    adapt_streams()
    app_for(sys.argv[1:])()


def _drop(stream: TextIO) -> None:
    """Let what is left in a stream, which Python writes when it ends, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
