"""Layers of a file paired with those of a network by order and shape, where their names differ.

A file lists its layers in an order in which its network can compute them. So a pairing is an order in which
the network here can compute its own, with the same shapes at each place. All such orders are followed at
once: where they disagree on a layer, order and shape do not say which one it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from archforge.ir import TypedGraph

__all__ = ["ArrayGroup", "OrderPairing", "groups_of_network", "paired_by_order"]

MOST_ORDERS = 4096  # followed at once

Signature = frozenset[tuple[str, tuple[int, ...]]]
_Moves = dict[int, list[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class ArrayGroup:
    """Arrays of one layer. arrays: full names and shapes by what each is to the layer, such as `weight`.
    after: bits, one for each group that is computed before this one."""

    name: str
    arrays: Mapping[str, tuple[str, tuple[int, ...]]]
    after: int = 0

    @property
    def signature(self) -> Signature:
        """Each array's part and shape, which are compared."""
        return frozenset((part, shape) for part, (_, shape) in self.arrays.items())


@dataclass(frozen=True, slots=True)
class OrderPairing:
    """Positions in the network's groups, for each group of the file: those that it can be, the first of them
    in the order of the network. failed: the first group of the file that none can be; None if all can."""

    options: tuple[tuple[int, ...], ...] = ()
    first: tuple[int, ...] = ()
    failed: int | None = None

    @property
    def is_in_order(self) -> bool:
        """True if the file can be in the order of the network: then all layers can be those at their
        places."""
        return self.first == tuple(range(len(self.first)))

    @property
    def ambiguous(self) -> list[int]:
        """The groups of the file that can be several of the network's."""
        return [place for place, options in enumerate(self.options) if len(options) > 1]


def groups_of_network(
    typed: TypedGraph, wanted: Mapping[str, tuple[int, ...]], *, by_array: bool
) -> list[ArrayGroup]:
    """The wanted parameters by layer, in the order of the nodes; by_array: each by itself, nameless parts,
    the arrays of a layer in their order."""
    groups: list[ArrayGroup] = []
    seen: dict[str, int] = {}  # bits of the groups that a value depends on
    done: set[str] = set()
    for node in typed.nodes:
        before = 0
        for value in node.inputs:
            before |= seen.get(value, 0)
        own = {
            part: (node.param_name(part), decl.shape)
            for part, decl in node.op.params(*typed.input_types(node)).items()
            if node.param_name(part) in wanted and node.param_name(part) not in done
        }
        done.update(name for name, _ in own.values())
        parts = [{"": entry} for entry in own.values()] if by_array else [own] if own else []
        for arrays in parts:
            name = next(iter(arrays.values()))[0] if by_array else node.params_of
            groups.append(ArrayGroup(name, arrays, before))
            before |= 1 << len(groups) - 1
        seen[node.name] = before
    return groups


def paired_by_order(network: Sequence[ArrayGroup], file: Sequence[ArrayGroup]) -> OrderPairing:
    """Each group of the file with those of the network that it can be."""
    signatures = [group.signature for group in network]
    states: list[_Moves] = []  # by state, what led to it: the state before, and a group
    current = {0}
    for place, group in enumerate(file):
        wanted = group.signature
        reached: _Moves = {}
        for state in sorted(current):
            for index, signature in enumerate(signatures):
                is_next = not state >> index & 1 and network[index].after & ~state == 0
                if is_next and signature == wanted:
                    reached.setdefault(state | 1 << index, []).append((state, index))
        if not reached or len(reached) > MOST_ORDERS:
            return OrderPairing(failed=place)
        states.append(reached)
        current = set(reached)
    ways: list[_Moves] = []  # by state, what can follow it: a group, and the state then
    for reached in reversed(states):
        following: _Moves = {}
        for state in current:
            for before, index in reached[state]:
                following.setdefault(before, []).append((index, state))
        ways.append(following)
        current = set(following)
    ways.reverse()
    state, first = 0, []
    for following in ways:
        index, state = min(following[state])
        first.append(index)
    options = (sorted({index for after in following.values() for index, _ in after}) for following in ways)
    return OrderPairing(tuple(map(tuple, options)), tuple(first))
