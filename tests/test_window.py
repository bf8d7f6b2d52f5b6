"""Windows of one and two variables: what they contain, count and how much of them is possible."""

from __future__ import annotations

import numpy as np
import pytest

from belle2dark.limits.windows import Ellipses
from belle2dark.window import EllipseWindow, IntervalWindow

RNG = np.random.default_rng(4)
COVARIANCE = np.array([[0.04, 0.012], [0.012, 0.09]])


def everywhere(x, y, dataset):
    return np.ones(np.broadcast(x, y).shape, dtype=bool)


def below(x, y, dataset):
    return np.asarray(x < dataset)


ELLIPSE = EllipseWindow(x="a", y="b", n_sigma=2.0, centre=lambda values: (1.0, 2.0), physical=everywhere)
INTERVAL = IntervalWindow(x="a", y="b", n_sigma=2.0, y_range=(-1.0, 1.0), centre=lambda values: (1.0, 0.0), physical=everywhere)


def test_two_widths_hold_what_a_gaussian_says():
    """An interval of two widths holds 95.45 %, an ellipse 1 - exp(-2) = 86.47 % of a Gaussian peak."""
    x, y = RNG.multivariate_normal((1.0, 2.0), COVARIANCE, 100_000).T
    error = 4 * np.sqrt(0.25 / len(x))
    assert INTERVAL.contains(x, y, (1.0, 0.0), COVARIANCE).mean() == pytest.approx(0.9545, abs=error)
    assert ELLIPSE.contains(x, y, (1.0, 2.0), COVARIANCE).mean() == pytest.approx(1 - np.exp(-2.0), abs=error)


@pytest.mark.parametrize("window", [ELLIPSE, INTERVAL])
def test_counting_many_is_counting_each(window):
    x, y, w = RNG.normal(size=(3, 5000))
    centres = RNG.normal(size=(40, 2))
    covariances = np.broadcast_to(COVARIANCE, (40, 2, 2))
    one, two = window.count(window.sort(x, y), w, centres, covariances, 1.5)
    wider = 1.5**2 * COVARIANCE
    for k, centre in enumerate(centres):
        inside = window.contains(x, y, tuple(centre), wider)
        assert one[k] == pytest.approx(w[inside].sum(), abs=1e-9)
        assert two[k] == pytest.approx((w[inside] ** 2).sum(), abs=1e-9)
    numbers, same = window.count(window.sort(x, y), None, centres, covariances)
    assert (numbers == same).all() and numbers.sum() > 0


def test_an_interval_does_not_look_at_the_second_variable():
    x = np.array([1.0, 1.39, 1.41])
    for y in (-100.0, 0.0, 100.0):
        assert INTERVAL.contains(x, np.full(3, y), (1.0, 0.0), COVARIANCE).tolist() == [True, True, False]
    assert np.isinf(INTERVAL.half_widths(COVARIANCE)[1])
    low, high = INTERVAL.shown((1.0, 0.0), COVARIANCE, 8.0)
    assert (low[1], high[1]) == (-1.0, 1.0) and high[0] - low[0] == pytest.approx(16 * 0.2)


def test_area_grows_with_the_window_and_stops_at_the_edge():
    centres, covariances = np.array([[1.0, 2.0]]), COVARIANCE[None]
    assert ELLIPSE.area(centres, covariances, None, 3.0) == pytest.approx(9.0)
    assert INTERVAL.area(centres, covariances, None, 3.0) == pytest.approx(3.0)
    half = IntervalWindow(x="a", y="b", n_sigma=2.0, y_range=(-1, 1), centre=INTERVAL.centre, physical=below)
    # the edge in the middle of the window leaves half of it, one far below leaves next to nothing, but never nothing
    assert half.area(centres, covariances, 1.0) == pytest.approx(0.5, abs=0.005)
    assert 0 < half.area(centres, covariances, -5.0)[0] < 0.01


def test_outlines_lie_on_the_edge():
    x, y = ELLIPSE.outline((1.0, 2.0), COVARIANCE)
    d = np.stack([x - 1.0, y - 2.0])
    assert np.einsum("ik,ij,jk->k", d, np.linalg.inv(COVARIANCE), d) == pytest.approx(np.full(len(x), 4.0))
    x, y = INTERVAL.outline((1.0, 0.0), COVARIANCE)
    assert sorted(set(np.round(x, 9))) == pytest.approx([0.6, 1.4]) and set(y) == {-1.0, 1.0}


def test_open_asks_for_room_to_the_edge():
    window = IntervalWindow(x="a", y="b", n_sigma=2.0, y_range=(-1, 1), centre=INTERVAL.centre, physical=below)
    centres, covariances = np.array([[1.0, 0.0], [1.7, 0.0]]), np.stack([COVARIANCE] * 2)
    assert window.open(centres, covariances, 2.0, 2.0).tolist() == [True, False]
    assert window.open(centres, covariances, 2.0, 0.0).tolist() == [True, True]


def test_bad_covariance_is_refused():
    with pytest.raises(ValueError, match="positive definite"):
        ELLIPSE.count(ELLIPSE.sort([0.0], [0.0]), None, np.zeros((1, 2)), -np.eye(2)[None])
    assert len(Ellipses.from_covariance([[0.0, 0.0]], [np.eye(2)])) == 1
