"""Names tell: no two classes of the package share one, and a docstring begins with its subject."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import archforge
from archforge import ops
from archforge.ops.base import Op

PACKAGE = Path(archforge.__file__).parent
ROOT = Path(__file__).parents[1]

# Words that point at something outside of the docstring, or that leave its subject open.
OPEN = (
    "What", "Whether", "Where", "Which", "When", "How", "Of", "As", "Any", "The same", "It", "Its", "They",
    "Those", "These", "This", "That", "There", "In", "On", "At", "By", "To", "From", "Into", "For", "With",
    "Without", "If", "Else", "Then", "So", "Also", "And", "Or", "But", "Because", "Like", "Both",
)  # fmt: skip


def definitions(source: str) -> Iterator[tuple[ast.Module | ast.ClassDef | ast.FunctionDef, str, int]]:
    """Each module, class and function of a source, with its name and line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module):
            yield node, "the module", 1
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node, f"`{node.name}`", node.lineno


def faults(source: str) -> list[str]:
    """The docstrings of a source that do not begin with a noun or a verb of their own."""
    found = []
    for node, name, line in definitions(source):
        first = (ast.get_docstring(node) or "").partition("\n")[0]
        word = next((w for w in OPEN if first.startswith(w) and not first[len(w) :][:1].isalnum()), None)
        if word is not None:
            found.append(f"line {line}: the docstring of {name} begins with `{word}`: {first}")
    return found


def sources(*folders: Path) -> Iterator[tuple[str, str]]:
    """The text of each file of these folders, those of the package by default, by its path."""
    for folder in folders or (PACKAGE,):
        for path in sorted(folder.rglob("*.py")):
            yield path.as_posix(), path.read_text("utf-8")


def test_docstrings_begin_with_their_subject() -> None:
    texts = sources(PACKAGE, *(ROOT / name for name in ("tests", "benchmarks", "requirements")))
    found = [f"{path}: {fault}" for path, source in texts for fault in faults(source)]
    assert not found, "\n".join(found)


def test_the_registry_names_every_op_and_its_file() -> None:
    """The line that `_OTHER_WORDS` of archforge/ops/__init__.py lacks or has too much is in the message."""
    found: dict[str, list[str]] = defaultdict(list)
    for module in iter_modules(ops.__path__):
        import_module(f"{ops.__name__}.{module.name}")
    pending = [Op]
    while pending:
        cls = pending.pop()
        pending += cls.__subclasses__()
        if "op" in cls.__dict__ and cls.__module__.startswith(f"{ops.__name__}."):
            found[cls.__module__.rpartition(".")[2]] += [cls.op, *cls.aliases]
    named: dict[str, list[str]] = defaultdict(list)
    for word, file in ops.OP_WORDS.items():
        named[file].append(word)
    assert {file: sorted(words) for file, words in found.items()} == named


def test_modules_say_what_they_are() -> None:
    assert [path for path, source in sources() if not ast.get_docstring(ast.parse(source))] == []


@pytest.mark.parametrize(
    ("docstring", "is_fault"),
    [
        ("What a backend is.", True),
        ("Any.", True),
        ("The same, one piece after the other.", True),
        ("Of a band with its padding.", True),
        ("Anything but zero.", False),
        ("The samest of all.", False),
        ("Formats of weights.", False),
        ("`in` and `out` as text.", False),
    ],
)
def test_a_docstring_that_leaves_its_subject_open_is_found(docstring: str, is_fault: bool) -> None:
    assert bool(faults(f'def function():\n    """{docstring}"""\n')) == is_fault


def test_no_two_classes_have_one_name() -> None:
    """A leading underscore makes no other name."""
    places = defaultdict(list)
    for path, source in sources():
        for node, _, line in definitions(source):
            if isinstance(node, ast.ClassDef):
                places[node.name.lstrip("_")].append(f"{path}:{line}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
