"""`archforge bench`: one network timed beside other libraries on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archforge import hardware
from archforge.atomic_files import reason_of
from archforge.backends import AUTO
from archforge.cli.compile_options import (
    AccuracyOption,
    BackendsOption,
    BatchesOption,
    LowMemoryOption,
    NoWinogradOption,
    compile_options,
)
from archforge.cli.exit_codes import CHECK_FAILED
from archforge.cli.options import InputOption, JsonOption, ProfileOption, SetOption, SpecArgument, network_of
from archforge.cli.output import counted, print_json, table, with_fallbacks
from archforge.cli.progress import Progress
from archforge.driver import Accuracy
from archforge.errors import fail
from archforge.spec.resolve.sources import STDIN

if TYPE_CHECKING:
    from archforge.analysis.network import Network
    from archforge.bench.race import Entrant

__all__ = ["bench"]


def bench(
    spec: SpecArgument,
    profile: ProfileOption = None,
    shape: InputOption = None,
    set: SetOption = None,
    batch: BatchesOption = None,
    backend: BackendsOption = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", min=1, metavar="N", help="Threads of each contestant. Default: see `archforge info`."
        ),
    ] = None,
    rounds: Annotated[
        int,
        typer.Option(
            "--rounds", min=1, metavar="N", help="Turns of each contestant, of about 0.3 seconds or one call."
        ),
    ] = 10,
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype",
            metavar="NAME",
            help="A dtype that archforge's backends compute in besides float32; they take part in both.",
        ),
    ] = None,
    low_memory: LowMemoryOption = False,
    no_winograd: NoWinogradOption = False,
    accuracy: AccuracyOption = Accuracy.FAST,
    json: JsonOption = False,
) -> None:
    """Time a network, beside torch and other engines as far as this Python has them.

    These are onnxruntime, openvino, ncnn, MNN, XNNPACK, and torch once more, traced and frozen.

    All run the same graph in float32, ours also in --dtype, on the same weights and input, each in a process
    of its own.

    What they compute is compared first: exit code 1 if archforge and torch differ or nothing could run;
    another engine that differs is not timed. Then they take turns. Figures are medians.

    Keep the machine quiet meanwhile.
    """
    from archforge.bench.compare import compare
    from archforge.bench.environment import environment
    from archforge.bench.task import Task

    network = network_of(spec, profile, shape, set)
    source = f"{network.spec.document.source.text}\n" if spec == STDIN else spec
    texts = dict(text.split("=", 1) for text in set or ())
    entrants = _entrants(backend, dtype, compile_options(low_memory, no_winograd, accuracy))
    count = threads or hardware.threads().number
    rows = []
    with Progress("making weights") as progress, _scratch_folder() as folder:
        for size in batch or [1]:
            where = Path(folder, str(size))
            task = Task.write(network, size, folder=where, threads=count, source=source, settings=texts)
            rows.append(compare(network, size, entrants, task, rounds=rounds, say=progress.say))
    facts = environment(count)
    ok = all(row.get("median_s") for row in rows)  # which outputs that differ leave out
    if json:
        print_json({"environment": facts, "rows": rows, "ok": ok})
    else:
        _print(network, facts, rows)
    raise typer.Exit(0 if ok else CHECK_FAILED)


def _scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that is deleted in the end. Raises E0705 where the system has none to give."""
    try:
        return tempfile.TemporaryDirectory()
    except OSError as error:
        fail("E0705", f"cannot make a folder: {reason_of(error)}", help="TMPDIR names one to make it in")


def _entrants(names: Iterable[str] | None, dtype: str | None, options: Mapping[str, Any]) -> list[Entrant]:
    """The entrants, ours first: the outputs of the others are compared with those of the first.

    Raises E0701 for a backend that is not there, E0703 for a dtype that a named one, or each, lacks.
    """
    from archforge import backends
    from archforge.bench.race import PEERS, Entrant
    from archforge.plan.contract import require_dtype

    ours = [*map(backends.get, dict.fromkeys(names))] if names else backends.preferred()
    entrants = [Entrant(backend.name, options=options) for backend in ours]
    if dtype and dtype != "float32":
        able = ours if names else [b for b in ours if dtype in b.dtypes] or [backends.get(AUTO, dtype)]
        for backend in able:
            require_dtype(backend, dtype)
            entrants.append(
                Entrant(backend.name, f"{backend.name} {dtype}", options={**options, "dtype": dtype})
            )
    return [*entrants, *map(Entrant, PEERS)]


def _print(network: Network, facts: Mapping[str, str], rows: list[dict[str, Any]]) -> None:
    print(f"{network.name}, profile {network.profile}, float32")
    for name, value in facts.items():
        print(f"  {name}: {value}")
    for row in rows:
        print(f"\nbatch {row['batch']}")
        _print_times(row)
        _print_left_out(row["left_out"])
        _print_limits(row)


def _print_left_out(left_out: Mapping[str, str]) -> None:
    """Print each reason once, behind the contestants that have it."""
    for reason in dict.fromkeys(left_out.values()):
        labels = ", ".join(label for label, other in left_out.items() if other == reason)
        print(f"  left out: {labels}: {reason}")


def _print_times(row: dict[str, Any]) -> None:
    """Print the contestants' times, or those whose outputs differ."""
    from archforge.bench.compare import wrong_outputs

    if wrong := wrong_outputs(row):
        first = next(iter(row["deviation"]))
        for label, error in wrong.items():
            print(f"  {label} computes something else than {first}: {error:.1e} standard deviations off")
        return
    medians = row.get("median_s", {})
    if not medians:
        print("  nothing could run")
        return
    ours = next(iter(medians))
    body = [
        (
            f"  {with_fallbacks(label, row['fallbacks'].get(label, ()))}",
            row["versions"][label],
            f"{median * 1e3:.2f}",
            f"{row['least_s'][label] * 1e3:.2f}",
            f"{median / medians[ours]:.2f}",
            counted(row["calls"][label], "call"),
        )
        for label, median in medians.items()
    ]
    print(table(("  runs on", "version", "median ms", "least ms", f"/ {ours}", ""), body, right=(2, 3, 4, 5)))
    if len(row["deviation"]) > 1:
        worst = max(row["deviation"].values())
        print(f"  outputs agree: {worst:.1e} of their standard deviation apart at most")
    for label, error in row["rounding"].items():
        print(f"  {label} is {error:.1e} standard deviations off, which is its rounding")


def _print_limits(row: Mapping[str, Any]) -> None:
    """Print the roofline, and how near to it the first contestant is."""
    from archforge.bench.roofline import Work, bound
    from archforge.plan import Limits

    if row["limits"] is None:
        print("  no limit: no backend that compiles machine code, which measures it, can run here")
        return
    work, limits = Work(**row["work"]), Limits(**row["limits"])
    limit = bound(work, limits)
    arithmetic = f"{work.flops / 1e9:.3g} GFLOP at {limits.all_flops / 1e9:.0f} GFLOP/s"
    memory = f"{work.bytes / 1e6:.3g} MB at {limits.read_bytes / 1e9:.0f} GB/s"
    print(f"  limit {limit.s * 1e3:.3g} ms, by {limit.by}: {arithmetic}, {memory}")
    if medians := row.get("median_s"):
        ours, median = next(iter(medians.items()))
        print(f"  {ours} works at {limit.s / median:.0%} of it (Winograd and caches may go beyond)")
