"""Upsilon(2S) -> pi pi Upsilon(1S) with a photon and two leptons: radiation, decays, tag, fit, what is asked of the tracks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from belle2dark.constants import ALPHA, M_MUON, M_TAU, M_UPSILON_1S, M_UPSILON_2S
from belle2dark.detector.experiments import BELLE, BELLE_2S
from belle2dark.final_states import final_state
from belle2dark.final_states.record import square
from belle2dark.final_states.upsilon import _tau_tracks
from belle2dark.simulation.backgrounds import MUMU_PIPI
from belle2dark.simulation.backgrounds_upsilon import SOFTEST, UPSILON_TAUTAU, generate_radiative, generate_signal
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.decays.upsilon import generate_dipion_leptons, upsilon_2s_cross_section
from belle2dark.sourced import load_numbers
from belle2dark.templates import load_template

BEAMS, N, KEY = BELLE_2S.beams, 20_000, 11
MESONS = load_numbers("mesons")
TAGGED = upsilon_2s_cross_section() * float(MESONS["upsilon_2s_to_pipi_upsilon_1s"])


def seen(name, events, key=KEY):
    """Columns and weights of events as this final state."""
    found = final_state(name).reconstruct(events, BELLE_2S, key)
    weights = found.weights.copy()
    for factor in found.factors.values():
        weights *= factor
    return found.columns, weights


def half_width(x, weights):
    order = np.argsort(x)
    share = np.cumsum(weights[order]) / weights.sum()
    low, high = np.interp([0.1587, 0.8413], share, x[order])
    return 0.5 * (high - low)


def median(x, weights):
    order = np.argsort(x)
    return float(np.interp(0.5, np.cumsum(weights[order]) / weights.sum(), x[order]))


# events


@pytest.mark.parametrize("final_state", ["mumu", "tautau"])
def test_signal_has_the_rate_of_the_tag_and_the_momentum_of_the_upsilon(final_state):
    events = generate_signal(N, KEY, BEAMS, 6.0, final_state=final_state)
    assert events.weights.sum() == pytest.approx(TAGGED, rel=1e-9)
    whole = [p for name, p in events.momenta_lab.items() if name not in ("prong_1", "prong_4")]
    complete = np.ones(N, dtype=bool)
    if final_state == "tautau":
        complete = (events.momenta_lab["prong_1"][:, 0] > 0) & (np.abs(events.pdg("prong_1")) != 321)
        whole += [events.momenta_lab[name] for name in ("prong_1", "prong_4")]
    total = np.sum(whole, axis=0)[complete]
    # K0 of some tau modes may not find a slot: the median counts
    assert np.median(np.sqrt(square(total))) == pytest.approx(M_UPSILON_2S, abs=1e-6)


def test_three_prongs_are_empty_and_counted():
    """Both prongs are there in the square of the one-prong branching fraction, 0.85 each (PDG: 84.7 to 85.2 %)."""
    events = generate_signal(N, KEY, BEAMS, 6.0, final_state="tautau")
    there = events.momenta_lab["prong_1"][:, 0] > 0
    assert np.array_equal(there, events.momenta_lab["prong_4"][:, 0] > 0)
    # 3 sigma of the count, and one percent for modes that are not made
    assert there.mean() == pytest.approx(0.85**2, abs=3 * math.sqrt(0.72 * 0.28 / N) + 0.01)


def test_photons_off_muons_follow_the_spectrum_of_a_vector():
    """dN/dx = alpha/pi (1 + (1 - x)^2)/x (ln(s (1 - x)/m^2) - 1), x = 2 E/m, logarithm and constant."""
    events = generate_radiative(60_000, KEY, BEAMS, "mumu")
    upsilon = np.sum([p for name, p in events.momenta_lab.items() if not name.startswith("pi")], axis=0)
    photons = np.stack([events.momenta_lab[name] for name in events.photons])
    hardest = photons[photons[..., 0].argmax(axis=0), np.arange(len(events))]
    mixed = upsilon[:, 0] * hardest[:, 0] - (upsilon[:, 1:] * hardest[:, 1:]).sum(axis=1)
    x = 2.0 * mixed / square(upsilon)
    pairs = TAGGED * float(MESONS["upsilon_1s_to_leptons"])
    for low, high in ((0.1, 0.3), (0.3, 0.6), (0.6, 0.9)):
        grid = np.linspace(low, high, 2001)
        rate = ALPHA["thomson"] / math.pi * (1 + (1 - grid) ** 2) / grid * (np.log(M_UPSILON_1S**2 * (1 - grid) / M_MUON**2) - 1)
        expected = float(np.trapezoid(rate, grid))
        inside = (x > low) & (x < high)
        # second photons, and the first ones taking their energy, are alpha/pi (log)^2: 3 %; the sample's own error is 1 to 2 %
        error = 3.0 / math.sqrt(inside.sum())
        assert events.weights[inside].sum() / pairs == pytest.approx(expected, rel=0.03 + error), (low, high)
    energies = np.max([to_cms(p, BEAMS)[:, 0] for p in photons], axis=0)
    assert energies.min() > SOFTEST


def test_radiative_events_are_a_part_of_all_pairs():
    whole = generate_dipion_leptons(1000, KEY, BEAMS).weights.sum()
    muons, electrons = (generate_radiative(2000, KEY, BEAMS, name).weights.sum() for name in ("mumu", "ee"))
    # electrons radiate ln(s/m_e^2) / ln(s/m_mu^2) = 2.2 times as much
    assert 0.08 < muons / whole < 0.13 and electrons / muons == pytest.approx(2.2, abs=0.25)
    assert UPSILON_TAUTAU.cross_section.value == pytest.approx(whole, rel=1e-3)


# what is seen


def test_the_recoil_of_the_dipion_is_the_upsilon():
    columns, weights = seen("upsilon_dimuon", generate_signal(N, KEY, BEAMS, 7.0))
    x = columns["dipion_recoil_mass"]
    use = weights > 0
    assert median(x[use], weights[use]) == pytest.approx(M_UPSILON_1S, abs=1e-4)
    assert half_width(x[use], weights[use]) < 0.002


@pytest.mark.parametrize(("mass", "name", "final"), [(9.0, "upsilon_dimuon", "mumu"), (8.0, "upsilon_ditau", "tautau")])
def test_the_photon_recoils_against_the_a0(mass, name, final):
    """E = (m_Y^2 - m^2) / (2 m_Y) at rest of the Upsilon(1S), for muons and for taus, which are not seen."""
    columns, weights = seen(name, generate_signal(N, KEY, BEAMS, mass, final_state=final, photons=False))
    use = (weights > 0) & (np.abs(columns["dipion_recoil_mass"] - M_UPSILON_1S) < 0.008)
    energy = (M_UPSILON_1S**2 - mass**2) / (2 * M_UPSILON_1S)
    width = half_width(columns["photon_energy"][use], weights[use])
    assert median(columns["photon_energy"][use], weights[use]) == pytest.approx(energy, abs=0.1 * width)
    squared = columns["photon_recoil_mass_squared"][use]
    assert half_width(squared, weights[use]) == pytest.approx(2 * M_UPSILON_1S * width, rel=1e-3)
    # calorimeter: 0.81 % / E^0.25 (+) 1.34 % at the energy in the lab, between 0.6 and 1.6 of that here
    assert 0.012 < width / energy < 0.025


def test_the_fit_to_the_beams_sharpens_the_pair():
    columns, weights = seen("upsilon_dimuon", generate_signal(N, KEY, BEAMS, 9.0, photons=False))
    use = (weights > 0) & (columns["chi2"] < 20)
    raw, fitted = (half_width(columns[name][use], weights[use]) for name in ("m_pair_raw", "m_pair"))
    assert fitted < raw / 5
    assert median(columns["m_pair"][use], weights[use]) == pytest.approx(9.0, abs=0.1 * fitted)
    # a chi2 of 4 degrees of freedom: median 3.36, above 20 in 5e-4 of the events, but photons and soft tracks have tails
    assert median(columns["chi2"][weights > 0], weights[weights > 0]) == pytest.approx(3.36, abs=0.8)


def test_pairs_of_taus_lose_energy_and_pairs_of_muons_do_not():
    taus, w_taus = seen("upsilon_ditau", generate_signal(N, KEY, BEAMS, 6.0, final_state="tautau"))
    muons, w_muons = seen("upsilon_dimuon", generate_signal(N, KEY, BEAMS, 6.0))
    assert w_taus[(taus["missing_energy"] > 1.5)].sum() > 0.97 * w_taus.sum()
    assert w_muons[(muons["missing_energy"] > 1.5)].sum() < 0.01 * w_muons.sum()


def test_one_of_the_tracks_of_taus_is_a_lepton():
    """Ways of a lepton and any track exclude each other: their sum is 1 - (1 - l_1)(1 - l_2) where no track is a kaon."""
    rng = np.random.default_rng(3)
    known = np.zeros((500, 2, 4))
    known[..., 0], known[..., 1], known[..., 2] = 0.4 * rng.random((500, 2)), 0.5 * rng.random((500, 2)), 1.0
    any_track, lepton, _, neither = np.moveaxis(_tau_tracks(known), -1, 0)
    found = lepton[:, 0] * any_track[:, 1] + neither[:, 0] * lepton[:, 1]
    leptons = known[..., 0] + known[..., 1]
    assert found == pytest.approx(1 - (1 - leptons[:, 0]) * (1 - leptons[:, 1]))
    assert any_track == pytest.approx(np.ones((500, 2)))


def test_two_hadrons_are_hardly_taken_for_taus_with_a_lepton():
    events = generate_signal(N, KEY, BEAMS, 6.0, final_state="tautau")
    hadrons = np.isin(np.abs(events.pdg("prong_1")), (211, 321)) & np.isin(np.abs(events.pdg("prong_4")), (211, 321))
    _, weights = seen("upsilon_ditau", events)
    assert weights[hadrons].sum() < 0.06 * weights.sum()
    assert hadrons.mean() > 0.2


def test_soft_tracks_are_found_from_50_mev_on():
    low, high = BELLE_2S.numbers["tracking_turn_on"].values
    assert (low, high) == BELLE.numbers["soft_tracking_turn_on"].values
    hard = replace(BELLE, beams=BEAMS)
    events = generate_signal(5000, KEY, BEAMS, 6.0)
    found = [final_state("upsilon_dimuon").reconstruct(events, d, KEY).factors["tracking"].mean() for d in (hard, BELLE_2S)]
    assert 1.5 < found[1] / found[0] < 4.0


def test_muons_and_pions_off_resonance_are_a_tenth_of_an_event():
    """e e -> mu mu pi pi gamma with the recoil of an Upsilon(1S) by chance, from a wide range around it, all masses together."""
    columns, weights = seen("upsilon_dimuon", MUMU_PIPI.generate(40_000, KEY, BEAMS))
    wide, narrow = 0.2, 0.008
    use = (
        (np.abs(columns["dipion_recoil_mass"] - M_UPSILON_1S) < wide) & (columns["chi2"] < 20) & (columns["photon_energy"] > 0.15)
    )
    luminosity = float(MESONS["upsilon_2s_luminosity"])
    assert 0.0 < luminosity * weights[use].sum() * narrow / wide < 0.15


@pytest.mark.parametrize("name", ["upsilon_dimuon", "upsilon_ditau"])
def test_templates_are_tagged_and_large(name):
    template = load_template(name, BELLE_2S)
    assert np.abs(template.columns["dipion_recoil_mass"] - M_UPSILON_1S).max() < 0.0201
    largest = template.about["made"][template.processes[0]]
    assert largest["equivalent_luminosity_fb"] > 4 * float(MESONS["upsilon_2s_luminosity"])


def test_bad_requests():
    with pytest.raises(ValueError, match=r"closed; allowed 3\.55"):
        generate_signal(10, 1, BEAMS, 2 * M_TAU - 0.01, final_state="tautau")
    with pytest.raises(ValueError, match="nearest: mumu"):
        generate_signal(10, 1, BEAMS, 5.0, final_state="mum")
