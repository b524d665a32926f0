"""`archforge warm`: compile the machine code of networks before they are needed."""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from archforge import backends, driver
from archforge.cli.compile_options import (
    AccuracyOption,
    BatchesOption,
    LowMemoryOption,
    NoWinogradOption,
    compile_options,
)
from archforge.cli.options import InputOption, ProfileOption, SetOption, input_shape, settings
from archforge.cli.output import counted
from archforge.cli.progress import Progress
from archforge.driver import Accuracy
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
    batch: BatchesOption = None,
    profile: ProfileOption = None,
    input: InputOption = None,
    set: SetOption = None,
    low_memory: LowMemoryOption = False,
    no_winograd: NoWinogradOption = False,
    accuracy: AccuracyOption = Accuracy.FAST,
) -> None:
    """Compile the machine code that networks need, so that their first run is as quick as the others.

    The code is made for this machine, by the preferred backend that compiles, and kept in the cache.
    """
    backend = backends.get_compiling()  # first: what cannot run here is refused before specs are read
    changes, number = settings(set), 0
    with Progress("reading specs") as progress:
        for path in driver.zoo_paths(specs or ()):
            spec = driver.open_spec(path)
            if spec.header.kind != "network":
                continue
            number += 1
            progress.say(f"{spec.name}, {len(backend.compiled())} functions so far")
            network = driver.analyse(spec, profile, settings=changes, input_shape=input_shape(input))
            options = compile_options(low_memory, no_winograd, accuracy)
            driver.warm(network, batch or [1], backend=backend, **options)
            if backend.compiled():
                backend.require_writable_cache()  # else it would all be in vain
            gc.collect()  # no one else does in a command, and what was recorded refers to itself
    kept = backend.code_cache()
    sizes = kept.function_bytes
    print(f"{counted(number, 'network')}: compiled {counted(len(backend.compiled()), 'function')}")
    print(f"{kept.folder} holds {counted(len(sizes), 'function')}, {short_bytes(sum(sizes))}")
