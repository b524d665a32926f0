"""Choices between kernels that compute the same op: the cost model's, or those that `archforge tune` found.

Choices are kept beside the machine code, for one CPU, version and number of threads; they name kernels by the
op and its input. Each network has a file of its own, so that those who tune at the same time lose nothing; of
two choices for one op the newer holds. A file that cannot be read, and a choice that names no kernel of
today, is passed over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from archforge.atomic_files import made_folder, reason_of, written_beside
from archforge.backends.numba.families import winograd_cost
from archforge.backends.numba.toolchain.code_cache import cache_folder
from archforge.backends.numba.toolchain.machine import machine
from archforge.backends.numba.toolchain.machine_code import code_key
from archforge.backends.winograd_forms import WinogradForm
from archforge.errors import DiagnosticError, fail
from archforge.ir import TensorType
from archforge.ops.base import Op
from archforge.ops.conv import Conv
from archforge.plan import Kernel

__all__ = ["alternatives", "choice_of", "chosen_form", "clear", "kept", "store", "use_of"]

DIRECT = "direct"
PREFIX = "tuned-"


def use_of(op: Op, *inputs: TensorType) -> str:
    """The key of a choice: an op with its attributes, and the types of its inputs."""
    attributes = " ".join(f"{name}={value}" for name, value in sorted(op.attributes().items()))
    return f"{op.kind} of {', '.join(map(str, inputs))}: {attributes}".replace("'", "")


def alternatives(op: Op, *inputs: TensorType) -> tuple[str, ...]:
    """The names of the kernels that can compute an op, the cost model's first."""
    if not isinstance(op, Conv):
        return (DIRECT,)
    default = winograd_cost.expected_form(op, *inputs)
    others = [DIRECT, *map(str, winograd_cost.possible_forms(op, *inputs))]
    return tuple(dict.fromkeys((str(default) if default else DIRECT, *others)))


def choice_of(kernel: Kernel) -> str:
    """The name of a kernel that computes a convolution."""
    match kernel.packing:
        case ("winograd", form, _):
            return str(form)
    return DIRECT


def chosen_form(
    op: Conv, x: TensorType, choices: Mapping[str, str], *, bfloat16: bool = False
) -> WinogradForm | None:
    """The Winograd form that is chosen for a convolution; None for the direct one, in `bfloat16` if so."""
    name = choices.get(use_of(op, x)) if choices else None
    if name == DIRECT:
        return None
    named = (form for form in winograd_cost.possible_forms(op, x) if str(form) == name)
    return next(named, None) or winograd_cost.expected_form(op, x, bfloat16=bfloat16)


def kept() -> Mapping[str, str]:
    """The stored choices for this machine: names of kernels by use."""
    try:
        return _read(cache_folder())
    except (OSError, DiagnosticError):  # it may not be entered, or there is none
        return {}


def store(choices: Mapping[str, str]) -> Path:
    """Add choices to those that are kept. Raises E0705."""
    digest = hashlib.sha256("\n".join(sorted(choices)).encode()).hexdigest()[:12]
    path = made_folder(cache_folder()) / f"{_prefix()}{digest}.json"
    text = json.dumps(dict(choices), indent=1, sort_keys=True)
    with written_beside(path) as file:
        file.write(f"{text}\n".encode())
    _read.cache_clear()
    return path


def clear() -> int:
    """Forget all choices, those of other machines and versions too. Returns how many files held some. Raises
    E0705."""
    folder = cache_folder()
    try:
        paths = list(folder.glob(f"{PREFIX}*.json"))
        for path in paths:
            path.unlink(missing_ok=True)
    except OSError as error:
        fail("E0705", f"cannot forget what is kept in {folder}: {reason_of(error)}")
    _read.cache_clear()
    return len(paths)


@cache
def _read(folder: Path) -> Mapping[str, str]:
    if not any(folder.glob(f"{PREFIX}*.json")):  # saves making the key, for almost everybody
        return {}
    oldest_first = sorted(_stored(folder), key=lambda stored: stored[0])
    return {use: name for _, found in oldest_first for use, name in found.items() if isinstance(name, str)}


def _stored(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The choices in each file, with the time when they were written in nanoseconds."""
    for path in folder.glob(f"{_prefix()}*.json"):
        with suppress(OSError, ValueError):
            found = json.loads(path.read_text("utf-8"))
            if isinstance(found, dict):
                yield path.stat().st_mtime_ns, found


def _prefix() -> str:
    return f"{PREFIX}{code_key()}-{machine().threads}-"
