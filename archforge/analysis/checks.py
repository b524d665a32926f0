"""Computed counts against documented ones: the cells of `expect`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from archforge.analysis.counts import Counts, figures
from archforge.errors import MAX_REPORTED, Diagnostic, DiagnosticError, Span, did_you_mean, fail
from archforge.ops import OP_WORDS
from archforge.spec.binding.environment import KnownNames
from archforge.spec.expand.expand import Expansion
from archforge.spec.formulas.failures import LimitError
from archforge.spec.formulas.formula import describe
from archforge.spec.syntax.foreign_words import CELLS as CELLS_OF_OTHERS
from archforge.spec.syntax.form_checks import torn_text
from archforge.spec.syntax.syntax_tree import CELLS, RANGE, RuleDecl, Value, formulas_in, value_of
from archforge.spec.yaml.tree import Entry, Scalar, Tree
from archforge.spec.yaml.tree import Mapping as MappingTree

__all__ = ["MACS_NOT_FLOPS", "MARKS", "Cell", "Status", "check_cells"]

Status = Literal["ok", "explained", "mismatch", "not_applicable"]
MARKS: dict[Status, str] = {"ok": "✓", "explained": "≈", "mismatch": "✗", "not_applicable": "-"}

MACS_NOT_FLOPS = "`macs` counts multiply-accumulates, of which each is two FLOPs"
_APPROXIMATE = re.compile(r"([0-9]+(?:\.([0-9]+))?)([KMGB]?)$")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of a table, and what came of checking it.

    `because` maps each reason to its share of documented - computed. `problem` says what is wrong
    with a mismatch.
    """

    cell: str
    source: str
    documented: int | str
    computed: int | str
    status: Status
    span: Span
    rule: str | None = None
    says: str = ""
    because: Mapping[str, int | str] | None = None
    problem: Diagnostic | None = None

    @property
    def notes(self) -> list[str]:
        """The rule by which its figure is counted, and the reasons of a difference with their shares, in
        words."""
        because = (self.because or {}).items()
        shares = [f"{share:+,} {reason}" if isinstance(share, int) else reason for reason, share in because]
        return [*([f"by rule: {self.says}"] if self.rule else []), *shares]

    def to_json(self) -> dict[str, Any]:
        """The cell as plain data."""
        return {
            "cell": self.cell,
            "source": self.source,
            "documented": self.documented,
            "computed": self.computed,
            "status": self.status,
            "rule": self.rule,
            "because": dict(self.because) if self.because else None,
        }


def check_cells(expansion: Expansion, counts: Counts) -> tuple[Cell, ...]:
    """The cells of the expansion's profile; none if it has no `expect`.

    Where an argument or the input was set by hand every cell is `not_applicable`.
    Raises E0502, E0505 and E0507 for cells that are not well formed, all together.
    """
    expect = expansion.spec.expect
    profile = expect.get(expansion.profile) if expect else None
    if profile is None:
        return ()
    if not isinstance(profile, MappingTree):
        fail("E0507", f"`{expansion.profile}` in `expect` is a mapping of cells", profile.span)
    names = _Known.of(expansion, counts)
    source = profile.get("source")
    default = _text(source) if source else ""
    cells: list[Cell] = []
    mistakes: list[Diagnostic] = []
    for entry in profile:
        if entry.key == "source":
            continue
        try:
            cell = _cell(entry, profile, default, names)
        except (DiagnosticError, LimitError) as error:
            mistakes += error.diagnostics
            if len(mistakes) >= MAX_REPORTED:
                break
        else:
            if expansion.is_changed:
                cell = replace(cell, status="not_applicable", problem=None)
            cells.append(cell)
    if mistakes:
        raise DiagnosticError(tuple(mistakes))
    return tuple(cells)


class _Set:
    """`ops.conv` or `uses.bottleneck` in a formula: how many there are."""

    def __init__(self, counts: Mapping[str, int], known: Iterable[str]) -> None:
        self.counts, self.known = counts, frozenset(known)

    def attribute(self, name: str) -> int:
        if name not in self.known:
            raise KeyError(name)
        return self.counts.get(name, 0)

    def attributes(self) -> Iterable[str]:
        return sorted(self.known)


@dataclass(frozen=True, slots=True)
class _Known(KnownNames):
    """The names that formulas in `expect` and in rules see: counts, `ops`, `uses`, the spec's arguments.

    `computed` are the figures of the cells by name.
    """

    expansion: Expansion
    computed: Mapping[str, int | str]

    @classmethod
    def of(cls, expansion: Expansion, counts: Counts) -> _Known:
        typed = expansion.graph
        kinds = Counter(node.op.kind for node in typed.nodes)
        computed = figures(typed, counts)
        values = {
            **expansion.args,
            **computed,
            "ops": _Set(kinds, OP_WORDS),
            "uses": _Set(expansion.uses, expansion.blocks),
        }
        return cls(values, expansion.budget, expansion, computed)

    def with_constants(self, constants: Mapping[str, int]) -> _Known:
        """Join the constants of a rule to the names, on one budget."""
        return replace(self, values={**self.values, **constants})


