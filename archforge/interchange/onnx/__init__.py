"""ONNX: `ops` is the table of its ops with ours of the same meaning, `nodes` what a row is given and gives.

Nothing here needs the package onnx: a node is what is known of it, however it was read.
"""
