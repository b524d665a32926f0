"""Accuracy beside a number that is much larger than the others: two layers of U-Net, on an image from 0 to 1,
one pixel of which is given.

    python -m benchmarks.accuracy

prints, for values of that pixel and backends with fast kernels, how far outputs that do not depend on the
pixel are off at most, in deviations of the output, from the reference in float64, over all places of the
pixel in a tile.
"""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np

import archforge
from archforge.driver import Accuracy

__all__ = ["main"]

SIZE, LAYERS, SIDE = 64, "enc1.2", 4  # pixels of a side, what is tapped, outputs of a tile along an axis
PIXELS = (1.0, 255.0, -9999.0, 1e6)
BACKENDS = ("numba", "numpy")


def main() -> None:
    """Print a table in Markdown."""
    network = archforge.load("unet", input=(3, SIZE, SIZE))
    cases = [(backend, accuracy) for backend in BACKENDS for accuracy in Accuracy]
    reference = archforge.compile(network, backend="numpy", dtype="float64", taps=LAYERS)
    runs = [archforge.compile(network, backend=b, accuracy=a, taps=LAYERS) for b, a in cases]
    image = np.random.default_rng(0).random((1, 3, SIZE, SIZE))
    plain = reference(image)[1][LAYERS]
    warnings.simplefilter("ignore", archforge.AccuracyWarning)
    print(f"| the pixel | {' | '.join(f'{b}, {a}' for b, a in cases)} |")
    print(f"| ---: |{' ---: |' * len(cases)}")
    for pixel in PIXELS:
        worst = [0.0] * len(cases)
        for y, x in product(range(SIZE // 2, SIZE // 2 + SIDE), repeat=2):
            given = image.copy()
            given[..., y, x] = pixel
            expected = reference(given)[1][LAYERS]
            beside = expected == plain
            for i, run in enumerate(runs):
                off = abs(run(given.astype(np.float32))[1][LAYERS] - expected)[beside].max()
                worst[i] = max(worst[i], off / plain.std())
        print(f"| {pixel:g} | {' | '.join(f'{off:.1e}' for off in worst)} |")


if __name__ == "__main__":
    main()
