"""Inelastic dark matter as a sample: lifetimes, decay kinematics, spins, displaced vertices, their vetoes and triggers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from belle2dark.constants import M_ELECTRON, M_MUON, M_PION
from belle2dark.detector.experiments import BELLE2
from belle2dark.detector.observed import observe
from belle2dark.detector.particle_id import index
from belle2dark.final_states import displaced_photon, final_state
from belle2dark.simulation import backgrounds_displaced
from belle2dark.simulation.beams import belle2_beams
from belle2dark.simulation.decays import chain
from belle2dark.simulation.decays.inelastic import CHANNELS, channel_fractions, decay_chi2_any, pion_share
from belle2dark.simulation.events import Events
from belle2dark.simulation.gamma_x import generate_gamma_x
from belle2dark.simulation.inelastic import generate_dark_higgs_inelastic, generate_gamma_inelastic
from belle2dark.templates import load_template
from belle2dark.theory import dark_higgsstrahlung
from belle2dark.theory import inelastic as theory
from belle2dark.trigger.menu import load_menu
from belle2dark.trigger.objects import l1_objects

BEAMS, N = belle2_beams(), 20_000
MASSES = {"m_aprime": 3.0, "m_chi1": 1.0, "m_chi2": 1.4}
STATE = final_state("displaced_photon")


@pytest.fixture(scope="module")
def signal() -> Events:
    return generate_gamma_inelastic(N, 5, BEAMS, **MASSES)


def chi2_of(events: Events) -> np.ndarray:
    return np.sum([events.momenta_lab[name] for name in ("x_3", "prong_1", "prong_2", "gamma_5", "gamma_6")], axis=0)


def fresh(events: Events, ctau: float, key: int) -> Events:
    """The same events with a chi2 that really has this lifetime, drawn anew."""
    where = chain.fly(chi2_of(events), None, ctau, key)
    return replace(events, vertices_cm=dict.fromkeys(events.vertices_cm, where))


def share(weights: np.ndarray, passed: np.ndarray) -> tuple[float, float]:
    """Weighted mean of ``passed`` and its Monte Carlo error."""
    total = weights.sum()
    mean = float((weights * passed).sum() / total)
    return mean, float(np.sqrt(((weights * (passed - mean)) ** 2).sum()) / total)


# ---- lifetimes


def test_reweighting_is_a_fresh_simulation_over_six_decades(signal):
    """Efficiency of the theory study's recipe, of one set of flights and of decays made at each lifetime."""
    broad = displaced_photon.study_weights(signal, BELLE2)
    seen = 0
    for decade, ctau in enumerate(np.geomspace(1e-2, 1e4, 7)):
        factor = chain.lifetime_factor(signal.flights["chi2"], float(ctau))
        mean, error = share(signal.weights, broad * factor)
        made, other = share(signal.weights, displaced_photon.study_weights(fresh(signal, float(ctau), 50 + decade), BELLE2))
        # momenta are shared, so the errors are upper limits; a rare outcome of the fresh sample has the Poisson floor
        floor = 3.0 / len(signal)
        assert mean == pytest.approx(made, abs=3.0 * math.hypot(error, max(other, floor))), ctau
        seen += made > 5.0 * other
    assert seen >= 4  # most decades are a measurement, not two zeros


def test_reweighting_is_a_fresh_simulation_in_the_detector(signal):
    def efficiency(events: Events, factor: np.ndarray) -> tuple[float, float]:
        reco = STATE.reconstruct(events, BELLE2, 3)
        passed = np.prod(list(reco.factors.values()), axis=0) * STATE.loose(reco.columns, BELLE2) * factor
        return share(events.weights, passed)

    for ctau in (1.0, 50.0):
        mean, error = efficiency(signal, chain.lifetime_factor(signal.flights["chi2"], ctau))
        made, other = efficiency(fresh(signal, ctau, 9), np.ones(N))
        assert made > 5.0 * other
        assert mean == pytest.approx(made, abs=3.0 * math.hypot(error, other))


