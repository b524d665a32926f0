"""Explanations of a network: where a name, an attribute, a parameter's shape and a count come from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from archforge.errors import did_you_mean, fail
from archforge.ir import Node, ParamDecl, Scope, TypedGraph, by_x, shape_text
from archforge.meanings import attribute_meanings, text_of
from archforge.scopes import nodes_within, scope_path
from archforge.spec.expand.origins import ValueOrigin, attribute_origin, origin_lines
from archforge.spec.expand.trace import TracedExpansion

__all__ = ["Explanation", "explained"]

# The figures of a layer, a scope or a network that can be asked for.
FIGURES = ("params", "macs", "output")
_SHAPE = re.compile(r"([\w, ]+): float\[([^\]]*)\]")  # `weight: float[out, C/groups, *kernel]`


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer about one name: sections of lines, and the same as plain data."""

    sections: Mapping[str, tuple[str, ...]]
    data: dict[str, Any]

    def text(self) -> str:
        """The sections, each below its title."""
        parts = []
        for title, lines in self.sections.items():
            indent = "  " if title else ""
            parts.append("\n".join([*([title] if title else []), *(indent + line for line in lines)]))
        return "\n".join(parts)


def explained(found: TracedExpansion, name: str) -> Explanation:
    """The origin of a layer, of a scope, or of one thing of it: `layer1.0.conv1`, `layer1.0`,
    `layer1.0.conv1.stride`, `layer1.0.conv1.weight`, `layer1.0.macs`. Raises E0001 for a name that is
    nowhere."""
    typed = found.expansion.graph
    nodes = {node.name: node for node in typed.nodes}
    scopes = {scope.name: scope for scope in typed.scopes if scope.name}
    if name in nodes:
        return _of_node(found, nodes[name])
    if name in scopes:
        return _of_scope(typed, scopes[name])
    owner, last = _owner(name, nodes)
    if owner in nodes and (answer := _of_part(found, nodes[owner], last)):
        return answer
    if (owner in scopes or not owner) and last in FIGURES:
        return _figure(typed, owner, scopes.get(owner), last)
    if name in typed.inputs:
        shape = str(typed.inputs[name])
        return Explanation(
            {"": (f"{name} is an input of the network, {shape}",)}, {"input": name, "shape": shape}
        )
    _refuse(name, owner, last, nodes, [*nodes, *scopes], typed)


def _owner(name: str, nodes: Mapping[str, Node]) -> tuple[str, str]:
    """The layer that a name begins with, and what of it is meant, as `qkv.weight`; else what is before the
    last dot, and behind it."""
    for dot in reversed([place for place, sign in enumerate(name) if sign == "."]):
        if name[:dot] in nodes:
            return name[:dot], name[dot + 1 :]
    owner, _, last = name.rpartition(".")
    return owner, last


def _refuse(
    name: str, owner: str, last: str, nodes: Mapping[str, Node], known: list[str], typed: TypedGraph
) -> NoReturn:
    if owner in nodes:
        node = nodes[owner]
        parts = [*node.op.attribute_names(), *node.op.params(*typed.input_types(node)), *FIGURES]
        help = did_you_mean(last, parts, what="it has")
        fail("E0001", f"`{owner}` (`{node.op.kind}`) has no `{last}` to explain", help=help)
    help = did_you_mean(name, known, what="names")
    fail("E0001", f"no layer, block or figure is called `{name}`", help=help)


# A layer ---------------------------------------------------------------------------------------------------


def _of_node(found: TracedExpansion, node: Node) -> Explanation:
    typed, trace = found.expansion.graph, found.traces[node.name]
    origins = [attribute_origin(found, trace, name) for name in node.op.attribute_names()]
    decls = node.op.params(*typed.input_types(node))
    inputs = ", ".join(f"{value} {typed.types[value]}" for value in node.inputs)
    output = shape_text(typed.types[node.name].shape)
    place = f", {node.span}" if node.span else ""
    sections = {
        "": (f"{node.name} is a `{node.op.kind}`{place}",),
        "name": tuple(_naming(found, node)),
        "attributes": tuple(next(origin_lines(origin)) for origin in origins),
        "values": (f"reads {inputs}", f"gives {output}"),
        "counts": (*_param_lines(typed, node, decls), _macs(typed, node)),
    }
    data = {
        "name": node.name,
        "op": node.op.kind,
        "at": str(node.span) if node.span else None,
        "scopes": [_scope_json(scope) for scope in scope_path(typed.scopes, node.scope)],
        "attributes": [origin.to_json() for origin in origins],
        "inputs": {value: list(typed.types[value].shape) for value in node.inputs},
        "output": list(typed.types[node.name].shape),
        "params": {n: {"shape": list(d.shape), "role": d.role, "size": d.size} for n, d in decls.items()},
        "macs": node.op.macs(*typed.input_types(node)),
    }
    return Explanation({title: lines for title, lines in sections.items() if lines}, data)


