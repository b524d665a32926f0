"""The first half of reading a file of TorchScript: torch opens it, and its calls are put in place.

Opening runs no module; ops are run for the comparison alone, and only those that the table of ours has.
"""

from __future__ import annotations

import pickletools
import warnings
import zipfile
from collections import deque
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from archforge.data.opened_files import opened, reason_in, sha256_of
from archforge.errors import fail

__all__ = ["TorchScriptSource", "open_torchscript"]


LONGEST_PICKLE = 1 << 24  # bytes: names, numbers and where arrays lie, which are stored beside it


@dataclass(frozen=True, slots=True, eq=False)
class TorchScriptSource:
    """A file: the digest of its bytes, the module in it, and its graph with all calls in place."""

    path: Path
    sha256: str
    module: Any
    graph: Any


def open_torchscript(path: Path) -> TorchScriptSource:
    """The module in a file. Raises E0601 and E0801 where it is none, or torch is not installed."""
    with opened(path, "file of TorchScript", is_known=True) as file:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
        if not any("/code/" in name for name in names):
            if any(name.endswith("/data.pkl") for name in names):
                message = f"{path} is a file of torch.save, which holds weights and no network"
                fail(
                    "E0801",
                    message,
                    help=f"archforge weights convert {path} --to SPEC -o weights.safetensors",
                )
            raise ValueError("it is an archive without code")
        _refuse_lying_pickles(file)
        file.seek(0)
        digest = sha256_of(file)
    try:
        torch: Any = import_module("torch")
    except ImportError:
        message = "files of TorchScript are opened by torch, which is not installed"
        fail(
            "E0801",
            message,
            help="the extra `bench` brings it, or export the module as ONNX: torch.onnx.export",
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # of its age
            module = torch.jit.load(str(path), map_location="cpu")
            graph = module.inlined_graph
    except Exception as error:  # noqa: BLE001  # whatever torch's C++ throws
        fail("E0801", f"{path} is no file of TorchScript: {reason_in(error)}")
    return TorchScriptSource(path, digest, module, graph)


def _refuse_lying_pickles(file: BinaryIO) -> None:
    """Raises ValueError for a pickle whose parts are not in it: torch takes as much memory as they claim."""
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.filename.endswith(".pkl"):
                if member.file_size > LONGEST_PICKLE:
                    raise ValueError(f"{member.filename} has more than {LONGEST_PICKLE:,} bytes")
                deque(pickletools.genops(archive.read(member)), maxlen=0)
