"""Executables: plans with their weights, callable on arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from archforge.data.stored_arrays import LazyArrays
from archforge.errors import Diagnostic, DiagnosticError, Note, did_you_mean
from archforge.hardware import no_memory
from archforge.ir import TensorType, shape_text
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.plan.contract import Plan, Program
from archforge.plan.input_range import warn_of_range
from archforge.plan.last_used import LastUsed
from archforge.plan.packing import packed_params
from archforge.weights.bind import as_array, in_dtype

__all__ = ["Executable", "Results", "Shapes", "load"]

# Of each input, by its name, without the batch axis.
Shapes = tuple[tuple[str, tuple[int, ...]], ...]


class Results(NamedTuple):
    """Arrays by the names of outputs and of taps."""

    outputs: dict[str, Array]
    taps: dict[str, Array]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Executable:
    """A plan with its parameters, callable on arrays. With `others`, it computes inputs of other sizes too,
    by executables made for them. Threads can share it. Copies are the executable itself, since no call
    changes it; it is pickled as its `recipe`, which makes an equal one where it is loaded."""

    plan: Plan
    params: tuple[Mapping[str, Any], ...]  # of each step, in the backend's form
    program: Program
    tile_error: float  # of the plan
    others: LastUsed[Shapes, Executable] | None = None
    recipe: partial[Executable] | None = None

    def __repr__(self) -> str:
        return f"<executable of {self.plan!r}>"

    def __copy__(self) -> Executable:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Executable:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Raises TypeError for one that was not made by `archforge.compile`."""
        if self.recipe is None:
            raise TypeError(f"{self!r} has no recipe to be pickled as: compile it in each process")
        return self.recipe.func, self.recipe.args

    def __call__(self, x: Any = None, /, **inputs: Any) -> Any:
        """The output for one positional array, or for arrays by the names of inputs.

        Several outputs come as a dict by name; if the plan has taps, a pair of that and the taps by name.
        Raises E0607 for inputs that do not fit.
        """
        names = list(self.plan.inputs)
        if isinstance(x, Mapping):
            message = "inputs by name come as keywords, found a mapping"
            raise DiagnosticError((Diagnostic("E0607", message, help="call it with **, or `run`"),))
        if x is not None and len(names) == 1 and not inputs:
            inputs = {names[0]: x}
        elif x is not None:
            raise DiagnosticError((_one_array_given(names),))
        outputs, taps = self.run(inputs)
        result = next(iter(outputs.values())) if len(outputs) == 1 else outputs
        return (result, taps) if self.plan.taps else result

    def run(self, inputs: Mapping[str, Any]) -> Results:
        """Outputs and taps for an array [N, *shape] of each input, any N from 1. Raises E0607, and E0706 for
        want of memory.

        Gives an `AccuracyWarning` for inputs so wide in range that fast kernels lose accuracy.
        """
        plan = self.plan
        given = {name: self._of_rows(name, value) for name, value in inputs.items()}
        arrays = checked_inputs(plan.inputs, given, of_any_size=self.others is not None)
        if self.others and any(arrays[name].shape[1:] != t.shape for name, t in plan.inputs.items()):
            return self._at_size_of(arrays, self.others).run(arrays)
        if self.tile_error:
            warn_of_range(arrays, self.tile_error)
        try:
            values = self.program(self._in_own_dtype(arrays))
        except MemoryError as error:
            raise DiagnosticError((no_memory(error),)) from error
        taken = {id(_owner(array)) for array in arrays.values()}
        return Results(
            {name: _own(values[value], taken) for name, value in plan.outputs.items()},
            {name: _own(values[value], taken) for name, value in plan.taps.items()},
        )

    def _of_rows(self, name: str, value: Any) -> Any:
        """Integers as floats, where all that reads the input takes them for numbers of rows; else what it is.
        Raises E0607 for numbers of no row."""
        rows = self.plan.graph.rows.get(name)
        if rows is None:
            return value
        array = np.asarray(as_array(value, f"the input `{name}`", "E0607"))
        if not np.issubdtype(array.dtype, np.integer) or not array.size:
            return value
        for number in (array.min(), array.max()):
            if not 0 <= number < rows:
                message = f"the input `{name}` has the number {number}, and the rows are 0 to {rows - 1}"
                raise DiagnosticError((Diagnostic("E0607", message, help="`entries` is the number of rows"),))
        return array.astype(np.float64 if array.max() > 2**24 else np.float32)

    def _in_own_dtype(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        """The arrays, wider ones in the dtype that is computed in; NumPy has no bfloat16, whose range is that
        of float32. Raises E0607 for numbers beyond it."""
        dtype = "float32" if self.plan.dtype == "bfloat16" else self.plan.dtype
        if all(array.itemsize <= np.dtype(dtype).itemsize for array in arrays.values()):
            return arrays
        return {name: in_dtype(a, dtype, f"the input `{name}`", "E0607") for name, a in arrays.items()}

    def _at_size_of(self, arrays: Mapping[str, Array], others: LastUsed[Shapes, Executable]) -> Executable:
        """The executable for inputs of the sizes of `arrays`. Raises E0607, with the reason, where the
        network cannot take them, E0601 where its weights cannot be read again, and E0706."""
        try:
            return others.at(tuple((name, arrays[name].shape[1:]) for name in self.plan.inputs))
        except DiagnosticError as error:
            if error.diagnostics[0].code in ("E0601", "E0706"):
                raise
            notes = tuple(Note(d.message, d.span) for d in error.diagnostics[:1])
            help = error.diagnostics[0].help if error.diagnostics[0].mended_by else ""
            misfits = _misfits(self.plan.inputs, arrays)
            raise DiagnosticError(
                tuple(replace(d, notes=notes, help=d.help or help) for d in misfits)
            ) from error


def _own(array: Array, taken: set[int]) -> Array:
    """The array, or a copy if the owner of its memory is among `taken`, else added to them. What is written
    to one must reach no other: names can share a value, and ops such as `flatten` give views."""
    owner = id(_owner(array))
    if owner in taken:
        return array.copy()
    taken.add(owner)
    return array


def _owner(array: Array) -> Array:
    """The outermost array of whose memory `array` is a part."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def load(
    plan: Plan,
    arrays: LazyArrays,
    packed_before: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Executable:
    """The plan with its parameters. `arrays` hold all that the graph before its passes declared;
    `packed_before` are the parameters of steps, by what these make, that another plan of the same arrays
    has packed alike.

    An array that is in the plan's dtype already is kept rather than copied: do not write to it.
    """
    params = packed_params(plan, arrays, packed_before)
    return Executable(plan, params, plan.backend.program(plan, params), plan.tile_error)


def checked_inputs(
    types: Mapping[str, TensorType], given: Mapping[str, Any], *, of_any_size: bool = False
) -> dict[str, Array]:
    """The given inputs as arrays. Raises E0607, for all inputs that do not fit at once."""
    arrays = {
        name: as_array(value, f"the input `{name}`", "E0607")
        for name, value in given.items()
        if name in types
    }
    wrong = [*_misnamed(types, given), *_misfits(types, arrays, of_any_size=of_any_size)]
    if not wrong and len({len(a) for a in arrays.values()}) > 1:
        sizes = ", ".join(f"`{n}` {len(a)}" for n, a in arrays.items())
        wrong.append(Diagnostic("E0607", f"the inputs have different batch sizes: {sizes}"))
    if wrong:
        raise DiagnosticError(tuple(wrong))
    return {name: np.asarray(array) for name, array in arrays.items()}  # files are read now


def _misnamed(types: Mapping[str, TensorType], given: Mapping[str, Any]) -> Iterator[Diagnostic]:
    for name in given:
        if name not in types:
            help = did_you_mean(name, types, what="inputs")
            yield Diagnostic("E0607", f"the network has no input `{name}`", help=help)
    for name, expected in types.items():
        if name not in given:
            yield Diagnostic("E0607", f"the input `{name}`, {expected}, is missing")


def _misfits(
    types: Mapping[str, TensorType], arrays: LazyArrays, *, of_any_size: bool = False
) -> Iterator[Diagnostic]:
    for name, array in arrays.items():
        expected = types[name].shape
        if not np.issubdtype(array.dtype, np.floating):
            help = "convert it, for example with `x.astype('float32')`, and scale it as the network expects"
            yield Diagnostic(
                "E0607", f"the input `{name}` is {array.dtype}, expected floating-point numbers", help=help
            )
        if array.ndim == len(expected) + 1 and array.size and (of_any_size or array.shape[1:] == expected):
            continue
        lacks_batch = array.shape == expected or (of_any_size and array.ndim == len(expected) and array.size)
        help = "add a batch axis: `x[None]`" if lacks_batch else ""
        if array.ndim == len(expected) + 1 and not len(array):
            help = "N is 1 or more"
        elif len(expected) > 1 and array.shape[-1:] == expected[:1] != array.shape[-len(expected) :][:1]:
            help = f"channels come first: `numpy.moveaxis(x, -1, -{len(expected)})`"
        yield Diagnostic(
            "E0607",
            f"the input `{name}` has shape {shape_text(array.shape)}, expected Nx{types[name]}",
            help=help,
        )


def _one_array_given(names: list[str]) -> Diagnostic:
    keywords = ", ".join(f"{name}=..." for name in names)
    return Diagnostic(
        "E0607", "inputs are one positional array or all by name", help=f"call it with {keywords}"
    )