def _naming(found: TracedExpansion, node: Node) -> Iterator[str]:
    """The scopes around a node, outermost first, and how its own name came about."""
    typed = found.expansion.graph
    for scope in scope_path(typed.scopes, node.scope):
        if scope.name:
            what = f"block `{scope.kind}`, called" if scope.is_block else "a named sequence"
            yield f"{scope.name}: {what} at {scope.span}"
    label = node.name.rpartition(".")[2]
    given = found.traces[node.name].draft.given
    if given is not None:
        yield f"{label}: given by `name`"
    elif label.isdigit():
        yield f"{label}: its position, from 0; merges do not count"
    elif label == node.op.kind:
        yield f"{label}: the op; it is the only one here without a name"
    else:
        yield f"{label}: the op, and its number among those here without a name"
    if node.params_of != node.name:
        yield f"its parameters are those of {node.params_of}"


def _param_lines(typed: TypedGraph, node: Node, decls: Mapping[str, ParamDecl]) -> Iterator[str]:
    for name, decl in decls.items():
        yield f"{node.param_name(name)} is {by_x(decl.shape)}, {decl.size:,} elements, a {decl.role}"
    if not decls:
        yield "no parameters"


def _macs(typed: TypedGraph, node: Node) -> str:
    macs, outputs = node.op.macs(*typed.input_types(node)), typed.types[node.name].size
    if not macs:
        return "0 MACs: they are counted of convolutions and matrix products"
    each = f": {outputs:,} outputs, {macs // outputs:,} each" if macs % outputs == 0 else ""
    return f"{macs:,} MACs{each}"


def _of_part(found: TracedExpansion, node: Node, part: str) -> Explanation | None:
    """The answer about an attribute, a parameter or a figure of a node; None for what it does not have."""
    typed = found.expansion.graph
    types = typed.input_types(node)
    decls = node.op.params(*types)
    if part in node.op.attribute_names():
        origin = attribute_origin(found, found.traces[node.name], part)
        meaning = attribute_meanings(type(node.op)).get(part, "")
        lines = (f"{node.name}.{part}: {meaning}", *origin_lines(origin))
        data = {**origin.to_json(), "name": f"{node.name}.{part}", "meaning": meaning}
        if part in decls:  # `bias` is both
            param = _of_param(found, node, part, decls[part])
            lines, data = (*lines, *param.sections[""]), {**data, "param": param.data}
        return Explanation({"": lines}, data)
    if part in decls:
        return _of_param(found, node, part, decls[part])
    if part == "macs":
        return Explanation({"": (_macs(typed, node),)}, {"macs": node.op.macs(*types)})
    if part == "params":
        total = sum(d.size for d in decls.values() if d.role != "buffer")
        lines = (f"{total:,} params of {node.name}, buffers left out", *_param_lines(typed, node, decls))
        return Explanation({"": lines}, {"params": total})
    if part == "output":
        shape = typed.types[node.name].shape
        return Explanation({"": (f"{node.name} gives {shape_text(shape)}",)}, {"output": list(shape)})
    return None


def _of_param(found: TracedExpansion, node: Node, name: str, decl: ParamDecl) -> Explanation:
    """The shape of a parameter: how the op makes it, and the origin of each attribute in that."""
    typed = found.expansion.graph
    rule = _shape_rule(node, name)
    full = node.param_name(name)
    lines = [f"{full} is {by_x(decl.shape)}, {decl.size:,} elements, counted as {decl.role}"]
    origins: list[ValueOrigin] = []
    if rule:
        lines.append(f"`{node.op.kind}` makes it [{rule}]")
        words = re.findall(r"\w+", rule)
        if "C" in words or "F" in words:
            reads = typed.types[node.inputs[0]]
            lines.append(f"its input {node.inputs[0]} is {reads}")
        attributes = [word for word in dict.fromkeys(words) if word in node.op.attribute_names()]
        trace = found.traces[node.name]
        origins = [attribute_origin(found, trace, word) for word in attributes]
        lines += (line for origin in origins for line in origin_lines(origin))
    data = {
        "name": full,
        "shape": list(decl.shape),
        "role": decl.role,
        "rule": rule,
        "attributes": [origin.to_json() for origin in origins],
    }
    return Explanation({"": tuple(lines)}, data)


