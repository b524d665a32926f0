"""`archforge info`: the machine as the backends see it, and what would run a network here."""

from __future__ import annotations

import os
import platform
from typing import Any

from archforge import __version__, backends
from archforge.backends import AUTO, all_backends, preferred
from archforge.bench.environment import misnamed, variables
from archforge.cli.options import JsonOption
from archforge.cli.output import paint, print_json
from archforge.errors import DiagnosticError
from archforge.hardware import cache_bytes, cpu_name, physical_cores, short_bytes, threads
from archforge.plan import Backend, kinds_on_reference

__all__ = ["info"]


def info(as_json: JsonOption = False) -> None:
    """Show the machine, its caches and threads, the backends and what `auto` takes, and what changes them."""
    facts = {
        "versions": {"archforge": __version__, "python": platform.python_version()},
        "system": platform.platform(),
        "machine": _machine(),
        "auto": _auto(),
        "backends": [_backend(name, backend) for name, backend in all_backends().items()],
        "environment": variables(),
        "misnamed": misnamed(),
    }
    if as_json:
        print_json(facts)
    else:
        print(_text(facts))


def _machine() -> dict[str, Any]:
    here = threads()
    return {
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "physical_cores": physical_cores(),
        "threads": here.number,
        "threads_because": here.reason,
        "cache_bytes": {f"L{level}": cache_bytes(level) for level in (1, 2, 3)},
    }


def _auto() -> dict[str, str]:
    """The backend that `auto` takes, for each dtype that some backend computes in."""
    taken = {}
    for dtype in dict.fromkeys(dtype for b in all_backends().values() for dtype in b.dtypes):
        try:
            taken[dtype] = backends.get(AUTO, dtype).name
        except DiagnosticError:
            continue
    return taken


def _backend(name: str, backend: Backend) -> dict[str, Any]:
    """The facts that a backend tells of itself, or the reason why it cannot run."""
    about: dict[str, Any] = {"name": name, "dtypes": list(backend.dtypes)}
    try:
        backend.require()
    except DiagnosticError as error:
        reason = error.diagnostics[0]
        return about | {"runs": False, "reason": reason.message, "help": reason.help}
    try:
        facts = dict(backend.facts())
        slow = kinds_on_reference(backend, backend.dtypes[0])
        facts["on reference"] = f"{', '.join(slow) or 'nothing'} in {backend.dtypes[0]}"
    except DiagnosticError as error:  # the environment does not fit
        facts = {"problem": error.diagnostics[0].message}
    return about | {"runs": True, "preference": backend.preference(), "facts": facts}


def _text(facts: dict[str, Any]) -> str:
    here = facts["machine"]
    sizes = ", ".join(f"{level} {short_bytes(size)}" for level, size in here["cache_bytes"].items())
    taken = ", ".join(f"{name} in {dtype}" for dtype, name in facts["auto"].items())
    order = ", ".join(backend.name for backend in preferred())
    sections = [
        {
            "archforge": f"{facts['versions']['archforge']} on Python {facts['versions']['python']}",
            "system": facts["system"],
            "CPU": f"{here['cpu']}, {here['cpus']} CPUs on {here['physical_cores']} cores",
            "threads": f"{here['threads']}: {here['threads_because']}",
            "caches": sizes,
            "auto": f"{taken}: the first of {order} that computes in the dtype",
        },
        *map(_about, facts["backends"]),
        {
            "environment": " ".join(f"{k}={v}" for k, v in facts["environment"].items()) or "nothing set",
            **{name: f"nothing reads it; {hint}" for name, hint in facts["misnamed"].items()},
        },
    ]
    width = max(len(name) for section in sections for name in section)
    return "\n\n".join(
        "\n".join(f"{paint(name.ljust(width), 'bold')}  {words}" for name, words in section.items())
        for section in sections
    )


def _about(backend: dict[str, Any]) -> dict[str, str]:
    dtypes = ", ".join(backend["dtypes"])
    if not backend["runs"]:
        return {backend["name"]: f"{backend['reason']} ({backend['help']})", "  dtypes": dtypes}
    asked = "" if backend["preference"] else "; only when it is named"
    facts = {f"  {name}": words for name, words in backend["facts"].items()}
    return {backend["name"]: f"runs here{asked}", "  dtypes": dtypes, **facts}
