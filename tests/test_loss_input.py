"""The value of a graph that a loss reads: under a last softmax, and nothing that is squashed twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import archforge
from archforge import driver
from archforge.errors import DiagnosticError
from archforge.ir import TypedGraph
from archforge.parts import all_parts
from archforge.recipe.base import Loss
from archforge.recipe.loss_input import probabilities_of, value_for_loss
from tests.recipe_cases import part

FC = {"linear": 6, "name": "fc"}
WORDS = [*all_parts(Loss)]


def graph(*steps: Any, input: tuple[int, ...] = (3, 4)) -> TypedGraph:
    spec = {"archforge": 1, "title": "net", "input": list(input), "graph": [*steps]}
    return archforge.load(spec).graph


FLAT = ("flatten", FC)
STEPS = ({"rnn": 5, "name": "rnn"},)
# What each loss reads of networks that end so: a value, or the beginning of a refusal.
ENDS: list[tuple[str, TypedGraph, dict[str, str]]] = [
    (
        "scores",
        graph(*FLAT),
        dict.fromkeys(WORDS, "fc")
        | {
            "nll": "`nll` takes log probabilities, and `fc` (linear) gives other numbers",
            "bce": "`bce` takes probabilities, and `fc` (linear) gives other numbers",
        },
    ),
    (
        "softmax",
        graph(*FLAT, "softmax"),
        dict.fromkeys(("bce", "mse", "mae", "huber"), "softmax")
        | dict.fromkeys(("cross_entropy", "kl"), "fc")
        | {
            "nll": "`nll` takes log probabilities, and `softmax` (softmax) gives other numbers",
            "hinge": "`hinge` takes scores, and `softmax` (softmax) has made probabilities of them",
            "bce_with_logits": "`bce_with_logits` takes scores, and `softmax` (softmax) has made",
        },
    ),
    (
        "log_softmax",
        graph(*FLAT, "log_softmax"),
        dict.fromkeys(("cross_entropy", "kl"), "fc")
        | {
            "nll": "log_softmax",
            "mse": "`mse` takes values as targets are, and `log_softmax` (log_softmax) gives logarithms",
            "mae": "`mae` takes values",
            "huber": "`huber` takes values",
            "bce": "`bce` takes probabilities, and `log_softmax` (log_softmax) gives other numbers",
            "hinge": "`hinge` takes scores",
            "bce_with_logits": "`bce_with_logits` takes scores",
        },
    ),
    (
        "sigmoid",
        graph(*FLAT, "sigmoid"),
        dict.fromkeys(("bce", "mse", "mae", "huber"), "sigmoid")
        | {
            "bce_with_logits": "fc",
            "nll": "`nll` takes log probabilities",
            "cross_entropy": "`cross_entropy` takes scores, and `sigmoid` (sigmoid) has made",
            "kl": "`kl` takes scores",
            "hinge": "`hinge` takes scores",
        },
    ),
]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(("end", "typed", "wanted"), ENDS, ids=[end for end, *_ in ENDS])
def test_a_loss_reads_what_it_takes_or_is_refused(
    end: str, typed: TypedGraph, wanted: dict[str, str], word: str
) -> None:
    loss, expected = part(Loss, word), wanted[word]
    if not expected.startswith("`"):
        assert value_for_loss(typed, "output", loss) == expected
        return
    with pytest.raises(DiagnosticError) as error:
        value_for_loss(typed, "output", loss)
    (found,) = error.value.diagnostics
    assert found.code == "E0904"
    assert found.message.startswith(expected)
    assert found.help


@pytest.mark.parametrize(
    "behind",
    [
        ["softmax", "flatten"],
        ["softmax", {"slice": -1}],
        ["softmax", {"permute": [1, 0]}],
        ["softmax", {"dropout": 0.1}],
        ["softmax", "identity", {"reshape": [12]}],
        ["softmax", {"avg_pool": 2}],
    ],
    ids=str,
)
def test_a_softmax_is_not_applied_twice_wherever_it_stands(behind: list[Any]) -> None:
    typed = graph(*behind)
    with pytest.raises(DiagnosticError, match=r"`softmax` \(softmax\) has made probabilities"):
        value_for_loss(typed, "output", part(Loss, "cross_entropy"))


def test_a_softmax_that_gates_something_is_no_last_one() -> None:
    typed = graph({"multiply": [["softmax"], ["identity"]], "name": "gated"})
    assert value_for_loss(typed, "output", part(Loss, "cross_entropy")) == "gated.multiply"


def test_numbers_that_a_function_made_of_probabilities_are_scores() -> None:
    typed = graph(*FLAT, "softmax", "selu")
    assert value_for_loss(typed, "output", part(Loss, "cross_entropy")) == "selu"


def test_an_identity_behind_the_softmax_is_passed_over() -> None:
    typed = graph(*FLAT, "softmax", "identity")
    assert value_for_loss(typed, "output", part(Loss, "cross_entropy")) == "fc"


def test_a_softmax_along_another_axis_is_refused() -> None:
    typed = graph(*STEPS, {"softmax": -1})
    assert value_for_loss(typed, "output", part(Loss, "cross_entropy", axis=-1)) == "rnn"
    assert value_for_loss(typed, "output", part(Loss, "cross_entropy", axis=1)) == "rnn"
    with pytest.raises(
        DiagnosticError, match=r"is over axis 0, and the last op, .* over axis -1 of 3x5"
    ) as error:
        value_for_loss(typed, "output", part(Loss, "cross_entropy"))
    (found,) = error.value.diagnostics
    assert found.help == "`axis: -1` of the loss"
    assert found.notes[0].span


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"axis": 3}, "there is no axis 3"), ({"weights": (1.0, 2.0)}, "2 weights for 6 classes")],
)
def test_a_loss_whose_settings_do_not_fit_the_output_is_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(DiagnosticError, match=message) as error:
        value_for_loss(graph(*FLAT), "output", part(Loss, "cross_entropy", **settings))
    assert [d.code for d in error.value.diagnostics] == ["E0904"]


def test_an_output_that_is_the_input_is_read() -> None:
    typed = graph("identity")
    assert value_for_loss(typed, "output", part(Loss, "cross_entropy")) == "identity"
    found = replace(typed, graph=typed.graph.replace_uses({"identity": "input"}))
    assert value_for_loss(found, "output", part(Loss, "cross_entropy")) == "input"


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        ([], "cross_entropy"),
        (["softmax"], "cross_entropy"),
        (["log_softmax"], "cross_entropy"),
        ([], "kl"),
        (["log_softmax"], "nll"),
        (["softmax"], "bce"),
    ],
)
def test_predictions_are_probabilities_whatever_the_loss_reads(last: list[str], loss: str) -> None:
    typed = graph(*FLAT, *last)
    scores = np.random.default_rng(0).standard_normal((2, 6))
    wanted = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    node = typed.nodes[-1]
    output = node.op.reference({}, scores) if last else scores
    np.testing.assert_allclose(probabilities_of(typed, "output", part(Loss, loss))(output), wanted)


@pytest.mark.parametrize("last", [[], ["sigmoid"]])
def test_predictions_of_logits_are_those_of_a_sigmoid(last: list[str]) -> None:
    typed = graph(*FLAT, *last)
    scores = np.random.default_rng(0).standard_normal((2, 6))
    output = typed.nodes[-1].op.reference({}, scores) if last else scores
    found = probabilities_of(typed, "output", part(Loss, "bce_with_logits"))(output)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-scores)))


@pytest.mark.parametrize(
    ("name", "loss", "value"),
    [
        ("lenet_5_mnist", part(Loss, "nll"), "log_softmax"),
        ("mlp_mnist", part(Loss, "cross_entropy"), None),
        ("lstm_text", part(Loss, "cross_entropy", axis=-1), None),
        ("resnet_18", part(Loss, "cross_entropy", smoothing=0.1), "fc"),
        ("unet", part(Loss, "bce_with_logits"), None),
    ],
)
def test_networks_of_the_zoo_take_the_losses_of_their_documents(
    name: str, loss: Loss, value: str | None
) -> None:
    typed = driver.load(name).graph
    found = value_for_loss(typed, "output", loss)
    assert found == value if value else found in typed.types
