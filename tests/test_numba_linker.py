"""Object code brought into this process without LLVM: what it does there, and what is left to LLVM."""

from __future__ import annotations

import ctypes
import platform
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from archforge.backends import available
from archforge.backends.numba.toolchain.linker import CodeRefused
from archforge.backends.numba.toolchain.machine import machine
from archforge.backends.numba.toolchain.machine_code import _LoadedCode
from archforge.errors import InternalError

if TYPE_CHECKING:
    import llvmlite.binding as llvm

pytestmark = [
    pytest.mark.skipif("numba" not in available(), reason="numba is not installed"),
    pytest.mark.skipif(
        sys.platform != "linux" or platform.machine() != "x86_64", reason="LLVM loads all code here"
    ),
]

# Bodies of functions that write a number to the address they are given, and what stands before them.
TABLE = "@table = private constant [3 x i64] [i64 5, i64 6, i64 7], align 64"
LAST = "getelementptr ([3 x i64], ptr @table, i64 0, i64 2)"
CONSTANT = (TABLE, f"%y = load volatile i64, ptr {LAST}")
INNER = ("define internal i64 @inner() noinline { ret i64 7 }", "%y = call i64 @inner()")
SYSTEM = ("declare i64 @labs(i64)", "%y = call i64 @labs(i64 -7)")
GIVEN = ("declare i64 @given(i64)", "%y = call i64 @given(i64 -7)")
KNOWN = {"a constant": CONSTANT, "a function of its own": INNER, "the system's": SYSTEM, "a given one": GIVEN}

VARIABLE = ("@seven = global i64 7", "%y = load volatile i64, ptr @seven")
OF_THREAD = ("@seven = thread_local global i64 7", "%y = load volatile i64, ptr @seven")
COMMON = ("@seven = common global i64 0", "%z = load i64, ptr @seven\n%y = add i64 %z, 7")


@dataclass(frozen=True, slots=True)
class Text:
    """A recipe."""

    before: str
    body: str
    name: str = "f"

    def module(self) -> llvm.ModuleRef:
        import llvmlite.binding as llvm

        define = "define void @f(i64 %at) {\n%out = inttoptr i64 %at to ptr"
        return llvm.parse_assembly(
            f"{self.before}\n{define}\n{self.body}\nstore i64 %y, ptr %out\nret void\n}}"
        )


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _LoadedCode:
    monkeypatch.setenv("ARCHFORGE_CACHE", str(tmp_path))
    made = _LoadedCode(machine())
    made.symbols["given"] = ctypes.cast(ctypes.CDLL(None).labs, ctypes.c_void_p).value or 0
    return made


def written_by(address: int) -> int:
    out = ctypes.c_int64()
    ctypes.CFUNCTYPE(None, ctypes.c_int64)(address)(ctypes.addressof(out))
    return out.value


@pytest.mark.parametrize("known", KNOWN)
def test_code_reaches_what_it_refers_to(known: str, library: _LoadedCode) -> None:
    code = library.compiler.object_code(Text(*KNOWN[known]).module())
    assert written_by(library.linker.load(code, "f")) == 7
    assert library.linker.load(code, "g") == 0


def test_constants_lie_at_multiples_of_their_alignment(library: _LoadedCode) -> None:
    code = library.compiler.object_code(Text(TABLE, "%y = ptrtoint ptr @table to i64").module())
    assert written_by(library.linker.load(code, "f")) % 64 == 0


@pytest.mark.parametrize("before_body", [VARIABLE, COMMON])
def test_what_is_refused_is_loaded_by_llvm(before_body: tuple[str, str], library: _LoadedCode) -> None:
    code = library.compiler.object_code(Text(*before_body).module())
    with pytest.raises(CodeRefused):
        library.linker.load(code, "f")
    assert written_by(library.address(Text(*before_body))) == 7


@dataclass(frozen=True)
class Counted:
    """A recipe that notes which thread makes it, and may fail at that."""

    name: str
    makers: list[str]
    fails: bool = False

    def module(self) -> llvm.ModuleRef:
        self.makers.append(threading.current_thread().name)
        if self.fails:
            raise InternalError(f"{self.name} cannot be made")
        return Text(*CONSTANT).module()


def test_what_is_begun_is_made_once_by_a_thread_that_ends(library: _LoadedCode) -> None:
    recipes = [Counted("f", []), Counted("bad", [], fails=True)]
    for recipe in recipes * 2:
        library.begin(recipe)
    for thread in threading.enumerate():
        if thread.name == "archforge-compiler":
            thread.join(60)
            assert not thread.is_alive()
    assert written_by(library.address(recipes[0])) == 7
    with pytest.raises(InternalError, match="bad cannot be made"):
        library.address(recipes[1])
    assert recipes[0].makers == ["archforge-compiler"]
    assert recipes[1].makers == ["archforge-compiler", "MainThread"]
    again = _LoadedCode(machine())
    again.begin(recipes[0])
    assert not again.waiting  # the cache has it


def small(module: llvm.ModuleRef) -> bytes:
    """Object code whose parts must lie within 2 GiB: with relocations of 32 bits."""
    import llvmlite.binding as llvm

    code: bytes = (
        llvm.Target.from_default_triple().create_target_machine(codemodel="small").emit_object(module)
    )
    return code


def test_other_code_is_refused(library: _LoadedCode) -> None:
    compiled = library.compiler.object_code
    refused = {
        "relocation of kind": small(Text(*CONSTANT).module()),
        "flags 0x403": compiled(Text(*OF_THREAD).module()),
        "this process has no nowhere": compiled(
            Text("declare i64 @nowhere()", "%y = call i64 @nowhere()").module()
        ),
        "no relocatable ELF file for x86-64": b"\xcf\xfa\xed\xfe" * 32,
        "no relocatable ELF": b"",
    }
    for reason, code in refused.items():
        with pytest.raises(CodeRefused, match=reason):
            library.linker.load(code, "f")


def test_where_memory_cannot_be_made_executable_llvm_loads(library: _LoadedCode) -> None:
    code = library.compiler.object_code(Text(*CONSTANT).module())
    with mock.patch("archforge.backends.numba.toolchain.linker._process") as process:
        process().mprotect.return_value = -1
        with pytest.raises(CodeRefused, match="no memory executable"):
            library.linker.load(code, "f")
        assert written_by(library._loaded(code, "f")) == 7
    with mock.patch("sys.platform", "darwin"), pytest.raises(CodeRefused, match="elsewhere"):
        library.linker.load(code, "f")


def test_no_memory_is_writable_and_executable(library: _LoadedCode) -> None:
    code = library.compiler.object_code(Text(*CONSTANT).module())
    before = set(rights())
    address = library.linker.load(code, "f")
    (mine,) = [r for r in rights() if r[0] <= address < r[1]]
    assert mine not in before
    assert mine[2] == "r-xp"


def rights() -> Iterator[tuple[int, int, str]]:
    """Begin, end and rights of all of this process's memory."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, allowed, *_ = line.split()
        begin, end = (int(x, 16) for x in span.split("-"))
        yield begin, end, allowed
