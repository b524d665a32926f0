"""Training recipes: what the section `train` of a spec says, and the losses, optimizers, schedules,
initialisers, rules to stop and augmentations that it names.

Read `recipe.py`, the section's keys, then `base.py`, what each kind of part can do. A new part is one file in
the folder of its kind.
"""

from archforge.recipe.recipe import TrainingRecipe

__all__ = ["TrainingRecipe"]
