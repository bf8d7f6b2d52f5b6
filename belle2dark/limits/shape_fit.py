"""Binned extended maximum-likelihood fits of a signal over a background, in one or more dimensions.

:func:`fit` takes counts, bin edges and two shapes, :func:`fit_templates` histograms of any dimension (a two-dimensional one
in recoil angle and recoil mass, say). The signal yield may be negative, down to where a bin would expect fewer than
no events. Uncertainties of resolution, efficiency and normalisation are profiled; :mod:`.shape_limit` has limits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from belle2dark.limits.asymptotic import fit_once, profile_curve
from belle2dark.limits.background_shapes import Background, Templates
from belle2dark.limits.fit_model import FitModel, Nuisance, build_linearised
from belle2dark.limits.profile import AT_BOUNDARY, CONVERGED, IMPOSSIBLE
from belle2dark.limits.shapes import Array, Shape

_TOLERANCE = 1e-13  # squared Newton step of a single fit
_REASONS = {
    CONVERGED: "",
    AT_BOUNDARY: "an empty bin expects no events: the error is not parabolic",
    2: "no minimum found",
    IMPOSSIBLE: "no background makes the expectation positive in every bin",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """A fit: signal yield [events] with its parabolic error, all parameters, half the deviance, and how it went.

    ``parameters`` maps names to values, fixed ones included; ``covariance`` belongs to ``free``, in this order (the signal
    first). ``at_boundary`` means that an empty bin stops the fit: ``covariance`` then only holds the signal's error, from the
    rise of the likelihood above it. ``expected`` are the fitted bin contents. If ``converged`` is False, ``reason`` says why
    and all numbers are 0.
    """

    signal_yield: float
    error: float
    parameters: dict[str, float]
    free: tuple[str, ...]
    covariance: Array
    nll: float
    converged: bool
    at_boundary: bool
    reason: str
    n_iterations: int
    expected: Array


def _upper_error(model: FitModel, p: Array, nll: float) -> float:
    """Distance above the fitted yield at which the profiled function has risen by one half; infinite if there is none."""

    def missing(step: float) -> float:
        value, _ = profile_curve(model.arrays, model.counts, model.fixed, np.array([p[0] + step]), p)
        return float(value[0]) - nll - 0.5

    high = 1.0
    for _ in range(60):
        if missing(high) > 0:
            return float(optimize.brentq(missing, 0.0, high, xtol=1e-6 * high))
        high *= 2.0
    return math.inf


def solve_model(model: FitModel) -> FitResult:
    """The minimum of a built model."""
    p = model.start.copy()
    nll, iterations, status, hessian, expected = fit_once(model.arrays, model.counts, model.fixed, p, _TOLERANCE)
    free = ~model.fixed
    names = tuple(name for name, keep in zip(model.names, free, strict=True) if keep)
    covariance = np.zeros((int(free.sum()),) * 2)
    ok = status in (CONVERGED, AT_BOUNDARY) and bool(np.isfinite(p).all())
    reason = _REASONS[status]
    if ok:
        full = np.tril(hessian) + np.tril(hessian, -1).T
        covariance = np.linalg.pinv(full[np.ix_(free, free)], hermitian=True)
        if status == AT_BOUNDARY:
            covariance[:, :] = 0.0
            covariance[0, 0] = _upper_error(model, p, nll) ** 2
        if not 0 < covariance[0, 0] < math.inf:
            ok, reason = False, "the signal yield is not determined"
    if not ok:
        p, nll, expected = np.zeros_like(p), 0.0, np.zeros_like(expected)
        covariance = np.zeros_like(covariance)
    return FitResult(signal_yield=float(p[0]), error=math.sqrt(covariance[0, 0]), free=names, covariance=covariance,
                     parameters=dict(zip(model.names, p.tolist(), strict=True)), nll=float(nll), converged=ok,
                     at_boundary=status == AT_BOUNDARY, reason=reason, n_iterations=int(iterations),
                     expected=expected)  # fmt: skip


def fit(counts: ArrayLike, edges: ArrayLike | None, signal: Shape | ArrayLike, background: Background, *,
        nuisances: Sequence[Nuisance] = (), resolution_uncertainty: float = 0.0) -> FitResult:  # fmt: skip
    """Fit ``counts`` (bins,) between ``edges`` (bins + 1,) with a signal over a background.

    ``signal`` is a shape of :mod:`.shapes` or an array of bin fractions, ``background`` one of its backgrounds;
    ``resolution_uncertainty`` is the relative error of the signal width. Raises ``ValueError`` naming the argument for input
    that makes no model; a fit that fails is a result with ``converged=False`` and a reason.
    """
    model = build_linearised(
        counts, edges, signal, background, nuisances=nuisances, resolution_uncertainty=resolution_uncertainty
    )
    return solve_model(model)


def fit_templates(counts: ArrayLike, signal: ArrayLike, contents: ArrayLike, uncertainties: Sequence[float], *,
                  statistical: ArrayLike | None = None, nuisances: Sequence[Nuisance] = ()) -> FitResult:  # fmt: skip
    """Fit a histogram ``counts`` (nx, ny), or of any dimension, with templates: ``signal`` (nx, ny), ``contents`` (k, nx, ny).

    ``uncertainties`` and ``statistical`` as in :class:`.shapes.Templates`. Raises ``ValueError`` as :func:`fit`.
    """
    errors = None if statistical is None else np.asarray(statistical, dtype=float)
    background = Templates(contents=np.asarray(contents, dtype=float), uncertainties=tuple(uncertainties), statistical=errors)
    return fit(counts, None, signal, background, nuisances=nuisances)
