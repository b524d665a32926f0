"""Parts of recipes: names that are of one part alone, and ways out that lead to it."""

from __future__ import annotations

import pytest

from archforge.parts import Part, all_parts
from archforge.recipe.base import Initialiser, Optimizer
from archforge.spec.syntax.recipe_hints import part_hint
from tests.pages.recipes import DATA_KINDS, KINDS


@pytest.mark.parametrize("kind", {**KINDS, **DATA_KINDS}.values(), ids=lambda kind: kind.what)
def test_a_name_of_other_libraries_leads_to_its_part(kind: type[Part]) -> None:
    parts = all_parts(kind)
    for word, cls in parts.items():
        for name in cls.elsewhere:
            if name not in parts:
                assert f"did you mean `{word}`?" in part_hint(name, kind) or f"{{{word}: " in part_hint(
                    name, kind
                )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("kaiming_uniform_", "{kaiming: {distribution: uniform}}"),
        ("he_normal", "kaiming"),
        ("GlorotNormal", "{xavier: {distribution: normal}}"),
        ("xavier_uniform", "xavier"),
    ],
)
def test_a_setting_within_a_foreign_name_is_said(name: str, hint: str) -> None:
    assert part_hint(name, Initialiser) == f"did you mean `{hint}`?"


@pytest.mark.parametrize("cls", all_parts(Optimizer).values(), ids=all_parts(Optimizer))
def test_a_learning_rate_is_said_though_it_is_the_default(cls: type[Optimizer]) -> None:
    rate = cls.model_fields["lr"].get_default() or 0.1
    assert cls(lr=rate).said() == f"{cls.word} (lr {rate:g})"
