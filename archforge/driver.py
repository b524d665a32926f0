"""The pipeline: the stages that each thing a user can ask for goes through, in their order.

| stage | in | from | to |
| --- | --- | --- | --- |
| read, resolve | `spec.resolve` | a source | a `Spec`, templates and imports merged |
| expand | `spec.expand` | a spec and a profile | a `TypedGraph`, within its `Expansion` |
| count, check | `analysis` | an expansion | a `Network`: counts, compared with documented figures |
| optimise, plan | `passes`, `plan` | a typed graph and a backend | a `Plan` |
| bind, load | `weights`, `plan` | a plan and weights | an `Executable` |
| export | `export` | a network, with weights or without | files |

`load` goes as far as the network, `compile` to the executable, `build` plans and exports. A stage is a
function of the result of the one before it, and changes nothing. Heavy imports (NumPy, a backend,
templates) are made by the stage that needs them, so that checking a spec stays quick.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archforge.analysis.checks import check_cells
from archforge.analysis.counts import count
from archforge.analysis.network import Network, Report, SpaceFacts
from archforge.errors import MAX_REPORTED, Diagnostic, DiagnosticError, fail, fail_all, in_order
from archforge.ir import TypedGraph, by_x
from archforge.python_values import text_or_none, texts, truth, whole_number
from archforge.resources import own_version
from archforge.spec.binding.environment import Budget
from archforge.spec.expand.expand import InputShape, expand
from archforge.spec.resolve.block_spec import block_spec
from archforge.spec.resolve.library import Library
from archforge.spec.resolve.sources import STDIN, Source, open_spec, settings_of, zoo_paths
from archforge.spec.resolve.spec import Spec
from archforge.spec.syntax.syntax_tree import Argument
from archforge.spec.yaml.meant_comments import idle_comments, unmeant

if TYPE_CHECKING:
    from archforge.analysis.sampling import DrawnNetwork
    from archforge.data.manifest import BuildFolder
    from archforge.data.stored_arrays import LazyArrays
    from archforge.export import ExportContent, Refusal, Target
    from archforge.export.target import DrawingOptions
    from archforge.interchange.converted_weights import Choices, ConvertedWeights
    from archforge.interchange.imported import Imported
    from archforge.interchange.layer_check import LayerCheck
    from archforge.interchange.written_spec import WrittenSpec
    from archforge.interchange.zoo_match import ZooMatch
    from archforge.interchange.zoo_near import NearMatch
    from archforge.plan import Backend, Compiling, Executable, GraphCompiler, Shapes
    from archforge.weights.golden import Deviation, Golden

__all__ = [
    "Accuracy",
    "analyse",
    "check",
    "compile",
    "given_weights",
    "load",
    "open_spec",
    "report",
    "sample",
    "warm",
    "zoo_paths",
]


# Expand, infer, count, check


def analyse(
    spec: Spec,
    profile: str | None = None,
    *,
    settings: Mapping[str, Argument] | None = None,
    input_shape: InputShape | None = None,
    together: Together | None = None,
) -> Network:
    """The network of one profile: its graph, counts and cells. Cells do not apply to one with settings or
    another input.

    together: other networks of the spec under the same settings; this one joins them. If one has a profile
    with the same changes, its graph and counts are used again. Raises `DiagnosticError` with every mistake of
    the graph.
    """
    together = together or Together()
    decl = spec.profile(profile)
    changes = (id(spec), decl.changes())
    twin = together.twins.get(changes)
    if twin is None:
        expansion = expand(spec, profile, settings, input_shape, together.budget)
        counts = count(expansion.graph)
    else:
        expansion, counts = replace(twin.expansion, profile=decl.name), twin.counts
    network = Network(expansion, counts, check_cells(expansion, counts))
    together.twins.setdefault(changes, network)
    return network


class Together:
    """Networks on one budget. `twins` has one for the `id` of each spec, which they keep alive, and each text
    of what a profile changes in it."""

    def __init__(self, *known: Network) -> None:
        self.budget = Budget()
        self.twins = {(id(n.spec), n.spec.profile(n.profile).changes()): n for n in known}


def every_profile(
    spec: Spec,
    settings: Mapping[str, Argument] | None = None,
    input_shape: InputShape | None = None,
    *known: Network,
) -> tuple[Network, ...]:
    """The networks of all profiles. Those with the same changes, the `known` ones included, share a graph."""
    together = Together(*known)
    return tuple(
        analyse(spec, name, settings=settings, input_shape=input_shape, together=together)
        for name in spec.profile_names
    )


def networks_of(
    spec: Spec,
    profile: str | None = None,
    *,
    settings: Mapping[str, Argument] | None = None,
    input_shape: InputShape | None = None,
) -> tuple[Network, ...]:
    """The networks of all profiles, or of the one that is named."""
    if profile is None:
        return every_profile(spec, settings, input_shape)
    return (analyse(spec, profile, settings=settings, input_shape=input_shape),)


def load(
    source: Source,
    profile: str | None = None,
    *,
    input: InputShape | None = None,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
    **params: Any,
) -> Network:
    """A spec's network: `load("resnet_50", profile="torchvision", classes=10)`.

    profile: one of the spec's, a model id (`torchvision.resnet50`), or `recommended`; the first by
    default. input: its shape without the batch axis. defaults: values for attributes of ops and arguments
    of blocks that calls do not give, `{"bn": {"eps": 1e-3}}`. params: values for the spec's arguments.
    """
    return analyse(open_spec(source), profile, settings=settings_of(params, defaults), input_shape=input)


def sample(
    source: Source,
    n: int,
    profile: str | None = None,
    *,
    seed: int = 0,
    where: str | None = None,
    input: InputShape | None = None,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
    **params: Any,
) -> list[DrawnNetwork]:
    """`n` networks of a space, counted: `sample("anynet_x", 500, where="360e6 <= macs <= 400e6")`.

    seed: the same one gives the same samples, on every machine; more of them begin with the same ones.
    where: a formula over their columns that they must meet. profile, input, defaults, params: as for `load`;
    an argument that is given is not drawn. Raises E0001 for a spec that is no space, E0323 where nothing that
    is drawn meets the constraints or the condition.
    """
    from archforge.analysis.sampling import Sampling
    from archforge.spec.expand.space import Space

    space = Space(open_spec(source), profile, settings_of(params, defaults), input)
    sampling = Sampling(space, seed=whole_number("seed", seed), where=text_or_none("where", where))
    return list(sampling.take(whole_number("n", n)))


def check(
    paths: str | Path | Iterable[str | Path] = (), profile: str | None = None, *, require_expect: bool = False
) -> Iterator[Report]:
    """A report on each file, in order: every profile, or `profile` where a spec has it.

    Each template is read once. A broken spec is reported, and the next one goes on.
    """
    library, profile = Library(), text_or_none("profile", profile)
    for path in zoo_paths(paths):
        yield report(path, library, profile, require_expect=require_expect)


def report(
    path: Path, library: Library, profile: str | None = None, *, require_expect: bool = False
) -> Report:
    """A report on one file, as `check` has it."""
    shown = path.as_posix()
    try:
        spec = open_spec(path, library)
    except DiagnosticError as error:
        name = "stdin" if shown == STDIN else path.stem
        return Report(name, shown, None, diagnostics=error.diagnostics)
    networks: list[Network] = []
    broken: list[Diagnostic] = []
    together = Together()
    recipes: list[Diagnostic] = []
    spaces: list[SpaceFacts] = []
    if spec.header.kind == "space":
        from archforge.analysis.sampling import space_facts

        for name in _profiles(spec, profile):
            try:
                spaces.append(space_facts(spec, name, together.budget))
            except DiagnosticError as error:
                broken += [d for d in error.diagnostics if d not in broken]
    for part, name in _checkable(spec, profile, broken):
        try:
            networks.append(analyse(part, name, together=together))
            recipes += _recipe_mistakes(networks[-1])
        except DiagnosticError as error:
            broken += [d for d in error.diagnostics if d not in broken]
            if len(broken) >= MAX_REPORTED:
                break
    unmet = tuple(_unchecked(n) for n in networks if require_expect and not n.cells)
    broken += in_order(d for d in recipes if not d.is_warning)
    found = [*spec.warnings, *(w for n in networks for w in n.own_warnings)]
    found += in_order(d for d in recipes if d.is_warning)
    is_seen = not broken and bool(networks or spaces)
    if profile is None and is_seen:  # else something that a comment is for may not show
        found += idle_comments(spec.document.source, found)
    return Report(
        spec.name, shown, spec, tuple(networks), tuple(broken), unmet, unmeant(found), tuple(spaces)
    )


def _recipe_mistakes(network: Network) -> list[Diagnostic]:
    """Mistakes and warnings of a network's recipe, if its spec has one."""
    if network.recipe is None:
        return []
    from archforge.analysis.recipe_fit import recipe_mistakes

    return recipe_mistakes(network, network.recipe)


