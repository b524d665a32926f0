"""`archforge profile`: where the time of a network goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from archforge import driver, hardware
from archforge.cli.compile_options import (
    AccuracyOption,
    BackendOption,
    LowMemoryOption,
    NoWinogradOption,
    compile_options,
)
from archforge.cli.options import InputOption, JsonOption, ProfileOption, SetOption, SpecArgument, network_of
from archforge.cli.output import counted, print_json, table
from archforge.cli.progress import Progress
from archforge.driver import Accuracy
from archforge.ir import by_x

if TYPE_CHECKING:
    from archforge.bench.profile import Profile, StepTime

__all__ = ["profile"]


def profile(
    spec: SpecArgument,
    profile: ProfileOption = None,
    shape: InputOption = None,
    set: SetOption = None,
    backend: BackendOption = "auto",
    batch: Annotated[int, typer.Option("--batch", "-b", min=1, metavar="N", help="Images in a call.")] = 1,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, metavar="N", help="Calls; the figures are medians over them.")
    ] = 10,
    by_time: Annotated[
        bool, typer.Option("--by-time", help="The slowest step first, instead of the network's order.")
    ] = False,
    low_memory: LowMemoryOption = False,
    no_winograd: NoWinogradOption = False,
    accuracy: AccuracyOption = Accuracy.FAST,
    json: JsonOption = False,
) -> None:
    """Time each step of a network alone, and hold it against what this machine can do at most.

    A step is a layer with what is fused into it, on weights and input made by rule.

    Its limit is the multiply-adds of all threads or the memory's bandwidth, both measured, whichever binds.

    Keep the machine quiet meanwhile.
    """
    from archforge.bench import profile as profiling
    from archforge.bench.environment import environment
    from archforge.weights.rule_made import rule_input, rule_weights

    with Progress("making weights") as progress:
        network = network_of(spec, profile, shape, set)
        weights = rule_weights(network.params, "float32")
        options = compile_options(low_memory, no_winograd, accuracy)
        executable = driver.compile(network, backend=backend, weights=weights, **options)
        types = executable.plan.inputs
        inputs = {name: rule_input((batch, *t.shape), name).astype("float32") for name, t in types.items()}
        threads = hardware.threads().number
        found = profiling.profile(executable, inputs, threads=threads, rounds=rounds, say=progress.say)
    name = executable.plan.backend.name
    if json:
        facts = {"network": network.name, "profile": network.profile, "backend": name, "batch": batch}
        print_json({**facts, "environment": environment(threads), **found.to_json()})
        return
    print(f"{network.name}, profile {network.profile}, on {name} in float32, batch {batch}")
    print(_table(found, by_time=by_time))
    print(_summary(found))


def _table(found: Profile, *, by_time: bool) -> str:
    steps = sorted(found.steps, key=lambda s: -s.elapsed_s) if by_time else found.steps
    body = [_row(step, found) for step in steps]
    around = ("inputs and outputs", "", "", "", _ms(found.around_s), _share(found.around_s, found))
    total = ("total", "", "", f"{found.work.macs:,}", _ms(found.elapsed_s), "100.0")
    body += [(*around, "", "", ""), (*total, _rate(found.work.flops / found.elapsed_s), "", "")]
    header = ("step", "op", "output", "MACs", "ms", "% of time", "GFLOP/s", "% of limit", "by")
    return table(header, body, right=range(3, 8))


def _row(step: StepTime, found: Profile) -> tuple[str, ...]:
    least = step.bound(found.limits)
    op = "+".join(step.ops) + (" (reference)" if step.is_fallback else "")
    of_limit = f"{100 * least.s / step.elapsed_s:.0f}" if least and step.elapsed_s else ""
    return (
        step.name,
        op,
        by_x(step.output),
        f"{step.work.macs:,}" if step.work.macs else "",
        _ms(step.elapsed_s),
        _share(step.elapsed_s, found),
        _rate(step.flops_per_s),
        of_limit,
        least.by if of_limit and least else "",
    )


def _summary(found: Profile) -> str:
    steps = counted(len(found.steps), "step")
    call = f"{steps}; a whole call, which does not stop after each, takes {_ms(found.call_s)} ms"
    if found.limits is None:
        return f"{call}\nno limits: no backend that compiles machine code, which measures them, can run here"
    limits = f"{found.limits.all_flops / 1e9:.0f} GFLOP/s and {found.limits.read_bytes / 1e9:.0f} GB/s"
    return f"{call}\nlimits: {limits}; Winograd, which multiplies less, and caches can go beyond"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}"


def _share(seconds: float, found: Profile) -> str:
    return f"{100 * seconds / found.elapsed_s:.1f}"


def _rate(flops_per_s: float | None) -> str:
    return f"{flops_per_s / 1e9:.0f}" if flops_per_s else ""
