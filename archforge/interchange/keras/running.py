"""A file of Keras run by Keras itself, each layer's value kept: where it is installed, and opens the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from warnings import catch_warnings, simplefilter

from archforge.data.opened_files import reason_in
from archforge.interchange.keras.description import INPUT, MODELS
from archforge.interchange.keras.layers import KERAS_LAYERS
from archforge.interchange.keras.opened import KerasSource
from archforge.interchange.unsupported import Unsupported
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["KerasRun", "can_be_run", "named_classes"]

BACKENDS = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}  # of Keras, and their packages


class KerasRun:
    """Runs one file by the package keras, whose norms compute in float32 whatever the rest does: where the
    weights are random, deep networks differ by up to 4e-5."""

    tolerance = 1e-4
    by = "keras"

    def __init__(self, source: KerasSource) -> None:
        self.source = source

    def __call__(self, inputs: Mapping[str, Array], wanted: list[str]) -> Iterable[tuple[str, Array]]:
        """The values of layers that are called once, by the names of layers. Raises `Unsupported` where Keras
        is not installed, or does not open the file."""
        if not self.source.can_run:
            raise Unsupported("nothing here runs files of TensorFlow.js")
        if find_spec("keras") is None:
            raise Unsupported("keras is not installed")
        for name in named_classes(self.source.description):
            if not can_be_run(name):
                raise Unsupported(f"it names `{name}`, which keras is not let run")
        try:
            with _a_backend(), catch_warnings():
                simplefilter("ignore")
                keras: Any = import_module("keras")
                model = keras.saving.load_model(self.source.path, compile=False, safe_mode=True)
                return self._values(keras, model, inputs).items()
        except Exception as error:  # noqa: BLE001  # whatever a foreign library finds in a foreign file
            raise Unsupported(f"keras: {type(error).__name__}: {reason_in(error)[:160]}") from None

    def _values(self, keras: Any, model: Any, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        found: dict[str, list[Any]] = {}
        for place, layer in _layers(model, ""):
            layer.call = _kept(layer.call, found.setdefault(place, []))
        given = [inputs[ref.layer] for ref in self.source.model.inputs]
        model(given[0] if len(given) == 1 else given, training=False)
        as_array = keras.ops.convert_to_numpy
        return {place: np.asarray(as_array(v[0])) for place, v in found.items() if len(v) == 1}


# Packages of objects besides layers, which do nothing but compute numbers.
PARTS = ("keras.constraints", "keras.dtype_policies", "keras.initializers", "keras.regularizers")
OWN = (INPUT, "DTypePolicy", *MODELS)
FUNCTIONS = ("Lambda", "__lambda__", "function")


def named_classes(description: Any) -> Iterator[str]:
    """The full name of each class in a description; of those before Keras 3 the class alone."""
    waiting = [description]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            if "class_name" in found and found["class_name"] != "__keras_tensor__":
                yield f"{found.get('module') or ''}.{found['class_name']}".lstrip(".")
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found


def can_be_run(name: str) -> bool:
    """True if Keras may make an object of that class: it imports and calls whatever a file names."""
    module, _, kind = name.rpartition(".")
    if not module:
        return kind.isidentifier() and kind not in FUNCTIONS
    if module in PARTS:
        return kind.isidentifier()
    row = f"ops.{kind}" if ".ops." in f"{module}." else kind
    return f"{module}.".startswith("keras.") and (kind in OWN or row in KERAS_LAYERS)


def _kept(call: Callable[..., Any], values: list[Any]) -> Callable[..., Any]:
    """A layer's function that keeps what it gives."""

    def keeping(*args: Any, **options: Any) -> Any:
        values.append(call(*args, **options))
        return values[-1]

    return keeping


def _layers(model: Any, scope: str) -> Iterator[tuple[str, Any]]:
    """The layers of a model and of those in it, by the names of all that they are in."""
    for layer in model.layers:
        place = f"{scope}{layer.name}"
        if getattr(layer, "layers", None):
            yield from _layers(layer, f"{place}/")
        else:
            yield place, layer


@contextmanager
def _a_backend() -> Iterator[None]:
    """Let Keras find a backend that is installed, where nobody has named one."""
    name = "KERAS_BACKEND"
    installed = [backend for backend, package in BACKENDS.items() if find_spec(package)]
    if name in os.environ or not installed or installed[0] == "tensorflow":
        yield
        return
    os.environ[name] = installed[0]
    try:
        yield
    finally:
        os.environ.pop(name, None)
