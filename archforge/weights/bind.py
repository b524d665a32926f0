"""Arrays bound to the parameters of a network by name and shape; all that does not fit is told at once."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from archforge.data.frameworks import COUNTER
from archforge.data.stored_arrays import LazyArrays, StoredArray, widened
from archforge.errors import Diagnostic, DiagnosticError, closest, fail
from archforge.ir import ParamDecl, shape_text
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.weights.given import (
    copies,
    copies_diagnostic,
    prefix_diagnostic,
    prefixes,
    shard_diagnostic,
    without_prefix,
)

__all__ = ["COUNTER", "as_array", "bind", "first_listed", "in_dtype", "shape_of"]

LISTED = 8  # of one kind of mistake; a wrong network would otherwise print hundreds


def bind(
    decls: Mapping[str, ParamDecl], given: Mapping[str, Any], *, ignorable: Collection[str] = ()
) -> dict[str, Array | StoredArray]:
    """The given arrays, in the order of their declarations and in the dtypes that they came in; of a file,
    not yet read. bfloat16 is given as float32.

    `ignorable` names scopes (`aux1`) whose arrays may be there although the network lacks them: heads
    that another of its settings would have. Anything else that does not fit raises, all together:
    E0602 missing, E0603 extra, E0604 shape, E0605 dtype, E0611 other elements than the network computes with.
    A prefix of all names is told once.
    """
    wrong = list(_differences(decls, given, ignorable))
    if wrong:
        raise DiagnosticError(tuple(wrong))
    return {name: as_array(given[name], f"`{name}`", "E0605") for name in decls}


def _differences(
    decls: Mapping[str, ParamDecl], given: Mapping[str, Any], ignorable: Collection[str]
) -> Iterator[Diagnostic]:
    """All that does not fit. Behind a prefix, that which would not fit without it either."""
    if not decls.keys() <= given.keys() and (found := prefixes(decls, given)):
        yield prefix_diagnostic(found)
        if len(found) == 1:
            yield from _differences(decls, without_prefix(given, found[0]), ignorable)
        return
    if found := copies(decls, given):
        yield copies_diagnostic(found)
        given = {name: value for name, value in given.items() if not name.startswith(tuple(found))}
    arrays = {name: as_array(given[name], f"`{name}`", "E0605") for name in decls if name in given}
    missing = {name: decl.shape for name, decl in decls.items() if name not in arrays}
    extra = {
        name: shape_of(value)
        for name, value in given.items()
        if name not in decls and not _is_ignored(name, ignorable)
    }
    if missing and (shard := shard_diagnostic(given)):
        yield shard
        return
    yield from _grouped(missing, "E0602", "the weights lack", _missing(missing, extra))
    yield from _grouped(extra, "E0603", "nothing in the network fits", _extra(extra, missing))
    yield from _misfits(decls, arrays)


def as_array(value: Any, what: str, code: str) -> Any:
    """The array that `value` is or can be read as; one in a file as it is. Raises a diagnostic about `what`
    otherwise."""
    if isinstance(value, StoredArray):
        return value
    # Where nothing has imported them, or another thread has not done so yet, there are no masked arrays.
    masked: Any = sys.modules.get("numpy.ma")
    if isinstance(value, getattr(masked, "MaskedArray", ())) and masked.is_masked(value):
        fail(code, f"{what} has elements that are masked", help="fill them first: `array.filled(0)`")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # torch, of bfloat16 or tracked gradients
        help = "`.float()` gives it as float32" if re.search("BFloat16|Float8", str(error)) else ""
        fail(code, f"{what} cannot be read as an array: {error}", help=help)
    # NumPy has no bfloat16: ml_dtypes adds it, and in a file it is two bytes without a name.
    is_bfloat16 = array.dtype.name == "bfloat16" or array.dtype.str == "|V2"
    return widened(array.view(np.uint16)) if is_bfloat16 else array


def in_dtype(array: Array, dtype: str, what: str, code: str) -> Array:
    """The array in another dtype. Raises a diagnostic about `what` where a number is beyond the dtype's
    largest."""
    try:
        with np.errstate(over="raise"):
            return np.asarray(array, dtype, order="C")
    except FloatingPointError:
        largest = np.abs(array, where=np.isfinite(array), out=np.zeros_like(array)).max()
        fail(
            code, f"{what} reaches {largest:.3g}, the largest number of {dtype} is {np.finfo(dtype).max:.3g}"
        )


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of what is or can be read as an array; that of a scalar for anything else."""
    try:
        return tuple(np.shape(value))
    except (TypeError, ValueError, RuntimeError):
        return ()


def _is_ignored(name: str, ignorable: Collection[str]) -> bool:
    return name.endswith(COUNTER) or any(name.startswith(f"{scope}.") for scope in ignorable)


Shapes = Mapping[str, tuple[int, ...]]