def _cell(entry: Entry, row: MappingTree, source: str, names: _Known) -> Cell:
    """One cell, judged. Its forms are those of docs/language.md, section `expect`."""
    if entry.key not in CELLS:
        meant = CELLS_OF_OTHERS.get(entry.key.lower(), "")
        hint = f"did you mean `{meant}`?" if meant else did_you_mean(entry.key, CELLS, what="cells")
        if "flop" in entry.key.lower():
            hint = MACS_NOT_FLOPS
        hint = torn_text(entry, row) or hint
        fail("E0502", f"there is no cell `{entry.key}`", entry.key_span, help=hint)
    tree = entry.value
    fields = dict(tree.entries) if isinstance(tree, MappingTree) else {}
    known = ("documented", "computed", "because", "rule", "approx", "source")
    for key, field in fields.items():
        if key not in known:
            fail("E0507", f"a cell has no `{key}`", field.key_span, help=did_you_mean(key, known))
    source = _text(fields["source"].value) if "source" in fields else source
    if not source:
        fail(
            "E0507",
            f"`{entry.key}` has no source",
            entry.key_span,
            help="source: who printed the figure, where",
        )
    if "approx" in fields:
        return _approximate(entry, fields["approx"].value, source, names)
    figure = fields.get("documented") if fields else entry
    if figure is None:
        fail("E0507", "a cell needs `documented` or `approx`", tree.span)
    documented = _figure(figure.value, entry.key)
    span = figure.value.span
    rule = fields.get("rule")
    if rule is not None:
        return _by_rule(entry, documented, _text(rule.value), rule.value.span, source, names)
    if entry.key == "leaf_layers":
        fail("E0507", "`leaf_layers` is counted by a rule", span, help="{documented: 187, rule: leaves}")
    computed = names.computed[entry.key]
    if "because" in fields:
        return _explained(entry, documented, fields, source, names)
    return _judged(Cell(entry.key, source, documented, computed, "ok", span))


def _judged(cell: Cell) -> Cell:
    """`cell` as ok or, if its two figures differ, as a mismatch."""
    if cell.documented == cell.computed or _in_range(cell.documented, cell.computed):
        return cell
    by = f" by the rule `{cell.rule}`" if cell.rule else ""
    message = (
        f"`{cell.cell}` is documented as {_shown(cell.documented)}, computed as {_shown(cell.computed)}{by}"
    )
    label = ""
    if isinstance(cell.documented, int) and isinstance(cell.computed, int):
        label = f"computed - documented = {cell.computed - cell.documented:+,}"
    code = "E0505" if cell.rule else "E0503"
    if str(cell.documented) in (f"1x{cell.computed}", f"Nx{cell.computed}"):
        label = "the batch is not counted"
    problem = Diagnostic(code, message, cell.span, label, help=f"source of the figure: {cell.source}")
    return replace(cell, status="mismatch", problem=problem)


def _in_range(documented: int | str, computed: int | str) -> bool:
    """True if a count is in a documented range: `2~3`, or `7~` without an end."""
    match = RANGE.match(documented) if isinstance(documented, str) else None
    if match is None or isinstance(computed, str):
        return False
    return int(match[1]) <= computed <= int(match[2] or computed)


def _by_rule(entry: Entry, documented: int | str, rule: str, span: Span, source: str, names: _Known) -> Cell:
    rules = names.expansion.spec.rules
    if rule not in rules:
        fail("E0505", f"there is no rule `{rule}`", span, help=did_you_mean(rule, rules, what="rules"))
    decl: RuleDecl = rules[rule]
    computed = decl.count.evaluate(names.with_constants(decl.constants))
    if type(computed) is not int:
        fail("E0505", f"the rule gives {describe(computed)}, no whole number", decl.count.span)
    return _judged(Cell(entry.key, source, documented, computed, "ok", entry.value.span, rule, decl.says))


def _explained(
    entry: Entry, documented: int | str, fields: Mapping[str, Entry], source: str, names: _Known
) -> Cell:
    """A cell that differs for stated reasons, which must add up to documented - computed."""
    computed = names.computed[entry.key]
    span = fields["documented"].value.span
    if "computed" in fields:
        expected = _figure(fields["computed"].value, entry.key)
        moved = _judged(Cell(entry.key, source, expected, computed, "ok", fields["computed"].value.span))
        if moved.problem:
            return replace(moved, documented=documented)
    reasons = fields["because"].value
    if not isinstance(reasons, MappingTree) or not reasons.entries:
        help = "because: {the biases were forgotten: -64}"
        fail("E0507", "`because` maps each reason to its share of the difference", reasons.span, help=help)
    because = {reason.key: _share(reason, entry.key, names) for reason in reasons}
    cell = Cell(entry.key, source, documented, computed, "explained", span, because=because)
    if isinstance(documented, str) or isinstance(computed, str):
        return cell
    total = sum(share for share in because.values() if isinstance(share, int))
    if total == documented - computed:
        return cell
    problem = Diagnostic(
        "E0504",
        f"the reasons for `{entry.key}` add up to {total:+,}, not to documented - computed",
        reasons.span,
        label=f"{documented:,} - {computed:,} = {documented - computed:+,}",
    )
    return replace(cell, status="mismatch", problem=problem)


