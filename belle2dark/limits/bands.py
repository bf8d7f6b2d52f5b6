"""Expected upper limits: the median and the +-1, +-2 sigma band before there are data.

The outcomes are Poisson counts around the expected background itself, not around backgrounds varied within their
uncertainty. The band then says how far a statistical fluctuation moves the limit if the prediction is right, as
asymptotic bands at nominal nuisance parameters do; what an uncertain background costs is already inside every single
limit, and the finite statistics of our own templates would otherwise widen a band that data will not show.

A limit rises with n, so that its quantiles are the limits at the quantiles of n: five evaluations per window are exact at
any background, no toys and no Asimov count. With few events the band moves in steps, because n does.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark._jit import jit
from belle2dark.limits.counting import Array, Method, check_background, check_method, limits_of_outcomes
from belle2dark.limits.nuisance import NO_UNCERTAINTIES, Uncertainties
from belle2dark.limits.special import poisson_quantile

#: Gaussian probabilities at -2, -1, 0, +1, +2 standard deviations.
QUANTILES = np.array([0.022750131948179195, 0.15865525393145707, 0.5, 0.8413447460685429, 0.9772498680518208])


@jit(parallel=True)
def _outcomes(b, probabilities):
    out = np.empty((len(b), len(probabilities)), np.int64)
    for i in numba.prange(len(b)):
        for j in range(len(probabilities)):
            out[i, j] = poisson_quantile(probabilities[j], b[i])
    return out


def outcome_quantiles(b: ArrayLike) -> NDArray[np.int64]:
    """Counts at -2, -1, 0, +1, +2 sigma for ``b`` (m,) expected events: (m, 5).

    Each is the smallest n whose cumulative probability reaches the quantile. Raises ``ValueError`` for a background out of range.
    """
    return _outcomes(check_background(b, 0.0)[0], QUANTILES)


def expected_upper_limits(b: ArrayLike, *, cl: float = 0.90, method: Method = "bayesian",
                          uncertainties: Uncertainties = NO_UNCERTAINTIES, background_mc: ArrayLike = 0.0,
                          exact: bool = True) -> Array:  # fmt: skip
    """Expected upper limits on the signal events (m, 5) at -2, -1, 0, +1, +2 sigma, for ``b`` (m,) background events.

    Arguments as :func:`belle2dark.limits.counting.upper_limits`; raises ``ValueError`` naming the argument out of range.
    """
    check_method(method, cl)
    background, mc = check_background(b, background_mc)
    outcomes = _outcomes(background, QUANTILES)
    return limits_of_outcomes(outcomes, background, mc, cl, method, uncertainties, exact)


def expected_median(b: ArrayLike, *, cl: float = 0.90, method: Method = "bayesian",
                    uncertainties: Uncertainties = NO_UNCERTAINTIES, background_mc: ArrayLike = 0.0,
                    exact: bool = True) -> Array:  # fmt: skip
    """Median expected upper limits on the signal events (m,): the middle column of :func:`expected_upper_limits`, alone."""
    check_method(method, cl)
    background, mc = check_background(b, background_mc)
    return limits_of_outcomes(_outcomes(background, QUANTILES[2:3]), background, mc, cl, method, uncertainties, exact)[:, 0]
