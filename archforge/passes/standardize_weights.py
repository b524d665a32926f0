"""A pass that standardises the weights of convolutions once, when they are loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from archforge.ir import TypedGraph
from archforge.ops.base import Array
from archforge.ops.conv import Conv
from archforge.ops.lazy_numpy import np
from archforge.ops.standardized_conv import StandardizedConv
from archforge.passes.example_graphs import UNEVEN_WINDOW, graph, node
from archforge.passes.graph_pass import ParamTransform, Pass, Rewrite

__all__ = ["PASS"]


@dataclass(frozen=True, slots=True)
class _Standardize:
    """The weight that the convolution is made with, and its bias; `names` are of its parameters in full."""

    op: StandardizedConv
    names: Mapping[str, str]
    makes: Mapping[str, tuple[int, ...]]

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(self.names.values())

    def apply(self, arrays: Mapping[str, Array], dtype: str = "float64") -> dict[str, Array]:
        wide = {name: np.asarray(arrays[full], np.float64) for name, full in self.names.items()}
        with np.errstate(all="ignore"):
            made = {"weight": self.op.standardized(wide)} | {n: a for n, a in wide.items() if n == "bias"}
            return {full: made[full.rpartition(".")[2]].astype(dtype) for full in self.makes}


def standardize_weights(typed: TypedGraph, taps: frozenset[str]) -> Rewrite:
    """Turn each convolution with standardised weights into a plain one with the weights that it has then."""
    transforms: dict[str, ParamTransform] = {}
    nodes = []
    for node_ in typed.nodes:
        op, types = node_.op, typed.input_types(node_)
        if isinstance(op, StandardizedConv):
            into = f"{node_.params_of}+standardized"
            plain = Conv(**{name: getattr(op, name) for name in Conv.attribute_names()})
            makes = {f"{into}.{name}": decl.shape for name, decl in plain.params(*types).items()}
            names = {name: node_.param_name(name) for name in op.params(*types)}
            transforms[into] = _Standardize(op, names, makes)
            node_ = replace(node_, op=plain, params_of=into)
        nodes.append(node_)
    if not transforms:
        return Rewrite(typed.graph)
    return Rewrite(replace(typed.graph, nodes=tuple(nodes)), tuple(transforms.values()))


def _examples() -> Iterator[TypedGraph]:
    yield graph(
        node("plain", "standardized_conv", "input", out=6, **UNEVEN_WINDOW, groups=2, bias=False, eps=0.1),
        node("scaled", "standardized_conv", "plain", out=3, kernel=(1, 2), eps=0.2, gamma=1.5),
        node("bn", "bn", "scaled"),  # is folded behind it
    )
    # Two uses of the same parameters.
    yield graph(
        node("left", "standardized_conv", "a", out=4, kernel=2, params_of="twin"),
        node("right", "standardized_conv", "b", out=4, kernel=2, params_of="twin"),
        node("product", "multiply", "left", "right"),
        inputs={"a": (3, 4, 4), "b": (3, 4, 4)},
    )


# First, so that what follows sees convolutions.
PASS = Pass("standardize_weights", 0, standardize_weights, _examples)
