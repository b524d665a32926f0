"""Parser of `preprocess`, a profile's recipe for pictures: the fields of `Preprocessing` that it gives."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from archforge.data.preprocessing import INTERPOLATIONS, PIXEL_VALUES, PixelValues, share_of
from archforge.errors import did_you_mean, fail
from archforge.spec.syntax.form_checks import Mistakes, mapping_of, refuse_unknown, shown, word_of
from archforge.spec.yaml.tree import Entry, Mapping, Scalar, Sequence, Tree

__all__ = ["ORDERS", "PREPROCESS_KEYS", "RESIZES", "VALUES_KEYS", "parse_preprocess"]

PREPROCESS_KEYS = ("resize", "crop_pct", "interpolation", "values", "source")
MAX_NUMBER = 1e6  # larger ones are no numbers of pixels
VALUES_KEYS = ("mean", "std", "scale", "order")
RESIZES = ("shorter", "exact")
ORDERS = ("rgb", "bgr")
_EXAMPLE = "{crop_pct: 224/232, interpolation: bilinear, values: imagenet, source: torchvision 0.28.0}"
_FOREIGN = {
    **dict.fromkeys(("crop", "crop_size", "crop_ratio", "resize_size", "size"), "crop_pct"),
    **dict.fromkeys(("crop_mode", "mode"), "resize"),
    **dict.fromkeys(("filter", "resample"), "interpolation"),
    **dict.fromkeys(("mean", "std", "normalize", "norm"), "values"),
}


def parse_preprocess(entry: Entry) -> dict[str, Any]:
    """The given fields of `Preprocessing`, by name. Raises all that is wrong with the section."""
    tree = mapping_of(entry.value, "`preprocess`", f"preprocess: {_EXAMPLE}")
    if not tree.entries:
        fail("E0203", "`preprocess` is empty", entry.key_span, help=f"preprocess: {_EXAMPLE}")
    mistakes = Mistakes()
    mistakes.attempt(lambda: refuse_unknown(tree, PREPROCESS_KEYS, _FOREIGN), None)
    fields: dict[str, Any] = {}
    for item in tree:
        mistakes.attempt(lambda i=item: fields.update(_field(i)), None)  # type: ignore[misc]
    mistakes.close()
    return fields


def _field(entry: Entry) -> dict[str, Any]:
    key, tree = entry.key, entry.value
    if key == "resize":
        if isinstance(tree, Scalar) and isinstance(tree.value, int):
            help = f"crop_pct: 224/{tree.value} for an input of 224"
            fail("E0203", f"`resize` is shorter or exact, found {shown(tree)}", tree.span, help=help)
        return {"exact": _one_of(tree, "`resize`", RESIZES) == "exact"}
    if key == "crop_pct":
        return {key: _share(tree)}
    if key == "interpolation":
        return {key: _one_of(tree, "`interpolation`", INTERPOLATIONS)}
    if key == "values":
        return {key: _values(tree) if isinstance(tree, Mapping) else _one_of(tree, "`values`", PIXEL_VALUES)}
    if key == "source":
        return {key: word_of(tree, "`source`")}
    return {}  # an unknown key, which is refused already


def _one_of(tree: Tree, what: str, known: Any) -> str:
    word = word_of(tree, what)
    if word not in known:
        help = did_you_mean(word, known, what="there are")
        fail("E0203", f"{what} is one of {', '.join(known)}, found `{word}`", tree.span, help=help)
    return word


def _share(tree: Tree) -> Fraction:
    """The share of a side that is kept, such as 0.95 or 224/232."""
    share = share_of(str(tree.value)) if isinstance(tree, Scalar) else None
    if share is not None:
        return share
    message = f"`crop_pct` is a share above 0, at most 1, found {shown(tree)}"
    fail("E0203", message, tree.span, help="0.95, or as two sizes, 224/232")


def _values(tree: Mapping) -> PixelValues:
    if not tree.entries:
        fail("E0203", "`values` is empty", tree.span, help="unit, or {mean: 0.5, std: 0.5}")
    mistakes = Mistakes()
    mistakes.attempt(lambda: refuse_unknown(tree, VALUES_KEYS), None)
    fields: dict[str, Any] = {}
    for item in tree:
        mistakes.attempt(lambda i=item: fields.update(_value(i)), None)  # type: ignore[misc]
    mistakes.close()
    return PixelValues(**fields)


def _value(entry: Entry) -> dict[str, Any]:
    key, tree = entry.key, entry.value
    if key in ("mean", "std"):
        items = tree.items if isinstance(tree, Sequence) else (tree,)
        if len(items) not in (1, 3):
            fail("E0203", f"`{key}` has a number for all channels, or three, found {len(items)}", tree.span)
        return {key: tuple(_number(item, key, positive=key == "std") for item in items)}
    if key == "scale":
        return {key: _number(tree, key, positive=True)}
    if key == "order":
        return {"bgr": _one_of(tree, "`order`", ORDERS) == "bgr"}
    return {}


def _number(tree: Tree, key: str, *, positive: bool) -> float:
    raw = tree.value if isinstance(tree, Scalar) else None
    number = raw if isinstance(raw, int | float) and not isinstance(raw, bool) else math.nan
    if abs(number) <= MAX_NUMBER and (number > 0 or not positive):
        return float(number)
    above = " above 0" if positive else ""
    fail("E0203", f"`{key}` is made of finite numbers{above}, found {shown(tree)}", tree.span)
