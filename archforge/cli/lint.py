"""`archforge lint`: rules of practice, on top of the warnings of a check."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from archforge import driver
from archforge.analysis.lint import all_rules, lint
from archforge.atomic_files import rewrite
from archforge.cli.exit_codes import CHECK_FAILED, USER_ERROR
from archforge.cli.options import JsonOption
from archforge.cli.output import counted, print_diagnostics, print_json
from archforge.errors import Diagnostic, did_you_mean, fail
from archforge.fixes import fixed
from archforge.spec.resolve.sources import STDIN, own_files

__all__ = ["lint_specs"]

ALL = "all"
SETTINGS = "pyproject.toml"
KEYS = ("select", "ignore")


def lint_specs(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH", help="Specs, and folders of specs. Default: ./zoo_specs, else the zoo."
        ),
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option("--select", metavar="CODE,...", help="Rules to hold besides the default ones, or all."),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", metavar="CODE,...", help="Rules not to hold.")
    ] = None,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Take out what has no effect, if every network is proved to stay as it is; tell the rest.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Hold specs against rules of practice, and tell the warnings of `archforge check`.

    The table `[tool.archforge.lint]` of pyproject.toml has `select` and `ignore` as well. A comment
    `# meant: W0502` at the end of a line says that what is found there is meant. `archforge explain W0502`
    says why a rule is one. Exit code 1 if something is found, 2 if a spec is broken.
    """
    codes = _chosen(_settings(), _codes(select, "--select"), _codes(ignore, "--ignore"))
    mended = _fixed(paths or []) if fix else []
    found: list[Diagnostic] = []
    broken: list[Diagnostic] = []
    specs = 0
    for report in driver.check(paths or []):
        specs += 1
        broken += report.diagnostics
        if report.spec is not None and not report.diagnostics:
            found += [*report.warnings, *lint(report.spec, report.networks, codes)]
    if as_json:
        print_json(
            {
                "rules": codes,
                "found": [d.to_json() for d in (*broken, *found)],
                "fixed": [d.to_json() for d in mended],
                "ok": not (broken or found),
            }
        )
    else:
        for each in mended:
            print(f"fixed {each.span.source.name if each.span else SETTINGS}: {each.code}: {each.message}")
        print_diagnostics((*broken, *found))
        told = f"{len(mended):,} fixed, " if fix else ""
        print(
            f"{counted(specs, 'spec')}, {counted(len(codes), 'rule')}: {told}{counted(len(found), 'finding')}"
        )
    raise typer.Exit(USER_ERROR if broken else CHECK_FAILED if found else 0)


def _fixed(paths: list[str]) -> list[Diagnostic]:
    """The findings that were mended in files, each written whole. Raises E0001 unless files or folders are
    named, and E0705."""
    if not paths or STDIN in paths:
        fail("E0001", "`--fix` writes into specs: name their files or folders")
    mended: list[Diagnostic] = []
    for path in own_files(paths):
        found = fixed(path)
        if found.gone:
            rewrite(path, found.text)
            mended += found.gone
    return mended


def _chosen(given: dict[str, list[str]], select: list[str], ignore: list[str]) -> list[str]:
    """The codes of the rules to hold: the default ones and those selected, less those ignored."""
    rules = all_rules()
    chosen = {*given["select"], *select}
    left = {*given["ignore"], *ignore} - {*select}
    return [
        code
        for code, rule in rules.items()
        if (rule.by_default or code in chosen or ALL in chosen) and code not in left
    ]


def _codes(texts: Sequence[str] | None, where: str) -> list[str]:
    """The codes in a list of texts with commas. Raises E0001 for one that is no rule."""
    codes = [code.strip().upper() for text in texts or () for code in text.split(",")]
    codes = [ALL if code == ALL.upper() else code for code in codes]
    for code in codes:
        if code not in all_rules() and not (code == ALL and where.endswith("select")):
            fail(
                "E0001",
                f"`{where}` names no rule: `{code}`",
                help=did_you_mean(code, all_rules(), what="rules"),
            )
    return codes


def _settings() -> dict[str, list[str]]:
    """Choices of the nearest pyproject.toml that has such a table. Raises E0001 for one that is none."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        path = folder / SETTINGS
        if not path.is_file():
            continue
        try:
            table: Any = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            fail("E0001", f"{path} cannot be read: {error}")
        found = table
        for key in ("tool", "archforge", "lint"):
            found = found.get(key) if isinstance(found, dict) else None
        if found is None:
            continue
        _require_table(found, path)
        return {key: _listed(found, key, path) for key in KEYS}
    return {key: [] for key in KEYS}


def _require_table(found: Any, path: Path) -> None:
    unknown = [key for key in found if key not in KEYS] if isinstance(found, dict) else [str(found)]
    if unknown:
        help = did_you_mean(unknown[0], KEYS, what="it takes")
        fail("E0001", f"[tool.archforge.lint] of {path} has no `{unknown[0]}`", help=help)


def _listed(found: dict[str, Any], key: str, path: Path) -> list[str]:
    value = found.get(key, [])
    if not isinstance(value, list) or not all(isinstance(code, str) for code in value):
        fail(
            "E0001",
            f"`{key}` in [tool.archforge.lint] of {path} is no list of codes",
            help=f'{key} = ["W0503"]',
        )
    return _codes(value, f"[tool.archforge.lint] {key}")
