"""Windows of a mass scan, packed for one compiled loop over all of them: signal over polynomials in each.

Windows are pieces of one histogram, +- n resolutions around a hypothesis; neighbours start from each other's result, in runs
of sixteen, so that the answer is the same on any number of threads.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark._jit import jit
from belle2dark.limits.asymptotic import TOLERANCE, direction, limits_of
from belle2dark.limits.background_shapes import Chebyshev, Polynomial, polynomial_columns
from belle2dark.limits.newton import minimise
from belle2dark.limits.profile import work_space
from belle2dark.limits.shapes import Array, Shape, check_edges, standard_cdf

_RUN = 16  # neighbouring windows that start from each other's result


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Packed windows: first bin and number of bins (m,), signal fractions (m, w) and background columns (m, k, w)."""

    first: NDArray[np.int64]
    size: NDArray[np.int64]
    signal: Array
    basis: Array
    reasons: tuple[str, ...]


def make_windows(edges: ArrayLike, masses: ArrayLike, resolution: ArrayLike, signal: Shape, background: Polynomial | Chebyshev,
                 *, window: float = 10.0) -> Windows:  # fmt: skip
    """Windows of +- ``window`` resolutions around ``masses`` (m,), cut off at the ends of ``edges``."""
    x, m, sigma = check_edges(edges), *check_masses(masses, resolution)
    if not 1.0 <= window <= 1000.0:
        raise ValueError(f"window = {window}: half width must lie between 1 and 1000 resolutions")
    bins = len(x) - 1
    first = np.clip(np.searchsorted(x, m - window * sigma * (1 + 1e-9)), 0, bins)
    last = np.clip(np.searchsorted(x, m + window * sigma * (1 + 1e-9), "right") - 1, 0, bins)
    size = np.maximum(last - first, 0)
    k = background.degree + 1
    inside = (m >= x[0]) & (m <= x[-1])
    bad = ~inside | (size < k + 2)
    reasons = tuple("" if good else (f"only {n} bins in the window" if i else "outside the histogram")
                    for good, i, n in zip(~bad, inside, size, strict=True))  # fmt: skip
    widest = int(max(size.max(initial=0), k + 2))
    # Beyond the window's last bin edges repeat, so that padding has zero width.
    where = np.minimum(first[:, None] + np.arange(widest + 1), np.maximum(last, first)[:, None])
    e = x[np.minimum(where, bins)]
    low, high = e[:, :1], e[:, -1:]
    u = np.where(bad[:, None], 0.0, 2.0 * (e - low) / np.where(high > low, high - low, 1.0) - 1.0)
    fraction = np.diff(standard_cdf(signal, (e - m[:, None]) / sigma[:, None]), axis=-1)
    basis = polynomial_columns(u, background.degree, isinstance(background, Chebyshev))
    size = np.where(bad, 0, size)
    return Windows(first=first.astype(np.int64), size=size.astype(np.int64), signal=np.ascontiguousarray(fraction),
                   basis=np.ascontiguousarray(basis), reasons=reasons)  # fmt: skip


def check_masses(masses: ArrayLike, resolution: ArrayLike) -> tuple[Array, Array]:
    m = np.asarray(masses, dtype=float)
    if m.ndim != 1 or len(m) == 0 or not np.isfinite(m).all():
        raise ValueError("masses: must be a one-dimensional array of finite numbers")
    sigma = np.asarray(resolution, dtype=float)
    if sigma.shape not in ((), m.shape) or not (np.isfinite(sigma) & (sigma > 0)).all():
        raise ValueError(f"resolution: must be positive and one number or {len(m)}")
    return m, np.broadcast_to(sigma, m.shape)


@jit()
def window_model(signal, basis, j, size, relative):
    """Model of window j; with ``relative`` > 0 a log-normal nuisance on the signal."""
    k, n_m = basis.shape[1], 1 if relative > 0.0 else 0
    t = np.empty((1 + k, size))
    t[0] = signal[j, :size]
    for c in range(k):
        t[1 + c] = basis[j, c, :size]
    d = np.zeros((n_m, 1 + k, size))
    kappa, precision = np.zeros((n_m, 1 + k)), np.zeros(1 + k + n_m)
    if n_m == 1:
        kappa[0, 0] = np.log1p(relative)
        precision[1 + k] = 1.0
    return (t, d, d, kappa, np.zeros(1 + k + n_m), precision, np.zeros(n_m), np.empty(0))


@jit(parallel=True)
def scan_windows(counts, first, size, signal, basis, relative, alpha, targets, observed):
    """Fits and limits of every window: (m, 5) yield, error, function, function at 0, status; (m, 1 + targets) limits."""
    m, k = len(first), basis.shape[1]
    out, limits = np.zeros((m, 5)), np.zeros((m, 1 + len(targets)))
    for run in numba.prange((m + _RUN - 1) // _RUN):
        n_p = 1 + k + (1 if relative > 0.0 else 0)
        p, fixed = np.zeros(n_p), np.zeros(n_p, np.bool_)
        for j in range(run * _RUN, min((run + 1) * _RUN, m)):
            if size[j] == 0:
                out[j, 4] = 3.0
                continue
            work = work_space(1 + k, n_p - 1 - k, size[j])
            n = counts[first[j] : first[j] + size[j]]
            model = window_model(signal, basis, j, size[j], relative)
            if len(targets) > 0:
                best, at_zero, status = limits_of(model, n, fixed, alpha, targets, observed, p, work, limits[j])
                if status < 2 and not np.all(np.isfinite(limits[j, 0 if observed else 1 :])):
                    status = 2
            else:
                best, at_zero, status = two_fits(model, n, fixed, p, work)
            out[j, 0], out[j, 2], out[j, 3], out[j, 4] = p[0], best, at_zero, status
            if observed and status < 2:
                out[j, 1] = yield_error(model, n, fixed, p, work)
            if status >= 2:
                p[:] = 0.0
    return out, limits


@jit()
def two_fits(model, n, fixed, p, work):
    """Background-only and free fit; p starts from a neighbour and ends at the free one; (function, at 0, status)."""
    p[0] = 0.0
    fixed[0] = True
    at_zero, _, status = minimise(model, n, fixed, p, work, TOLERANCE)
    fixed[0] = False
    if status >= 2:
        return 0.0, 0.0, status
    best, _, status = minimise(model, n, fixed, p, work, TOLERANCE)
    return best, at_zero, status


@jit()
def yield_error(model, n, fixed, p, work):
    """Parabolic error of the yield from the Hessian at p."""
    from_direction = np.empty(len(p))
    return direction(model, n, fixed, p, work, from_direction)
