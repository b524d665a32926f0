"""Attributes of the same steps as what they have in common: a constant, a formula or a parameter.

Every attribute has a column of values, one of each occurrence of the steps. A column that is constant stays a
value; one that follows from another becomes a formula, such as `out // 4`; the rest are parameters, with a
default where most occurrences agree. Formulas are sought only where a designer would write one: a width
follows from widths, a padding from its kernel; that two numbers happen to be equal says nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archforge.interchange.decompile.decay import Depth
from archforge.interchange.decompile.steps import PROJECTION, SKIP
from archforge.interchange.decompile.values import (
    ABSENT,
    LEFT_OUT,
    REQUIRED,
    Counted,
    Expression,
    Parameter,
)
from archforge.spec.syntax.reserved_names import can_be_named

__all__ = ["WIDTHS", "Formulas", "Slot"]

WIDTHS = frozenset({"out", "groups", "start", "end"})  # attributes that count channels
CONDITIONS = frozenset({PROJECTION, SKIP})
MOST = 0.6  # share of the occurrences that a default must hold in, to be a formula
MAX_FACTOR = 64


@dataclass(slots=True)
class Slot:
    """One attribute of one step. at: the channels where the step stands, in each occurrence."""

    place: int  # of the step among those with attributes
    name: str  # of the attribute, or of the block's parameter
    attribute: str
    column: list[Any]
    by_default: list[bool]
    at: list[int | None]
    is_settled: bool  # its default, if it has one, is no formula

    @property
    def known(self) -> list[Any]:
        return [v for v in self.column if v is not ABSENT]


class Formulas:
    """The values to write for slots, in their order. is_joined: the steps end in `concat`, so that no width
    is that of all."""

    def __init__(
        self, slots: Sequence[Slot], inputs: Sequence[int | None] | None, *, is_joined: bool
    ) -> None:
        self.slots = slots
        self.inputs = inputs
        self.is_joined = is_joined
        self.parameters: dict[str, Parameter] = {}
        self.can_be_said = True
        self.places: dict[tuple[int, str], int] = {}
        for index, slot in enumerate(slots):
            self.places.setdefault((slot.place, slot.attribute), index)
        self.found: list[Any] = [None] * len(slots)
        for index in sorted(range(len(slots)), key=self._rank):
            self.found[index] = self._expression(slots[index])

    def ordered_parameters(self) -> dict[str, Parameter]:
        """The parameters by name, those that a call must give first."""
        ordered = sorted(self.parameters.values(), key=lambda p: (p.default is not REQUIRED, p.name != "out"))
        return {parameter.name: parameter for parameter in ordered}

    def _rank(self, index: int) -> tuple[int, bool, int]:
        """Widths first, the last of them before the others; a padding behind its dilation; conditions
        last."""
        slot = self.slots[index]
        partly = any(v is ABSENT for v in slot.column)
        if slot.attribute == "out":
            return 0, partly, index if self.is_joined else -index
        late = {"padding": 2, "times": 3, PROJECTION: 4, SKIP: 4}
        return late.get(slot.attribute, 1), partly, index

    def _expression(self, slot: Slot) -> Any:
        known = slot.known
        if not known:
            return ABSENT
        if all(slot.by_default) and not (slot.is_settled and all(_same(v, known[0]) for v in known)):
            return LEFT_OUT
        if all(_same(v, known[0]) for v in known):
            return known[0]
        self.can_be_said &= LEFT_OUT not in known
        if all(isinstance(v, Depth | Counted) for v in known):
            return self._depth(slot)
        if any(isinstance(v, Expression) for v in known):
            return self._parameter(slot, None)
        if slot.attribute in CONDITIONS:
            return self._condition(slot)
        if slot.attribute in WIDTHS:
            return self._width(slot)
        if slot.attribute == "padding":
            return self._padding(slot)
        if all(isinstance(v, tuple) for v in known) and slot.attribute == "shape":
            listed = self._shape(slot)
            if listed is not None:
                return listed
        return self._equal(slot) or self._parameter(slot, None)

    # What a column follows from

    def _equal(self, slot: Slot) -> Expression | None:
        """A parameter of the same attribute that has the same values."""
        for parameter in self.parameters.values():
            kin = parameter.attribute == slot.attribute or {parameter.attribute, slot.attribute} <= WIDTHS
            if kin and all(
                v is ABSENT or _same(v, w) for v, w in zip(slot.column, parameter.column, strict=True)
            ):
                return Expression(parameter.name)
        return None

    def _width(self, slot: Slot) -> Any:
        if not all(_is_number(v) for v in slot.known):
            return self._equal(slot) or self._parameter(slot, None)
        exact = self._depthwise(slot) or self._equal(slot) or self._multiple(slot)
        return exact or self._parameter(slot, self._usual(slot))

    def _depthwise(self, slot: Slot) -> Expression | None:
        """The channels of the step's input, or a multiple, where these are the groups of a convolution."""
        index = self.places.get((slot.place, "groups"))
        if index is None or self.inputs is None:
            return None
        groups = self.slots[index]
        channels = _multiple_of("x.channels", groups.column, groups.at)
        return (
            _multiple_of("x.channels", slot.column, slot.at) if channels == Expression("x.channels") else None
        )

    def _multiple(self, slot: Slot) -> Expression | None:
        """A multiple or fraction of another width; of two rows of a table it would often be chance."""
        if self.inputs is None and len(slot.column) < 3:
            return None
        for name, column in self._widths(slot):
            found = _multiple_of(name, slot.column, column)
            if found:
                return found
        return None

    def _widths(self, slot: Slot) -> Iterator[tuple[str, Sequence[Any]]]:
        """Widths that others may follow from, the best first."""
        for parameter in self.parameters.values():
            if parameter.attribute in WIDTHS:
                yield parameter.name, parameter.column
        if self.inputs is not None:
            if slot.attribute in ("start", "end"):
                yield "x.channels", slot.at
            yield "input.channels", self.inputs
            if self.parameters:  # else it is the width that the others follow from
                yield "x.channels", slot.at

    def _usual(self, slot: Slot) -> tuple[Expression, list[bool]] | None:
        """A formula that most of the occurrences follow, and whether each does."""
        if self.inputs is None or len(slot.known) < 4:
            return None
        best, most = None, MOST * len(slot.known)
        for name, column in self._widths(slot):
            ratios = [_ratio(v, w) for v, w in zip(slot.column, column, strict=True)]
            ratio, count = Counter(
                r for r, v in zip(ratios, slot.column, strict=True) if v is not ABSENT
            ).most_common(1)[0]
            by_chance = name == "out" and ratio == (1, 1)  # or it would hold for all
            if name not in ("input.channels", "out") or ratio is None or by_chance or count < most:
                continue
            holds = [r == ratio or v is ABSENT for r, v in zip(ratios, slot.column, strict=True)]
            best, most = (_scaled(name, ratio), holds), count + 1
        return best

    def _depth(self, slot: Slot) -> Any:
        """A rate of stochastic depth by the number of its block, or such a number that rises with repeats."""
        numbers = [
            v.depth if isinstance(v, Depth) else v.start if isinstance(v, Counted) else v for v in slot.column
        ]
        counted = replace(slot, name="depth", attribute="depth", column=numbers)
        number = self._equal(counted) or self._parameter(counted, None)
        first = slot.known[0]
        return Expression(first.decay.text(number.text)) if isinstance(first, Depth) else Counted(number)

    def _padding(self, slot: Slot) -> Any:
        return (
            self._half_kernel(slot)
            or self._by_stride(slot)
            or self._equal(slot)
            or self._parameter(slot, None)
        )

    def _sibling(self, slot: Slot, attribute: str) -> tuple[Slot, Any] | None:
        """Another attribute of the same step, and what was found for it, if that was sought before."""
        index = self.places.get((slot.place, attribute))
        return None if index is None or self.found[index] is None else (self.slots[index], self.found[index])

    def _half_kernel(self, slot: Slot) -> Expression | None:
        """Half of the kernel's extent, spread by the dilation."""
        kernel, dilation = self._sibling(slot, "kernel"), self._sibling(slot, "dilation")
        if kernel is None:
            return None
        spread = dilation[0].column if dilation else [1] * len(slot.column)
        columns = zip(slot.column, kernel[0].column, spread, strict=True)
        known = [(p, k, d) for p, k, d in columns if p is not ABSENT]
        written, factor = kernel[1], dilation[1] if dilation else 1
        if isinstance(written, Expression) and all(_are_halves(p, k) for p, k, _ in known):
            return Expression(f"[k // 2 for k in {written.text}]")
        if not all(_is_number(v) for row in known for v in row):
            return None
        half = f"{written.text} // 2" if isinstance(written, Expression) else str(known[0][1] // 2)
        if isinstance(written, Expression) and all(p == k // 2 for p, k, _ in known):
            return Expression(half)
        if isinstance(factor, Expression) and all(p == d * (k // 2) for p, k, d in known):
            return Expression(factor.text if half == "1" else f"{factor.text} * ({half})")
        return None

    def _by_stride(self, slot: Slot) -> Expression | None:
        """One padding where the stride is 1, another where it is not."""
        stride = self._sibling(slot, "stride")
        if self.inputs is None or stride is None or not isinstance(stride[1], Expression):
            return None
        pairs = [(p, s) for p, s in zip(slot.column, stride[0].column, strict=True) if p is not ABSENT]
        kept = {repr(p): p for p, s in pairs if s == 1}
        reduced = {repr(p): p for p, s in pairs if s != 1}
        if len(kept) != 1 or len(reduced) != 1 or any(isinstance(p, tuple) for p, _ in pairs):
            return None
        return Expression(f"{next(iter(kept))} if {stride[1].text} == 1 else {next(iter(reduced))}")

    def _shape(self, slot: Slot) -> tuple[Any, ...] | None:
        """A list of extents each of which is a constant or follows from a width."""
        if len({len(v) for v in slot.known}) != 1:
            return None
        found: list[Any] = []
        for index in range(len(slot.known[0])):
            column = [v if v is ABSENT else v[index] for v in slot.column]
            inner = replace(slot, column=column, attribute="out")
            if all(_same(v, inner.known[0]) for v in inner.known):
                found.append(inner.known[0])
                continue
            formula = self._equal(inner) or self._multiple(inner)
            if formula is None:
                return None
            found.append(formula)
        return tuple(found)

    def _condition(self, slot: Slot) -> Any:
        """The condition of a projection, or of the value itself: that channels or size change, or do not."""
        is_projection = slot.attribute == PROJECTION
        wanted = [None if v is ABSENT else bool(v) == is_projection for v in slot.column]
        wider = [
            (
                f"input.channels {{}} {p.name}",
                [v != w for v, w in zip(self.inputs or (), p.column, strict=False)],
            )
            for p in self.parameters.values()
            if p.attribute == "out" and self.inputs
        ]
        smaller = [
            (f"{p.name} {{}} 1", [v != 1 for v in p.column])
            for p in self.parameters.values()
            if p.attribute == "stride"
        ]
        either = [
            (
                f"{one} {'or' if is_projection else 'and'} {other}",
                [a or b for a, b in zip(holds, also, strict=True)],
            )
            for one, holds in smaller
            for other, also in wider
        ]
        for text, changes in (*wider, *smaller, *either):
            if all(w is None or w == c for w, c in zip(wanted, changes, strict=True)):
                sign = "!=" if is_projection else "=="
                return Expression(text.replace("{}", sign))
        return self._equal(slot) or self._parameter(slot, None)

    # Parameters

    def _parameter(self, slot: Slot, usual: tuple[Expression, list[bool]] | None) -> Expression:
        known = slot.known
        default: Any = REQUIRED
        holds = [False] * len(slot.column)
        if usual is not None:
            default, holds = usual
        elif slot.attribute == "depth" and self.inputs is not None and ABSENT in slot.column:
            default, holds = 0, [v is ABSENT for v in slot.column]
        elif self.inputs is not None:
            value, count = _most_common(known)
            mixed = len({type(v) for v in known}) > 1
            if mixed or (2 * count >= len(known) and count > 1 and slot.attribute != "out"):
                default, holds = value, [v is ABSENT or _same(v, value) for v in slot.column]
        any_value = 0 if slot.attribute == "depth" else known[0]  # where the step is not there
        column = [any_value if v is ABSENT and default is REQUIRED else v for v in slot.column]
        name = self._name(slot)
        self.parameters[name] = Parameter(name, slot.attribute, default, column, holds)
        return Expression(name)

    def _name(self, slot: Slot) -> str:
        base = slot.name.removeprefix("first.")
        if slot.attribute in CONDITIONS:
            base = "project" if slot.attribute == PROJECTION else "skip"
        elif self.inputs is not None:
            base = base.rstrip("0123456789")
            if base == "out" and ("out" in self.parameters or self.is_joined):
                base = "width"
        name, number = base, 2
        while name in self.parameters or not can_be_named(name, "an argument"):
            name, number = f"{base}{number}", number + 1
        return name


def _is_number(value: Any) -> bool:
    return type(value) is int


def _same(a: Any, b: Any) -> bool:
    """True for equal values of one type: `1` is not `true`, nor `1.0`."""
    return type(a) is type(b) and bool(a == b)


def _most_common(values: Sequence[Any]) -> tuple[Any, int]:
    """The first of the values that occur most often, and how often."""
    counts = Counter((type(v).__name__, repr(v)) for v in values)
    best = max(counts.values())
    return next((v, best) for v in values if counts[type(v).__name__, repr(v)] == best)


def _are_halves(padding: Any, kernel: Any) -> bool:
    both = isinstance(padding, tuple) and isinstance(kernel, tuple)
    return both and padding == tuple(k // 2 for k in kernel)


def _ratio(value: Any, base: Any) -> tuple[int, int] | None:
    """The factor and the divisor, one of them 1, that make `value` of `base`."""
    if not _is_number(value) or not _is_number(base) or value < 1 or base < 1:
        return None
    if value % base == 0 and value // base <= MAX_FACTOR:
        return value // base, 1
    return (1, base // value) if base % value == 0 and base // value <= MAX_FACTOR else None


def _multiple_of(name: str, column: Sequence[Any], base: Sequence[Any]) -> Expression | None:
    ratios = {_ratio(v, w) for v, w in zip(column, base, strict=True) if v is not ABSENT}
    if len(ratios) != 1:
        return None
    (ratio,) = ratios
    return None if ratio is None else _scaled(name, ratio)


def _scaled(name: str, ratio: tuple[int, int]) -> Expression:
    factor, divisor = ratio
    return Expression(f"{factor}*{name}" if factor > 1 else f"{name} // {divisor}" if divisor > 1 else name)
