"""Fits of a peak over a floating background: against counting, closed forms and each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from belle2dark.coupling_limits import coupling_limit
from belle2dark.fitting import Histograms, declared
from belle2dark.limits.counting import Uncertainties
from belle2dark.peak_fit import PeakFit
from belle2dark.point import point
from belle2dark.search import Calibration, Coupling, Quantity, load_search

FIT = PeakFit(degree=1, span=8.0, bins=40)
NOTHING = Uncertainties()


def flat(events: float) -> Histograms:
    """A Gaussian peak of width 1 over ``events`` background events per resolution, efficiency 1."""
    from scipy.special import ndtr

    edges = np.linspace(-8.0, 8.0, 41)
    shape, level = np.diff(ndtr(edges))[:, None], np.full((40, 1), 0.4 * events)
    return Histograms(x_edges=edges, y_edges=np.array([-np.inf, np.inf]), signal=shape, background={"flat": level},
                      error=np.zeros((40, 1)))  # fmt: skip


def test_limit_over_much_background_is_that_of_a_gaussian():
    """1.645 sigma at 90 % CLs, sigma^2 = 2 sqrt(pi) b, which a floating level over 16 resolutions makes larger."""
    found, _ = FIT.limit(flat(4000.0), 1.0, cl=0.90, method="cls", uncertainties=NOTHING)
    variance = 2.0 * np.sqrt(np.pi) * 4000.0
    assert found[2] == pytest.approx(1.645 * np.sqrt(variance / (1.0 - 2.0 * np.sqrt(np.pi) / 16.0)), rel=0.02)
    assert list(found) == sorted(found)


def test_limit_without_background_is_that_of_a_count():
    assert FIT.limit(flat(1e-7), 1.0, cl=0.90, method="cls", uncertainties=NOTHING)[0][2] == pytest.approx(2.303, rel=0.05)


def test_uncertainty_of_the_background_rate_does_not_matter_and_that_of_the_signal_does():
    plain = FIT.limit(flat(50.0), 1.0, cl=0.90, method="cls", uncertainties=NOTHING)[0][2]
    floating = FIT.limit(flat(50.0), 1.0, cl=0.90, method="cls", uncertainties=Uncertainties(background=0.5))[0][2]
    known = FIT.limit(flat(50.0), 1.0, cl=0.90, method="cls", uncertainties=Uncertainties(signal=0.3))[0][2]
    assert floating == plain and 1.02 * plain < known < 1.5 * plain


def test_observed_peak_raises_the_observed_limit():
    centres = np.repeat(0.2 + 0.4 * np.arange(-20, 20), 20)
    expected, without = FIT.limit(flat(50.0), 1.0, cl=0.90, method="cls", uncertainties=NOTHING, observed=(centres, centres))
    _, with_peak = FIT.limit(flat(50.0), 1.0, cl=0.90, method="cls", uncertainties=NOTHING,
                             observed=(np.append(centres, np.zeros(40)), np.append(centres, np.zeros(40))))  # fmt: skip
    assert without == pytest.approx(expected[2], rel=0.15)
    assert with_peak is not None and with_peak > expected[4]


def test_no_signal_is_said():
    empty = replace(flat(1.0), signal=np.zeros((40, 1)))
    with pytest.raises(ValueError, match="no signal"):
        FIT.limit(empty, 1.0, cl=0.90, method="cls", uncertainties=NOTHING)


def peaked(**changes):
    """The search for an invisible Z' with a peak fit of the recoil mass."""
    search = load_search("zprime_invisible")
    dataset = replace(search.datasets["belle2_80"], fit=PeakFit(degree=2, span=8.0, bins=40))
    return replace(search, datasets={"belle2_80": dataset}, **changes)


def test_point_fits_the_peak():
    search = peaked()
    answer = point(search, {"m_zprime": 6.0}, n_events=20_000)
    counted = point(load_search("zprime_invisible"), {"m_zprime": 6.0}, n_events=20_000, method="bayesian")
    assert answer.shapes is not None and counted.shapes is None
    assert answer.shapes.efficiency > answer.efficiency
    assert 0.5 < answer.limit[2] / counted.limit[2] < 1.3


