"""The network of a graph.json. All that the file says of its graph is held against what its ops give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from archforge.analysis.counts import count
from archforge.errors import MAX_REPORTED, Diagnostic, Note, did_you_mean, fail_all
from archforge.interchange.graph_json.document import Steps, found, read_document, wrong
from archforge.interchange.graph_json.form import GraphDocument, NodeEntry, StoredNetwork
from archforge.ir import Graph, Node, ParamDecl, Scope, ShapeError, TensorType, TypedGraph, by_x
from archforge.ops import all_ops, find_op
from archforge.ops.base import Op

__all__ = ["read_graph_json"]

MAX_AXES = 4  # of a value, the batch left out
MAX_NESTING = 4  # of lists in an attribute


def read_graph_json(path: str | Path) -> StoredNetwork:
    """The network of a file that `graph_json_text` wrote, or another program.

    Raises `DiagnosticError` for anything else, with all mistakes that a stage finds: E0801 where the file is
    no graph.json, E0802 where a key is wrong, the codes of the language for ops, attributes and shapes,
    E0803 where the file contradicts its own graph.
    """
    path = Path(path)
    document = read_document(path)
    return _GraphReader(path.as_posix(), document).network()


class _GraphReader:
    """Reads a document of the right form, noting all mistakes before it gives up.

    types: the type of each value so far. Where a node is wrong it is what the document says, so that one
    mistake does not make others.
    """

    def __init__(self, name: str, document: GraphDocument) -> None:
        self.name = name
        self.document = document
        self.mistakes: list[Diagnostic] = []
        self.types: dict[str, TensorType] = {}
        self.ops: dict[str, Op] = {}
        self.below = {entry.name: index for index, entry in enumerate(document.nodes)}

    def network(self) -> StoredNetwork:
        """The network. Raises `DiagnosticError`."""
        document = self.document
        inputs = self._inputs()
        fail_all(self.mistakes)
        nodes = [node for index, entry in enumerate(document.nodes) if (node := self._node(index, entry))]
        outputs = self._outputs()
        scopes = self._scopes()
        fail_all(self.mistakes)
        graph = Graph(document.name, inputs, tuple(nodes), outputs, scopes)
        typed = TypedGraph(graph, MappingProxyType(self.types))
        self._check_sharing(typed)
        self._check_parameters(typed)
        self._check_counts(typed)
        fail_all(self.mistakes)
        return StoredNetwork(
            document.name,
            document.title,
            document.paper,
            document.profile,
            document.model,
            typed,
            {entry.name: entry.line for entry in document.nodes},
            document.settings,
        )

    def note(
        self, steps: Steps, what: str, help: str = "", *, code: str = "E0802", notes: Iterable[Note] = ()
    ) -> None:
        """Note a mistake at a place of the document."""
        self.mistakes.append(wrong(self.name, steps, what, help, code=code, notes=notes))

    # Values: inputs, nodes, outputs

    def _inputs(self) -> dict[str, TensorType]:
        inputs: dict[str, TensorType] = {}
        if not self.document.inputs:
            self.note(("inputs",), "is empty: a network has at least one")
        for index, entry in enumerate(self.document.inputs):
            if entry.name in inputs:
                self.note(("inputs", index, "name"), f"is `{entry.name}`, as another input is")
            if not 1 <= len(entry.shape) <= MAX_AXES:
                axes = f"1 to {MAX_AXES} axes, the batch left out"
                self.note(("inputs", index, "shape"), f"must have {axes}, found {len(entry.shape)}")
            inputs[entry.name] = TensorType(entry.shape)
        self.types |= inputs
        return inputs

    def _node(self, index: int, entry: NodeEntry) -> Node | None:
        """The node of an entry; None, with a note, where it is wrong."""
        steps, before = ("nodes", index), len(self.mistakes)
        if entry.name in self.types:
            self.note((*steps, "name"), f"is `{entry.name}`, as another value is")
        if entry.scope >= max(len(self.document.scopes), 1):
            self.note((*steps, "scope"), f"is {entry.scope}, and there is no such scope")
        known = [self._is_known((*steps, "inputs", i), value) for i, value in enumerate(entry.inputs)]
        op = self._op(steps, entry)
        declared = TensorType(entry.shape)
        if op and all(known) and self._check_arity(steps, op, entry):
            self._check_shape(steps, op, entry, declared)
        self.types.setdefault(entry.name, declared)
        if op is None or len(self.mistakes) > before:
            return None
        owner = self._owner(steps, op, entry)
        return Node(entry.name, op, entry.inputs, entry.scope, None, owner)

    def _is_known(self, steps: Steps, value: str) -> bool:
        """True if a value stands above; else it is noted."""
        if value in self.types:
            return True
        if value in self.below:
            what = f"is `{value}`, which stands below: nodes are in an order in which they can run"
            self.note(steps, what)
        else:
            # The nearest of thousands takes a while to find, so only what is printed has it.
            few = len(self.mistakes) < MAX_REPORTED
            help = did_you_mean(value, self.types, what="values above") if few else ""
            self.note(steps, f"is `{value}`, and there is no such value", help)
        return False

    def _op(self, steps: Steps, entry: NodeEntry) -> Op | None:
        """The op of a node with its attributes; equal ones are one object. None, with a note, if wrong."""
        cls = find_op(entry.op)
        if cls is None or cls.op != entry.op:
            kinds = sorted({cls.op for cls in all_ops().values()})
            help = f"it is called `{cls.op}` here" if cls else did_you_mean(entry.op, kinds, what="ops")
            self.note((*steps, "op"), f"is `{entry.op}`, and there is no such op", help, code="E0301")
            return None
        key = f"{entry.op} {entry.attributes}"
        if key in self.ops:
            return self.ops[key]
        try:
            values = {name: _as_tuple(value) for name, value in entry.attributes.items()}
            self.ops[key] = cls.model_validate(values)
        except ValidationError as error:
            self._note_attributes(steps, cls, entry, error)
            return None
        return self.ops[key]

    def _note_attributes(self, steps: Steps, cls: type[Op], entry: NodeEntry, error: ValidationError) -> None:
        for name in dict.fromkeys(str(mistake["loc"][0]) for mistake in error.errors(include_url=False)):
            place = (*steps, "attributes", name)
            if name not in cls.model_fields:
                help = did_you_mean(name, cls.attribute_names(), what="attributes")
                self.note(place, f"is no attribute of `{cls.op}`", help, code="E0406")
            elif name not in entry.attributes:
                self.note(place, "is missing", code="E0407")
            else:
                expected = cls.model_fields[name].description or "of another kind"
                self.note(place, f"is {expected}, found {found(entry.attributes[name])}", code="E0404")

    def _check_arity(self, steps: Steps, op: Op, entry: NodeEntry) -> bool:
        arity, given = type(op).arity, len(entry.inputs)
        if given == arity or (arity is None and given):
            return True
        takes = "at least one" if arity is None else str(arity)
        self.note((*steps, "inputs"), f"has {given} values, and `{op.kind}` takes {takes}")
        return False

    def _check_shape(self, steps: Steps, op: Op, entry: NodeEntry, declared: TensorType) -> None:
        """Note a shape that the op cannot give from its inputs, and one that it does not give."""
        types = [self.types[value] for value in entry.inputs]
        try:
            inferred = op.infer(*types)
        except ShapeError as error:
            place = (*steps, "attributes", error.attribute) if error.attribute else (*steps, "inputs")
            notes = [Note(error.label)] if error.label else []
            self.note(place, f"does not fit: {error.message}", error.help, code=error.code, notes=notes)
            return
        if inferred != declared:
            what = f"is {declared}, and `{op.kind}` gives {inferred} there"
            self.note((*steps, "shape"), what, code="E0803")

    def _owner(self, steps: Steps, op: Op, entry: NodeEntry) -> str:
        """The name that the names of a node's parameters start with: its own unless it shares another's."""
        declared = op.params(*(self.types[value] for value in entry.inputs))
        if set(declared) != set(entry.parameters):
            listed = ", ".join(f"`{name}`" for name in declared) or "none"
            self.note((*steps, "parameters"), f"must name those of the op: {listed}", code="E0803")
            return ""
        owners = {_without_end(full, name) for name, full in entry.parameters.items()}
        if len(owners) > 1 or "" in owners:
            self.note((*steps, "parameters"), "must give full names of one owner: OWNER.NAME for each NAME")
            return ""
        return owners.pop() if owners else entry.name

    def _outputs(self) -> dict[str, str]:
        outputs: dict[str, str] = {}
        if not self.document.outputs:
            self.note(("outputs",), "is empty: a network has at least one")
        for index, entry in enumerate(self.document.outputs):
            steps = ("outputs", index)
            if entry.name in outputs:
                self.note((*steps, "name"), f"is `{entry.name}`, as another output is")
            outputs[entry.name] = entry.value
            if not self._is_known((*steps, "value"), entry.value):
                continue
            type_ = self.types[entry.value]
            if type_.shape != entry.shape:
                what = f"is {by_x(entry.shape)}, and `{entry.value}` is {type_}"
                self.note((*steps, "shape"), what, code="E0803")
        return outputs

    def _scopes(self) -> tuple[Scope, ...]:
        scopes: list[Scope] = []
        for index, entry in enumerate(self.document.scopes):
            steps = ("scopes", index)
            if entry.index != index:
                self.note((*steps, "index"), f"is {entry.index}, and it stands at {index}")
            if (entry.parent is None) != (index == 0) or (entry.parent or 0) > max(index - 1, 0):
                expected = "an earlier scope" if index else "null, since it is the graph"
                self.note((*steps, "parent"), f"must be {expected}, found {found(entry.parent)}")
            for position, value in enumerate(entry.inputs):
                self._is_known((*steps, "inputs", position), value)
            if entry.output:
                self._is_known((*steps, "output"), entry.output)
            made = (entry.name, entry.kind, entry.is_block, entry.parent, None, entry.inputs, entry.output)
            scopes.append(Scope(index, *made))
        return tuple(scopes)

    # Statements that follow from the graph

    def _check_sharing(self, typed: TypedGraph) -> None:
        """Note nodes that name one owner of parameters and declare different ones."""
        first: dict[str, Mapping[str, ParamDecl]] = {}
        for index, node in enumerate(typed.nodes):
            declared = node.op.params(*typed.input_types(node))
            if first.setdefault(node.params_of, declared) != declared:
                what = f"share those of `{node.params_of}`, which have other names or shapes"
                self.note(("nodes", index, "parameters"), what, code="E0318")

    def _check_parameters(self, typed: TypedGraph) -> None:
        declared = {name: (decl.shape, decl.role) for name, decl in typed.params().items()}
        listed = {entry.name: (entry.shape, entry.role) for entry in self.document.parameters}
        if len(listed) < len(self.document.parameters):
            self.note(("parameters",), "lists an array twice", code="E0803")
        for index, entry in enumerate(self.document.parameters):
            expected = declared.get(entry.name)
            if expected is None:
                self.note(
                    ("parameters", index, "name"), f"is `{entry.name}`, which no node has", code="E0803"
                )
            elif expected != listed[entry.name]:
                what = f"is {_array(*listed[entry.name])}, and its node has {_array(*expected)}"
                self.note(("parameters", index), what, code="E0803")
        for name in declared.keys() - listed.keys():
            self.note(("parameters",), f"lacks `{name}`", code="E0803")
        if list(declared) != list(listed) and declared.keys() == listed.keys():
            self.note(("parameters",), "must be in the order of the nodes", code="E0803")

    def _check_counts(self, typed: TypedGraph) -> None:
        for name, number in count(typed).by_cell().items():
            listed = getattr(self.document.counts, name)
            if listed != number:
                self.note(
                    ("counts", name), f"is {listed:,}, and the nodes add up to {number:,}", code="E0803"
                )


def _as_tuple(value: Any, nesting: int = 0) -> Any:
    """A list as attributes are kept, a tuple; nested too deep it stays a list, which no attribute takes."""
    if not isinstance(value, list) or nesting == MAX_NESTING:
        return value
    return tuple(_as_tuple(inner, nesting + 1) for inner in value)


def _without_end(full: str, name: str) -> str:
    """The owner in the full name of a parameter; empty if the full name does not end as it must."""
    if not name:
        return full
    return full.removesuffix(f".{name}") if full.endswith(f".{name}") else ""


def _array(shape: tuple[int, ...], role: str) -> str:
    return f"{by_x(shape) or 'a scalar'}, {role}"
