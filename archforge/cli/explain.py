"""`archforge explain`: where something of a network comes from, or what the code of a message means."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated

import typer

from archforge.cli.options import (
    InputOption,
    JsonOption,
    ProfileOption,
    SetOption,
    input_shape,
    settings,
)
from archforge.cli.output import print_json
from archforge.errors import did_you_mean, fail

__all__ = ["explain"]

CODE = re.compile(r"[EW]\d{4}", re.IGNORECASE)


def explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="A spec: its file or its name in the shipped zoo; or a code, such as E0402."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A layer, a block or what it has: layer3.0.conv2, layer3.0.conv2.out, "
            "layer3.0.conv2.weight, layer3.macs; params and macs are of the whole network.",
        ),
    ] = None,
    profile: ProfileOption = None,
    input: InputOption = None,
    set: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where a layer's name, an attribute, a parameter's shape or a count comes from: the call, `first`,
    the defaults, the profile, the loop, the formula with each name's value, all with file and line.

    With a code, its page: what it means, why it is a mistake, wrong and right.
    """
    if CODE.fullmatch(what):
        if name or profile or input or set:
            fail("E0001", f"{what} is a code, which takes no name and no option but --json")
        _explain_code(what.upper(), as_json=as_json)
        return
    from archforge import driver
    from archforge.analysis.explanation import explained
    from archforge.spec.expand.trace import traced

    if name is None:
        help = f"archforge explain {what} macs, or the name of a layer; archforge show {what} lists them"
        fail("E0001", f"there is nothing of {what} to explain", help=help)
    spec = driver.open_spec(what)
    found = explained(traced(spec, profile, settings(set), input_shape(input)), name)
    if as_json:
        print_json(found.data)
    else:
        print(found.text())


def _explain_code(code: str, *, as_json: bool) -> None:
    from archforge.code_pages import code_page, code_pages
    from archforge.codes import CODES

    if code not in CODES:
        fail("E0001", f"there is no code {code}", help=did_you_mean(code, CODES, what="codes"))
    if as_json:
        page = code_pages()[code]
        print_json({"code": code, "means": CODES[code], **asdict(page)})
    else:
        print(code_page(code))
