"""One contestant of training.py in a process of its own, commanded as `archforge/bench/worker.py` is:

    python -P training_worker.py KIND FOLDER THREADS NAME

KIND: a backend of archforge, `torch`, or `channels_last`, which is torch with that order of axes. A call is a
step of training: forward, cross-entropy, back, and an update by SGD with momentum. NAME.npz holds the losses
of the first steps and, as `d NAME`, the gradients of the first. For the line `profile` the process answers
with the seconds of each part of a step, as `profile` below has them.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from archforge.ir import TypedGraph
    from archforge.plan import Watcher
    from archforge.recipe.losses.cross_entropy import CrossEntropy

LEARNING_RATE, MOMENTUM = 1e-3, 0.9
COMPARED = 2  # steps whose losses are compared
TORCH = ("torch", "channels_last")  # kinds of contestants
PROFILED = 7  # steps that are taken apart


class Trainer(NamedTuple):
    """A step in two halves. learn: forward and back; gives the loss and the gradients by name, which hold
    until the update. watched: as `learn`, but it tells a watcher of each part; None where there are none."""

    version: str
    learn: Callable[[], tuple[float, Mapping[str, Any]]]
    update: Callable[[], None]
    watched: Callable[[Watcher], object] | None = None

    def step(self) -> float:
        loss, _ = self.learn()
        self.update()
        return loss


class Lesson(NamedTuple):
    """A graph to train, its loss, the value that the loss reads, whose last axis are the classes, and the
    right classes, int64[N, *others], each class in turn."""

    typed: TypedGraph
    loss: CrossEntropy
    output: str
    target: Any


def lesson(typed: TypedGraph, batch: int) -> Lesson:
    """The lesson of a graph; a softmax at its end is left to the loss."""
    import numpy as np

    from archforge.recipe.loss_input import value_for_loss
    from archforge.recipe.losses.cross_entropy import CrossEntropy

    loss = CrossEntropy(axis=-1)
    (name,) = typed.outputs
    output = value_for_loss(typed, name, loss)
    *others, classes = typed.types[output].shape
    shape = (batch, *others)
    target = np.arange(np.prod(shape), dtype=np.int64).reshape(shape) % classes
    return Lesson(typed, loss, output, target)


def lesson_of(task: Any) -> Lesson:
    """The lesson of a task."""
    from archforge.bench.worker import analysed

    return lesson(analysed(task).graph, len(next(iter(task.inputs.values()))))


class Ours:
    """A backend of archforge, with the loss and the updates of a recipe."""

    def __init__(
        self, backend: str, lesson: Lesson, inputs: Mapping[str, Any], params: Mapping[str, Any]
    ) -> None:
        from archforge import backends
        from archforge.plan.backward import training_plan
        from archforge.recipe.optimizers.sgd import SGD
        from archforge.recipe.recipe import TrainingRecipe
        from archforge.recipe.update import Updater

        self.lesson, self.inputs, self.params, self.steps = lesson, inputs, params, 0
        typed = lesson.typed
        plan = training_plan(typed, [lesson.output])
        recipe = TrainingRecipe(optimizer=SGD(lr=LEARNING_RATE, momentum=MOMENTUM))
        self.updater = Updater(recipe, {n: d for n, d in typed.params().items() if n in plan.trained})
        self.learner: Any = backends.get_learning(backend, "float32").learner(plan, "float32")

    def learn(self, watcher: Watcher | None = None) -> tuple[float, Mapping[str, Any]]:
        import numpy as np

        _, loss, output, target = self.lesson
        found = 0.0

        def of_outputs(outputs: Any) -> Any:
            nonlocal found
            found, gradient = loss.value(outputs[output], target)
            return {output: gradient}

        def draws(name: str) -> Any:
            return np.random.default_rng(0)

        watched = {"watcher": watcher} if watcher else {}
        self.learned = self.learner.learn(self.params, self.inputs, draws, of_outputs, **watched)
        return found, self.learned.gradients

    def update(self) -> None:
        self.steps += 1
        self.updater.apply(self.params, self.learned.gradients, 1.0, self.steps)
        for name, array in self.learned.buffers.items():
            self.params[name][...] = array


def ours(backend: str, task: Any) -> Trainer:
    """A backend of archforge; `numba` can tell the parts of its steps."""
    import numpy as np

    from archforge import __version__
    from archforge.data.arrays import read_weights

    stored = read_weights(task.folder / "weights.safetensors")
    params = {name: np.asarray(array).astype(np.float32) for name, array in stored.items()}
    made = Ours(backend, lesson_of(task), task.inputs, params)
    return Trainer(__version__, made.learn, made.update, made.learn if backend == "numba" else None)


def torchs(kind: str, task: Any) -> Trainer:
    """torch in eager mode, the library's own network where the task names one, with its fused optimizer."""
    import torch
    from safetensors.torch import load_file

    from archforge.bench.worker import network
    from archforge.interchange.torch.network import torch_network
    from archforge.ir import infer

    torch.set_num_threads(task.threads)
    layout = torch.channels_last if kind == "channels_last" else torch.contiguous_format
    state = load_file(task.folder / "weights.safetensors")
    typed, _, output, target = lesson_of(task)
    if task.what["model"]:
        made = network(task, state).train().to(memory_format=layout)
        trained = dict(made.named_parameters())
    else:
        state = {n: a.contiguous(memory_format=layout) if a.ndim == 4 else a for n, a in state.items()}
        trained = {n: state[n].requires_grad_() for n, d in typed.params().items() if d.role != "buffer"}
        graph = infer(replace(typed.graph, outputs={"scores": output}))
        made = torch_network(graph, state, training=True)
    given = [
        torch.from_numpy(x).contiguous(memory_format=layout) if x.ndim == 4 else torch.from_numpy(x)
        for x in task.inputs.values()
    ]
    labels = torch.from_numpy(target).flatten()
    optimizer = torch.optim.SGD(trained.values(), lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)

    def learn() -> tuple[float, Mapping[str, Any]]:
        optimizer.zero_grad(set_to_none=True)
        y = made(*given)
        y = y[0] if isinstance(y, tuple) else y
        loss = torch.nn.functional.cross_entropy(y.flatten(0, -2), labels)
        loss.backward()
        return float(loss.detach()), {name: p.grad for name, p in trained.items()}

    return Trainer(torch.__version__, learn, optimizer.step)


