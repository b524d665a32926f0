"""Files of torch.save, read without torch: the tensors by name in dicts, lists and tuples of any depth.

Both formats are read. A zip archive holds a pickle, `data.pkl`, that names storages, and each storage as a
member, uncompressed. The older format is a row of pickles, the fourth of them that of the tensors, and behind
them the storages, each after its number of elements. Source: torch/serialization.py.

A tensor may be a view of a storage, share it with others, or repeat its elements. Where it lies is checked
before an element is read. Checksums are not compared: torch does not either, and can leave them out.
"""

from __future__ import annotations

import io
import mmap
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from archforge.data.frameworks.pickles import MOST_BYTES, RefusedGlobals, read_pickle
from archforge.data.frameworks.torch_tensors import GLOBALS, Storages, TorchTensor
from archforge.data.mapped_arrays import Elements
from archforge.data.memory_map import mapped
from archforge.data.opened_files import TORCHSCRIPT, refuse_kind
from archforge.data.stored_arrays import FileVersion, StoredArray
from archforge.data.zip_members import stored_at
from archforge.errors import fail, listed
from archforge.hardware import require_memory
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["read_torch"]

MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the older format
PROTOCOL = 1001  # the second
ZIP = b"PK\x03\x04"  # the first bytes of an archive
COUNT = 8  # bytes of a number of elements
DEEPEST = 16  # containers in containers
MOST_VALUES = 1 << 20  # in all containers

TRUSTED = (
    "if you trust it, in torch: x = torch.load(FILE, weights_only=False), and torch.save of x.state_dict() "
    "of a module, or of the dict in x that holds the tensors"
)


class _Content(NamedTuple):
    """Content of a file: the value of its pickle, and the byte at which each storage begins. order: of the
    bytes of an element, `<` or `>`."""

    value: Any
    places: Mapping[str, int]
    order: str = "<"


def read_torch(file: BinaryIO, path: Path, what: str) -> dict[str, StoredArray]:
    """The tensors of a file of torch.save, by the keys and positions that lead to each, joined by dots.

    bfloat16 becomes float32. Other values, such as a number of epochs, are left out. Raises ValueError if
    malformed, and E0601 for a pickle that needs more than tensors and plain containers.
    """
    version = FileVersion.of(file, path, what)
    read = _zipped if file.read(len(ZIP)) == ZIP else _in_a_row
    try:
        content = read(file, version)
    except RefusedGlobals as error:
        needed = listed(f"`{name}`" for name in error.names)
        message = f"{path} is more than tensors in plain containers, and pickles are never executed here"
        fail("E0601", f"{message}: it needs {needed}", help=TRUSTED)
    found: dict[str, StoredArray] = {}
    for name, tensor in _tensors(content.value):
        if name in found:
            raise ValueError(f"two of its tensors are called `{name}`")
        begin = content.places[tensor.storage.key] + tensor.offset * tensor.dtype.size
        found[name] = _stored(tensor, version, begin, content.order)
    if not found:
        raise ValueError("it holds no tensors by name")
    return found


# The two formats -------------------------------------------------------------------------------------------


def _zipped(file: BinaryIO, version: FileVersion) -> _Content:
    archive = _Archive(file, version)
    storages = Storages()
    order = archive.content("byteorder") if "byteorder" in archive.members else b"little"
    if order not in _ORDERS:
        raise ValueError("its byteorder is neither little nor big")
    value = read_pickle(io.BytesIO(archive.content("data.pkl")), GLOBALS, storages)
    places = {key: archive.place(f"data/{key}", storage.size) for key, storage in storages.by_key.items()}
    return _Content(value, places, _ORDERS[order])


_ORDERS = {b"little": "<", b"big": ">"}


