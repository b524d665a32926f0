"""Words that the readers of every format say our ops with."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from archforge.interchange.unsupported import Unsupported
from archforge.ops import op_class
from archforge.ops.base import Op
from archforge.ops.lazy_numpy import np

__all__ = ["bound_op", "number", "require"]


def bound_op(kind: str, **attributes: Any) -> Op:
    """Our op of that kind with these attributes. Raises `Unsupported` for what it cannot take."""
    try:
        return op_class(kind).model_validate(attributes)
    except ValidationError as error:
        name = str(error.errors(include_url=False)[0]["loc"][0])
        raise Unsupported(f"`{name}` = {attributes.get(name)}, which `{kind}` cannot take") from None


def number(value: Any) -> float:
    """A stored float32 as the shortest number that is stored so: 0.1, not 0.10000000149."""
    return float(str(np.asarray(value, np.float32).reshape(-1)[0]))


def require(condition: bool, reason: str) -> None:
    """Raises `Unsupported` for the reason unless the condition holds."""
    if not condition:
        raise Unsupported(reason)
