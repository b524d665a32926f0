"""`archforge tune`: the fastest kernels for a network on this machine, by the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from archforge import backends
from archforge.cli.compile_options import BackendOption
from archforge.cli.options import InputOption, JsonOption, ProfileOption, SetOption, network_of
from archforge.cli.output import counted, print_json, table
from archforge.cli.progress import Progress
from archforge.errors import fail
from archforge.plan import Tunable

if TYPE_CHECKING:
    from archforge.analysis.network import Network
    from archforge.bench.tune import Tuning, UseTime

__all__ = ["tune"]


def tune(
    spec: Annotated[
        str | None,
        typer.Argument(metavar="SPEC", help="A file, the name of a spec of the shipped zoo, or -."),
    ] = None,
    profile: ProfileOption = None,
    backend: BackendOption = "auto",
    input: InputOption = None,
    set: SetOption = None,
    batch: Annotated[
        int,
        typer.Option(
            "--batch", "-b", min=1, metavar="N", help="Images in a call, for which kernels are chosen."
        ),
    ] = 1,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, metavar="N", help="Calls of each kernel; the quickest counts.")
    ] = 15,
    clear: Annotated[
        bool, typer.Option("--clear", help="Forget what was tuned, for all networks: the cost model chooses.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Time the kernels that can compute each layer, and take the fastest from now on.

    Nothing else should run meanwhile. The choices hold for every network with such layers, in every process,
    until the machine, the number of threads or a version changes; results stay within rounding.
    """
    chosen = backends.get(backend)
    if not isinstance(chosen, Tunable):
        fail("E0701", f"the backend {chosen.name} has one kernel for each op: nothing to tune")
    if clear:
        forgotten = chosen.forget()
        if not as_json:
            print("forgot what was tuned" if forgotten else "nothing was tuned")
        elif spec is None:
            print_json({"forgotten": forgotten})
    if spec is None:
        if not clear:
            fail("E0001", "which network?", help="archforge tune resnet_50, or archforge tune --clear")
        return
    chosen.require_writable_cache()  # else all would be timed in vain
    with Progress(f"compiling {spec}") as progress:
        network = network_of(spec, profile, input, set)
        tuning = _tuned(network, chosen, batch, rounds, progress)
        path = chosen.keep(tuning.choices) if tuning.uses else None
    if as_json:
        facts = {"network": network.name, "profile": network.profile, "backend": chosen.name, "batch": batch}
        print_json({**facts, **_json(tuning)})
        return
    print(f"{network.name}, profile {network.profile}, on {chosen.name}, batch {batch}\n")
    print(_text(tuning))
    if path:
        print(f"kept in {path}")


def _tuned(network: Network, backend: Tunable, batch: int, rounds: int, progress: Progress) -> Tuning:
    from archforge.bench.tune import tune
    from archforge.weights.rule_made import rule_input

    types = network.graph.inputs
    inputs = {name: rule_input((batch, *t.shape), name).astype("float32") for name, t in types.items()}
    return tune(network, backend, inputs, rounds=rounds, say=progress.say)


def _text(tuning: Tuning) -> str:
    if not tuning.uses:
        return "no layer has more than one kernel: nothing to tune"
    rows = [_row(use) for use in tuning.uses]
    header = ("layer", "such layers", "cost model", "ms", "fastest", "ms")
    lines = [table(header, rows, right=(1, 3, 5)), ""]
    before, after = (f"{1e3 * seconds:.3f} ms" for seconds in (tuning.default_s, tuning.best_s))
    if tuning.changed:
        number = f"{len(tuning.changed)} of {counted(len(tuning.uses), 'choice')}"
        lines.append(f"{number} differ from the cost model: a call takes {after} in place of {before}")
    elif any(use.best != use.default for use in tuning.uses):
        lines.append(
            f"the cost model's choices stay: with the others a call takes {after}, with them {before}"
        )
    else:
        lines.append("the cost model's choices are the fastest, or as good")
    return "\n".join(lines)


def _row(use: UseTime) -> tuple[str, ...]:
    fastest = min(use.elapsed_s, key=lambda name: use.elapsed_s[name])
    kernels = ((name, f"{1e3 * use.elapsed_s[name]:.3f}") for name in (use.default, fastest))
    return (use.layers[0], str(len(use.layers)), *(word for kernel in kernels for word in kernel))


def _json(tuning: Tuning) -> dict[str, Any]:
    return {
        "default_s": tuning.default_s,
        "best_s": tuning.best_s,
        "uses": [
            {
                "use": use.use,
                "layers": list(use.layers),
                "elapsed_s": dict(use.elapsed_s),
                "default": use.default,
                "choice": tuning.choices[use.use],
            }
            for use in tuning.uses
        ],
    }
