"""Programs of plans: tapes, one for each size of batch, with workspaces that calls take turns at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from archforge.backends.numba.families import elementwise
from archforge.backends.numba.families.channel_blocks import AnyAxis
from archforge.backends.numba.families.channel_order import AnyOrder, ChannelOrder
from archforge.backends.numba.families.moves import along, gathered
from archforge.backends.numba.runtime.opcodes import COPY
from archforge.backends.numba.runtime.tape import Tape, TapeValue
from archforge.backends.numba.runtime.unit_recipe import SCHEDULER
from archforge.backends.numba.runtime.workspace import Workspace
from archforge.backends.numba.toolchain.machine import machine
from archforge.backends.numba.toolchain.machine_code import begin
from archforge.errors import InternalError
from archforge.ops.base import Array
from archforge.plan import LastUsed, Plan, Watcher
from archforge.plan.concat_in_place import inside_concats
from archforge.plan.image_by_image import sections, values_within

__all__ = ["BatchTape", "NumbaProgram"]

# Values of a batch that go beyond this part of the L2 caches are better computed image by image.
CACHES = 0.5


@dataclass(slots=True, eq=False)
class BatchTape:
    """The tape of one size of batch, the values that are wanted, and workspaces that no call uses now."""

    tape: Tape
    wanted: Mapping[str, TapeValue]
    idle: list[Workspace] = field(default_factory=list)


class NumbaProgram:
    """A plan with its packed parameters. Threads may call it together: each has a workspace of its own."""

    def __init__(self, plan: Plan, params: tuple[Mapping[str, Array], ...]) -> None:
        self._plan = plan
        self._params = params
        # By the size of the batch.
        self._tapes = LastUsed[int, BatchTape](lambda batch, _: self.recorded(batch))

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with self._workspace(inputs) as (workspace, wanted):
            return workspace.run(inputs, wanted)

    def watched(self, inputs: Mapping[str, Array], watcher: Watcher) -> dict[str, Array]:
        with self._workspace(inputs) as (workspace, wanted):
            return workspace.watched(inputs, wanted, watcher)

    @contextmanager
    def _workspace(self, inputs: Mapping[str, Array]) -> Iterator[tuple[Workspace, Mapping[str, TapeValue]]]:
        """A workspace that no other call uses meanwhile, and where in it the wanted values lie."""
        sized = self._tapes.at(len(next(iter(inputs.values()))))
        try:
            workspace = sized.idle.pop()
        except IndexError:
            workspace = Workspace(sized.tape, share_memory="share_memory" not in self._plan.without)
        yield workspace, sized.wanted
        sized.idle.append(workspace)

    def recorded(self, batch: int) -> BatchTape:
        """The calls for one size of batch, and where the wanted values lie."""
        begin(SCHEDULER)
        plan = self._plan
        tape = Tape(batch, plan.types, inside_concats(plan, machine().lanes))
        values: dict[str, TapeValue | ChannelOrder] = {
            name: tape.input(name, t.shape) for name, t in plan.inputs.items()
        }
        cache = CACHES * machine().threads * machine().l2_bytes
        for section in sections(plan, batch, cache):
            tape.image_by_image, first = section.image_by_image, len(tape.calls)
            within = values_within(section, plan, tape.inside_concats)
            tape.of_one_image = within if section.image_by_image else frozenset()
            for i in range(section.first, section.end):
                name, kernel = plan.steps[i].output, plan.steps[i].kernel
                tape.current = name
                if isinstance(kernel, AnyOrder) and name in within and not tape.is_joined(name):
                    values[name] = kernel.order(*(_order_of(values[v]) for v in plan.steps[i].inputs))
                else:
                    values[name] = self._step(tape, i, values)
            if section.image_by_image:
                tape.repeat(first)
        wanted = {name: gathered(values[name]) for name in plan.wanted}
        for value in wanted.values():
            tape.keep(value)
        return BatchTape(tape, wanted)

    def _step(self, tape: Tape, index: int, values: dict[str, TapeValue | ChannelOrder]) -> TapeValue:
        """Record the calls of a step; returns the value that they make. Orders of channels that it reads are
        gathered, and stay so among the values."""
        step, params = self._plan.steps[index], self._params[index]
        given = tuple(gathered(values[v]) for v in step.inputs)
        values |= zip(step.inputs, given, strict=True)
        if not isinstance(step.kernel, AnyAxis):
            given = tuple(along(v, 0) if v.axis else v for v in given)
        made = tape.fall_back(step, params, given) if step.is_fallback else step.run(params, *given)
        if made.shape != self._plan.types[step.output].shape:
            raise InternalError(f"{step.output} was recorded as {made.shape}")
        if tape.is_whole(made) or step.output in tape.of_one_image:
            return made
        # It is one of its inputs, which only this section reads, under another name.
        return elementwise.record_elements(COPY, made.blocked(), out=tape.output(made.shape, made.axis))


def _order_of(value: TapeValue | ChannelOrder) -> ChannelOrder:
    """A value as channels that can be put in another order."""
    return value if isinstance(value, ChannelOrder) else ChannelOrder.of(along(value, 0))
