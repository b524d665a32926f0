"""Suggestions for values of the wrong kind and for words of other frameworks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from archforge.errors import closest, did_you_mean
from archforge.ops import all_ops

__all__ = ["argument_hint", "target_hint", "value_hint"]

# Words of PyTorch, Keras and the literature for ops and attributes.
_OPS = {
    **dict.fromkeys(("batch_norm", "batchnorm", "batch_normalization", "batchnormalization", "norm"), "bn"),
    **dict.fromkeys(("dense", "fc", "fully_connected", "gemm", "affine"), "linear"),
    **dict.fromkeys(("convolution", "separable_conv"), "conv"),
    **dict.fromkeys(("deconv", "transposed_conv", "conv_transposed"), "conv_transpose"),
    **dict.fromkeys(("gap", "global_average_pool", "global_average_pooling"), "global_avg_pool"),
    **dict.fromkeys(("average_pool", "average_pooling"), "avg_pool"),
    **dict.fromkeys(("max_pooling", "pool"), "max_pool"),
    **dict.fromkeys(("concatenate", "cat"), "concat"),
    **dict.fromkeys(("mul", "prod"), "multiply"),
    **dict.fromkeys(("sub",), "subtract"),
    **dict.fromkeys(("sum", "residual", "shortcut"), "add"),
    **dict.fromkeys(("sequential", "stack", "block"), "seq"),
    **dict.fromkeys(("drop",), "dropout"),
    **dict.fromkeys(("zero_pad", "zero_padding"), "pad"),
    **dict.fromkeys(("local_response_norm", "local_response_normalization"), "lrn"),
}
_ATTRIBUTES = {
    **dict.fromkeys(
        ("out_channels", "filters", "channels", "units", "out_features", "width", "features"), "out"
    ),
    **dict.fromkeys(("kernel_size", "size", "pool_size", "window", "k", "ksize"), "kernel"),
    **dict.fromkeys(("strides", "s"), "stride"),
    **dict.fromkeys(("pad", "pads", "p"), "padding"),
    **dict.fromkeys(("group",), "groups"),
    **dict.fromkeys(("use_bias",), "bias"),
    **dict.fromkeys(("dilation_rate", "rate", "dilations"), "dilation"),
    **dict.fromkeys(("epsilon",), "eps"),
    **dict.fromkeys(("ceil_mode",), "ceil"),
    **dict.fromkeys(("scale", "scale_factor"), "factor"),
    **dict.fromkeys(("negative_slope", "alpha"), "slope"),
}
_IN = ("in", "in_channels", "in_features", "input_dim", "input_channels", "in_planes")


def _plain(word: str) -> str:
    """Spelling of a word in this language: `BatchNorm2d` and `batch-norm-2d` are `batch_norm`."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).lower().replace("-", "_")
    return re.sub(r"_?[123]d$", "", snake)


def target_hint(word: str, known: Iterable[str], values: Iterable[str] = ()) -> str:
    """Suggestion for the name of an op or block that does not exist. `values` are the names of arguments and
    taps, which need an `=`."""
    names = list(known)
    if word in values:
        return f"a formula starts with `=`: ={word}"
    plain = _plain(word)
    for name in (plain, _OPS.get(plain, ""), _OPS.get(plain.replace("_", ""), "")):
        if name in names or name == "seq":
            return f"did you mean `{name}`?"
    pair = re.fullmatch(r"([A-Za-z]\w*)\((.*)\)", word)
    if pair:
        name = _plain(pair[1])
        return f"write {{{name}: {{...}}}}" if pair[2] else f"write `{name}`"
    return _misread(word) or did_you_mean(plain if closest(plain, names) else word, names)


def _misread(word: str) -> str:
    """Suggestion for several words that YAML read as a single one; empty if `word` is none."""
    if re.match(r"-\S", word):
        return "a space is missing behind `-`"
    if word.startswith("for "):
        return "a loop: {for: {width: [8, 16]}, do: [...]}, or `repeat: 3` beside a step"
    if " - " in word or "\n" in word:
        return "YAML joins lines that are indented further: start each `- ` in the same column"
    pair = re.fullmatch(r"(\w+):(\S.*)", word)
    if pair:
        return f"a space is missing behind `:`: {{{pair[1]}: {pair[2]}}}"
    pair = re.fullmatch(r"([A-Za-z]\w*)[ =]+(\S.*)", word)
    return f"what an op takes goes behind a `:`: {{{pair[1]}: {pair[2]}}}" if pair else ""


def argument_hint(word: str, known: Iterable[str]) -> str:
    """Suggestion for an argument or attribute that does not exist."""
    names = list(known)
    plain = _plain(word)
    for name in (plain, _ATTRIBUTES.get(plain, "")):
        if name in names:
            return f"did you mean `{name}`?"
    if plain in _IN:
        return "leave it out: it is known from the input"
    if plain in ("activation", "act", "nonlinearity") or plain in all_ops():
        return f"a step of its own: - {plain if plain in all_ops() else 'relu'}"
    if word.endswith(")"):
        return "a list is written [3, 3]"
    return _misread(word) or did_you_mean(word, names, what="it has")


def value_hint(value: Any, expected: str, names: Iterable[str] = ()) -> str:
    """Suggestion for a value that is not what was `expected`, in the words of a description; perhaps empty.
    `names` are those that a formula could have used here."""
    number = "number" in expected
    if isinstance(value, float) and "whole number" in expected:
        return (
            "`//` divides to a whole number" if value != int(value) else f"write {int(value)}; `//` gives it"
        )
    if isinstance(value, int | float) and expected == "a text":
        return f'quote it: "{str(value).lower()}"'
    if value is None and number:
        return "leave it out, or write a number"
    if not isinstance(value, str):
        return f"a list of one: [{value}]" if expected == "a list" and isinstance(value, int) else ""
    if number and re.fullmatch(r"[-+]?[0-9][0-9_]*(\.[0-9]+)?", value.strip()):
        return f"without quotes: {value.strip()}"
    extents = re.fullmatch(r"\([0-9]+( *, *[0-9]+)*\)|[0-9]+( *[x*,] *[0-9]+)+", value)
    if "list" in expected and (extents or value.startswith("(")):
        return f"a list is written [{', '.join(re.findall('[0-9]+', value)) if extents else '3, 3'}]"
    if "true or false" in expected and value.lower() in ("yes", "no", "on", "off", "true", "false"):
        return f"write {str(value.lower() in ('yes', 'on', 'true')).lower()}"
    if set(re.findall(r"[A-Za-z_]\w*", value)) & set(names):
        return f"a formula starts with `=`: ={value}"
    if number and re.fullmatch(r"[0-9]+ *[-+*/%]+ *[0-9]+", value):
        return f"a formula starts with `=`: ={value}"
    word = closest(value, re.findall(r"`(\w+)`", expected))
    return f"did you mean `{word}`?" if word else ""
