"""Sweeps: networks of spaces, each trained by a job of its own, and what their errors say of the spaces.

`job` is what is done for one network, from plain values to plain values. `engines` have jobs done, on one
machine or on many. `store` keeps what came of them in a single file. `sweep` puts these together.
"""
