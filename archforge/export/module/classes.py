"""Blocks as classes of layers: a constructor that makes the layers, and a function that calls them.

A block is a class, and so is a named sequence that is more than one call after the other; one that is not is
written where it stands. Each level of the parameters' names is an object that holds the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from archforge.errors import Diagnostic, DiagnosticError
from archforge.export.module.bodies import BodyLine, RegionTree, region_tree
from archforge.export.module.dialect import Dialect
from archforge.export.module.functions import BlockFunction, FunctionParameter, functions_of
from archforge.export.module.heading import forward_says
from archforge.export.module.names import NameSupply, is_word
from archforge.export.module.python_text import INDENT, WIDTH, inner_docstring, item_lines, literal, switched
from archforge.export.module.statements import Statement, statements_of
from archforge.interchange.decompile.values import REQUIRED
from archforge.ir import TypedGraph

__all__ = ["ClassDialect", "ClassText", "classes_of"]

MIN_RUN = 3  # layers alike in a row that are written as one
_IS_PLACE = re.compile(r"0|[1-9][0-9]{0,3}")


class ClassDialect(Dialect, Protocol):
    """A library whose networks are made of classes of layers.

    library, layers: its name, and the file of `templates/` with what it lacks. always: what the source has of
    that file in any case. imports: the statements that the source may need, of Python's own and then of the
    library, by the word that asks for each. taken: names that every layer has already. hides: the start of
    names that a layer does not show. apply: how a layer is called. forward: what the function that computes
    is called. base, sequence, nothing: the classes of layers, of layers one after the other, and of a layer
    that does nothing. named_sequence: what gives the layers of a sequence names, if anything does.
    layer_list: what stands around the layers of a list. gets_odd: the layer under a name that is no word of
    Python. adds_odd: the method that sets one, of its name and the layer; empty where one can be assigned.
    """

    library: str
    layers: str
    always: tuple[str, ...]
    imports: tuple[Mapping[str, str], Mapping[str, str]]
    taken: frozenset[str]
    hides: str
    apply: str
    forward: str
    base: str
    sequence: str
    named_sequence: str
    nothing: str
    layer_list: tuple[str, str]
    gets_odd: str
    adds_odd: str


@dataclass(frozen=True, slots=True)
class ClassText:
    """A class in the lines that the template prints."""

    head: str
    says: str
    lines: list[str]


@dataclass(frozen=True, slots=True)
class _CallText:
    """A call in the text of a constructor: `head`, items, `tail`; an item is text or such a call.

    is_choice: words that follow one another, such as `a if b else c`, in brackets where they take several
    lines, or always if `is_bracketed`. label: what stands before it among the items of another one.
    """

    head: str
    items: tuple[_CallText | str, ...] = ()
    tail: str = ")"
    is_choice: bool = False
    is_bracketed: bool = False
    label: str = ""

    @property
    def flat(self) -> str:
        items = [_flat(item) for item in self.items]
        if self.is_choice:
            text = " ".join(items)
            return f"{self.label}{self.head}{text}{self.tail}" if self.is_bracketed else f"{self.label}{text}"
        return f"{self.label}{self.head}{', '.join(items)}{self.tail}"

    def lines(self, depth: int, before: str = "", after: str = "") -> Iterator[str]:
        """The lines of the call, laid out as the usual formatters do."""
        indent = INDENT * depth
        flat = f"{indent}{before}{self.flat}{after}"
        if len(flat) <= WIDTH or not self.items:
            yield flat
            return
        yield f"{indent}{before}{self.label}{self.head}"
        inner = indent + INDENT
        if self.is_choice:
            together = f"{inner}{replace(self, label='', is_bracketed=False).flat}"
            if len(together) <= WIDTH:
                yield together
            else:
                for item in self.items:
                    yield from [f"{inner}{item}"] if isinstance(item, str) else item.lines(depth + 1)
            yield f"{indent}{self.tail}{after}"
            return
        plain = [item for item in self.items if isinstance(item, str)]
        together = inner + ", ".join(plain)
        if len(plain) == len(self.items) and len(together) <= WIDTH:
            yield together
        else:
            for item in self.items:
                if isinstance(item, str):
                    yield from item_lines(item, depth + 1)
                else:
                    yield from item.lines(depth + 1, "", ",")
        yield f"{indent}{self.tail}{after}"


def _flat(made: _CallText | str) -> str:
    return made if isinstance(made, str) else made.flat


def _labelled(label: str, made: _CallText | str) -> _CallText | str:
    return f"{label}{made}" if isinstance(made, str) else replace(made, label=label)


@dataclass(frozen=True, slots=True)
class _SequenceItem:
    """One layer of a sequence: its name, and the line that calls it."""

    name: str
    line: BodyLine
    index: int


@dataclass(slots=True, eq=False)
class _NameLevel:
    """All that lies below one part of the parameters' names: an expression that makes it, or more levels."""

    made: str | _CallText | None = None
    below: dict[str, _NameLevel] = field(default_factory=dict)

    @property
    def is_list(self) -> bool:
        return self.made is None and _are_places([*self.below])


