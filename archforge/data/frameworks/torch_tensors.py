"""Tensors as a pickle of torch describes them: a storage, and where in it the elements lie.

Source: torch/_utils.py, the functions `_rebuild_*`, and torch/storage.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from archforge.data.frameworks.pickles import Global
from archforge.data.stored_arrays import MOST_AXES, are_sizes

__all__ = ["GLOBALS", "Storages", "TorchDtype", "TorchStorage", "TorchTensor"]


class TorchDtype(NamedTuple):
    """Dtype of torch. size: bytes. code: NumPy's for what lies in the file, of bfloat16 its bits; empty where
    NumPy has none."""

    name: str
    size: int
    code: str


_CODES = {
    "float64": "f8", "float32": "f4", "float16": "f2", "bfloat16": "u2",
    "complex128": "c16", "complex64": "c8",
    "int64": "i8", "int32": "i4", "int16": "i2", "int8": "i1",
    "uint64": "u8", "uint32": "u4", "uint16": "u2", "uint8": "u1", "bool": "b1",
}  # fmt: skip
_UNREADABLE = {
    "float8_e4m3fn": 1, "float8_e4m3fnuz": 1, "float8_e5m2": 1, "float8_e5m2fnuz": 1, "float8_e8m0fnu": 1,
    "float4_e2m1fn_x2": 1, "complex32": 4,
}  # fmt: skip
_DTYPES = {name: TorchDtype(name, int(code[1:]), code) for name, code in _CODES.items()} | {
    name: TorchDtype(name, size, "") for name, size in _UNREADABLE.items()
}
# Classes of storages with a dtype of their own: `torch.FloatStorage`.
_TYPED = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64",
    "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool",
    "ComplexDouble": "complex128", "ComplexFloat": "complex64",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TorchStorage:
    """Storage that a pickle names. key: its name in the file. size: bytes."""

    key: str
    dtype: TorchDtype
    size: int


@dataclass(frozen=True, slots=True)
class TorchTensor:
    """Elements of a storage. offset, strides: in elements of the dtype. Raises ValueError where they are not
    within the storage."""

    storage: TorchStorage
    dtype: TorchDtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        if not are_sizes((self.offset, *self.shape, *self.strides)):
            raise ValueError("it has a tensor whose sizes or strides are no whole numbers")
        if len(self.shape) != len(self.strides) or len(self.shape) > MOST_AXES:
            raise ValueError(f"it has a tensor of {len(self.shape)} axes with {len(self.strides)} strides")
        end = (self.offset + self.span) * self.dtype.size
        if end > self.storage.size:
            raise ValueError(
                f"it has a tensor that ends at byte {end} of a storage of {self.storage.size} bytes"
            )

    @property
    def span(self) -> int:
        """Number of elements of the storage from the tensor's first to its last."""
        if not math.prod(self.shape):
            return 0
        return 1 + sum((n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True))


class Storages:
    """Storages that a pickle names by its persistent ids, by their keys."""

    def __init__(self) -> None:
        self.by_key: dict[str, TorchStorage] = {}

    def __call__(self, given: Any) -> TorchStorage:
        """The storage of a persistent id: `storage`, its class, key, device and number of elements, and for
        the older format a view, which torch has not written since 0.4."""
        if not isinstance(given, tuple) or len(given) not in (5, 6) or given[0] != "storage":
            raise ValueError("its pickle refers to what is no storage")
        _, dtype, key, _, count, *view = given
        if view not in ([], [None]):
            raise ValueError("its pickle refers to a view of a storage, as torch before 0.4 did")
        if not isinstance(dtype, TorchDtype) or not isinstance(key, str) or type(count) is not int:
            raise ValueError("its pickle refers to a storage without a class, a name or a size")
        storage = TorchStorage(key, dtype, count * dtype.size)
        if self.by_key.setdefault(key, storage) != storage:
            raise ValueError(f"its pickle gives the storage `{key}` two sizes")
        return storage


def _tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    _grad: Any = False,
    _hooks: Any = None,
    marks: Any = None,
) -> TorchTensor:
    """The tensor of `_rebuild_tensor` and `_rebuild_tensor_v2`. marks: bits that say that its elements are to
    be negated or conjugated."""
    if isinstance(storage, TorchStorage):
        return _of_dtype(storage, offset, shape, strides, storage.dtype, marks)
    raise ValueError("it has a tensor without a storage")


def _tensor_with_dtype(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    _grad: Any,
    _hooks: Any,
    dtype: Any,
    marks: Any = None,
) -> TorchTensor:
    """The tensor of `_rebuild_tensor_v3`, whose storage is of bytes."""
    if isinstance(storage, TorchStorage) and isinstance(dtype, TorchDtype):
        return _of_dtype(storage, offset, shape, strides, dtype, marks)
    raise ValueError("it has a tensor without a storage or a dtype")


def _of_dtype(
    storage: TorchStorage, offset: Any, shape: Any, strides: Any, dtype: TorchDtype, marks: Any
) -> TorchTensor:
    if not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise ValueError("it has a tensor without a shape or strides")
    if marks:
        raise ValueError("it has a tensor that is to be negated or conjugated, which is not done here")
    return TorchTensor(storage, dtype, offset, shape, strides)


def _parameter(tensor: Any, *_: Any) -> TorchTensor:
    """The tensor of a parameter, whose gradient, hooks and attributes are dropped."""
    if not isinstance(tensor, TorchTensor):
        raise ValueError("it has a parameter that is no tensor")
    return tensor


def _subclassed(function: Any, _class: Any, arguments: Any, _state: Any = None) -> TorchTensor:
    """The tensor of `_rebuild_from_type_v2`, whose class and attributes are dropped."""
    if not isinstance(function, Global) or not isinstance(arguments, tuple):
        raise ValueError("it has a tensor of a class that is made of nothing")
    return _parameter(function.make(*arguments))


def _shape(sizes: Any = ()) -> tuple[Any, ...]:
    if not isinstance(sizes, list | tuple):
        raise ValueError("it has a shape that is no list")
    return tuple(sizes)


def _device(*parts: Any) -> str:
    return ":".join(str(part) for part in parts if isinstance(part, str | int))


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_with_dtype,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _subclassed,
    "torch.nn.parameter.Parameter": _parameter,
    "torch.Size": _shape,
    "torch.device": _device,
}

# All that a pickle of tensors may name, besides plain containers.
GLOBALS: Mapping[str, Any] = {
    **{name: Global(name, make) for name, make in _FUNCTIONS.items()},
    "torch.Tensor": "torch.Tensor",  # which `_rebuild_from_type_v2` is told
    **{f"torch.{name}": dtype for name, dtype in _DTYPES.items()},
    **{f"torch.{word}Storage": _DTYPES[name] for word, name in _TYPED.items()},
    **{f"torch.{module}UntypedStorage": _DTYPES["uint8"] for module in ("", "storage.")},
}
