"""The search for a resonance of two muons: theory, rates, selection, extraction and what was published."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.integrate import dblquad

from belle2dark.constants import ALPHA, M_MUON, M_TAU
from belle2dark.point import point
from belle2dark.published import load_published
from belle2dark.sample import choices_of, selected_template
from belle2dark.search import load_search
from belle2dark.searches.dimuon_resonance import (
    DATASETS,
    NUMBERS,
    cross_section_at_unit_coupling,
    overlays,
    reduced_mass,
    unit_rate,
)
from belle2dark.simulation.amplitudes.couplings import LeptonCoupling
from belle2dark.simulation.lepton_pair_x_rate import cross_section
from belle2dark.theory.muonphilic import MUONPHILIC

SEARCH = load_search("dimuon_resonance")
COUPLINGS = {"zprime": LeptonCoupling(vector=1.0), "muonphilic": LeptonCoupling(scalar=1.0)}
N = 10_000


@cache
def at(n_events=N, **values):
    return point(SEARCH, values, n_events=n_events)


# the muonphilic scalar


def test_muonphilic_scalar_decays_to_muons_as_soon_as_it_can():
    assert MUONPHILIC.branching_fraction("mumu", 0.2) == 0.0 and MUONPHILIC.branching_fraction("gammagamma", 0.2) == 1.0
    open_masses = np.array([0.212, 0.22, 0.25, 1.0, 9.0])
    muons = MUONPHILIC.branching_fraction("mumu", open_masses)
    assert (np.diff(muons) > 0).all() and muons[0] > 0.99 and 1 - muons[2] < 1e-4
    assert muons + MUONPHILIC.branching_fraction("gammagamma", open_masses) == pytest.approx(np.ones(5))


def test_width_to_muons_is_that_of_a_yukawa_coupling():
    """g^2 m / 8 pi without masses; beta^3 with them (a p-wave)."""
    assert MUONPHILIC.partial_width("mumu", 1e3, {"g_s": 0.1}) == pytest.approx(0.01 * 1e3 / (8 * math.pi), rel=1e-6)
    beta = np.array([0.01, 0.02])
    near = MUONPHILIC.partial_width("mumu", 2 * M_MUON / np.sqrt(1 - beta**2))
    assert near[1] / near[0] == pytest.approx(8.0, rel=1e-3)


@pytest.mark.parametrize("mass", [0.02, 0.1, 0.19])
def test_width_to_photons_is_the_integral_over_the_loop(mass):
    """Feynman parameters of the triangle, by quadrature, below the threshold where nothing has an imaginary part."""
    a = (mass / M_MUON) ** 2
    triangle, _ = dblquad(lambda y, x: (1 - 4 * x * y) / (1 - a * x * y), 0, 1, 0, lambda x: 1 - x)
    expected = ALPHA["thomson"] ** 2 * mass**3 / (256 * math.pi**3 * M_MUON**2) * (4 * triangle) ** 2
    assert MUONPHILIC.partial_width("gammagamma", mass) == pytest.approx(expected, rel=1e-6)


# rates


@pytest.mark.parametrize("model", COUPLINGS)
def test_table_of_cross_sections_is_the_quadrature(model):
    """Between the nodes of the table, from twice the muon's mass to where nothing is left; alpha as the datasets have it."""
    dataset = SEARCH.default_dataset
    for mass in (0.212, 0.31, 0.77, 1.57, 4.44, 7.93, 9.47, 10.21):
        exact = cross_section(mass, COUPLINGS[model], dataset.sqrt_s, alpha=dataset.alpha)
        assert cross_section_at_unit_coupling(np.array(mass), model) == pytest.approx(exact, rel=1e-3)


def test_rate_of_the_zprime_is_the_published_one():
    """Cross-sections behind the published search for tau pairs, g' = 0.1 [fb]: within 3 %."""
    for mass, fb in ((4.01, 56.9), (6.0, 6.69), (8.0, 0.289)):
        assert 0.01 * cross_section_at_unit_coupling(np.array(mass), "zprime") == pytest.approx(fb, rel=0.03)


