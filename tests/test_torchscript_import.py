"""Files of TorchScript as graphs and specs of ours: what is read where torch is there, what is refused."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import archforge
from archforge import driver
from archforge.errors import DiagnosticError
from archforge.interchange.imported import Imported
from archforge.interchange.layer_check import checked_layers
from archforge.interchange.normalize import normalized
from archforge.interchange.torchscript.opened import open_torchscript
from archforge.interchange.torchscript.reading import read_torchscript
from archforge.interchange.torchscript.running import TorchScriptRun
from archforge.interchange.written_spec import written_spec
from tests.conftest import Run
from tests.imported_ops import ops

HAS_TORCH = find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
SHAPE = (4, 9, 8)


def archive(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(f"net/{name}", b"")


def test_a_file_is_refused_by_name_where_torch_is_not_installed(run: Run, tmp_path: Path) -> None:
    archive(tmp_path / "net.pt", "data/0", "code/__torch__/net.py")
    code, out, err = run("import", "net.pt", "-o", "net.yaml")
    assert (code, out) == (2, "")
    said = "net.pt is no file of TorchScript" if HAS_TORCH else "opened by torch, which is not installed"
    assert err.startswith("E0801: ")
    assert said in err
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt"]


def test_weights_alone_are_no_network(run: Run, tmp_path: Path) -> None:
    archive(tmp_path / "net.pth", "data.pkl", "data/0")
    code, _, err = run("import", "net.pth")
    assert (code, err.splitlines()[0]) == (
        2, "E0801: net.pth is a file of torch.save, which holds weights and no network",
    )  # fmt: skip
    (tmp_path / "net.pt").write_bytes(b"PK\3\4 nothing")
    code, _, err = run("import", "net.pt")
    assert (code, err.startswith("E0601: net.pt is no file of TorchScript: ")) == (2, True)


def test_a_pickle_that_lies_is_refused_before_torch_sees_it(run: Run, tmp_path: Path) -> None:
    """A text of two gigabytes in a file of a few bytes: torch takes what it is told."""
    with zipfile.ZipFile("net.pt", "w") as file:
        file.writestr("net/code/net.py", b"")
        file.writestr("net/data.pkl", b"\x80\x02X\xff\xff\xff\x7f")
    code, _, err = run("import", "net.pt", "--shape", "3x8x8")
    assert code == 2
    assert err.startswith("E0601: net.pt is no file of TorchScript: expected 2147483647 bytes")


def functional(function: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """A module that computes a function of torch and a value."""

    def make(torch: Any) -> Any:
        class Module(torch.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.weight = torch.nn.Parameter(torch.rand(4, 1, 1))

            def forward(self, x: Any) -> Any:
                self.torch = torch
                return function(self, x)

        return Module()

    return make


def chain(*modules: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda torch: torch.nn.Sequential(*(module(torch.nn) for module in modules))


def shuffled(module: Any, x: Any) -> Any:
    groups = x.view(x.shape[0], 2, x.shape[1] // 2, x.shape[2], x.shape[3])
    return groups.transpose(1, 2).contiguous().view(x.shape[0], -1, x.shape[2], x.shape[3])


def normed_last(module: Any, x: Any) -> Any:
    layer_norm = module.torch.nn.functional.layer_norm
    return layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2)


# Each: what makes a module, and what it is in our ops.
CASES: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "a convolution and a norm": (
        chain(
            lambda nn: nn.Conv2d(4, 6, 3, 2, 1, bias=False),
            lambda nn: nn.BatchNorm2d(6),
            lambda nn: nn.ReLU(True),
        ),
        ["conv out=6 kernel=3 stride=2 padding=1 bias=False", "bn", "relu"],
    ),
    "others": (
        chain(
            lambda nn: nn.Conv2d(4, 4, 3, groups=4, dilation=2, padding="same"),
            lambda nn: nn.ConvTranspose2d(4, 2, 3, 2, 1, 1),
        ),
        ["conv out=4 kernel=3 padding=2 dilation=2 groups=4",
         "conv_transpose out=2 kernel=3 stride=2 padding=1 output_padding=1"],
    ),
    "pools": (
        chain(
            lambda nn: nn.MaxPool2d(3, 2, ceil_mode=True),
            lambda nn: nn.AvgPool2d(2, 1, 1, count_include_pad=False),
            lambda nn: nn.AdaptiveAvgPool2d((2, 3)),
        ),
        ["max_pool kernel=3 stride=2 ceil=True",
         "avg_pool kernel=2 stride=1 padding=1 count_include_pad=False",
         "adaptive_avg_pool size=(2, 3)"],
    ),
    "scores": (
        chain(
            lambda nn: nn.AdaptiveAvgPool2d(1), lambda nn: nn.Flatten(), lambda nn: nn.Dropout(0.2),
            lambda nn: nn.Linear(4, 3), lambda nn: nn.Softmax(1),
        ),
        ["global_avg_pool", "flatten", "dropout rate=0.2", "linear out=3", "softmax"],
    ),
    "functions": (
        chain(
            lambda nn: nn.ReLU6(True), lambda nn: nn.SiLU(), lambda nn: nn.Hardswish(), lambda nn: nn.GELU(),
            lambda nn: nn.LeakyReLU(0.2), lambda nn: nn.PReLU(4), lambda nn: nn.ELU(),
            lambda nn: nn.Sigmoid(),
        ),
        ["relu6", "silu", "hard_swish", "gelu", "leaky_relu slope=0.2", "prelu per_channel=True", "elu",
         "sigmoid"],
    ),
    "a mean and a view": (
        functional(lambda m, x: x.mean([2, 3]).view(x.size(0), -1)), ["global_avg_pool keep=False"],
    ),
    "a shuffle": (functional(shuffled), ["shuffle groups=2"]),
    "parts that are put together": (
        functional(lambda m, x: m.torch.cat([*x.chunk(2, 1)[::-1], x[:, 1:3]], 1)),
        ["slice end=2", "slice start=2", "slice start=1 end=3", "concat"],
    ),
    "in place": (
        functional(lambda m, x: (x + x).relu_().mul_(2) - x), ["add", "relu", "scale factor=2.0", "subtract"],
    ),
    "factors of channels": (functional(lambda m, x: x * m.weight), ["layer_scale"]),
    "a norm of channels last": (functional(normed_last), ["layer_norm axis=0"]),
    "a larger map": (
        chain(lambda nn: nn.Upsample(scale_factor=2, mode="bilinear"), lambda nn: nn.ZeroPad2d((1, 0, 0, 2))),
        ["upsample mode=bilinear", "pad sides=(0, 2, 1, 0)"],
    ),
}  # fmt: skip


def traced(folder: Path, make: Callable[[Any], Any]) -> Path:
    torch = import_module("torch")
    path = folder / "net.pt"
    with warnings.catch_warnings(action="ignore"):
        module = torch.jit.trace(make(torch).eval(), torch.rand(1, *SHAPE), check_trace=False)
        module.save(str(path))
    return path


def imported(path: Path) -> Imported:
    return normalized(read_torchscript(open_torchscript(path), "net", {"": SHAPE}))


@needs_torch
@pytest.mark.parametrize("case", CASES)
def test_a_traced_module_is_said_in_our_ops(case: str, tmp_path: Path) -> None:
    make, expected = CASES[case]
    path = traced(tmp_path, make)
    made = imported(path)
    assert ops(made) == expected
    assert len(archforge.load(written_spec(made, "net", "").text).graph.nodes) == len(expected)
    check = checked_layers(made, TorchScriptRun(open_torchscript(path)))
    assert check.layers
    assert check.first is None


@needs_torch
def test_parameters_are_called_as_in_the_module(tmp_path: Path) -> None:
    made = imported(traced(tmp_path, CASES["a convolution and a norm"][0]))
    assert list(made.arrays) == ["n0.weight", "n1.weight", "n1.bias", "n1.running_mean", "n1.running_var"]


@needs_torch
def test_control_flow_is_refused_by_name(run: Run, tmp_path: Path) -> None:
    torch = import_module("torch")
    (tmp_path / "module.py").write_text("")
    with warnings.catch_warnings(action="ignore"):
        module = torch.jit.script(torch.nn.Sequential(torch.nn.BatchNorm2d(4)).train())
        module.save(str(tmp_path / "net.pt"))
    code, _, err = run("import", "net.pt", "--shape", "4x9x8")
    assert code == 2
    assert "`prim::If`, the control flow of a scripted module; torch.jit.trace records none" in err


@needs_torch
def test_a_shape_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError, match="has no shape"):
        driver.import_file(traced(tmp_path, CASES["scores"][0]))


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("resnet18", "resnet_18"),
        ("mobilenet_v2", "mobilenet_v2"),
        ("densenet121", "densenet_121"),
        ("squeezenet1_1", "squeezenet_1_1"),
    ],
)
def test_networks_of_torchvision_are_those_of_the_zoo(name: str, network: str, tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")
    torch = import_module("torch")
    with warnings.catch_warnings(action="ignore"):
        module = torch.jit.trace(getattr(torchvision.models, name)().eval(), torch.rand(1, 3, 224, 224))
        module.save(str(tmp_path / "net.pt"))
    made = driver.import_file(tmp_path / "net.pt", shapes={"": (3, 224, 224)})
    assert network in {like.network for like in made.is_like}
    assert made.check is not None
    assert made.check.worst < 5e-6
