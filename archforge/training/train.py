"""Training: the stages from a spec and data to a trained network, in their order.

| stage | from | to |
| --- | --- | --- |
| network | `driver` | a `Network` |
| recipe | `spec.resolve.recipe` | a `TrainingRecipe`: the section `train`, and what a caller gives over it |
| data | `datasets` | batches to train on and batches that are held back, fitted to the network's input |
| losses | `recipe` | the value of the graph that the loss of each output reads |
| plan | `plan.backward` | a `TrainingPlan`, and the backend's learner for it |
| arrays | `weights` | those of the recipe's initialisers, or given ones |
| run | `training.loop` | a `Trained`, and what is kept in a folder |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from warnings import warn

from archforge import backends, driver
from archforge.analysis.network import Network
from archforge.analysis.recipe_fit import recipe_gaps, recipe_mistakes
from archforge.datasets.given import given_data
from archforge.errors import (
    Diagnostic,
    DiagnosticError,
    TrainingWarning,
    did_you_mean,
    fail,
    fail_all,
    type_in_words,
)
from archforge.ir import ParamDecl
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.python_values import texts, truth, whole_number
from archforge.recipe.patterns import names_that_fit
from archforge.recipe.recipe import TrainingRecipe
from archforge.recipe.update import Updater
from archforge.spec.expand.expand import InputShape
from archforge.spec.normal_form import normal_form
from archforge.spec.resolve.recipe import BoundRecipe, Override, from_python
from archforge.spec.resolve.sources import Source, settings_of
from archforge.spec.resolve.spec import Spec
from archforge.spec.syntax.recipe_hints import setting_meant
from archforge.training.conditions import OF_MACHINE, conditions_of, warn_of_differences
from archforge.training.evaluation import Evaluator
from archforge.training.loop import Callback, TrainingLoop
from archforge.training.measures import Measures
from archforge.training.ranks.agreement import place_of_first, require_alike
from archforge.training.ranks.engines import engine_of
from archforge.training.ranks.exchange import Exchange
from archforge.training.ranks.group import TIMEOUT_S, RankGroup, joined
from archforge.training.run import TrainingRun
from archforge.training.run_folder import RunFolder, opened_folder
from archforge.training.setup import Setup, input_of, recipe_for, set_up
from archforge.training.trained import Trained
from archforge.weights.bind import bind
from archforge.weights.init import fresh_weights

__all__ = ["Beginning", "begin", "fit", "train"]

# The part of the memory for values beyond which computing some of them again has saved nothing.
MUCH = 0.99


@dataclass(frozen=True, slots=True, eq=False)
class Beginning:
    """A run before its first update: its fixed parts, and the arrays that it begins with. warnings: of what
    the recipe says without effect."""

    setup: Setup
    bound: BoundRecipe
    arrays: dict[str, Array]
    warnings: tuple[Diagnostic, ...] = ()

    def run(self) -> TrainingRun:
        """The run at its first update."""
        setup = self.setup
        trained = {name: decl for name, decl in setup.network.params.items() if name in setup.plan.trained}
        run = TrainingRun(setup, self.arrays, Updater(setup.recipe, trained, setup.dtype))
        if setup.ranks:
            names = setup.plan.reached_from({part.value for part in setup.losses.values()})
            gradients = {name: self.arrays[name] for name in names}
            run.sums = Exchange(setup.ranks, gradients, run.buffers)
        return run


def train(
    source: Source | Network,
    data: Any = None,
    *,
    profile: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    weights: Mapping[str, Any] | str | Path | None = None,
    prefix: str = "",
    reinit: Sequence[str] = (),
    backend: str = "auto",
    dtype: str = "float32",
    strict: bool = False,
    callbacks: Sequence[Callback] = (),
    checkpoint_every: int = 0,
    engine: str | None = None,
    timeout: float = TIMEOUT_S,
    input: InputShape | None = None,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
    data_settings: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Trained:
    """Train a network, and return it with what it learned: `train("lenet_5_mnist", (x, y), epochs=5)`.

    data: a path, a pair of arrays (x, y), or an iterable of such pairs; the handwritten digits that come with
    archforge by default. out: a folder to keep the run in, with its checkpoints. resume: go on with the run
    that is there. weights: arrays to begin with; reinit: patterns of names of those to draw anew. strict:
    refuse ops that the backend has no gradient for. callbacks: told of each update and epoch.
    checkpoint_every: number of updates between two checkpoints, besides one for each epoch. engine: this
    process is one of several that were started together, `mpi`, `ring` or `nccl`, and share each batch; the
    first one writes. timeout: seconds that it waits for the others, at most. data_settings:
    the key `data` of `train`. settings: its other keys (`optimizer={"sgd": {"lr": 0.1}}`), and values for
    the spec's arguments. The rest is as for `archforge.compile`.

    Raises `DiagnosticError` for whatever does not fit.
    """
    resume, strict = truth("resume", resume), truth("strict", strict)
    checkpoint_every = whole_number("checkpoint_every", checkpoint_every)
    if out is None and (resume or checkpoint_every):
        idle = "resume" if resume else "checkpoint_every"
        fail("E0001", f"`{idle}` is of a run in a folder, and there is no `out`", help='out="runs/x"')
    told = _callbacks(callbacks)
    if not isinstance(out, str | Path | None):
        fail("E0001", f"`out` is the path of a folder, found {type_in_words(out)}")
    keys = TrainingRecipe.model_fields
    own = {name: value for name, value in settings.items() if name in keys}
    params = {name: value for name, value in settings.items() if name not in keys}
    if data_settings is not None:
        own["data"] = data_settings
    changes = settings_of(params, defaults)
    if isinstance(source, Network):
        network = driver.as_loaded(source, profile, input, changes)
    else:
        spec = driver.open_spec(source)
        _require_known(params, spec)
        network = driver.analyse(spec, profile, settings=changes, input_shape=input)
    with ExitStack() as stack:
        ranks = stack.enter_context(joined(engine_of(engine), timeout)) if engine else None
        is_writer = ranks is None or ranks.rank == 0
        opening = opened_folder(Path(out), resume=resume) if out is not None and is_writer else nullcontext()
        folder = stack.enter_context(opening)
        beginning = begin(
            network,
            data,
            from_python(own),
            weights=driver.given_weights(weights, prefix),
            reinit=texts("reinit", reinit),
            backend=backend,
            dtype=dtype,
            strict=strict,
            ranks=ranks,
        )
        for found in beginning.warnings:
            warn(TrainingWarning(found), stacklevel=2)
        return fit(beginning, folder, told, checkpoint_every)


def _require_known(params: Mapping[str, Any], spec: Spec) -> None:
    """Raises E0306 for the first name that is no argument of the spec, but stands for a setting of `train`
    elsewhere."""
    for name in params:
        if normal_form(name) in spec.args:
            continue
        match setting_meant(name):
            case (key,):
                help = f"did you mean `{key}`?"
            case (key, part, setting) if "." not in key:
                help = f'{key}={{"{part}": {{"{setting}": ...}}}}'
            case _:
                continue
        fail("E0306", f"neither `train` nor {spec.name} has an argument `{name}`", help=help)


def _callbacks(given: Any) -> tuple[Callback, ...]:
    """Several callbacks; a single one stands for itself. Raises E0001 for what is none."""
    several = tuple(given) if isinstance(given, tuple | list) else (given,)
    for found in several:
        if not isinstance(found, Callback):
            message = f"`callbacks` are callbacks, found {type_in_words(found)}"
            fail("E0001", message, help="[MyCallback()], of a subclass of archforge.Callback")
    return several


def begin(
    network: Network,
    data: Any,
    overrides: Iterable[Override] = (),
    *,
    weights: Mapping[str, Any] | None = None,
    reinit: Sequence[str] = (),
    backend: str = "auto",
    dtype: str = "float32",
    strict: bool = False,
    ranks: RankGroup | None = None,
) -> Beginning:
    """A run on these data, ready for its first update. Raises whatever does not fit."""
    bound = recipe_for(network, data, overrides)
    recipe = bound.recipe
    found = [*recipe_gaps(network, bound), *recipe_mistakes(network, bound)]
    fail_all(d for d in found if d.code.startswith("E"))
    _, shape = input_of(network)
    chosen = backends.get_learning(backend, dtype)
    samples = given_data(data, shape, recipe.data.format)
    setup = set_up(network, bound, samples, chosen, dtype, strict=strict, ranks=ranks)
    found += _idle_recomputation(setup, bound)
    return Beginning(setup, bound, _arrays(network, recipe, weights, reinit, dtype), tuple(found))


def _idle_recomputation(setup: Setup, bound: BoundRecipe) -> list[Diagnostic]:
    """A warning (W0902) if no memory is saved by what is computed again."""
    plan, backend = setup.plan, setup.backend
    if not plan.recompute:
        return []
    if not backend.recomputes:
        why, help = f"the backend {backend.name} keeps all values", "another backend, or leave it out"
    elif plan.peak_elements > MUCH * plan.keeping_all().peak_elements:
        why, help = "memory is as much as without it where it is most", "other blocks; `--dry-run` tells"
    else:
        return []
    span = bound.span("recompute")
    return [Diagnostic("W0902", f"`recompute` is without effect: {why}", span, help=help)]


def _arrays(
    network: Network,
    recipe: TrainingRecipe,
    given: Mapping[str, Any] | None,
    reinit: Sequence[str],
    dtype: str,
) -> dict[str, Array]:
    """The arrays that a run begins with: given ones, but for those to be drawn anew, or fresh ones. Raises
    E0602 to E0605 for what does not fit, and E0001 for a pattern that no name fits."""
    decls = network.params
    drawn = fresh_weights(decls, recipe.seed, dtype, recipe.init)
    if given is None:
        if reinit:
            fail("E0001", "`reinit` is of given weights, and there are none", help="give weights")
        return drawn
    fresh: set[str] = set()
    for pattern in reinit:
        names = names_that_fit(pattern, decls)
        if not names:
            help = did_you_mean(pattern, decls, what="parameters")
            fail("E0001", f"no parameter fits `{pattern}`, to be drawn anew", help=help)
        fresh.update(names)
    kept = {name: decl for name, decl in decls.items() if name not in fresh}
    bound = _bound(kept, {name: array for name, array in given.items() if name not in fresh})
    return drawn | {name: np.array(np.asarray(array), dtype) for name, array in bound.items()}


def _bound(decls: Mapping[str, ParamDecl], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The given arrays by name. Raises what `bind` does, shapes of another task with the way out."""
    try:
        return bind(decls, given)
    except DiagnosticError as error:
        *others, last = error.diagnostics
        help = last.help or "`reinit` draws those of another task anew: a pattern of their names"
        raise DiagnosticError((*others, replace(last, help=help) if last.code == "E0604" else last)) from None


