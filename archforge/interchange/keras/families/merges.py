"""Merges of several values, and arithmetic with numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from archforge.interchange.flows import Flow, common_axes
from archforge.interchange.keras.description import KerasConstant
from archforge.interchange.keras.use import KerasUse, Translate
from archforge.interchange.translation import bound_op, require
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Op

__all__ = ["READ"]


def _merge(kind: str) -> Translate:
    """Values of one shape, one after the other; factors may be repeated."""

    def read(use: KerasUse) -> Flow:
        flows = use.together()
        if len({flow.type for flow in flows}) > 1 and kind != "multiply":
            flows = [use.draft.ours(flow) for flow in flows]
            require(len({len(flow.type.shape) for flow in flows}) == 1, "values of other numbers of axes")
        y = use.add(bound_op(kind), flows, gives=common_axes(flows))
        return use.same_order(flows[0], y)

    return read


def _average(use: KerasUse) -> Flow:
    total = _merge("add")(use)
    return use.same_order(total, use.add(bound_op("scale", factor=1 / len(use.flows)), total, "_mean"))


def _concat(use: KerasUse) -> Flow:
    flows, axis = use.together(is_elementwise=False), use.given("axis", -1)
    seen = common_axes(flows) or flows[0].axes
    require(type(axis) is int and -len(seen) <= axis < len(seen), f"`axis` = {axis!r}")
    if not seen[axis] or any(len(flow.type.shape) != len(seen) - 1 for flow in flows):
        flows = [use.draft.ours(flow) for flow in flows]
        seen = flows[0].axes
    ours = seen[axis]
    require(bool(ours), "along the batch")
    return use.add(bound_op("concat", axis=(ours or 1) - 1), flows, gives=seen)


def _arithmetic(merge: Translate, with_number: Callable[[float], Op]) -> Translate:
    """An operator of two values, of which the second may be a number."""

    def read(use: KerasUse) -> Flow:
        if len(use.flows) == len(use.values):
            return merge(use)
        first, second = use.values
        if isinstance(first, KerasConstant) and merge in _SYMMETRIC:
            first, second = second, first
        if not isinstance(first, Flow) or not isinstance(second, KerasConstant):
            raise Unsupported("a value from a number, or over it")
        require(type(second.value) in (int, float), "a constant that is no number")
        return use.same_order(first, use.add(with_number(float(second.value)), first))

    return read


_add, _multiply, _subtract = (_merge(kind) for kind in ("add", "multiply", "subtract"))
_SYMMETRIC = (_add, _multiply)
_divide = _arithmetic(_merge("divide"), lambda n: bound_op("scale", factor=1 / n if n else 0.0))

# Keras 3 writes its functions into HDF5 as if they were layers of these names.
_ARITHMETIC: Mapping[str, Translate] = {
    "Add": _arithmetic(_add, lambda n: bound_op("offset", number=n)),
    "Multiply": _arithmetic(_multiply, lambda n: bound_op("scale", factor=n)),
    "Subtract": _arithmetic(_subtract, lambda n: bound_op("offset", number=-n)),
}

READ: Mapping[str, Translate] = {
    **_ARITHMETIC,
    **{f"ops.{kind}": read for kind, read in _ARITHMETIC.items()},
    "Average": _average,
    "Concatenate": _concat,
    "ops.Concatenate": _concat,
    "ops.Divide": _divide,
    "ops.TrueDivide": _divide,
}
