"""Exit codes of the command line."""

from __future__ import annotations

__all__ = ["CHECK_FAILED", "INTERNAL_ERROR", "INTERRUPTED", "OUTPUT_CLOSED", "USER_ERROR"]

CHECK_FAILED = 1
USER_ERROR = 2  # the spec, the data or the command is wrong
INTERNAL_ERROR = 70  # a bug of archforge

# Codes of a shell: the command was interrupted (130 by Ctrl-C; another signal gives 128 and its number), the
# reader of its output has gone.
INTERRUPTED = 130
OUTPUT_CLOSED = 141