def least_step(kind: str) -> None:
    """Make a step of a network of two weights, so that a library has loaded what it needs."""
    if kind in TORCH:
        import torch

        weight = torch.zeros(2, 1, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)
        scores = torch.nn.functional.linear(torch.ones(1, 1), weight)
        torch.nn.functional.cross_entropy(scores, torch.zeros(1, dtype=torch.int64)).backward()
        optimizer.step()
        return
    import numpy as np

    from archforge import driver
    from archforge.weights import fresh_weights

    typed = driver.load("archforge: 1\ninput: [1]\ngraph: [{linear: 2}]\n").graph
    inputs = {name: np.ones((1, 1), np.float32) for name in typed.inputs}
    made = Ours(kind, lesson(typed, 1), inputs, fresh_weights(typed.params(), 0))
    made.learn()
    made.update()


def first_steps(trainer: Trainer, file: Path) -> None:
    """Make the steps that are compared, and keep what they found."""
    import numpy as np

    losses, arrays = [], {}
    for step in range(COMPARED):
        loss, gradients = trainer.learn()
        losses.append(loss)
        if step == 0:
            arrays = {f"d {name}": np.array(gradient) for name, gradient in gradients.items()}
        trainer.update()
    np.savez(file, losses=np.array(losses), **arrays)  # type: ignore[arg-type]  # arrays, all of them


@dataclass
class Product:
    """A convolution that mixes channels, and the floating-point operations of its weights' gradient: two for
    each product of a number of the map and one of the output's gradient; padding counts for nothing."""

    name: str
    channels: int
    out: int
    kernel: tuple[int, ...]
    flops: int
    elapsed_s: float = 0.0


def products(typed: TypedGraph, batch: int) -> list[Product]:
    """The convolutions of a graph that mix all channels."""
    from archforge.ops.conv import Conv

    found = []
    for node in typed.nodes:
        if isinstance(op := node.op, Conv) and op.groups == 1:
            (x,) = typed.input_types(node)
            window, pairs = op.window(x), 2 * batch * op.out * x.channels
            axes = zip(
                x.spatial,
                window.output,
                window.kernel,
                window.stride,
                window.dilation,
                window.padding,
                strict=True,
            )
            for size, output, kernel, stride, dilation, (before, _) in axes:
                places = (o * stride + k * dilation - before for o in range(output) for k in range(kernel))
                pairs *= sum(0 <= place < size for place in places)
            found.append(Product(node.name, x.channels, op.out, window.kernel, pairs))
    return found


def profile(trainer: Trainer, task: Any) -> dict[str, Any]:
    """The parts of a step in seconds, medians of several steps: `forward`, `loss`, `back` to values,
    `weights` (gradients of the weights of convolutions and linear layers), `update`; and `products`."""
    import statistics
    from dataclasses import asdict

    from archforge.bench.profile import Elapsed

    assert trainer.watched
    steps: list[dict[str, float]] = []
    for _ in range(PROFILED):
        elapsed = Elapsed(time.perf_counter)
        trainer.watched(elapsed)
        begin = time.perf_counter()
        trainer.update()
        steps.append({**elapsed.by_step, "update": time.perf_counter() - begin})
    seconds = {name: statistics.median(step[name] for step in steps) for name in steps[0]}
    parts = dict.fromkeys(("forward", "loss", "back", "weights", "update"), 0.0)
    for name, elapsed_s in seconds.items():
        part = {"weight": "weights", "gradient": "back", "loss": "loss", "update": "update"}
        parts[part.get(name.split(" ")[0], "forward")] += elapsed_s
    found = products(lesson_of(task).typed, len(next(iter(task.inputs.values()))))
    for each in found:
        each.elapsed_s = seconds[f"weight gradient of {each.name}"]
    return {"parts_s": parts, "products": [asdict(each) for each in found]}


def main() -> None:
    kind, folder, threads, name = sys.argv[1:]
    os.environ["ARCHFORGE_THREADS"] = threads
    os.environ.setdefault("OPENBLAS_NUM_THREADS", threads)
    from archforge.bench.worker import LoadedTask, answer, answer_times, library, peak_kib

    least_step(kind)
    task = LoadedTask(Path(folder), int(threads), {})
    if task.what["model"] and kind in TORCH:
        library(task.what["model"].split(".")[0])
    imports_kib = peak_kib()
    trainer = (torchs if kind in TORCH else ours)(kind, task)
    first_steps(trainer, task.folder / f"{name}.npz")
    answer(version=trainer.version, imports_kib=imports_kib)
    for line in sys.stdin:
        if line == "profile\n":
            answer(**profile(trainer, task))
        else:
            answer_times(trainer.step, int(line))


if __name__ == "__main__":
    main()
