"""`archforge fmt`: specs in one layout."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Annotated

import typer

from archforge.atomic_files import reason_of, rewrite
from archforge.cli.exit_codes import CHECK_FAILED, USER_ERROR
from archforge.cli.output import counted, print_diagnostics
from archforge.errors import DiagnosticError, SourceFile, fail
from archforge.spec.printing.formatted import formatted
from archforge.spec.resolve.sources import STDIN, own_files

__all__ = ["fmt"]


def fmt(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH", help="Files and folders, or - from standard input to standard output."
        ),
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if a file would be written.")
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Write nothing, print what would change; exit code 1 if anything.")
    ] = False,
) -> None:
    """Lay out specs in one way: brackets that fit their line, two blanks for each level, quotes around
    formulas that brackets would tear.

    Comments, line ends and how numbers are written stay, and so does what the spec says. Files are written
    whole or not at all. Exit code 2 if one is no YAML.
    """
    if STDIN in paths:
        if paths != [STDIN]:
            fail("E0001", "`-` does not go with files")
        _of_stdin(check=check, diff=diff)
    changed = broken = same = 0
    for path in own_files(paths):
        try:
            before, after = _both(path)
        except DiagnosticError as error:
            print_diagnostics(error.diagnostics)
            broken += 1
            continue
        if before == after:
            same += 1
            continue
        changed += 1
        if diff:
            print(_difference(path.as_posix(), before, after), end="")
        else:
            print(f"{'would reformat' if check else 'reformatted'} {path.as_posix()}")
        if not (check or diff):
            rewrite(path, after)
    told = (
        [f"{counted(changed, 'file')} {'to reformat' if check or diff else 'reformatted'}"] if changed else []
    )
    told += (
        [f"{counted(same, 'file')} left as they are" if same > 1 else "1 file left as it is"] if same else []
    )
    told += [counted(broken, "broken file")] if broken else []
    print(", ".join(told), file=sys.stderr if diff else sys.stdout)
    raise typer.Exit(USER_ERROR if broken else CHECK_FAILED if changed and (check or diff) else 0)


def _of_stdin(*, check: bool, diff: bool) -> None:
    before = sys.stdin.read()
    after = formatted(SourceFile("<stdin>", before))
    if diff:
        print(_difference("stdin", before, after), end="")
    elif not check:
        print(after, end="")
    raise typer.Exit(CHECK_FAILED if before != after and (check or diff) else 0)


def _both(path: Path) -> tuple[str, str]:
    """The text of a file, and the text that it should have. Raises E0106 for what is no UTF-8."""
    try:
        before = path.read_bytes().decode("utf-8")
    except OSError as error:
        fail("E0106", f"{path.as_posix()} cannot be read: {reason_of(error)}")
    except UnicodeDecodeError:
        fail("E0106", f"{path.as_posix()} is not UTF-8 text", help="save the file as UTF-8")
    return before, formatted(SourceFile(path.as_posix(), before))


def _difference(name: str, before: str, after: str) -> str:
    """The change as a unified diff."""
    here, there = (text.splitlines(keepends=True) for text in (before, after))
    out = difflib.unified_diff(here, there, name, f"{name} (formatted)")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in out)
