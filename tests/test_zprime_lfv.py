"""Flavour-violating Z': kinematics of the signals, rates against quadrature and closed forms, the selection, the limits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from belle2dark.constants import M_ELECTRON, M_MUON, M_TAU
from belle2dark.detector.experiments import BELLE2
from belle2dark.final_states import final_state
from belle2dark.limits.bands import expected_median
from belle2dark.plots.lepton_flavour import coupling_plane
from belle2dark.point import point
from belle2dark.sample import choices_of, selected_template
from belle2dark.search import load_search
from belle2dark.simulation.amplitudes.couplings import LeptonCoupling
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.flavour_violating import (
    CONE,
    DAUGHTERS,
    PAIRS,
    angular_density,
    cross_section,
    generate_with_zprime,
    generate_without,
    lightest,
    threshold,
)
from belle2dark.simulation.lepton_pair_x_rate import cross_section as quadrature
from belle2dark.sourced import load_numbers
from belle2dark.theory import lepton_flavour
from belle2dark.trigger.menu import load_menu

BEAMS = BELLE2.beams
N = 8000
SEARCH = load_search("zprime_lfv")
COMPUTED = load_numbers("zprime_lfv_cut")


def at(n_events=N, **values):
    return point(SEARCH, values, n_events=n_events)


def total(events):
    return sum(events.momenta_lab.values())


def square(p):
    return p[..., 0] ** 2 - (p[..., 1:] ** 2).sum(axis=-1)


def mean(x, w):
    """Weighted mean and its error."""
    m = (w * x).sum() / w.sum()
    return m, math.sqrt((w**2 * (x - m) ** 2).sum()) / w.sum()


# the signals


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("missing", [True, False])
def test_events_conserve_momentum_and_have_both_charges(pair, missing):
    make = generate_with_zprime if missing else generate_without
    events = make(4000, 5, BEAMS, pair=pair, mass=3.0)
    add_up = to_cms(total(events), BEAMS)
    # the energy spread of the beams: 5 MeV in the centre-of-mass energy, with room for four of them and rounding
    assert np.abs(np.sqrt(square(total(events))) - BEAMS.sqrt_s).max() < 0.03
    assert np.abs(add_up[:, 1:]).max() < 0.05
    charges = -np.sign(events.species["lepton_1"]), -np.sign(events.species["lepton_2"])
    np.testing.assert_array_equal(charges[0], -charges[1])
    assert abs(charges[0].sum()) <= 1
    assert set(np.abs(events.species["lepton_1"])) == {11} and set(np.abs(events.species["lepton_2"])) == {13}
    assert ("x" in events.momenta_lab) == missing
    if missing:
        assert np.sqrt(square(events.momenta_lab["x"])) == pytest.approx(np.full(4000, 3.0), rel=1e-6)


@pytest.mark.parametrize("pair", DAUGHTERS)
def test_tau_is_on_its_mass_shell(pair):
    """Without photons the daughter of the tau and the neutrinos add up to a tau, and the prompt lepton has two-body energy."""
    events = generate_without(2000, 5, BEAMS, pair=pair, mass=3.0, radiation=False)
    daughter, prompt = ("lepton_2", "lepton_1") if DAUGHTERS[pair] == "mu" else ("lepton_1", "lepton_2")
    tau = events.momenta_lab[daughter] + events.momenta_lab["nu_1"]
    assert np.sqrt(square(tau)) == pytest.approx(np.full(2000, M_TAU), rel=1e-6)
    s = square(total(events))
    m = M_ELECTRON if prompt == "lepton_1" else M_MUON
    energy = (total(events)[:, 0] * events.momenta_lab[prompt][:, 0]
              - (total(events)[:, 1:] * events.momenta_lab[prompt][:, 1:]).sum(axis=1)) / np.sqrt(s)  # fmt: skip
    assert energy == pytest.approx((s + m**2 - M_TAU**2) / (2 * np.sqrt(s)), rel=1e-6)


@pytest.mark.parametrize("mass", [2.0, 5.0, 8.0])
def test_rate_of_mu_tau_is_the_quadrature_of_the_amplitude(mass):
    """Generated weights against an integral without random numbers, both charges and the branching fraction: 3 sigma."""
    events = generate_with_zprime(20_000, 3, BEAMS, pair="mutau", mass=mass)
    exact = 2 * quadrature(mass, LeptonCoupling(vector=1.0), BEAMS.sqrt_s, leptons=("mu", "tau"))
    exact *= float(load_numbers("backgrounds")["tau_to_e_branching_fraction"])
    assert events.weights.sum() == pytest.approx(exact, abs=3 * math.sqrt((events.weights**2).sum()) + 0.002 * exact)


@pytest.mark.parametrize("pair", PAIRS)
def test_table_of_rates_is_what_the_generator_gives(pair):
    """At masses between the nodes: 0.3 % of the table, 1 % of 100,000 new events (weights spread over the exchange)."""
    for m in (2.3, 6.1):
        table = SEARCH.couplings[0].rate(SEARCH.parse({"pair": pair, "m_zprime": m}), SEARCH.default_dataset)
        branching = SEARCH.branching_fraction({"pair": pair})
        assert table / branching == pytest.approx(cross_section(pair, m, 77, BEAMS, n=100_000), rel=0.03)


def test_light_vector_of_a_broken_current_is_longitudinal():
    """Two flavours of different mass: the current is not conserved, so that the rate of a light Z' rises as 1 / mass^2."""
    rate = [quadrature(m, LeptonCoupling(vector=1.0), BEAMS.sqrt_s, leptons=("mu", "tau")) for m in (1.75, 1.9)]
    same = [quadrature(m, LeptonCoupling(vector=1.0), BEAMS.sqrt_s, leptons=("mu", "mu")) for m in (1.75, 1.9)]
    assert rate[0] / rate[1] > same[0] / same[1]


