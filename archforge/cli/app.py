"""The application: its commands are in one file each, and only the file of the wanted command is loaded."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from archforge import __version__
from archforge.cli.commands import COMMANDS, COMPUTING, GROUPS
from archforge.cli.exit_codes import USER_ERROR
from archforge.cli.output import print_diagnostics
from archforge.errors import Diagnostic, DiagnosticError, InternalError

__all__ = ["COMMANDS", "GROUPS", "app_for", "docstring_of", "function_of"]

# The base of the mistakes in a command line, by a way that all versions of typer have.
USAGE_ERROR: Any = typer.BadParameter.__base__


class Command(TyperCommand):
    """A command that tells of mistakes in its input on standard error, and as JSON too if it prints JSON.

    The context's `obj` is then the function that prints it: `options.json_option` sets it.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        return [_without_types(parameter) for parameter in super().get_params(ctx)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        # In a column of their own, the names that turn off what others turn on would leave the help no room.
        for option in self.params:
            if option.secondary_opts:
                option.opts, option.secondary_opts = [f"--[no-]{option.opts[0][2:]}"], []
        super().format_help(ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except USAGE_ERROR as error:
            _explain(error, {parameter.name for parameter in self.params})
            raise

    def invoke(self, ctx: Any) -> Any:
        try:
            if self.name in COMPUTING:
                from archforge.hardware import require_numpy

                require_numpy()
            return super().invoke(ctx)
        except DiagnosticError as error:
            diagnostics = error.diagnostics
        except MemoryError as error:
            from archforge.hardware import no_memory

            diagnostics = (no_memory(error),)
        except (ImportError, OSError, SystemError) as error:
            diagnostics = (_not_loaded(error),)
        except RuntimeError as error:
            if str(error) != "can't start new thread":
                raise
            help = "ARCHFORGE_THREADS=1, or a higher limit (ulimit -u)"
            diagnostics = (Diagnostic("E0701", "the system gives this process no more threads", help=help),)
        except EOFError as error:  # typer would say that it is aborted, with the code of a failed check
            raise InternalError("a file ended too soon") from error
        # Here, where nothing holds what filled the memory any longer.
        if ctx.obj is not None:
            ctx.obj({"diagnostics": [d.to_json() for d in diagnostics], "ok": False})
        print_diagnostics(diagnostics)
        raise typer.Exit(USER_ERROR)


class CommandGroup(TyperGroup):
    """The commands of which one is to be named."""

    def get_params(self, ctx: Any) -> list[Any]:
        return [_without_types(parameter) for parameter in super().get_params(ctx)]


def _without_types(parameter: Any) -> Any:
    """A parameter whose help says what it takes in a spec's words, SPEC or N: typer would print the types of
    Python beside them, `<list[str]>`, and `<bool>` behind what takes no value."""
    if parameter.param_type_name == "argument":
        name = parameter.metavar if parameter.required else f"[{parameter.metavar}]"
        pieces = [name if parameter.nargs == 1 else f"{name}..."]
        parameter.display_type_rich, parameter.get_usage_pieces = lambda ctx: None, lambda ctx: pieces
    elif parameter.is_flag:
        parameter.metavar = parameter.metavar or ""
    elif parameter.metavar is None and hasattr(parameter, "display_type"):
        parameter.metavar = parameter.display_type(None).strip("<>")
    return parameter


def _paragraphs(text: str) -> str:
    """A docstring whose paragraphs are one line each: where they end, typer would keep the ends of lines."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _explain(error: Any, parameters: Collection[str | None]) -> None:
    """Have a mistake in the options of a command that takes a recipe say what they are called here."""
    if "loss" not in parameters:
        return
    if hasattr(error, "possibilities"):
        from archforge.cli.foreign_options import option_meant

        meant = option_meant(error.option_name)
        error.possibilities = [meant] if meant else error.possibilities
    elif "unexpected extra argument" in error.message:
        error.message += ": samples are given by --data"


def _not_loaded(error: ImportError | OSError | SystemError) -> Diagnostic:
    """The diagnostic of a package that cannot be loaded. Raises an error that is of something else."""
    from archforge.hardware import lacks_memory, no_memory

    if lacks_memory(error):
        return no_memory(MemoryError("a library cannot be loaded"))
    if not isinstance(error, ImportError) or (error.name or "").startswith("archforge"):
        raise error
    return Diagnostic("E0701", f"a package cannot be imported: {error}", help="install it again")


def app_for(arguments: Sequence[str]) -> typer.Typer:
    """The application that runs these arguments: with what they name, a command or a group of them, else
    with all, to be listed: then none is loaded, and none can run."""
    app = typer.Typer(
        cls=CommandGroup,
        help="Compile specs of convolutional networks: counts you can trust, checked against published "
        "tables, and a network that runs.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    words = arguments[1:] if arguments[:1] == ["--"] else arguments
    named = [c for c in COMMANDS if words[:1] == c.split()[:1]]
    groups: dict[str, typer.Typer] = {"": app}
    for command in named or COMMANDS:
        group, _, word = command.rpartition(" ")
        if group not in groups:
            groups[group] = typer.Typer(cls=CommandGroup, no_args_is_help=True)
            groups[group].callback()(_nothing)  # without which a group of one command would be that command
            app.add_typer(groups[group], name=group, help=GROUPS[group])
        called = function_of(command) if named else _nothing
        text = (called.__doc__ or "") if named else docstring_of(command)
        groups[group].command(word, cls=Command, help=_paragraphs(text))(called)
    return app


def function_of(command: str) -> Callable[..., None]:
    """The function of a command, whose file is loaded for it."""
    module, _, name = COMMANDS[command].partition(".")
    function: Callable[..., None] = getattr(import_module(f"archforge.cli.{module}"), name)
    return function


def docstring_of(command: str) -> str:
    """The docstring of a command's function, whose file is read, but not loaded."""
    module, _, name = COMMANDS[command].partition(".")
    tree = ast.parse((Path(__file__).parent / f"{module}.py").read_bytes())
    found = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    return next(filter(None, map(ast.get_docstring, found)), "")


def _nothing() -> None:
    pass


def _version(wanted: bool) -> None:
    if wanted:
        print(f"archforge {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
