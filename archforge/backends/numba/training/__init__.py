"""Training: how a plan forward and backward is recorded on one tape, and the kernels that training has of its
own.

Read `learner.py` first, which records the steps and runs them, then `kernel.py`, what a kernel in training
is, and `lowerings.py`, the table of them by kind of op. An op that is not there runs on its own file's
gradient.
"""
