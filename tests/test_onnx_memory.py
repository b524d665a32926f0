"""Memory that it takes to read a file of ONNX and to hold its layers against it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is an extra")

LAYERS, WIDTH = 8, 1000
# Every byte of the file is there once; a layer's weight is there in float64, and in the dtype of the file
# where the runtime needs it in another place.
BOUND = 2.0

CHILD = """
import sys
from pathlib import Path
from archforge.interchange.layer_check import checked_layers
from archforge.interchange.normalize import normalized
from archforge.interchange.onnx.opened import open_onnx
from archforge.interchange.onnx.reading import read_graph
from archforge.interchange.onnx.running import OnnxRun

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10

def layers(file):
    source = open_onnx(file)
    made = normalized(read_graph(source, "net", {}))
    check = checked_layers(made, OnnxRun(source))
    assert check.first is None
    return check.layers

layers(sys.argv[1])
before = peak()
print(layers(sys.argv[2]), peak() - before)
"""


def written(folder: Path, width: int, *, beside: bool) -> tuple[Path, int]:
    """A chain of linear layers and its bytes."""
    rng = np.random.default_rng(0)
    helper = onnx.helper
    nodes, arrays = [], []
    for i in range(LAYERS):
        weight = rng.standard_normal((width, width), np.float32) / np.float32(np.sqrt(width))
        arrays.append(onnx.numpy_helper.from_array(weight, f"w{i}"))
        nodes.append(helper.make_node("Gemm", [f"x{i}", f"w{i}"], [f"x{i + 1}"], transB=1))
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, width])
        for name in ("x0", f"x{LAYERS}")
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], arrays)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    path = folder / f"{width}.onnx"
    onnx.save(model, path, save_as_external_data=beside, location=f"{width}.data", size_threshold=0)
    return path, sum(p.stat().st_size for p in folder.glob(f"{width}.*"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read the peak from")
@pytest.mark.parametrize("beside", [False, True], ids=["one file", "weights beside"])
def test_a_large_file_takes_less_than_twice_its_size(tmp_path: Path, beside: bool) -> None:
    small, _ = written(tmp_path, 10, beside=beside)
    large, size = written(tmp_path, WIDTH, beside=beside)
    assert size > 30_000_000
    command = [sys.executable, "-c", CHILD, str(small), str(large)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    layers, peak = map(int, found.split())
    assert layers == LAYERS
    assert peak < BOUND * size
