"""ONNX's node tests on our kernels, and the page that says how many pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from archforge.interchange.onnx.ops import ONNX_OPS, WITHOUT_ONNX_OP
from archforge.ops import all_ops
from tests import onnx_conformance

onnx = pytest.importorskip("onnx", reason="onnx is an extra of the tests")

PAGE = Path(__file__).parents[1] / "docs" / "onnx_conformance.md"


@pytest.mark.parametrize("onnx_op", ONNX_OPS)
def test_onnx_node_cases_pass(onnx_op: str) -> None:
    results = [onnx_conformance.run(case) for case in onnx_conformance.cases()[onnx_op]]
    assert results
    assert not {r.case.name: r.failure for r in results if r.failure}


def test_every_op_is_compared_or_excused() -> None:
    kinds = {cls.op for cls in all_ops().values()}
    compared = {row.kind for row in ONNX_OPS.values()}
    assert compared | set(WITHOUT_ONNX_OP) == kinds
    assert not compared & set(WITHOUT_ONNX_OP)


def test_the_page_is_what_was_found() -> None:
    page = PAGE.read_text("utf-8")
    if f"onnx {onnx.__version__} " not in page:
        pytest.skip(f"the page is about another version than onnx {onnx.__version__}")
    assert page == onnx_conformance.render()
