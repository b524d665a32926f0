"""Orthogonal initialisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archforge.ir import Array
from archforge.ops.base import PositiveReal
from archforge.ops.lazy_numpy import np
from archforge.recipe.base import Initialiser

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["Orthogonal"]


class Orthogonal(Initialiser):
    """A matrix whose rows, or columns if they are fewer, are orthogonal and of length `scale`. A kernel is
    the matrix of its first axis by all others. Source: arXiv:1312.6120; torch.nn.init.orthogonal_, whose
    `gain` is the scale.

    Attributes:
    scale: the length of a row or column.
    """

    word = "orthogonal"
    least_axes = 2

    scale: PositiveReal = 1.0

    def draw(self, shape: tuple[int, ...], generator: Generator) -> Array:
        flat = generator.standard_normal((shape[0], int(np.prod(shape[1:]))))
        is_wide = flat.shape[0] < flat.shape[1]
        q, r = np.linalg.qr(flat.T if is_wide else flat)
        q = q * np.where(np.diag(r) < 0, -self.scale, self.scale)  # so that all rotations are as likely
        return np.ascontiguousarray(q.T if is_wide else q).reshape(shape)
