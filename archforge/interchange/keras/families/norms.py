"""Products with matrices, and norms, trained and fixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archforge.interchange.flows import Flow
from archforge.interchange.keras.families.elementwise import activated
from archforge.interchange.keras.use import FixedNorm, KerasUse, Translate, turned_columns
from archforge.interchange.translation import bound_op, number, require
from archforge.ops.base import Array
from archforge.ops.batch_norm import BatchNorm
from archforge.ops.lazy_numpy import np

__all__ = ["READ"]


def _dense(use: KerasUse) -> Flow:
    x, bias = use.x, use.flag("use_bias", True)
    params = use.params("weight", "bias")
    if not x.axes[-1] or len([axis for axis in x.axes if axis]) < len(x.type.shape):
        x = use.draft.ours(x)
    axis = x.axes[-1] or 1
    if "weight" in params:
        params["weight"] = turned_columns(params["weight"], use.draft.flattened.get(x.value))
    is_features = len(x.type.shape) == 1
    op = bound_op("linear", out=use.given("units"), bias=bias, axis=None if is_features else axis - 1)
    return activated(use, use.add(op, x, params=params))


def _only_axis(use: KerasUse, rank: int) -> int:
    """The axis of a norm, the batch counted."""
    given = use.given("axis", -1)
    given = given[0] if isinstance(given, list) and len(given) == 1 else given
    require(type(given) is int and given % rank > 0, f"`axis` = {given!r}")
    return int(given) % rank


def _batch_norm(use: KerasUse) -> Flow:
    use.only("mode", 0)
    flattened = use.draft.flattened.get(use.x.value)
    x = use.x if flattened else use.with_channels(_only_axis(use, len(use.x.axes)))
    scale, center = use.flag("scale", True), use.flag("center", True)
    params = use.params("weight", "bias", "running_mean", "running_var")
    params = {name: turned_columns(array, flattened) for name, array in params.items()}
    op = bound_op(
        "bn",
        eps=number(use.real("epsilon", 1e-3)),
        momentum=number(1 - use.real("momentum", 0.99)),
        affine=scale or center,
        scale=scale or not center,
        center=center or not scale,
    )
    return use.same_order(x, use.add(op, x, params=params))


def _layer_norm(use: KerasUse) -> Flow:
    x = use.straight
    given = use.given("axis", -1)
    axes = [axis % len(x.axes) for axis in (given if isinstance(given, list) else [given])]
    require(axes == sorted({*axes}) and 0 not in axes, f"`axis` = {given!r}")
    require(not use.flag("rms_scaling", False), "without means")
    scale, center = use.flag("scale", True), use.flag("center", True)
    require(scale == center, "with scale and without center" if scale else "with center and without scale")
    ours = [x.axes[axis] for axis in axes]
    if None in ours or ours != sorted(axis for axis in ours if axis):
        x = use.draft.ours(x)
        ours = [*axes]
    numbers = tuple(axis - 1 for axis in ours if axis)
    op = bound_op(
        "layer_norm",
        axis=numbers[0] if len(numbers) == 1 else numbers,
        eps=number(use.real("epsilon", 1e-3)),
        affine=scale,
    )
    return use.add(op, x, params=use.params("weight", "bias"))


def _layer_scale(use: KerasUse) -> Flow:
    x, factors = use.with_channels(-1), use.array("weight")
    init = number(use.real("init_values", 1e-6))
    return use.add(bound_op("layer_scale", init=init, keep=False), x, params={"": factors})


# What is the same for every input: rescaling, and a normalization whose statistics are given


def _numbers(use: KerasUse, given: Any, channels: int) -> Array:
    try:
        found = np.asarray(given, np.float64).reshape(-1)
    except (TypeError, ValueError):
        found = np.empty(0)
    require(found.size in (1, channels), "numbers along another axis than the channels")
    return np.broadcast_to(found, channels)


def _rescaling(use: KerasUse) -> Flow:
    x = use.with_channels(-1)
    scale, offset = (
        _numbers(use, use.given(name, default), x.type.channels)
        for name, default in (("scale", 1.0), ("offset", 0.0))
    )
    return _fixed(use, x, scale, offset)


def _normalization(use: KerasUse) -> Flow:
    x = use.with_channels(_only_axis(use, len(use.x.axes)))
    use.only("invert", False)
    mean, variance = (
        _numbers(use, use.given(name, use.arrays.get(name)), x.type.channels) for name in ("mean", "variance")
    )
    factor = 1 / np.maximum(np.sqrt(variance), 1e-7)
    return _fixed(use, x, factor, -mean * factor)


def _fixed(use: KerasUse, x: Flow, factor: Array, offset: Array) -> Flow:
    """A value times a factor plus an offset: `scale`, or a batch norm that nothing trains. One after another
    one is one with it."""
    known = use.draft.fixed.get(x.value)
    if known is not None:
        factor, offset = known.factor * factor, known.offset * factor + offset
        x = Flow(known.value, x.type, x.axes)
    if not offset.any() and np.ptp(factor) == 0:
        y = use.add(bound_op("scale", factor=float(factor[0])), x)
    else:
        op = BatchNorm(affine=False)
        variance = factor**-2.0 - op.eps
        require(bool((factor > 0).all() and (variance >= 0).all()), "a factor that is no standard deviation")
        params = {"running_mean": -offset / factor, "running_var": variance}
        y = use.add(op, x, params={n: p.astype(np.float32) for n, p in params.items()})
    use.draft.fixed[y.value] = FixedNorm(x.value, factor, offset)
    return y


READ: Mapping[str, Translate] = {
    "BatchNormalization": _batch_norm,
    "Dense": _dense,
    "LayerNormalization": _layer_norm,
    "LayerScale": _layer_scale,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
}
