"""torch's figures of losses, optimizers, schedules and initialisers, for `tests/data/recipe_parts.json`.

Run it where torch is installed, which `make gradients` does.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

from tests.recipe_cases import (
    EPOCHS,
    INITIALISER_CASES,
    LOSS_CASES,
    OPTIMIZER_CASES,
    RECIPE_FIGURES,
    SCHEDULE_CASES,
    STEPS,
    STORED_STEPS,
    UPDATES,
    WATCHED,
    InitialiserCase,
    LossCase,
    OptimizerCase,
    ScheduleCase,
    projected,
    slope,
    spread,
    start,
)

__all__ = ["torch_factors", "torch_loss", "torch_spread", "torch_steps"]


def torch_loss(case: LossCase) -> list[float]:
    """The loss that torch gives, and projections of its gradient, float64."""
    torch: Any = import_module("torch")
    f = torch.nn.functional
    loss: Any = case.loss
    x = torch.from_numpy(case.prediction()).requires_grad_()
    target = torch.from_numpy(case.target())
    classes = case.shape[case.axis - 1]
    hot = f.one_hot(target, classes).movedim(-1, case.axis).double() if case.of_classes else target
    y = x.movedim(case.axis, 1).contiguous()  # where torch has its classes
    named: dict[str, Any] = {"reduction": "sum" if loss.reduction == "batch_mean" else loss.reduction}
    weighed = (
        named | {"weight": torch.tensor(loss.weights).double()} if getattr(loss, "weights", ()) else named
    )
    match loss.word:
        case "cross_entropy":
            weighed |= {"ignore_index": loss.ignore} if case.of_classes else {}
            to = target if case.of_classes else target.movedim(case.axis, 1)
            value = f.cross_entropy(y, to, label_smoothing=loss.smoothing, **weighed)
        case "nll":
            if not case.of_classes:  # which torch takes no probabilities for
                return []
            value = f.nll_loss(y, target, ignore_index=loss.ignore, **weighed)
        case "kl":
            value = f.kl_div(f.log_softmax(x, case.axis), hot, reduction="sum")
            value = value / (x.numel() // classes) if loss.reduction == "mean" else value
        case "mse" | "bce" | "mae" | "huber" | "bce_with_logits":
            function = {
                "mse": f.mse_loss,
                "mae": f.l1_loss,
                "bce": f.binary_cross_entropy,
                "bce_with_logits": f.binary_cross_entropy_with_logits,
                "huber": lambda *given, **rest: f.huber_loss(*given, delta=loss.delta, **rest),
            }[loss.word]
            value = function(x, hot, **named)
        case _:
            return []
    value = value / len(x) if loss.reduction == "batch_mean" else value
    value.backward()
    return [float(value.detach()), *projected(str(case), x.grad.numpy())]


# torch's names of optimizers and of their settings, where they are others.
OPTIMIZERS = {
    "sgd": "SGD",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "rmsprop": "RMSprop",
    "adam": "Adam",
    "adamw": "AdamW",
    "amsgrad": "Adam",
    "nadam": "NAdam",
    "radam": "RAdam",
    "adamax": "Adamax",
}
SETTINGS = {("rmsprop", "rho"): "alpha", ("adagrad", "initial"): "initial_accumulator_value"}


def torch_steps(case: OptimizerCase) -> list[list[float]]:
    """Projections of the parameters after some steps of torch's optimizer, float64, if there is such a one.
    It gets the settings that are given, so that the others are torch's defaults."""
    torch: Any = import_module("torch")
    word = case.optimizer.word
    if word not in OPTIMIZERS:
        return []
    settings = case.optimizer.model_dump(exclude_unset=True) | (
        {"amsgrad": True} if word == "amsgrad" else {}
    )
    settings = {SETTINGS.get((word, name), name): value for name, value in settings.items()}
    params = {name: torch.from_numpy(p.copy()).requires_grad_() for name, p in start().items()}
    optimizer = getattr(torch.optim, OPTIMIZERS[word])(params.values(), **settings)
    found: list[list[float]] = []
    for step in range(1, STEPS + 1):
        for name, p in params.items():
            p.grad = torch.from_numpy(slope(name, p.detach().numpy(), step))
        optimizer.step()
        if step in STORED_STEPS:
            found.append([x for name, p in params.items() for x in projected(name, p.detach().numpy())])
    return found