def test_decay_lengths_follow_their_closed_forms(signal):
    """Paths are exponential with beta gamma c tau: the mean, the share in a range of radii, and what is beyond the far end."""
    parent, ctau = chi2_of(signal), 2.0
    momentum = np.linalg.norm(parent[:, 1:], axis=1)
    where = signal.vertices_cm["prong_1"]
    path = np.linalg.norm(where, axis=1)
    assert np.allclose(path, signal.flights["chi2"][:, 0] * momentum / MASSES["m_chi2"])
    assert np.allclose(where / path[:, None], parent[:, 1:] / momentum[:, None])
    factor, length = chain.lifetime_factor(signal.flights["chi2"], ctau), ctau * momentum / MASSES["m_chi2"]
    radius, sine = np.hypot(where[:, 0], where[:, 1]), np.hypot(parent[:, 1], parent[:, 2]) / momentum
    survive = lambda r: np.exp(-r / sine / length)  # noqa: E731
    for found, closed in ((factor, -np.expm1(-300.0 / length)), (factor * path, length),
                          (factor * (radius > 0.2) * (radius < 0.9), survive(0.2) - survive(0.9))):  # fmt: skip
        error = 3.0 * (found - closed).std() / math.sqrt(N)
        assert found.mean() == pytest.approx(closed.mean(), abs=error)


def test_far_decays_serve_a_chi2_that_escapes():
    """With a far end far enough the factors add up to 1 at lifetimes of kilometres and of millimetres."""
    events = generate_gamma_inelastic(N, 6, BEAMS, **MASSES, near_cm=1.0, far_cm=1e12)
    for ctau in (1.0, 1e3, 1e7):
        factor = chain.lifetime_factor(events.flights["chi2"], ctau)
        assert factor.mean() == pytest.approx(1.0, abs=3.0 * factor.std() / math.sqrt(N))


# ---- decays of the chi2


def test_channels_come_as_often_as_their_widths():
    masses = (2.0, 2.8, 6.0)
    made, exact = channel_fractions(*masses), theory.branching_fractions(*masses)
    assert sum(made.values()) == pytest.approx(1.0)
    for name in ("ee", "mumu"):
        assert made[name] == pytest.approx(exact[name], rel=1e-4)
    assert made["pipi"] + made["other"] == pytest.approx(exact["hadrons"], rel=1e-3)
    assert set(channel_fractions(1.0, 1.1, 3.0)) == {"ee"} and set(channel_fractions(1.0, 1.25, 3.0)) == {"ee", "mumu"}
    # hadrons are two pions at the rho but for the omega, hardly any above the phi
    assert (pion_share(np.array([0.3, 0.6])) == 1.0).all() and 0.7 < pion_share(np.array([0.77]))[0] < 1.0
    assert pion_share(np.array([1.3]))[0] < 0.3


def test_three_body_endpoints_and_conservation_in_every_channel():
    m1, m2, m_aprime = 2.0, 2.8, 6.0
    parents = chi2_of(generate_gamma_inelastic(N, 7, BEAMS, m_aprime=m_aprime, m_chi1=m1, m_chi2=m2))
    made = decay_chi2_any(parents, m1, m2, m_aprime, 3)
    total = made.chi1 + made.minus + made.plus + made.photons.sum(axis=1)
    assert np.abs(total - parents).max() < 1e-9
    assert chain.mass(made.chi1) == pytest.approx(m1, abs=1e-5)
    code, hadrons = np.abs(made.species[:, 0]), made.photons[:, 0, 0] > 0.0
    assert np.array_equal(made.species[:, 0], -made.species[:, 1])
    charge = np.where(code < 20, -np.sign(made.species[:, 0]), np.sign(made.species[:, 0]))
    assert (charge == -1).all()
    fractions = channel_fractions(m1, m2, m_aprime)
    pair = chain.mass(parents - made.chi1)
    rows = (code == 11, code == 13, (code == 211) & ~hadrons, hadrons)
    for name, here, m in zip(CHANNELS, rows, (M_ELECTRON, M_MUON, M_PION, M_PION), strict=True):
        expected = fractions[name]
        assert here.mean() == pytest.approx(expected, abs=3.0 * math.sqrt(expected / N))
        assert chain.mass(made.minus[here]) == pytest.approx(m, abs=2e-5)
        assert CHANNELS[name] - 1e-6 < pair[here].min() and pair[here].max() < m2 - m1 + 1e-6
    # the end at Delta is reached: the spectrum falls as a power there
    assert pair[rows[0]].max() > 0.97 * (m2 - m1)
    # two pions are heavy because of the rho, electrons light because of the photon
    assert np.median(pair[rows[2]]) > 0.6 and np.median(pair[rows[0]]) < 0.4


