"""A search for a peak of unknown mass: one window of some resolutions around each hypothesis, two fits and a limit in each.

Steps of half a resolution lose nothing between hypotheses (:func:`mass_grid`). :func:`scan` fits thousands of windows: a
location-scale signal over polynomials goes through one compiled loop, with each fit starting from its neighbour's result;
anything else (exponential or template backgrounds, a signal shape that changes with mass, more nuisances) is built window
by window. A hypothesis that fails is reported with its reason, all its numbers being 0, and the others survive.

:func:`expected_limits` gives median limits only, a few microseconds each, for sliders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from belle2dark.limits.asymptotic import profile_curve
from belle2dark.limits.background_shapes import Background, Chebyshev, Polynomial, Templates
from belle2dark.limits.fit_model import FitModel, Nuisance, build_linearised, check_shape_counts
from belle2dark.limits.scan_windows import Windows, check_masses, make_windows, scan_windows
from belle2dark.limits.shape_fit import FitResult, solve_model
from belle2dark.limits.shape_limit import band_targets, check_cl, limit_of_model
from belle2dark.limits.shapes import Array, Gaussian, Shape, check_edges

_FAILED = "the fit found no minimum"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """One entry per hypothesis (m,): yields and errors [events], local p-value and Z, limits, and what went wrong.

    ``z`` is signed, ``p_value`` one-sided for an excess. ``observed`` and ``expected`` (m, 5) are 0 without limits. Where
    ``converged`` is False every number is 0 (p-value 0.5) and ``reasons`` says why.
    """

    masses: Array
    signal_yield: Array
    error: Array
    z: Array
    p_value: Array
    observed: Array
    expected: Array
    events: Array
    converged: NDArray[np.bool_]
    reasons: tuple[str, ...]
    cl: float
    method: str
    seed: int | None = None


def mass_grid(low: float, high: float, resolution: Callable[[float], float] | float, *, step: float = 0.5) -> Array:
    """Hypotheses from ``low`` to ``high`` in steps of ``step`` resolutions. Raises ``ValueError`` for an empty range."""
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"low = {low}, high = {high}: must be finite and increasing")
    if not 0.01 <= step <= 10:
        raise ValueError(f"step = {step}: must lie between 0.01 and 10 resolutions")
    values = [low]
    while len(values) < 1_000_000:
        sigma = resolution(values[-1]) if callable(resolution) else resolution
        if not sigma > 0:
            raise ValueError(f"resolution = {sigma} at {values[-1]:g}: must be positive")
        if values[-1] + step * sigma > high:
            return np.array(values)
        values.append(values[-1] + step * sigma)
    raise ValueError(f"resolution: more than a million steps between {low:g} and {high:g}")


def _result(masses: Array, out: Array, limits: Array, events: Array, reasons: Sequence[str], cl: float) -> ScanResult:
    """The record, with failed hypotheses emptied."""
    good = (out[:, 4] < 2) & np.isfinite(out).all(axis=1) & np.isfinite(limits).all(axis=1)
    out, limits = np.where(good[:, None], out, 0.0), np.where(good[:, None], limits, 0.0)
    why = tuple("" if ok else (text or _FAILED) for ok, text in zip(good, reasons, strict=True))
    z = np.sign(out[:, 0]) * np.sqrt(np.maximum(2.0 * (out[:, 3] - out[:, 2]), 0.0))
    return ScanResult(masses=masses, signal_yield=out[:, 0], error=out[:, 1], z=z, p_value=special.ndtr(-z),
                      observed=limits[:, 0], expected=limits[:, 1:], events=events, converged=good, reasons=why, cl=cl,
                      method="cls")  # fmt: skip


def scan(counts: ArrayLike, edges: ArrayLike, masses: ArrayLike, resolution: ArrayLike, *,
         signal: Shape | Callable[[float], Shape] | None = None, background: Background | None = None, window: float = 10.0,
         cl: float = 0.90, limits: bool = True, signal_uncertainty: float = 0.0, nuisances: Sequence[Nuisance] = (),
         resolution_uncertainty: float = 0.0) -> ScanResult:  # fmt: skip
    """Search for a peak at each of ``masses`` (m,) with ``resolution`` (m,) or one number, in units of ``edges``.

    ``signal`` is a shape in units of the resolution (default Gaussian), or a function of the mass that gives the shape in
    units of the axis; ``background`` (default a cubic Chebyshev) is fitted within +- ``window`` resolutions;
    ``signal_uncertainty`` is relative and log-normal. Limits are asymptotic CLs. Raises ``ValueError`` naming the argument.
    """
    n, x, (m, sigma) = check_shape_counts(counts), check_edges(edges), check_masses(masses, resolution)
    check_cl(cl)
    if n.shape != (len(x) - 1,):
        raise ValueError(f"counts: shape {n.shape} does not fit {len(x) - 1} bins of edges")
    if not 0.0 <= signal_uncertainty <= 1.0:
        raise ValueError(f"signal_uncertainty = {signal_uncertainty}: must lie in [0, 1]")
    shape: Shape | Callable[[float], Shape] = Gaussian() if signal is None else signal
    model = Chebyshev(degree=3) if background is None else background
    if callable(shape) or not isinstance(model, Polynomial | Chebyshev) or nuisances or resolution_uncertainty > 0:
        extra = [Nuisance(name="signal normalisation", signal=signal_uncertainty)] if signal_uncertainty > 0 else []
        options: dict[str, Any] = {"nuisances": [*nuisances, *extra], "resolution_uncertainty": resolution_uncertainty}
        return _scan_slowly(n, x, m, sigma, shape, model, window, cl, limits, options)
    packed = make_windows(x, m, sigma, shape, model, window=window)
    targets = band_targets(cl) if limits else np.zeros(0)
    out, values = scan_windows(n, packed.first, packed.size, packed.signal, packed.basis, float(signal_uncertainty), 1.0 - cl,
                               targets, True)  # fmt: skip
    total = np.concatenate([[0.0], np.cumsum(n)])
    values = values if limits else np.zeros((len(m), 6))
    return _result(m, out, values, total[packed.first + packed.size] - total[packed.first], packed.reasons, cl)


def _scan_slowly(n: Array, x: Array, m: Array, sigma: Array, signal: Shape | Callable[[float], Shape], background: Background,
                 window: float, cl: float, limits: bool, options: dict[str, Any]) -> ScanResult:  # fmt: skip
    """Window by window, for what the compiled loop does not know."""
    out, values, events, reasons = np.zeros((len(m), 5)), np.zeros((len(m), 6)), np.zeros(len(m)), []
    for j, (mass, width) in enumerate(zip(m, sigma, strict=True)):
        out[j, 4], reason = 3.0, ""
        low = int(np.searchsorted(x, mass - window * width * (1 + 1e-9)))
        high = int(np.searchsorted(x, mass + window * width * (1 + 1e-9), "right")) - 1
        try:
            shape = signal(float(mass)) if callable(signal) else _placed(signal, float(mass), float(width))
            model = build_linearised(n[low:high], x[low : high + 1], shape, _part(background, low, high), **options)
        except ValueError as error:
            reasons.append(str(error))
            continue
        events[j] = n[low:high].sum()
        found = limit_of_model(model, cl=cl) if limits else None
        best = solve_model(model) if found is None else found.fit
        at_zero = _function_at_zero(model, best) if best.converged else np.nan
        if np.isfinite(at_zero) and (found is None or found.converged):
            out[j] = best.signal_yield, best.error, best.nll, at_zero, 0.0
            if found is not None and found.expected is not None:
                values[j] = found.observed, *found.expected
        else:
            reason = best.reason or (found.reason if found else "")
        reasons.append(reason)
    return _result(m, out, values, events, reasons, cl)


def _function_at_zero(model: FitModel, best: FitResult) -> float:
    origin = np.array(list(best.parameters.values()))
    return float(profile_curve(model.arrays, model.counts, model.fixed, np.zeros(1), origin)[0][0])


def _placed(shape: Shape, mass: float, width: float) -> Shape:
    """A shape in units of the resolution, on the axis of the histogram."""
    return replace(shape, mean=mass + width * shape.mean, sigma=width * shape.sigma)


def _part(background: Background, low: int, high: int) -> Background:
    """Bins ``low`` to ``high`` of template backgrounds, anything else as it is."""
    if not isinstance(background, Templates):
        return background
    statistical = None if background.statistical is None else background.statistical[low:high]
    return replace(background, contents=background.contents[:, low:high], statistical=statistical)


def expected_limits(expected: ArrayLike, windows: Windows, *, cl: float = 0.90, sigmas: Sequence[float] = (0.0,),
                    signal_uncertainty: float = 0.0) -> tuple[Array, NDArray[np.bool_]]:  # fmt: skip
    """Expected asymptotic CLs limits (m, len(sigmas)) [events] for ``expected`` background contents, and which are valid.

    ``windows`` come from :func:`make_windows` and are good for any luminosity: a slider only scales ``expected``. Invalid
    entries are 0. Raises ``ValueError`` for bad contents or cl.
    """
    n = check_shape_counts(expected)
    check_cl(cl)
    if int((windows.first + windows.size).max(initial=0)) > len(n):
        raise ValueError(f"expected: {len(n)} bins are fewer than the windows were made for")
    out, limits = scan_windows(n, windows.first, windows.size, windows.signal, windows.basis, float(signal_uncertainty),
                               1.0 - cl, band_targets(cl, sigmas), False)  # fmt: skip
    good = (out[:, 4] < 2) & np.isfinite(limits[:, 1:]).all(axis=1)
    return np.where(good[:, None], limits[:, 1:], 0.0), good
