"""Pickles read by a machine that is closed: it makes plain values, lists, tuples and dicts, and calls nothing
but the functions that its caller names.

Opcodes are told apart by `pickletools`; their meanings are those of `pickle`, protocols 0 to 5. A global with
another name is never imported: it stands for nothing, and all of them are told at the end.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Global", "RefusedGlobals", "read_pickle"]

MOST_OPCODES = 1 << 20  # of one pickle; a tensor takes about 40
MOST_BYTES = 1 << 26  # of one pickle
LARGEST_KEY = 1 << 60  # of whole numbers, below which no two of them have one hash
LONGEST_KEY = 16  # values of a tuple, whose hash is computed at each use


class Global(NamedTuple):
    """A global that a pickle may name. make: called with what the pickle gives it."""

    name: str
    make: Callable[..., Any]


class RefusedGlobals(ValueError):
    """Globals that a pickle names, and that its reader does not know: their full names, in order."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"it names {', '.join(names)}")
        self.names = names


def _ordered_dict(items: Any = ()) -> dict[Any, Any]:
    if not isinstance(items, list | tuple) or not all(
        isinstance(i, list | tuple) and len(i) == 2 for i in items
    ):
        raise ValueError("its pickle has an ordered dict of what are no pairs")
    return {_as_key(key): value for key, value in items}


def _counter(counts: Any = None) -> dict[Any, Any]:
    if counts is not None and not isinstance(counts, dict):
        raise ValueError("its pickle has a counter of what is no dict")
    return dict(counts or {})


def _elements(items: Any = ()) -> list[Any]:
    if not isinstance(items, list | tuple):
        raise ValueError("its pickle has a set of what is no list")
    return list(items)


def _encoded(text: Any = b"", encoding: Any = "latin1") -> bytes:
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("its pickle has bytes of what is no text in latin1")
    return text.encode("latin1")


def _complex(real: Any = 0, imaginary: Any = 0) -> complex:
    return complex(float(real), float(imaginary))


# Plain containers and values that have no opcode of their own in protocol 2, under their names in both
# Pythons.
_PLAIN: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.Counter": _counter,
    "_codecs.encode": _encoded,
    **{
        f"{module}.{name}": make
        for module in ("builtins", "__builtin__")
        for name, make in (
            ("set", _elements), ("frozenset", _elements), ("bytearray", _encoded), ("complex", _complex)
        )
    },
}  # fmt: skip
_CONTAINERS = {name: Global(name, make) for name, make in _PLAIN.items()}


class _Refused:
    """Value of a global that is refused, and of all that is made with it."""


_REFUSED = _Refused()
_MARK = object()

# Opcodes that push their argument, or a value of their own.
_LITERALS = frozenset((
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
))  # fmt: skip
_VALUES: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,  # nothing is looked up in it, and its elements need no hash
    "MARK": lambda: _MARK,
}
_IGNORED = frozenset(("PROTO", "FRAME"))


def read_pickle(stream: Any, known: Mapping[str, Any], persistent: Callable[[Any], Any]) -> Any:
    """The value of the pickle that begins at the place of `stream`, which then is behind it; sets become
    lists.

    stream: bytes with `read`, `readline` and `tell`. known: what a global is, by its full name, besides plain
    containers: a `Global`, or a plain value. persistent: the value that a persistent id stands for. Raises
    RefusedGlobals, ValueError, and what `pickletools` raises, for anything else.
    """
    machine = _PickleMachine(known, persistent)
    start = stream.tell()
    for count, (opcode, argument, place) in enumerate(pickletools.genops(stream)):
        if count >= MOST_OPCODES or (place or 0) - start > MOST_BYTES:
            raise ValueError(f"its pickle has more than {MOST_OPCODES:,} opcodes or {MOST_BYTES:,} bytes")
        if opcode.name == "STOP":
            return machine.result()
        machine.do(opcode.name, argument)
    raise ValueError("its pickle does not end")