def classes_of(
    typed: TypedGraph, dialect: ClassDialect, name: str, taken: set[str], inputs: Sequence[str]
) -> list[ClassText]:
    """The classes of a graph, the whole network first.

    name: of the network's class. taken: names that have a meaning in the source already. Raises E0704.
    """
    tree = region_tree(typed, dialect, _without_room(typed, dialect))
    functions, main = functions_of(tree, NameSupply(set()))
    writer = _ClassWriter(tree, dialect, functions, NameSupply({*taken, name}))
    texts = [writer.network(main, name, inputs)]
    return texts + [writer.block(f) for f in reversed(functions) if f.name in writer.names]


def _without_room(typed: TypedGraph, dialect: ClassDialect) -> Iterator[Diagnostic]:
    """Refusals of names that layers cannot have."""
    needed = typed.needed_by(typed.outputs.values())
    nodes = [n for n in typed.nodes if n.name in needed and n.op.params(*typed.input_types(n))]
    for name in dict.fromkeys(part for node in nodes for part in node.params_of.split(".")):
        if name in dialect.taken or name.startswith(dialect.hides):
            why = "every layer has already" if name in dialect.taken else "would be hidden"
            message = f"{dialect.file} has no room for a layer named `{name}`, which {why}"
            yield Diagnostic("E0704", message, None, help="give it another `name`")


