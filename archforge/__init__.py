"""archforge: a compiler for convolutional model zoos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archforge.analysis.network import Network
    from archforge.analysis.sampling import DrawnNetwork
    from archforge.driver import check, compile, load, sample
    from archforge.errors import AccuracyWarning, Diagnostic, DiagnosticError, TrainingWarning
    from archforge.sweeps.sweep import sweep
    from archforge.training.loop import Callback
    from archforge.training.train import train
    from archforge.training.trained import Trained

__version__ = "0.1.0"

__all__ = [
    "AccuracyWarning",
    "Callback",
    "Diagnostic",
    "DiagnosticError",
    "DrawnNetwork",
    "Network",
    "Trained",
    "TrainingWarning",
    "__version__",
    "check",
    "compile",
    "load",
    "sample",
    "sweep",
    "train",
]

_HOMES = {
    "Network": "archforge.analysis.network",
    "check": "archforge.driver",
    "compile": "archforge.driver",
    "load": "archforge.driver",
    "DrawnNetwork": "archforge.analysis.sampling",
    "sample": "archforge.driver",
    "AccuracyWarning": "archforge.errors",
    "Diagnostic": "archforge.errors",
    "DiagnosticError": "archforge.errors",
    "TrainingWarning": "archforge.errors",
    "sweep": "archforge.sweeps.sweep",
    "Callback": "archforge.training.loop",
    "Trained": "archforge.training.trained",
    "train": "archforge.training.train",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used: importing archforge stays fast."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
