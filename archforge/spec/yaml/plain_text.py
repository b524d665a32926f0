"""Plain values of Python as YAML."""

from __future__ import annotations

from typing import Any

import yaml

from archforge.spec import limits

__all__ = ["yaml_text"]


def yaml_text(value: Any, **layout: Any) -> str:
    """Numbers, texts, lists and mappings as a file has them; what is there twice stands there twice.

    layout: as of `yaml.dump`. Raises `yaml.YAMLError` for other values, lists in themselves, and more values
    than a file may have.
    """
    try:
        return str(yaml.dump(value, Dumper=_PlainDumper, **layout))
    except RecursionError as error:
        raise yaml.YAMLError("values within themselves, or too deep") from error


class _PlainDumper(yaml.SafeDumper):
    values = 0

    def ignore_aliases(self, data: Any) -> bool:
        return True  # the language has none

    def represent_data(self, data: Any) -> Any:
        self.values += 1
        if self.values > limits.VALUES.most:
            raise yaml.YAMLError(limits.VALUES.told())
        return super().represent_data(data)
