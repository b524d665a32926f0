"""ONNX's own tests of single nodes, run on our kernels; `docs/onnx_conformance.md` says how many pass, and
which are left out and why."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from archforge.interchange.onnx.nodes import OnnxNode, OnnxTranslation
from archforge.interchange.onnx.ops import ONNX_OPS, WITHOUT_ONNX_OP
from archforge.interchange.translation import require
from archforge.interchange.unsupported import Unsupported
from archforge.ops.base import Array

__all__ = ["Result", "cases", "render", "run"]

# Float32 sums of some hundred terms, in another order, are the widest here. ONNX allows rtol 1e-3, which
# one case needs: its expected values are printed with four digits.
RTOL, ATOL = 1e-5, 1e-6
FOUR_DIGITS = {"test_averagepool_2d_ceil_last_window_starts_on_pad": 1e-3}


@dataclass(frozen=True, slots=True)
class NodeCase:
    """One test of ONNX: a node, and arrays by position, None for an input or output left empty."""

    name: str
    onnx_op: str
    attributes: Mapping[str, Any]
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]

    def node(self) -> OnnxNode:
        """The node with all inputs known. Raises `Unsupported` for values that our kernels do not take."""
        x = self.inputs[0]
        require(isinstance(x, np.ndarray), "a sequence or an optional value, not an array")
        require(x.dtype in ("float32", "float64"), "a dtype other than float32 and float64")
        require(x.size > 0, "an empty array")
        shapes = tuple(None if a is None else np.shape(a) for a in self.inputs)
        asked = tuple(a is not None for a in self.outputs)
        known = {position: array for position, array in enumerate(self.inputs) if array is not None}
        return OnnxNode(self.attributes, shapes, asked, known)

    def computed(self, translation: OnnxTranslation) -> Array:
        """An output by the reference kernels of our ops."""
        given = [self.inputs[position] for position in translation.inputs]
        values = [_arranged(x, translation, max(x.ndim for x in given)) for x in given]
        first, *others = translation.ops
        y = first.reference(translation.params, *values)
        for op in others:
            y = op.reference({}, y)
        return _restored(y, translation)


def _arranged(x: Array, translation: OnnxTranslation, axes: int) -> Array:
    """A value as the first op takes it. ONNX aligns several at the last axis."""
    x = x.reshape((1,) * (axes - x.ndim) + x.shape)
    if not translation.is_batched:
        return x[None]
    if translation.takes:
        x = x.transpose([translation.takes.index(axis) for axis in range(x.ndim)])
    return x[:, ::-1] if translation.is_backwards else x


def _restored(y: Array, translation: OnnxTranslation) -> Array:
    """The value of the last op as ONNX has it."""
    if not translation.is_batched:
        whole: Array = y[0]
        return whole
    y = y[:, ::-1] if translation.is_backwards else y
    if translation.gives:
        y = y.transpose([axis for axis in translation.gives if axis is not None])
        y = np.expand_dims(y, [place for place, axis in enumerate(translation.gives) if axis is None])
    return y


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a case: `left_out` and `failure` are empty if it passed."""

    case: NodeCase
    left_out: str = ""
    failure: str = ""


@cache
def cases() -> dict[str, list[NodeCase]]:
    """The cases of each ONNX op of `ONNX_OPS`, without their `_expanded` twins, which say the same
    node with other ops."""
    from onnx.backend.test.loader import load_model_tests

    found = defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about overflow, while ONNX computes cases for other ops
        loaded = load_model_tests(kind="node")
    for test in loaded:
        assert test.model is not None
        nodes = test.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in ONNX_OPS and "_expanded" not in test.name:
            found[nodes[0].op_type].append(_case(test))
    return dict(found)


def _case(test: Any) -> NodeCase:
    from onnx.helper import get_attribute_value

    node, ((inputs, outputs),) = test.model.graph.node[0], test.data_sets
    given, computed = iter(inputs), iter(outputs)
    attributes = {a.name: get_attribute_value(a) for a in node.attribute}
    return NodeCase(
        test.name,
        node.op_type,
        {k: v.decode() if isinstance(v, bytes) else v for k, v in attributes.items()},
        tuple(next(given) if name else None for name in node.input),
        tuple(next(computed) if name else None for name in node.output),
    )


def run(case: NodeCase) -> Result:
    """Compute a case with the reference kernels and compare."""
    try:
        translations = ONNX_OPS[case.onnx_op].translate(case.node())
    except Unsupported as reason:
        return Result(case, left_out=str(reason))
    asked = (array for array in case.outputs if array is not None)
    for translation, expected in zip(translations, asked, strict=False):
        try:
            rtol = FOUR_DIGITS.get(case.name, RTOL)
            np.testing.assert_allclose(
                case.computed(translation), expected, rtol=rtol, atol=ATOL, strict=True
            )
        except AssertionError as error:
            return Result(case, failure=str(error))
    return Result(case)


def render() -> str:
    """The text of `docs/onnx_conformance.md`."""
    import onnx

    results = {onnx_op: [run(case) for case in found] for onnx_op, found in sorted(cases().items())}
    return _PAGE.format(
        version=onnx.__version__,
        rtol=RTOL,
        atol=ATOL,
        table="\n".join(_rows(results)),
        reasons="\n".join(_reasons(results)),
        others="\n".join(f"- `{kind}`: {why}" for kind, why in sorted(WITHOUT_ONNX_OP.items())),
    )


def _counts(results: Iterable[Result]) -> str:
    found = list(results)
    ran = [r for r in found if not r.left_out]
    passed = sum(not r.failure for r in ran)
    return f"{len(found)} | {len(ran)} | {passed} | {len(found) - len(ran)}"


def _rows(results: Mapping[str, list[Result]]) -> Iterable[str]:
    for onnx_op, found in results.items():
        yield f"| {onnx_op} | `{ONNX_OPS[onnx_op].kind}` | {_counts(found)} |"
    yield f"| **all** | | {_counts(r for found in results.values() for r in found)} |"


def _reasons(results: Mapping[str, list[Result]]) -> Iterable[str]:
    for onnx_op, found in results.items():
        by_reason = defaultdict(list)
        for result in found:
            if result.left_out:
                by_reason[result.left_out].append(f"`{result.case.name.removeprefix('test_')}`")
        for reason, names in by_reason.items():
            yield f"- {onnx_op}, {reason}: {', '.join(names)}"


_PAGE = """# Conformance with ONNX

Generated by `make generated`; a test keeps it so.

The node tests of onnx {version} that have an op of the same meaning here, run on the reference kernels
in float32. A case passes if its first output (of `Split`: all of them) is equal in shape and dtype and
within rtol {rtol:g}, atol {atol:g}. Where its values are printed with four digits, rtol is 1e-3, as in
ONNX itself. The `_expanded` twins of cases, which say the same node with other ops, are not counted.

| ONNX op | op | cases | run | pass | left out |
| --- | --- | ---: | ---: | ---: | ---: |
{table}

## Left out, and why

{reasons}

## Ops without a counterpart

{others}
"""
