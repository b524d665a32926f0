"""The pipeline, stage by stage: read, resolve, expand, check, optimise, plan, load, export.

Each stage is a function of what the one before it gave. What is heavy (NumPy, a backend, templates)
is imported by the stage that needs it, so that checking a spec stays quick.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from archforge.analysis.checks import check_cells
from archforge.analysis.counts import count
from archforge.analysis.network import Network, Report
from archforge.errors import Diagnostic, DiagnosticError, SourceFile, Span, did_you_mean, fail
from archforge.resources import zoo_folder
from archforge.spec.blocks import block_spec
from archforge.spec.expand import expand
from archforge.spec.library import Library, find_spec, spec_files
from archforge.spec.resolve import Spec, resolve
from archforge.spec.syntax import Argument
from archforge.spec.tree import parse_yaml

if TYPE_CHECKING:
    from archforge.plan import Executable
    from archforge.weights.golden import Deviation, Golden

__all__ = ["analyse", "check", "compile", "load", "open_spec", "zoo_paths"]

STDIN = "-"
BLOCK_MARK = ":"
Source = str | Path | Mapping[str, Any]
InputShape = Sequence[int] | Mapping[str, Sequence[int]]


# Read and resolve


def open_spec(source: Source, library: Library | None = None) -> Spec:
    """The spec behind a name, a path, a text of several lines, a mapping, or `-` (standard input).

    `resnet:bottleneck` is a block of a spec by itself.

    Raises `DiagnosticError` with all that is wrong with its form.
    """
    library = library or Library()
    if isinstance(source, Mapping):
        return resolve(library.read_mapping(source), library, str(source.get("title", "spec")))
    if not isinstance(source, str | Path):
        fail("E0001", f"a spec is a name, a path, a text or a mapping, found a {type(source).__name__}")
    if str(source) == STDIN:
        return resolve(library.read_stdin(), library, "stdin")
    if isinstance(source, str) and "\n" in source:
        return resolve(library.read_text(source), library, "text")
    name, _, block = str(source).partition(BLOCK_MARK)
    if block and not os.path.exists(source):  # noqa: PTH110  as there
        return block_spec(open_spec(name, library), block)
    path = source if isinstance(source, Path) else find_spec(source)
    return resolve(library.read(path), library, path.stem)


# Expand, infer, count, check


def analyse(
    spec: Spec,
    profile: str | None = None,
    *,
    settings: Mapping[str, Argument] | None = None,
    input_shape: InputShape | None = None,
) -> Network:
    """One profile's graph, counts and cells. With settings or another input its cells do not apply.

    Raises `DiagnosticError` with every mistake of the graph.
    """
    if isinstance(input_shape, Mapping):
        _check_inputs(spec, input_shape)
    expansion = expand(spec, profile, settings, input_shape)
    counts = count(expansion.graph)
    changed = bool(settings) or input_shape is not None
    return Network(expansion, counts, check_cells(expansion, counts, changed=changed))


def _check_inputs(spec: Spec, shapes: Mapping[str, Sequence[int]]) -> None:
    """Raises E0001 for a shape of an input that the spec does not have."""
    known = list(spec.input) if isinstance(spec.input, dict) else ["input"]
    for name in shapes:
        if name not in known:
            fail("E0001", f"{spec.name} has no input `{name}`", help=did_you_mean(name, known, what="inputs"))


def load(
    source: Source, profile: str | None = None, *, input: InputShape | None = None, **params: Any
) -> Network:
    """A spec's network: `load("resnet_50", profile="torchvision", classes=10)`.

    profile: one of the spec's, a model id (`torchvision.resnet50`), or `recommended`; the first by
    default. input: its shape without the batch axis. params: values for the spec's arguments.
    """
    return analyse(open_spec(source), profile, settings=_settings(params), input_shape=input)


def _settings(params: Mapping[str, Any]) -> dict[str, Argument]:
    """Values from Python or the command line as arguments of a spec, each in a text of its own."""
    return {name: setting(name, _as_yaml(name, value)) for name, value in params.items()}


def _as_yaml(name: str, value: Any) -> str:
    """A value as a spec would have it; NumPy's as plain ones. Raises E0308."""
    plain = value.tolist() if hasattr(value, "tolist") else value
    try:
        return str(yaml.safe_dump(plain, default_flow_style=True))
    except yaml.YAMLError:
        help = "numbers, texts, true, false, null, and lists of them"
        fail("E0308", f"argument `{name}` is a {type(value).__name__}, no plain value", help=help)