def test_events_carry_the_rate_of_the_table():
    """Weights of generated events, whose error is below 1 %, against the quadrature: near the threshold, in the middle, high."""
    for model in COUPLINGS:
        for mass in (0.22, 2.0, 8.0):
            values = SEARCH.parse({"m_x": mass, "model": model})
            events = SEARCH.generate(values, 20_000, 11, SEARCH.default_dataset, True)
            assert events.weights.sum() == pytest.approx(float(cross_section_at_unit_coupling(np.array(mass), model)), rel=0.03)


def test_branching_fractions_move_by_two_at_thresholds_of_the_zprime():
    """Muons, taus and one and a half massless pairs' worth of neutrinos: 0 to 1/2 at 2 m_mu, 1/2 to 1/3 above 2 m_tau."""

    def beta_factor(m, m_l):
        return (1 + 2 * m_l**2 / m**2) * math.sqrt(1 - 4 * m_l**2 / m**2) if m > 2 * m_l else 0.0

    for m in (0.212, 0.25, 1.0, 3.5, 3.6, 4.0, 9.0):
        mu, tau = beta_factor(m, M_MUON), beta_factor(m, M_TAU)
        assert SEARCH.branching_fraction(SEARCH.parse({"m_x": m})) == pytest.approx(mu / (mu + tau + 1), rel=1e-9)
        assert SEARCH.branching_fraction(SEARCH.parse({"m_x": m, "model": "muonphilic"})) > 0.99
    share = [SEARCH.branching_fraction(SEARCH.parse({"m_x": m})) for m in (0.2125, 1.0, 9.0)]
    assert share[0] < share[1] / 2 and share[2] / share[1] == pytest.approx(2 / 3, rel=0.01)


def test_a_coupling_enters_squared_and_only_in_its_own_model():
    values = SEARCH.parse({"m_x": 1.0, "g_prime": 0.01, "g_s": 0.02})
    dataset = SEARCH.default_dataset
    assert SEARCH.cross_section({**values, "g_s": 0.5}, dataset) == SEARCH.cross_section(values, dataset)
    assert SEARCH.cross_section({**values, "g_prime": 0.03}, dataset) == pytest.approx(9 * SEARCH.cross_section(values, dataset))
    scalar = {**values, "model": "muonphilic"}
    assert SEARCH.cross_section(scalar, dataset) == pytest.approx(4e-4 * unit_rate(scalar, dataset, "muonphilic"), rel=1e-3)


def test_bands_of_g_minus_2():
    """2020: 0.5 to 1e-3 at the muon threshold for a vector, a scalar needs less; since 2025 nothing asks for a coupling."""
    old = {o.quantity: o for o in overlays(SEARCH.parse({"g_minus_2": "wp20"}))}
    assert all(o.low is None for o in overlays(SEARCH.parse({})))
    assert set(old) == {"g_prime", "g_s"} and all(o.low is not None for o in old.values())
    # at equal coupling a light scalar contributes more than a light vector (3/2 against 1 of g^2 / 8 pi^2)
    assert old["g_s"].low[0] < old["g_prime"].low[0]
    assert 5e-4 < old["g_prime"].low[0] < old["g_prime"].high[0] < 2e-3


# signal and extraction


def test_reduced_mass_peaks_where_it_should():
    """The right one of four pairs, within a few MeV that grow with the mass; BaBar's steps of its scan are its resolution."""
    published = {0.5: 1.6e-3, 3.0: 6.0e-3, 5.0: 9.0e-3, 7.5: 8.0e-3}  # of the mass itself [GeV]; between nodes by eye
    for mass, step in published.items():
        answer = at(m_x=mass, dataset="babar_514")
        unit, sigma = answer.resolution["reduced_mass"]
        assert unit == "GeV"
        assert sigma * reduced_mass(mass) / mass == pytest.approx(step, rel=0.4)
        assert answer.simulated.centre[0] == pytest.approx(reduced_mass(mass))


