"""Numbers for what a compiled function does, of several things."""

from __future__ import annotations

# Elementwise, before an activation.
COPY, ADD, SUBTRACT, MULTIPLY = range(4)

# Stages of a Winograd convolution; `CHUNKS` does all of them for some tiles.
CHUNKS, INPUTS, PRODUCTS, OUTPUTS = range(4)
