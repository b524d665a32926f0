"""Members of zip archives: where each lies in the file, and its bytes, with the sizes that the directory
promises compared with those of the file before anything is read."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from archforge.data.opened_files import DEFLATED

__all__ = ["check_sizes", "content_at", "opened_member"]

LOCAL_HEADER = 30  # bytes of it before a member's name


def check_sizes(member: zipfile.ZipInfo, file_size: int) -> None:
    """Raises ValueError for a member whose sizes cannot be, before memory is made for them."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"`{member.filename}` is compressed as NumPy never does")
    most = member.compress_size * (1 if member.compress_type == zipfile.ZIP_STORED else DEFLATED)
    if member.file_size > most or member.compress_size > file_size:
        raise ValueError(f"`{member.filename}` is said to take {member.file_size} bytes")


def content_at(file: BinaryIO, member: zipfile.ZipInfo) -> int:
    """The byte of the file at which a member's content begins; `file` is then there. To open the archive
    again would read its directory."""
    file.seek(member.header_offset)
    local = file.read(LOCAL_HEADER)
    name, extra = (int.from_bytes(local[i : i + 2], "little") for i in (26, 28))
    return file.seek(name + extra, os.SEEK_CUR)


@contextmanager
def opened_member(file: BinaryIO, member: zipfile.ZipInfo) -> Iterator[zipfile.ZipExtFile]:
    """The content of a member, unpacked; its checksum is compared where it has been read to its end."""
    content_at(file, member)
    with zipfile.ZipExtFile(file, "r", member) as content:
        yield content
