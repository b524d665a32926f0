"""The report of a run: a page of HTML that needs nothing beside it."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple

from archforge.datasets.base import Pair
from archforge.export.render import render
from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import Loss
from archforge.training.curves import curves_svg
from archforge.training.measures import Measures
from archforge.training.setup import Setup
from archforge.training.text_windows import TextWindow

__all__ = ["MaskExample", "facts_of", "mask_examples", "report_html"]

MOST_EXAMPLES = 6
MOST_CLASSES = 50  # of which a confusion matrix is printed


class MaskExample(NamedTuple):
    """A picture float[C, H, W], the mask that it should have and the one that was predicted, int[H, W]."""

    picture: Array
    truth: Array
    predicted: Array


def report_html(
    title: str,
    facts: Mapping[str, Any],
    history: Sequence[Mapping[str, float]],
    classes: Sequence[str] = (),
    held_back: Measures | None = None,
    examples: Sequence[MaskExample] = (),
    windows: Sequence[TextWindow] = (),
) -> str:
    """The page. facts: words about the run by name. held_back: figures of the samples that were not trained
    on. examples, windows: of masks or text, some of these samples."""
    confusion = held_back.confusion if held_back else None
    names = list(classes) or [str(i) for i in range(0 if confusion is None else len(confusion))]
    columns = list(dict.fromkeys(name for row in history for name in row))
    return render(
        "report.html.j2",
        title=title,
        facts=list(facts.items()),
        curves=curves_svg(title, history),
        columns=columns,
        epochs=[[f"{row[name]:.6g}" if name in row else "" for name in columns] for row in history],
        classes=_class_table(names, held_back) if held_back and confusion is not None else None,
        matrix=_matrix(names, confusion) if confusion is not None and len(names) <= MOST_CLASSES else [],
        names=names,
        examples=[_pictures(example, len(names)) for example in examples],
        windows=[window._asdict() for window in windows],
    )


def facts_of(conditions: Mapping[str, Any], setup: Setup) -> dict[str, str]:
    """Words about a run by name."""
    recipe, versions = setup.recipe, conditions["versions"]
    held_back = setup.held_back
    return {
        "network": f"{conditions['network']}, {setup.network.counts.params:,} parameters",
        "data": f"{setup.batches.samples.name}, {len(setup.batches.samples):,} samples",
        "held back": f"{len(held_back.samples):,} samples" if held_back else "nothing",
        "samples": "; ".join(setup.batches.fit.words()),
        "loss": ", ".join(dict.fromkeys(part.loss.said() for part in setup.losses.values())),
        "optimizer": setup.optimizer.said(),
        **({"schedule": ", ".join(part.said() for part in recipe.schedule)} if recipe.schedule else {}),
        "batch": f"{recipe.batch}, {setup.updates_per_epoch} updates in an epoch",
        "seed": str(recipe.seed),
        "backend": f"{conditions['backend']}, {conditions['dtype']}, {conditions['threads']} threads",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "machine": conditions["cpu"],
    }


def mask_examples(loss: Loss, batch: Pair, prediction: Array) -> list[MaskExample]:
    """The first samples of a batch with what was predicted for them."""
    found = loss.classes(prediction, batch.y)
    if found is None:
        return []
    size = found.predicted.shape[-2:]
    masks = (array.reshape(len(batch.x), *size) for array in (found.right, found.predicted))
    return [MaskExample(*parts) for parts in zip(batch.x, *masks, strict=True)][:MOST_EXAMPLES]


class ClassTable(NamedTuple):
    """The names of the columns of a table of classes, and its rows."""

    names: list[str]
    rows: list[list[str]]


def _class_table(names: Sequence[str], measures: Measures) -> ClassTable:
    """The number of samples of each class, the share that is right, and of masks the overlap."""
    overlaps = measures.overlaps() if measures.are_masks else None
    rows = []
    for i, name in enumerate(names):
        of_class, right = int(measures.confusion[i].sum()), int(measures.confusion[i, i])
        row = [name, str(of_class), f"{100 * right / of_class:.2f} %" if of_class else ""]
        if overlaps is not None:
            row.append("" if math.isnan(overlaps[i]) else f"{overlaps[i]:.4f}")
        rows.append(row)
    return ClassTable(["class", "number", "accuracy", *(["IoU"] if overlaps is not None else [])], rows)


class MatrixCell(NamedTuple):
    """A number of a confusion matrix: the name of its colour, from 0 to 1 how strong it is, and the text."""

    colour: str
    strength: str
    text: str


def _matrix(names: Sequence[str], confusion: Array) -> list[tuple[str, list[MatrixCell]]]:
    """Rows of the confusion matrix: the name of the right class, and a cell for each predicted one."""
    shares = 0.8 * confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    return [
        (
            name,
            [
                MatrixCell("hit" if i == j else "miss", f"{shares[i, j]:.3f}", str(number) if number else "")
                for j, number in enumerate(confusion[i].tolist())
            ],
        )
        for i, name in enumerate(names)
    ]


def _pictures(example: MaskExample, classes: int) -> list[tuple[str, str]]:
    """The picture, the truth and the prediction, each with its name, as PNG in a data URI."""
    low, high = float(example.picture.min()), float(example.picture.max())
    picture = (example.picture - low) / max(high - low, 1e-12)
    grey = len(picture) != 3
    pixels = np.repeat(picture[:1], 3, axis=0) if grey else picture
    palette = _palette(max(classes, 2))
    return [
        ("picture", _data_uri((np.moveaxis(pixels, 0, -1) * 255).round().astype(np.uint8))),
        ("truth", _data_uri(palette[example.truth.clip(0)])),
        ("prediction", _data_uri(palette[example.predicted.clip(0)])),
    ]


def _palette(classes: int) -> Array:
    """A colour for each class, uint8[classes, 3]: black, white, then hues that lie far from each other."""
    from colorsys import hsv_to_rgb

    hues = [hsv_to_rgb(0.61803398875 * i % 1, 0.75, 0.9) for i in range(classes)]
    colours = [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), *hues][:classes]
    return (np.array(colours) * 255).round().astype(np.uint8)


def _data_uri(pixels: Array) -> str:
    from PIL import Image

    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
