"""Imports point down, and loading archforge loads no heavy package: read from the syntax trees."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

import archforge
from archforge.backends import names

PACKAGE = Path(archforge.__file__).parent

# From the top. Parts of one line do not import each other; what is inside a part is its own affair.
LAYERS = (
    ("__main__", "pytest_plugin"),
    ("cli", "__init__"),  # `__init__` holds the Python API
    ("bench", "lsp", "sweeps"),
    ("comparison", "difference", "fixes", "training"),
    ("driver",),
    ("export", "backends"),
    ("interchange",),
    ("plan", "analysis"),
    ("passes", "spec", "weights"),
    ("recipe",),
    ("datasets",),
    ("data",),
    ("ops", "parts", "scopes"),
    ("atomic_files", "draws", "hardware", "ir", "json_text", "lifetimes", "meanings", "resources"),
    ("paths", "python_values"),
    ("errors",),
    ("class_vars", "code_pages"),
    ("codes",),
)
DEPTH = {part: depth for depth, layer in enumerate(LAYERS) for part in layer}

# Hard dependencies that any module may import when it is loaded itself.
LIGHT = ("pydantic", "typer", "yaml")
# The others, with the modules that may. Elsewhere they are imported within functions, so that `archforge
# check` starts quickly and a missing extra is missed by its users only.
HEAVY = {
    "dask": ("sweeps.engines.dask",),
    "jinja2": ("export",),
    # When something must be compiled, or measured.
    "llvmlite": tuple(
        f"backends.numba.{name}" for name in ("toolchain.compiler", "microkernels.vectors", "units", "limits")
    ),
    "lsprotocol": ("lsp",),
    "mlx": ("backends.mlx",),
    "numba": ("backends.numba.units",),
    "numpy": ("backends", "plan", "data", "training", "weights"),
    "pygls": ("lsp.server",),
    "pytest": ("pytest_plugin",),
    "rich": ("cli",),
}


@dataclass(frozen=True, slots=True)
class Import:
    """A module that is named in an import. `eager` if it is loaded together with its importer."""

    module: str
    line: int
    eager: bool


def imports_of(source: str, module: str, *, is_package: bool = False) -> Iterator[Import]:
    """Every import in the text of `module`; names taken from a package count as its modules."""
    package = module if is_package else module.rpartition(".")[0]
    for node, eager in _statements(ast.parse(source), eager=True):
        for name in _imported(node, package):
            yield Import(name, node.lineno, eager)


def _statements(node: ast.AST, *, eager: bool) -> Iterator[tuple[ast.stmt | ast.expr, bool]]:
    """All statements and expressions below `node`, and whether loading the module executes them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.expr):
            yield child, eager
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for part, runs in ((child.body, False), (child.orelse, eager)):
                yield from _statements(ast.Module(part, []), eager=runs)
            continue
        deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _statements(child, eager=eager and not deferred)


def _imported(node: ast.AST, package: str) -> list[str]:
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom(module=name, level=level):
            above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
            base = ".".join([*above, name] if name else above)
            # `from archforge import ops` is about ops; `from archforge.ops import Conv` too.
            return [f"{base}.{alias.name}" for alias in node.names]
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [name]
    return []


def part_of(module: str) -> str:
    """The part of archforge that `module` belongs to: its first name below the package."""
    names = module.split(".")
    # Any other name, like `archforge.load`, is one of `__init__`.
    return names[1] if names[1:] and names[1] in DEPTH else "__init__"


