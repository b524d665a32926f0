"""`model_keras.py`: the network as a functional model of Keras 3, in source that a reader can change.

Blocks are functions and repetitions loops, as in `model.py`; the layers are copied from
`templates/keras_layers.py`. Maps have the channels last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from archforge.errors import Diagnostic
from archforge.export.module import FunctionText, block_text, outer_first, sections, title_text
from archforge.export.module.arguments import kernel_call
from archforge.export.module.bodies import region_tree
from archforge.export.module.dialect import WrittenOp, channels_last
from archforge.export.module.functions import BlockFunction, functions_of
from archforge.export.module.kernels import ModuleKernel, kernel_file, kernel_name
from archforge.export.module.loops import roll
from archforge.export.module.names import NameSupply, input_names
from archforge.export.module.numpy_dialect import INFIX, operator_of
from archforge.export.module.python_text import INDENT, bracketed, literal, loop_lines, statement_lines
from archforge.export.module.statements import statements_of
from archforge.export.module.turned_axes import without_turns
from archforge.export.render import render
from archforge.export.target import Subject, Target
from archforge.ir import Node, TensorType, TypedGraph
from archforge.ops.conv import Conv
from archforge.passes.drop_identities import without_idle

__all__ = ["TARGETS", "keras_source", "keras_text"]

LAYERS = "keras_layers.py"
# Keras walks through a model by recursion, with up to four frames a node; Python's limit is a thousand.
DEEP, FRAMES = 800, 4
FILE = "model_keras.py"


class KerasDialect:
    """Ops as calls of the layers in the module; merges of values of one rank as operators."""

    file = FILE
    keeps_levels = False

    def prepared(self, typed: TypedGraph) -> TypedGraph:
        """The graph without ops that do nothing, in training neither, and with few permutations."""
        return without_turns(without_idle(typed))

    def lacks(self, node: Node, types: Sequence[TensorType]) -> tuple[str, str] | None:
        """The thing that Keras has no layer for, or no layer of the attributes."""
        reason = _lacks(node, types)
        return (reason, "`archforge export --to onnx` may have it") if reason else None

    def call(self, node: Node, types: Sequence[TensorType]) -> WrittenOp:
        """The layer with its arguments, or the operator."""
        if operator := operator_of(node.op.kind, types):
            return WrittenOp(operator, {})
        name, more = _layer(node, types)
        return kernel_call(node, types, kernel_file(LAYERS).kernels[name], **more)

    def extents(self, type_: TensorType) -> tuple[int, ...]:
        """Maps have the channels last."""
        return channels_last(type_)

    def is_size(self, argument: str) -> bool:
        """Numbers of channels."""
        return argument == "out" or argument.endswith("channels")

    def defaults(self, callee: str) -> Mapping[str, Any] | None:
        """The keyword arguments of a layer."""
        kernel = kernel_file(LAYERS).kernels.get(callee)
        return kernel.keywords if kernel else None


KERAS = KerasDialect()


def _layer(node: Node, types: Sequence[TensorType]) -> tuple[str, dict[str, Any]]:
    """The name of the layer for a node, that of its op but for some convolutions, and arguments that the op
    has not."""
    op = node.op
    if isinstance(op, Conv):
        window = op.window(*types)
        if max(window.stride) > 1 and max(window.dilation) > 1:
            return "dilated_conv", {}
        is_even = len(window.stride) == 2 and len({*window.stride}) == 1
        if is_even and 1 < op.groups == types[0].channels:
            return "depthwise_conv", {"multiplier": op.out // op.groups}
    return kernel_name(op.kind), {}


def keras_text(subject: Subject) -> str:
    """The module of the chosen profile. Raises E0704 for all that Keras lacks, at once."""
    network = subject.network
    usage = [
        "Maps have the channels last: images are float[N, H, W, C]. Layers are called as in the",
        "spec, with _ for dots. Running it shows the network.",
        "",
        f"    python {FILE} WEIGHTS    # saves it with a .npz or .safetensors file of the spec",
        "    model = build()                 # in Python",
        "    assign(model, load(path))",
    ]
    return keras_source(network.graph, "\n\n".join([title_text(network, "Keras"), "\n".join(usage)]) + "\n")


def keras_source(typed: TypedGraph, heading: str) -> str:
    """A graph as a module. Raises E0704. `heading` goes into its docstring as it is."""
    tree = region_tree(typed, KERAS, (*_of_one_name(typed), *_shared(typed)))
    kernels = kernel_file(LAYERS)
    functions, main = functions_of(tree, NameSupply(set(kernels.kernels)))
    by_name = {f.name: f for f in functions}
    used = kernels.closure(["layer_name", *(name for f in (*functions, main) for name in f.callees)])
    copied = [kernel for kernel in used if not kernel.package]
    is_recurrent = any(kernel.heading == _RECURRENT for kernel in used)
    return render(
        "keras.py.j2",
        heading=heading,
        imports=sorted({*kernels.imports_of(copied), "import json", "import sys"} - _OF_KERAS),
        functions_of_keras=[*_imports(used)],
        functions=[_build(typed, main, by_name)]
        + [block_text(f, by_name, KERAS, holder="") for f in outer_first(functions)],
        sections=sections(copied),
        gates=_GATES.splitlines() if is_recurrent else [],
        saved="model.keras",
    )


_OF_KERAS = {"import keras", "import numpy as np"}
_RECURRENT = "# Recurrent layers: x[N, T, F] gives the states of all steps"


def _imports(used: Iterable[ModuleKernel]) -> Iterable[str]:
    """The statements that import functions of Keras."""
    for package, group in groupby((k for k in used if k.package), key=lambda kernel: kernel.package):
        yield from bracketed(f"from {package} import ", sorted(k.name for k in group), "", 0)


def _build(typed: TypedGraph, main: BlockFunction, functions: Mapping[str, BlockFunction]) -> FunctionText:
    """The function that makes the model."""
    outputs = [*typed.outputs]
    names = input_names(typed.inputs, kernel_file(LAYERS).kernels)
    statements, left = statements_of(
        main, names, functions, KERAS, outputs=outputs, shapes=True, holder="", returns=False
    )
    made = [
        f"keras.Input({literal(KERAS.extents(type_))}, name={literal(name)})"
        for name, type_ in typed.inputs.items()
    ]
    if len(made) == 1:
        lines = [f"{INDENT}x = inputs = {made[0]}"]
    else:
        lines = [*bracketed(f"{INDENT}inputs = [", made, "]", 1), f"{INDENT}{', '.join(names)} = inputs"]
    if len(typed.nodes) > DEEP:
        limit = f"sys.setrecursionlimit({FRAMES * len(typed.nodes):_})"
        lines.append(f"{INDENT}{limit}  # Keras walks along all layers")
    lines += loop_lines(roll(statements), statement_lines, 1)
    entries = [f"{literal(name)}: {value}" for name, value in zip(outputs, left, strict=True)]
    if len(outputs) > 1:
        lines += bracketed(f"{INDENT}outputs = {{", entries, "}", 1)
    result = "outputs" if len(outputs) > 1 else left[0]
    lines.append(f"{INDENT}return keras.Model(inputs, {result})")
    return FunctionText(["def build():"], "The network as a model with fresh parameters.", lines)


# What Keras lacks


def _lacks(node: Node, types: Sequence[TensorType]) -> str:
    """The thing that Keras has no layer for; empty for none."""
    op, kind, given = node.op, node.op.kind, node.op.attributes()
    if operator_of(kind, types):
        return ""
    if kernel_name(kind) not in kernel_file(LAYERS).kernels:
        return f"layer for `{kind}`"
    if hasattr(op, "window"):
        return _lacks_window(node, types)
    if kind in ("rnn", "lstm") and given["biases"] == 2:
        return f"`{kind}` with two biases; it adds them up to one"
    if kind == "gru" and given["biases"] and given["biases"] != 1 + given["linear_before_reset"]:
        return f"`gru` with {given['biases']} biases and linear_before_reset={given['linear_before_reset']}"
    if kind == "layer_norm" and given["affine"] and not isinstance(given["axis"], int):
        return "`layer_norm` along several axes with parameters"
    if kind == "upsample" and given["mode"] != "nearest":
        return _lacks_interpolation(given, types)
    ranks = {len(t.shape) for t in types}
    if kind in (*INFIX, "maximum") and 2 in ranks and len(ranks) > 1:
        return f"`{kind}` of values of two axes and of more"
    return ""


def _lacks_window(node: Node, types: Sequence[TensorType]) -> str:
    kind, given = node.op.kind, node.op.attributes()
    window = node.op.window(*types)  # type: ignore[attr-defined]
    strides, dilates = max(window.stride) > 1, max(window.dilation) > 1
    if len(types[0].spatial) not in (2, 3):
        return f"`{kind}` over maps of {len(types[0].spatial)} axes"
    if dilates and "pool" in kind:
        return f"`{kind}` with dilation"
    if dilates and strides and kind != "conv":
        return f"`{kind}` with stride and dilation"
    if kind == "conv_transpose" and given["groups"] > 1:
        return "`conv_transpose` in groups"
    if kind == "conv_transpose" and given["output_padding"] not in (0, (0,) * len(window.kernel)):
        return "`conv_transpose` with output_padding"
    if kind == "conv_transpose" and any(k < s for k, s in zip(window.reach, window.stride, strict=True)):
        return "`conv_transpose` whose kernel is smaller than its stride"
    return ""


def _lacks_interpolation(given: Mapping[str, Any], types: Sequence[TensorType]) -> str:
    if given["align_corners"]:
        return "`upsample` with align_corners"
    return "" if len(types[0].spatial) == 2 else "bilinear `upsample` of what is no image"


def _of_one_name(typed: TypedGraph) -> Iterable[Diagnostic]:
    """Refusals of names that are one where dots and slashes are underscores."""
    names: dict[str, str] = {}
    layers = [n.params_of for n in typed.nodes if n.op.params(*typed.input_types(n))]
    layers += [f"{n.params_of}.reverse" for n in typed.nodes if getattr(n.op, "bidirectional", False)]
    for name in (*typed.inputs, *dict.fromkeys(layers)):
        other = names.setdefault(name.replace(".", "_").replace("/", "_"), name)
        if other != name:
            message = f"{FILE} has one name for the layers `{other}` and `{name}`"
            yield Diagnostic(
                "E0704", message, help="give one of them another name: Keras takes no dots and slashes"
            )


def _shared(typed: TypedGraph) -> Iterable[Diagnostic]:
    """Refusals of parameters that several layers share."""
    owners: dict[str, Node] = {}
    for node in typed.nodes:
        if node.op.params(*typed.input_types(node)):
            first = owners.setdefault(node.params_of, node)
            if first is not node:
                message = f"{FILE} has no shared parameters: {node.name}, those of {first.name}"
                yield Diagnostic("E0704", message, node.span, help="`archforge export --to onnx` has them")


_GATES = """\
    if isinstance(layer, keras.layers.RNN):
        sides = {"kernel": "weight_ih", "recurrent_kernel": "weight_hh"}
        side = sides.get(variable.name)
        names = [side] if side else ["bias_ih", "bias_hh"]
        end = "_reverse" if layer.go_backwards else ""
        own = layer.name.removesuffix(end)
        keys = [f"{own}_{name}_l0{end}" for name in names]
        arrays = [given.pop(key) for key in keys if key in given]
        if not arrays:
            raise ValueError(f"{layer.name}: there is no array for {variable.name}")
        if isinstance(layer, keras.layers.GRU):  # gates: update, reset, new
            thirds = [np.split(array, 3) for array in arrays]
            arrays = [np.concatenate([z, r, n]) for r, z, n in thirds]
        return arrays[0].T if side else np.stack(arrays).reshape(variable.shape)
"""

TARGETS = (
    Target(
        "keras",
        FILE,
        "the network as a model of Keras 3, readable source: docs/export.md",
        keras_text,
    ),
)
