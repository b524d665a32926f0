"""Formulas: what they compute, what they may not do, and that a mistake is told at the very token."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import archforge
from archforge.errors import Diagnostic, DiagnosticError, SourceFile, Span
from archforge.spec.binding.environment import Budget, Env
from archforge.spec.binding.tensors import POISON
from archforge.spec.formulas.compiler import parse_formula, parse_template
from archforge.spec.formulas.failures import LimitError, Poisoned
from archforge.spec.formulas.formula import Formula
from archforge.spec.formulas.functions import FUNCTIONS
from archforge.spec.limits import ALL_ITEMS, LIST, NUMBER

VALUES: dict[str, Any] = {
    "width": 16,
    "widths": [16, 32, 64],
    "rate": 0.5,
    "act": "relu",
    "deep": True,
    "none": None,
    "zero": 0,
    "row": {"out": 8, "stride": 2},
}


def formula(text: str) -> Formula:
    return parse_formula(text, Span(SourceFile("formula", text), 0, 0, len(text)))


def value(text: str, names: dict[str, Any] = VALUES) -> Any:
    return formula(text).evaluate(Env(Budget(), body=names))


def mistake(text: str, names: dict[str, Any] = VALUES) -> Diagnostic:
    with pytest.raises(DiagnosticError) as caught:
        value(text, names)
    (found,) = caught.value.diagnostics
    return found


def marked(found: Diagnostic) -> str:
    """The text under the carets."""
    assert found.span
    return found.span.source.text[found.span.column : found.span.column + found.span.length]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("2 + 3*width", 50),
        ("width // 3 + width % 3", 6),
        ("7 / 2", 3.5),
        ("-width ** 2", -256),
        ("2 ** 10", 1024),
        ("1 < width <= 16 != 3", True),
        ("1 < width < 3", False),
        ("zero == 1 and 1 / zero or act", "relu"),
        ("not deep", False),
        ("1 if width == 3 else 2", 2),
        ("widths[0] + widths[-1]", 80),
        ("widths[1:]", [32, 64]),
        ("widths[::-1][0]", 64),
        ("[w // 2 for w in widths if w > 16]", [16, 32]),
        ("[[i, w] for w in [1]][0][0] if false else 3", 3),
        ("width in widths and act not in ['elu']", True),
        ("widths + [1] * 2", [16, 32, 64, 1, 1]),
        ("'layer' + str(3)", "layer3"),
        ("row.out * row['stride']", 16),
        ("none == null and true", True),
        ("(1, 2)", [1, 2]),
        ("min(width, 3) + max(widths) + sum(widths)", 179),
        ("len(widths) + len(act)", 7),
        ("round(2.5) + round(3.5) + floor(1.9) + ceil(1.1) + int(2.9) + abs(0-3)", 14),
        ("round(1.2345, 2)", 1.23),
        ("log2(8) + log(8, 2) + sqrt(16) + float(1)", 11.0),
        ("divisible(17) + divisible(12, 4) + divisible(1.9, 2)", 30),
        ("range(3) + range(1, 3) + range(6, 0, -2)", [0, 1, 2, 1, 2, 6, 4, 2]),
        ("reversed(widths)", [64, 32, 16]),
        ("unique([1, 2, 1])", [1, 2]),
        ("sorted([3, 1, 2])", [1, 2, 3]),
        ("count([1, 2, 1], 1)", 2),
        ("zip(widths, [1, 2, 3])[2]", [64, 3]),
        ("any([false, deep]) and all([])", True),
        ("str(true) + str(1.5) + str(2)", "true1.52"),
        ("  width\n+ 1", 17),
        ("1if deep else 2", 1),
    ],
)
def test_values(text: str, result: Any) -> None:
    found = value(text)
    assert (found, type(found)) == (result, type(result))


def test_every_function_is_tried_above() -> None:
    (marker,) = test_values.pytestmark
    tried = " ".join(text for text, _ in marker.args[1])
    assert [name for name in FUNCTIONS if f"{name}(" not in tried] == []


def test_divisible_is_the_rule_of_mobilenet() -> None:
    # torchvision's _make_divisible, written out: to the nearest multiple of 8, never more than 10 % down.
    for v in range(1, 300):
        nearest = max(8, (v + 4) // 8 * 8)
        assert value(f"divisible({v})") == (nearest + 8 if nearest < 0.9 * v else nearest)


def test_names_and_attributes_are_known_before_evaluation() -> None:
    found = formula("a + [b for b in c if d] + x.shape[e] + row.out")
    assert sorted(name for name, _ in found.names) == ["a", "c", "d", "e", "row", "x"]
    assert [(name, attribute) for name, attribute, _ in found.attributes] == [("x", "shape"), ("row", "out")]


@pytest.mark.parametrize(
    ("text", "code", "token"),
    [
        ("width +", "E0303", "+"),
        ("", "E0303", ""),
        ("(width", "E0303", "("),
        ("a b", "E0303", None),
        ("width && deep", "E0303", None),
        ("width = 3", "E0303", None),
        ("wdth + 1", "E0302", "wdth"),
        ("1 + widht", "E0302", "widht"),
        ("fun(1)", "E0302", "fun"),
        ("row.ouy", "E0302", "ouy"),
        ("width.channels", "E0305", "channels"),
        ("len", "E0304", "len"),
        ("count(widths)", "E0304", "count(widths)"),
        ("min()", "E0304", "min()"),
        ("lambda: 1", "E0304", "lambda: 1"),
        ("__import__('os')", "E0302", "__import__"),
        ("act.__class__", "E0305", "__class__"),
        ("[].append(1)", "E0304", "[].append(1)"),
        ("f'{width}'", "E0304", "f'{width}'"),
        ("{1: 2}", "E0304", "{1: 2}"),
        ("{1, 2}", "E0304", "{1, 2}"),
        ("(w for w in widths)", "E0304", "(w for w in widths)"),
        ("[a for a in widths for b in widths]", "E0304", "[a for a in widths for b in widths]"),
        ("[a for (a, b) in widths]", "E0304", "[a for (a, b) in widths]"),
        ("(w := 3)", "E0304", "w := 3"),
        ("max(*widths)", "E0304", "max(*widths)"),
        ("max(widths, key=1)", "E0304", "max(widths, key=1)"),
        ("widths @ widths", "E0304", "widths @ widths"),
        ("width | 3", "E0304", "width | 3"),
        ("~width", "E0304", "~width"),
        ("width is none", "E0304", "width is none"),
        ("1j", "E0304", "1j"),
        ("b'x'", "E0304", "b'x'"),
        ("...", "E0304", "..."),
        ("'\\n'", "E0304", "'\\n'"),
        ("2 + 9999999999999999999", "E0304", "9999999999999999999"),
        ("1 + 1 / zero", "E0305", "1 / zero"),
        ("width % zero", "E0305", "width % zero"),
        ("widths[3]", "E0305", "widths[3]"),
        ("widths['a']", "E0305", "widths['a']"),
        ("row['c']", "E0305", "row['c']"),
        ("width[0]", "E0305", "width[0]"),
        ("width[1:]", "E0305", "width[1:]"),
        ("act + width", "E0305", "act + width"),
        ("act % 3", "E0305", "act % 3"),
        ("act < width", "E0305", "act < width"),
        ("1 < act < 3", "E0305", "1 < act < 3"),
        ("-act", "E0305", "-act"),
        ("len(width)", "E0305", "len(width)"),
        ("int(act)", "E0305", "int(act)"),
        ("float('nan')", "E0305", "float('nan')"),
        ("float('inf')", "E0305", "float('inf')"),
        ("sqrt(0-1)", "E0305", "sqrt(0-1)"),
        ("log(0)", "E0305", "log(0)"),
        ("(0-2) ** 0.5", "E0305", "(0-2) ** 0.5"),
        ("str(widths)", "E0305", "str(widths)"),
        ("sorted([1, 'a'])", "E0305", "sorted([1, 'a'])"),
        ("unique([[1]])", "E0305", "unique([[1]])"),
        ("zip(widths, [1])", "E0305", "zip(widths, [1])"),
        ("[w for w in width]", "E0305", "[w for w in width]"),
        ("max([])", "E0305", "max([])"),
    ],
)
def test_mistakes_are_told_at_the_token(text: str, code: str, token: str | None) -> None:
    found = mistake(text)
    assert found.code == code
    if token is not None:
        assert marked(found) == token


def test_columns_are_right_behind_wide_characters() -> None:
    names = {"漢字": 1, "é": 2, **VALUES}
    assert value("漢字 + é", names) == 3
    assert marked(mistake("[漢字, é, wdth]", names)) == "wdth"
    assert marked(mistake("len('😀') / zero", names)) == "len('😀') / zero"


def test_a_failed_operation_tells_its_operands() -> None:
    assert mistake("1 + width // zero").label == "width is 16, zero is 0"
    assert mistake("widths[width]").label == "widths is [16, 32, 64], width is 16"
    assert mistake("act + width").message == '`+` cannot take the text "relu" and 16'


# Bounds


@pytest.mark.parametrize(
    "text",
    [
        f"range({LIST.most + 1})",
        f"[0] * {LIST.most + 1}",
        f"'a' * {LIST.most + 1}",
        "[range(6000), range(6000)]",
        "(range(6000) + range(6000))",
        "2 ** 65",
        "10 ** 18 * 2",
        f"{NUMBER.most} + 1",
        "1e18 * 10",
        "round(5, 0 - 10 ** 9)",
        "10.0 ** 64",
    ],
)
def test_results_are_bounded(text: str) -> None:
    assert mistake(text).code == "E0305"


NESTED = "[0 for a in range(9999)]"
HEAVY = [
    f"[{NESTED} for b in range(9999)]",
    "[len([b for b in range(9999)]) for c in range(9999)]",
    "[1 for a in range(9999) if 3 in range(9999)]",
    "[len(range(9999)) for a in range(9999)]",
    "[sum(range(9999)) for a in range(9999)]",
    f"[len(zip({', '.join(['act'] * 150)})) for a in range(9999)]",
    "[range(9999) == range(9999) for a in range(9999)]",
    "[('a' * 9999) + 'b' == 'c' for a in range(9999)]",
    f"[{'+'.join(['1'] * 90)} for a in range(9999)]",
    "[sorted(range(9999))[a] for a in range(9999)]",
]


@pytest.mark.parametrize("text", HEAVY)
def test_work_is_bounded(text: str) -> None:
    start = time.process_time()
    with pytest.raises(LimitError) as caught:
        value(text)
    assert [d.code for d in caught.value.diagnostics] == ["E0317"]
    assert time.process_time() - start < 2  # some 0.1 s; the machine may be busy


def test_the_budget_is_that_of_the_whole_compilation() -> None:
    env = Env(Budget(), body=VALUES)
    once = formula("range(9999)")
    for _ in range(ALL_ITEMS.most // (2 * 9999)):
        once.evaluate(env)
    with pytest.raises(LimitError):
        deque((once.evaluate(env) for _ in range(ALL_ITEMS.most)), maxlen=0)


@pytest.mark.parametrize("depth", [90, 300, 480])
@pytest.mark.parametrize(("opening", "closing"), [("(", ")"), ("[", "]"), ("-", ""), ("not ", "")])
def test_nesting_is_bounded(opening: str, closing: str, depth: int) -> None:
    text = opening * depth + "1" + closing * depth
    try:
        value(text[:1000])
    except DiagnosticError as error:
        (found,) = error.diagnostics
        assert found.code in ("E0303", "E0304", "E0305")


def test_length_is_bounded() -> None:
    assert mistake("1 + " * 300 + "1").code == "E0304"


# Names


def test_templates_are_made_of_words_and_whole_numbers() -> None:
    def text(template: str) -> str:
        span = Span(SourceFile("name", template), 0, 0, len(template))
        return parse_template(template, span).evaluate(Env(Budget(), body=VALUES))

    assert text("layer{width//16 + 1}.{act}") == "layer2.relu"
    assert text("plain") == "plain"
    for bad in ("{rate}", "{widths}", "{deep}", "{none}", "{"):
        with pytest.raises(DiagnosticError):
            text(bad)


def test_a_mistake_in_a_template_is_told_at_its_token() -> None:
    source = SourceFile("name", "layer{width}.{wdth}")
    template = parse_template(source.text, Span(source, 0, 0, len(source.text)))
    with pytest.raises(DiagnosticError) as caught:
        template.evaluate(Env(Budget(), body=VALUES))
    assert marked(caught.value.diagnostics[0]) == "wdth"


def test_poison_is_quiet() -> None:
    for text in ("bad", "bad + 1", "bad.channels", "[b for b in bad]", "len(bad)", "1 if bad else 2"):
        with pytest.raises(Poisoned):
            value(text, {"bad": POISON})
    assert value("1 if true else bad", {"bad": POISON}) == 1


# Anything else

TOKENS = [*VALUES, *FUNCTIONS, "x", "if", "else", "for", "in", "and", "not", "lambda", "1", "2.5", "'a'"]
TOKENS += [*"()[]{}+-*/%.,:<>=!&|^~@ \"'\\\n#;", "**", "//", "==", "1e18", "é", "漢", "😀"]


@given(st.lists(st.sampled_from(TOKENS), max_size=25).map("".join))
def test_any_formula_gives_a_value_or_a_diagnostic_inside_it(text: str) -> None:
    try:
        found: Iterable[Diagnostic] = ()
        result = value(text)
        assert isinstance(result, int | float | str | list | dict | None)
    except DiagnosticError as error:
        found = error.diagnostics
    for diagnostic in found:
        assert diagnostic.span
        assert 0 <= diagnostic.span.column <= len(text)
        diagnostic.render()


def test_a_key_that_a_mapping_lacks_is_named() -> None:
    graph = [{"conv": {"out": "=m['b']", "kernel": 1}}]
    spec = {"archforge": 1, "title": "T", "input": [3, 8, 8], "args": {"m": {"a": 4}}, "graph": graph}
    with pytest.raises(DiagnosticError, match='E0305: the text "b" is no key of the mapping'):
        archforge.load(spec)
