"""Excesses: p-value and significance of a count, and the luminosity at which a signal would be discovered.

The background uncertainty enters as a gamma-distributed background with the stated mean and relative error, which is the
on/off problem with tau = 1 / (b sigma^2): the p-value is then an exact incomplete beta function, and the expected
significance its Asimov form. Without uncertainty both go over into the Poisson results.

Source: Cousins, Linnemann and Tucker, Nucl. Instrum. Meth. A 595 (2008) 480, Z_Bi, equations (14)-(17); Cowan, Cranmer,
Gross and Vitells, Eur. Phys. J. C 71 (2011) 1554, equation (97), extended to an uncertain background by G. Cowan (2012).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

Array = NDArray[np.float64]

_SMALL = 1e-6  # relative uncertainty below which the background counts as known


def _checked(name: str, value: ArrayLike) -> Array:
    array = np.asarray(value, dtype=float)
    if not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError(f"{name}: must be finite and not negative")
    return array


def p_value(n: ArrayLike, background: ArrayLike, *, background_uncertainty: ArrayLike = 0.0) -> Array:
    """Probability that the background alone gives ``n`` events or more; arguments broadcast.

    ``background_uncertainty`` is relative. Raises ``ValueError`` for negative or infinite values and an n that is not whole.
    """
    count, mean, sigma = np.broadcast_arrays(_checked("n", n), _checked("background", background),
                                             _checked("background_uncertainty", background_uncertainty))  # fmt: skip
    if (count != np.floor(count)).any():
        raise ValueError("n: observed events must be whole numbers")
    known = (sigma < _SMALL) | (mean == 0)
    safe = np.where(known, 1.0, sigma) ** 2
    tau = 1 / (np.where(known, 1.0, mean) * safe)
    poisson = special.gammainc(np.maximum(count, 1), mean)
    mixed = special.betainc(np.maximum(count, 1), 1 / safe, 1 / (1 + tau))
    return np.where(count == 0, 1.0, np.where(known, poisson, mixed))


def significance(p: ArrayLike) -> Array:
    """One-sided significance Z [standard deviations] of a p-value; negative above one half."""
    return -special.ndtri(np.asarray(p, dtype=float))


def expected_significance(signal: ArrayLike, background: ArrayLike, *, background_uncertainty: ArrayLike = 0.0) -> Array:
    """Median significance Z expected for ``signal`` events over ``background`` (Asimov); arguments broadcast.

    ``background_uncertainty`` is relative. Zero background gives inf for any signal, as a single event would be a discovery.
    Raises ``ValueError`` for negative or infinite values.
    """
    s, b, sigma = np.broadcast_arrays(_checked("signal", signal), _checked("background", background),
                                      _checked("background_uncertainty", background_uncertainty))  # fmt: skip
    with np.errstate(divide="ignore", invalid="ignore"):
        n, variance = s + b, (sigma * b) ** 2
        known = n * np.log1p(s / b) - s
        # q/2 = n ln[n (b + v) / (b^2 + n v)] - b^2/v ln[1 + v s / (b (b + v))], with v = (sigma b)^2
        mixed = n * np.log1p(s * b / (b * b + n * variance)) - b * b / variance * np.log1p(variance * s / (b * (b + variance)))
        half = np.where(sigma < _SMALL, known, mixed)
        z = np.sqrt(2 * np.maximum(half, 0.0))
    return np.where(s == 0, 0.0, np.where(b == 0, np.inf, z))


def discovery_luminosity(signal_per_fb: float, background_per_fb: float, *, z: float = 5.0, background_relative: float = 0.0,
                         largest: float = 1e9) -> float | None:  # fmt: skip
    """Luminosity [fb-1] at which a signal is expected to reach ``z`` standard deviations.

    ``signal_per_fb`` and ``background_per_fb`` are events per fb-1, ``background_relative`` the relative background
    uncertainty. None where no luminosity up to ``largest`` is enough: without signal, or limited by systematics. Without
    background, the luminosity that gives one event in the median (ln 2 expected). Raises ``ValueError`` as
    :func:`expected_significance` and for a z that is not positive.
    """
    if not 0 < z < math.inf:
        raise ValueError(f"z = {z}: number of standard deviations must be positive and finite")
    s, b = float(_checked("signal_per_fb", signal_per_fb)), float(_checked("background_per_fb", background_per_fb))
    _checked("background_relative", background_relative)
    if s == 0:
        return None
    one_event = math.log(2.0) / s
    if b == 0:
        return one_event if one_event <= largest else None

    def missing(log_luminosity: float) -> float:
        x = math.exp(log_luminosity)
        return float(expected_significance(s * x, b * x, background_uncertainty=background_relative)) - z

    if missing(math.log(largest)) < 0:
        return None
    low = math.log(min(one_event, largest)) - 30.0
    return math.exp(optimize.brentq(missing, low, math.log(largest), xtol=1e-12))