class _ClassWriter:
    """The text of each function as a class."""

    def __init__(
        self,
        tree: RegionTree,
        dialect: ClassDialect,
        functions: Sequence[BlockFunction],
        supply: NameSupply,
    ) -> None:
        self.tree, self.dialect = tree, dialect
        self.functions = {f.name: f for f in functions}
        self.items = {f.name: self._sequence(f) for f in functions}
        self.roots: dict[str, _NameLevel] = {}
        self.names: dict[str, str] = {}
        for function in reversed(functions):
            if function.is_block or self.items[function.name] is None:
                self.names[function.name] = _class_name(function.name, supply)

    def network(self, main: BlockFunction, name: str, inputs: Sequence[str]) -> ClassText:
        """The class of the whole network."""
        outputs = self.tree.typed.outputs
        statements, left = statements_of(
            main, inputs, self.functions, self.dialect, outputs=list(outputs), shapes=True
        )
        if len(outputs) > 1:
            entries = (f"{literal(n)}: {value}" for n, value in zip(outputs, left, strict=True))
            ends = [*_CallText("{", tuple(entries), "}").lines(2, "return ")]
        else:
            ends = [f"{INDENT * 2}return {left[0]}"] if left else []
        lines = [
            *self._constructor(main, statements),
            "",
            *_CallText(f"def {self.dialect.forward}(", ("self", *inputs), "):").lines(1),
            f'{INDENT * 2}"""{forward_says(self.tree.typed, inputs, self.dialect)}"""',
            *self._forward(main, statements, ends),
        ]
        return ClassText(f"class {name}({self.dialect.base}):", "", lines)

    def block(self, function: BlockFunction) -> ClassText:
        """The class of a block."""
        kind = "Block" if function.is_block else "Sequence"
        says = inner_docstring(f"{kind} {function.kind}: {function.where}.")
        name, items = self.names[function.name], self.items[function.name]
        if items is not None and _is_positional(items):
            made = _CallText("super().__init__(", tuple(self._positional(items, function, {})))
            lines = [*self._head(function), *made.lines(2)]
            return ClassText(f"class {name}({self.dialect.sequence}):", says, lines)
        inputs = function.inputs
        statements, left = statements_of(function, inputs, self.functions, self.dialect)
        ends = [f"{INDENT * 2}return {', '.join(left)}"] if left else []
        lines = [
            *self._constructor(function, statements),
            "",
            *_CallText(f"def {self.dialect.forward}(", ("self", *inputs), "):").lines(1),
            *self._forward(function, statements, ends),
        ]
        return ClassText(f"class {name}({self.dialect.base}):", says, lines)

    # The constructor

    def _head(self, function: BlockFunction) -> Iterator[str]:
        params = [f"{n}={self._default(v)}" if v is not REQUIRED else n for n, v in _ordered(function.params)]
        return _CallText("def __init__(", ("self", *params), "):").lines(1)

    def _default(self, value: Any) -> str:
        return self.dialect.nothing if value is None else literal(value)

    def _constructor(self, function: BlockFunction, statements: Sequence[Statement]) -> list[str]:
        root = self._root(function)
        kept = [*dict.fromkeys(n for s in statements for n in self._kept(function, s))]
        lines = [*self._head(function), f"{INDENT * 2}super().__init__()"]
        if kept:
            fields = [self._field(function, n) for n in kept]
            together = f"{INDENT * 2}{', '.join(fields)} = {', '.join(kept)}"
            apart = [f"{INDENT * 2}{f} = {n}" for f, n in zip(fields, kept, strict=True)]
            lines += [together] if len(together) <= WIDTH else apart
        for name, level in root.below.items():
            lines += self._level_lines("self", name, level)
        return lines

    def _field(self, function: BlockFunction, name: str) -> str:
        """The expression for a parameter that is kept beside the layers, which keep their names."""
        while name in self._root(function).below:
            name = f"given_{name}"
        return f"self.{name}"

    def _root(self, function: BlockFunction) -> _NameLevel:
        """The layers of a function by the levels of their names."""
        if function.name not in self.roots:
            root = self.roots[function.name] = _NameLevel()
            for index, line in enumerate(function.body.lines):
                if line.prefix is not None:
                    self._place(root, function, index, line)
                elif line.callee in function.params:
                    root.below.setdefault(line.callee, _NameLevel(f"{line.callee}()"))
        return self.roots[function.name]

    def _place(self, root: _NameLevel, function: BlockFunction, index: int, line: BodyLine) -> None:
        level = root
        path = _path(line)
        for part in path:
            level = level.below.setdefault(part, _NameLevel())
        made = self._made(function, index, {})
        if level.made is not None and _flat(level.made) != _flat(made):
            where = ".".join(path)
            fault = f"{self.dialect.file} has no layer that is made in two ways: {where}"
            raise DiagnosticError((Diagnostic("E0704", fault, None, help="do not share its parameters"),))
        level.made = made

    def _level_lines(self, owner: str, name: str, level: _NameLevel) -> Iterator[str]:
        made = level.made
        if made is None:
            made = self._container(level)
        expression = _CallText(made, (), "") if isinstance(made, str) else made
        member = self._member(owner, name)
        if is_word(name) or not self.dialect.adds_odd:
            yield from expression.lines(2, f"{member} = ")
        else:
            yield from _CallText(f"{owner}.{self.dialect.adds_odd}(", (literal(name), expression)).lines(2)
        yield from self._inside(member, level)

    def _inside(self, owner: str, level: _NameLevel) -> Iterator[str]:
        """The lines that set what the expression of a level does not make."""
        for name, inner in level.below.items():
            if level.is_list:
                yield from self._inside(f"{owner}[{name}]", inner)
            else:
                yield from self._level_lines(owner, name, inner)

    def _member(self, owner: str, name: str) -> str:
        """The expression for a layer of a layer."""
        if is_word(name):
            return f"{owner}.{name}"
        return self.dialect.gets_odd.format(owner=owner, name=literal(name))

    def _container(self, level: _NameLevel) -> str | _CallText:
        if not level.is_list:
            return f"{self.dialect.base}()"
        items: list[_CallText | str] = []
        for name, inner in level.below.items():
            items += [f"{self.dialect.nothing}()"] * (int(name) - len(items))
            items.append(inner.made if inner.made is not None else self._container(inner))
        listed = _CallText("[", tuple(items), "]")
        before, after = self.dialect.layer_list
        return _CallText(before, (listed,), after) if before else listed

    def _made(self, function: BlockFunction, index: int, known: Mapping[str, str]) -> _CallText | str:
        """The layer that a line calls, as its constructor is called."""
        line, flag = function.body.lines[index], function.flags.get(index, "")
        made = self._layer(line, known)
        if flag and line.callee != flag:
            return _CallText(
                "(", (made, f"if {known.get(flag, flag)}", f"else {self.dialect.nothing}()"), is_choice=True
            )
        return made

    def _layer(self, line: BodyLine, known: Mapping[str, str]) -> _CallText | str:
        if line.callee in self.functions:
            called = self.functions[line.callee]
            values = {n: _value(v, known) for n, v in line.args.items()}
            if called.name not in self.names:
                return self._sequence_text(called, values)
            return _CallText(
                f"{self.names[called.name]}(", _given(called.params, line.args, known, self._default)
            )
        if line.prefix is None and line.callee.isidentifier() and line.is_activation:  # a parameter
            return f"{known.get(line.callee, line.callee)}()"
        callee = line.callee if line.prefix is not None else line.layer
        if "{" in callee:
            expression = callee.format(**{n: _value(v, known) for n, v in line.args.items()})
            return _as_call(expression) or expression
        return _CallText(
            f"{callee}(", _given(self.dialect.defaults(callee) or {}, line.args, known, self._default)
        )

    # Sequences

    def _sequence(self, function: BlockFunction) -> list[_SequenceItem] | None:
        """The layers of a function that calls one after the other; None for another one."""
        body = function.body
        if body.inputs != 1 or body.outputs != (len(body.lines),) or not body.lines:
            return None
        items: list[_SequenceItem] = []
        names: set[str] = set()
        for index, line in enumerate(body.lines):
            is_layer = line.prefix is not None and (line.use in ("", self.dialect.apply))
            is_layer = is_layer or (
                line.prefix is None and (line.layer != "" or line.callee in function.params)
            )
            name = line.label if line.prefix is None else line.prefix.text.removeprefix(".")
            if line.prefix is None and ("." in name or name in names):
                name = f"{name.rpartition('.')[2]}"
            if not is_layer or line.inputs != (index,) or line.outputs != 1 or "." in name or name in names:
                return None
            if index in function.flags and function.bypasses[index] != index:
                return None
            names.add(name)
            items.append(_SequenceItem(name, line, index))
        if _is_positional(items):
            return items
        if function.is_block or names & self.dialect.taken or not self.dialect.named_sequence:
            return None
        supply = NameSupply({*names})
        return [
            replace(i, name=supply.take(i.line.kind)) if i.name.isdigit() and i.line.prefix is None else i
            for i in items
        ]

    def _sequence_text(self, function: BlockFunction, known: Mapping[str, str]) -> _CallText:
        items = self.items[function.name] or []
        if _is_positional(items):
            return _CallText(f"{self.dialect.sequence}(", tuple(self._positional(items, function, known)))
        named = tuple(self._named(items, function, known))
        ordered = _CallText(f"{self.dialect.named_sequence}(", named)
        if not all(is_word(i.name) for i in items):
            ordered = replace(ordered, items=(_CallText("{", named, "}"),))
        return _CallText(f"{self.dialect.sequence}(", (ordered,))

    def _positional(
        self, items: Sequence[_SequenceItem], function: BlockFunction, known: Mapping[str, str]
    ) -> Iterator[_CallText | str]:
        at = 0
        for start, count in self._runs(items, function, known):
            while at < int(items[start].name):
                at += 1
                yield f"{self.dialect.nothing}()"
            at += count
            if count == 1:
                yield self._made(function, items[start].index, known)
                continue
            made = self._run(items[start].line, items[start + 1].line, known)
            variable = "i" if re.search(r"\bi\b", _flat(made)) else "_"
            yield _CallText(
                "*(", (made, f"for {variable} in range({count})"), is_choice=True, is_bracketed=True
            )

    def _named(
        self, items: Sequence[_SequenceItem], function: BlockFunction, known: Mapping[str, str]
    ) -> Iterator[_CallText | str]:
        are_words = all(is_word(item.name) for item in items)
        for start, count in self._runs(items, function, known):
            item = items[start]
            if count == 1:
                label = f"{item.name}=" if are_words else f"{literal(item.name)}: "
                yield _labelled(label, self._made(function, item.index, known))
                continue
            word, first = _numbered(item.name)
            made = self._run(item.line, items[start + 1].line, known, first)
            entry = _labelled(f'f"{word}{{i}}": ', made)
            loop = f"for i in range({first}, {first + count})" if first else f"for i in range({count})"
            yield _CallText("**{", (entry, loop), "}", is_choice=True, is_bracketed=True)

    def _runs(
        self, items: Sequence[_SequenceItem], function: BlockFunction, known: Mapping[str, str]
    ) -> Iterator[tuple[int, int]]:
        """The start and the number of layers of each run that is written as one; 1 for a single layer."""
        at = 0
        while at < len(items):
            count = 1
            while at + count < len(items) and self._continues(items, at, count, function):
                count += 1
            if count < MIN_RUN:
                count = 1
            yield at, count
            at += count

    def _continues(
        self, items: Sequence[_SequenceItem], at: int, count: int, function: BlockFunction
    ) -> bool:
        """True if the layer `count` behind `at` is like those before it, but for numbers that grow evenly."""
        first, second, last, new = (items[i] for i in (at, at + 1, at + count - 1, at + count))
        if {function.flags.get(i.index) for i in (first, new)} != {None} or first.line.prefix is None:
            return False
        if (
            new.line.callee != first.line.callee
            or [*new.line.args] != [*first.line.args]
            or new.line.prefix is None
        ):
            return False
        if first.name.isdigit():
            if int(new.name) != int(first.name) + count:
                return False
        elif _numbered(new.name) != (_numbered(first.name)[0], _numbered(first.name)[1] + count):
            return False
        for name, value in new.line.args.items():
            start, before, then = (i.line.args[name] for i in (first, last, second))
            if value == before == start:
                continue
            if not all(type(v) is int for v in (start, then, before, value)):
                return False
            if value - before != then - start:
                return False
        return True

    def _run(
        self, line: BodyLine, second: BodyLine, known: Mapping[str, str], number: int = 0
    ) -> _CallText | str:
        """The text of a layer of a run by its first two, with `i`, which counts from `number`, where
        arguments grow."""
        args: dict[str, Any] = {}
        for name, value in line.args.items():
            step = second.args[name] - value if type(value) is int and second.args[name] != value else 0
            args[name] = _Growing(value - step * number, step) if step else value
        return self._layer(replace(line, args=args), known)

    # The forward pass

    def _forward(
        self, function: BlockFunction, statements: Sequence[Statement], ends: list[str]
    ) -> list[str]:
        lines: list[str] = []
        at = 0
        while at < len(statements):
            if count := self._loop(function, statements, at):
                owner = _layer_name(statements[at]).rpartition(".")[0]
                (variable,) = statements[at].inputs
                lines += [
                    f"{INDENT * 2}for layer in self.{owner}:",
                    f"{INDENT * 3}{variable} = layer({variable})",
                ]
                if not statements[at + count - 1].targets:
                    lines.append(f"{INDENT * 2}return {variable}")
            else:
                lines += self._statement(function, statements[at])
            at += max(count, 1)
        return [*lines, *ends]

    def _loop(self, function: BlockFunction, statements: Sequence[Statement], at: int) -> int:
        """The number of statements from `at` that call all layers of a list in order; 0 for none."""
        owner, _, number = _layer_name(statements[at]).rpartition(".")
        if not statements[at].has_name or number != "0" or not all(map(is_word, owner.split("."))):
            return 0
        layers = {n for n in map(".".join, map(_path, function.body.lines)) if n.startswith(f"{owner}.")}
        count = len(layers)
        for place, statement in enumerate(statements[at : at + count]):
            is_next = _layer_name(statement) == f"{owner}.{place}"
            keeps = statement.targets in (statement.inputs, ()) and statement.inputs == statements[at].inputs
            if not (is_next and keeps and statement.has_name and not statement.wraps and not statement.flag):
                return 0
            if statement.use not in ("", self.dialect.apply) or (not statement.targets and place < count - 1):
                return 0
        return count if 1 < count <= len(statements) - at else 0

    def _statement(self, function: BlockFunction, statement: Statement) -> Iterator[str]:
        expression = self._value(function, statement)
        head = f"{', '.join(statement.targets)} = " if statement.targets else "return "
        comment = f"  # {statement.comment}" if statement.comment else ""
        if not statement.flag or self._is_made_idle(function, statement):
            yield from _statement_lines(head, expression, comment, 2)
        else:
            lines = [*_statement_lines(head, expression, comment, 3)]
            yield from switched(statement, self._field(function, statement.flag), lines, 2)

    def _is_made_idle(self, function: BlockFunction, statement: Statement) -> bool:
        """True if the constructor makes a layer that does nothing where the flag is false."""
        is_layer = statement.has_name or statement.callee in function.params
        return is_layer and statement.inputs == (statement.otherwise,)

    def _kept(self, function: BlockFunction, statement: Statement) -> Iterator[str]:
        """The parameters that the forward pass reads."""
        if statement.flag and not self._is_made_idle(function, statement):
            yield statement.flag
        if not statement.has_name:
            for _, value in statement.args:
                if isinstance(value, FunctionParameter):
                    yield value.name

    def _value(self, function: BlockFunction, statement: Statement) -> str:
        if statement.has_name:
            layer = self._access(function, _layer_name(statement))
            text = (statement.use or self.dialect.apply).replace("{self}", layer)
            if text.startswith(f"{layer}({{0}})") and len(statement.inputs) > 1:
                text = f"{layer}({', '.join(statement.inputs)})"
            else:
                text = _filled(text, statement.inputs, {})
        elif statement.callee in function.params:
            text = f"self.{statement.callee}({statement.inputs[0]})"
        else:
            text = self._call(function, statement.callee, statement.inputs, dict(statement.args))
        for wrap in statement.wraps:
            text = (
                f"self.{wrap}({text})" if wrap in function.params else self._call(function, wrap, (text,), {})
            )
        return text

    def _access(self, function: BlockFunction, name: str) -> str:
        """The expression for a layer of that name."""
        text, level = "self", self._root(function)
        for part in name.split("."):
            text = f"{text}[{part}]" if level.is_list and text != "self" else self._member(text, part)
            level = level.below[part]
        return text

    def _call(
        self, function: BlockFunction, callee: str, inputs: Sequence[str], args: Mapping[str, Any]
    ) -> str:
        read = [v.name for v in args.values() if isinstance(v, FunctionParameter)]
        known = {name: self._field(function, name) for name in read}
        if "{" in callee:
            return _filled(callee, inputs, {n: _value(v, known) for n, v in args.items()})
        defaults = self.dialect.defaults(callee) or {}
        return f"{callee}({', '.join([*inputs, *_given(defaults, args, known, self._default)])})"


