"""Words of PyTorch, timm, Keras, Caffe, ONNX and the literature, and what they are called here.

Words are written as `plain` gives them. A meaning counts for more than a spelling: an op that is absent here
is told as absent, with a way to write it or the ops of its kind, whatever is spelled like it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

__all__ = [
    "ATTRIBUTES",
    "BESIDE",
    "BLOCK_KEYS",
    "CELLS",
    "EDIT_KEYS",
    "KEYS",
    "KINDS",
    "KIND_OF",
    "NETWORK_KEYS",
    "NO_ATTRIBUTES",
    "OPS",
    "OP_KEYS",
    "SETTINGS",
    "TRAIN",
    "TYPES",
    "WAYS",
    "plain",
]


def plain(word: str) -> str:
    """Spelling of a word in this language: `nn.BatchNorm2d` and `batch-norm-2d` are `batch_norm`."""
    last = unicodedata.normalize("NFKC", word).rpartition(".")[2]
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", last).lower().replace("-", "_")
    return re.sub(r"_?[123]_?d(?=_|$)", "", snake).strip("_")


def _by_word(words: Mapping[str, str]) -> dict[str, str]:
    """The meaning of each word, from the words of each meaning."""
    return {word: meaning for meaning, listed in words.items() for word in listed.split()}


# Ops of another name and the same meaning.
OPS = _by_word(
    {
        "add": "sum plus residual shortcut skip_connection skip_add add_n",
        "adaptive_avg_pool": "adaptive_average_pool select_adaptive_pool",
        "adaptive_max_pool": "adaptive_max_pooling",
        "attention": "self_attention multihead_attention multi_head_attention mhsa mha msa",
        "avg_pool": "average_pool average_pooling ave_pool mean_pool",
        "bn": "batch_norm batch_normalization batchnorm_act spatial_bn",
        "clip": "clamp hardtanh hard_tanh clip_by_value",
        "channel_dropout": "dropout2d dropout3d spatial_dropout channel_drop feature_dropout",
        "concat": "concatenate cat concatenation route depth_concat",
        "conv": "convolution convolutional lazy_conv",
        "conv_transpose": "deconv deconvolution transposed_conv conv_transposed transpose_conv up_conv",
        "divide": "div quotient truediv true_div",
        "dropout": "drop",
        "embedding": "embed lookup lookup_table embedding_table token_embedding word_embedding",
        "for": "loop foreach for_each while",
        "global_avg_pool": "gap global_average_pool global_average_pooling global_mean_pool mean reduce_mean",
        "global_max_pool": "gmp global_max_pooling reduce_max",
        "group_norm": "group_normalization groupnorm gn",
        "hard_sigmoid": "hsigmoid h_sigmoid",
        "hard_swish": "hswish h_swish hard_silu",
        "instance_norm": "instance_normalization instancenorm",
        "identity": "noop no_op pass skip none nop",
        "layer_scale": "gamma layerscale",
        "leaky_relu": "leaky lrelu leaky_rectify",
        "let": "set var variable assign define",
        "linear": "dense fc fully_connected gemm affine inner_product",
        "l2_normalize": "l2_norm unit_norm",
        "lrn": "local_response_norm local_response_normalization",
        "matmul": "mat_mul bmm batch_matmul batch_dot",
        "max_pool": "max_pooling",
        "maximum": "max",
        "multiply": "mul prod product gate",
        "offset": "add_constant add_scalar shift bias",
        "pad": "zero_pad zero_padding constant_pad zeropad padding reflection_pad replication_pad",
        "parameter": "class_token cls_token pos_embed pos_embedding position_embedding",
        "permute": "transpose swap_axes movedim rearrange",
        "pixel_shuffle": "depth_to_space sub_pixel subpixel pixelshuffle",
        "pixel_unshuffle": "space_to_depth pixelunshuffle",
        "prelu": "p_relu parametric_relu",
        "relu": "rectify rectifier re_lu",
        "reshape": "view squeeze unsqueeze unflatten expand_dims",
        "resize": "interpolate resize_bilinear resize_bicubic resizing",
        "seq": "sequential stack sequence steps module_list group",
        "shuffle": "channel_shuffle",
        "sigmoid": "logistic",
        "slice": "split chunk narrow strided_slice crop cropping",
        "standardized_conv": "std_conv scaled_std_conv ws_conv weight_standardization scaled_ws_conv",
        "stochastic_depth": "drop_path drop_connect survival layer_drop",
        "subtract": "sub minus difference",
        "take": "gather index_select index",
        "unfold": "im2col extract_patches extract_image_patches",
        "upsample": "upsampling",
        "window_attention": "shifted_window_attention window_msa w_msa sw_msa swin_attention",
    }
)

# Steps that do what an op of another name does, as they stand in a spec; the numbers are examples.
_DEPTHWISE = "{conv: {out: =x.channels, groups: =x.channels, kernel: 3, padding: 1}}"
WAYS = _by_word(
    {
        _DEPTHWISE: "depthwise_conv depthwise dwconv dw_conv conv_dw",
        f"{{seq: [{_DEPTHWISE}, {{conv: 64}}]}}": "separable_conv sep_conv depthwise_separable_conv ds_conv",
        "{conv: 64}": "pointwise_conv pw_conv conv1x1 conv_1x1 conv_pw",
        "{conv: {out: 64, kernel: 3, padding: 1}}": "conv3x3 conv_3x3",
        "{conv: {out: 64, kernel: 3, padding: 2, dilation: 2}}": "dilated_conv atrous_conv atrous",
        "{conv: {out: 64, kernel: 3, padding: 1, groups: 4}}": "grouped_conv group_conv",
        "{conv: {out: 96, kernel: 4, stride: 4}}": "patch_embed patchify patch_embedding",
        "{seq: [{conv: {out: 64, kernel: 3, padding: 1, bias: false}}, bn, relu]}": (
            "conv_bn_relu conv_bn_act conv_norm_activation conv_norm_act"
        ),
        "{multiply: [[], [global_avg_pool, {conv: 16}, relu, {conv: 64}, sigmoid]]}": (
            "squeeze_excite squeeze_excitation squeeze_and_excitation se se_module se_layer"
        ),
        "{multiply: [[{slice: {end: =x.channels // 2}}], [{slice: {start: =x.channels // 2}}, sigmoid]]}": (
            "glu"
        ),
        "{seq: [{slice: {axis: 1, start: 2, end: -2}}, {slice: {axis: 2, start: 2, end: -2}}]}": (
            "center_crop"
        ),
        "{multiply: [[], []]}": "square",
        "{scale: -1}": "neg negative",
        "relu6": "relu_n",
    }
)

# The ops by kind, each in one; of a kind without any there is none here.
KINDS = {
    "convolutions": ("conv", "conv_transpose", "linear", "standardized_conv"),
    "norms": (
        "bn",
        "group_norm",
        "instance_norm",
        "layer_norm",
        "grn",
        "global_response_norm",
        "lrn",
        "rms_norm",
        "l2_normalize",
    ),
    "pools": (
        *("max_pool", "avg_pool", "lp_pool", "adaptive_avg_pool", "adaptive_max_pool"),
        *("global_avg_pool", "global_max_pool"),
    ),
    "activations": (
        *(
            "relu",
            "relu6",
            "leaky_relu",
            "prelu",
            "elu",
            "selu",
            "gelu",
            "silu",
            "swish",
            "mish",
            "sigmoid",
            "clip",
        ),
        *("hard_sigmoid", "hard_swish", "tanh", "softplus", "softsign", "softmax", "log_softmax", "abs"),
    ),
    "merges": ("add", "subtract", "multiply", "divide", "concat", "matmul", "maximum"),
    "ops that move elements": (
        *("flatten", "reshape", "permute", "slice", "pad", "shuffle", "pixel_shuffle", "pixel_unshuffle"),
        *("unfold", "upsample", "resize", "roll", "take", "identity"),
    ),
    "dropouts": ("dropout", "channel_dropout", "stochastic_depth"),
    "scales": ("scale", "offset", "layer_scale"),
    "recurrent ops": ("rnn", "lstm", "gru"),
    "attention": ("attention", "window_attention"),
    "embeddings": ("embedding", "parameter"),
}

# The kind of an op that is absent here, by a pattern of its name; the first that fits counts.
KIND_OF = {
    "attention": "attention|attn|transformer|mha|msa|(^|_)vit(_|$)|cbam|non_?local",
    "embeddings": "embed|positional|token",
    "norms": "norm|_bn$|^bn_",
    "pools": "pool",
    "dropouts": "drop",
    "convolutions": "conv|einsum",
    "activations": "activation|nonlinearity|^act$|elu$|sigmoid|tanh|swish|softm|maxout|shrink|threshold|erf$",
    "merges": "element|eltwise|merge|join|fuse|^dot$|^min$|^minimum$",
    "ops that move elements": "shuffle|pad|shape|fold$|tile$|repeat|gather|index|flip|scatter|shift",
    "recurrent ops": "rnn|lstm|gru|recurrent",
}

# Attributes of another name: the first of the meanings that an op has.
ATTRIBUTES = {
    word: tuple(meanings.split())
    for word, meanings in _by_word(
        {
            "out hidden axis": "dim",
            "out hidden": (
                "out_channels filters channels features out_features width output outputs ch c n o oc out_c "
                "out_ch out_chs cout c_out num_output num_outputs n_out nout planes out_planes dim_out "
                "num_filter num_filters n_filters nf num_units size_out classes num_classes "
                "units hidden_size hidden_dim num_hidden"
            ),
            "kernel": "kernel_size pool_size window k ksize filter_size kernel_shape",
            "kernel factor": "size",
            "stride": "strides s subsample step",
            "padding sides rate": "pad pads p padding paddings auto_pad",
            "groups": "feature_group_count group g num_groups num_group cardinality",
            "bias": "use_bias bias_term b has_bias biases",
            "dilation": "kernel_dilation dilation_rate dilations d dil atrous_rate rate",
            "eps": "epsilon variance_epsilon",
            "heads": "num_heads n_heads n_head nhead num_attention_heads",
            "min": "min_value min_val minimum low lower a_min clip_value_min",
            "max": "max_value max_val maximum high upper a_max clip_value_max",
            "affine": "elementwise_affine",
            "ceil": "ceil_mode",
            "factor": "scale_factor scale scales",
            "slope": "negative_slope alpha",
            "rate": "probability prob dropout_ratio drop_prob drop_rate dropout",
            "order axis": "dims perm axes",
            "size": "output_size local_size",
            "keep": "keepdim keepdims keep_dims",
            "mode": "interpolation method",
            "init": "init_value init_values",
            "shape": "target_shape newshape",
            "start": "begin",
            "end": "stop",
        }
    ).items()
}

# The way out for attributes of other libraries that are said otherwise here, or not at all.
NO_ATTRIBUTES = _by_word(
    {
        "padding is zeros; an op `pad` in front takes another value, mirrors a border or repeats it": (
            "padding_mode"
        ),
        "nothing is averaged where a map shrinks: an average pool in front does so": "antialias",
        "one group for each channel: groups: =x.channels": "depthwise",
        "padding: same": "same",
        "a stack is a step with `repeat`": "num_layers",
        "`bidirectional` goes through the steps in both directions, one alone is forward": "go_backwards",
        "an op of its own: conv_transpose": "transposed",
        "`rate` is 1 - keep_prob": "keep_prob",
        "count_include_pad: false": "exclude_pad",
        "`flatten` joins all axes; `reshape: [...]` joins some": "start_dim end_dim",
        "leave it out: it is known from the input": (
            "in in_channels in_features input_dim input_channels in_planes in_ch in_chs num_features n_in "
            "cin c_in num_parameters num_channels normalized_shape input_size input_shape batch_input_shape"
        ),
        "leave it out: a spec says what a network computes, not how it is trained or stored": (
            "inplace device dtype data_format trainable training track_running_stats kernel_initializer init "
            "bias_initializer initializer weight_init weight_decay kernel_regularizer regularizer weight "
            "weights weight_filler bias_filler seed lr_mult batch_size return_sequences batch_first "
            "return_indices"
        ),
    }
)

# The sections of a spec and of a block, the types of arguments, the figures of `expect`.
KEYS = _by_word(
    {
        "archforge": "version",
        "args": "parameters params arguments variables",
        "blocks": "modules functions definitions",
        "edits": "patch patches changes modify overrides override edit",
        "extends": "base inherits parent",
        "graph": "layers backbone model network net architecture steps body head forward",
        "imports": "import include",
        "input": "inputs input_shape shape input_size",
        "outputs": "output heads",
        "profiles": "variants configs versions",
        "title": "name description",
    }
)
BLOCK_KEYS = _by_word(
    {
        "args": "parameters params arguments variables inputs with",
        "body": "graph steps layers do seq modules forward",
        "naming": "names name",
        "network": "spec model backbone encoder",
        "outputs": "output returns gives",
    }
)
EDIT_KEYS = _by_word(
    {
        "after": "append insert_after then behind",
        "before": "prepend insert insert_before",
        "replace": "change override set remove delete drop with",
    }
)
NETWORK_KEYS = _by_word(
    {
        "profile": "weights variant pretrained version",
        "taps": "out_indices outputs return_layers return_nodes features out_features layers stages",
    }
)
TYPES = _by_word(
    {
        "bool": "boolean Bool",
        "float": "double Float real",
        "int": "integer Int number uint",
        "list": "array tuple List sequence",
        "steps": "step block body layers",
        "str": "string text Str String",
        "tensor": "Tensor value",
    }
)
CELLS = _by_word(
    {
        "input": "input_size input_shape",
        "layers": "depth num_layers",
        "macs": "mult_adds madds multiply_adds mac gmacs mmacs",
        "output": "output_size output_shape classes num_classes",
        "params": "parameters num_params n_params param_count trainable",
    }
)

# The keys of `train`.
TRAIN = _by_word(
    {
        "accumulate": "accumulate_grad_batches gradient_accumulation gradient_accumulation_steps grad_accum",
        "batch": "batch_size batchsize minibatch minibatch_size mini_batch bs train_batch_size",
        "clip": "grad_clip clip_grad gradient_clip clipping clip_norm clipnorm clip_value max_grad_norm",
        "data": "dataset datasets dataloader loader",
        "drop_last": "drop_remainder",
        "ema": "ema_decay model_ema swa average",
        "epochs": "n_epochs num_epochs max_epochs nb_epoch epoch nepochs iterations",
        "freeze": "frozen trainable requires_grad fixed",
        "init": "initializer initialiser initialization kernel_initializer weight_init init_weights",
        "limit": "subset max_samples num_samples train_size",
        "loss": "criterion loss_fn loss_function objective cost",
        "losses": "criterions criteria",
        "loss_weights": "loss_weight weights_of_losses",
        "optimizer": "optimiser optim opt solver updater",
        "recompute": "checkpoint checkpointing gradient_checkpointing remat",
        "reaches": "accuracy target results expect",
        "schedule": "scheduler lr_scheduler lr_schedule schedules schedulers learning_rate_schedule",
        "seed": "random_state random_seed manual_seed rng",
        "spare": "no_decay no_weight_decay",
        "stop": "early_stopping early_stop early_stop_after earlystopping stopping patience callbacks",
        "stratify": "stratified",
        "sync_bn": "sync_batchnorm sync_batch_norm synchronized",
        "validation": "valid_size val_size validation_split validation_size valid_split val_split test_size",
    }
)

# Settings of parts and of `data`: the first of the meanings that there is.
SETTINGS = {
    word: tuple(meanings.split())
    for word, meanings in _by_word(
        {
            "lr": "learning_rate eta eta0 base_lr alpha step_size",
            "eps": "epsilon",
            "weight_decay": "l2 l2_penalty decay wd",
            "smoothing": "label_smoothing",
            "patience": "early_stop_after n_iter_no_change",
            "norm": "max_norm clipnorm norm_type",
            "value": "clip_value clipvalue",
            "format": "type kind",
            "augment": "transforms transform augmentation augmentations",
            "normalise": "normalize normalization",
        }
    ).items()
}

# What stands beside an op; under the first of these keys others have the op itself.
BESIDE = _by_word(
    {
        "as": "to save tap output outputs store into alias",
        "do": "steps body then",
        "from": "input inputs src source bottom",
        "name": "label id",
        "repeat": "times count n number reps repeats loop",
        "when": "if condition cond",
    }
)
OP_KEYS = frozenset(["type", "op", "layer", "class_name", "class", "module", "kind", "cls", "operator"])
