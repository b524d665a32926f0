"""Small graphs made by hand, one for each thing that a pass, a plan or a backend must get right; the examples
of the passes are among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archforge.ir import Graph, Node, Scope, TensorType, TypedGraph, infer
from archforge.ops.base import Array, Op
from archforge.passes import all_passes
from archforge.passes.example_graphs import graph, node
from archforge.plan import Watcher
from archforge.weights import rule_input, rule_weights

__all__ = ["GRAPHS", "Events", "evaluate", "graph", "inputs_of", "node", "one_op"]


def one_op(op: Op, shapes: tuple[tuple[int, ...], ...]) -> TypedGraph:
    """A graph of one node over inputs of these shapes."""
    inputs = {f"x{i}": TensorType(shape) for i, shape in enumerate(shapes)}
    only = Node("node", op, tuple(inputs), 0, None, "node")
    return infer(Graph("one", inputs, (only,), {"output": "node"}))


def inputs_of(typed: TypedGraph, batch: int = 2) -> dict[str, Array]:
    """float64[batch, *shape] for each input, by rule."""
    return {name: rule_input((batch, *t.shape), name) for name, t in typed.inputs.items()}


def evaluate(typed: TypedGraph, params: Mapping[str, Array], inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Every value, computed node by node without any planner: what passes and plans are held against."""
    values = dict(inputs)
    for n in typed.nodes:
        own = {name: params[n.param_name(name)] for name in n.op.params(*typed.input_types(n))}
        values[n.name] = n.op.reference(own, *(values[v] for v in n.inputs))
    return values


