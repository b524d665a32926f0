"""What all tests share: one thread, no colour, and the same examples on each run."""

from __future__ import annotations

import os

from hypothesis import settings

# Before NumPy is imported, here and in the processes that tests start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["NO_COLOR"] = "1"

# A deadline measures the machine, and a check of a change must not depend on luck.
settings.register_profile("archforge", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("archforge")
