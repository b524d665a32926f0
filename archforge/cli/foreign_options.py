"""Options that other programs for training have, and what they are called here."""

from __future__ import annotations

__all__ = ["option_meant"]

OPTIONS = {
    **dict.fromkeys(("device", "gpu", "cuda", "accelerator"), "--backend"),
    **dict.fromkeys(("checkpoint", "load", "restore"), "--resume"),
    **dict.fromkeys(("output", "output_dir", "save_dir", "logdir", "log_dir"), "--out"),
    **dict.fromkeys(("pretrained", "ckpt"), "--weights"),
}
EXAMPLES = {"lr": "0.1", "momentum": "0.9", "weight_decay": "1e-4", "patience": "10"}


def option_meant(option: str) -> str | None:
    """The option of `archforge train` that another program's stands for: `--batch` for `--batch-size`, an
    optimizer with its setting for `--lr`. None if none does."""
    from archforge.parts import all_parts
    from archforge.recipe.base import Optimizer, Schedule, Stop
    from archforge.recipe.recipe import TrainingRecipe
    from archforge.spec.syntax.foreign_words import SETTINGS, plain
    from archforge.spec.syntax.recipe_hints import key_meant

    word = plain(option.lstrip("-"))
    if word in OPTIONS:
        return OPTIONS[word]
    if key := key_meant(word, TrainingRecipe.model_fields):
        return f"--{key.replace('_', '-')}"
    for key, kind, usual in (("optimizer", Optimizer, "sgd"), ("stop", Stop, ""), ("schedule", Schedule, "")):
        parts = all_parts(kind)
        for name in (word, *SETTINGS.get(word, ())):
            having = [part for part, cls in parts.items() if name in cls.model_fields]
            if having:
                part = usual if usual in having else having[0]
                return f'--{key} "{part}: {{{name}: {EXAMPLES.get(name, "...")}}}"'
    return None
