"""A network of Caffe as its files have it: the layers of its test phase, old forms brought to today's.

Source: src/caffe/net.cpp (which layers a phase has) and src/caffe/util/upgrade_proto.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from archforge.data.arrays import read_weights
from archforge.data.frameworks.protobuf import opened_message
from archforge.data.opened_files import opened, sha256_of
from archforge.data.stored_arrays import StoredArray
from archforge.errors import Diagnostic, DiagnosticError, SourceFile, Span, fail
from archforge.interchange.caffe.messages import CaffeMessage, decoded
from archforge.interchange.caffe.prototxt import parsed
from archforge.interchange.caffe.schema import NETWORK, OLD_TYPES
from archforge.interchange.draft import Extent

__all__ = ["DATA_LAYERS", "CaffeLayer", "CaffeNetwork", "open_caffe"]

# Layers that make inputs.
DATA_LAYERS = frozenset({"Data", "DummyData", "HDF5Data", "ImageData", "Input", "MemoryData", "WindowData"})

MAX_TEXT_BYTES = 1 << 25  # a prototxt of a thousand layers takes half a megabyte


@dataclass(frozen=True, slots=True, eq=False)
class CaffeLayer:
    """A layer: its type in today's words, what it reads and makes, its settings, and the names under which
    its parameters are shared."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    settings: CaffeMessage
    shares: tuple[str, ...]

    @property
    def place(self) -> str:
        """Place of the layer, in words of a message."""
        span = self.settings.span
        return f"{span.source.name}:{span.line + 1} ({self.name})" if span else self.name


@dataclass(frozen=True, slots=True, eq=False)
class CaffeNetwork:
    """A network: the extents of the inputs that are said apart from layers, its layers in order, and the
    arrays of its weights, if there are any.

    path: of the file with the layers. text: of a prototxt, empty for a caffemodel. digests: of the bytes of
    each file, by its name.
    """

    path: Path
    text: str
    inputs: Mapping[str, tuple[Extent, ...] | None]
    layers: tuple[CaffeLayer, ...]
    weights: Mapping[str, StoredArray] | None
    weights_path: Path | None
    digests: Mapping[str, str]


def open_caffe(path: Path, weights: Path | None) -> CaffeNetwork:
    """The network in a prototxt, with its weights in a caffemodel or without, or in a caffemodel alone.
    Raises E0601, E0801 and E0802."""
    text = ""
    if path.suffix.lower() == ".caffemodel":
        if weights is not None:
            fail("E0801", f"{path} is followed by {weights}", help=f"archforge import {weights} {path}")
        weights = path
        with opened(path, "caffemodel") as file, opened_message(file) as content:
            network = decoded(content, NETWORK)
    else:
        text = _text(path)
        network = parsed(SourceFile(path.as_posix(), text), NETWORK)
    old, new = network.all("layers"), network.all("layer")
    if old and new:
        fail("E0801", f"{path} has both `layer` and `layers`", help="Caffe takes one of them")
    if not (old or new):
        help = "" if text else f"archforge import NET.prototxt {path}"
        fail("E0801", f"{path} has no layers", help=help)
    stages = network.inside("state").all("stage")
    both = [(_layer(m, path, is_old=bool(old)), _is_tested(m, stages)) for m in (*old, *new)]
    layers = [layer for layer, is_tested in both if is_tested]
    if not network.all("input") and not any(layer.type in DATA_LAYERS for layer in layers):
        # A caffemodel that was written in training has the inputs of that phase alone.
        layers = [layer for layer, is_tested in both if is_tested or layer.type in DATA_LAYERS]
    digests = {file.name: _digest(file) for file in (path, weights) if file is not None}
    arrays = None if weights is None else read_weights(weights)
    return CaffeNetwork(path, text, _inputs(network, path), tuple(layers), arrays, weights, digests)


def _text(path: Path) -> str:
    with opened(path, "prototxt") as file:
        content = file.read(MAX_TEXT_BYTES + 1)
        if len(content) > MAX_TEXT_BYTES:
            raise ValueError(f"it has more than {MAX_TEXT_BYTES:,} bytes")
        return content.decode("utf-8-sig")


def _digest(path: Path) -> str:
    with opened(path, "file of Caffe", is_known=True) as file:
        return sha256_of(file)


def _layer(message: CaffeMessage, path: Path, *, is_old: bool) -> CaffeLayer:
    """A layer in either form. Raises E0801 for one without a type, or of the form before both."""
    name, kind = message.one("name", ""), message.one("type", "")
    if is_old and "layer" in message:
        _fail_at(
            message.span,
            path,
            "a layer in the form of 2013, within `layer`",
            "Caffe's upgrade_net_proto_text",
        )
    if not kind:
        _fail_at(message.span, path, f"the layer {name!r} has no type", "")
    shares = message.all("param") if is_old else tuple(p.one("name", "") for p in message.all("param"))
    return CaffeLayer(
        name or kind.lower(),
        OLD_TYPES.get(kind, kind) if is_old else kind,
        message.all("bottom"),
        message.all("top"),
        message,
        shares,
    )


def _fail_at(span: Span | None, path: Path, message: str, help: str) -> NoReturn:
    text = message if span else f"{path}: {message}"
    raise DiagnosticError((Diagnostic("E0801", text, span, help=help),))


def _is_tested(layer: CaffeMessage, stages: tuple[str, ...]) -> bool:
    """True for a layer that the network has when it is tested: any rule includes it, none excludes it."""
    rules = layer.all("include")
    if rules:
        return any(_is_met(rule, stages) for rule in rules)
    return not any(_is_met(rule, stages) for rule in layer.all("exclude"))


def _is_met(rule: CaffeMessage, stages: tuple[str, ...]) -> bool:
    return (
        rule.one("phase", "TEST") == "TEST"
        and rule.one("min_level", 0) <= 0 <= rule.one("max_level", 0)
        and all(stage in stages for stage in rule.all("stage"))
        and not any(stage in stages for stage in rule.all("not_stage"))
    )


def _inputs(network: CaffeMessage, path: Path) -> dict[str, tuple[Extent, ...] | None]:
    """The extents of the inputs that stand before the layers. Raises E0801 where they do not belong
    together."""
    names, dims = network.all("input"), network.all("input_dim")
    shapes = [shape.all("dim") for shape in network.all("input_shape")]
    if dims:
        shapes = [dims[i : i + 4] for i in range(0, len(dims), 4)]
    if shapes and (len(shapes) != len(names) or len(dims) % 4):
        place = network.place("input_dim" if dims else "input_shape")
        found = f"{len(dims)} of `input_dim`" if dims else f"{len(shapes)} of `input_shape`"
        _fail_at(place, path, f"{len(names)} of `input` and {found}", "four numbers, or one shape, an input")
    return dict(zip(names, shapes, strict=True)) if shapes else dict.fromkeys(names)
