"""Numbers by which a record says what a function does that can do several things."""

from __future__ import annotations

# Elementwise, before an activation.
COPY, ADD, SUBTRACT, MULTIPLY, SLOPES = range(5)

# Stages of a Winograd convolution; `CHUNKS` does all of them for some tiles.
CHUNKS, INPUTS, PRODUCTS, OUTPUTS = range(4)

# Where an element comes from, in place of an offset: it stays, or is given a value.
KEEP, BLANK = -1, -2
