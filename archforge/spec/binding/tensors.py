"""Values of a graph under construction: tensors, and the nodes that compute them before they have names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from archforge.errors import Span
from archforge.ir import Op, TensorType
from archforge.spec.formulas.failures import Poisoned

__all__ = ["POISON", "TENSOR_ATTRIBUTES", "Draft", "FoldedDraft", "FoldedSection", "Tensor"]

_AXES = {1: ("features",), 2: ("channels", "width"), 3: ("channels", "height", "width")}
_AXES_3D = ("channels", "depth", "height", "width")
# Every attribute that some tensor has.
TENSOR_ATTRIBUTES = ("shape", "size", "features", "length", *_AXES_3D)


@dataclass(slots=True, eq=False)
class Draft:
    """A node whose name is not known yet: `conv` or `conv3` depends on what comes later."""

    op: Op
    inputs: tuple[Tensor, ...]
    type: TensorType
    span: Span
    frame: int
    given: str | None = None
    shared: bool = False
    name: str = ""
    params_of: str = ""

    @property
    def kind(self) -> str:
        return self.op.kind


@dataclass(slots=True, eq=False)
class FoldedSection:
    """The nodes that one call of a block has made: drafts from `start` up to `stop`, and what they give.
    nodes: how many they stand for, with those that are folded in them."""

    start: int
    stop: int
    nodes: int
    output: Tensor


@dataclass(slots=True, eq=False, kw_only=True)
class FoldedDraft(Draft):
    """A block that is called once more with equal arguments, on an input of the same type: what it makes are
    the nodes of `section` again. Its op is the one that gives the output."""

    section: FoldedSection


@dataclass(slots=True, eq=False)  # not frozen: thousands are made, and a frozen one takes twice as long
class Tensor:
    """A value of the graph: computed by `draft`, or the graph's input `input_name`."""

    type: TensorType
    draft: Draft | None = None
    input_name: str = ""
    is_poison: ClassVar[bool] = False

    def attribute(self, name: str) -> Any:
        shape = self.type.shape
        if name == "shape":
            return list(shape)
        if name == "size":
            return self.type.size
        if name == "features":
            return shape[-1]
        if name == "channels" or (name == "length" and len(shape) == 2):
            return shape[0]
        axes = _AXES.get(len(shape), _AXES_3D)
        return shape[axes.index(name)] if name in axes else _missing(name)

    def attributes(self) -> Iterable[str]:
        return ("shape", "size", "features", *_AXES.get(len(self.type.shape), _AXES_3D))

    def __str__(self) -> str:
        return f"a tensor of {self.type}"


def _missing(name: str) -> Any:
    raise KeyError(name)


class _Poison(Tensor):
    """A value behind a mistake: whoever reads it stops, and reports nothing more."""

    is_poison: ClassVar[bool] = True

    def attribute(self, name: str) -> Any:
        raise Poisoned


POISON = _Poison(TensorType(()))
