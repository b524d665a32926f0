"""The table of ONNX's ops and ours, put together from the files of `families`."""

from __future__ import annotations

from collections.abc import Mapping

from archforge.interchange.onnx.families import elementwise, merges, moves, norms, recurrent, windows
from archforge.interchange.onnx.nodes import OnnxNode, OnnxOp, OnnxTranslation, Translate
from archforge.interchange.onnx.writing import Write
from archforge.interchange.unsupported import Unsupported

__all__ = ["ONNX_OPS", "ONNX_PARTS", "WITHOUT_ONNX_OP", "WRITTEN_OPS", "translations_of"]

_FAMILIES = (elementwise, merges, moves, norms, recurrent, windows)

# By ONNX's name: our op of the same meaning, and how a node becomes it.
ONNX_OPS: Mapping[str, OnnxOp] = dict(sorted(row for family in _FAMILIES for row in family.READ.items()))

# Ops of ONNX that are a part of one of ours: what the normaliser makes it from.
ONNX_PARTS: Mapping[str, Translate] = {**elementwise.PARTS, **merges.PARTS, **windows.PARTS}

# By our name: how a use of the op becomes nodes.
WRITTEN_OPS: Mapping[str, Write] = {
    kind: write for family in _FAMILIES for kind, write in family.WRITTEN.items()
}


def translations_of(onnx_op: str, node: OnnxNode) -> list[OnnxTranslation]:
    """A node in our ops, one translation for each output that is asked for. Raises `Unsupported`."""
    if onnx_op in ONNX_PARTS:
        return ONNX_PARTS[onnx_op](node)
    if onnx_op not in ONNX_OPS:
        raise Unsupported("")
    return ONNX_OPS[onnx_op].translate(node)


# Our ops that no single op of ONNX says, and what ONNX has instead.
WITHOUT_ONNX_OP: Mapping[str, str] = {
    "adaptive_avg_pool": "ONNX pools to a given size only globally",
    "adaptive_max_pool": "ONNX pools to a given size only globally",
    "attention": "two linear layers with `Attention` between them, several nodes",
    "channel_dropout": "ONNX drops single elements only",
    "divide": "a Div, which aligns values at their last axes",
    "embedding": "a Gather of a stored table by whole numbers, which is `take` where these are stored",
    "global_response_norm": "norms of whole channels over their mean, several nodes",
    "l2_normalize": "ONNX's LpNormalization has no least divisor",
    "layer_scale": "a product with a stored array",
    "matmul": "a MatMul, which is `linear` where one factor is stored",
    "maximum": "a Max, which aligns values at their last axes",
    "offset": "a sum with a stored number",
    "parameter": "a stored array, expanded to the batch",
    "relu6": "a Clip from 0 to 6, which is read as one",
    "rms_norm": "a mean of squares, a root and a quotient before version 23",
    "roll": "two slices and a concatenation",
    "scale": "a product with a stored number",
    "shuffle": "a reshape, a transposition and a reshape back",
    "stochastic_depth": "ONNX drops single elements only",
    "standardized_conv": "a convolution with a weight that nodes before it compute",
    "take": "a Gather, which is `slice` where its entries follow each other",
    "unfold": "a convolution that copies, and a reshape",
    "window_attention": "gathers of tokens around linear layers and products of values",
}
