"""The records of machine code are tables whose every field is explained."""

from __future__ import annotations

import pytest

from archforge.backends import available

pytestmark = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")
records = pytest.importorskip("archforge.backends.numba.runtime.records")


@pytest.mark.parametrize("name", records.RECORDS)
def test_every_field_has_a_name_of_its_own_a_unit_and_a_meaning(name: str) -> None:
    fields = records.RECORDS[name].fields
    assert len({field.name for field in fields}) == len(fields)
    assert all(field.unit and field.meaning.strip() for field in fields)
