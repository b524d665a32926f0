"""Schedules and rules to stop: torch's learning rates, and rules by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from archforge.errors import DiagnosticError
from archforge.parts import all_parts
from archforge.recipe.base import Epoch, Moment, Schedule, Stop
from archforge.recipe.watched import require_measured
from tests.make_recipe_parts import torch_factors
from tests.recipe_cases import (
    EPOCHS,
    RECIPE_FIGURES,
    SCHEDULE_CASES,
    UPDATES,
    ScheduleCase,
    moments,
    part,
)

STORED = json.loads(RECIPE_FIGURES.read_text(encoding="utf-8"))["schedules"]


@pytest.mark.parametrize("case", [case for case in SCHEDULE_CASES if str(case) in STORED], ids=str)
def test_the_factors_of_a_schedule_are_those_of_torch(case: ScheduleCase) -> None:
    wanted = STORED[str(case)]
    if len(wanted) == EPOCHS:
        wanted = np.repeat(wanted, UPDATES)
    np.testing.assert_allclose([case.schedule.factor(at) for at in moments()], wanted, rtol=1e-12, atol=1e-15)


def test_torch_has_every_schedule_but_one() -> None:
    found = {case.schedule.word for case in SCHEDULE_CASES if str(case) in STORED}
    assert found == all_parts(Schedule).keys() - {"inverse_time"}


def test_the_stored_factors_are_those_that_torch_gives() -> None:
    pytest.importorskip("torch")
    for case in SCHEDULE_CASES:
        np.testing.assert_allclose(torch_factors(case), STORED.get(str(case), []), rtol=1e-13)


def test_inverse_time_divides_by_updates() -> None:
    schedule = part(Schedule, "inverse_time", decay=0.5)
    assert [schedule.factor(Moment(update, 3, 2, [])) for update in range(4)] == [1, 1 / 1.5, 0.5, 0.4]


def test_a_constant_schedule_is_constant() -> None:
    assert {part(Schedule, "constant").factor(at) for at in moments()} == {1}


@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize("case", SCHEDULE_CASES, ids=str)
def test_the_shortest_runs_have_factors(case: ScheduleCase, epochs: int) -> None:
    history = [Epoch(n, {"val_loss": 1.0, "accuracy": 0.5}) for n in range(1, epochs + 1)]
    factors = [case.schedule.factor(Moment(n, 1, epochs, history[:n])) for n in range(epochs + 1)]
    assert all(0 <= factor <= 1 for factor in factors)


@pytest.mark.parametrize("settings", [{}, {"epochs": 3, "updates": 3}])
def test_a_warmup_is_of_epochs_or_of_updates(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="`epochs` or `updates`"):
        part(Schedule, "warmup", **settings)


# Rules to stop


def history(name: str, *figures: float) -> list[Epoch]:
    return [Epoch(number, {name: figure}) for number, figure in enumerate(figures, 1)]


def ends(rule: Stop, epochs: list[Epoch]) -> int:
    """The number of the epoch behind which the rule ends the run; 0 if it does not."""
    return next((n for n in range(len(epochs) + 1) if rule.reason(epochs[:n])), 0)


def test_a_run_ends_at_an_accuracy() -> None:
    rule = part(Stop, "accuracy", at=0.95)
    assert ends(rule, history("accuracy", 0.5, 0.94, 0.95, 0.99)) == 3
    assert rule.reason(history("accuracy", 0.5, 0.955)) == "`accuracy` is 95.50%, at least 95.00%"
    assert ends(part(Stop, "accuracy", at=0.9, of="val_accuracy"), history("val_accuracy", 0.5, 0.6)) == 0


def test_a_run_ends_without_progress_beyond_the_best() -> None:
    losses = history("val_loss", 3, 2, 2.5, 2.4, 1.9, 2.0, 1.9, 1.95)
    assert ends(part(Stop, "no_progress", patience=2), losses) == 4
    assert ends(part(Stop, "no_progress", patience=3), losses) == 8
    assert ends(part(Stop, "no_progress", patience=4), losses) == 0
    assert ends(part(Stop, "no_progress", patience=3, min_delta=0.2), losses) == 5
    rule = part(Stop, "no_progress", patience=2, of="accuracy")
    assert ends(rule, history("accuracy", 0.1, 0.3, 0.2, 0.31, 0.31, 0.2)) == 6
    assert "no progress in 2 epochs" in rule.reason(history("accuracy", 0.3, 0.3, 0.2))


def test_a_run_ends_where_its_loss_does_not_fall_from_epoch_to_epoch() -> None:
    losses = history("loss", 1, 3, 2.9, 3, 3, 2.99, 3, 3, 3)
    assert ends(part(Stop, "not_falling", patience=2), losses) == 5
    assert ends(part(Stop, "not_falling", patience=3), losses) == 9
    assert ends(part(Stop, "not_falling"), losses) == 0


@pytest.mark.parametrize("word", all_parts(Stop))
def test_no_run_ends_before_it_began_and_figures_that_are_no_numbers_are_no_progress(word: str) -> None:
    rule = part(Stop, word, **({"at": 0.5} if word == "accuracy" else {"patience": 2}))
    assert rule.reason([]) == ""
    nothing = [Epoch(n, dict.fromkeys(("loss", "val_loss", "accuracy"), np.nan)) for n in range(1, 5)]
    assert bool(rule.reason(nothing)) == (word != "accuracy")


def test_a_rule_watches_what_is_measured() -> None:
    rules = [part(Schedule, "step", epochs=1), part(Stop, "no_progress")]
    require_measured(rules, {"loss", "val_loss"})
    for measured, hint in (
        ({"loss", "accuracy"}, "`validation: 0.1` holds samples back, or `of: loss`"),
        ({"loss", "val_loss"}, "a loss over classes"),
    ):
        rule = part(Stop, "no_progress", of="val_accuracy" if "val_loss" in measured else "val_loss")
        with pytest.raises(DiagnosticError, match="is not measured in this run") as error:
            require_measured([rule], measured)
        (found,) = error.value.diagnostics
        assert (found.code, found.help) == ("E0902", hint)