@dataclass(frozen=True, slots=True)
class _Growing:
    """A number that grows by `step` from one layer of a run to the next."""

    start: int
    step: int


def _layer_name(statement: Statement) -> str:
    """The name of the layer that a statement calls, within its function."""
    return "".join(map(str, statement.parts)).strip(".")


def _statement_lines(head: str, expression: str, comment: str, depth: int) -> Iterator[str]:
    line = f"{INDENT * depth}{head}{expression}"
    if len(line + comment) <= WIDTH:
        yield line + comment
        return
    if len(line) <= WIDTH:
        yield line
        return
    if call := _as_call(expression):
        yield from call.lines(depth, head)
    else:
        terms = re.split(r" (?=[-+*] )", expression)
        yield f"{INDENT * depth}{head}("
        yield from (f"{INDENT * (depth + 1)}{term}" for term in terms)
        yield f"{INDENT * depth})"


def _as_call(expression: str) -> _CallText | None:
    """An expression that is one call, with its arguments apart; None for another one."""
    opening, _, rest = expression.partition("(")
    is_name = opening.replace(".", "").replace("_", "").isalnum()
    if not (is_name and expression.endswith(")") and _closes_last(rest)):
        return None
    return _CallText(f"{opening}(", tuple(_split(rest[:-1])))