def _share(reason: Entry, cell: str, names: _Known) -> int | str:
    """The share of a reason for `cell`: a number, a formula, {printed:, for:}, or `misprint` for a text."""
    tree = reason.value
    if isinstance(tree, MappingTree):
        printed, meant = tree.get("printed"), tree.get("for")
        if printed is not None and meant is not None and len(tree.entries) == 2:
            a, b = _figure(printed, reason.key), _figure(meant, reason.key)
            if isinstance(a, int) and isinstance(b, int):
                return a - b
        fail("E0507", "a misprint is {printed: 61_170, for: 61_710}", tree.span)
    value: Value = value_of(tree)
    for name, span in (place for formula in formulas_in(value) for place in formula.names):
        if name == cell:
            fail("E0507", f"a reason for `{cell}` that uses `{cell}` would always hold", span)
    share = value.evaluate(names)
    if type(share) is int:
        return int(share)
    if share == "misprint":
        return "misprint"
    fail("E0507", f"a reason is worth a whole number, found {describe(share)}", tree.span)


def _approximate(entry: Entry, tree: Tree, source: str, names: _Known) -> Cell:
    """A figure at a paper's precision: half a unit of its last place either way."""
    text = _text(tree) if not isinstance(tree, Scalar) else str(tree.value)
    match = _APPROXIMATE.match(text)
    computed = names.computed.get(entry.key)
    if not match or not isinstance(computed, int):
        found = describe(tree.plain())
        hint = _figure_hint(tree, textual=False)
        fail("E0507", f"`approx` is a number such as 25.5M, found {found}", tree.span, help=hint)
    unit = _UNITS[match[3]]
    value, half = float(match[1]) * unit, unit * 10.0 ** -len(match[2] or "") / 2
    cell = Cell(entry.key, source, f"about {text}", computed, "ok", tree.span)
    if abs(computed - value) <= half * (1 + 1e-9):
        return cell
    message = f"`{entry.key}` is documented as about {text}, computed as {computed:,}"
    return replace(
        cell, status="mismatch", problem=Diagnostic("E0503", message, tree.span, help=f"source: {source}")
    )


def _figure(tree: Tree, cell: str) -> int | str:
    """A whole number, or a text such as 3x224x224 for shapes."""
    textual = cell in ("input", "output")
    expected = "a shape such as 3x224x224" if textual else "a whole number"
    if isinstance(tree, Scalar):
        if type(tree.value) is int:
            return str(tree.value) if textual else int(tree.value)
        text = tree.value
        usual = re.sub(r" *[*X\u00d7] *", "x", text) if textual and isinstance(text, str) else ""
        if usual != text and re.fullmatch("[0-9]+(x[0-9]+)+", usual):
            fail("E0507", f"`{cell}` is {expected}, found {describe(text)}", tree.span, help=usual)
        if isinstance(text, str) and (textual or RANGE.match(text)):
            return text
    found = describe(tree.plain())
    fail(
        "E0507", f"`{cell}` is {expected}, found {found}", tree.span, help=_figure_hint(tree, textual=textual)
    )


def _figure_hint(tree: Tree, *, textual: bool) -> str:
    """Suggestion for a figure that is written as no figure can be."""
    plain = tree.plain()
    if isinstance(plain, list):
        return "x".join(map(str, plain)) if textual and all(type(n) is int for n in plain) else ""
    text = str(plain).strip()
    if textual:
        return ""
    about = re.fullmatch(r"[~\u2248]?\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGBkmgb]?)", text.replace(",", "."))
    if isinstance(plain, float):
        return f"{{approx: {text}}}" if plain % 1 else f"{int(plain)}"
    if re.fullmatch(r"[0-9]{1,3}(,[0-9]{3})+", text):
        return text.replace(",", "_")
    if about:
        return f"{{approx: {about[1]}{about[2].upper()}}}, equal at the precision printed"
    span = re.fullmatch(r"([0-9]+)\s*(?:-|\u2013|\.\.|to)\s*([0-9]+)", text)
    if span:
        return f"a range: {span[1]}~{span[2]}"
    bound = re.fullmatch(r"(>=?)\s*([0-9]{1,18})", text)
    return f"from a number on: {int(bound[2]) + (bound[1] == '>')}~" if bound else ""


def _text(tree: Tree) -> str:
    if isinstance(tree, Scalar) and isinstance(tree.value, str):
        return tree.value
    fail("E0507", f"expected a text, found {describe(tree.plain())}", tree.span)


def _shown(figure: int | str) -> str:
    return f"{figure:,}" if isinstance(figure, int) else figure
