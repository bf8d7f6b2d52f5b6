"""Bins of one mass: side by side, as wide as the window, and what pseudo-data give in them."""

from __future__ import annotations

import numpy as np
import pytest

from belle2dark.mass_bins import bin_limits, bins
from belle2dark.observed import pseudo_data
from belle2dark.point import point
from belle2dark.search import load_search

SEARCH = load_search("zprime_invisible")
PILOT = {"dataset": "belle2_pilot"}


@pytest.fixture(scope="module")
def found():
    return bins(SEARCH, PILOT)


def test_bins_leave_no_gap_and_shifted_ones_cover_their_edges(found):
    assert found.low[1:] == pytest.approx(found.high[:-1])
    assert found.low[0] == 0.0 and (found.efficiency > 0).all()
    shifted = bins(SEARCH, PILOT, shifted=True)
    # half a bin further: the edges of one binning are the middles of the other
    assert shifted.low[:10] == pytest.approx(0.5 * (found.low + found.high)[:10])
    assert shifted.masses[:10] ** 2 == pytest.approx(found.high[:10], rel=0.05)


def test_a_bin_is_the_window_of_a_signal_in_its_middle(found):
    k = len(found) // 2
    answer = point(SEARCH, {**PILOT, "m_zprime": float(found.masses[k])}, n_events=20_000)
    half = 2.0 * answer.resolution["recoil_mass_squared"][1]
    assert 0.5 * (found.high[k] - found.low[k]) == pytest.approx(half, rel=0.06)  # simulated at other masses, interpolated
    assert found.efficiency[k] == pytest.approx(answer.efficiency, rel=0.08)


def test_limits_and_p_values_of_pseudo_data():
    events = pseudo_data(SEARCH, PILOT, seed=7)
    frame = bin_limits(SEARCH, PILOT, observed=events).frame
    assert (frame.n_observed.sum() > 0) and frame.p_value.between(0, 1).all()
    inside = (events[0] >= frame.low.iloc[0]) & (events[0] < frame.high.iloc[-1])
    assert frame.n_observed.sum() == inside.sum()
    assert (frame.limit_minus2 <= frame.limit_median).all() and (frame.limit_median <= frame.limit_plus2).all()
    empty = frame[frame.n_observed == 0]
    assert (empty.p_value == 1).all()
    assert (empty.limit_observed <= empty.limit_median * 1.0001).all()


def test_feldman_cousins_agrees_with_bayes_where_the_expected_count_is_seen():
    """The cross-check of the pilot run: with n near b the two 90 % limits differ by less than a third."""
    events = pseudo_data(SEARCH, PILOT, seed=7)
    bayes, fc = (bin_limits(SEARCH, PILOT, observed=events, method=m).frame for m in ("bayesian", "feldman_cousins"))
    near = np.abs(bayes.n_observed - bayes.background) < 1.0
    assert near.sum() > 3
    ratio = (fc.limit_observed / bayes.limit_observed)[near]
    assert ratio.median() == pytest.approx(1.0, abs=0.33)


def test_two_masses_have_no_bins():
    with pytest.raises(ValueError, match="dark_higgsstrahlung: bins need one mass"):
        bins(load_search("dark_higgsstrahlung"))


def test_a_signal_that_stays_has_no_bins_and_bins_say_what_they_are_limits_on():
    """Nothing missing: the recoil is massless whatever is exchanged. The pilot run quotes efficiency x sigma of e mu."""
    lfv = load_search("zprime_lfv")
    with pytest.raises(ValueError, match="zprime_lfv: no bins of m_zprime"):
        bins(lfv, {"missing": False}, n_events=2000)
    assert bin_limits(lfv).quantity == point(lfv, {}, n_events=2000).quantity == f"efficiency x {lfv.quantity}"
    with pytest.raises(ValueError, match="has no such line"):
        bins(SEARCH, PILOT, lines=("belle_energy",))
