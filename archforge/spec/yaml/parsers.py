"""The events of a text by libyaml, which is quick, or by PyYAML's own parser, which every installation has.

libyaml comes in several versions or not at all, and complains in words and at places of its own. So it reads
only what none of them complains about; what is wrong is found and placed by PyYAML's own parser, the same
everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

__all__ = ["LIBYAML", "quick_events", "sure_events"]

LIBYAML: Any = getattr(yaml, "CLoader", None)  # None where PyYAML was built without it

# Tabs and byte order marks between words, `?` in a flow collection, `|#`: libyaml takes what is refused here.
_READ_OTHERWISE = re.compile(r"[\t?\ufeff]|[|>][-+0-9]*#")

_ENDS = "#\0\r\n\x85\u2028\u2029"  # what may stand behind the last word of a line


class _Loader(yaml.SafeLoader):
    """PyYAML's own parser, which refuses tabs; here they may stand between words and at the end of a line."""

    def scan_to_next_token(self) -> None:
        super().scan_to_next_token()
        while self._takes_tab():
            self.forward(self._blanks())
            super().scan_to_next_token()

    def scan_plain_spaces(self, indent: int, start_mark: Any) -> Any:
        blanks: str = self.prefix(self._blanks())
        if "\t" not in blanks:
            return super().scan_plain_spaces(indent, start_mark)
        self.forward(len(blanks))
        return super().scan_plain_spaces(indent, start_mark) if self.peek() in _ENDS else [blanks]

    def _takes_tab(self) -> bool:
        is_within_line = self.flow_level > 0 or not self.allow_simple_key
        return self.peek() == "\t" and (is_within_line or self.peek(self._blanks()) in _ENDS)

    def _blanks(self) -> int:
        """The number of spaces and tabs that follow."""
        length = 0
        while self.peek(length) in " \t":
            length += 1
        return length


def quick_events(text: str) -> Iterator[Any] | None:
    """Events of libyaml, or None without it and for a text of which it may make something else."""
    if LIBYAML is None or _READ_OTHERWISE.search(text):
        return None
    return yaml.parse(text, Loader=LIBYAML)


def sure_events(text: str) -> Iterator[Any]:
    """Events of PyYAML's own parser, ten times slower."""
    return yaml.parse(text, Loader=_Loader)
