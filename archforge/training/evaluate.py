"""Figures of trained weights on samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from archforge import backends
from archforge.analysis.network import Network
from archforge.analysis.recipe_fit import recipe_gaps
from archforge.datasets.batches import Batches
from archforge.datasets.given import given_data
from archforge.errors import fail_all
from archforge.spec.resolve.recipe import Override
from archforge.training.evaluation import Evaluator
from archforge.training.measures import Measures
from archforge.training.setup import batches_of, input_of, losses_of, parts_of, recipe_for
from archforge.training.text_windows import TextWindow, text_windows
from archforge.weights.bind import bind

__all__ = ["Evaluation", "evaluate"]


class Evaluation(NamedTuple):
    """The figures of weights on samples, the samples, and of text some windows."""

    measures: Measures
    batches: Batches
    windows: Sequence[TextWindow]


def evaluate(
    network: Network,
    data: Any,
    weights: Mapping[str, Any],
    overrides: Iterable[Override] = (),
    *,
    backend: str = "auto",
    dtype: str = "float32",
) -> Evaluation:
    """The figures of given weights, with the losses of the network's recipe.

    data: as for `train`; where some of them are held back, those are taken, else all. Raises whatever does
    not fit.
    """
    bound = recipe_for(network, data, overrides)
    fail_all(recipe_gaps(network, bound, ["loss"]))
    losses = losses_of(network, bound)
    _, shape = input_of(network)
    parts = parts_of(network, bound.recipe, given_data(data, shape, bound.recipe.data.format), losses)
    batches = batches_of(network, bound.recipe, parts.held_back or parts.train, training=False)
    evaluator = Evaluator.of(network, losses, backends.get(backend, dtype), dtype)
    arrays = bind(network.params, weights)
    measures = evaluator.measures(arrays, batches.epoch())
    return Evaluation(measures, batches, text_windows(evaluator, arrays, batches))
