"""Small graphs made by hand, one for each thing that a pass or a plan must get right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archforge.ir import Graph, Node, Scope, TensorType, TypedGraph, infer
from archforge.ops import op_class
from archforge.ops.base import Array, Op
from archforge.plan import Watcher
from archforge.weights import rule_input, rule_weights

__all__ = ["GRAPHS", "Events", "evaluate", "graph", "inputs_of", "node", "one_op"]


def node(name: str, kind: str, *inputs: str, params_of: str = "", scope: int = 0, **attributes: Any) -> Node:
    """A node named `name` that reads the values `inputs`."""
    return Node(name, op_class(kind)(**attributes), inputs, scope, None, params_of or name)


def graph(
    *nodes: Node,
    inputs: Mapping[str, tuple[int, ...]] | None = None,
    outputs: Mapping[str, str] | None = None,
    scopes: tuple[Scope, ...] = (),
) -> TypedGraph:
    """The typed graph of `nodes`; the last value is its output and a 4x6x6 image its input unless given."""
    types = {name: TensorType(shape) for name, shape in (inputs or {"input": (4, 6, 6)}).items()}
    return infer(Graph("hand", types, nodes, outputs or {"output": nodes[-1].name}, scopes))


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
        assert isinstance(n.op, Op)
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
    "transposed": graph(
        node("up", "conv_transpose", "input", out=6, kernel=2, stride=2, groups=2),
        node("bn", "bn", "up"),
    ),
    "grouped": graph(node("conv", "conv", "input", out=8, kernel=3, groups=4), node("bn", "bn", "conv")),
    # A norm's channels are the first axis, a linear layer's features the last.
    "linear_over_time": graph(
        node("fc", "linear", "input", out=4), node("bn", "bn", "fc"), inputs={"input": (4, 6)}
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
}

WEIGHTS: dict[str, dict[str, Array]] = {name: rule_weights(g.params()) for name, g in GRAPHS.items()}
