"""A network held against a counterpart: names and shapes of their arrays, then values layer by layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from archforge import driver
from archforge.analysis.network import Network
from archforge.data.arrays import WEIGHTS, read_weights, weights_format
from archforge.data.opened_files import is_named_as
from archforge.data.stored_arrays import LazyArrays
from archforge.errors import DiagnosticError, fail
from archforge.interchange.converted_weights import ConvertedWeights
from archforge.interchange.counterparts import (
    Comparison,
    Computed,
    Counterpart,
    WeightsCounterpart,
    compared_params,
    compared_values,
    deviation,
)
from archforge.interchange.onnx.counterpart import OnnxCounterpart
from archforge.interchange.source_outputs import (
    SourceOutput,
    SourceRun,
    holds_network,
    outputs_of_file,
    outputs_of_library,
)
from archforge.interchange.torch.counterpart import TorchCounterpart
from archforge.interchange.torch.libraries import LIBRARIES, library_module, made_module
from archforge.ir import TypedGraph
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.plan import named_values
from archforge.spec.expand.expand import InputShape
from archforge.spec.resolve.spec import Spec
from archforge.weights.given import without_prefix
from archforge.weights.golden import TOLERANCE, Deviation
from archforge.weights.rule_made import rule_input, rule_weights

__all__ = ["NetworkCounterpart", "Verification", "compare", "counterpart", "verified"]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkCounterpart:
    """Another network as the counterpart of one, with whose weights it computes."""

    network: Network
    in_order: ClassVar = True
    own_weights: ClassVar[LazyArrays | None] = None
    dtype: ClassVar = "float64"

    @property
    def words(self) -> str:
        return f"{self.network.name}, profile {self.network.profile}"

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: decl.shape for name, decl in self.network.params.items()}

    def computed(
        self, typed: TypedGraph, weights: Mapping[str, Any], names: Mapping[str, str], inputs: Sequence[Any]
    ) -> Computed:
        """Outputs, and the values of nodes that have the name of one in the network, or its parameters."""

        outputs, values = _all_values(self.network, weights, inputs)
        theirs = {node.params_of: node.name for node in self.network.graph.nodes}
        found = {name: values[name] for name in typed.types if name in values}
        for name, other in names.items():
            owner, twin = name.rpartition(".")[0], theirs.get(other.rpartition(".")[0])
            if owner in typed.types and twin is not None:
                found[owner] = values[twin]
        return Computed(outputs, found)


def _all_values(
    network: Network, weights: Mapping[str, Any], inputs: Sequence[Any]
) -> tuple[list[Any], Mapping[str, Any]]:
    """The outputs of a network in float64, and the values of all nodes and scopes, by name."""
    names = [name for name in named_values(network.graph) if name not in network.graph.inputs]
    executable = driver.compile(network, backend="numpy", dtype="float64", weights=weights, taps=names)
    results = executable.run(dict(zip(network.graph.inputs, inputs, strict=True)))
    return list(results.outputs.values()), results.taps


def counterpart(what: str, profile: str | None = None, input_shape: InputShape | None = None) -> Counterpart:
    """The counterpart that a text names: `torchvision.NAME`, `timm.NAME`, `package.module:factory`, a file
    of weights, a model of ONNX, or a spec. input_shape: of the other spec's network. Raises E0001 for a
    profile of what has none, and what each of them raises."""
    is_file = is_named_as(what, WEIGHTS)
    is_library = not is_file and what.partition(".")[0] in LIBRARIES and ":" not in what
    is_factory = not is_file and ":" in what and not _names_spec(what.partition(":")[0])
    if not (is_file or is_library or is_factory):
        return NetworkCounterpart(driver.analyse(driver.open_spec(what), profile, input_shape=input_shape))
    if profile is not None:
        fail("E0001", f"{what} has no profiles", help="leave out --other-profile")
    if not is_file:
        return TorchCounterpart(what, library_module(what) if is_library else made_module(what))
    arrays = read_weights(what)
    if what.lower().endswith(".onnx"):
        return OnnxCounterpart(what, Path(what), arrays)
    return WeightsCounterpart(what, arrays, weights_format(what).in_order)


def _names_spec(name: str) -> bool:
    """True for a file, and for a name in the zoo."""
    try:
        driver.open_spec(name)
    except DiagnosticError as error:
        return error.diagnostics[0].code != "E0002"
    return True


def compare(network: Network, other: Counterpart) -> Comparison:
    """A network beside a counterpart: the names and shapes of their arrays, then the values that they compute
    in float64 on the same weights and an input made by rule, layer by layer.

    A counterpart with weights of its own gives them to the network; any other gets those made by rule. Values
    are not compared where it cannot be told which arrays belong together.
    """
    params = compared_params(network.graph, other.shapes, in_order=other.in_order)
    if not params.names:
        return Comparison(params)
    shapes = {name: (1, *type_.shape) for name, type_ in network.graph.inputs.items()}
    inputs = [rule_input(shape, name) for name, shape in shapes.items()]
    if other.own_weights is None:
        weights: Mapping[str, Any] = rule_weights(network.params)
    else:
        weights = {n: np.asarray(other.own_weights[s]).astype("float64") for n, s in params.names.items()}
    given = {params.names[name]: array for name, array in weights.items()}
    there = other.computed(network.graph, given, params.names, inputs)
    if there is None:
        return Comparison(params)
    outputs, values = _all_values(network, weights, inputs)
    tolerance = TOLERANCE[other.dtype]
    place = {value: index for index, value in enumerate(network.graph.types)}
    known = named_values(network.graph)
    order = sorted(known, key=lambda name: place[known[name]])
    layers, unmatched = compared_values(order, network.graph.types, values, there, tolerance)
    named = dict(zip(network.graph.outputs, outputs, strict=True))
    return Comparison(params, shapes, _outputs(named, there.outputs), layers, unmatched, tolerance)


def _outputs(here: Mapping[str, Array], there: Sequence[Array]) -> tuple[Deviation, ...]:
    """The deviation of each output that a counterpart gives: in their order, or where it has fewer, or more,
    from the nearest one here."""
    if len(here) == len(there):
        pairs = zip(here.items(), there, strict=True)
        return tuple(deviation(name, found, wanted) for (name, found), wanted in pairs)
    return tuple(
        min((deviation(name, found, wanted) for name, found in here.items()), key=lambda d: d.distance)
        for wanted in there
    )


# Converted weights -----------------------------------------------------------------------------------------


class Verification(NamedTuple):
    """Outputs with converted weights beside those of the network that the file's weights belong to.

    by: what computed the others. worst: the largest difference over the largest value of an output. softmax:
    the others are behind one that the network lacks, which its own got for the comparison. moved: the largest
    change of an output on another input, over its largest value; where it is small, as with fresh weights of
    a deep network, equal outputs prove little.
    """

    by: str
    worst: float
    tolerance: float
    softmax: bool
    moved: float

    @property
    def ok(self) -> bool:
        """True if all outputs are equal but for rounding."""
        return self.worst <= self.tolerance


def verified(made: ConvertedWeights, path: str | Path, spec: Spec, prefix: str = "") -> Verification:
    """The outputs of a network with weights that were converted, beside those of the network that the weights
    of the file belong to. spec, prefix: as for the conversion. Raises E0001 where nothing here runs that."""
    given = without_prefix(read_weights(path), prefix)
    graph = made.network.graph
    inputs = [rule_input((1, *type_.shape), name) for name, type_ in graph.inputs.items()]
    there = _source_run(made, Path(path), given, spec, inputs)
    executable = driver.compile(made.network, backend="numpy", dtype="float64", weights=made.arrays)
    here, other = (
        executable.run(dict(zip(graph.inputs, given, strict=True))).outputs
        for given in (inputs, [-x for x in inputs])
    )
    moved = max(_off(other[name], value) for name, value in here.items())
    worst, softmax = 0.0, False
    for output in there.outputs:
        off, by_softmax = min(_apart(value, output) for value in here.values())
        worst, softmax = max(worst, off), softmax or by_softmax
    return Verification(there.by, worst, there.tolerance, softmax, moved)


def _source_run(
    made: ConvertedWeights, path: Path, given: LazyArrays, spec: Spec, inputs: Sequence[Array]
) -> SourceRun:
    if holds_network(path):
        return outputs_of_file(path, inputs)
    found = None
    ways = {m.how for m in made.matching.parameters.values()}
    if ways == {"name"}:
        names = {name: m.source for name, m in made.matching.parameters.items()}
        found = outputs_of_library(made.network, given, names, inputs)
    else:  # of another library that the spec has a profile of
        expansion = made.network.expansion
        prefix = _scope_of_all(given)
        names = {name.removeprefix(prefix): name for name in given}
        own = {name: given[source] for name, source in names.items()}
        with suppress(DiagnosticError):
            source = driver.fitting_profile(spec, own, expansion.settings, expansion.input_shape)
            found = outputs_of_library(source, given, names, inputs)
    if found is None:
        message = f"nothing here runs the network that {path} belongs to"
        help = "a file of ONNX or Keras with its network, or weights of a network of torchvision or timm"
        fail("E0001", f"{message}, for `--verify`", help=help)
    return found


def _scope_of_all(names: Collection[str]) -> str:
    """The scope that all names are in, such as `state_dict.module.`; empty if there is none."""
    pairs = zip(min(names).split("."), max(names).split("."), strict=False)
    return "".join(f"{part}." for part, other in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _apart(value: Array, wanted: SourceOutput) -> tuple[float, bool]:
    """The largest difference over the largest value, and whether it is that behind a softmax."""
    ways = [(_off(value, wanted.value), False)]
    if wanted.softmax is not None and value.shape == wanted.value.shape:
        ways.append((_off(wanted.softmax.op.reference({}, value), wanted.value), True))
    return min(ways)


def _off(value: Array, wanted: Array) -> float:
    if value.shape != wanted.shape:
        return float("inf")
    off = float(np.abs(value - wanted).max()) / (float(np.abs(wanted).max()) or 1.0)
    return off if off == off else float("inf")
