"""Arrays of a file matched with the parameters of a network: as a mapping says, by name, then by order and
shape."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archforge.data.stored_arrays import LazyArrays
from archforge.errors import Diagnostic, DiagnosticError, did_you_mean, listed
from archforge.ir import ParamDecl, TypedGraph, shape_text
from archforge.ops.lazy_numpy import np
from archforge.weights.bind import COUNTER, first_listed
from archforge.weights.given import copies, copies_diagnostic, prefix_diagnostic, prefixes
from archforge.weights.layer_order import ArrayGroup, OrderPairing, groups_of_network, paired_by_order

__all__ = ["Matched", "Matching", "matching"]

NORM = {"running_mean", "running_var"}  # all that Caffe's batch norm has
SCALE = {"weight", "bias"}  # and the layer behind it


@dataclass(frozen=True, slots=True)
class Matched:
    """Array of a file that a parameter takes. how: `mapping`, `name` or `order`."""

    source: str
    how: str


@dataclass(frozen=True, slots=True)
class Matching:
    """Arrays of a file for all parameters of a network, in the order of these. left: the arrays that are left
    out, each with the reason in words."""

    parameters: Mapping[str, Matched]
    left: Mapping[str, str]

    @property
    def named(self) -> int:
        """Number of parameters that were not matched by order."""
        return sum(m.how != "order" for m in self.parameters.values())


def matching(
    typed: TypedGraph,
    given: LazyArrays,
    *,
    chosen: Mapping[str, str] | None = None,
    leave: Collection[str] = (),
    in_order: bool,
    by_order: bool = False,
) -> Matching:
    """An array for each parameter of the network.

    chosen: the array of a parameter, or the scope of one of the network's, by name; it counts first. leave:
    patterns of arrays that are not wanted. in_order: the arrays are in an order in which the file's network
    computes. by_order: of several orders that fit, the network's own is taken, if it is one. Raises all that
    does not match: E0602 for parameters without an array, E0603 for arrays without a parameter, E0604 for
    shapes, E0610 for arrays that fit several parameters.
    """
    decls = typed.params()
    found, wrong = _chosen(decls, given, chosen or {})
    left = _left(given, {m.source for m in found.values()}, leave)
    if all(decl.shape for decl in decls.values()):
        left |= {n: "no weights" for n, a in given.items() if n not in decls and _is_setting(a)}
    free = {name: value for name, value in given.items() if name not in left}
    prefix = _prefix(decls, free)
    left |= {n: f"not behind {prefix}" for n in free if not n.startswith(prefix)}
    free = {name: value for name, value in free.items() if name not in left}
    _match_names(decls, free, prefix, found)
    if wrong:
        raise DiagnosticError(tuple(wrong))
    rest = {name: decl for name, decl in decls.items() if name not in found}
    if rest:
        _match_order(typed, rest, _unused(free, found), found, in_order=in_order, by_order=by_order)
    if unused := _unused(free, found):
        raise DiagnosticError((_not_used([*unused], {m.source for m in found.values()}),))
    return Matching({name: found[name] for name in decls}, left)


def _chosen(
    decls: Mapping[str, ParamDecl], given: LazyArrays, chosen: Mapping[str, str]
) -> tuple[dict[str, Matched], list[Diagnostic]]:
    """Arrays that a mapping names, and mistakes in it."""
    found: dict[str, Matched] = {}
    wrong: list[Diagnostic] = []
    for target, source in chosen.items():
        pairs = {target: source} if target in decls else _in_scope(target, source, decls)
        if not pairs:
            help = did_you_mean(target, decls, what="parameters")
            wrong.append(Diagnostic("E0602", f"the network has no parameter or scope `{target}`", help=help))
        for parameter, name in pairs.items():
            if name not in given:
                help = did_you_mean(name, given, what="the file has")
                wrong.append(
                    Diagnostic("E0603", f"the file has no array `{name}`, for `{parameter}`", help=help)
                )
            elif given[name].shape != decls[parameter].shape:
                wrong.append(_other_shape(parameter, decls[parameter].shape, name, given[name].shape))
            else:
                found[parameter] = Matched(name, "mapping")
    return found, wrong


def _in_scope(target: str, source: str, decls: Mapping[str, ParamDecl]) -> dict[str, str]:
    return {name: f"{source}{name[len(target) :]}" for name in decls if name.startswith(f"{target}.")}


def _left(given: Mapping[str, Any], taken: Collection[str], leave: Collection[str]) -> dict[str, str]:
    """The arrays that are not looked at. Raises E0001 for a pattern that none has."""
    left = {name: "a counter of batches" for name in given if name.endswith(COUNTER) and name not in taken}
    wrong: list[Diagnostic] = []
    for pattern in leave:
        names = [name for name in given if fnmatch.fnmatchcase(name, pattern) and name not in taken]
        if not names:
            help = did_you_mean(pattern, given, what="the file has")
            wrong.append(Diagnostic("E0001", f"no array of the file is called `{pattern}`", help=help))
        left |= dict.fromkeys(names, f"as --leave {pattern} says")
    if wrong:
        raise DiagnosticError(tuple(wrong))
    return left


def _is_setting(array: Any) -> bool:
    """True for a single number, and for a list of int64: in files of ONNX bounds, rates, shapes and axes."""
    return not array.ndim or (array.ndim == 1 and array.dtype == np.int64)


def _prefix(decls: Mapping[str, ParamDecl], free: Mapping[str, Any]) -> str:
    """The prefix of the names in the file; empty if there is none. Raises E0602 and E0603 for several
    copies."""
    if decls.keys() <= free.keys():
        if found := copies(decls, free):
            raise DiagnosticError((copies_diagnostic(found),))
        return ""
    found = prefixes(decls, free)
    if len(found) > 1:
        raise DiagnosticError((prefix_diagnostic(found),))
    return found[0] if found else ""


def _unused(free: LazyArrays, found: Mapping[str, Matched]) -> LazyArrays:
    """The arrays that no parameter takes so far."""
    taken = {m.source for m in found.values()}
    return {name: value for name, value in free.items() if name not in taken}


def _match_names(
    decls: Mapping[str, ParamDecl], free: LazyArrays, prefix: str, found: dict[str, Matched]
) -> None:
    """Add the parameters that the file has under the same names. Raises E0604 for shapes."""
    taken = {m.source for m in found.values()}
    wrong: list[Diagnostic] = []
    for name, decl in decls.items():
        source = f"{prefix}{name}"
        if name in found or source not in free or source in taken:
            continue
        if free[source].shape == decl.shape:
            found[name] = Matched(source, "name")
        else:
            wrong.append(_other_shape(name, decl.shape, source, free[source].shape))
    if wrong:
        more = "arrays have another shape"
        raise DiagnosticError(tuple(first_listed(iter(wrong), len(wrong), "E0604", more)))


def _match_order(
    typed: TypedGraph,
    rest: Mapping[str, ParamDecl],
    unused: LazyArrays,
    found: dict[str, Matched],
    *,
    in_order: bool,
    by_order: bool,
) -> None:
    """Add the parameters whose arrays have other names, by order and shape."""
    shapes = {name: decl.shape for name, decl in rest.items()}
    arrays = {n: a.shape for n, a in unused.items() if np.issubdtype(a.dtype, np.floating)}
    if not in_order or not arrays:
        missing = first_listed(_missing(shapes, arrays), len(shapes), "E0602", "parameters have no array")
        not_used = [_not_used([*unused], {m.source for m in found.values()})] if unused else []
        raise DiagnosticError((*missing, *not_used))
    parts = {name.rpartition(".")[2] for name in rest}
    by_array = not all(name.rpartition(".")[2] in parts for name in arrays)
    network = groups_of_network(typed, shapes, by_array=by_array)
    file = _groups_of_file(arrays, by_array=by_array)
    pairing = paired_by_order(network, file)
    if pairing.failed is not None or len(network) != len(file):
        raise DiagnosticError(tuple(_no_order(network, file, pairing)))
    if pairing.ambiguous and not (by_order and pairing.is_in_order):
        several, total = _ambiguous(network, file, pairing), len(pairing.ambiguous)
        raise DiagnosticError(
            tuple(first_listed(several, total, "E0610", "layers of the file can be several"))
        )
    for group, index in zip(file, pairing.first, strict=True):
        for part, (name, _) in network[index].arrays.items():
            found[name] = Matched(group.arrays[part][0], "order")


def _groups_of_file(arrays: Mapping[str, tuple[int, ...]], *, by_array: bool) -> list[ArrayGroup]:
    """The arrays by layer, in their order. The two layers that a batch norm is in Caffe are one."""
    if by_array:
        return [ArrayGroup(name, {"": (name, shape)}) for name, shape in arrays.items()]
    layers: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {}
    for name, shape in arrays.items():
        scope, _, part = name.rpartition(".")
        layers.setdefault(scope, {})[part] = (name, shape)
    groups: list[ArrayGroup] = []
    for scope, parts in layers.items():
        last = groups[-1] if groups else None
        if last and last.arrays.keys() == NORM and parts.keys() == SCALE:
            groups[-1] = ArrayGroup(last.name, {**last.arrays, **parts})
        else:
            groups.append(ArrayGroup(scope, parts))
    return groups


# Messages --------------------------------------------------------------------------------------------------


def _other_shape(name: str, wanted: tuple[int, ...], source: str, has: tuple[int, ...]) -> Diagnostic:
    message = f"`{name}` is {shape_text(wanted)}, and `{source}` of the file {shape_text(has)}"
    return Diagnostic("E0604", message)


def _missing(
    shapes: Mapping[str, tuple[int, ...]], arrays: Mapping[str, tuple[int, ...]]
) -> Iterator[Diagnostic]:
    for name, shape in shapes.items():
        fit = [other for other, has in arrays.items() if has == shape]
        help = (
            f"of this shape: {listed(f'`{n}`' for n in fit)}"
            if fit
            else "no array that is left has this shape"
        )
        yield Diagnostic("E0602", f"the file has no array for `{name}`, {shape_text(shape)}", help=help)


def _not_used(names: list[str], taken: Collection[str]) -> Diagnostic:
    message = f"nothing in the network takes {len(names)} of the arrays: {listed(f'`{n}`' for n in names)}"
    options = listed(
        (f"--leave '{p}'" for p in dict.fromkeys(_pattern(n, taken) for n in names)), between=" "
    )
    return Diagnostic("E0603", message, help=f"to leave them out: {options}")


def _pattern(name: str, taken: Collection[str]) -> str:
    """A pattern for the first scope of a name, unless an array of it is needed."""
    scope = name.partition(".")[0]
    is_needed = any(other.startswith(f"{scope}.") for other in taken)
    return name if scope == name or is_needed else f"{scope}.*"


def _no_order(
    network: Sequence[ArrayGroup], file: Sequence[ArrayGroup], pairing: OrderPairing
) -> Iterator[Diagnostic]:
    here, there = f"{len(network)} layers of the network", f"{len(file)} of the file"
    message = f"{here} and {there} have other names, and do not match by order and shape"
    if pairing.failed is not None:
        group = file[pairing.failed]
        message += f"; `{group.name}`, number {pairing.failed + 1}, is the first that cannot"
        fit = [other.name for other in network if other.signature == group.signature]
        same = f"of its shapes: {listed(f'`{n}`' for n in fit)}" if fit else "none has its shapes"
        message += f": it has {_shapes(group)}, and {same}"
    help = "--mapping FILE says which belong together, --leave what is not needed"
    if norms := _folded(network, file):
        message += f"; its {norms} batch norms seem to be folded into its convolutions"
        help = (
            "export it without folding: in torch, training=TrainingMode.PRESERVE, do_constant_folding=False"
        )
    yield Diagnostic("E0602", message, help=help)
    yield Diagnostic("E0602", f"of the network: {listed(f'`{g.name}`' for g in network)}")
    yield Diagnostic("E0603", f"of the file: {listed(f'`{g.name}`' for g in file)}")


def _folded(network: Sequence[ArrayGroup], file: Sequence[ArrayGroup]) -> int:
    """The number of the network's batch norms, if the file has arrays for all but them: then each convolution
    has a bias, which those of the network have or not."""
    names = [name for group in network for name, _ in group.arrays.values()]
    norms = sum(name.endswith(".running_mean") for name in names)
    held = sum(len(group.arrays) for group in file)
    return norms if held in (len(names) - 4 * norms, len(names) - 3 * norms) else 0


def _shapes(group: ArrayGroup) -> str:
    return ", ".join(f"{part} {shape_text(shape)}".strip() for part, (_, shape) in group.arrays.items())


def _ambiguous(
    network: Sequence[ArrayGroup], file: Sequence[ArrayGroup], pairing: OrderPairing
) -> Iterator[Diagnostic]:
    for place in pairing.ambiguous:
        fit = listed(f"`{network[index].name}`" for index in pairing.options[place])
        message = f"`{file[place].name}` of the file can be {fit}: equal shapes, in branches side by side"
        first = network[pairing.options[place][0]].name
        help = f'--mapping FILE with {{"parameters": {{"{first}": "{file[place].name}"}}}}'
        if pairing.is_in_order:
            help += ", or --by-order for the order of the network"
        yield Diagnostic("E0610", message, help=help)
