"""Settings of a caller (`--set`): values of a spec's arguments, as `width`, and defaults of ops and blocks,
as `bn.eps`, which win over those of the profile."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import chain
from typing import Any

from pydantic import ValidationError

from archforge.errors import did_you_mean, fail, fail_all
from archforge.ops import OP_WORDS, find_op
from archforge.ops.base import Op
from archforge.spec.binding.calls import as_attribute, attribute_mistakes
from archforge.spec.binding.environment import NOTHING
from archforge.spec.binding.suggestions import argument_hint, target_hint
from archforge.spec.resolve.spec import Spec
from archforge.spec.syntax.form_checks import Mistakes
from archforge.spec.syntax.inner_steps import steps_of
from archforge.spec.syntax.syntax_tree import Argument, BlockDecl, Defaults

__all__ = ["plain_settings", "set_arguments", "set_defaults", "setting_texts"]

MARK = "."  # between an op or block and what is set of it


def set_arguments(settings: Mapping[str, Argument], spec: Spec) -> dict[str, Argument]:
    """The arguments of the spec among the settings. Raises E0306 for one that it does not have."""
    found = {name: argument for name, argument in settings.items() if MARK not in name}
    for name in found:
        if name not in spec.args:
            hint = did_you_mean(name, spec.args, what="it has")
            fail("E0306", f"{spec.name} has no argument `{name}`", help=hint)
    return found


def set_defaults(settings: Mapping[str, Argument], spec: Spec) -> Defaults:
    """The defaults among the settings. Raises E0301 for an op or block that no profile has, E0306 or E0406
    for what it does not have, and E0404 for a value that it cannot take, all together."""
    found: Defaults = {}
    mistakes = Mistakes()
    for name, argument in settings.items():
        target, mark, key = name.rpartition(MARK)
        if mark:
            mistakes.attempt(partial(_check, target, key, argument, spec), None)
            found.setdefault(target, {})[key] = argument
    mistakes.close()
    return found


def _check(target: str, key: str, argument: Argument, spec: Spec) -> None:
    named = [spec.blocks, *(profile.blocks for profile in spec.profiles.values())]
    blocks = [known[target] for known in named if target in known]
    op = find_op(target)
    if blocks:
        _check_argument(key, argument, blocks)
    elif op is not None:
        _check_attribute(target, op, key, argument)
    else:
        hint = target_hint(target, dict.fromkeys([*OP_WORDS, *chain(*named)]), ())
        fail("E0301", f"{spec.name} has no op or block `{target}`", help=hint)


def _check_argument(key: str, argument: Argument, blocks: list[BlockDecl]) -> None:
    """Raise E0306 for what none of the blocks of a name has, and the mistakes of steps."""
    decls = [block.args[key] for block in blocks if key in block.args]
    if not decls:
        hint = argument_hint(key, blocks[0].args) if blocks[0].args else "it has none"
        fail("E0306", f"`{blocks[0].name}` has no argument `{key}`", help=hint)
    if decls[0].takes_steps or argument.looks_like_steps:
        steps_of(argument)


def _check_attribute(word: str, op: type[Op], key: str, argument: Argument) -> None:
    """Raise E0406 for an attribute that the op does not have, and E0404 for a constant that it cannot be."""
    if key not in op.model_fields:
        hint = argument_hint(key, op.model_fields) if op.model_fields else "it has none"
        fail("E0406", f"`{word}` has no attribute `{key}`", help=hint)
    value = argument.value
    if not value.is_constant:
        return
    values, spans = {key: as_attribute(value.evaluate(NOTHING))}, {key: value.span}
    try:
        op(**values)
    except ValidationError as error:
        # What else the op requires is for its calls to give.
        fail_all(attribute_mistakes(op, error, values, spans, value.span, given=op.model_fields, names=tuple))


def plain_settings(
    settings: Mapping[str, Argument], spec: Spec
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The settings as plain values, of arguments, and of defaults by op or block. Raises what `set_arguments`
    and `set_defaults` do."""
    defaults = set_defaults(settings, spec)
    return _plain(set_arguments(settings, spec)), {name: _plain(own) for name, own in defaults.items()}


def _plain(given: Mapping[str, Argument]) -> dict[str, Any]:
    return {name: argument.tree.plain() for name, argument in given.items()}


def setting_texts(settings: Mapping[str, Argument]) -> tuple[str, ...]:
    """The settings as they were given, each `NAME=VALUE` on one line."""
    texts = ((name, argument.key_span.source.text) for name, argument in settings.items())
    return tuple(f"{name}={' '.join(text.split())}" for name, text in texts)