def setting(name: str, text: str) -> Argument:
    """`--set name=text`: the text is read as in a spec."""
    source = SourceFile(f"--set {name}", text.removesuffix("\n...\n").strip())
    return Argument(name, Span(source, 0, 0), parse_yaml(source))


def zoo_paths(paths: str | Path | Iterable[str | Path] = ()) -> list[Path]:
    """The spec files in `paths` (files, folders, names of the zoo). Without any: ./zoo_specs if it is
    there, else the shipped zoo. Raises E0002 for what is not there, folders without specs included."""
    found: list[Path] = []
    for path in [paths] if isinstance(paths, str | Path) else paths or [_default_zoo()]:
        if str(path) == STDIN:
            found.append(Path(STDIN))
        elif path != "" and os.path.isdir(path):  # noqa: PTH112  pathlib raises where a name is too long
            found += _specs_in(Path(path))
        else:
            found.append(find_spec(str(path)))
    return list(dict.fromkeys(found))


def _specs_in(folder: Path) -> list[Path]:
    files = spec_files(folder)
    if not files:
        fail("E0002", f"there is no spec in the folder `{folder}`", help="specs are files that end in .yaml")
    return files


def _default_zoo() -> Path:
    local = Path("zoo_specs")
    return local if local.is_dir() else zoo_folder()


def check(
    paths: str | Path | Iterable[str | Path] = (), profile: str | None = None, *, require_expect: bool = False
) -> Iterator[Report]:
    """A report on each file, in order: every profile, or `profile` where a spec has it.

    Each template is read once. A broken spec is reported, and the next one goes on.
    """
    library = Library()
    for path in zoo_paths(paths):
        yield _report(path, library, profile, require_expect=require_expect)


def _report(path: Path, library: Library, profile: str | None, *, require_expect: bool) -> Report:
    """A report on one file."""
    shown = path.as_posix()
    try:
        spec = open_spec(path, library)
    except DiagnosticError as error:
        return Report(path.stem, shown, None, diagnostics=error.diagnostics)
    networks: list[Network] = []
    broken: list[Diagnostic] = []
    for part, name in _checkable(spec, profile, broken):
        try:
            networks.append(analyse(part, name))
        except DiagnosticError as error:
            broken += [d for d in error.diagnostics if d not in broken]
    unmet = tuple(_unchecked(n) for n in networks if require_expect and not n.cells)
    return Report(spec.name, shown, spec, tuple(networks), tuple(broken), unmet)


def _checkable(spec: Spec, profile: str | None, broken: list[Diagnostic]) -> Iterator[tuple[Spec, str]]:
    """What of a file has counts: the profiles of a network, the cases of its own blocks."""
    if spec.header.kind == "network":
        for name in spec.profile_names if profile is None else _profile(spec, profile):
            yield spec, name
    for block in spec.document.blocks.values():
        if block.expect and profile is None:
            try:
                part = block_spec(spec, block.name)
            except DiagnosticError as error:
                broken += error.diagnostics
            else:
                yield from ((part, case) for case in part.profile_names)


def _profile(spec: Spec, name: str) -> list[str]:
    """The profile of that name or model id, if the spec has it."""
    try:
        return [spec.profile(name).name]
    except DiagnosticError:
        return []


def _unchecked(network: Network) -> Diagnostic:
    span = network.spec.document.span_of("expect")
    return Diagnostic(
        "E0506",
        f"profile `{network.profile}` of {network.name} has no `expect`",
        span,
        help=f"archforge check --record {span.source.name} writes what was computed",
    )


