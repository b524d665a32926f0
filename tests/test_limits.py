"""Limits of the language: one more than each is refused with its code, and the limit itself is not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from archforge import driver
from archforge.errors import Diagnostic, DiagnosticError, SourceFile
from archforge.spec import limits
from archforge.spec.expand.expand import expand
from archforge.spec.limits import Limit
from archforge.spec.printing.document import print_document
from archforge.spec.resolve.library import Library
from archforge.spec.resolve.resolve import resolve
from archforge.spec.yaml.tree import parse_yaml
from tests.costly_specs import START, many

LIMITS = {name: limit for name, limit in vars(limits).items() if isinstance(limit, Limit)}
NET = START + "graph: [relu]\n"


def blocks(depth: int, inner: str = "b@", last: str = "relu") -> str:
    """Blocks b1, b2, ... that call each other, each from `inner`, and the `last` step of the innermost."""
    calls = "".join(f"  b{i}: {{body: [{inner.replace('@', str(i + 1))}]}}\n" for i in range(1, depth))
    return f"{START}blocks:\n{calls}  b{depth}: {{body: [{last}]}}\ngraph: [b1]\n"


def bodies(n: int) -> str:
    return blocks(n // 2, "{seq: [b@]}", "{seq: [relu]}" if n % 2 else "relu")


def scopes(n: int) -> str:
    depth, rest = divmod(n - 1, 3)
    named = "{name: n, seq: [" * rest + "relu" + "]}" * rest
    return blocks(depth + 1, "{add: {m: [b@], k: []}, name: n}", named)


def appended(n: int) -> str:
    """A list of `n` values, which no single formula could count."""
    loops = (f"{{for: {{k: '=range({count})'}}, do: [{{seq: [], append: t}}]}}" for count in (n - 1000, 1000))
    return with_graph(", ".join(loops))


def chain(n: int) -> dict[str, str]:
    """A spec that extends n - 1 templates in a row."""
    template = "archforge: 1\nkind: template\n"
    files = {f"t{i}": f"{template}extends: t{i + 1}\n" for i in range(2, n)}
    return {"net": "archforge: 1\nextends: t2\n", **files, f"t{n}": NET.replace("archforge: 1\n", template)}


def padded(text: str, size: int) -> str:
    return text + "#" * (size - len(text))


def with_arguments(arguments: str) -> str:
    return f"{START}args: {{{arguments}}}\ngraph: [relu]\n"


def with_graph(steps: str, before: str = "") -> str:
    return f"{START}{before}graph: [relu, {steps}]\n"


def frozen(*patterns: str) -> str:
    """A network whose recipe freezes these parameters."""
    return f"{START}graph: [flatten, {{linear: 2}}]\ntrain: {{freeze: [{', '.join(patterns)}]}}\n"


KIND = "archforge: 1\nkind: blocks\n"
SPACE = NET + "kind: space\n"
TWICE = "args: {w: 1}\nprofiles: {" + many(5, "p@: {w: @}") + "}\n"
# For each limit, the spec that has `n` of it; of several files `net` is checked.
CASES: dict[str, Callable[[int], str | dict[str, str]]] = {
    "CHARACTERS": lambda n: padded(NET, n),
    "SLOW_CHARACTERS": lambda n: padded(NET + "#\t", n),
    "ALL_BYTES": lambda n: {"net": padded(f"{NET}imports: [f]\n", n - 900_000), "f": padded(KIND, 900_000)},
    "LEVELS": lambda n: with_arguments(f"a: {'[' * (n - 2)}{']' * (n - 2)}"),
    "VALUES": lambda n: with_arguments(f"a: [{'1,' * (n - 10)}]"),
    "KEYS": lambda n: f"{NET}rules: {{r: {{says: s, count: =1, constants: {{{many(n, 'c@: 1')}}}}}}}\n",
    "CHAIN": chain,
    "IMPORTS": lambda n: {"net": f"{NET}imports: [{many(n, 'f')}]\n", "f": KIND},
    "ARGUMENTS": lambda n: with_arguments(many(n, "a@: 1")),
    "PROFILES": lambda n: f"{NET}profiles: {{{many(n, 'p@: {}')}}}\n",
    "CASES": lambda n: with_graph(
        "b", f"blocks: {{b: {{body: [relu], expect: {{{many(n, 'c@: {input: [3]}')}}}}}}}\n"
    ),
    "CONSTRAINTS": lambda n: f"{SPACE}args: {{a: {{int: [1, 4]}}}}\nconstraints: [{many(n, '=a < 9')}]\n",
    "RANGE_VALUES": lambda n: f"{SPACE}args: {{a: {{int: [1, {n}], log: true}}}}\n",
    "DRAWN": lambda n: f"{SPACE}args: {{a: {{int: [1, 4], count: {n}}}}}\n",
    "COMPARED": lambda n: with_graph(many(n // 3000, "{relu: , as: 't{1}_@'}") + ", " + many(1000, "=t1_0")),
    "FORMULA": lambda n: with_arguments(f"a: '=1{'+1'.rjust(n - 1)}'"),
    "ALL_FORMULAS": lambda n: with_arguments(
        f"a: [{many(n // 10 - 1, '=10 +    2')}, '=10{'+1'.rjust(n % 10 + 7)}']"
    ),
    "FORMULA_LEVELS": lambda n: with_arguments(f"a: ={'+'.join(['1'] * n)}"),
    "LIST": lambda n: with_arguments(f"a: '=range({n})'"),
    "LIST_LEVELS": lambda n: with_arguments(f"a: '={'[' * n}1{']' * n}'"),
    "NUMBER": lambda n: with_arguments(f"a: =10**17 * 10 + {n - 10**18}"),
    "ARGUMENT_CHAIN": lambda n: with_arguments(
        ", ".join(f"a{i}: =a{i + 1}" for i in range(n - 1)) + f", a{n - 1}: 1"
    ),
    "EXTENT": lambda n: f"archforge: 1\ninput: [{n}]\ngraph: [relu]\n",
    "AXIS": lambda n: (
        f"archforge: 1\ninput: [1, 1000000]\ngraph: [{', '.join(['{upsample: 1000000}'] * 2)}, "
        f"{{pad: [0, {n - 10**18}]}}]\n"
    ),
    "CALLS": blocks,
    "BODIES": bodies,
    "SCOPES": scopes,
    "NAME": lambda n: with_graph(f"{{name: {'n' * 99}, seq: [{{relu: , name: {'n' * (n - 100)}}}]}}"),
    "APPENDED": appended,
    "NODES": lambda n: f"{START}graph: [{{relu: , repeat: {n}}}]\n",
    "ALL_NODES": lambda n: (
        f"{START}{TWICE}graph: [{{relu: , repeat: {n // 5}}}, {{relu: , repeat: '={n % 5} * int(w == 1)'}}]\n"
    ),
    "ALL_STEPS": lambda n: with_graph(f"{{seq: [], repeat: {n}}}"),
    "ALL_ITEMS": lambda n: with_graph(
        f"{{for: {{k: '=range(1010)'}}, do: [{{let: {{a: '=range({n // 1010})'}}}}]}}"
    ),
    "RECIPE_ITEMS": lambda n: frozen(*["'*'"] * n),
    "PATTERN": lambda n: frozen(f"'{'*' * n}'"),
}
# Charged for more than what the case counts: it is only refused in the end, and allowed at half.
ROUGH = ("COMPARED", "ALL_STEPS", "ALL_ITEMS")


def found(files: str | dict[str, str], folder: Path) -> tuple[Diagnostic, ...]:
    for name, text in ({"net": files} if isinstance(files, str) else files).items():
        (folder / f"{name}.yaml").write_text(text, "utf-8")
    (report,) = driver.check([folder / "net.yaml"])
    return report.diagnostics


def test_every_limit_has_a_case() -> None:
    """`test_spaces.py` has that of draws, which takes more than one profile."""
    assert list(CASES) == [name for name in LIMITS if name != "ALL_DRAWN"]


@pytest.mark.parametrize("name", CASES)
def test_more_than_a_limit_is_refused_with_its_code(name: str, tmp_path: Path) -> None:
    limit = LIMITS[name]
    more = limit.most + 1 + (limit.most // 10 if name in ROUGH else 0)
    first = found(CASES[name](more), tmp_path)[0]
    assert first.code == limit.code
    if name not in ("NUMBER", "EXTENT", "AXIS"):  # whose messages tell the value itself
        assert limit.told() in first.message


@pytest.mark.parametrize("name", CASES)
def test_a_limit_itself_is_allowed(name: str, tmp_path: Path) -> None:
    most = LIMITS[name].most // (2 if name in ROUGH else 1)
    assert [d for d in found(CASES[name](most), tmp_path) if d.code == LIMITS[name].code] == []


def test_a_device_without_an_end_is_read_so_far_and_no_further() -> None:
    (report,) = driver.check(["/dev/zero"])
    assert [d.code for d in report.diagnostics] == ["E0107"]


def test_a_step_that_is_left_out_counts_as_one() -> None:
    left_out = ", ".join(["{relu: {}, when: =1 > 2}"] * 100)
    text = f"{START}graph: [relu, {{seq: [{left_out}], repeat: {limits.ALL_STEPS.most // 100}}}]\n"
    library = Library()
    spec = resolve(library.read_text(text), library, "net")
    with pytest.raises(DiagnosticError) as caught:
        expand(spec)
    assert [d.message for d in caught.value.diagnostics] == [limits.ALL_STEPS.told()]


def test_a_caller_deep_in_the_stack_gets_a_diagnostic() -> None:
    library = Library()
    spec = resolve(library.read_text(blocks(20)), library, "deep")
    here, limit = 0, sys.getrecursionlimit()
    frame = sys._getframe()
    while frame.f_back:
        here, frame = here + 1, frame.f_back
    sys.setrecursionlimit(here + 100)
    try:
        with pytest.raises(DiagnosticError) as caught:
            expand(spec)
    finally:
        sys.setrecursionlimit(limit)
    assert [d.message for d in caught.value.diagnostics] == ["steps are nested too deeply"]


@pytest.mark.parametrize("text", ["", "- a\n", "a\n"])
def test_only_a_mapping_is_printed(text: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        print_document(parse_yaml(SourceFile("list.yaml", text)))
    assert [d.code for d in caught.value.diagnostics] == ["E0203"]
