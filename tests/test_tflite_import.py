"""Files of TensorFlow Lite as graphs and specs of ours: what is read, what is told, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archforge
from archforge.errors import DiagnosticError
from archforge.interchange.imported import Imported
from archforge.interchange.layer_check import checked_layers
from archforge.interchange.normalize import normalized
from archforge.interchange.tflite.opened import open_tflite
from archforge.interchange.tflite.reading import read_tflite
from archforge.interchange.tflite.running import TfliteRun
from archforge.interchange.written_spec import written_spec
from archforge.ops.base import Array
from tests.conftest import Run
from tests.imported_ops import ops
from tests.tflite_files import TfliteWriter

pytest.importorskip("tflite", reason="tflite is an extra")

MAP = (1, 6, 5, 4)
SAME, VALID, RELU, RELU6 = 0, 1, 1, 3
rng = np.random.default_rng(0)


def weight(*shape: int) -> Array:
    return rng.normal(0, 0.5, shape).astype(np.float32)


def const(w: TfliteWriter, array: Any) -> int:
    array = np.asarray(array)
    return w.tensor(array.shape, array)


def stepped(side: int) -> dict[str, Any]:
    """Options of a window without dilation that moves by so much."""
    return {"StrideH": side, "StrideW": side, "DilationHFactor": 1, "DilationWFactor": 1}


def conv(w: TfliteWriter, x: int, kernel: Array, shape: tuple[int, ...], **options: Any) -> int:
    tensors = [x, const(w, kernel), const(w, weight(shape[-1]))]
    made: int = w.op("CONV_2D", tensors, shape, of="Conv2DOptions", **stepped(1) | options)
    return made


def depthwise(w: TfliteWriter, x: int) -> int:
    options = stepped(2) | {"DepthMultiplier": 2, "Padding": SAME}
    tensors = [x, const(w, weight(1, 3, 3, 8)), const(w, weight(8))]
    made: int = w.op("DEPTHWISE_CONV_2D", tensors, (1, 3, 3, 8), of="DepthwiseConv2DOptions", **options)
    return made


def dense(w: TfliteWriter, x: int, inputs: int, out: int) -> int:
    tensors = [x, const(w, weight(out, inputs)), const(w, weight(out))]
    made: int = w.op("FULLY_CONNECTED", tensors, (1, out), of="FullyConnectedOptions")
    return made


def pooled(
    w: TfliteWriter, x: int, kind: str, side: tuple[int, int], shape: tuple[int, ...], padding: int
) -> int:
    options: dict[str, Any] = {
        "FilterHeight": side[0],
        "FilterWidth": side[1],
        "StrideH": 2,
        "StrideW": 2,
        "Padding": padding,
    }
    made: int = w.op(kind, [x], shape, of="Pool2DOptions", **options)
    return made


def reshaped(w: TfliteWriter, x: int, shape: tuple[int, ...]) -> int:
    made: int = w.op("RESHAPE", [x, const(w, np.array(shape, np.int32))], shape, of="ReshapeOptions")
    return made


def leaky(w: TfliteWriter, x: int) -> int:
    part = w.op("MUL", [x, const(w, np.float32(0.1))], MAP, of="MulOptions")
    made: int = w.op("MAXIMUM", [x, part], MAP, of="MaximumMinimumOptions")
    return made


def gated(w: TfliteWriter, x: int) -> int:
    mean = w.op(
        "MEAN", [x, const(w, np.array([1, 2], np.int32))], (1, 1, 1, 4), of="ReducerOptions", KeepDims=True
    )
    gate = w.op("LOGISTIC", [mean], (1, 1, 1, 4))
    made: int = w.op("MUL", [x, gate], MAP, of="MulOptions")
    return made


def residual(w: TfliteWriter, x: int) -> int:
    y = conv(w, x, weight(4, 3, 3, 4), MAP, Padding=SAME)
    made: int = w.op("ADD", [x, y], MAP, of="AddOptions", FusedActivationFunction=RELU)
    return made


def put_together(w: TfliteWriter, x: int) -> int:
    parts = w.op(
        "SPLIT", [const(w, np.int32(3)), x], (1, 6, 5, 2), (1, 6, 5, 2), of="SplitOptions", NumSplits=2
    )
    made: int = w.op("CONCATENATION", parts[::-1], MAP, of="ConcatenationOptions", Axis=-1)
    return made


def turned(w: TfliteWriter, x: int) -> int:
    options: dict[str, Any] = {"StrideH": 2, "StrideW": 2, "Padding": SAME}
    tensors = [const(w, np.array([1, 12, 10, 3], np.int32)), const(w, weight(3, 3, 3, 4)), x]
    made: int = w.op("TRANSPOSE_CONV", tensors, (1, 12, 10, 3), of="TransposeConvOptions", **options)
    return made


def padded(w: TfliteWriter, x: int) -> int:
    sides = np.array([[0, 0], [0, 1], [2, 0], [0, 0]], np.int32)
    made: int = w.op("PAD", [x, const(w, sides)], (1, 7, 7, 4), of="PadOptions")
    return made


def more_channels(w: TfliteWriter, x: int) -> int:
    sides = np.array([[0, 0], [0, 0], [0, 0], [0, 3]], np.int32)
    made: int = w.op("PAD", [x, const(w, sides)], (1, 6, 5, 7), of="PadOptions")
    return made


def larger(w: TfliteWriter, x: int) -> int:
    return resized(w, x, (12, 10), HalfPixelCenters=True)


def resized(w: TfliteWriter, x: int, size: tuple[int, int], **options: Any) -> int:
    wanted = const(w, np.array(size, np.int32))
    made: int = w.op("RESIZE_BILINEAR", [x, wanted], (1, *size, 4), of="ResizeBilinearOptions", **options)
    return made


def scored(w: TfliteWriter, x: int) -> int:
    y = dense(w, reshaped(w, x, (1, 120)), 120, 3)
    made: int = w.op("SOFTMAX", [y], (1, 3), of="SoftmaxOptions", Beta=1.0)
    return made


def two_pools(w: TfliteWriter, x: int) -> int:
    y = pooled(w, x, "MAX_POOL_2D", (3, 3), (1, 3, 3, 4), SAME)
    return pooled(w, y, "AVERAGE_POOL_2D", (2, 2), (1, 2, 2, 4), SAME)


def normed(w: TfliteWriter, x: int) -> int:
    y = w.op("MUL", [x, const(w, weight(4))], MAP, of="MulOptions")
    made: int = w.op("ADD", [y, const(w, weight(4))], MAP, of="AddOptions")
    return made


def halves(w: TfliteWriter, x: int) -> int:
    kernel = w.op("DEQUANTIZE", [const(w, weight(2, 1, 1, 4).astype(np.float16))], (2, 1, 1, 4))
    bias = const(w, weight(2))
    options = stepped(1) | {"Padding": VALID}
    made: int = w.op("CONV_2D", [x, kernel, bias], (1, 6, 5, 2), of="Conv2DOptions", **options)
    return made


# Each: what adds ops behind a map, and what it is in our ops.
CASES: dict[str, tuple[Callable[[TfliteWriter, int], int], list[str]]] = {
    "a convolution with a rectifier": (
        lambda w, x: conv(
            w, x, weight(3, 3, 3, 4), (1, 6, 5, 3), Padding=SAME, FusedActivationFunction=RELU6
        ),
        ["conv out=3 kernel=3 padding=1", "relu6"],
    ),
    "a convolution without padding": (
        lambda w, x: conv(w, x, weight(3, 2, 3, 4), (1, 3, 3, 3), Padding=VALID, StrideH=2),
        ["conv out=3 kernel=(2, 3) stride=(2, 1)"],
    ),
    "a depthwise one": (depthwise, ["conv out=8 kernel=3 stride=2 padding=((0, 1), 1) groups=4"]),
    "a transposed one": (
        turned, ["conv_transpose out=3 kernel=3 stride=2 padding=((0, 1), (0, 1)) bias=False"],
    ),
    "pools": (
        two_pools,
        ["max_pool kernel=3 stride=2 padding=((0, 1), 1)",
         "avg_pool kernel=2 padding=((0, 1), (0, 1)) count_include_pad=False"],
    ),
    "a pool of all": (
        lambda w, x: pooled(w, x, "AVERAGE_POOL_2D", (6, 5), (1, 1, 1, 4), VALID), ["global_avg_pool"],
    ),
    "a matrix behind a map": (
        scored, ["flatten", "linear out=3", "softmax"],
    ),
    "a row in the file's order": (
        lambda w, x: w.op("TANH", [reshaped(w, x, (1, 120))], (1, 120)),
        ["permute order=(1, 2, 0)", "flatten", "tanh"],
    ),
    "a leaky rectifier": (leaky, ["leaky_relu slope=0.1"]),
    "a gate": (gated, ["global_avg_pool", "sigmoid", "multiply"]),
    "a residual": (residual, ["conv out=4 kernel=3 padding=1", "add", "relu"]),
    "parts that are put together": (put_together, ["roll shift=2 axis=0"]),
    "a border": (padded, ["pad sides=(0, 1, 2, 0)"]),
    "more channels": (more_channels, ["slice end=3", "scale factor=0.0", "concat"]),
    "a larger map": (larger, ["upsample mode=bilinear"]),
    "halves of floats": (halves, ["conv out=2"]),
    "functions": (
        lambda w, x: w.op("HARD_SWISH", [w.op("ELU", [w.op("RELU", [x], MAP)], MAP)], MAP),
        ["relu", "elu", "hard_swish"],
    ),
    "slopes of channels": (
        lambda w, x: w.op("PRELU", [x, const(w, weight(1, 1, 4))], MAP), ["prelu per_channel=True"],
    ),
    "a norm": (
        normed, ["bn"],
    ),
}  # fmt: skip


def file_of(folder: Path, build: Callable[[TfliteWriter, int], int], shape: tuple[int, ...] = MAP) -> Path:
    writer = TfliteWriter()
    x = writer.tensor(shape)
    y = build(writer, x)
    path = folder / "net.tflite"
    path.write_bytes(writer.content([x], [y]))
    return path


def imported(path: Path) -> Imported:
    return normalized(read_tflite(open_tflite(path), "net", {}))


@pytest.mark.parametrize("case", CASES)
def test_an_op_is_said_in_ours(case: str, tmp_path: Path) -> None:
    build, expected = CASES[case]
    made = imported(file_of(tmp_path, build))
    assert ops(made) == expected
    assert len(archforge.load(written_spec(made, "net", "").text).graph.nodes) == len(expected)


@pytest.mark.skipif(find_spec("ai_edge_litert") is None, reason="LiteRT (ai-edge-litert) is not installed")
@pytest.mark.parametrize("case", CASES)
def test_an_op_computes_what_litert_does(case: str, tmp_path: Path) -> None:
    path = file_of(tmp_path, CASES[case][0])
    check = checked_layers(imported(path), TfliteRun(open_tflite(path)))
    assert check.layers
    assert check.first is None


def test_columns_behind_a_map_are_put_in_our_order(tmp_path: Path) -> None:
    made = imported(file_of(tmp_path, CASES["a matrix behind a map"][0]))
    ours = made.arrays[next(name for name in made.arrays if name.endswith("weight"))]
    stored = next(t.array for t in open_tflite(tmp_path / "net.tflite").tensors if t.shape == (3, 120))
    assert stored is not None
    x = rng.normal(size=MAP[1:])
    np.testing.assert_allclose(ours @ x.transpose(2, 0, 1).reshape(-1), stored @ x.reshape(-1), rtol=1e-5)


def test_whole_numbers_become_the_floats_that_they_stand_for(tmp_path: Path) -> None:
    kernel = np.arange(-4, 4, dtype=np.int8).reshape(2, 1, 1, 4)

    def build(w: TfliteWriter, x: int) -> int:
        stored = w.tensor((2, 1, 1, 4), kernel, scales=[0.5, 0.25])
        options = stepped(1) | {"Padding": VALID}
        made: int = w.op("CONV_2D", [x, stored], (1, 6, 5, 2), of="Conv2DOptions", **options)
        return made

    made = imported(file_of(tmp_path, build))
    (array,) = made.arrays.values()
    np.testing.assert_array_equal(array.reshape(2, 4), kernel.reshape(2, 4) * np.array([[0.5], [0.25]]))
    assert any("1 weights are stored as whole numbers" in note for note in made.notes)


def bounded(w: TfliteWriter, x: int) -> int:
    other = w.op("RELU", [x], MAP)
    made: int = w.op("MAXIMUM", [x, other], MAP)
    return made


REFUSED: dict[str, tuple[Callable[[TfliteWriter, int], int], str]] = {
    "an op that ours lack": (lambda w, x: w.op("COS", [x], MAP), "`COS`"),
    "arithmetic of whole numbers": (
        lambda w, x: w.op("RELU", [w.op("QUANTIZE", [x], MAP, dtype="uint8")], MAP, dtype="uint8"),
        "whose arithmetic is uint8",
    ),
    "a maximum of values": (bounded, "`MAXIMUM`, the largest or smallest of several values"),
    "corners that are aligned at neither end": (
        lambda w, x: resized(w, x, (12, 10)), "positions that are aligned at neither end",
    ),
    "a size that is no multiple": (
        lambda w, x: resized(w, x, (7, 7)), "from (6, 5) to (7, 7)",
    ),
    "indices": (
        lambda w, x: w.op("ARG_MAX", [x, const(w, np.int32(3))], (1, 6, 5), dtype="int32"), "`ARG_MAX`",
    ),
    "a shape that the file contradicts": (lambda w, x: w.op("RELU", [x], (1, 2, 5, 4)), "and the file says"),
    "a value that nothing makes": (
        lambda w, x: w.op("ADD", [x, w.tensor(MAP)], MAP), "that nothing computes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_expressible_is_refused(case: str, run: Run, tmp_path: Path) -> None:
    build, message = REFUSED[case]
    file_of(tmp_path, build)
    code, out, err = run("import", "net.tflite", "-o", "net.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("E0804: net.tflite: ")
    assert message in err
    assert [p.name for p in tmp_path.iterdir()] == ["net.tflite"]


def test_a_batch_that_is_not_one_is_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path, lambda w, x: w.op("RELU", [x], (4, 6, 5, 4)), (4, 6, 5, 4))
    with pytest.raises(DiagnosticError, match="`an input`, of a batch of 4"):
        imported(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it has less than 8 bytes"),
        (b"\0" * 40, "it does not begin as one"),
        (b"\xff\xff\xff\x7fTFL3" + b"\0" * 40, ""),
        (b"\x08\0\0\0TFL3\xff\xff\xff\x7f" + b"\0" * 40, ""),
    ],
)
def test_a_file_of_another_kind_is_refused(content: bytes, said: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(content)
    code, _, err = run("import", "net.tflite")
    assert code == 2
    assert err.startswith("E0601: net.tflite is no file of TensorFlow Lite: ")
    assert said in err


@pytest.mark.parametrize(
    ("shapes", "ends", "said"),
    [
        ([], 1, "E0601: net.tflite is no file of TensorFlow Lite: an op RELU gives the tensors []"),
        ([(1, 4)], 0, "E0801: net.tflite has no outputs, so it computes nothing"),
    ],
)
def test_a_file_that_gives_nothing_is_refused(
    shapes: list[tuple[int, ...]], ends: int, said: str, run: Run, tmp_path: Path
) -> None:
    writer = TfliteWriter()
    x = writer.tensor((1, 4))
    writer.op("RELU", [x], *shapes)
    (tmp_path / "net.tflite").write_bytes(writer.content([x], [x][:ends]))
    code, _, err = run("import", "net.tflite")
    assert (code, err.splitlines()[0]) == (2, said)


def test_files_that_lie_are_refused(tmp_path: Path) -> None:
    """A file that is cut, or has other bytes, is read or refused: nothing else is raised."""
    path = file_of(tmp_path, lambda w, x: dense(w, reshaped(w, residual(w, x), (1, 120)), 120, 3))
    content, draws, refused = path.read_bytes(), np.random.default_rng(0), 0
    for turn in range(400):
        wrong = bytearray(content)
        for _ in range(1 + turn % 3):
            place = int(draws.integers(len(wrong)))
            wrong[place : place + 4] = draws.integers(0, 256, 4, np.uint8).tobytes()
        path.write_bytes(wrong[: None if turn % 4 else int(draws.integers(len(wrong)))])
        try:
            imported(path)
        except DiagnosticError as error:
            refused += bool(error.diagnostics)
    assert refused > 100
