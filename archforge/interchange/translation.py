"""Words that the readers of every format say our ops with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from archforge.interchange.flows import Axes, Flow
from archforge.interchange.unsupported import Unsupported
from archforge.ops import op_class
from archforge.ops.base import Op
from archforge.ops.lazy_numpy import np

__all__ = ["axes_behind_map", "bound_op", "number", "require"]


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


def axes_behind_map(x: Flow, gone: Iterable[int], *, keep: bool) -> Axes:
    """The axes by which a file sees what one number for each channel of a map leaves. gone: the axes that it
    is over, as the file counts them. keep: they stay. Raises `Unsupported` for others than those of a map."""
    axes = {int(axis) % len(x.axes) for axis in gone}
    spatial = {x.axes.index(axis) for axis in range(2, len(x.type.shape) + 1) if axis in x.axes}
    require(axes == spatial != set() and None not in x.axes, "over other axes than those of a map")
    return x.axes if keep else tuple(axis for place, axis in enumerate(x.axes) if place not in spatial)


def require(condition: bool, reason: str) -> None:
    """Raises `Unsupported` for the reason unless the condition holds."""
    if not condition:
        raise Unsupported(reason)