def _checkable(spec: Spec, profile: str | None, broken: list[Diagnostic]) -> Iterator[tuple[Spec, str]]:
    """The parts of a file that have counts: profiles of a network, cases of its own blocks or of a named one.
    Mistakes of blocks go to `broken`."""
    if spec.header.kind == "network":
        for name in _profiles(spec, profile):
            yield spec, name
    if spec.block or profile is not None:
        return
    for block in spec.document.blocks.values():
        if block.expect:
            try:
                part = block_spec(spec, block.name)
            except DiagnosticError as error:
                broken += error.diagnostics
            else:
                yield from ((part, case) for case in part.profile_names)


def _profiles(spec: Spec, name: str | None) -> list[str]:
    """Every profile, or the one of that name or model id, if the spec has it."""
    if name is None:
        return spec.profile_names
    try:
        return [spec.profile(name).name]
    except DiagnosticError:
        return []


def _unchecked(network: Network) -> Diagnostic:
    """The complaint about a profile without documented figures."""
    span = network.spec.document.span_of("expect")
    name = span.source.name
    help = f"archforge check --record {name} writes what was computed"
    if name.startswith("<"):  # `<stdin>`
        help = "save it as a file: archforge check --record FILE writes what was computed into it"
    return Diagnostic(
        "E0506",
        f"profile `{network.profile}` of {network.name} has no `expect`",
        span,
        help=help,
    )