# Optimise, plan, load


def compile(
    source: Source | Network,
    profile: str | None = None,
    *,
    backend: str = "auto",
    dtype: str = "float32",
    weights: Mapping[str, Any] | str | Path | None = None,
    taps: Collection[str] = (),
    seed: int = 0,
    strict: bool = False,
    without: Collection[str] = (),
    input: InputShape | None = None,
    **params: Any,
) -> Executable:
    """A network as a callable on arrays float[N, *shape].

    weights: a mapping of names to arrays, a .safetensors or .npz file, or None for fresh ones from
    `seed`. Given weights and no profile, the one profile that they fit is taken. taps: names of nodes
    or scopes whose values are returned besides. strict: refuse ops that the backend lacks. without:
    graph passes to leave out.

    Raises `DiagnosticError` for whatever does not fit.
    """
    from archforge import backends
    from archforge.passes import optimise
    from archforge.plan import load as bind_plan
    from archforge.plan import plan, resolve_taps
    from archforge.weights.bind import bind
    from archforge.weights.files import read_weights
    from archforge.weights.init import fresh_weights

    given = read_weights(weights) if isinstance(weights, str | Path) else weights
    settings = _settings(params)
    if isinstance(source, Network):
        if profile is not None or input is not None or params:
            fail(
                "E0001",
                "a loaded network is compiled as it is",
                help="give profile, input and arguments to `load`",
            )
        network = source
    elif given is not None and profile is None:
        network = fitting_profile(open_spec(source), given, settings, input)
    else:
        network = analyse(open_spec(source), profile, settings=settings, input_shape=input)

    chosen = backends.get(backend, dtype)
    tapped = resolve_taps(network.graph, [taps] if isinstance(taps, str) else taps)
    optimised = optimise(network.graph, frozenset(tapped.values()), without)
    planned = plan(optimised.graph, chosen, dtype, tapped, strict=strict)
    if given is None:
        arrays = fresh_weights(network.params, seed)
    else:
        arrays = bind(network.params, given, ignorable=_other_heads(network))
    return bind_plan(planned, arrays, optimised.transforms)


def fitting_profile(
    spec: Spec,
    given: Mapping[str, Any],
    settings: Mapping[str, Argument] | None = None,
    input_shape: InputShape | None = None,
) -> Network:
    """The one profile whose parameters have the names and shapes of `given`. Raises E0606.

    Profiles that are the same network, node by node, are one.
    """
    fits: list[Network] = []
    misfits: list[str] = []
    for name in spec.profile_names:
        network = analyse(spec, name, settings=settings, input_shape=input_shape)
        misfit = _first_misfit(network, given)
        if misfit:
            misfits.append(f"{name}: {misfit}")
        elif not any(_same_network(network, other) for other in fits):
            fits.append(network)
    if len(fits) == 1:
        return fits[0]
    if fits:
        names = ", ".join(f"`{n.profile}`" for n in fits)
        fail(
            "E0606",
            f"the weights fit several profiles of {spec.name}: {names}",
            help="name one with `profile`",
        )
    listed = "; ".join(misfits)
    fail("E0606", f"the weights fit no profile of {spec.name}: {listed}")


def _first_misfit(network: Network, given: Mapping[str, Any]) -> str:
    """The first entry that differs, in words; empty if all fit."""
    from archforge.ops.lazy import np
    from archforge.weights.bind import COUNTER

    for name, decl in network.params.items():
        if name not in given:
            return f"`{name}` is not in the weights"
        shape = tuple(np.shape(given[name]))
        if shape != decl.shape:
            return f"`{name}` is {_by_x(shape)} in the weights, {_by_x(decl.shape)} here"
    extra = next((n for n in given if n not in network.params and not n.endswith(COUNTER)), None)
    return f"the weights hold `{extra}` besides" if extra else ""


