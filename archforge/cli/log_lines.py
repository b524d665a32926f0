"""Lines of archforge's logger, shown where a command tells of its progress."""

from __future__ import annotations

from collections.abc import Callable
from logging import INFO, Handler, LogRecord, getLogger

__all__ = ["LogLines"]


class LogLines(Handler):
    """A handler that hands the messages of archforge's logger to `show`, from `attach` to `detach`."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(INFO)
        self._show = show
        self._logger = getLogger("archforge")

    def attach(self) -> None:
        self._level = self._logger.level
        self._logger.setLevel(INFO)
        self._logger.addHandler(self)

    def detach(self) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)

    def emit(self, record: LogRecord) -> None:
        self._show(record.getMessage())
