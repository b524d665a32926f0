"""The language, feature by feature, on specs of a few lines: what is built, and under which names."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from archforge.errors import Diagnostic, DiagnosticError
from archforge.ir import Node
from archforge.spec.expand.expand import Expansion, expand
from archforge.spec.resolve.library import Library
from archforge.spec.resolve.resolve import resolve

HEAD = "archforge: 1\n"
INPUT = "input: [3, 8, 8]\n"


def expanded(text: str, profile: str | None = None, folder: Path | None = None) -> Expansion:
    """A spec; `archforge: 1` and an input are added where they are missing, a bare list is its graph."""
    text = dedent(text).strip("\n")
    if text.startswith("- "):
        text = "graph:\n" + indent(text, "  ")
    text = HEAD + ("" if "input:" in text.splitlines()[0] or "extends:" in text else INPUT) + text + "\n"
    library = Library()
    if folder is None:
        document = library.read_text(text)
    else:
        (folder / "spec.yaml").write_text(text, "utf-8")
        document = library.read(folder / "spec.yaml")
    return expand(resolve(document, library, "spec"), profile)


def nodes(text: str, profile: str | None = None, folder: Path | None = None) -> tuple[Node, ...]:
    return expanded(text, profile, folder).graph.nodes


def names(text: str, profile: str | None = None) -> list[str]:
    return [node.name for node in nodes(text, profile)]


def wires(text: str) -> dict[str, tuple[str, ...]]:
    """Each node with its inputs."""
    return {node.name: node.inputs for node in nodes(text)}


def attribute(text: str, name: str, profile: str | None = None, folder: Path | None = None) -> list[Any]:
    """An attribute of all nodes that have it, in order."""
    attributes = (node.op.attributes() for node in nodes(text, profile, folder))
    return [found[name] for found in attributes if name in found]


def refused(text: str, profile: str | None = None, folder: Path | None = None) -> list[str]:
    """The codes of what is wrong."""
    return [d.code for d in mistakes(text, profile, folder)]


def mistakes(text: str, profile: str | None = None, folder: Path | None = None) -> tuple[Diagnostic, ...]:
    with pytest.raises(DiagnosticError) as caught:
        expanded(text, profile, folder)
    return caught.value.diagnostics


# Arguments of ops


def test_an_op_takes_nothing_a_bare_value_attributes_or_a_row() -> None:
    text = """
    - relu
    - relu: {}
    - relu:
    - conv: 4
    - conv: =4 + 1
    - conv: {out: 6, kernel: 3}
    - {for: [out, kernel], in: [[7, 1], [8, 3]], do: {conv: =row}}
    """
    assert attribute(text, "out") == [4, 5, 6, 7, 8]
    assert attribute(text, "kernel") == [1, 1, 3, 1, 3]


def test_a_bare_list_is_the_first_attribute() -> None:
    assert attribute("- permute: [1, 2, 0]", "order") == [(1, 2, 0)]


def test_a_row_may_come_beside_first() -> None:
    text = """
    - for: [out, kernel]
      in: [[4, 3]]
      do: {conv: =row, repeat: 2, first: {kernel: 1}}
    """
    assert attribute(text, "kernel") == [1, 3]


def test_a_row_keeps_what_first_does_not_replace() -> None:
    text = """
    - for: [out, kernel]
      in: [[8, 3]]
      do: {conv: =row, repeat: 2, first: {out: 4}}
    """
    assert attribute(text, "out") == [4, 8]
    assert attribute(text, "kernel") == [3, 3]


def test_lists_reach_attributes_as_tuples() -> None:
    text = "- conv: {out: 4, kernel: [1, 3], padding: [0, [0, 2]], stride: '=[1, 2]'}"
    (conv,) = nodes(text)
    assert conv.op.attributes() | {"out": 4} == {
        "out": 4,
        "kernel": (1, 3),
        "stride": (1, 2),
        "padding": (0, (0, 2)),
        "dilation": 1,
        "groups": 1,
        "bias": True,
    }


# Where an attribute comes from


def test_call_then_profile_then_spec_then_declaration() -> None:
    text = """
    defaults: {conv: {kernel: 3, groups: 1, padding: 2}, unit: {out: 8, kernel: 3}}
    profiles:
      plain: {}
      other: {defaults: {conv: {kernel: 5}, unit: {kernel: 5}}}
    blocks:
      unit: {args: {out: 4, kernel: 1}, body: {conv: {out: =out, kernel: =kernel}}}
    graph:
      - conv: 4
      - conv: {out: 4, kernel: 1}
      - unit
      - unit: 2
      - unit: {kernel: 1}
    """
    assert attribute(text, "kernel", "plain") == [3, 1, 3, 3, 1]
    assert attribute(text, "kernel", "other") == [5, 1, 5, 5, 1]
    assert attribute(text, "out", "other") == [4, 4, 8, 2, 8]
    assert attribute(text, "padding", "other") == [2] * 5
    assert attribute(text, "stride", "other") == [1] * 5


def test_first_wins_over_the_call_in_the_first_repeat_only() -> None:
    text = "- {conv: {out: 4, stride: 1}, repeat: 3, first: {stride: 2, bias: false}}"
    assert attribute(text, "stride") == [2, 1, 1]
    assert attribute(text, "bias") == [False, True, True]


def test_defaults_see_the_arguments_of_the_spec_wherever_they_reach(tmp_path: Path) -> None:
    unit = "unit: {args: {out: int, half: =out}, body: [{conv: =half}, bn]}"
    (tmp_path / "common.yaml").write_text(f"archforge: 1\nkind: blocks\nblocks: {{{unit}}}\n")
    text = """
    imports: [common]
    args: {width: 8, small: 0.25}
    defaults: {bn: {eps: =small}, unit: {half: =out//2 + width}}
    graph: [{unit: 6}]
    """
    assert attribute(text, "eps", folder=tmp_path) == [0.25]
    assert attribute(text, "out", folder=tmp_path) == [11]
    # Not the names of the place that they reach: a loop's, say.
    loop = "defaults: {conv: {groups: =n}}\ngraph: [{for: {n: [1]}, do: {conv: 3}}]"
    assert refused(loop) == ["E0302"]


def test_defaults_may_ask_for_the_value_that_they_are_used_on() -> None:
    text = "defaults: {conv: {groups: =x.channels}}\ngraph: [{conv: 6}, {conv: 12}]"
    assert attribute(text, "groups") == [3, 6]


# Arguments of blocks and specs


def test_defaults_of_arguments_may_use_each_other_in_any_order() -> None:
    text = """
    args: {a: =b + 1, b: =c * 2, c: 3}
    blocks: {unit: {args: {out: =twice, twice: =2*half, half: =a}, body: {conv: =out}}}
    graph: [unit, {unit: {half: 1}}, {unit: {twice: 5}}]
    """
    assert attribute(text, "out") == [14, 2, 5]
    assert expanded(text).args == {"a": 7, "b": 6, "c": 3}


def test_a_default_sees_what_the_block_receives() -> None:
    text = """
    blocks:
      unit: {args: {out: =2*input.channels}, body: [{conv: =out}, {conv: =x.channels + input.channels}]}
    graph: [unit, unit]
    """
    assert attribute(text, "out") == [6, 9, 18, 27]


def test_arguments_that_need_each_other_are_told() -> None:
    (found,) = mistakes("args: {a: =b, b: =a}\ngraph: [{conv: =a}]")
    assert found.message == "arguments need each other: `a` -> `b` -> `a`"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("int", "3", "3.0"),
        ("int", "=6//2", "=6/2"),
        ("int", "3", "true"),
        ("float", "3", "'3'"),
        ("float", "0.5", "true"),
        ("bool", "true", "1"),
        ("str", "relu", "3"),
        ("list", "[1]", "1"),
        ("tensor", "=x", "x"),
        ("tensor", "=input", "3"),
    ],
)
def test_kinds_of_arguments(kind: str, good: str, bad: str) -> None:
    text = "blocks: {{unit: {{args: {{a: {kind}}}, body: relu}}}}\ngraph: [{{unit: {{a: {value}}}}}]"
    assert len(nodes(text.format(kind=kind, value=good))) == 1
    assert refused(text.format(kind=kind, value=bad)) == ["E0308"]


def test_steps_may_be_left_out_one_or_several_or_the_name_of_one() -> None:
    text = """
    blocks: {unit: {args: {tail: steps}, body: [{conv: 3}, =tail]}}
    graph:
      - unit
      - unit: {tail: relu}
      - unit: {tail: [bn, relu]}
      - unit: {tail: {dropout: 0.5}}
      - unit: {tail: []}
      - unit: {tail: '="sigmoid"'}
      - unit: {tail: '=["bn", "elu"]'}
    """
    kinds = " ".join(node.op.kind for node in nodes(text))
    assert kinds == "conv conv relu conv bn relu conv dropout conv conv sigmoid conv bn elu"


def test_steps_see_the_names_where_they_are_written_and_x_where_they_are_used() -> None:
    text = """
    args: {width: 4}
    blocks:
      unit: {args: {width: 8, tail: steps}, body: [{conv: =width}, {let: {local: 1}}, =tail]}
    graph:
      - for: {n: [5, 6]}
        do:
          - {conv: 2, as: here}
          - unit: {tail: [{conv: =width + n}, {conv: =x.channels + here.channels}]}
    """
    assert attribute(text, "out") == [2, 8, 9, 11, 2, 8, 10, 12]
    assert refused(text.replace("=width + n", "=local")) == ["E0302"]


def test_steps_by_default_see_the_block() -> None:
    text = """
    blocks:
      unit:
        args: {out: 4, tail: [{conv: =2*out, as: kept}]}
        body: [{conv: =out}, =tail, {conv: =kept.channels}]
    graph: [unit]
    """
    assert attribute(text, "out") == [4, 8, 8]


def test_steps_are_passed_on() -> None:
    text = """
    args: {stem: [{conv: 4}]}
    blocks:
      inner: {args: {tail: steps}, body: [=tail]}
      outer: {args: {tail: steps}, body: [{inner: {tail: =tail}}]}
    graph: [=stem, {outer: {tail: [bn, relu]}}]
    """
    assert [node.op.kind for node in nodes(text)] == ["conv", "bn", "relu"]


def test_a_tensor_is_passed_to_a_block() -> None:
    text = """
    blocks:
      cell: {args: {before: tensor, out: int}, body: {concat: [[=before, {conv: =out}], [{conv: =out}]]}}
    graph:
      - {conv: 4, as: first}
      - {conv: 5, as: second}
      - cell: {before: =first, out: 6}
    """
    found = wires(text)
    assert found["cell.conv1"] == ("conv1",)
    assert found["cell.conv2"] == ("conv2",)


def test_two_previous_outputs_as_in_pnasnet() -> None:
    text = """
    blocks:
      cell: {args: {before: tensor}, body: {add: [[=before, {conv: 4}], [{conv: 4}]]}}
    graph:
      - {conv: 4, as: previous}
      - for: {n: [0, 1, 2]}
        do:
          - let: {before: =previous, previous: =x}
          - {cell: {before: =before}, name: "cell{n}"}
    """
    found = wires(text)
    assert found["cell0.conv1"] == ("conv",)
    assert found["cell1.conv1"] == ("conv",)
    assert found["cell2.conv1"] == ("cell0.add",)
    assert found["cell2.conv2"] == ("cell1.add",)


# Scoping


def test_the_innermost_name_wins() -> None:
    text = """
    args: {n: 1, m: 2}
    blocks:
      unit:
        args: {n: 10}
        body: [{conv: =n}, {let: {n: 20}}, {conv: =n}, {for: {n: [30]}, do: {conv: =n}}, {conv: =n}]
    graph: [unit, {conv: =n}, {let: {m: 3}}, {conv: =m}]
    """
    assert attribute(text, "out") == [10, 20, 30, 20, 1, 3]


def test_a_block_does_not_see_its_callers_names() -> None:
    block = "blocks: {unit: {body: {conv: =n}}}\n"
    for graph in (
        "graph: [{let: {n: 3}}, unit]",
        "graph: [{for: {n: [3]}, do: unit}]",
        "graph: [{relu: {}, as: n}, unit]",
        "graph: [{unit: {}, repeat: 2}]",
    ):
        assert refused(block.replace("=n", "=i") + graph if "repeat" in graph else block + graph) == ["E0302"]


def test_taps_and_lets_belong_to_the_body_that_they_are_written_in() -> None:
    text = """
    - seq:
        - for: {n: [4, 5]}
          do: [{conv: =n, as: last}, {let: {width: =n}}]
    - {conv: =last.channels + width}
    """
    assert attribute(text, "out") == [4, 5, 10]
    inside = "blocks: {unit: {body: {relu: {}, as: kept}}}\ngraph: [unit, {conv: =kept.channels}]"
    assert refused(inside) == ["E0302"]


AXES = {
    1: {"channels": 0, "features": 0},
    2: {"channels": 0, "width": 1, "length": 0, "features": 1},
    3: {"channels": 0, "height": 1, "width": 2, "features": 2},
    4: {"channels": 0, "depth": 1, "height": 2, "width": 3, "features": 3},
}


@pytest.mark.parametrize("rank", AXES)
@pytest.mark.parametrize("name", ["channels", "depth", "height", "width", "length", "features"])
def test_a_value_has_the_sizes_of_its_axes_and_no_others(rank: int, name: str) -> None:
    shape = [2, 3, 5, 7][:rank]
    text = f"input: {shape}\ngraph: [{{let: {{n: =x.{name}}}}}, flatten, {{linear: =n}}]"
    if name in AXES[rank]:
        assert attribute(text, "out") == [shape[AXES[rank][name]]]
    else:
        (found,) = mistakes(text)
        assert (found.code, f"`{name}`" in found.message) == ("E0302", True)


def test_x_has_no_value_where_there_are_several_inputs() -> None:
    text = "input: {a: [3, 8, 8], b: [3, 8, 8]}\ngraph: [{let: {n: =x.channels}}, {from: =a, conv: =n}]"
    (found,) = mistakes(text)
    assert (found.code, found.message) == ("E0312", "`x` has no value here")
    assert found.help.startswith("with several inputs, start with `from: =name`")
    assert attribute(text.replace("x.", "a."), "out") == [3]


def test_names_of_taps_may_be_made_by_formulas() -> None:
    text = """
    - {for: {w: [4, 5]}, do: {conv: =w, as: "tap{i}_of_{w}"}}
    - concat: [[=tap0_of_4], [=tap1_of_5]]
    """
    assert wires(text)["concat"] == ("conv1", "conv2")
    for wrong in ("tap0_of4", "tip0_of_4", "tap", "_of_"):
        assert refused(text.replace("=tap0_of_4", f"={wrong}")) == ["E0302"]
    assert mistakes(text.replace("=tap0_of_4", "=tap7_of_4"))[0].message == "`tap7_of_4` has no value here"


def test_a_later_tap_or_let_rebinds() -> None:
    text = """
    - {conv: 4, as: t}
    - let: {w: =t.channels}
    - {conv: 5, as: t}
    - let: {w: =w + t.channels}
    - conv: =w
    """
    assert attribute(text, "out") == [4, 5, 9]


def test_append_makes_a_list_that_older_names_do_not_see_change() -> None:
    text = """
    - {conv: 4, append: every}
    - let: {some: =every}
    - {conv: 5, append: every}
    - conv: =10*len(every) + len(some)
    - concat: =every
    """
    assert attribute(text, "out") == [4, 5, 21]
    assert wires(text)["concat"] == ("conv1", "conv2")


def test_loops_know_i_key_row_and_their_columns() -> None:
    rows = """
    - for: [out, kernel]
      in: {a: [4, 1], b: [5, 3]}
      name: "{key}_{i}"
      do: {conv: {out: =out + row.out + len(key), kernel: =row.kernel}}
    """
    assert names(rows) == ["a_0", "b_1"]
    assert attribute(rows, "out") == [9, 11]
    listed = "- {for: [out], in: [4, 5], do: {conv: =out + key}}"
    assert attribute(listed, "out") == [4, 6]
    assert attribute("- {conv: =i + 1, repeat: 3}", "out") == [1, 2, 3]
    inner = "- {for: {a: [1, 2]}, do: {for: {b: [3, 4]}, do: {conv: =10*a + i}}}"
    assert attribute(inner, "out") == [10, 11, 20, 21]


def test_columns_may_be_single_values_and_formulas() -> None:
    text = """
    args: {widths: [4, 5]}
    graph: [{for: {w: =widths, k: 3, s: '=[1] + [2]'}, do: {conv: {out: =w, kernel: =k, stride: =s}}}]
    """
    assert (attribute(text, "out"), attribute(text, "kernel"), attribute(text, "stride")) == (
        [4, 5],
        [3, 3],
        [1, 2],
    )


def test_an_imported_block_sees_its_own_arguments_only(tmp_path: Path) -> None:
    unit = "unit: {args: {out: 4}, body: {conv: =out + width}}"
    (tmp_path / "common.yaml").write_text(f"archforge: 1\nkind: blocks\nblocks: {{{unit}}}\n")
    text = "imports: [common]\nargs: {width: 4}\ngraph: [unit]"
    (found,) = mistakes(text, folder=tmp_path)
    assert found.code == "E0302"
    assert found.help.startswith("an imported block sees its own arguments only")


# Control


def test_a_step_that_is_skipped_passes_the_value_on_as_it_was() -> None:
    text = """
    - {conv: 4, as: t}
    - conv: 5
    - {conv: 6, when: false}
    - {relu: {}, from: =t, when: false, as: never}
    - {conv: 7}
    """
    assert wires(text) == {"conv1": ("input",), "conv2": ("conv1",), "conv3": ("conv2",)}


def test_when_is_asked_before_from_so_that_both_may_depend_on_a_condition() -> None:
    text = """
    args: {aux: false}
    graph: [{conv: 4, as: t, when: =aux}, {relu: {}, from: =t, when: =aux}, {conv: 3}]
    """
    assert names(text) == ["conv"]
    assert names(text.replace("aux: false", "aux: true")) == ["conv1", "relu", "conv2"]


def test_when_sees_the_value_at_the_step() -> None:
    text = "- {conv: =x.channels + 1, when: =x.channels < 4, as: t}\n- {conv: 9, when: =x.channels == 4}"
    assert attribute(text, "out") == [4, 9]


def test_side_computes_and_leaves_the_value() -> None:
    text = """
    - {conv: 4, name: a}
    - {side: [{conv: 5}, relu], name: aux, as: aux}
    - {conv: 6, name: b}
    - concat: [=aux, []]
    """
    found = wires(text)
    assert (found["b"], found["concat"]) == (("a",), ("aux.1", "b"))


def test_from_starts_elsewhere_and_goes_on_from_there() -> None:
    text = "- {conv: 4, as: t}\n- conv: 5\n- {relu: {}, from: =t}\n- bn"
    assert wires(text) == {"conv1": ("input",), "conv2": ("conv1",), "relu": ("conv1",), "bn": ("relu",)}


def test_repeat_of_nothing_and_of_sequences() -> None:
    assert names("- {conv: 4, repeat: 0}\n- relu") == ["relu"]
    assert attribute("- seq: [{conv: =i + 2}, relu]\n  repeat: 2", "out") == [2, 3]


def test_a_formula_as_a_step_is_a_value_steps_or_a_name() -> None:
    text = """
    args: {act: elu, block: unit, none: null, many: [bn, relu]}
    blocks: {unit: {args: {out: 4, kernel: 1}, body: {conv: {out: =out, kernel: =kernel}}}}
    graph:
      - =act
      - {=act: {}, as: t}
      - {=block: 5}
      - {=block: {kernel: 3}, repeat: 2, first: {out: 6}}
      - =none
      - =many
      - =t
      - {="le" + "aky_relu": {slope: 0.5}}
    """
    found = nodes(text)
    assert [n.op.kind for n in found] == ["elu"] * 2 + ["conv"] * 3 + ["bn", "relu", "leaky_relu"]
    assert attribute(text, "out") == [5, 6, 4]
    assert found[-1].inputs == (found[1].name,)


# Merges


def test_branches_start_from_one_value() -> None:
    text = """
    - conv: 4
    - add:
        - []
        -
        - relu
        - [{conv: 4}, bn]
    """
    assert wires(text) == {
        "conv1": ("input",),
        "relu": ("conv1",),
        "conv2": ("conv1",),
        "bn": ("conv2",),
        "add": ("conv1", "conv1", "relu", "bn"),
    }


@pytest.mark.parametrize("kind", ["add", "subtract", "multiply", "concat"])
def test_merges_keep_the_order_of_their_branches(kind: str) -> None:
    text = f"- {kind}: {{b: {{conv: 3}}, a: {{conv: 3}}, c: []}}"
    assert wires(text)[kind] == ("b", "a", "input")


def test_a_merge_takes_attributes_beside_its_branches() -> None:
    """Along the axis that it says, else that of the defaults; formulas see the value in front of it."""
    text = """
    input: [3, 4, 6]
    args: {along: 2}
    defaults: {concat: {axis: -2}}
    graph:
      - concat: [{conv: 3}, []]
      - concat: {branches: [[], []], axis: 0}
      - concat: {branches: {left: [], right: [relu]}, axis: =along}
      - concat: {branches: '=[x, x]', axis: =x.channels // 6}
    """
    shapes = [str(expanded(text).graph.types[n.name]) for n in nodes(text) if n.op.kind == "concat"]
    assert shapes == ["3x8x6", "6x8x6", "6x8x12", "6x16x12"]


def test_a_branch_may_not_be_there() -> None:
    text = """
    - add:
        - {branch: relu, when: =x.channels == 3, name: one}
        - {branch: [bn, {conv: 3}], when: =x.channels == 4}
        - {branch: [], when: true}
    """
    assert wires(text) == {"one": ("input",), "add": ("one", "input")}
    assert wires(text.replace("when: true", "when: false")) == {"one": ("input",)}
    assert refused(text.replace("== 3", "== 5").replace("when: true", "when: false")) == ["E0405"]


def test_a_merge_takes_a_list_of_values() -> None:
    text = "- {conv: 3, append: t}\n- {relu: {}, append: t}\n- add: =t\n- subtract: '=[x, input, t[0]]'"
    found = wires(text)
    assert (found["add"], found["subtract"]) == (("conv", "relu"), ("add", "input", "conv"))


def test_taps_inside_of_branches_are_those_of_the_body() -> None:
    text = "- add: [[{conv: 3, as: t}, relu], []]\n- {conv: 4, from: =t}"
    assert wires(text)["conv2"] == ("conv1",)


# Names


def test_unnamed_children_are_called_by_kind_and_numbered_if_several() -> None:
    text = """
    blocks: {unit: {body: [{conv: 4}, relu]}}
    graph: [{conv: 4}, unit, relu, {conv: 4}, unit, {unit: {}, name: last}, bn]
    """
    assert names(text) == [
        *("conv1", "unit1.conv", "unit1.relu", "relu", "conv2"),
        *("unit2.conv", "unit2.relu", "last.conv", "last.relu", "bn"),
    ]


def test_naming_by_position_counts_every_call_but_not_merges() -> None:
    text = """
    blocks:
      inner: {body: [{conv: 3}]}
      unit:
        naming: position
        body: [{conv: 3}, {bn: {}, when: false}, inner, {add: [[], relu]}, {conv: 3, name: own}, bn]
    graph: [unit]
    """
    assert names(text) == ["unit.0", "unit.1.conv", "unit.2", "unit.add", "unit.own", "unit.4"]


def test_naming_none_makes_the_call_transparent() -> None:
    text = """
    blocks:
      one: {naming: none, body: {conv: 4}}
      two: {naming: none, body: [{conv: 4}, relu]}
    graph: [one, {one: {}, name: a}, two, {two: {}, name: b}]
    """
    assert names(text) == ["conv1", "a", "conv2", "relu", "b.0", "b.1"]


def test_a_name_on_a_list_numbers_on_one_step_it_is_the_steps() -> None:
    text = """
    - {seq: [{conv: 4}, relu], name: s}
    - {seq: {conv: 4}, name: one}
    - {seq: [{conv: 4}], name: list}
    - {side: [{conv: 4}], name: d}
    - {for: {w: [4, 5]}, name: "l{i + 1}", do: [{conv: =w}, relu]}
    - {for: {w: [4, 5]}, name: "m{w}", do: {conv: =w}}
    """
    assert names(text) == [
        *("s.0", "s.1", "one", "list.0", "d.0"),
        *("l1.0", "l1.1", "l2.0", "l2.1", "m4", "m5"),
    ]


def test_unnamed_groups_leave_no_trace() -> None:
    text = """
    - seq: [{conv: 4}, {seq: [{conv: 4}]}]
    - side: [{conv: 4}]
    - {for: {w: [4, 5]}, do: [{conv: =w}]}
    - add: [[{conv: 5}], []]
    """
    assert names(text) == ["conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "add"]


def test_repeats_with_a_name_are_numbered() -> None:
    text = """
    blocks: {unit: {body: [{conv: 4}]}}
    graph:
      - {conv: 4, repeat: 2, name: a}
      - {unit: {}, repeat: 2, name: b}
      - {seq: [relu, {conv: 4}], repeat: 2, name: c}
      - {conv: 4, repeat: 2}
    """
    assert " ".join(names(text)) == "a.0 a.1 b.0.conv b.1.conv c.0 c.1 c.2 c.3 conv1 conv2"


def test_named_branches() -> None:
    text = """
    - concat:
        one: {conv: 4}
        list: [{conv: 4}, relu]
        none: []
        deep.er: {conv: 4}
        "n{1 + 1}": {branch: {conv: 4}, when: true}
      name: joined
    """
    assert names(text) == [
        *("joined.one", "joined.list.0", "joined.list.1", "joined.deep.er", "joined.n2", "joined.concat")
    ]


def test_names_may_hold_dots_formulas_and_numbers() -> None:
    text = "- {conv: 4, name: a.b}\n- {relu: {}, name: 7}\n- {bn: {}, name: '=\"c\" + str(x.channels)'}"
    assert names(text) == ["a.b", "7", "c4"]
    typed = expanded(text).graph
    assert list(typed.params())[:2] == ["a.b.weight", "a.b.bias"]


def test_equal_names_are_told_at_both_places() -> None:
    (found,) = mistakes("- {conv: 4, name: a}\n- {seq: [{conv: 4}], name: b}\n- {bn: {}, name: a}")
    assert found.code == "E0309"
    assert found.span
    assert found.notes[0].span
    assert (found.span.line, found.notes[0].span.line) == (5, 3)
    assert refused("- {conv: 4, name: relu}\n- relu") == ["E0309"]


# Shared parameters


def test_share_uses_the_same_parameters_again() -> None:
    text = """
    input: {left: [3, 8, 8], right: [3, 8, 8]}
    blocks: {tower: {body: [{conv: 4}, bn]}}
    graph:
      - concat:
          - {tower: {}, from: =left, share: t}
          - {tower: {}, from: =right, share: t}
      - {conv: 8, share: c}
      - {conv: 8, share: c}
    """
    found = nodes(text)
    assert [n.name for n in found] == ["t.conv", "t.bn", "t@2.conv", "t@2.bn", "concat", "c", "c@2"]
    assert [n.params_of for n in found if n.op.kind != "concat"] == ["t.conv", "t.bn"] * 2 + ["c", "c"]
    params = expanded(text).graph.params()
    assert sorted({name.rpartition(".")[0] for name in params}) == ["c", "t.bn", "t.conv"]


def test_shared_parameters_have_equal_shapes() -> None:
    assert refused("- {conv: 4, share: c}\n- {conv: 4, share: c}") == ["E0318"]
    block = (
        "blocks: {t: {body: [{conv: 4}]}}\ngraph: [{t: {}, share: a}, {t: {}, share: a}, {t: {}, share: a}]"
    )
    found = mistakes(block)
    assert {d.code for d in found} == {"E0318"}
    assert found[0].trace[0].block == "t"


def test_a_name_is_shared_by_all_or_by_none() -> None:
    assert refused("- {conv: 4, share: c}\n- {conv: 4, name: c}") == ["E0309"]


# Inputs and outputs


def test_several_inputs_are_taps_and_there_is_no_value_before_one_is_taken() -> None:
    text = """
    input: {image: [3, 8, 8], pose: [7]}
    graph:
      - concat:
          image: [=image, {conv: 2}, global_avg_pool, flatten]
          pose: [{linear: 4, from: =pose}]
      - {linear: 2, name: head}
    """
    graph = expanded(text).graph
    assert {name: t.shape for name, t in graph.inputs.items()} == {"image": (3, 8, 8), "pose": (7,)}
    assert graph.outputs == {"output": "head"}
    assert refused(text.replace("=image, {conv", "{conv")) == ["E0312"]
    assert refused("input: {a: [3, 8, 8]}\ngraph: [{relu: {}, from: =a}, {conv: =input.channels}]") == [
        "E0302"
    ]


def test_outputs_are_named_and_may_depend_on_a_condition() -> None:
    text = """
    args: {deep: true}
    graph: [{conv: 4, append: t}, {conv: 5, append: t}]
    outputs:
      main: =x
      first: =t[0]
      maybe: {value: '=t[1]', when: =deep}
      never: {value: =x, when: =not deep}
    """
    assert expanded(text).graph.outputs == {"main": "conv2", "first": "conv1", "maybe": "conv2"}


def test_the_input_may_depend_on_arguments() -> None:
    text = "input: [3, =size, =2*size]\nargs: {size: 6}\ngraph: [relu]"
    assert expanded(text).graph.inputs["input"].shape == (3, 6, 12)


# Profiles, templates and imports

FAMILY = """
archforge: 1
kind: template
title: A family
paper: somewhere
input: [3, 8, 8]
args: {width: int, depth: 1, tail: steps}
with: {width: 4}
defaults: {conv: {kernel: 3, padding: 1}}
profiles:
  a: {width: 5, defaults: {conv: {bias: false}, bn: {eps: 0.5}}}
  b: {}
blocks:
  unit: {body: [{conv: =width}, =tail]}
  other: {body: relu}
graph: [{unit: {}, repeat: =depth}, other]
outputs: {main: =x}
"""


@pytest.fixture
def family(tmp_path: Path) -> Path:
    (tmp_path / "family.yaml").write_text(FAMILY, "utf-8")
    return tmp_path


def test_extends_merges_by_name_and_the_child_wins(family: Path) -> None:
    text = """
    extends: family
    with: {depth: 2, tail: [bn]}
    profiles:
      a: {defaults: {conv: {stride: 2}}, tail: [bn, elu]}
      c: {width: 7}
    defaults: {conv: {padding: 2}}
    blocks: {other: {body: sigmoid}}
    """

    def kinds(profile: str) -> list[str]:
        return [node.op.kind for node in nodes(text, profile, family)]

    assert kinds("a") == ["conv", "bn", "elu", "conv", "bn", "elu", "sigmoid"]
    assert kinds("b") == kinds("c") == ["conv", "bn", "conv", "bn", "sigmoid"]
    conv = nodes(text, "a", family)[0].op.attributes()
    assert (conv["out"], conv["kernel"], conv["padding"], conv["stride"], conv["bias"]) == (5, 3, 2, 2, False)
    assert attribute(text, "out", "b", family) == [4, 4]
    assert attribute(text, "out", "c", family) == [7, 7]
    assert attribute(text, "eps", "a", family) == [0.5, 0.5]


def test_graph_input_and_outputs_are_taken_whole(family: Path) -> None:
    text = "extends: family\ninput: [4, 8, 8]\ngraph: [{conv: 2}, other]\noutputs: {end: =x}"
    graph = expanded(text, "b", family).graph
    assert graph.inputs["input"].shape == (4, 8, 8)
    assert graph.outputs == {"end": "other.relu"}
    assert [n.op.kind for n in graph.nodes] == ["conv", "relu"]


def test_an_argument_may_get_another_default(family: Path) -> None:
    text = "extends: family\nargs: {width: 9, depth: 3}\nwith: {depth: 1}"
    assert attribute(text, "out", "b", family) == [4]  # the template's own `with` still holds
    assert expanded(text, "b", family).args["depth"] == 1


def test_title_and_expect_are_not_inherited_but_the_paper_is(family: Path) -> None:
    spec = expanded("extends: family", "b", family).spec
    assert (spec.header.title, spec.header.paper, spec.expect) == (None, "somewhere", None)


@pytest.mark.parametrize("empty", ["{}", "", "null"])
def test_an_empty_expect_is_as_none(empty: str) -> None:
    text = (
        "profiles: {{one: {{}}, two: {{}}}}{expect}\nblocks: {{unit: {{body: relu{cases}}}}}\ngraph: [unit]\n"
    )
    without = expanded(text.format(expect="", cases="")).spec
    spec = expanded(text.format(expect=f"\nexpect: {empty}", cases=f", expect: {empty}")).spec
    assert spec.profile_names == without.profile_names == ["one", "two"]
    assert spec.expect is spec.blocks["unit"].expect is None
    assert expanded(text.format(expect=f"\nexpect: {empty}", cases=""), "two").profile == "two"


def test_templates_extend_templates(family: Path) -> None:
    (family / "middle.yaml").write_text(
        "archforge: 1\nkind: template\nextends: family\nwith: {width: 6}\n"
        "args: {extra: 2}\nblocks: {other: {body: {conv: =extra}}}\n"
    )
    assert attribute("extends: middle\nwith: {depth: 2}", "out", "b", family) == [6, 6, 2]
    assert attribute("extends: middle\nwith: {extra: 3}", "out", "b", family) == [6, 3]


def test_null_drops_an_inherited_profile(family: Path) -> None:
    spec = expanded("extends: family\nprofiles: {a: null}", folder=family).spec
    assert spec.profile_names == ["b"]
    assert expanded("extends: family\nprofiles: {a: null, b: null}", folder=family).profile == "default"
    assert refused("extends: family\nprofiles: {a: null}", "a", family) == ["E0315"]
    assert refused("extends: family\nprofiles: {c: null}", None, family) == ["E0315"]
    assert refused("extends: family\nprofiles: {a: null}\nexpect: {a: {source: x}}", None, family) == [
        "E0501"
    ]


def test_a_profile_that_was_dropped_may_be_declared_anew(family: Path) -> None:
    middle = "archforge: 1\nkind: template\nextends: family\nprofiles: {a: null}\n"
    (family / "middle.yaml").write_text(middle, "utf-8")
    text = "extends: middle\nprofiles: {a: {depth: 2}}"
    assert attribute(text, "out", "a", family) == [4, 4]  # not the 5 of the one that was dropped


@pytest.mark.parametrize(
    ("profiles", "default"),
    [("", "a"), ("profiles: {c: {}}", "c"), ("profiles: {b: {}}", "b"), ("profiles: {c: {}, a: {}}", "c")],
)
def test_an_inherited_profile_is_the_default_only_where_there_is_no_other(
    family: Path, profiles: str, default: str
) -> None:
    assert expanded(f"extends: family\n{profiles}", folder=family).profile == default
    middle = f"archforge: 1\nkind: template\nextends: family\n{profiles}\n"
    (family / "middle.yaml").write_text(middle, "utf-8")
    assert expanded("extends: middle", folder=family).profile == default


def test_profiles_give_arguments_blocks_and_a_model(family: Path) -> None:
    text = """
    extends: family
    profiles:
      d: {model: lib.net, blocks: {unit: {args: {k: 1}, body: [{conv: {out: =width, kernel: =k}}]}}, depth: 2}
    """
    assert attribute(text, "kernel", "d", family) == [1, 1]
    assert expanded(text, "lib.net", family).profile == "d"
    assert refused(text, "e", family) == ["E0315"]


def test_imports_bring_blocks_and_rules_and_reach_further(tmp_path: Path) -> None:
    (tmp_path / "low.yaml").write_text("archforge: 1\nkind: blocks\nblocks: {low: {body: relu}}\n")
    (tmp_path / "high.yaml").write_text(
        "archforge: 1\nkind: blocks\nimports: [low]\nblocks: {high: {body: [low, bn]}}\n"
        "rules: {all: {says: all, count: =layers}}\n"
    )
    spec = expanded("imports: [high]\nblocks: {low: {body: elu}}\ngraph: [high]", folder=tmp_path)
    assert [n.op.kind for n in spec.graph.nodes] == ["elu", "bn"]
    assert list(spec.spec.rules) == ["all"]


def test_the_first_profile_of_expect_is_the_default() -> None:
    text = """
    args: {width: 4}
    profiles: {a: {width: 5}, b: {width: 6}}
    graph: [{conv: =width}]
    expect: {b: {source: me, params: 24}, a: {source: me, params: 20}}
    """
    assert expanded(text).profile == "b"
    assert expanded(text.replace("expect", "# expect").replace("me, params: 20}}", "}")).profile == "a"


# Bounds

TWICE = "{a: =n - 1, when: =n > 0}"


def test_blocks_may_call_themselves_while_a_condition_ends_it() -> None:
    text = """
    blocks: {again: {args: {n: int}, body: [{conv: =n}, {again: =n - 1, when: =n > 1}]}}
    graph: [{again: 30}]
    """
    assert attribute(text, "out") == list(range(30, 0, -1))
    assert refused(text.replace("again: 30", "again: 50")) == ["E0317"]


@pytest.mark.parametrize(
    "text",
    [
        "- {relu: {}, repeat: 1_000_000_000_000}",
        "- seq: [{seq: [], repeat: 1_000_000}]\n  repeat: 1_000_000",
        "- {seq: {relu: {}, when: false}, repeat: 10_000_000}",
        "- {for: {a: =range(10000)}, do: {for: {b: =range(10000)}, do: []}}",
        f"blocks: {{a: {{args: {{n: int}}, body: [{TWICE}, {TWICE}]}}}}\ngraph: [{{a: 38}}]",
        "- {seq: {relu: {}, append: every}, repeat: 20_000}",
        "- {add: [[], []], repeat: 40_000}",
        "- {let: {a: '=range(9999)'}, when: true}\n- seq: {let: {b: '=a + [1] == a'}}\n  repeat: 10_000",
        "args: {a: '=[[b for b in range(999)] for c in range(9999)]'}\ngraph: [relu]",
    ],
)
def test_what_a_spec_can_cause_is_bounded(text: str) -> None:
    assert refused(text) == ["E0317"]


def test_a_mistake_in_a_loop_is_told_once() -> None:
    text = "args: {act: rellu}\ngraph: [{=act: {}, repeat: 100_000}, {for: {n: =range(5000)}, do: =act}]"
    assert refused(text) == ["E0301", "E0301"]


def test_expansion_is_linear() -> None:
    def steps(count: int) -> int:
        found = expanded(f"- seq: [{{conv: 3}}, {{add: [[], relu]}}]\n  repeat: {count}")
        return len(found.graph.nodes)

    assert (steps(10), steps(1000)) == (30, 3000)


# One mistake does not hide the next, nor bring others


def test_a_mistake_of_a_block_is_told_once_with_the_calls_that_led_to_it() -> None:
    text = """
    blocks:
      inner: {body: [{conv: {out: 4, groups: 7}}]}
      outer: {body: [{conv: 5}, inner]}
    graph: [inner, {outer: {}, from: =input}, {inner: {}, from: =input}]
    """
    (found,) = mistakes(text)
    assert (found.code, [frame.block for frame in found.trace]) == ("E0402", ["inner"])
    (found,) = mistakes(text.replace("[inner, {outer", "[{outer"))
    assert (found.label, [frame.block for frame in found.trace]) == ("5 % 7 = 5", ["outer", "inner"])
    pools = "blocks: {pool: {body: {max_pool: 9}}}\ngraph: [pool, {conv: 4, from: =input}, pool]"
    assert [d.message for d in mistakes(pools)] == ["the window does not fit its input of 3x8x8"]


def test_what_stands_behind_a_mistake_is_quiet() -> None:
    text = """
    args: {width: =1 / zero, zero: 0, twice: =2*width, list: '=[width, 1]'}
    graph:
      - {conv: =width, as: t}
      - conv: =t.channels + 1
      - {for: {w: =list}, do: [{conv: =w}]}
      - {add: [=t, [relu]]}
      - {seq: [{conv: 4, as: late}], when: =width > 1}
      - {conv: =late.channels}
      - {relu: {}, append: some, name: "n{width}"}
      - concat: =some
      - unknown: {}
    outputs: {main: '=some[0]', more: =late}
    """
    assert refused(text.replace("- unknown: {}", "")) == ["E0305"]
    assert refused(text) == ["E0301"]  # the names are asked for first


def test_a_mistake_behind_another_is_found_where_the_value_is_known_again() -> None:
    text = """
    blocks: {unit: {args: {groups: 1}, body: [{conv: {out: 4, groups: =groups}}, bn]}}
    graph: [{unit: 2}, {conv: {out: 4, kernel: 9}}, {max_pool: 2, from: =input}, {max_pool: 9}]
    """
    found = mistakes(text)
    assert [(d.code, len(d.trace)) for d in found] == [("E0402", 1), ("E0403", 0)]