def test_limit_is_that_of_a_gaussian_on_its_background():
    """N = 1.645 sqrt(B) with B = density of the background x 2 sqrt(pi) sigma, which knows nothing of fits and histograms.

    A floating polynomial, the radiative tail of the peak and few events cost a few to some thirty per cent; no mass is
    better than the formula.
    """
    ratios = []
    for mass in (0.3, 1.0, 2.0, 4.0, 6.0, 7.5):
        answer = at(m_x=mass, dataset="babar_514")
        dataset, sigma = answer.dataset, answer.resolution["reduced_mass"][1]
        template, weights = selected_template(SEARCH, dataset, choices_of(SEARCH, answer.values), dataset.lines)
        near = np.abs(template.columns["reduced_mass"] - reduced_mass(mass)) < 12 * sigma
        density = weights[near].sum() / (24 * sigma)
        # the window of two widths has 95 % of a Gaussian
        events = 1.645 * math.sqrt(answer.luminosity * density * 2 * math.sqrt(math.pi) * sigma)
        ratios.append(answer.limit[2] / (events / (answer.luminosity * answer.efficiency / 0.954)))
    assert min(ratios) > 0.95 and max(ratios) < 1.45 and max(ratios) / min(ratios) < 1.3


def test_luminosity_improves_the_limit_like_its_square_root():
    small, large = (at(m_x=1.0, dataset="babar_514", luminosity=x, g_prime=0.003) for x in (500.0, 5000.0))
    assert small.limit[2] / large.limit[2] == pytest.approx(math.sqrt(10.0), rel=0.12)


def test_network_keeps_the_signal_and_removes_qed():
    """Better expected limits than with the balance of energies alone, most of all between 4 and 7 GeV."""
    for mass, least in ((1.0, 1.0), (5.0, 1.1), (6.5, 1.1)):
        network, plain = (at(m_x=mass, selection=s) for s in ("classifier", "cuts"))
        assert network.background_events < plain.background_events
        assert plain.limit[2] / network.limit[2] > least


def test_as_published_means_the_network_for_belle2_alone():
    assert at(m_x=3.0).efficiency == at(m_x=3.0, selection="classifier").efficiency
    assert at(m_x=3.0, dataset="babar_514").efficiency == at(m_x=3.0, dataset="babar_514", selection="cuts").efficiency


@pytest.mark.parametrize("name", DATASETS)
def test_constants_of_the_efficiency_are_in_signal_and_background(name):
    constant = float(NUMBERS[f"efficiency_{name.partition('_')[0]}"]) if name != "belle_643" else 1.0
    plain = replace(SEARCH, datasets={**DATASETS, name: replace(DATASETS[name], corrections={})})
    with_it, without = at(m_x=2.0, dataset=name), point(plain, {"m_x": 2.0, "dataset": name}, n_events=N)
    assert with_it.efficiency / without.efficiency == pytest.approx(constant, rel=1e-9)
    assert with_it.background_events / without.background_events == pytest.approx(constant, rel=1e-9)


def test_closed_where_nothing_is_left_for_two_muons():
    assert "m_x" in at(m_x=10.4).reason
    assert SEARCH.closed(SEARCH.parse({"m_x": 10.2}), SEARCH.default_dataset) == ""


# what was published


@pytest.mark.parametrize("result", [r for r in load_published("dimuon_resonance") if r.masses])
def test_published_coupling_of_babar(result):
    """Local medians of a digitised curve: the median of the ratios of rates within 1.3, each within 1.8."""
    ratios = []
    for mass, seen in zip(result.masses["m_x"], result.observed, strict=True):
        answer = point(SEARCH, {"m_x": mass, "dataset": result.dataset, **result.parameters}, n_events=20_000)
        (found,) = [c for c in answer.couplings if c.name == result.quantity]
        ratios.append((found.expected[2] / seen) ** 2)
    assert 1 / 1.3 < np.median(ratios) < 1.3, ratios
    assert all(1 / 1.8 < r < 1.8 for r in ratios), ratios