def _closes_last(rest: str) -> bool:
    """True if the bracket before `rest` is closed by its last character."""
    depth = 1
    for at, character in enumerate(rest):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return at == len(rest) - 1
    return False


def _split(text: str) -> list[str]:
    """The arguments of a call."""
    out, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(character, 0)
        if character == "," and depth == 0:
            out.append(text[start:at].strip())
            start = at + 1
    return [*out, text[start:].strip()]


def _filled(pattern: str, inputs: Sequence[str], args: Mapping[str, str]) -> str:
    """The expression of a pattern; what binds less than it is put into brackets."""
    is_infix = re.match(r"\w+[.(]", pattern) is None and re.search(r" [-+*] ", pattern) is not None
    texts = [
        f"({t})"
        if _is_infix(t) and (not is_infix or " * " in pattern) and not _is_within_call(pattern, i)
        else t
        for i, t in enumerate(inputs)
    ]
    if "}:{" in pattern and not all(re.fullmatch(r"-?\w+", value) for value in args.values()):
        pattern = pattern.replace("}:{", "} : {")  # as formatters lay out bounds that are no plain words
    return pattern.format(*texts, **args)


def _is_infix(text: str) -> bool:
    return re.search(r" [-+*] ", re.sub(r"\([^()]*\)", "", text)) is not None


