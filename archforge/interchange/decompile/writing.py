"""The text of a graph whose steps were found: blocks, loops and steps in the layout of a spec."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from archforge.interchange.decompile.decay import Depth
from archforge.interchange.decompile.formulas import WIDTHS
from archforge.interchange.decompile.skeletons import is_said
from archforge.interchange.decompile.steps import FOR, PROJECTION, SKIP, Block, TreeBranch, TreeStep, steps_in
from archforge.interchange.decompile.tree import Source
from archforge.interchange.decompile.values import ABSENT, REQUIRED, Counted, Expression, Mark
from archforge.ops import op_class
from archforge.spec.printing.graph import head_of
from archforge.spec.printing.graph_steps import block as on_lines
from archforge.spec.printing.graph_steps import flow_list, mapping, may_be_bare
from archforge.spec.printing.layout import WIDTH, Atom, Collection, Part, lines_of, written
from archforge.spec.syntax.reserved_names import can_be_named

__all__ = ["body_lines", "text_of"]

MIN_DEFAULT = 4  # steps that would say an attribute which a default then says once
SHORT = 72  # characters of a merge or a body that stands on one line
ROW = WIDTH - 20  # of the columns of a loop
MANY_NUMBERS, FEW_RUNS = 16, 3  # of which a formula is shorter


Defaults = Mapping[str, Mapping[str, Any]]  # of attributes of ops


def text_of(source: Source, title: str, root: list[TreeStep], blocks: Sequence[Block]) -> str:
    """The text of a spec. blocks: those that others call first."""
    names = list(source.typed.inputs)
    defaults = _defaults(source, [root, *(block.body for block in blocks)])
    taken = {block.name for block in blocks}
    ends = {name: source.numbers[value] for name, value in source.typed.outputs.items()}
    writer = _Writer(dict(enumerate(names)), taken, defaults, ends)
    steps, outputs = writer.all_steps(root, source.current)
    document = head_of(source.typed, title)
    if defaults:
        given = {
            kind: mapping({n: _value(v) for n, v in values.items()}, flow=True)
            for kind, values in defaults.items()
        }
        document["defaults"] = mapping(given, flow=True)
    if blocks:
        document["blocks"] = mapping({block.name: _block(block, taken, defaults) for block in blocks})
    document["graph"] = on_lines(steps)
    if outputs:
        document["outputs"] = mapping(outputs)
    return "\n".join(lines_of(mapping(document))) + "\n"


def _defaults(source: Source, texts: Sequence[list[TreeStep]]) -> Defaults:
    """Attributes that all ops of a kind have, and that several steps would say."""
    common: dict[str, dict[str, Any]] = {}
    for node in source.typed.nodes:
        known = common.setdefault(node.op.kind, node.op.attributes())
        common[node.op.kind] = {n: v for n, v in known.items() if repr(getattr(node.op, n)) == repr(v)}
    said: Counter[tuple[str, str]] = Counter()
    for steps in texts:
        for step in steps_in(steps):
            if isinstance(step.kind, str) and step.kind != FOR:
                said.update((step.kind, n) for n, v in step.args.items() if is_said(step, n, v))
    chosen = {
        kind: {
            n: v
            for n, v in values.items()
            if said[kind, n] >= MIN_DEFAULT and isinstance(v, float | str | bool)
        }
        for kind, values in common.items()
        if op_class(kind).arity is not None
    }
    return {kind: values for kind, values in chosen.items() if values}


def _block(block: Block, blocks: set[str], defaults: Defaults) -> Part:
    steps = _body(block, blocks, defaults)
    declared = {name: _declared(block, name) for name in block.parameters}
    declared |= {name: written("tensor") for name in _argument_names(block)}
    entries: dict[str, Part] = {"args": mapping(declared, flow=True)} if declared else {}
    short = flow_list(steps)
    if not declared and all(isinstance(step, Atom) for step in steps) and len(short.inline or "") < SHORT:
        return mapping({"body": short}, flow=True)
    return mapping(entries | {"body": on_lines(steps)})


def _body(block: Block, blocks: set[str], defaults: Defaults) -> list[Part]:
    """The steps of a block."""
    reads, others = block.calls[0].reads, _argument_names(block)
    values = dict(zip(reads, ["input", *others], strict=True))
    writer = _Writer(values, {*blocks, *block.parameters, *others}, defaults, shared=block.calls[0].shares)
    steps, _ = writer.all_steps(block.body, reads[0])
    return steps


def body_lines(block: Block) -> int:
    """The number of lines that the steps of a block take."""
    return len(lines_of(on_lines(_body(block, set(), {}))))


def _argument_names(block: Block) -> list[str]:
    """The names of the values that a block takes besides the one that it goes on from."""
    count = len(block.calls[0].reads) - 1
    return ["before"] if count == 1 else [f"before{i + 1}" for i in range(count)]


def _declared(block: Block, name: str) -> Part:
    parameter = block.parameters[name]
    return written(parameter.kind) if parameter.default is REQUIRED else _value(parameter.default)


def _value(value: Any) -> Part:
    if isinstance(value, Expression | Counted):
        return written(f"={value.text}")
    if isinstance(value, Depth):
        return written(f"={value.decay.text(str(value.depth))}")
    if isinstance(value, list | tuple):
        rule = _rule_of(value)
        return written(f"={rule}") if rule else flow_list(map(_value, value))
    return written(value)


def _rule_of(numbers: Sequence[Any]) -> str:
    """The formula of many whole numbers that say the same again and again; nothing for others."""
    rows = numbers if all(isinstance(row, tuple) for row in numbers) else [numbers]
    flat = [v for row in rows for v in row]
    if len(flat) < MANY_NUMBERS or not all(type(v) is int for v in flat):
        return ""
    return _runs(numbers) if rows[0] is numbers else _distances(rows)


def _runs(row: Sequence[int]) -> str:
    """The formula of a row of few numbers, each many times."""
    runs = [(value, len([*group])) for value, group in groupby(row)]
    if len(runs) > FEW_RUNS:
        return ""
    return " + ".join(f"{count}*[{value}]" if count > 1 else f"[{value}]" for value, count in runs)


def _distances(rows: Sequence[Sequence[int]]) -> str:
    """The formula of rows that rise by one step along a row and by one from row to row, as distances do."""
    height, width = len(rows), len(rows[0])
    start = rows[0][0]
    down = rows[1][0] - start if height > 1 else 0
    across = rows[0][1] - start if width > 1 else 0
    if any(row != tuple(start + down * i + across * j for j in range(width)) for i, row in enumerate(rows)):
        return ""
    terms = [str(start) if start else "", _term(down, "row"), _term(across, "column")]
    text = " + ".join(filter(None, terms)).replace("+ -", "- ") or "0"
    return f"[[{text} for column in range({width})] for row in range({height})]"


def _term(factor: int, name: str) -> str:
    """A multiple as it is written in a sum."""
    return {0: "", 1: name, -1: f"-{name}"}.get(factor, f"{factor}*{name}")


class _Writer:
    """Writes the steps of one body. values: the names of those that it is given; taken: names of other
    things; ends: the values of the graph's outputs, None for the body of a block; shared: the parameters that
    each call of the body has in common with others.

    Values that are read elsewhere than in the next step become taps; a first writing tells which.
    """

    def __init__(
        self,
        values: Mapping[int, str],
        taken: set[str],
        defaults: Defaults,
        ends: Mapping[str, int] | None = None,
        shared: Sequence[int] = (),
    ) -> None:
        self.values = dict(values)
        self.taken = taken
        self.defaults = defaults
        self.ends = ends
        self.wanted: dict[int, None] = {}
        self.kinds: dict[int, str] = {}
        self.by_call = frozenset(shared)
        self.shared: dict[tuple[int, ...], int] = {}

    def all_steps(self, steps: Sequence[TreeStep], current: int | None) -> tuple[list[Part], dict[str, Part]]:
        """The steps, and the outputs of the graph, none if it gives its last value only."""
        self._written(steps, current)
        counts: Counter[str] = Counter()
        for value in self.wanted:
            kind = self.kinds.get(value, "value")
            while True:
                counts[kind] += 1
                name = f"{kind}_{counts[kind]}"
                if name not in self.taken and can_be_named(name, "a tap"):
                    break
            self.values[value] = name
        return self._written(steps, current)

    def _written(self, steps: Sequence[TreeStep], current: int | None) -> tuple[list[Part], dict[str, Part]]:
        parts = list(self.steps(steps, current))
        last = steps[-1].value if steps else current
        if self.ends is None or self.ends == {"output": last}:
            return parts, {}
        return parts, {n: written("=x") if v == last else self.reference(v) for n, v in self.ends.items()}

    def reference(self, value: int) -> Atom:
        """A formula for a value."""
        if value not in self.values:
            self.wanted[value] = None
        return written(f"={self.values.get(value, 'x')}")

    def steps(self, steps: Sequence[TreeStep], current: int | None, *, flow: bool = False) -> Iterator[Part]:
        for step in steps:
            if step.form != SKIP or step.args["when"] is not False:
                yield self.step(step, current, flow=flow)
            elif step.branches:
                yield from self.steps(step.branches[1 - step.optional].steps, current, flow=flow)
            else:
                continue
            current = step.value

    def step(self, step: TreeStep, current: int | None, *, flow: bool = False) -> Part:
        self.kinds[step.value] = step.kind if isinstance(step.kind, str) else step.kind.name
        if step.kind == FOR:
            modifiers = self._from(step, current) | self._tail(step)
            return (
                mapping({"seq": on_lines([self._loop(step)]), **modifiers}) if modifiers else self._loop(step)
            )
        if step.branches:
            return self._merge(step, current, flow=flow)
        modifiers = self._from(step, current)
        if isinstance(step.args.get("when"), Expression):
            modifiers["when"] = _value(step.args["when"])
        tail = self._tail(step)
        if step.times is not None and tail:  # what `repeat` does the last time is the value of a list alone
            return mapping({"seq": flow_list([self._call(step, modifiers, flow=True)]), **tail}, flow=True)
        return self._call(step, modifiers | tail, flow=flow)

    def _from(self, step: TreeStep, current: int | None) -> dict[str, Part]:
        """The modifier that says which value a step goes on from, if that is not the one in front of it."""
        return {} if step.reads[0] == current else {"from": self.reference(step.reads[0])}

    def _tail(self, step: TreeStep) -> dict[str, Part]:
        """The modifiers that say what becomes of the result."""
        tail: dict[str, Part] = {}
        if not self.by_call.issuperset(step.shares):
            number = self.shared.setdefault(step.shares, len(self.shared) + 1)
            tail["share"] = written(f"shared_{number}")
        if step.value in self.wanted and step.value in self.values:
            tail["as"] = written(self.values[step.value])
        return tail

    # Calls

    def _call(
        self, step: TreeStep, modifiers: dict[str, Part], *, flow: bool, when: Expression | None = None
    ) -> Part:
        args = {name: value for name, value in step.args.items() if is_said(step, name, value)}
        if isinstance(step.kind, str):
            args = {n: v for n, v in args.items() if n not in self.defaults.get(step.kind, ())}
            if {"padding", "dilation"} & args.keys() and "kernel" in step.args:
                args = {n: v for n, v in step.args.items() if n in args or n == "kernel"}  # of which they are
        name = step.kind if isinstance(step.kind, str) else step.kind.name
        if when is not None:
            modifiers["when"] = _value(when)
        if step.times is not None:
            first = {
                n: v
                for n, v in step.first.items()
                if not isinstance(v, Mark) and v != step.args.get(n, ABSENT)
            }
            if step.times == 1:
                args = {n: v.start if isinstance(v, Counted) else v for n, v in args.items()} | first
            else:
                modifiers["repeat"] = _value(step.times)
                if first:
                    modifiers["first"] = mapping({n: _value(v) for n, v in first.items()}, flow=True)
        given: dict[str, Part] = {n: _value(v) for n, v in args.items()}
        if not isinstance(step.kind, str):
            for other, value in zip(_argument_names(step.kind), step.reads[1:], strict=True):
                given[other] = self.reference(value)
        if not given and not modifiers:
            return written(name)
        arguments: Part = mapping(given, flow=True)
        if len(given) == 1 and _may_be_bare(step, next(iter(given))):
            arguments = next(iter(given.values()))
        return mapping({name: arguments, **modifiers}, flow=flow or bool(modifiers))

    # Merges

    def _merge(self, step: TreeStep, current: int | None, *, flow: bool) -> Part:
        modifiers: dict[str, Part] = {}
        starts = Counter(_start(b) for b in step.branches)
        usual, count = starts.most_common(1)[0]
        if count > 1 and current not in starts and any(b.steps and _start(b) == usual for b in step.branches):
            current = usual
            modifiers["from"] = self.reference(current)
        modifiers |= self._tail(step)
        kind = str(step.kind)
        attributes = {n: _value(v) for n, v in step.args.items() if n != "when" and is_said(step, n, v)}
        short = flow_list(self._branches(step, current, flow=True))
        is_short = len(short.inline or " " * WIDTH) <= SHORT
        listed: Part = short if flow or is_short else on_lines(self._branches(step, current, flow=False))
        if attributes:
            listed = mapping({"branches": listed, **attributes}, flow=flow or is_short)
        return mapping({kind: listed, **modifiers}, flow=flow or (is_short and bool(modifiers)))

    def _branches(self, step: TreeStep, current: int | None, *, flow: bool) -> Iterator[Part]:
        for branch in step.branches:
            is_optional = step.form and branch is step.branches[step.optional]
            if not is_optional or step.args["when"] is True:
                yield self._branch(branch, current, flow=flow)
            elif step.form == PROJECTION:
                yield self._projection(branch, current, step.args["when"], flow=flow)
            else:
                skip = {"branch": self._branch(branch, current, flow=True), "when": _value(step.args["when"])}
                yield mapping(skip, flow=True)

    def _projection(self, branch: TreeBranch, current: int | None, when: Any, *, flow: bool) -> Part:
        if when is False:
            return flow_list(())
        if len(branch.steps) == 1 and not branch.steps[0].branches:
            return flow_list([self._call(branch.steps[0], {}, flow=True, when=when)])
        steps = list(self.steps(branch.steps, current, flow=flow))
        inner = mapping(
            {"when": _value(when), "seq": flow_list(steps) if flow else on_lines(steps)}, flow=flow
        )
        return flow_list([inner]) if flow else on_lines([inner])

    def _branch(self, branch: TreeBranch, current: int | None, *, flow: bool) -> Part:
        if not branch.steps:
            return flow_list(()) if branch.source == current else self.reference(branch.source)
        steps = list(self.steps(branch.steps, current, flow=flow))
        if len(steps) == 1:
            return steps[0]
        return flow_list(steps) if flow else on_lines(steps)

    # Loops

    def _loop(self, step: TreeStep) -> Part:
        (branch,) = step.branches
        steps = list(self.steps(branch.steps, branch.source))
        if not step.args:
            return mapping({"repeat": written(step.times), "seq": on_lines(steps)})
        columns = mapping({n: _value(c) for n, c in step.args.items()}, flow=True)
        body = on_lines(steps)
        if len(steps) == 1 and not branch.steps[0].branches:
            single = self.step(branch.steps[0], branch.source, flow=True)
            if isinstance(single, Collection) and len(single.inline or "") <= ROW:
                body = single
        if len(columns.inline or "") <= (ROW if self.ends is None else WIDTH - len("  - for: ")):
            return mapping({"for": columns, "do": body})
        rows = [flow_list(map(_value, row)) for row in zip(*step.args.values(), strict=True)]
        names = flow_list(map(written, step.args))
        return mapping({"for": names, "in": on_lines(rows), "do": body})


def _start(branch: TreeBranch) -> int:
    """The value that a branch starts from; of one that begins with a merge, that most of its branches do."""
    if branch.steps and branch.steps[0].branches:
        return Counter(map(_start, branch.steps[0].branches)).most_common(1)[0][0]
    return branch.source


def _may_be_bare(step: TreeStep, name: str) -> bool:
    """True if the only argument of a step needs no name."""
    if isinstance(step.kind, str):
        return may_be_bare(op_class(step.kind), name)
    first = next(iter(step.kind.parameters.values()), None)
    return first is not None and first.name == name and first.attribute in WIDTHS
