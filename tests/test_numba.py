"""Particulars of the numba backend: planning, threads, widths of vectors, the cache."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock
from weakref import ref

import numpy as np
import pytest

from archforge.backends import available, get
from archforge.driver import compile
from archforge.driver import load as load_network
from archforge.ir import TypedGraph
from archforge.ops.base import Array
from archforge.plan import Executable, load, plan
from archforge.weights import rule_weights
from tests.graphs import GRAPHS, WEIGHTS, Events, graph, inputs_of, node
from tests.kernels import TOLERANCE

pytestmark = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")

ROOT = Path(__file__).parents[1]


# Planning -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", ["", "concat_in_place", "fuse_epilogues"])
@pytest.mark.parametrize("name", GRAPHS)
def test_outputs_stay_when_steps_are_done_image_by_image(name: str, switch: str) -> None:
    typed, weights = GRAPHS[name], WEIGHTS[name]
    inputs = inputs_of(typed, batch=3)
    expected = load(plan(typed, get("numpy"), "float64"), weights).run(inputs).outputs
    with mock.patch("archforge.backends.numba.program.CACHES", 0):
        found = load(plan(typed, get("numba"), "float32", without=[switch]), weights).run(inputs).outputs
    for key, y in expected.items():
        np.testing.assert_allclose(found[key], y, rtol=0, atol=2 * TOLERANCE * y.std())


def test_a_watched_call_names_a_step_for_each_image() -> None:
    from archforge.plan.image_by_image import sections

    planned = plan(GRAPHS["branches"], get("numba"), "float32")
    run = load(planned, WEIGHTS["branches"])
    events = Events()
    with mock.patch("archforge.backends.numba.program.CACHES", 0):
        run.program.watched(inputs_of(GRAPHS["branches"], batch=3), events)
    (inside, *_) = (s for s in sections(planned, 3, 0) if s.image_by_image)
    times = [events.seen.count(f"made {step.output}") for step in planned.steps[inside.first : inside.end]]
    assert any(times)
    assert all(n % 3 == 0 for n in times)


def test_a_watcher_that_fails_leaves_no_thread_waiting() -> None:
    run = load(plan(GRAPHS["branches"], get("numba"), "float32"), WEIGHTS["branches"])
    inputs = inputs_of(GRAPHS["branches"], batch=3)
    expected, watcher = run.run(inputs).outputs, mock.Mock()
    watcher.made.side_effect = [None, KeyError]
    with pytest.raises(KeyError):
        run.program.watched(inputs, watcher)
    for key, y in run.run(inputs).outputs.items():
        np.testing.assert_array_equal(y, expected[key])


def test_only_what_overflows_the_caches_is_done_image_by_image() -> None:
    from archforge.plan.image_by_image import sections

    planned = plan(GRAPHS["branches"], get("numba"), "float32")

    def by_image(batch: int, cache_bytes: int) -> list[tuple[int, int]]:
        found = sections(planned, batch, cache_bytes)
        return [(s.first, s.end) for s in found if s.image_by_image]

    assert by_image(1, 0) == []
    assert by_image(8, 1 << 30) == []
    assert by_image(8, 0)
    weighty = graph(
        *(node(name, "conv", x, out=64, kernel=3, padding=1) for name, x in (("a", "input"), ("b", "a"))),
        inputs={"input": (64, 2, 2)},
    )
    planned = plan(weighty, get("numba"), "float32")
    assert by_image(8, 0) == []


def test_a_value_that_waits_for_its_gate_does_so_for_one_image_only() -> None:
    from archforge.plan.image_by_image import sections

    gated = graph(
        node("map", "conv", "input", out=16),
        node("pool", "global_avg_pool", "map"),
        node("gate", "conv", "pool", out=16),  # whose weights outweigh what it reads and writes
        node("out", "multiply", "map", "gate"),
        inputs={"input": (16, 16, 16)},
    )
    planned = plan(gated, get("numba"), "float32")
    (whole,) = (s for s in sections(planned, 2, 0) if s.image_by_image)
    assert (whole.first, whole.end) == (0, len(planned.steps))


def test_the_memory_of_what_is_done_image_by_image_does_not_grow_with_its_depth() -> None:
    from archforge.plan.arena import lay_out

    def arena_bytes(depth: int) -> int:
        names = ["input", *(f"conv{i}" for i in range(depth))]
        chain = (node(name, "conv", x, out=16) for x, name in pairwise(names))
        typed = graph(*chain, inputs={"input": (16, 16, 16)})
        with mock.patch("archforge.backends.numba.program.CACHES", 0):
            return lay_out(recorded(typed, batch=3).buffers())[1]

    assert arena_bytes(9) == arena_bytes(4)


def recorded(typed: TypedGraph, without: tuple[str, ...] = (), batch: int = 1) -> Any:
    """The tape of a batch."""
    from archforge.backends.numba.program import NumbaProgram

    run = load(plan(typed, get("numba"), "float32", without=without), rule_weights(typed.params()))
    assert isinstance(run.program, NumbaProgram)
    return run.program.recorded(batch).tape


def test_what_planning_does_shows_in_the_number_of_calls_and_the_memory() -> None:
    from archforge.plan.arena import lay_out

    whole = recorded(GRAPHS["branches"])
    assert len(recorded(GRAPHS["branches"], ("fuse_epilogues",)).calls) == len(whole.calls) + 3
    # `joint` lies in place but for `stem`, which two others read too and which it can hold all the same.
    assert len(recorded(GRAPHS["branches"], ("concat_in_place",)).calls) == len(whole.calls) + 2
    assert lay_out(whole.buffers())[1] < lay_out(whole.buffers(), share=False)[1]


def test_low_memory_packs_weights_once_over_and_outputs_stay() -> None:
    network = load_network("resnet_18", "torchvision", input=(3, 65, 65))
    weights, x = rule_weights(network.params), np.ones((1, 3, 65, 65), np.float32)
    fast = compile(network, backend="numba", weights=weights)
    small = compile(network, backend="numba", weights=weights, low_memory=True)
    own = sum(array.size * 4 for array in weights.values())
    assert packed_bytes(small) < 1.01 * own < packed_bytes(fast)
    direct = compile(network, backend="numba", weights=weights, without=["winograd"])
    np.testing.assert_array_equal(small(x), direct(x))
    np.testing.assert_allclose(small(x), fast(x), rtol=0, atol=1e-4 * fast(x).std())


def test_packed_weights_lie_side_by_side_for_as_long_as_one_is_used() -> None:
    from archforge.backends.numba.runtime import weight_memory as pages

    with mock.patch.multiple(pages, PIECE=1000, _pieces=pages._Pieces()):
        arrays = [pages.in_large_pages(shape) for shape in ((3, 5), (10,), (400,), (7, 2, 2))]
    for i, array in enumerate(arrays):
        assert array.ctypes.data % 64 == 0
        assert not array.any()
        array[...] = i + 1
    assert [float(array.mean()) for array in arrays] == [1, 2, 3, 4]
    assert [array.base is arrays[0].base for array in arrays] == [True, True, False, False]
    piece = ref(arrays[0].base)
    del array, arrays[:2]
    assert piece() is None


def test_a_pointwise_layer_multiplies_no_channels_that_are_not_there() -> None:
    typed = graph(node("conv", "conv", "input", out=32, bias=False), inputs={"input": (20, 6, 6)})
    run = load(plan(typed, get("numba"), "float32"), rule_weights(typed.params()))
    assert run.params[0]["weight"].nbytes == 20 * 32 * 4


@pytest.mark.parametrize(("out", "size"), [(64, 37), (96, 14), (728, 37)])
def test_two_threads_share_a_pointwise_layer_equally(out: int, size: int) -> None:
    from archforge.backends.numba.toolchain.machine import machine

    typed = graph(node("conv", "conv", "input", out=out), inputs={"input": (384, size, size)})
    two = replace(machine(), threads=2)
    with mock.patch("archforge.backends.numba.families.work_units.machine", return_value=two):
        (call,) = recorded(typed).calls
    assert call.units % 2 == 0


def packed_bytes(run: Executable) -> int:
    return sum(array.nbytes for params in run.params for array in params.values())


# Processes and threads ----------------------------------------------------------------------------------


def python(code: str, **environment: str) -> str:
    """The output of a new process."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


