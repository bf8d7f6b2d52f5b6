"""Feldman-Cousins intervals where :mod:`.feldman_cousins` does not reach: lower ends, and systematics of any shape.

``lowers`` gives the lower ends for Gaussian systematics (or none) at any number of events. ``interval_of_nodes`` builds the
whole construction from the nodes of :mod:`.general`, for a few hundred events and in a tenth of a second to a second.

The lower end is that of the plain construction at the stated background; only upper ends are made not to rise as the
background falls, as in the paper.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import special

from belle2dark._jit import jit
from belle2dark.limits.averaged import background_coefficients, prepare, scratch
from belle2dark.limits.constraints import gauss_of_measure
from belle2dark.limits.feldman_cousins import LARGEST_SUM, _log_rank, _run

Array = NDArray[np.float64]

_LARGEST_TABLE = 20_000_000  # nodes x counts of one construction
_SEARCH, _STEP, _TEETH_UP_TO = 1.5, 0.1, 60.0  # as in feldman_cousins


@jit()
def _bottom(n, s, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables):
    """The lowest count ranked before n, for n above the peak."""
    peak = math.floor(s + b)
    rank = _log_rank(n, s, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables)
    if _log_rank(0, s, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables) > rank:
        return 0
    low, high = 0, peak  # ranks rise from 0 to the peak
    while high - low > 1:
        middle = (low + high) // 2
        if _log_rank(middle, s, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables) > rank:
            high = middle
        else:
            low = middle
    return high


@jit()
def _taken(n, s, b, cl, plain, se, sf, sk, form, counts, nodes, coefficients, tables):
    """Whether n is in the acceptance region of s, for n above the peak (at it or below: yes)."""
    if n <= math.floor(s + b):
        return True
    bottom = _bottom(n, s, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables)
    return _run(bottom - 1, n - 1, s, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables) < cl


@jit()
def lower(n, b, se, sf, sk, cl, tables, nodes, coefficients):
    """Lower end of the interval for the signal: n observed, b expected, relative uncertainties."""
    if n <= b:
        return 0.0
    plain = se <= 0.0 and sf <= 0.0 and (sk <= 0.0 or b <= 0.0)
    form, ne, nf, nk, ratio = prepare(n, b, se, sf, sk if b > 0.0 else 0.0, nodes)
    counts = (ne, nf, nk, ratio)
    if not plain and form == -1:
        background_coefficients(LARGEST_SUM, b, nf, nk, nodes, coefficients)
    if _taken(n, 0.0, b, cl, plain, se, sf, sk, form, counts, nodes, coefficients, tables):
        return 0.0
    low, high = 0.0, n - b
    while high - low > 1e-9 * high:
        middle = 0.5 * (low + high)
        if _taken(n, middle, b, cl, plain, se, sf, sk, form, counts, nodes, coefficients, tables):
            high = middle
        else:
            low = middle
    # Teeth: where a low count leaves the region, n may have been accepted a little further down.
    span = 1.0 + 0.5 * math.sqrt(n + 1.0)
    step = span / 400.0
    s = high
    for _ in range(400):
        s -= step
        if s <= 0.0:
            break
        if _taken(n, s, b, cl, plain, se, sf, sk, form, counts, nodes, coefficients, tables):
            low, high = s - step, s
            while high - low > 1e-9 * high:
                middle = 0.5 * (low + high)
                if _taken(n, middle, b, cl, plain, se, sf, sk, form, counts, nodes, coefficients, tables):
                    high = middle
                else:
                    low = middle
            s = high
    return high


@jit(parallel=True)
def lowers(n, b, sk, se, sf, cl, tables):
    """Lower ends (m,) for m windows."""
    out = np.empty(len(n))
    for i in numba.prange(len(n)):
        nodes, coefficients = scratch(LARGEST_SUM)
        out[i] = lower(n[i], b[i], se, sf, sk[i], cl, tables, nodes, coefficients)
    return out


def _probabilities(s: float, a: Array, b: Array, w: Array, counts: Array, log_factorial: Array) -> Array:
    """Averaged Poisson probabilities of ``counts``."""
    mean = np.maximum(a * s + b, 1e-300)
    return w @ np.exp(np.log(mean)[:, None] * counts - mean[:, None] - log_factorial)


def _ends(n: int, a: Array, b: Array, w: Array, cl: float, upper_only: bool) -> tuple[float, float]:
    """Lower and upper end of the plain construction."""
    nominal = float(w @ b)
    spread = math.sqrt(max(float(w @ b**2) - nominal**2, 0.0))
    relative = math.sqrt(max(float(w @ a**2) - float(w @ a) ** 2, 0.0))
    reach = max(n - nominal, 0.0) + 4.0 * math.sqrt(n + 2.0) + 3.0 * spread + 2.0
    reach *= 1.0 + 3.0 * relative
    while True:
        mean = reach * (1.0 + 4.0 * relative) + nominal + 5.0 * spread
        counts = np.arange(max(n, math.ceil(mean + 7.0 * math.sqrt(mean))) + 5.0)
        if len(counts) * len(w) > _LARGEST_TABLE:
            raise ValueError(f"n = {n}: too many events for a Feldman-Cousins construction with these systematics")
        log_factorial = special.gammaln(counts + 1)
        best = np.maximum(counts - nominal, 0.0)
        means = np.maximum(a[:, None] * best + b[:, None], 1e-300)
        log_best = np.log(np.maximum(w @ np.exp(counts * np.log(means) - means - log_factorial), 1e-300))

        def accepted(s: float, counts=counts, log_factorial=log_factorial, log_best=log_best) -> bool:
            p = _probabilities(s, a, b, w, counts, log_factorial)
            rank = np.log(np.maximum(p, 1e-300)) - log_best
            return float(p[rank > rank[n] + 1e-12].sum()) < cl

        grid = np.linspace(0.0, reach, 121)
        inside = np.array([accepted(s) for s in grid])
        if not inside[-1]:
            break
        reach *= 1.6

    def edge(inner: float, outer: float) -> float:
        while abs(outer - inner) > 1e-7 * (1.0 + abs(inner)):
            middle = 0.5 * (inner + outer)
            inner, outer = (middle, outer) if accepted(middle) else (inner, middle)
        return inner

    where = np.flatnonzero(inside)
    if len(where) == 0:  # narrower than the grid
        return 0.0, float(grid[1])
    first, last = int(where[0]), int(where[-1])
    low = 0.0 if upper_only or first == 0 else edge(float(grid[first]), float(grid[first - 1]))
    return low, edge(float(grid[last]), float(grid[last + 1]))


def _compressed(a: Array, b: Array, w: Array) -> tuple[Array, Array, Array]:
    """At most 16 x 8 nodes: strips of equal weight in the signal factor, Gauss nodes of the background in each."""
    keep = w > 1e-12
    a, b, w = a[keep], b[keep], w[keep]
    order = np.argsort(a, kind="stable")
    strips = np.array_split(order, np.searchsorted(np.cumsum(w[order]), w.sum() * np.arange(1, 16) / 16.0))
    signals, backgrounds, weights = [], [], []
    for rows in strips:
        weight = float(w[rows].sum())
        if weight <= 0:
            continue
        nodes, p = gauss_of_measure(b[rows], w[rows] / weight, 8)
        signals.append(np.full(len(nodes), float(w[rows] @ a[rows]) / weight))
        backgrounds.append(np.maximum(nodes, 0.0))
        weights.append(weight * p)
    return np.concatenate(signals), np.concatenate(backgrounds), np.concatenate(weights)


def interval_of_nodes(n: int, a: Array, b: Array, w: Array, cl: float, *, upper_only: bool = False) -> tuple[float, float]:
    """Feldman-Cousins interval for ``n`` events with signal factors a, backgrounds b [events] and weights w (nodes,).

    Ends are good to 1 % of the Poisson error; more than 400 nodes are compressed first. Raises ``ValueError`` naming n where
    the construction would not fit in memory.
    """
    if len(w) > 400:
        a, b, w = _compressed(a, b, w)
    low, high = _ends(n, a, b, w, cl, upper_only)
    nominal = float(w @ b)
    if n < nominal + _SEARCH and nominal <= _TEETH_UP_TO and nominal > 0:
        for extra in np.arange(_STEP, _SEARCH, _STEP):
            high = max(high, _ends(n, a, b * (1.0 + extra / nominal), w, cl, True)[1])
    return low, high
