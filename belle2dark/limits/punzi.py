"""Punzi's figure of merit: the smallest signal that a search would discover or exclude, whatever its true size.

Use it to choose a selection before looking at data; use :mod:`belle2dark.limits.bands` for the limit a search expects.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def punzi_events(background: ArrayLike, *, a: float = 3.0, b: float = 1.28155) -> NDArray[np.float64]:
    """Smallest number of signal events that gives an ``a`` sigma excess at the one-sided confidence of ``b`` sigma.

    ``background`` is the expected number of events, any shape; the result has the same shape. Divide by efficiency and
    luminosity [fb-1] for the smallest cross-section [fb]. Raises ``ValueError`` for a negative or infinite background and
    for a or b that are not positive. Source: G. Punzi, physics/0308063, equation for S_min with the Gaussian-improved form.
    """
    count = np.asarray(background, dtype=float)
    if not (np.isfinite(count) & (count >= 0)).all():
        raise ValueError("background: expected events must be finite and not negative")
    for name, value in (("a", a), ("b", b)):
        if not 0 < value < np.inf:
            raise ValueError(f"{name} = {value}: number of standard deviations must be positive and finite")
    root = np.sqrt(count)
    return a**2 / 8 + 9 * b**2 / 13 + a * root + b / 2 * np.sqrt(b**2 + 4 * a * root + 4 * count)
