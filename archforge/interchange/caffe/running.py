"""A network of Caffe run by OpenCV, where it is installed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from archforge.data.opened_files import reason_in
from archforge.interchange.caffe.layers import LEFT_OUT
from archforge.interchange.caffe.messages import CaffeMessage
from archforge.interchange.caffe.network import DATA_LAYERS, CaffeNetwork
from archforge.interchange.layer_check import TOLERANCE
from archforge.interchange.unsupported import Unsupported
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["CaffeRun"]


class CaffeRun:
    """Runs one network. Values go by the layers that make them: OpenCV does not keep blobs apart that are
    changed in place."""

    by = "OpenCV"
    tolerance = TOLERANCE

    def __init__(self, source: CaffeNetwork) -> None:
        self.source = source

    def __call__(self, inputs: Mapping[str, Array], wanted: list[str]) -> Iterator[tuple[str, Array | None]]:
        """The values that the layers of these names make; None for those that OpenCV does not show. Raises
        `Unsupported` where nothing here runs the network."""
        assert self.source.weights_path is not None  # nothing is checked without weights
        if find_spec("cv2") is None:
            raise Unsupported("OpenCV is not installed")
        if reason := next(_unlike_caffe(self.source), None):
            raise Unsupported(f"OpenCV {reason}")
        cv2: Any = import_module("cv2")
        shapes = {name: x.shape for name, x in inputs.items()}
        try:
            net = self._net(cv2, shapes)
            net.enableFusion(False)
            net.enableWinograd(False)  # as exact as a direct sum
            names = self._names(net, wanted)
            for name, x in inputs.items():
                net.setInput(np.ascontiguousarray(x), name)
            found = net.forward(list(names.values()))
        except Exception as error:  # noqa: BLE001  # whatever a foreign runtime finds in a foreign file
            raise Unsupported(f"OpenCV: {reason_in(error)[:200]}") from None
        made = dict(zip(names, found, strict=True))
        yield from ((name, np.asarray(made[name]) if name in made else None) for name in wanted)

    def _net(self, cv2: Any, shapes: Mapping[str, tuple[int, ...]]) -> Any:
        """The network as OpenCV reads it; of a caffemodel alone by way of a text that says it."""
        if self.source.text:
            return cv2.dnn.readNetFromCaffe(str(self.source.path), str(self.source.weights_path))
        text = "\n".join(_as_text(self.source, shapes)).encode()
        weights = np.fromfile(str(self.source.weights_path), np.uint8)
        return cv2.dnn.readNetFromCaffe(np.frombuffer(text, np.uint8), weights)

    def _names(self, net: Any, wanted: list[str]) -> dict[str, str]:
        """OpenCV's names of the layers that are asked for: their own, or those of what they make."""
        makers = Counter(top for layer in self.source.layers for top in layer.tops)
        tops = {each.name: top for each in self.source.layers for top in each.tops if makers[top] == 1}
        names = {}
        for name in wanted:
            known = (n for n in (name, tops.get(name, name)) if net.getLayerId(n) >= 0)
            names[name] = next(known, "")
        return {name: found for name, found in names.items() if found}


def _unlike_caffe(network: CaffeNetwork) -> Iterator[str]:
    """Settings that OpenCV (4.11) does not read, and computes something else for."""
    for layer in network.layers:
        settings = layer.settings
        if settings.inside("inner_product_param").one("transpose", False):
            yield "does not turn the matrix of an inner product"
        if settings.inside("lrn_param").one("k", 1.0) != 1:
            yield "takes no `k` of a response norm"
        if settings.inside("pooling_param").one("round_mode", "CEIL") == "FLOOR":
            yield "takes no `round_mode` of a pool"


def _as_text(network: CaffeNetwork, inputs: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """The lines of a prototxt for a network of a caffemodel alone, with these inputs."""
    for name, shape in inputs.items():
        yield f'input: "{name}"\ninput_shape {{ {" ".join(f"dim: {n}" for n in shape)} }}'
    for layer in network.layers:
        if layer.type not in DATA_LAYERS | LEFT_OUT:
            yield f'layer {{ name: "{layer.name}" type: "{layer.type}"'
            yield from (f'bottom: "{name}"' for name in layer.bottoms)
            yield from (f'top: "{name}"' for name in layer.tops)
            yield from _fields(
                CaffeMessage({n: e for n, e in layer.settings.entries.items() if "_param" in n})
            )
            yield "}"


def _fields(message: CaffeMessage) -> Iterator[str]:
    for name, entries in message.entries.items():
        for entry in entries:
            if isinstance(entry.value, CaffeMessage):
                yield f"{name} {{"
                yield from _fields(entry.value)
                yield "}"
            elif isinstance(entry.value, bool):
                yield f"{name}: {str(entry.value).lower()}"
            elif entry.value is not None:
                yield f"{name}: {entry.value}"
