"""Checks of a recipe against its network: what it names is there, and what it says has an effect."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from archforge.analysis.network import Network
from archforge.errors import Diagnostic, did_you_mean
from archforge.ops.batch_norm import BatchNorm
from archforge.recipe.patterns import last_fitting, names_that_fit
from archforge.scopes import inner_scopes, scope_names, scopes_that_fit
from archforge.spec import limits
from archforge.spec.resolve.recipe import BoundRecipe

if TYPE_CHECKING:
    from archforge.recipe.recipe import TrainingRecipe
    from archforge.spec.syntax.parse_train import Place

__all__ = ["recipe_gaps", "recipe_mistakes"]


def recipe_mistakes(network: Network, bound: BoundRecipe) -> list[Diagnostic]:
    """Mistakes (E0905) for what a recipe names and the network lacks, and warnings (W0902) for what is
    without effect, each at its place. Raises E0107 for too many patterns."""
    return [*_unknown_names(network, bound), *_idle_settings(network, bound)]


def recipe_gaps(
    network: Network, bound: BoundRecipe, needed: Collection[str] = ("loss", "optimizer")
) -> list[Diagnostic]:
    """Mistakes (E0202) for what is needed and a recipe does not say."""
    recipe = bound.recipe
    has_loss = any(recipe.losses.get(name, recipe.loss) for name in network.graph.outputs)
    given = {"loss": has_loss, "optimizer": recipe.optimizer is not None}
    examples = {"loss": "cross_entropy", "optimizer": "{sgd: {lr: 0.1}}"}
    span = network.spec.document.span_of("train")
    return [
        Diagnostic("E0202", f"the recipe has no {key}", span, help=f"{key}: {examples[key]} in `train`")
        for key in needed
        if not given[key]
    ]


def _parameters(network: Network) -> list[str]:
    """The names of what is trained, buffers left out."""
    return [name for name, decl in network.params.items() if decl.role != "buffer"]


def _unknown_names(network: Network, bound: BoundRecipe) -> Iterator[Diagnostic]:
    recipe, params, outputs = bound.recipe, _parameters(network), list(network.graph.outputs)
    patterns = [*(("freeze", p) for p in recipe.freeze), *(("init", p) for p in recipe.init)]
    limits.COMPARED.check(len(patterns) * len(params), bound.span("freeze") or bound.span("init"))
    scopes = network.graph.scopes
    limits.COMPARED.check(len(recipe.recompute) * len(scopes), bound.span("recompute"))
    for key, pattern in patterns:
        if not names_that_fit(pattern, params):
            whole = names_that_fit(f"{pattern}.*", params)
            hint = f"'{pattern}.*' fits all in it" if whole else did_you_mean(pattern, params, what="it has")
            yield _lacks(bound, key, pattern, "no parameter fits", hint)
    left = set(params).difference(*(names_that_fit(pattern, params) for pattern in recipe.freeze))
    if params and not left:
        message = "all parameters are frozen, and nothing is left to train"
        yield Diagnostic("E0905", message, bound.span("freeze"))
    for key, names in (("losses", recipe.losses), ("loss_weights", recipe.loss_weights)):
        for name in (name for name in names if name not in outputs):
            hint = did_you_mean(name, outputs, what="outputs")
            yield _lacks(bound, key, name, "there is no output", hint)
    for pattern in recipe.recompute:
        if not scopes_that_fit(pattern, scopes):
            hint = did_you_mean(pattern, scope_names(scopes), what="it has")
            yield _lacks(bound, "recompute", pattern, "no block or scope fits", hint)


def _lacks(bound: BoundRecipe, key: str, name: str, what: str, help: str) -> Diagnostic:
    return Diagnostic("E0905", f"{what} `{name}` of `{key}`", bound.span(key, name), help=help)


def _idle_settings(network: Network, bound: BoundRecipe) -> Iterator[Diagnostic]:
    """Warnings for settings without effect, of the spec's own text or of a caller's."""
    own = network.spec.document.source
    for place, why in _idle_places(network, bound.recipe):
        span = bound.spans.get(place)
        if span and (span.source is own or place[0] in bound.by_caller):
            yield Diagnostic("W0902", f"`{place[-1]}` is without effect: {why}", span, help="leave it out")


def _idle_places(network: Network, recipe: TrainingRecipe) -> Iterator[tuple[Place, str]]:
    """The place of each setting without effect, if it is written, and why."""
    if recipe.losses.keys() >= network.graph.outputs.keys():
        yield ("loss",), "`losses` has one for every output"
    for name in recipe.loss_weights:
        if recipe.loss is None and name in network.graph.outputs and name not in recipe.losses:
            yield ("loss_weights", name), "the output has no loss"
    if recipe.stratify and not (recipe.limit or recipe.validation):
        yield ("stratify",), "it is of `limit` and `validation`"
    if recipe.optimizer is not None and not recipe.optimizer.weight_decay:
        yield ("spare",), "the optimizer has no weight decay"
    yield from _idle_recomputation(network, recipe)
    if recipe.sync_bn and not any(isinstance(node.op, BatchNorm) for node in network.graph.nodes):
        yield ("sync_bn",), "the network has no batch norm"
    if not recipe.clip.model_fields_set:
        yield ("clip",), "it has neither `norm` nor `value`"
    names = _parameters(network)
    drawn_by = {last_fitting(name, {pattern: pattern for pattern in recipe.init}) for name in names}
    for pattern in recipe.init:
        if pattern not in drawn_by and names_that_fit(pattern, names):
            yield ("init", pattern), "later patterns fit all that it does"


def _idle_recomputation(network: Network, recipe: TrainingRecipe) -> Iterator[tuple[Place, str]]:
    """The patterns of `recompute` that let go of no value."""
    if not recipe.recompute:
        return
    scopes, seen = network.graph.scopes, set[int]()
    inner = inner_scopes(network.graph.nodes, scopes, [*network.graph.outputs.values()])
    with_values = set[int]().union(*inner.values())
    for pattern in recipe.recompute:
        found = {scope.index for scope in scopes_that_fit(pattern, scopes)}
        if found and not found & with_values:
            yield ("recompute", pattern), "nothing in it is read by itself alone"
        elif found and found <= seen:
            yield ("recompute", pattern), "another pattern fits all that it does"
        seen |= found
