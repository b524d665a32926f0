"""Commands by their names. Nothing is imported here, so that completion in a shell is quick."""

from __future__ import annotations

__all__ = ["COMMANDS", "COMPUTING", "GROUPS"]

# Where the function of each command is; the help lists them in this order. One of two words is in a group.
COMMANDS = {
    "build": "build.build",
    "export": "export.export",
    "import": "import_file.import_file",
    "check": "check.check",
    "show": "show.show",
    "list": "listing.list_zoo",
    "draw": "draw.draw",
    "report": "report.report",
    "serve": "serve.serve",
    "sample": "sample.sample",
    "info": "info.info",
    "run": "run.run",
    "verify": "verify.verify",
    "compare": "compare.compare",
    "diff": "diff.diff",
    "explain": "explain.explain",
    "weights convert": "weights_convert.convert",
    "train": "train.train",
    "sweep": "sweep.sweep",
    "evaluate": "evaluate.evaluate",
    "bench": "bench.bench",
    "profile": "profile.profile",
    "warm": "warm.warm",
    "tune": "tune.tune",
    "new": "new.new",
    "fmt": "fmt.fmt",
    "lint": "lint.lint_specs",
    "fold": "fold.fold",
    "schema": "schema.schema",
    "lsp": "lsp.lsp",
    "completion": "completion.completion",
}
GROUPS = {"weights": "Files of weights."}
# The last words of those that compute, and load NumPy for it.
COMPUTING = (
    *("build", "export", "import", "run", "verify", "compare", "convert"),
    *("train", "evaluate", "bench", "profile", "warm", "tune"),
)