def test_width_in_the_small_splitting_limit_and_beyond():
    """4 epsilon^2 alpha alpha_D Delta^5 / (15 pi m^4), and how far off it is where muons and hadrons are open."""
    m1, delta, m_aprime = 60.0, 0.05, 300.0
    exact = theory.width(m1, m1 + delta, m_aprime, 1e-3, 0.1, 1e-7)
    # first order in Delta / m
    assert exact / theory.small_splitting_width(delta, m_aprime, 1e-3, 0.1) == pytest.approx(1.0, abs=3.0 * delta / m1)
    ratio = theory.width(1.0, 1.4, 3.0, 1e-3, 0.1) / theory.small_splitting_width(0.4, 3.0, 1e-3, 0.1)
    assert 0.5 < ratio < 0.8


# ---- production


def test_weights_and_four_momentum():
    calm = replace(BEAMS, spread=False)
    events = generate_gamma_inelastic(2000, 5, calm, **MASSES, isr=False)
    assert np.abs(sum(events.momenta_lab.values()) - calm.nominal).max() < 1e-8
    assert events.weights.sum() == pytest.approx(generate_gamma_x(2000, 5, calm, 3.0, "dark_photon", isr=False).weights.sum())
    assert chain.mass(chi2_of(events)) == pytest.approx(1.4, abs=1e-6)
    higgs = generate_dark_higgs_inelastic(2000, 5, calm, m_aprime=6.0, m_hprime=1.0, m_chi1=2.0, m_chi2=2.4, isr=False)
    assert np.abs(sum(higgs.momenta_lab.values()) - calm.nominal).max() < 1e-8
    tree = dark_higgsstrahlung.cross_section(6.0, 1.0, 1e-7, calm.sqrt_s)
    assert higgs.weights.sum() == pytest.approx(float(tree))
    spread = generate_dark_higgs_inelastic(N, 5, BEAMS, m_aprime=3.0, m_hprime=1.0, m_chi1=1.0, m_chi2=1.4)
    total = sum(spread.momenta_lab.values())
    assert chain.mass(total).std() == pytest.approx(4.99e-3, rel=0.05)  # initial-state photons included in the sum
    # radiation lowers the rate by the usual percents
    tree = float(dark_higgsstrahlung.cross_section(3.0, 1.0, 1e-7, BEAMS.sqrt_s))
    assert 0.8 < spread.weights.sum() / tree < 1.1


def test_a_broad_mediator_keeps_its_threshold():
    events = generate_gamma_inelastic(4000, 5, BEAMS, **MASSES, alpha_d=0.5)
    mass = chain.mass(chi2_of(events) + events.momenta_lab["x_1"])
    assert mass.min() > 2.4 - 1e-6 and mass.std() > 0.05


