"""Upper limits and intervals of one channel from its nodes (signal factors a, backgrounds b [events], weights w)."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from belle2dark.limits import unified
from belle2dark.limits.general import prior_quantile, solve_tail, tail

Array = NDArray[np.float64]
Prior = Literal["flat", "sqrt", "reference"]
PRIORS: tuple[str, ...] = get_args(Prior)


def _start(n: int, a: Array, b: Array, w: Array) -> float:
    """A signal of the size of the limit."""
    nominal = float(w @ b)
    return max(n - nominal, 0.0) + 2.0 * math.sqrt(n + 1.0) + math.sqrt(max(float(w @ b**2) - nominal**2, 0.0))


def posterior_quantile(n: int, a: Array, b: Array, w: Array, probability: float, prior: str) -> float:
    """The signal below which the posterior holds ``probability``."""
    start = _start(n, a, b, w)
    if prior == "flat":
        return float(solve_tail(n, a, b, w, True, (1.0 - probability) * tail(n, 0.0, a, b, w, True), start))
    b0 = float(w @ b) if prior == "reference" else 0.0
    return float(prior_quantile(n, a, b, w, b0, probability, start))


def upper_of_nodes(n: int, a: Array, b: Array, w: Array, cl: float, method: str, prior: str = "flat") -> float:
    """Upper limit on the signal."""
    if method == "bayesian":
        return posterior_quantile(n, a, b, w, cl, prior)
    if method == "feldman_cousins":
        return unified.interval_of_nodes(n, a, b, w, cl, upper_only=True)[1]
    reference = tail(n, 0.0, a, b, w, False) if method == "cls" else 1.0
    return float(solve_tail(n, a, b, w, False, (1.0 - cl) * reference, _start(n, a, b, w)))


def interval_of_nodes(n: int, a: Array, b: Array, w: Array, cl: float, method: str, prior: str = "flat") -> tuple[float, float]:
    """Two-sided interval on the signal: (low, high)."""
    if method == "feldman_cousins":
        return unified.interval_of_nodes(n, a, b, w, cl)
    if method == "cls":
        return 0.0, upper_of_nodes(n, a, b, w, cl, method)
    side = 0.5 * (1.0 - cl)
    if method == "bayesian":
        return posterior_quantile(n, a, b, w, side, prior), posterior_quantile(n, a, b, w, 1.0 - side, prior)
    start = _start(n, a, b, w)
    low = float(solve_tail(n - 1, a, b, w, False, 1.0 - side, start)) if n > 0 else 0.0
    return low, float(solve_tail(n, a, b, w, False, side, start))
