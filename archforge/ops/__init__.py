"""The registry of ops. The file of an op is loaded when the op is asked for: a spec uses few of them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

from archforge.errors import InternalError
from archforge.ops.base import Op

__all__ = ["OP_WORDS", "all_ops", "find_op", "op_class"]

# A file has the op that it is called by. These have other words, or none.
_OTHER_WORDS = {
    "activations": "abs elu gelu hard_sigmoid hard_swish leaky_relu mish relu relu6 "
    "selu sigmoid silu softplus softsign swish tanh",
    "adaptive_pool": "adaptive_avg_pool adaptive_max_pool",
    "base": "",
    "batch_norm": "bn",
    "erf": "",
    "features": "",
    "global_pool": "global_avg_pool global_max_pool",
    "global_response_norm": "global_response_norm grn",
    "identity": "channel_dropout dropout identity",
    "interpolation": "",
    "lazy_numpy": "",
    "merge": "add divide maximum multiply subtract",
    "pixel_shuffle": "pixel_shuffle pixel_unshuffle",
    "pool": "avg_pool lp_pool max_pool",
    "recurrent": "gru lstm rnn",
    "scale": "layer_scale offset scale",
    "softmax": "log_softmax softmax",
    "sums": "",
    "window": "",
    "window_positions": "",
}
_FILES = [path.stem for path in Path(__file__).parent.glob("[!_]*.py")]
# Every word that names an op, in alphabetical order, and the file of the op.
OP_WORDS = dict(sorted((word, file) for file in _FILES for word in _OTHER_WORDS.get(file, file).split()))


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
