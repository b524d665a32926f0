"""The page of torchvision and timm: each network of theirs is in the zoo, or it is said why not."""

from __future__ import annotations

import pytest

from tests.make_library_lists import library_lists
from tests.pages.libraries import library_networks, reason, specs_by_model

LIBRARIES = ("torchvision", "timm")


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_the_zoo_lacks_has_a_reason(library: str) -> None:
    """One member is enough of a module of timm: the others are a few lines."""
    for group, names in library_networks()[library]["networks"].items():
        inside = [name for name in names if f"{library}.{name}" in specs_by_model()]
        if library == "timm" and inside:
            continue
        silent = [name for name in names if name not in inside and not reason(library, group, name)]
        assert not silent, group


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_model_of_a_profile_is_one_of_the_librarys(library: str) -> None:
    known = {f"{library}.{n}" for names in library_networks()[library]["networks"].values() for n in names}
    assert {model for model in specs_by_model() if model.startswith(f"{library}.")} <= known


def test_the_lists_are_the_libraries_own() -> None:
    for library in LIBRARIES:
        pytest.importorskip(library, reason="`make test-torch` installs it")
    found = library_lists()
    for library in LIBRARIES:
        if found[library]["version"] == library_networks()[library]["version"]:
            assert found[library] == library_networks()[library]
