"""Limits from histograms: against counting where they must agree, and what more information brings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from belle2dark.fitting import Histograms, _smooth, count_limit, fit_limit, quantile_count
from belle2dark.limits.counting import Uncertainties
from belle2dark.limits.public import expected
from belle2dark.point import point
from belle2dark.search import load_search

SEARCH = load_search("zprime_invisible")
EXACT = Uncertainties()


def flat(signal, background, error=0.0) -> Histograms:
    signal, background = np.atleast_2d(np.asarray(signal, float)), np.atleast_2d(np.asarray(background, float))
    edges = np.linspace(0, 1, signal.shape[0] + 1), np.linspace(0, 1, signal.shape[1] + 1)
    return Histograms(x_edges=edges[0], y_edges=edges[1], signal=signal, background={"b": background},
                      error=np.full(signal.shape, error))  # fmt: skip


def test_one_bin_with_much_background_is_counting():
    """Asymptotic CLs of one bin of 400 events: that of the count, to the size of Poisson corrections."""
    fit, _ = fit_limit(flat(0.5, 400.0), 1.0, cl=0.90, method="cls", uncertainties=EXACT)
    count = expected(400.0, cl=0.90, method="cls")
    assert fit[2] * 0.5 == pytest.approx(count.median, rel=0.03)
    assert list(fit) == sorted(fit)


def test_a_shape_helps_and_a_useless_bin_does_not():
    """The same signal and background in bins of different purity exclude more than in one; a bin without signal adds nothing."""
    one, _ = fit_limit(flat(0.5, 100.0), 1.0, cl=0.90, method="cls", uncertainties=EXACT)
    pure, _ = fit_limit(flat([[0.4, 0.1]], [[10.0, 90.0]]), 1.0, cl=0.90, method="cls", uncertainties=EXACT)
    alike, _ = fit_limit(flat([[0.25, 0.25]], [[50.0, 50.0]]), 1.0, cl=0.90, method="cls", uncertainties=EXACT)
    assert pure[2] < 0.7 * one[2]
    assert alike[2] == pytest.approx(one[2], rel=1e-3)


def test_few_events_give_the_exact_limit_of_a_count():
    """Without background nothing is seen and 2.30 events are excluded at 90 %, whatever asymptotic formulae say."""
    none, _ = fit_limit(flat(0.5, 1e-6), 1.0, cl=0.90, method="cls", uncertainties=EXACT)
    assert none[2] * 0.5 == pytest.approx(np.log(10.0), rel=1e-3)
    for background in (0.3, 3.0, 30.0):
        fit, _ = fit_limit(flat(0.5, background), 1.0, cl=0.90, method="cls", uncertainties=EXACT)
        count = expected(background, cl=0.90, method="cls")
        # the median of whole numbers is up to half an event off that of spread ones
        assert fit[2] * 0.5 == pytest.approx(count.median, rel=0.06), background


def test_more_luminosity_never_hurts():
    found = flat([[0.3, 0.2]], [[0.04, 0.06]])
    grid = np.geomspace(1.0, 1000.0, 40)
    limits = [fit_limit(found, x, cl=0.90, method="cls", uncertainties=EXACT)[0][2] for x in grid]
    assert (np.diff(limits) < 0).all()


def test_count_limits_of_whole_numbers_are_the_published_ones():
    """CLs over b = 0 at 90 %: 2.30, 3.89, 5.32 for 0, 1, 2 events (flat prior; PDG statistics, table of upper limits)."""
    for n, upper in ((0, 2.303), (1, 3.890), (2, 5.322)):
        assert count_limit(n, 0.0, 0.90) == pytest.approx(upper, abs=1e-3)
    assert quantile_count(100.0, 1.0) == pytest.approx(110.0, abs=0.4)
    assert quantile_count(100.0, 0.0) == pytest.approx(100.0, abs=0.4)
    assert quantile_count(0.1, 0.0) == 0.0


def test_few_events_refuse_no_signal():
    with pytest.raises(ValueError, match="no signal"):
        fit_limit(flat(0.0, 1.0), 1.0, cl=0.90, method="cls", uncertainties=EXACT)


def test_limits_scale_with_luminosity_and_suffer_from_uncertainties():
    found = flat([[0.3, 0.2]], [[40.0, 60.0]])
    base, _ = fit_limit(found, 10.0, cl=0.90, method="cls", uncertainties=EXACT)
    more, _ = fit_limit(found, 1000.0, cl=0.90, method="cls", uncertainties=EXACT)
    assert base[2] / more[2] == pytest.approx(10.0, rel=0.03)
    for worse in (Uncertainties(signal=0.2), Uncertainties(background=0.2), Uncertainties(correlated=0.2)):
        assert fit_limit(found, 10.0, cl=0.90, method="cls", uncertainties=worse)[0][2] > base[2]
    assert fit_limit(replace(found, error=np.full((1, 2), 0.3)), 10.0, cl=0.90, method="cls", uncertainties=EXACT)[0][2] > base[2]


def test_observed_events_move_the_limit():
    found = flat(np.full((4, 1), 0.1), np.full((4, 1), 5.0))
    x = np.repeat([0.125, 0.375, 0.625, 0.875], 5)
    expected_limits, as_expected = fit_limit(found, 1.0, cl=0.90, method="cls", uncertainties=EXACT, observed=(x, x * 0 + 0.5))
    assert as_expected == pytest.approx(expected_limits[2], rel=0.02)
    _, excess = fit_limit(
        found, 1.0, cl=0.90, method="cls", uncertainties=EXACT, observed=(np.repeat(x, 2), np.repeat(x, 2) * 0 + 0.5)
    )
    assert excess is not None and as_expected is not None and excess > 1.5 * as_expected


def test_spreading_keeps_the_sum_and_fills_gaps():
    rng = np.random.default_rng(1)
    x, y, w = rng.uniform(-10, 10, 4000), rng.uniform(0, 1, 4000), rng.exponential(size=4000)
    edges, y_edges = np.linspace(-3, 3, 13), np.array([0.0, 0.5, 1.0])
    content, variance = _smooth(x, y, w, edges, y_edges, 0.5)
    inside = (x > -3) & (x < 3)
    # flat events: what leaves at the ends comes in again
    assert content.sum() == pytest.approx(w[inside].sum(), rel=0.05) and (variance > 0).all()
    few, _ = _smooth(x[:40], y[:40], w[:40], edges, y_edges, 0.5)
    assert (few > 0).all(), "a handful of events must not leave empty regions"


def test_histograms_of_a_point_hold_its_signal_and_background():
    """Inside the window's two widths the histogram has the efficiency and the background that counting finds there."""
    answer = point(SEARCH, {"m_zprime": 3.0}, n_events=20_000)
    found = answer.shapes
    assert found is not None
    middle = 0.5 * (found.x_edges[1:] + found.x_edges[:-1])
    inside = np.abs(middle - 9.0) < 2 * answer.resolution["recoil_mass_squared"][1]
    assert found.signal[inside].sum() == pytest.approx(answer.efficiency, rel=0.02)
    assert found.efficiency > answer.efficiency
    total = sum(shape[inside].sum() for shape in found.background.values())
    assert total == pytest.approx(answer.background_events / answer.luminosity, rel=0.35)
    assert answer.limit is not None and answer.counting is not None
    counted = answer.counting.expected[2] / (answer.luminosity * answer.efficiency)
    assert 0.3 * counted < answer.limit[2] < 1.1 * counted


def test_other_methods_count_where_backgrounds_are_predicted():
    assert point(SEARCH, {"m_zprime": 3.0}, method="bayesian", n_events=8000).shapes is None
