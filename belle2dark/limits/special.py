"""Poisson sums and quantiles for kernels, from n = 0 to n of many millions.

``poisson_cdf(n, x)`` is P(N <= n | mean x), the regularised incomplete gamma function Q(n + 1, x): a sum of positive terms
away from the bulk and for small n, Temme's uniform expansion in the bulk of large n. Relative accuracy about 1e-12 where
the value is above 1e-250 (tested against scipy, and for continuity where the two meet).

Source: N. M. Temme, SIAM J. Math. Anal. 10 (1979) 757; NIST DLMF, section 8.12 (8.12.4, 8.12.7-8.12.12).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import jit

_TEMME_FROM = 100  # n above which the expansion in 1/n is accurate to 1e-13 with six terms
_ORDERS, _TERMS = 6, 32


def _temme_coefficients() -> NDArray[np.float64]:
    """d[k, j] of DLMF 8.12.12: the coefficient of eta^j in the order a^-k."""
    size = _TERMS + 2 * _ORDERS
    alpha = np.zeros(size + 4)
    alpha[1] = 1.0
    for m in range(2, size + 4):  # 8.12.11
        inner = sum(j * alpha[j] * alpha[m - j + 1] for j in range(2, m))
        alpha[m] = (alpha[m - 1] - inner) / (m + 1)
    stirling = (1.0, 1 / 12, 1 / 288, -139 / 51840, -571 / 2488320, 163879 / 209018880)
    d = np.zeros((_ORDERS, size))
    d[0, 0] = -1 / 3
    d[0, 1:] = [(j + 2) * alpha[j + 2] for j in range(1, size)]
    for k in range(1, _ORDERS):
        for j in range(size - 2 * k):
            d[k, j] = (-1) ** k * stirling[k] * d[0, j] + (j + 2) * d[k - 1, j + 2]
    return np.ascontiguousarray(d[:, :_TERMS])


_D = _temme_coefficients()


@jit()
def log_pmf(n, x):
    """log of the Poisson probability of n at mean x; n may be a whole number of any size."""
    if x <= 0.0:
        return 0.0 if n == 0 else -math.inf
    return n * math.log(x) - x - math.lgamma(n + 1.0)


@jit()
def _temme(a, x, eta):
    """Q(a, x) = erfc(eta sqrt(a/2))/2 + R_a(eta), DLMF 8.12.4 and 8.12.7."""
    series, power = 0.0, 1.0
    for k in range(_ORDERS):
        inner = 0.0
        for j in range(_TERMS - 1, -1, -1):
            inner = inner * eta + _D[k, j]
        series += inner * power
        power /= a
    return 0.5 * math.erfc(eta * math.sqrt(0.5 * a)) + math.exp(-0.5 * a * eta * eta) / math.sqrt(2.0 * math.pi * a) * series


@jit()
def poisson_cdf(n, x):
    """P(N <= n) at mean x >= 0, for whole n >= -1 (n = -1 gives 0)."""
    if n < 0:
        return 0.0
    if x <= 0.0:
        return 1.0
    a = n + 1.0
    if n > _TEMME_FROM:
        lam = x / a
        if 0.4 < lam < 2.2:
            mu = lam - 1.0
            eta = math.sqrt(max(2.0 * (mu - math.log1p(mu)), 0.0))
            if abs(mu) < 1e-3:  # the difference above loses digits
                eta = abs(mu) * math.sqrt(1.0 - mu * (2.0 / 3.0 - mu * (0.5 - mu * (0.4 - mu / 3.0))))
            return max(_temme(a, x, math.copysign(eta, mu)), 0.0)
    if x < a:  # 1 - upper tail
        term = math.exp(log_pmf(a, x))
        total, k = term, a
        while term > 1e-17 * total:
            k += 1.0
            term *= x / k
            total += term
        return max(1.0 - total, 0.0)
    term = math.exp(log_pmf(float(n), x))
    total, k = term, float(n)
    while k > 0.0 and term > 1e-17 * total:
        term *= k / x
        k -= 1.0
        total += term
    return min(total, 1.0)


@jit()
def poisson_quantile(probability, x):
    """The smallest n with P(N <= n | mean x) >= probability, as an integer."""
    if x < 30.0:
        term = math.exp(-x)
        total, n = term, 0
        while total < probability and n < 1000:
            n += 1
            term *= x / n
            total += term
        return n
    z = _normal_quantile(probability)
    n = max(int(x + z * math.sqrt(x) + (z * z - 1.0) / 6.0), 0)  # Cornish-Fisher: off by one at most
    while poisson_cdf(n, x) < probability:
        n += 1
    while n > 0 and poisson_cdf(n - 1, x) >= probability:
        n -= 1
    return n


@jit()
def normal_cdf(z):
    """Phi(z), accurate in the lower tail."""
    return 0.5 * math.erfc(-z * math.sqrt(0.5))


@jit()
def _normal_quantile(p):
    """Inverse of Phi to about 1e-9: a rational start, two Newton steps. Source: Abramowitz and Stegun 26.2.23."""
    q = min(p, 1.0 - p)
    t = math.sqrt(-2.0 * math.log(q))
    z = -(t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))))
    for _ in range(2):
        z -= (normal_cdf(z) - q) * math.sqrt(2.0 * math.pi) * math.exp(0.5 * z * z)
    return z if p <= 0.5 else -z
