"""gamma V, V -> l l: rate, spin, radiation; two leptons and a photon as detectors see them; displaced pairs; templates."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import stats

from belle2dark.constants import ALPHA, CTAU_KSHORT, M_ELECTRON, M_KSHORT, M_MUON, M_PHI
from belle2dark.detector import displaced_pair
from belle2dark.detector.experiments import BABAR, BELLE2
from belle2dark.detector.kinematic_fit import errors_at, fit_to_beams
from belle2dark.detector.observed import observe
from belle2dark.detector.track_fit import fit_tracks, prompt_errors
from belle2dark.detector.vertexing import looks_like_ks, two_track_vertex
from belle2dark.final_states import FINAL_STATES
from belle2dark.final_states.dilepton_photon import reduced
from belle2dark.simulation.backgrounds import EE_GAMMA_PAIR, GAMMA_GAMMA_CONVERTED, MUMU_GAMMA_HARD
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.decays.chain import decay_two_body, proper_length
from belle2dark.simulation.gamma_dilepton import LEPTONS, generate_gamma_dilepton, generate_gamma_kshort
from belle2dark.simulation.gamma_x import generate_gamma_x
from belle2dark.simulation.mumu_gamma import generate_mumu_gamma
from belle2dark.sourced import load_numbers
from belle2dark.templates import load_template
from belle2dark.theory.gamma_x import gamma_dark_photon
from belle2dark.trigger.menu import load_menu
from belle2dark.trigger.objects import l1_objects
from tests.dirac import GAMMA, bar, propagator, slash, u_spinors, v_spinors
from tests.independent import SIGNS, angle, dot, polarisations

N = 30_000
FIXED = replace(BELLE2.beams, spread=False)
STATES = {"e": "dielectron_photon", "mu": "dimuon_photon"}
each = pytest.mark.parametrize("lepton", STATES)


def pair(events, lepton):
    return sum(events.momenta_lab[name] for name in LEPTONS[lepton][1])


def invariant(p):
    return np.sqrt(np.maximum(dot(p, p), 0.0))


def probability(reco):
    out = np.ones(len(reco))
    for factor in reco.factors.values():
        out = out * factor
    return out


@cache
def seen(experiment, lepton, m, isr=True):
    """Signal events, their reconstruction and weights with everything but L1."""
    detector = {"BaBar": BABAR, "Belle II": BELLE2}[experiment]
    events = generate_gamma_dilepton(N, 1, detector.beams, mass=m, lepton=lepton, isr=isr)
    reco = FINAL_STATES[STATES[lepton]].reconstruct(events, detector, 2)
    return events, reco, reco.weights * probability(reco)


def quantiles(x, weights, levels):
    order = np.argsort(x)
    return np.interp(np.array(levels) * weights.sum(), np.cumsum(weights[order]), x[order])


def width(x, weights):
    """Half of the central 68 %."""
    low, high = quantiles(x, weights, (0.16, 0.84))
    return (high - low) / 2


# --- events ---


@each
def test_rate_is_that_of_gamma_v_and_momenta_add_up(lepton):
    events = generate_gamma_dilepton(5000, 3, FIXED, mass=2.0, lepton=lepton)
    alone = generate_gamma_x(5000, 3, FIXED, 2.0, "dark_photon")
    np.testing.assert_array_equal(events.weights, alone.weights)
    missing = np.abs(sum(events.momenta_lab.values()) - FIXED.nominal).max(axis=1)
    assert (missing < 1e-8).mean() > 0.99 and missing.max() < 0.1  # photons beyond the fourth off the beams have no slot
    without = generate_gamma_dilepton(5000, 3, FIXED, mass=2.0, lepton=lepton, fsr=False)
    np.testing.assert_allclose(invariant(pair(without, lepton)), 2.0, rtol=1e-7)
    # radiation only lowers the mass, and does so for some
    m = invariant(pair(events, lepton))
    assert m.max() < 2.0 + 1e-6 and 0.02 < (m < 1.98).mean() < 0.3


def test_electrons_radiate_more_than_muons():
    made = {x: generate_gamma_dilepton(20_000, 3, FIXED, mass=3.0, lepton=x, isr=False, fsr=True) for x in STATES}
    shares = [(invariant(pair(events, x)) < 2.9).mean() for x, events in made.items()]
    # the logarithm of mass over lepton mass, minus 1: 16.4 against 5.7
    expected = (math.log((3.0 / M_ELECTRON) ** 2) - 1) / (math.log((3.0 / M_MUON) ** 2) - 1)
    assert shares[0] / shares[1] == pytest.approx(expected, rel=0.2)  # hard photons are less collinear than the logarithm says


def squared(p1, p2, k, q1, q2, m):
    """Sum over spins of |M|^2 of e- e+ -> gamma V, V -> l- l+ with the photon off the electrons, up to a constant."""
    total, zero = 0.0, 0.0
    for polarisation in polarisations(k):
        e = slash(polarisation)
        line = [g @ propagator(p1 - k, zero) @ e + e @ propagator(k - p2, zero) @ g for g in GAMMA]
        for a in u_spinors(p1, zero):
            for b in map(bar, v_spinors(p2, zero)):
                current = [SIGNS[i] * (b @ line[i] @ a) for i in range(4)]
                for c in map(bar, u_spinors(q1, m)):
                    for d in v_spinors(q2, m):
                        total += abs(sum(current[i] * (c @ GAMMA[i] @ d) for i in range(4))) ** 2
    return total


@pytest.mark.parametrize("mass", [0.3, 4.0])
def test_decay_angles_are_those_of_explicit_dirac_matrices(mass):
    """Moments of the lepton's directions: isotropic decays with the exact matrix element as weight."""
    half = 5.0
    p1, p2 = np.array([half, 0, 0, half]), np.array([half, 0, 0, -half])
    c, s = 0.7, 100.0
    k = (s - mass**2) / 20.0 * np.array([1.0, math.sqrt(1 - c * c), 0.0, c])
    v = p1 + p2 - k
    n = 400
    q1, q2 = decay_two_body(np.tile(v, (n, 1)), M_MUON, M_MUON, 7)
    exact = np.array([squared(p1, p2, k, a, b, M_MUON) for a, b in zip(q1, q2, strict=True)])
    # the density that the generator draws from, event by event
    beta2 = 1 - (2 * M_MUON / mass) ** 2
    ours = np.zeros(n)
    for p in (p1, p2):
        energy = dot(p, v) / mass
        cosine = (dot(q1, p) / mass * 2 / energy - 1) / -math.sqrt(beta2)  # from q.p = (m/2) E (1 - beta cos)
        ours += energy**2 * (2 - beta2 + beta2 * cosine**2)
    ratio = exact / ours
    assert np.ptp(ratio) < 1e-7 * ratio.mean()