def _missing(missing: Shapes, extra: Shapes) -> Iterator[Diagnostic]:
    for name, shape in missing.items():
        near = _near(name, shape, extra)
        help = f"the weights hold `{near}` of this shape" if near else ""
        yield Diagnostic("E0602", f"the weights lack `{name}`, {shape_text(shape)}", help=help)


def _extra(extra: Shapes, missing: Shapes) -> Iterator[Diagnostic]:
    for name, shape in extra.items():
        near = _near(name, shape, missing)
        help = f"did you mean `{near}`?" if near else ""
        yield Diagnostic("E0603", f"the network has no parameter `{name}`", help=help)


def _near(name: str, shape: tuple[int, ...], others: Shapes) -> str | None:
    """The most similar name whose array has the same shape."""
    return closest(name, (other for other, found in others.items() if found == shape))


def _misfits(decls: Mapping[str, ParamDecl], arrays: LazyArrays) -> Iterator[Diagnostic]:
    shapes = [n for n, a in arrays.items() if a.shape != decls[n].shape]
    yield from first_listed(
        (_other_shape(n, arrays[n].shape, decls[n].shape) for n in shapes),
        len(shapes),
        "E0604",
        "arrays have another shape",
    )
    dtypes = [n for n, a in arrays.items() if not _has_fitting_dtype(decls[n], a)]
    yield from first_listed(
        (_not_floating(n, arrays[n]) for n in dtypes), len(dtypes), "E0605", "arrays have another dtype"
    )
    computed = (n for n, a in arrays.items() if decls[n].init.kind == "index" and n not in {*shapes, *dtypes})
    elements = [n for n in computed if not np.array_equal(np.asarray(arrays[n]), decls[n].computed())]
    yield from first_listed(
        map(_other_elements, elements), len(elements), "E0611", "arrays have other elements"
    )


def _other_elements(name: str) -> Diagnostic:
    message = f"`{name}` holds other whole numbers than the network computes with"
    return Diagnostic(
        "E0611", message, help="it is of another network; where it is not, leave its values as they are"
    )


# Orders of the axes in other libraries: of Keras's matrices, of kernels as HWIO, OHWI and HWOI.
_ORDERS = ((1, 0), (3, 2, 0, 1), (0, 3, 1, 2), (2, 3, 0, 1))


def _other_shape(name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> Diagnostic:
    orders = (o for o in _ORDERS if len(o) == len(found) and tuple(found[axis] for axis in o) == expected)
    order = next(orders, None)
    help = f"its axes are in another order: `array.transpose({', '.join(map(str, order))})`" if order else ""
    message = f"`{name}` is {shape_text(found)}, expected {shape_text(expected)}"
    return Diagnostic("E0604", message, help=help)


def _has_fitting_dtype(decl: ParamDecl, array: Array | StoredArray) -> bool:
    is_integer = decl.init.kind == "index" and np.issubdtype(array.dtype, np.integer)
    return is_integer or np.issubdtype(array.dtype, np.floating)


def _not_floating(name: str, array: Array | StoredArray) -> Diagnostic:
    stored = array.stored_as if isinstance(array, StoredArray) else str(array.dtype)
    if stored.lower().startswith("f"):  # F8_E4M3 in safetensors, float8_e4m3fn of ml_dtypes
        message = f"`{name}` is {stored}, which NumPy cannot hold"
        return Diagnostic("E0605", message, help="as float32: `tensor.float()`, and its scale multiplied in")
    help = "bits of bfloat16: `array.view(ml_dtypes.bfloat16)`" if stored == "uint16" else ""
    return Diagnostic("E0605", f"`{name}` is {stored}, expected floating-point numbers", help=help)


def _grouped(names: Shapes, code: str, says: str, each: Iterator[Diagnostic]) -> Iterator[Diagnostic]:
    """One diagnostic for each name where there are few; else one for each outermost scope of them."""
    if len(names) <= LISTED:
        yield from each
        return
    scopes: dict[str, list[str]] = {}
    for name in names:
        scopes.setdefault(name.partition(".")[0], []).append(name)
    lines = (_of_scope(scope, found, code, says) for scope, found in scopes.items())
    yield from first_listed(lines, len(scopes), code, f"such scopes, of {len(names)} arrays in all")


def _of_scope(scope: str, names: list[str], code: str, says: str) -> Diagnostic:
    what = f"{len(names)} arrays in `{scope}`, the first is" if len(names) > 1 else "the array"
    return Diagnostic(code, f"{says} {what} `{names[0]}`")


def first_listed(found: Iterator[Diagnostic], total: int, code: str, rest: str) -> Iterator[Diagnostic]:
    """The first few of `total` diagnostics, and one of this code that counts the `rest`."""
    for _, diagnostic in zip(range(LISTED), found, strict=False):
        yield diagnostic
    if total > LISTED:
        yield Diagnostic(code, f"{total - LISTED} more {rest}")