def _is_within_call(pattern: str, index: int) -> bool:
    before, _, after = pattern.partition(f"{{{index}}}")
    return before.endswith(("(", ", ")) and after.startswith((")", ","))


def _value(value: Any, known: Mapping[str, str]) -> str:
    """A value of an argument as text; known: the text of each parameter."""
    if isinstance(value, _Growing):
        return f"{value.start} + {value.step} * i" if value.step != 1 else f"{value.start} + i"
    if not isinstance(value, FunctionParameter):
        return literal(value) if value not in (float("inf"), float("-inf")) else f'float("{value}")'
    text = known.get(value.name, value.name)
    if value.times == value.over == 1:
        return text
    if text.isdigit():
        return str(int(text) * value.times // value.over)
    text = f"({text})" if " " in text else text
    return f"{value.times} * {text}" if value.times > 1 else f"{text} // {value.over}"


def _given(
    defaults: Mapping[str, Any], args: Mapping[str, Any], known: Mapping[str, str], default: Any
) -> tuple[str, ...]:
    """The arguments of a call: those without a default by their place, others that differ from it by name."""
    out = [_value(args[n], known) for n, d in defaults.items() if d is REQUIRED and n in args]
    for name, value in args.items():
        if defaults[name] is REQUIRED or (defaults[name] == value and type(defaults[name]) is type(value)):
            continue
        text = default(None) if value is None else _value(value, known)
        if text == literal(defaults[name]):
            continue
        out.append(f"{name}={text}")
    return tuple(out)


def _ordered(params: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Parameters without a default first."""
    return sorted(params.items(), key=lambda entry: entry[1] is not REQUIRED)


def _path(line: BodyLine) -> list[str]:
    return line.prefix.text.strip(".").split(".") if line.prefix else []


def _is_positional(items: Sequence[_SequenceItem]) -> bool:
    return _are_places([item.name for item in items])


def _are_places(names: Sequence[str]) -> bool:
    """True if names are places in a list, in order, between which there is not much room."""
    numbers = [int(name) for name in names if _IS_PLACE.fullmatch(name)]
    return len(numbers) == len(names) and numbers == sorted({*numbers})


def _numbered(name: str) -> tuple[str, int]:
    """A name as a word and the number at its end; -1 for none."""
    match = re.fullmatch(r"(.*?)(0|[1-9][0-9]*)", name)
    return (match[1], int(match[2])) if match else (name, -1)


def _class_name(function: str, supply: NameSupply) -> str:
    base = "".join(part[:1].upper() + part[1:] for part in function.split("_") if part) or "Block"
    return supply.numbered(base, "")
