"""Functions of each element alone: activations, dropouts, products with a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archforge.interchange.flows import Flow
from archforge.interchange.keras.use import KerasUse, Translate
from archforge.interchange.translation import bound_op, number, require
from archforge.interchange.unsupported import Unsupported

__all__ = ["ACTIVATIONS", "READ", "activated"]

# By the name that Keras gives an activation: our op, and its attributes where they are not the defaults.
ACTIVATIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "elu": ("elu", {}),
    "gelu": ("gelu", {}),
    "hard_sigmoid": ("hard_sigmoid", {}),
    "hard_silu": ("hard_swish", {}),
    "hard_swish": ("hard_swish", {}),
    "hard_tanh": ("clip", {"min": -1.0, "max": 1.0}),
    "leaky_relu": ("leaky_relu", {"slope": 0.2}),
    "log_softmax": ("log_softmax", {}),
    "mish": ("mish", {}),
    "relu": ("relu", {}),
    "relu6": ("relu6", {}),
    "selu": ("selu", {}),
    "sigmoid": ("sigmoid", {}),
    "silu": ("silu", {}),
    "softmax": ("softmax", {}),
    "softplus": ("softplus", {}),
    "softsign": ("softsign", {}),
    "swish": ("silu", {}),
    "tanh": ("tanh", {}),
}
ALONG_AXIS = ("softmax", "log_softmax")

# Layers that change nothing but training.
OF_TRAINING = (
    "ActivityRegularization", "AlphaDropout", "GaussianDropout", "GaussianNoise", "RandomBrightness",
    "RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom",
)  # fmt: skip


def activated(use: KerasUse, x: Flow) -> Flow:
    """A value after the activation that is a setting of its layer."""
    return _activation(use, x, use.given("activation", "linear"), is_whole=False)


def _activation(use: KerasUse, x: Flow, given: Any, *, is_whole: bool) -> Flow:
    """is_whole: it is all that the layer does."""
    if isinstance(given, dict):
        kind, settings = str(given.get("class_name")), given.get("config")
        if kind in READ and isinstance(settings, dict) and _is_keras(given):
            inner = KerasUse(use.draft, f"{use.name}.activation", kind, settings, [x], version=use.version)
            return READ[kind](inner)
        given = settings if isinstance(settings, str) else kind
        raise Unsupported(f"with an activation of its own, {given!r}")
    if given == "linear":
        return x
    if given not in ACTIVATIONS:
        raise Unsupported(f"with the activation {given!r}")
    require(use.version > 2 or given != "hard_sigmoid", "whose hard sigmoid has a slope of 0.2 in Keras 2")
    kind, attributes = ACTIVATIONS[given]
    part = "" if is_whole else f"_{kind}"
    if kind in ALONG_AXIS:
        return _along(use, kind, x, len(x.axes) - 1, part)
    return use.same_order(x, use.add(bound_op(kind, **attributes), x, part))


def _is_keras(given: Mapping[str, Any]) -> bool:
    return str(given.get("module") or "keras").partition(".")[0] == "keras"


def _along(use: KerasUse, kind: str, x: Flow, axis: int, part: str = "") -> Flow:
    """An op along one axis of Keras's, the batch counted."""
    ours = x.axes[axis % len(x.axes)]
    if not ours:
        x = use.draft.ours(x)
        ours = axis % len(x.axes)
    return use.same_order(x, use.add(bound_op(kind, axis=ours - 1), x, part))


def _activation_layer(use: KerasUse) -> Flow:
    return _activation(use, use.x, use.given("activation", "linear"), is_whole=True)


def _relu(use: KerasUse) -> Flow:
    most, slope = use.given("max_value"), use.real("negative_slope", 0.0)
    require(use.real("threshold", 0.0) == 0, f"`threshold` = {use.given('threshold')}")
    if most is None:
        return use.each(bound_op("leaky_relu", slope=slope) if slope else bound_op("relu"))
    require(not slope, "a slope together with a largest value")
    high = use.real("max_value", 0.0)
    return use.each(bound_op("relu6") if high == 6 else bound_op("clip", min=0.0, max=high))


def _leaky_relu(use: KerasUse) -> Flow:
    slope = use.real("negative_slope", use.real("alpha", 0.3))
    return use.each(bound_op("leaky_relu", slope=number(slope)))


def _elu(use: KerasUse) -> Flow:
    return use.each(bound_op("elu", alpha=number(use.real("alpha", 1.0))))


def _prelu(use: KerasUse) -> Flow:
    slopes = use.array("weight")
    if slopes.size == 1:
        op = bound_op("prelu")
        return use.same_order(use.x, use.add(op, use.x, params={"weight": slopes.reshape(-1)}))
    x = use.with_channels(-1)
    require(slopes.size == x.type.channels == slopes.shape[-1], "a slope for each position")
    op = bound_op("prelu", per_channel=True)
    return use.add(op, x, params={"weight": slopes.reshape(-1)})


def _softmax(use: KerasUse) -> Flow:
    axis = use.given("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    require(type(axis) is int, f"`axis` = {axis!r}")
    x = use.x if axis in (-1, len(use.x.axes) - 1) else use.straight
    require(-len(x.axes) < axis < len(x.axes), f"`axis` = {axis!r}")
    return _along(use, "softmax", x, axis)


def _dropout(use: KerasUse) -> Flow:
    rate, shape = use.real("rate", 0.5), use.given("noise_shape")
    if shape is None:
        return use.each(bound_op("dropout", rate=rate))
    require(shape == [None] + [1] * (len(use.x.axes) - 1), f"`noise_shape` = {shape!r}")
    return use.each(bound_op("stochastic_depth", rate=rate))


def _channel_dropout(use: KerasUse) -> Flow:
    return use.each(bound_op("channel_dropout", rate=use.real("rate", 0.5)))


def _stochastic_depth(use: KerasUse) -> Flow:
    return use.each(bound_op("stochastic_depth", rate=use.real("drop_path_rate", 0.0)))


def _of_training(use: KerasUse) -> Flow:
    use.draft.note(f"{use.kind} does nothing at inference, and is left out", use.name)
    return use.x


READ: Mapping[str, Translate] = {
    "Activation": _activation_layer,
    "Dropout": _dropout,
    "ELU": _elu,
    "Identity": lambda use: use.x,
    "LeakyReLU": _leaky_relu,
    "PReLU": _prelu,
    "ReLU": _relu,
    "Softmax": _softmax,
    "SpatialDropout1D": _channel_dropout,
    "SpatialDropout2D": _channel_dropout,
    "SpatialDropout3D": _channel_dropout,
    "StochasticDepth": _stochastic_depth,
    **dict.fromkeys(OF_TRAINING, _of_training),
}
