"""B and Upsilon decays: conservation, thresholds, spin, lifetimes, rates, tag side."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from belle2dark.constants import (
    CTAU_BPLUS,
    CTAU_LAMBDA,
    M_B0,
    M_BPLUS,
    M_KAON,
    M_LAMBDA,
    M_MUON,
    M_PION,
    M_UPSILON_1S,
    M_UPSILON_2S,
)
from belle2dark.simulation.beams import belle2_beams, collider_beams, to_cms
from belle2dark.simulation.decays import mesons, upsilon
from belle2dark.simulation.decays.chain import lifetime_factor, mass, proper_length
from belle2dark.sourced import load_numbers

N, KEY = 30_000, 7
BEAMS, STILL = belle2_beams(), belle2_beams(spread=False)
NUMBERS = load_numbers("mesons")
MODES = [
    lambda beams: mesons.generate_b_to_k_llp(N, KEY, beams, 1.0, 2.0),
    lambda beams: mesons.generate_b_to_k_llp(N, KEY, beams, 2.0, 2.0, mode="kstar0", final_state="kk"),
    lambda beams: mesons.generate_b_to_k_llp(N, KEY, beams, 0.03, 2.0, mode="kstar0", final_state="ee"),
    lambda beams: mesons.generate_b_to_k_invisible(N, KEY, beams, 0.0),
    lambda beams: mesons.generate_b_to_k_invisible(N, KEY, beams, 3.0, mode="kstar0"),
    lambda beams: mesons.generate_b_to_baryon(N, KEY, beams, 2.0),
    lambda beams: mesons.generate_b_to_baryon(N, KEY, beams, 2.0, baryon="proton"),
    lambda beams: mesons.generate_b_to_baryon(N, KEY, beams, 2.0, baryon="lambda_c"),
]


def at_rest_of(p: np.ndarray, parent: np.ndarray) -> np.ndarray:
    """p at rest of the parent, by an explicit boost."""
    beta = parent[:, 1:] / parent[:, :1]
    gamma = 1.0 / np.sqrt(1.0 - (beta**2).sum(axis=1))
    along = (beta * p[:, 1:]).sum(axis=1)
    space = p[:, 1:] + beta * (gamma**2 / (gamma + 1.0) * along - gamma * p[:, 0])[:, None]
    return np.column_stack([gamma * (p[:, 0] - along), space])


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a[:, 1:] * b[:, 1:]).sum(axis=1) / np.linalg.norm(a[:, 1:], axis=1) / np.linalg.norm(b[:, 1:], axis=1)


@pytest.mark.parametrize("generate", MODES)
def test_momentum_is_that_of_the_beams(generate):
    assert np.abs(sum(generate(STILL).momenta_lab.values()) - STILL.nominal).max() < 1e-9
    total = sum(generate(BEAMS).momenta_lab.values())
    # the spread of sqrt s of the two beams, 4.99 MeV, cut at the threshold 4 sigma below
    assert mass(total).std() == pytest.approx(4.99e-3, rel=0.02)
    assert np.abs(total.mean(axis=0) - BEAMS.nominal).max() < 3 * 5.7e-3 / math.sqrt(N)


def test_b_pairs_are_monochromatic_and_follow_sine_squared():
    signal, tag, point, weights = mesons.b_pairs(N, KEY, STILL, charged=True)
    cms = to_cms(signal, STILL)
    assert np.linalg.norm(cms[:, 1:], axis=1) == pytest.approx(np.full(N, math.sqrt(STILL.sqrt_s**2 / 4 - M_BPLUS**2)), rel=1e-6)
    assert mass(tag) == pytest.approx(np.full(N, M_BPLUS))
    c = cms[:, 3] / np.linalg.norm(cms[:, 1:], axis=1)
    assert stats.kstest(c, lambda x: 0.75 * (x - x**3 / 3) + 0.5).pvalue > 0.003
    assert proper_length(signal, np.zeros((N, 3)), point).mean() == pytest.approx(CTAU_BPLUS, rel=3 / math.sqrt(N))
    # beta gamma 0.28 along z: the B flies 130 um on average
    assert point[:, 2].mean() == pytest.approx(0.0135, rel=0.1)
    # two B mesons in a pair, half of the 1.1 nb charged within 5 %
    assert weights.sum() == pytest.approx(1.1e6, rel=0.05)


def test_rates_of_charged_and_neutral_add_up_to_all_b_mesons():
    rates = [mesons.b_pairs(10, KEY, STILL, charged=charged)[3].sum() for charged in (True, False)]
    assert sum(rates) == pytest.approx(2.2e6)


def test_two_body_momentum_in_the_b_frame_and_masses():
    events = mesons.generate_b_to_k_llp(N, KEY, BEAMS, 1.0, 2.0)
    p = events.momenta_lab
    scalar = p["mu-"] + p["mu+"]
    assert mass(scalar) == pytest.approx(np.ones(N), abs=1e-6)
    b = scalar + p["K+"]
    assert mass(b) == pytest.approx(np.full(N, M_BPLUS), abs=1e-9)
    expected = math.sqrt((M_BPLUS**2 - (M_KAON + 1.0) ** 2) * (M_BPLUS**2 - (M_KAON - 1.0) ** 2)) / (2 * M_BPLUS)
    assert np.linalg.norm(at_rest_of(p["K+"], b)[:, 1:], axis=1) == pytest.approx(np.full(N, expected), rel=1e-9)
    mbc, delta_e = mesons.beam_constrained(to_cms(b, BEAMS), BEAMS.sqrt_s)
    # beam-energy spread only: half of the spread of sqrt s
    assert mbc.mean() == pytest.approx(M_BPLUS, abs=1e-3) and delta_e.std() == pytest.approx(2.5e-3, rel=0.05)


@pytest.mark.parametrize("ctau", [1e-3, 1.0, 100.0])
def test_scalar_flies_its_lifetime_from_the_b(ctau):
    events = mesons.generate_b_to_k_llp(N, KEY, BEAMS, 1.0, ctau)
    scalar = events.momenta_lab["mu-"] + events.momenta_lab["mu+"]
    start, end = events.vertices_cm["K+"], events.vertices_cm["mu-"]
    assert np.array_equal(end, events.vertices_cm["mu+"])
    lengths = proper_length(scalar, start, end) / ctau
    assert stats.kstest(lengths, "expon").pvalue > 0.003


def test_broad_flights_have_the_rate_of_a_lifetime_inside():
    free = mesons.generate_b_to_k_llp(N, KEY, BEAMS, 1.0, 300.0)
    broad = mesons.generate_b_to_k_llp(N, KEY, BEAMS, 1.0)
    assert not free.flights and list(broad.flights) == ["s"]
    path = np.linalg.norm(free.vertices_cm["mu-"] - free.vertices_cm["K+"], axis=1)
    rate, error = free.weights[path < 100.0].sum(), free.weights[0] * math.sqrt((path < 100.0).sum())
    path = np.linalg.norm(broad.vertices_cm["mu-"] - broad.vertices_cm["K+"], axis=1)
    weights = (broad.weights * lifetime_factor(broad.flights["s"], 300.0))[path < 100.0]
    assert weights.sum() == pytest.approx(rate, abs=3 * math.hypot(error, math.sqrt((weights**2).sum())))


def test_kstar_is_longitudinal_and_has_its_shape():
    events = mesons.generate_b_to_k_llp(N, KEY, BEAMS, 1.0, 2.0, mode="kstar0")
    kaon, pion = events.momenta_lab["K+"], events.momenta_lab["pi-"]
    kstar = kaon + pion
    b = kstar + events.momenta_lab["mu-"] + events.momenta_lab["mu+"]
    c = cosine(at_rest_of(kaon, kstar), at_rest_of(b, kstar))
    assert stats.kstest(c, lambda x: 0.5 * (x**3 + 1)).pvalue > 0.003
    m = mass(kstar)
    # the published peak and width: the median is at the peak, about 50 % within half a width on either side
    assert np.median(m) == pytest.approx(0.8956, abs=0.008)
    assert np.mean(np.abs(m - 0.8956) < 0.5 * 0.0471) == pytest.approx(0.5, abs=0.06)
    assert events.weights.sum() == pytest.approx(2 * 1.1e6 * float(NUMBERS["neutral_b_fraction"]) * 2 / 3, rel=1e-3)


def test_slots_of_equal_kind_are_numbered_from_the_kaon_side():
    events = mesons.generate_b_to_k_llp(100, KEY, BEAMS, 1.5, 2.0, mode="kstar0", final_state="pipi")
    assert list(events.momenta_lab) == ["K+", "pi-_1", "pi-_2", "pi+", "x_2"]
    assert mass(events.momenta_lab["pi-_2"] + events.momenta_lab["pi+"]) == pytest.approx(np.full(100, 1.5), abs=1e-6)
    # neither the new particle nor the tag is seen by the detector
    assert events.particles().momenta_lab.shape == (100, 4, 4)


def test_missing_mass_is_that_of_the_invisible_particle():
    events = mesons.generate_b_to_baryon(N, KEY, STILL, 2.5)
    seen = [events.momenta_lab["p"], events.momenta_lab["pi-"]]
    m2 = mesons.missing_mass_squared(seen, events.momenta_lab["x_2"], STILL)
    assert m2 == pytest.approx(np.full(N, 2.5**2), abs=1e-7)


def test_neutrino_pairs_follow_the_form_factor():
    events = mesons.generate_b_to_k_neutrinos(N, KEY, BEAMS)
    p = events.momenta_lab
    pair = p["nu_1"] + p["nu_2"]
    assert mass(pair + p["K+"]) == pytest.approx(np.full(N, M_BPLUS), abs=1e-9)
    assert events.particles().momenta_lab.shape == (N, 1, 4)
    top = (M_BPLUS - M_KAON) ** 2
    total = quad(lambda s: float(mesons.neutrino_density(s)), 0, top)[0]
    for cut in (4.0, 10.0, 16.0):
        part = quad(lambda s: float(mesons.neutrino_density(s)), 0, cut)[0] / total
        assert np.mean(mass(pair) ** 2 < cut) == pytest.approx(part, abs=3 * math.sqrt(part * (1 - part) / N))
    c = cosine(at_rest_of(p["nu_1"], pair), at_rest_of(p["K+"], pair))
    assert stats.kstest(c, lambda x: 0.75 * (x - x**3 / 3) + 0.5).pvalue > 0.003
    # the form factor grows towards the end point like a pole: the ratio to pure phase space does
    momentum = lambda s: (M_BPLUS**2 - (M_KAON + s**0.5) ** 2) * (M_BPLUS**2 - (M_KAON - s**0.5) ** 2)  # noqa: E731
    growth = [float(mesons.neutrino_density(s)) / momentum(s) ** 1.5 for s in (0.0, 10.0, 20.0)]
    assert 2 < growth[1] / growth[0] < 4 and 3 < growth[2] / growth[1] < 8


def test_lambda_has_its_mass_momentum_and_lifetime():
    events = mesons.generate_b_to_baryon(N, KEY, BEAMS, 2.5)
    hyperon = events.momenta_lab["p"] + events.momenta_lab["pi-"]
    assert mass(hyperon) == pytest.approx(np.full(N, M_LAMBDA), abs=1e-9)
    b = hyperon + events.momenta_lab["x"]
    momentum = np.linalg.norm(at_rest_of(hyperon, b)[:, 1:], axis=1)
    square = (M_B0**2 - (M_LAMBDA + 2.5) ** 2) * (M_B0**2 - (M_LAMBDA - 2.5) ** 2)
    assert momentum == pytest.approx(np.full(N, math.sqrt(square) / (2 * M_B0)), rel=1e-9)
    length = proper_length(hyperon, events.vertices_cm["x"], events.vertices_cm["p"])
    assert length.mean() == pytest.approx(CTAU_LAMBDA, rel=3 / math.sqrt(N))
    assert events.weights.sum() == pytest.approx(2 * 1.1e6 * float(NUMBERS["neutral_b_fraction"]) * 0.641)


@pytest.mark.parametrize(("baryon", "threshold"), [("lambda", 4.16), ("proton", 4.34), ("lambda_c", 2.99)])
def test_thresholds_of_the_dark_antibaryon(baryon, threshold):
    assert len(mesons.generate_b_to_baryon(10, KEY, BEAMS, threshold, baryon=baryon)) == 10
    with pytest.raises(ValueError, match="closed"):
        mesons.generate_b_to_baryon(10, KEY, BEAMS, threshold + 0.01, baryon=baryon)


def test_lambda_c_decays_to_three_with_its_mass():
    events = mesons.generate_b_to_baryon(1000, KEY, BEAMS, 1.0, baryon="lambda_c")
    total = sum(events.momenta_lab[name] for name in ("p", "K-", "pi+"))
    assert mass(total) == pytest.approx(np.full(1000, 2.28646), abs=1e-6)


def test_tag_efficiency_is_per_mille_and_better_for_charged_b():
    assert 1e-3 < mesons.tag_efficiency(charged=False) < mesons.tag_efficiency(charged=True) < 1e-2


def test_dipion_events_conserve_momentum_at_the_upsilon_mass():
    beams = collider_beams("kekb", "2s")
    events = upsilon.generate_cp_odd_higgs(N, KEY, beams, 5.0)
    total = sum(events.momenta_lab.values())
    assert mass(total) == pytest.approx(np.full(N, M_UPSILON_2S), abs=1e-9)
    # at fixed mass the spread moves the boost only: dp_z = (E- + E+)/2 (dE-/E- - dE+/E+)
    relative = math.hypot(beams.electron_spread / beams.electron_energy, beams.positron_spread / beams.positron_energy)
    assert total[:, 3].std() == pytest.approx(0.5 * beams.nominal[0] * relative, rel=3 / math.sqrt(2 * N))
    assert total.mean(axis=0) == pytest.approx(beams.nominal * M_UPSILON_2S / beams.sqrt_s, abs=3 * 6e-3 / math.sqrt(N))
    recoil = upsilon.dipion_recoil_mass(events.momenta_lab["pi-"], events.momenta_lab["pi+"], beams)
    assert recoil.mean() == pytest.approx(M_UPSILON_1S, abs=1e-4) and recoil.std() < 1e-3
    # 158 million decays with a branching fraction of 17.85 % in 24.7 fb^-1
    assert events.weights.sum() * 24.7 == pytest.approx(158e6 * 0.1785)


@pytest.mark.parametrize("m_a0", [0.3, 5.0, 9.2])
def test_photon_is_monochromatic_and_transverse(m_a0):
    beams = collider_beams("superkekb", "2s", spread=False)
    p = upsilon.generate_cp_odd_higgs(N, KEY, beams, m_a0).momenta_lab
    a0 = p["mu-"] + p["mu+"]
    y1s = a0 + p["gamma"]
    assert mass(y1s) == pytest.approx(np.full(N, M_UPSILON_1S), abs=1e-8)
    energy = (M_UPSILON_1S**2 - m_a0**2) / (2 * M_UPSILON_1S)
    assert at_rest_of(p["gamma"], y1s)[:, 0] == pytest.approx(np.full(N, energy), rel=1e-9)
    electron = np.tile(beams.electron, (N, 1))
    c = cosine(at_rest_of(p["gamma"], y1s), at_rest_of(electron, y1s))
    assert stats.kstest(c, lambda x: 0.375 * (x + x**3 / 3) + 0.5).pvalue > 0.003
    # a spinless A0 decays without a preferred direction
    assert abs(cosine(at_rest_of(p["mu-"], a0), at_rest_of(y1s, a0)).mean()) < 4 / math.sqrt(3 * N)


def test_dipion_mass_follows_the_amplitude():
    p = upsilon.generate_dipion_leptons(N, KEY, collider_beams("kekb", "2s"), final_state="tautau").momenta_lab
    q = mass(p["pi-"] + p["pi+"])
    high = M_UPSILON_2S - M_UPSILON_1S
    lam = float(NUMBERS["dipion_lambda"])

    def density(x: float) -> float:  # written out, with the momentum of the dipion from energy conservation
        energy = (M_UPSILON_2S**2 + x * x - M_UPSILON_1S**2) / (2 * M_UPSILON_2S)
        return (x * x - lam * M_PION**2) ** 2 * math.sqrt(max(energy**2 - x * x, 0) * max(x * x / 4 - M_PION**2, 0))

    total = quad(density, 2 * M_PION, high)[0]
    for cut in (0.4, 0.48, 0.53):
        part = quad(density, 2 * M_PION, cut)[0] / total
        assert np.mean(q < cut) == pytest.approx(part, abs=3 * math.sqrt(part * (1 - part) / N))
    # the Adler zero pulls the spectrum to high masses: published spectra peak above 0.5 GeV
    x = np.linspace(2 * M_PION, high, 1000)
    assert 0.5 < x[np.argmax(upsilon.dipion_density(x))] < 0.56


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mesons.generate_b_to_k_llp(10, 1, BEAMS, 0.2, 1.0), "S -> mumu needs more than 0.2113 GeV"),
        (lambda: mesons.generate_b_to_k_llp(10, 1, BEAMS, 4.9, 1.0), "closed; allowed 0 to 4.786 GeV"),
        (lambda: mesons.generate_b_to_k_llp(10, 1, BEAMS, 1.0, -1.0), "ctau_cm = -1.0 cm"),
        (lambda: mesons.generate_b_to_k_llp(10, 1, BEAMS, 1.0, 1.0, mode="kplus0"), "nearest: kplus"),
        (lambda: mesons.generate_b_to_k_llp(10, 1, BEAMS, 1.0, 1.0, final_state="mumumu"), "nearest: mumu"),
        (lambda: mesons.generate_b_to_k_invisible(10, 1, BEAMS, math.nan), "m_x = nan GeV"),
        (lambda: mesons.generate_b_to_k_invisible(0, 1, BEAMS, 1.0), "n = 0"),
        (lambda: mesons.generate_b_to_baryon(10, 1, BEAMS, 1.0, baryon="lamda"), "nearest: lambda"),
        (lambda: mesons.b_pairs(10, 1, collider_beams("superkekb", "4s_off"), True), "needs at least 10.5588 GeV"),
        (lambda: upsilon.generate_cp_odd_higgs(10, 1, BEAMS, 9.5), "closed"),
        (lambda: upsilon.generate_cp_odd_higgs(10, 1, BEAMS, 3.0, final_state="tautau"), "closed; allowed 3.554"),
        (lambda: upsilon.generate_cp_odd_higgs(10, 1, BEAMS, 3.0, final_state="tau"), "nearest: tautau"),
        (lambda: upsilon.generate_cp_odd_higgs(10, 1, BEAMS, 2 * M_MUON), "closed"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