@each
def test_drawn_angles_follow_that_density(lepton):
    mass, m = 0.4, LEPTONS[lepton][0]
    events = generate_gamma_dilepton(100_000, 5, FIXED, mass=mass, lepton=lepton, isr=False)
    minus, v = events.momenta_lab[LEPTONS[lepton][1][0]], pair(events, lepton)
    isotropic, _ = decay_two_body(v, m, m, 8)
    beta2 = 1 - (2 * m / mass) ** 2
    beams = [np.tile(p, (len(v), 1)) for p in (FIXED.electron, FIXED.positron)]

    def density(q):
        return sum((dot(p, v) / mass) ** 2 * (2 - beta2 + beta2 * cosine(p, q) ** 2) for p in beams)

    def cosine(p, q):
        return (1 - 2 * dot(q, p) / dot(p, v)) / math.sqrt(beta2)

    norm = sum((dot(p, v) / mass) ** 2 * (2 - beta2 + beta2 / 3) for p in beams)
    w = events.weights / events.weights.mean()
    for power in (2, 4):
        ours, weighted = (
            w * cosine(beams[0], minus) ** power,
            w * cosine(beams[0], isotropic) ** power * density(isotropic) / norm,
        )
        error = math.hypot(ours.std(), weighted.std()) / math.sqrt(len(v))
        assert abs(ours.mean() - weighted.mean()) < 4 * error


def test_lifetime():
    events = generate_gamma_dilepton(20_000, 6, FIXED, mass=0.5, lepton="mu", fsr=False, ctau_cm=0.3)
    where = events.vertices_cm["mu-"]
    np.testing.assert_array_equal(where, events.vertices_cm["mu+"])
    length = proper_length(pair(events, "mu"), np.zeros_like(where), where)
    assert stats.kstest(length / 0.3, "expon").pvalue > 0.003


