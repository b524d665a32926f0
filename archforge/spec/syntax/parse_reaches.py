"""Parser of `reaches`, the figures that a recipe is documented to reach."""

from __future__ import annotations

import math
import re

from archforge.errors import Diagnostic, did_you_mean, fail, fail_all
from archforge.recipe.reaches import FIGURES, DocumentedFigure, FigureKind
from archforge.spec.syntax.form_checks import Mistakes, mapping_of, refuse_unknown, shown, word_of
from archforge.spec.syntax.syntax_tree import REACHES
from archforge.spec.yaml.tree import Entry, Scalar, Tree
from archforge.spec.yaml.tree import Mapping as MappingTree

__all__ = ["CELL_KEYS", "parse_reaches"]

CELL_KEYS = ("documented", "computed", "because", "source")


def parse_reaches(entry: Entry) -> dict[str, tuple[DocumentedFigure, ...]]:
    """The figures that `reaches` gives, by profile. Raises all that is wrong with them."""
    example = f"{REACHES}: {{listing: {{val_accuracy: 0.98, source: ...}}}}"
    tree = mapping_of(entry.value, f"`{REACHES}`", example)
    mistakes = Mistakes()
    found = mistakes.each(tree, _documented_figures)
    mistakes.close()
    return found


def _documented_figures(entry: Entry) -> tuple[DocumentedFigure, ...]:
    """The figures of one profile."""
    tree = mapping_of(entry.value, f"`{entry.key}` of `{REACHES}`", "{val_accuracy: 0.98, source: ...}")
    mistakes = Mistakes()
    mistakes.attempt(lambda: _refuse_no_figure(tree), None)
    source = tree.get("source")
    if source is None:
        message = f"the figures of `{entry.key}` have no source"
        mistakes.add(Diagnostic("E0202", message, entry.key_span, help="source: who printed them, where"))
    text = mistakes.attempt(lambda: word_of(source, "`source`") if source else "", "")
    figures = [
        mistakes.attempt(lambda c=cell: _figure(c, text), None)  # type: ignore[misc]
        for cell in tree
        if cell.key in FIGURES
    ]
    if not figures and not mistakes.found:
        fail(
            "E0202", f"`{entry.key}` of `{REACHES}` has no figure", entry.key_span, help="val_accuracy: 0.98"
        )
    mistakes.close()
    return tuple(figure for figure in figures if figure)


def _refuse_no_figure(tree: MappingTree) -> None:
    """Raise E0502 for each key that is no figure."""
    words = {"acc": "accuracy", "test_accuracy": "val_accuracy", "val_acc": "val_accuracy", "iou": "val_iou"}
    fail_all(
        Diagnostic(
            "E0502",
            f"there is no figure `{key}`",
            entry.key_span,
            help=f"did you mean `{words[key]}`?"
            if key in words
            else did_you_mean(key, FIGURES, what="figures"),
        )
        for key, entry in tree.entries.items()
        if key not in FIGURES and key != "source"
    )


def _figure(cell: Entry, source: str) -> DocumentedFigure:
    """A documented figure: a number, or one that is out of reach, with what is reached and the reason."""
    tree, kind = cell.value, FIGURES[cell.key]
    if not isinstance(tree, MappingTree):
        return DocumentedFigure(cell.key, _number(tree, cell.key, kind), source)
    refuse_unknown(tree, CELL_KEYS)
    documented, computed, because = (tree.get(key) for key in ("documented", "computed", "because"))
    own = tree.get("source")
    if documented is None or (computed is None) != (because is None):
        example = "{documented: 0.98, computed: 0.97, because: ...}"
        message = f"`{cell.key}` is a number, or a documented one with the computed one and the reason"
        fail("E0507", message, cell.key_span, help=example)
    return DocumentedFigure(
        cell.key,
        _number(documented, "documented", kind),
        word_of(own, "`source`") if own else source,
        None if computed is None else _number(computed, "computed", kind),
        "" if because is None else word_of(because, "`because`"),
    )


def _number(tree: Tree, key: str, kind: FigureKind) -> float:
    """A figure as a number."""
    value = tree.value if isinstance(tree, Scalar) else None
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if 0 <= number <= (1 if kind.is_share else math.inf):
        return float(number)
    expected = "a share from 0 to 1" if kind.is_share else "a number, 0 or more"
    percent = re.fullmatch(
        r"([0-9]{1,3}(?:\.[0-9]+)?) ?%?", tree.span.text if isinstance(tree, Scalar) else ""
    )
    hint = f"{float(percent[1]) / 100:.6g}" if percent and kind.is_share else ""
    fail("E0507", f"`{key}` is {expected}, found {shown(tree)}", tree.span, help=hint)
