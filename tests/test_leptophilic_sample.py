"""The sample of tau tau phi, phi -> l l: rates, flights, pairs from virtual photons, final state, backgrounds, network."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from belle2dark.classifier import load_network
from belle2dark.constants import ALPHA, HIGGS_VEV, M_ELECTRON, M_MUON, M_PION, M_PION0, M_TAU
from belle2dark.detector.experiments import BABAR, BELLE, BELLE2
from belle2dark.final_states.tautau_dilepton import COLUMNS, FAR, STATE, tautau_dilepton_columns
from belle2dark.simulation.backgrounds_tautau_dilepton import TAUTAU_DILEPTON
from belle2dark.simulation.beams import to_lab
from belle2dark.simulation.events import Events
from belle2dark.simulation.inner_pairs import dalitz_pair, inner_pair
from belle2dark.simulation.tautau_phi import cross_section, generate_tautau_phi, share_inside
from belle2dark.templates import load_template

BEAMS = BELLE.beams
#: independent tree-level calculation with massive taus, alpha(0), no radiation [fb at xi = 1]
TREE = {0.1: 5.72, 0.325: 3.25, 1.0: 1.384, 2.0: 0.571, 3.0: 0.245, 4.0: 0.0951, 5.0: 0.0292, 6.0: 0.00501}
#: share of tau pairs whose decays are made
MADE = 0.9935


def mass(p: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(p[..., 0] ** 2 - (p[..., 1:] ** 2).sum(axis=-1), 0.0))


def efficiency(m: float, decay: str, detector=BELLE, n: int = 12_000, **options) -> tuple[float, float]:
    """Share of events with the right pair, and half of the central 68 % of its mass [GeV]."""
    events = generate_tautau_phi(n, 4, detector.beams, mass=m, decay=decay, **options)
    reco = STATE.reconstruct(events, detector, 5)
    weights = reco.weights * np.prod(list(reco.factors.values()), axis=0)
    off = reco.columns["m_pair"] - m
    keep = (weights > 0) & STATE.loose(reco.columns, detector) & STATE.dense(reco.columns, detector) & (np.abs(off) < 0.15 * m)
    order = np.argsort(off[keep])
    share = np.cumsum(weights[keep][order]) / weights[keep].sum()
    low, high = (off[keep][order][np.searchsorted(share, x)] for x in (0.1587, 0.8413))
    return float(weights[keep].sum() / events.weights.sum()), float(0.5 * (high - low))


# rates


def test_cross_section_is_that_of_an_independent_calculation() -> None:
    for m, expected in TREE.items():
        assert cross_section(m, BEAMS.sqrt_s, isr=False, alpha="thomson") == pytest.approx(expected, rel=2.5e-3), m


@pytest.mark.parametrize("m", [0.06, 0.325, 1.0, 4.0])
@pytest.mark.parametrize("isr", [False, True])
def test_weights_add_up_to_the_cross_section(m: float, isr: bool) -> None:
    events = generate_tautau_phi(20_000, 3, BEAMS, mass=m, decay="e" if m < 2 * M_MUON else "mu", isr=isr)
    error = events.weights.std() * math.sqrt(len(events))
    # beam spread moves a rate that falls with energy by less than the error
    assert events.weights.sum() == pytest.approx(MADE * cross_section(m, BEAMS.sqrt_s, isr=isr), abs=3.0 * error)
    assert events.weights.std() < 1.7 * events.weights.mean()  # hard scalars alone would give 3.6 at 0.1 GeV


def test_rate_scales_as_coupling_and_closes_at_threshold() -> None:
    assert cross_section(BEAMS.sqrt_s - 2 * M_TAU, BEAMS.sqrt_s) == 0.0
    ratio = cross_section(2.0, BEAMS.sqrt_s, isr=False, alpha="madgraph") / cross_section(
        2.0, BEAMS.sqrt_s, isr=False, alpha="thomson"
    )
    assert ratio == pytest.approx((ALPHA["madgraph"] / ALPHA["thomson"]) ** 2, rel=1e-9)
    # radiation raises a rate that grows towards lower energies and lowers one near its threshold
    effect = [cross_section(m, BEAMS.sqrt_s) / cross_section(m, BEAMS.sqrt_s, isr=False) for m in (0.1, 1.0, 3.0, 6.0)]
    assert effect[0] > 1.0 > effect[-1] and effect == sorted(effect, reverse=True)


def test_momentum_is_conserved_and_phi_decays_evenly() -> None:
    m = 1.5
    events = generate_tautau_phi(20_000, 8, BEAMS, mass=m, decay="mu")
    first, second = events.momenta_lab["mu-"], events.momenta_lab["mu+"]
    phi = first + second
    np.testing.assert_allclose(mass(phi), m, rtol=1e-6)
    # all but the beam spread, and photons after the twelfth
    total = np.sum(list(events.momenta_lab.values()), axis=0)
    assert np.percentile(np.abs(total - BEAMS.nominal), 99.0) < 0.1
    boosted = (first[:, 0] * phi[:, 0] - (first[:, 1:] * phi[:, 1:]).sum(axis=1)) / m
    np.testing.assert_allclose(boosted, 0.5 * m, rtol=1e-6)
    size = np.sqrt((phi[:, 1:] ** 2).sum(axis=1))
    cosine = (first[:, 0] * m - 0.5 * m * phi[:, 0]) / (size * math.sqrt(0.25 * m**2 - M_MUON**2))
    assert (cosine**2).mean() == pytest.approx(1.0 / 3.0, abs=3.0 * 0.3 / math.sqrt(20_000))


# flights


def test_share_inside_is_that_of_the_events() -> None:
    m, ctau, n = 0.1, 2.5, 20_000
    events = generate_tautau_phi(n, 2, BEAMS, mass=m, decay="e", ctau_cm=ctau)
    where = events.vertices_cm["e-"]
    assert where is events.vertices_cm["e+"] or np.array_equal(where, events.vertices_cm["e+"])
    share = events.weights / events.weights.sum()
    inside = np.hypot(where[:, 0], where[:, 1]) < 20.0
    error = math.sqrt((share**2).sum()) * 0.5
    # both samples have an error
    assert float(share[inside].sum()) == pytest.approx(share_inside(20.0, m, ctau, BEAMS), abs=3.0 * error * math.sqrt(3.5))


def test_share_inside_has_the_right_limits() -> None:
    shares = [share_inside(20.0, 0.1, ctau, BEAMS) for ctau in (0.0, 0.01, 0.1, 1.0, 10.0, 100.0)]
    assert shares[0] == 1.0 and shares[1] > 0.999 and shares == sorted(shares, reverse=True)
    # only radius over lifetime matters
    assert share_inside(20.0, 0.1, 2.0, BEAMS) == pytest.approx(share_inside(5.0, 0.1, 0.5, BEAMS), rel=1e-12)
    # of two masses at one lifetime the lighter flies further
    assert share_inside(20.0, 0.05, 2.0, BEAMS) < share_inside(20.0, 0.2, 2.0, BEAMS)


def test_displaced_pairs_are_found_less_often() -> None:
    prompt, near, far = (efficiency(0.1, "e", n=6000, ctau_cm=c)[0] for c in (0.0, 0.3, 5.0))
    assert prompt > near > far
    # tracks from outside the silicon are lost earlier than at 20 cm, but not all of them
    assert 0.25 * share_inside(20.0, 0.1, 5.0, BEAMS) < far / prompt < share_inside(20.0, 0.1, 5.0, BEAMS)


@pytest.mark.parametrize("options", [{"mass": 0.1, "decay": "mu"}, {"mass": 1.0, "decay": "tau"}, {"mass": 7.1, "decay": "mu"},
                                     {"mass": 1.0, "decay": "mu", "ctau_cm": -1.0},
                                     {"mass": math.nan, "decay": "e"}])  # fmt: skip
def test_impossible_requests_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match=r"mass|decay|ctau_cm"):
        generate_tautau_phi(10, 1, BEAMS, **options)


def test_impossible_radius_is_refused() -> None:
    with pytest.raises(ValueError, match="radius_cm"):
        share_inside(0.0, 0.1, 1.0, BEAMS)
    with pytest.raises(ValueError, match="ctau_cm"):
        share_inside(20.0, 0.1, -1.0, BEAMS)


# pairs from virtual photons


def pions(n: int) -> Events:
    """pi0 -> gamma gamma at several GeV."""
    rng = np.random.default_rng(3)
    n_hat = rng.normal(size=(n, 3))
    n_hat /= np.linalg.norm(n_hat, axis=1)[:, None]
    p = n_hat * rng.uniform(0.5, 4.0, n)[:, None]
    energy = np.sqrt((p**2).sum(axis=1) + M_PION0**2)
    # at rest back to back across the flight: both have half of the energy
    across = np.cross(n_hat, [0.0, 0.0, 1.0])
    across *= 0.5 * M_PION0 / np.linalg.norm(across, axis=1)[:, None]
    photons = [np.column_stack([0.5 * energy, 0.5 * p + sign * across]) for sign in (1, -1)]
    return Events(momenta_lab={"gamma_1": photons[0], "gamma_2": photons[1]}, weights=np.ones(n))


def test_dalitz_rate_is_the_measured_one() -> None:
    events = pions(100_000)
    made = dalitz_pair(events, 5, 2.0 * M_ELECTRON)
    error = made.weights.std() / math.sqrt(len(events))
    # PDG: 1.174(35) % of the decays, 98.82 % are to two photons
    assert made.weights.mean() == pytest.approx(0.01174 / 0.98823, abs=3.0 * error + 0.00035)
    # without errors: Kroll and Wada's integral
    total = quad(
        lambda t: (
            (1.0 - (2 * M_ELECTRON * math.exp(t) / M_PION0) ** 2) ** 3
            * (1.0 + 0.5 * math.exp(-2 * t))
            * math.sqrt(1.0 - math.exp(-2 * t))
        ),
        0.0,
        math.log(M_PION0 / (2 * M_ELECTRON)),
    )[0]
    assert made.weights.mean() == pytest.approx(4.0 * ALPHA["thomson"] / (3.0 * math.pi) * total, abs=3.0 * error)
    before, after = (np.sum(list(e.momenta_lab.values()), axis=0) for e in (events, made))
    np.testing.assert_allclose(after, before, atol=1e-9)
    assert (mass(made.momenta_lab["e-_1"] + made.momenta_lab["e+_1"]) < M_PION0).all()


def test_events_without_a_pion_have_no_dalitz_pair() -> None:
    events = pions(100)
    one = Events(momenta_lab={"gamma_1": events.momenta_lab["gamma_1"], "gamma_2": np.zeros((100, 4))}, weights=np.ones(100))
    assert dalitz_pair(one, 5, 0.03).weights.sum() == 0.0


def test_inner_pair_conserves_momentum_and_splits_with_the_known_probability() -> None:
    rng, n = np.random.default_rng(4), 50_000
    direction = rng.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    photon = np.column_stack([np.full(n, 4.0), 4.0 * direction])
    recoil = np.column_stack([np.full(n, math.sqrt(16.0 + 36.0)), -4.0 * direction])
    events = Events(momenta_lab={"x": recoil, "gamma_1": photon}, weights=np.ones(n))
    made = inner_pair(events, "gamma_1", 6, "e", 0.03, 0.2)
    # masses are a thousandth of the energy squared: the photon's own probability
    expected = 2.0 * ALPHA["thomson"] / (3.0 * math.pi) * math.log(0.2 / 0.03)
    assert made.weights.mean() == pytest.approx(expected, rel=3e-3)
    np.testing.assert_allclose(np.sum(list(made.momenta_lab.values()), axis=0), recoil + photon, atol=1e-9)
    np.testing.assert_allclose(mass(made.momenta_lab["x"]), 6.0, rtol=1e-9)
    q = mass(made.momenta_lab["e-_1"] + made.momenta_lab["e+_1"])
    assert np.average(np.log(q / 0.03), weights=made.weights) == pytest.approx(0.5 * math.log(0.2 / 0.03), rel=0.02)


def test_inner_pair_without_room_has_no_weight_and_bad_names_are_refused() -> None:
    n = 50
    events = Events(momenta_lab={"x": np.tile([2.0, 0.0, 0.0, -0.5], (n, 1)), "gamma_1": np.tile([0.5, 0.0, 0.0, 0.5], (n, 1))},
                    weights=np.ones(n))  # fmt: skip
    assert inner_pair(events, "gamma_1", 1, "mu", 2.0, 3.0).weights.sum() == 0.0
    for slot, lepton, low in (("x", "e", 0.1), ("gamma_1", "tau", 0.1), ("gamma_1", "mu", 0.1)):
        with pytest.raises(ValueError, match=r"slot|lepton|low"):
            inner_pair(events, slot, 1, lepton, low, 3.0)
    with pytest.raises(ValueError, match="low"):
        dalitz_pair(pions(5), 1, 0.2)


# the final state


def rows(tracks_cms: list[list[float]], photon_cms: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of one event from momenta in the centre of mass (muons, then pions), and its visible momentum in the lab."""
    masses = (M_MUON, M_MUON, M_PION, M_PION)
    cms = np.array([[math.sqrt(sum(x * x for x in p) + m * m), *p] for p, m in zip(tracks_cms, masses, strict=True)])
    photon = to_lab(np.array([math.sqrt(sum(x * x for x in photon_cms)), *photon_cms]), BEAMS)
    lab = to_lab(cms, BEAMS)
    return np.concatenate([lab[:, 1:], photon[None, 1:], [[photon[0], photon[0], FAR]]])[None], lab.sum(axis=0) + photon