@pytest.mark.parametrize(("change", "message"), [({"lepton": "tau"}, "nearest"), ({"mass": 0.2}, "0.2113"),
                                                 ({"ctau_cm": -1.0}, "negative"), ({"mass": 11.0}, "allowed")])  # fmt: skip
def test_bad_requests(change, message):
    with pytest.raises(ValueError, match=message):
        generate_gamma_dilepton(10, 1, FIXED, **{"mass": 1.0, "lepton": "mu"} | change)


# --- continuum ---


def born(beams, low, high, m, theta):
    """e+e- -> gamma l l off the beams with the photon in ``theta`` [deg, lab], tree level, masses between low and high [fb].

    A virtual photon is a dark photon of its mass with epsilon^2 = (2 alpha/3 pi) dm/m, times velocity and mass factor.
    """
    speed = beams.nominal[3] / beams.nominal[0]
    far, near = ((c - speed) / (1 - speed * c) for c in np.cos(np.radians(theta))[::-1])
    x = np.linspace(low, high, 101)
    r = (m / x) ** 2
    rate = (
        2
        * ALPHA["thomson"]
        / (3 * math.pi * x)
        * (1 + 2 * r)
        * np.sqrt(1 - 4 * r)
        * gamma_dark_photon(beams.sqrt_s, x, far, near)
    )
    return np.trapezoid(rate, x)


def radiative(events, slots, low, high, tracks=None):
    """Rate of ``events`` at BaBar [fb] with a photon of 0.2 GeV in the calorimeter and nothing else lost, and its error."""
    lepton = sum(events.momenta_lab[name] for name in slots)
    m = invariant(lepton)
    photons = np.stack([events.momenta_lab[name] for name in events.photons], axis=1)
    energy = to_cms(photons, BABAR.beams)[..., 0]
    hard = photons[np.arange(len(events)), energy.argmax(axis=1)]
    use = (energy.max(axis=1) > 0.2) & (angle(hard) > 15.8) & (angle(hard) < 140.8) & (m > low) & (m < high)
    use &= invariant(lepton + hard) > BABAR.beams.sqrt_s - 0.3
    for name in slots if tracks else ():
        use &= (angle(events.momenta_lab[name]) > tracks[0]) & (angle(events.momenta_lab[name]) < tracks[1])
    return events.weights[use].sum(), math.sqrt((events.weights[use] ** 2).sum())


def test_photons_off_muons_raise_the_continuum():
    """Factors 1.5 and 2.4 over initial-state radiation alone, from an independent calculation at tree level.

    Further photons of 0.3 GeV and more take events away that do not close; how many is seen at 1 GeV, where muons add little.
    """
    events = MUMU_GAMMA_HARD.generate(800_000, 4, BABAR.beams)
    ranges = ((0.7, 1.3), (4.6, 5.4), (8.6, 9.4))
    rates, errors = np.transpose([radiative(events, ("mu-", "mu+"), low, high) for low, high in ranges])
    ratios = rates / np.array([born(BABAR.beams, low, high, M_MUON, (15.8, 140.8)) for low, high in ranges])
    assert 0.75 < ratios[0] < 1.05
    for k, factor in ((1, 1.5), (2, 2.4)):
        relative = math.hypot(errors[k] / rates[k], errors[0] / rates[0])
        assert ratios[k] / ratios[0] == pytest.approx(factor, rel=0.1 + 3 * relative)


def test_light_electron_pairs_come_from_one_virtual_photon_and_heavy_ones_from_bhabha_scattering():
    events = EE_GAMMA_PAIR.generate(400_000, 4, BABAR.beams)
    light, error = radiative(events, ("e-", "e+"), 0.1, 0.2)
    base = born(BABAR.beams, 0.1, 0.2, M_ELECTRON, (15.8, 140.8))
    assert light / base == pytest.approx(1.0, abs=3 * error / base + 0.1)  # running coupling, and the first of the t channel
    heavy, _ = radiative(events, ("e-", "e+"), 7.0, 8.0, (17.2, 140.0))
    assert heavy > 20 * born(BABAR.beams, 7.0, 8.0, M_ELECTRON, (15.8, 140.8))


