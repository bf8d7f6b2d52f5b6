"""Signal windows: where events of a mass hypothesis are counted, in the plane of two columns.

:class:`EllipseWindow` for a signal that peaks in both, :class:`IntervalWindow` for one that peaks in the first; the second
is then only looked at (and fitted, where a dataset is fitted). Both answer the same questions, for one hypothesis or for
thousands: sizes and tilts are covariances (m, 2, 2) of the signal without radiation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.limits.windows import CellIndex, Ellipses, contains
from belle2dark.parameters import Values

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
#: points that measure the share of a window that is kinematically possible
_POINTS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class EllipseWindow:
    """An ellipse of ``n_sigma`` widths in the columns ``x`` and ``y``.

    ``centre(values)`` is where the signal peaks; ``physical(x, y, dataset)`` says where in the plane events can be at all.
    """

    x: str
    y: str
    n_sigma: float
    centre: Callable[[Values], tuple[float, float]]
    physical: Callable[[Array, Array, Any], Array]

    def contains(self, x: Array, y: Array, centre: tuple[float, float], covariance: Array) -> Mask:
        """Whether events (x, y) (n,) lie in the window."""
        return contains(x, y, centre, covariance, self.n_sigma)

    def half_widths(self, covariance: Array) -> Array:
        """Half the sides (2,) of a box as wide as the window's ``n_sigma`` widths."""
        return np.asarray(self.n_sigma * np.sqrt(np.diag(covariance)))

    def shown(self, centre: tuple[float, float], covariance: Array, widths: float) -> tuple[Array, Array]:
        """Low and high corner (2,) of the region that plots show, ``widths`` resolutions to either side."""
        half = widths * np.sqrt(np.diag(covariance))
        return np.array(centre) - half, np.array(centre) + half

    def outline(self, centre: tuple[float, float], covariance: Array) -> tuple[Array, Array]:
        """Points (97,) on the window's edge."""
        angle = np.linspace(0, 2 * np.pi, 97)
        root = np.linalg.cholesky(covariance) * self.n_sigma
        x, y = np.array(centre)[:, None] + root @ np.stack([np.cos(angle), np.sin(angle)])
        return x, y

    def sort(self, x: Array, y: Array) -> CellIndex:
        """Events (n,) prepared for :meth:`count`."""
        return CellIndex(x, y)

    def count(self, index: CellIndex, weights: Array | None, centres: Array, covariances: Array,
              widen: float = 1.0) -> tuple[Array, Array]:  # fmt: skip
        """Sums of weights and of squared weights in m windows, ``widen`` times as large, (m,) each."""
        one, two = index.count(Ellipses.from_covariance(centres, covariances, self.n_sigma * widen), weights)
        return np.asarray(one, dtype=float), np.asarray(two, dtype=float)

    def area(self, centres: Array, covariances: Array, dataset: Any, widen: float = 1.0) -> Array:
        """Area of windows ``widen`` times as large inside the physical region, in units of the window's whole area, (m,)."""
        k = np.arange(1, _POINTS + 1)
        radius, angle = np.sqrt((k - 0.5) / _POINTS), k * np.pi * (3.0 - np.sqrt(5.0))  # a sunflower fills the disc evenly
        disc = np.stack([radius * np.cos(angle), radius * np.sin(angle)])
        places = centres[:, :, None] + self.n_sigma * widen * (np.linalg.cholesky(covariances) @ disc)
        return _share(self.physical(places[:, 0], places[:, 1], dataset)) * widen**2

    def open(self, centres: Array, covariances: Array, dataset: Any, margin: float) -> Mask:
        """Whether centres (m, 2), moved up by ``margin`` widths in either variable, are still where events can be, (m,)."""
        steps = margin * np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
        x, y = centres.T
        return np.logical_and(self.physical(x + steps[:, 0], y, dataset), self.physical(x, y + steps[:, 1], dataset))


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalWindow:
    """``n_sigma`` widths to either side in the column ``x``; ``y`` is a second column to look at, shown over ``y_range``.

    ``centre(values)`` is where the signal peaks in both (the second counts for nothing); ``physical(x, y, dataset)`` says
    where events can be at all.
    """

    x: str
    y: str
    n_sigma: float
    y_range: tuple[float, float]
    centre: Callable[[Values], tuple[float, float]]
    physical: Callable[[Array, Array, Any], Array]

    def contains(self, x: Array, y: Array, centre: tuple[float, float], covariance: Array) -> Mask:
        """Whether events (x, y) (n,) lie in the window."""
        return np.asarray(np.abs(np.asarray(x) - centre[0]) <= self.n_sigma * np.sqrt(covariance[0, 0]))

    def half_widths(self, covariance: Array) -> Array:
        """Half the sides (2,) of the window; the second is infinite."""
        return np.array([self.n_sigma * np.sqrt(covariance[0, 0]), np.inf])

    def shown(self, centre: tuple[float, float], covariance: Array, widths: float) -> tuple[Array, Array]:
        """Low and high corner (2,) of the region that plots show, ``widths`` resolutions to either side in x."""
        half = widths * float(np.sqrt(covariance[0, 0]))
        return np.array([centre[0] - half, self.y_range[0]]), np.array([centre[0] + half, self.y_range[1]])

    def outline(self, centre: tuple[float, float], covariance: Array) -> tuple[Array, Array]:
        """Corners (5,) of the window."""
        half, (low, high) = float(self.half_widths(covariance)[0]), self.y_range
        return centre[0] + half * np.array([-1.0, 1.0, 1.0, -1.0, -1.0]), np.array([low, low, high, high, low])

    def sort(self, x: Array, y: Array) -> tuple[Array, NDArray[np.intp]]:
        """Events (n,) prepared for :meth:`count`: in order of x, and that order."""
        order = np.argsort(x, kind="stable")
        return np.asarray(x)[order], order

    def count(self, index: tuple[Array, NDArray[np.intp]], weights: Array | None, centres: Array, covariances: Array,
              widen: float = 1.0) -> tuple[Array, Array]:  # fmt: skip
        """Sums of weights and of squared weights in m windows, ``widen`` times as large, (m,) each."""
        half = self.n_sigma * widen * np.sqrt(covariances[:, 0, 0])
        x, order = index
        first = np.searchsorted(x, centres[:, 0] - half, "left")
        last = np.searchsorted(x, centres[:, 0] + half, "right")
        w = np.ones(len(x)) if weights is None else weights[order]
        # added up window by window: a difference of running totals would lose small weights next to large ones
        one = np.array([w[a:b].sum() for a, b in zip(first, last, strict=True)])
        return one, np.array([(w[a:b] ** 2).sum() for a, b in zip(first, last, strict=True)])

    def area(self, centres: Array, covariances: Array, dataset: Any, widen: float = 1.0) -> Array:
        """Length of windows ``widen`` times as large inside the physical region, in units of the window's length, (m,)."""
        places = centres[:, :1] + widen * self.n_sigma * np.sqrt(covariances[:, 0, :1]) * np.linspace(-1.0, 1.0, _POINTS)
        return _share(self.physical(places, np.broadcast_to(centres[:, 1:], places.shape), dataset)) * widen

    def open(self, centres: Array, covariances: Array, dataset: Any, margin: float) -> Mask:
        """Whether centres (m, 2), moved up by ``margin`` widths, are still where events can be, (m,)."""
        x, y = centres.T
        return np.asarray(self.physical(x + margin * np.sqrt(covariances[:, 0, 0]), y, dataset), dtype=bool)


def _share(inside: NDArray[Any]) -> Array:
    """Share (m,) of points (m, k) inside, never 0."""
    return np.asarray(np.maximum(inside.mean(axis=1), 0.5 / inside.shape[1]))
