"""The formats that `archforge import` reads: a row for each, with the function that opens its files.

A reader makes an `Imported` of a file, by way of a `GraphDraft`; `normalized` and `written_spec` go on from
there, whatever the format was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from archforge.data.opened_files import HDF5, HEAD, endings
from archforge.errors import fail
from archforge.interchange.imported import Imported
from archforge.interchange.layer_check import RunSource
from archforge.resources import zoo_folder

__all__ = ["FORMATS", "NetworkFormat", "OpenedFile", "open_file"]

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class OpenedFile:
    """A file of another format. digests: SHA-256 of its bytes, and of those of others that belong to it, by
    their names. read: its graph before it is normalised, by the name that the graph gets, and shapes of
    inputs. run: computes the file's own values."""

    digests: Mapping[str, str]
    read: Callable[[str, Shapes], Imported]
    run: RunSource


class NetworkFormat(NamedTuple):
    """A format of networks. endings: of its files' names. is_begun: whether bytes begin such a file. open:
    takes the path, and that of a file with the weights; has_own_weights: it takes no such file."""

    words: str
    endings: tuple[str, ...]
    is_begun: Callable[[bytes], bool]
    open: Callable[[Path, Path | None], OpenedFile]
    has_own_weights: bool = True


def _onnx(path: Path, weights: Path | None) -> OpenedFile:
    from archforge.interchange.onnx.opened import open_onnx
    from archforge.interchange.onnx.reading import read_graph
    from archforge.interchange.onnx.running import OnnxRun

    source = open_onnx(path)
    return OpenedFile({path.name: source.sha256}, partial(read_graph, source), OnnxRun(source))


def _is_onnx(head: bytes) -> bool:
    return head[:1] == b"\x08" and head[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x2a", b"\x3a")


def _caffe(path: Path, weights: Path | None) -> OpenedFile:
    from archforge.interchange.caffe.network import open_caffe
    from archforge.interchange.caffe.reading import read_caffe_network
    from archforge.interchange.caffe.running import CaffeRun

    source = open_caffe(path, weights)
    return OpenedFile(source.digests, partial(read_caffe_network, source), CaffeRun(source))


def _tflite(path: Path, weights: Path | None) -> OpenedFile:
    from archforge.interchange.tflite.opened import open_tflite
    from archforge.interchange.tflite.reading import read_tflite
    from archforge.interchange.tflite.running import TfliteRun

    source = open_tflite(path)
    return OpenedFile({path.name: source.sha256}, partial(read_tflite, source), TfliteRun(source))


def _is_tflite(head: bytes) -> bool:
    return head[4:8] == b"TFL3"


def _torchscript(path: Path, weights: Path | None) -> OpenedFile:
    from archforge.interchange.torchscript.opened import open_torchscript
    from archforge.interchange.torchscript.reading import read_torchscript
    from archforge.interchange.torchscript.running import TorchScriptRun

    source = open_torchscript(path)
    run = TorchScriptRun(source)
    return OpenedFile({path.name: source.sha256}, partial(read_torchscript, source), run)


def _is_torch(head: bytes) -> bool:
    return head.startswith(b"PK") and (b"/data/0" in head or b"/code/" in head or b"/data.pkl" in head)


def _never(head: bytes) -> bool:
    return False


def _keras(path: Path, weights: Path | None) -> OpenedFile:
    from archforge.interchange.keras.opened import open_keras
    from archforge.interchange.keras.reading import read_model
    from archforge.interchange.keras.running import KerasRun

    source = open_keras(path)
    return OpenedFile({path.name: source.sha256}, partial(read_model, source), KerasRun(source))


def _is_keras(head: bytes) -> bool:
    is_archive = head.startswith(b"PK") and b"metadata.json" in head[:200]
    return is_archive or head.startswith(HDF5)


FORMATS = (
    NetworkFormat("ONNX", (".onnx",), _is_onnx, _onnx),
    NetworkFormat("Caffe", (".prototxt", ".caffemodel"), _never, _caffe, has_own_weights=False),
    NetworkFormat("Keras", (".keras", ".h5", ".hdf5", ".json"), _is_keras, _keras),
    NetworkFormat("TensorFlow Lite", (".tflite",), _is_tflite, _tflite),
    NetworkFormat("TorchScript", (".pt", ".ts", ".torchscript"), _is_torch, _torchscript),
)


def open_file(path: Path, weights: Path | None = None) -> OpenedFile:
    """A file of the format that its name says, or else its first bytes. weights: the file that its weights
    lie in, where it has none itself. Raises E0601 and E0801."""
    found = _format(path)
    if weights is not None and found.has_own_weights:
        message = f"{path} has its weights within, and {weights} is not needed"
        fail("E0801", message, help=f"archforge import {path}")
    return found.open(path, weights)


def _refuse_specs(path: Path) -> None:
    """Raises E0801 for what is a spec already, by the name of its file or of a network of the zoo."""
    if path.name.lower().endswith((".yaml", ".yml")):
        fail("E0801", f"{path} is a spec by its name, which needs no import", help=f"archforge check {path}")
    if path.name == str(path) and not path.exists() and (zoo_folder() / f"{path}.yaml").is_file():
        message = f"there is no file {path}; the network of the zoo of that name is a spec already"
        fail("E0801", message, help=f"archforge show {path}")


def _format(path: Path, formats: Sequence[NetworkFormat] = FORMATS) -> NetworkFormat:
    for format in formats:
        if path.name.lower().endswith(format.endings):
            return format
    _refuse_specs(path)
    head = b""
    with suppress(OSError), path.open("rb") as file:
        head = file.read(HEAD)
    for format in formats:
        if format.is_begun(head):
            return format
    if not path.is_file():
        return formats[0]
    known = [ending for format in formats for ending in format.endings]
    fail("E0801", f"{path} is of no format that can be imported", help=endings(known))
