"""The progress of a long command: a line on a terminal only, gone when the command is done."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Line

    from archforge.cli.log_lines import LogLines

__all__ = ["Progress"]

PATIENCE_S = 1.0  # what is done by then is not spoken of, and costs no import of rich


class Progress:
    """A line on standard error: what is being done, and for how long.

        with Progress("loading weights") as progress:
            ...
            progress.say("running")

    What archforge logs meanwhile is shown behind it. Nothing else may print, except while it is `paused`.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._line: Line | None = None
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._log: LogLines | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self._timer = threading.Timer(PATIENCE_S, self._show)
            self._timer.daemon = True
            self._timer.start()
            from archforge.cli.log_lines import LogLines

            self._log = LogLines(self.tell)
            self._log.attach()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._timer:
            self._timer.cancel()
        if self._log:
            self._log.detach()
        with self._lock:
            self._timer = None
            self._hide()

    def say(self, text: str) -> None:
        """Replace the text of the line by that of what is done from now on."""
        self._text = text
        self.show(text)

    def tell(self, detail: str) -> None:
        """Show a detail behind the current text."""
        self.show(f"{self._text}: {detail}")

    def show(self, description: str) -> None:
        if self._line:
            self._line.update(self._line.task_ids[0], description=description)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide the line within the block, for something else to be printed."""
        with self._lock:
            if self._line:
                self._line.stop()
            yield
            if self._line:
                self._line.start()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        console = Console(stderr=True)
        line = Progress(
            *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        with self._lock:
            if self._timer:  # not left meanwhile
                line.add_task(self._text)
                line.start()
                self._line = line

    def _hide(self) -> None:
        if self._line:
            self._line.stop()
            self._line = None
