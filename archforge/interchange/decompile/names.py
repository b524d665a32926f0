"""Names of blocks, from what they hold."""

from __future__ import annotations

from collections.abc import Sequence

from archforge.interchange.decompile.skeletons import is_depthwise
from archforge.interchange.decompile.steps import Block, TreeStep, leaves_of

__all__ = ["name_blocks"]

MAX_WORDS = 4
POOLS = frozenset({"global_avg_pool", "global_max_pool"})


def name_blocks(blocks: Sequence[Block]) -> None:
    """Give each block a name of its own."""
    taken: set[str] = set()
    for block in blocks:
        base = _described(block)
        name, number = base, 2
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        block.name = name


def _described(block: Block) -> str:
    call = block.calls[0]
    if len(call.reads) > 1:
        return "cell"
    leaves = [leaf for item in call.items for leaf in leaves_of(item)]
    merges = [step for step in call.items if step.branches]
    if not merges:
        words = ["depthwise" if is_depthwise(leaf) else str(leaf.kind) for leaf in leaves]
        if words[:2] == ["depthwise", "conv"]:
            words[:2] = ["separable"]
        return "_".join(words) if len(words) <= MAX_WORDS else "unit"
    merge = merges[-1]
    if merge.kind == "add" and len(merge.branches) == 2:
        return _residual(merge)
    if merge.kind == "multiply" and any(not b.steps for b in merge.branches):
        return "squeeze_excite" if any(leaf.kind in POOLS for leaf in leaves) else "gate"
    if merge.kind == "concat":
        if any(not b.steps for b in merge.branches):
            return "dense"
        return "inception" if len(merge.branches) > 2 else "fork"
    return "unit"


def _residual(merge: TreeStep) -> str:
    convs = [
        leaf
        for step in merge.branches[1 - merge.optional].steps
        for leaf in leaves_of(step)
        if leaf.kind == "conv"
    ]
    if len(convs) > 1 and any(map(is_depthwise, convs)) and not is_depthwise(convs[0]):
        return "inverted_residual"
    kernels = [leaf.args["kernel"] for leaf in convs]
    return "bottleneck" if len(kernels) == 3 and kernels[0] == kernels[-1] == 1 else "residual"
