"""Specs that make one construct of the language long, many or deep: what an attacker would send.

Each takes a size, and its text grows in proportion to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from archforge.spec.schema.schema import general_schema

__all__ = ["AMPLIFIERS", "HUGE", "OTHER", "PAIRS", "SEARCHES", "START", "composed", "keyed", "many"]

START = "archforge: 1\ninput: [3, 8, 8]\n"
IN_LOOP = START + "graph:\n  - relu\n  - for: {{k: '=range({n})'}}\n    do: [{step}]\n"


def many(size: int, item: str) -> str:
    """`item` over and over, each with its number in place of `@`."""
    return ", ".join(item.replace("@", str(index)) for index in range(size))


def loop(step: str) -> Callable[[int], str]:
    return lambda n: IN_LOOP.format(n=n, step=step)


def graph(item: str, end: str = "relu") -> Callable[[int], str]:
    return lambda n: f"{START}graph: [{many(n, item)}, {end}]\n"


def block(item: str) -> Callable[[int], str]:
    return lambda n: f"{START}blocks: {{b: {{body: [{many(n, item)}]}}}}\ngraph: [relu]\n"


def section(key: str, item: str, rest: str = "graph: [relu]") -> Callable[[int], str]:
    return lambda n: f"{START}{key}: {{{many(n, item)}}}\n{rest}\n"


def space(ranges: str, rest: str = "profiles: {a: {}, b: {}}") -> Callable[[int], str]:
    return lambda n: f"{START}kind: space\nargs: {{{many(n, ranges)}}}\n{rest}\ngraph: [{{conv: 3}}]\n"


AMPLIFIERS: dict[str, Callable[[int], str]] = {
    "nulls in brackets": lambda n: f"{START}args: {{a: [{'a: , ' * n}]}}\ngraph: [relu]\n",
    "keys without values": lambda n: f"a: {{{many(n, 'k@')}}}",
    "comments": lambda n: START + "# c\n" * n + "graph: [relu]\n",
    "digits and underscores": lambda n: f"{START}title: {'0_' * n}x\ngraph: [relu]\n",
    "a text over many lines": lambda n: START + 'title: "' + "a\n  " * n + '"\ngraph: [relu]\n',
    "an escaped name": lambda n: START + 'graph: [{relu: , name: "' + "\\x61" * n + '"}]\n',
    "duplicate keys": lambda n: START + "k: 1\n" * n,
    "unknown ops": graph("{unknown@: 1}"),
    "unknown attributes": graph("{conv: {out: 8, kernal: 3}}"),
    "unknown names": graph("{conv: =n@}"),
    "formulas": block("{conv: =x.channels + @}"),
    "long formulas": lambda n: f"{START}args: {{a: ={'+'.join(['1'] * min(n, 99))}}}\ngraph: [relu]\n",
    "names with formulas": block("{relu: , name: 'a{1}b@'}"),
    "taps": graph("{relu: , as: t@}"),
    "taps by formulas": graph("{relu: , as: 't{1}_@'}", "=t1_1"),
    "taps, then repeats": lambda n: (
        f"{START}graph: [{many(n, '{relu: , as: t@}')}, {many(n, '{relu: , repeat: 1}')}]\n"
    ),
    "taps, then loops": lambda n: (
        f"{START}graph: [{many(n, '{relu: , as: t@}')}, {many(n, '{for: {a: [1]}, do: relu}')}]\n"
    ),
    "lets": graph("{let: {l@: 1}}"),
    "branches": lambda n: f"{START}graph: [{{add: [{many(n, 'relu')}]}}]\n",
    "branches that differ": lambda n: f"{START}graph: [{{add: [{many(n, '{conv: 4}')}, relu]}}]\n",
    "steps in an argument": lambda n: (
        f"{START}blocks: {{b: {{args: {{s: steps}}, body: [=s]}}}}\n"
        f"graph: [{{b: {{s: [{many(n, '{relu: , when: true}')}]}}}}]\n"
    ),
    "arguments": section("args", "a@: 1"),
    "arguments in a row": section("args", "a@: =a0", "graph: [relu]"),
    "blocks": section("blocks", "b@: {body: relu}", "graph: [relu]"),
    "calls": lambda n: (
        f"{START}blocks: {{b: {{args: {{{many(9, 'a@: 1')}}}, body: [relu]}}}}\ngraph: [{many(n, 'b')}]\n"
    ),
    "calls without arguments": lambda n: (
        f"{START}blocks: {{b: {{args: {{{many(9, 'a@: int')}}}, body: [relu]}}}}\ngraph: [{many(n, 'b')}]\n"
    ),
    "defaults": section("defaults", "b@: {a: 1}"),
    "profiles": section("profiles", "p@: {w: @}", "args: {w: 1}\ngraph: [{conv: =w}]"),
    "profiles with mistakes": section("profiles", "p@: {w: @}", "args: {w: 1}\ngraph: [{conv: =w/3}]"),
    "profiles of one graph": section("profiles", "p@: {}"),
    "cases": lambda n: (
        f"{START}blocks: {{b: {{body: [relu], expect: "
        f"{{{many(n, 'c@: {input: [@1, 8, 8], source: s, layers: 2}')}}}}}}}\ngraph: [b]\n"
    ),
    "cells": lambda n: f"{START}graph: [relu]\nexpect: {{default: {{source: s, {many(n, 'c@: 1')}}}}}\n",
    "reasons": lambda n: (
        f"{START}graph: [relu]\nexpect: {{default: {{source: s, params: {{documented: 5, "
        f"because: {{{many(n, 'r@: =layers')}}}}}}}}}\n"
    ),
    "rules": section("rules", "r@: {says: s, count: =layers}"),
    "outputs": section("outputs", "o@: =x"),
    "inputs": lambda n: f"archforge: 1\ninput: {{{many(n, 'i@: [3, 8, 8]')}}}\ngraph: [=i0, relu]\n",
    "a loop of ops": loop("relu"),
    "a loop of named ops": loop("{relu: , name: 'a{k}'}"),
    "a loop of named lists": loop("{name: 'a{k}', seq: [relu, bn]}"),
    "a loop of slots": loop(f"{{relu: , name: 'a{'{k}' * 9}'}}"),
    "a loop with columns": lambda n: (
        f"{START}graph: [{{for: {{k: '=range({n})', {many(50, 'c@: 1')}}}, do: [relu]}}]\n"
    ),
    "a loop of lets": loop("{let: {a: '=[j for j in range(9)]', b: =sum(a)}}"),
    "a loop of constant lists": loop(f"{{let: {{a: [{'1, ' * 50}]}}}}"),
    "a loop of nested lists": loop("{let: {a: '=[k]', b: '=[a]', c: =b == a}}"),
    "a loop of mistakes": loop("{conv: =k/3}"),
    "a loop of unknown ops": loop("'=\"relo\" + str(k)'"),
    "a loop of equal names": loop("{relu: , name: a}"),
    "a loop of shared ones": loop("{bn: , share: a}"),
    "a loop of branches": loop("{add: [[], [], relu]}"),
    "a loop of nothing": loop("{seq: []}"),
    "a long name": lambda n: f"{START}graph: [{{seq: [{many(n, 'relu')}], name: {'n' * n}}}]\n",
    "a list of taps": lambda n: (
        f"{START}graph: [{{for: {{k: '=range({n})'}}, do: [{{relu: , append: t}}]}}, {{add: =t}}]\n"
    ),
    "ranges": space("a@: {int: [1, 1000], count: 9}"),
    "ranges in profiles": lambda n: space("a@: {int: [1, 9]}", f"profiles: {{{many(n, 'p@: {}')}}}")(9),
    "choices": lambda n: space("a: {choice: [" + ", ".join(map(str, range(n))) + "], count: 9}")(1),
    "constraints": lambda n: space("a: {int: [1, 1000]}", f"constraints: [{many(n, '=a > @')}]")(1),
    "imports": lambda n: f"{START}imports: [{many(n, 'f@')}]\ngraph: [relu]\n",
}

# Searches for a draw that end where the budget does, whatever the size.
SEARCHES: dict[str, Callable[[int], str]] = {
    "a constraint that takes long": lambda n: space(
        "a: {int: [1, 9]}", f"constraints: ['=a > sum([b for b in range({n % 9_000 + 9})])']"
    )(1),
    "draws that take long": lambda n: space(
        f"a: {{int: [1, 999], count: {n % 100 + 1}}}, b: {{int: [1, 1000]}}", "constraints: ['=a[0] + b < 2']"
    )(1),
}

OTHER = "other"


def edits(of: str, edit: str) -> Callable[[int], tuple[str, str]]:
    def made(n: int) -> tuple[str, str]:
        other = f"{START}kind: template\ngraph: [{many(n, of)}, relu]\n"
        return f"archforge: 1\nextends: {OTHER}\nedits: {{graph: {{replace: {{{many(n, edit)}}}}}}}\n", other

    return made


def networks(blocks: Callable[[int], str], graph: Callable[[int], str]) -> Callable[[int], tuple[str, str]]:
    def made(n: int) -> tuple[str, str]:
        other = f"{START}graph: [{many(n, '{relu: , name: a@}')}]\n"
        return f"{START}blocks: {{{blocks(n)}}}\ngraph: [{graph(n)}]\n", other

    return made


# Those that take a file beside them, `OTHER`: its text comes second.
PAIRS: dict[str, Callable[[int], tuple[str, str]]] = {
    "edits": edits("{relu: , name: a@}", "a@: bn"),
    "edits of what is not there": edits("{relu: , name: a@}", f"b@{'c' * 90}: bn"),
    "an edit in a list with a long name": lambda n: (
        f"archforge: 1\nextends: {OTHER}\nedits: {{graph: {{replace: {{relu: bn}}}}}}\n",
        f"{START}kind: template\ngraph: [{{name: {'n' * n}, seq: [{many(n, 'relu')}]}}]\n",
    ),
    "a network": networks(lambda n: f"b: {{network: {OTHER}}}", lambda n: "b"),
    "networks": networks(lambda n: many(n, f"b@: {{network: {OTHER}}}"), lambda n: "relu"),
    "a network over and over": networks(lambda n: f"b: {{network: {OTHER}}}", lambda n: many(9, "b")),
    "taps of a network": networks(
        lambda n: f"b: {{network: {OTHER}, taps: [{many(n, 'a@')}]}}", lambda n: "b"
    ),
    "taps that are not there": networks(
        lambda n: f"b: {{network: {OTHER}, taps: [{many(n, 'c@' + 'c' * 90)}]}}", lambda n: "b"
    ),
}


# Any key

HUGE: dict[str, Callable[[int], Any]] = {
    "a long text": lambda n: "x" * n,
    "a long number": lambda n: "9" * n,
    "a formula": lambda n: "=" + "+".join(["1"] * (n // 2)),
    "braces": lambda n: "{i}" * (n // 3),
    "a list": lambda n: [1] * (n // 4),
    "a list of steps": lambda n: [{"relu": None}] * (n // 10),
    "a list of formulas": lambda n: ["=1"] * (n // 6),
    "a mapping": lambda n: {f"k{i}": 1 for i in range(n // 12)},
    "mappings": lambda n: {f"k{i}": {"input": [3], "body": ["relu"]} for i in range(n // 40)},
    "deep lists": lambda n: [[[[[[[[1]]]]]]]] * (n // 20),
}


def keyed() -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Every key of the language as a path, from the schema, with what makes a spec that has a value there."""
    schema = general_schema()
    yield from _keys(schema, schema, (), set())


