"""Shapes of backgrounds, as bin contents linear in their parameters.

A background is a record, and :func:`columns` gives the bin contents (k, bins) of its components, the first of them positive
everywhere: ``Polynomial`` and ``Chebyshev`` (the same curves; Chebyshev parameters are less correlated), ``Exponential`` (its
slope is found by repeated linearisation), ``Templates`` for simulated histograms with their uncertainties.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.limits.shapes import check_edges, check_fields

Array = NDArray[np.float64]

_MAX_DEGREE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Polynomial:
    """sum of c_k u^k with u from -1 to 1 over the fitted range; parameters in events, the first the constant's integral."""

    degree: int = 1

    def __post_init__(self) -> None:
        _check_degree(self.degree)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chebyshev:
    """sum of c_k T_k(u) with u from -1 to 1 over the fitted range; parameters in events as for :class:`Polynomial`."""

    degree: int = 1

    def __post_init__(self) -> None:
        _check_degree(self.degree)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exponential:
    """c exp(-slope u) with u from 0 to 1 over the fitted range; c in events, ``slope`` is where the fit starts."""

    slope: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        if abs(self.slope) > 50:
            raise ValueError(f"slope = {self.slope}: must lie between -50 and 50 per fitted range")


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """Simulated histograms ``contents`` (k, ...) in expected events, each with a relative normalisation uncertainty.

    ``uncertainties`` (k,): 0 fixes a component, infinity lets it float; the constraint is log-normal (``gaussian=True``: a
    Gaussian). ``statistical`` (...) is the relative Monte Carlo error of the sum per bin, one Gaussian factor per bin.
    """

    contents: Array
    uncertainties: tuple[float, ...]
    statistical: Array | None = None
    gaussian: bool = False

    def __post_init__(self) -> None:
        contents = np.asarray(self.contents, dtype=float)
        if contents.ndim < 2 or len(contents) != len(self.uncertainties):
            raise ValueError(f"contents has shape {contents.shape}: expected (k, bins) with k = {len(self.uncertainties)} of "
                             "uncertainties")  # fmt: skip
        if not np.isfinite(contents).all() or (contents < 0).any() or not (contents.reshape(len(contents), -1).sum(1) > 0).all():
            raise ValueError("contents: must be finite, not negative and no component may be empty")
        if not all(value >= 0 and (value <= 1 or value == math.inf) for value in self.uncertainties):
            raise ValueError(f"uncertainties = {self.uncertainties}: each must lie in [0, 1] or be infinite (floating)")
        if self.statistical is not None:
            statistical = np.asarray(self.statistical, dtype=float)
            if statistical.shape != contents.shape[1:] or not ((statistical >= 0) & (statistical <= 10)).all():
                raise ValueError(f"statistical: must have shape {contents.shape[1:]} and lie in [0, 10]")


Background = Polynomial | Chebyshev | Exponential | Templates


def _check_degree(degree: int) -> None:
    if not (isinstance(degree, int) and 0 <= degree <= _MAX_DEGREE):
        raise ValueError(f"degree = {degree}: must be a whole number from 0 to {_MAX_DEGREE}")


def polynomial_columns(u: Array, degree: int, chebyshev: bool) -> Array:
    """Bin contents (..., degree + 1, bins) from edges ``u`` (..., bins + 1) scaled to [-1, 1]; the constant sums to 1."""
    if not chebyshev:
        powers = np.stack([u ** (k + 1) / (k + 1) for k in range(degree + 1)], axis=-2)
        return 0.5 * np.diff(powers, axis=-1)
    t = [np.ones_like(u), u]
    for _ in range(degree):
        t.append(2.0 * u * t[-1] - t[-2])
    integrals = [u, 0.5 * u * u]  # of T_0 and T_1; then (T_(k+1)/(k+1) - T_(k-1)/(k-1))/2
    integrals += [0.5 * (t[k + 1] / (k + 1) - t[k - 1] / (k - 1)) for k in range(2, degree + 1)]
    return 0.5 * np.diff(np.stack(integrals[: degree + 1], axis=-2), axis=-1)


def exponential_columns(u: Array, slope: Array | float) -> tuple[Array, Array, Array]:
    """Bin contents of exp(-slope u), normalised over u from 0 to 1, with first and second derivative in ``slope``.

    ``u`` (..., bins + 1) are edges scaled to [0, 1], ``slope`` a number or (..., 1).
    """
    k = np.asarray(slope, dtype=float)
    x, w = np.polynomial.legendre.leggauss(8)
    middle, half = 0.5 * (u[..., 1:] + u[..., :-1])[..., None], 0.5 * np.diff(u, axis=-1)[..., None]
    v = middle + half * x
    weight = half * w * np.exp(-k[..., None] * (v - 0.5))
    moments = [(weight * v**power).sum(-1) for power in range(3)]
    z, z1, z2 = (m.sum(-1, keepdims=True) for m in moments)
    mean, square = z1 / z, z2 / z
    zero, one, two = (m / z for m in moments)
    first = mean * zero - one
    second = two - 2.0 * mean * one + (2.0 * mean**2 - square) * zero
    return zero, first, second


def columns(background: Background, edges: ArrayLike) -> Array:
    """Bin contents (k, bins) of a background's components; for ``Exponential`` at its starting slope."""
    if isinstance(background, Templates):
        return np.asarray(background.contents, dtype=float).reshape(len(background.contents), -1)
    x = check_edges(edges)
    u = (x - x[0]) / (x[-1] - x[0])
    if isinstance(background, Exponential):
        return exponential_columns(u, background.slope)[0][None, :]
    return polynomial_columns(2.0 * u - 1.0, background.degree, isinstance(background, Chebyshev))
