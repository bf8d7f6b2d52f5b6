"""Kernels of the Bayesian limit with a flat prior in the rate, and of the hybrid CLs limit.

Both solve tail(s) = (1 - cl) tail(0). For the Bayesian limit tail(s) is the posterior above s; for CLs it is
P(N <= n | s) averaged over the systematics, so that tail(s) / tail(0) = CL_s+b / CL_b. They differ by the weight 1/(f e) of
each systematic variation and agree identically without systematics.

Source: Cousins and Highland, Nucl. Instrum. Meth. A 320 (1992) 331 (averaging); Read, J. Phys. G 28 (2002) 2693 (CLs).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.limits.averaged import (
    SUM_UP_TO,
    background_coefficients,
    capped_background,
    prepare,
    scratch,
    sum_form,
    wide_form,
)

_CHUNK = 64  # windows per work space


@jit()
def _solve_sum(n, start, alpha, ne, nf, nodes, coefficients, inverse):
    """Newton on the logarithm, concave: from the second step on it descends monotonically to the root."""
    target = alpha * sum_form(n, 0.0, ne, nf, nodes, coefficients, inverse)[0]
    low, high, s = 0.0, math.inf, start
    for _ in range(60):
        value, slope, _mass = sum_form(n, s, ne, nf, nodes, coefficients, inverse)
        if value > target:
            low = s
        else:
            high = s
        step = math.log(value / target) * value / slope if value > 0.0 and slope > 0.0 else -math.inf
        trial = s + step
        if not low <= trial <= high:
            trial = 0.5 * (low + high) if high < math.inf else 2.0 * s + 1.0
        if abs(trial - s) <= 1e-11 * (1.0 + s):
            return trial
        # The last Newton step squares its own size: below 1e-6 the next one is rounding.
        if abs(trial - s) <= 1e-6 * s and trial == s + step:
            return trial
        s = trial
    return s


@jit()
def _log_ratio(form, n, s, target, b, se, sf, sk, counts, nodes, tables, inverse):
    """log(averaged sum / target), bounded where the sum underflows."""
    value = wide_form(form, n, s, b, se, sf, sk, counts, nodes, tables, inverse)
    return math.log(value / target) if value > 0.0 else -700.0


@jit()
def _solve_wide(form, n, start, width, alpha, b, se, sf, sk, counts, nodes, tables, inverse):
    """Bracket within one ``width``, then regula falsi with the Illinois rule, on the logarithm."""
    target = alpha * wide_form(form, n, 0.0, b, se, sf, sk, counts, nodes, tables, inverse)
    low, f_low, high, f_high = 0.0, -math.log(alpha), start, 0.0
    f = _log_ratio(form, n, start, target, b, se, sf, sk, counts, nodes, tables, inverse)
    step = width
    if f > 0.0:
        while f > 0.0:
            low, f_low = high, f
            high += step
            step *= 1.5
            f = _log_ratio(form, n, high, target, b, se, sf, sk, counts, nodes, tables, inverse)
        f_high = f
    else:
        f_high = f
        while high - step > 0.0:
            f = _log_ratio(form, n, high - step, target, b, se, sf, sk, counts, nodes, tables, inverse)
            if f > 0.0:
                low, f_low = high - step, f
                break
            high, f_high = high - step, f
            step *= 1.5
    side = 0
    for _ in range(100):
        # Far out the sum underflows and only says "too large": halve until it speaks.
        s = low + (high - low) * (f_low / (f_low - f_high) if f_high > -50.0 else 0.5)
        f = _log_ratio(form, n, s, target, b, se, sf, sk, counts, nodes, tables, inverse)
        if abs(f) <= 1e-9 or high - low <= 1e-11 * high:
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
def limit(n, b, se, sf, sk, alpha, inverse, tables, nodes, coefficients):
    """Upper limit on the signal events of one window: n observed, b expected, relative uncertainties, alpha = 1 - cl."""
    b = capped_background(n, b, se, sf, sk)
    if b <= 0.0:
        sk = 0.0
    form, ne, nf, nk, ratio = prepare(n, b, se, sf, sk, nodes)
    excess = max(n + 1.0 - b, 0.0)
    width = math.sqrt(n + 1.0 + (sk * b) ** 2 + (sf * n) ** 2 + (se * excess) ** 2)
    start = 0.8 * (excess + 1.5 * width)
    if form < 0:
        background_coefficients(n, b, nf, nk, nodes, coefficients)
        return _solve_sum(n, start, alpha, ne, nf, nodes, coefficients, inverse)
    counts = (ne, nf, nk, ratio)
    return _solve_wide(form, n, start, width, alpha, b, se, sf, sk, counts, nodes, tables, inverse)


@jit(parallel=True)
def limits(n, b, sk, se, sf, alpha, inverse, tables):
    """Upper limits (m, q) of m windows for the outcomes n (m, q), ascending along q."""
    m, q = n.shape
    out = np.empty((m, q))
    for chunk in numba.prange((m + _CHUNK - 1) // _CHUNK):
        nodes, coefficients = scratch(SUM_UP_TO)
        for i in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, m)):
            for j in range(q):
                if j > 0 and n[i, j] == n[i, j - 1]:
                    out[i, j] = out[i, j - 1]
                else:
                    out[i, j] = limit(n[i, j], b[i], se, sf, sk[i], alpha, inverse, tables, nodes, coefficients)
    return out
