"""Options that other programs for training have, and what they are called here."""

from __future__ import annotations

__all__ = ["option_meant"]

OPTIONS = {
    **dict.fromkeys(("device", "gpu", "cuda", "accelerator"), "--backend"),
    **dict.fromkeys(("checkpoint", "load", "restore"), "--resume"),
    **dict.fromkeys(("output", "output_dir", "save_dir", "logdir", "log_dir"), "--out"),
    **dict.fromkeys(("pretrained", "ckpt"), "--weights"),
    **dict.fromkeys(("nproc_per_node", "nproc", "np", "num_processes", "world_size", "gpus"), "--ranks"),
    **dict.fromkeys(("hostfile", "machinefile"), "--hosts"),
    **dict.fromkeys(("dist_backend", "distributed", "launcher", "strategy"), "--engine"),
}


def option_meant(option: str) -> str | None:
    """The option of `archforge train` that another program's stands for: `--batch` for `--batch-size`, an
    optimizer with its setting for `--lr`. None if none does."""
    from archforge.spec.syntax.foreign_words import plain
    from archforge.spec.syntax.recipe_hints import setting_meant

    word = plain(option.lstrip("-"))
    if word in OPTIONS:
        return OPTIONS[word]
    match setting_meant(word):
        case (key,):
            return f"--{key.replace('_', '-')}"
        case (key, part, setting) if "." not in key:
            return f'--{key} "{part}: {{{setting}: ...}}"'
    return None
