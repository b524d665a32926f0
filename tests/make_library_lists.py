"""The networks that torchvision and timm can build, by the module that builds them, for `tests/data`.

    python -m tests.make_library_lists

writes library_networks.json, where both are installed.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

from tests.zoo import DATA

__all__ = ["library_lists"]

TORCHVISION = {
    "classification": "models",
    "segmentation": "models.segmentation",
    "video": "models.video",
    "detection": "models.detection",
    "optical flow": "models.optical_flow",
    "quantised": "models.quantization",
}


def library_lists() -> dict[str, Any]:
    """The `version` of each library, and under `networks` the names by kind or module."""
    models, timm = import_module("torchvision.models"), import_module("timm.models")
    parts = {kind: import_module(f"torchvision.{name}") for kind, name in TORCHVISION.items()}
    torchvision = {kind: models.list_models(module=part) for kind, part in parts.items()}
    return {
        "torchvision": {"version": _version("torchvision"), "networks": torchvision},
        "timm": {
            "version": _version("timm"),
            "networks": {name: timm.list_models(module=name) for name in sorted(timm.list_modules())},
        },
    }


def _version(name: str) -> str:
    version: str = import_module(name).__version__
    return version.partition("+")[0]


def main() -> None:
    """Write the file anew."""
    texts = []
    for library, content in library_lists().items():
        lists = [f"   {json.dumps(k)}: {json.dumps(names)}" for k, names in content["networks"].items()]
        head = f'  "version": {json.dumps(content["version"])},\n  "networks": {{\n'
        texts.append(f" {json.dumps(library)}: {{\n{head}{_lines(lists)}\n  }}\n }}")
    (DATA / "library_networks.json").write_text(f"{{\n{_lines(texts)}\n}}\n", "utf-8")


def _lines(entries: list[str]) -> str:
    return ",\n".join(entries)


if __name__ == "__main__":
    main()
