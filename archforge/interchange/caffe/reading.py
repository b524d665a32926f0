"""A network of Caffe as a graph of ours, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from archforge.errors import Diagnostic, did_you_mean, fail, fail_all
from archforge.interchange.caffe.layers import CAFFE_LAYERS, LEFT_OUT
from archforge.interchange.caffe.network import DATA_LAYERS, CaffeLayer, CaffeNetwork
from archforge.interchange.caffe.schema import LAYER
from archforge.interchange.draft import Extent, GraphDraft
from archforge.interchange.flows import Flow
from archforge.interchange.imported import Imported, Origin
from archforge.interchange.names import clean_name, name_in_spec
from archforge.interchange.unsupported import Unsupported
from archforge.ir import Op
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["read_caffe_network"]


def read_caffe_network(source: CaffeNetwork, name: str, shapes: Mapping[str, tuple[int, ...]]) -> Imported:
    """The graph of a network before it is normalised.

    shapes: of inputs, the batch left out, where the file leaves extents open. Raises E0801 for inputs, E0802
    for settings that a layer does not have, and E0804 with all layers that cannot be said.
    """
    return _CaffeGraphReader(source, name).imported(shapes)


class _CaffeGraphReader(GraphDraft):
    """The graph so far, and what each name of a blob stands for: an in-place layer makes it another value."""

    def __init__(self, source: CaffeNetwork, name: str) -> None:
        super().__init__(source.path.as_posix(), name)
        self.source = source
        self.known: dict[str, Flow | None] = {}  # None behind a layer that cannot be said
        self.used: set[str] = set()
        self.ends: dict[str, None] = {}  # blobs that no layer has read yet, in order

    def imported(self, shapes: Mapping[str, tuple[int, ...]]) -> Imported:
        layers = self.source.layers
        fail_all(_unknown_settings(layers))
        fail_all(self._unmade())
        self._inputs(shapes)
        for layer in layers:
            if layer.type not in DATA_LAYERS:
                self._layer(layer)
        outputs: dict[str, str] = {}
        for name in self.ends:
            flow = self.known[name]
            own = "output" if len(self.ends) == 1 else name_in_spec(name)
            outputs[own] = "" if flow is None else self.ours(flow).value
        return self.finished(
            outputs, len(layers), tuple(self._notes()), has_weights=self.source.weights is not None
        )

    def _notes(self) -> Iterator[str]:
        """Remarks on the file that its user should know."""
        left = [layer.name for layer in self.source.layers if layer.type in LEFT_OUT]
        if left:
            yield f"left out, as no part of a network: {', '.join(left)}"
        for layer in self.source.layers:
            transform = layer.settings.inside("transform_param")
            means = ", ".join(f"{mean:g}" for mean in transform.all("mean_value"))
            said = [f"subtracts {means}"] if means else []
            said += [f"subtracts {path}" for path in transform.all("mean_file")]
            said += [f"multiplies by {scale:g}" for scale in transform.all("scale") if scale != 1]
            if said:
                yield f"before the network, the layer `{layer.name}` {' and '.join(said)}"
        stored = {name.rpartition(".")[0] for name in self.source.weights or ()}
        unused = sorted(stored - self.used)
        if unused:
            more = ", ..." if unused[3:] else ""
            yield f"weights of {len(unused)} layers are not used: {', '.join(unused[:3])}{more}"

    def _unmade(self) -> Iterator[Diagnostic]:
        """Blobs that a layer reads, and that nothing before it makes."""
        made = set(self.source.inputs)
        for layer in self.source.layers:
            for name in layer.bottoms:
                if name not in made and layer.type not in LEFT_OUT:
                    found = layer.settings.entries["bottom"][layer.bottoms.index(name)]
                    where = "" if found.span else f"{self.file}: "
                    message = f"{where}the layer `{layer.name}` reads `{name}`, which nothing before it makes"
                    yield Diagnostic(
                        "E0803", message, found.span, help=did_you_mean(name, made, what="blobs")
                    )
            made.update(layer.tops)

    def _inputs(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raises E0801 for inputs of open extents or none."""
        read = {name for layer in self.source.layers if layer.type not in LEFT_OUT for name in layer.bottoms}
        declared = dict(self.source.inputs)
        for layer in self.source.layers:
            if layer.type in DATA_LAYERS:
                declared |= zip(layer.tops, _data_extents(layer), strict=True)
        declared = {name: extents for name, extents in declared.items() if name in read}
        if not declared:
            fail("E0801", f"{self.file} has no input", help="a layer `Input`, or `input` and `input_shape`")
        for name, shape in self.input_shapes(declared, shapes).items():
            hint = "input" if len(declared) == 1 else name_in_spec(name)
            self.known[name] = self.add_input(hint, shape, name)

    def _layer(self, layer: CaffeLayer) -> None:
        if layer.type in LEFT_OUT:
            if layer.type == "Silence":
                self._read(layer.bottoms)
            return
        self._read(layer.bottoms)
        flows: Sequence[Flow | None] = [None] * len(layer.tops)
        translate = CAFFE_LAYERS.get(layer.type)
        if translate is None:
            self.cannot(layer.type, "", layer.place)
        elif all(self.known.get(name) is not None for name in layer.bottoms):
            try:
                made = _LayerUse(self, layer)
                flows = translate(made)
                if len(flows) != len(layer.tops):
                    raise Unsupported(f"{len(layer.tops)} outputs")
            except Unsupported as reason:
                self.cannot(layer.type, str(reason), layer.place)
                flows = [None] * len(layer.tops)
        for name, flow in zip(layer.tops, flows, strict=True):
            self.known[name] = flow
            self.ends[name] = None
            if flow is not None and len(flows) == 1:
                self.origins.setdefault(flow.value, Origin(layer.name, flow.axes))

    def _read(self, names: Sequence[str]) -> None:
        for name in names:
            self.ends.pop(name, None)


