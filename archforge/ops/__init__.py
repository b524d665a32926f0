"""The registry of ops. The file of an op is loaded when the op is asked for: a spec uses few of them."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from archforge.errors import InternalError
from archforge.ops.base import Op

__all__ = ["OP_WORDS", "all_ops", "find_op", "op_class"]

# The words of a spec that name the ops of each file.
_WORDS = {
    "activations": "abs elu gelu hard_sigmoid hard_swish leaky_relu mish relu relu6 "
    "selu sigmoid silu softplus softsign swish tanh",
    "adaptive_pool": "adaptive_avg_pool adaptive_max_pool",
    "attention": "attention",
    "batch_norm": "bn",
    "clip": "clip",
    "concat": "concat",
    "conv": "conv",
    "conv_transpose": "conv_transpose",
    "flatten": "flatten",
    "global_pool": "global_avg_pool global_max_pool",
    "global_response_norm": "global_response_norm grn",
    "group_norm": "group_norm",
    "identity": "channel_dropout dropout identity",
    "instance_norm": "instance_norm",
    "l2_normalize": "l2_normalize",
    "layer_norm": "layer_norm",
    "linear": "linear",
    "lrn": "lrn",
    "matmul": "matmul",
    "merge": "add divide maximum multiply subtract",
    "pad": "pad",
    "parameter": "parameter",
    "permute": "permute",
    "pixel_shuffle": "pixel_shuffle pixel_unshuffle",
    "pool": "avg_pool lp_pool max_pool",
    "prelu": "prelu",
    "recurrent": "gru lstm rnn",
    "reshape": "reshape",
    "resize": "resize",
    "rms_norm": "rms_norm",
    "roll": "roll",
    "scale": "layer_scale offset scale",
    "shuffle": "shuffle",
    "slice": "slice",
    "softmax": "log_softmax softmax",
    "stochastic_depth": "stochastic_depth",
    "unfold": "unfold",
    "upsample": "upsample",
}
# Every word that names an op, in alphabetical order, and the file of the op.
OP_WORDS = dict(sorted((word, file) for file, words in _WORDS.items() for word in words.split()))


@cache
def op_class(word: str) -> type[Op]:
    """The op that a word names. Raises `KeyError`."""
    module = import_module(f"{__name__}.{OP_WORDS[word]}")
    pending = [Op]
    while pending:
        cls = pending.pop()
        pending += cls.__subclasses__()
        if cls.__module__ == module.__name__ and "op" in cls.__dict__ and word in (cls.op, *cls.aliases):
            return cls
    raise InternalError(f"{module.__name__} has no op `{word}`")


def find_op(word: object) -> type[Op] | None:
    """The op that a word names, None where it names none."""
    return op_class(word) if isinstance(word, str) and word in OP_WORDS else None


@cache
def all_ops() -> dict[str, type[Op]]:
    """Every op by each word that names it, in alphabetical order."""
    return {word: op_class(word) for word in OP_WORDS}
