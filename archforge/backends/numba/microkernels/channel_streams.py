"""Microkernels over streams of vectors of one block of channels: normalisation in training, the way back
through it and through clamps, sums over pixels.

A stream takes the addresses (geometry, constants, x, y, dy, out, sums) and the numbers of images and of
pixels of each. Constants are vectors in the order of the numbers in `opcodes.py`. What is summed up is stored
for each part of the pixels, so that parts can be added in an order that does not depend on threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from archforge.backends.numba.microkernels.record_reader import RecordReader
from archforge.backends.numba.runtime.opcodes import (
    BIAS,
    FACTOR,
    MEAN,
    TIMES_CENTRED,
    TIMES_GRADIENT,
    TIMES_ONE,
)
from archforge.backends.numba.runtime.records import STREAM
from archforge.backends.numba.toolchain.machine import FLOAT
from archforge.ops.activations import CLAMPS

if TYPE_CHECKING:
    import llvmlite.binding as llvm

    from archforge.backends.numba.microkernels.vectors import IrFunction, Variable

__all__ = ["ChannelStream", "StreamKind"]

ARGUMENTS = ("geometry", "constants", "x", "y", "dy", "out", "sums", "images", "pixels")
TURNS = 4  # sums that take turns, so that none waits for the addition before it

StreamKind = Literal["moments", "normal", "normal_sums", "normal_back", "masked", "sum", "dot"]
# The streams that each of them reads.
READS: Mapping[StreamKind, tuple[str, ...]] = {
    "moments": ("x",),
    "normal": ("x",),
    "normal_sums": ("x", "dy"),
    "normal_back": ("x", "dy"),
    "masked": ("y", "dy"),
    "sum": ("dy",),
    "dot": ("x", "dy"),
}
WRITES = ("normal", "normal_back", "masked")


@dataclass(frozen=True, slots=True)
class ChannelStream:
    """One pass over the vectors of a block of channels.

    moments: the mean, and the sum of squares of deviations from it. normal: x less the mean, times the
    factor, plus the bias, clamped. normal_sums: of dy, and of dy times x less the mean. normal_back: the
    gradient of x from such sums, which are in the constants by then. masked: dy, and its sum. sum: of dy.
    dot: the sum of x times dy.

    clamp: the kind of an activation that clamps, through which dy goes back first; empty for none. It is
    known by y, its output, in `masked`; else x is normalised again.
    """

    lanes: int
    kind: StreamKind
    clamp: str = ""

    @property
    def name(self) -> str:
        parts = (self.kind, self.clamp, str(self.lanes))
        return "_".join(("stream", *filter(None, parts)))

    def module(self) -> llvm.ModuleRef:
        from archforge.backends.numba.microkernels.vectors import IrFunction

        f = IrFunction(self.name, ARGUMENTS, self.lanes)
        if self.kind == "moments":
            self._moments(f)
        elif self.kind == "normal":
            self._walk(f, lambda at, turn: f.store(self._normal(f, at), at["out"]))
        elif self.kind == "normal_back":
            self._walk(f, lambda at, turn: f.store(self._gradient(f, at), at["out"]))
        else:
            self._sums(f)
        return f.finish()

    def _walk(self, f: IrFunction, do: Callable[[Mapping[str, Any], int], None]) -> None:
        """Code that does something at each pixel of each image, with the addresses of the streams there."""
        streams = [*READS[self.kind], *(["out"] if self.kind in WRITES else [])]
        geometry, vector = RecordReader(f, STREAM), self.lanes * FLOAT
        images = {name: f.variable(f.arguments[name]) for name in streams}
        strides = {name: geometry[f"{name}_image"] for name in streams}
        pixels = f.arguments["pixels"]
        turns, rest = f.builder.sdiv(pixels, f.word(TURNS)), f.builder.srem(pixels, f.word(TURNS))
        with f.loop(f.arguments["images"]):
            at = {name: f.variable(place.get()) for name, place in images.items()}
            for count, unrolled in ((turns, TURNS), (rest, 1)):
                with f.loop(count):
                    for turn in range(unrolled):
                        do({name: f.add(place.get(), turn * vector) for name, place in at.items()}, turn)
                    for place in at.values():
                        place.set(f.add(place.get(), unrolled * vector))
            for name, place in images.items():
                place.set(f.add(place.get(), strides[name]))

    def _constant(self, f: IrFunction, number: int) -> Any:
        return f.load(f.arguments["constants"], number * self.lanes * FLOAT)

    def _centred(self, f: IrFunction, at: Mapping[str, Any]) -> Any:
        return f.minus(f.load(at["x"]), self._constant(f, MEAN))

    def _normal(self, f: IrFunction, at: Mapping[str, Any]) -> Any:
        """The output at a pixel."""
        y = f.multiply_add(self._centred(f, at), self._constant(f, FACTOR), self._constant(f, BIAS))
        if self.clamp:
            low, high = CLAMPS[self.clamp]
            y = f.at_least(f.constant(low), y)
            y = f.at_most(f.constant(high), y) if high < math.inf else y
        return y

    def _passed(self, f: IrFunction, at: Mapping[str, Any]) -> Any:
        """The gradient at a pixel before the clamp: 0 where that has changed something."""
        d = f.load(at["dy"])
        if not self.clamp:
            return d
        y = f.load(at["y"]) if "y" in at else self._normal(f, at)
        low, high = CLAMPS[self.clamp]
        zero, b = f.constant(0.0), f.builder
        d = b.select(b.fcmp_ordered(">", y, f.constant(low)), d, zero)
        return b.select(b.fcmp_ordered("<", y, f.constant(high)), d, zero) if high < math.inf else d

    def _gradient(self, f: IrFunction, at: Mapping[str, Any]) -> Any:
        """The gradient of x at a pixel."""
        of_centred = f.multiply_add(
            self._centred(f, at), self._constant(f, TIMES_CENTRED), self._constant(f, TIMES_ONE)
        )
        return f.multiply_add(self._passed(f, at), self._constant(f, TIMES_GRADIENT), of_centred)

    def _sums(self, f: IrFunction) -> None:
        """Code for sums over all pixels."""
        number = 2 if self.kind == "normal_sums" else 1
        sums = [[f.variable(f.constant(0.0)) for _ in range(TURNS)] for _ in range(number)]

        def do(at: Mapping[str, Any], turn: int) -> None:
            d = self._passed(f, at)
            first = sums[0][turn]
            if self.kind == "dot":
                first.set(f.multiply_add(f.load(at["x"]), d, first.get()))
                return
            first.set(f.plus(d, first.get()))
            if self.kind == "normal_sums":
                sums[1][turn].set(f.multiply_add(self._centred(f, at), d, sums[1][turn].get()))
            if self.kind == "masked":
                f.store(d, at["out"])

        self._walk(f, do)
        for i, turns in enumerate(sums):
            f.store(_total(f, turns), f.arguments["sums"], i * self.lanes * FLOAT)

    def _moments(self, f: IrFunction) -> None:
        """Code for the mean, and then the deviations from it, of what is in the cache by then."""
        count = f.builder.mul(f.arguments["images"], f.arguments["pixels"])
        total = [f.variable(f.constant(0.0)) for _ in range(TURNS)]
        squares = [f.variable(f.constant(0.0)) for _ in range(TURNS)]
        self._walk(f, lambda at, turn: total[turn].set(f.plus(f.load(at["x"]), total[turn].get())))
        mean = f.divide(_total(f, total), f.as_floats(count))

        def do(at: Mapping[str, Any], turn: int) -> None:
            d = f.minus(f.load(at["x"]), mean)
            squares[turn].set(f.multiply_add(d, d, squares[turn].get()))

        self._walk(f, do)
        f.store(mean, f.arguments["sums"])
        f.store(_total(f, squares), f.arguments["sums"], self.lanes * FLOAT)


def _total(f: IrFunction, turns: list[Variable]) -> Any:
    first, second, third, fourth = (variable.get() for variable in turns)
    return f.plus(f.plus(first, second), f.plus(third, fourth))
