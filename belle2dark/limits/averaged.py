"""The averaged Poisson sum behind every counting limit, in two forms that agree.

Everything here is P(N <= n) at mean f (e s + k b) averaged over the factors of :mod:`belle2dark.limits.nuisance`; with
``inverse`` each node carries an extra 1/(f e), which makes it the tail of the posterior for a flat prior in s.

* Small n: expand (e s + k b)^n / n! binomially, so that the background enters once per window as the coefficients
  c_l = <exp(-b) b^l / l!> and each trial s costs n terms per efficiency node.
* Large n, or systematics wider than the Poisson error: with T ~ Gamma(n + 1), P(N <= n | x) = P(T > x), so the sum is the
  probability that (T/f - k b)/e exceeds s. The widest of T, k, f, e is integrated analytically, the others by nodes.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numpy as np

from belle2dark._jit import jit
from belle2dark.limits.nuisance import (
    EFFICIENCY_FLOOR,
    MAX_NODES,
    background_cumulative,
    cumulative,
    factor_nodes,
    gamma_nodes,
)
from belle2dark.limits.special import poisson_cdf

SUM_UP_TO = 60  # largest n of the sum form
_SUM_BACKGROUND = 500.0  # above, exp(-b) underflows
_SUM_RATIO, _SUM_RATIO_SMALL = 3.0, 6.0  # widest systematic, in Poisson errors, of the sum form; for n <= 20

# Row of the node array per factor.
_E, _F, _K, _T = 0, 1, 2, 3
# Systematics wider than this many standard deviations below the background are not credited: see capped_background.
_DEFICIT, _DEFICIT_PLAIN = 6.0, 20.0


@jit()
def scratch(largest):
    """Work space of one thread for n <= ``largest``: nodes (2, 4, MAX_NODES), coefficients (2, MAX_NODES, largest + 1)."""
    return np.empty((2, 4, MAX_NODES)), np.empty((2, MAX_NODES, largest + 1))


@jit()
def capped_background(n, b, se, sf, sk):
    """The background, lowered so that n is at most 6 standard deviations below it (20 without systematics).

    Further down the averages say nothing about data, only about the far tail of the assumed Gaussians.
    """
    relative = sf * sf + sk * sk
    deep = _DEFICIT_PLAIN if relative <= 0.0 else _DEFICIT
    if b - n <= deep * math.sqrt(b + relative * b * b):
        return b
    low, high = float(n), b
    for _ in range(60):
        middle = 0.5 * (low + high)
        if middle - n > deep * math.sqrt(middle + relative * middle * middle):
            high = middle
        else:
            low = middle
    return low


@jit()
def prepare(n, b, se, sf, sk, nodes):
    """Choose form and nodes for n around ``n``; returns (form, number of nodes of e, f, k, ratio for T).

    Forms: -1 is the sum; 0 to 3 is the factor (e, f, k, T) that is integrated analytically.
    """
    poisson = math.sqrt(n + 1.0)
    missing = 0.4 * max(b - n, 0.0)  # a deficit pulls the factors away from one
    signal = max(n - b, 0.0) + 2.0 * math.sqrt(n + 1.0 + (sk * b) ** 2 + (sf * n) ** 2)
    wide_e = se * signal / poisson
    wide_f = sf * max(poisson, missing)
    wide_k = sk * max(b / poisson, missing)
    widest, form = 1.0, _T
    # With e integrated the rest must not reach T = k b, where the sum is a step: only for a clear excess.
    if wide_e > widest and n - b > 7.0 * math.sqrt(n + 1.0 + (sk * b) ** 2 + (sf * n) ** 2):
        widest, form = wide_e, _E
    if wide_f > widest:
        widest, form = wide_f, _F
    if wide_k > widest:
        widest, form = wide_k, _K
    if n <= SUM_UP_TO and b < _SUM_BACKGROUND and widest <= (_SUM_RATIO_SMALL if n <= 20 else _SUM_RATIO):
        widest, form = 1.0, -1
    ne = factor_nodes(se, EFFICIENCY_FLOOR, wide_e / widest, nodes[0, _E], nodes[1, _E])
    nf = factor_nodes(sf, EFFICIENCY_FLOOR, wide_f / widest, nodes[0, _F], nodes[1, _F])
    nk = factor_nodes(sk, 0.0, wide_k / widest, nodes[0, _K], nodes[1, _K])
    return form, ne, nf, nk, 1.0 / widest


@jit()
def background_coefficients(n, b, nf, nk, nodes, coefficients):
    """c_l and its running sum for l <= n, per node of f: the background algebra, once per window."""
    for f in range(nf):
        c, total = coefficients[0, f], coefficients[1, f]
        for m in range(n + 1):
            c[m] = 0.0
        for k in range(nk):
            mean = b * nodes[0, _K, k] * nodes[0, _F, f]
            term = nodes[1, _K, k] * math.exp(-mean)
            c[0] += term
            for m in range(1, n + 1):
                term *= mean / m
                c[m] += term
        total[0] = c[0]
        for m in range(1, n + 1):
            total[m] = total[m - 1] + c[m]


@jit()
def sum_form(n, s, ne, nf, nodes, coefficients, inverse):
    """The averaged sum at n, minus its derivative in s, and its last term, the averaged probability of n itself."""
    value, slope, mass = 0.0, 0.0, 0.0
    for f in range(nf):
        c, total = coefficients[0, f], coefficients[1, f]
        for i in range(ne):
            rate = nodes[0, _F, f] * nodes[0, _E, i]
            x = rate * s
            term = nodes[1, _F, f] * nodes[1, _E, i] * math.exp(-x)
            if inverse:
                term /= rate
            part, density = term * total[n], term * c[n]
            for m in range(1, n + 1):
                term *= x / m
                part += term * total[n - m]
                density += term * c[n - m]
            value += part
            slope += density * rate
            mass += density
    return value, slope, mass


@jit()
def wide_form(form, n, s, b, se, sf, sk, counts, nodes, tables, inverse):
    """The averaged sum with the factor ``form`` integrated analytically; ``counts`` = (ne, nf, nk, ratio of T)."""
    ne, nf, nk, ratio = counts
    nt = 1 if form == _T else gamma_nodes(n + 1.0, ratio, nodes[0, _T], nodes[1, _T])
    if form == _E:
        ne = 1
    elif form == _F:
        nf = 1
    elif form == _K:
        nk = 1
    value = 0.0
    for i in range(ne):
        e, we = (1.0, 1.0) if form == _E else (nodes[0, _E, i], nodes[1, _E, i])
        if inverse:
            we /= e
        for j in range(nf):
            f, wf = (1.0, we) if form == _F else (nodes[0, _F, j], we * nodes[1, _F, j])
            if inverse:
                wf /= f
            for k in range(nk):
                back, wk = (b, wf) if form == _K else (b * nodes[0, _K, k], wf * nodes[1, _K, k])
                if form == _T:
                    value += wk * poisson_cdf(n, f * (e * s + back))
                    continue
                for t in range(nt):
                    weight, gamma = wk * nodes[1, _T, t], nodes[0, _T, t]
                    if form == _K:
                        value += weight * background_cumulative(sk, (gamma / f - e * s) / b)
                    elif form == _F:
                        value += weight * cumulative(tables[0], sf, gamma / max(e * s + back, 1e-300))
                    elif gamma / f > back:
                        value += weight * cumulative(tables[1], se, (gamma / f - back) / max(s, 1e-300))
    return value
