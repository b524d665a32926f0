"""Arrays bound to the parameters of a network by name and shape; all that does not fit is told at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from archforge.errors import Diagnostic, DiagnosticError, closest, fail
from archforge.ir import ParamDecl, shape_text
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["as_array", "bind"]

LISTED = 8  # of one kind of mistake; a wrong network would otherwise print hundreds

# torch counts the batches that its norms have seen; no output depends on it.
COUNTER = ".num_batches_tracked"


def bind(
    decls: Mapping[str, ParamDecl], given: Mapping[str, Any], *, ignorable: Collection[str] = ()
) -> dict[str, Array]:
    """The given arrays, in the order of their declarations and in the dtypes that they came in.

    `ignorable` names scopes (`aux1`) whose arrays may be there although the network lacks them: heads
    that another of its settings would have. Anything else that does not fit raises, all together:
    E0602 missing, E0603 extra, E0604 shape, E0605 dtype.
    """
    arrays = {name: as_array(value, f"`{name}`", "E0605") for name, value in given.items() if name in decls}
    missing = {name: decl.shape for name, decl in decls.items() if name not in arrays}
    extra = {
        name: tuple(np.shape(value))
        for name, value in given.items()
        if name not in decls and not _is_ignored(name, ignorable)
    }
    wrong = [
        *_listed(_missing(missing, extra), len(missing), "E0602", "parameters are missing"),
        *_listed(_extra(extra, missing), len(extra), "E0603", "arrays fit nothing in the network"),
        *_misfits(decls, arrays),
    ]
    if wrong:
        raise DiagnosticError(tuple(wrong))
    return {name: arrays[name] for name in decls}


def as_array(value: Any, what: str, code: str) -> Array:
    """The array that `value` is or can be read as. Raises a diagnostic about `what` otherwise."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # torch, of bfloat16 or tracked gradients
        fail(code, f"{what} cannot be read as an array: {error}")


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
    return closest(name, [other for other, found in others.items() if found == shape])


def _misfits(decls: Mapping[str, ParamDecl], arrays: Mapping[str, Array]) -> Iterator[Diagnostic]:
    shapes = [n for n, a in arrays.items() if a.shape != decls[n].shape]
    yield from _listed(
        (
            Diagnostic(
                "E0604", f"`{n}` is {shape_text(arrays[n].shape)}, expected {shape_text(decls[n].shape)}"
            )
            for n in shapes
        ),
        len(shapes),
        "E0604",
        "arrays have another shape",
    )
    dtypes = [n for n, a in arrays.items() if not np.issubdtype(a.dtype, np.floating)]
    yield from _listed(
        (Diagnostic("E0605", f"`{n}` is {arrays[n].dtype}, expected floating-point numbers") for n in dtypes),
        len(dtypes),
        "E0605",
        "arrays have another dtype",
    )


def _listed(found: Iterator[Diagnostic], total: int, code: str, rest: str) -> Iterator[Diagnostic]:
    """The first few diagnostics, and one that counts the others."""
    for _, diagnostic in zip(range(LISTED), found, strict=False):
        yield diagnostic
    if total > LISTED:
        yield Diagnostic(code, f"{total - LISTED} more {rest}")
