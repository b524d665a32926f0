"""Weights as a caller gives them: their names, of nested mappings joined by dots, and the prefix of these;
what of them is copied."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from archforge.data.sharded import INDEX, SHARD
from archforge.data.stored_arrays import LazyArrays, StoredArray
from archforge.errors import Diagnostic, closest, fail, type_in_words
from archforge.ops.lazy_numpy import np
from archforge.python_values import require_text

__all__ = [
    "by_name",
    "copies",
    "copies_diagnostic",
    "kept",
    "named_alike",
    "prefix_diagnostic",
    "prefixes",
    "shard_diagnostic",
    "without_prefix",
]


def by_name(given: Any) -> Mapping[str, Any]:
    """The arrays of a mapping by full names: `{"state_dict": {"fc.bias": x}}` has `state_dict.fc.bias`.

    Raises E0605 for what is no mapping from names.
    """
    if not isinstance(given, Mapping):
        help = (
            "weights=model.state_dict()"
            if hasattr(given, "state_dict")
            else "a mapping, or the path of a file"
        )
        fail("E0605", f"weights are arrays by name, found {type_in_words(given)}", help=help)
    return dict(_flat(given, "", 0))


DEEPEST = 8  # mappings within mappings; a checkpoint has two


def _flat(given: Mapping[Any, Any], before: str, depth: int) -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        if not isinstance(name, str) and not before:
            fail("E0605", f"weights are arrays by name, found the name {name!r}")
        if isinstance(value, Mapping) and depth < DEEPEST:
            yield from _flat(value, f"{before}{name}.", depth + 1)
        else:
            yield f"{before}{name}", value


def prefixes(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """The prefixes, such as `module.`, behind which `given` has most of the wanted names, more than it has
    without one."""
    found: Counter[str] = Counter()
    for name in given:
        place = name.find(".") + 1
        while place:
            if name[place:] in wanted:
                found[name[:place]] += 1
            place = name.find(".", place) + 1
    least = max(len(wanted) / 2, sum(name in wanted for name in given))
    return [prefix for prefix, number in found.items() if number > least or number == len(wanted) > least]


def named_alike(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> int:
    """The number of wanted names that `given` has, behind any one prefix."""
    found = ("", *prefixes(wanted, given))
    return max(sum(f"{prefix}{name}" in given for name in wanted) for prefix in found)


def copies(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """The prefixes, such as `ema.`, behind which `given` has all the wanted names once more than by
    themselves."""
    if not wanted or not wanted.keys() <= given.keys():
        return []
    first = next(iter(wanted))
    found = [name[: -len(first)] for name in given if name.endswith(f".{first}")]
    return [prefix for prefix in found if all(f"{prefix}{name}" in given for name in wanted)]


def copies_diagnostic(found: list[str]) -> Diagnostic:
    """The mistake that weights hold a network twice, once behind each of these prefixes."""
    listed = " and ".join(f"`{prefix}`" for prefix in found[:4])
    message = f"the weights hold the network's names by themselves, and again behind {listed}"
    help = (
        f"to take these: --prefix {found[0]}; in Python: prefix={found[0]!r}; else leave them out of the file"
    )
    return Diagnostic("E0603", message, help=help)


def prefix_diagnostic(found: list[str]) -> Diagnostic:
    """The mistake that the names of weights have these prefixes, and the network's have none."""
    if len(found) == 1:
        message = f"the names of the weights begin with `{found[0]}`, those of the network do not"
        help = f"--prefix {found[0]} takes it off; in Python: prefix={found[0]!r}"
    else:
        listed = " and ".join(f"`{prefix}`" for prefix in found[:4])
        message = f"the weights hold the network's names more than once, behind {listed}"
        help = f"name the one to take: --prefix {found[0]}; in Python: prefix={found[0]!r}"
    return Diagnostic("E0602", message, help=help)


def shard_diagnostic(given: Mapping[str, Any]) -> Diagnostic | None:
    """The mistake that weights are those of one file of several, where its name says so, as the names on the
    Hugging Face hub do: `model-00001-of-00003.safetensors`."""
    first = next(iter(given.values()), None)
    name = first.file.path.name if isinstance(first, StoredArray) else ""
    part = re.fullmatch(rf"(.+)-(\d+)-of-(\d+){re.escape(SHARD)}", name)
    if part is None or int(part[3]) < 2:
        return None
    message = f"{name} is one of {int(part[3])} files, which hold the weights together"
    return Diagnostic("E0602", message, help=f"name their index, {part[1]}{INDEX}, beside which they lie")


def without_prefix(given: Mapping[str, Any], prefix: str) -> Mapping[str, Any]:
    """The arrays whose names begin with a prefix, without it; a dot at its end may be left out.

    Raises E0001 where no name does.
    """
    if not require_text("prefix", prefix):
        return given
    whole = prefix if prefix.endswith(".") else f"{prefix}."
    found = {name[len(whole) :]: value for name, value in given.items() if name.startswith(whole)}
    if not found:
        known = dict.fromkeys(f"{name.partition('.')[0]}." for name in given if "." in name)
        near = closest(whole, known)
        listed = ", ".join(f"`{name}`" for name in list(known)[:8])
        help = f"did you mean `{near}`?" if near else f"they begin with: {listed}" if known else ""
        fail("E0001", f"no name of the weights begins with `{whole}`", help=help)
    return found


def kept(arrays: LazyArrays) -> LazyArrays:
    """The arrays as an executable keeps them: copied where the caller can write to them, else as they are."""
    return {
        name: array.copy() if isinstance(array, np.ndarray) and array.flags.writeable else array
        for name, array in arrays.items()
    }
