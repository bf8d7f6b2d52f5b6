"""Counting in tilted ellipses: identical to brute force, whatever the grid, weights and shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belle2dark.limits.windows import CellIndex, Ellipses, contains, count


def make(seed: int, n: int, m: int, top: float = 110.0, size: float = 1.0) -> tuple[np.ndarray, np.ndarray, Ellipses, np.ndarray]:
    """Events over the plane of dimuon mass and squared recoil mass, and tilted ellipses in it and beyond its edges."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 10.5, n), rng.uniform(0, top, n)
    sx, sy, rho = size * rng.uniform(0.01, 0.05, m), size * rng.uniform(0.05, 0.3, m), rng.uniform(-0.99, 0.99, m)
    covariance = np.stack([np.stack([sx**2, rho * sx * sy], 1), np.stack([rho * sx * sy, sy**2], 1)], 1)
    centres = np.stack([rng.uniform(-0.5, 11, m), rng.uniform(-2, top + 2, m)], 1)
    return x, y, Ellipses.from_covariance(centres, covariance), covariance


def brute(x: np.ndarray, y: np.ndarray, ellipses: Ellipses, covariance: np.ndarray) -> np.ndarray:
    return np.array([contains(x, y, c, v) for c, v in zip(ellipses.centres, covariance, strict=True)])


@pytest.mark.parametrize(("top", "size"), [(110.0, 1.0), (10.0, 1.0), (10.0, 30.0), (110.0, 0.01)])
def test_counts_are_those_of_brute_force(top: float, size: float) -> None:
    x, y, ellipses, covariance = make(1, 40_000, 300, top, size)
    inside = brute(x, y, ellipses, covariance)
    counts, squares = count(x, y, ellipses)
    assert counts.dtype == np.int64
    assert counts.tolist() == inside.sum(1).tolist() == squares.tolist()
    weights = np.random.default_rng(2).normal(1.0, 2.0, len(x))
    one, two = count(x, y, ellipses, weights)
    assert one == pytest.approx(inside @ weights, abs=1e-9)  # rounding of a few thousand terms of order one
    assert two == pytest.approx(inside @ weights**2, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 400), columns=st.integers(1, 60), rows=st.integers(1, 60),
       size=st.floats(0.1, 200))  # fmt: skip
def test_any_grid_gives_the_same_counts(seed: int, n: int, columns: int, rows: int, size: float) -> None:
    x, y, ellipses, covariance = make(seed, n, 20, 10.0, size)
    counts, _ = CellIndex(x, y, n_columns=columns, n_rows=rows).count(ellipses)
    assert counts.tolist() == brute(x, y, ellipses, covariance).sum(1).tolist()


def test_points_exactly_on_cell_edges() -> None:
    x, y = (g.ravel().astype(float) for g in np.meshgrid(np.arange(33), np.arange(33)))
    ellipses = Ellipses.from_covariance([[16.0, 16.0]], [[[25.0, 0.0], [0.0, 25.0]]], 2.0)
    counts, _ = CellIndex(x, y, n_columns=32, n_rows=32).count(ellipses)
    assert counts[0] == ((x - 16) ** 2 + (y - 16) ** 2 <= 100).sum()  # whole numbers: exact arithmetic


def test_fraction_inside_two_sigma() -> None:
    rng = np.random.default_rng(5)
    covariance = np.array([[0.04**2, 0.7 * 0.04 * 0.2], [0.7 * 0.04 * 0.2, 0.2**2]])
    x, y = rng.multivariate_normal([5.0, 3.0], covariance, 50_000).T
    counts, _ = count(x, y, Ellipses.from_covariance([[5.0, 3.0]], covariance[None], 2.0))
    expected = 1 - math.exp(-2.0)  # two dimensions
    assert counts[0] / 50_000 == pytest.approx(expected, abs=5 * math.sqrt(expected * (1 - expected) / 50_000))


def test_index_counts_again_with_other_weights() -> None:
    x, y, ellipses, covariance = make(3, 5000, 50, 10.0, 5.0)
    index = CellIndex(x, y)
    assert len(index) == 5000
    half = (np.arange(5000) % 2).astype(float)
    one, two = index.count(ellipses, half)
    assert one.tolist() == two.tolist() == brute(x[half > 0], y[half > 0], ellipses, covariance).sum(1).tolist()
    assert (index.count(ellipses, 3 * half)[1] == 9 * two).all()


def test_no_events_and_no_ellipses() -> None:
    _, _, ellipses, _ = make(4, 0, 7)
    assert count([], [], ellipses)[0].tolist() == [0] * 7
    none = Ellipses(centres=np.zeros((0, 2)), metric=np.zeros((0, 3)))
    assert len(none) == 0
    assert count([1.0], [1.0], none)[0].shape == (0,)


def test_all_events_at_one_point() -> None:
    ellipses = Ellipses.from_covariance([[1.0, 2.0], [9.0, 2.0]], [np.eye(2)] * 2)
    assert count(np.full(10, 1.5), np.full(10, 2.5), ellipses)[0].tolist() == [10, 0]


@pytest.mark.parametrize(("x", "y", "weights", "name"), [
    ([1.0, math.nan], [1.0, 2.0], None, "x and y"), ([1.0], [math.inf], None, "x and y"),
    ([1.0, 2.0], [1.0], None, "x has shape"), ([1.0], [1.0], [1.0, 2.0], "weights"),
    ([1.0], [1.0], [math.nan], "weights")])  # fmt: skip
def test_bad_events_are_rejected(x, y, weights, name: str) -> None:
    ellipses = Ellipses.from_covariance([[1.0, 1.0]], [np.eye(2)])
    with pytest.raises(ValueError, match=name):
        count(x, y, ellipses, weights)


@pytest.mark.parametrize(("centres", "covariances", "n_sigma", "name"), [
    ([[0.0, 0.0]], [np.ones((2, 2))], 2.0, r"covariances\[0\]"), ([[0.0, 0.0]], [np.eye(3)], 2.0, "covariances"),
    ([[0.0, 0.0]], [np.eye(2)], 0.0, "n_sigma"), ([[0.0, math.nan]], [np.eye(2)], 2.0, "finite"),
    ([[0.0, 0.0, 0.0]], [np.eye(2)], 2.0, "centres"), ([[0.0, 0.0]], [[[1.0, 0.5], [0.0, 1.0]]], 2.0, "symmetric")])  # fmt: skip
def test_bad_ellipses_are_rejected(centres, covariances, n_sigma: float, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Ellipses.from_covariance(centres, covariances, n_sigma)
