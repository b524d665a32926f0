"""Weights of Keras's layers under the names and in the layouts of archforge.

| Keras | here |
| --- | --- |
| kernels [H, W, I, O], and of transposed convolutions [H, W, O, I] | [O, I, H, W], and [I, O, H, W] |
| depthwise kernels [H, W, C, M] | [C * M, 1, H, W] |
| matrices [I, O] | [O, I] |
| gamma, beta, moving_mean, moving_variance | weight, bias, running_mean, running_var |
| gates of an LSTM: input, forget, cell, output | the same |
| gates of a GRU: update, reset, new | reset, update, new |

Source: the `call` methods in keras/src/layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from archforge.data.stored_arrays import StoredArray
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["Layer", "arrays_here", "named_as_here"]

_NAMES = {
    "kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
    "moving_variance": "running_var", "embeddings": "weight", "alpha": "weight",
}  # fmt: skip

Layer = Mapping[str, StoredArray]


def named_as_here(layers: Mapping[str, Layer], kinds: Mapping[str, str]) -> dict[str, StoredArray]:
    """The arrays of layers, each an array by the name that Keras gives it, as `LAYER.weight` and so on.

    kinds: the class of a layer, where it is known; a depthwise convolution is otherwise told by its name.
    """
    found: dict[str, StoredArray] = {}
    for name, layer in layers.items():
        kind = kinds.get(name) or kinds.get(name.rpartition(".")[2], name)
        for part, array in arrays_here(layer, kind):
            if found.setdefault(f"{name}.{part}", array) is not array:
                raise ValueError(f"two of its arrays are called `{name}.{part}`")
    return found


def arrays_here(layer: Layer, kind: str) -> Iterator[tuple[str, StoredArray]]:
    """The arrays of a layer of that class with their names here, such as `weight`, in the layouts of
    archforge."""
    if "recurrent_kernel" in layer:
        yield from _recurrent(layer)
    elif "pointwise_kernel" in layer:
        yield "depthwise.weight", _depthwise(layer["depthwise_kernel"])
        yield "pointwise.weight", _turned(layer["pointwise_kernel"])
        if "bias" in layer:
            yield "pointwise.bias", layer["bias"]
    else:
        for part, array in layer.items():
            if part == "depthwise_kernel" or (part == "kernel" and "depthwise" in kind.lower()):
                yield "weight", _depthwise(array)
            elif part == "kernel":
                yield "weight", _turned(array)
            else:
                is_unnamed = kind == "LayerScale" and part.startswith("variable")
                yield "weight" if is_unnamed else _NAMES.get(part, part), array


def _turned(array: StoredArray) -> StoredArray:
    """A kernel or matrix with its last two axes first, the last of them before the other."""
    rank = len(array.shape)
    if rank < 2:
        return array
    axes = (rank - 1, rank - 2, *range(rank - 2))
    return array.changed(tuple(array.shape[axis] for axis in axes), partial(np.transpose, axes=axes))


def _depthwise(array: StoredArray) -> StoredArray:
    """A kernel [*, C, M] as [C * M, 1, *]."""
    *window, channels, multiplier = array.shape
    shape = (channels * multiplier, 1, *window)
    return array.changed(shape, partial(_depthwise_first, shape))


def _depthwise_first(shape: tuple[int, ...], array: Array) -> Array:
    rank = array.ndim
    return array.transpose(rank - 2, rank - 1, *range(rank - 2)).reshape(shape)


# Recurrent layers ------------------------------------------------------------------------------------------


def _recurrent(layer: Layer) -> Iterator[tuple[str, StoredArray]]:
    hidden = layer["recurrent_kernel"].shape[0]
    gates = layer["recurrent_kernel"].shape[1] // max(hidden, 1)
    order = (1, 0, 2) if gates == 3 else tuple(range(gates))  # of a GRU
    for part, name in (("kernel", "weight_ih_l0"), ("recurrent_kernel", "weight_hh_l0")):
        if part in layer:
            array = layer[part]
            yield name, array.changed(array.shape[::-1], partial(_gates_of_matrix, order))
    if "bias" in layer:
        bias = layer["bias"]
        if len(bias.shape) == 1:
            yield "bias_ih_l0", bias.changed(bias.shape, partial(_in_order, order))
        else:  # of a GRU whose gates reset what the state's product has given
            for row, name in enumerate(("bias_ih_l0", "bias_hh_l0")):
                yield name, bias.changed(bias.shape[1:], _row(order, row))


def _gates_of_matrix(order: tuple[int, ...], array: Array) -> Array:
    return _in_order(order, array.T)


def _in_order(order: tuple[int, ...], array: Array) -> Array:
    """The gates, which are equal shares of the first axis, in another order."""
    shares = np.split(array, len(order))
    return np.concatenate([shares[gate] for gate in order])


def _row(order: tuple[int, ...], row: int) -> Callable[[Array], Array]:
    return lambda array: _in_order(order, array[row])
