"""The exception for what a format, or this compiler, has no words for."""

from __future__ import annotations

__all__ = ["Unsupported"]


class Unsupported(Exception):
    """An op, or a use of it, that the other side cannot say. The text is the reason."""
