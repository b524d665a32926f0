"""The error function, which NumPy lacks."""

from __future__ import annotations

from archforge.ops.base import Array
from archforge.ops.lazy_numpy import np

__all__ = ["NORMAL_END", "NORMAL_LOGIT", "erf"]

# Rational Chebyshev approximations of W. J. Cody, Math. Comp. 23 (1969), 631-637, with the digits of
# his CALERF (netlib.org/specfun/erf). Lowest power last; a denominator's leading 1 is not written.
_SMALL = (  # erf(x) / x in x^2, |x| <= 0.46875
    (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2,
     3.20937758913846947e3),
    (2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)  # fmt: skip
_MIDDLE = (  # erfc(x) * exp(x^2) in x, 0.46875 <= x <= 4
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1,
     2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
     1.23033935479799725e3),
    (1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)  # fmt: skip
# The part of the normal distribution beyond -x is 1 / (1 + exp(x * p)), p a polynomial in x^2 with its
# highest power first, where x^2 is no more than `NORMAL_END`: what float32 holds. x times this is within 7e-8
# of gelu, within 7e-8 * |x| where |x| < 1. A minimax fit of ours, by Lawson's method in float64.
NORMAL_END = 31.36
NORMAL_LOGIT = (-3.618725854783796e-9, 2.672937051975083e-7, -7.946225935998292e-6, 1.1055588028485207e-4,
                6.590952752473365e-5, -7.266782268595884e-2, -1.5957689853280221)  # fmt: skip
_SATURATED = 6.0  # erfc(6) = 2.2e-17, less than half a unit in the last place of 1


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], t: Array) -> Array:
    numerator, denominator = coefficients
    top: Array = np.full_like(t, numerator[0])
    bottom: Array = np.ones_like(t)
    for a in numerator[1:]:
        top = top * t + a
    for b in denominator:
        bottom = bottom * t + b
    return top / bottom


def erf(x: Array) -> Array:
    """Error function of each element, in its dtype; in float64 accurate to 1e-15."""
    size = np.minimum(np.abs(x), _SATURATED)
    small = x * _ratio(_SMALL, np.square(np.minimum(size, 0.46875)))
    large = np.sign(x) * (1 - np.exp(-np.square(size)) * _ratio(_MIDDLE, size))
    return np.where(size <= 0.46875, small, large)
