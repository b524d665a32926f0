"""Origins of values: every attribute, parameter and figure of every layer has one, with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from archforge import driver
from archforge.analysis.explanation import FIGURES, explained
from archforge.ir import by_x
from archforge.spec.expand.origins import ValueOrigin, attribute_origin, origin_lines
from archforge.spec.expand.trace import TracedExpansion, traced
from archforge.spec.formulas.formula import describe
from tests.conftest import Run
from tests.zoo import networks

QUICK = (
    "resnet_18",
    "mobilenet_v3_small",
    "googlenet_small",
    "densenet_small",
    "shufflenet_v2_x0_5",
    "gru_text",
)
ALL = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in networks()]


def parts(origin: ValueOrigin) -> Iterator[ValueOrigin]:
    yield origin
    for part in origin.parts:
        yield from parts(part)


@pytest.mark.parametrize("name", ALL)
def test_every_attribute_parameter_and_figure_has_an_origin(name: str) -> None:
    spec = networks()[name]
    found = traced(spec)
    typed = found.expansion.graph
    network = driver.analyse(spec)
    assert (
        [*found.traces] == [node.name for node in typed.nodes] == [node.name for node in network.graph.nodes]
    )
    for node in typed.nodes:
        for attribute in node.op.attribute_names():
            origin = attribute_origin(found, found.traces[node.name], attribute)
            value = getattr(node.op, attribute)
            assert origin.value == describe(value)
            for part in parts(origin):
                assert bool(part.span) or part.said_by.startswith(("default of `", "the input"))
                assert not part.text or part.span is not None
                written = part.span.source.line(part.span.line) if part.span else ""
                assert part.text in written.replace("\\", "")
                is_formula = part.span and written[part.span.column :].lstrip("\"'").startswith("=")
                if is_formula and not part.said_by.startswith("the value of "):
                    assert part.text  # a formula is shown, with what the names in it are
        for param, decl in node.op.params(*typed.input_types(node)).items():
            answer = explained(found, f"{node.name}.{param}" if param else node.name)
            assert by_x(decl.shape) in answer.text()
    for scope in {scope.name for scope in typed.scopes if scope.name}:
        assert explained(found, scope).text()
    for figure in FIGURES[:2]:
        answer = explained(found, figure)
        assert answer.data[figure] == getattr(network.counts, figure)
        for key in ("by_op", "by_name"):
            assert sum(answer.data[key].values()) >= answer.data[figure]  # equal, but for what is shared
    json.dumps(answer.data)


def resnet(profile: str, **settings: object) -> TracedExpansion:
    from archforge.spec.resolve.sources import settings_of

    return traced(networks()["resnet_50"], profile, settings_of(settings))


def lines(found: TracedExpansion, name: str) -> list[str]:
    """The lines on an attribute, without files and columns."""
    node, _, attribute = name.rpartition(".")
    origin = attribute_origin(found, found.traces[node], attribute)
    return [re.sub(r"zoo_specs/|:\d+:\d+", "", line) for line in origin_lines(origin)]


def test_a_stride_comes_from_first_the_loop_and_the_profile() -> None:
    assert lines(resnet("keras"), "layer2.0.conv1.stride") == [
        "stride is 2, the call of `conv`, resnet.yaml: `=stride if stride_in == 1 else 1`",
        "  stride_in is 1, profile `keras`, resnet.yaml",
        "  stride is 2, `first` of the call of `bottleneck`, resnet.yaml: `=stride`",
        "    stride is 2, this pass of the loop, resnet.yaml",
    ]
    assert (
        lines(resnet("keras"), "layer2.1.conv1.stride")[2]
        == "  stride is 1, default of `bottleneck`, resnet.yaml"
    )


def test_defaults_of_the_profile_of_the_spec_of_the_op_and_of_the_command() -> None:
    assert lines(resnet("keras"), "bn1.eps") == ["eps is 1.001e-05, defaults of profile `keras`, resnet.yaml"]
    assert lines(resnet("timm"), "conv1.bias") == ["bias is false, defaults of the spec, resnet.yaml"]
    assert lines(resnet("timm"), "bn1.eps") == ["eps is 1e-05, default of `bn`"]
    assert lines(resnet("timm", classes=10), "fc.out")[1] == "  classes is 10, --set, --set classes"
    assert lines(resnet("timm"), "layer1.0.conv3.out")[1:3] == [
        "  width is 64, the call of `bottleneck`, resnet.yaml: `=width`",
        "    width is 64, this pass of the loop, resnet.yaml",
    ]


def test_lets_taps_shapes_and_rows(run: Run, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "archforge: 1\ninput: [3, 8, 8]\nargs: {table: [[4, 3], [6, 1]]}\nblocks:\n"
        "  unit: {args: {out: int, kernel: 1}, body: {conv: {out: =out, kernel: =kernel}}}\ngraph:\n"
        "  - let: {half: '=input.channels * 2'}\n  - {conv: =half, name: stem}\n"
        "  - for: [out, kernel]\n    in: =table\n    do: {unit: =row}\n    name: u{i}\n"
        "  - {conv: {out: =x.channels}, name: last}\n"
    )
    code, out, _ = run("explain", "net.yaml", "stem.out")
    assert code == 0
    assert out.splitlines()[1:] == [
        "out is 6, the call of `conv`, net.yaml:8:12: `=half`",
        "  half is 6, `let`, net.yaml:7:17: `=input.channels * 2`",
        "    input is 3x8x8, the input `input`",
    ]
    _, out, _ = run("explain", "net.yaml", "u1.conv.kernel")
    assert "  kernel is 1, the call of `unit`, net.yaml:11:16: `=row`" in out.splitlines()
    _, out, _ = run("explain", "net.yaml", "last.out")
    assert "  x is 6x6x6, the value of u1.conv, net.yaml:5:46" in out.splitlines()


def test_arguments_of_a_network_and_of_steps_are_those_of_the_call_that_gives_them(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "small.yaml").write_text(
        "archforge: 1\ninput: [3, 8, 8]\nargs: {width: 4, deep: '=2 * width'}\nblocks:\n"
        "  unit: {args: {out: 1}, body: {conv: =out}}\ndefaults: {unit: {out: =deep}}\n"
        "graph: [{conv: =width}, unit]\n"
    )
    (tmp_path / "net.yaml").write_text(
        "archforge: 1\ninput: [3, 8, 8]\nargs: {width: 6}\nblocks:\n  small: {network: small}\n"
        "  runs: {args: {n: 2, to: steps}, body: [=to]}\n"
        "  gives: {args: {n: 5}, body: [{runs: {to: [{conv: =n}]}}]}\n"
        "graph: [{small: {width: =width + 2}, name: enc}, gives]\n"
    )
    shown = [
        re.sub(r":\d+:\d+", "", "\n".join(run("explain", "net.yaml", name, *given)[1].splitlines()[1:]))
        for name, *given in (
            ("enc.unit.conv.out",),
            ("gives.runs.conv.out",),
            ("gives.runs.conv.out", "--set", "gives.n=7"),
        )
    ]
    assert shown[0].splitlines() == [
        "out is 16, the call of `conv`, small.yaml: `=out`",
        "  out is 16, defaults of the spec, small.yaml: `=deep`",
        "    deep is 16, default of `small`, small.yaml: `=2 * width`",
        "      width is 8, the call of `small`, net.yaml: `=width + 2`",
        "        width is 6, default of the spec, net.yaml",
    ]
    assert shown[1].endswith("  n is 5, default of `gives`, net.yaml")
    assert shown[2].endswith("  n is 7, --set, --set gives.n")


def test_a_layer_a_parameter_and_a_scope(run: Run) -> None:
    code, out, err = run("explain", "resnet_50", "layer3.0.conv2")
    assert (code, err) == (0, "")
    assert "  115,605,504 MACs: 50,176 outputs, 2,304 each" in out.splitlines()
    assert "  conv2: the op, and its number among those here without a name" in out.splitlines()
    _, out, _ = run("explain", "resnet_50", "layer3.0.conv2.weight")
    assert "`conv` makes it [out, C/groups, *kernel]" in out.splitlines()
    _, out, _ = run("explain", "resnet_50", "layer3", "--json")
    assert json.loads(out)["ops"] == 62
    _, out, _ = run("explain", "resnet_50", "macs")
    assert out.startswith("the network: 4,089,184,256 MACs")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("layer3.0.conv2.strid", "did you mean `stride`?"),
        ("layr3.0", "did you mean `layer3.0`?"),
        ("layer3.0.conv2.weights", "did you mean `weight`?"),
        ("", "no layer, block or figure"),
        ("..", "no layer, block or figure"),
        ("fc.fc.fc", "has no `fc.fc`"),
    ],
)
def test_what_is_not_there_is_a_mistake_with_a_way_out(run: Run, name: str, says: str) -> None:
    code, out, err = run("explain", "resnet_50", name)
    assert (code, out) == (2, "")
    assert err.startswith("E0001")
    assert says in err


def test_a_mistake_in_the_spec_is_told_as_everywhere(run: Run, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("archforge: 1\ninput: [3, 8, 8]\ngraph: [{conv: =wide}]\n")
    code, _, err = run("explain", "net.yaml", "conv")
    assert code == 2
    assert err.startswith("net.yaml:3:17: E0302")
