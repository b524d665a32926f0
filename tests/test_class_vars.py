"""Laws of how pydantic reads classes that have many subclasses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from archforge.class_vars import read_once
from archforge.ir import Op
from archforge.ops import all_ops
from archforge.parts import Part, all_parts
from tests.pages.recipes import DATA_KINDS, KINDS

# With fewer it does not show in what a command costs.
MANY = 6


def _below(cls: type[Any]) -> Iterator[type[Any]]:
    yield cls
    for inner in cls.__subclasses__():
        yield from _below(inner)


def test_class_variables_are_read_once_not_by_each_of_many_subclasses() -> None:
    assert all_ops()
    assert all(all_parts(kind) for kind in {**KINDS, **DATA_KINDS}.values())
    for cls in (*_below(Op), *_below(Part)):
        read_again = cls.__class_vars__ & vars(cls).get("__annotations__", {}).keys()
        assert len(cls.__subclasses__()) < MANY or not read_again, f"{cls.__name__} is not @read_once"


def test_class_variables_stay_what_they_are() -> None:
    for cls in all_ops().values():
        assert cls.__class_vars__ >= Op.__class_vars__
        assert not Op.__class_vars__ & cls.model_fields.keys()


def test_fields_of_a_class_that_is_read_once_are_inherited() -> None:
    @read_once
    class Base(BaseModel):
        size: int = 1

    class Derived(Base):
        pass

    assert Derived(size=3).size == 3
