"""Where is the largest excess? p-values of windows along one variable, with binnings shifted by half a bin.

An excess that straddles two bins is diluted in both: with ``shifted`` every window is looked at again half a width further
up. Neighbours then overlap; the number of independent places is that of the unshifted windows, up to a factor between one and
two that only toys give. The p-values are local.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.limits import checks
from belle2dark.limits.discovery import p_value
from belle2dark.limits.public import significance

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PScan:
    """Local p-values of m windows, ordered by their lower edge.

    ``low`` and ``high`` are the edges, ``n`` and ``background`` the observed and expected events, ``z`` the significances,
    ``shifted`` says which windows belong to the binning shifted by half a bin, ``best`` is the index of the smallest p-value.
    """

    low: Array
    high: Array
    n: NDArray[np.int64]
    background: Array
    p: Array
    z: Array
    shifted: NDArray[np.bool_]
    best: int


def windows_of(*, edges: ArrayLike | None = None, centres: ArrayLike | None = None, widths: ArrayLike | None = None,
               shifted: bool = True) -> tuple[Array, Array, NDArray[np.bool_]]:  # fmt: skip
    """Lower and upper edges (m,) and whether shifted, from bin ``edges`` or from ``centres`` and full ``widths``.

    Raises ``ValueError`` unless exactly one of the two descriptions is given, and for edges that do not rise.
    """
    if (edges is None) == (centres is None or widths is None):
        raise ValueError("edges: give either edges, or centres and widths")
    if edges is not None:
        grid = np.asarray(edges, dtype=float)
        if grid.ndim != 1 or len(grid) < 2 or not (np.isfinite(grid).all() and (np.diff(grid) > 0).all()):
            raise ValueError("edges: must be at least two finite rising numbers")
        low, high = grid[:-1], grid[1:]
        middles = 0.5 * (low + high)
        extra = middles[:-1], middles[1:]
    else:
        centre, width = np.broadcast_arrays(np.asarray(centres, dtype=float), np.asarray(widths, dtype=float))
        if centre.ndim != 1 or not np.isfinite(centre).all():
            raise ValueError("centres: must be a list of finite numbers")
        if not (np.isfinite(width) & (width > 0)).all():
            raise ValueError("widths: must be positive and finite")
        low, high = centre - 0.5 * width, centre + 0.5 * width
        extra = low + 0.5 * width, high + 0.5 * width
    moved = np.repeat([False, True], [len(low), len(extra[0]) if shifted else 0])
    if shifted:
        low, high = np.concatenate([low, extra[0]]), np.concatenate([high, extra[1]])
    order = np.lexsort((high, low))
    return low[order], high[order], moved[order]


def p_value_scan(events: ArrayLike, background: Callable[[Array, Array], ArrayLike], *, edges: ArrayLike | None = None,
                 centres: ArrayLike | None = None, widths: ArrayLike | None = None, shifted: bool = True,
                 background_uncertainty: float | Callable[[Array, Array], ArrayLike] = 0.0) -> PScan:  # fmt: skip
    """Local p-values of the ``events`` (n,) in windows given by ``edges``, or by ``centres`` and full ``widths``.

    ``background`` gives the expected events for arrays of lower and upper edges, ``background_uncertainty`` its relative
    error (a number, or a function of the edges). A window includes its lower edge. Raises ``ValueError`` naming the argument.
    """
    low, high, moved = windows_of(edges=edges, centres=centres, widths=widths, shifted=shifted)
    x = np.sort(np.asarray(events, dtype=float))
    if x.ndim != 1 or not np.isfinite(x).all():
        raise ValueError("events: must be a list of finite numbers")
    n = np.searchsorted(x, high, side="left") - np.searchsorted(x, low, side="left")
    expected = checks.between("background", background(low, high), 0.0, checks.LARGEST, "expected events")
    if expected.shape != low.shape:
        raise ValueError(f"background: returned shape {expected.shape} for {len(low)} windows")
    error = background_uncertainty(low, high) if callable(background_uncertainty) else background_uncertainty
    p = np.asarray(p_value(n, expected, background_uncertainty=error))
    return PScan(low=low, high=high, n=n, background=expected, p=p, z=np.asarray(significance(p)), shifted=moved,
                 best=int(np.argmin(p)))  # fmt: skip
