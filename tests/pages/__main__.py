"""`python -m tests.pages`: write every generated file that is not as the code gives it now, and name it."""

from __future__ import annotations

from tests.pages import ROOT, generated


def main() -> None:
    """Write the files in order. A page that several libraries make needs what `make generated` installs."""
    for path, text in generated().items():
        now = text()
        if not path.is_file() or path.read_text("utf-8") != now:
            path.write_text(now, "utf-8")
            print(f"wrote {path.relative_to(ROOT)}")


main()
