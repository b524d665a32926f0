"""Numbers by which a record says what a function does that can do several things."""

from __future__ import annotations

# Elementwise, before an activation.
COPY, ADD, SUBTRACT, MULTIPLY, SLOPES = range(5)

# Stages of a Winograd convolution; `CHUNKS` does all of them for some tiles.
CHUNKS, INPUTS, PRODUCTS, OUTPUTS = range(4)

# Vectors of constants of a block of channels in training: a batch norm's mean, the factor and the bias of
# what is left, and the inverse of the deviation; for its gradient the factors of dy, of x less the mean, and
# of 1.
MEAN, FACTOR, BIAS, INVERSE, TIMES_GRADIENT, TIMES_CENTRED, TIMES_ONE, CONSTANTS = range(8)

# Where an element comes from, in place of an offset: it stays, or is given a value.
KEEP, BLANK = -1, -2
