"""A model of Keras as a graph of ours, call by call, at a batch of one image.

Keras has the channels last, and a graph of ours has them first: the axes by which Keras sees a value are
kept beside it, and weights of layers behind a flattened map change places instead of the map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from archforge.data.frameworks.keras_layers import arrays_here
from archforge.data.opened_files import MALFORMED, reason_in
from archforge.errors import Diagnostic, DiagnosticError, fail
from archforge.interchange.draft import known_shape
from archforge.interchange.flows import Axes, Flow, Lost, channels_last
from archforge.interchange.imported import Imported, Origin
from archforge.interchange.keras.description import KerasCall, KerasConstant, KerasLayer, KerasModel, Ref
from archforge.interchange.keras.layers import KERAS_LAYERS, REFUSED
from archforge.interchange.keras.opened import KerasSource
from archforge.interchange.keras.use import KerasDraft, KerasUse
from archforge.interchange.names import clean_name, name_in_spec
from archforge.interchange.unsupported import Unsupported
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["layer_place", "read_model"]

MOST_CALLS = 1 << 14  # of layers, those of models that are called again counted again
_IGNORED = {"training": (None, False), "mask": (None,)}


Value = Flow | KerasConstant | Lost


def layer_place(path: Sequence[str]) -> str:
    """The name of a layer with those of the models that it is in, as messages and runs of Keras have it."""
    return "/".join(path)


def read_model(source: KerasSource, name: str, shapes: Mapping[str, tuple[int, ...]]) -> Imported:
    """The graph of a file before it is normalised.

    shapes: of inputs whose extents the file leaves open, with the axes of the file, the batch left out.
    Raises E0801 for an input that is none of ours and E0804 with all that cannot be said, each with its
    count and first place.
    """
    return _KerasReader(source, name).imported(shapes)


class _KerasReader:
    """The graph so far, and the arrays that were read."""

    def __init__(self, source: KerasSource, name: str) -> None:
        self.source = source
        self.draft = KerasDraft(str(source.path), name)
        self.read: dict[str, dict[str, Array]] = {}
        self.owners: dict[str, tuple[str, ...]] = {}
        self.called: set[tuple[str, ...]] = set()
        self.calls = self.layers = 0

    def imported(self, shapes: Mapping[str, tuple[int, ...]]) -> Imported:
        model = self.source.model
        inputs = self._inputs(model, shapes)
        found = self._model(model, inputs, ())
        outputs: dict[str, str] = {}
        for ref, value in zip(model.outputs, found, strict=True):
            name = "output" if len(found) == 1 else name_in_spec(ref.layer)
            while name in outputs:
                name += "_"
            outputs[name] = self._output(ref, value)
        return self.draft.finished(outputs, self.layers, tuple(self._notes()))

    def _notes(self) -> Iterator[str]:
        yield from self.draft.notes_of_inputs()
        for note, places in self.draft.notes.items():
            more = f" and {len(places) - 1} more" if places[1:] else ""
            yield f"{note}: {places[0]}{more}"

    # Inputs and outputs

    def _inputs(self, model: KerasModel, shapes: Mapping[str, tuple[int, ...]]) -> list[Value]:
        """Raises E0801 for inputs of open extents or none."""
        names = [ref.layer for ref in model.inputs]
        asked = f"--shape {','.join(f'{name}=SHAPE' for name in names)}, without the batch"
        self.draft.refuse_unfit_shapes(shapes, names, asked)
        found: list[Value] = []
        wrong: list[Diagnostic] = []
        for name in names:
            given = shapes.get(name, shapes.get(""))
            settings = model.layers[name].settings if name in model.layers else {}
            try:
                shape = _shape(settings.get("batch_shape"), given)
            except Unsupported as reason:
                message = f"the input {name!r} of {self.source.path} {reason}"
                help = "--shape says what is open, without the batch, in the order of the file: "
                help += "--shape 224x224x3"
                wrong.append(Diagnostic("E0801", message, help=help))
                continue
            axes = _axes(model, len(shape))
            hint = "input" if len(names) == 1 else name_in_spec(name)
            found.append(self.draft.add_input(hint, shape, name, axes))
        if wrong:
            raise DiagnosticError(tuple(wrong))
        return found

    def _output(self, ref: Ref, value: Value) -> str:
        """A map stays with its channels first, and everything else gets the order of Keras."""
        if isinstance(value, Flow):
            try:
                flow = self.draft.straight(value)
                last = channels_last(len(flow.axes) - 1)
                if flow.axes != last or len(last) != len(flow.type.shape) + 1:
                    flow = self.draft.seen_as(flow, last) if len(last) > 3 else self.draft.ours(flow)
            except Unsupported as reason:
                self.draft.cannot("an output", str(reason), ref.layer)
            else:
                return flow.value
        return ""

    # Models

    def _model(self, model: KerasModel, inputs: Sequence[Value], path: tuple[str, ...]) -> list[Value]:
        """The outputs of a model that is called on these values."""
        known: dict[Ref, Value] = dict(zip(model.inputs, inputs, strict=True))
        for layer, number in _ordered(model, known, self.source):
            self._count()
            first = _first_call(model, layer)
            call = layer.calls[number]
            values = [known[v] if isinstance(v, Ref) else v for v in call.values]
            place = (*path, layer.name)
            for output, value in enumerate(self._called(layer, call, values, place)):
                known[Ref(layer.name, number + first, output)] = value
        return [known.get(ref) or self._nothing(ref) for ref in model.outputs]

    def _nothing(self, ref: Ref) -> Value:
        fail("E0801", f"nothing in {self.source.path} computes the output {ref.output} of `{ref.layer}`")

    def _count(self) -> None:
        self.calls += 1
        if self.calls > MOST_CALLS:
            fail("E0801", f"{self.source.path} calls layers more than {MOST_CALLS:,} times")

    def _called(
        self, layer: KerasLayer, call: KerasCall, values: Sequence[Value], path: tuple[str, ...]
    ) -> Sequence[Value]:
        """The values of a call, one but for a model."""
        if layer.model is not None:
            if len(values) != len(layer.model.inputs):
                place, count = layer_place(path), len(layer.model.inputs)
                fail(
                    "E0801", f"`{place}` of {self.source.path} is called on {len(values)} values, not {count}"
                )
            return self._model(layer.model, values, path)
        self.layers += 1
        try:
            value = self._read(layer, call, values, path)
        except Unsupported as reason:
            value = self._lost(layer, str(reason), path)
        except MALFORMED as error:
            value = self._lost(layer, f"with settings that it cannot have ({reason_in(error)})", path)
        if isinstance(value, Flow) and path not in self.called and value.value not in self.draft.flattened:
            self.draft.origins.setdefault(value.value, Origin(layer_place(path), value.axes))
        self.called.add(path)
        return [value]

    def _lost(self, layer: KerasLayer, reason: str, path: Sequence[str]) -> Value:
        self.draft.cannot(layer.kind, reason, layer_place(path))
        return Lost()

    def _read(
        self, layer: KerasLayer, call: KerasCall, values: Sequence[Value], path: tuple[str, ...]
    ) -> Value:
        """Raises `Unsupported`."""
        if layer.kind not in KERAS_LAYERS:
            raise Unsupported(REFUSED.get(layer.kind, ""))
        given = [value for value in values if not isinstance(value, Lost)]
        if len(given) < len(values):
            return Lost()
        for name, option in call.options.items():
            if option not in _IGNORED.get(name, (None,)):
                raise Unsupported(f"called with `{name}`")
        where = self._arrays_of(path)
        use = KerasUse(
            self.draft,
            clean_name(".".join(path)),
            layer.kind,
            layer.settings,
            given,
            self._arrays(where, layer.kind),
            (where,) if where else (),
            self.source.version,
        )
        return KERAS_LAYERS[layer.kind](use)

    def _arrays_of(self, path: Sequence[str]) -> str:
        """The name under which the file has the arrays of a layer; empty if it has none. Raises `Unsupported`
        where it can be several."""
        layers, own = self.source.layers, path[-1]
        names = (".".join(path[start:]) for start in range(len(path)))
        found = [name for name in names if name in layers]
        if not found:
            found = [name for name in layers if name.endswith(f".{own}")]
            if len(found) > 1:
                raise Unsupported(f"whose arrays can be those of {' and '.join(found[:2])}")
        if not found:
            return ""
        if self.owners.setdefault(found[0], tuple(path)) != tuple(path):
            raise Unsupported(f"whose arrays are those of {layer_place(self.owners[found[0]])}")
        return found[0]

    def _arrays(self, where: str, kind: str) -> Mapping[str, Array]:
        if where and where not in self.read:
            here = arrays_here(self.source.layers[where], kind)
            self.read[where] = {name: np.asarray(array) for name, array in here}
        return self.read.get(where, {})


def _first_call(model: KerasModel, layer: KerasLayer) -> int:
    """The number of a layer's first call: models in models count that with which they were made."""
    if layer.model is None:
        return 0
    refs = [v for other in model.layers.values() for c in other.calls for v in c.values]
    numbers = [r.call for r in (*refs, *model.outputs) if isinstance(r, Ref) and r.layer == layer.name]
    return min(numbers, default=0)


