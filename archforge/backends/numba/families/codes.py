"""What elementwise steps do before an activation."""

from __future__ import annotations

COPY, ADD, SUBTRACT, MULTIPLY, GATE, AFFINE, SCALE, GLOBAL_MEAN, GLOBAL_MAX = range(9)