DIGEST = """
import hashlib, numpy, sys, archforge
from archforge.driver import compile, load
from archforge.weights import rule_input, rule_weights
network = load("resnet_18", "torchvision", input=(3, 65, 65))
run = compile(network, backend="numba", weights=rule_weights(network.params))
print(hashlib.sha256(run(rule_input((2, 3, 65, 65)).astype("float32")).tobytes()).hexdigest())
"""


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    assert len({python(DIGEST, ARCHFORGE_THREADS=n) for n in ("1", "2", "5")}) == 1


def test_a_plan_loads_no_family_of_kernels_that_it_does_not_take() -> None:
    code = """
import sys
from archforge import load
from archforge.backends import get
from archforge.plan import plan
plan(load("lenet_5").graph, get("numba"), "float32")
idle = {"across_channels", "attention", "transposed_conv", "winograd"}
print(sorted(idle & {name.rpartition(".")[2] for name in sys.modules if ".numba.families." in name}))
"""
    assert python(code).strip() == "[]"


@pytest.mark.parametrize("simd", [pytest.param("avx2", marks=pytest.mark.slow), "generic"])
def test_narrower_vectors_compute_the_same(simd: str) -> None:
    code = """
import sys, pytest
files = [f"tests/test_{name}.py" for name in ("kernels", "numba_kernels", "numba_graphs")]
chosen = "not (cost_model or planning or numpy)"
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", chosen, *files]))
"""
    from archforge.backends.numba.toolchain.machine import LEVELS, machine

    if [*LEVELS].index(simd) < [*LEVELS].index(machine().simd):
        pytest.skip(f"this CPU lacks {simd}")
    if machine().simd == simd:
        pytest.skip(f"{simd} is what runs here")
    python(code, ARCHFORGE_SIMD=simd)


