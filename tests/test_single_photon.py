"""A photon and nothing else: what gets lost, what the KLM saves, the line shape of a broad A', the shipped templates."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from belle2dark.detector.experiments import BABAR, BELLE2
from belle2dark.final_states import FINAL_STATES
from belle2dark.final_states.single_photon import edge_distance
from belle2dark.photon_veto import recoil_spectrum, with_veto_angles, without_gaps
from belle2dark.recipes import recipe_of
from belle2dark.simulation.backgrounds import EE_GAMMA, GAMMA_GAMMA, NUNU_GAMMA
from belle2dark.simulation.beams import belle2_beams, to_cms
from belle2dark.simulation.bhabha import generate_ee_gamma
from belle2dark.simulation.events import Events
from belle2dark.simulation.gamma_x import generate_gamma_x
from belle2dark.simulation.line_shape import draw_masses
from belle2dark.templates import load_template
from belle2dark.theory.dark_matter import DarkMatter, line_shape
from belle2dark.theory.gamma_x import gamma_dark_photon
from belle2dark.theory.lost_electrons import cms_angle, hardest_photon, onset_mass
from belle2dark.trigger.menu import load_menu
from belle2dark.trigger.objects import l1_objects

STATE = FINAL_STATES["single_photon"]
FIXED = belle2_beams(spread=False)
ROOT = FIXED.sqrt_s
N = 40_000


def ray(energy, theta, phi):
    """A photon [GeV, deg], repeated."""
    t, p = math.radians(theta), math.radians(phi)
    direction = [1.0, math.sin(t) * math.cos(p), math.sin(t) * math.sin(p), math.cos(t)]
    return np.tile(energy * np.array(direction), (N, 1))


def photons(*rays):
    return Events(momenta_lab={f"gamma_{k + 1}": p for k, p in enumerate(rays)}, weights=np.full(N, 1.0 / N))


def probability(reco):
    return np.prod(list(reco.factors.values()), axis=0)


def klm_share(reco):
    weights = probability(reco)
    return float(weights @ reco.columns["klm_seen"] / weights.sum())


# what is lost


def test_a_hard_photon_is_lost_only_by_passing_the_crystals():
    """exp(-7/9 of 16 radiation lengths), one or the other of the two."""
    lost = float(BELLE2.number("photon_punch_through"))
    assert lost == pytest.approx(math.exp(-7 / 9 * 16.1), rel=0.02)
    pair = STATE.reconstruct(photons(ray(5.0, 80.0, 20.0), ray(4.5, 95.0, 200.0)), BELLE2, 1)
    soft = BELLE2.number("photon_veto_soft_energy")
    expected = BELLE2.number("photon_efficiency") * lost * sum(1 + (soft / e) ** 2 for e in (5.0, 4.5))
    assert probability(pair).mean() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("energy", [0.15, 0.3, 0.6])
def test_soft_photons_are_lost_more_often(energy):
    single = STATE.reconstruct(photons(ray(3.0, 80.0, 20.0), ray(energy, 95.0, 150.0)), BELLE2, 2)
    alone = STATE.reconstruct(photons(ray(3.0, 80.0, 20.0)), BELLE2, 2)
    scale = BELLE2.number("photon_veto_soft_scale")
    expected = 0.002 * (1 + (0.1 / energy) ** 2) * math.exp(-energy / scale) + BELLE2.number("photon_punch_through") * 1.1
    # photons between 0.1 and 0.2 GeV cannot be "the photon", harder ones are so as often as the first is lost
    assert probability(single).mean() / probability(alone).mean() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("detector", [BELLE2, BABAR], ids=lambda d: d.name)
def test_the_klm_sees_photons_behind_gaps(detector):
    """In the gap between barrel and forward end cap everything is lost; of photons above 1 GeV 30 % hit the KLM."""
    gap = 0.5 * (detector.numbers["ecl_forward_theta"].values[1] + detector.numbers["ecl_barrel_theta"].values[0])
    hard = STATE.reconstruct(photons(ray(3.0, 80.0, 20.0), ray(4.0, gap, 200.0)), detector, 3)
    seen = detector.number("klm_photon_efficiency")
    assert klm_share(hard) == pytest.approx(seen, abs=3 * math.sqrt(seen * (1 - seen) / N))
    for other in (photons(ray(3.0, 80.0, 20.0)), photons(ray(3.0, 80.0, 20.0), ray(0.5, gap, 200.0))):
        assert klm_share(STATE.reconstruct(other, detector, 3)) < 1e-3
    blind = STATE.reconstruct(photons(ray(3.0, 80.0, 20.0), ray(4.0, gap, 200.0)), detector.vary(klm_photon_efficiency=0.0), 3)
    assert klm_share(blind) == 0.0
    assert np.array_equal(probability(blind), probability(hard))  # the flag does not veto by itself


def test_the_klm_sees_photons_that_pass_the_crystals():
    reco = STATE.reconstruct(photons(ray(3.0, 80.0, 20.0), ray(4.0, 95.0, 185.0)), BELLE2, 4)
    seen = BELLE2.number("klm_photon_efficiency")
    assert klm_share(reco) == pytest.approx(seen, abs=3 * math.sqrt(seen * (1 - seen) / N) + 1e-3)


def test_distance_to_gaps_and_cracks():
    forward, barrel = (BELLE2.numbers[f"ecl_{part}_theta"].values for part in ("forward", "barrel"))
    theta = np.radians([80.0, barrel[0] + 1.0, 0.5 * (forward[1] + barrel[0]), 5.0])
    found = edge_distance(theta, np.zeros(4), BELLE2)
    assert found[0] == pytest.approx(80.0 - barrel[0])
    assert found[1] == pytest.approx(1.0)
    assert found[2] == pytest.approx(-0.4, abs=1e-6)
    assert found[3] < -5.0
    # BaBar: 40 modules in azimuth, boundaries at multiples of 9 degrees; polar boundaries every 16 degrees
    phi = np.radians([0.0, 1.0, 4.5])
    across = edge_distance(np.full(3, np.radians(27.1 + 3.5 * (140.8 - 27.1) / 7)), phi, BABAR)
    assert across == pytest.approx([0.0, math.sin(np.radians(83.95)), 4.5 * math.sin(np.radians(83.95))], abs=1e-6)


def test_recoil_of_two_photons_is_the_other_photon():
    """Without radiation the recoil points to the partner: what recoil_edge is for."""
    energy, theta, phi = 4.0, 70.0, 40.0
    reco = STATE.reconstruct(photons(ray(energy, theta, phi)), BELLE2, 5)
    recoil = BELLE2.beams.nominal - ray(energy, theta, phi)[0]
    expected = recoil[3] / np.linalg.norm(recoil[1:])
    assert np.median(reco.columns["recoil_cos_theta_lab"]) == pytest.approx(expected, abs=3e-3)


# electrons along the beams


@pytest.mark.parametrize(("forward", "backward"), [(20.0, 30.0), (25.0, 25.0)])
def test_hardest_photon_with_both_electrons_lost(forward, backward):
    """No generated event is beyond the closed form, and some come close."""
    f, b = math.radians(forward), math.radians(backward)
    events = generate_ee_gamma(400_000, 6, FIXED, energy_min=1.5, theta_photon=(0.9, 2.2))
    photon, minus, plus = (to_cms(events.momenta_lab[name], FIXED) for name in ("gamma_1", "e-", "e+"))
    angles = [np.arctan2(np.hypot(p[:, 1], p[:, 2]), p[:, 3]) for p in (minus, plus)]
    low, high = np.minimum(*angles), np.maximum(*angles)
    lost = (low < f) & (high > math.pi - b) & (events.weights > 0)
    assert lost.sum() > 1000
    cosine = photon[lost, 3] / photon[lost, 0]
    ratio = photon[lost, 0] / hardest_photon(cosine, ROOT, f, b)
    assert ratio.max() < 1.0 + 1e-3  # electron masses
    assert ratio.max() > 0.97


def test_onset_of_lost_electrons():
    """A photon across the beams with symmetric cones of angle a: E* (1 + 1/sin a) = sqrt(s)."""
    a = math.radians(20.0)
    assert float(hardest_photon(0.0, ROOT, a, a)) == pytest.approx(ROOT / (1 + 1 / math.sin(a)))
    assert onset_mass(0.6, ROOT, a, a) < onset_mass(0.0, ROOT, a, a) < ROOT
    assert onset_mass(0.6, ROOT, 1.2 * a, 1.2 * a) < onset_mass(0.6, ROOT, a, a)
    # aberration keeps the beams and turns 90 degrees backward
    assert cms_angle(0.0, 0.3) == 0.0
    assert cms_angle(math.pi / 2, 0.3) == pytest.approx(math.acos(-0.3))
    with pytest.raises(ValueError, match="outside both cones"):
        hardest_photon(0.99, ROOT, a, a)
    with pytest.raises(ValueError, match="below pi/2"):
        hardest_photon(0.0, ROOT, 2.0, a)
    with pytest.raises(ValueError, match="beta"):
        cms_angle(1.0, 1.0)


@pytest.mark.parametrize(("detector", "forward", "backward"), [(BELLE2, 16.4, 151.1), (BABAR, 18.8, 137.8)],
                         ids=["Belle II", "BaBar"])  # fmt: skip
def test_a_smaller_veto_lets_more_electrons_through(detector, forward, backward):
    """Four (three) degrees more on both sides: several times the e e gamma just above the onset, little far above it."""
    beams, total = detector.beams, detector.beams.nominal
    beta = total[3] / total[0]

    def onset(low, high):
        return onset_mass(0.6, beams.sqrt_s, cms_angle(math.radians(low), beta), math.pi - cms_angle(math.radians(high), beta))

    ends = detector.calorimeter()
    used = [x for x in ends if abs(x) < 1]
    shipped = onset(math.degrees(math.acos(max(used))), math.degrees(math.acos(min(used))))
    edges = np.array([0.3 * shipped**2, 0.8 * shipped**2, 1.3 * shipped**2, 0.75 * ROOT**2, 0.85 * ROOT**2])

    def keep(columns):
        return (np.abs(columns["cos_theta_cms"]) < 0.6) & (columns["klm_seen"] < 0.5)

    plain, worse = (recoil_spectrum(d, edges, (EE_GAMMA,), keep, n=120_000).fb["ee_gamma"]
                    for d in (detector, with_veto_angles(detector, forward, backward)))  # fmt: skip
    assert plain[0] < 0.5 * plain[1] < 0.05 * plain[2]  # below the onset only what cracks and edges miss
    assert worse[1] > 1.5 * plain[1]
    assert worse[1] / plain[1] > worse[3] / plain[3] > 1.0
    assert onset(forward, backward) < shipped - 0.3


def test_gaps_are_what_makes_low_recoil_masses():
    """Without gaps, cracks and edges two photons are a few events per fb-1 instead of thousands."""
    edges = np.array([-6.0, 6.0, 20.0])

    def keep(columns):
        return np.abs(columns["cos_theta_cms"]) < 0.8

    for detector in (BELLE2, BABAR):
        whole = recoil_spectrum(without_gaps(detector), edges, (GAMMA_GAMMA,), keep, n=60_000).fb["gamma_gamma"]
        shipped = recoil_spectrum(detector, edges, (GAMMA_GAMMA,), keep, n=60_000).fb["gamma_gamma"]
        assert 10 * whole[0] < 100 < shipped[0]


def test_neutrinos_are_lost_by_nobody():
    edges = np.array([0.0, 25.0, 64.0])
    plain, whole = (recoil_spectrum(d, edges, (NUNU_GAMMA,), n=60_000) for d in (BELLE2, without_gaps(BELLE2)))
    for k in range(2):
        a, b = plain.fb["nunu_gamma"][k], whole.fb["nunu_gamma"][k]
        assert a == pytest.approx(b, rel=0.1)


# a broad A'


@pytest.mark.parametrize(("alpha_d", "mass"), [(0.5, 2.0), (0.5, 7.0), (0.1, 9.0)])
def test_masses_follow_the_line_shape(alpha_d, mass):
    dark = DarkMatter(alpha_d=alpha_d, mass_ratio=1 / 3)
    masses, weights = draw_masses(200_000, 1, mass, dark, ROOT)
    assert masses.min() >= 2 / 3 * mass * (1 - 1e-9) and masses.max() <= 0.99 * ROOT * (1 + 1e-9)
    for low, high in ((2 / 3 * mass, mass), (mass, 0.99 * ROOT)):
        expected = quad(lambda q: 2 * q * float(line_shape(q, mass, dark)), low, high, limit=200)[0]
        w = np.where((masses > low) & (masses < high), weights, 0.0)
        assert w.mean() == pytest.approx(expected, abs=3 * w.std() / math.sqrt(len(w)))


@pytest.mark.parametrize(("alpha_d", "mass"), [(1e-4, 4.0), (0.1, 7.0), (0.5, 1.0), (0.5, 9.0)])
def test_rate_of_a_broad_dark_photon(alpha_d, mass):
    """The line shape folded with the closed form, within the angles and energies of a search."""
    dark = DarkMatter(alpha_d=alpha_d, mass_ratio=1 / 3)
    events = generate_gamma_x(100_000, 1, FIXED, mass, "dark_photon", 1e-3, isr=False, dark=dark)
    photon = to_cms(events.momenta_lab["gamma_1"], FIXED)
    w = np.where((np.abs(photon[:, 3]) < 0.9 * photon[:, 0]) & (photon[:, 0] > 0.5), events.weights, 0.0)
    top, scale = math.sqrt(ROOT**2 - ROOT), mass * dark.width_fraction
    marks = sorted({2 / 3 * mass, top} | {m for k in (-20, -3, 0, 3, 20) if 2 / 3 * mass < (m := mass + k * scale) < top})

    def rate(q):
        return 2e-6 * q * float(line_shape(q, mass, dark)) * float(gamma_dark_photon(ROOT, q, -0.9, 0.9))

    expected = sum(quad(rate, a, b, limit=200)[0] for a, b in pairwise(marks))
    assert w.sum() == pytest.approx(expected, abs=3 * math.sqrt((w**2).sum()))
    narrow = 1e-6 * float(gamma_dark_photon(ROOT, mass, -0.9, 0.9))
    if alpha_d < 1e-3:
        assert expected == pytest.approx(narrow, rel=1e-3)
    if (alpha_d, mass) == (0.5, 1.0):
        assert expected > 1.3 * narrow  # the tail reaches to masses with larger cross-sections


def test_a_narrow_dark_photon_has_one_mass():
    plain = draw_masses(100, 1, 4.0, None, ROOT)
    for dark in (None, DarkMatter(alpha_d=0.0, mass_ratio=1 / 3)):
        masses, weights = draw_masses(100, 1, 4.0, dark, ROOT)
        assert (masses == 4.0).all() and (weights == 1.0).all()
    assert np.array_equal(plain[0], masses)
    with pytest.raises(ValueError, match="mass_ratio"):
        draw_masses(100, 1, 4.0, DarkMatter(alpha_d=0.1, mass_ratio=0.5), ROOT)


def test_width_in_the_recoil_mass():
    """A natural width of 0.21 or 1.06 GeV at 7 GeV leaves the share of a Breit-Wigner in a window wider than the resolution."""
    inside = {}
    for alpha_d in (1e-4, 0.1, 0.5):
        dark = DarkMatter(alpha_d=alpha_d, mass_ratio=1 / 3)
        reco = STATE.reconstruct(generate_gamma_x(N, 1, BELLE2.beams, 7.0, "dark_photon", dark=dark), BELLE2, 1)
        weights = reco.weights * probability(reco)
        near = np.abs(reco.columns["recoil_mass_squared"] - 49.0) < 4.0
        inside[alpha_d] = float(weights[near].sum() / weights.sum())
        share = 2 / math.pi * math.atan(4.0 / (49.0 * dark.width_fraction))
        # radiation, resolution and the rise of the cross-section under the tails make up the rest
        assert inside[alpha_d] / inside[1e-4] == pytest.approx(share, rel=0.25)


# trigger and templates


@pytest.mark.parametrize(("detector", "mass", "line", "least"), [(BELLE2, 3.0, "lml1", 2.1), (BELLE2, 8.5, "lml6", 1.2),
                                                                 (BELLE2, 9.8, "lml13", 0.6),
                                                                 (BABAR, 3.0, "babar_photon_2gev", 2.1)])  # fmt: skip
def test_single_photon_lines_keep_99_percent(detector, mass, line, least):
    """The efficiency measured in data, away from the edges of what a line accepts (44 to 98 degrees less a trigger cell)."""
    events = generate_gamma_x(N, 1, detector.beams, mass, "dark_photon")
    reco = STATE.reconstruct(events, detector, 1)
    columns = reco.columns
    theta = np.degrees(np.arccos(columns["cos_theta_lab"]))
    use = (theta > 53) & (theta < 95) & (columns["energy_cms"] > least)
    menu = load_menu()
    fired = menu.fired(menu.evaluate(l1_objects(events, detector, 1)), [line])[use]
    weights = (events.weights * probability(reco))[use]
    assert float(weights @ fired / weights.sum()) == pytest.approx(0.99, abs=0.005)


def test_babar_lines_have_their_thresholds():
    menu = load_menu()
    assert {line.name for line in menu.offered("single_photon", experiment="BaBar")} == {"babar_photon_2gev", "babar_photon_1gev"}
    for energy, expected in ((0.6, set()), (1.6, {"babar_photon_1gev"}), (3.5, {"babar_photon_1gev", "babar_photon_2gev"})):
        bits = menu.evaluate(l1_objects(photons(ray(energy, 80.0, 3.0)), BABAR, 7))
        fired = {n for n in ("babar_photon_2gev", "babar_photon_1gev") if menu.fired(bits, [n]).mean() > 0.5}
        assert fired == expected


@pytest.mark.parametrize("detector", [BELLE2, BABAR], ids=lambda d: d.name)
def test_templates_have_events_where_searches_look(detector):
    """Fifteen effective events in 5 GeV^2 of recoil mass squared, of which a fit spans several, and a hundred at high masses.

    At low masses with the recoil into a healthy part of the calorimeter; that of a soft photon goes down the beam anyway.
    """
    template = load_template("single_photon", detector)
    c, w = template.columns, template.weights
    assert template.processes == tuple(p.name for p in recipe_of("single_photon", detector.name).processes)
    assert set(np.unique(c["klm_seen"])) == {0.0, 1.0}
    central = (np.abs(c["cos_theta_cms"]) < 0.6) & (c["klm_seen"] < 0.5)
    for low in np.arange(-5.0, 90.0, 5.0):
        inside = central & (c["recoil_mass_squared"] > low) & (c["recoil_mass_squared"] < low + 5.0)
        if low < 50.0:
            inside &= c["recoil_edge"] > 2.0
        assert w[inside].sum() ** 2 / (w[inside] ** 2).sum() >= (15 if low < 50.0 else 100)
    # the veto removes photons behind gaps, not electrons along the beams
    gone = {name: float(w[k & (c["klm_seen"] > 0.5)].sum() / w[k].sum())
            for name, k in ((p, template.process == i) for i, p in enumerate(template.processes))}  # fmt: skip
    assert gone["gamma_gamma"] > 10 * gone["ee_gamma"] and gone["cosmic_photon"] < 0.01


def test_bad_input():
    with pytest.raises(ValueError, match="edges"):
        recoil_spectrum(BELLE2, np.array([4.0, 1.0]))
    with pytest.raises(ValueError, match="forward"):
        with_veto_angles(BELLE2, 40.0, 151.0)
    with pytest.raises(ValueError, match="backward"):
        with_veto_angles(BABAR, 16.0, 150.0)
    with pytest.raises(ValueError, match="n = 0"):
        recoil_spectrum(BELLE2, np.array([1.0, 4.0]), n=0)
