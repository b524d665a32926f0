"""Descriptions of models in files of Keras 1 to 3, in one form: layers, and what each of them is called on.

A description is data: a class or function that is not Keras's own keeps the name by which it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from archforge.data.frameworks.keras import DEEPEST, layers_in

__all__ = [
    "INPUT",
    "MODELS",
    "KerasCall",
    "KerasConstant",
    "KerasLayer",
    "KerasModel",
    "Ref",
    "described_layer",
    "described_model",
]

MODELS = ("Functional", "Model", "Sequential")
INPUT = "InputLayer"

# What Keras 1 called layers and their settings.
_KINDS = {
    "AtrousConvolution2D": "Conv2D",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "Deconvolution2D": "Conv2DTranspose",
    "SeparableConvolution2D": "SeparableConv2D",
}
_SETTINGS = {
    "atrous_rate": "dilation_rate",
    "batch_input_shape": "batch_shape",
    "bias": "use_bias",
    "border_mode": "padding",
    "dim_ordering": "data_format",
    "filter_length": "kernel_size",
    "inner_activation": "recurrent_activation",
    "nb_filter": "filters",
    "output_dim": "units",
    "p": "rate",
    "pool_length": "pool_size",
    "stride": "strides",
    "subsample": "strides",
    "subsample_length": "strides",
}
_VALUES = {"tf": "channels_last", "th": "channels_first"}


class Ref(NamedTuple):
    """A value of a model: the layer that gives it, in which of its calls, and as which of its outputs."""

    layer: str
    call: int
    output: int


@dataclass(frozen=True, slots=True)
class KerasConstant:
    """A value that the description holds itself."""

    value: Any


class KerasCall(NamedTuple):
    """The values that a layer is called on, in order, and what is given to it by name."""

    values: tuple[Ref | KerasConstant, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class KerasLayer:
    """A layer of Keras. kind: the name of its class, with its origin in front if it is not Keras's own.
    settings: by the names of Keras 3. model: the layers that it is made of, if it is a model."""

    name: str
    kind: str
    settings: Mapping[str, Any]
    calls: tuple[KerasCall, ...]
    model: KerasModel | None


@dataclass(frozen=True, slots=True, eq=False)
class KerasModel:
    """Layers by name, and which values go in and come out."""

    name: str
    layers: Mapping[str, KerasLayer]
    inputs: tuple[Ref, ...]
    outputs: tuple[Ref, ...]


def described_model(description: Any) -> KerasModel:
    """The model of a description. Raises ValueError, and what malformed values cause."""
    if isinstance(description, dict) and "node" in description:
        raise ValueError("it is a graph model of TensorFlow.js, which has no layers any more")
    layer = described_layer(description)
    if layer.model is None:
        raise ValueError(f"it describes a `{layer.kind}`, and neither a Sequential nor a Functional model")
    return layer.model


def described_layer(description: Any, depth: int = 0) -> KerasLayer:
    """One layer with its settings and calls, and those in it. Raises as `described_model`."""
    if depth > DEEPEST:
        raise ValueError(f"its models are more than {DEEPEST} deep")
    kind, config = _kind(description), description.get("config")
    settings = config if isinstance(config, dict) else {}
    name = str(settings.get("name") or description.get("name") or kind)
    model = None
    if kind in MODELS and isinstance(config, dict | list):
        layers = [described_layer(layer, depth + 1) for layer in layers_in(description)]
        if len({layer.name for layer in layers}) < len(layers):
            raise ValueError(f"two layers of `{name}` have the same name")
        make = _functional if "input_layers" in settings else _sequential
        model = make(name, layers, description)
    calls = tuple(_call(node) for node in description.get("inbound_nodes") or ())
    return KerasLayer(name, kind, _modern(settings), calls, model)


def _kind(description: Any) -> str:
    """The class of a layer: those of Keras by their name alone, its functions behind `ops.`."""
    kind = description["class_name"]
    if not isinstance(kind, str):
        raise ValueError("a layer has no class")
    registered, module = description.get("registered_name"), description.get("module")
    if isinstance(registered, str) and ">" in registered:
        return registered
    if module is None:
        return _KINDS.get(kind, kind)
    if not isinstance(module, str) or not f"{module}.".startswith("keras."):
        return f"{module}.{kind}"
    return f"ops.{kind}" if ".ops." in f"{module}." else kind


def _modern(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by the names that Keras 3 has for them."""
    found = {_SETTINGS.get(name, name): value for name, value in settings.items()}
    if {"nb_row", "nb_col"} <= found.keys():
        found["kernel_size"] = [found["nb_row"], found["nb_col"]]
    if found.get("data_format") in ("tf", "th"):
        found["data_format"] = _VALUES[found["data_format"]]
    return found


