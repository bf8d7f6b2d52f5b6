"""How an uncertain factor is distributed around one, as nodes and weights for averaging.

* ``gaussian``: mean one, cut off at a positive value (0.05 for efficiencies, 0 for backgrounds). The usual choice up to 30 %.
* ``lognormal``: exp(g ln(1 + size)) with g standard normal: one standard deviation up multiplies by 1 + size, one down divides.
  Positive without a cut-off; the choice for scale factors and for uncertainties above 30 %.
* ``gamma``: mean one and relative standard deviation ``size``: what a control sample or a template of 1/size^2 effective
  events says about its own mean.

Nodes are Gauss-Hermite where the factor moves the mean by less than 0.8 of the Poisson error, a fine uniform grid above (the
trapezoidal rule converges exponentially there), Gauss-Legendre panels where a cut-off is near.

Source: ATLAS and CMS, ATL-PHYS-PUB-2011-11 / CMS-NOTE-2011/005, section 3 (log-normal and gamma constraints).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Constraint = Literal["gaussian", "lognormal", "gamma"]
CONSTRAINTS: tuple[str, ...] = get_args(Constraint)
Nodes = tuple[Array, Array]

#: Largest relative error of an efficiency with a gamma constraint: beyond, the posterior of the rate has no mean.
LARGEST_GAMMA_EFFICIENCY = 0.7
_REACH = 9.0  # standard deviations covered
_LADDER = ((0.1, 8), (0.25, 12), (0.5, 20), (0.8, 32))


def check_constraint(name: str, constraint: str) -> None:
    """Raise ``ValueError`` naming the argument ``name`` unless ``constraint`` is known."""
    if constraint not in CONSTRAINTS:
        raise ValueError(f"{name} = {constraint!r}: must be one of {', '.join(CONSTRAINTS)}")


@lru_cache(maxsize=256)
def _hermite(size: int) -> Nodes:
    x, w = np.polynomial.hermite_e.hermegauss(size)
    return x, w / w.sum()


def _panels(low: float, high: float, points: int) -> Nodes:
    """Gauss-Legendre nodes and weights in panels of 16, at least ``points`` altogether."""
    x, w = np.polynomial.legendre.leggauss(16)
    edges = np.linspace(low, high, max(math.ceil(points / 16), 2) + 1)
    half = 0.5 * np.diff(edges)
    return (edges[:-1, None] + half[:, None] * (x + 1)).ravel(), (half[:, None] * w).ravel()


def standard_normal(ratio: float, cut: float = -math.inf) -> Nodes:
    """Nodes and weights (sum 1) of a standard normal variable above ``cut``.

    ``ratio`` is how far one standard deviation moves the mean of the count, in Poisson errors.
    """
    if cut > -_REACH:
        x, w = _panels(cut, max(_REACH, cut + 1.0), math.ceil(max(48.0, 24.0 * ratio)))
        w = w * np.exp(-0.5 * x * x)
    else:
        for reach, size in _LADDER:
            if ratio <= reach:
                return _hermite(size)
        count = math.ceil(_REACH * math.hypot(1.0, ratio) / 0.8)
        x = np.linspace(-_REACH, _REACH, 2 * count + 1)
        w = np.exp(-0.5 * x * x)
    return x, w / w.sum()


def _gamma(size: float, ratio: float) -> Nodes:
    """Nodes and weights of a gamma variable of mean one: trapezoidal in the logarithm."""
    a = 1.0 / size**2

    def end(sign: float, power: float) -> float:
        """Where power y - a exp(y) has fallen by 40 from its peak."""
        peak = math.log(power / a)
        top, low, high = power * peak - power, 0.0, 1.0
        while top - (power * (peak + sign * high) - a * math.exp(peak + sign * high)) < 40.0:
            low, high = high, 2.0 * high
        for _ in range(40):
            middle = 0.5 * (low + high)
            fallen = top - (power * (peak + sign * middle) - a * math.exp(peak + sign * middle)) >= 40.0
            low, high = (low, middle) if fallen else (middle, high)
        return peak + sign * high

    first, last = end(-1.0, a - 1.0 if a > 2.0 else a), end(1.0, a)
    step = (0.7 if a > 10 else 0.4) / (math.sqrt(a) * math.hypot(1.0, ratio))
    y = np.linspace(first, last, math.ceil((last - first) / step) + 1)
    log_w = a * y - a * np.exp(y)
    w = np.exp(log_w - log_w.max())
    return np.exp(y), w / w.sum()


def correlated_factors(constraint: str, sizes: Array, floors: Array, ratio: float) -> Nodes:
    """Factors (nodes, targets) and weights (nodes,) of one nuisance that moves several targets by ``sizes`` (targets,).

    ``floors`` are the lowest factors allowed with a Gaussian constraint. With a gamma constraint the largest size is the
    gamma variable's, and the others follow it in proportion.
    """
    largest = float(sizes.max(initial=0.0))
    if largest <= 0.0:
        return np.ones((1, len(sizes))), np.ones(1)
    if constraint == "gamma":
        x, w = _gamma(largest, ratio)
        return 1.0 + (x[:, None] - 1.0) * (sizes / largest), w
    if constraint == "lognormal":
        g, w = standard_normal(ratio)
        return np.exp(g[:, None] * np.log1p(sizes)), w
    moving = sizes > 0
    g, w = standard_normal(ratio, float(((floors[moving] - 1.0) / sizes[moving]).max()))
    return 1.0 + g[:, None] * sizes, w


def factor(constraint: str, size: float, floor: float, ratio: float) -> Nodes:
    """Nodes and weights of one factor around one with relative uncertainty ``size``."""
    x, w = correlated_factors(constraint, np.array([size]), np.array([floor]), ratio)
    return x[:, 0], w


def gauss_of_measure(x: Array, w: Array, size: int) -> Nodes:
    """The Gauss rule of ``size`` nodes with the moments of a discrete measure (Lanczos, fully reorthogonalised)."""
    centre = float(w @ x)
    scale = math.sqrt(max(float(w @ (x - centre) ** 2), 0.0))
    if scale <= 1e-14 * abs(centre):
        return np.array([centre]), np.ones(1)
    t = (x - centre) / scale
    basis, diagonal, off = [np.sqrt(w)], [], []
    for _ in range(min(size, len(x))):
        v = t * basis[-1]
        diagonal.append(float(v @ basis[-1]))
        for _ in range(2):
            for q in basis:
                v = v - (v @ q) * q
        norm = float(np.linalg.norm(v))
        if norm < 1e-10:
            break
        off.append(norm)
        basis.append(v / norm)
    k = len(diagonal)
    nodes, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(off[: k - 1], 1) + np.diag(off[: k - 1], -1))
    return centre + scale * nodes, vectors[0] ** 2


def _deposit(x: Array, w: Array, step: float) -> Nodes:
    """The same measure on a uniform grid, each point shared by four (exact to the third moment)."""
    low = float(x.min()) - 2.0 * step
    position = (x - low) / step
    first = position.astype(np.int64) - 1
    u = position - first
    shares = (-(u - 1) * (u - 2) * (u - 3) / 6, u * (u - 2) * (u - 3) / 2, -u * (u - 1) * (u - 3) / 2, u * (u - 1) * (u - 2) / 6)
    total = np.zeros(int(first.max()) + 5)
    for k, share in enumerate(shares):
        total += np.bincount(first + k, weights=w * share, minlength=len(total))
    keep = total != 0
    return np.maximum(low + step * np.arange(len(total)), 0.0)[keep], total[keep]


def sum_of(parts: list[Nodes], poisson_error: float) -> Nodes:
    """Nodes and weights of a sum of independent variables, compressed; ``poisson_error`` [events] sets the resolution."""
    x, w = np.zeros(1), np.ones(1)
    for px, pw in parts:
        x, w = (x[:, None] + px).ravel(), (w[:, None] * pw).ravel()
        if len(x) <= 64:
            continue
        spread = math.sqrt(max(float(w @ x**2) - float(w @ x) ** 2, 0.0)) / poisson_error
        size = next((size for reach, size in _LADDER if spread <= reach), None)
        if size is not None:
            x, w = gauss_of_measure(x, w, size)
        elif float(np.ptp(x)) / (0.2 * poisson_error) < len(x):
            x, w = _deposit(x, w, 0.2 * poisson_error)
    return x, w