def _keys(
    schema: dict[str, Any], node: Any, path: tuple[str, ...], seen: set[str]
) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    if not isinstance(node, dict):
        return
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if name not in seen:
            yield from _keys(schema, schema["definitions"].get(name), path, seen | {name})
    for key, value in node.get("properties", {}).items():
        yield ".".join((*path, key)), lambda huge, p=(*path, key): _nested(p, huge)  # type: ignore[misc]
        yield from _keys(schema, value, (*path, key), seen)
    for key in ("allOf", "anyOf"):
        for value in node.get(key, ()):
            yield from _keys(schema, value, path, seen)
    for key, name in (("additionalProperties", "a"), ("items", "-")):
        yield from _keys(schema, node.get(key), (*path, name), seen)
    for key in ("then", "else"):
        yield from _keys(schema, node.get(key), path, seen)


def _nested(path: tuple[str, ...], value: Any) -> Any:
    for key in reversed(path):
        value = [value] if key == "-" else {key: value}
    start = {"archforge": 1, "input": [3, 8, 8], "graph": ["relu"]}
    return start | value if isinstance(value, dict) else start


def composed(random: Random, size: int) -> str:
    """Sections of several specs in one, each key once."""
    lines: dict[str, str] = {}
    for name in random.sample(sorted(AMPLIFIERS), 6):
        for line in AMPLIFIERS[name](size // 6).splitlines():
            key = line.partition(":")[0]
            if not line.startswith(" "):
                lines.setdefault(key, line)
    return "\n".join(lines.values()) + "\n"