def test_angle_without_missing_energy():
    """Annihilation alone is 1 + cos^2; exchange of a heavy Z' is a contact term with u^2 / s^2 added coherently."""
    c = np.linspace(-0.95, 0.95, 20)
    s_channel = angular_density(c, 3.0, False, BEAMS.sqrt_s)
    assert s_channel / s_channel[0] == pytest.approx((1 + c**2) / (1 + c[0] ** 2))
    heavy = angular_density(c, 1e4, True, BEAMS.sqrt_s)
    # V x V contact, both topologies: 4 u^2 + t^2 + s^2 with u = -s (1 + c)/2, t = -s (1 - c)/2
    contact = (1 + c) ** 2 + ((1 - c) / 2) ** 2 + 1
    assert heavy / heavy[0] == pytest.approx(contact / contact[0], rel=1e-4)
    light = angular_density(c, 0.5, True, BEAMS.sqrt_s)
    assert light[-1] / light[0] > 100


@pytest.mark.parametrize(("pair", "mass"), [("emu", 3.0), ("emu", 9.0), ("mutau", 3.0)])
def test_angle_follows_the_cross_section(pair, mass):
    """Share of events within |cos| < 0.8 against the integral over the angle of an independent calculation: 3 sigma."""
    events = generate_without(40_000, 9, BEAMS, pair=pair, mass=mass, radiation=False)
    slot = "lepton_1" if pair == "emu" else "lepton_2"
    p = to_cms(events.momenta_lab[slot], BEAMS)
    central = np.abs(p[:, 3]) / np.sqrt((p[:, 1:] ** 2).sum(axis=1)) < 0.8
    small = {"ee": 1e-3, pair: 1e-3}
    inner, outer = (float(lepton_flavour.cross_section(pair, mass, small, cos_max=x)) for x in (0.8, math.cos(CONE)))
    share = inner / outer
    assert central.mean() == pytest.approx(share, abs=3 * math.sqrt(share * (1 - share) / len(events)) + 1e-3)


def test_electron_follows_the_beam_of_its_charge():
    events = generate_without(4000, 9, BEAMS, pair="emu", mass=2.0, radiation=False)
    charge = -np.sign(events.species["lepton_1"])
    along = to_cms(events.momenta_lab["lepton_1"], BEAMS)[:, 3]
    assert (along[charge < 0] > 0).mean() > 0.8 and (along[charge > 0] < 0).mean() > 0.8


def test_recoil_of_e_mu_peaks_at_the_mass():
    """The mode, since electrons lose energy in the material: half of the events nearest to each other, three times over."""
    state = final_state("emu_missing")
    for mass in (1.0, 4.0, 8.0):
        reco = state.reconstruct(generate_with_zprime(8000, 2, BEAMS, pair="emu", mass=mass, radiation=False), BELLE2, 2)
        recoil = np.sort(reco.columns["recoil_mass_squared"][reco.accepted])
        width = np.diff(np.quantile(recoil, [0.16, 0.5]))[0]
        for _ in range(3):
            half = len(recoil) // 2
            first = int(np.argmin(recoil[half:] - recoil[: len(recoil) - half]))
            recoil = recoil[first : first + half]
        # the mode of some thousand events scatters by a fifth of the width; lost energy moves it by as much
        assert np.median(recoil) == pytest.approx(mass**2, abs=0.5 * width)


def test_same_events_for_any_mass_order_and_bad_input():
    first, second = (generate_with_zprime(2000, 4, BEAMS, pair="etau", mass=3.0) for _ in range(2))
    for name, p in first.momenta_lab.items():
        np.testing.assert_array_equal(p, second.momenta_lab[name])
    for make in (generate_with_zprime, generate_without):
        with pytest.raises(ValueError, match="nearest: mutau"):
            make(100, 1, BEAMS, pair="mutauu", mass=3.0)
        with pytest.raises(ValueError, match="n = 1"):
            make(1, 1, BEAMS, pair="emu", mass=3.0)
    with pytest.raises(ValueError, match="closed"):
        generate_with_zprime(100, 1, BEAMS, pair="emu", mass=10.5)
    with pytest.raises(ValueError, match="mass"):
        generate_without(100, 1, BEAMS, pair="emu", mass=0.0)
    with pytest.raises(ValueError, match="nearest: emu"):
        threshold("emuu")