# Optimise, plan, load


class Accuracy(StrEnum):
    """The accuracy that is asked of kernels."""

    FAST = "fast"
    STRICT = "strict"


def compile(
    source: Source | Network,
    profile: str | None = None,
    *,
    backend: str | Backend = "auto",
    dtype: str = "float32",
    weights: Mapping[str, Any] | str | Path | None = None,
    prefix: str = "",
    taps: Collection[str] = (),
    seed: int = 0,
    strict: bool = False,
    without: Collection[str] = (),
    low_memory: bool = False,
    accuracy: str = "fast",
    input: InputShape | None = None,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
    **params: Any,
) -> Executable:
    """A network as a callable on arrays float[N, *shape], and on other sizes if its parameters allow it.

    weights: a mapping of names to arrays, a file (docs/weights.md lists the formats), or None for fresh ones
    from `seed`. Given weights and no profile, the one profile that they fit is
    taken. prefix: of the weights, only those whose names begin with it, taken without it. taps: names of
    nodes or scopes whose values are returned besides. strict: refuse ops that the backend lacks. without:
    graph passes and parts of planning to leave out. low_memory: leave out what takes memory for speed,
    which is Winograd's weights. accuracy: `fast`, or `strict` for kernels alone whose rounding error
    depends on an output's own inputs; with `fast` an input of great range gives an `AccuracyWarning`.
    defaults: as for `load`.

    Given arrays that can be written to are copied; read-only ones are kept as they are. A file is read
    again for inputs of another size, and must be there unchanged.

    Raises `DiagnosticError` for whatever does not fit.
    """
    from archforge import backends
    from archforge.plan import ACCURACY_FOR_SPEED, MEMORY_FOR_SPEED, GraphCompiler
    from archforge.weights.given import kept

    seed = whole_number("seed", seed)
    if accuracy not in tuple(Accuracy):
        fail("E0001", f"there is no accuracy `{accuracy}`", help=f"one of {', '.join(Accuracy)}")
    given = given_weights(weights, prefix)
    network = _network(source, profile, given, input, settings_of(params, defaults))
    compiler = GraphCompiler(
        backends.get(backend, dtype),
        dtype,
        taps=texts("taps", taps),
        strict=truth("strict", strict),
        without=frozenset(texts("without", without)).union(
            MEMORY_FOR_SPEED if truth("low_memory", low_memory) else (),
            ACCURACY_FOR_SPEED if accuracy == Accuracy.STRICT else (),
        ),
    )
    bound = _bound(network, given)
    return _executable(network, compiler, None if bound is None else kept(bound), seed)


