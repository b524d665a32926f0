"""A typed graph as a flat spec, one step for each node, whose expansion is the same graph, node by node.

There are no blocks and no loops. Branches that a merge takes stand inside it, other values that are read
further on are taps. Attributes are written where they are not the default, names where they would not come by
themselves.
"""

from __future__ import annotations

from archforge.errors import DiagnosticError, InternalError, fail
from archforge.ir import Node, TypedGraph
from archforge.spec.expand.expand import expand
from archforge.spec.printing.graph_names import named_steps, names_in_spec
from archforge.spec.printing.graph_steps import StepWriter, block, flow_list, mapping, runs_of, tap_names
from archforge.spec.printing.layout import Atom, Collection, Part, lines_of, written
from archforge.spec.resolve.library import Library
from archforge.spec.resolve.resolve import resolve

__all__ = ["head_of", "print_graph"]


def print_graph(typed: TypedGraph, title: str) -> str:
    """The text of a spec that expands to the graph `typed`.

    Parameters keep their names, and so do nodes, but for merges that are not called by their kind, and nodes
    that share parameters under a name of their own: no spec gives those.

    Raises E0705 for what the language cannot say, such as a merge of one value or a name with braces.
    """
    for node in typed.nodes:
        _refuse_foreign(node)
    text = "\n".join(lines_of(_document(typed, title))) + "\n"
    library = Library()
    try:
        printed = expand(resolve(library.read_text(text, "<printed>"), library, typed.graph.name)).graph
    except DiagnosticError as error:
        fail("E0705", f"no spec gives this graph: {error.diagnostics[0].message}")
    _prove(typed, printed)
    return text


def _refuse_foreign(node: Node) -> None:
    """Raise E0705 for a node that no step gives."""
    takes_one = node.op.arity is not None
    if takes_one != (len(node.inputs) == 1):
        fail(
            "E0705",
            f"no step gives `{node.name}`, `{node.op.kind}` of {len(node.inputs)} values: {node.op!r}",
        )


def _document(typed: TypedGraph, title: str) -> Collection:
    inputs = list(typed.inputs)
    current = "input" if inputs == ["input"] else None
    runs = runs_of(named_steps(typed.nodes), current)
    last = runs[-1].value if runs else current
    draft = StepWriter(inputs)  # which tells the values that need a name
    steps, outputs = list(draft.steps(runs, current)), _outputs(typed, last, draft)
    taps = tap_names([value for value in draft.read if value not in inputs], inputs)
    writer = StepWriter(inputs, taps)
    steps, outputs = list(writer.steps(runs, current)), _outputs(typed, last, writer)
    document = {**head_of(typed, title), "graph": block(steps)}
    return mapping(document | ({"outputs": mapping(outputs)} if outputs else {}))


def head_of(typed: TypedGraph, title: str) -> dict[str, Part]:
    """The entries of a spec in front of those that say its graph."""
    shapes = {name: flow_list(written(n) for n in type.shape) for name, type in typed.inputs.items()}
    return {
        "archforge": written(1),
        "title": written(title),
        "input": shapes["input"] if list(shapes) == ["input"] else mapping(shapes, flow=True),
    }


def _outputs(typed: TypedGraph, last: str | None, writer: StepWriter) -> dict[str, Part]:
    """The outputs by name; none where the graph gives its last value only, under the name that it has
    then."""
    if dict(typed.outputs) == {"output": last}:
        return {}
    return {
        name: Atom("=x", "=x") if value == last else writer.reference(value)
        for name, value in typed.outputs.items()
    }


def _prove(typed: TypedGraph, printed: TypedGraph) -> None:
    """Raise `InternalError` unless both graphs have the same nodes in the same order, E0705 for another
    name."""
    names = {name: name for name in typed.inputs}
    same = dict(typed.inputs) == dict(printed.inputs) and len(typed.nodes) == len(printed.nodes)
    for node, new, name in zip(typed.nodes, printed.nodes, names_in_spec(typed.nodes), strict=False):
        same = same and new.op == node.op and new.inputs == tuple(names.get(v) for v in node.inputs)
        if same and node.op.arity is not None and (new.name, new.params_of) != (name, node.params_of):
            message = f"`{name}` would be `{new.name}`, with the parameters of `{new.params_of}`"
            fail("E0705", f"no spec gives this graph: {message}")
        names[node.name] = new.name
    if not same or printed.outputs != {key: names[value] for key, value in typed.outputs.items()}:
        raise InternalError(f"the graph {typed.graph.name} was printed as another one")