def _shape_rule(node: Node, name: str) -> str:
    """The axes of a parameter in the words of the op's description; empty where it has none for it."""
    for names, axes in _SHAPE.findall(text_of(type(node.op))):
        if name in re.split(r", | and ", names.strip()) or names.strip().endswith("all parameters"):
            return str(axes)
    return ""


# A scope, the network --------------------------------------------------------------------------------------


def _of_scope(typed: TypedGraph, scope: Scope) -> Explanation:
    within = nodes_within(scope, typed.nodes, typed.scopes)
    kind = f"a call of block `{scope.kind}`" if scope.is_block else "a named sequence"
    params, macs = _sums(typed, within)
    reads = ", ".join(f"{value} {typed.types[value]}" for value in scope.inputs)
    lines = (
        f"{scope.name} is {kind}, {scope.span}",
        f"reads {reads}",
        f"gives {typed.types[scope.output]}, the value of {scope.output}",
        f"{len(within):,} ops, {params:,} params, {macs:,} MACs",
    )
    around = scope_path(typed.scopes, scope.index)[:-1]
    outer = tuple(f"{s.name}: {s.kind} at {s.span}" for s in around if s.name)
    data = {**_scope_json(scope), "ops": len(within), "params": params, "macs": macs}
    return Explanation({"": lines} | ({"within": outer} if outer else {}), data)


def _scope_json(scope: Scope) -> dict[str, Any]:
    return {"name": scope.name, "kind": scope.kind, "at": str(scope.span) if scope.span else None}


def _sums(typed: TypedGraph, nodes: list[Node]) -> tuple[int, int]:
    """Parameters, buffers left out and shared ones once, and MACs, of nodes together."""
    sizes: dict[str, int] = {}
    for node in nodes:
        for name, decl in node.op.params(*typed.input_types(node)).items():
            if decl.role != "buffer":
                sizes[node.param_name(name)] = decl.size
    return sum(sizes.values()), sum(node.op.macs(*typed.input_types(node)) for node in nodes)


def _figure(typed: TypedGraph, name: str, scope: Scope | None, figure: str) -> Explanation:
    """The parts of a figure of a scope or of the network: by op, and by the scopes and layers in it."""
    if figure == "output":
        value = scope.output if scope else next(iter(typed.outputs.values()))
        shape = by_x(typed.types[value].shape)
        words = f"{name or 'the network'} gives {shape}, the value of {value}"
        return Explanation({"": (words,)}, {"output": shape, "of": value})
    nodes = nodes_within(scope, typed.nodes, typed.scopes) if scope else [*typed.nodes]
    needed = typed.needed_by([*typed.outputs.values()][:1])
    if figure == "macs":
        nodes = [node for node in nodes if node.name in needed]
    which = FIGURES.index(figure)
    depth = len(name.split(".")) if name else 0
    by_op: dict[str, list[Node]] = {}
    by_child: dict[str, list[Node]] = {}
    for node in nodes:
        by_op.setdefault(node.op.kind, []).append(node)
        by_child.setdefault(".".join(node.name.split(".")[: depth + 1]), []).append(node)
    total = _sums(typed, nodes)[which]
    unit = "params, buffers left out" if figure == "params" else "MACs of the first output, one image"
    sums = {
        key: {word: _sums(typed, part)[which] for word, part in groups.items()}
        for key, groups in (("by_op", by_op), ("by_name", by_child))
    }
    parts = {
        title: tuple(f"{number:>15,}  {word}" for word, number in sums[key].items() if number)
        for key, title in (("by_op", "by op"), ("by_name", "by layer or block"))
    }
    return Explanation(
        {"": (f"{name or 'the network'}: {total:,} {unit}",), **parts}, {figure: total, **sums}
    )
