"""Plans run what is needed, free what is not, and say what does not fit."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archforge import load as load_spec
from archforge.backends import get
from archforge.backends.numpy import NumpyBackend
from archforge.errors import DiagnosticError, InternalError
from archforge.ir import Graph, Node, TensorType, infer
from archforge.lifetimes import Lifetime
from archforge.ops.base import Array, Op
from archforge.plan import Epilogue, Executable, GraphCompiler, Kernel, Lowering, load, plan, resolve_taps
from archforge.plan.arena import Buffer, lay_out
from archforge.plan.concat_in_place import inside_concats
from tests.graphs import GRAPHS, WEIGHTS, evaluate, graph, inputs_of, node

NUMPY = get("numpy")


def executable(name: str, taps: tuple[str, ...] = (), dtype: str = "float64") -> Executable:
    """A hand-made graph through all passes on NumPy, with weights made by rule."""
    return load(GraphCompiler(NUMPY, dtype, taps).plan(GRAPHS[name]), WEIGHTS[name])


@pytest.mark.parametrize("name", GRAPHS)
def test_a_plan_computes_what_its_graph_means(name: str) -> None:
    typed = GRAPHS[name]
    inputs = inputs_of(typed, batch=3)
    expected = evaluate(typed, WEIGHTS[name], inputs)
    for taps in ((), tuple(typed.types)):
        outputs, tapped = executable(name, taps).run(inputs)
        for found, values in ((outputs, typed.outputs), (tapped, dict(zip(taps, taps, strict=True)))):
            assert found.keys() == values.keys()
            for key, value in values.items():
                np.testing.assert_allclose(found[key], expected[value], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", GRAPHS)
def test_images_of_a_batch_do_not_see_each_other(name: str) -> None:
    run = executable(name)
    inputs = inputs_of(GRAPHS[name], batch=3)
    whole = run.run(inputs).outputs
    for i in range(3):
        alone = run.run({key: x[i : i + 1] for key, x in inputs.items()}).outputs
        for key, y in alone.items():
            np.testing.assert_allclose(y[0], whole[key][i], rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_value_is_freed_once_after_its_last_use(name: str) -> None:
    typed = GRAPHS[name]
    made = plan(typed, NUMPY, "float64")
    wanted = set(typed.outputs.values())
    alive = set(typed.inputs)
    for step in made.steps:
        assert alive.issuperset(step.inputs)
        alive.add(step.output)
        assert alive.issuperset(step.frees)
        alive -= set(step.frees)
    assert alive == wanted


def test_what_no_output_or_tap_needs_is_not_planned() -> None:
    typed = GRAPHS["several"]
    assert "unused" not in [s.node.name for s in plan(typed, NUMPY, "float64").steps]
    assert "unused" in [s.node.name for s in plan(typed, NUMPY, "float64", {"u": "unused"}).steps]


@dataclass(frozen=True)
class Watched(NumpyBackend):
    """NumPy, noting after each step how many of the values that steps made are still there."""

    alive: list[int] = field(default_factory=list)

    def lowerings(self, dtype: str, without: frozenset[str] = frozenset()) -> Mapping[str, Lowering]:
        made: list[weakref.ref[Array]] = []

        def lower(op: Op, *types: TensorType) -> Kernel:
            def run(params: Mapping[str, Array], *inputs: Array) -> Array:
                y = op.reference(params, *inputs)
                made.append(weakref.ref(y))
                self.alive.append(sum(ref() is not None for ref in made))
                return y

            return Kernel(run)

        return dict.fromkeys(super().lowerings(dtype), lower)


def test_memory_of_a_chain_does_not_grow_with_its_length() -> None:
    names = ["input", *(f"scale{i}" for i in range(50))]
    typed = graph(*(node(b, "scale", a, factor=1.01) for a, b in pairwise(names)))
    backend = Watched()
    load(plan(typed, backend, "float64"), {}).run(inputs_of(typed))
    assert max(backend.alive) == 2


def test_a_skipped_connection_is_all_that_a_residual_block_keeps_besides() -> None:
    backend = Watched()
    typed = GRAPHS["residual"]  # conv1 bn1 conv2 bn2 add relu; bn1 is read again by add
    load(plan(typed, backend, "float64"), WEIGHTS["residual"]).run(inputs_of(typed))
    assert backend.alive == [1, 2, 2, 3, 3, 2]


@dataclass(frozen=True)
class Fusing(NumpyBackend):
    """NumPy whose convolutions take in a sum and an activation."""

    name: str = "fusing"

    def lowerings(self, dtype: str, without: frozenset[str] = frozenset()) -> Mapping[str, Lowering]:
        def conv(op: Op, *types: TensorType) -> Kernel:
            def run(
                params: Mapping[str, Array], x: Array, *residual: Array, epilogue: Epilogue | None = None
            ) -> Array:
                y = sum(residual, op.reference(params, x))
                then = epilogue.activation if epilogue else None
                return then.reference({}, y) if then else y

            return Kernel(run, absorbs=frozenset({"add", "relu"}))

        return {**super().lowerings(dtype), "conv": conv}


@pytest.mark.parametrize("name", GRAPHS)
def test_fused_steps_compute_what_their_nodes_do(name: str) -> None:
    inputs = inputs_of(GRAPHS[name], batch=3)
    expected = evaluate(GRAPHS[name], WEIGHTS[name], inputs)
    for taps in ((), tuple(GRAPHS[name].types)):
        made = GraphCompiler(Fusing(), "float64", taps).plan(GRAPHS[name])
        outputs, tapped = load(made, WEIGHTS[name]).run(inputs)
        for found, values in ((outputs, made.outputs), (tapped, made.taps)):
            for key, value in values.items():
                np.testing.assert_allclose(found[key], expected[value], rtol=0, atol=1e-12)


def fusions(*nodes: Node, taps: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> list[str]:
    """Each step of a plan as the names of its nodes."""
    made = plan(graph(*nodes), Fusing(), "float64", {t: t for t in taps}, without=without)
    return ["+".join([s.node.name, *(n.name for n in s.then)]) for s in made.steps]


def test_a_sum_goes_to_the_later_convolution_and_an_activation_behind_it() -> None:
    residual = (
        node("a", "conv", "input", out=4),
        node("b", "conv", "input", out=4),
        node("add", "add", "b", "a"),
        node("relu", "relu", "add"),
        node("again", "relu", "relu"),
    )
    assert fusions(*residual) == ["a", "b+add+relu", "again"]
    assert fusions(*residual, taps=("add",)) == ["a", "b+add", "relu", "again"]
    assert fusions(*residual, taps=("b",)) == ["b", "a+add+relu", "again"]
    assert fusions(*residual, without=("fuse_epilogues",)) == ["a", "b", "add", "relu", "again"]


def test_what_is_read_twice_or_activated_before_the_sum_is_not_fused() -> None:
    twice = (node("a", "conv", "input", out=4), node("add", "add", "a", "a"))
    assert fusions(*twice) == ["a", "add"]
    early = (
        node("a", "conv", "input", out=4),
        node("relu", "relu", "a"),
        node("add", "add", "relu", "input"),
    )
    assert fusions(*early) == ["a+relu", "add"]
    three = (node("a", "conv", "input", out=4), node("add", "add", "a", "input", "input"))
    assert fusions(*three) == ["a", "add"]


buffers_in_use = st.builds(
    lambda size, first, length: Buffer(size, Lifetime(first, first + length)),
    st.integers(0, 50),
    st.integers(0, 8),
    st.integers(0, 5),
)


@given(st.lists(buffers_in_use, max_size=20), st.booleans())
def test_buffers_that_are_alive_together_do_not_overlap(buffers: list[Buffer], share: bool) -> None:
    offsets, size = lay_out(buffers, share=share)
    placed = list(zip(buffers, offsets, strict=True))
    for i, (a, at) in enumerate(placed):
        assert 0 <= at <= at + a.size <= size
        for b, there in placed[:i]:
            assert at + a.size <= there or there + b.size <= at or (share and not a.life.meets(b.life))
    assert size <= sum(b.size for b in buffers)


def test_a_chain_of_buffers_takes_the_room_of_two() -> None:
    assert lay_out([Buffer(8, Lifetime(i, i + 1)) for i in range(50)])[1] == 16


def test_branches_that_end_at_whole_blocks_lie_in_their_concatenation() -> None:
    typed = graph(
        node("a", "conv", "input", out=8),
        node("b", "conv", "input", out=4),
        node("c", "conv", "input", out=3),
        node("inner", "concat", "b", "c"),
        node("outer", "concat", "a", "inner"),
        node("other", "concat", "a", "c"),
        node("sum", "conv", "outer", out=11),
        node("along", "concat", "sum", "other", axis=1),
    )
    made = plan(typed, NUMPY, "float64")
    # `a` and `c` are read by two concatenations each.
    assert inside_concats(made, 4) == {"inner": ("outer", 8), "b": ("outer", 8)}
    assert inside_concats(made, 8) == {"inner": ("outer", 8)}


def test_one_output_is_an_array_several_are_a_dict_and_taps_come_second() -> None:
    x = inputs_of(GRAPHS["chain"])["input"]
    y = executable("chain")(x)
    assert y.shape == (2, 5)
    assert executable("chain")(input=x).shape == (2, 5)
    several = inputs_of(GRAPHS["several"])
    assert {name: a.shape for name, a in executable("several")(**several).items()} == {
        "logits": (2, 2),
        "map": (2, 3, 4, 4),
    }
    tapped, taps = executable("chain", ("relu1",))(x)
    np.testing.assert_allclose(tapped, y, rtol=0, atol=1e-13)
    assert taps["relu1"].shape == (2, 4, 6, 6)


def test_an_executable_prints_in_one_line() -> None:
    assert repr(executable("chain")) == "<executable of <plan of hand: 5 steps on numpy in float64>>"


def test_results_are_not_views_of_the_inputs() -> None:
    x = np.ones((1, 4, 6, 6))
    y = executable("only_identity")(x)
    y[:] = 7
    assert x.max() == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inputs_of_any_floating_dtype_are_computed_in_that_of_the_plan(dtype: str) -> None:
    x = inputs_of(GRAPHS["chain"])["input"]
    run = executable("chain", dtype=dtype)
    for precision in ("float16", "float32", "float64"):
        assert run(x.astype(precision)).dtype == dtype


MISFITS: dict[str, tuple[str, Callable[[Executable], object]]] = {
    "one positional array or all by name": ("several", lambda run: run(np.ones((1, 2, 7, 8)))),
    "the input `extra`, 4, is missing": ("several", lambda run: run(image=np.ones((1, 2, 7, 8)))),
    "no input `imag`": ("chain", lambda run: run(imag=np.ones((1, 4, 6, 6)))),
    "has shape 1x4x6x7, expected Nx4x6x6": ("chain", lambda run: run(np.ones((1, 4, 6, 7)))),
    "add a batch axis": ("chain", lambda run: run(np.ones((4, 6, 6)))),
    "has shape 0x4x6x6, expected Nx4x6x6": ("chain", lambda run: run(np.ones((0, 4, 6, 6)))),
    "has shape a scalar": ("chain", lambda run: run(1.0)),
    "is int64, expected floating-point": ("chain", lambda run: run(np.ones((1, 4, 6, 6), np.int64))),
    "is complex128": ("chain", lambda run: run(np.ones((1, 4, 6, 6), complex))),
    "cannot be read as an array": ("chain", lambda run: run([[1.0], [2.0, 3.0]])),
    "is object": ("chain", lambda run: run(np.array([object()]))),
    "different batch sizes: `image` 1, `extra` 2": (
        "several",
        lambda run: run(image=np.ones((1, 2, 7, 8)), extra=np.ones((2, 4))),
    ),
}


@pytest.mark.parametrize("complaint", MISFITS)
def test_an_input_that_does_not_fit_is_refused(complaint: str) -> None:
    name, call = MISFITS[complaint]
    with pytest.raises(DiagnosticError) as caught:
        call(executable(name))
    assert complaint in str(caught.value)
    assert {d.code for d in caught.value.diagnostics} == {"E0607"}


def test_all_inputs_that_do_not_fit_are_named_together() -> None:
    with pytest.raises(DiagnosticError) as caught:
        executable("several")(imag=np.ones((1, 2, 7, 8)), extra=np.ones((1, 5)))
    assert len(caught.value.diagnostics) == 3


def test_a_tapped_scope_is_not_the_nameless_block_inside_it() -> None:
    spec = {
        "archforge": 1,
        "input": [2, 4, 4],
        "blocks": {
            "inner": {"naming": "none", "body": ["relu"]},
            "outer": {"body": ["inner", "sigmoid"]},
        },
        "graph": [{"outer": None, "name": "out"}],
    }
    assert resolve_taps(load_spec(spec).graph, ["out"]) == {"out": "out.sigmoid"}


def test_taps_name_nodes_inputs_and_scopes() -> None:
    typed = GRAPHS["scopes"]
    assert resolve_taps(typed, ["relu", "input", "stem", "stem.inner"]) == {
        "relu": "relu",
        "input": "input",
        "stem": "stem.drop",
        "stem.inner": "stem.conv",
    }
    with pytest.raises(DiagnosticError) as caught:
        resolve_taps(typed, ["stm", "relu", "nothing"])
    found = [(d.code, d.message, d.help) for d in caught.value.diagnostics]
    assert found[0] == ("E0608", "there is no value `stm` to tap", "did you mean `stem`?")
    assert [message for _, message, _ in found[1:]] == ["there is no value `nothing` to tap"]


def test_values_that_may_be_meant_by_a_tap_are_listed_the_nearest_first() -> None:
    with pytest.raises(DiagnosticError) as caught:
        resolve_taps(GRAPHS["scopes"], ["my_relu_7"])
    assert caught.value.diagnostics[0].help.startswith("values: relu, ")


def test_a_dtype_that_the_backend_lacks_is_refused() -> None:
    with pytest.raises(DiagnosticError, match=r"E0703: .* cannot compute in int8"):
        plan(GRAPHS["chain"], NUMPY, "int8")


@dataclass(frozen=True)
class Poor(NumpyBackend):
    """Has kernels for convolutions only."""

    name: str = "poor"

    def lowerings(self, dtype: str, without: frozenset[str] = frozenset()) -> Mapping[str, Lowering]:
        return {"conv": super().lowerings(dtype)["conv"]}


def test_what_a_backend_lacks_runs_on_the_reference_and_is_reported() -> None:
    typed, inputs = GRAPHS["residual"], inputs_of(GRAPHS["residual"])
    made = plan(typed, Poor(), "float64")
    assert [n.name for n in made.fallbacks] == ["bn1", "bn2", "add", "relu"]
    y = load(made, WEIGHTS["residual"]).run(inputs).outputs["output"]
    np.testing.assert_array_equal(y, evaluate(typed, WEIGHTS["residual"], inputs)["relu"])


def test_strict_plans_refuse_all_fallbacks_at_once() -> None:
    with pytest.raises(DiagnosticError) as caught:
        plan(GRAPHS["residual"], Poor(), "float64", strict=True)
    messages = [d.message for d in caught.value.diagnostics]
    assert {d.code for d in caught.value.diagnostics} == {"E0702"}
    assert messages == [
        "the backend poor has no kernel for `bn` as it is used by `bn1` and 1 more",
        "the backend poor has no kernel for `add` as it is used by `add`",
        "the backend poor has no kernel for `relu` as it is used by `relu`",
    ]


def test_an_op_without_any_kernel_is_refused() -> None:
    class Bare(Op):
        """An op that nothing can run; without an `op` of its own the registry does not see it."""

        @property
        def kind(self) -> str:
            return "bare"

    typed = infer(Graph("g", {"x": TensorType((3,))}, (Node("n", Bare(), ("x",), 0, None, "n"),), {"y": "n"}))
    with pytest.raises(DiagnosticError, match="has no kernel for `bare`"):
        plan(typed, NUMPY, "float64")


def test_shared_parameters_are_kept_once() -> None:
    typed = GRAPHS["shared"]
    run = load(plan(typed, NUMPY, "float64"), WEIGHTS["shared"])
    left, _, right, _, _ = run.params
    assert left["weight"] is right["weight"]


def test_loading_unbound_arrays_is_our_bug() -> None:
    made = plan(GRAPHS["chain"], NUMPY, "float64")
    weights = dict(WEIGHTS["chain"])
    weights["fc.weight"] = weights["fc.weight"].T
    with pytest.raises(InternalError, match=r"fc\.weight"):
        load(made, weights)
    with pytest.raises(InternalError, match=r"conv1\.weight"):
        load(made, {})
