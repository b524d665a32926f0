"""The package onnx, which is an extra."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from archforge.errors import fail

__all__ = ["onnx_package"]


def onnx_package(code: str) -> Any:
    """The package onnx with its helpers. Raises `code` where it is not installed."""
    try:
        import_module("onnx.helper")
        import_module("onnx.defs")
        return import_module("onnx")
    except ImportError:
        message = "files of ONNX need the package onnx, which is not installed"
        fail(code, message, help="pip install 'archforge-zoo[onnx]'")