def faults(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """The faults of the imports of `module`, one line each."""
    part = module.split(".")[1] if "." in module else "__init__"
    if part not in DEPTH:
        return [f"{module}: `{part}` has no layer yet: give it one in LAYERS of tests/test_layers.py"]
    found = []
    for imported in imports_of(source, module, is_package=is_package):
        fault = _points_up(part, imported) or _too_heavy(module, imported)
        if fault:
            found.append(f"{module}:{imported.line}: {fault}")
    return found


def _points_up(part: str, imported: Import) -> str:
    if imported.module.split(".")[0] != "archforge" or imported.module == "archforge.__version__":
        return ""
    target = part_of(imported.module)
    if target == part or DEPTH.get(target, 0) > DEPTH[part]:
        return ""
    relation = "beside" if DEPTH.get(target) == DEPTH[part] else "above"
    return f"`{part}` imports {imported.module}, which is {relation} it"


def _too_heavy(module: str, imported: Import) -> str:
    package = imported.module.split(".")[0]
    if not imported.eager or package in {"archforge", *LIGHT} or package in sys.stdlib_module_names:
        return ""
    if any(f"{module}.".startswith(f"archforge.{place}.") for place in HEAVY.get(package, ())):
        return ""
    return f"{package} is loaded together with it: import it in the function that needs it"


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of archforge by its dotted name."""
    for path in sorted(PACKAGE.rglob("*.py")):
        names = ["archforge", *path.relative_to(PACKAGE).with_suffix("").parts]
        yield ".".join(names[:-1] if names[-1] == "__init__" else names), path


def arrows(sources: Mapping[str, tuple[str, bool]]) -> dict[str, set[str]]:
    """The modules that each module names in an import: for types, or within functions, too. `sources` are
    texts by module, and whether that is a package."""
    found: dict[str, set[str]] = {}
    for module, (source, is_package) in sources.items():
        found[module] = set()
        for imported in imports_of(source, module, is_package=is_package):
            names = imported.module.split(".")
            known = [".".join(names[:end]) for end in range(len(names), 0, -1)]
            target = next((name for name in known if name in sources), module)
            found[module] |= {target} - {module}
    return found


def folded(found: Mapping[str, set[str]], package: str) -> dict[str, set[str]]:
    """The arrows between the modules and packages that lie directly in `package`."""

    def inside(module: str) -> str:
        names, above = module.split("."), package.split(".")
        return ".".join(names[: len(above) + 1]) if names[: len(above)] == above != names else ""

    together: dict[str, set[str]] = {}
    for module, targets in found.items():
        if inside(module):
            ends = {inside(target) for target in targets} - {"", inside(module)}
            together.setdefault(inside(module), set()).update(ends)
    return together


def circle(found: Mapping[str, set[str]]) -> list[str]:
    """Names in the order of a circle of arrows, of the first one that there is; empty if there is none."""
    done: set[str] = set()

    def below(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        steps = (below(target, [*path, name]) for target in sorted(found.get(name, ())))
        closed = next(filter(None, steps), [])
        done.add(name)
        return closed

    return next(filter(None, (below(name, []) for name in sorted(found))), [])


def circles(sources: Mapping[str, tuple[str, bool]]) -> list[str]:
    """A circle between modules, and one between the parts of each package, as text."""
    found = arrows(sources)
    packages = [module for module, (_, is_package) in sources.items() if is_package]
    graphs = [found, *(folded(found, package) for package in packages)]
    return list(dict.fromkeys(" -> ".join(closed) for graph in graphs if (closed := circle(graph))))


def test_no_modules_or_parts_of_a_package_import_each_other_in_a_circle() -> None:
    sources = {m: (path.read_text("utf-8"), path.name == "__init__.py") for m, path in modules()}
    assert circles(sources) == []


FOR_TYPES = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        ({"a": "", "a.x": "import a.y", "a.y": ""}, []),
        ({"a": "", "a.x": "import a.y", "a.y": "from a import x"}, ["a.x -> a.y -> a.x"]),
        ({"a": "", "a.x": "import a.y", "a.y": FOR_TYPES + "from a.x import X"}, ["a.x -> a.y -> a.x"]),
        ({"a": "", "a.x": "import a.y", "a.y": "def f():\n    import a.x"}, ["a.x -> a.y -> a.x"]),
        ({"a": "from a.x import X", "a.x": "from a import __version__"}, ["a -> a.x -> a"]),
        # No module imports itself by way of others, but the packages do.
        (
            {"a": "", "a.p": "", "a.q": "", "a.p.x": "import a.q.x", "a.q.x": "", "a.q.y": "import a.p.y"}
            | {"a.p.y": ""},
            ["a.p -> a.q -> a.p"],
        ),
    ],
)
def test_a_circle_is_found(sources: dict[str, str], found: list[str]) -> None:
    packages = {"a", "a.p", "a.q"}
    assert circles({module: (source, module in packages) for module, source in sources.items()}) == found


def test_imports_point_down_and_are_light() -> None:
    found = []
    for module, path in modules():
        found += faults(path.read_text("utf-8"), module, is_package=path.name == "__init__.py")
    assert not found, "\n".join(found)


# The folders of the backend numba, from the lowest; those of one line do not import each other.
NUMBA_FOLDERS = (("toolchain",), ("runtime",), ("microkernels", "units"), ("families",))


def test_folders_of_numba_import_only_those_below() -> None:
    prefix = "archforge.backends.numba."
    depth = {name: depth for depth, names in enumerate(NUMBA_FOLDERS) for name in names}
    found = []
    for module, path in modules():
        folder = module.removeprefix(prefix).split(".")[0]
        if not module.startswith(prefix) or folder not in depth:
            continue
        for imported in imports_of(path.read_text("utf-8"), module, is_package=path.name == "__init__.py"):
            target = imported.module.removeprefix(prefix).split(".")[0]
            is_below = target == folder or depth.get(target, len(depth)) < depth[folder]
            if imported.module.startswith(prefix) and not is_below:
                found.append(f"{module}:{imported.line}: imports {imported.module}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("archforge.ops.bad", "import archforge.spec", "imports archforge.spec, which is above it"),
        ("archforge.ops.bad", "from archforge import plan", "imports archforge.plan, which is above it"),
        ("archforge.ops.bad", "from ..passes import x", "imports archforge.passes.x, which is above it"),
        ("archforge.codes", "from archforge.errors import fail", "errors.fail, which is above it"),
        ("archforge.passes.bad", "import archforge.spec.yaml.tree", "spec.yaml.tree, which is beside it"),
        ("archforge.plan.bad", "import archforge.analysis", "archforge.analysis, which is beside it"),
        ("archforge.export.bad", "import archforge.backends.mlx", "backends.mlx, which is beside it"),
        ("archforge.interchange.bad", "from archforge import export", "archforge.export, which is above it"),
        ("archforge.spec.bad", "import archforge", "imports archforge, which is above it"),
        ("archforge.spec.bad", "from archforge import load", "imports archforge.load, which is above it"),
        (
            "archforge.ir",
            """
            from typing import TYPE_CHECKING
            if TYPE_CHECKING:
                from archforge.ops.base import Op
            """,
            "ops.base.Op, which is above it",
        ),
        (
            "archforge.weights.bad",
            """
            def late():
                from importlib import import_module
                return import_module("archforge.driver")
            """,
            "imports archforge.driver, which is above it",
        ),
        ("archforge.ops.bad", "import numpy as np", "numpy is loaded together with it"),
        ("archforge.spec.bad", "try:\n    from rich.table import Table\nfinally: pass", "rich is loaded"),
        ("archforge.export.bad", "class A:\n    import mlx.core as mx", "mlx is loaded together with it"),
        ("archforge.cli.bad", "from jinja2 import Template", "jinja2 is loaded together with it"),
        ("archforge.weights.bad", "import safetensors", "safetensors is loaded together with it"),
        ("archforge.brandnew", "", "`brandnew` has no layer yet: give it one in LAYERS"),
    ],
)
def test_a_bad_module_is_refused(module: str, source: str, complaint: str) -> None:
    (fault,) = faults(dedent(source), module)
    assert complaint in fault


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("archforge.ops.good", "from archforge.ops.base import Op\nfrom archforge.ir import TensorType"),
        ("archforge.ops.good", "from .base import Op\nfrom .. import ir, errors"),
        ("archforge.spec.good", "from archforge import __version__"),
        ("archforge.spec.good", "def late():\n    import numpy"),
        ("archforge.ops.good", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy"),
        ("archforge.backends.mlx.good", "import mlx.core as mx\nimport numpy as np"),
        ("archforge.cli.good", "from rich.table import Table\nimport archforge.driver"),
        ("archforge", "def load(name):\n    from archforge.driver import load"),
    ],
)
def test_a_good_module_passes(module: str, source: str) -> None:
    assert faults(source, module, is_package=module == "archforge") == []


def test_nothing_but_a_backend_names_it() -> None:
    """Others ask what a backend can do. NumPy is a library of all, and its backend the reference; source of a
    library is a target of its name."""
    optional = {name for name in names() if name != "numpy"}
    found = []
    for module, path in modules():
        if module.startswith("archforge.backends."):
            continue
        source = path.read_text("utf-8")
        words = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
        words -= {module.removeprefix("archforge.export.")}
        imported = {i.module for i in imports_of(source, module, is_package=path.name == "__init__.py")}
        inside = {
            name
            for name in names()
            if any(f"{i}.".startswith(f"archforge.backends.{name}.") for i in imported)
        }
        found += [f"{module} names the backend {name}" for name in inside | (optional & words)]
    assert not found, "\n".join(found)


def parts() -> list[str]:
    """The parts that exist, as modules."""
    names = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for _, path in modules()}
    return sorted(f"archforge.{name}" for name in names)


@pytest.mark.parametrize("module", parts())
def test_loading_a_part_loads_no_heavy_package(module: str) -> None:
    # The syntax tree cannot see what a third package brings along; a fresh process can.
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & set({sorted(HEAVY)})))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    own = ["pytest"] if module == "archforge.pytest_plugin" else []
    assert (run.stdout.split(), run.stderr) == (own, "")
