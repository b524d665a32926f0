"""Laws of the normaliser's rules, on the examples in their files: found by being there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import numpy as np
import pytest

from archforge.errors import DiagnosticError
from archforge.interchange import normalize
from archforge.interchange.foreign import AddAlong, Erf, ForeignOp, MeanAlong, Power
from archforge.interchange.imported import Imported, Origin
from archforge.interchange.normalize import all_rules, normalized, rewritten
from archforge.interchange.normalize.plain_attributes import plain_op
from archforge.interchange.normalize.rule import ForeignGraph, Rule, draft, step
from archforge.interchange.zoo_forms import RULES as FORMS
from archforge.ops import all_ops
from tests.graphs import evaluate
from tests.op_examples import EXAMPLES, OpExample

EACH_RULE = pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.name)
EACH_RULE_OR_FORM = pytest.mark.parametrize("rule", [*all_rules(), *FORMS], ids=lambda rule: rule.name)


def output(made: ForeignGraph) -> np.ndarray:
    """The value of the only output on a fixed input."""
    x = 3 * np.random.default_rng(1).standard_normal((2, *made.graph.inputs["x"].shape))
    values = evaluate(made.graph, made.arrays, {"x": x})
    return np.asarray(values[made.graph.outputs["output"]])


@EACH_RULE_OR_FORM
def test_a_rule_changes_its_examples_and_keeps_their_outputs(rule: Rule) -> None:
    examples = list(rule.examples())
    assert examples
    for example in examples:
        made, used = rewritten(example, [rule])
        assert used[rule.name]
        np.testing.assert_allclose(output(made), output(example), rtol=1e-6, atol=1e-6)


@EACH_RULE
def test_a_rule_sees_every_number_of_its_examples(rule: Rule) -> None:
    """A rule leaves the graph, or its outputs, where one node has another number."""
    for example in rule.examples():
        for other in _with_another_number(example):
            made, _ = rewritten(other, [rule])
            with np.errstate(invalid="ignore"):  # a root of a mean of cubes
                np.testing.assert_allclose(output(made), output(other), rtol=1e-6, atol=1e-6)


def _with_another_number(made: ForeignGraph) -> Iterator[ForeignGraph]:
    nodes = made.graph.nodes
    for index, node in enumerate(nodes):
        for name, value in node.op.attributes().items():
            if isinstance(value, float) and value:
                other = replace(node, op=node.op.model_copy(update={name: value * 1.5}))
                changed = (*nodes[:index], other, *nodes[index + 1 :])
                typed = replace(made.graph, graph=replace(made.graph.graph, nodes=changed))
                yield replace(made, graph=typed)


@EACH_RULE
def test_all_rules_together_keep_the_outputs_and_end(rule: Rule) -> None:
    for example in rule.examples():
        made, _ = rewritten(example, all_rules())
        np.testing.assert_allclose(output(made), output(example), rtol=1e-6, atol=1e-6)
        again, used = rewritten(made, all_rules())
        assert not used
        assert len(again.graph.nodes) == len(made.graph.nodes)


@EACH_RULE
def test_a_rule_is_explained_in_its_file(rule: Rule) -> None:
    module = import_module(f"{normalize.__name__}.{rule.name}")
    assert rule.name == Path(str(module.__file__)).stem
    assert module.__doc__


def test_every_file_of_rules_has_its_rule() -> None:
    files = {module.name for module in iter_modules(normalize.__path__)} - {"rule"}
    assert files == {rule.name for rule in all_rules()}


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_plain_attributes_mean_the_same(example: OpExample) -> None:
    op = plain_op(example.op, *example.types)
    assert op.infer(*example.types) == example.op.infer(*example.types)
    assert op.params(*example.types) == example.op.params(*example.types)
    y = op.reference(example.params("float64"), *example.inputs("float64"))
    np.testing.assert_array_equal(y, example.reference("float64"))


def test_no_spec_can_name_an_op_of_other_formats() -> None:
    assert not [cls for cls in all_ops().values() if issubclass(cls, ForeignOp)]


def test_a_layer_that_others_see_keeps_its_bias_apart() -> None:
    made, used = rewritten(
        draft(
            step("conv", "conv", "x", out=4, bias=False),
            step("sum", AddAlong(axis=0), "conv"),
            step("end", "concat", "sum", "conv"),
        ),
        all_rules(),
    )
    assert not used["bias"]
    assert [n.op.kind for n in made.graph.nodes] == ["conv", "parameter", "add", "concat"]


def test_what_is_no_attention_is_left_however_long_or_large() -> None:
    """Nothing recurses along a chain, and no places are listed before softmax and products are found."""
    chain = [step(f"s{n}", "scale", f"s{n - 1}" if n else "x", factor=1.5) for n in range(2000)]
    layer = {"out": 2, "axis": -1}
    for made in (
        draft(*chain, step("end", "linear", "s1999", **layer)),
        draft(step("end", "linear", "x", **layer), shape=(10**6, 10**6, 8)),
    ):
        again, used = rewritten(made, [rule for rule in all_rules() if rule.name == "attention"])
        assert not used
        assert again.graph.nodes == made.graph.nodes


@pytest.mark.parametrize("norm", ["rms_norm", "layer_norm"])
def test_a_cube_is_no_square(norm: str) -> None:
    value = "centred" if norm == "layer_norm" else "x"
    made = draft(
        step("mean", MeanAlong(axes=(1,)), "x"),
        step("centred", "subtract", "x", "mean"),
        step("cubes", "multiply", value, value, value),
        step("means", MeanAlong(axes=(1,)), "cubes"),
        step("more", "offset", "means", number=0.1),
        step("root", Power(exponent=0.5), "more"),
        step("end", "divide", value, "root"),
    )
    _, used = rewritten(made, [rule for rule in all_rules() if rule.name == norm])
    assert not used


def test_what_specs_do_not_have_is_refused_at_once() -> None:
    made = draft(
        step("a", Erf(), "x"),
        step("b", Erf(), "a"),
        step("c", Power(exponent=2), "b"),
    )
    origins = {name: Origin(f"file/{name}", (0, 1, 2, 3)) for name in "abc"}
    with pytest.raises(DiagnosticError) as caught:
        normalized(Imported("net.onnx", made.graph, made.arrays, origins, 3))
    assert [f"{d.code}: {d.message}" for d in caught.value.diagnostics] == [
        "E0804: net.onnx: `the error function`: file/a and 1 more",
        "E0804: net.onnx: `a power`: file/c",
    ]
