"""The messages of caffe.proto that describe a network, each with its fields: one table for text and binary.

Source: src/caffe/proto/caffe.proto. Fields that only training has are named, so that they are not taken for
mistakes; blobs are read as weights are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["LAYER", "NETWORK", "OLD_LAYER", "OLD_TYPES", "CaffeField", "CaffeKind", "Schema"]

# What a field holds: a number, a word of an enumeration with its number, another message, or what nobody
# looks at.
CaffeKind = Literal["int", "float", "bool", "text", "any"]


@dataclass(frozen=True, slots=True)
class CaffeField:
    """Field of a message. number: in the binary form. many: it may stand several times."""

    number: int
    kind: CaffeKind | Mapping[str, int] | Schema
    many: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A message: its fields by name."""

    fields: dict[str, CaffeField]


def _message(
    text: str = "", /, **others: tuple[int, Mapping[str, int] | Schema] | tuple[int, Schema, bool]
) -> Schema:
    """A message of rows such as `pad 3 int*`, where a star is for what may stand several times."""
    rows = (row.split() for row in text.split(",") if row.strip())
    fields = {name: CaffeField(int(at), _KINDS[kind.rstrip("*")], "*" in kind) for name, at, kind in rows}
    return Schema(fields | {name: CaffeField(*row) for name, row in others.items()})


_KINDS: Mapping[str, CaffeKind] = {
    "int": "int", "float": "float", "bool": "bool", "text": "text", "any": "any",
}  # fmt: skip
_PHASE = {"TRAIN": 0, "TEST": 1}
_ENGINE = {"DEFAULT": 0, "CAFFE": 1, "CUDNN": 2}
_SHAPE = _message("dim 1 int*")
_RULE = _message("min_level 2 int, max_level 3 int, stage 4 text*, not_stage 5 text*", phase=(1, _PHASE))
_POOLS = {"MAX": 0, "AVE": 1, "STOCHASTIC": 2}
_SUMS = {"SUM": 1, "ASUM": 2, "SUMSQ": 3, "MEAN": 4}
_REGIONS = {"ACROSS_CHANNELS": 0, "WITHIN_CHANNEL": 1}

# The settings of layers: their messages, with their numbers in the layers of today and in those of before
# 2015; 0 where these have none.
_SETTINGS: Mapping[str, tuple[int, int, Schema]] = {
    "transform_param": (
        100,
        36,
        _message(
            "scale 1 float, mirror 2 bool, crop_size 3 int, mean_file 4 text, mean_value 5 float*,"
            "force_color 6 bool, force_gray 7 bool"
        ),
    ),
    "argmax_param": (103, 23, _message("out_max_val 1 bool, top_k 2 int, axis 3 int")),
    "batch_norm_param": (
        139,
        0,
        _message("use_global_stats 1 bool, moving_average_fraction 2 float, eps 3 float"),
    ),
    "bias_param": (141, 0, _message("axis 1 int, num_axes 2 int, filler 3 any")),
    "clip_param": (148, 0, _message("min 1 float, max 2 float")),
    "concat_param": (104, 9, _message("axis 2 int, concat_dim 1 int")),
    "convolution_param": (
        106,
        10,
        _message(
            "num_output 1 int, bias_term 2 bool, pad 3 int*, kernel_size 4 int*, group 5 int, stride 6 int*,"
            "weight_filler 7 any, bias_filler 8 any, pad_h 9 int, pad_w 10 int, kernel_h 11 int,"
            "kernel_w 12 int, stride_h 13 int, stride_w 14 int, axis 16 int, force_nd_im2col 17 bool,"
            "dilation 18 int*",
            engine=(15, _ENGINE),
        ),
    ),
    "dropout_param": (108, 12, _message("dropout_ratio 1 float, scale_train 2 bool")),
    "dummy_data_param": (
        109,
        26,
        _message(
            "data_filler 1 any*, num 2 int*, channels 3 int*, height 4 int*, width 5 int*",
            shape=(6, _SHAPE, True),
        ),
    ),
    "eltwise_param": (
        110,
        24,
        _message("coeff 2 float*, stable_prod_grad 3 bool", operation=(1, {"PROD": 0, "SUM": 1, "MAX": 2})),
    ),
    "elu_param": (140, 0, _message("alpha 1 float")),
    "exp_param": (111, 41, _message("base 1 float, scale 2 float, shift 3 float")),
    "flatten_param": (135, 0, _message("axis 1 int, end_axis 2 int")),
    "inner_product_param": (
        117,
        17,
        _message(
            "num_output 1 int, bias_term 2 bool, weight_filler 3 any, bias_filler 4 any, axis 5 int,"
            "transpose 6 bool"
        ),
    ),
    "input_param": (143, 0, _message(shape=(1, _SHAPE, True))),
    "log_param": (134, 0, _message("base 1 float, scale 2 float, shift 3 float")),
    "lrn_param": (
        118,
        18,
        _message(
            "local_size 1 int, alpha 2 float, beta 3 float, k 5 float",
            norm_region=(4, _REGIONS),
            engine=(6, _ENGINE),
        ),
    ),
    "memory_data_param": (
        119,
        22,
        _message("batch_size 1 int, channels 2 int, height 3 int, width 4 int"),
    ),
    "mvn_param": (120, 34, _message("normalize_variance 1 bool, across_channels 2 bool, eps 3 float")),
    "permute_param": (202, 0, _message("order 1 int*")),
    "pooling_param": (
        121,
        19,
        _message(
            "kernel_size 2 int, stride 3 int, pad 4 int, kernel_h 5 int, kernel_w 6 int, stride_h 7 int,"
            "stride_w 8 int, pad_h 9 int, pad_w 10 int, global_pooling 12 bool, ceil_mode 0 bool",
            pool=(1, _POOLS),
            engine=(11, _ENGINE),
            round_mode=(13, {"CEIL": 0, "FLOOR": 1}),
        ),
    ),
    "power_param": (122, 21, _message("power 1 float, scale 2 float, shift 3 float")),
    "prelu_param": (131, 0, _message("filler 1 any, channel_shared 2 bool")),
    "reduction_param": (136, 0, _message("axis 2 int, coeff 3 float", operation=(1, _SUMS))),
    "relu_param": (123, 30, _message("negative_slope 1 float", engine=(2, _ENGINE))),
    "reshape_param": (133, 0, _message("axis 2 int, num_axes 3 int", shape=(1, _SHAPE))),
    "scale_param": (
        142,
        0,
        _message("axis 1 int, num_axes 2 int, filler 3 any, bias_term 4 bool, bias_filler 5 any"),
    ),
    "shuffle_channel_param": (0, 0, _message("group 1 int")),
    "sigmoid_param": (124, 38, _message(engine=(1, _ENGINE))),
    "slice_param": (126, 31, _message("slice_dim 1 int, slice_point 2 int*, axis 3 int")),
    "softmax_param": (125, 39, _message("axis 2 int", engine=(1, _ENGINE))),
    "swish_param": (147, 0, _message("beta 1 float")),
    "tanh_param": (127, 37, _message(engine=(1, _ENGINE))),
    "threshold_param": (128, 25, _message("threshold 1 float")),
    "tile_param": (138, 0, _message("axis 1 int, tiles 2 int")),
}

