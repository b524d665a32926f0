"""Plugin of pytest: `pytest --archforge zoo_specs` makes every documented figure of the specs a test, and two
fixtures hold networks to their counts.

pytest loads it by itself wherever archforge is installed; the compiler is loaded once it is used.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archforge.errors import Diagnostic, DiagnosticError, DiagnosticWarning, did_you_mean

if TYPE_CHECKING:
    from archforge.analysis.checks import Cell
    from archforge.analysis.network import Network

__all__ = ["assert_counts", "network"]

_SUFFIX = ".yaml"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("archforge", "specs of convolutional networks")
    group.addoption(
        "--archforge",
        action="store_true",
        help="collect specs: their profiles and documented figures are tests. A .yaml file is a spec if it, "
        "or a file beside it, has the key `archforge`, or if it is named itself",
    )
    group.addoption(
        "--archforge-require-expect",
        action="store_true",
        help="let a profile without documented figures fail, instead of being skipped",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The tests of a file, if it is a spec and specs are wanted."""
    if not parent.config.getoption("archforge") or file_path.suffix != _SUFFIX:
        return None
    if not parent.session.isinitpath(file_path) and not _has_specs(file_path.parent):
        return None
    collected: pytest.Collector = SpecFile.from_parent(parent, path=file_path)
    return collected


@lru_cache
def _has_specs(folder: Path) -> bool:
    from archforge.spec.resolve.library import is_among_specs

    return is_among_specs(folder / "any.yaml")


class SpecFile(pytest.File):
    """A spec: one test of the whole, and a group of tests for each profile."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        from archforge import driver

        demanded: bool = self.config.getoption("archforge_require_expect")
        (report,) = driver.check([_shown(self.path)], require_expect=demanded)
        yield SpecTest.from_parent(self, name="spec", mistakes=report.diagnostics, warnings=report.warnings)
        unmet = iter(report.unmet)
        for network in report.networks:
            name = ".".join(filter(None, (network.spec.block, network.profile)))
            missing = None if network.cells else next(unmet, None)
            yield ProfileTests.from_parent(self, name=name, cells=network.cells, missing=missing)


def _shown(path: Path) -> str:
    """A path from the working folder, as messages have it."""
    try:
        return os.path.relpath(path)
    except ValueError:  # another drive
        return str(path)


class ProfileTests(pytest.Collector):
    """A profile of a spec, or a case of one of its blocks: a test for each documented figure."""

    def __init__(self, *, cells: tuple[Cell, ...], missing: Diagnostic | None, **rest: Any) -> None:
        super().__init__(**rest)
        self.cells, self.missing = cells, missing

    def collect(self) -> Iterator[pytest.Item]:
        for cell in self.cells:
            problems = (cell.problem,) if cell.problem else ()
            yield SpecTest.from_parent(self, name=cell.cell, mistakes=problems)
        if not self.cells:
            test = SpecTest.from_parent(self, name="expect", mistakes=filter(None, (self.missing,)))
            if self.missing is None:
                test.add_marker(pytest.mark.skip("the profile has no documented figures"))
            yield test


class SpecTest(pytest.Item):
    """A test that holds if no mistake was found; warnings are warnings of pytest."""

    def __init__(
        self, *, mistakes: Iterable[Diagnostic], warnings: Iterable[Diagnostic] = (), **rest: Any
    ) -> None:
        super().__init__(**rest)
        self.mistakes, self.warnings = tuple(mistakes), tuple(warnings)

    def runtest(self) -> None:
        for diagnostic in self.warnings:
            warnings.warn(DiagnosticWarning(diagnostic), stacklevel=1)
        if self.mistakes:
            raise DiagnosticError(self.mistakes)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The diagnostics alone: where archforge found them is of no interest."""
        if isinstance(excinfo.value, DiagnosticError | DiagnosticWarning):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{self.path.stem} {self.nodeid.partition('::')[2]}"


@pytest.fixture(scope="session")
def network() -> Callable[..., Network]:
    """`archforge.load`: `network("resnet_50", "torchvision", classes=10)`."""
    import archforge

    return archforge.load


@pytest.fixture(scope="session")
def assert_counts() -> Callable[..., None]:
    """A function that fails unless a network has these figures, in the words of `expect`:
    `assert_counts("nets/small.yaml", params=175_066, output="10")`.

    Its first argument is a network, or what `archforge.load` takes; `profile` a profile of the spec.
    """
    return _assert_counts


def _assert_counts(network: Network | str | Path, profile: str | None = None, **figures: int | str) -> None:
    __tracebackhide__ = True
    import archforge

    if not isinstance(network, archforge.Network):
        network = archforge.load(network, profile)
    elif profile is not None:
        raise TypeError(f"the network is of the profile {network.profile} already")
    computed = network.figures
    if unknown := next((name for name in figures if name not in computed), None):
        raise TypeError(f"there is no count `{unknown}`: {did_you_mean(unknown, computed, what='there are')}")
    wrong = [_difference(name, figure, computed[name]) for name, figure in figures.items()]
    if told := list(filter(None, wrong)):
        raise AssertionError("\n".join([f"{network.name}, profile {network.profile}", *told]))


def _difference(name: str, wanted: int | str, found: int | str) -> str:
    """A line about a figure that is another; empty if it is the same."""
    if wanted == found:
        return ""
    if isinstance(wanted, int) and isinstance(found, int):
        return f"  {name} {found:,}, not {wanted:,} ({found - wanted:+,})"
    return f"  {name} {found}, not {wanted}"
