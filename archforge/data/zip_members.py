"""Members of zip archives: where the content of each lies in the file."""

from __future__ import annotations

import os
import zipfile
from typing import BinaryIO

__all__ = ["content_at", "stored_at"]

LOCAL_HEADER = 30  # bytes of it before a member's name


def content_at(file: BinaryIO, member: zipfile.ZipInfo) -> int:
    """The byte of the file at which a member's content begins; `file` is then there. To open the archive
    again would read its directory."""
    file.seek(member.header_offset)
    local = file.read(LOCAL_HEADER)
    name, extra = (int.from_bytes(local[i : i + 2], "little") for i in (26, 28))
    return file.seek(name + extra, os.SEEK_CUR)


def stored_at(file: BinaryIO, member: zipfile.ZipInfo, name: str, file_size: int, program: str) -> int:
    """The byte of the file at which the content of a member lies as it is; `file` is then there.

    name, program: words for messages, of the member and of what writes such archives. Raises ValueError for
    a member that is compressed, encrypted or cut short.
    """
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        raise ValueError(f"`{name}` is compressed or encrypted, which {program} never does")
    begin = content_at(file, member)
    if begin + member.file_size > file_size:
        raise ValueError(f"`{name}` ends at byte {begin + member.file_size}, the file has {file_size}")
    return begin
