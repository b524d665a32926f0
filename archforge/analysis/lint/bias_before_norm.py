"""W0503: a bias that the norm behind it takes away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archforge.analysis.lint.rule import LintRule
from archforge.analysis.network import Network
from archforge.errors import Diagnostic, Note
from archforge.spec.resolve.spec import Spec

__all__ = ["RULE"]

WITH_MEAN = ("bn", "instance_norm")  # of each channel, which takes a constant of the channel away


def _find(spec: Spec, networks: Sequence[Network]) -> Iterator[Diagnostic]:
    for network in networks:
        users = network.graph.graph.users()
        outputs = {*network.graph.outputs.values()}
        for node in network.graph.nodes:
            readers = users.get(node.name, [])
            if not node.op.attributes().get("bias") or node.name in outputs or node.span is None:
                continue
            if readers and all(reader.op.kind in WITH_MEAN for reader in readers):
                message = (
                    f"the bias of `{node.op.kind}` is taken away by the `{readers[0].op.kind}` behind it"
                )
                notes = (Note("the norm", readers[0].span),) if readers[0].span else ()
                yield Diagnostic("W0503", message, node.span, help="bias: false", notes=notes)


RULE = LintRule("W0503", _find, by_default=False)
