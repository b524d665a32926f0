"""`model.onnx`: the network with its weights, for onnxruntime and everything else that reads ONNX."""

from __future__ import annotations

from hashlib import sha256

from archforge.errors import Diagnostic, DiagnosticError, fail
from archforge.export.graph_json import graph_json
from archforge.export.target import ExportContent, Subject, Target
from archforge.interchange.onnx.graph import CannotWrite, OnnxGraph, onnx_graph
from archforge.interchange.onnx.model import MAX_BYTES, onnx_file
from archforge.ir import Node
from archforge.resources import own_version

__all__ = ["TARGETS", "onnx_model"]


def onnx_model(subject: Subject) -> ExportContent:
    """The chosen profile, in opset 22, with an open batch. The weights lie in a second file where they are
    too large for one. Raises E0704 for all that ONNX has no ops for, at once."""
    network = subject.network
    try:
        graph = onnx_graph(network.graph, subject.weights)
    except CannotWrite as refusal:
        raise DiagnosticError(tuple(_lacks(r, n) for r, n in refusal.reasons.items())) from None
    metadata = {
        "archforge.network": network.name,
        "archforge.profile": network.profile,
        "archforge.graph_sha256": sha256(graph_json(subject).encode()).hexdigest(),
    }
    return ExportContent(*onnx_file(graph, metadata, own_version(), _data_file(subject, graph)))


def _data_file(subject: Subject, graph: OnnxGraph) -> str:
    """The name of the file for the parameters, empty for none. Raises E0705 where there must be one, and none
    can be."""
    size = 4 * sum(array.size for array in graph.params.values())
    if not subject.splits and size <= MAX_BYTES:
        return ""
    if not subject.data_file:
        message = f"the weights take {size / 2**30:.2f} GiB, and a file of ONNX holds less than 2"
        fail("E0705", message, help="-o FILE writes them to FILE.data, beside it")
    return subject.data_file


def _lacks(reason: str, nodes: list[Node]) -> Diagnostic:
    more = f" and {len(nodes) - 1} more" if nodes[1:] else ""
    return Diagnostic("E0704", f"model.onnx has no ops for {reason}: {nodes[0].name}{more}", nodes[0].span)


TARGETS = (
    Target(
        "onnx",
        "model.onnx",
        "the network with its weights, for onnxruntime and others: docs/onnx.md",
        onnx_model,
        is_binary=True,
        needs_weights=True,
        can_split=True,
    ),
)
