"""Limits from explicit nodes: any constraint, any prior, any number of correlated systematics, one window at a time.

Every combination j of systematic variations is a signal factor a_j, a background b_j [events] and a weight w_j, so that the
averaged probability is sum_j w_j P(N <= n | a_j s + b_j). Slower than :mod:`.flat_prior` (1-10 ms per limit), and tested to
agree with it where both apply.

Priors other than the flat one are integrated by parts over u = sqrt(s + b0), where pi(s) ds = 2 du (b0 = 0: 1/sqrt(s);
b0 = b: the reference prior 1/sqrt(s + b) of a known background): with G(s) the flat-prior posterior below s, the new one is
G/u + integral of G/u^2 du, a sum of positive terms without a singularity.

Source: L. Demortier, S. Jain and H. B. Prosper, Phys. Rev. D 82 (2010) 034002 (reference priors of counting searches).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numpy as np

from belle2dark._jit import jit
from belle2dark.limits.special import log_pmf, poisson_cdf

_X8, _W8 = np.polynomial.legendre.leggauss(8)
_PANEL = 0.5  # of the central 68 % of the posterior in u
_NOTHING = 1e-9  # part of the posterior that is left out where it lies far above zero signal


@jit()
def tail(n, s, a, b, w, inverse):
    """Averaged P(N <= n) at signal ``s``; with ``inverse`` the flat-prior posterior above s, not normalised."""
    total = 0.0
    for j in range(len(w)):
        value = w[j] * poisson_cdf(n, a[j] * s + b[j])
        total += value / a[j] if inverse else value
    return total


@jit()
def likelihood(n, s, a, b, w):
    """Averaged Poisson probability of ``n`` at signal ``s``."""
    total = 0.0
    for j in range(len(w)):
        total += w[j] * math.exp(log_pmf(n, a[j] * s + b[j]))
    return total


@jit()
def solve_tail(n, a, b, w, inverse, target, start):
    """The signal at which the tail has fallen to ``target``; 0 if it is below already without signal."""
    f_low = tail(n, 0.0, a, b, w, inverse) / target
    if f_low <= 1.0:
        return 0.0
    low, high, f_low = 0.0, start, math.log(f_low)
    f_high = tail(n, high, a, b, w, inverse) / target
    while f_high > 1.0:
        low, f_low = high, math.log(f_high)
        high *= 2.0
        f_high = tail(n, high, a, b, w, inverse) / target
    f_high = math.log(f_high) if f_high > 0.0 else -700.0
    side = 0
    for _ in range(200):
        part = f_low / (f_low - f_high) if f_high > -50.0 else 0.5
        s = low + (high - low) * part
        value = tail(n, s, a, b, w, inverse) / target
        f = math.log(value) if value > 0.0 else -700.0
        if abs(f) <= 1e-11 or high - low <= 1e-12 * high:
            return s
        if f > 0.0:
            low, f_low = s, f
            f_high *= 0.5 if side > 0 else 1.0
            side = 1
        else:
            high, f_high = s, f
            f_low *= 0.5 if side < 0 else 1.0
            side = -1
    return 0.5 * (low + high)


@jit()
def _piece(n, left, right, b0, norm, a, b, w):
    """Integral of G/u^2 from ``left`` to ``right``."""
    total, half = 0.0, 0.5 * (right - left)
    for i in range(8):
        u = left + half * (_X8[i] + 1.0)
        total += _W8[i] * max(norm - tail(n, u * u - b0, a, b, w, True), 0.0) / (u * u)
    return total * half


@jit()
def _below(n, u, b0, norm, a, b, w):
    """G/u at ``u``."""
    return (norm - tail(n, u * u - b0, a, b, w, True)) / u if u > 0.0 else 0.0


@jit()
def prior_quantile(n, a, b, w, b0, probability, start):
    """The signal below which the posterior with prior 1/sqrt(s + b0) holds ``probability``."""
    norm = tail(n, 0.0, a, b, w, True)
    left = math.sqrt(solve_tail(n, a, b, w, True, 0.84 * norm, start) + b0)
    width = math.sqrt(solve_tail(n, a, b, w, True, 0.16 * norm, start) + b0) - left
    top = math.sqrt(solve_tail(n, a, b, w, True, 1e-13 * norm, start) + b0)
    bottom = math.sqrt(b0)
    if left - bottom > 7.0 * width:
        bottom = math.sqrt(solve_tail(n, a, b, w, True, (1.0 - _NOTHING) * norm, start) + b0)
    panels = int((top - bottom) / (_PANEL * width)) + 8
    step = (top - bottom) / panels
    sums = np.zeros(panels + 1)
    for i in range(panels):
        sums[i + 1] = sums[i] + _piece(n, bottom + i * step, bottom + (i + 1) * step, b0, norm, a, b, w)
    goal = probability * (sums[panels] + norm / top)
    k = 0
    while k < panels - 1 and sums[k + 1] + _below(n, bottom + (k + 1) * step, b0, norm, a, b, w) < goal:
        k += 1
    origin = bottom + k * step
    low, high = origin, origin + step
    f_low = sums[k] + _below(n, low, b0, norm, a, b, w) - goal
    f_high = sums[k + 1] + _below(n, high, b0, norm, a, b, w) - goal
    u, side = high, 0
    for _ in range(60):
        u = low - f_low * (high - low) / (f_high - f_low) if f_high > f_low else high
        f = sums[k] + _piece(n, origin, u, b0, norm, a, b, w) + _below(n, u, b0, norm, a, b, w) - goal
        if abs(f) <= 1e-12 * goal or high - low <= 1e-12 * high:
            break
        if f < 0.0:
            low, f_low = u, f
            f_high *= 0.5 if side < 0 else 1.0
            side = -1
        else:
            high, f_high = u, f
            f_low *= 0.5 if side > 0 else 1.0
            side = 1
    return max(u * u - b0, 0.0)