def test_spins_of_higgsstrahlung_with_dark_matter():
    """Angles between beams, A' and chi1 against the traces over flat phase space."""
    m_aprime, m_hprime, m1, m2 = 5.0, 2.0, 1.0, 2.5
    calm = replace(BEAMS, spread=False)
    made = generate_dark_higgs_inelastic(N, 3, calm, m_aprime=m_aprime, m_hprime=m_hprime, m_chi1=m1, m_chi2=m2, isr=False)
    own = (made.momenta_lab["x_1"], sum(made.momenta_lab[name] for name in ("x_1", "x_3", "e-", "e+")))
    start = np.tile(calm.nominal, (N, 1))
    aprime, _ = chain.decay_two_body(start, m_aprime, m_hprime, 8)
    p1, p2 = chain.decay_two_body(aprime, m1, m2, 9)
    metric = np.diag([1.0, -1.0, -1.0, -1.0])
    k1, k2 = (np.broadcast_to(beam, (N, 4)) for beam in (calm.electron, calm.positron))

    def tensor(a: np.ndarray, b: np.ndarray, gap: np.ndarray) -> np.ndarray:
        outer = np.einsum("ni,nj->nij", a, b)
        return outer + outer.transpose(0, 2, 1) - gap[:, None, None] * metric

    dot = lambda a, b: np.einsum("ni,ij,nj->n", a, metric, b)  # noqa: E731
    leptons, dark = tensor(k1, k2, dot(k1, k2)), tensor(p1, p2, dot(p1, p2) + m1 * m2)
    polarisations = -metric + np.einsum("ni,nj->nij", aprime, aprime) / m_aprime**2
    low = [metric @ tensor_ @ metric for tensor_ in (leptons, dark)]
    squared = np.einsum("nij,nik,njl,nkl->n", low[0], polarisations, polarisations, low[1], optimize=True)
    for beam in (calm.electron, calm.positron):
        lowered = metric @ beam
        for flat, mine in ((p1 @ lowered, own[0] @ lowered), (aprime @ lowered, own[1] @ lowered)):
            for power in (1, 2):
                mean = np.average(flat**power, weights=squared)
                error = math.hypot((squared * (flat**power - mean)).std() / squared.mean(), (mine**power).std()) / math.sqrt(N)
                assert (mine**power).mean() == pytest.approx(mean, abs=3.0 * error)


# ---- vertices, vetoes and triggers


def pair_at(point: tuple[float, float, float], momenta: np.ndarray, codes: tuple[int, int] = (13, -13), n: int = 2000) -> Events:
    """A photon of 4 GeV into the barrel and two tracks of ``momenta`` (2, 3) [GeV] from ``point`` [cm]."""
    p = np.tile(np.asarray(momenta, dtype=float), (n, 1, 1))
    mass = np.array([{11: M_ELECTRON, 13: M_MUON, 211: M_PION}[abs(code)] for code in codes])
    energy = np.sqrt((p**2).sum(axis=-1) + mass**2)
    four = np.concatenate([energy[..., None], p], axis=-1)
    slots = {f"prong_{k + 1}": four[:, k] for k in (0, 1)}
    return Events(
        momenta_lab={**slots, "gamma_1": np.tile([4.0, -4.0, 0.0, 0.0], (n, 1))}, weights=np.ones(n),
        species={f"prong_{k + 1}": np.full(n, code, dtype=np.int32) for k, code in enumerate(codes)},
        vertices_cm=dict.fromkeys(slots, np.tile(np.asarray(point, dtype=float), (n, 1))),
    )  # fmt: skip


OPEN = np.array([[1.0, 0.25, 0.1], [1.0, -0.25, 0.1]])


