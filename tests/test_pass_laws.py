"""Laws that each pass obeys on its own examples, and that the examples would show if it did not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import permutations
from typing import Any, get_args, get_origin

import numpy as np
import pytest

from archforge import passes
from archforge.errors import InternalError
from archforge.ir import Graph, Node, TypedGraph, infer
from archforge.ops import op_class
from archforge.ops.base import Array
from archforge.passes import Pass, Rewrite, all_passes, optimise
from archforge.passes.example_graphs import graph, node
from archforge.weights import rule_weights
from tests.graphs import evaluate, inputs_of

Attributes = Mapping[str, Any]


def faults(tested: Pass) -> list[str]:
    """All that is wrong with a pass or with its examples, one line each."""
    examples = list(tested.examples())
    found = [] if examples else ["there are no examples"]
    for number, typed in enumerate(examples):
        found += [f"example {number}: {fault}" for fault in _Example(tested, typed).faults()]
    return [*found, *_plain_attributes(tested, examples)]


class _Example:
    """One example before and after the pass, with arrays by rule: no two are alike, none is symmetric."""

    def __init__(self, tested: Pass, before: TypedGraph) -> None:
        self.tested = tested
        self.before = before
        self.params = rule_weights(before.params())
        self.inputs = inputs_of(before)
        self.expected = evaluate(before, self.params, self.inputs)

    def faults(self) -> Iterator[str]:
        rewrite = self.tested.run(self.before, frozenset())
        if not made_by(rewrite, self.before) and len(rewrite.graph.nodes) == len(self.before.nodes):
            yield "nothing changes"
            return
        for tap in (None, *self.before.types):
            taps = frozenset() if tap is None else frozenset({tap})
            if not self._is_right(self.tested.run(self.before, taps), taps):
                yield "the outputs change" if tap is None else f"with the tap {tap} the values change"
                return
        for mistake, wrong in mistakes(rewrite, self.before):
            if self._is_right(wrong, frozenset()):
                yield f"{mistake} would not show"

    def _is_right(self, rewrite: Rewrite, taps: frozenset[str]) -> bool:
        """True if the pipeline takes it, and the outputs and taps are what they were."""
        wrapped = Pass(self.tested.name, 0, lambda typed, taps: rewrite, list)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(passes, "all_passes", lambda: {wrapped.name: wrapped})
            try:
                done = optimise(self.before, taps)
            except InternalError:
                return False
        params = dict(self.params)
        for transform in rewrite.transforms:
            params |= transform.apply(params)
        found = evaluate(done.graph, params, self.inputs)
        pairs = [(done.graph.outputs[name], value) for name, value in self.before.outputs.items()]
        pairs += [(tap, tap) for tap in taps]
        return all(_is_close(found[value], self.expected[old]) for value, old in pairs)


def _is_close(found: Array, expected: Array) -> bool:
    """True but for the rounding of float64, which folding does in another order."""
    return found.shape == expected.shape and np.allclose(found, expected, rtol=0, atol=1e-12)


def made_by(rewrite: Rewrite, before: TypedGraph) -> list[Node]:
    """The nodes that a pass has made or changed."""

    def content(n: Node) -> tuple[Any, ...]:
        return n.name, n.op, n.inputs, n.params_of

    known = {n.name: content(n) for n in before.nodes}
    return [n for n in rewrite.graph.nodes if known.get(n.name) != content(n)]


def mistakes(rewrite: Rewrite, before: TypedGraph) -> Iterator[tuple[str, Rewrite]]:
    """Mistakes that the pass could have made in one place: an attribute of a node that it made, a value
    that such a node reads, the order of a parameter that it computed."""
    ops = [n.op for n in before.nodes]
    values = [*before.inputs, *(n.name for n in rewrite.graph.nodes)]
    types = infer(rewrite.graph).types
    for n in made_by(rewrite, before):
        if n.op not in ops:
            for name, value in n.op.attributes().items():
                for other in others(value):
                    wrong = {**n.op.attributes(), name: other}
                    yield f"{n.name}: {name} {other} for {value}", _with_op(rewrite, n, wrong)
        for place, value in enumerate(n.inputs):
            for other in values[: values.index(n.name)]:
                if other != value and types[other] == types[value]:
                    wired = (*n.inputs[:place], other, *n.inputs[place + 1 :])
                    yield f"{n.name}: reading {other} for {value}", _with(rewrite, replace(n, inputs=wired))
    for i, transform in enumerate(rewrite.transforms):
        for name, shape in transform.makes.items():
            for axis in (axis for axis, size in enumerate(shape) if size > 1):
                rolled = [*rewrite.transforms]
                rolled[i] = _Rolled(transform, name, axis)
                yield f"{name} in another order along axis {axis}", replace(rewrite, transforms=tuple(rolled))


def others(value: object) -> Iterator[object]:
    """Values near one of an attribute, and those that confuse its sides or axes."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        # Not across 0: an axis can be counted from both ends.
        yield from (other for other in (value + 1, value - 1) if (other < 0) == (value < 0))
    elif isinstance(value, float):
        yield 2 * value
    elif isinstance(value, tuple):
        yield from {p for p in permutations(value) if p != value}
        for i, part in enumerate(value):
            if isinstance(part, tuple):
                yield from ((*value[:i], p, *value[i + 1 :]) for p in {*permutations(part)} - {part})


