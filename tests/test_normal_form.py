"""Names have one normal form, that of Python's: NFKC."""

from __future__ import annotations

import pytest

from archforge import driver
from archforge.errors import DiagnosticError
from archforge.spec.resolve.sources import settings_of

LETTERS = [
    ("\u00b5", "\u03bc"),
    ("e\u0301", "\u00e9"),
    ("\ufb01", "fi"),
    ("\u212b", "\u00c5"),
    ("\uff57", "w"),
]


@pytest.mark.parametrize(("one", "other"), [*LETTERS, *((b, a) for a, b in LETTERS)])
@pytest.mark.parametrize(
    "text",
    [
        "args: {ONE: 8}\ngraph: [{conv: =OTHER}]",
        "blocks: {b: {args: {ONE: int}, body: [{conv: =OTHER}]}}\ngraph: [{b: {OTHER: 8}}]",
        "blocks: {ONE: {body: [{conv: 8}]}}\ngraph: [OTHER]",
        "graph: [{let: {ONE: 8}}, {conv: =OTHER}]",
        "graph: [{for: {ONE: [8]}, do: [{conv: =OTHER}], name: 's{ONE}'}]",
        "graph: [{for: [a], in: {ONE: [8]}, do: [{conv: 8, when: =key == 'OTHER'}]}]",
        "graph: [{for: [ONE], in: [[8]], do: [{conv: =row.OTHER}]}]",
        "graph: [{conv: 8, as: ONE}, {conv: 8, from: =OTHER}]",
        "graph: [{conv: 8, append: ONE}, {concat: =OTHER}]",
        "graph: [{conv: 3, share: a.ONE}, {conv: 3, share: a.OTHER}]",
        "args: {a: ONE}\ngraph: [{conv: '=8 if a == ''OTHER'' else 4'}]",
        "profiles: {ONE: {}}\nexpect: {OTHER: {source: me, layers: 1}}\ngraph: [{conv: 8}]",
        "args: {w: '=[ONE for OTHER in [8]]'}\ngraph: [{conv: '=w[0]'}]",
    ],
)
def test_a_name_is_equal_to_itself_however_it_is_typed(text: str, one: str, other: str) -> None:
    spec = text.replace("ONE", one).replace("OTHER", other)
    network = driver.load(f"archforge: 1\ninput: [3, 32, 32]\n{spec}\n")
    assert network.counts.params
    assert not network.problems


@pytest.mark.parametrize(("one", "other"), LETTERS)
def test_two_names_that_are_one_are_refused(one: str, other: str) -> None:
    with pytest.raises(DiagnosticError, match="E0102"):
        driver.load(f"archforge: 1\ninput: [3, 8, 8]\nargs: {{{one}: 8, {other}: 9}}\ngraph: [relu]\n")
    names = f"[{{conv: 8, name: a.{one}}}, {{conv: 8, name: a.{other}}}]"
    with pytest.raises(DiagnosticError, match="E0309"):
        driver.load(f"archforge: 1\ninput: [3, 8, 8]\ngraph: {names}\n")


@pytest.mark.parametrize(("one", "other"), LETTERS)
def test_a_name_that_is_given_from_outside_has_that_form_too(one: str, other: str) -> None:
    text = f"archforge: 1\ninput: [3, 8, 8]\nargs: {{{one}: 4}}\ngraph: [{{conv: ={one}}}]\n"
    assert driver.analyse(driver.open_spec(text), settings=settings_of({other: 8})).counts.params == 8 * 4


def test_texts_stay_as_they_are() -> None:
    text = "archforge: 1\ntitle: 5 \u00b5m, \ufb01ne\ninput: [3, 8, 8]\ngraph: [relu]\n"
    assert driver.open_spec(text).header.title == "5 \u00b5m, \ufb01ne"