def test_columns_of_a_pair_whose_vertex_is_known():
    events = pair_at((30.0, 0.0, 5.0), OPEN)
    reco = STATE.reconstruct(events, BELLE2, 3)
    c = reco.columns
    cosine = float(OPEN[0] @ OPEN[1] / np.linalg.norm(OPEN[0]) / np.linalg.norm(OPEN[1]))
    energy = 2.0 * math.sqrt(float((OPEN[0] ** 2).sum()) + M_MUON**2)
    expected = {
        "radius": 30.0, "z_vertex": 5.0, "opening_angle": math.acos(cosine), "pt_min_lab": math.hypot(1.0, 0.25),
        "pt_pair_lab": 2.0,
        "m_mumu": math.sqrt(energy**2 - 4.0 - 0.04), "pointing_angle": abs(math.atan2(5.0, 30.0) - math.atan2(0.2, 2.0)),
        "photon_cos_theta_lab": 0.0, "region": 2.0, "material_distance": 14.0, "radius_error": c["radius"].std(),
    }  # fmt: skip
    for name, value in expected.items():
        spread = max(float(c[name].std()), 0.05 * float(c["radius"].std()), 1e-6)
        assert np.median(c[name]) == pytest.approx(value, abs=0.15 * spread + 0.01), name
    # nothing but the chi2 distribution of one degree of freedom
    assert stats.kstest(c["vertex_chi2"].clip(0, 8), stats.chi2(1).cdf).pvalue > 1e-3
    # two muons are found as such at the squared efficiency of the identification, and never as electrons more often
    kinds = np.bincount(reco.alternative, minlength=3)
    assert kinds[1] > 5 * max(kinds[0], kinds[2] // 4)
    missing = BEAMS.nominal - np.array([energy + 4.0, 2.0 - 4.0, 0.0, 0.2])
    metric = np.array([1.0, -1.0, -1.0, -1.0])
    assert np.median(c["missing_mass_squared"]) == pytest.approx(float(missing @ (metric * missing)), abs=1.0)


def test_regions_end_where_they_are_said_to():
    for radius, region in ((0.1, 0), (0.5, 1), (3.0, 0), (15.5, 0), (18.0, 2), (55.0, 2), (65.0, 0)):
        columns = displaced_photon.vertex_columns(OPEN[None], np.array([[radius, 0.0, 0.0]]), np.zeros((1, 3)), BELLE2)
        assert columns["region"][0] == region
    far = displaced_photon.vertex_columns(OPEN[None], np.array([[30.0, 0.0, 150.0]]), np.zeros((1, 3)), BELLE2)
    assert far["region"][0] == 0


def test_efficiency_falls_with_radius_and_needs_an_opposite_pair():
    def found(radius: float, codes: tuple[int, int] = (13, -13)) -> float:
        reco = STATE.reconstruct(pair_at((radius, 0.0, 0.0), OPEN, codes, 200), BELLE2, 3)
        return float(reco.factors["tracking"].mean())

    inner, outer, far = found(0.5), found(20.0), found(55.0)
    assert inner > outer > 2.0 * far > 0.0
    assert found(0.5, (13, 13)) == 0.0


def test_the_right_tracks_are_paired():
    """Of four tracks the two that start together, electrons first where they are asked for."""
    events = generate_dark_higgs_inelastic(4000, 5, BEAMS, m_aprime=3.0, m_hprime=1.5, m_chi1=1.0, m_chi2=1.4)
    far = np.linalg.norm(events.vertices_cm["e-"] - events.vertices_cm["mu-"], axis=1) > 1.0
    seen = observe(events, BELLE2, 3)
    odds = seen.identified[(slice(None), slice(None), *index("electron"))]
    light, electrons = displaced_photon.find_pair(seen, 4, odds=odds), [seen.slot("e-"), seen.slot("e+")]
    there = far & ((seen.tracks.efficiency * odds)[:, electrons].min(axis=1) > 0.05)
    assert (light.slots[there] == electrons).all(axis=1).mean() > 0.99
    reco = final_state("dark_higgs_displaced").reconstruct(events, BELLE2, 3)
    good = (np.prod(list(reco.factors.values()), axis=0) > 0.1) & (reco.alternative == 0) & far
    c = reco.columns
    assert np.median(c["m_hprime"][good]) == pytest.approx(1.5, abs=0.005)
    assert np.median(c["recoil_mass_squared"][good]) == pytest.approx(9.0, abs=0.5)
    # the dark Higgs boson points back, the electrons do not
    assert np.median(c["h_pointing_angle"][good]) < 0.3 * np.median(c["ee_pointing_angle"][good])


def test_vetoes_take_kshorts_conversions_and_prompt_crossings_and_leave_the_signal(signal):
    def passing(events: Events, key: int, *names: str) -> dict[str, float]:
        reco = STATE.reconstruct(events, BELLE2, key)
        c = reco.columns
        weights = events.weights * np.prod(list(reco.factors.values()), axis=0) * (c["region"] > 0) * (c["vertex_chi2"] < 10.83)
        if events.flights:
            weights = weights * chain.lifetime_factor(events.flights["chi2"], 10.0)
        outer = c["region"] == 2
        keep = {"kshort": c["kshort"] < 0.5, "open": c["opening_angle"] > 0.1, "significance": c["radius_significance"] > 6.0,
                "impact": c["impact_min"] > 0.05}  # fmt: skip
        assert weights.sum() > 0
        parts = {name: weights * (outer if name == "impact" else 1.0) for name in names}
        return {name: float((part * keep[name]).sum() / part.sum()) for name, part in parts.items()}

    kshort = passing(backgrounds_displaced.GAMMA_KSHORT.generate(20_000, 3, BEAMS), 3, "kshort")["kshort"]
    assert kshort < 1e-3
    assert passing(backgrounds_displaced.CONVERTED.generate(20_000, 3, BEAMS), 3, "open")["open"] == 0.0
    assert passing(backgrounds_displaced.HADRON_CROSSING.generate(20_000, 3, BEAMS), 3, "impact")["impact"] < 0.02
    kept = passing(signal, 3, "kshort", "open", "significance", "impact")
    assert min(kept.values()) > 0.85


def test_prompt_tracks_that_cross_have_one_from_the_beam_line():
    """On its true circle the harder track comes from the origin: its impact is what the detector makes of it."""
    prompt = pair_at((0.0, 0.0, 0.0), np.array([[2.0, 0.3, 0.1], [0.5, -0.6, 0.1]]), n=4000)
    crossed = backgrounds_displaced.prompt_crossing(prompt, "prong_1", "prong_2", 3)
    radius = np.hypot(*crossed.vertices_cm["prong_1"][:, :2].T)
    assert radius.min() > 0.04 and radius.max() < 61.0 and (crossed.weights > 0).all()
    reco = STATE.reconstruct(crossed, BELLE2, 3)
    assert (reco.columns["impact_min"] == 0.0).mean() > 0.99
    impact = observe(crossed, BELLE2, 3).tracks.impact[:, 0, 0]
    assert np.abs(np.median(impact[radius > 20.0])) < 0.01 and np.abs(impact).max() < 0.3
    displaced = pair_at((0.5, 0.0, 0.0), OPEN)
    alike = pair_at((0.0, 0.0, 0.0), OPEN, (13, 13))
    for events in (displaced, alike):
        assert not backgrounds_displaced.prompt_crossing(events, "prong_1", "prong_2", 3).weights.any()


def test_the_displaced_trigger_sees_pairs_in_its_range_and_nothing_else():
    def fires(radius: float, momenta: np.ndarray = OPEN, codes: tuple[int, int] = (13, -13)) -> float:
        return float(l1_objects(pair_at((radius, 0.0, 0.0), momenta, codes, 8000), BELLE2, 3)["displaced_vertex"].mean())

    expected = BELLE2.number("l1_track_efficiency") ** 2 * 0.9
    for radius in (1.5, 30.0, 55.0):
        assert fires(radius) == pytest.approx(expected, abs=3.0 * math.sqrt(expected * (1.0 - expected) / 8000))
    assert fires(0.5) == fires(61.0) == fires(0.0) == 0.0
    assert fires(30.0, codes=(13, 13)) == 0.0
    assert fires(30.0, 0.2 * OPEN) == 0.0  # below the transverse momentum of L1 tracks
    apart = pair_at((30.0, 0.0, 0.0), OPEN)
    apart.vertices_cm["prong_2"][:] += 1.0
    moved = replace(apart, vertices_cm={"prong_1": apart.vertices_cm["prong_1"] - 1.0, "prong_2": apart.vertices_cm["prong_2"]})
    assert not l1_objects(moved, BELLE2, 3)["displaced_vertex"].any()


def test_trigger_lines_compared(signal):
    """A photon line does not care where the pair decays; the displaced vertex fires behind the beam pipe alone."""
    menu = load_menu()
    bits = menu.evaluate(l1_objects(signal, BELLE2, 3))
    reco = STATE.reconstruct(signal, BELLE2, 3)
    c, weights = reco.columns, signal.weights * np.prod(list(reco.factors.values()), axis=0)

    def share_of(name: str, region: int) -> float:
        here = weights * (c["region"] == region) * (c["photon_energy_cms"] > 0.5)
        return float((here * menu.keep_probability(bits, [name])).sum() / here.sum())

    # some vertices of the inner region are behind the pipe and measured inside
    assert share_of("dv", 1) < 0.02 and 0.1 < share_of("dv", 2) < share_of("hie", 2)
    assert share_of("lml1", 2) == pytest.approx(share_of("lml1", 1), abs=0.15)
    hard = (c["photon_energy_cms"] > 2.3) & (np.abs(c["photon_cos_theta_lab"]) < 0.4) & (weights > 0)
    assert (weights * hard * menu.keep_probability(bits, ["lml1"])).sum() / (weights * hard).sum() > 0.95
    assert set(menu.selections["displaced_photon"]) >= {"lml1", "lml12", "dv"}


def test_background_after_vetoes_is_small_and_stated():
    """Rates of the shipped template in the searches' regions: a few events of 365 fb^-1 over all masses."""
    template = load_template("displaced_photon", BELLE2)
    c = template.columns
    before = STATE.loose(c, BELLE2) & (c["region"] > 0)
    after = before & STATE.rare(c, BELLE2)
    assert template.weights[before].sum() > 1e3
    # prongs of two taus, back to back, in the inner region
    assert 0.3 < template.weights[after].sum() * 365.0 < 10.0
    assert template.weights[after & (c["region"] == 2)].sum() * 365.0 < 0.1
    assert template.weights[after & (c["opening_angle"] < 1.5)].sum() * 365.0 < 3.0
    # K_S alone are a tenth of a femtobarn and more in either region before their veto
    kshort = before & (template.process == template.processes.index("gamma_kshort"))
    for region in (1, 2):
        assert template.weights[kshort & (c["region"] == region)].sum() > 1.0
    for process in backgrounds_displaced.DISPLACED_PHOTON:
        assert process.name in template.processes and process.approximations


@pytest.mark.parametrize("name", ["gamma_kshort", "tautau_prongs", "tautau_crossing", "hadrons_crossing"])
def test_background_weights_add_up_to_what_the_record_says(name):
    process = next(process for process in backgrounds_displaced.DISPLACED_PHOTON if process.name == name)
    weights = process.generate(20_000, 3, BEAMS).weights
    error = float(np.sqrt((weights**2).sum()))
    # the part of the K_S is estimated with few distinct events, one in a hundred of those made
    error = max(error, 0.05 * weights.sum() if name == "gamma_kshort" else 0.0)
    assert weights.sum() == pytest.approx(float(process.cross_section), abs=3.0 * error + 0.01 * float(process.cross_section))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: generate_gamma_inelastic(10, 1, BEAMS, m_aprime=2.0, m_chi1=1.0, m_chi2=1.1), "m_aprime = 2.0 GeV: must be"),
        (lambda: generate_gamma_inelastic(10, 1, BEAMS, m_aprime=3.0, m_chi1=1.0, m_chi2=1.0), "closed"),
        (lambda: generate_gamma_inelastic(10, 1, BEAMS, **MASSES, near_cm=0.0), "near_cm = 0.0 cm"),
        (lambda: generate_gamma_inelastic(0, 1, BEAMS, **MASSES), "n = 0"),
        (lambda: generate_dark_higgs_inelastic(10, 1, BEAMS, **MASSES, m_hprime=1.0, final_state="muu"), "nearest: mumu"),
        (lambda: generate_dark_higgs_inelastic(10, 1, BEAMS, **MASSES, m_hprime=8.0), "m_hprime = 8.0 GeV: must lie between"),
        (lambda: generate_dark_higgs_inelastic(10, 1, BEAMS, **MASSES, m_hprime=0.5, final_state="kk"), "must lie between 0.98"),
        (lambda: channel_fractions(1.0, 1.0005, 3.0), "closed"),
        (lambda: backgrounds_displaced.prompt_crossing(pair_at((0, 0, 0), OPEN), "prong_1", "prong_3", 3), "no such slot"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
