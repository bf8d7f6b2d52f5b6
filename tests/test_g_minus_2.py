"""Contributions to g - 2: closed limits, signs, scaling, an independent quadrature, and the bands of the three differences."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from belle2dark.constants import ALPHA, M_ELECTRON, M_MUON, M_TAU
from belle2dark.theory.g_minus_2 import PRESETS, coupling_band, difference, pseudoscalar, scalar, vector

CONTRIBUTIONS = {"vector": vector, "scalar": scalar, "pseudoscalar": pseudoscalar}


def test_light_vector_is_schwinger() -> None:
    # g^2 / 8 pi^2, which for the photon is alpha / 2 pi
    assert vector(1e-7, 0.3) == pytest.approx(0.09 / (8 * np.pi**2), rel=1e-5)  # corrections of order M/m
    e = np.sqrt(4 * np.pi * ALPHA["thomson"])
    assert vector(1e-7, e, M_ELECTRON) == pytest.approx(ALPHA["thomson"] / (2 * np.pi), rel=1e-3)


def test_heavy_limits() -> None:
    m, small = 1e4, (M_MUON / 1e4) ** 2
    log = np.log(1 / small)
    assert vector(m) == pytest.approx(small / (12 * np.pi**2), rel=1e-7)
    # leading logarithms and constants of the scalar integrals: ln(M^2/m^2) - 7/6 and -(ln(M^2/m^2) - 11/6)
    # 5e-5: the integrable peak within m^2/M^2 of z = 1
    assert scalar(m) == pytest.approx(small / (8 * np.pi**2) * (log - 7 / 6), rel=5e-5)
    assert pseudoscalar(m) == pytest.approx(-small / (8 * np.pi**2) * (log - 11 / 6), rel=5e-5)


def test_light_scalars() -> None:
    # z^2 cancels: integrals of 2 - z and of z
    assert scalar(1e-7) == pytest.approx(1.5 / (8 * np.pi**2), rel=1e-5)
    assert pseudoscalar(1e-7) == pytest.approx(-0.5 / (8 * np.pi**2), rel=1e-5)


@pytest.mark.parametrize("mass", [1e-4, 0.05, M_MUON, 0.3, 2.0, 10.0])
def test_independent_integrals(mass: float) -> None:
    r = (M_MUON / mass) ** 2

    def adaptive(integrand):
        ends = [0.0, 1e-5, 1e-3, 0.1, 0.5, 0.9, 0.999, 1 - 1e-5, 1.0]
        return sum(quad(integrand, a, b, epsrel=1e-11)[0] for a, b in pairwise(ends)) / (8 * np.pi**2)

    # the vector in the form that Leveille gives, x the other way round; scalars together as (2 - z - z) z^2
    assert vector(mass) == pytest.approx(adaptive(lambda x: 2 * x**2 * (1 - x) / (x**2 + (1 - x) / r)), rel=1e-8)
    both = adaptive(lambda z: 2 * r * z**2 * (1 - z) / (1 - z + z**2 * r))
    assert scalar(mass) + pseudoscalar(mass) == pytest.approx(both, rel=1e-8)


@pytest.mark.parametrize("name", CONTRIBUTIONS)
def test_sign_scaling_and_decoupling(name: str) -> None:
    masses = np.geomspace(1e-3, 100, 40)
    values = CONTRIBUTIONS[name](masses)
    assert np.all(values < 0 if name == "pseudoscalar" else values > 0)
    assert np.all(np.diff(np.abs(values)) < 0)
    assert CONTRIBUTIONS[name](masses, 3.0) == pytest.approx(9 * values)
    # only M / m counts
    assert CONTRIBUTIONS[name](masses / M_MUON, 1.0, 1.0) == pytest.approx(values)


@pytest.mark.parametrize("internal", [M_ELECTRON, M_TAU])
def test_another_lepton_inside(internal: float) -> None:
    # heavy boson: +1 for a mass flip inside, -2/3 for those at the outer legs, in g^2 m^2 / 4 pi^2 M^2
    heavy, ratio = 1e4, internal / M_MUON
    assert vector(heavy, 1.0, M_MUON, internal) == pytest.approx(
        (ratio - 2 / 3) * (M_MUON / heavy) ** 2 / (4 * np.pi**2), rel=1e-4
    )
    # the same lepton is the old formula, everywhere
    masses = np.geomspace(1e-3, 100, 20)
    assert vector(masses, 1.0, M_MUON, M_MUON) == pytest.approx(vector(masses))
    # own quadrature at masses of the searches; the electron can nearly be on shell at 0.11 GeV
    for mass in (0.11, 0.3, 2.0, 9.0):
        lam2 = (M_MUON / mass) ** 2

        def integrand(x: float, lam2: float = lam2) -> float:
            flip = 2 * x * (1 - x) * (x - 2 * (1 - ratio)) + lam2 * (1 - ratio) ** 2 * x**2 * (1 + ratio - x)
            return flip / ((1 - x) * (1 - lam2 * x) + ratio**2 * lam2 * x)

        ends = [0.0, 0.5, 0.9, 0.999, 1 - 1e-5, 1 - 1e-7, 1.0]
        value = sum(quad(integrand, a, b, epsrel=1e-10)[0] for a, b in pairwise(ends)) * lam2 / (8 * np.pi**2)
        assert vector(mass, 1.0, M_MUON, internal) == pytest.approx(value, rel=1e-5)


def test_light_boson_that_changes_flavour_is_a_scalar() -> None:
    # the mode along the momentum, coupled with g (m_tau - m_mu) / M, wins as 1/M^2
    ratio = [vector(m, 1.0, M_MUON, M_TAU) for m in (1e-4, 1e-3)]
    assert ratio[0] / ratio[1] == pytest.approx(100, rel=1e-3)


def test_differences_are_those_of_their_papers() -> None:
    assert difference("wp20") == (249e-11, 48e-11)
    assert difference("wp20_2021") == (251e-11, 59e-11)
    assert difference("wp25") == (38e-11, 63e-11)
    # the measurement of 2023 minus the prediction of 2020, errors in quadrature
    assert difference("wp20") == pytest.approx(((592_059 - 591_810) * 1e-11, np.hypot(22, 43) * 1e-11), rel=0.01)


def test_band_closes_the_circle() -> None:
    mass = np.array([0.01, 0.3, 1.0, 5.0])
    centre, sigma = difference("wp20")
    low, high = coupling_band(mass, "wp20", 2.0)
    assert low is not None and high is not None
    assert vector(mass, low) == pytest.approx(np.full(4, centre - 2 * sigma))
    assert vector(mass, high) == pytest.approx(np.full(4, centre + 2 * sigma))


def test_g_prime_of_the_old_anomaly_at_one_gev() -> None:
    # heavy limit g'^2 m^2 / 12 pi^2 M^2 = 249e-11 gives 5.14e-3; m_mu/M corrections lower the loop by 7 %
    low, high = coupling_band(1.0, "wp20", 0.0)
    assert low == high == pytest.approx(5.14e-3 / np.sqrt(0.93), rel=0.01)


def test_without_an_anomaly_the_band_has_no_lower_end() -> None:
    low, high = coupling_band([0.5, 1.0], "wp25", 2.0)
    assert low is None
    assert high is not None and vector([0.5, 1.0], high) == pytest.approx(np.full(2, 164e-11))
    # within 0.5 standard deviations zero is outside again
    assert coupling_band(1.0, "wp25", 0.5)[0] is not None


def test_wrong_sign_has_no_band() -> None:
    assert coupling_band(1.0, "wp20", 2.0, pseudoscalar) == (None, None)
    low, high = coupling_band(1.0, (-249e-11, 48e-11), 2.0, pseudoscalar)
    assert low is not None and high is not None and low < high
    assert pseudoscalar(1.0, low) == pytest.approx(-153e-11)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, [1.0, np.inf]])
def test_bad_mass(bad: float) -> None:
    with pytest.raises(ValueError, match="mass"):
        vector(bad)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=f"nearest: {PRESETS[1]}"):
        coupling_band(1.0, "wp_20")
    with pytest.raises(ValueError, match="n_sigma"):
        coupling_band(1.0, "wp20", -1.0)
    with pytest.raises(ValueError, match="standard deviation"):
        coupling_band(1.0, (1e-9, 0.0))
    with pytest.raises(ValueError, match="coupling"):
        vector(1.0, np.nan)
    with pytest.raises(ValueError, match="m_lepton"):
        scalar(1.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="m_internal"):
        vector(1.0, 1.0, M_MUON, -1.0)
    with pytest.raises(ValueError, match="must be above"):
        vector(0.1, 1.0, M_MUON, M_ELECTRON)
    with pytest.raises(ValueError, match="changes its sign"):
        coupling_band([0.5, 2.0], "wp20", contribution=lambda m: np.asarray(m) - 1.0)
