"""A network at sizes of its inputs other than those that it was compiled for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Generic, TypeVar

from archforge.plan.contract import Plan, Step

__all__ = ["OtherSizes", "Shapes", "packed_alike"]

MOST_SIZES = 4  # that are kept, the last used

# Of each input by its name, without the batch axis.
Shapes = Mapping[str, tuple[int, ...]]
Made = TypeVar("Made")


class _Size(Generic[Made]):
    """One size's executable, made by the first thread that asks for it."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.made: Made | None = None


class OtherSizes(Generic[Made]):
    """Executables that `make` gives for other sizes, each once; threads may ask together."""

    def __init__(self, make: Callable[[Shapes], Made]) -> None:
        self._make = make
        self._sizes: OrderedDict[tuple[tuple[str, tuple[int, ...]], ...], _Size[Made]] = OrderedDict()
        self._lock = Lock()

    def at(self, shapes: Shapes) -> Made:
        """The executable for these shapes. Raises what `make` raises."""
        key = tuple(shapes.items())
        with self._lock:
            size = self._sizes.setdefault(key, _Size())
            self._sizes.move_to_end(key)
        with size.lock:
            if size.made is None:
                try:
                    size.made = self._make(shapes)
                except BaseException:
                    with self._lock:
                        self._sizes.pop(key, None)
                    raise
        with self._lock:
            while len(self._sizes) > MOST_SIZES:
                self._sizes.popitem(last=False)
        return size.made


def packed_alike(
    done: Plan, packed: tuple[Mapping[str, Any], ...], plan: Plan
) -> dict[str, Mapping[str, Any]]:
    """What is `packed` for the steps of `done` and serves those of another plan for the same arrays, by
    their outputs."""
    known = {step.output: (step, params) for step, params in zip(done.steps, packed, strict=True)}
    return {
        step.output: known[step.output][1]
        for step in plan.steps
        if step.output in known and _serves(known[step.output][0], step)
    }


def _serves(old: Step, new: Step) -> bool:
    return (
        (old.node.op, old.node.params_of, old.params) == (new.node.op, new.node.params_of, new.params)
        and old.is_fallback == new.is_fallback
        and (old.is_fallback or old.kernel.packs_like(new.kernel))
    )