def _functional(name: str, layers: list[KerasLayer], description: Mapping[str, Any]) -> KerasModel:
    settings = description["config"]
    ends = (tuple(_refs(settings[end])) for end in ("input_layers", "output_layers"))
    return KerasModel(name, {layer.name: layer for layer in layers}, *ends)


def _sequential(name: str, layers: list[KerasLayer], description: Mapping[str, Any]) -> KerasModel:
    """A chain; one that begins with another layer than an input has the shape that this says, or the chain
    itself."""
    if not layers:
        raise ValueError(f"`{name}` has no layers")
    first = layers[0]
    if first.kind != INPUT:
        config, build = description["config"], description.get("build_config")
        shape = first.settings.get("batch_shape")
        if shape is None and isinstance(config, dict):
            shape = config.get("build_input_shape")
        if shape is None and isinstance(build, dict):
            shape = build.get("input_shape")
        settings = {"batch_shape": shape}
        layers = [KerasLayer(f"{first.name}_input", INPUT, settings, (), None), *layers]
    chain = {layers[0].name: layers[0]}
    for before, layer in pairwise(layers):
        call = KerasCall((Ref(before.name, 0, 0),), {})
        chain[layer.name] = KerasLayer(layer.name, layer.kind, layer.settings, (call,), layer.model)
    return KerasModel(name, chain, (Ref(layers[0].name, 0, 0),), (Ref(layers[-1].name, 0, 0),))


# Calls


def _call(node: Any) -> KerasCall:
    """The call that a node is: a list of values before Keras 3, then arguments by place and by name."""
    if isinstance(node, dict):
        given = node.get("kwargs") or {}
        values = (value for each in node["args"] for value in _arguments(each))
        return KerasCall(tuple(values), {name: _option(value) for name, value in given.items()})
    entries = [node] if node and isinstance(node[0], str) else node
    found: list[Ref | KerasConstant] = []
    options: dict[str, Any] = {}
    for entry in entries:
        found += _refs(entry[:3])
        if len(entry) > 3:
            options |= {name: _option(value) for name, value in entry[3].items()}
    return KerasCall(tuple(found), options)


def _option(given: Any) -> Any:
    """A value that is given by name: a `Ref` for one of the model."""
    found = list(_arguments(given))
    return found[0] if len(found) == 1 and isinstance(found[0], Ref) else given


def _arguments(given: Any) -> Iterator[Ref | KerasConstant]:
    """Values of the model and others, out of lists of any depth."""
    match given:
        case {"class_name": "__keras_tensor__", "config": {"keras_history": history}}:
            yield from _refs(history)
        case [str(), int(), int()]:
            yield from _refs(given)
        case [dict() | list(), *_]:
            for each in given:
                yield from _arguments(each)
        case None:
            pass
        case _:
            yield KerasConstant(given)


def _refs(given: Any) -> Iterator[Ref]:
    """The values in lists of `[layer, call, output]`, or in an object of them."""
    match given:
        case ["_CONSTANT_VALUE", *_]:
            raise ValueError("a layer is called on a constant, which is not read")
        case [str(layer), int(call), int(output)]:
            yield Ref(layer, call, output)
        case dict():
            for each in given.values():
                yield from _refs(each)
        case [*entries]:
            for each in entries:
                yield from _refs(each)
        case _:
            raise ValueError(f"{str(given)[:40]!r} is no value of the model")
