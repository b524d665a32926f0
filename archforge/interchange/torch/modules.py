"""Parameters and values of a torch module by the names of its parts, to be held against a network's.

Values are told apart by where they lie in memory. So it is seen where two modules hand on one value: a norm
and the activation at its end, a sequence and its last layer, a dropout and the layer before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.weights.bind import COUNTER

__all__ = ["ModuleValue", "filled", "module_params", "module_values"]

# The memory of a tensor and what is read there; torch counts the changes in place.
_Content = tuple[int, tuple[int, ...], tuple[int, ...], int]


@dataclass(frozen=True, slots=True, eq=False)
class ModuleValue:
    """The tensor that a module returned.

    tensor: a copy, since a later module may compute in place. idle: True if it is what the module was given.
    maker: the innermost module that computed it, which is the module itself where no part of it did.
    has_params: True if the module has parameters or buffers itself, not only its parts.
    """

    tensor: Any
    idle: bool
    maker: str
    has_params: bool


def module_params(module: Any) -> dict[str, tuple[int, ...]]:
    """Name and shape of each array of the state dict, in its order, without the batch counters of norms."""
    state = module.state_dict()
    return {name: tuple(array.shape) for name, array in state.items() if not name.endswith(COUNTER)}


def filled(module: Any, arrays: Mapping[str, Array]) -> Any:
    """The module itself, in float64 and as at inference, with these arrays under the names of its state
    dict. Its own whole numbers, such as indices, stay."""
    torch = import_module("torch")
    state = module.double().eval().state_dict()
    for name, array in arrays.items():
        if state[name].is_floating_point():
            state[name].copy_(torch.from_numpy(np.asarray(array)))
    return module


def module_values(module: Any, inputs: Sequence[Any], depth: int) -> tuple[Any, dict[str, ModuleValue]]:
    """The output on `inputs`, and the values of the modules whose names have at most `depth` parts, in the
    order in which they were computed.

    Modules that return no single tensor are left out, and those that are called several times.
    """
    recorder = _Recorder(depth)
    with import_module("torch").no_grad(), recorder.attached(module):
        output = module(*inputs)
    return output, {name: several[0] for name, several in recorder.values.items() if len(several) == 1}


class _Recorder:
    """Hooks on every module of a network, which note what goes in and what comes out."""

    def __init__(self, depth: int) -> None:
        self.values: dict[str, list[ModuleValue]] = {}
        self._depth = depth
        self._is_tensor: Callable[[Any], bool] = import_module("torch").is_tensor
        self._makers: dict[_Content, str] = {}
        self._given: list[set[_Content]] = []  # to the modules that are being called, the innermost last
        self._alive: list[Any] = []  # memory that is not freed is not used again for another value

    @contextmanager
    def attached(self, module: Any) -> Iterator[None]:
        handles = []
        for name, part in module.named_modules():
            if name:
                handles.append(part.register_forward_pre_hook(self._enter))
                handles.append(part.register_forward_hook(self._leaver(name)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, _: Any, inputs: tuple[Any, ...]) -> None:
        self._given.append({self._content(x) for x in inputs if self._is_tensor(x)})

    def _leaver(self, name: str) -> Callable[[Any, Any, Any], None]:
        def leave(module: Any, _: Any, output: Any) -> None:
            given = self._given.pop()
            if not self._is_tensor(output):
                return
            content = self._content(output)
            idle = content in given
            maker = name if idle else self._makers.setdefault(content, name)
            if name.count(".") < self._depth:
                has_params = bool([*module.parameters(recurse=False), *module.buffers(recurse=False)])
                value = ModuleValue(output.detach().clone(), idle, maker, has_params)
                self.values.setdefault(name, []).append(value)

        return leave

    def _content(self, tensor: Any) -> _Content:
        self._alive.append(tensor)
        return tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()), tensor._version