def _with_op(rewrite: Rewrite, old: Node, attributes: Attributes) -> Rewrite:
    try:
        return _with(rewrite, replace(old, op=op_class(old.op.kind)(**attributes)))
    except ValueError:  # which a pass could not have made
        return replace(rewrite, graph=replace(rewrite.graph, outputs={}))


def _with(rewrite: Rewrite, new: Node) -> Rewrite:
    nodes = tuple(new if n.name == new.name else n for n in rewrite.graph.nodes)
    return replace(rewrite, graph=replace(rewrite.graph, nodes=nodes))


class _Rolled:
    """A transform that returns one array in another order."""

    def __init__(self, right: passes.ParamTransform, name: str, axis: int) -> None:
        self.right, self.name, self.axis = right, name, axis
        self.reads, self.makes = right.reads, right.makes

    def apply(self, arrays: Mapping[str, Array], dtype: str = "float64") -> dict[str, Array]:
        made = self.right.apply(arrays, dtype)
        return {**made, self.name: np.roll(made[self.name], 1, self.axis)}


def _plain_attributes(tested: Pass, examples: Iterable[TypedGraph]) -> Iterator[str]:
    """Attributes of ops that a pass replaces which no example sets, or only so that their order is hidden.

    An attribute that a pass takes at its default alone, or never as a list, is so set in a node that it
    leaves.
    """
    replaced: dict[tuple[str, str], list[object]] = {}
    left: dict[tuple[str, str], list[object]] = {}
    for typed in examples:
        after = {n.name: n.op for n in tested.run(typed, frozenset()).graph.nodes}
        for n in typed.nodes:
            seen = left if after.get(n.name) == n.op else replaced
            for name, value in n.op.attributes().items():
                seen.setdefault((n.op.kind, name), []).append(value)
    for (kind, name), values in replaced.items():
        field = op_class(kind).model_fields[name]
        if all(value == field.default for value in values):
            if all(value == field.default for value in left.get((kind, name), ())):
                yield f"no example sets {kind}.{name}"
        elif _may_be_list(field.annotation) and not any(
            map(_is_uneven, [*values, *left.get((kind, name), ())])
        ):
            yield f"no example has different numbers in {kind}.{name}"


def _may_be_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple or any(map(_may_be_list, get_args(annotation)))


def _is_uneven(value: object) -> bool:
    """True if no two numbers of a list are the same."""
    numbers = [*_numbers(value)]
    return len({*numbers}) == len(numbers) > 1


