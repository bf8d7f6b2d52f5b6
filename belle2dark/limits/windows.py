"""Count weighted events in thousands of overlapping tilted ellipses, without testing every event against every ellipse.

Events are sorted into the cells of a grid once (:class:`CellIndex`). An ellipse covers a run of cells in each grid column:
the cells wholly inside are added unseen, only the cells on its edge are tested event by event. The counts are
those of the brute-force test, to the event; sums of weights agree to rounding.

Use :func:`count` for one set of events, ``CellIndex(x, y)`` and its ``count`` when the same events are counted again with
other weights or other ellipses, :func:`contains` for one ellipse.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark._jit import jit

Array = NDArray[np.float64]
Sums = Array | NDArray[np.int64]  # whole numbers if events are not weighted

_PER_CELL = 8.0  # events per cell aimed at
_MARGIN = 1e-6  # of a cell: rounding may put an event next to its cell's edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Ellipses:
    """m tilted ellipses: a point d away from the centre is inside if d^T ``metric`` d <= 1.

    ``centres`` (m, 2) in the units of x and y, ``metric`` (m, 3) the elements xx, xy, yy of the inverse covariance divided
    by n_sigma^2. Raises ``ValueError`` for shapes that do not match and metrics that are not positive definite.
    """

    centres: Array
    metric: Array

    def __post_init__(self) -> None:
        if self.centres.ndim != 2 or self.centres.shape[1] != 2:
            raise ValueError(f"centres has shape {self.centres.shape}, expected (m, 2)")
        if self.metric.shape != (len(self.centres), 3):
            raise ValueError(f"metric has shape {self.metric.shape}, expected ({len(self.centres)}, 3)")
        if not (np.isfinite(self.centres).all() and np.isfinite(self.metric).all()):
            raise ValueError("centres and metric must be finite numbers")
        xx, xy, yy = self.metric.T
        bad = ~((xx > 0) & (xx * yy > xy * xy))
        if bad.any():
            raise ValueError(f"metric[{int(np.argmax(bad))}] is not positive definite")

    def __len__(self) -> int:
        return len(self.centres)

    @classmethod
    def from_covariance(cls, centres: ArrayLike, covariances: ArrayLike, n_sigma: float = 2.0) -> Ellipses:
        """Ellipses of ``n_sigma`` standard deviations around ``centres`` (m, 2), from ``covariances`` (m, 2, 2).

        Raises ``ValueError`` for shapes that do not match and covariances that are not symmetric and positive definite.
        """
        where = np.ascontiguousarray(centres, dtype=float)
        cov = np.asarray(covariances, dtype=float)
        if cov.shape != (len(where), 2, 2):
            raise ValueError(f"covariances has shape {cov.shape}, expected ({len(where)}, 2, 2)")
        if not n_sigma > 0:
            raise ValueError(f"n_sigma = {n_sigma}: must be positive")
        if not np.allclose(cov[:, 0, 1], cov[:, 1, 0]):
            raise ValueError("covariances must be symmetric")
        determinant = cov[:, 0, 0] * cov[:, 1, 1] - cov[:, 0, 1] ** 2
        bad = ~((cov[:, 0, 0] > 0) & (determinant > 0))
        if bad.any():
            raise ValueError(f"covariances[{int(np.argmax(bad))}] is not positive definite")
        scale = 1.0 / (determinant * n_sigma**2)
        metric = np.stack([cov[:, 1, 1] * scale, -cov[:, 0, 1] * scale, cov[:, 0, 0] * scale], axis=1)
        return cls(centres=where, metric=np.ascontiguousarray(metric))


def contains(x: ArrayLike, y: ArrayLike, centre: ArrayLike, covariance: ArrayLike, n_sigma: float = 2.0) -> NDArray[np.bool_]:
    """Whether the points (x, y) (n,) lie inside one ellipse of ``n_sigma`` standard deviations: bool array (n,)."""
    one = Ellipses.from_covariance(np.reshape(centre, (1, 2)), np.reshape(covariance, (1, 2, 2)), n_sigma)
    dx, dy = np.asarray(x, dtype=float) - one.centres[0, 0], np.asarray(y, dtype=float) - one.centres[0, 1]
    xx, xy, yy = one.metric[0]
    return xx * dx * dx + 2.0 * xy * dx * dy + yy * dy * dy <= 1.0


@jit()
def _ranges(x, y):
    """Lowest and highest x and y, and whether all are finite."""
    x_low, x_high, y_low, y_high, total = np.inf, -np.inf, np.inf, -np.inf, 0.0
    for i in range(len(x)):
        x_low, x_high = min(x_low, x[i]), max(x_high, x[i])
        y_low, y_high = min(y_low, y[i]), max(y_high, y[i])
        total += 0.0 * x[i] + 0.0 * y[i]  # NaN as soon as one of them is NaN or inf
    if len(x) == 0:
        return 0.0, 1.0, 0.0, 1.0, True
    return x_low, x_high, y_low, y_high, total == 0.0


@jit()
def _sort(x, y, x_low, x_scale, y_low, y_scale, n_columns, n_rows):
    """Counting sort by cell, column after column: order (n,), first event of each cell, events (n, 2) in that order."""
    n = len(x)
    cell = np.empty(n, np.int32)
    start = np.zeros(n_columns * n_rows + 1, np.int64)
    for i in range(n):
        column = min(int((x[i] - x_low) * x_scale), n_columns - 1)
        row = min(int((y[i] - y_low) * y_scale), n_rows - 1)
        cell[i] = column * n_rows + row
        start[cell[i] + 1] += 1
    for c in range(n_columns * n_rows):
        start[c + 1] += start[c]
    order, points, place = np.empty(n, np.int32), np.empty((n, 2)), start[:-1].copy()
    for i in range(n):
        k = place[cell[i]]
        place[cell[i]] = k + 1
        order[k] = i
        points[k, 0], points[k, 1] = x[i], y[i]
    return order, start, points


@jit()
def _chord(x, centre, metric):
    """Lowest and highest y of the ellipse at x (the touching point if x is just outside)."""
    dx = x - centre[0]
    middle = centre[1] - metric[1] * dx / metric[2]
    inside = max(metric[1] * metric[1] * dx * dx - metric[2] * (metric[0] * dx * dx - 1.0), 0.0)
    half = math.sqrt(inside) / metric[2]
    return middle - half, middle + half


@jit()
def _cell_rows(edge_low, edge_high, y_low, y_scale, n_rows):
    """Rows that an interval of y touches, first and one past the last."""
    first = max(math.floor((edge_low - y_low) * y_scale - _MARGIN), 0.0)
    last = min(math.floor((edge_high - y_low) * y_scale + _MARGIN) + 1.0, float(n_rows))
    return int(min(first, float(n_rows))), int(max(last, 0.0))


@jit()
def _column_rows(column, centre, metric, extent, x_low, x_scale, y_low, y_scale, n_rows):
    """Rows of one column: (touched from, inside from, inside to, touched to)."""
    left = x_low + (column - _MARGIN) / x_scale
    right = x_low + (column + 1 + _MARGIN) / x_scale
    left_low, left_high = _chord(max(left, centre[0] - extent[0]), centre, metric)
    right_low, right_high = _chord(min(right, centre[0] + extent[0]), centre, metric)
    low, high = min(left_low, right_low), max(left_high, right_high)
    shift = metric[1] / metric[0] * extent[1]  # the highest point lies this far left of the centre
    if left <= centre[0] - shift <= right:
        high = centre[1] + extent[1]
    if left <= centre[0] + shift <= right:
        low = centre[1] - extent[1]
    first, last = _cell_rows(low, high, y_low, y_scale, n_rows)
    if left < centre[0] - extent[0] or right > centre[0] + extent[0]:
        return first, first, first, last
    inner_first = math.ceil((max(left_low, right_low) - y_low) * y_scale + _MARGIN)
    inner_last = math.floor((min(left_high, right_high) - y_low) * y_scale - _MARGIN)
    inner_first, inner_last = max(inner_first, float(first)), min(inner_last, float(last))
    if inner_first >= inner_last:
        return first, first, first, last
    return first, int(inner_first), int(inner_last), last


@jit()
def _extent(metric):
    """Half width in x and half height in y."""
    determinant = metric[0] * metric[2] - metric[1] * metric[1]
    return math.sqrt(metric[2] / determinant), math.sqrt(metric[0] / determinant)


@jit()
def _columns(centre, extent, x_low, x_scale, n_columns):
    """Columns that an ellipse touches, first and one past the last."""
    return _cell_rows(centre[0] - extent[0], centre[0] + extent[0], x_low, x_scale, n_columns)


@jit()
def _inside(x, y, centre, metric):
    dx, dy = x - centre[0], y - centre[1]
    return metric[0] * dx * dx + 2.0 * metric[1] * dx * dy + metric[2] * dy * dy <= 1.0


@jit(parallel=True)
def _count(points, start, centres, metric, x_low, x_scale, y_low, y_scale, n_columns, n_rows):
    """Number of events in each ellipse."""
    out = np.zeros(len(centres), np.int64)
    for m in numba.prange(len(centres)):
        c, a, total = centres[m], metric[m], 0
        extent = _extent(a)
        first_column, last_column = _columns(c, extent, x_low, x_scale, n_columns)
        for column in range(first_column, last_column):
            rows = _column_rows(column, c, a, extent, x_low, x_scale, y_low, y_scale, n_rows)
            base = column * n_rows
            total += start[base + rows[2]] - start[base + rows[1]]
            for i in range(start[base + rows[0]], start[base + rows[1]]):
                total += _inside(points[i, 0], points[i, 1], c, a)
            for i in range(start[base + rows[2]], start[base + rows[3]]):
                total += _inside(points[i, 0], points[i, 1], c, a)
        out[m] = total
    return out


@jit()
def _running(weights, start):
    """Sums of weights and of squared weights per cell (weights in sorted order): two arrays (cells,)."""
    cells = len(start) - 1
    one, two = np.zeros(cells), np.zeros(cells)
    for c in range(cells):
        for i in range(start[c], start[c + 1]):
            one[c] += weights[i]
            two[c] += weights[i] * weights[i]
    return one, two


@jit(parallel=True)
def _sum(points, start, centres, metric, x_low, x_scale, y_low, y_scale, n_columns, n_rows, weights, cell_one, cell_two):
    """Sum of weights and of squared weights in each ellipse.

    Whole cells are added one by one: a difference of running totals would lose small weights next to large ones.
    """
    one, two = np.zeros(len(centres)), np.zeros(len(centres))
    for m in numba.prange(len(centres)):
        c, a, s1, s2 = centres[m], metric[m], 0.0, 0.0
        extent = _extent(a)
        first_column, last_column = _columns(c, extent, x_low, x_scale, n_columns)
        for column in range(first_column, last_column):
            rows = _column_rows(column, c, a, extent, x_low, x_scale, y_low, y_scale, n_rows)
            base = column * n_rows
            for cell in range(base + rows[1], base + rows[2]):
                s1 += cell_one[cell]
                s2 += cell_two[cell]
            for part in range(2):
                low, high = (rows[0], rows[1]) if part == 0 else (rows[2], rows[3])
                for i in range(start[base + low], start[base + high]):
                    if _inside(points[i, 0], points[i, 1], c, a):
                        s1 += weights[i]
                        s2 += weights[i] * weights[i]
        one[m], two[m] = s1, s2
    return one, two


class CellIndex:
    """Events (x, y) (n,) sorted into grid cells, to be counted many times.

    ``n_columns`` and ``n_rows`` fix the grid (default: about eight events per cell, between 16 and 2048 a side).
    Raises ``ValueError`` for lengths that differ and for NaN or infinite coordinates.
    """

    __slots__ = ("_order", "_points", "_start", "box", "shape")

    def __init__(self, x: ArrayLike, y: ArrayLike, *, n_columns: int | None = None, n_rows: int | None = None) -> None:
        px, py = np.ascontiguousarray(x, dtype=float), np.ascontiguousarray(y, dtype=float)
        if px.ndim != 1 or px.shape != py.shape:
            raise ValueError(f"x has shape {px.shape} and y {py.shape}: both must be (n,)")
        x_low, x_high, y_low, y_high, finite = _ranges(px, py)
        if not finite:
            raise ValueError("x and y must be finite numbers: found NaN or inf")
        side = int(np.clip(np.sqrt(len(px) / _PER_CELL), 16, 2048))
        self.shape = (n_columns or side, n_rows or side)
        self.box = (x_low, self.shape[0] / max(x_high - x_low, 1e-300), y_low, self.shape[1] / max(y_high - y_low, 1e-300))
        self._order, self._start, self._points = _sort(px, py, *self.box, *self.shape)

    def __len__(self) -> int:
        return len(self._points)

    def count(self, ellipses: Ellipses, weights: ArrayLike | None = None) -> tuple[Sums, Sums]:
        """Sum of weights and of squared weights inside each ellipse: two arrays (m,), whole numbers without ``weights``.

        ``weights`` (n,) are in the order of the events given; zero leaves an event out. Raises ``ValueError`` for a
        length that differs and for NaN or infinite weights.
        """
        arguments = (self._points, self._start, ellipses.centres, ellipses.metric, *self.box, *self.shape)
        if weights is None:
            counts = _count(*arguments)
            return counts, counts
        w = np.asarray(weights, dtype=float)
        if w.shape != (len(self),):
            raise ValueError(f"weights has shape {w.shape}, expected ({len(self)},)")
        if not np.isfinite(w).all():
            raise ValueError("weights must be finite numbers: found NaN or inf")
        w = w[self._order]
        return _sum(*arguments, w, *_running(w, self._start))


def count(x: ArrayLike, y: ArrayLike, ellipses: Ellipses, weights: ArrayLike | None = None) -> tuple[Sums, Sums]:
    """Sum of weights and of squared weights of the events (x, y) (n,) inside each of m ellipses: two arrays (m,).

    Whole numbers if ``weights`` is None. Raises ``ValueError`` as :class:`CellIndex`.
    """
    return CellIndex(x, y).count(ellipses, weights)