def _ordered(
    model: KerasModel, known: Mapping[Ref, Value], source: KerasSource
) -> Iterator[tuple[KerasLayer, int]]:
    """The calls that the outputs need, each behind those that it needs. Raises E0801 where there are none
    such."""
    firsts = {name: _first_call(model, layer) for name, layer in model.layers.items() if layer.model}
    done: set[tuple[str, int]] = {(ref.layer, ref.call - firsts.get(ref.layer, 0)) for ref in known}
    begun: set[tuple[str, int]] = set()
    waiting = [(ref.layer, ref.call - firsts.get(ref.layer, 0)) for ref in reversed(model.outputs)]
    while waiting:
        key = waiting[-1]
        name, number = key
        layer = model.layers.get(name)
        if key in done:
            waiting.pop()
            continue
        if layer is None or not 0 <= number < len(layer.calls):
            fail("E0801", f"a layer of {source.path} reads a value of `{name}`, which nothing computes")
        needed = [
            (v.layer, v.call - firsts.get(v.layer, 0))
            for v in layer.calls[number].values
            if isinstance(v, Ref)
        ]
        left = [each for each in needed if each not in done]
        if not left:
            done.add(key)
            waiting.pop()
            yield layer, number
        elif key in begun:
            fail("E0801", f"the layer `{name}` of {source.path} needs what it computes itself")
        else:
            begun.add(key)
            waiting += reversed(left)


def _shape(declared: object, given: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape of an input without its batch. Raises `Unsupported` with what is wrong."""
    if not isinstance(declared, list | tuple):
        return known_shape(None, given)
    if not all(n is None or (type(n) is int and n > 0) for n in declared[1:]):
        raise Unsupported(f"has the shape {declared!r}")
    if len(declared) < 2:
        raise Unsupported("is one number, without an axis")
    return known_shape(tuple(declared), given)


def _axes(model: KerasModel, axes: int) -> Axes:
    """The axes of an input: its last one is of channels in a model of maps, unless its layers say the
    first."""
    if axes == 1:
        return (0, 1)
    settings = [layer.settings.get("data_format") for layer in _layers_of(model)]
    has_maps = axes > 2 or any(layer.kind.endswith(("1D", "1DTranspose")) for layer in _layers_of(model))
    if not has_maps or "channels_first" in settings:
        return tuple(range(axes + 1))
    return channels_last(axes)


def _layers_of(model: KerasModel) -> Iterator[KerasLayer]:
    for layer in model.layers.values():
        yield layer
        if layer.model is not None:
            yield from _layers_of(layer.model)
