"""Arrays by name on disk: weights in a table of formats, inputs as .npy or .npz.

Nothing that a file holds is executed: pickles are refused.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

from archforge.atomic_files import written_beside
from archforge.data.npy import read_npy, read_npz
from archforge.data.opened_files import endings, opened, refuse_name
from archforge.data.safetensors import read_metadata, read_safetensors, write_safetensors
from archforge.data.sharded import INDEX, read_sharded
from archforge.data.stored_arrays import LazyArrays, StoredArray
from archforge.errors import did_you_mean, fail
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = [
    "WEIGHTS",
    "FileFormat",
    "npz_writer",
    "read_inputs",
    "read_texts",
    "read_weights",
    "require_own_layout",
    "weights_format",
    "write_arrays",
]


class FileFormat(NamedTuple):
    """A format of arrays by name: the endings of its files' names, and its reader.

    read: takes the opened file, its path, and words for messages. in_order: the arrays are in an order in
    which a network computes. channels_last: what is flattened had its channels last.
    """

    endings: tuple[str, ...]
    read: Callable[[BinaryIO, Path, str], dict[str, StoredArray]]
    in_order: bool = True
    channels_last: bool = False


def _of_framework(module: str, function: str) -> Callable[..., Any]:
    """A function of a module of `frameworks`, which is imported when a file of it is read or written."""

    def call(*given: Any) -> Any:
        return getattr(import_module(f"archforge.data.frameworks.{module}"), function)(*given)

    return call


# Formats of weights.
WEIGHTS = (
    FileFormat((".safetensors",), read_safetensors, in_order=False),  # its library sorts them
    FileFormat((".npz",), read_npz),
    FileFormat((INDEX,), read_sharded, in_order=False),
    FileFormat((".pth", ".pt", ".pth.tar", ".ckpt", ".bin"), _of_framework("torch", "read_torch")),
    FileFormat((".h5", ".hdf5"), _of_framework("keras", "read_hdf5"), channels_last=True),
    FileFormat((".keras",), _of_framework("keras", "read_keras"), channels_last=True),
    FileFormat((".json",), _of_framework("tfjs", "read_tfjs"), channels_last=True),
    FileFormat((".caffemodel",), _of_framework("caffe", "read_caffe")),
    FileFormat((".onnx",), _of_framework("onnx", "read_onnx")),
)


def read_weights(path: str | Path) -> dict[str, StoredArray]:
    """The arrays of a file of weights by name, which are read when they are used. Of safetensors in several
    files, `path` is the index. Raises E0601."""
    return _read(Path(path), WEIGHTS, "weights")


def read_texts(path: str | Path) -> dict[str, str]:
    """Texts by name in which a file of weights tells of itself; none, where its format has no place for any.
    Raises E0601."""
    path = Path(path)
    if weights_format(path).read is not read_safetensors:
        return {}
    with opened(path, "file of weights") as file:
        return read_metadata(file)


def weights_format(path: str | Path) -> FileFormat:
    """The format of a file of weights, by its name. Raises E0601."""
    return _format(Path(path), WEIGHTS)[1]


def require_own_layout(path: str | Path) -> None:
    """Raises E0601 for a file whose arrays can need another order than a network's, whatever their names
    are."""
    path = Path(path)
    if weights_format(path).channels_last:
        help = f"archforge weights convert {path} --to SPEC -o weights.safetensors"
        fail("E0601", f"the weights in {path} have channels last, and must be converted first", help=help)


def read_inputs(path: str | Path, names: Sequence[str]) -> dict[str, StoredArray]:
    """An array for each of a network's inputs `names`: from an .npz file that holds these names, or,
    for one input, from an .npy file or an .npz file of one array whatever its name. Raises E0601."""
    path = Path(path)
    arrays = _read(path, (FileFormat((".npy",), read_npy), FileFormat((".npz",), read_npz)), "input")
    if len(names) == 1 and len(arrays) == 1:
        return {names[0]: next(iter(arrays.values()))}
    if path.suffix == ".npy":
        listed = ", ".join(f"`{n}`" for n in names)
        fail(
            "E0601",
            f"{path} holds one array, the network has the inputs {listed}",
            help="an .npz file of these names",
        )
    missing = [n for n in names if n not in arrays]
    if missing:
        fail(
            "E0601",
            f"{path} lacks the input {', '.join(f'`{n}`' for n in missing)}",
            help=f"it holds: {', '.join(arrays) or 'nothing'}",
        )
    extra = [n for n in arrays if n not in names]
    if extra:
        help = did_you_mean(extra[0], names, what="inputs")
        fail("E0601", f"{path} holds `{extra[0]}`, which is no input of the network", help=help)
    return {n: arrays[n] for n in names}


def write_arrays(
    path: str | Path, arrays: LazyArrays, texts: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write arrays by name as .safetensors, .npz or torch's .pth, the same bytes each time; one in a file is
    read when it is written. texts: what the file says of itself, which .safetensors has a place for. Raises
    E0705."""
    path = Path(path)
    writers: dict[str, Callable[[BinaryIO, LazyArrays], None]] = {
        ".safetensors": partial(write_safetensors, texts=texts),
        ".npz": _write_npz,
        **dict.fromkeys((".pth", ".pt"), _of_framework("torch_writing", "write_torch")),
    }
    writer = writers.get(path.suffix)
    if writer is None:
        fail("E0705", f"cannot tell the format of {path} from its name", help=endings(writers))
    with written_beside(path) as file:
        try:
            writer(file, arrays)
        except ValueError as error:
            fail("E0705", f"cannot write {path}: {error}")


@contextmanager
def npz_writer(path: Path) -> Iterator[Callable[[str, Array], None]]:
    """A function that adds an array to an .npz file, by its name; it is there once all are. Raises E0705."""
    with written_beside(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        yield partial(_write_member, archive)


def _read(path: Path, formats: Sequence[FileFormat], what: str) -> dict[str, StoredArray]:
    ending, found = _format(path, formats)
    what = f"{ending[1:]} file of {what}"
    known = [ending for each in formats for ending in each.endings]
    with opened(path, what, takes=found.endings[0], known=known) as file:
        return found.read(file, path, what)


def _format(path: Path, formats: Sequence[FileFormat]) -> tuple[str, FileFormat]:
    """The ending of a file's name, the longest that is known, and its format. Raises E0601."""
    endings = {ending: each for each in formats for ending in each.endings}
    fits = [ending for ending in endings if path.name.lower().endswith(ending)]
    if not fits:
        refuse_name(path, endings)
    ending = max(fits, key=len)
    return ending, endings[ending]


def _write_npz(file: BinaryIO, arrays: LazyArrays) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            _write_member(archive, name, np.asarray(array))


def _write_member(archive: zipfile.ZipFile, name: str, array: Array) -> None:
    # numpy.savez would put the clock into the archive, and cannot name an array `file`.
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
        np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
