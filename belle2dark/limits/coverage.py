"""How often a limit is right: the probability that it contains the true signal, by exact sums over the outcomes.

With an uncertain background there are two questions. ``draw="truth"``: the prediction is what it is and the true background
lies around it, as the constraint says. ``draw="measurement"``: the true background is fixed and the prediction, a measurement,
fluctuates around it; the harder one, since the limits move with the prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from belle2dark.limits import checks
from belle2dark.limits.public import interval, upper_limit

Array = NDArray[np.float64]

_POINTS = 41  # equally probable predictions


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Probability (k,) that the limit or interval contains each true ``signal`` (k,) [events]."""

    signal: Array
    probability: Array
    background: float
    cl: float
    method: str


def coverage(signal: ArrayLike, background: float, *, cl: float = 0.90, method: str = "feldman_cousins", two_sided: bool = False,
             background_uncertainty: float = 0.0, draw: Literal["truth", "measurement"] = "truth",
             **settings: Any) -> Coverage:  # fmt: skip
    """Coverage of upper limits (or of ``two_sided`` intervals) for true signals (k,) over a true or predicted ``background``.

    ``background_uncertainty`` is relative and Gaussian, cut off at 0; ``settings`` go to
    :func:`belle2dark.limits.public.upper_limit`. Raises ``ValueError`` naming the argument that is out of range.
    """
    true = np.atleast_1d(checks.between("signal", signal, 0.0, 1e4, "signal events"))
    b = float(checks.between("background", background, 0.0, 1e4, "expected events"))
    sigma = float(checks.between("background_uncertainty", background_uncertainty, 0.0, 1.0, "relative uncertainty"))
    checks.one_of("draw", draw, ("truth", "measurement"))
    below = special.ndtr(-1.0 / sigma) if sigma > 0 else 0.0
    u = below + (1.0 - below) * (np.arange(_POINTS) + 0.5) / _POINTS
    varied = b * (1.0 + sigma * special.ndtri(u)) if sigma > 0 else np.array([b])
    largest = float(true.max() + varied.max())
    n = np.arange(int(largest + 7.0 * np.sqrt(largest) + 15))
    stated = varied if draw == "measurement" else np.array([b])
    options: dict[str, Any] = {"cl": cl, "method": method, "background_uncertainty": sigma, **settings}
    if two_sided:
        low, high = interval(n[:, None], stated, **options)
    else:
        high = np.asarray(upper_limit(n[:, None], stated, **options))
        low = np.zeros_like(high)
    actual = varied if draw == "truth" else np.full(len(varied), b)
    probability = np.empty(len(true))
    for i, s in enumerate(true):
        mean = np.maximum(s + actual, 1e-300)
        p = np.exp(n[:, None] * np.log(mean) - mean - special.gammaln(n + 1.0)[:, None])
        # An upper limit of s excludes nothing below s: ends are found to 1e-8 of themselves.
        inside = (low <= s * (1 + 1e-7) + 1e-9) & (s <= high * (1 + 1e-7) + 1e-9)
        probability[i] = float((p * inside).sum() / p.shape[1])
    return Coverage(signal=true, probability=probability, background=b, cl=cl, method=method)
