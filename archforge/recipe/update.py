"""Updates of parameters by their gradients: clipping, weight decay, the optimizer, and moving averages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from archforge.errors import InternalError, fail, listed
from archforge.ir import Array, ParamDecl, shape_text
from archforge.ops.lazy_numpy import np
from archforge.recipe.moments import move_towards

if TYPE_CHECKING:
    from archforge.recipe.recipe import Clip, TrainingRecipe

__all__ = ["Updater", "clip_gradients", "is_spared"]

# Elements that an optimizer is handed at a time: so few that its temporary arrays are small, and stay in a
# core's cache from one of its passes to the next. No element depends on where an array is cut.
BLOCK = 1 << 16
# torch.nn.utils.clip_grad_norm_ adds it to the norm that it divides by.
NORM_EPS = 1e-6


def is_spared(decl: ParamDecl, spare: tuple[str, ...]) -> bool:
    """True if weight decay spares a parameter: `biases` of convolutions, linear and recurrent layers, and
    `norms`, weights that do not start as random numbers: factors and offsets of norms, layer_scale, prelu."""
    is_norm = decl.role == "weight" and decl.init.kind == "constant"
    return ("biases" in spare and decl.role == "bias") or ("norms" in spare and is_norm)


def clip_gradients(gradients: Mapping[str, Array], clip: Clip) -> None:
    """Cut gradients in place: each element first, then all of them together by their norm.

    Source: torch.nn.utils.clip_grad_value_ and clip_grad_norm_.
    """
    if clip.value is not None:
        for gradient in gradients.values():
            np.clip(gradient, -clip.value, clip.value, out=gradient)
    if clip.norm is not None:
        squares = (np.square(g, dtype=np.float64).sum() for g in gradients.values())
        scale = clip.norm / (math.sqrt(sum(squares)) + NORM_EPS)
        if scale < 1:
            for gradient in gradients.values():
                gradient *= scale


class Updater:
    """The updates of a run: `apply` makes one.

    decls: the parameters that are trained, by their full names. `state` holds all that an update leaves to
    the next but for the parameters, by names of its own: a checkpoint stores it, `restore` takes it back.
    """

    def __init__(
        self, recipe: TrainingRecipe, decls: Mapping[str, ParamDecl], dtype: str = "float32"
    ) -> None:
        if recipe.optimizer is None:
            raise InternalError("an updater needs an optimizer")
        self._optimizer, self._clip, self._ema = recipe.optimizer, recipe.clip, recipe.ema
        starts = self._optimizer.state()
        # By parameter: its weight decay, its state as the optimizer calls it, and its moving average.
        self._decays = {
            name: 0.0 if is_spared(decl, recipe.spare) else self._optimizer.weight_decay
            for name, decl in decls.items()
        }
        self._states = {
            name: {kind: np.full(decl.shape, start, dtype) for kind, start in starts.items()}
            for name, decl in decls.items()
        }
        self.averages: dict[str, Array] = (
            {name: np.zeros(decl.shape, dtype) for name, decl in decls.items()} if self._ema else {}
        )

    @property
    def state(self) -> dict[str, Array]:
        """The arrays of the state by their names: `optimizer.KIND.PARAMETER` and `ema.PARAMETER`."""
        arrays = {
            f"optimizer.{kind}.{name}": array
            for name, kinds in self._states.items()
            for kind, array in kinds.items()
        }
        return arrays | {f"ema.{name}": array for name, array in self.averages.items()}

    def averaged(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        """The arrays of a network, after an update, with the moving averages of those that have one."""
        return {**arrays, **self.averages}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take the state that another run left. Raises E0602, E0603 and E0604 where it is another's."""
        own = self.state
        for code, odd, what in (
            ("E0602", own.keys() - arrays.keys(), "lacks"),
            ("E0603", arrays.keys() - own.keys(), "has"),
        ):
            if odd:
                fail(
                    code,
                    f"the state of the optimizer {what} {listed(sorted(odd))}",
                    help="the recipe that made it",
                )
        for name, array in arrays.items():
            if array.shape != own[name].shape:
                found, wanted = shape_text(array.shape), shape_text(own[name].shape)
                fail("E0604", f"`{name}` of the state of the optimizer is {found}, not {wanted}")
            own[name][...] = array

    def apply(
        self, params: Mapping[str, Array], gradients: Mapping[str, Array], lr_factor: float, step: int
    ) -> None:
        """Move parameters by their gradients, both changed in place; those without a gradient stay.

        lr_factor: what schedules multiply the learning rate by. step: number of the update, from 1.
        """
        gradients = {name: gradients[name] for name in self._states if name in gradients}
        clip_gradients(gradients, self._clip)
        lr = self._optimizer.lr * lr_factor
        for name, gradient in gradients.items():
            for piece in _pieces(params[name], gradient, self._states[name]):
                self._optimizer.apply(*piece, lr, self._decays[name], step)
        for name, average in self.averages.items():
            move_towards(average, params[name], 1.0 if step == 1 else 1 - self._ema)


def _pieces(
    param: Array, gradient: Array, state: Mapping[str, Array]
) -> Iterator[tuple[Array, Array, Mapping[str, Array]]]:
    """Blocks of arrays of one shape; a parameter whose elements do not lie side by side stays whole."""
    if param.size <= BLOCK or not param.flags.c_contiguous:
        yield param, gradient, state
        return
    flat, slopes = param.reshape(-1), gradient.reshape(-1)
    kinds = {kind: array.reshape(-1) for kind, array in state.items()}
    for start in range(0, flat.size, BLOCK):
        part = slice(start, start + BLOCK)
        yield flat[part], slopes[part], {kind: array[part] for kind, array in kinds.items()}