class _LayerUse:
    """A layer with the values that it reads."""

    def __init__(self, reader: _CaffeGraphReader, layer: CaffeLayer) -> None:
        self.reader, self.layer = reader, layer
        self.inputs = [flow for name in layer.bottoms if (flow := reader.known[name]) is not None]
        if not self.inputs:
            raise Unsupported("no input")

    def array(self, part: str, shape: tuple[int, ...]) -> Array:
        """A parameter, zeros where the network has no weights. Raises `Unsupported` for another shape."""
        weights = self.reader.source.weights
        if weights is None:
            return np.broadcast_to(np.float32(0), shape)
        self.reader.used.add(self.layer.name)
        stored = weights.get(f"{self.layer.name}.{part}")
        if stored is None:
            raise Unsupported(f"whose {part} {self.reader.source.weights_path} does not have")
        array = np.asarray(stored)
        if array.shape != shape and [n for n in array.shape if n != 1] != [n for n in shape if n != 1]:
            raise Unsupported(f"a {part} of {array.shape} where {shape} is needed")
        return array.reshape(shape)

    def add(self, op: Op, *flows: Flow, **params: Array) -> Flow:
        """A node; its value."""
        shares = self.layer.shares if all(self.layer.shares) else ()
        name = clean_name(self.layer.name) if params else op.kind
        return self.reader.add(op, flows, name, params, shares if params else ())


def _unknown_settings(layers: Sequence[CaffeLayer]) -> Iterator[Diagnostic]:
    """Messages in layers that we know and that no such layer has."""
    for layer in layers:
        if layer.type in CAFFE_LAYERS or layer.type in LEFT_OUT or layer.type in DATA_LAYERS:
            for name, span in layer.settings.unknown:
                place = "" if span else f"{layer.name}: "
                help = did_you_mean(name, LAYER.fields)
                yield Diagnostic("E0802", f"{place}unknown field `{name}`", span, help=help)


def _data_extents(layer: CaffeLayer) -> list[tuple[Extent, ...] | None]:
    """The extents of what a layer of data makes, None for what a file does not say."""
    tops, settings = len(layer.tops), layer.settings
    kind = "input_param" if layer.type == "Input" else "dummy_data_param"
    shapes = [shape.all("dim") for shape in settings.inside(kind).all("shape")]
    if layer.type in ("Input", "DummyData") and shapes:
        return (shapes * tops if len(shapes) == 1 else [*shapes, *[None] * tops])[:tops]
    memory = settings.inside("memory_data_param")
    if memory.entries:
        first = tuple(memory.one(name, None) for name in ("batch_size", "channels", "height", "width"))
        return [first, *[None] * (tops - 1)]
    transform = settings.inside("transform_param")
    side = transform.one("crop_size", None)
    if side is None:
        return [None] * tops
    channels = 1 if transform.one("force_gray", False) else 3 if transform.one("force_color", False) else None
    return [(None, channels, side, side), *[None] * (tops - 1)]