def _numbers(value: object) -> Iterator[object]:
    if isinstance(value, tuple):
        for part in value:
            yield from _numbers(part)
    else:
        yield value


@pytest.mark.parametrize("name", all_passes())
def test_a_pass_is_right_in_its_examples_and_a_mistake_would_show(name: str) -> None:
    assert faults(all_passes()[name]) == []


# The laws themselves, on a pass that is not there -------------------------------------------------------


def _absorbing(order: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Callable[..., Rewrite]:
    """A pass that joins a `pad` of zeros with the convolution behind it, with its sides in some order."""

    def absorb_pads(typed: TypedGraph, taps: frozenset[str]) -> Rewrite:
        made, gone = [*typed.nodes], {}
        for i, conv in enumerate(typed.nodes):
            pad = next((n for n in typed.nodes if n.name in conv.inputs and n.op.kind == "pad"), None)
            if conv.op.kind != "conv" or pad is None or pad.name in taps or pad.op.attributes()["value"]:
                continue
            own, given = conv.op.attributes()["padding"], order(pad.op.attributes()["sides"])
            sums = [a + b for a, b in zip((s for pair in own for s in pair), given, strict=True)]
            padding = tuple(zip(sums[::2], sums[1::2], strict=True))
            op = op_class("conv")(**{**conv.op.attributes(), "padding": padding})
            made[i] = replace(conv, op=op)
            gone[pad.name] = pad.inputs[0]
        rewritten: Graph = replace(typed.graph, nodes=tuple(made)).replace_uses(gone)
        return Rewrite(rewritten)

    return absorb_pads


def _padded(sides: tuple[int, ...], padding: Any, value: float = 1.0, **attributes: Any) -> TypedGraph:
    """Zeros before a convolution, some `value` before another one, and a mirrored border before none."""
    conv = {"out": 4, "kernel": (3, 2), "padding": padding, "stride": (1, 2), "dilation": (2, 1), "groups": 2}
    return graph(
        node("pad", "pad", "input", sides=sides, value=0.0),
        node("conv", "conv", "pad", **{**conv, "bias": False, **attributes}),
        node("frame", "pad", "conv", sides=(1, 0, 0, 1), value=value),
        node("last", "conv", "frame", out=2, padding=((0, 0), (0, 0))),
        node("mirror", "pad", "last", sides=(0, 1, 0, 0), mode="reflect"),
        inputs={"input": (4, 6, 5)},
    )


SIDES, PADDING, EVEN = (1, 0, 3, 2), ((0, 2), (1, 4)), ((1, 1), (2, 2))

RIGHT, SWAPPED = _absorbing(lambda sides: sides), _absorbing(lambda s: (s[1], s[0], s[3], s[2]))


@pytest.mark.parametrize(
    ("run", "examples", "fault"),
    [
        (SWAPPED, [_padded(SIDES, PADDING)], "example 0: the outputs change"),
        # Which hides that the sides are swapped.
        (SWAPPED, [_padded((1, 1, 2, 2), EVEN)], "no example has different numbers in conv.padding"),
        (RIGHT, [_padded(SIDES, PADDING, groups=1)], "no example sets conv.groups"),
        (RIGHT, [_padded(SIDES, PADDING, value=0.0)], "no example sets pad.value"),
        (RIGHT, [graph(node("conv", "conv", "input", out=2))], "example 0: nothing changes"),
        (RIGHT, [], "there are no examples"),
    ],
)
def test_a_wrong_pass_or_an_example_that_hides_it_is_refused(
    run: Callable[..., Rewrite], examples: list[TypedGraph], fault: str
) -> None:
    assert fault in faults(Pass("absorb_pads", 0, run, lambda: examples))


def test_a_right_pass_with_telling_examples_is_taken() -> None:
    assert faults(Pass("absorb_pads", 0, RIGHT, lambda: [_padded(SIDES, PADDING)])) == []
