"""Families of kernels: which ops each of them takes, how it packs weights, and what it records on the tape.

A family is a file with lowerings, functions from an op and the types of its inputs to a `Kernel`, or to None
for what it does not take. Its kernels compute nothing when they run: they put calls on the tape of their
inputs, each a unit of machine code with the fields of its record. Read `elementwise.py` first, the shortest
that has it all, then `direct_conv.py`. The other files are what families share: `channel_blocks.py`,
`epilogues.py`, `map_pixels.py` and `window_2d.py`, and for products of matrices `weight_layout.py`,
`tile_geometry.py`, `tile_tables.py` and `work_units.py`.

To add a kernel:

1. Write the unit, a function of `units/` that computes one part of the work: (address of its record, number
of the unit, address of scratch memory). Loops that must be explicit vectors are microkernels in
`microkernels/`, which the unit calls by address.

2. Describe what it reads as a table in `runtime/records.py`, a line for each field, and add the table to
`RECORDS` there and its reader to `units/intrinsics.py`. A test fails if a field is never set, or never read.

3. Write the lowering, in the family that it belongs to. Its `run(params, *inputs)` takes values that lie in
blocks of channels, `TapeValue`s, asks the tape for its output, merges the fields of the record and puts the
call on the tape; its `pack` lays out the weights. If it absorbs a sum or an activation, an `Ending` gives the
fields for them.

4. Enter the lowering in the table of `lowerings.py`. Where an op has several kernels, `choices.py` names them
for `archforge tune`.

The tests of all backends then run the op's examples, odd shapes and every network on it, with each width of
vectors.
"""
