"""Classes of pydantic with class variables, of which there are many subclasses."""

from typing import TypeVar

from pydantic import BaseModel

__all__ = ["read_once"]

Model = TypeVar("Model", bound=BaseModel)


def read_once(cls: type[Model]) -> type[Model]:
    """The class without the annotations of its class variables. For each subclass pydantic evaluates those of
    all bases again, and knows by `__class_vars__` what it learns from them."""
    for name in cls.__class_vars__ & cls.__annotations__.keys():
        del cls.__annotations__[name]
    return cls
