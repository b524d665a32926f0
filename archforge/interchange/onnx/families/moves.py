"""Moves of elements: other shapes and orders, margins, stretches, repetition."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from archforge.interchange.onnx.nodes import OnnxNode, OnnxOp, OnnxTranslation, Translate, reshaped
from archforge.interchange.onnx.writing import OnnxUse, Write, around_map
from archforge.interchange.translation import bound_op, number, require
from archforge.interchange.unsupported import Unsupported
from archforge.ops.base import Array, per_axis
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
    """The batch, one image in a network, is in front before and after, or no axis of its own."""
    shape = reshaped(node.x, node.weight(1), node.attributes)
    if node.axes is None:
        return [OnnxTranslation((bound_op("reshape", shape=shape),))]
    is_front = shape[:1] == (1,) and len(shape) > 1
    op = bound_op("flatten") if is_front and len(shape) == 2 else bound_op("reshape", shape=shape[is_front:])
    if is_front and node.x[:1] == (1,):
        return [OnnxTranslation((op,), is_batched=True)]
    gives = tuple(range(not is_front, len(shape) + (not is_front)))
    return [OnnxTranslation((op,), gives=gives, has_batch_within=True)]


def _gather(node: OnnxNode) -> list[OnnxTranslation]:
    """One entry along an axis, which is gone then, or entries by their numbers."""
    if 1 not in node.constants and 0 in node.constants:
        return _embedded(node)
    picked, axis = node.weight(1), node.attributes.get("axis", 0) % len(node.x)
    axes, size = node.axes, node.x[axis]
    require(axes is not None and picked.ndim < 3 and picked.size > 0, "entries by a table of places")
    places = [place + size if place < 0 else place for place in map(int, picked.reshape(-1))]
    require(0 <= min(places) <= max(places) < size, "places outside the array")
    kept = axes or ()
    if picked.ndim > 1 or places != [*range(places[0], places[-1] + 1)]:
        return _taken(node, axis, np.array(places).reshape(picked.shape))
    gives = kept if picked.ndim else (*kept[:axis], *kept[axis + 1 :])
    if len(places) == size:
        return [OnnxTranslation((bound_op("identity"),), gives=gives)]
    op = bound_op("slice", start=places[0], end=places[-1] + 1, axis=node.axis(axis))
    return [OnnxTranslation((op,), gives=gives)]


def _embedded(node: OnnxNode) -> list[OnnxTranslation]:
    """The rows of a stored table that computed numbers name."""
    table, places = node.weight(0), node.shape(1)
    require(table.ndim == 2 and node.attributes.get("axis", 0) == 0, "entries of no table of rows")
    op = bound_op("embedding", entries=table.shape[0], out=table.shape[1])
    return [OnnxTranslation((op,), (1,), {"weight": table}, gives=tuple(range(len(places) + 1)))]


def _taken(node: OnnxNode, axis: int, places: Array) -> list[OnnxTranslation]:
    """Entries by their numbers; those of two axes are read where nothing but the batch is before them."""
    rows = places.tolist()
    indices = tuple(map(tuple, rows)) if places.ndim > 1 else tuple(rows)
    op = bound_op("take", indices=indices, axis=node.axis(axis))
    if places.ndim == 1:
        return [OnnxTranslation((op,), gives=node.axes)]
    require(node.axes == tuple(range(len(node.x))), "entries by a table of places")
    return [OnnxTranslation((op,), gives=tuple(range(len(node.x) + 1)))]


def _transpose(node: OnnxNode) -> list[OnnxTranslation]:
    order = node.ints("perm") or tuple(reversed(range(len(node.x))))
    return [OnnxTranslation((bound_op("permute", order=order),))]


def _pad(node: OnnxNode) -> list[OnnxTranslation]:
    mode = node.attributes.get("mode", "constant")
    require(mode != "wrap", "a map that goes on at its other end")
    sides, value, said = node.weight(1), node.constant(2), node.constant(3)
    axes = range(len(node.x)) if said is None else [a % len(node.x) for a in said]
    widths = sides.reshape(2, -1).T
    by_axis = {int(axis): (int(a), int(b)) for axis, (a, b) in zip(axes, widths, strict=True)}
    none = (0, 0)
    require(by_axis.get(0, none) == by_axis.get(1, none) == none, "padding of the batch or the channels")
    flat = tuple(n for axis in range(2, len(node.x)) for n in by_axis.get(axis, none))
    added = 0.0 if mode != "constant" or value is None or not value.size else number(value)
    op = bound_op("pad", sides=flat, value=added, mode="replicate" if mode == "edge" else mode)
    return [OnnxTranslation((op,), is_batched=True)]


def _slice(node: OnnxNode) -> list[OnnxTranslation]:
    """Stretches of axes; each so many-th element of a map is what a pool over single elements takes."""
    starts, ends, given, steps = node.weight(1), node.weight(2), node.constant(3), node.constant(4)
    axes = range(len(starts)) if given is None else given
    stride = [1] * len(node.x)
    for axis, step in zip(axes, () if steps is None else steps, strict=steps is not None):
        stride[axis] = int(step)
    require(min(stride) > 0, "steps backwards")
    has_steps = max(stride) > 1
    is_map = 2 < len(stride) < 6 and stride[0] == stride[1] == 1
    require(not has_steps or is_map, "steps other than 1, along no axis of a map")
    ops = []
    for start, end, axis in zip(map(int, starts), map(int, ends), map(int, axes), strict=True):
        size = node.x[axis]
        whole = min(end, size)  # of a stretch up to the end, some files say a huge number
        if node.axes is not None and (start in (0, -size)) and whole == size:
            continue
        inside = -size <= start < size and -size <= (end if node.axes is None else whole) <= size
        require(inside, "bounds outside the array, which ours refuses")
        require(not has_steps or axis % len(node.x) > 0, "a part of the batch")
        ours = axis % len(node.x) - 1 if has_steps else node.axis(axis)
        ops.append(bound_op("slice", start=start, end=end if end <= size else None, axis=ours))
    if has_steps:
        ops.append(bound_op("max_pool", kernel=1, stride=tuple(stride[2:])))
    return [OnnxTranslation(tuple(ops) or (bound_op("identity"),), is_batched=has_steps)]


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


# ONNX's ways to place and round, and which of torch's two nearest elements they are: its own places and
# those of the second agree at whole factors alone.
_NEAREST = {
    ("asymmetric", "floor"): "nearest",
    ("half_pixel", "round_prefer_floor"): "whole",
    ("half_pixel", "round_prefer_ceil"): "nearest_exact",
}
_CORNERS = {
    "half_pixel": "half_pixel",
    "pytorch_half_pixel": "half_pixel",
    "align_corners": "align_corners",
    "asymmetric": "asymmetric",
}


def _resize(node: OnnxNode) -> list[OnnxTranslation]:
    """`upsample` where it can say it, by whole factors; `resize` for all else."""
    given = node.attributes
    mode, place = given.get("mode", "nearest"), given.get("coordinate_transformation_mode", "half_pixel")
    require(place != "tf_crop_and_resize", "cropping")
    require(not given.get("antialias"), "an average over the elements that a smaller map leaves out")
    factors = _factors(node)[2:]
    sizes = [math.floor(n * f) for n, f in zip(node.x[2:], factors, strict=True)]
    exact = all(n * f == o for n, f, o in zip(node.x[2:], factors, sizes, strict=True))
    require(exact, "a factor that leaves a part of an element")
    whole = all(f == int(f) for f in factors)
    if mode == "nearest":
        rounding = given.get("nearest_mode", "round_prefer_floor")
        found = _NEAREST.get((place, rounding), "")
        if whole and found in ("nearest", "whole"):
            return _upsampled(factors, "nearest")
        require(found not in ("", "whole"), "another nearest element than torch's")
        return [OnnxTranslation((bound_op("resize", size=tuple(sizes), mode=found),), is_batched=True)]
    require(place in _CORNERS, "interpolation from other places than ours")
    require(place != "pytorch_half_pixel" or min(sizes) > 1, "a single element from the edge")
    if mode == "linear" and whole and place != "asymmetric":
        linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(factors)]
        return _upsampled(factors, linear, align_corners=place == "align_corners")
    if mode == "cubic":
        require(given.get("cubic_coeff_a", -0.75) == -0.75, "another cubic kernel than torch's")
        require(not given.get("exclude_outside"), "shares of elements outside that are left out")
    op = bound_op("resize", size=tuple(sizes), mode=mode, corners=_CORNERS[place])
    return [OnnxTranslation((op,), is_batched=True)]


def _upsampled(factors: Sequence[float], mode: str, align_corners: bool = False) -> list[OnnxTranslation]:
    op = bound_op("upsample", factor=tuple(map(int, factors)), mode=mode, align_corners=align_corners)
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


def _pixel_move(kind: str) -> Translate:
    """ONNX has its blocks first, unless `DepthToSpace` says otherwise."""

    def translate(node: OnnxNode) -> list[OnnxTranslation]:
        blocks_first = node.attributes.get("mode", "DCR") == "DCR"
        order = "blocks_first" if blocks_first else "channels_first"
        op = bound_op(kind, factor=node.attributes["blocksize"], order=order)
        return [OnnxTranslation((op,), is_batched=True)]

    return translate


def _upsample(node: OnnxNode) -> list[OnnxTranslation]:
    scales = [float(f) for f in node.weight(1)]
    require(all(f == int(f) for f in scales), "a factor that is no whole number")
    mode = node.attributes.get("mode", "nearest")
    require(mode == "nearest", "interpolation, of which this version does not say the places")
    factors = tuple(map(int, scales[2:]))
    return [OnnxTranslation((bound_op("upsample", factor=factors),), is_batched=True)]


def _pad_written(use: OnnxUse) -> str:
    op, widths = use.op, use.op.widths(use.types[0])
    if op.mode == "constant":
        sides = use.whole("sides", around_map(widths))
        return use.node("Pad", use.x, sides, use.numbers("fill", op.value))
    around = [(max(before, 0), max(after, 0)) for before, after in widths]
    mode = "edge" if op.mode == "replicate" else op.mode
    padded = use.node("Pad", use.x, use.whole("sides", around_map(around)), mode=mode)
    if around == list(widths):
        return padded
    starts = [max(-before, 0) for before, _ in widths]
    ends = [start + n for start, n in zip(starts, use.output.spatial, strict=True)]
    parts = (("starts", starts), ("ends", ends), ("axes", range(2, use.rank)))
    return use.node("Slice", padded, *(use.whole(word, numbers) for word, numbers in parts))


def _parameter_written(use: OnnxUse) -> str:
    """The stored array, once for each sample."""
    whole = use.own[0] if use.op.batch_axis else use.shaped(use.own[0], (1, *use.op.shape), batch=None)
    samples = use.node("Shape", use.x, start=0, end=1)
    return use.node("Expand", whole, use.node("Concat", samples, use.whole("shape", use.op.shape), axis=0))


def _embedding_written(use: OnnxUse) -> str:
    """Numbers rounded down and clipped, as whole ones, and a Gather of the table."""
    bounds = (use.numbers("first", 0), use.numbers("last", use.op.entries - 1))
    rows = use.node("Clip", use.node("Floor", use.x), *bounds)
    return use.node("Gather", use.own[0], use.node("Cast", rows, to=7))


def _roll_written(use: OnnxUse) -> str:
    """The last entries, then the others."""
    extent = use.types[0].shape[use.op.axis]
    first = -use.op.shift % extent
    if not first:
        return use.node("Identity", use.x)
    along = use.whole("axis", [use.axis])
    parts = (
        use.node("Slice", use.x, use.whole("start", [start]), use.whole("end", [end]), along)
        for start, end in ((first, extent), (0, first))
    )
    return use.node("Concat", *parts, axis=use.axis)


def _slice_written(use: OnnxUse) -> str:
    axis, stretch = use.op.stretch(use.types[0])
    parts = (("start", stretch.start), ("end", stretch.stop), ("axis", axis + 1))
    return use.node("Slice", use.x, *(use.whole(word, [number]) for word, number in parts))


def _take_written(use: OnnxUse) -> str:
    return use.node("Gather", use.x, use.whole("indices", np.array(use.op.indices)), axis=use.axis)


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


_PLACES = {
    "nearest": ("asymmetric", "floor"),
    "nearest_exact": ("half_pixel", "round_prefer_ceil"),
}


def _resize_written(use: OnnxUse) -> str:
    op, axes = use.op, list(range(2, use.rank))
    if op.mode == "cubic" and len(axes) != 2:
        raise Unsupported("cubic `resize` of what is no image")
    place, rounding = _PLACES.get(op.mode, (op.corners, ""))
    more = {"nearest_mode": rounding} if rounding else {}
    mode = "nearest" if rounding else op.mode
    sizes = use.whole("sizes", use.output.spatial)
    return use.node(
        "Resize", use.x, "", "", sizes, axes=axes, mode=mode, coordinate_transformation_mode=place, **more
    )


def _pixel_shuffle_written(use: OnnxUse) -> str:
    mode = "DCR" if use.op.order == "blocks_first" else "CRD"
    return use.node("DepthToSpace", use.x, blocksize=use.op.factor, mode=mode)


def _pixel_unshuffle_written(use: OnnxUse) -> str:
    """ONNX has its blocks first alone."""
    if use.op.order == "blocks_first":
        return use.node("SpaceToDepth", use.x, blocksize=use.op.factor)
    (x,), f = use.types, use.op.factor
    split = use.shaped(use.x, (x.channels, x.spatial[0] // f, f, x.spatial[1] // f, f))
    return use.shaped(use.transposed(split, (0, 1, 3, 5, 2, 4)), use.output.shape)


READ: Mapping[str, OnnxOp] = {
    "DepthToSpace": OnnxOp("pixel_shuffle", _pixel_move("pixel_shuffle")),
    "Flatten": OnnxOp("flatten", _flatten),
    "Gather": OnnxOp("slice", _gather),
    "Pad": OnnxOp("pad", _pad),
    "Reshape": OnnxOp("reshape", _reshape),
    "Resize": OnnxOp("resize", _resize),
    "Slice": OnnxOp("slice", _slice),
    "SpaceToDepth": OnnxOp("pixel_unshuffle", _pixel_move("pixel_unshuffle")),
    "Split": OnnxOp("slice", _split),
    "Transpose": OnnxOp("permute", _transpose),
    "Upsample": OnnxOp("upsample", _upsample),
}

WRITTEN: Mapping[str, Write] = {
    "flatten": lambda use: use.node("Flatten", use.x, axis=1),
    "pad": _pad_written,
    "pixel_shuffle": _pixel_shuffle_written,
    "pixel_unshuffle": _pixel_unshuffle_written,
    "embedding": _embedding_written,
    "parameter": _parameter_written,
    "permute": lambda use: use.transposed(use.x, (0, *(axis + 1 for axis in use.op.order))),
    "reshape": lambda use: use.shaped(use.x, use.output.shape),
    "resize": _resize_written,
    "roll": _roll_written,
    "shuffle": _shuffle_written,
    "slice": _slice_written,
    "take": _take_written,
    "upsample": _upsample_written,
}
