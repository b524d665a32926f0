"""Training runs.

In the order of reading: `train` leads from a spec and data to a trained network, by way of `setup`, the fixed
parts of a run, `run`, its state and one update, `sums`, what the batches of that add up to, and `loop`, its
epochs. `checkpoint`, `run_folder`, `history` and `report` are what is kept; `evaluation` and `measures` are
the figures. `ranks` is a run in several processes.
"""