def _by_x(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"


def _same_network(a: Network, b: Network) -> bool:
    """Whether both compute the same from the same weights: equal ops, wired alike, whatever their names."""
    return _wiring(a) == _wiring(b)


def _wiring(network: Network) -> list[tuple[Any, ...]]:
    """Each op that does something, its parameters' scope and where its inputs come from."""
    from archforge.passes import optimise

    graph = optimise(network.graph, without=("fold_batch_norm",)).graph.graph
    place = {name: i for i, name in enumerate([*graph.inputs, *(n.name for n in graph.nodes)])}
    owned = {name.rpartition(".")[0] for name in network.params}
    steps: list[tuple[Any, ...]] = [
        (node.op, node.params_of if node.params_of in owned else "", *(place[v] for v in node.inputs))
        for node in graph.nodes
    ]
    return [*steps, tuple(place[v] for v in graph.outputs.values())]


def _other_heads(network: Network) -> set[str]:
    """Scopes that hold parameters in the profile as its spec has it, but not as it is set here."""
    plain = analyse(network.spec, network.profile).params
    own = {name.split(".")[0] for name in network.params}
    return {name.split(".")[0] for name in plain} - own


def verify(
    network: Network, golden: Golden, *, backend: str = "auto", dtype: str = "float64"
) -> tuple[Deviation, list[Deviation]]:
    """How far the network's output and its taps are from golden ones, on weights and input by rule."""
    from archforge.weights.rule import rule_input, rule_weights

    named = {s.name for s in network.graph.graph.scopes} | set(network.graph.types)
    # A norm of timm's holds its activation, which is the node `NAME.act`: that is the module's output.
    places = {name: f"{name}.act" if f"{name}.act" in named else name for name in golden.taps}
    places = {name: place for name, place in places.items() if place in named}
    executable = compile(
        network,
        backend=backend,
        dtype=dtype,
        weights=rule_weights(network.params),
        taps=tuple(places.values()),
    )
    outputs, taps = executable.run({next(iter(network.graph.graph.inputs)): rule_input(golden.input_shape)})
    found = golden.compare_taps({name: taps[place] for name, place in places.items()})
    return golden.compare_output(next(iter(outputs.values()))), found


# Build


@dataclass(frozen=True, slots=True, eq=False)
class Build:
    """What `build` made: every profile analysed, the chosen one compiled and written."""

    chosen: Network
    networks: tuple[Network, ...]
    backend: str
    steps: int
    fallbacks: tuple[str, ...]
    files: tuple[Path, ...]

    @property
    def ok(self) -> bool:
        return all(network.ok for network in self.networks)

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
) -> Build:
    """Analyse all profiles, compile the chosen one and write its files to `folder` (build/NAME).

    Nothing is written where a check fails, unless `keep_going`. Raises `DiagnosticError`.
    """
    from archforge import backends
    from archforge.passes import optimise
    from archforge.plan import plan

    chosen = analyse(spec, profile, settings=settings, input_shape=input_shape)
    networks = tuple(
        chosen if name == chosen.profile else analyse(spec, name, settings=settings, input_shape=input_shape)
        for name in spec.profile_names
    )
    target = backends.get(backend, "float32")
    planned = plan(optimise(chosen.graph).graph, target, "float32", strict=strict)
    fallbacks = tuple(dict.fromkeys(node.op.kind for node in planned.fallbacks))
    made = Build(chosen, networks, target.name, len(planned.steps), fallbacks, ())
    if not made.ok and not keep_going:
        return made
    files = write_all(made, folder or Path("build") / spec.name)
    return replace(made, files=files)


def write_all(made: Build, folder: Path) -> tuple[Path, ...]:
    """Every export of a build. All are rendered before the first is written, each beside and renamed.

    Raises E0704 for what a target lacks, E0705 where nothing can be written.
    """
    from archforge.export import Subject, export
    from archforge.weights.files import written_beside

    texts = export(Subject(made.chosen, made.networks))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail("E0705", f"cannot make the folder {folder}: {str(error.strerror).lower()}")
    for name, text in texts.items():
        with written_beside(folder / name) as file:
            file.write(text.encode())
    return tuple(folder / name for name in texts)
