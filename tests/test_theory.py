"""Dark Higgsstrahlung, the dark photon's decays and R: closed forms, thresholds, symmetry and measured values."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from belle2dark.constants import ALPHA, HBAR_C, M_B0, M_D0, M_MUON, M_PION, M_TAU
from belle2dark.sourced import load_numbers
from belle2dark.theory.dark_higgsstrahlung import angular_weights, cross_section, is_open
from belle2dark.theory.dark_photon import DARK_PHOTON
from belle2dark.theory.models import Channel, Model, ModelLike, vector_to_fermions
from belle2dark.theory.r_ratio import alpha_s, perturbative_r, r_ratio, table_energies

# (m_aprime, m_hprime, fb at eps^2 alpha_D = 1e-7 and alpha(0)): independent evaluations, quoted to five and three digits.
FIVE_DIGITS = [(6.0, 1.0, 16.398), (4.0, 3.0, 6.1389), (9.0, 0.5, 79.829)]
THREE_DIGITS = [
    (4.0, 0.1, 7.60), (6.0, 0.1, 16.9), (6.0, 3.0, 12.0), (8.0, 0.1, 43.7), (8.0, 1.0, 40.1),
    (9.0, 0.1, 84.1), (9.0, 1.0, 64.9), (9.5, 0.1, 133.0), (9.5, 1.0, 50.1),
]  # fmt: skip


@pytest.mark.parametrize(("m_aprime", "m_hprime", "expected"), FIVE_DIGITS)
def test_cross_section_equals_independent_values(m_aprime: float, m_hprime: float, expected: float) -> None:
    assert cross_section(m_aprime, m_hprime, 1e-7, alpha="thomson") == pytest.approx(expected, rel=3e-5)


@pytest.mark.parametrize(("m_aprime", "m_hprime", "expected"), THREE_DIGITS)
def test_cross_section_equals_rounded_values(m_aprime: float, m_hprime: float, expected: float) -> None:
    assert cross_section(m_aprime, m_hprime, 1e-7, alpha="thomson") == pytest.approx(expected, rel=5e-3)


def test_cross_section_of_massless_particles_is_the_prefactor() -> None:
    # For massless A' and h' only pi alpha alpha_D eps^2 / 3 s is left: 2.658e7 fb, quoted to four digits.
    assert cross_section(1e-6, 0.0, 1.0, alpha="thomson") == pytest.approx(2.658e7, rel=2e-4)


def test_cross_section_is_the_sum_over_polarisations() -> None:
    # Derived afresh: the A'h' vertex of the Higgs mechanism, 2 g_D m_A', the lepton current coupled with eps e, squared
    # amplitudes of the three A' polarisations integrated over the angle.
    m, h, s = 6.0, 2.0, 10.58**2
    p = np.sqrt((s - (m + h) ** 2) * (s - (m - h) ** 2)) / (2 * np.sqrt(s))
    energy = np.sqrt(p**2 + m**2)

    def squared(c: float) -> float:
        sin = np.sqrt(1 - c**2)
        beam, total = np.array([0.0, 0.0, 1.0]), 0.0
        # Spatial parts suffice: the lepton tensor is 2 s (delta_ij - n_i n_j) in the centre of mass.
        for eps in ([c, 0, -sin], [0, 1, 0], np.array([sin, 0, c]) * energy / m):
            total += np.dot(eps, eps) - np.dot(eps, beam) ** 2
        return total

    # |M|^2 averaged over beam spins = (eps e)^2 (2 g_D m)^2 / (s - m^2)^2 * s/2 * squared
    coupling = 4 * np.pi * ALPHA["thomson"] * 4 * np.pi * 4 * m**2 * s / 2 / (s - m**2) ** 2
    sigma = coupling * p / np.sqrt(s) / (16 * np.pi * s) * quad(squared, -1, 1)[0]
    assert cross_section(m, h, 1.0, alpha="thomson") == pytest.approx(sigma * 0.389379372e12, rel=1e-9)


def test_cross_section_follows_couplings_and_alpha_linearly() -> None:
    one = cross_section(6.0, 1.0, 1e-7)
    assert cross_section(6.0, 1.0, 3e-7) == pytest.approx(3 * one, rel=1e-12)
    ratio = cross_section(6.0, 1.0, 1e-7, alpha="madgraph") / cross_section(6.0, 1.0, 1e-7, alpha="thomson")
    assert ratio == pytest.approx(137.035999 / 127.9, rel=1e-12)


def test_threshold_is_s_wave() -> None:
    # The 12 m^2/s term survives at threshold, so the rate grows as the momentum, the square root of the gap.
    gap = np.array([1e-6, 4e-6])
    low, high = cross_section(6.0, 4.58 - gap, 1e-7)
    assert high / low == pytest.approx(2.0, rel=1e-4)  # corrections of order gap / sqrt_s


@given(st.floats(0, 12), st.floats(0, 12), st.floats(0, 1))
def test_cross_section_is_zero_exactly_where_closed_and_never_nan(m_aprime: float, m_hprime: float, coupling: float) -> None:
    sigma = float(cross_section(m_aprime, m_hprime, coupling))
    assert np.isfinite(sigma)
    assert sigma >= 0
    if not is_open(m_aprime, m_hprime):
        assert sigma == 0


def test_cross_section_broadcasts() -> None:
    grid = cross_section(np.linspace(4, 9.7, 5)[:, None], np.linspace(0.1, 3.9, 3), 1e-7)
    assert grid.shape == (5, 3)
    assert grid[2, 1] == cross_section(np.linspace(4, 9.7, 5)[2], 2.0, 1e-7)


@pytest.mark.parametrize("bad", [{"m_aprime": np.nan}, {"m_aprime": -1.0}, {"eps2_alpha_d": np.inf}, {"m_hprime": [1.0, -1.0]}])
def test_cross_section_names_a_bad_argument(bad: dict) -> None:
    arguments = {"m_aprime": 6.0, "m_hprime": 1.0, "eps2_alpha_d": 1e-7} | bad
    with pytest.raises(ValueError, match=next(iter(bad))):
        cross_section(**arguments)


def test_cross_section_names_the_nearest_alpha() -> None:
    with pytest.raises(ValueError, match="nearest: thomson"):
        cross_section(6.0, 1.0, 1e-7, alpha="tompson")


def test_angular_distribution_is_normalised_and_matches_the_closed_form() -> None:
    masses = np.array([2.0, 6.0, 9.0]), np.array([0.1, 3.0, 1.0])
    transverse, longitudinal = angular_weights(*masses)
    assert 8 / 3 * transverse + 4 / 3 * longitudinal == pytest.approx(1.0, rel=1e-12)
    # Its sum 2 + gamma^2 must be the (lambda + 12 m^2/s) of the cross-section over 4 m^2/s.
    a, h = (masses[0] / 10.58) ** 2, (masses[1] / 10.58) ** 2
    kallen = (1 - a - h) ** 2 - 4 * a * h
    assert 2 + longitudinal / transverse == pytest.approx((kallen + 12 * a) / (4 * a), rel=1e-10)
    assert angular_weights(8.0, 5.0) == (0.0, 0.0)


# --- the dark photon


def test_branching_fractions_sum_to_one_and_ignore_epsilon() -> None:
    mass = np.geomspace(0.002, 10.5, 300)
    fractions = [DARK_PHOTON.branching_fraction(c.name, mass, {"epsilon": 1e-4}) for c in DARK_PHOTON.channels]
    assert sum(fractions) == pytest.approx(1.0, abs=1e-12)
    assert DARK_PHOTON.branching_fraction("mumu", mass) == pytest.approx(fractions[1], rel=1e-12)


def test_branching_fraction_to_muons_at_high_mass_is_that_of_three_leptons_and_quarks() -> None:
    # 1 / (3 + R) up to lepton masses (tau: 1.3 % of one lepton at 9 GeV, i.e. 0.3 % of the total).
    for mass in (9.0, 9.7):
        assert DARK_PHOTON.branching_fraction("mumu", mass) == pytest.approx(1 / (3 + r_ratio(mass)), rel=4e-3)
    assert 0.14 < DARK_PHOTON.branching_fraction("mumu", 6.0) < 0.16


def test_ratio_of_muons_to_electrons_is_phase_space() -> None:
    r = (M_MUON / 0.3) ** 2
    ratio = DARK_PHOTON.partial_width("mumu", 0.3) / DARK_PHOTON.partial_width("ee", 0.3)
    assert ratio == pytest.approx((1 + 2 * r) * np.sqrt(1 - 4 * r), rel=1e-8)  # the electron mass enters at (m_e/m)^4


def test_channels_open_at_their_thresholds() -> None:
    for channel, threshold in (("mumu", 2 * M_MUON), ("tautau", 2 * M_TAU), ("hadrons", 2 * M_PION)):
        below, above = DARK_PHOTON.partial_width(channel, threshold * np.array([1 - 1e-9, 1 + 1e-3]))
        assert below == 0
        assert above > 0


def test_lifetime_of_a_light_dark_photon() -> None:
    # Electrons only: c tau = 3 hbar c / (alpha eps^2 m); mass corrections are of order (m_e/m)^4 = 7e-10.
    expected = 3 * HBAR_C / (ALPHA["thomson"] * 1e-8 * 0.1)
    assert DARK_PHOTON.ctau(0.1, {"epsilon": 1e-4}) == pytest.approx(expected, rel=1e-8)
    assert DARK_PHOTON.ctau(1.0, {"epsilon": 2e-4}) == pytest.approx(DARK_PHOTON.ctau(1.0, {"epsilon": 1e-4}) / 4, rel=1e-12)


def test_what_cannot_decay_is_stable() -> None:
    assert DARK_PHOTON.branching_fraction("ee", 1e-3) == 0
    assert np.isinf(DARK_PHOTON.ctau(1e-3))


def test_production_grows_as_epsilon_squared() -> None:
    assert DARK_PHOTON.production({"epsilon": np.array([1e-3, 2e-3])}) == pytest.approx([1e-6, 4e-6], rel=1e-12)


def test_model_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="nearest: mumu"):
        DARK_PHOTON.partial_width("mumi", 1.0)
    with pytest.raises(ValueError, match="nearest: epsilon"):
        DARK_PHOTON.total_width(1.0, {"epsilo": 1e-3})
    with pytest.raises(ValueError, match="must be finite and positive"):
        DARK_PHOTON.total_width([1.0, -1.0])
    with pytest.raises(ValueError, match="epsilon"):
        DARK_PHOTON.ctau(1.0, {"epsilon": np.nan})
    with pytest.raises(ValueError, match="different names"):
        Model(name="x", title="", mass="m_x", reference_couplings=(), channels=(), production_scale=lambda c: c["g"])


def test_an_own_model_needs_only_channels() -> None:
    def width(mass: np.ndarray, couplings: dict) -> np.ndarray:
        return vector_to_fermions(mass, M_MUON, couplings["g_prime"] ** 2)

    own: ModelLike = Model(
        name="own", title="muons only", mass="m_zprime", reference_couplings=(("g_prime", 1.0),),
        channels=(Channel(name="mumu", symbol="", width=width),), production_scale=lambda c: np.asarray(c["g_prime"]) ** 2,
    )  # fmt: skip
    assert own.branching_fraction("mumu", [0.1, 1.0]) == pytest.approx([0.0, 1.0])
    # L_mu-L_tau literature value: Gamma/m = 2.65e-4 per channel at g' = 0.1, three digits.
    assert own.total_width(8.0, {"g_prime": 0.1}) / 8.0 == pytest.approx(2.65e-4, rel=3e-3)


def test_model_pickles() -> None:
    again = pickle.loads(pickle.dumps(DARK_PHOTON))
    assert again.ctau(4.0) == DARK_PHOTON.ctau(4.0)


# --- R


def test_alpha_s_runs_to_its_known_values() -> None:
    assert alpha_s(91.188) == pytest.approx(0.1180, rel=1e-9)
    # World averages at the tau and bottom masses are 0.312 +- 0.015 and 0.2246 +- 0.004; two loops are good to 2 %.
    assert alpha_s([1.777, 4.18]) == pytest.approx([0.312, 0.2246], rel=0.02)
    assert alpha_s(4.18 * (1 + 1e-12)) == pytest.approx(alpha_s(4.18), rel=1e-9)
    with pytest.raises(ValueError, match="at least 1 GeV"):
        alpha_s(0.5)


def test_alpha_s_solves_its_evolution_equation() -> None:
    mu, step = 30.0, 1e-5
    slope = (alpha_s(mu * np.exp(step)) - alpha_s(mu * np.exp(-step))) / (4 * step)  # d / d ln mu^2
    a = alpha_s(mu)
    b0, b1 = (33 - 10) / (12 * np.pi), (153 - 95) / (24 * np.pi**2)
    assert slope == pytest.approx(-(b0 * a**2 + b1 * a**3), rel=1e-6)  # central difference, error of order step^2


def test_quark_charges_count() -> None:
    # 2, 10/3 and 11/3 times 1 + alpha_s/pi + ..., which is between 1 and 1.12 from 2 GeV on.
    for energy, born in ((3.0, 2.0), (10.0, 10 / 3), (60.0, 11 / 3)):
        assert 1.04 < perturbative_r(energy) / born < 1.12


def test_massive_quarks_become_massless() -> None:
    a = alpha_s(1000.0) / np.pi
    eta = (1 / 3) ** 2 / (11 / 3)
    c3 = -6.63694 - 1.20013 * 5 - 0.00518 * 25 - 1.240 * eta
    series = 11 / 3 * (1 + a + (1.9857 - 0.1152 * 5) * a**2 + c3 * a**3)
    assert perturbative_r(1000.0) == pytest.approx(series, rel=5e-5)  # mass effects of order alpha_s (m_b/1 TeV)^2


@pytest.mark.parametrize("experiment", ["kedr", "cleo"])
def test_r_agrees_with_measurement(experiment: str) -> None:
    given = load_numbers("r_ratio")
    energy, value, error = (np.array(given[f"{experiment}_{x}"].values) for x in ("energies", "values", "errors"))
    pull = (r_ratio(energy) - value) / error
    assert np.all(np.abs(pull) < 2)  # errors are mostly systematic and common, so no chi^2
    # The average within the 2-3 % common systematic error of each experiment.
    assert np.mean(r_ratio(energy) / value) == pytest.approx(1.0, abs=0.03)


def test_r_agrees_with_bes_averaged_over_the_charm_structure() -> None:
    energy = np.linspace(4.0, 4.8, 801)
    assert np.mean(r_ratio(energy)) == pytest.approx(float(load_numbers("r_ratio")["bes_average"]), rel=0.06)


def test_table_is_the_formula() -> None:
    given = load_numbers("r_ratio")
    assert given["continuum_energies"].values == pytest.approx(tuple(table_energies()), abs=1e-9)
    # Written with five decimals.
    assert np.array(given["continuum_values"].values) == pytest.approx(perturbative_r(table_energies()), abs=6e-6)


def test_interpolation_is_close_to_the_formula_between_rows() -> None:
    energy = np.linspace(1.98, 12.1, 3001)
    away = np.all(np.abs(energy[:, None] - 2 * np.array([M_D0, M_B0])) > 2e-5, axis=1)
    # 0.2 % at the square root just above the charm threshold, ten times below the accuracy of R.
    assert r_ratio(energy[away]) == pytest.approx(perturbative_r(energy[away]), rel=3e-3)


def test_r_peaks_at_the_rho_and_starts_at_two_pions() -> None:
    assert r_ratio([0.0, 0.2, 2 * M_PION]) == pytest.approx([0, 0, 0])
    assert 8 < r_ratio(0.77) < 12
    energy = np.linspace(2 * M_PION, 0.7, 200)
    assert np.all(np.diff(r_ratio(energy)) > 0)
    # P-wave pions without form factor are beta^3/4; the form factor adds 10-40 % this close to threshold.
    beta = np.sqrt(1 - (2 * M_PION / 0.285) ** 2)
    assert 1.0 < r_ratio(0.285) / (beta**3 / 4) < 1.4


@pytest.mark.parametrize("bad", [-1.0, 12.5, np.nan, np.inf, [1.0, 50.0]])
def test_r_outside_its_table_is_an_error(bad: float) -> None:
    with pytest.raises(ValueError, match="R is tabulated"):
        r_ratio(bad)