def test_the_hard_part_loses_no_photon_that_can_be_seen():
    """All of mu mu gamma against the part with a photon: same rate in the final state."""
    state = FINAL_STATES["dimuon_photon"]
    events = MUMU_GAMMA_HARD.generate(40_000, 9, BELLE2.beams)
    everything = generate_mumu_gamma(40_000, 9, BELLE2.beams)
    rates = []
    for sample in (events, everything):
        reco = state.reconstruct(sample, BELLE2, 3)
        use = (reco.columns["photon_energy_cms"] > 0.3) & (reco.columns["chi2"] < 60)
        rates.append(float((reco.weights * probability(reco))[use].sum()))
    assert rates[0] == pytest.approx(rates[1], rel=0.02)  # the same events; other random numbers in the detector


# --- final states ---


@each
def test_exact_momenta_give_exact_masses(lepton):
    events = generate_gamma_dilepton(500, 2, replace(BABAR.beams, spread=False), mass=3.0, lepton=lepton, isr=False)
    detector, m = replace(BABAR, beams=replace(BABAR.beams, spread=False)), LEPTONS[lepton][0]
    tracks = np.stack([events.momenta_lab[name][:, 1:] for name in LEPTONS[lepton][1]], axis=1)
    c = FINAL_STATES[STATES[lepton]].derive(tracks, events.momenta_lab["gamma_1"][:, None], np.zeros(500), detector)
    np.testing.assert_allclose(c["m_pair"], 3.0, rtol=1e-7)
    np.testing.assert_allclose(c["reduced_mass"], math.sqrt(9 - 4 * m * m), rtol=1e-7)
    np.testing.assert_allclose(c["m_total"], detector.beams.sqrt_s, rtol=1e-8)
    np.testing.assert_allclose(c["photon_recoil_mass_squared"], 9.0, atol=1e-6)
    np.testing.assert_allclose(c["recoil_mass_squared_total"], 0.0, atol=1e-6)
    assert np.abs(c["photon_angle"]).max() < 1e-5 and c["chi2"].max() < 1e-3
    assert (c["photon_track_angle"] > 0.1).any() and (c["momentum_min_lab"] > 0).all()


def test_reduced_mass_has_no_threshold():
    assert reduced(np.array([0.2, 2 * M_MUON, 1.0]), M_MUON) == pytest.approx([0, 0, math.sqrt(1 - 4 * M_MUON**2)])


def test_compiled_fit_with_a_photon_is_the_reference():
    _, reco, w = seen("BaBar", "mu", 3.0)
    use = np.flatnonzero(w > 0)[:1000]
    tracks, photons = reco.tracks_lab[use], reco.clusters_lab[use, :1]
    ours = fit_tracks(tracks, M_MUON, BABAR, photons_lab=photons)
    reference = fit_to_beams(tracks, prompt_errors(tracks, M_MUON, BABAR), (M_MUON,) * 2, BABAR.beams, photons,
                             errors_at(photons, BABAR))  # fmt: skip
    closed = reference.chi2 < 100
    assert closed.sum() > 300
    np.testing.assert_allclose(ours.tracks_lab[closed], reference.tracks_lab[closed], atol=1e-8)
    np.testing.assert_allclose(ours.photons_lab[closed], reference.photons_lab[closed], atol=1e-8)
    np.testing.assert_allclose(ours.chi2[closed], reference.chi2[closed], rtol=1e-6)


@pytest.mark.parametrize("experiment", ["BaBar", "Belle II"])
def test_chi2_has_four_degrees_of_freedom(experiment):
    """At BaBar only because photons point to the collision, 8.5 mm off the origin: 9 mrad."""
    _, reco, w = seen(experiment, "mu", 3.0, False)
    use = w > 0
    chi2 = reco.columns["chi2"][use]
    assert np.average(chi2, weights=w[use]) == pytest.approx(4.0, abs=3 * math.sqrt(8 / use.sum()) + 0.15)  # merged photons


@each
def test_fit_sharpens_heavy_pairs(lepton):
    for m, gain in ((3.0, 1.8), (8.0, 3.0)):
        _, reco, w = seen("BaBar", lepton, m)
        use = reco.columns["chi2"] < 30
        raw, fitted = (width(reco.columns[name][use], w[use]) for name in ("reduced_mass_raw", "reduced_mass"))
        assert raw > gain * fitted
        assert 0.0015 < fitted < 0.012
        median = quantiles(reco.columns["reduced_mass"][use], w[use], [0.5])[0]
        # photons off the beams that the fit does not notice: a fifth of the resolution
        assert abs(median - float(reduced(np.array(m), LEPTONS[lepton][0]))) < 0.25 * fitted