# Settings of layers that are never computed here: data and losses.
_UNSEEN = {
    "accuracy_param": (102, 27),
    "contrastive_loss_param": (105, 40),
    "data_param": (107, 11),
    "hdf5_data_param": (112, 13),
    "hdf5_output_param": (113, 14),
    "hinge_loss_param": (114, 29),
    "image_data_param": (115, 15),
    "infogain_loss_param": (116, 16),
    "loss_param": (101, 42),
    "window_data_param": (129, 20),
}

# The types of layers of before 2015, by their words, with their numbers and today's names.
_OLD = (
    "1 Accuracy, 2 BNLL, 3 Concat, 4 Convolution, 5 Data, 6 Dropout, 7 EuclideanLoss, 8 Flatten, 9 HDF5Data,"
    "10 HDF5Output, 11 Im2col, 12 ImageData, 13 InfogainLoss, 14 InnerProduct, 15 LRN,"
    "16 MultinomialLogisticLoss, 17 Pooling, 18 ReLU, 19 Sigmoid, 20 Softmax, 21 SoftmaxLoss, 22 Split,"
    "23 TanH, 24 WindowData, 25 Eltwise, 26 Power, 27 SigmoidCrossEntropyLoss, 28 HingeLoss, 29 MemoryData,"
    "30 ArgMax, 31 Threshold, 32 DummyData, 33 Slice, 34 MVN, 35 AbsVal, 36 Silence, 37 ContrastiveLoss,"
    "38 Exp, 39 Deconvolution"
)
# How words of two parts are written that are not split where a capital begins.
_ONE_WORD = {"BNLL", "ReLU", "LRN", "TanH", "MVN", "AbsVal", "ArgMax"}


def _old_word(name: str) -> str:
    """The old word of a type: `INNER_PRODUCT` for `InnerProduct`."""
    if name in _ONE_WORD:
        return name.upper()
    if name.startswith("HDF5"):
        return f"HDF5_{name[4:].upper()}"
    return "".join(f"_{c}" if c.isupper() and i else c for i, c in enumerate(name)).upper()


_OLD_ROWS = [row.split() for row in _OLD.split(",")]
OLD_TYPES: Mapping[str, str] = {_old_word(name): name for _, name in _OLD_ROWS}
_OLD_NUMBERS = {"NONE": 0} | {_old_word(name): int(number) for number, name in _OLD_ROWS}

LAYER = Schema(
    _message(
        "name 1 text, type 2 text, bottom 3 text*, top 4 text*, loss_weight 5 float*, blobs 7 any*,"
        "propagate_down 11 bool*",
        phase=(10, _PHASE),
        param=(6, _message("name 1 text, share_mode 2 any, lr_mult 3 float, decay_mult 4 float"), True),
        include=(8, _RULE, True),
        exclude=(9, _RULE, True),
    ).fields
    | {name: CaffeField(number, schema) for name, (number, _, schema) in _SETTINGS.items()}
    | {name: CaffeField(number, "any") for name, (number, _) in _UNSEEN.items()}
)

OLD_LAYER = Schema(
    _message(
        "bottom 2 text*, top 3 text*, name 4 text, blobs 6 any*, blobs_lr 7 float*, weight_decay 8 float*,"
        "loss_weight 35 float*, param 1001 text*, blob_share_mode 1002 any*, layer 1 any",
        type=(5, _OLD_NUMBERS),
        include=(32, _RULE, True),
        exclude=(33, _RULE, True),
    ).fields
    | {name: CaffeField(number, schema) for name, (_, number, schema) in _SETTINGS.items() if number}
    | {name: CaffeField(number, "any") for name, (_, number) in _UNSEEN.items()}
)

NETWORK = _message(
    "name 1 text, input 3 text*, input_dim 4 int*, force_backward 5 bool, debug_info 7 bool",
    state=(6, _message("level 2 int, stage 3 text*", phase=(1, _PHASE))),
    input_shape=(8, _SHAPE, True),
    layers=(2, OLD_LAYER, True),
    layer=(100, LAYER, True),
)
