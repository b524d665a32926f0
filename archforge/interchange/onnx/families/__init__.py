"""The table of ops, one file a family: `READ` has rows by ONNX's name of an op, `WRITTEN` by ours, and
`PARTS` has ops of ONNX of which several together are one of ours.
"""