def test_lost_photons_do_not_close():
    events, reco, w = seen("BaBar", "mu", 3.0)
    extra = sum(to_cms(events.momenta_lab[name], BABAR.beams)[:, 0] for name in events.photons[1:])
    lost, clean = extra > 0.3, extra < 1e-3
    share = [w[use & (reco.columns["chi2"] < 30)].sum() / w[use].sum() for use in (lost, clean)]
    assert share[0] < 0.1 and share[1] > 0.97


@each
def test_two_tracks_and_a_photon_fire_the_trigger(lepton):
    """Nearly always, but for electrons at Belle II: a photon and a jet of two look like a Bhabha event."""
    for experiment, detector, lines, least in (("BaBar", BABAR, ("babar_track_clusters",), 0.95),
                                               ("Belle II", BELLE2, ("fyo", "ff30", "stt", "cdcklm1", "hie", "lml1"),
                                                0.98 if lepton == "mu" else 0.82)):  # fmt: skip
        events, reco, w = seen(experiment, lepton, 3.0)
        menu = load_menu()
        bits = menu.evaluate(l1_objects(events, detector, 4))
        theta = np.degrees(np.arccos(reco.columns["photon_cos_theta_lab"]))  # lines of its outermost rings are prescaled
        use = (reco.columns["chi2"] < 30) & (reco.columns["photon_energy_cms"] > 0.3) & (theta > 22) & (theta < 140)
        fired = menu.keep_probability(bits, lines)
        assert (w * fired)[use].sum() > least * w[use].sum()


# --- templates ---


@pytest.mark.parametrize(
    ("experiment", "name"), [(BABAR, "dimuon_photon"), (BABAR, "dielectron_photon"), (BELLE2, "dielectron_photon")]
)
def test_every_window_of_a_fine_scan_has_background_events(experiment, name):
    """25 effective events within four resolutions are what the smoothing of fits asks for."""
    template = load_template(name, experiment)
    c = template.columns
    use = (c["chi2"] < 30) & (template.process == 0)
    masses = np.array([0.1, 0.3, 0.7, 1.0, 1.7, 2.5, 3.3, 4.2, 5.0, 6.1, 7.0, 8.0, 9.0, 9.8])
    for x in masses:
        sigma = np.interp(x, [0.3, 1, 3, 5, 8], [0.0025, 0.0033, 0.0057, 0.008, 0.011])
        w = template.weights[use & (np.abs(c["reduced_mass"] - x) < 2 * sigma)]
        assert w.sum() ** 2 > 25 * (w**2).sum(), f"{name} at {x} GeV: {w.sum() ** 2 / (w**2).sum():.0f} effective events"


def test_template_has_the_rate_of_fresh_events():
    template = load_template("dimuon_photon", BABAR)
    events = MUMU_GAMMA_HARD.generate(150_000, 77, BABAR.beams)
    reco = FINAL_STATES["dimuon_photon"].reconstruct(events, BABAR, 78)
    menu = load_menu()
    lines = ("babar_track_clusters",)
    fired = menu.keep_probability(menu.evaluate(l1_objects(events, BABAR, 79)), lines)
    w = reco.weights * probability(reco) * fired
    kept = template.weights * menu.keep_probability(template.bits, lines) * (template.process == 0)
    for low, high in ((0.3, 1.0), (1.0, 4.0), (4.0, 8.0), (8.0, 10.0)):

        def total(columns, weights, low=low, high=high):
            x = weights[(columns["chi2"] < 30) & (columns["reduced_mass"] > low) & (columns["reduced_mass"] < high)]
            return x.sum(), (x**2).sum()

        (ours, a), (fresh, b) = total(template.columns, kept), total(reco.columns, w)
        assert abs(ours - fresh) < 4 * math.sqrt(a + b)


# --- displaced pairs ---