def _executable(network: Network, compiler: GraphCompiler, bound: LazyArrays | None, seed: int) -> Executable:
    """The network with these arrays, or with fresh ones from `seed`, and the recipe to make it again."""
    from archforge.weights.init import fresh_weights

    arrays = partial(fresh_weights, network.params, seed) if bound is None else lambda: bound
    made = compiler.executable(network.graph, arrays, partial(_resized, network))
    shapes = {name: type_.shape for name, type_ in network.graph.inputs.items()}
    origin = (network.spec, network.profile, network.expansion.settings, shapes)
    return replace(made, recipe=partial(_made_again, *origin, compiler, bound, seed))


def _made_again(
    spec: Spec,
    profile: str,
    settings: Mapping[str, Argument],
    shapes: InputShape,
    compiler: GraphCompiler,
    bound: LazyArrays | None,
    seed: int,
) -> Executable:
    """An executable from its recipe, in another process for instance."""
    network = analyse(spec, profile, settings=settings, input_shape=shapes)
    return _executable(network, compiler, bound, seed)


def given_weights(
    weights: Mapping[str, Any] | str | Path | None, prefix: str = ""
) -> Mapping[str, Any] | None:
    """Weights by name, those of a file not yet read; None for fresh ones. With a prefix, only those whose
    names begin with it, without it. Raises E0601, E0605 for what is no mapping, and E0001 for a prefix that
    no name has."""
    from archforge.data.arrays import read_weights, require_own_layout
    from archforge.weights.given import by_name, without_prefix

    if weights is None:
        if prefix:
            fail("E0001", f"the prefix `{prefix}` is of given weights, and there are none")
        return None
    if not isinstance(weights, str | Path):
        return without_prefix(by_name(weights), prefix)
    require_own_layout(weights)
    return without_prefix(read_weights(weights), prefix)


def _network(
    source: Source | Network,
    profile: str | None,
    given: Mapping[str, Any] | None,
    input: InputShape | None,
    settings: Mapping[str, Argument],
) -> Network:
    """The network to compile: a loaded one as it is, else that of a source. Raises E0001 for both at once."""
    if isinstance(source, Network):
        return as_loaded(source, profile, input, settings)
    return _profile_for(open_spec(source), profile, given, settings, input)


def as_loaded(
    network: Network, profile: str | None, input: InputShape | None, settings: Mapping[str, Argument]
) -> Network:
    """A loaded network, which is taken as it is. Raises E0001 for what a caller would change in it."""
    if profile is not None or input is not None or settings:
        help = "give profile, input, arguments and defaults to `load`"
        fail("E0001", "a loaded network is compiled as it is", help=help)
    return network


def _profile_for(
    spec: Spec,
    profile: str | None,
    given: Mapping[str, Any] | None,
    settings: Mapping[str, Argument] | None,
    input_shape: InputShape | None,
) -> Network:
    """The network of the named profile; without a name, of the one that the given weights fit."""
    if given is not None and profile is None:
        return fitting_profile(spec, given, settings, input_shape)
    return analyse(spec, profile, settings=settings, input_shape=input_shape)


def _resized(network: Network, shapes: Shapes) -> TypedGraph:
    """The network's graph for inputs of other shapes. Raises what makes them unfit, and E0607 where it would
    need other parameters."""
    graph = expand(network.spec, network.profile, network.expansion.settings, dict(shapes)).graph
    have, needed = network.params, graph.params()
    for name in have | needed:
        now, then = (by_x(of[name].shape) if name in of else "absent" for of in (have, needed))
        if now != then:
            fail("E0607", f"another size needs other weights: `{name}` is {now}, and would be {then}")
    return graph


