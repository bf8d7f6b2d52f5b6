"""The dark Higgs boson and the axion-like particle: production in B decays, widths, lifetimes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from belle2dark.constants import CTAU_B0, HBAR_C, HIGGS_VEV, M_BPLUS, M_D0, M_KAON, M_MUON, M_PION, M_TAU
from belle2dark.sourced import load_numbers
from belle2dark.theory import alp_b
from belle2dark.theory.alp_b import FERMION_ALP
from belle2dark.theory.dark_higgs import (
    DARK_HIGGS,
    PERTURBATIVE,
    SCHEMES,
    WIDTHS,
    form_factor,
    gluon_width,
    loop_coupling,
    production_branching_fraction,
    quark_width,
    running_mass,
    top_mass,
)
from belle2dark.theory.leptophilic import LEPTON_ALP
from belle2dark.theory.r_ratio import alpha_s

NUMBERS = load_numbers("dark_higgs")
MASSES = np.geomspace(0.003, 4.7, 1200)
#: c tau [m] at sin(theta) = 1 in the tables of FORESEE, which follow the same source below 2 GeV
FORESEE_CTAU = {
    0.1: 1.19e-2, 0.2: 5.8e-3, 0.25: 7.2e-7, 0.3: 5.6e-8, 0.5: 8.1e-9, 0.8: 2.2e-9, 0.99: 3.0e-10, 1.1: 1.12e-9, 1.3: 1.60e-9,
    1.5: 1.61e-9, 2.0: 1.71e-9, 3.0: 7.4e-10, 3.5: 6.0e-10, 4.0: 1.1e-10, 4.5: 4.1e-11,
}  # fmt: skip


def test_production_of_kplus_is_that_of_the_public_code() -> None:
    published = {0.0: 0.463, 0.3: 0.464, 1.0: 0.470, 2.0: 0.493, 4.0: 0.546}
    for mass, value in published.items():
        assert float(production_branching_fraction(max(mass, 1e-6))) == pytest.approx(value, rel=0.01)
    assert loop_coupling("on_shell") == pytest.approx(3.81e-4, rel=2e-3)


def test_production_of_kstar0_is_that_of_the_public_code() -> None:
    # widths [GeV] of its test file, 1 % near the end of phase space where the mass of the K* counts
    published = {0.0: 2.249612487e-13, 1.0: 2.249565573e-13, 2.0: 2.229125596e-13, 4.0: 1.036022702e-13}
    for mass, value in published.items():
        found = float(production_branching_fraction(max(mass, 1e-6), "kstar0")) * HBAR_C / CTAU_B0
        assert found == pytest.approx(value, rel=0.02)


def test_production_by_hand() -> None:
    # Gamma = xi^2 (m_B^2 - m_K^2)^2 f_0^2 p / (32 pi v^2 m_B^2), written out
    m = 1.7
    e = (M_BPLUS**2 + m**2 - M_KAON**2) / (2 * M_BPLUS)
    width = loop_coupling("on_shell") ** 2 * (M_BPLUS**2 - M_KAON**2) ** 2 * float(form_factor("kplus", m**2)) ** 2
    width *= np.sqrt(e**2 - m**2) / (32 * np.pi * HIGGS_VEV**2 * M_BPLUS**2)
    lifetime = 1.638e-12 * 29.979e9 / HBAR_C  # ps -> cm -> 1/GeV
    assert float(production_branching_fraction(m)) == pytest.approx(width * lifetime, rel=2e-3)


@pytest.mark.parametrize("mode", ["kplus", "kstar0"])
def test_the_other_publication_lies_between_the_schemes_where_form_factors_agree(mode: str) -> None:
    mass = np.array(NUMBERS[f"senscalc_{mode}_mass"].values)
    theirs = np.array(NUMBERS[f"senscalc_{mode}_branching"].values)
    low = mass < 2.0
    on_shell, running = (production_branching_fraction(mass[low], mode, scheme) for scheme in SCHEMES)
    assert np.all((theirs[low] < on_shell) & (theirs[low] > running))
    assert np.allclose(running / on_shell, (top_mass("running") / top_mass("on_shell")) ** 4, rtol=1e-9)


def test_production_ends_at_the_edge_of_phase_space() -> None:
    edge = M_BPLUS - M_KAON
    assert float(production_branching_fraction(edge + 1e-6)) == 0.0
    # a two-body decay in an S wave opens with the root of the energy that is left
    first, second = production_branching_fraction(edge - np.array([1e-4, 4e-4]))
    assert second / first == pytest.approx(2.0, rel=1e-3)
    edge = 5.27972 - 0.89555
    third, fourth = production_branching_fraction(edge - np.array([1e-3, 4e-3]), "kstar0")
    assert fourth / third == pytest.approx(8.0, rel=0.1)  # a P wave


def test_lifetime_and_branching_fractions_against_tables() -> None:
    model = DARK_HIGGS["winkler"]
    for mass, metres in FORESEE_CTAU.items():
        assert float(model.ctau(mass)) == pytest.approx(100 * metres, rel=0.3)
    for mass, channel, value in [(0.3, "mumu", 0.22), (0.3, "pipi", 0.52), (0.5, "pi0pi0", 0.30), (0.8, "mumu", 0.058),
                                 (1.5, "mumu", 0.086), (1.3, "mesons", 0.13), (3.0, "gg", 0.66), (3.0, "ss", 0.26),
                                 (4.0, "tautau", 0.46), (4.0, "cc", 0.32), (4.5, "cc", 0.47)]:  # fmt: skip
        assert float(model.branching_fraction(channel, mass)) == pytest.approx(value, rel=0.15)
    kaons = sum(float(model.branching_fraction(channel, 1.5)) for channel in ("kk", "k0k0"))
    assert kaons == pytest.approx(0.68, rel=0.05)


def test_lifetime_goes_with_the_square_of_the_mixing() -> None:
    model = DARK_HIGGS["winkler"]
    assert float(model.ctau(1.2, {"sin_theta": 1e-4})) == pytest.approx(1e8 * float(model.ctau(1.2)), rel=1e-12)


@pytest.mark.parametrize("widths", WIDTHS)
def test_widths_are_positive_and_without_jumps(widths: str) -> None:
    model = DARK_HIGGS[widths]
    total = model.total_width(MASSES)
    assert np.all(total > 0)
    # where one description takes over from another, and where a pair opens
    for at in (PERTURBATIVE, float(NUMBERS["chiral_to"])):
        low, high = model.total_width(np.array([at - 1e-6, at + 1e-6]))
        assert high / low == pytest.approx(1.0, abs=1e-3)
    for threshold in (2 * M_MUON, 2 * M_PION, 2 * M_KAON, 2 * M_TAU, 2 * M_D0):
        before, after = model.total_width(threshold + np.array([-1e-7, 1e-7]))
        assert after / before == pytest.approx(1.0, abs=0.02)


def test_widths_differ_as_the_theory_does() -> None:
    winkler, chiral = (DARK_HIGGS[w] for w in WIDTHS)
    ratio = winkler.total_width(MASSES) / chiral.total_width(MASSES)
    assert np.allclose(ratio[MASSES < 2 * M_PION], 1.0)  # leptons only
    near = np.argmin(np.abs(MASSES - 0.98))
    assert ratio[near] > 5.0  # f0(980), which lowest order does not know
    assert np.all((ratio[MASSES > 2.0] > 0.3) & (ratio[MASSES > 2.0] < 1.0))  # gluons at the next order


def test_leptons_are_the_closed_form() -> None:
    m = 3.7
    expected = M_TAU**2 * m / (8 * np.pi * HIGGS_VEV**2) * (1 - 4 * M_TAU**2 / m**2) ** 1.5
    assert float(DARK_HIGGS["winkler"].partial_width("tautau", m)) == pytest.approx(expected, rel=1e-12)


def test_gluons_by_an_integral_over_the_loop() -> None:
    # Feynman parameters: A = 2 Int dx Int dy (1 - 4 x y) / (1 - x y m^2/m_q^2), 4/3 for a heavy quark; below threshold real
    m = 2.2

    def loop(m_q: float) -> float:
        def inner(x: float) -> float:
            return quad(lambda y: (1 - 4 * x * y) / (1 - x * y * (m / m_q) ** 2), 0, 1 - x)[0]

        return 4.0 * quad(inner, 0, 1)[0]

    masses = [float(NUMBERS[f"{q}_pole_mass"]) for q in ("charm", "bottom")] + [top_mass("on_shell")]
    amplitude = sum(loop(m_q) for m_q in masses)
    expected = amplitude**2 * (float(alpha_s(m)) / (4 * np.pi)) ** 2 * m**3 / (8 * np.pi * HIGGS_VEV**2)
    assert float(gluon_width(m)) == pytest.approx(expected, rel=1e-4)
    assert float(gluon_width(m, corrected=True)) / float(gluon_width(m)) > 1.5


def test_running_quark_masses() -> None:
    assert float(running_mass(2.0, "s")) == pytest.approx(float(NUMBERS["strange_mass"]), rel=1e-12)
    # dln m/dln mu = -2 x (1 + (202/3 - 20 n_f/9)/16 x), x = alpha_s/pi, two loops; the third is 5 %
    slope = np.log(running_mass(3.03, "c") / running_mass(2.97, "c")) / np.log(3.03 / 2.97)
    x = float(alpha_s(3.0)) / np.pi
    assert float(slope) == pytest.approx(-2 * x * (1 + (202 / 3 - 80 / 9) / 16 * x), rel=0.1)
    assert float(quark_width(2 * M_D0 - 1e-6, "c")) == 0.0


def test_alp_rate_by_hand() -> None:
    # as a scalar whose amplitude is k (m_B^2 - m_K^2) f_0 / 2: |M|^2 p / (8 pi m_B^2)
    m, m_b = 1.3, M_BPLUS
    coupling = alp_b.flavour_coupling() / 1000.0
    e = (m_b**2 + m**2 - M_KAON**2) / (2 * m_b)
    amplitude = 0.5 * coupling * (m_b**2 - M_KAON**2) * float(form_factor("kplus", m**2))
    width = amplitude**2 * np.sqrt(e**2 - m**2) / (8 * np.pi * m_b**2)
    lifetime = 1.638e-12 * 29.979e9 / HBAR_C
    assert float(alp_b.production_branching_fraction(m)) == pytest.approx(width * lifetime, rel=2e-3)


def test_alp_loop_of_top_quarks() -> None:
    # y_t^2/(16 pi^2) V_tb V_ts (ln(Lambda/m_t) - 1/4 - 3/2 (1 - x + ln x)/(1 - x)^2), x = (174/80.37)^2, by hand: 0.9987 + ...
    x = (174.0 / 80.37) ** 2
    bracket = np.log(1000 / 174.0) - 0.25 - 1.5 * (1 - x + np.log(x)) / (1 - x) ** 2
    expected = 2 * (174.0 / 246.0) ** 2 / (16 * np.pi**2) * 0.0394 * 1.019 * bracket
    assert alp_b.flavour_coupling() == pytest.approx(expected, rel=1e-6)


def test_alp_decays() -> None:
    for channel in ("ee", "mumu", "tautau"):  # as the particle that couples to leptons alone
        ours = FERMION_ALP.partial_width(channel, 4.1, {"c_over_lambda": 0.3})
        assert float(ours) == pytest.approx(float(LEPTON_ALP.partial_width(channel, 4.1, {"c_over_lambda": 0.3})), rel=1e-12)
    assert np.all(FERMION_ALP.total_width(MASSES) > 0)
    light = MASSES[float(NUMBERS["gluons_open"]) > MASSES]
    assert np.all(FERMION_ALP.partial_width("gg", light) == 0)
    for threshold in (float(NUMBERS[f"{q}_mesons_open"]) for q in ("strange", "charm")):
        before, after = FERMION_ALP.total_width(threshold + np.array([-1e-8, 1e-8]))
        assert after / before == pytest.approx(1.0, abs=0.01)
    # photons below two electron masses would be a heavy-fermion loop: -t/3 each, so m^7
    soft = FERMION_ALP.partial_width("gammagamma", np.array([2e-6, 4e-6]))
    assert soft[1] / soft[0] == pytest.approx(2.0**7, rel=1e-3)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: production_branching_fraction(1.0, "kshort"), "kplus"),
        (lambda: production_branching_fraction(1.0, "kplus", "msbar"), "on_shell"),
        (lambda: alp_b.production_branching_fraction(1.0, "k0"), "kstar0"),
        (lambda: DARK_HIGGS["winkler"].partial_width("pippi", 1.0), "pipi"),
        (lambda: DARK_HIGGS["winkler"].ctau(-1.0), "positive"),
        (lambda: FERMION_ALP.ctau(1.0, {"c_lambda": 1.0}), "c_over_lambda"),
    ],
)
def test_bad_input(call: object, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()  # type: ignore[operator]
