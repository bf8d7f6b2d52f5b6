"""Upper limits on the signal yield of a shape fit, observed and expected.

* ``cls`` with ``calculator="asymptotic"``: q-tilde and its limiting distributions. Milliseconds; the default from a few
  events under the peak upwards.
* ``cls`` with ``calculator="toys"``: the same statistic, its distribution from seeded pseudo-data whose constraints
  fluctuate too. For few events; seconds.
* ``bayesian``: flat prior in the yield >= 0. ``marginalised`` over the nuisances (Laplace: a Gaussian integral at every
  yield) or, with ``marginalise=False``, on the profile likelihood. The expected band comes from toys.

Every answer carries its confidence level, method and seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import interpolate, optimize, special

from belle2dark.limits.asymptotic import fit_once, limits_once, profile_curve, toy_statistics, with_factors
from belle2dark.limits.background_shapes import Background
from belle2dark.limits.fit_model import FitModel, Nuisance, build_linearised, check_shape_counts
from belle2dark.limits.shape_fit import FitResult, solve_model
from belle2dark.limits.shapes import Array, Shape

SIGMAS = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
_GRID = 13  # signal yields at which toys are thrown
_POSTERIOR = 400  # points of a posterior
_DEPTH = 20.0  # posterior followed down to exp(-this)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeLimit:
    """An upper limit in signal events: observed and expected at -2 .. +2 sigma, with how it was made.

    ``toy_error`` is the Monte Carlo error of ``observed`` (0 without toys). If ``converged`` is False, ``reason`` says why,
    and ``observed`` and ``expected`` are None.
    """

    cl: float
    method: str
    calculator: str
    seed: int | None
    n_toys: int
    observed: float | None
    expected: tuple[float, float, float, float, float] | None
    toy_error: float
    fit: FitResult
    converged: bool
    reason: str


def check_cl(cl: float) -> None:
    """Raise ``ValueError`` unless the confidence level lies in (0.5, 1)."""
    if not 0.5 < cl < 1.0 - 1e-6:
        raise ValueError(f"cl = {cl}: confidence level must lie between 0.5 and 1, for example 0.90")


def band_targets(cl: float, sigmas: ArrayLike = SIGMAS) -> Array:
    """sqrt(q_A) at the expected CLs limit for each number of standard deviations."""
    n = np.asarray(sigmas, dtype=float)
    return n + special.ndtri(1.0 - (1.0 - cl) * special.ndtr(n))


def _toys(model: FitModel, p: Array, number: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Pseudo-data at p: counts (m, bins), constraint means (m, parameters), template factors (m, bins or 0)."""
    t, d1, d2, kappa, mean, precision, centre, stat = model.arrays
    c = model.components
    shift = p[c:] - centre
    morphed = t + np.tensordot(shift, d1, 1) + 0.5 * np.tensordot(shift**2, d2, 1)
    parts = (p[:c] * np.exp(p[c:] @ kappa))[:, None] * morphed
    background, gammas = parts[1:].sum(0), np.ones((number, len(stat)))
    means = np.tile(mean, (number, 1))
    held = precision > 0
    means[:, held] = p[held] + rng.standard_normal((number, int(held.sum()))) / np.sqrt(precision[held])
    if len(stat):
        _, _, _, _, mu = fit_once(model.arrays, model.counts, np.ones_like(model.fixed), p.copy(), 1.0)
        gamma = np.where(background > 0, (mu - parts[0]) / np.where(background > 0, background, 1.0), 1.0)
        background = background * gamma
        gammas = np.maximum(gamma + stat * rng.standard_normal((number, len(stat))), 0.05)
    return rng.poisson(np.maximum(parts[0] + background, 0.0), (number, t.shape[1])).astype(float), means, gammas


def _conditional(model: FitModel, s: float, start: Array) -> Array:
    """Parameters at fixed signal s."""
    p, fixed = start.copy(), model.fixed.copy()
    p[0], fixed[0] = s, True
    fit_once(model.arrays, model.counts, fixed, p, 1e-10)
    return p


