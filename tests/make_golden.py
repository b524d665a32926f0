"""Reference data made from a network of torchvision or timm: the list of its parameters and a golden output.

    python -m tests.make_golden timm.lcnet_050

writes MODEL.json.gz in data/canonical_params and data/golden; data/README.md says what they hold. A file that
says the same already, but for versions and rounding, is left as it is.
"""

from __future__ import annotations

import argparse
import math
import operator
from collections.abc import Iterator, Mapping
from functools import partial, reduce
from itertools import takewhile
from typing import Any
from unittest.mock import patch

import archforge
from archforge.analysis.network import Network
from archforge.cli.output import counted
from archforge.errors import DiagnosticError
from archforge.interchange.torch.libraries import LIBRARIES, library, library_module
from archforge.interchange.torch.modules import filled, module_params, module_values
from archforge.ir import by_x
from archforge.plan import named_values
from archforge.weights.golden import TOLERANCE, Golden, parsed_golden
from archforge.weights.rule_made import rule_array, rule_input, rule_weights
from tests.zoo import networks, unpacked, write_packed

__all__ = ["alike", "golden_content", "main", "named_as_in", "params_content", "unversioned", "written"]

DEPTH = 2  # parts of a tap's name, as in `layer1.0`; more would say the same again, at several times the size
FIRST, VALUES = 4, 32  # elements that are listed of a tap, and of the output

Content = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    """Make the files of the networks that a command line names, and tell of each."""
    options = _parser().parse_args(arguments)
    try:
        for model in options.models:
            for line in _made(model, options):
                print(line)
    except DiagnosticError as error:
        raise SystemExit(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    about = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser("python -m tests.make_golden", description=about)
    add = parser.add_argument
    add("models", nargs="+", metavar="MODEL", help="torchvision.NAME or timm.NAME")
    add("--params", action="store_true", help="make the list of parameters alone")
    help = "the input of the golden output; by default that of the file, else the library's for this network"
    add("--input", type=input_shape, metavar="CxHxW", help=help)  # of a video, CxTxHxW
    add("--depth", type=int, default=DEPTH, metavar="N", help=f"parts of a tap's name (default: {DEPTH})")
    help = "what the spec calls the value that the library calls TAP; nothing after `=` if the spec lacks it"
    add("--alias", type=tap_alias, action="append", default=[], metavar="TAP=NAME", help=help)
    return parser


# An argument that is refused is told by the name of these functions.
def input_shape(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("x")))


def tap_alias(text: str) -> tuple[str, str | None]:
    tap, name = text.split("=")
    return tap, name or None


def _made(model: str, options: argparse.Namespace) -> Iterator[str]:
    """Make the files of one network. A line on each, and on each tap that its spec should have."""
    module = library_module(model)
    yield written(f"canonical_params/{model}", params_content(model, module))
    if options.params:
        return
    file = f"golden/{model}"
    old = unpacked(file) or {}
    asked = options.input or tuple(old.get("input", ())[1:])
    shape = asked or library_input(model, module)
    if asked:
        module = module_for(model, shape)
    content = golden_content(model, module, shape, options.depth)
    given = dict(options.alias)
    if unknown := given.keys() - content["taps"].keys():
        raise SystemExit(f"{model} has no tap `{min(unknown)}`")
    content = with_aliases(content, old.get("aliases", {}), given)
    network = network_of(model, shape)
    if network is None:
        yield f"no spec has a profile with `model: {model}` yet: make the golden output again when one has"
    else:
        content = named_as_in(network, content)
        golden = parsed_golden(content)
        for tap in golden.missing(golden.names(named_values(network.graph))):
            yield f"{network.name} has no value that equals `{tap}`: see `aliases` in tests/data/README.md"
    yield written(file, content)


# What the library has ---------------------------------------------------------------------------------


def library_input(model: str, module: Any) -> tuple[int, ...]:
    """Shape [C, H, W] of the images for which the library has weights of the network that classifies them."""
    maker, _, name = model.partition(".")
    if maker == "timm":
        return tuple(module.default_cfg["input_size"])
    transforms = library(maker).models.get_model_weights(name).DEFAULT.transforms()
    return (3, *transforms.crop_size * 2)


def module_for(model: str, shape: tuple[int, ...]) -> Any:
    """The network for inputs [C, *spatial]: made for them where a library makes it for a single size."""
    maker, _, name = model.partition(".")
    if maker == "timm":
        try:
            return library("timm").create_model(name, img_size=shape[1:])
        except TypeError:  # it has no such argument, and takes any size
            return library_module(model)
    mvit = library("torchvision").models.video.mvit  # whose builders fix the size
    sized = partial(mvit.MViT, spatial_size=shape[-2:], temporal_size=shape[1])
    fixed = {"spatial_size", "temporal_size"}
    with patch.object(
        mvit, "MViT", lambda **given: sized(**{k: v for k, v in given.items() if k not in fixed})
    ):
        return library_module(model)


def params_content(model: str, module: Any) -> Content:
    """Content of a file in `canonical_params`."""
    maker = model.partition(".")[0]
    version = library(maker).__version__.partition("+")[0]
    entries = [[name, list(shape)] for name, shape in module_params(module).items()]
    return {"source": f"{maker} {version}", "entries": entries}