class Events(Watcher):
    """Everything that a watched call tells, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def took_inputs(self) -> None:
        self.seen.append("inputs")

    def made(self, value: str) -> None:
        self.seen.append(f"made {value}")

    def gave_outputs(self) -> None:
        self.seen.append("outputs")


CONV: dict[str, Any] = {"out": 4, "kernel": 3, "padding": 1}


def _scope(index: int, name: str, parent: int | None, reads: str, output: str) -> Scope:
    return Scope(
        index, name, "block" if parent is not None else "graph", True, parent, None, (reads,), output
    )


def _with_epilogues(kind: str, *shapes: tuple[int, ...], **attributes: Any) -> TypedGraph:
    """An op three times: before a sum, before an activation, and before a sum and then an activation."""
    inputs = {f"x{i}": shape for i, shape in enumerate(shapes)}
    made = graph(node("op", kind, *inputs, **attributes), inputs=inputs).types["op"]
    return graph(
        node("summed", kind, *inputs, **attributes),
        node("sum", "add", "other", "summed"),
        node("activated", kind, *inputs, **attributes),
        node("relu", "relu", "activated"),
        node("both", kind, *inputs, **attributes),
        node("both_sum", "add", "both", "other"),
        node("both_relu", "relu6", "both_sum"),
        inputs={**inputs, "other": made.shape},
        outputs={"sum": "sum", "activation": "relu", "both": "both_relu"},
    )


GRAPHS: dict[str, TypedGraph] = {
    "chain": graph(
        node("conv1", "conv", "input", **CONV, bias=False),
        node("bn1", "bn", "conv1"),
        node("relu1", "relu", "bn1"),
        node("conv2", "conv", "relu1", out=6, stride=2),
        node("bn2", "bn", "conv2", eps=1e-3, affine=False),
        node("flatten", "flatten", "bn2"),
        node("fc", "linear", "flatten", out=5, bias=False),
        node("bn3", "bn", "fc", scale=False),
    ),
    "residual": graph(
        node("conv1", "conv", "input", **CONV),
        node("bn1", "bn", "conv1"),
        node("conv2", "conv", "bn1", **CONV),
        node("bn2", "bn", "conv2"),
        node("add", "add", "bn2", "bn1"),
        node("relu", "relu", "add"),
    ),
    # The convolution's own value is read beside the norm.
    "fork": graph(
        node("conv", "conv", "input", **CONV),
        node("bn", "bn", "conv"),
        node("relu", "relu", "conv"),
        node("concat", "concat", "bn", "relu"),
    ),
    "conv_is_output": graph(
        node("conv", "conv", "input", **CONV),
        node("bn", "bn", "conv"),
        outputs={"raw": "conv", "normed": "bn"},
    ),
    "two_norms": graph(
        node("conv", "conv", "input", **CONV),
        node("bn1", "bn", "conv"),
        node("bn2", "bn", "bn1", eps=0.1),
    ),
    "norm_first": graph(node("bn", "bn", "input"), node("conv", "conv", "bn", **CONV)),
    # Channels in an order that a kernel reads by blocks.
    "channel_order": graph(
        node("conv1", "conv", "input", out=20),
        node("first", "slice", "conv1", end=7, axis=0),
        node("rest", "slice", "conv1", start=7, axis=0),
        node("concat", "concat", "rest", "first"),
        node("shuffle", "shuffle", "concat", groups=2),
        node("conv2", "conv", "shuffle", out=6),
    ),
    "transposed": graph(
        node("up", "conv_transpose", "input", out=6, kernel=2, stride=2, groups=2),
        node("bn", "bn", "up"),
    ),
    "grouped": graph(node("conv", "conv", "input", out=8, kernel=3, groups=4), node("bn", "bn", "conv")),
    # A norm's channels are the first axis, a linear layer's features the last.
    "linear_over_time": graph(
        node("fc", "linear", "input", out=4), node("bn", "bn", "fc"), inputs={"input": (4, 6)}
    ),
    # An op that tells axes apart, where a permute has made others of them.
    "pad_between_permutes": graph(
        node("relu", "relu", "input"),
        node("last", "permute", "relu", order=(1, 2, 0)),
        node("wide", "pad", "last", sides=(1, 0, 2, 1)),
        node("first", "permute", "wide", order=(2, 0, 1)),
        node("conv", "conv", "first", **CONV),
        inputs={"input": (4, 6, 5)},
    ),
    "identities": graph(
        node("conv", "conv", "input", **CONV),
        node("drop1", "dropout", "conv"),
        node("id", "identity", "drop1"),
        node("bn", "bn", "id"),
        node("drop2", "channel_dropout", "bn"),
        node("add", "add", "drop2", "bn", "input"),
        node("end", "identity", "add"),
        outputs={"output": "end", "again": "drop2"},
    ),
    "only_identity": graph(node("id", "identity", "input")),
    "shared": graph(
        node("left", "conv", "a", **CONV, params_of="twin"),
        node("bn_left", "bn", "left", params_of="bn"),
        node("right", "conv", "b", **CONV, params_of="twin"),
        node("bn_right", "bn", "right", params_of="bn"),
        node("difference", "subtract", "bn_left", "bn_right"),
        inputs={"a": (4, 6, 6), "b": (4, 6, 6)},
    ),
    # One use of the parameters is folded, the other cannot be.
    "shared_in_part": graph(
        node("left", "conv", "a", **CONV, params_of="twin"),
        node("bn_left", "bn", "left"),
        node("right", "conv", "b", **CONV, params_of="twin"),
        outputs={"left": "bn_left", "right": "right"},
        inputs={"a": (4, 6, 6), "b": (4, 5, 5)},
    ),
    "several": graph(
        node("pool", "max_pool", "image", kernel=3, stride=2, padding=1),
        node("conv", "conv", "pool", out=3),
        node("squeeze", "global_avg_pool", "conv", keep=False),
        node("joint", "concat", "squeeze", "extra"),
        node("fc", "linear", "joint", out=2),
        node("unused", "relu", "conv"),
        inputs={"image": (2, 7, 8), "extra": (4,)},
        outputs={"logits": "fc", "map": "conv"},
    ),
    "scopes": graph(
        node("stem.conv", "conv", "input", **CONV, scope=2),
        node("stem.drop", "dropout", "stem.conv", scope=1),
        node("bn", "bn", "stem.drop"),
        node("relu", "relu", "bn"),
        scopes=(
            _scope(0, "", None, "input", "relu"),
            _scope(1, "stem", 0, "input", "stem.drop"),
            _scope(2, "stem.inner", 1, "input", "stem.conv"),
        ),
    ),
    # A concatenation within another, and a branch that is read beside it.
    "branches": graph(
        node("stem", "conv", "input", out=32, kernel=3, padding=1),
        node("left", "conv", "stem", out=16, kernel=1),
        node("left_relu", "relu", "left"),
        node("pool", "max_pool", "stem", kernel=3, stride=1, padding=1),
        node("inner", "conv", "pool", out=16, kernel=3, padding=1),
        node("narrow", "conv", "stem", out=5, kernel=1),
        node("both", "concat", "inner", "narrow"),
        node("joint", "concat", "left_relu", "stem", "both"),
        node("mix", "conv", "joint", out=69, kernel=1),
        node("sum", "add", "joint", "mix"),
        node("end", "relu6", "sum"),
        inputs={"input": (20, 9, 8)},
    ),
    # All four sides differ, of what is put around the map and of what the convolution adds.
    "padded": graph(
        node("pad", "pad", "input", sides=(1, 0, 3, 2)),
        node("conv", "conv", "pad", out=5, kernel=(3, 2), padding=((0, 2), (1, 3)), stride=(1, 2)),
        node("relu", "relu", "conv"),
    ),
    # The sum comes after the activation, which a kernel that sums first must not do besides.
    "activated_first": graph(
        node("conv", "conv", "input", **CONV),
        node("relu", "relu", "conv"),
        node("add", "add", "relu", "input"),
    ),
    "conv_epilogues": _with_epilogues("conv", (4, 6, 6), out=5, kernel=(2, 3), stride=(1, 2)),
    "depthwise_epilogues": _with_epilogues("conv", (4, 6, 6), out=4, kernel=3, groups=4),
    "transposed_epilogues": _with_epilogues("conv_transpose", (4, 6, 6), out=3, kernel=(2, 3), stride=2),
    "linear_epilogues": _with_epilogues("linear", (7,), out=5),
    "norm_epilogues": _with_epilogues("bn", (4, 6, 6)),
    "product_epilogues": _with_epilogues("multiply", (4, 6, 6), (4, 6, 6)),
    # Large enough for Winograd, with channels and maps that fill neither a block nor a tile.
    "winograd_epilogues": _with_epilogues("conv", (20, 12, 11), out=33, kernel=3, padding=1),
    "norms": graph(
        node("lrn", "lrn", "input", size=3, alpha=0.5, k=2.0),
        node("layer_norm", "layer_norm", "lrn", axis=0, eps=0.1),
        node("responses", "global_response_norm", "layer_norm"),
        node("softmax", "softmax", "responses", axis=0),
        node("log_softmax", "log_softmax", "lrn", axis=0),
        node("sum", "add", "softmax", "log_softmax"),
    ),
    "tokens": graph(
        node("norm", "layer_norm", "input", axis=-1),
        node("attention", "attention", "norm", heads=2),
        node("add", "add", "attention", "input"),
        node("activated", "attention", "add", heads=4),
        node("relu", "relu", "activated"),
        node("last", "attention", "relu", heads=1),
        node("sum", "add", "last", "relu"),
        node("end", "relu", "sum"),
        inputs={"input": (5, 8)},
    ),
    "resized": graph(
        node("up", "upsample", "input", factor=(2, 3), mode="bilinear"),
        node("down", "adaptive_avg_pool", "up", size=(5, 7)),
    ),
    **{
        f"{name}_example_{i}": example
        for name, graph_pass in all_passes().items()
        for i, example in enumerate(graph_pass.examples())
    },
}

WEIGHTS: dict[str, dict[str, Array]] = {name: rule_weights(g.params()) for name, g in GRAPHS.items()}