def test_no_lifetime_and_a_long_one_keep_nothing():
    mass = 0.3
    assert displaced_pair.kept(mass, 0.0, "e", BELLE2) == 0.0
    lengths = np.geomspace(1e-5, 1e6, 60)
    share = displaced_pair.kept(mass, lengths, "e", BELLE2)
    assert (share >= 0).all() and share.max() < 1 and share[0] < 1e-6
    # decays in front of a far distance: 1 over the decay length
    assert share[-1] * lengths[-1] == pytest.approx(share[-3] * lengths[-3], rel=1e-3)
    inner, outer = (displaced_pair.kept(mass, lengths, "e", BELLE2, (region,)) for region in displaced_pair.REGIONS)
    np.testing.assert_allclose(inner + outer, share, rtol=1e-12)
    assert lengths[inner.argmax()] < lengths[outer.argmax()]
    # one maximum each, no wiggles of the integration
    for part in (inner, outer):
        assert (np.diff(part[: part.argmax() + 1]) >= 0).all() and (np.diff(part[part.argmax() :]) <= 0).all()


def test_share_of_decays_in_a_shell_is_the_exponential_s():
    """Heavy pairs have exact vertices: only flight and the loss of tracks are left, which inside the beam pipe is 2 %."""
    mass, ctau, (low, high) = 2.0, 0.4, load_numbers("displaced_pair")["inner_radius"].values
    events = generate_gamma_x(200_000, 3, BELLE2.beams, mass, "dark_photon", isr=False)
    theta, v = angle(events.momenta_lab["gamma_1"]), events.momenta_lab["x"]
    length = ctau * np.hypot(v[:, 1], v[:, 2]) / mass
    expected = np.average(np.exp(-low / length) - np.exp(-high / length), weights=events.weights * ((theta > 17) & (theta < 150)))
    assert float(displaced_pair.kept(mass, ctau, "mu", BELLE2, ("inner",))) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(("lepton", "mass", "ctau", "region"), [("e", 0.1, 0.01, "inner"), ("mu", 0.4, 0.05, "inner"),
                                                                ("e", 0.2, 1.0, "outer"), ("mu", 1.0, 5.0, "outer")])  # fmt: skip
def test_kept_is_what_the_full_simulation_keeps(lepton, mass, ctau, region):
    """10 % before the silicon and 20 % in the chamber: directions of single tracks are averaged over."""
    slots = LEPTONS[lepton][1]
    events = generate_gamma_dilepton(N, 3, BELLE2.beams, mass=mass, lepton=lepton, isr=False, ctau_cm=ctau)
    theta = angle(events.momenta_lab["gamma_1"])
    events = events.select((theta > 17) & (theta < 150))
    prompt = replace(events, vertices_cm={})
    far, near = (two_track_vertex(observe(sample, BELLE2, 5), *slots, 7) for sample in (events, prompt))
    w = events.weights * far.efficiency * displaced_pair.selected(far, BELLE2, region)
    base = (events.weights * near.efficiency).sum()
    error = math.sqrt((w**2).sum()) / base
    tolerance = 3 * error + (0.1 if region == "inner" else 0.2) * w.sum() / base
    assert float(displaced_pair.kept(mass, ctau, lepton, BELLE2, (region,))) == pytest.approx(w.sum() / base, abs=tolerance)


@pytest.mark.parametrize(("lepton", "mass"), [("e", 0.3), ("mu", 0.4), ("mu", 0.45)])
def test_kshort_veto_costs_what_the_decay_angle_says(lepton, mass):
    events = generate_gamma_dilepton(N, 3, BELLE2.beams, mass=mass, lepton=lepton, isr=False)
    vertices = two_track_vertex(observe(events, BELLE2, 5), *LEPTONS[lepton][1], 7)
    w = events.weights * (vertices.efficiency > 0)
    share = np.average(looks_like_ks(vertices, BELLE2), weights=w)
    assert displaced_pair.kshort_loss(mass, lepton, BELLE2) == pytest.approx(
        share, abs=0.04
    )  # soft leptons are lost, others radiate
    assert displaced_pair.kshort_loss(0.6, lepton, BELLE2) == 0.0


def test_light_electron_pairs_are_only_seen_in_the_chamber():
    """Six errors from the beam line and as many from the beam pipe leave nothing between them below 80 MeV."""
    assert displaced_pair.kept(0.06, 0.01, "e", BELLE2, ("inner",)) < 1e-3
    assert displaced_pair.kept(0.06, 0.1, "e", BELLE2, ("outer",)) > 0.003
    # a muon pair of the same reduced mass is as hard to place
    heavier = math.sqrt(0.06**2 + 4 * (M_MUON**2 - M_ELECTRON**2))
    assert displaced_pair.kept(heavier, 0.01, "mu", BELLE2, ("inner",)) < 1e-3


