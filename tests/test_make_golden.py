"""Reference data is made alike each time, in the names of the specs, and only where it says anything new."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import archforge
from archforge.analysis.network import Network
from archforge.ops.base import Array
from archforge.weights.golden import parsed_golden, read_golden
from archforge.weights.rule_made import rule_input, rule_weights
from tests import make_golden, zoo
from tests.make_golden import main, named_as_in, written
from tests.zoo import DATA, write_packed

# Small ones with norms that hold their activation, a dropout that the spec names, aliases, and none.
MODELS = ("timm.mobilenetv3_small_100", "timm.seresnet18", "torchvision.mobilenet_v2", "torchvision.resnet18")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of tests/data."""
    for folder in ("canonical_params", "golden"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(zoo, "DATA", tmp_path)
    return tmp_path


def packed_files() -> Iterator[Path]:
    for folder in ("canonical_params", "golden"):
        yield from sorted((DATA / folder).iterdir())


def test_the_same_content_is_packed_as_the_same_bytes(data: Path) -> None:
    for name in ("one", "other"):
        write_packed(f"golden/{name}", {"b": [1, 0.1], "a": {}})
    one, other = ((data / f"golden/{name}.json.gz").read_bytes() for name in ("one", "other"))
    assert one == other
    assert gzip.decompress(one) == b'{"b":[1,0.1],"a":{}}'


def test_the_files_are_packed_json_without_spaces_or_time() -> None:
    for file in packed_files():
        data = file.read_bytes()
        text = gzip.decompress(data).decode()
        assert json.dumps(json.loads(text), separators=(",", ":")) == text, file.name
        assert data[4:8] == bytes(4), f"{file.name} has a time stamp"


def test_golden_files_say_nothing_that_goes_without_saying() -> None:
    for file in sorted((DATA / "golden").iterdir()):
        golden = read_golden(file)
        assert all(tap != name for tap, name in golden.aliases.items()), file.name
        assert not golden.aliases.keys() & golden.idle, file.name


# Names and figures ------------------------------------------------------------------------------------

SPEC = """\
archforge: 1
title: Two branches
input: [3, 8, 8]
graph:
  - {conv: {out: 4, kernel: 3}, name: left.conv}
  - {relu: , name: left.relu}
  - {relu: , name: right.relu}
  - {global_avg_pool: , name: right.pool}
  - flatten
  - {linear: 5, name: head}
"""


@pytest.fixture
def network(tmp_path: Path) -> Network:
    (tmp_path / "spec.yaml").write_text(SPEC)
    return archforge.load(tmp_path / "spec.yaml")


def content(network: Network, taps: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """Content of the golden file of a library that names the network's values as the keys of `taps` do."""
    shape = (1, *network.graph.inputs["input"].shape)
    weights = rule_weights(network.params)
    names = set(taps.values())
    run = archforge.compile(network, backend="numpy", dtype="float64", weights=weights, taps=names)
    y, values = run(rule_input(shape))
    tapped = {tap: {**figures(values[name]), "first": first(values[name])} for tap, name in taps.items()}
    output = {**figures(y), "shape": list(y.shape), "values": first(y)}
    return {"model": "lib.net", "input": list(shape), "output": output, "taps": tapped, "aliases": {}, **more}


def figures(array: Array) -> dict[str, Any]:
    return {"shape": list(array.shape[1:]), "mean": float(array.mean()), "std": float(array.std())}


def first(array: Array) -> list[float]:
    found: list[float] = array.ravel()[:4].tolist()
    return found


def test_a_tap_is_given_the_name_of_the_equal_value_whose_name_is_most_alike(network: Network) -> None:
    taps = {"head": "head", "right.act": "right.relu", "left.act": "left.relu", "global_pool": "flatten"}
    found = named_as_in(network, content(network, taps))
    assert found["aliases"] == {"right.act": "right.relu", "left.act": "left.relu", "global_pool": "flatten"}


def test_a_name_that_was_given_stays_while_the_spec_has_it(network: Network) -> None:
    given = {"act": "right.relu", "pool": "nonesuch", "x": None}
    taps = {"act": "left.relu", "pool": "right.pool", "x": "left.conv"}
    found = named_as_in(network, content(network, taps, aliases=given))
    assert found["aliases"] == {"act": "right.relu", "pool": "right.pool", "x": None}


def test_a_value_that_the_spec_computes_otherwise_gets_no_name(network: Network) -> None:
    wrong = content(network, {"act": "left.relu", "drop": "left.conv"}, idle=["drop"])
    wrong["taps"]["act"]["mean"] += 1
    assert named_as_in(network, wrong)["aliases"] == {}
    assert parsed_golden(wrong).missing(()) == ["act"]


def test_a_file_that_says_the_same_is_left_as_it_is(network: Network, data: Path) -> None:
    made = content(network, {"act": "left.relu"}, torch="1.0")
    file = data / "golden/lib.net.json.gz"
    assert written("golden/lib.net", made) == "golden/lib.net: 1 tap on an input of 1x3x8x8, written"
    before = file.read_bytes()
    assert "aliases" not in json.loads(gzip.decompress(before))
    made["torch"] = "2.0"
    made["taps"]["act"]["mean"] *= 1 + 1e-14
    assert written("golden/lib.net", made) == "golden/lib.net: 1 tap on an input of 1x3x8x8, as before"
    assert file.read_bytes() == before
    made["taps"]["act"]["mean"] *= 1 + 1e-6
    assert written("golden/lib.net", made).endswith(", written")
    assert json.loads(gzip.decompress(file.read_bytes())) == {k: v for k, v in made.items() if k != "aliases"}


@pytest.mark.parametrize("model", ["resnet50", "keras.ResNet50"])
def test_a_network_of_another_library_is_refused(model: str) -> None:
    with pytest.raises(SystemExit, match="a network is torchvision"):
        main([model])


# What needs the libraries -----------------------------------------------------------------------------


@pytest.fixture
def libraries() -> None:
    for name in ("torch", "torchvision", "timm"):
        pytest.importorskip(name, reason=f"{name} is not installed: `make test-torch` installs it")


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("model", MODELS)
def test_the_libraries_give_what_the_files_hold(
    model: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([model])
    for folder in ("canonical_params", "golden"):
        found, shipped = (root / folder / f"{model}.json.gz" for root in (data, DATA))
        made, held = (json.loads(gzip.decompress(file.read_bytes())) for file in (found, shipped))
        assert make_golden.alike(make_golden.unversioned(made), make_golden.unversioned(held))
        before = found.read_bytes()
        found.unlink()
        main([model, "--input", "x".join(map(str, held["input"][1:]))] if folder == "golden" else [model])
        assert found.read_bytes() == before
    assert "has no value" not in capsys.readouterr().out


@pytest.mark.usefixtures("libraries", "data")
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["timm.resnet51"], r"timm \S+ has no network resnet51"),
        (["torchvision.resnet51"], r"torchvision \S+ has no network resnet51"),
        (
            ["timm.mobilenetv3_small_100", "--alias", "act1=relu"],
            "timm.mobilenetv3_small_100 has no tap `act1`",
        ),
    ],
)
def test_what_a_library_lacks_is_told(arguments: list[str], complaint: str) -> None:
    with pytest.raises(SystemExit, match=complaint):
        main(arguments)


@pytest.mark.usefixtures("libraries")
def test_a_network_that_no_spec_has_yet_gets_its_files(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["timm.lcnet_035", "--input", "3x64x64", "--alias", "bn1.drop="])
    assert "no spec has a profile with `model: timm.lcnet_035` yet" in capsys.readouterr().out
    golden = read_golden(data / "golden/timm.lcnet_035.json.gz")
    assert golden.input_shape == (1, 3, 64, 64)
    assert golden.aliases["bn1"] == "bn1.act"
    main(["timm.lcnet_035"])  # on the input of the file
    assert capsys.readouterr().out.count("as before") == 2
    main(["timm.lcnet_050", "--params"])
    assert sorted(file.name for file in data.glob("*/timm.lcnet_050*")) == ["timm.lcnet_050.json.gz"]
