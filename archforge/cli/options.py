"""Arguments and options that several commands share."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from archforge import driver
from archforge.analysis.network import Network
from archforge.cli.output import print_diagnostics, print_json
from archforge.errors import Diagnostic, DiagnosticWarning, fail, fail_all
from archforge.paths import is_folder
from archforge.spec.normal_form import normal_form
from archforge.spec.resolve.sources import setting
from archforge.spec.syntax.syntax_tree import Argument

__all__ = [
    "WEIGHTS_FILES",
    "DtypeOption",
    "InputOption",
    "JsonOption",
    "ProfileOption",
    "SetOption",
    "SizeOption",
    "SpecArgument",
    "TrainingDataOption",
    "TrainingDtypeOption",
    "Warnings",
    "WarningsOption",
    "WeightsPrefixOption",
    "heed",
    "heeding",
    "input_shape",
    "json_if",
    "json_option",
    "network_of",
    "output_file",
    "settings",
]

SpecArgument = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="A spec: its file, its name in the shipped zoo, or - for standard input. SPEC:BLOCK is one of "
        "its blocks by itself.",
    ),
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        metavar="NAME",
        help="A profile of the spec, a model id such as torchvision.resnet50, or `recommended`. "
        "Default: its first.",
    ),
]
InputOption = Annotated[
    str | None,
    typer.Option(
        "--shape",
        "--input",
        metavar="SHAPE",
        help="Another input size, without the batch: 3x224x224; for several inputs: "
        "left=1x28x28,right=1x28x28.",
    ),
]
SizeOption = Annotated[
    str | None, typer.Option("--shape", metavar="SHAPE", help="Another input size: 3x160x160.")
]
DtypeOption = Annotated[
    str, typer.Option("--dtype", metavar="NAME", help="float32, float64, or what the backend has.")
]
TrainingDataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="A file or folder of samples. Default: the handwritten digits that are shipped.",
    ),
]
TrainingDtypeOption = Annotated[
    str, typer.Option("--dtype", metavar="NAME", help="float32, or float64 where the backend has it.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A value for an argument of the spec, `classes=10`, or a default of an op or block for calls "
        "that do not give it, `bn.eps=1e-3`; may be repeated.",
    ),
]

WEIGHTS_FILES = "a .safetensors, .npz or .pth file, or one of another format (docs/weights.md)"
WeightsPrefixOption = Annotated[
    str,
    typer.Option(
        "--prefix",
        metavar="PREFIX",
        help="Use only the weights whose names begin with PREFIX, such as module. or ema., and take it off.",
    ),
]


class Warnings(StrEnum):
    """The meaning of a warning to a command."""

    DEFAULT = "default"  # it is printed
    ERROR = "error"  # it is a mistake


WarningsOption = Annotated[
    Warnings,
    typer.Option(
        "--warnings",
        help="`error` makes a warning a mistake, with exit code 2. A comment `# meant: W0401` at the end of "
        "a line says that its warning is meant.",
    ),
]


def json_option(help: str, tell: Callable[[Any], None]) -> Any:
    """The option `--json` of a command, whose mistakes are then printed by `tell` too."""

    def remember(context: typer.Context, wanted: bool) -> bool:
        context.obj = tell if wanted else context.obj  # `Command` reads it
        return wanted

    return typer.Option("--json", help=help, callback=remember)


def json_if(context: typer.Context, format: str) -> str:
    """Callback of an option `--format`: mistakes are printed as JSON too where it says `json`."""
    if format == "json":
        context.obj = print_json  # `Command` reads it
    return format


JsonOption = Annotated[bool, json_option("Print JSON instead of text.", print_json)]


def network_of(
    spec: str,
    profile: str | None,
    input: str | None,
    set: Sequence[str] | None,
    warnings: Warnings = Warnings.DEFAULT,
) -> Network:
    """The network that these options name, its warnings told. Raises `DiagnosticError`."""
    opened = driver.open_spec(spec)
    network = driver.analyse(opened, profile, settings=settings(set), input_shape=input_shape(input))
    heed(network.warnings, warnings)
    return network


def heed(found: Sequence[Diagnostic], warnings: Warnings) -> None:
    """Print warnings to standard error, or raise them where they are to be mistakes."""
    fail_all(found if warnings is Warnings.ERROR else ())
    print_diagnostics(found)


@contextmanager
def heeding(meaning: Warnings) -> Iterator[None]:
    """Within it, warnings of running networks are told once each, or raised where they are to be mistakes."""

    others = warnings.showwarning

    def tell(message: Warning | str, *place: Any, **further: Any) -> None:
        if isinstance(message, DiagnosticWarning):
            heed([message.diagnostic], meaning)
        else:
            others(message, *place, **further)

    with warnings.catch_warnings():
        warnings.simplefilter("once", DiagnosticWarning)
        warnings.showwarning = tell
        yield


def input_shape(text: str | None) -> dict[str, Sequence[int]] | tuple[int, ...] | None:
    """Parse `3x224x224`, or for several inputs `left=3x64x64,right=3x64x64`. Raises E0001."""
    if text is None:
        return None
    if "=" not in text:
        return _dims(text)
    shapes: dict[str, Sequence[int]] = {}
    for part in text.split(","):
        name, separator, shape = (p.strip() for p in part.partition("="))
        if not separator or not name:
            fail("E0001", f"`{part.strip()}` is no shape of an input", help="left=3x64x64,right=3x64x64")
        if name in shapes:
            fail("E0001", f"the input `{name}` is given two shapes")
        shapes[name] = _dims(shape)
    return shapes


def _dims(text: str) -> tuple[int, ...]:
    parts = re.split(r"[x,]", text.strip())
    if not all(re.fullmatch("[0-9]{1,18}", part) and int(part) for part in parts):
        fail("E0001", f"`{text}` is no shape", help="positive whole numbers joined by x: 3x224x224")
    return tuple(map(int, parts))


def output_file(output: str, stem: str, suffixes: Sequence[str]) -> Path:
    """The file to write, whose name must end in one of these; `stem` begins a name to suggest. Raises E0705,
    before anything is computed in vain."""
    path = Path(output)
    if path.suffix not in suffixes:
        help = " or ".join(f"-o {stem}{suffix}" for suffix in suffixes)
        fail("E0705", f"`{path}` is no name of {' or '.join(f'a {s}' for s in suffixes)} file", help=help)
    if not is_folder(path.parent):
        fail("E0705", f"cannot write {path}: there is no folder {path.parent}")
    if is_folder(path):
        fail("E0705", f"cannot write {path}: it is a folder")
    return path


def settings(given: Sequence[str] | None) -> dict[str, Argument]:
    """Parse the texts of `--set NAME=VALUE` to settings. Raises E0001 for one without a name or a value."""
    out: dict[str, Argument] = {}
    for text in given or ():
        name, _, value = text.partition("=")
        name = normal_form(name)
        parts = name.split(".")
        if len(parts) > 2 or not all(map(str.isidentifier, parts)) or not value.strip():
            fail("E0001", f"`--set {text}` sets nothing", help="--set classes=10, --set bn.eps=1e-3")
        if name in out:
            fail("E0001", f"`--set` gives `{name}` two values")
        if several := _settings_in(text):
            help = " ".join(f"--set {one}" for one in several)
            fail("E0001", f"`--set {text}` would give `{name}` all of this as its value", help=help)
        out[name] = setting(name, value)
    return out


def _settings_in(text: str) -> list[str]:
    """The settings of `a=1,b=2` one by one; none where it is a single one, whose value may be a formula,
    a list or quoted."""
    if not re.search(r"=[^=\[{'\"][^\[{'\"]*[,; ]\s*[A-Za-z_][\w.]*=[^=]", text):
        return []
    return re.split(r"[,; ]\s*(?=[A-Za-z_][\w.]*=)", text)
