"""One contestant of training.py in a process of its own, commanded as `archforge/bench/worker.py` is:

    python -P training_worker.py KIND FOLDER THREADS NAME

KIND: a backend of archforge, `torch`, or `channels_last`, which is torch with that order of axes. A call is a
step of training: forward, cross-entropy, back, and an update by SGD with momentum. NAME.npz holds the losses
of the first steps.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from archforge.ir import TypedGraph
    from archforge.recipe.losses.cross_entropy import CrossEntropy

LEARNING_RATE, MOMENTUM = 1e-3, 0.9
COMPARED = 2  # steps whose losses are compared

Step = Callable[[], float]


class Lesson(NamedTuple):
    """A graph to train, its loss, the value that the loss reads, whose last axis are the classes, and the
    right classes, int64[N, *others], each class in turn."""

    typed: TypedGraph
    loss: CrossEntropy
    output: str
    target: Any


def lesson(task: Any) -> Lesson:
    """The lesson of a task; a softmax at the end of its network is left to the loss."""
    import numpy as np

    from archforge.bench.worker import analysed
    from archforge.recipe.loss_input import value_for_loss
    from archforge.recipe.losses.cross_entropy import CrossEntropy

    typed, loss = analysed(task).graph, CrossEntropy(axis=-1)
    (name,) = typed.outputs
    output = value_for_loss(typed, name, loss)
    *others, classes = typed.types[output].shape
    shape = (len(next(iter(task.inputs.values()))), *others)
    target = np.arange(np.prod(shape), dtype=np.int64).reshape(shape) % classes
    return Lesson(typed, loss, output, target)


def ours(backend: str, task: Any) -> tuple[str, Step]:
    """A backend of archforge, with the loss and the updates of a recipe."""
    import numpy as np

    from archforge import __version__, backends
    from archforge.data.arrays import read_weights
    from archforge.plan.backward import training_plan
    from archforge.recipe.optimizers.sgd import SGD
    from archforge.recipe.recipe import TrainingRecipe
    from archforge.recipe.update import Updater

    typed, loss, output, target = lesson(task)
    plan = training_plan(typed, [output])
    stored = read_weights(task.folder / "weights.safetensors")
    params = {name: np.asarray(array).astype(np.float32) for name, array in stored.items()}
    recipe = TrainingRecipe(optimizer=SGD(lr=LEARNING_RATE, momentum=MOMENTUM))
    updater = Updater(recipe, {n: d for n, d in typed.params().items() if n in plan.trained})
    learner = backends.get_learning(backend, "float32").learner(plan, "float32")
    steps = 0

    def step() -> float:
        nonlocal steps
        steps += 1
        found = 0.0

        def of_outputs(outputs: Any) -> Any:
            nonlocal found
            found, gradient = loss.value(outputs[output], target)
            return {output: gradient}

        learned = learner.learn(params, task.inputs, lambda name: np.random.default_rng(0), of_outputs)
        updater.apply(params, learned.gradients, 1.0, steps)
        for n, array in learned.buffers.items():
            params[n][...] = array
        return found

    return __version__, step


def torchs(kind: str, task: Any) -> tuple[str, Step]:
    """torch in eager mode, the library's own network where the task names one, with its fused optimizer."""
    import torch
    from safetensors.torch import load_file

    from archforge.bench.worker import network
    from archforge.interchange.torch.network import torch_network
    from archforge.ir import infer

    torch.set_num_threads(task.threads)
    layout = torch.channels_last if kind == "channels_last" else torch.contiguous_format
    state = load_file(task.folder / "weights.safetensors")
    typed, _, output, target = lesson(task)
    if task.what["model"]:
        made = network(task, state).train().to(memory_format=layout)
        trained = list(made.parameters())
    else:
        state = {n: a.contiguous(memory_format=layout) if a.ndim == 4 else a for n, a in state.items()}
        trained = [state[n].requires_grad_() for n, d in typed.params().items() if d.role != "buffer"]
        graph = infer(replace(typed.graph, outputs={"logits": output}))
        made = torch_network(graph, state, training=True)
    given = [
        torch.from_numpy(x).contiguous(memory_format=layout) if x.ndim == 4 else torch.from_numpy(x)
        for x in task.inputs.values()
    ]
    labels = torch.from_numpy(target).flatten()
    optimizer = torch.optim.SGD(trained, lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        y = made(*given)
        y = y[0] if isinstance(y, tuple) else y
        loss = torch.nn.functional.cross_entropy(y.flatten(0, -2), labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return torch.__version__, step


def main() -> None:
    kind, folder, threads, name = sys.argv[1:]
    os.environ["ARCHFORGE_THREADS"] = threads
    os.environ.setdefault("OPENBLAS_NUM_THREADS", threads)
    import numpy as np

    from archforge.bench.worker import LoadedTask, answer, peak_kib

    maker = torchs if kind in ("torch", "channels_last") else ours
    if maker is torchs:
        import torch  # noqa: F401  # so that its memory counts as that of imports
    imports_kib = peak_kib()
    task = LoadedTask(Path(folder), int(threads), {})
    version, step = maker(kind, task)
    np.savez(task.folder / f"{name}.npz", np.array([step() for _ in range(COMPARED)]))
    answer(version=version, imports_kib=imports_kib)
    for line in sys.stdin:
        elapsed = []
        for _ in range(int(line)):
            start = time.perf_counter()
            step()
            elapsed.append(time.perf_counter() - start)
        answer(elapsed_s=elapsed, peak_kib=peak_kib())


if __name__ == "__main__":
    main()
