"""ONNX's node tests on our kernels, and the page that says how many pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from archforge.ops import all_ops
from tests import onnx_conformance
from tests.onnx_nodes import TRANSLATORS, WITHOUT_COUNTERPART

onnx = pytest.importorskip("onnx", reason="onnx is an extra of the tests")

PAGE = Path(__file__).parents[1] / "docs" / "onnx_conformance.md"


@pytest.mark.parametrize("onnx_op", TRANSLATORS)
def test_onnx_node_cases_pass(onnx_op: str) -> None:
    results = [onnx_conformance.run(case) for case in onnx_conformance.cases()[onnx_op]]
    assert results
    assert not {r.case.name: r.failure for r in results if r.failure}


def test_every_op_is_compared_or_excused() -> None:
    kinds = {cls.op for cls in all_ops().values()}
    compared = {kind for kind, _ in TRANSLATORS.values()}
    assert compared | set(WITHOUT_COUNTERPART) == kinds
    assert not compared & set(WITHOUT_COUNTERPART)


def test_the_page_is_what_was_found() -> None:
    page = PAGE.read_text("utf-8")
    if f"onnx {onnx.__version__} " not in page:
        pytest.skip(f"the page is about another version than onnx {onnx.__version__}")
    assert page == onnx_conformance.render()