def _cls_by_toys(model: FitModel, s: float, at_zero: Array, number: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """CLs at signal s, observed first and then expected at -2 .. +2 sigma, with binomial errors: two arrays (6,)."""
    at_s = _conditional(model, s, at_zero)
    observed = toy_statistics(model.arrays, model.counts[None, :], model.arrays[4][None, :], np.ones((1, len(model.arrays[7]))),
                              model.fixed, s, at_s)[0]  # fmt: skip
    with_signal = toy_statistics(model.arrays, *_toys(model, at_s, number, rng), model.fixed, s, at_s)
    without = toy_statistics(model.arrays, *_toys(model, at_zero, number, rng), model.fixed, s, at_s)
    with_signal, without = with_signal[np.isfinite(with_signal)], np.sort(without[np.isfinite(without)])
    # A strong deficit has a large q: -2 sigma is the upper quantile. Counts of data are discrete: include equal values.
    quantiles = np.quantile(without, special.ndtr(-SIGMAS), method="inverted_cdf")
    out, error = np.empty(6), np.empty(6)
    for k, q in enumerate((observed, *quantiles)):
        signal = max(int((with_signal >= q - 1e-7).sum()), 1)
        background = max(int((without >= q - 1e-7).sum()), 1)
        out[k] = signal / len(with_signal) / (background / len(without))
        error[k] = out[k] * math.sqrt(max(1 / signal - 1 / len(with_signal), 0.0) + max(1 / background - 1 / len(without), 0.0))
    return out, error


def _crossing(signals: Array, cls: Array, error: Array, alpha: float) -> tuple[float, float]:
    """Where CLs crosses alpha, and the error: a weighted parabola of sqrt(-log CLs), nearly straight in the signal."""
    level = math.sqrt(-math.log(alpha))
    inside = np.clip(cls, 1e-6, 1.0 - 1e-6)
    y = np.sqrt(-np.log(inside))
    near = np.abs(y - level) < 0.6
    if near.sum() < 4:
        near = np.abs(y - level) <= np.sort(np.abs(y - level))[3]
    weight = 1.0 / np.maximum(error[near] / (2.0 * inside[near] * y[near]), 3e-3)
    x, middle, width = signals[near], float(signals[near].mean()), max(float(np.ptp(signals[near])), 1e-12)
    u = (x - middle) / width
    degree = 2 if len(u) > 4 else 1
    coefficients, covariance = np.polyfit(u, y[near] - level, degree, w=weight, cov="unscaled")
    grid = np.linspace(u.min() - 0.1, u.max() + 0.1, 2001)
    grid = grid[np.polyval(np.polyder(coefficients), grid) > 0.0]  # CLs falls with the signal
    if len(grid) == 0:
        raise ValueError(f"n_toys: too few to see CLs fall through {alpha:g}")
    root = grid[int(np.argmin(np.abs(np.polyval(coefficients, grid))))]
    powers = root ** np.arange(degree, -1, -1)
    slope = abs(float(np.polyval(np.polyder(coefficients), root)))
    return float(middle + width * root), float(math.sqrt(powers @ covariance @ powers) / max(slope, 1e-9) * width)


def _by_toys(model: FitModel, asymptotic: Array, alpha: float, number: int, seed: int) -> tuple[Array, float]:
    """Observed and expected limits (6,) from toys on a grid of yields around the asymptotic ones, and the observed's error."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, number]))
    at_zero = _conditional(model, 0.0, model.start)
    grid = np.geomspace(0.6 * asymptotic.min(), 1.6 * asymptotic.max(), _GRID)
    rows = [_cls_by_toys(model, float(s), at_zero, number, rng) for s in grid]
    first = [_crossing(grid, np.array([r[0][k] for r in rows]), np.array([r[1][k] for r in rows]), alpha)[0] for k in range(6)]
    # A second, finer set around the observed limit, where the error matters.
    fine = first[0] * np.linspace(0.85, 1.15, 5)
    rows += [_cls_by_toys(model, float(s), at_zero, number, rng) for s in fine]
    points = np.concatenate([grid, fine])
    pairs = [_crossing(points, np.array([r[0][k] for r in rows]), np.array([r[1][k] for r in rows]), alpha) for k in range(6)]
    return np.array([value for value, _ in pairs]), pairs[0][1]


def posterior_limit(model: FitModel, result: FitResult, alpha: float, marginalise: bool) -> float:
    """Flat-prior upper limit from the posterior on a grid of yields, with cubic interpolation of its integral."""
    origin = np.array(list(result.parameters.values()))
    if origin[0] < 0:
        origin = _conditional(model, 0.0, origin)
    step = max(result.error, 1.0)
    high = max(result.signal_yield, 0.0) + 3.0 * step

    def log_posterior(signals: Array) -> Array:
        value, half_log = profile_curve(model.arrays, model.counts, model.fixed, signals, origin)
        return -(value + half_log) if marginalise else -value

    top = log_posterior(np.array([max(result.signal_yield, 0.0)]))[0]
    for _ in range(60):
        if log_posterior(np.array([high]))[0] < top - _DEPTH:
            break
        high += max(3.0 * step, 0.3 * high)
    signals = np.linspace(0.0, high, _POSTERIOR + 1)
    log_p = log_posterior(signals)
    spline = interpolate.CubicSpline(signals, np.exp(log_p - log_p.max()))
    integral = spline.antiderivative()
    target = (1.0 - alpha) * float(integral(high))
    return float(optimize.brentq(lambda s: float(integral(s)) - target, 0.0, high, xtol=1e-9 * high))


def _bayesian(model: FitModel, result: FitResult, alpha: float, marginalise: bool, number: int, seed: int) -> tuple[float, Array]:
    """Observed limit, and expected ones (5,) from ``number`` background-only toys."""
    observed = posterior_limit(model, result, alpha, marginalise)
    rng = np.random.default_rng(np.random.SeedSequence([seed, number]))
    toys, means, gammas = _toys(model, _conditional(model, 0.0, model.start), number, rng)
    values = []
    for n, mean, gamma in zip(toys, means, gammas, strict=True):
        toy = replace(model, counts=n, arrays=with_factors(model.arrays, mean, gamma))
        fitted = solve_model(toy)
        if fitted.converged:
            values.append(posterior_limit(toy, fitted, alpha, marginalise))
    return observed, np.quantile(values, special.ndtr(SIGMAS))


def limit_of_model(model: FitModel, *, cl: float = 0.90, method: Literal["cls", "bayesian"] = "cls",
                   calculator: Literal["asymptotic", "toys"] = "asymptotic", n_toys: int | None = None, seed: int = 0,
                   marginalise: bool = True) -> ShapeLimit:  # fmt: skip
    """:func:`shape_limit` of a model that is already built."""
    check_cl(cl)
    if method not in ("cls", "bayesian"):
        raise ValueError(f"method = {method!r}: must be cls or bayesian for a shape fit")
    if calculator not in ("asymptotic", "toys"):
        raise ValueError(f"calculator = {calculator!r}: must be asymptotic or toys")
    if seed < 0:
        raise ValueError(f"seed = {seed}: must be a non-negative integer")
    number = (2000 if method == "cls" else 100) if n_toys is None else n_toys
    if not 20 <= number <= 1_000_000:
        raise ValueError(f"n_toys = {number}: must lie between 20 and 1000000")
    result = solve_model(model)
    alpha, p_hat = 1.0 - cl, model.start.copy()
    limits, _, _, status = limits_once(model.arrays, model.counts, model.fixed, alpha, band_targets(cl), p_hat)
    toys = method == "bayesian" or calculator == "toys"
    record: dict[str, Any] = {"cl": cl, "method": method, "calculator": "toys" if toys else "asymptotic", "fit": result,
                              "seed": seed if toys else None, "n_toys": number if toys else 0}  # fmt: skip
    if not result.converged or status >= 2 or not np.isfinite(limits).all():
        reason = result.reason if not result.converged else "no limit found: a fit at fixed yield failed"
        return ShapeLimit(observed=None, expected=None, toy_error=0.0, converged=False, reason=reason, **record)
    error = 0.0
    if method == "bayesian":
        observed, expected = _bayesian(model, result, alpha, marginalise, number, seed)
        limits = np.array([observed, *expected])
    elif calculator == "toys":
        limits, error = _by_toys(model, limits, alpha, number, seed)
    a, b, c, d, e = (float(value) for value in limits[1:])
    return ShapeLimit(observed=float(limits[0]), expected=(a, b, c, d, e), toy_error=error, converged=True, reason="", **record)


def shape_limit(counts: ArrayLike, edges: ArrayLike | None, signal: Shape | ArrayLike, background: Background, *,
                cl: float = 0.90, method: Literal["cls", "bayesian"] = "cls",
                calculator: Literal["asymptotic", "toys"] = "asymptotic", nuisances: Sequence[Nuisance] = (),
                resolution_uncertainty: float = 0.0, n_toys: int | None = None, seed: int = 0,
                marginalise: bool = True) -> ShapeLimit:  # fmt: skip
    """Upper limit on the signal events in observed ``counts`` (...), with the expected band; the model as in :func:`.fit`.

    ``n_toys`` per signal yield (default 2000; for the Bayesian band 100). Raises ``ValueError`` naming the argument for bad
    input; a fit that fails is a result with ``converged=False``.
    """
    check_shape_counts(counts)
    model = build_linearised(
        counts, edges, signal, background, nuisances=nuisances, resolution_uncertainty=resolution_uncertainty
    )
    return limit_of_model(model, cl=cl, method=method, calculator=calculator, n_toys=n_toys, seed=seed, marginalise=marginalise)
