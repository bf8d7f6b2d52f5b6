"""Kernels of the Feldman-Cousins construction.

For a signal s the counts are ranked by P(n | s) / P(n | best s), best s = max(0, n - b), and accepted in that order until
their probabilities reach the confidence level: n is accepted exactly if the counts ranked before it, which are the run
between n and its equal on the other side of the peak, hold less than cl. The upper limit is the largest s whose acceptance
region contains n, found by bisection; as in the paper it is not allowed to rise when b falls, so the largest limit over all
b' >= b is quoted. Systematics are averaged into P(n | s) before ranking (hybrid).

Source: Feldman and Cousins, Phys. Rev. D 57 (1998) 3873, sections IV and V; Conrad et al., Phys. Rev. D 67 (2003) 012002.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.limits.averaged import background_coefficients, capped_background, prepare, scratch, sum_form, wide_form
from belle2dark.limits.special import log_pmf, poisson_cdf

LARGEST_SUM = 200  # largest count whose averaged probability comes from the sum form
_SEARCH = 1.5  # how far above b the limit can still be larger: its teeth in b are about one event apart
_STEP, _STEP_AVERAGED = 0.02, 0.1
_TEETH_UP_TO = 60.0  # with systematics and more background the teeth are below 0.5 % of the limit
_OVERTAKERS, _OVERTAKERS_AVERAGED = 8, 3  # counts above the first edge that are looked at


@jit()
def _cdf(k, s, b, se, sf, sk, form, counts, nodes, coefficients, tables):
    """Averaged P(N <= k)."""
    if k < 0:
        return 0.0
    if form == -1 and k <= LARGEST_SUM:
        return sum_form(k, s, counts[0], counts[1], nodes, coefficients, False)[0]
    # The T form with the same nodes is the same number.
    return wide_form(3 if form == -1 else form, k, s, b, se, sf, sk, counts, nodes, tables, False)


@jit()
def _log_probability(k, s, b, se, sf, sk, form, counts, nodes, coefficients, tables):
    """log of the averaged probability of k."""
    if form == -1 and k <= LARGEST_SUM:
        p = sum_form(k, s, counts[0], counts[1], nodes, coefficients, False)[2]
    else:
        p = (_cdf(k, s, b, se, sf, sk, form, counts, nodes, coefficients, tables)
             - _cdf(k - 1, s, b, se, sf, sk, form, counts, nodes, coefficients, tables))  # fmt: skip
    return math.log(p) if p > 0.0 else -700.0


@jit()
def _log_rank(k, s, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables):
    """log of P(k | s) / P(k | best s)."""
    if plain:
        return log_pmf(k, s + b) - log_pmf(k, max(float(k), b))
    best = max(k - b, 0.0)
    return (_log_probability(k, s, b, se, sf, sk, form, counts, nodes, coefficients, tables)
            - _log_probability(k, best, b, se, sf, sk, form, counts, nodes, coefficients, tables))  # fmt: skip


@jit()
def _top(n, s, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables):
    """The highest count ranked before n, for n below the peak."""
    peak = math.floor(s + b)
    rank = _log_rank(n, s, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables)
    low, step = peak, max(peak - n, 1)
    high = peak + step
    while _log_rank(high, s, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables) > rank:
        low = high
        high += step
        step *= 2
    while high - low > 1:
        middle = (low + high) // 2
        if _log_rank(middle, s, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables) > rank:
            low = middle
        else:
            high = middle
    return low


@jit()
def _run(n, top, s, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables):
    """Probability of the counts n + 1 .. top."""
    if plain:
        return poisson_cdf(top, s + b) - poisson_cdf(n, s + b)
    upper = _cdf(top, s, b, se, sf, sk, form, counts, nodes, coefficients, tables)
    return upper - _cdf(n, s, b, se, sf, sk, form, counts, nodes, coefficients, tables)


@jit()
def _accepted(n, s, b, cl, plain, se, sf, sk, form, counts, nodes, coefficients, tables):
    """Whether n, if below the peak, is in the acceptance region of s (above the peak: yes)."""
    if n >= math.floor(s + b):
        return True
    top = _top(n, s, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables)
    return _run(n, top, s, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables) < cl


@jit()
def _lead(k, n, s, b, se, sf, sk, form, counts, nodes, coefficients, tables):
    """log of the rank of k over the rank of n, with systematics."""
    return (_log_rank(k, s, b, False, se, sf, sk, form, counts, nodes, coefficients, tables)
            - _log_rank(n, s, b, False, se, sf, sk, form, counts, nodes, coefficients, tables))  # fmt: skip


@jit()
def _edge(k, n, start, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables):
    """The signal, at least ``start``, from which on k is ranked before n < k."""
    if plain:
        best = max(float(n), b)
        log_best = n * math.log(best) - best if best > 0.0 else 0.0
        return max(math.exp((k * math.log(k) - k - log_best) / (k - n)) - b, start)
    low, high, f_low, f_high = start, start + 0.5, 0.0, 0.0
    f_low = _lead(k, n, low, b, se, sf, sk, form, counts, nodes, coefficients, tables)
    if f_low >= 0.0:
        return start
    for step in range(60):
        f_high = _lead(k, n, high, b, se, sf, sk, form, counts, nodes, coefficients, tables)
        if f_high >= 0.0:
            break
        low, f_low, high = high, f_high, high + 0.5 * (step + 2)
    for _ in range(12):  # nearly a straight line
        middle = low - (high - low) * f_low / (f_high - f_low)
        f = _lead(k, n, middle, b, se, sf, sk, form, counts, nodes, coefficients, tables)
        if abs(f) < 1e-9 or f_high <= 0.0:
            return middle
        if f > 0.0:
            high, f_high, f_low = middle, f, 0.5 * f_low
        else:
            low, f_low, f_high = middle, f, 0.5 * f_high
    return high


@jit()
def _first_edge(n, b, cl, plain, se, sf, sk, form, counts, nodes, coefficients, tables):
    """By bisection, a signal where n stops being accepted."""
    low, step = 0.0, 1.0 + 0.3 * max(n - b, 0.0) + math.sqrt(n + 1.0)
    high = step
    while _accepted(n, high, b, cl, plain, se, sf, sk, form, counts, nodes, coefficients, tables):
        low = high
        step *= 1.6
        high += step
    while high - low > 1e-8 * high:
        middle = 0.5 * (low + high)
        if _accepted(n, middle, b, cl, plain, se, sf, sk, form, counts, nodes, coefficients, tables):
            low = middle
        else:
            high = middle
    return low


@jit()
def _above(n, b, known, cl, se, sf, sk, tables, nodes, coefficients):
    """The largest signal above ``known`` whose acceptance region contains n at this b, or ``known`` if there is none.

    Between the signals where one more count overtakes n, the probability ranked before n first rises, then falls: n may
    be accepted again further up, at the end of such an interval. ``known`` = 0 starts with a bisection.
    """
    plain = se <= 0.0 and sf <= 0.0 and (sk <= 0.0 or b <= 0.0)
    reference = max(n + 3 + int(2.0 * math.sqrt(n + 1.0)), int(b))
    form, ne, nf, nk, ratio = prepare(reference, b, se, sf, sk if b > 0.0 else 0.0, nodes)
    counts = (ne, nf, nk, ratio)
    if not plain and form == -1:
        background_coefficients(LARGEST_SUM, b, nf, nk, nodes, coefficients)
    found = known
    if known <= 0.0 or n >= math.floor(known + b):
        found = _first_edge(n, b, cl, plain, se, sf, sk, form, counts, nodes, coefficients, tables)
    left = found * (1.0 + 1e-6) + 1e-9
    if n >= math.floor(left + b) or (form >= 0 and not plain):  # broad averages leave no teeth to climb
        return found
    top = _top(n, left, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables)
    for k in range(top, top + (_OVERTAKERS if plain else _OVERTAKERS_AVERAGED)):
        right = _edge(k + 1, n, left, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables)
        if _run(n, k, right, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables) < cl:
            found = right
        elif _run(n, k, left, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables) < cl:
            low, high = left, right
            while high - low > 1e-8 * high:
                middle = 0.5 * (low + high)
                if _run(n, k, middle, b, plain, se, sf, sk, form, counts, nodes, coefficients, tables) < cl:
                    low = middle
                else:
                    high = middle
            found = low
        left = right
    return found


@jit()
def limit(n, b, se, sf, sk, cl, tables, nodes, coefficients):
    """Upper limit on the signal events: n observed, b expected, relative uncertainties."""
    b = capped_background(n, b, se, sf, sk)
    plain = se <= 0.0 and sf <= 0.0 and sk <= 0.0
    best = _above(n, b, 0.0, cl, se, sf, sk, tables, nodes, coefficients)
    if n >= b + _SEARCH or (not plain and b > _TEETH_UP_TO):
        return best
    step, last = _STEP if plain else _STEP_AVERAGED, best
    for i in range(1, int(_SEARCH / step) + 1):
        # A tooth seen at a grid point has its tip less than one step to the left and higher by at most as much.
        floor = max(best - step, 1e-3)
        right = b + i * step
        value = _above(n, right, floor, cl, se, sf, sk, tables, nodes, coefficients)
        if value > max(floor, last):
            tip, left = value, right - step
            for _ in range(8):
                middle = 0.5 * (left + right)
                higher = _above(n, middle, tip, cl, se, sf, sk, tables, nodes, coefficients)
                if higher > tip:
                    tip, right = higher, middle
                else:
                    left = middle
            best = max(best, tip)
        last = value
    return best


@jit(parallel=True)
def limits(n, b, sk, se, sf, cl, tables):
    """Upper limits (m, q) of m windows for the outcomes n (m, q), ascending along q."""
    m, q = n.shape
    out = np.empty((m, q))
    for i in numba.prange(m):
        nodes, coefficients = scratch(LARGEST_SUM)
        for j in range(q):
            if j > 0 and n[i, j] == n[i, j - 1]:
                out[i, j] = out[i, j - 1]
            else:
                out[i, j] = limit(n[i, j], b[i], se, sf, sk[i], cl, tables, nodes, coefficients)
    return out


@jit(parallel=True)
def table(n_max, b_max, step, se, sf, sk, cl, tables):
    """Limits (n_max + 1, points) for n = 0 .. n_max on a grid of b from 0 to b_max, not rising as b falls."""
    points = math.ceil(b_max / step) + 1
    extra = math.ceil(_SEARCH / step)
    out = np.empty((n_max + 1, points))
    for row in numba.prange(n_max + 1):
        n = n_max - row
        nodes, coefficients = scratch(LARGEST_SUM)
        best = 0.0
        for i in range(points + extra - 1, -1, -1):
            b = capped_background(n, i * step, se, sf, sk)
            best = _above(n, b, best, cl, se, sf, sk, tables, nodes, coefficients)
            if i < points:
                out[n, i] = best
    return out