def fitting_profile(
    spec: Spec,
    given: Mapping[str, Any],
    settings: Mapping[str, Argument] | None = None,
    input_shape: InputShape | None = None,
) -> Network:
    """The one profile whose parameters have the names and shapes of `given`. Raises E0606."""
    from archforge.analysis.fitting_profile import fitting

    return fitting(every_profile(spec, settings, input_shape), given)


def _bound(network: Network, given: Mapping[str, Any] | None) -> LazyArrays | None:
    """Given arrays by the names of the network's parameters, those of a file not yet read, or None. Raises
    what does not fit."""
    from archforge.weights.bind import bind

    if given is None:
        return None
    try:
        return bind(network.params, given, ignorable=_other_heads(network))
    except DiagnosticError as error:
        from archforge.analysis.fitting_profile import with_setting

        raise DiagnosticError(with_setting(network, given, error.diagnostics)) from None


def _other_heads(network: Network) -> set[str]:
    """Scopes that hold parameters in the profile as its spec has it, but not as a caller has set it."""
    if not network.expansion.is_changed:
        return set()
    plain = expand(network.spec, network.profile).graph.params()
    own = {name.split(".")[0] for name in network.params}
    return {name.split(".")[0] for name in plain} - own


def warm(
    network: Network, batches: Iterable[int], *, backend: Compiling | None = None, **options: Any
) -> None:
    """Compile the machine code that a network needs: it computes once on zeros, with weights of zero, at each
    size of batch.

    backend: the best that compiles machine code here by default. options: those of `compile`. Raises E0701
    if there is no such backend.
    """
    import numpy as np

    from archforge import backends
    from archforge.hardware import require_memory

    chosen = backend or backends.get_compiling()
    zero = np.zeros((), np.float32)
    require_memory(sum(d.size for d in network.params.values()) * zero.itemsize, "the packed weights")
    weights = {name: np.broadcast_to(zero, decl.shape) for name, decl in network.params.items()}
    executable = compile(network, backend=chosen, weights=weights, **options)
    for batch in batches:
        inputs = network.graph.inputs.items()
        executable.run({name: np.broadcast_to(zero, (batch, *t.shape)) for name, t in inputs})


def verify(
    network: Network,
    golden: Golden,
    *,
    backend: str = "auto",
    dtype: str = "float64",
    accuracy: str = "fast",
) -> tuple[Deviation, list[Deviation]]:
    """Deviations of the network's output and of the golden's taps, on weights and input made by rule."""
    from archforge.plan import named_values
    from archforge.weights.rule_made import rule_input, rule_weights

    names = golden.names(named_values(network.graph))
    executable = compile(
        network,
        backend=backend,
        dtype=dtype,
        accuracy=accuracy,
        weights=rule_weights(network.params),
        taps=tuple(names.values()),
    )
    outputs, taps = executable.run({next(iter(network.graph.inputs)): rule_input(golden.input_shape)})
    found = golden.compare_taps({tap: taps[name] for tap, name in names.items()})
    return golden.compare_output(next(iter(outputs.values()))), found


# Weights of other frameworks


def convert_weights(
    spec: Spec,
    path: str | Path,
    profile: str | None = None,
    *,
    settings: Mapping[str, Argument] | None = None,
    input_shape: InputShape | None = None,
    prefix: str = "",
    choices: Choices | None = None,
) -> ConvertedWeights:
    """The weights of a file under the names and in the layouts of a network, not yet read.

    profile: the one that most names of the file are of, by default. Raises what does not match, of the
    profile that is nearest where none does, and E0606 for several profiles that compute something else.
    """
    from archforge.analysis.fitting_profile import equal_wiring
    from archforge.data.arrays import read_weights
    from archforge.interchange.converted_weights import Choices, converted
    from archforge.weights.given import named_alike, without_prefix

    given = without_prefix(read_weights(path), prefix)
    choices = choices or Choices()
    if profile is not None:
        network = analyse(spec, profile, settings=settings, input_shape=input_shape)
        return converted(network, Path(path), given, choices)
    found: list[ConvertedWeights] = []
    mistakes: list[tuple[int, DiagnosticError]] = []
    for network in every_profile(spec, settings, input_shape):
        try:
            made = converted(network, Path(path), given, choices)
        except DiagnosticError as error:
            mistakes.append((named_alike(network.params, given), error))
        else:
            if not any(equal_wiring(network, other.network) for other in found):
                found.append(made)
    if not found:
        raise max(mistakes, key=lambda mistake: mistake[0])[1]
    most = max(made.matching.named for made in found)
    nearest = [made for made in found if made.matching.named == most]
    if len(nearest) > 1:
        names = ", ".join(f"`{made.network.profile}`" for made in nearest)
        fail("E0606", f"the weights fit several profiles of {spec.name}: {names}", help="--profile NAME")
    return nearest[0]