def golden_content(model: str, module: Any, shape: tuple[int, ...], depth: int = DEPTH) -> Content:
    """Content of a file in `golden`, from any module of torch, which is left with weights made by rule. Taps
    have names of at most `depth` parts; outputs behind the first are taps, `outputs.NAME`.

    A norm that ends in the activation it holds has an alias: its name in a spec is that of the bare norm.
    """
    torch = library("torch")
    torch.set_num_threads(1)  # the order of a sum, and so its last bit, depends on it
    batch = (1, *shape)
    filled(module, {name: rule_array(name, dims) for name, dims in module_params(module).items()})
    with patch.object(torch.Tensor, "float", lambda tensor: tensor):  # some narrow their values on the way
        output, values = module_values(module, [torch.from_numpy(rule_input(batch))], depth)
    first, *others = output.items() if isinstance(output, dict) else [("", output)]
    y = first[1].numpy()
    aliases = {name: v.maker for name, v in values.items() if v.has_params and v.maker != name}
    made_with = ("torch", *LIBRARIES) if model.startswith(LIBRARIES) else ("torch",)
    return {
        "model": model,
        **{name: library(name).__version__ for name in made_with},
        "rule": "v1",
        "input": list(batch),
        "output": {
            "shape": list(y.shape),
            "argmax": int(y.argmax()),
            "mean": float(y.mean()),
            "std": float(y.std()),
            "values": y.ravel()[:VALUES].tolist(),
        },
        "taps": {name: _figures(value.tensor) for name, value in values.items()}
        | {f"outputs.{name}": _figures(other) for name, other in others},
        "aliases": aliases,
        "idle": [name for name, value in values.items() if value.idle],
    }


def _figures(tensor: Any) -> Content:
    flat = tensor.flatten()
    shape, mean, std = list(tensor.shape[1:]), float(flat.mean()), float(flat.std())
    return {"shape": shape, "mean": mean, "std": std, "first": flat[:FIRST].tolist()}


# The names in a spec ----------------------------------------------------------------------------------


def network_of(model: str, shape: tuple[int, ...]) -> Network | None:
    """The zoo's network that reproduces the model, on inputs of that shape."""
    for name, spec in networks().items():
        for profile in spec.profile_names:
            if spec.profile(profile).model == model:
                return archforge.load(name, profile, input=shape)
    return None


def with_aliases(content: Content, *more: Mapping[str, str | None]) -> Content:
    """The content with more aliases, the last one counting, in the order of its taps."""
    aliases = reduce(operator.or_, more, content["aliases"])
    return content | {"aliases": {tap: aliases[tap] for tap in content["taps"] if tap in aliases}}


def named_as_in(network: Network, content: Content) -> Content:
    """The content with an alias for each tap whose value has another name in the network.

    Such a value is found by its figures; of several, that is taken whose name begins most like the tap's.
    """
    golden = parsed_golden(content)
    missing = golden.missing(golden.names(named_values(network.graph)))
    return with_aliases(content, _equal_values(network, golden, missing)) if missing else content


def _equal_values(network: Network, golden: Golden, taps: list[str]) -> dict[str, str | None]:
    """The name of an equal value for each of the taps that the network computes, on weights made by rule."""
    nodes = [node.name for node in network.graph.nodes]
    weights = rule_weights(network.params)
    executable = archforge.compile(network, backend="numpy", dtype="float64", weights=weights, taps=nodes)
    values = executable.run({next(iter(network.graph.inputs)): rule_input(golden.input_shape)}).taps
    found: dict[str, str | None] = {}
    for tap in taps:
        apart = {node: golden.compare_taps({tap: values[node]})[0].distance for node in nodes}
        equal = [node for node in nodes if apart[node] <= TOLERANCE["float64"]]
        if equal:
            found[tap] = max(equal, key=lambda node: _parts_shared(node, tap))
    return found


def _parts_shared(a: str, b: str) -> int:
    """Number of parts that two names have in common at their beginnings."""
    pairs = zip(a.split("."), b.split("."), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


# Files ------------------------------------------------------------------------------------------------


def written(file: str, content: Content) -> str:
    """Write a file of tests/data if it says anything new. A line on what it holds."""
    content = {key: value for key, value in content.items() if value or key not in ("aliases", "idle")}
    about = (
        f"{counted(len(content['entries']), 'array')} of {content['source']}"
        if "entries" in content
        else f"{counted(len(content['taps']), 'tap')} on an input of {by_x(content['input'])}"
    )
    old = unpacked(file)
    if old is not None and alike(unversioned(old), unversioned(content)):
        return f"{file}: {about}, as before"
    write_packed(file, content)
    return f"{file}: {about}, written"


def unversioned(content: Content) -> Content:
    return {key: value for key, value in content.items() if key not in ("source", "torch", *LIBRARIES)}


def alike(a: Any, b: Any) -> bool:
    """True for equal data, where numbers may differ by rounding."""
    match a, b:
        case dict(), dict():
            return list(a) == list(b) and all(alike(a[key], b[key]) for key in a)
        case list(), list():
            return len(a) == len(b) and all(map(alike, a, b))
        case float(), float():
            return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return bool(a == b)


if __name__ == "__main__":
    main()