def torch_factors(case: ScheduleCase) -> list[float]:
    """The learning rates before each update of a small run on torch's scheduler, of an optimizer whose own is
    1; of epochs where they do not change within one."""
    torch: Any = import_module("torch")
    schedulers, s = torch.optim.lr_scheduler, case.schedule
    given: Any = s
    by_updates = getattr(s, "by", "") == "updates"
    steps = UPDATES if by_updates else 1
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    match s.word:
        case "constant":
            made = schedulers.ConstantLR(optimizer, given.scale, given.epochs)
        case "step":
            made = schedulers.StepLR(optimizer, given.epochs, given.gamma)
        case "multistep":
            made = schedulers.MultiStepLR(optimizer, given.epochs, given.gamma)
        case "exponential":
            made = schedulers.ExponentialLR(optimizer, given.gamma)
        case "cosine":
            made = schedulers.CosineAnnealingLR(optimizer, (given.epochs or EPOCHS) * steps, given.least)
        case "cosine_restarts":
            made = schedulers.CosineAnnealingWarmRestarts(
                optimizer, given.epochs * steps, given.growth, given.least
            )
        case "polynomial":
            made = schedulers.PolynomialLR(optimizer, (given.epochs or EPOCHS) * steps, given.power)
        case "warmup":
            by_updates = bool(given.updates)
            made = schedulers.LinearLR(optimizer, given.start, 1.0, given.updates or given.epochs)
        case "one_cycle":
            by_updates = True
            made = schedulers.OneCycleLR(
                optimizer,
                1.0,
                EPOCHS * UPDATES,
                pct_start=given.rise,
                div_factor=given.start,
                final_div_factor=given.end,
                cycle_momentum=False,
            )
        case "plateau":
            made = schedulers.ReduceLROnPlateau(
                optimizer,
                "max" if given.of == "accuracy" else "min",
                given.gamma,
                given.patience,
                given.threshold,
                cooldown=given.cooldown,
                min_lr=given.least,
            )
        case _:
            return []
    found = []
    for update in range(EPOCHS * UPDATES):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        epoch, is_last = divmod(update + 1, UPDATES)
        if s.word == "plateau" and not is_last:
            made.step(1 - WATCHED[epoch - 1] if given.of == "accuracy" else WATCHED[epoch - 1])
        elif s.word != "plateau" and (by_updates or not is_last) and update + 1 < EPOCHS * UPDATES:
            made.step()
    return found if by_updates else found[::UPDATES]


def torch_spread(case: InitialiserCase) -> list[float]:
    """The spread of an array that torch draws with a seed of its own, float64."""
    torch: Any = import_module("torch")
    init, given = torch.nn.init, case.initialiser.model_dump()
    array = torch.empty(case.shape, dtype=torch.float64)
    drawn = torch.Generator().manual_seed(0)
    match case.initialiser.word:
        case "kaiming":
            function = getattr(init, f"kaiming_{given['distribution']}_")
            function(array, given["slope"], given["mode"], given["nonlinearity"], drawn)
            array *= given["scale"]
        case "xavier":
            getattr(init, f"xavier_{given['distribution']}_")(array, given["scale"], drawn)
        case "orthogonal":
            init.orthogonal_(array, given["scale"], drawn)
        case "normal":
            init.normal_(array, given["mean"], given["std"], drawn)
        case "uniform":
            init.uniform_(array, given["low"], given["high"], drawn)
        case "truncated_normal":
            init.trunc_normal_(array, given["mean"], given["std"], given["low"], given["high"], drawn)
        case _:
            return []
    return spread(array.numpy())


def figures() -> dict[str, Any]:
    """All figures by the names of their cases."""
    return {
        "losses": {str(case): torch_loss(case) for case in LOSS_CASES},
        "initialisers": {str(case): torch_spread(case) for case in INITIALISER_CASES},
        "schedules": {str(case): torch_factors(case) for case in SCHEDULE_CASES},
        "optimizers": {str(case): torch_steps(case) for case in OPTIMIZER_CASES},
    }


def main() -> None:
    """Write the file anew."""
    sections: dict[str, Any] = {"made by": f"torch {import_module('torch').__version__}"}
    for section, found in figures().items():
        sections[section] = {name: row for name, row in found.items() if row}
    text = ",\n".join(f"  {json.dumps(name)}: {_lines(content)}" for name, content in sections.items())
    RECIPE_FIGURES.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")


def _lines(content: Any) -> str:
    if not isinstance(content, dict):
        return json.dumps(content)
    rows = ",\n".join(f"    {json.dumps(name)}: {json.dumps(row)}" for name, row in content.items())
    return f"{{\n{rows}\n  }}"


if __name__ == "__main__":
    main()
