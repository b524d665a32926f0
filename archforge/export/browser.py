"""Pictures of pixels, made by a browser of Chromium's family, which is run once and without a window."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from math import ceil
from pathlib import Path
from struct import unpack
from tempfile import TemporaryDirectory

from archforge.errors import fail

__all__ = ["BROWSERS", "browser", "png_of"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
ON_MACS = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
MOST_PIXELS = 16_384  # along a side: what Chromium draws into has no more
TIMEOUT_S = 120


def browser() -> str | None:
    """The path of the first browser of `BROWSERS` that is installed."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found or (ON_MACS if Path(ON_MACS).is_file() else None)


def png_of(svg: str, width: float, height: float, scale: int) -> bytes:
    """An SVG of this size, in CSS pixels, as a PNG with `scale` pixels for each. Raises E0701 without a
    browser, or where it fails, and E0705 for a picture larger than it can make."""
    found = browser()
    if found is None:
        help = "install Chromium or Chrome, or write an .svg, which needs no browser"
        fail("E0701", f"a PNG is made by a browser, and there is none of {', '.join(BROWSERS)}", help=help)
    size = ceil(width), ceil(height)
    if max(size) * scale > MOST_PIXELS:
        pixels = " x ".join(f"{side * scale:,}" for side in size)
        message = f"the picture would have {pixels} pixels, and browsers draw {MOST_PIXELS:,} at most"
        fail("E0705", message, help="an .svg has no such limit; --scale 1 and --level block make it smaller")
    with TemporaryDirectory() as folder:
        page, picture = Path(folder) / "picture.html", Path(folder) / "picture.png"
        style = "<style>body{margin:0}svg{display:block}</style>"
        page.write_text(f"<!doctype html><meta charset=utf-8>{style}{svg}", "utf-8")
        command = [
            found, "--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
            f"--user-data-dir={folder}/profile", f"--force-device-scale-factor={scale}",
            f"--window-size={size[0]},{size[1]}", f"--screenshot={picture}", page.as_uri(),
        ]  # fmt: skip
        if sys.platform == "linux" and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # which root cannot have
        try:
            done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
            content = picture.read_bytes()
        except (OSError, subprocess.TimeoutExpired) as error:
            fail("E0701", f"{found} made no picture: {error}", help="write an .svg, which needs no browser")
        if unpack(">II", content[16:24]) != (size[0] * scale, size[1] * scale):
            fail("E0701", f"{found} made a picture of another size, exit code {done.returncode}")
        return content
