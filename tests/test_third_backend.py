"""A backend that only tests have joins the laws of all backends, and no test is edited for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent

# Those that are stated for each backend (its name is in the test's), for all at once, and for choosing one.
LAWS = ("test_backends", "test_bench", "test_cli", "test_info", "test_kernels")
CHOSEN = (
    "plain and not full_size and not resnet",
    "test_every_network and (lenet_5 or rnn_text)",
    "auto or not_installed or tells_of_itself or help_lists",
)
MANY = 500


def test_the_laws_hold_for_a_third_backend() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "tests.plain_backend", "-p", "no:cacheprovider"),
            *(str(TESTS / f"{name}.py") for name in LAWS),
            *("-k", " or ".join(f"({chosen})" for chosen in CHOSEN)),
        ],
        capture_output=True,
        text=True,
        cwd=TESTS.parent,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    passed = re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)
    assert passed
    assert int(passed[1]) > MANY