@cache
def kshort():
    return generate_gamma_kshort(50_000, 3, BELLE2.beams)


def test_kshort_beside_a_photon_has_the_rate_of_the_phi():
    events = kshort()
    numbers = load_numbers("displaced_pair")
    # narrow resonance: sigma of e+e- -> gamma V per epsilon^2, with epsilon^2 from the electron width
    width = float(numbers["phi_electron_width"])
    low, high = np.cos(np.radians([130, 50]))
    cms = to_cms(events.momenta_lab["gamma_1"], BELLE2.beams)
    inside = (cms[:, 3] > low * cms[:, 0]) & (cms[:, 3] < high * cms[:, 0]) & (cms[:, 0] > 4.0)
    expected = gamma_dark_photon(BELLE2.beams.sqrt_s, M_PHI, low, high) * 3 * width / (ALPHA["thomson"] * M_PHI) * 0.34 * 0.692
    assert events.weights[inside].sum() == pytest.approx(expected, rel=0.12)  # photons off the beams


def test_kshort_beside_a_photon_is_a_kshort_with_a_klong():
    events = kshort()
    k = events.momenta_lab["pi-"] + events.momenta_lab["pi+"]
    np.testing.assert_allclose(invariant(k), M_KSHORT, rtol=1e-6)
    np.testing.assert_allclose(invariant(k + events.momenta_lab["K_L0"]), M_PHI, rtol=1e-6)
    length = proper_length(k, np.zeros((len(k), 3)), events.vertices_cm["pi-"])
    assert stats.kstest(length / CTAU_KSHORT, "expon").pvalue > 0.003


def test_known_processes_do_not_look_displaced():
    """Prompt and converted pairs lie within six errors of beam line and material, a K_S has the mass of one and a lost K_L."""
    converted = GAMMA_GAMMA_CONVERTED.generate(60_000, 1, BELLE2.beams)
    prompt = EE_GAMMA_PAIR.generate(60_000, 1, BELLE2.beams)
    for events, slots, lepton in (
        (converted, ("e-_1", "e+_1"), "e"),
        (prompt, ("e-", "e+"), "e"),
        (kshort(), ("pi-", "pi+"), "mu"),
    ):
        _, weights = displaced_pair.background(events, slots, lepton, BELLE2, 9)
        for region in displaced_pair.REGIONS:
            assert weights[region].sum() < 1e-5 * events.weights.sum()
    # without the two requirements they do
    vertices = two_track_vertex(observe(converted, BELLE2, 9), "e-_1", "e+_1", 9)
    low, high = load_numbers("displaced_pair")["inner_radius"].values
    assert ((vertices.radius > low) & (vertices.radius < high) & (vertices.efficiency > 0)).sum() > 1000
    pions = two_track_vertex(observe(kshort(), BELLE2, 9), "pi-", "pi+", 9)
    assert looks_like_ks(pions, BELLE2)[pions.efficiency > 0].mean() > 0.99
    # and signals do: the same function on pairs from inside the beam pipe
    signal = generate_gamma_dilepton(10_000, 1, BELLE2.beams, mass=0.3, lepton="e", ctau_cm=0.05)
    mass, weights = displaced_pair.background(signal, ("e-", "e+"), "e", BELLE2, 9)
    assert weights["inner"].sum() > 0.01 * signal.weights.sum()
    assert quantiles(mass, weights["inner"], [0.5])[0] == pytest.approx(0.3, abs=0.005)


def test_bad_regions_and_lengths():
    for message, arguments in (("inner", (0.3, 0.1, "e", BELLE2, ("middle",))), ("negative", (0.3, -1.0, "e", BELLE2)),
                               ("nearest: mu", (0.3, 0.1, "muon", BELLE2)), ("between", (12.0, 0.1, "e", BELLE2))):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            displaced_pair.kept(*arguments)
    with pytest.raises(ValueError, match="outer"):
        displaced_pair.pair_efficiency(np.ones(1), 0.3, "e", "out", BELLE2)


def test_point_of_decay_is_measured():
    got = displaced_pair.measure(5000, 3, BELLE2, mass=0.4, lepton="mu", radius_cm=0.5, region="inner")
    model = displaced_pair.pair_efficiency(np.array([0.5]), 0.4, "mu", "inner", BELLE2)[0]
    assert got.tracks == pytest.approx(0.99, abs=0.01) and got.chosen == pytest.approx(model, abs=0.06)
