"""Work in proportion to the text: no spec of 1 MB takes more than some seconds or some hundred megabytes.

By default calls of functions are counted, which are the same on every machine: twice the text may take
little more than twice as many. The slow tests send all that a spec can make large through the commands, each
in a process of its own with limits of the system on time and memory. There a time decides, since only that
catches what no count of calls sees, a pattern that backtracks or the copy of a long list; the limit is twice
the promise, so that a busy machine does not fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from archforge import driver
from archforge.spec.resolve.library import Library
from tests.costly_specs import AMPLIFIERS, HUGE, OTHER, PAIRS, SEARCHES, composed, keyed

SECONDS, MEBIBYTES = 10, 512
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
SMALL = 60


def calls(file: Path) -> int:
    """Calls of functions until a spec is checked, or its mistakes are printed."""
    counted = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        _work(file)
    finally:
        sys.setprofile(None)
    return counted


def _work(file: Path) -> None:
    found = driver.report(file, Library())
    for diagnostic in (*found.diagnostics, *found.warnings):
        diagnostic.render()


def written(made: str | tuple[str, str], folder: Path) -> Path:
    """The file of a spec in a new folder, with the one that it needs beside it."""
    text, other = (made, "") if isinstance(made, str) else made
    folder.mkdir()
    (folder / f"{OTHER}.yaml").write_text(other[:1_000_000], "utf-8")
    file = folder / "spec.yaml"
    file.write_text(text[:1_000_000], "utf-8")
    return file


@pytest.mark.parametrize("name", [*AMPLIFIERS, *PAIRS])
def test_work_grows_in_proportion_to_the_text(name: str, tmp_path: Path) -> None:
    amplify = (AMPLIFIERS | PAIRS)[name]
    files = [written(amplify(n), tmp_path / str(n)) for n in (1, SMALL, 2 * SMALL)]
    _work(files[-1])  # what is made once for all specs
    none, once, twice = map(calls, files)
    assert twice - none <= 2.5 * (once - none) + 500


# Slow

CHILD = Path(__file__).with_name("costly_child.py")


def costs(specs: Mapping[str, str | tuple[str, str]], folder: Path, *command: str) -> dict[str, Any]:
    """Seconds, memory and exit code of a command for each text."""
    files = [written(made, folder / str(index)) for index, made in enumerate(specs.values())]
    run = [sys.executable, str(CHILD), str(SECONDS), str(MEBIBYTES), *command]
    done = subprocess.run(
        run, input="\n".join(map(str, files)), capture_output=True, text=True, check=True, cwd=folder
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return dict(zip(specs, found, strict=True))


def too_costly(found: Mapping[str, Any]) -> list[str]:
    return [f"{name}: {cost}" for name, cost in found.items() if cost["fault"]]


def sizes(amplify: Callable[[int], str | tuple[str, str]]) -> list[int]:
    """Sizes at and below each limit that a construct may meet, up to 1 MB of text."""

    def length(n: int) -> int:
        return len("".join(amplify(n)))

    each = max(length(200) - length(100), 100) / 100
    return [n for n in (90, 290, 900, 9_000, 30_000, int(990_000 / each)) if n * each < 1_000_000]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check", "show --with all", "show --json", "schema"])
def test_no_construct_takes_long(command: str, tmp_path: Path) -> None:
    every = AMPLIFIERS | SEARCHES | PAIRS
    specs = {f"{name} x {n}": make(n) for name, make in every.items() for n in sizes(make)}
    found = costs(specs, tmp_path, *command.split())
    assert not too_costly(found), "\n".join(too_costly(found))


@pytest.mark.slow
def test_no_key_of_the_language_takes_long(tmp_path: Path) -> None:
    keys = dict(keyed())
    assert {"graph", "profiles.a.model", "blocks.a.body", "rules.a.constants", "expect.a.params"} <= set(keys)
    # Where the same key stands at several depths, the one that is nested least is enough.
    nearest = {tuple(name.split(".")[-2:]): name for name in sorted(keys, key=lambda n: -n.count("."))}
    specs = {}
    for index, name in enumerate(nearest.values()):
        what = [*HUGE][index % len(HUGE)]
        dumped = yaml.dump(keys[name](HUGE[what](200_000)), Dumper=DUMPER, sort_keys=False, width=10**9)
        specs[f"{name}: {what}"] = dumped
    found = costs(specs, tmp_path, "check")
    assert not too_costly(found), "\n".join(too_costly(found))


@pytest.mark.slow
def test_no_composition_takes_long(tmp_path: Path) -> None:
    random = Random(0)
    specs = {f"{seed}": composed(random, random.choice([500, 5_000, 50_000])) for seed in range(200)}
    found = costs(specs, tmp_path, "check")
    assert not too_costly(found), "\n".join(too_costly(found))


@pytest.mark.slow
def test_the_largest_graphs_are_built(tmp_path: Path) -> None:
    """Every limit at once: a graph of as many nodes as there may be, written to all files of a build."""
    specs = {
        "ops": "graph: [{conv: {out: 3, kernel: 3, padding: 1}, repeat: 9990}]",
        "blocks": "blocks: {b: {args: {w: 3}, body: [{add: [[{conv: =w}, bn, relu, {conv: 3}], []]}]}}\n"
        "graph: [{b: =i%50+1, repeat: 1990, name: l}]",
        "long names": "graph: [{for: {k: '=range(9000)'}, do: [{relu: , append: t, name: 'NAME{k}'}]}, "
        "{add: =t, repeat: 3}]".replace("NAME", "n" * 290),
        "many kinds": "graph: [{for: {k: '=range(3300)'}, do: [{conv: {out: =k%97+1, kernel: [=k%3+1, 3], "
        "padding: 4}}, {adaptive_avg_pool: [8, 8]}, {relu: , name: 'z{k}'}]}]",
    }
    start = "archforge: 1\ninput: [3, 8, 8]\n"
    found = costs(
        {name: start + text for name, text in specs.items()}, tmp_path, "build", "--backend", "numpy"
    )
    assert not too_costly(found), "\n".join(too_costly(found))
    assert [cost["code"] for cost in found.values()] == [0] * len(specs)