def test_columns_are_what_they_say() -> None:
    a, b = [0.6, 0.8, 1.0], [0.5, 0.2, 1.4]
    event, visible = rows([a, b, [-1.0, 0.3, -0.7], [0.2, -1.1, -0.4]], [0.0, 0.3, -0.4])
    columns = {name: float(x[0]) for name, x in tautau_dilepton_columns(event, np.array([True]), BELLE).items()}
    assert set(columns) == set(COLUMNS)
    energies = [math.sqrt(sum(x * x for x in p) + M_MUON**2) for p in (a, b)]
    square = sum(energies) ** 2 - sum((x + y) ** 2 for x, y in zip(a, b, strict=True))
    assert columns["m_pair"] == pytest.approx(math.sqrt(square), rel=1e-9)
    assert columns["pair_energy_cms"] == pytest.approx(sum(energies), rel=1e-9)
    missing = BEAMS.nominal - visible
    assert columns["missing_mass_squared"] == pytest.approx(missing[0] ** 2 - (missing[1:] ** 2).sum(), rel=1e-9)
    assert columns["photon_energy_cms"] == pytest.approx(0.5, rel=1e-9)
    assert columns["missing_energy_cms"] == pytest.approx(
        BEAMS.sqrt_s - 0.5 - sum(energies) - sum(math.sqrt(sum(x * x for x in p) + M_PION**2)
                                                 for p in ([-1.0, 0.3, -0.7], [0.2, -1.1, -0.4])), rel=1e-6)  # fmt: skip
    # at rest of the pair the energies are equal: cos from the energies of the two in flight
    beta = math.sqrt(1.0 - square / sum(energies) ** 2)
    expected = abs(energies[0] - energies[1]) / (
        2.0 * sum(energies) / math.sqrt(square) * beta * math.sqrt(0.25 * square - M_MUON**2)
    )
    assert columns["pair_cos_helicity"] == pytest.approx(expected, rel=1e-6)


