"""Sessions on a page: the files that it shows, the commands that it runs, and what they print.

Of the fenced blocks of a Markdown page, from top to bottom,

- one with `file=NAME` behind its language is written to a file of that name, in a folder of the page's own,
- `console` holds commands of a shell behind `$ `, each followed by what it prints,
- `pycon` holds statements of Python behind `>>> ` and `... `, each followed by what it prints; all of a page
  share their names.

All other blocks are left alone. `$?` is the exit code of the command before.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

__all__ = ["Fence", "fences", "refreshed"]

_FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BUG, NO_COMMAND = 70, 127  # exit codes of archforge and of the shell

_COMMAND = re.compile(r"^\$ (.*)$", re.MULTILINE)


class Fence:
    """A fenced block: its language, the word behind that (`file=NAME`), and its text with where it stands."""

    def __init__(self, found: re.Match[str]) -> None:
        self.language: str = found[1]
        self.word: str = found[2] or ""
        self.text: str = found[3]
        self.start, self.end = found.span(3)

    @property
    def file(self) -> str:
        """The name of the file that it shows, or nothing."""
        return self.word.removeprefix("file=") if self.word.startswith("file=") else ""


def fences(text: str) -> Iterator[Fence]:
    """The fenced blocks of a page that name a language, in order."""
    return map(Fence, _FENCE.finditer(text))


def refreshed(text: str) -> str:
    """The page `text` with what its sessions print now."""
    parts, end = [], 0
    with TemporaryDirectory() as folder:
        session = _Session(Path(folder))
        for fence in fences(text):
            parts += [text[end : fence.start], session.block(fence)]
            end = fence.end
    return "".join(parts) + text[end:]


class _Session:
    """A folder with the files of a page, a shell in it, and the names that its Python has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "page"
        self._folder.mkdir()
        self._commands = folder / "bin"
        self._commands.mkdir()
        self._command("archforge", "-m archforge")
        self._command("python", "")
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._exit_code = 0

    def _command(self, name: str, arguments: str) -> None:
        """A command of that name, which is this Python with `arguments` before those that it is given."""
        script = self._commands / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        script.chmod(0o755)

    def block(self, fence: Fence) -> str:
        """The text of a block with what it prints now."""
        if fence.file:
            file = self._folder / fence.file
            file.parent.mkdir(exist_ok=True)
            file.write_text(fence.text, "utf-8")
        elif fence.language == "console":
            return "".join(f"$ {command}\n{self._shell(command)}" for command in _COMMAND.findall(fence.text))
        elif fence.language == "pycon":
            examples = doctest.DocTestParser().get_examples(fence.text)
            return "".join(_prompted(e.source) + self._python(e.source) for e in examples)
        return fence.text

    def _shell(self, command: str) -> str:
        """The output of a command, both streams as they come.

        Raises RuntimeError if there is no such command, or if it ends by a bug.
        """
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ARCHFORGE_", "COLUMNS"))}
        path = f"{self._commands}{os.pathsep}{os.environ.get('PATH', '')}"
        done = subprocess.run(
            ["sh", "-c", f"(exit {self._exit_code})\n{command}"],
            cwd=self._folder,
            env={**kept, "PATH": path, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            encoding="utf-8",
        )
        self._exit_code = done.returncode
        if self._exit_code in (BUG, NO_COMMAND):
            raise RuntimeError(f"{command}: {done.stdout}")
        return _ended(done.stdout)

    def _python(self, source: str) -> str:
        """The output of a statement, the value of an expression included. Raises what the statement does."""
        printed = io.StringIO()
        with contextlib.chdir(self._folder), contextlib.redirect_stdout(printed):
            exec(compile(source, "<page>", "single"), self._names)  # noqa: S102  a page of ours
        return _ended(printed.getvalue())


def _prompted(source: str) -> str:
    """A statement as it is typed at Python's prompt."""
    first, *rest = source.splitlines()
    return "".join((f">>> {first}\n", *(f"... {line}".rstrip() + "\n" for line in rest)))


def _ended(text: str) -> str:
    return text if text.endswith("\n") or not text else f"{text}\n"
