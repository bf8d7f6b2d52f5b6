"""CLs limits of a shape fit from the test statistic q-tilde and its asymptotic distributions, compiled.

q~(s) is twice the rise of the profiled function from its minimum over s >= 0 to s, and 0 for s below the minimum. With q_A
the same on the Asimov data set of the background fitted to the data, CLs follows from the two normal distributions of the
paper; the expected band needs sqrt(q_A(s)) = N + Phi^-1(1 - alpha Phi(N)) only.

Source: Cowan, Cranmer, Gross, Vitells, Eur. Phys. J. C 71 (2011) 1554, equations (16), (62) to (66) and (89).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.limits.newton import minimise
from belle2dark.limits.profile import derivatives, expectation, factorise, solve, work_space
from belle2dark.limits.special import normal_cdf

_N, _GAMMA, _MU = 0, 3, 4  # rows of the work space, as in profile
_ROOT, _ROOT_EXPECTED = 1e-6, 1e-5  # relative accuracy of limits
TOLERANCE = 1e-3  # squared Newton step: after it, twice the distance from the minimum is below its square, 1e-6


@jit()
def cls_of(q, q_asimov):
    """CLs from q~ observed and on the Asimov data."""
    root, width = math.sqrt(max(q, 0.0)), math.sqrt(max(q_asimov, 1e-12))
    if root <= width:
        return normal_cdf(-root) / normal_cdf(width - root)
    return normal_cdf(-(q + q_asimov) / (2.0 * width)) / max(normal_cdf(-(q - q_asimov) / (2.0 * width)), 1e-300)


@jit()
def direction(model, n, fixed, p, work, out):
    """Sigma of the signal yield from the Hessian at p, and into ``out`` how the other parameters follow it."""
    rows, h, root, vectors = work
    g = vectors[0]
    rows[_N, :] = n
    expectation(model, p, rows)
    derivatives(model, p, rows, g, h)
    shift = 0.0
    while not factorise(h, fixed, shift, root) and shift < 1e9:
        shift = 1e-12 if shift == 0.0 else shift * 10.0
    for j in range(len(p)):
        g[j] = -1.0 if j == 0 else 0.0
    solve(root, g, fixed, out)
    variance = out[0]
    for j in range(len(p)):
        out[j] /= variance
    return math.sqrt(variance)


@jit()
def with_factors(model, mean, gamma):
    """The model with constraint means ``mean``, and template factors measured to be ``gamma`` (bins,) instead of 1."""
    t, d1, d2, kappa, _, precision, centre, stat = model
    if len(stat) > 0:
        t, d1, d2, stat = t.copy(), d1.copy(), d2.copy(), stat.copy()
        for i in range(len(stat)):
            factor = max(gamma[i], 1e-3)
            stat[i] /= factor
            for c in range(1, t.shape[0]):
                t[c, i] *= factor
                for m in range(d1.shape[0]):
                    d1[m, c, i] *= factor
                    d2[m, c, i] *= factor
    return (t, d1, d2, kappa, mean, precision, centre, stat)


@jit()
def asimov(model, p, work):
    """Counts and model of the Asimov data set at p: constraints are centred on p, template factors on their values."""
    rows = work[0]
    expectation(model, p, rows)
    mean, precision = model[4], model[5]
    n = rows[_MU].copy()
    shifted = mean.copy()
    for j in range(len(mean)):
        if precision[j] > 0.0:
            shifted[j] = p[j]
    return n, with_factors(model, shifted, rows[_GAMMA])


@jit()
def profiled(model, n, held, s, origin, along, p, work):
    """The function at signal ``s``, the rest profiled, starting from ``origin`` moved by ``along``; fills p."""
    for j in range(len(p)):
        p[j] = origin[j] + (s - origin[0]) * along[j]
    p[0] = s
    value, _, status = minimise(model, n, held, p, work, TOLERANCE)
    if status >= 2:
        for j in range(1, len(p)):
            p[j] = origin[j]
        value, _, status = minimise(model, n, held, p, work, TOLERANCE)
    return value if status < 2 else np.nan


@jit()
def solve_asimov(model, n, held, p0, along, sigma, target, work):
    """Signal at which sqrt(q_A) is ``target``: secant from the parabola; NaN if a fit fails."""
    p = p0.copy()
    s_old, y_old = 0.0, -target
    s = target * sigma
    for _ in range(30):
        q = 2.0 * profiled(model, n, held, s, p0, along, p, work)  # 0 at the truth
        if not math.isfinite(q):
            return np.nan
        y = math.sqrt(max(q, 0.0)) - target
        if abs(y) < _ROOT_EXPECTED * target or y == y_old:
            return s
        s_new = s - y * (s - s_old) / (y - y_old)
        s_old, y_old = s, y
        s = min(max(s_new, 0.2 * s), 5.0 * s)
        if abs(s - s_old) < _ROOT_EXPECTED * s:
            return s
    return s


@jit()
def solve_observed(model, n, model_a, n_a, held, p_hat, best, along, p0, along_a, sigma, alpha, work):
    """Signal at which CLs is ``alpha``; NaN if a fit fails."""
    p, target = p_hat.copy(), math.sqrt(-math.log(alpha))
    low, high, side = max(p_hat[0], 0.0), np.inf, 0
    y_low, y_high = math.sqrt(math.log(2.0)) - target, 0.0
    s = low + 1.5 * sigma
    for _ in range(100):
        q = 2.0 * (profiled(model, n, held, s, p_hat, along, p, work) - best)
        q_a = 2.0 * profiled(model_a, n_a, held, s, p0, along_a, p, work)
        if not (math.isfinite(q) and math.isfinite(q_a)):
            return np.nan
        y = math.sqrt(-math.log(max(cls_of(q, q_a), 1e-300))) - target
        if abs(y) < 0.5 * _ROOT:
            return s
        if y < 0.0:
            low, y_low = s, y
            y_high *= 0.5 if side < 0 else 1.0  # Illinois: the end that stays loses weight
            side = -1
        else:
            high, y_high = s, y
            y_low *= 0.5 if side > 0 else 1.0
            side = 1
        if high == np.inf:
            s, side = low + max(0.5 * low, sigma), 0
        elif high - low < _ROOT * high:
            return 0.5 * (low + high)
        else:
            s = low + (high - low) * y_low / (y_low - y_high)
    return s


@jit()
def limits_of(model, n, fixed, alpha, targets, observed, p_hat, work, out):
    """Fit and limits of one data set: fills p_hat and ``out`` = (observed, expected ...); returns (function, f at 0, status).

    ``targets`` are the values of sqrt(q_A) wanted; without ``observed`` that entry stays NaN.
    """
    out[:] = np.nan
    held = fixed.copy()
    held[0] = True
    p0, along, along_a = p_hat.copy(), p_hat.copy(), p_hat.copy()
    p0[0] = 0.0
    at_zero, _, status = minimise(model, n, held, p0, work, TOLERANCE)
    if status >= 2:
        return 0.0, 0.0, status
    best, status = at_zero, 0
    if observed:
        p_hat[:] = p0
        best, _, status = minimise(model, n, fixed, p_hat, work, TOLERANCE)
        if status >= 2:
            return 0.0, at_zero, status
    n_a, model_a = asimov(model, p0, work)
    sigma = direction(model_a, n_a, fixed, p0, work, along_a)
    for k in range(len(targets)):
        out[1 + k] = solve_asimov(model_a, n_a, held, p0, along_a, sigma, targets[k], work)
    if observed:
        floor = best
        origin = p_hat
        if p_hat[0] < 0.0:
            floor, origin = at_zero, p0
        direction(model, n, fixed, origin, work, along)
        out[0] = solve_observed(model, n, model_a, n_a, held, origin, floor, along, p0, along_a, sigma, alpha, work)
    return best, at_zero, status


@jit()
def limits_once(model, n, fixed, alpha, targets, p_hat):
    """:func:`limits_of` with its own work space; returns (limits, function, function at 0, status)."""
    work = work_space(model[0].shape[0], model[1].shape[0], len(n))
    out = np.empty(1 + len(targets))
    best, at_zero, status = limits_of(model, n, fixed, alpha, targets, True, p_hat, work, out)
    return out, best, at_zero, status


@jit()
def fit_once(model, n, fixed, p, tolerance):
    """:func:`minimise` with its own work space; returns (function, iterations, status, Hessian at the minimum, mu)."""
    work = work_space(model[0].shape[0], model[1].shape[0], len(n))
    value, iterations, status = minimise(model, n, fixed, p, work, tolerance)
    h = np.zeros((len(p), len(p)))
    if status < 3:
        expectation(model, p, work[0])
        derivatives(model, p, work[0], work[3][0], work[1])
        h[:, :] = work[1]
    return value, iterations, status, h, work[0][_MU].copy()


@jit()
def profile_curve(model, n, fixed, signals, origin):
    """Profiled function at each of ``signals`` (m,), and half the log determinant of the nuisance Hessian: two arrays."""
    value, half_log = np.empty(len(signals)), np.zeros(len(signals))
    held = fixed.copy()
    held[0] = True
    work = work_space(model[0].shape[0], model[1].shape[0], len(n))
    p, along = origin.copy(), np.zeros(len(origin))
    for k in range(len(signals)):
        value[k] = profiled(model, n, held, signals[k], origin, along, p, work)
        derivatives(model, p, work[0], work[3][0], work[1])
        if factorise(work[1], held, 0.0, work[2]):
            for j in range(len(p)):
                half_log[k] += math.log(work[2][j, j])
    return value, half_log


@jit(parallel=True)
def toy_statistics(model, toys, means, gammas, fixed, s, origin):
    """q~ at signal ``s`` of each toy (m, bins) with its constraint means (m, parameters) and template factors (m, bins or 0)."""
    out = np.empty(len(toys))
    held = fixed.copy()
    held[0] = True
    along = np.zeros(len(origin))
    for k in numba.prange(len(toys)):
        work = work_space(model[0].shape[0], model[1].shape[0], toys.shape[1])
        toy = with_factors(model, means[k], gammas[k])
        p = origin.copy()
        at_s = profiled(toy, toys[k], held, s, origin, along, p, work)
        best, _, status = minimise(toy, toys[k], fixed, p, work, TOLERANCE)
        if status < 2 and p[0] < 0.0:
            best = profiled(toy, toys[k], held, 0.0, origin, along, p, work)
        elif status < 2 and p[0] > s:
            best = at_s
        out[k] = 2.0 * max(at_s - best, 0.0) if status < 2 else np.nan
    return out
