"""One normal form for the words of a spec, so that a name is equal to itself however it was typed."""

from __future__ import annotations

import unicodedata

__all__ = ["normal_form"]


def normal_form(text: str) -> str:
    """A word in Unicode's form NFKC, which Python gives the names in formulas; any other text as it is.

    The micro sign is the letter mu, and an accent behind its letter, as macOS writes it, is part of it.
    Source: the Python Language Reference, 2.3, Identifiers and keywords; UAX 15.
    """
    return unicodedata.normalize("NFKC", text) if not text.isascii() and text.isidentifier() else text