class _Archive:
    """Members of a zip archive of torch, without the folder that all of them are in. Raises ValueError for an
    archive that torch does not write, and E0601 for one of torch.jit."""

    def __init__(self, file: BinaryIO, version: FileVersion) -> None:
        self._file = file
        self._size = version.size
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
        pickles = [m.filename for m in members if m.filename.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"it has {len(pickles)} members called data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        self.members = {m.filename.removeprefix(folder): m for m in members}
        if len(self.members) != len(members):
            raise ValueError("two of its members have one name")
        if "constants.pkl" in self.members:
            refuse_kind(version.path, version.what, TORCHSCRIPT)

    def place(self, name: str, size: int) -> int:
        """The byte of the file at which a member of this size begins."""
        if name not in self.members:
            raise ValueError(f"its member `{name}` is missing")
        member = self.members[name]
        if member.file_size != size:
            raise ValueError(f"`{name}` has {member.file_size} bytes, expected {size}")
        return stored_at(self._file, member, name, self._size, "torch")

    def content(self, name: str) -> bytes:
        """The bytes of a small member."""
        size = self.members[name].file_size
        if size > MOST_BYTES:
            raise ValueError(f"`{name}` has more than {MOST_BYTES:,} bytes")
        self._file.seek(self.place(name, size))
        return self._file.read(size)


def _in_a_row(file: BinaryIO, version: FileVersion) -> _Content:
    """Content of the older format, in which numbers are little-endian, whatever machine has written them."""
    storages = Storages()
    size = version.size
    with mmap.mmap(file.fileno(), min(size, 4 * MOST_BYTES), access=mmap.ACCESS_READ) as stream:
        if read_pickle(stream, {}, storages) != MAGIC or read_pickle(stream, {}, storages) != PROTOCOL:
            raise ValueError("it is a pickle, but not of torch.save")
        read_pickle(stream, {}, storages)  # the sizes of types of the machine
        value = read_pickle(stream, GLOBALS, storages)
        keys = read_pickle(stream, {}, storages)
        begin = stream.tell()
    if not isinstance(keys, list) or sorted(keys) != sorted(storages.by_key):
        raise ValueError("it lists other storages than its tensors need")
    places: dict[str, int] = {}
    for key in keys:
        storage = storages.by_key[key]
        file.seek(begin)
        count = int.from_bytes(file.read(COUNT), "little")
        begin += COUNT
        if count * storage.dtype.size != storage.size or begin + storage.size > size:
            raise ValueError(f"its storage `{key}` is cut short, or of another size than its tensors say")
        places[key] = begin
        begin += storage.size
    return _Content(value, places)


# The tensors -----------------------------------------------------------------------------------------------


def _tensors(value: Any) -> Iterator[tuple[str, TorchTensor]]:
    """Tensors in containers, each with its name. Raises ValueError for containers too deep or too many, as
    those are that hold themselves."""
    seen = 0
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    while waiting:
        name, value, depth = waiting.pop()
        seen += 1
        if isinstance(value, TorchTensor) and name:
            yield name, value
        inside = [(f"{name}.{key}" if name else f"{key}", part, depth + 1) for key, part in _parts(value)]
        if inside and (depth >= DEEPEST or seen + len(waiting) + len(inside) > MOST_VALUES):
            raise ValueError(
                f"its containers are more than {DEEPEST} deep, or hold more than {MOST_VALUES:,} values"
            )
        waiting += reversed(inside)


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """The tensors and containers in a container, by their keys or positions; nothing for other values."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list | tuple)
        else ()
    )
    return ((key, part) for key, part in items if isinstance(part, TorchTensor | dict | list | tuple))


def _stored(tensor: TorchTensor, version: FileVersion, begin: int, order: str) -> StoredArray:
    code = f"{order}{tensor.dtype.code}" if tensor.dtype.code else ""
    elements = Elements(tensor.dtype.name, code)
    dtype = elements.dtype.newbyteorder("=")
    return StoredArray(version, tensor.shape, dtype, elements.name, partial(_read, tensor, elements, begin))


def _read(tensor: TorchTensor, elements: Elements, begin: int, file: BinaryIO) -> Array:
    """The elements of a tensor in C order, mapped into memory where they lie so in the file, aligned and in
    the machine's order of bytes. Raises ValueError for a dtype that NumPy lacks, and E0706."""
    if not elements.code:
        raise ValueError(f"one of its tensors has the dtype {elements.name}, which NumPy cannot hold")
    size, native = tensor.dtype.size, elements.dtype.newbyteorder("=")
    if not tensor.span:
        return np.empty(tensor.shape, native)
    flat = mapped(file, begin, tensor.span * size).view(elements.code)
    # Along an axis of one element nothing is stepped, and its stride may be any.
    steps = zip(tensor.shape, tensor.strides, strict=True)
    strides = tuple(size * step if n > 1 else 0 for n, step in steps)
    array = np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False)
    if not array.flags.c_contiguous or not array.flags.aligned:
        require_memory(array.size * size, "the tensor")
    return np.require(elements.decoded(array), native, ["C_CONTIGUOUS", "ALIGNED"])