@pytest.mark.parametrize("method", ["bayesian", "feldman_cousins"])
def test_a_method_that_needs_a_predicted_background_is_refused(method):
    """A count would take the floating background for known, as well as its simulation has events."""
    with pytest.raises(ValueError, match=rf"method = '{method}': the fit of dataset belle2_80 serves cls"):
        point(peaked(), {"m_zprime": 6.0}, method=method, n_events=2000)


def test_declared_constants_replace_background_and_scale_the_signal():
    constants = Calibration(name="study", efficiency=0.5, background=0.01)
    simulated, calibrated = (point(s, {"m_zprime": 6.0}, n_events=20_000)
                             for s in (peaked(), peaked(calibration=lambda values, dataset: constants)))  # fmt: skip
    assert calibrated.efficiency == pytest.approx(0.5 * simulated.efficiency)
    window = 2.0 * calibrated.search.window.n_sigma
    assert calibrated.background_events == pytest.approx(79.7 * 0.01 * window, rel=1e-6)
    assert [p.name for p in calibrated.processes] == ["study"]
    assert calibrated.cutflow[-1].name == "declared: study"
    assert calibrated.cutflow[-1].fraction == pytest.approx(calibrated.efficiency)
    shapes = declared(simulated.shapes, 0.5, constants, 2.0)
    per_resolution = 2.0 * shapes.background["study"].sum() / (shapes.x_edges[-1] - shapes.x_edges[0])
    assert per_resolution == pytest.approx(0.01)


def test_quoted_quantity_has_its_unit_level_and_scale():
    twice = Quantity(name="ratio", text="B / B0", unit="", cl=0.95, rate=lambda values, dataset: 20.0)
    search = peaked(quantities={"ratio": twice})
    values = search.parse({"m_zprime": 6.0}) | {"quantity": "ratio"}
    assert (search.unit_at(values), search.cl_at(values), search.quoted(values)) == ("", 0.95, "B / B0")
    assert search.per_rate(values, 0.3) == pytest.approx(1 / 20)
    plain = search.parse({"m_zprime": 6.0})
    assert (search.unit_at(plain), search.cl_at(plain), search.per_rate(plain, 0.3)) == ("fb", 0.90, 1.0)


COUPLING = Coupling(name="g", symbol="g", unit="", power=2.0, high=1.0, rate=lambda values, dataset: 1.0)


def test_coupling_limit_with_nothing_lost_is_the_root_of_the_rate():
    found = coupling_limit(COUPLING, 100.0, (0.01, 0.04), 0.09)
    assert found.expected == pytest.approx((0.01, 0.02)) and found.observed == pytest.approx(0.03)
    assert found.excluded == (pytest.approx((0.03, 1.0)),)
    same = coupling_limit(COUPLING, 100.0, (0.01, 0.04), 0.09, np.ones_like)
    assert same.expected == pytest.approx(found.expected, rel=1e-6) and same.excluded[0] == pytest.approx((0.03, 1.0), rel=1e-6)


def test_far_decays_raise_the_coupling_limit():
    """With a share c^2 of decays where they are seen the rate goes with the fourth power."""
    found = coupling_limit(COUPLING, 100.0, (1e-4,), None, lambda g: np.minimum(1.0, (g / 0.1) ** 2))
    assert found.expected[0] == pytest.approx((1e-4 / 100.0 * 0.01) ** 0.25, rel=1e-3)


def test_excluded_couplings_can_end_before_the_largest():
    """Short lifetimes fail a displacement cut: the excluded interval has an upper end."""
    found = coupling_limit(COUPLING, 100.0, (0.01,), None, lambda g: np.exp(-g / 0.05))
    ((low, high),) = found.excluded
    assert 0.01 < low < 0.013 and 0.3 < high < 0.7
    for end in (low, high):
        assert 100.0 * end**2 * np.exp(-end / 0.05) == pytest.approx(0.01, rel=5e-3)


def test_nothing_excluded_is_an_empty_list():
    assert coupling_limit(COUPLING, 1.0, (5.0,), None, lambda g: np.full_like(g, 1e-3)).excluded == ()
