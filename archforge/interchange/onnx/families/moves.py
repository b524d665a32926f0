"""Moves of elements: other shapes and orders, margins, stretches, repetition."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.interchange.onnx.nodes import OnnxNode, OnnxOp, OnnxTranslation, reshaped
from archforge.interchange.onnx.writing import OnnxUse, Write, around_map
from archforge.interchange.translation import bound_op, number, require
from archforge.ops.base import per_axis
from archforge.ops.lazy_numpy import np

__all__ = ["READ", "WRITTEN"]


def _flatten(node: OnnxNode) -> list[OnnxTranslation]:
    axis = node.attributes.get("axis", 1) % len(node.x)
    if axis == 0:
        require(node.x[0] == 1 or node.axes is None, "an axis that flattens the batch too")
        if node.axes is None:
            return [OnnxTranslation((bound_op("reshape", shape=(1, -1)),))]
    else:
        require(axis == 1, "an axis that flattens the batch too")
    return [OnnxTranslation((bound_op("flatten"),), is_batched=True)]


def _reshape(node: OnnxNode) -> list[OnnxTranslation]:
    """The batch, one image in a network, has to stay in front."""
    shape = reshaped(node.x, node.weight(1), node.attributes)
    if node.axes is None:
        return [OnnxTranslation((bound_op("reshape", shape=shape),))]
    require(shape[:1] == (1,), "a shape without the batch in front")
    op = bound_op("flatten") if len(shape) == 2 else bound_op("reshape", shape=shape[1:])
    return [OnnxTranslation((op,), is_batched=True)]


def _transpose(node: OnnxNode) -> list[OnnxTranslation]:
    order = node.ints("perm") or tuple(reversed(range(len(node.x))))
    return [OnnxTranslation((bound_op("permute", order=order),))]


def _pad(node: OnnxNode) -> list[OnnxTranslation]:
    require(node.attributes.get("mode", "constant") == "constant", "a mode other than `constant`")
    sides, value, given = node.weight(1), node.constant(2), node.constant(3)
    axes = range(len(node.x)) if given is None else [a % len(node.x) for a in given]
    widths = sides.reshape(2, -1).T
    by_axis = {int(axis): (int(a), int(b)) for axis, (a, b) in zip(axes, widths, strict=True)}
    none = (0, 0)
    require(by_axis.get(0, none) == by_axis.get(1, none) == none, "padding of the batch or the channels")
    flat = tuple(n for axis in range(2, len(node.x)) for n in by_axis.get(axis, none))
    op = bound_op("pad", sides=flat, value=0.0 if value is None or not value.size else number(value))
    return [OnnxTranslation((op,), is_batched=True)]


def _slice(node: OnnxNode) -> list[OnnxTranslation]:
    starts, ends, given, steps = node.weight(1), node.weight(2), node.constant(3), node.constant(4)
    axes = range(len(starts)) if given is None else given
    require(steps is None or {*steps} == {1}, "steps other than 1")
    ops = []
    for start, end, axis in zip(map(int, starts), map(int, ends), map(int, axes), strict=True):
        size = node.x[axis]
        whole = min(end, size)  # of a stretch up to the end, some files say a huge number
        if node.axes is not None and (start in (0, -size)) and whole == size:
            continue
        inside = -size <= start < size and -size <= (end if node.axes is None else whole) <= size
        require(inside, "bounds outside the array, which ours refuses")
        ops.append(bound_op("slice", start=start, end=end if end <= size else None, axis=node.axis(axis)))
    return [OnnxTranslation(tuple(ops) or (bound_op("identity"),))]


def _split(node: OnnxNode) -> list[OnnxTranslation]:
    axis, sizes = node.attributes.get("axis", 0), node.constant(1)
    size, parts = node.x[axis], len(node.asked)
    if sizes is None:  # as alike as can be, the last one smaller
        sizes = np.full(parts, -(-size // parts))
    found, start = [], 0
    for extent, asked in zip(map(int, sizes), node.asked, strict=True):
        end = min(start + extent, size)
        if asked:
            found.append(OnnxTranslation((bound_op("slice", start=start, end=end, axis=node.axis(axis)),)))
        start = end
    return found


# ONNX's ways to place and round that are floor(i / factor) for a whole factor.
_NEAREST = {("half_pixel", "round_prefer_floor"), ("asymmetric", "floor")}


_LINEAR = ("half_pixel", "pytorch_half_pixel", "align_corners")


def _resize(node: OnnxNode) -> list[OnnxTranslation]:
    mode = node.attributes.get("mode", "nearest")
    require(mode != "cubic", "cubic interpolation")
    place = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    require(place != "tf_crop_and_resize", "cropping")
    factors = _factors(node)
    require(all(f == int(f) for f in factors), "a factor that is no whole number")
    if mode == "linear":
        require(place in _LINEAR, "interpolation from other places than torch's")
    if mode == "nearest":
        rounding = node.attributes.get("nearest_mode", "round_prefer_floor")
        require((place, rounding) in _NEAREST, "another nearest element than torch's")
    spatial = tuple(map(int, factors[2:]))
    corners = place == "align_corners"
    name = "nearest" if mode == "nearest" else {1: "linear", 2: "bilinear", 3: "trilinear"}[len(spatial)]
    op = bound_op("upsample", factor=spatial, mode=name, align_corners=corners)
    return [OnnxTranslation((op,), is_batched=True)]


def _factors(node: OnnxNode) -> list[float]:
    """The factor of each axis."""
    scales, sizes = node.constant(2), node.constant(3)
    given = [] if scales is None else [float(f) for f in scales]
    if not given:
        require(sizes is not None, "neither factors nor sizes")
        policy = node.attributes.get("keep_aspect_ratio_policy", "stretch")
        require(policy == "stretch", "sizes that keep the aspect ratio")
    axes = [axis % len(node.x) for axis in node.ints("axes") or range(len(node.x))]
    factors = [1.0] * len(node.x)
    for position, axis in enumerate(axes):
        factors[axis] = given[position] if given or sizes is None else int(sizes[position]) / node.x[axis]
    return factors


def _upsample(node: OnnxNode) -> list[OnnxTranslation]:
    scales = [float(f) for f in node.weight(1)]
    require(all(f == int(f) for f in scales), "a factor that is no whole number")
    mode = node.attributes.get("mode", "nearest")
    require(mode == "nearest", "interpolation, of which this version does not say the places")
    factors = tuple(map(int, scales[2:]))
    return [OnnxTranslation((bound_op("upsample", factor=factors),), is_batched=True)]


def _pad_written(use: OnnxUse) -> str:
    return use.node(
        "Pad",
        use.x,
        use.whole("sides", around_map(use.op.widths(use.types[0]))),
        use.numbers("fill", use.op.value),
    )


def _slice_written(use: OnnxUse) -> str:
    axis, stretch = use.op.stretch(use.types[0])
    parts = (("start", stretch.start), ("end", stretch.stop), ("axis", axis + 1))
    return use.node("Slice", use.x, *(use.whole(word, [number]) for word, number in parts))


def _shuffle_written(use: OnnxUse) -> str:
    (x,), groups = use.types, use.op.groups
    dealt = use.shaped(use.x, (groups, x.channels // groups, *x.spatial))
    turned = use.transposed(dealt, (0, 2, 1, *range(3, use.rank + 1)))
    return use.shaped(turned, x.shape)


def _upsample_written(use: OnnxUse) -> str:
    factors = per_axis(use.op.factor, use.rank - 2, "factor")
    if use.op.mode == "nearest":
        place = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        place = {"coordinate_transformation_mode": "align_corners" if use.op.align_corners else "half_pixel"}
    mode = "nearest" if use.op.mode == "nearest" else "linear"
    return use.node("Resize", use.x, "", use.numbers("factors", (1, 1, *factors)), mode=mode, **place)


READ: Mapping[str, OnnxOp] = {
    "Flatten": OnnxOp("flatten", _flatten),
    "Pad": OnnxOp("pad", _pad),
    "Reshape": OnnxOp("reshape", _reshape),
    "Resize": OnnxOp("upsample", _resize),
    "Slice": OnnxOp("slice", _slice),
    "Split": OnnxOp("slice", _split),
    "Transpose": OnnxOp("permute", _transpose),
    "Upsample": OnnxOp("upsample", _upsample),
}

WRITTEN: Mapping[str, Write] = {
    "flatten": lambda use: use.node("Flatten", use.x, axis=1),
    "pad": _pad_written,
    "permute": lambda use: use.transposed(use.x, (0, *(axis + 1 for axis in use.op.order))),
    "reshape": lambda use: use.shaped(use.x, use.output.shape),
    "shuffle": _shuffle_written,
    "slice": _slice_written,
    "upsample": _upsample_written,
}
