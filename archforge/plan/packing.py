"""Packing of parameters: the weights of each step are laid out as its kernel reads them, a few at a time, so
that weights in a mapped file never lie in memory as a whole beside what is packed of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from archforge.data.memory_map import unmapped
from archforge.data.stored_arrays import LazyArrays
from archforge.errors import InternalError
from archforge.ir import ParamDecl
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.plan.contract import Plan, Step
from archforge.weights.bind import in_dtype

__all__ = ["bytes_to_pack", "packed_alike", "packed_params"]


def packed_params(
    plan: Plan,
    arrays: LazyArrays,
    packed_before: Mapping[str, Mapping[str, Any]],
) -> tuple[Mapping[str, Any], ...]:
    """The parameters of each step in the backend's form: those of `packed_before`, by what the step makes, or
    else packed from `arrays`."""
    source = _ParamSource(plan, arrays)
    with _ending_at_once(ThreadPoolExecutor(max_workers=plan.backend.packers())) as pool:
        packed = {
            step.output: pool.submit(source.packed, step)
            for step in plan.steps
            if step.output not in packed_before
        }
        return tuple(
            _taken_over(packed[step.output].result(), step, plan)
            if step.output in packed
            else packed_before[step.output]
            for step in plan.steps
        )


def packed_alike(
    done: Plan, packed: tuple[Mapping[str, Any], ...], plan: Plan
) -> dict[str, Mapping[str, Any]]:
    """The parameters `packed` for the steps of `done` that serve another plan for the same arrays, by the
    values that its steps make."""
    if done.transforms != plan.transforms:
        return {}
    known = {step.output: (step, params) for step, params in zip(done.steps, packed, strict=True)}
    return {
        step.output: known[step.output][1]
        for step in plan.steps
        if step.output in known and _serves(known[step.output][0], step)
    }


def bytes_to_pack(plan: Plan, packed_before: Mapping[str, Mapping[str, Any]]) -> int:
    """Bytes, about, of the packed parameters of a plan but for those that are packed before."""
    steps = (step for step in plan.steps if step.output not in packed_before)
    itemsize = 8 if plan.dtype == "float64" else 4
    return int(sum(decl.size * itemsize * s.kernel.growth for s in steps for decl in s.params.values()))


def _serves(old: Step, new: Step) -> bool:
    """True if both steps pack equal parameters equally."""
    return (
        (old.node.op, old.node.params_of, old.params) == (new.node.op, new.node.params_of, new.params)
        and old.is_fallback == new.is_fallback
        and (old.is_fallback or old.kernel.packs_like(new.kernel))
    )


def _taken_over(params: Mapping[str, Array], step: Step, plan: Plan) -> Mapping[str, Any]:
    """A step's packed parameters in the backend's form; reference kernels take arrays as they are."""
    if step.is_fallback:
        return params
    return {name: plan.backend.constant(array, plan.dtype) for name, array in params.items()}


@contextmanager
def _ending_at_once(pool: ThreadPoolExecutor) -> Iterator[ThreadPoolExecutor]:
    """A pool that begins none of the jobs that wait when one fails or the user interrupts."""
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class _ParamSource:
    """Parameters of steps, from weights and the transforms of a plan. Threads may share it."""

    def __init__(self, plan: Plan, arrays: LazyArrays) -> None:
        self._arrays = arrays
        self._makers = {name: transform for transform in plan.transforms for name in transform.makes}
        self._dtype = "float64" if plan.dtype == "float64" else "float32"
        uses = Counter(step.node.param_name(name) for step in plan.steps for name in step.params)
        self._shared = {name for name, count in uses.items() if count > 1}
        self._kept: dict[str, Array] = {}

    def packed(self, step: Step) -> Mapping[str, Array]:
        """The step's parameters as its kernel lays them out."""
        names = {name: step.node.param_name(name) for name in step.params}
        found = self._found(names.values(), self._dtype)
        own = {name: self._checked(full, found, step.params[name]) for name, full in names.items()}
        laid_out = own if step.is_fallback else step.kernel.pack(own)
        return {name: unmapped(array) for name, array in laid_out.items()}

    def _found(self, names: Iterable[str], dtype: str) -> dict[str, Array]:
        """The arrays of these names, from the weights or computed; each transform is applied once."""
        found: dict[str, Array] = {}
        for name in names:
            if name in found:
                continue
            if name in self._kept:
                found[name] = self._kept[name]
            elif name in self._makers:
                maker = self._makers[name]
                found |= maker.apply(self._found(maker.reads, "float64"), dtype)
            elif name in self._arrays:
                found[name] = np.asarray(self._arrays[name])
        return found

    def _checked(self, name: str, found: Mapping[str, Array], decl: ParamDecl) -> Array:
        """The array of that name in the dtype that kernels pack. Raises `InternalError` for another shape."""
        if name not in found or found[name].shape != decl.shape:
            raise InternalError(f"`{name}` is not bound to an array of shape {decl.shape}")
        array = in_dtype(found[name], self._dtype, f"`{name}`", "E0605")
        # Shared parameters stay shared.
        return self._kept.setdefault(name, unmapped(array)) if name in self._shared else array
