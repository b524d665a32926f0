"""Ways out of formulas that Python, C or a template would take and that are none here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from typing import Any

from archforge.errors import did_you_mean
from archforge.spec.formulas.functions import FUNCTIONS

__all__ = ["failed_hint", "forbidden_hint", "function_hint", "name_hint", "syntax_hint"]

_GRAMMAR = "arithmetic, comparisons, and/or/not, a if b else c, lists, [e for v in l if c], functions"
# What others call the attributes of a value of the graph.
TENSOR_WORDS = {
    **dict.fromkeys(
        ("c", "C", "ch", "chans", "nchannels", "out_channels", "in_channels", "filters"), "channels"
    ),
    **dict.fromkeys(("h", "H"), "height"),
    **dict.fromkeys(("w", "W"), "width"),
    **dict.fromkeys(("d", "D"), "depth"),
    **dict.fromkeys(("numel", "nelement"), "size"),
}
_FUNCTIONS = {
    **dict.fromkeys(("pow", "power"), "a power is `a ** b`"),
    **dict.fromkeys(("map", "filter", "list", "tuple", "set"), "a list is [f for v in list if condition]"),
    "enumerate": "zip(range(len(list)), list)",
    "bool": "compare it: `!= 0`",
    "exp": "`2.718281828 ** x`",
    **dict.fromkeys(("prod", "product"), "factors are written out: a * b"),
    **dict.fromkeys(("mean", "average"), "sum(list) / len(list)"),
    **dict.fromkeys(("trunc", "integer", "to_int"), "did you mean `int`?"),
    **dict.fromkeys(("make_divisible", "_make_divisible", "round_filters"), "did you mean `divisible`?"),
    **dict.fromkeys(("size", "length"), "did you mean `len`?"),
    **dict.fromkeys(("maximum", "amax"), "did you mean `max`?"),
    **dict.fromkeys(("minimum", "amin"), "did you mean `min`?"),
    **dict.fromkeys(("string", "repr", "format"), "did you mean `str`?"),
}


def syntax_hint(source: str) -> str:
    """Suggestion for a text that does not parse; perhaps empty."""
    braces = re.fullmatch(r"\$?\{+\s*(\w+)\s*\}+|\$(\w+)", source)
    for pattern, hint in _SLIPS:
        if re.search(pattern, source):
            return hint
    return f"a name stands by itself: ={braces[1] or braces[2]}" if braces else ""


_SLIPS = (
    (r"&&|\|\||!(?!=)", "write `and`, `or`, `not`"),
    (r"\?", "write `a if condition else b`"),
    (r"^if\b.*\bthen\b", "write `a if condition else b`"),
    (r"\bif\b(?!.*\belse\b)", "`if` needs an `else`: a if condition else b"),
    (r"^=", "a formula starts with one `=`"),
    (r":=", "names are given by a step: {let: {name: ...}}"),
    (r"<>", "`!=` is unequal"),
    (r"(?<![=!<>])=(?!=)", "equality is `==`"),
    (r"[0-9]\s*x\s*[0-9]", "a shape is a list: [3, 224, 224]"),
    (r"^[0-9.]+[A-Za-z_]\w*$", "a product is written `2 * width`"),
    (r"^(?:import|from)\b", "formulas have functions of their own: see docs/language.md, Formulas"),
    (r";", "a formula is one value, without `;`"),
    (r"\*\s+\*", "a power is `a ** b`"),
)


def forbidden_hint(node: ast.expr, source: str) -> str:
    """Suggestion for an expression of Python that formulas do not have."""
    if isinstance(node, ast.JoinedStr):
        return "texts are joined by `+`: 'conv' + str(i); a name holds formulas in braces: name: conv{i}"
    if isinstance(node, ast.BinOp):
        return "a power is `a ** b`" if isinstance(node.op, ast.BitXor) else _GRAMMAR
    if isinstance(node, ast.Compare):
        return "equality is `==`, or `!=`"
    if isinstance(node, ast.Dict | ast.Set):
        inner = re.fullmatch(r"\{+\s*(\w+)\s*\}+", source)
        return (
            f"a name stands by itself: ={inner[1]}"
            if inner
            else "a mapping is written in YAML, not as a formula"
        )
    if isinstance(node, ast.Lambda):
        return "no functions are made here; a list is [f for v in list]"
    if isinstance(node, ast.Slice | ast.Tuple):
        return "`slice` is an op for values of the graph: {slice: {start: 0, end: 2, axis: 0}}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _method_hint(node.func, node)
    if isinstance(node, ast.Call) and node.keywords:
        return "functions take values in order, without names"
    return _GRAMMAR


def _method_hint(function: ast.Attribute, call: ast.Call) -> str:
    """Suggestion for a call with a dot: `x.size()`, `math.sqrt(2)`."""
    if function.attr in FUNCTIONS:
        return f"functions have no module: {function.attr}(...)"
    if function.attr in ("size", "shape") and isinstance(function.value, ast.Name):
        return f"{function.value.id}.shape[{0}]" if call.args else f"{function.value.id}.{function.attr}"
    return _GRAMMAR


def function_hint(name: str) -> str:
    """Suggestion for a function that does not exist."""
    return _FUNCTIONS.get(name) or did_you_mean(name, FUNCTIONS, what="functions")


def name_hint(name: str, known: Iterable[str]) -> str:
    """Suggestion for a name that a formula cannot see."""
    names = list(known)
    hint = did_you_mean(name, names)
    if hint.startswith("did"):
        return hint
    if name in ("self", "args", "arg", "params", "param", "spec", "config", "cfg", "opts", "hparams", "vars"):
        return "arguments stand by themselves: =width, not =args.width"
    meant = name if name in ("channels", "height", "width", "shape", "features") else TENSOR_WORDS.get(name)
    return f"of the current value it is x.{meant}; {hint}" if meant and "x" in names else hint


def failed_hint(what: str, values: Sequence[Any]) -> str:
    """Suggestion for an operation on a value of the graph; perhaps empty."""
    if not any(hasattr(value, "attribute") for value in values):
        return ""
    if what in ("[]", "[:]"):
        start, end = (values[1], values[2]) if what == "[:]" else (values[1], None)
        bounds = [f"start: {start or 0}"] + ([f"end: {end}"] if type(end) is int else [])
        return f"its sizes are in x.shape; a part of it is a step: {{slice: {{{', '.join(bounds)}}}}}"
    if what == "len":
        return "x.size has all its elements, len(x.shape) is the number of axes"
    steps = {"+": "{add: [...]}", "-": "{subtract: [...]}", "*": "{multiply: [...]} or {scale: 2}"}
    return (
        f"values of the graph are joined by steps: {steps[what]}" if what in steps else "take its x.channels"
    )
