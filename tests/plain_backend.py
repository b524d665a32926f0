"""A plugin of pytest, `-p tests.plain_backend`: archforge then has the backend `plain` besides its own.

It is found as they are: a folder in the path of the package `archforge.backends`.
"""

from __future__ import annotations

from pathlib import Path

import archforge.backends

archforge.backends.__path__.append(str(Path(__file__).with_name("backends")))