def test_lepton_mass_follows_the_flavour_and_two_jets_have_thrust_one() -> None:
    event, _ = rows([[0.0, 0.0, 1.0], [0.0, 0.0, 2.0], [0.0, 0.0, -1.0], [0.0, 0.0, -0.5]], [0.0, 0.0, 0.1])
    two = np.concatenate([event, event])
    columns = tautau_dilepton_columns(two, np.array([True, False]), BELLE)
    assert columns["m_pair"][0] > 2.0 * M_MUON and columns["m_pair"][1] < 0.01
    np.testing.assert_allclose(columns["thrust"], 1.0, rtol=1e-9)
    with pytest.raises(ValueError, match="rows"):
        tautau_dilepton_columns(np.zeros((3, 4, 3)), np.ones(3, dtype=bool), BELLE)


def test_photons_are_summed_up_and_a_dalitz_pair_is_recognised() -> None:
    source = {process.name: process for process in TAUTAU_DILEPTON}["tautau_dalitz"]
    reco = STATE.reconstruct(source.generate(8000, 3, BEAMS), BELLE, 4)
    weights = reco.weights * np.prod(list(reco.factors.values()), axis=0) * STATE.loose(reco.columns, BELLE)
    weights = weights * STATE.dense(reco.columns, BELLE)
    near = reco.columns["pion_distance"] < 0.02
    # the photon of the pi0 is in acceptance and found in more than half of the events
    assert weights[near].sum() > 0.4 * weights.sum()
    events = generate_tautau_phi(8000, 3, BEAMS, mass=0.1, decay="e")
    signal = STATE.reconstruct(events, BELLE, 4)
    w = signal.weights * np.prod(list(signal.factors.values()), axis=0)
    assert w[signal.columns["pion_distance"] < 0.02].sum() < 0.15 * w.sum()


