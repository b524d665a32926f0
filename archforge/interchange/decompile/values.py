"""Stand-ins for the attributes of steps: formulas, parameters, and marks where there is no value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = ["ABSENT", "LEFT_OUT", "REQUIRED", "Counted", "Expression", "Mark", "Parameter"]


class Mark(Enum):
    """A sign in the place of a value: of a step that is not there, or that the default gives right."""

    ABSENT = "absent"
    LEFT_OUT = "left out"


ABSENT, LEFT_OUT = Mark.ABSENT, Mark.LEFT_OUT


@dataclass(frozen=True, slots=True)
class Expression:
    """A formula of the language, without its `=`."""

    text: str


class Required(Enum):
    """The default of a parameter that every call gives."""

    REQUIRED = "required"


REQUIRED = Required.REQUIRED


@dataclass(frozen=True, slots=True)
class Counted:
    """A number that rises by one with each repeat of a step."""

    start: int | Expression

    @property
    def text(self) -> str:
        """The formula of it."""
        if not self.start:
            return "i"
        return f"i + {self.start.text if isinstance(self.start, Expression) else self.start}"


@dataclass(slots=True)
class Parameter:
    """An argument of a block, or a column of a loop. attribute: that of an op which it stands for. column:
    its value in each occurrence; by_default: whether the default gives it there."""

    name: str
    attribute: str
    default: Any
    column: list[Any]
    by_default: list[bool]

    @property
    def kind(self) -> str:
        """The word that declares it."""
        kinds = {bool: "bool", int: "int", float: "float", str: "str", tuple: "list"}
        return kinds[type(next(v for v in self.column if v is not ABSENT))]