def test_an_environment_that_does_not_fit_is_refused() -> None:
    code = """
from archforge.backends.numba.toolchain.machine import machine
from archforge.errors import DiagnosticError
try: machine()
except DiagnosticError as error: print(error)
"""
    assert "ARCHFORGE_SIMD=sse9 is not among what this CPU has" in python(code, ARCHFORGE_SIMD="sse9")
    assert "ARCHFORGE_THREADS=none is no number" in python(code, ARCHFORGE_THREADS="none")


def test_a_machine_without_bfloat16_says_what_is_lacking() -> None:
    code = """
import archforge
from archforge.errors import DiagnosticError
try: archforge.compile("lenet_5", backend="numba", dtype="bfloat16")
except DiagnosticError as error: print(error)
"""
    said = python(code, ARCHFORGE_SIMD="generic")
    assert "E0703: the backend numba cannot compute in bfloat16" in said
    assert "bfloat16 takes AVX-512 with avx512_bf16, which ARCHFORGE_SIMD=generic leaves out" in said
    assert "dtypes of numba: float32" in said


def test_a_forked_process_computes_the_same() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    code = (
        DIGEST
        + """
import os, warnings
warnings.simplefilter("ignore")
x = rule_input((1, 3, 65, 65)).astype("float32")
y = run(x)
child = os.fork()
if not child: os._exit(0 if (run(x) == y).all() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    )
    assert python(code).splitlines()[-1] == "0"


CALLED_TOGETHER = """
import threading, numpy as np
from archforge.driver import compile, load
from archforge.weights import rule_input, rule_weights
network = load("resnet_18", "torchvision", input=(3, 33, 33))
run = compile(network, backend="numba", weights=rule_weights(network.params))
x = rule_input((4, 3, 33, 33)).astype("float32")
found = {}
def call(i): found[i] = run(x[i : i + 1])
threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print(all((found[i] == run(x[i : i + 1])).all() for i in range(4)))
"""


def test_threads_may_call_together_from_the_first_call_on() -> None:
    assert python(CALLED_TOGETHER) == "True\n"


def test_a_process_forked_before_the_first_call_computes_the_same() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    code = (
        CALLED_TOGETHER.partition("found =")[0]
        + """
import os, tempfile
path = tempfile.mktemp(".npy")
child = os.fork()
y = run(x)
if not child: np.save(path, y); os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print((np.load(path) == y).all()); os.unlink(path)
"""
    )
    assert python(code) == "True\n"


# What a process says before it can be interrupted: that it starts, or that it computes.
STARTING = "print('on', flush=True)"
COMPUTING = """
from archforge.backends.numba.runtime.workspace import Workspace
compute = Workspace._compute
Workspace._compute = lambda *given: print('on', flush=True) or compute(*given)
"""


@pytest.mark.parametrize(("before", "seconds"), [(STARTING, 0.2), (COMPUTING, 0)])
def test_an_interrupt_ends_a_long_call_with_the_shells_code_and_no_traceback(
    before: str, seconds: float, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((512, 3, 224, 224), np.float32))
    arguments = ["archforge", "run", "resnet_18", "--input", str(tmp_path / "x.npy")]
    code = f"import sys, archforge.cli; sys.argv = {arguments}\n{before}\narchforge.cli.main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout
    assert process.stdout.readline() == b"on\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    told, mistakes = process.communicate(timeout=60)
    assert (told.replace(b"on\n", b""), mistakes) == (b"", b"")
    assert process.returncode == 130


def test_a_batch_of_any_size_runs_on_one_executable() -> None:
    network = load_network("resnet_18", "torchvision", input=(3, 33, 33))
    run = compile(network, backend="numba", weights=rule_weights(network.params))
    x: Array = np.random.default_rng(0).standard_normal((6, 3, 33, 33)).astype(np.float32)
    whole = run(x)
    for size in (1, 2, 3, 5, 6):
        np.testing.assert_allclose(run(x[:size]), whole[:size], rtol=0, atol=1e-5 * whole.std())


def test_inputs_are_read_wherever_they_lie_and_never_written() -> None:
    network = load_network("resnet_18", "torchvision", input=(3, 33, 33))
    run = compile(network, backend="numba", weights=rule_weights(network.params), taps=["input"])
    x: Array = np.random.default_rng(0).standard_normal((2, 3, 33, 33)).astype(np.float32)
    given = x.copy()
    given.flags.writeable = False
    whole, taps = run(given)
    np.testing.assert_array_equal(taps["input"], x)
    assert not np.may_share_memory(taps["input"], given)
    for other in (x.astype(np.float64), np.asfortranarray(x), x[:, ::-1].copy()[:, ::-1]):
        np.testing.assert_array_equal(run(other)[0], whole)
    np.testing.assert_array_equal(run(-x)[1]["input"], -x)
    np.testing.assert_array_equal(run(given)[0], whole)
