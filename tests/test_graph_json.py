"""graph.json: what is written is read back whole, and whatever else a file holds is refused by its place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archforge import driver
from archforge.errors import MAX_REPORTED, DiagnosticError
from archforge.interchange.graph_json import StoredNetwork, graph_json_text, read_graph_json, stored
from archforge.interchange.graph_json.document import MAX_SHOWN, found
from archforge.ir import Graph, TypedGraph
from tests.graphs import GRAPHS
from tests.small import each_network
from tests.zoo import networks

PAGE = Path(__file__).parents[1] / "docs" / "graph_json.md"


def read(folder: Path, text: str | bytes) -> StoredNetwork:
    """The network of a file `graph.json` with this content, by its name in the current folder."""
    (folder / "graph.json").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return read_graph_json("graph.json")


def refused(folder: Path, text: str | bytes) -> list[str]:
    """The message about a file with this content."""
    with pytest.raises(DiagnosticError) as caught:
        read(folder, text)
    return [d.render() for d in caught.value.diagnostics]


def assert_same(read: TypedGraph, written: TypedGraph) -> None:
    """Graphs are equal node by node, but for the places in a spec, which no file holds."""
    assert (read.graph.name, read.inputs, read.outputs) == (
        written.graph.name,
        written.inputs,
        written.outputs,
    )
    assert read.types == written.types
    assert read.params() == written.params()
    assert list(read.params()) == list(written.params())
    for mine, theirs in zip(read.nodes, written.nodes, strict=True):
        assert (mine.name, mine.op, mine.inputs, mine.scope) == (
            theirs.name,
            theirs.op,
            theirs.inputs,
            theirs.scope,
        )
        own = mine.op.params(*read.input_types(mine))
        assert [mine.param_name(name) for name in own] == [theirs.param_name(name) for name in own]
    for scope, other in zip(read.scopes, written.scopes, strict=True):
        for field in ("index", "name", "kind", "is_block", "parent", "inputs", "output"):
            assert getattr(scope, field) == getattr(other, field)


# Written and read


@each_network
def test_a_network_is_read_as_it_was_written(name: str, profile: str, tmp_path: Path) -> None:
    network = driver.analyse(networks()[name], profile)
    text = graph_json_text(stored(network))
    back = read(tmp_path, text)
    assert_same(back.graph, network.graph)
    assert graph_json_text(back) == text


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_without_a_spec_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    typed = GRAPHS[name]
    lines = {node.name: "" for node in typed.nodes}
    text = graph_json_text(StoredNetwork("hand", None, None, "default", None, typed, lines))
    assert_same(read(tmp_path, text).graph, typed)


def test_the_form_is_documented() -> None:
    page = PAGE.read_text("utf-8")
    document = json.loads(document_text())
    keys = {*document, *document["counts"]}
    keys |= {
        key for part in ("inputs", "outputs", "parameters", "nodes", "scopes") for key in document[part][0]
    }
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []
    assert f"`archforge_graph` | version of this form: {document['archforge_graph']}." in page


# Files that are none

SPEC: dict[str, Any] = {
    "archforge": 1,
    "title": "Small",
    "input": [3, 8, 8],
    "graph": [{"conv": {"out": 4, "kernel": 3}}, "bn", "relu", "global_avg_pool", "flatten", {"linear": 2}],
}


def document_text() -> str:
    return graph_json_text(stored(driver.load(SPEC)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "graph.json:1:1: E0801: the file is not JSON: expecting value\n    1 | \n      | ^"),
        (
            '{"a": 1,\n "b": }',
            'graph.json:2:7: E0801: the file is not JSON: expecting value\n    2 |  "b": }\n      |       ^',
        ),
        (b"{\xff}", "E0801: graph.json is no graph.json: byte 1 is not UTF-8 text"),
        ("[]", "E0801: graph.json is no graph.json: it has no key `archforge_graph`"),
        ("{}", "E0801: graph.json is no graph.json: it has no key `archforge_graph`"),
        (
            '{"archforge_graph": 2}',
            "E0801: graph.json is of version 2; version 1 can be read",
        ),
        (
            '{"archforge_graph": true}',
            "E0801: graph.json is of version true; version 1 can be read",
        ),
        ("[" * 100_000, "E0801: graph.json is no graph.json: its lists and objects are nested too deep"),
        (
            '{"archforge_graph": 1, "name": "a", "name": "b"}',
            "E0802: graph.json: `name` stands twice",
        ),
        (
            '{"archforge_graph": 1, "nodes": [1, {"op": 1, "scope": 1, "op": 2}]}',
            "E0802: graph.json: `nodes[1].op` stands twice",
        ),
    ],
)
def test_what_is_no_graph_json_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert refused(tmp_path, content) == [message]


def test_a_file_that_is_not_there_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DiagnosticError, match="E0801: cannot read nowhere"):
        read_graph_json("nowhere.json")
    monkeypatch.setattr("archforge.interchange.graph_json.document.MAX_BYTES", 10)
    assert refused(tmp_path, document_text()) == ["E0801: graph.json has more than 10 bytes"]


Edit = Callable[[dict[str, Any]], object]


def node(document: dict[str, Any], index: int) -> dict[str, Any]:
    found: dict[str, Any] = document["nodes"][index]
    return found


BELOW = "which stands below: nodes are in an order in which they can run"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1] * MAX_SHOWN, f"[{', '.join('1' * MAX_SHOWN)}]"),
        ([1] * (MAX_SHOWN + 1), f"a list of {MAX_SHOWN + 1}"),
        *(([1, inner], "a list of 2") for inner in ([2], (2,), {"a": 2})),
        ({"a": 1}, "an object"),
    ],
)
def test_a_value_of_any_size_and_depth_is_told_shortly(value: object, text: str) -> None:
    assert found(value) == text


EXTENT = "is a positive whole number, or a list of one per axis"


def said(message: str, *more: str) -> str:
    """A diagnostic about a key of graph.json, as it is printed."""
    code, _, rest = message.partition(" ")
    return "\n      ".join((f"{code} graph.json: {rest}", *more))


EDITS: dict[str, tuple[Edit, list[str]]] = {
    "a key is missing": (
        lambda d: d.pop("counts"),
        [
            said("E0802: `counts` is missing"),
        ],
    ),
    "a key of a node is missing": (
        lambda d: node(d, 2).pop("shape"),
        [
            said("E0802: `nodes[2].shape` is missing"),
        ],
    ),
    "an unknown key": (
        lambda d: node(d, 2).update(shap=[1]),
        [
            said("E0802: `nodes[2].shap` is no key of this form", "help: did you mean `shape`?"),
        ],
    ),
    "an unknown key of counts": (
        lambda d: d["counts"].update(macss=1),
        [
            said("E0802: `counts.macss` is no key of this form", "help: did you mean `macs`?"),
        ],
    ),
    "wrong kinds": (
        lambda d: d.update(name=3, title=[], inputs={}, counts=None, scopes=[None, 1]),
        [
            said("E0802: `name` must be text, found 3"),
            said("E0802: `title` must be text, found []"),
            said("E0802: `counts` must be an object, found null"),
            said("E0802: `inputs` must be a list, found an object"),
            said("E0802: `scopes[0]` must be an object, found null"),
            said("E0802: `scopes[1]` must be an object, found 1"),
        ],
    ),
    "wrong numbers": (
        lambda d: node(d, 0).update(shape=[4, 0, 6.0, True, "6"]),
        [
            said("E0802: `nodes[0].shape[1]` must be at least 1, found 0"),
            said("E0802: `nodes[0].shape[2]` must be a whole number, found 6.0"),
            said("E0802: `nodes[0].shape[3]` must be a whole number, found true"),
            said('E0802: `nodes[0].shape[4]` must be a whole number, found the text "6"'),
        ],
    ),
    "a number that is too long": (
        lambda d: d["counts"].update(macs=10**30),
        [
            said("E0802: `counts.macs` must be a whole number, found a number of 31 digits"),
        ],
    ),
    "half of a character": (
        lambda d: d.update(title="\ud800"),
        [
            said("E0802: `title` is no text: it holds half of a pair of surrogates"),
        ],
    ),
    "a role": (
        lambda d: d["parameters"][0].update(role="gamma"),
        [
            said(
                "E0802: `parameters[0].role` must be 'weight', 'bias' or 'buffer', found the text \"gamma\""
            ),
        ],
    ),
    "an unknown op": (
        lambda d: node(d, 2).update(op="rellu"),
        [
            said("E0301: `nodes[2].op` is `rellu`, and there is no such op", "help: did you mean `relu`?"),
        ],
    ),
    "another word for an op": (
        lambda d: node(d, 2).update(op="swish"),
        [
            said(
                "E0301: `nodes[2].op` is `swish`, and there is no such op",
                "help: it is called `silu` here",
            ),
        ],
    ),
    "attributes": (
        lambda d: node(d, 0)["attributes"].update(kernel="3", stride=[[[[[[1]]]]]], groupes=1),
        [
            said(f'E0404: `nodes[0].attributes.kernel` {EXTENT}, found the text "3"'),
            said(f"E0404: `nodes[0].attributes.stride` {EXTENT}, found a list of 1"),
            said(
                "E0406: `nodes[0].attributes.groupes` is no attribute of `conv`",
                "help: did you mean `groups`?",
            ),
        ],
    ),
    "a number that JSON lacks": (
        lambda d: node(d, 1)["attributes"].update(eps=float("nan")),
        [
            said("E0404: `nodes[1].attributes.eps` is a number of 0 or more, at most 1, found NaN"),
        ],
    ),
    "an attribute that is missing": (
        lambda d: node(d, 0)["attributes"].pop("out"),
        [
            said("E0407: `nodes[0].attributes.out` is missing"),
        ],
    ),
    "an unknown value": (
        lambda d: node(d, 2).update(inputs=["bm"]),
        [
            said(
                "E0802: `nodes[2].inputs[0]` is `bm`, and there is no such value",
                "help: values above: input, conv, bn",
            ),
        ],
    ),
    "a ring": (
        lambda d: node(d, 0).update(inputs=["relu"]),
        [
            said(f"E0802: `nodes[0].inputs[0]` is `relu`, {BELOW}"),
        ],
    ),
    "a node that reads itself": (
        lambda d: node(d, 2).update(inputs=["relu"]),
        [
            said(f"E0802: `nodes[2].inputs[0]` is `relu`, {BELOW}"),
        ],
    ),
    "too many values": (
        lambda d: node(d, 2).update(inputs=["bn", "bn"]),
        [
            said("E0802: `nodes[2].inputs` has 2 values, and `relu` takes 1"),
        ],
    ),
    "two values of one name": (
        lambda d: node(d, 3).update(name="relu"),
        [
            said("E0802: `nodes[3].name` is `relu`, as another value is"),
            said(
                "E0802: `nodes[4].inputs[0]` is `global_avg_pool`, and there is no such value",
                "help: values above: input, conv, bn, relu",
            ),
        ],
    ),
    "a shape that the op does not give": (
        lambda d: node(d, 2).update(shape=[4, 6, 7]),
        [
            said("E0803: `nodes[2].shape` is 4x6x7, and `relu` gives 4x6x6 there"),
        ],
    ),
    "a shape that does not fit": (
        lambda d: node(d, 0)["attributes"].update(groups=2),
        [
            said(
                "E0402: `nodes[0].attributes.groups` does not fit: groups must divide in_channels",
                "note: 3 % 2 = 1",
                "help: nearest that fit: 1",
            ),
        ],
    ),
    "an input without axes": (
        lambda d: d["inputs"][0].update(shape=[]),
        [
            said("E0802: `inputs[0].shape` must have 1 to 4 axes, the batch left out, found 0"),
        ],
    ),
    "a node without axes": (
        lambda d: node(d, 4).update(shape=[]),
        [
            said("E0802: `nodes[4].shape` must be a list that is not empty, found []"),
        ],
    ),
    "no inputs and outputs": (
        lambda d: d.update(inputs=[], outputs=[], nodes=[], scopes=[]),
        [
            said("E0802: `inputs` is empty: a network has at least one"),
        ],
    ),
    "no outputs": (
        lambda d: d.update(outputs=[]),
        [
            said("E0802: `outputs` is empty: a network has at least one"),
        ],
    ),
    "an output of nothing": (
        lambda d: d["outputs"][0].update(value="linea"),
        [
            said(
                "E0802: `outputs[0].value` is `linea`, and there is no such value",
                "help: did you mean `linear`?",
            ),
        ],
    ),
    "an output of another shape": (
        lambda d: d["outputs"][0].update(shape=[3]),
        [
            said("E0803: `outputs[0].shape` is 3, and `linear` is 2"),
        ],
    ),
    "parameters of another op": (
        lambda d: node(d, 0)["parameters"].pop("bias"),
        [
            said("E0803: `nodes[0].parameters` must name those of the op: `weight`, `bias`"),
        ],
    ),
    "parameters of two owners": (
        lambda d: node(d, 0)["parameters"].update(bias="other.bias"),
        [
            said("E0802: `nodes[0].parameters` must give full names of one owner: OWNER.NAME for each NAME"),
        ],
    ),
    "parameters that cannot be shared": (
        lambda d: node(d, 5).update(parameters={"weight": "conv.weight", "bias": "conv.bias"}),
        [
            said("E0318: `nodes[5].parameters` share those of `conv`, which have other names or shapes"),
            said("E0803: `parameters[6].name` is `linear.weight`, which no node has"),
            said("E0803: `parameters[7].name` is `linear.bias`, which no node has"),
            said("E0803: `counts.weights` is 124, and the nodes add up to 116"),
            said("E0803: `counts.biases` is 6, and the nodes add up to 4"),
            said("E0803: `counts.params` is 130, and the nodes add up to 120"),
        ],
    ),
    "a list of other parameters": (
        lambda d: d["parameters"][0].update(shape=[4, 3, 3], role="bias"),
        [
            said("E0803: `parameters[0]` is 4x3x3, bias, and its node has 4x3x3x3, weight"),
        ],
    ),
    "a parameter that is not listed": (
        lambda d: d["parameters"].pop(),
        [
            said("E0803: `parameters` lacks `linear.bias`"),
        ],
    ),
    "parameters in another order": (
        lambda d: d["parameters"].reverse(),
        [
            said("E0803: `parameters` must be in the order of the nodes"),
        ],
    ),
    "a parameter that is listed twice": (
        lambda d: d["parameters"].append(d["parameters"][0]),
        [
            said("E0803: `parameters` lists an array twice"),
        ],
    ),
    "counts that do not add up": (
        lambda d: d["counts"].update(macs=1, layers=7),
        [
            said("E0803: `counts.layers` is 7, and the nodes add up to 6"),
            said("E0803: `counts.macs` is 1, and the nodes add up to 3,896"),
        ],
    ),
    "a scope that is not there": (
        lambda d: node(d, 0).update(scope=1),
        [
            said("E0802: `nodes[0].scope` is 1, and there is no such scope"),
        ],
    ),
    "scopes in a ring": (
        lambda d: d.update(scopes=[d["scopes"][0], d["scopes"][0] | {"index": 1, "parent": 1}]),
        [
            said("E0802: `scopes[1].parent` must be an earlier scope, found 1"),
        ],
    ),
    "a graph within another": (
        lambda d: d["scopes"][0].update(parent=0),
        [
            said("E0802: `scopes[0].parent` must be null, since it is the graph, found 0"),
        ],
    ),
    "a scope of unknown values": (
        lambda d: d["scopes"][0].update(inputs=["imput"], output="?", index=4),
        [
            said("E0802: `scopes[0].index` is 4, and it stands at 0"),
            said(
                "E0802: `scopes[0].inputs[0]` is `imput`, and there is no such value",
                "help: did you mean `input`?",
            ),
            said(
                "E0802: `scopes[0].output` is `?`, and there is no such value",
                "help: values above: input, conv, bn, relu, global_avg_pool, flatten, linear",
            ),
        ],
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_mistake_is_named_by_its_key(edit: str, tmp_path: Path) -> None:
    document = json.loads(document_text())
    change, messages = EDITS[edit]
    change(document)
    assert refused(tmp_path, json.dumps(document)) == messages


def places(value: Any, steps: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each value within a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [steps, *(found for key, each in inner for found in places(each, (*steps, key)))]


DOCUMENT = json.loads(document_text())
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 5),
    st.sampled_from((10**12, 10**17, -(10**17), 10**40, 1.5, float("inf"), float("nan"))),
    st.text(max_size=3),
    st.sampled_from(("conv", "bn", "relu", "input", "concat", "linear", "conv.weight", "reshape", "lstm")),
)
VALUES = st.recursive(
    LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=2), v), max_leaves=4
)


@given(st.lists(st.tuples(st.sampled_from(places(DOCUMENT)[1:]), VALUES), min_size=1, max_size=3))
def test_no_file_is_answered_with_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[tuple[Any, ...], Any]]
) -> None:
    document = copy.deepcopy(DOCUMENT)
    for steps, value in edits:
        at = document
        try:
            for step in steps[:-1]:
                at = at[step]
            at[steps[-1]] = value
        except (TypeError, KeyError, IndexError):
            continue  # an edit before has removed the place
    path = tmp_path_factory.getbasetemp() / "graph.json"
    path.write_text(json.dumps(document), "utf-8")
    back = None
    with suppress(DiagnosticError):
        back = read_graph_json(path)
    if back:
        assert_same(read(path.parent, graph_json_text(back)).graph, back.graph)


def test_graphs_are_compared_whole() -> None:
    first, other = GRAPHS["chain"], GRAPHS["residual"]
    with pytest.raises((AssertionError, ValueError)):
        assert_same(first, other)
    renamed = Graph("other", first.inputs, first.nodes, first.outputs)
    with pytest.raises(AssertionError):
        assert_same(TypedGraph(renamed, first.types), first)


def test_of_thousands_of_mistakes_the_first_are_told(tmp_path: Path) -> None:
    document = json.loads(document_text())
    strays = [{**node(document, 2), "name": f"stray{i}", "inputs": ["nope"]} for i in range(2_000)]
    document["nodes"] += strays
    found = refused(tmp_path, json.dumps(document))
    assert (len(found), len([text for text in found if "nope" in text])) == (MAX_REPORTED, MAX_REPORTED)
    found = refused(tmp_path, json.dumps({**document, "nodes": [1] * 2_000}))
    assert (len(found), found[-1]) == (MAX_REPORTED, said("E0802: `nodes[49]` must be an object, found 1"))
