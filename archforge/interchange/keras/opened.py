"""Files of Keras that are opened: HDF5, `.keras` archives and the `model.json` of TensorFlow.js.

Files come from anybody. Nothing outside of the file's folder is read, no size is believed, nothing is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from archforge.data.frameworks.keras import KerasContent, hdf5_content, keras_content
from archforge.data.frameworks.keras_layers import Layer
from archforge.data.frameworks.tfjs import tfjs_content
from archforge.data.opened_files import (
    HDF5,
    HEAD,
    MALFORMED,
    opened,
    reason_in,
    refuse_other_kinds,
    sha256_of,
)
from archforge.errors import fail
from archforge.interchange.keras.description import KerasModel, described_model

__all__ = ["KerasSource", "open_keras"]

WHAT = "file of Keras"
ZIP = b"PK"


@dataclass(frozen=True, slots=True, eq=False)
class KerasSource:
    """A file: the digest of its bytes, its model, and the arrays of layers as `KerasContent` has them.
    description: of the model, as the file has it. version: the first number of Keras's. can_run: a file that
    Keras itself can open."""

    path: Path
    sha256: str
    model: KerasModel
    description: Any
    version: int
    layers: Mapping[str, Layer]
    can_run: bool


def open_keras(path: Path) -> KerasSource:
    """The content of a file. Raises E0601, and E0801 where it holds no model or lies about what it holds."""
    with opened(path, WHAT, is_known=True) as file:
        head = file.read(HEAD)
        file.seek(0)
        digest = sha256_of(file)
        file.seek(0)
        try:
            content = _content(path, file, head)
            if content.model is None:
                message = f"{path} holds weights without their model, which nothing can be imported of"
                help = f"archforge weights convert {path} --to SPEC -o weights.safetensors"
                fail("E0801", message, help=help)
            model = described_model(content.model)
        except RecursionError:
            fail("E0801", f"{path} is no {WHAT}: its description is nested too deeply")
        except (*MALFORMED, AttributeError) as error:
            fail("E0801", f"{path} is no {WHAT}: {_reason(error)}")
    number = re.match(r"\d+", content.version)
    is_json = head.lstrip()[:1] == b"{"
    major = int(number[0]) if number else 2
    return KerasSource(path, digest, model, content.model, major, content.layers, can_run=not is_json)


def _content(path: Path, file: BinaryIO, head: bytes) -> KerasContent:
    """The content of a file whose first bytes are these."""
    if head.startswith(HDF5):
        return hdf5_content(file, path, WHAT)
    if head.startswith(ZIP):
        return keras_content(file, path, WHAT)
    if head.lstrip()[:1] == b"{":
        return tfjs_content(file, path)
    refuse_other_kinds(path, WHAT)
    raise ValueError("its first bytes are those of no file that Keras writes")


def _reason(error: BaseException) -> str:
    return f"it lacks `{error.args[0]}`" if isinstance(error, KeyError) and error.args else reason_in(error)
