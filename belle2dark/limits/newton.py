"""Newton's method for :mod:`belle2dark.limits.profile`: where to start, how far to step, when to stop."""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np

from belle2dark._jit import jit
from belle2dark.limits.profile import (
    AT_BOUNDARY,
    CONVERGED,
    IMPOSSIBLE,
    NOT_CONVERGED,
    derivatives,
    expectation,
    factorise,
    function,
    solve,
)

MAX_ITERATIONS = 200
_N, _MU, _R, _WSS = 0, 4, 5, 6  # rows of the work space, as in profile
_BARRIER_START, _BARRIER_END, _BARRIER_STEP = 0.1, 2e-6, 0.1  # 0.1 ... 1e-6
_SHORT = 0.45  # squared Newton step below which the full step descends, for counts of one and more


@jit(fastmath=True)
def _least_squares(model, n, fixed, p, work):
    """Amplitudes by least squares with weights 1/(n + 1), the others as they are; False if the system is singular."""
    t = model[0]
    rows, h, root, vectors = work
    n_c, bins = t.shape
    g, x, free = vectors[0], vectors[1], vectors[2]
    w, rest = rows[_WSS], rows[_R]
    for i in range(bins):
        w[i] = 1.0 / (n[i] + 1.0)
        rest[i] = n[i]
        for c in range(n_c):
            if fixed[c]:
                rest[i] -= p[c] * t[c, i]
    for j in range(len(fixed)):
        g[j], free[j] = 0.0, 0.0
        h[j, : j + 1] = 0.0
        h[j, j] = 1.0
        if j < n_c and not fixed[j]:
            for i in range(bins):
                g[j] -= w[i] * rest[i] * t[j, i]
            g[j] -= model[5][j] * model[4][j]
            for k in range(j + 1):
                total = model[5][j] if j == k else 0.0
                if not fixed[k]:
                    for i in range(bins):
                        total += w[i] * t[j, i] * t[k, i]
                h[j, k] = total
    if not factorise(h, fixed, 0.0, root):
        return False
    solve(root, g, fixed, x)
    for c in range(n_c):
        if not fixed[c]:
            p[c] = x[c]
    return True


@jit(fastmath=True)
def start(model, n, fixed, p, work):
    """Put p where mu is positive: as given, else least squares, else a flat background; False if there is no such place."""
    rows = work[0]
    if expectation(model, p, rows):
        return True
    t = model[0]
    if _least_squares(model, n, fixed, p, work) and expectation(model, p, rows):
        return True
    total = np.sum(n) + 1.0
    for c in range(t.shape[0]):
        if not fixed[c]:
            p[c] = 0.0 if c != 1 else total / max(np.sum(t[1]), 1e-300)
    if not fixed[0] and t.shape[0] == 1:
        p[0] = total / max(np.sum(t[0]), 1e-300)
    return bool(expectation(model, p, rows))


@jit()
def _step(model, p, x, square, short, value, work, trial):
    """Longest of the steps 1, 1/2, 1/4 ... along x that stays positive and descends; its length, 0 if none does."""
    rows = work[0]
    length = 1.0
    for _ in range(40):
        for j in range(len(p)):
            trial[j] = p[j] + length * x[j]
        if expectation(model, trial, rows) and (
            square < short or function(model, trial, rows) <= value - 1e-4 * length * square + 1e-11 * abs(value)
        ):
            return length
        length *= 0.5
    return 0.0


@jit()
def _short(model, n):
    """Squared step that needs no check: the Poisson term of n events is n times a self-concordant one."""
    if model[1].shape[0] > 0 or len(model[7]) > 0:
        return _SHORT
    smallest = np.inf
    for i in range(len(n)):
        if n[i] > 0.0:
            smallest = min(smallest, n[i])
    return _SHORT * max(smallest, 1.0) if smallest < np.inf else _SHORT


@jit()
def _set_counts(n, barrier, rows):
    for i in range(len(n)):
        rows[_N, i] = n[i] if n[i] > 0.0 else barrier


@jit()
def _newton_step(model, fixed, p, work):
    """The Newton step at p into ``work[3][1]``; returns its squared length in units of the error, and how far damped."""
    rows, h, root, vectors = work
    derivatives(model, p, rows, vectors[0], h)
    shift = 0.0
    while not factorise(h, fixed, shift, root) and shift < 1e9:
        shift = 1e-12 if shift == 0.0 else shift * 10.0
    return solve(root, vectors[0], fixed, vectors[1]), shift


@jit()
def _pressed(n, barrier, rows):
    """Whether an empty bin sits at its barrier."""
    found = False
    for i in range(len(n)):
        found = found or (n[i] == 0.0 and rows[_MU, i] < 1e3 * barrier)
    return found


@jit()
def minimise(model, n, fixed, p, work, tolerance):
    """Move p to the minimum for the counts n (bins,); returns (half deviance, iterations, status).

    ``tolerance`` is the squared Newton step, twice the distance from the minimum, below which the last step is taken.
    """
    rows, x, trial = work[0], work[3][1], work[3][3]
    barrier, blocked, status, iteration = 0.0, 0, NOT_CONVERGED, 0
    _set_counts(n, 0.0, rows)
    short = _short(model, n)
    if not start(model, n, fixed, p, work):
        return 0.0, 0, IMPOSSIBLE
    while iteration < MAX_ITERATIONS:
        iteration += 1
        square, shift = _newton_step(model, fixed, p, work)
        value = function(model, p, rows) if square >= short else 0.0
        length = _step(model, p, x, square, short, value, work, trial)
        blocked += 1 if length < 1.0 else 0
        stuck = blocked >= 3 or length < 0.01 or (shift > 1e-6 and np.min(n) <= 0.0)
        if barrier == 0.0 and stuck:  # only positivity of empty bins holds the minimum
            barrier, short = _BARRIER_START, min(short, 0.1)
        else:
            for j in range(len(p)):
                p[j] += length * x[j]
            done = (square < tolerance and shift < 1e-6) or length == 0.0
            lower = done and barrier > _BARRIER_END and length > 0.0
            if done and not lower:
                status = CONVERGED if square < max(tolerance, 1e-4) else NOT_CONVERGED
                break
            barrier *= _BARRIER_STEP if lower else 1.0
        if barrier > 0.0:  # otherwise the step has left the expectation of the new p behind
            _set_counts(n, barrier, rows)
            expectation(model, p, rows)
    if barrier > 0.0 or status == NOT_CONVERGED:
        _set_counts(n, 0.0, rows)
        expectation(model, p, rows)
        if status == CONVERGED and _pressed(n, barrier, rows):
            status = AT_BOUNDARY
    return function(model, p, rows), iteration, status