# what comes out


@pytest.mark.parametrize(("m", "decay", "low", "high"), [(0.1, "e", 0.05, 0.12), (0.5, "mu", 0.04, 0.15),
                                                         (2.0, "mu", 0.12, 0.3), (5.0, "mu", 0.2, 0.4)])  # fmt: skip
def test_efficiency_and_resolution(m: float, decay: str, low: float, high: float) -> None:
    found, width = efficiency(m, decay)
    assert low < found < high
    # tracks of 0.3 % and 1 mrad: two of them with a mass m have a width of a few per mil, plus bremsstrahlung of electrons
    assert 0.002 * m < width < (0.06 if decay == "e" else 0.006) * m


@pytest.mark.parametrize("detector", [BELLE2, BABAR])
def test_other_experiments_see_it_too(detector) -> None:
    found, width = efficiency(1.0, "mu", detector, n=6000)
    assert 0.04 < found < 0.3 and width < 0.008


def test_missing_energy_removes_radiative_bhabha_events() -> None:
    source = {process.name: process for process in TAUTAU_DILEPTON}["bhabha_mumu"]
    reco = STATE.reconstruct(source.generate(60_000, 3, BEAMS), BELLE, 4)
    weights = reco.weights * np.prod(list(reco.factors.values()), axis=0)
    left = weights[STATE.loose(reco.columns, BELLE)].sum()
    assert weights.sum() > 1000.0 and left < 0.1 * weights.sum()


