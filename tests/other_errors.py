"""One example of each code that no spec can cause by itself: of commands, weights, data and backends."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import yaml

import archforge
from archforge import driver
from archforge.analysis.lint import all_rules, lint
from archforge.backends.numpy import NumpyBackend
from archforge.cli.options import input_shape
from archforge.code_pages import code_pages, example
from archforge.data.arrays import write_arrays
from archforge.datasets.opening import open_data
from archforge.datasets.splits import split
from archforge.errors import Diagnostic, DiagnosticError
from archforge.export import Subject
from archforge.export.module import model_source, numpy_dialect
from archforge.export.module.kernels import KernelFile
from archforge.hardware import MemoryLimit
from archforge.interchange.foreign import Power
from archforge.interchange.graph_json import graph_json_text, read_graph_json, stored
from archforge.interchange.imported import Imported
from archforge.interchange.layer_check import LayerCheck
from archforge.interchange.normalize import normalized
from archforge.interchange.normalize.rule import draft, step
from archforge.interchange.onnx.graph import onnx_graph
from archforge.interchange.onnx.model import onnx_file
from archforge.ir import ParamDecl, TensorType
from archforge.ops.window_attention import WindowAttention
from archforge.plan import plan
from archforge.plan.contract import Lowering
from archforge.recipe.base import Initialiser, Loss, Stop
from archforge.recipe.drawn_by import drawn_by
from archforge.recipe.loss_input import value_for_loss
from archforge.recipe.watched import require_measured
from archforge.spec.resolve.library import find_spec
from archforge.sweeps.engines import engine_of as sweep_engine_of
from archforge.sweeps.store import opened_store
from archforge.sweeps.sweep import require_same
from archforge.training.ranks.agreement import require_alike
from archforge.training.ranks.engines import engine_of
from archforge.training.ranks.group import RankGroup
from archforge.weights import fresh_weights
from archforge.weights.bind import bind
from archforge.weights.matching import matching
from tests.recipe_cases import part
from tests.thread_ranks import Threads, in_ranks

__all__ = ["OTHERS", "raised"]

SPEC: dict[str, Any] = {
    "archforge": 1,
    "title": "tiny",
    "input": [3, 4, 4],
    "profiles": {"narrow": {}, "wide": {"width": 4}},
    "args": {"width": 2},
    "graph": [{"conv": "=width"}],
}
FITTING = {"conv.weight": np.zeros((2, 3, 1, 1)), "conv.bias": np.zeros(2)}


@dataclass(frozen=True)
class _Bare(NumpyBackend):
    """A backend without any kernel of its own."""

    name: str = "bare"

    def lowerings(self, dtype: str, without: frozenset[str] = frozenset()) -> Mapping[str, Lowering]:
        return {}


def _compile(weights: Any = None, **options: Any) -> Any:
    return archforge.compile(SPEC, profile="narrow", weights=weights, **options)


def _bind_other_places() -> None:
    op = WindowAttention(heads=1, window_size=(2, 2))
    decls = op.params(TensorType((4, 4, 2)))
    bind(decls, {name: np.zeros(decl.shape) for name, decl in decls.items()})


def _match_branches() -> None:
    branches = {**SPEC, "profiles": {"narrow": {}}, "graph": [{"add": [[{"conv": 2}], [{"conv": 2}]]}]}
    arrays = {
        f"{name}.{part}": a
        for name in "ab"
        for part, a in zip(("weight", "bias"), FITTING.values(), strict=True)
    }
    matching(archforge.load(branches).graph, arrays, in_order=True)


def _run_on_missing_data() -> None:
    image = np.linspace(0, 1, 3 * 40 * 40, dtype=np.float32).reshape(1, 3, 40, 40)
    image[0, :, 20, 20] = -9999
    mixing = {**SPEC, "input": [3, 40, 40], "graph": [{"conv": {"out": 16, "kernel": 3}} for _ in "ab"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            archforge.compile(mixing, profile="narrow", backend="numpy")(image)
        except archforge.AccuracyWarning as warning:
            raise DiagnosticError((warning.diagnostic,)) from warning


def _strict_plan() -> None:
    plan(archforge.load(SPEC).graph, _Bare(), "float64", strict=True)


def _export() -> None:
    network = archforge.load(SPEC)
    with patch.object(numpy_dialect, "kernel_file", lambda: KernelFile({}, {})):
        model_source(Subject(network, (network,)))


def _import_what_specs_lack() -> None:
    made = draft(step("root", Power(exponent=0.5), "x"))
    normalized(Imported("net.onnx", made.graph, made.arrays, {}, 1))


def _import_another_layer() -> None:
    network = archforge.load(SPEC)
    wrong = LayerCheck(1, 0.5, ("conv", 0.5))
    place = "archforge.interchange.layer_check.checked_layers"
    with TemporaryDirectory() as folder, contextlib.chdir(folder), patch(place, lambda *_: wrong):
        graph = onnx_graph(network.graph, fresh_weights(network.params, 0))
        Path("net.onnx").write_bytes(onnx_file(graph, {}, "").content)
        driver.import_file("net.onnx")


def _read_graph(edit: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(graph_json_text(stored(archforge.load(SPEC))))
    edit(document)
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("graph.json").write_text(json.dumps(document), "utf-8")
        read_graph_json("graph.json")


def _check_without_expect() -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "tiny.yaml")
        path.write_text(yaml.safe_dump(SPEC), "utf-8")
        (report,) = driver.check([path], require_expect=True)
    raise DiagnosticError(tuple(report.failures))


def _set_in_vain() -> None:
    raise DiagnosticError(tuple(archforge.load(SPEC, "narrow", defaults={"bn": {"eps": 0.5}}).warnings))


LEARNING = {
    **SPEC,
    "graph": ["flatten", {"linear": 3}],
    "train": {"loss": "cross_entropy", "optimizer": {"sgd": 0.1}, "epochs": 1},
}
SAMPLES = (np.zeros((3, 3, 4, 4), np.float32), np.arange(3))


def _learn_from_huge_numbers() -> None:
    inputs, classes = SAMPLES
    archforge.train(LEARNING, (inputs + np.float32(3e38), classes), backend="numpy", batch=3)


def _go_on_with_another_seed() -> None:
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            for seed in (0, 1):
                archforge.train(LEARNING, SAMPLES, out=folder, resume=seed > 0, seed=seed, backend="numpy")
        except archforge.TrainingWarning as warning:
            raise DiagnosticError((warning.diagnostic,)) from warning


def _sweep_with_another_seed() -> None:
    with TemporaryDirectory() as folder, contextlib.chdir(folder), opened_store(Path("x.sqlite")) as store:
        store.keep_settings({"seed": "0"})
        require_same(store, {"seed": "1"})


def _need_much_memory() -> None:
    limit = MemoryLimit(16 << 30, "the memory of this machine")
    with patch.multiple("archforge.hardware", memory_limit=lambda: limit, _held_bytes=lambda: 0):
        archforge.compile(SPEC | {"graph": [{"upsample": 10**5}]})


def of_lint(code: str) -> None:
    """Raise what a rule of `archforge lint` finds in the wrong example of its page."""
    with TemporaryDirectory() as folder:
        (report,) = driver.check([example_file(code, code_pages()[code].wrong, Path(folder))])
        assert report.spec
        raise DiagnosticError(lint(report.spec, report.networks, [code]))


def example_file(code: str, text: str, folder: Path) -> Path:
    """The file of an example of a page, with those that belong beside it."""
    for name, other in code_pages()[code].beside.items():
        (folder / name).write_text(example(other))
    path = folder / "spec.yaml"
    path.write_text(example(text))
    return path


OTHERS: dict[str, Callable[[], object]] = {
    **{code: partial(of_lint, code) for code in all_rules()},
    "E0001": lambda: input_shape("3x224x"),
    "E0002": lambda: find_spec("resnet_51"),
    "E0506": _check_without_expect,
    "E0601": lambda: _compile("missing.npz"),
    "E0602": lambda: _compile({"conv.weight": FITTING["conv.weight"]}),
    "E0603": lambda: _compile({**FITTING, "conv2.weight": np.zeros(3)}),
    "E0604": lambda: _compile({**FITTING, "conv.bias": np.zeros(3)}),
    "E0605": lambda: _compile({**FITTING, "conv.bias": np.array(["a", "b"])}),
    "E0606": lambda: archforge.compile(SPEC, weights={"conv.bias": np.zeros(3)}),
    "E0607": lambda: _compile(FITTING)(np.zeros((1, 1, 4, 4))),
    "E0608": lambda: _compile(FITTING, taps=["cnv"]),
    "E0609": lambda: split(open_data(None, (1, 28, 28)), limit=1_800),
    "E0610": _match_branches,
    "E0611": _bind_other_places,
    "E0701": lambda: _compile(backend="nunpy"),
    "E0702": _strict_plan,
    "E0703": lambda: _compile(backend="numpy", dtype="int8"),
    "E0704": _export,
    "E0705": lambda: write_arrays("weights.txt", FITTING),
    "E0706": _need_much_memory,
    "E0801": lambda: read_graph_json("missing.json"),
    "E0802": lambda: _read_graph(lambda document: document.pop("counts")),
    "E0803": lambda: _read_graph(lambda document: document["counts"].update(macs=1)),
    "E0804": _import_what_specs_lack,
    "E0805": _import_another_layer,
    "E0902": lambda: require_measured([part(Stop, "no_progress")], {"loss"}),
    "E0903": _learn_from_huge_numbers,
    "E0904": lambda: value_for_loss(archforge.load(SPEC).graph, "output", part(Loss, "bce")),
    "E0906": lambda: drawn_by({"fc.bias": ParamDecl((3,))}, {"*": part(Initialiser, "xavier")}),
    "E0907": lambda: in_ranks(lambda group: require_alike(group, {"data": group.rank, "dtype": "float32"})),
    "E0908": lambda: RankGroup(lambda: Threads(2).rank(0), timeout_s=0.01).wait(),
    "E0909": lambda: engine_of("gloo"),
    "E0910": _sweep_with_another_seed,
    "E0911": lambda: sweep_engine_of("ray"),
    "W0001": _set_in_vain,
    "W0607": _run_on_missing_data,
    "W0901": _go_on_with_another_seed,
}


def raised(code: str) -> Diagnostic:
    """The diagnostic that the example of `code` gives."""
    try:
        OTHERS[code]()
    except DiagnosticError as error:
        return error.diagnostics[0]
    raise AssertionError(f"the example of {code} raises nothing")
