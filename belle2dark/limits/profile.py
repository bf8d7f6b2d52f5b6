"""The minimiser behind every shape fit: a binned likelihood, its minimum by Newton's method, its Hessian.

Bin i expects mu_i = s_i + gamma_i b_i, with s_i + b_i = sum over components c of

    a_c  exp(sum_m theta_m kappa_mc)  [T_ci + sum_m (d_m D1_mci + d_m^2 D2_mci / 2)],   d_m = theta_m - centre_m

Component 0 is the signal. The amplitudes a come first in the parameter vector, then the nuisances theta; each parameter may
have a Gaussian constraint (mean, precision = 1/sigma^2) or be fixed. gamma_i is a Gaussian factor 1 +- stat_i on the
background of the bin, the Monte Carlo error of its templates, solved for in closed form (after Barlow and Beeston, and
Conway, arXiv:1103.0354). The function is half the deviance, sum of mu - n - n log(mu/n), plus half of each squared pull.

Without nuisances the function is convex and its Poisson part self-concordant, so that Newton steps converge from anywhere;
with them, steps that do not descend are shortened. An empty bin whose expectation would turn negative is kept positive
by a logarithmic barrier of weight 1e-6, lowered in stages: the minimum is then at the edge of what a density can be.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numpy as np

from belle2dark._jit import jit

CONVERGED, AT_BOUNDARY, NOT_CONVERGED, IMPOSSIBLE = 0, 1, 2, 3
# Rows of the work space before the per-parameter ones.
_N, _S, _B, _GAMMA, _MU, _R, _WSS, _WSB, _WBB, _ROWS = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9


@jit()
def work_space(components, nuisances, bins):
    """Arrays of one thread: rows (., bins), Hessian, its factor, and vectors (4, parameters)."""
    p = components + nuisances
    return np.empty((_ROWS + components * (1 + nuisances) + 2 * p, bins)), np.empty((p, p)), np.empty((p, p)), np.empty((4, p))


@jit(fastmath=True)
def _templates(model, p, rows):
    """Fill the rows of morphed templates and their derivatives; returns nothing. Only used with nuisances."""
    t, d1, d2, centre = model[0], model[1], model[2], model[6]
    n_c, n_m, bins = t.shape[0], d1.shape[0], t.shape[1]
    for c in range(n_c):
        out = rows[_ROWS + c]
        for i in range(bins):
            out[i] = t[c, i]
        for m in range(n_m):
            shift = p[n_c + m] - centre[m]
            slope = rows[_ROWS + n_c + m * n_c + c]
            for i in range(bins):
                slope[i] = d1[m, c, i] + shift * d2[m, c, i]
                out[i] += shift * (d1[m, c, i] + 0.5 * shift * d2[m, c, i])


@jit(inline=True)
def _factor(model, p, c):
    """exp(sum_m theta_m kappa_mc) of component c."""
    kappa, n_c = model[3], model[0].shape[0]
    total = 0.0
    for m in range(kappa.shape[0]):
        total += p[n_c + m] * kappa[m, c]
    return math.exp(total) if total != 0.0 else 1.0


@jit(fastmath=True)
def expectation(model, p, rows):
    """Fill s, b, gamma and mu; True if mu is positive wherever there are templates."""
    t, stat = model[0], model[7]
    n_c, bins = t.shape
    general = model[1].shape[0] > 0
    if general:
        _templates(model, p, rows)
    s, b, gamma, mu, n = rows[_S], rows[_B], rows[_GAMMA], rows[_MU], rows[_N]
    for i in range(bins):
        b[i] = 0.0
    for c in range(n_c):
        size = p[c] * _factor(model, p, c)
        source = rows[_ROWS + c] if general else t[c]
        if c == 0:
            for i in range(bins):
                s[i] = size * source[i]
        else:
            for i in range(bins):
                b[i] += size * source[i]
    lowest = np.inf
    if len(stat) == 0:
        for i in range(bins):
            mu[i] = s[i] + b[i]
            lowest = min(lowest, mu[i])
        return lowest > 0.0
    for i in range(bins):
        gamma[i] = 1.0
        if stat[i] > 0.0 and b[i] > 0.0:
            v = b[i] * stat[i] * stat[i]
            q, c0 = s[i] + b[i] * (v - 1.0), s[i] * (v - 1.0) - n[i] * v
            root = math.sqrt(max(q * q - 4.0 * b[i] * c0, 0.0))
            gamma[i] = -2.0 * c0 / (q + root) if q > 0.0 else 0.5 * (root - q) / b[i]
        mu[i] = s[i] + gamma[i] * b[i]
        lowest = min(lowest, mu[i])
    return lowest > 0.0


@jit(fastmath=True)
def function(model, p, rows):
    """Half the deviance plus constraints at p; needs :func:`expectation` at p."""
    mean, precision, stat = model[4], model[5], model[7]
    n, mu = rows[_N], rows[_MU]
    total = 0.0
    for i in range(len(n)):
        total += mu[i] - n[i]
        if n[i] > 0.0:
            total += n[i] * math.log(n[i] / mu[i])
    for i in range(len(stat)):
        if stat[i] > 0.0:
            pull = (rows[_GAMMA, i] - 1.0) / stat[i]
            total += 0.5 * pull * pull
    for j in range(len(mean)):
        total += 0.5 * precision[j] * (p[j] - mean[j]) ** 2
    return total


@jit(fastmath=True)
def _weights(model, rows):
    """First and second derivatives per bin with respect to s_i and b_i, gamma_i solved for."""
    stat = model[7]
    n, b, gamma, mu = rows[_N], rows[_B], rows[_GAMMA], rows[_MU]
    r, wss, wsb, wbb = rows[_R], rows[_WSS], rows[_WSB], rows[_WBB]
    if len(stat) == 0:
        for i in range(len(n)):
            ratio = n[i] / mu[i]
            r[i] = 1.0 - ratio
            wss[i] = ratio / mu[i]
        return
    for i in range(len(n)):
        ratio = n[i] / mu[i]
        r[i] = 1.0 - ratio
        w = ratio / mu[i]
        g = gamma[i]
        wss[i], wsb[i], wbb[i] = w, w * g, w * g * g
        if stat[i] > 0.0 and b[i] > 0.0:
            h = w * b[i] * b[i] + 1.0 / (stat[i] * stat[i])
            hs, hb = w * b[i], w * g * b[i] + r[i]
            wss[i] -= hs * hs / h
            wsb[i] -= hs * hb / h
            wbb[i] -= hb * hb / h


@jit(fastmath=True)
def _linear_derivatives(model, rows, g, h):
    """Gradient and Hessian without nuisances and template errors: the convex case."""
    t = model[0]
    n_c, bins = t.shape
    r, w, product = rows[_R], rows[_WSS], rows[_WSB]
    for j in range(n_c):
        total = 0.0
        for i in range(bins):
            product[i] = w[i] * t[j, i]
            total += r[i] * t[j, i]
        g[j] = total
        for k in range(j + 1):
            total = 0.0
            for i in range(bins):
                total += product[i] * t[k, i]
            h[j, k] = total


@jit(fastmath=True)
def _slopes(model, p, rows):
    """Rows of d s_i / d p_j and d b_i / d p_j."""
    t, kappa = model[0], model[3]
    n_c, bins = t.shape
    n_m = kappa.shape[0]
    ds = rows[_ROWS + n_c * (1 + n_m) : _ROWS + n_c * (1 + n_m) + n_c + n_m]
    db = rows[_ROWS + n_c * (1 + n_m) + n_c + n_m :]
    ds[:, :], db[:, :] = 0.0, 0.0
    for c in range(n_c):
        size = _factor(model, p, c)
        source = rows[_ROWS + c] if n_m > 0 else t[c]
        target = ds if c == 0 else db
        for i in range(bins):
            target[c, i] = size * source[i]
        for m in range(n_m):
            slope = rows[_ROWS + n_c + m * n_c + c]
            for i in range(bins):
                target[n_c + m, i] += p[c] * size * (kappa[m, c] * source[i] + slope[i])
    return ds, db


@jit(fastmath=True)
def _curvature(model, p, rows, h):
    """Add the terms of second derivatives of mu to the Hessian."""
    d2, kappa, stat = model[2], model[3], model[7]
    n_c, n_m, bins = d2.shape[1], d2.shape[0], d2.shape[2]
    r, gamma = rows[_R], rows[_GAMMA]
    slope = np.zeros(n_m)
    for c in range(n_c):
        with_stat = c > 0 and len(stat) > 0
        size = _factor(model, p, c)
        level = 0.0
        for i in range(bins):
            level += r[i] * (gamma[i] if with_stat else 1.0) * rows[_ROWS + c, i]
        for m in range(n_m):
            slope[m] = 0.0
            second = 0.0
            for i in range(bins):
                weight = r[i] * (gamma[i] if with_stat else 1.0)
                slope[m] += weight * rows[_ROWS + n_c + m * n_c + c, i]
                second += weight * d2[m, c, i]
            h[n_c + m, c] += size * (kappa[m, c] * level + slope[m])
            h[n_c + m, n_c + m] += p[c] * size * second
        for m in range(n_m):
            for k in range(m + 1):
                h[n_c + m, n_c + k] += (
                    p[c] * size * (kappa[m, c] * kappa[k, c] * level + kappa[m, c] * slope[k] + kappa[k, c] * slope[m])
                )


@jit(fastmath=True)
def _general_derivatives(model, p, rows, g, h):
    """Gradient and Hessian with nuisances or template errors."""
    ds, db = _slopes(model, p, rows)
    n_p, bins = ds.shape
    stat = len(model[7]) > 0
    r, gamma, wss, wsb, wbb = rows[_R], rows[_GAMMA], rows[_WSS], rows[_WSB], rows[_WBB]
    for j in range(n_p):
        total = 0.0
        if stat:
            for i in range(bins):
                total += r[i] * (ds[j, i] + gamma[i] * db[j, i])
        else:
            for i in range(bins):
                total += r[i] * (ds[j, i] + db[j, i])
        g[j] = total
        for k in range(j + 1):
            total = 0.0
            if stat:
                for i in range(bins):
                    total += ds[k, i] * (wss[i] * ds[j, i] + wsb[i] * db[j, i])
                    total += db[k, i] * (wsb[i] * ds[j, i] + wbb[i] * db[j, i])
            else:
                for i in range(bins):
                    total += wss[i] * (ds[j, i] + db[j, i]) * (ds[k, i] + db[k, i])
            h[j, k] = total
    if model[1].shape[0] > 0:
        _curvature(model, p, rows, h)


@jit(fastmath=True)
def derivatives(model, p, rows, g, h):
    """Gradient and lower half of the Hessian at p, constraints included; needs :func:`expectation` at p."""
    mean, precision = model[4], model[5]
    _weights(model, rows)
    if model[1].shape[0] == 0 and len(model[7]) == 0:
        _linear_derivatives(model, rows, g, h)
    else:
        _general_derivatives(model, p, rows, g, h)
    for j in range(len(mean)):
        g[j] += precision[j] * (p[j] - mean[j])
        h[j, j] += precision[j]


@jit()
def factorise(h, fixed, shift, root):
    """Cholesky factor of h + shift (diag(h) + 1e-6) without the fixed parameters; False if it is not positive definite."""
    n = len(fixed)
    for j in range(n):
        for k in range(j + 1):
            if fixed[j] or fixed[k]:
                total = 1.0 if j == k else 0.0
            else:
                total = h[j, k]
                if j == k:
                    total += shift * (abs(h[j, j]) + 1e-6)
            for q in range(k):
                total -= root[j, q] * root[k, q]
            if j > k:
                root[j, k] = total / root[k, k]
            elif total > 1e-14 * abs(h[j, j]) and total > 0.0:
                root[j, j] = math.sqrt(total)
            else:
                return False
    return True


@jit()
def solve(root, g, fixed, x):
    """x = -(L L^T)^-1 g, 0 where fixed; returns g (L L^T)^-1 g."""
    n = len(g)
    square = 0.0
    for j in range(n):
        total = 0.0 if fixed[j] else g[j]
        for k in range(j):
            total -= root[j, k] * x[k]
        x[j] = total / root[j, j]
        square += x[j] * x[j]
    for j in range(n - 1, -1, -1):
        for k in range(j + 1, n):
            x[j] -= root[k, j] * x[k]
        x[j] /= root[j, j]
    for j in range(n):
        x[j] = -x[j]
    return square