@pytest.mark.parametrize("process", TAUTAU_DILEPTON, ids=lambda p: p.name)
def test_processes_have_the_rate_in_their_record(process) -> None:
    n = {"eemumu_wide": 4000, "mumu_ee": 30_000, "tautau_ee": 30_000}.get(process.name, 15_000)
    events = process.generate(n, 9, BEAMS)
    error = 3.0 * math.sqrt((events.weights**2).sum()) / float(process.cross_section)
    assert events.weights.sum() == pytest.approx(float(process.cross_section), rel=error + 0.02)
    assert (events.weights >= 0.0).all()


def test_network_keeps_signal_and_rejects_tau_pairs() -> None:
    network = load_network("leptophilic_scalar")
    source = {process.name: process for process in TAUTAU_DILEPTON}["tautau_1x3"]
    kept = []
    for events in (generate_tautau_phi(8000, 77, BEAMS, mass=1.4, decay="mu"), source.generate(60_000, 78, BEAMS)):
        reco = STATE.reconstruct(events, BELLE, 79)
        weights = reco.weights * np.prod(list(reco.factors.values()), axis=0)
        chosen = (
            STATE.loose(reco.columns, BELLE) & STATE.dense(reco.columns, BELLE) & (np.abs(reco.columns["m_pair"] - 1.4) < 0.2)
        )
        kept.append(weights[chosen & (network.score(reco.columns) > 0.5)].sum() / weights[chosen].sum())
    assert kept[0] > 0.4 and kept[1] < 0.1


def test_networks_inputs_do_not_know_the_mass_itself() -> None:
    assert "m_pair" not in load_network("leptophilic_scalar").inputs
    assert load_network("leptophilic_scalar").edges[0] == pytest.approx(2.0 * M_MUON, rel=1e-4)


@pytest.mark.parametrize("detector", [BELLE, BELLE2, BABAR])
def test_templates_hold_every_process(detector) -> None:
    template = load_template("tautau_dilepton", detector)
    assert template.processes == tuple(process.name for process in TAUTAU_DILEPTON)
    counts = np.bincount(template.process, minlength=len(TAUTAU_DILEPTON))
    assert (counts > 10).all()
    assert np.isfinite(template.columns["m_pair"]).all() and (template.weights > 0).all()
    # below the muon threshold no muon pairs
    assert template.columns["m_pair"][template.columns["is_muon"] > 0].min() >= 2.0 * M_MUON


def test_model_scale() -> None:
    assert HIGGS_VEV == 246.0  # the rates above are for y = m_tau / 246 GeV
