"""The table of ONNX's ops and ours, put together from the files of `families`."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.interchange.onnx.families import elementwise, merges, moves, norms, recurrent, windows
from archforge.interchange.onnx.nodes import OnnxOp
from archforge.interchange.onnx.writing import Write

__all__ = ["ONNX_OPS", "WITHOUT_ONNX_OP", "WRITTEN_OPS"]

_FAMILIES = (elementwise, merges, moves, norms, recurrent, windows)

# By ONNX's name: our op of the same meaning, and how a node becomes it.
ONNX_OPS: Mapping[str, OnnxOp] = dict(sorted(row for family in _FAMILIES for row in family.READ.items()))

# By our name: how a use of the op becomes nodes.
WRITTEN_OPS: Mapping[str, Write] = {
    kind: write for family in _FAMILIES for kind, write in family.WRITTEN.items()
}

# Our ops that no single op of ONNX says, and what ONNX has instead.
WITHOUT_ONNX_OP: Mapping[str, str] = {
    "adaptive_avg_pool": "ONNX pools to a given size only globally",
    "channel_dropout": "ONNX drops single elements only",
    "global_response_norm": "norms of whole channels over their mean, several nodes",
    "layer_scale": "a product with a stored array",
    "relu6": "a Clip from 0 to 6, which is read as one",
    "scale": "a product with a stored number",
    "shuffle": "a reshape, a transposition and a reshape back",
    "stochastic_depth": "ONNX drops single elements only",
}
