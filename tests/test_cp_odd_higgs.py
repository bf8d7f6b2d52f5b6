"""The search for a light CP-odd Higgs boson: rates, couplings, both final states, and what was published."""

from __future__ import annotations

import math

import numpy as np
import pytest

from belle2dark.constants import ALPHA, M_MUON, M_TAU, M_UPSILON_1S
from belle2dark.mass_scan import scan_masses
from belle2dark.point import point
from belle2dark.published import load_published
from belle2dark.search import load_search
from belle2dark.searches.cp_odd_higgs import NUMBERS, f_of_mixing, photon_branching_fraction, tagged_upsilons
from belle2dark.sourced import load_numbers

SEARCH = load_search("cp_odd_higgs")
MESONS = load_numbers("mesons")
N = 6000


def at(**values):
    return point(SEARCH, values, n_events=N)


# rates


def test_number_of_tagged_upsilons():
    """158 million Upsilon(2S) times B(pi+ pi- Upsilon(1S)): 28 million, whatever the luminosity they are counted with."""
    values = SEARCH.parse({})
    assert values["luminosity"] == float(MESONS["upsilon_2s_luminosity"])
    assert tagged_upsilons() * values["luminosity"] == pytest.approx(158e6 * 0.1785)


def test_rate_of_the_photon_is_that_of_wilczek():
    """f^2 / (2 pi alpha) = 1 at f = 0.2141: then the A0 at zero mass is as frequent as a pair of leptons."""
    f = math.sqrt(2 * math.pi * ALPHA["thomson"])
    assert f == pytest.approx(0.2141, abs=1e-4)
    leptons = float(MESONS["upsilon_1s_to_leptons"])
    assert photon_branching_fraction(0.0, f) == pytest.approx(leptons)
    assert photon_branching_fraction(M_UPSILON_1S / math.sqrt(2), f) == pytest.approx(leptons / 2)
    assert photon_branching_fraction(M_UPSILON_1S, f) == 0.0 == photon_branching_fraction(10.0, f)
    assert photon_branching_fraction(5.0, 2 * f) == pytest.approx(4 * photon_branching_fraction(5.0, f))


def test_mixing_of_one_is_the_yukawa_coupling_of_a_higgs_boson():
    """sqrt(sqrt(2) G_F) m_b = m_b / v: 0.0194; v is rounded to 246 GeV."""
    fermi = float(load_numbers("backgrounds")["fermi_constant"])
    assert f_of_mixing() == pytest.approx(math.sqrt(math.sqrt(2) * fermi) * float(NUMBERS["b_quark_mass"]), rel=2e-3)


def test_cross_section_and_branching_fraction_multiply():
    values = SEARCH.parse({"m_a0": 4.0, "f_upsilon": 0.01, "b_leptons": 0.25})
    rate = SEARCH.cross_section(values, SEARCH.default_dataset) * SEARCH.branching_fraction(values)
    assert rate == pytest.approx(tagged_upsilons() * photon_branching_fraction(4.0, 0.01) * 0.25)


# limits


def test_couplings_are_those_of_the_limit():
    """The coupling at its limit gives the product at its limit; f = sin(theta) m_b / v; both go as 1 / sqrt(B(A0 -> l l))."""
    whole, quarter = at(m_a0=5.0), at(m_a0=5.0, b_leptons=0.25)
    f, sine = (next(c.expected[2] for c in whole.couplings if c.name == name) for name in ("f_upsilon", "sin_theta"))
    assert photon_branching_fraction(5.0, f) == pytest.approx(whole.limit[2], rel=1e-6)
    assert f == pytest.approx(sine * f_of_mixing(), rel=1e-6)
    assert quarter.limit[2] == pytest.approx(whole.limit[2], rel=1e-9)
    assert quarter.couplings[0].expected[2] == pytest.approx(2 * f, rel=1e-6)


def test_ratio_is_the_product_over_that_of_leptons():
    product, ratio = at(m_a0=7.0), at(m_a0=7.0, quantity="ratio")
    assert ratio.limit[2] == pytest.approx(product.limit[2] / float(MESONS["upsilon_1s_to_leptons"]), rel=1e-9)


def test_background_or_none_decides_how_luminosity_helps():
    """Near the Upsilon(1S) soft photons are many: L^-1/2. At 0.3 GeV there is nothing: 2.3 events whatever the luminosity."""
    few, many = (at(m_a0=9.0, luminosity=x).limit[2] for x in (24.7, 98.8))
    assert few / many == pytest.approx(2.0, rel=0.1)
    nothing = at(m_a0=0.3)
    assert nothing.background_events < 0.2
    events = nothing.limit[2] * 28.2e6 * nothing.efficiency
    # the fit has a wider range than the window that the efficiency is quoted in (87 % of a Gaussian within 1.5 widths)
    assert events == pytest.approx(2.3 * 0.87, rel=0.15)


