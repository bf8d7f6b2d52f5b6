"""Systematic uncertainties of a count: the record, and the quadrature that averages over them.

The mean of a count is ``f (e s + k b)`` with s signal events, b expected background, and three independent factors around
one: e (signal efficiency alone), k (background alone, template statistics included) and f (both together, same sign). Each
is a Gaussian cut off at positive values: e and f at 0.05 (a flat prior in s has no upper limit if the efficiency may
vanish), k at 0.

Averages use Gauss-Hermite nodes, 6 where the factor moves the mean by less than a quarter of the Poisson error and more as
it grows (12 at 0.8, 48 at most: errors below 1e-7 of a probability), and Gauss-Legendre nodes over the allowed range where
the cut-off is nearer than 5.5 standard deviations.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import jit
from belle2dark.limits.special import normal_cdf

Array = NDArray[np.float64]

EFFICIENCY_FLOOR = 0.05  # lowest efficiency factor
MAX_NODES = 48
TABLE_SIZE = 1025  # points of a cumulative table, 16 sigma wide
_SIZES = np.array([6, 8, 12, 16, 24, 32, MAX_NODES])
_REACH = np.array([0.25, 0.5, 0.8, 1.05, 1.5, 2.0, np.inf])  # largest ratio (shift of the mean / Poisson error) per size
_CUT_SIZES = np.array([24, 24, 32, 32, MAX_NODES, MAX_NODES, MAX_NODES])  # Gauss-Legendre, where the cut-off matters
_GAMMA_SIZES = 4  # gamma nodes are only used where the Poisson error is not the largest: up to 16 nodes
_GAMMA_GRID = 65


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertainties:
    """Relative systematic uncertainties of a counting search.

    ``signal`` acts on the signal efficiency alone, ``background`` on the background alone, ``correlated`` moves both
    together. Raises ``ValueError`` outside 0 to 1 (above 100 % the model is no longer a measurement).
    """

    signal: float = 0.0
    background: float = 0.0
    correlated: float = 0.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{item.name} = {value}: relative uncertainty must lie in [0, 1]")


NO_UNCERTAINTIES = Uncertainties()


def _hermite() -> tuple[Array, Array]:
    x, w = np.zeros((len(_SIZES), MAX_NODES)), np.zeros((len(_SIZES), MAX_NODES))
    for i, n in enumerate(_SIZES):
        x[i, :n], w[i, :n] = np.polynomial.hermite_e.hermegauss(int(n))
    return x, w / w.sum(axis=1, keepdims=True)


def _legendre() -> tuple[Array, Array]:
    x, w = np.zeros((len(_CUT_SIZES), MAX_NODES)), np.zeros((len(_CUT_SIZES), MAX_NODES))
    for i, n in enumerate(_CUT_SIZES):
        x[i, :n], w[i, :n] = np.polynomial.legendre.leggauss(int(n))
    return x, w


def _gamma_tables() -> tuple[Array, Array]:
    """Gauss nodes and weights of (T - a)/sqrt(a), T ~ Gamma(a), on a grid of a^-1/2 from 0 to 1: (size, grid, node)."""
    delta = np.linspace(0.0, 1.0, _GAMMA_GRID)[:, None]
    x, w = np.zeros((_GAMMA_SIZES, _GAMMA_GRID, 16)), np.zeros((_GAMMA_SIZES, _GAMMA_GRID, 16))
    for i, n in enumerate(_SIZES[:_GAMMA_SIZES]):
        k = np.arange(n)
        jacobi = np.zeros((_GAMMA_GRID, n, n))
        jacobi[:, k, k] = 2 * k * delta
        off = np.sqrt(k[1:] * (1 + (k[1:] - 1) * delta**2))
        jacobi[:, k[1:], k[1:] - 1] = jacobi[:, k[1:] - 1, k[1:]] = off
        x[i, :, :n], vectors = np.linalg.eigh(jacobi)
        w[i, :, :n] = vectors[:, 0, :] ** 2
    return x, w


_HX, _HW = _hermite()
_GX, _GW = _gamma_tables()
_LX, _LW = _legendre()


@jit()
def rung(ratio):
    """Index of the node set that is enough for a factor moving the mean by ``ratio`` Poisson errors."""
    i = 0
    while ratio > _REACH[i]:
        i += 1
    return i


@jit()
def factor_nodes(sigma, floor, ratio, x, w):
    """Fill x and w with nodes and weights (sum 1) of the factor 1 + sigma g > floor; returns how many."""
    if sigma <= 0.0:
        x[0], w[0] = 1.0, 1.0
        return 1
    total = 0.0
    i = rung(ratio)
    if 1.0 - floor >= 5.5 * sigma:
        n = 0
        for j in range(_SIZES[i]):
            value = 1.0 + sigma * _HX[i, j]
            if value > floor:
                x[n], w[n] = value, _HW[i, j]
                total += w[n]
                n += 1
    else:
        i = len(_CUT_SIZES) - 1 if sigma > 0.3 else i
        n, low = _CUT_SIZES[i], (floor - 1.0) / sigma
        for j in range(n):
            g = low + 0.5 * (6.5 - low) * (_LX[i, j] + 1.0)
            x[j], w[j] = 1.0 + sigma * g, _LW[i, j] * math.exp(-0.5 * g * g)
            total += w[j]
    for j in range(n):
        w[j] /= total
    return n


@jit()
def gamma_nodes(a, ratio, x, w):
    """Fill x and w with Gauss nodes and weights of a Gamma(a) variable (mean and variance a >= 1); returns how many.

    Cubic interpolation of tabulated nodes in a^-1/2: 1e-8.
    """
    i = min(rung(ratio), _GAMMA_SIZES - 1)
    position = (_GAMMA_GRID - 1) / math.sqrt(a)
    g = min(max(int(position) - 1, 0), _GAMMA_GRID - 4)
    u = position - g
    c0 = -(u - 1.0) * (u - 2.0) * (u - 3.0) / 6.0
    c1 = u * (u - 2.0) * (u - 3.0) / 2.0
    c2 = -u * (u - 1.0) * (u - 3.0) / 2.0
    c3 = u * (u - 1.0) * (u - 2.0) / 6.0
    for j in range(_SIZES[i]):
        x[j] = a + math.sqrt(a) * (c0 * _GX[i, g, j] + c1 * _GX[i, g + 1, j] + c2 * _GX[i, g + 2, j] + c3 * _GX[i, g + 3, j])
        w[j] = c0 * _GW[i, g, j] + c1 * _GW[i, g + 1, j] + c2 * _GW[i, g + 2, j] + c3 * _GW[i, g + 3, j]
    return _SIZES[i]


@lru_cache(maxsize=64)
def cumulative_table(sigma: float, inverse: bool) -> Array:
    """Cumulative integral of the efficiency factor's density, weighted by 1/factor if ``inverse``: (2, TABLE_SIZE).

    Row 0 is the integral up to each point of a uniform grid over the allowed range, row 1 its derivative, for cubic Hermite
    interpolation by :func:`cumulative` (5e-10).
    """
    if sigma <= 0.0:
        return np.zeros((2, TABLE_SIZE))
    low, high = table_range(sigma)
    grid = np.linspace(low, high, TABLE_SIZE)
    u, w = np.polynomial.legendre.leggauss(8)
    step = grid[1] - grid[0]

    def density(factor: Array) -> Array:
        value = np.exp(-0.5 * ((factor - 1) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
        return value / factor if inverse else value

    pieces = density(grid[:-1, None] + step * 0.5 * (u + 1)) @ w * step * 0.5
    norm = 1.0 - normal_cdf((EFFICIENCY_FLOOR - 1) / sigma)
    table = np.stack([np.concatenate([[0.0], np.cumsum(pieces)]), density(grid)]) / norm
    table.flags.writeable = False
    return table


@jit()
def table_range(sigma):
    """Lowest and highest factor of :func:`cumulative_table`."""
    return max(EFFICIENCY_FLOOR, 1.0 - 8.0 * sigma), 1.0 + 8.0 * sigma


@jit()
def cumulative(table, sigma, factor):
    """The tabulated cumulative integral at ``factor``."""
    low, high = table_range(sigma)
    if factor <= low:
        return 0.0
    if factor >= high:
        return table[0, TABLE_SIZE - 1]
    step = (high - low) / (TABLE_SIZE - 1)
    position = (factor - low) / step
    i = min(int(position), TABLE_SIZE - 2)
    t = position - i
    a = t * t * (3.0 - 2.0 * t)
    return (table[0, i] * (1.0 - a) + table[0, i + 1] * a
            + step * t * (1.0 - t) * (table[1, i] * (1.0 - t) - table[1, i + 1] * t))  # fmt: skip


@jit()
def background_cumulative(sigma, factor):
    """P(k < factor) of the background factor, a Gaussian of width ``sigma`` cut off at 0."""
    if factor <= 0.0:
        return 0.0
    cut = normal_cdf(-1.0 / sigma)
    return max(normal_cdf((factor - 1.0) / sigma) - cut, 0.0) / (1.0 - cut)
