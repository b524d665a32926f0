"""Sources that users name, opened: specs by name, path, text or mapping, folders, values of arguments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from archforge.atomic_files import reason_of
from archforge.errors import SourceFile, Span, fail, type_in_words
from archforge.paths import as_text, has_drive, is_file, is_folder, is_there
from archforge.resources import zoo_folder
from archforge.spec.normal_form import normal_form
from archforge.spec.resolve.block_spec import BLOCK_MARK, block_spec
from archforge.spec.resolve.library import SUFFIX, Library, find_spec, spec_files, split_profile
from archforge.spec.resolve.resolve import resolve
from archforge.spec.resolve.spec import Spec
from archforge.spec.syntax.syntax_tree import Argument
from archforge.spec.yaml.plain_text import yaml_text
from archforge.spec.yaml.tree import parse_yaml

__all__ = [
    "STDIN",
    "Source",
    "named_space",
    "open_spec",
    "own_files",
    "setting",
    "settings_of",
    "specs_in",
    "zoo_paths",
]

STDIN = "-"
DEFAULTS = '{"bn": {"eps": 1e-3}}'
Source = str | Path | Mapping[str, Any]


def open_spec(source: Source, library: Library | None = None) -> Spec:
    """The spec behind a name, a path, a text of several lines, a mapping, or `-` (standard input).

    `resnet:bottleneck` is a block of a spec by itself.

    Raises `DiagnosticError` with all that is wrong with its form.
    """
    library = library or Library()
    if isinstance(source, Mapping):
        return resolve(library.read_mapping(source), library, str(source.get("title", "spec")))
    if not isinstance(source, str | Path):
        fail("E0001", f"a spec is a name, a path, a text or a mapping, found {type_in_words(source)}")
    if str(source) == STDIN:
        return resolve(library.read_stdin(), library, "stdin")
    if isinstance(source, str) and "\n" in source:
        return resolve(library.read_text(source), library, "text")
    name, block = _parts(str(source))
    if block:
        return block_spec(open_spec(name, library), block)
    path = source if isinstance(source, Path) else find_spec(source)
    return resolve(library.read(path), library, as_text(path.stem))


def named_space(space: str, profile: str | None) -> tuple[str, str | None]:
    """A space and its profile, which `SPACE@PROFILE` names. Raises E0001 for two profiles."""
    name, own = split_profile(space)
    if own is None:
        return name, profile
    if profile:
        fail("E0001", f"the profile {profile} changes nothing: {space} names one", help="leave it out")
    return name, own


def zoo_paths(paths: str | Path | Iterable[str | Path] = ()) -> list[Path]:
    """The spec files in `paths` (files, folders, names of the zoo, each perhaps with `:BLOCK`).

    Without any: ./zoo_specs if it is there, else the shipped zoo. Raises E0002 for what is not there,
    folders without specs included.
    """
    if not isinstance(paths, str | Path | Iterable | None):
        fail("E0001", f"specs to check are names or paths, found {type_in_words(paths)}")
    found: list[Path] = []
    for path in [paths] if isinstance(paths, str | Path) else paths or [_default_zoo()]:
        if str(path) == STDIN:
            found.append(Path(STDIN))
        elif path != "" and is_folder(path):
            found += specs_in(Path(path))
        else:
            name, block = _parts(str(path))
            found.append(Path(f"{find_spec(name)}{BLOCK_MARK}{block}") if block else find_spec(name))
    return list(dict.fromkeys(found))


def _parts(source: str) -> tuple[str, str]:
    """The name or path, and the block behind a colon, if there is one: a path may hold colons itself."""
    name, _, block = source.partition(BLOCK_MARK)
    if block and not (has_drive(source) or is_there(source)):
        return name, block
    return source, ""


def specs_in(folder: Path) -> list[Path]:
    """The spec files in a folder and below. Raises E0002 where there are none, E0106 if it cannot be read."""
    files = spec_files(folder)
    if not files:
        try:
            next(folder.iterdir(), None)
        except OSError as error:
            fail("E0106", f"the folder {folder} cannot be read: {reason_of(error)}")
        help = f"specs are files that end in {SUFFIX}"
        fail("E0002", f"there is no spec in the folder `{folder}`", help=help)
    return files


def own_files(names: Iterable[str]) -> Iterator[Path]:
    """The files that are named, and the specs of folders: what a command may write to. Raises E0002 for what
    is neither, and what `specs_in` raises."""
    for name in names:
        if is_folder(name):  # which an empty name is not
            yield from specs_in(Path(name))
        elif is_file(name):
            yield Path(name)
        else:
            help = "names of the shipped zoo are not written to"
            fail("E0002", f"there is no file or folder `{name}`", help=help)


def _default_zoo() -> Path:
    local = Path("zoo_specs")
    return local if is_folder(local) else zoo_folder()


def settings_of(params: Mapping[str, Any], defaults: object = None) -> dict[str, Argument]:
    """Values of arguments and defaults of ops and blocks from Python as settings: each in a text of its own,
    defaults as `bn.eps`. Raises E0308."""
    values = dict(params)
    if not isinstance(defaults, Mapping | None):
        fail("E0308", f"`defaults` is a mapping, found {type_in_words(defaults)}", help=DEFAULTS)
    for target, given in (defaults or {}).items():
        if not isinstance(target, str):
            fail("E0308", f"`defaults` are of ops and blocks, found {target!r}", help=DEFAULTS)
        if not isinstance(given, Mapping):
            message = f"the defaults of `{target}` are a mapping, found {type_in_words(given)}"
            fail("E0308", message, help=DEFAULTS)
        values |= {f"{target}.{name}": value for name, value in given.items()}
    return {normal_form(name): setting(name, _as_yaml(name, value)) for name, value in values.items()}


def _as_yaml(name: str, value: Any) -> str:
    """A value as a spec would have it; NumPy's as plain ones. Raises E0308."""
    plain = value.tolist() if hasattr(value, "tolist") else value
    try:
        return yaml_text(plain, default_flow_style=True)
    except yaml.YAMLError:
        help = "numbers, texts, true, false, null, and lists of them"
        fail("E0308", f"`{name}` is {type_in_words(value)}, no plain value", help=help)


def setting(name: str, text: str) -> Argument:
    """`--set name=text`: the text is read as in a spec."""
    source = SourceFile(f"--set {name}", text.removesuffix("\n...\n").strip())
    return Argument(name, Span(source, 0, 0), parse_yaml(source))
