"""From the largest excess of a scan to its global significance, and scans with half-shifted bins.

:func:`global_p_value` throws background-only pseudo-data through the same scan as the data: right whatever the correlations
between hypotheses, and the number of toys sets the smallest p-value it can resolve. :func:`upcrossings` extrapolates from the
mean number of times a toy's q0 curve rises through a low level: a few hundred toys reach any significance. Both come with
their uncertainty; where both work they should agree.

Source: Gross and Vitells, Eur. Phys. J. C 70 (2010) 525, equations (3) and (10), with half a chi-square for the one-sided q0.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from belle2dark._jit import jit
from belle2dark.limits.background_shapes import Chebyshev, Polynomial
from belle2dark.limits.fit_model import check_shape_counts
from belle2dark.limits.mass_scan import ScanResult, scan
from belle2dark.limits.profile import work_space
from belle2dark.limits.scan_windows import Windows, make_windows, two_fits, window_model
from belle2dark.limits.shapes import Array, Gaussian, Shape, check_edges

_BLOCK = 500  # toys thrown at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalSignificance:
    """Local and global p-value and Z of an excess; ``p_error`` is the uncertainty of ``p_global`` from finite toys.

    ``method`` is ``toys`` or ``upcrossings``; ``mean_upcrossings`` is counted at ``reference`` (Z) and 0 for ``toys``. With no
    toy beyond the data ``p_global`` is 1/n_toys and ``upper_bound`` True.
    """

    p_local: float
    z_local: float
    p_global: float
    p_error: float
    z_global: float
    method: str
    n_toys: int
    mean_upcrossings: float
    reference: float
    upper_bound: bool
    seed: int


@jit(parallel=True)
def _toy_z(toys, first, size, signal, basis, start):
    """Signed Z (m, toys) of background-only pseudo-data; fits start from ``start`` (m, parameters); failed ones give 0."""
    m, k = len(first), basis.shape[1]
    out = np.zeros((m, len(toys)), np.float32)
    for j in numba.prange(m):
        if size[j] == 0:
            continue
        fixed, p = np.zeros(1 + k, np.bool_), np.zeros(1 + k)
        work = work_space(1 + k, 0, size[j])
        model = window_model(signal, basis, j, size[j], 0.0)
        for toy in range(len(toys)):
            p[:] = start[j]
            best, at_zero, status = two_fits(model, toys[toy, first[j] : first[j] + size[j]], fixed, p, work)
            if status < 2:
                z = math.sqrt(max(2.0 * (at_zero - best), 0.0))
                out[j, toy] = z if p[0] > 0.0 else -z
    return out


@jit()
def background_parameters(expected, first, size, signal, basis):
    """Parameters (m, 1 + k) of the background-only fit of ``expected`` (bins,) in every window; the first is 0."""
    m, k = len(first), basis.shape[1]
    out = np.zeros((m, 1 + k))
    fixed = np.zeros(1 + k, np.bool_)
    for j in range(m):
        if size[j] > 0:
            work = work_space(1 + k, 0, size[j])
            two_fits(window_model(signal, basis, j, size[j], 0.0), expected[first[j] : first[j] + size[j]], fixed, out[j], work)
            out[j, 0] = 0.0
    return out


def toy_scans(expected: ArrayLike, windows: Windows, *, n_toys: int = 1000, seed: int = 0) -> Array:
    """Signed local Z (n_toys, m) of background-only pseudo-data with mean ``expected`` (bins,).

    The same for any number of threads. Raises ``ValueError`` for bad contents, ``n_toys`` or ``seed``.
    """
    mean = check_shape_counts(expected)
    if not 1 <= n_toys <= 10_000_000:
        raise ValueError(f"n_toys = {n_toys}: must lie between 1 and 10000000")
    if seed < 0:
        raise ValueError(f"seed = {seed}: must be a non-negative integer")
    if int((windows.first + windows.size).max(initial=0)) > len(mean):
        raise ValueError(f"expected: {len(mean)} bins are fewer than the windows were made for")
    arrays = (windows.first, windows.size, windows.signal, windows.basis)
    start = background_parameters(mean, *arrays)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x1EE]))
    parts = []
    for low in range(0, n_toys, _BLOCK):
        toys = rng.poisson(mean, (min(_BLOCK, n_toys - low), len(mean))).astype(float)
        parts.append(_toy_z(toys, *arrays, start).T)
    return np.concatenate(parts)


def _check_z(z: float, toys: ArrayLike) -> Array:
    if not math.isfinite(z):
        raise ValueError(f"z = {z}: local significance must be finite")
    curves = np.asarray(toys, dtype=float)
    if curves.ndim != 2 or len(curves) < 10 or not np.isfinite(curves).all():
        raise ValueError(f"toys: shape {curves.shape}, expected at least 10 finite curves (n_toys, m)")
    return curves


def global_p_value(z: float, toys: ArrayLike, *, seed: int = 0) -> GlobalSignificance:
    """Probability that the largest Z of a background-only scan reaches ``z``, from ``toys`` (n, m) of :func:`toy_scans`.

    Binomial error. Raises ``ValueError`` for a z that is not finite and for fewer than ten toys.
    """
    curves = _check_z(z, toys)
    n, beyond = len(curves), int((curves.max(axis=1) >= z).sum())
    p = max(beyond, 1) / n
    error = math.sqrt(max(beyond, 1) * max(n - beyond, 1) / n) / n
    return GlobalSignificance(p_local=float(special.ndtr(-z)), z_local=z, p_global=p, p_error=error,
                              z_global=float(-special.ndtri(min(p, 1 - 1e-12))), method="toys", n_toys=n, mean_upcrossings=0.0,
                              reference=0.0, upper_bound=beyond == 0, seed=seed)  # fmt: skip


def count_upcrossings(z: ArrayLike, level: float) -> Array:
    """How often each curve (n, m) of signed Z rises through ``level``."""
    above = np.atleast_2d(np.asarray(z)) > level
    return (above[:, 1:] & ~above[:, :-1]).sum(axis=1).astype(float)


def upcrossings(z: float, toys: ArrayLike, *, reference: float = 0.5, seed: int = 0) -> GlobalSignificance:
    """Global p-value of a local ``z`` from the mean number of upcrossings of ``reference`` (Z) in ``toys`` (n, m).

    p = 1 - Phi(z) + <N(reference)> exp(-(z^2 - reference^2)/2), at most 1; an upper bound for small z, exact for large. Raises
    ``ValueError`` as :func:`global_p_value` and for a reference that is negative or above z.
    """
    curves = _check_z(z, toys)
    if not 0.0 <= reference <= max(z, 0.0):
        raise ValueError(f"reference = {reference}: must lie between 0 and z = {z:.3g}")
    counts = count_upcrossings(curves, reference)
    mean, error = float(counts.mean()), float(max(counts.std(ddof=1), 1.0 / len(counts)) / math.sqrt(len(counts)))
    slope, local = math.exp(-0.5 * (z * z - reference * reference)), float(special.ndtr(-z))
    p = min(local + mean * slope, 1.0)
    return GlobalSignificance(p_local=local, z_local=z, p_global=p, p_error=error * slope,
                              z_global=float(-special.ndtri(min(p, 1 - 1e-12))), method="upcrossings", n_toys=len(counts),
                              mean_upcrossings=mean, reference=reference, upper_bound=False, seed=seed)  # fmt: skip


def shifted_edges(edges: ArrayLike) -> Array:
    """Edges half a bin higher, one bin fewer: the second binning of a scan that must not depend on where bins begin."""
    x = check_edges(edges)
    if len(x) < 3:
        raise ValueError("edges: at least two bins are needed to shift by half a bin")
    return 0.5 * (x[1:] + x[:-1])


def scan_both_binnings(values: ArrayLike, edges: ArrayLike, masses: ArrayLike, resolution: ArrayLike, *,
                       signal: Shape | None = None, background: Polynomial | Chebyshev | None = None, window: float = 10.0,
                       cl: float = 0.90, limits: bool = False) -> tuple[ScanResult, ScanResult]:  # fmt: skip
    """Scan the unbinned ``values`` (n,) twice, in bins between ``edges`` and in bins shifted by half a width.

    Raises ``ValueError`` as :func:`.scan` and for values that are not finite.
    """
    v = np.asarray(values, dtype=float)
    if v.ndim != 1 or not np.isfinite(v).all():
        raise ValueError("values: must be a one-dimensional array of finite numbers")
    results = []
    for x in (check_edges(edges), shifted_edges(edges)):
        counts = np.histogram(v, x)[0]
        results.append(
            scan(counts, x, masses, resolution, signal=signal, background=background, window=window, cl=cl, limits=limits)
        )
    return results[0], results[1]


def windows_of(edges: ArrayLike, masses: ArrayLike, resolution: ArrayLike, *, signal: Shape | None = None,
               background: Polynomial | Chebyshev | None = None, window: float = 10.0) -> Windows:  # fmt: skip
    """The windows of :func:`.scan` with the same arguments and defaults, for :func:`toy_scans`."""
    shape, model = Gaussian() if signal is None else signal, Chebyshev(degree=3) if background is None else background
    return make_windows(edges, masses, resolution, shape, model, window=window)