class _PickleMachine:
    """Stack and memo of a pickle that is being read."""

    def __init__(self, known: Mapping[str, Any], persistent: Callable[[Any], Any]) -> None:
        self._known = {**_CONTAINERS, **known}
        self._persistent = persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._refused: dict[str, None] = {}

    def do(self, name: str, argument: Any) -> None:
        """Follow one opcode. Raises ValueError for one that has no place here."""
        if name in _LITERALS:
            self._stack.append(argument)
        elif name in _VALUES:
            self._stack.append(_VALUES[name]())
        elif name not in _IGNORED:
            if name not in _OPCODES:
                raise ValueError(f"its pickle has the opcode {name}")
            _OPCODES[name](self, argument)

    def result(self) -> Any:
        """The value of the pickle. Raises RefusedGlobals."""
        if self._refused:
            raise RefusedGlobals(list(self._refused))
        return self._pop()

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("its pickle has a mark in place of a value")
        return value

    def _items(self) -> list[Any]:
        """The values behind the last mark, which is taken off with them."""
        items: list[Any] = []
        while (value := self._stack.pop()) is not _MARK:
            items.append(value)
        items.reverse()
        return items

    def _top(self, kind: type[Any]) -> Any:
        """The value on top, which must be of this kind; None for what is refused."""
        value = self._stack[-1]
        if isinstance(value, _Refused):
            return None
        if not isinstance(value, kind):
            raise ValueError(f"its pickle takes {type(value).__name__} for {kind.__name__}")
        return value

    def _named(self, module: Any, name: Any) -> Any:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("its pickle names a global by what is no text")
        full = f"{module}.{name}"
        if full in self._known:
            return self._known[full]
        self._refused[full] = None
        return _REFUSED

    def _call(self, function: Any, arguments: Any) -> Any:
        if isinstance(function, _Refused) or isinstance(arguments, _Refused):
            return _REFUSED
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise ValueError(f"its pickle calls {type(function).__name__}, which is no function")
        if any(isinstance(value, _Refused) for value in arguments):
            return _REFUSED
        return function.make(*arguments)

    # The opcodes -------------------------------------------------------------------------------------------

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(self._named(module, name))

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        self._stack.append(self._named(module, name))

    def _reduce(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        self._stack.append(self._call(function, arguments))

    def _newobj_ex(self, _: Any) -> None:
        named, arguments, function = self._pop(), self._pop(), self._pop()
        if named:
            raise ValueError("its pickle calls a function with arguments by name")
        self._stack.append(self._call(function, arguments))

    def _build(self, _: Any) -> None:
        """Drop the attributes of a dict, such as the versions of a state dict's modules."""
        self._pop()
        self._top(dict)

    def _persid(self, argument: Any) -> None:
        self._stack.append(self._persistent(argument))

    def _binpersid(self, _: Any) -> None:
        given = self._pop()
        refused = isinstance(given, tuple) and any(isinstance(value, _Refused) for value in given)
        self._stack.append(_REFUSED if refused else self._persistent(given))

    def _append(self, _: Any) -> None:
        value, into = self._pop(), self._top(list)
        if into is not None:
            into.append(value)

    def _appends(self, _: Any) -> None:
        values, into = self._items(), self._top(list)
        if into is not None:
            into.extend(values)

    def _setitem(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._put_into(self._top(dict), [key, value])

    def _setitems(self, _: Any) -> None:
        items = self._items()
        self._put_into(self._top(dict), items)

    def _dict(self, _: Any) -> None:
        items = self._items()
        self._stack.append({})
        self._put_into(self._stack[-1], items)

    def _put_into(self, into: dict[Any, Any] | None, items: list[Any]) -> None:
        for key, value in _pairs(items):
            if into is not None and not isinstance(key, _Refused):
                into[_as_key(key)] = value

    def _list(self, _: Any) -> None:
        self._stack.append(self._items())

    def _tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._items()))

    def _tuple1(self, _: Any) -> None:
        self._tuple_of(1)

    def _tuple2(self, _: Any) -> None:
        self._tuple_of(2)

    def _tuple3(self, _: Any) -> None:
        self._tuple_of(3)

    def _tuple_of(self, length: int) -> None:
        values = [self._pop() for _ in range(length)]
        self._stack.append(tuple(reversed(values)))

    def _put(self, index: Any) -> None:
        if not 0 <= index < LARGEST_KEY:
            raise ValueError("its pickle keeps a value under a number that is too large")
        self._memo[index] = self._stack[-1]

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _get(self, index: Any) -> None:
        self._stack.append(self._memo[index])

    def _drop(self, _: Any) -> None:
        self._stack.pop()

    def _drop_items(self, _: Any) -> None:
        self._items()

    def _dup(self, _: Any) -> None:
        self._stack.append(self._stack[-1])


_OPCODES: Mapping[str, Callable[[_PickleMachine, Any], None]] = {
    "GLOBAL": _PickleMachine._global,
    "STACK_GLOBAL": _PickleMachine._stack_global,
    "REDUCE": _PickleMachine._reduce,
    "NEWOBJ": _PickleMachine._reduce,
    "NEWOBJ_EX": _PickleMachine._newobj_ex,
    "BUILD": _PickleMachine._build,
    "PERSID": _PickleMachine._persid,
    "BINPERSID": _PickleMachine._binpersid,
    "APPEND": _PickleMachine._append,
    "APPENDS": _PickleMachine._appends,
    "ADDITEMS": _PickleMachine._appends,
    "SETITEM": _PickleMachine._setitem,
    "SETITEMS": _PickleMachine._setitems,
    "DICT": _PickleMachine._dict,
    "LIST": _PickleMachine._list,
    "FROZENSET": _PickleMachine._list,
    "TUPLE": _PickleMachine._tuple,
    "TUPLE1": _PickleMachine._tuple1,
    "TUPLE2": _PickleMachine._tuple2,
    "TUPLE3": _PickleMachine._tuple3,
    "PUT": _PickleMachine._put,
    "BINPUT": _PickleMachine._put,
    "LONG_BINPUT": _PickleMachine._put,
    "MEMOIZE": _PickleMachine._memoize,
    "GET": _PickleMachine._get,
    "BINGET": _PickleMachine._get,
    "LONG_BINGET": _PickleMachine._get,
    "POP": _PickleMachine._drop,
    "POP_MARK": _PickleMachine._drop_items,
    "DUP": _PickleMachine._dup,
}  # fmt: skip


def _pairs(items: list[Any]) -> Iterator[tuple[Any, Any]]:
    if len(items) % 2:
        raise ValueError("its pickle has a key without a value")
    return zip(items[::2], items[1::2], strict=True)


def _as_key(value: Any, *, is_inner: bool = False) -> Any:
    """The value as a key of a dict: a text, a number, None, or a tuple of them. Raises ValueError.

    The hash of tuples in tuples would take the stack, and whole numbers of one hash the time.
    """
    if isinstance(value, str | bytes | float | None) or (isinstance(value, int) and abs(value) < LARGEST_KEY):
        return value
    if isinstance(value, tuple) and not is_inner and len(value) <= LONGEST_KEY:
        return tuple(_as_key(part, is_inner=True) for part in value)
    raise ValueError(f"its pickle has {type(value).__name__} for a key")