def test_taus_need_twice_their_mass():
    assert "closed" in at(m_a0=2 * M_TAU - 0.01, final_state="tautau").reason
    assert at(m_a0=2 * M_TAU - 0.01).limit is not None
    assert at(m_a0=2 * M_TAU + 0.02, final_state="tautau").limit is not None
    assert SEARCH.parameters[0].low > 2 * M_MUON


def test_the_photon_must_not_be_too_soft():
    """0.2 GeV at rest of the Upsilon(1S) is a mass of 9.26 GeV; the publication goes to 9.2 GeV."""
    assert at(m_a0=9.2).limit is not None and at(m_a0=9.2, final_state="tautau").limit is not None
    assert "too soft" in at(m_a0=9.27).reason


def test_final_states_look_at_different_things():
    muons, taus = (SEARCH.at(SEARCH.parse({"final_state": name})) for name in ("mumu", "tautau"))
    assert (muons.window.x, taus.window.x) == ("reduced_mass", "photon_recoil_mass_squared")
    assert muons.template != taus.template
    assert at(m_a0=6.0).limit[2] < at(m_a0=6.0, final_state="tautau").limit[2] / 3


def test_tau_resolution_is_that_of_the_photon():
    """sigma(M^2) = 2 m_Y sigma(E): 0.39 GeV^2 at 8 GeV for 1.5 % of 1.35 GeV."""
    energy = (M_UPSILON_1S**2 - 64.0) / (2 * M_UPSILON_1S)
    found = at(m_a0=8.0, final_state="tautau").resolution["photon_recoil_mass_squared"][1]
    assert found == pytest.approx(2 * M_UPSILON_1S * 0.0155 * energy, rel=0.12)


def test_the_declared_efficiency_is_for_taus_only():
    """A constant below 1 makes limits on taus weaker and leaves muons and the background alone."""
    declared, simulated = (at(m_a0=6.0, final_state="tautau", calibration=name) for name in ("declared", "simulated"))
    assert declared.limit[2] > simulated.limit[2] and declared.background_events == simulated.background_events
    assert declared.cutflow[:-1] == simulated.cutflow
    muons = [at(m_a0=6.0, calibration=name).limit[2] for name in ("declared", "simulated")]
    assert muons[0] == muons[1]


def test_a_scan_of_many_masses_agrees_with_points():
    """One smoothed background for all masses against one for each: 10 % in the limit."""
    masses = np.linspace(7.8, 8.2, 9)
    frame = scan_masses(SEARCH, {"final_state": "tautau"}, masses, n_events=N).frame
    middle = frame.iloc[len(frame) // 2]
    assert len(frame) == len(masses)
    assert middle["limit_median"] == pytest.approx(at(m_a0=middle["m_a0"], final_state="tautau").limit[2], rel=0.1)
    assert np.abs(np.diff(np.log(frame["limit_median"]))).max() < 0.15


# what was published


@pytest.mark.parametrize(("final_state", "mass", "limit", "factor"),
                         [("mumu", 1.0, 5.6e-7, 1.6), ("mumu", 5.0, 1.1e-6, 1.6), ("mumu", 9.05, 5.2e-6, 1.6),
                          ("tautau", 4.2, 6.7e-6, 2.0), ("tautau", 8.0, 2.1e-5, 2.0)])  # fmt: skip
def test_published_limits_from_first_principles(final_state, mass, limit, factor):
    """Local medians of observed limits, another transcription than the curve: 1.6, as they scatter and bins are coarse.

    The constant declared for taus was fitted to the two values here, so it is left out: 2, as modes and identification are ours.
    """
    assert 1 / factor < at(m_a0=mass, final_state=final_state, calibration="simulated").limit[2] / limit < factor


def test_muon_pairs_follow_the_published_curve_from_first_principles():
    """Ratios to medians of ten observed values, one GeV each: 1.5 in the median, 2 anywhere, while the limit grows by five.

    Nothing is declared. From 2.5 to 3.5 GeV the published limits are weaker by 1.7: there is more than photons off muons.
    """
    curve = next(r for r in load_published("cp_odd_higgs") if r.observed and len(r.observed) > 30)
    masses, observed = np.array(curve.masses["m_a0"]), np.array(curve.observed)
    ratios = []
    for low in (0.5, 2.5, 4.5, 6.5, 8.0):
        part = (masses >= low) & (masses < low + 1.0)
        ratios.append(at(m_a0=low + 0.5).limit[2] / np.median(observed[part]))
    assert 1 / 1.5 < np.median(ratios) < 1.5
    assert 0.5 < min(ratios) < max(ratios) < 2.0


def test_overlays_are_for_muon_pairs():
    assert SEARCH.overlays(SEARCH.parse({}))[0].high == (4.4e-7, 9.3e-7, 3.0e-6)
    assert SEARCH.overlays(SEARCH.parse({"final_state": "tautau"})) == ()


def test_bad_input_names_what_is_allowed():
    with pytest.raises(ValueError, match="mumu"):
        at(final_state="mum")
    with pytest.raises(ValueError, match=r"9\.46"):
        at(m_a0=9.5)