def fit(
    beginning: Beginning,
    folder: RunFolder | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint_every: int = 0,
) -> Trained:
    """Train to the end, from the folder's checkpoint if it has one."""
    setup, run = beginning.setup, beginning.run()
    conditions = conditions_of(setup)
    rows: list[dict[str, float]] = []
    if folder and (found := folder.found()):
        run.restore(found)
        warn_of_differences(found.conditions, conditions, setup.recipe)
        rows = folder.rows(found.place.epoch)
    elif folder:
        folder.begin()
    if setup.ranks:
        _begin_alike(setup.ranks, run, conditions)
    rows = rows or [dict(row) for row in run.place.history]
    evaluator = Evaluator.of(setup.network, setup.losses, setup.backend, setup.dtype)
    loop = TrainingLoop(run, evaluator, conditions, folder, callbacks, checkpoint_every, rows)
    reason = loop()
    return Trained(run, evaluator, loop.rows, reason)


def _begin_alike(ranks: RankGroup, run: TrainingRun, conditions: Mapping[str, Any]) -> None:
    """Give every rank the arrays and the place of rank 0, which alone reads the folder. Raises E0907."""
    require_alike(ranks, {name: fact for name, fact in conditions.items() if name not in OF_MACHINE})
    ranks.from_first([*run.arrays.values(), *run.updater.state.values()])
    run.place = place_of_first(ranks, run.place)
    run.measures = Measures.of(run.place.sums)