# Build


@dataclass(frozen=True, slots=True, eq=False)
class Build:
    """The result of `build`: the networks of all profiles, and the plan and files of the chosen one."""

    chosen: Network
    networks: tuple[Network, ...]
    backend: str
    steps: int
    fallbacks: tuple[str, ...]
    written: BuildFolder | None = None
    refused: tuple[tuple[Path, Refusal], ...] = ()  # with the file that would have been written

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that were written, without the manifest."""
        return self.written.files if self.written else ()

    @property
    def ok(self) -> bool:
        """True if no figure of any profile differs from its documented one."""
        return all(network.ok for network in self.networks)

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """The warnings of all profiles that no comment says are meant."""
        return in_order(w for network in self.networks for w in network.warnings)

    def to_json(self) -> dict[str, Any]:
        header = self.chosen.spec.header
        return {
            "name": self.chosen.name,
            "title": header.title,
            "paper": header.paper,
            "departs": header.departs,
            "recommended": header.recommended,
            "profile": self.chosen.profile,
            "backend": self.backend,
            "fallbacks": list(self.fallbacks),
            "profiles": [network.to_json() for network in self.networks],
            "files": [path.as_posix() for path in self.files],
            "manifest": self.written.manifest.as_posix() if self.written else None,
            "removed": [path.as_posix() for path in self.written.removed] if self.written else [],
            "left": [path.as_posix() for path in self.written.left] if self.written else [],
            "refused": [refusal.to_json() | {"file": path.as_posix()} for path, refusal in self.refused],
            "warnings": [w.to_json() for w in self.warnings],
            "ok": self.ok,
        }


def build(
    spec: Spec,
    profile: str | None = None,
    *,
    settings: Mapping[str, Argument] | None = None,
    input_shape: InputShape | None = None,
    backend: str = "auto",
    strict: bool = False,
    folder: Path | None = None,
    keep_going: bool = False,
    refuse_warnings: bool = False,
) -> Build:
    """Analyse all profiles, compile the chosen one and write its files to `folder` (build/NAME).

    Nothing is written where a check fails, unless `keep_going`. A target that refuses the network keeps no
    other file from being written. Raises `DiagnosticError`, with `refuse_warnings` for warnings too.
    """
    from archforge import backends
    from archforge.plan import GraphCompiler

    chosen = analyse(spec, profile, settings=settings, input_shape=input_shape)
    networks = every_profile(spec, settings, input_shape, chosen)
    compiler = GraphCompiler(backends.get(backend, "float32"), strict=strict)
    planned = compiler.plan(chosen.graph)
    made = Build(chosen, networks, planned.backend.name, len(planned.steps), planned.slow_kinds)
    fail_all(made.warnings if refuse_warnings else ())
    if not made.ok and not keep_going:
        return made
    return _written(made, folder)


def default_folder(spec: Spec) -> Path:
    """The folder that a spec's files are written to unless the user names another."""
    return Path("build") / spec.name


def _written(made: Build, folder: Path | None) -> Build:
    """The build with its files written to `folder`, or to its own: all are rendered before the first is
    written, each whole or not at all, and a manifest last. Raises E0705 where nothing can be written."""
    from archforge.data.manifest import write_build
    from archforge.export import Subject, export

    exports = export(Subject(made.chosen, made.networks))
    chosen, to = made.chosen, folder or default_folder(made.chosen.spec)
    # In a folder that the user names, files of others may lie.
    written = write_build(
        to, own_version(), chosen.name, chosen.profile, exports.files, is_shared=folder is not None
    )
    return replace(made, written=written, refused=tuple((to / r.target.file, r) for r in exports.refused))


