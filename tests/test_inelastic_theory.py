"""Widths and lifetimes of inelastic dark matter: closed forms, scaling, thresholds, the sum rule of R, thermal targets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from belle2dark.constants import ALPHA, HBAR_C, M_ELECTRON, M_MUON, M_PION
from belle2dark.theory import inelastic
from belle2dark.theory import inelastic_rates as rates
from belle2dark.theory.dark_matter import DarkMatter, relic_target, y_of
from belle2dark.theory.dark_photon import DARK_PHOTON
from belle2dark.theory.r_ratio import r_ratio

SETTINGS = {"m_aprime": 3.0, "m_chi1": 1.0, "splitting": 0.4, "epsilon": 1e-3, "alpha_d": 0.1, "production": "photon",
            "m_hprime": 1.0, "hprime_decay": "mumu", "sin_theta": 1e-4}  # fmt: skip


def muons(m1: float, m2: float, m_aprime: float) -> float:
    return inelastic.widths(m1, m2, m_aprime)["mumu"]


@pytest.mark.parametrize("ratio", [3.0, 5.0])
def test_small_splitting_limit_to_its_order(ratio):
    # electrons without mass to speak of: what is left over is of first order in Delta / m_chi1, and its coefficient settles
    slopes = []
    for splitting in (0.002, 0.004):
        m1, m2, m = 50.0, 50.0 * (1 + splitting), 50.0 * ratio
        found = inelastic.width(m1, m2, m, 1.0, 1.0, 1e-7) / inelastic.small_splitting_width(m2 - m1, m, 1.0, 1.0)
        assert found == pytest.approx(1.0, abs=3 * splitting)
        slopes.append((found - 1.0) / splitting)
    assert slopes[0] == pytest.approx(slopes[1], rel=0.03)


def test_how_far_the_limit_is_off_at_large_splittings():
    """What the exact width is for: at 40 % the closed form has 1.5 times too many electrons and no muons at all."""
    exact, closed = inelastic.widths(1.0, 1.4, 3.0), inelastic.small_splitting_width(0.4, 3.0, 1.0, 1.0)
    assert 0.60 < exact["ee"] / closed < 0.68
    assert 0.25 < exact["mumu"] / exact["ee"] < 0.42 and exact["hadrons"] > 0


def test_couplings_and_masses_scale():
    base = inelastic.ctau_cm(1.0, 1.1, 3.0, 1e-3, 0.1)
    assert inelastic.ctau_cm(1.0, 1.1, 3.0, 2e-3, 0.3) == pytest.approx(base / 12)
    # one scale for all masses, the lepton's too: Gamma goes with it
    one, seven = (inelastic.width(k * 0.5, k * 1.0, k * 1.3, 1e-3, 0.1, k * 0.1) / k for k in (1.0, 7.0))
    assert one == pytest.approx(seven, rel=1e-9)
    # an A' far from its pole: m_A'^-4
    far = [inelastic.widths(1.0, 1.1, m)["ee"] * m**4 for m in (30.0, 60.0)]
    assert far[0] == pytest.approx(far[1], rel=1e-4)


def test_thresholds_open_one_by_one():
    for name, least in inelastic.CHANNELS.items():
        closed, opened = (inelastic.widths(4.0, 4.0 + 2 * least * x, 15.0)[name] for x in (0.999, 1.01))
        assert closed == 0.0 < opened, name
    assert inelastic.ctau_cm(1.0, 1.0 + 1.9 * M_ELECTRON, 3.0, 1e-3, 0.1) == math.inf
    shares = inelastic.branching_fractions(1.0, 1.6, 3.0)
    assert sum(shares.values()) == pytest.approx(1.0) and min(shares["ee"], shares["mumu"], shares["hadrons"]) > 0.05
    assert not any(inelastic.branching_fractions(1.0, 1.0005, 3.0).values())


def test_hadrons_are_massless_muons_times_r():
    m1, m2, m = 1.0, 1.9, 3.0
    q2 = np.linspace(0.1, 0.8, 40)
    ratio = inelastic.hadron_spectrum(q2, m1, m2, m) / inelastic.spectrum(q2, m1, m2, m, 0.0)
    assert ratio == pytest.approx(r_ratio(np.sqrt(q2)), rel=1e-12)
    rate = lambda q: 2 * q * float(inelastic.hadron_spectrum(q * q, m1, m2, m))  # noqa: E731
    total = quad(rate, 2 * M_PION, m2 - m1, limit=400, epsrel=1e-6)
    # R has kinks at its table's rows
    assert inelastic.widths(m1, m2, m)["hadrons"] == pytest.approx(total[0], rel=1e-3)
    assert inelastic.hadron_spectrum(np.array([4 * M_PION**2 * 0.99, 0.9**2 * 1.01]), m1, m2, m) == pytest.approx(0.0)


def test_muons_are_electrons_far_above_threshold():
    assert muons(20.0, 24.0, 90.0) / inelastic.widths(20.0, 24.0, 90.0)["ee"] == pytest.approx(1.0, abs=30 * (M_MUON / 4.0) ** 2)


def test_mediator_width():
    # equal masses: a Dirac fermion; and its closed form with alpha_D m / 3 where both are light
    dirac = DarkMatter(alpha_d=0.1, mass_ratio=1 / 3).width(3.0)
    assert inelastic.mediator_width(1.0, 1.0, 3.0, 0.1) == pytest.approx(float(dirac))
    assert inelastic.mediator_width(1e-6, 1e-6, 3.0, 0.1) == pytest.approx(0.1)
    assert inelastic.mediator_width(1.0, 2.0, 3.0, 0.1) == 0.0


def test_mediator_width_against_traces():
    """Spin sum of two massive fermions from explicit vectors: -g^{mu nu} + P^mu P^nu / m^2 on Tr[(p1 + m1) g (p2 - m2) g]."""
    m1, m2, m = 0.5, 1.3, 2.4
    p = math.sqrt((m**2 - (m1 + m2) ** 2) * (m**2 - (m1 - m2) ** 2)) / (2 * m)
    product = math.hypot(p, m1) * math.hypot(p, m2) + p * p
    along = m * math.hypot(p, m1) * m * math.hypot(p, m2) / m**2
    squared = 4.0 * (2.0 * product + 4.0 * m1 * m2 + 2.0 * along - product - m1 * m2)
    width = 4 * math.pi * 0.1 * squared / 3.0 * p / (8 * math.pi * m**2)
    assert inelastic.mediator_width(m1, m2, m, 0.1) == pytest.approx(width)


def test_rates_of_a_search():
    assert rates.masses(SETTINGS) == pytest.approx((1.0, 1.4, 3.0))
    assert rates.ctau_chi2(SETTINGS) == pytest.approx(inelastic.ctau_cm(1.0, 1.4, 3.0, 1e-3, 0.1))
    # y goes with epsilon squared, and gives the same epsilon back
    y = float(y_of(1e-3, 0.1, 1 / 3))
    assert rates.epsilon({**SETTINGS, "y": y}) == pytest.approx(1e-3)
    assert rates.squared_epsilon_per_y(SETTINGS) * y == pytest.approx(1e-6)
    # the A' decays to dark matter, unless mixing is as strong as alpha_D
    assert 1 - rates.branching_fraction(SETTINGS) < 1e-5
    strong = {**SETTINGS, "epsilon": 1.0, "alpha_d": 1e-3}
    dark, seen = inelastic.mediator_width(1.0, 1.4, 3.0, 1e-3), float(DARK_PHOTON.total_width(3.0))
    assert rates.branching_fraction(strong) == pytest.approx(dark / (dark + seen))
    assert rates.width(strong) == pytest.approx(dark + seen)
    beside = {**SETTINGS, "production": "dark_higgs"}
    assert 0 < rates.branching_fraction(beside) < inelastic.branching_fractions(1.0, 1.4, 3.0)["ee"] < 1
    weaker = {**beside, "sin_theta": 1e-5}
    assert rates.ctau_hprime(weaker) / rates.ctau_hprime(beside) == pytest.approx(100.0)
    assert rates.branching_fraction(weaker) == pytest.approx(rates.branching_fraction(beside))


def test_relic_target():
    masses, y = relic_target("pseudo_dirac")
    assert inelastic.relic_y(masses[5], 1 / 3) == pytest.approx(y[5], rel=1e-6)
    # epsilon and y are the same target
    found = inelastic.relic_epsilon(np.array([0.3, 0.4]), 0.1, 0.1)
    assert y_of(found, 0.1, 0.1 / np.array([0.3, 0.4])) == pytest.approx(inelastic.relic_y(0.1, 0.1 / np.array([0.3, 0.4])))
    # nearer to the resonance less coupling does, and alpha_D is what epsilon^2 is traded for
    assert inelastic.relic_y(0.1, 0.45) < inelastic.relic_y(0.1, 0.33)
    assert inelastic.relic_epsilon(0.3, 0.1, 0.4) == pytest.approx(inelastic.relic_epsilon(0.3, 0.1, 0.1) / 2)
    assert np.isnan(inelastic.relic_y(50.0, 0.3))


def test_lifetime_of_a_known_point():
    """A chi2 of 1.1 over 1 GeV at epsilon = 1e-3, alpha_D = 0.1 flies tens of metres."""
    closed = HBAR_C * 15 * math.pi * 81 / (4 * 1e-6 * ALPHA["thomson"] * 0.1 * 1e-5)
    # electrons only, so that splitting and recoil are what is left: 13 % less width
    assert inelastic.ctau_cm(1.0, 1.1, 3.0, 1e-3, 0.1) / closed == pytest.approx(1.15, abs=0.02)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inelastic.widths(1.0, 0.9, 3.0), "closed"),
        (lambda: inelastic.widths(1.0, 1.9, 0.5), "off shell"),
        (lambda: inelastic.width(1.0, 1.0005, 3.0, 1e-3, 0.1), "closed"),
        (lambda: inelastic.relic_y(1.0, 0.6), "mass_ratio"),
        (lambda: inelastic.relic_epsilon(3.0, 1.0, 0.0), "alpha_d"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
