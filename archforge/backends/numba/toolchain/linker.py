"""Linker of object code into this process without LLVM, whose library alone takes 40 MiB.

The code is made for any address (LLVM's large code model), so that little is left to do: to lay the sections
of its ELF file out in memory, and to write addresses of symbols, 64 bits each, where relocations ask for
them. A file with anything else, and a system that forbids this, is refused; LLVM's own loader is for them.

Source: System V ABI, "Object Files": sections, symbols, relocations; its AMD64 supplement for R_X86_64_64.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

__all__ = ["CodeRefused", "Linker"]

HEADER = struct.Struct("<7s9xHH20xQ12xH2x")  # format, type, machine, offset and number of the sections
RELOCATABLE_X86_64 = (b"\x7fELF\x02\x01\x01", 1, 62)  # of 64 bits, little-endian, version 1
SECTION = struct.Struct("<4xIQ8xQQIIQ8x")
SYMBOL = struct.Struct("<I2xHQ8x")
RELOCATION = struct.Struct("<QIIq")
ADDRESS = struct.Struct("<Q")
# Kinds of sections. Tables for unwinding the stack stay out of memory: nothing here raises.
PROGRAM, SYMBOLS, STRINGS, RELOCATIONS, UNWINDING = 1, 2, 3, 4, 0x70000001
KNOWN = {0, PROGRAM, SYMBOLS, STRINGS, RELOCATIONS, UNWINDING}
# Flags of sections.
WRITABLE, IN_MEMORY, OF_THREAD = 1, 2, 0x400
UNDEFINED = 0  # the section of symbols that are elsewhere
R_X86_64_64 = 1  # a symbol's address plus the addend


class CodeRefused(Exception):
    """Object code that must be left to LLVM's loader, with the reason."""


class _ElfSection(NamedTuple):
    kind: int
    flags: int
    start: int
    size: int
    link: int
    info: int
    alignment: int


class _ElfSymbol(NamedTuple):
    name: str
    section: int
    value: int  # its place there


class Linker:
    """A loader of object code. `symbols` are addresses of functions that the code may call besides those that
    the process has by name."""

    def __init__(self, symbols: Mapping[str, int]) -> None:
        self._symbols = symbols
        self._memory: list[mmap.mmap] = []  # is given back when the process ends

    def load(self, code: bytes, function: str) -> int:
        """The address of a function of this object code, 0 if there is none. Raises CodeRefused."""
        sections = _sections(code)
        symbols = _symbols(code, sections)
        places, size = _layout(sections)
        # Each has pages of its own, so that nothing that may be running is ever writable.
        memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for i, place in places.items():
            memory[place : place + sections[i].size] = _contents(code, sections[i])

        def address(symbol: _ElfSymbol) -> int:
            if symbol.section in places:
                return base + places[symbol.section] + symbol.value
            if symbol.section != UNDEFINED:
                raise CodeRefused(f"symbol of section {symbol.section}")
            return self._outside(symbol.name)

        for place, symbol, addend in _relocations(code, sections, places):
            ADDRESS.pack_into(memory, place, address(symbols[symbol]) + addend)
        _make_executable(base, size)
        self._memory.append(memory)
        return next((address(symbol) for symbol in symbols if symbol.name == function), 0)

    def _outside(self, name: str) -> int:
        if name in self._symbols:
            return self._symbols[name]
        try:
            function = _process()[name]
        except AttributeError:
            raise CodeRefused(f"this process has no {name}") from None
        return ctypes.cast(function, ctypes.c_void_p).value or 0


def _sections(code: bytes) -> list[_ElfSection]:
    if sys.platform != "linux":
        raise CodeRefused("elsewhere memory becomes executable in other ways")
    *kind, start, number = HEADER.unpack_from(code) if len(code) >= HEADER.size else (0, 0)
    if tuple(kind) != RELOCATABLE_X86_64:
        raise CodeRefused("no relocatable ELF file for x86-64")
    headers = code[start : start + number * SECTION.size]
    sections = [_ElfSection(*fields) for fields in SECTION.iter_unpack(headers)]
    for section in sections:
        if section.kind not in KNOWN or section.flags & (WRITABLE | OF_THREAD):
            raise CodeRefused(f"section of kind {section.kind:#x} and flags {section.flags:#x}")
        if section.alignment > mmap.PAGESIZE:
            raise CodeRefused(f"section at multiples of {section.alignment} bytes")
    return sections


def _layout(sections: list[_ElfSection]) -> tuple[dict[int, int], int]:
    """The offset in memory of each section that belongs there, and the bytes of all together."""
    places, size = {}, 0
    for i, section in enumerate(sections):
        if section.kind == PROGRAM and section.flags & IN_MEMORY:
            places[i] = size + -size % max(section.alignment, 1)
            size = places[i] + section.size
    return places, size


def _contents(code: bytes, section: _ElfSection) -> bytes:
    return code[section.start : section.start + section.size]


def _symbols(code: bytes, sections: list[_ElfSection]) -> list[_ElfSymbol]:
    table = next(section for section in sections if section.kind == SYMBOLS)
    names = _contents(code, sections[table.link])
    return [
        _ElfSymbol(names[start : names.index(0, start)].decode(), section, value)
        for start, section, value in SYMBOL.iter_unpack(_contents(code, table))
    ]


def _relocations(
    code: bytes, sections: list[_ElfSection], places: Mapping[int, int]
) -> Iterator[tuple[int, int, int]]:
    """Relocations: the offset where an address belongs, the number of its symbol, and what is added."""
    for section in sections:
        if section.kind == RELOCATIONS and section.info in places:
            for place, kind, symbol, addend in RELOCATION.iter_unpack(_contents(code, section)):
                if kind != R_X86_64_64:
                    raise CodeRefused(f"relocation of kind {kind}")
                yield places[section.info] + place, symbol, addend


def _make_executable(base: int, size: int) -> None:
    rights = mmap.PROT_READ | mmap.PROT_EXEC
    if _process().mprotect(ctypes.c_void_p(base), ctypes.c_size_t(size), rights):
        raise CodeRefused("this system makes no memory executable")


@cache
def _process() -> ctypes.CDLL:
    """The functions of all libraries that this process has loaded, by name."""
    return ctypes.CDLL(None)