# Export


@dataclass(frozen=True, slots=True, eq=False)
class Export:
    """A network as one target writes it."""

    network: Network
    content: ExportContent


def export(
    spec: Spec,
    target: Target,
    profile: str | None = None,
    *,
    settings: Mapping[str, Argument] | None = None,
    input_shape: InputShape | None = None,
    weights: str | Path | None = None,
    prefix: str = "",
    seed: int = 0,
    data_file: str = "",
    splits: bool = False,
    drawing: DrawingOptions | None = None,
) -> Export:
    """A network as the file of one target, not yet written. The network's figures are not checked.

    weights: a file for a target that needs weights, or None for fresh ones from `seed`; prefix: of the names
    in it. Given weights and no profile, the one profile that they fit is taken. data_file, splits, drawing:
    as `Subject` has them. Raises `DiagnosticError`.
    """
    import numpy as np

    from archforge.export import Subject, all_targets, files_of

    given = given_weights(weights, prefix)
    network = _profile_for(spec, profile, given, settings, input_shape)
    networks = every_profile(spec, settings, input_shape, network)
    bound = _bound(network, given)
    arrays = None if bound is None else {name: np.asarray(array) for name, array in bound.items()}
    files = files_of(all_targets().values())
    subject = Subject(network, networks, arrays, seed, files, data_file, splits)
    subject = replace(subject, drawing=drawing or subject.drawing)
    return Export(network, target.whole(subject))


# Import


@dataclass(frozen=True, slots=True, eq=False)
class ImportedSpec:
    """A file of another format as a spec.

    check: its layers held against the file, None where that was not done, for the `reason`, which is empty
    where it was not wanted. is_like: the zoo's networks that it is; is_near: the one that it nearly is, if it
    is none.
    """

    imported: Imported
    spec: WrittenSpec
    network: Network
    check: LayerCheck | None
    checked_by: str
    reason: str
    is_like: tuple[ZooMatch, ...]
    is_near: NearMatch | None


def import_file(
    path: str | Path,
    weights_file: str | Path | None = None,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    layer_check: bool = True,
) -> ImportedSpec:
    """A file of another format as a spec with weights, not yet written: read, normalised, written as a spec
    that was read again, and, with `layer_check`, compared with the file layer by layer on a random image.

    weights_file: where the weights lie, if the file has none itself. shapes: of inputs whose extents the file
    leaves open, without the batch; that of the only one under no name. Raises
    `DiagnosticError` with all that cannot be said.
    """
    from archforge.interchange.formats import open_file
    from archforge.interchange.layer_check import checked_layers
    from archforge.interchange.normalize import normalized
    from archforge.interchange.unsupported import Unsupported
    from archforge.interchange.written_spec import written_spec
    from archforge.interchange.zoo_match import zoo_matches
    from archforge.interchange.zoo_near import nearest_of_zoo
    from archforge.interchange.zoo_networks import zoo_networks

    path = Path(path)
    source = open_file(path, None if weights_file is None else Path(weights_file))
    imported = normalized(source.read(path.stem, shapes or {}))
    files = " and ".join(f"{name}, sha256 {digest}" for name, digest in source.digests.items())
    spec = written_spec(imported, path.stem, f"Imported from {files}.")
    check, reason = None, ""
    try:
        if not imported.has_weights:
            raise Unsupported("the weights are not known")
        check = checked_layers(imported, source.run) if layer_check else None
    except Unsupported as found:
        reason = str(found)
    if check is not None and check.first is not None:
        layer, deviation = check.first
        message = f"the layer {layer!r} of {path} was imported as one that deviates by {deviation:.1e}"
        help = "nothing is written: this is a mistake of archforge, or of the file's runtime"
        fail("E0805", message, help=help)
    zoo = tuple(zoo_networks())
    is_like = tuple(zoo_matches(imported.graph, zoo))
    is_near = None if is_like else nearest_of_zoo(imported.graph, zoo)
    network = analyse(open_spec(spec.text))
    return ImportedSpec(imported, spec, network, check, source.run.by, reason, is_like, is_near)
