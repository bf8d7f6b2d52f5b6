"""Pseudo-experiments without signal for windows of a mass scan, each window true to its own background.

Windows are fitted with polynomials that need not continue each other. :func:`pseudo_windows` gives every window Poisson
counts around its own fitted background, from noise that all windows share: neighbours see the same fluctuations, and in no
window does a pseudo-experiment hold more than its fit can describe. :mod:`belle2dark.limits.look_elsewhere` throws one
histogram for all windows instead: faster, and the same where the background is a polynomial throughout.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from dataclasses import replace

import numba
import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from belle2dark._jit import jit
from belle2dark.limits.fit_model import check_shape_counts
from belle2dark.limits.look_elsewhere import background_parameters, count_upcrossings
from belle2dark.limits.scan_windows import Windows
from belle2dark.limits.shapes import Array
from belle2dark.limits.special import normal_cdf

#: mean from which the quantile of a Poisson distribution comes from its expansion around the normal one
_MANY = 100.0
#: local significance whose upcrossings are counted
REFERENCE = 1.0


def own_background(expected: ArrayLike, windows: Windows) -> Array:
    """Background (m, w) that a fit of ``expected`` (bins,) without signal gives every window, 0 in the padding.

    Raises ``ValueError`` for contents that are not finite, negative or too few for the windows.
    """
    mean = check_shape_counts(expected)
    if int((windows.first + windows.size).max(initial=0)) > len(mean):
        raise ValueError(f"expected: {len(mean)} bins are fewer than the windows were made for")
    parameters = background_parameters(mean, windows.first, windows.size, windows.signal, windows.basis)
    return np.maximum(np.einsum("mk,mkw->mw", parameters[:, 1:], windows.basis), 0.0)


def global_p_values(z: Array, toys: Array) -> Array:
    """Probability (m,) that an excess as significant as ``z`` (m,) shows anywhere, from significances (toys, m) without signal.

    p = 1 - Phi(z) + <N> exp(-(z^2 - z0^2)/2), at most 1, N being the upcrossings of z0 = REFERENCE; 1 below it.
    Source: Gross and Vitells, Eur. Phys. J. C 70 (2010) 525, equation (3).
    """
    crossings = float(count_upcrossings(toys, REFERENCE).mean())
    return np.where(z < REFERENCE, 1.0, np.minimum(1.0, ndtr(-z) + crossings * np.exp(-0.5 * (z**2 - REFERENCE**2))))


def pseudo_windows(background: Array, windows: Windows, rng: np.random.Generator) -> tuple[Array, Windows]:
    """Counts (m w,) of one pseudo-experiment around ``background`` (m, w), and the windows of these counts."""
    m, w = background.shape
    noise = rng.standard_normal(int((windows.first + windows.size).max(initial=0)) + w)
    counts = _counts(background, windows.first, noise)
    return counts.reshape(-1), replace(windows, first=w * np.arange(m))


@jit(parallel=True)
def _counts(background, first, noise):
    """Poisson quantiles (m, w) of the noise in each window's bins."""
    m, w = background.shape
    out = np.zeros((m, w))
    for j in numba.prange(m):
        for i in range(w):
            out[j, i] = poisson_quantile(background[j, i], noise[first[j] + i])
    return out


@jit()
def poisson_quantile(mean, z):
    """The smallest count whose cumulative probability reaches Phi(z).

    Source: Cornish and Fisher, Rev. Inst. Int. Stat. 5 (1938) 307, for many events: the first two terms beyond the normal.
    """
    if mean >= _MANY:
        root = math.sqrt(mean)
        return max(0.0, math.floor(mean + root * z + (z * z - 1.0) / 6.0 + (z - z**3) / (72.0 * root) + 0.5))
    share = normal_cdf(z)
    term = math.exp(-mean)
    total, count = term, 0.0
    while total < share and count < 1000.0:
        count += 1.0
        term *= mean / count
        total += term
        if term < 1e-18 * total and count > mean:
            break
    return count