# the selection and its background


def selected(values, lines=("hie",)):
    """Template, weights [fb] after L1 and the selection at ``values``."""
    parsed = SEARCH.parse(values)
    return selected_template(SEARCH, SEARCH.datasets[str(parsed["dataset"])], choices_of(SEARCH, parsed), lines)


def test_tau_pairs_are_most_of_the_background_before_their_suppression():
    """At recoil masses of 3 to 7 GeV into the barrel, after L1: more than everything else together; little of them is left."""
    template, final = selected({})
    weights = template.weights * load_menu().keep_probability(template.bits, ("hie",))
    m2, cosine = template.columns["recoil_mass_squared"], template.columns["recoil_cos_theta_lab"]
    medium = (m2 > 9.0) & (m2 < 49.0) & (np.abs(cosine) < 0.6)
    tau = template.process == template.processes.index("tautau")
    assert weights[medium & tau].sum() > 0.5 * weights[medium].sum()
    assert final[medium & tau].sum() < 0.1 * weights[medium & tau].sum()


def test_tau_suppression_costs_less_signal_than_background():
    for m in (2.0, 4.0, 6.0):
        answer = at(m_zprime=m)
        kept = {step.name: step.relative for step in answer.cutflow}
        assert kept["recoil across softer lepton"] * kept["recoil across harder lepton"] > 0.4


def test_every_window_has_effective_events_behind_its_background():
    """Where the background decides (more than half an event in the pilot run), its error is below a quarter."""
    for m in (0.3, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 8.5):
        answer = at(m_zprime=m)
        variance = sum(p.fb**2 / p.n_effective for p in answer.processes if p.n_effective > 0)
        rate = sum(p.fb for p in answer.processes)
        if rate * answer.luminosity > 0.5:
            assert math.sqrt(variance) < 0.25 * rate


# the answers


def test_pilot_run_quotes_what_is_seen():
    """efficiency x sigma: events over luminosity; sigma itself for the projection and where nothing is missing."""
    answer = at()
    assert answer.quantity.startswith("efficiency x")
    median = expected_median(
        [answer.background_events], uncertainties=SEARCH.uncertainties(answer.values), cl=0.9, method="bayesian"
    )[0]
    # the errors of the simulation enter the limit as well
    assert answer.limit[2] == pytest.approx(median / answer.luminosity, rel=0.1)
    assert answer.limit[2] > 2.3026 / 0.276
    for other in (at(missing=False), at(dataset="belle2_run1")):
        assert not other.quantity.startswith("efficiency x")
        assert other.limit[2] * other.efficiency * other.luminosity >= 2.3


def test_corrections_of_the_pilot_run_are_part_of_the_efficiency():
    pilot, run1 = at(), point(SEARCH, {"dataset": "belle2_run1"}, lines=("hie",), n_events=N)
    assert pilot.efficiency == pytest.approx(0.96 * 0.90 * run1.efficiency, rel=1e-9)
    assert pilot.processes[0].fb == pytest.approx(0.96 * 0.90 * run1.processes[0].fb, rel=1e-9)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("missing", [True, False])
def test_every_choice_has_a_limit(pair, missing):
    answer = at(pair=pair, missing=missing)
    assert answer.limit is not None and np.isfinite(answer.limit).all()
    assert 0 < answer.efficiency < 0.5
    seen = answer.efficiency if SEARCH.visible(answer.values, answer.dataset) else 1.0
    assert answer.couplings[0].expected[2] ** 2 * SEARCH.couplings[0].rate(answer.values, answer.dataset) * seen == (
        pytest.approx(answer.limit[2])
    )


def test_closed_says_why():
    heavy = at(m_zprime=10.5)
    assert "closed" in heavy.reason and heavy.limit is None
    light = at(m_zprime=1.0, pair="etau")
    assert "tau -> e Z'" in light.reason and light.limit is None
    assert at(m_zprime=1.0, pair="etau", missing=False).limit is not None
    assert lightest("etau") == pytest.approx(M_TAU - M_ELECTRON)


def test_g_ee_scales_the_rate_only_where_nothing_is_missing():
    for missing, factor in ((True, 1.0), (False, 4.0)):
        rates = [at(missing=missing, g_ee=g).cross_section_fb for g in (0.01, 0.02)]
        assert rates[1] / rates[0] == pytest.approx(factor)


def test_overlays_are_finite_and_the_same_curves_for_every_pair():
    names = set()
    for pair in PAIRS:
        lines = SEARCH.overlays(SEARCH.parse({"pair": pair}))
        names.add(tuple(line.label for line in lines))
        for line in lines:
            assert len(line.masses) == len(line.high)
            assert np.isfinite(line.high).all() and (np.array(line.high) > 0).all()
            assert "own calculation" in line.label
    assert len(names) == 1


def test_coupling_plane():
    plot = coupling_plane(at())
    names = {r.name for r in plot.renderers}
    assert {"search", "muonium", "mu_to_e_gamma"} <= names
    with pytest.raises(ValueError, match="zprime_lfv"):
        coupling_plane(at(pair="etau"))
