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
from importlib import import_module
from threading import Thread, Timer
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
    of_blas = False

    def end(number: int, _: object) -> None:
        nonlocal of_blas
        received.append(number)
        of_blas = _lacks_threads()
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
    if of_blas and code == INTERRUPTED:
        help = "OPENBLAS_NUM_THREADS=1, or higher limits (ulimit -u, ulimit -v)"
        print(
            f"E0701: OpenBLAS could not start the threads that NumPy computes with\n  help: {help}",
            file=sys.stderr,
        )
        code = USER_ERROR
    try:
        sys.stderr.flush()
    except OSError:  # nobody can be told, and Python would exit with 120
        _drop(sys.stderr)
    sys.exit(128 + received[0] if received and code == INTERRUPTED else code)


def _lacks_threads() -> bool:
    """True if a signal is that of OpenBLAS, which interrupts the process where it cannot start its threads:
    while NumPy is loaded, and when no thread can be started."""
    if "numpy" not in sys.modules or hasattr(sys.modules["numpy"], "ndarray"):
        return False
    try:
        Thread(target=int).start()
    except (RuntimeError, MemoryError):
        return True
    return False


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
    except Exception as error:  # noqa: BLE001  Python would exit with 1, which means that a check failed
        if told := _no_memory(error):
            print(told, file=sys.stderr)
            sys.exit(USER_ERROR)
        if isinstance(error, OSError) and error.filename is None and error.errno in _UNWRITABLE:
            with suppress(OSError):
                print(f"E0705: cannot write the output: {os.strerror(error.errno).lower()}", file=sys.stderr)
            _drop(sys.stdout)
            sys.exit(USER_ERROR)
        traceback.print_exc()
        print("this is a bug of archforge: please report it with the spec that shows it", file=sys.stderr)
        sys.exit(INTERNAL_ERROR)


def _no_memory(error: Exception) -> str:
    """The diagnostic of an error that comes of a lack of memory, in fewer words where there is no memory for
    more; empty for another error."""
    try:
        from archforge.hardware import lacks_memory, no_memory

        if not lacks_memory(error):
            return ""
        return no_memory(error if isinstance(error, MemoryError) else MemoryError()).render()
    except (ImportError, MemoryError):
        return "E0706: the memory does not suffice\n  help: a higher limit (ulimit -v)"


def _prepare_for_a_limit() -> None:
    """Load what tells of a limit on memory while there is room for it."""
    with suppress(ImportError):
        import resource

        if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
            import_module("archforge.hardware")


def _command() -> None:
    if sys.argv[1:3] == ["completion", "words"]:  # at each press of a key: without what a command loads
        from archforge.cli.completed_words import print_words

        print_words(sys.argv[3:])
        return
    from archforge.cli.app import app_for
    from archforge.cli.output import adapt_streams

    _prepare_for_a_limit()
    adapt_streams()
    app_for(sys.argv[1:])()


def _drop(stream: TextIO) -> None:
    """Let what is left in a stream, which Python writes when it ends, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
