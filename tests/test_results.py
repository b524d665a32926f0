"""Runs bear out what recipes are documented to reach, and what pages say of it; else there is a reason."""

from __future__ import annotations

import pytest

from archforge import driver
from archforge.spec.printing.scalars import value_text
from tests.pages import results
from tests.pages.results import DocumentedRun, OtherRun, documented_runs, other_runs
from tests.zoo import networks

if not results.RUNS.is_file():
    pytest.skip("benchmarks/ is not here", allow_module_level=True)
DOCUMENTED = [pytest.param(run, id=f"{run.spec}, {run.profile}") for run in documented_runs()]
OTHER = [pytest.param(run, id=run.name) for run in other_runs()]


def test_every_documented_figure_has_its_runs() -> None:
    found = [(run.spec, run.profile) for run in documented_runs()]
    assert len(found) == len({*found})
    needed = {
        (name, profile)
        for name, spec in networks().items()
        for profile in spec.profile_names
        if (recipe := driver.analyse(spec, profile).recipe) and recipe.reaches
    }
    assert needed - {*found} == set(), (
        f"say in {results.RUNS} what came of these, or what keeps them from a run"
    )


def test_every_history_is_that_of_a_run() -> None:
    kept = [history.file for run in documented_runs() for history in run.histories]
    kept += [run.history.file for run in other_runs()]
    assert sorted(kept) == sorted(results.RUNS.parent.glob("*.csv"))


@pytest.mark.parametrize("run", DOCUMENTED)
def test_a_run_is_of_the_recipe_that_its_spec_has(run: DocumentedRun) -> None:
    bound = run.network.recipe
    assert bound
    assert run.recipe == value_text(bound.recipe.brief()), "the recipe is another one: run it again"
    assert not run.seeds or run.seeds[0] == bound.recipe.seed
    for history in run.histories:
        assert [row["epoch"] for row in history.rows] == [*range(1, len(history.rows) + 1)]
        whole = len(history.rows) == bound.recipe.epochs or (bound.recipe.stop and not run.why)
        assert whole or run.why, "fewer epochs than the recipe has need a reason"


@pytest.mark.parametrize("run", DOCUMENTED)
def test_a_figure_is_reached_or_it_is_said_why_not(run: DocumentedRun) -> None:
    missed = [f for f in run.figures if not run.seeds or run.histories[0].best(f.name)[0] < f.documented]
    assert bool(missed) == bool(run.why or any(figure.because for figure in run.figures)) or not run.figures
    for figure in run.figures if not run.why else ():
        if figure.computed is not None:
            assert all(figure.is_reached(history.best(figure.name)[0]) for history in run.histories)


@pytest.mark.parametrize("run", OTHER)
def test_another_run_has_its_figure(run: OtherRun) -> None:
    best, _ = run.history.best(run.figure)
    assert 0 < best <= 1
    assert f"<!-- generated: results_{run.group} -->" in (results.PAGE).read_text("utf-8")
