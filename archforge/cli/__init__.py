"""The command line. `main` turns what goes wrong into a message and an exit code.

0: fine. 1: a check failed. 2: the spec, the data or the command is wrong. 70: a bug of archforge.
"""

from __future__ import annotations

import os
import sys
import traceback

__all__ = ["CHECK_FAILED", "INTERNAL_ERROR", "USER_ERROR", "main"]

CHECK_FAILED = 1
USER_ERROR = 2
INTERNAL_ERROR = 70


def main() -> None:
    """Run the command and exit."""
    from archforge.cli.app import app
    from archforge.errors import DiagnosticError

    try:
        app()
    except DiagnosticError as error:
        from archforge.cli.output import print_diagnostics

        print_diagnostics(error.diagnostics)
        sys.exit(USER_ERROR)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception:  # noqa: BLE001  Python would exit with 1, which means that a check failed
        traceback.print_exc()
        print("this is a bug of archforge: please report it with the spec that shows it", file=sys.stderr)
        sys.exit(INTERNAL_ERROR)
