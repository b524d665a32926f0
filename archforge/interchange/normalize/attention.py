"""Two linear layers with softmax(q k^T / sqrt(D)) v between them, head by head, are `attention`.

Between the layers exporters split, reshape and transpose in many ways. So it is asked which elements of the
first layer's output a value holds, whatever moved them there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from archforge.interchange.normalize.rule import ForeignGraph, Replacement, Rule, Sight, draft, step
from archforge.ir import Node
from archforge.ops.attention import ATTENTION_NAMES, Attention
from archforge.ops.lazy_numpy import np
from archforge.ops.linear import Linear

__all__ = ["RULE"]

_MOVES = ("flatten", "permute", "reshape", "slice")


class _Moved(NamedTuple):
    """A value made of elements of another one, times a factor. places: int64 of the value's shape, the place
    of each element in the other one, flat."""

    of: str
    places: Any
    factor: float


class _LayerRows(NamedTuple):
    """Queries, keys or values: a linear layer over the last axis, and its rows, one head of so many after the
    other."""

    layer: Node
    rows: Any
    size: int


def _apply(node: Node, sight: Sight) -> Replacement | None:
    shape = sight.type(node.name).shape
    if len(shape) < 2 or not _is_over_features(node, sight):
        return None
    mix = _moved_only(node.inputs[0], "matmul", sight)
    softmax = _moved_only(mix.inputs[0], "softmax", sight) if mix else None
    product = _moved_only(softmax.inputs[0], "matmul", sight) if softmax else None
    if mix is None or softmax is None or product is None:
        return None
    joined, logits = _moved(node.inputs[0], sight), _moved(softmax.inputs[0], sight)
    q, k = _factors(product, sight)
    mixed, v = _factors(mix, sight)
    size = v.places.shape[-1]
    if not _is_in_order(logits) or not _is_in_order(mixed) or not _is_last_axis(softmax, sight):
        return None
    if {mixed.factor, v.factor, joined.factor} != {1} or shape[-1] % size:
        return None
    if not math.isclose(q.factor * k.factor * logits.factor, size**-0.5, rel_tol=1e-5):
        return None
    whole = (math.prod(shape[:-2]), shape[-1] // size, shape[-2], size)
    by_token = np.arange(math.prod(whole)).reshape(whole).swapaxes(1, 2)
    if not np.array_equal(joined.places.ravel(), by_token.ravel()):
        return None
    turned = k._replace(places=k.places.swapaxes(-1, -2))
    return _attention(node, [_part(each, whole, sight) for each in (q, turned, v)], sight)


def _attention(node: Node, parts: Sequence[_LayerRows | None], sight: Sight) -> Replacement | None:
    """The op in place of the last layer, where queries, keys and values are made by layers of one value."""
    known = [part for part in parts if part]
    layers = [part.layer for part in known]
    inputs = {_behind_shapes(layer.inputs[0], node, sight) for layer in layers}
    biased = {layer.op.attributes()["bias"] for layer in (node, *layers)}
    if len(known) < len(parts) or len(inputs) > 1 or "" in inputs or len(biased) > 1:
        return None
    if any(map(sight.is_shared, (node, *layers))):
        return None
    last = sight.params(node)
    first = {
        name: np.concatenate([sight.params(part.layer)[name][part.rows] for part in known]) for name in last
    }
    names = ATTENTION_NAMES["torch"]
    params = dict(zip(names[::2], (first["weight"], last["weight"]), strict=True))
    if "bias" in last:
        params |= dict(zip(names[1::2], (first["bias"], last["bias"]), strict=True))
    heads = len(known[0].rows) // known[0].size
    return Replacement(Attention(heads=heads, bias="bias" in last), (*inputs,), params)


def _part(moved: _Moved, shape: tuple[int, ...], sight: Sight) -> _LayerRows | None:
    """The layer and rows of which a value of that shape (windows, heads, tokens, D) is made; None where its
    tokens or heads are others."""
    layer = sight.maker(moved.of, "linear")
    if layer is None or not _is_over_features(layer, sight) or moved.places.size != math.prod(shape):
        return None
    windows, heads, tokens, size = shape
    width = sight.type(layer.name).shape[-1]
    places = moved.places.reshape(shape)
    rows = places[0, :, 0]
    starts = np.arange(windows * tokens).reshape(windows, 1, tokens, 1) * width
    if rows.max() >= width or not np.array_equal(places, starts + rows[:, None]):
        return None
    return _LayerRows(layer, rows.reshape(heads * size), size)


def _behind_shapes(value: str, node: Node, sight: Sight) -> str:
    """The value of the shape that the last layer makes whose elements are those of `value` in order; nothing
    if there is none."""
    while sight.type(value) != sight.type(node.name):
        maker = sight.maker(value, *_MOVES)
        if maker is None or not _is_in_order(_moved(value, sight)):
            return ""
        value = maker.inputs[0]
    return value


def _factors(product: Node, sight: Sight) -> tuple[_Moved, _Moved]:
    """The two values of a matrix product, as they are multiplied."""
    flags = product.op.attributes()
    found = []
    for value, name in zip(product.inputs, ("transpose_first", "transpose_second"), strict=True):
        moved = _moved(value, sight)
        found.append(moved._replace(places=moved.places.swapaxes(-1, -2)) if flags[name] else moved)
    return found[0], found[1]


def _moved_only(value: str, kind: str, sight: Sight) -> Node | None:
    """The node of a kind whose elements a value is made of, if nothing else sees what it makes."""
    return sight.only(_moves(value, sight)[0], kind)


def _moved(value: str, sight: Sight) -> _Moved:
    """The elements that a value is made of, through ops that only move them or multiply them by a number."""
    of, nodes = _moves(value, sight)
    shape, factor = sight.type(of).shape, 1.0
    places: Any = np.arange(math.prod(shape)).reshape(shape)
    for node in reversed(nodes):
        if node.op.kind == "scale":
            factor *= node.op.attributes()["factor"]
        else:
            places = node.op.reference({}, places[None])[0]
    return _Moved(of, places, factor)


def _moves(value: str, sight: Sight) -> tuple[str, list[Node]]:
    """The value whose elements another one is made of, and the nodes that move or multiply them, the last
    first."""
    nodes: list[Node] = []
    while node := sight.maker(value, *_MOVES, "scale"):
        nodes.append(node)
        value = node.inputs[0]
    return value, nodes


def _is_in_order(moved: _Moved) -> bool:
    """True where all elements are there, in their order."""
    return bool(np.array_equal(moved.places.ravel(), np.arange(moved.places.size)))


def _is_last_axis(softmax: Node, sight: Sight) -> bool:
    axes = len(sight.type(softmax.name).shape)
    return bool(softmax.op.attributes()["axis"] % axes == axes - 1)


def _is_over_features(node: Node, sight: Sight) -> bool:
    """True for a linear layer over the last axis."""
    if not isinstance(node.op, Linear):
        return False
    (x,) = sight.types(node)
    return node.op.feature_axis(x) == len(x.shape) - 1


def _examples() -> Iterator[ForeignGraph]:
    heads: dict[str, Any] = {"shape": (5, 2, 3)}
    turned: dict[str, Any] = {"order": (1, 0, 2)}
    for way in ("joined", "apart", "by head"):
        if way == "apart":
            layers = [step(f"{c}_fc", "linear", "x", out=6) for c in "qkv"]
            parts = [step(f"{c}_part", "reshape", f"{c}_fc", **heads) for c in "qkv"]
        elif way == "joined":
            layers = [step("fc", "linear", "x", out=18)]
            cut = [
                step(f"{c}_cut", "slice", "fc", start=6 * n, end=6 * n + 6, axis=1)
                for n, c in enumerate("qkv")
            ]
            parts = [*cut, *(step(f"{c}_part", "reshape", f"{c}_cut", **heads) for c in "qkv")]
        else:
            layers = [
                step("fc", "linear", "x", out=18, bias=False),
                step("by_head", "reshape", "fc", shape=(5, 2, 9)),
            ]
            parts = [
                step(f"{c}_part", "slice", "by_head", start=3 * n, end=3 * n + 3, axis=2)
                for n, c in enumerate("qkv")
            ]
        yield draft(
            *layers,
            *parts,
            *(step(c, "permute", f"{c}_part", **turned) for c in "qv"),
            step("q_scaled", "scale", "q", factor=3**-0.5),
            step("k", "permute", "k_part", order=(1, 2, 0)),
            step("logits", "matmul", "q_scaled", "k"),
            step("shares", "softmax", "logits", axis=-1),
            step("mix", "matmul", "shares", "v"),
            step("tokens", "permute", "mix", **turned),
            step("features", "reshape", "tokens", shape=(5, 6)),
            step("end", "linear", "features", out=6, bias=way != "by head"),
            shape=(5, 6),
        )


RULE = Rule("attention", 4, _apply, _examples)
