"""`archforge warm`: compile the machine code of networks before they are needed."""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from archforge import backends, driver
from archforge.cli.options import (
    InputOption,
    LowMemoryOption,
    NoWinogradOption,
    ProfileOption,
    SetOption,
    compile_options,
    input_shape,
    settings,
)
from archforge.cli.output import counted
from archforge.cli.progress import Progress
from archforge.hardware import short_bytes

__all__ = ["warm"]


def warm(
    specs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SPEC",
            help="Specs, folders or names. Default: ./zoo_specs if it is there, else the shipped zoo.",
        ),
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            "--batch", "-b", min=1, metavar="N", help="Images in a call; may be repeated. Default: 1."
        ),
    ] = None,
    profile: ProfileOption = None,
    input: InputOption = None,
    set: SetOption = None,
    low_memory: LowMemoryOption = False,
    no_winograd: NoWinogradOption = False,
) -> None:
    """Compile the machine code that networks need, so that their first run is as quick as the others.

    It is that of the backend numba, for this machine, and lies in the cache.
    """
    backends.get("numba")  # refused at once where it is not installed
    from archforge.backends.numba.toolchain.code_cache import code_folder, code_sizes, require_writable
    from archforge.backends.numba.toolchain.machine_code import compiled_here

    changes, number = settings(set), 0
    with Progress("reading specs") as progress:
        for path in driver.zoo_paths(specs or ()):
            spec = driver.open_spec(path)
            if spec.header.kind != "network":
                continue
            number += 1
            progress.say(f"{spec.name}, {len(compiled_here())} functions so far")
            network = driver.analyse(spec, profile, settings=changes, input_shape=input_shape(input))
            driver.warm(network, batch or [1], **compile_options(low_memory, no_winograd))
            if compiled_here():
                require_writable()  # else it would all be in vain
            gc.collect()  # no one else does in a command, and what was recorded refers to itself
    sizes = code_sizes()
    print(f"{counted(number, 'network')}: compiled {counted(len(compiled_here()), 'function')}")
    print(f"{code_folder()} holds {counted(len(sizes), 'function')}, {short_bytes(sum(sizes))}")
