"""Networks of torch by name: of torchvision, of timm, and what a function of any package makes."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from inspect import signature
from traceback import extract_tb
from typing import Any

from archforge.data.opened_files import reason_in
from archforge.errors import DiagnosticError, did_you_mean, fail

__all__ = ["LIBRARIES", "code_of", "library", "library_module", "made_module"]

LIBRARIES = ("torchvision", "timm")


def library(name: str) -> Any:
    """The module of a library. Raises E0701 with a way out where it cannot be imported."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        help = "the extra `bench` brings it; for reference data, `make golden` does"
        fail("E0701", f"{error.name} is not installed", help=help)
    except RuntimeError as error:
        # torchvision finds no operators of its own when it was built for another torch, one for GPUs perhaps.
        if "torchvision::" not in str(error):
            raise
        help = "install both from one index, for example https://download.pytorch.org/whl/cpu"
        fail("E0701", "torchvision and torch are of different builds", help=help)


def library_module(model: str, classes: int | None = None) -> Any:
    """The network `torchvision.NAME` or `timm.NAME`, with fresh weights, and so many classes or as the
    library has them. Raises E0001 and E0701."""
    maker, _, name = model.partition(".")
    if maker not in LIBRARIES:
        fail("E0001", f"{model}: a network is torchvision.NAME or timm.NAME")
    made_by = library(maker)
    if maker == "timm":
        known, make = made_by.list_models(), made_by.create_model
    else:
        known, make = _of_torchvision(made_by.models), partial(_torchvision_module, made_by.models)
    if name not in known:
        message = (
            f"{maker} {made_by.__version__} has no network {name} that classifies images, videos or pixels, "
            "or detects objects in one stage"
        )
        alike = [other for other in known if other[:3] == name[:3]]
        fail("E0001", message, help=did_you_mean(name, alike or known))
    with warnings.catch_warnings(action="ignore"):  # of initial values, which nobody reads
        return make(name) if classes is None else make(name, num_classes=classes)


def _of_torchvision(models: Any) -> list[str]:
    parts = (models, models.segmentation, models.video)
    detectors = [n for n in models.list_models(module=models.detection) if "rcnn" not in n]
    return [name for part in parts for name in models.list_models(module=part)] + detectors


def _torchvision_module(models: Any, name: str, **more: Any) -> Any:
    """A network without anything downloaded, with the second classifier that its released weights have. One
    that detects ends at its raw heads: it takes a batch of pictures, and makes no boxes of what it gives."""
    taken = signature(models.get_model_builder(name)).parameters
    options = {"weights_backbone": None, "aux_loss": True}
    module = models.get_model(name, **{key: value for key, value in options.items() if key in taken}, **more)
    if name in models.list_models(module=models.detection):
        module.forward = lambda x: module.head([*module.backbone(x).values()])
    return module


@contextmanager
def code_of(words: str) -> Iterator[None]:
    """A stretch that runs code of a user's package, by the words for it. Raises E0001 for whatever that
    raises, with the line where it did."""
    try:
        yield
    except DiagnosticError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the code is a user's
        last = extract_tb(error.__traceback__)[-1]
        help = f"see line {last.lineno} of {last.filename}"
        if last.filename == __file__:
            help = "it is called without arguments"
        fail("E0001", f"{words} raises {type(error).__name__}: {reason_in(error)}", help=help)


def made_module(place: str) -> Any:
    """The torch module that `package.module:factory` makes or is; packages of the working folder count too.

    Raises E0001 for what is none, or raises anything itself, and E0701 where torch is missing.
    """
    package, _, name = place.partition(":")
    if not package or not name:
        fail("E0001", f"`{place}` names no module of torch", help="package.module:factory")
    torch = library("torch")
    if os.getcwd() not in sys.path:  # noqa: PTH109
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    with code_of(f"import of {package}"):
        try:
            found = import_module(package)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{package}.".startswith(f"{error.name}."):
                raise
            fail("E0001", f"there is no package {error.name}, for `{place}`", help="package.module:factory")
    for part in name.split("."):
        if not hasattr(found, part):
            fail("E0001", f"{package} has no `{name}`", help=did_you_mean(part, dir(found)))
        found = getattr(found, part)
    with code_of(f"`{place}`"):
        made = found() if callable(found) and not isinstance(found, torch.nn.Module) else found
    if not isinstance(made, torch.nn.Module):
        fail("E0001", f"`{place}` makes {type(made).__name__}, no torch.nn.Module")
    return made
