"""Calorimeter and KLM: regions, resolution, cracks, merging, the veto's inefficiency, masses of three photons."""

from dataclasses import replace

import numpy as np
import pytest

from belle2dark.constants import M_MUON
from belle2dark.detector.calorimeter import REGIONS, measure_clusters, unseen_probability
from belle2dark.detector.experiments import BABAR, BELLE, BELLE2
from belle2dark.detector.observed import observe
from belle2dark.detector.photons import COLUMNS, mass_squared, recoil_mass_squared, three_photon_columns
from belle2dark.simulation.beams import to_cms, to_lab
from belle2dark.simulation.events import Events

FIXED = replace(BELLE2.beams, spread=False, luminous=(0.0, 0.0, 0.0))
STILL = replace(BELLE2, beams=FIXED)


def at(theta, phi, energy, n=1):
    """Massless four-momentum (n, 4) at lab angles [deg]."""
    t, f = np.radians(theta), np.radians(phi)
    one = energy * np.array([1.0, np.sin(t) * np.cos(f), np.sin(t) * np.sin(f), np.cos(t)])
    return np.tile(one, (n, 1))


def photons(*momenta, vertices=None):
    names = [f"gamma_{i + 1}" for i in range(len(momenta))]
    points = {} if vertices is None else dict(zip(names, vertices, strict=True))
    return Events(momenta_lab=dict(zip(names, momenta, strict=True)), weights=np.ones(len(momenta[0])), vertices_cm=points)


def isotropic(rng, n):
    v = rng.normal(size=(n, 3))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def axion(mass, n, seed):
    """e+e- -> gamma a, a -> gamma gamma: 1 + cos^2 and isotropic, in the lab; gamma_1 recoils."""
    rng = np.random.default_rng(seed)
    root = FIXED.sqrt_s
    energy = (root**2 - mass**2) / (2 * root)
    cos = rng.uniform(-1, 1, 4 * n)
    cos = cos[rng.uniform(0, 2, 4 * n) < 1 + cos**2][:n]
    phi, sin = rng.uniform(0, 2 * np.pi, n), np.sqrt(1 - cos**2)
    k = energy * np.stack([np.ones(n), sin * np.cos(phi), sin * np.sin(phi), cos], axis=1)
    a = np.array([root, 0, 0, 0]) - k
    out = [k]
    d = mass / 2 * isotropic(rng, n)
    for sign in (1, -1):
        e = (a[:, 0] * mass / 2 + sign * (a[:, 1:] * d).sum(1)) / mass
        p = sign * d + ((mass / 2 + e) / (mass + a[:, 0]))[:, None] * a[:, 1:]
        out.append(np.concatenate([e[:, None], p], axis=1))
    return photons(*(to_lab(p, FIXED) for p in out))


def selected(events, mass):
    """Measured photons (n, 3, 4) in the selection of the three-photon search."""
    p = observe(events, STILL, 1).clusters.momenta_lab
    theta = np.degrees(np.arccos(p[..., 3] / np.maximum(p[..., 0], 1e-9)))
    return p[((p[..., 0] > (1.0 if mass <= 4 else 0.65)) & (theta > 37.3) & (theta < 123.7)).all(axis=1)]


def half_width(x):
    low, high = np.quantile(x, [0.15865, 0.84135])
    return (high - low) / 2


# sigma(M^2_gammagamma) [GeV^2] of an independent calculation with the same energy and angular resolutions
RESOLUTION = {0.5: 0.0139, 1.0: 0.0372, 2.0: 0.121, 4.0: 0.442, 5.0: 0.663}


@pytest.mark.parametrize("mass", RESOLUTION)
def test_diphoton_mass_resolution(mass):
    columns = three_photon_columns(selected(axion(mass, 40_000, 3), mass), FIXED)
    # how the azimuth is smeared and whether the width is a fit or a quantile differs by up to 7 %
    assert half_width(columns["mass_squared"]) == pytest.approx(RESOLUTION[mass], rel=0.08)


@pytest.mark.parametrize("mass", [6.9, 8.0, 9.6])
def test_recoil_resolution_is_the_energy_resolution(mass):
    """M^2 = s - 2 sqrt(s) E*: for a photon of known direction its width is 2 sqrt(s) E* sigma_E / E."""
    events = axion(mass, 20_000, 4)
    lab, cms = events.momenta_lab["gamma_1"], to_cms(events.momenta_lab["gamma_1"], FIXED)
    smeared = observe(events, STILL, 1).clusters
    inside = smeared.region[:, 0] > 0
    inside &= (smeared.region[:, 0] < 4) & (smeared.merged < 0).all(axis=1)
    delta = recoil_mass_squared(smeared.momenta_lab[inside, 0], FIXED) - mass**2
    expected = 2 * FIXED.sqrt_s * cms[inside, 0] * 0.016 * (8.0 / lab[inside, 0]) ** 0.21
    pull = delta / expected
    # angles add 2.5 to 5 mrad times the boost 0.29: below 3 % of the width
    assert pull.std() == pytest.approx(1.0, rel=0.04)


@pytest.mark.parametrize(("energy", "expected"), [(0.1, 0.04), (8.0, 0.016)])
def test_energy_resolution_spans_the_quoted_range(energy, expected):
    clusters = measure_clusters(photons(at(90, 40, energy, 20_000)).particles(), BELLE2, 2)
    assert clusters.momenta_lab[:, 0, 0].std() / energy == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("detector", [BELLE2, BELLE, BABAR], ids=lambda d: d.name)
def test_resolution_follows_the_numbers_of_each_detector(detector):
    one = detector.number
    clusters = measure_clusters(photons(at(90, 40.3, 1.0, 20_000)).particles(), detector, 2)
    expected = np.hypot(one("photon_energy_stochastic"), one("photon_energy_constant"))
    assert clusters.momenta_lab[:, 0, 0].std() == pytest.approx(expected, rel=0.02)
    p = clusters.momenta_lab[:, 0]
    angle = np.hypot(one("photon_angle_constant"), one("photon_angle_stochastic"))
    assert np.arccos(p[:, 3] / p[:, 0]).std() == pytest.approx(angle, rel=0.02)
    assert np.arctan2(p[:, 2], p[:, 1]).std() == pytest.approx(angle, rel=0.02)


@pytest.mark.parametrize(
    ("detector", "theta", "region"),
    [(BELLE2, 12.0, "outside"), (BELLE2, 13.5, "forward"), (BELLE2, 31.8, "gap"), (BELLE2, 33.0, "barrel"),
     (BELLE2, 128.0, "barrel"), (BELLE2, 129.5, "gap"), (BELLE2, 131.5, "backward"), (BELLE2, 156.0, "outside")],
)  # fmt: skip
def test_regions(detector, theta, region):
    clusters = measure_clusters(photons(at(theta, 10, 2.0)).particles(), detector, 1)
    assert clusters.region[0, 0] == REGIONS[region]
    assert (clusters.efficiency[0, 0] > 0.5) == (region not in ("outside", "gap"))
    assert (clusters.unseen[0, 0] == 1.0) == (region in ("outside", "gap"))


def test_babar_has_nothing_behind_its_barrel():
    low, high = BABAR.numbers["ecl_forward_theta"].values[0], BABAR.numbers["ecl_barrel_theta"].values[1]
    for theta, region in ((low - 1, "outside"), (low + 1, "forward"), (high - 1, "barrel"), (high + 1, "outside")):
        clusters = measure_clusters(photons(at(theta, 10, 2.0)).particles(), BABAR, 1)
        assert clusters.region[0, 0] == REGIONS[region]


def test_photon_efficiency_and_veto():
    def look(e):
        return measure_clusters(photons(at(90, 10, e)).particles(), BELLE2, 1)

    assert look(2.0).efficiency[0, 0] == pytest.approx(0.90, abs=0.01)  # 90 % above 1.5 GeV in the review talk
    plateau = BELLE2.number("photon_veto_inefficiency")
    assert look(5.0).unseen[0, 0] == pytest.approx(plateau, rel=0.01)
    assert look(0.09).unseen[0, 0] == 1.0
    energies = np.array([0.11, 0.2, 0.5, 2.0, 6.0])
    assert np.all(np.diff([unseen_probability(e, 1.5, 0.0, BELLE2) for e in energies]) < 0)
    theta = np.radians(np.linspace(32.25, 34.0, 8))
    near = [unseen_probability(2.0, t, 0.0, BELLE2) for t in theta]
    assert np.all(np.diff(near) <= 0) and near[0] > 10 * near[-1]
    assert unseen_probability(2.0, np.radians(20), 0.0, BELLE2) == pytest.approx(2 * near[-1])


def test_only_babar_has_projective_cracks():
    phi = np.linspace(-np.pi, np.pi, 40_001)[:-1]
    theta = np.radians(85.0)
    for detector, expected in ((BELLE2, 0.0), (BELLE, 0.0), (BABAR, 40 * BABAR.number("crack_width") / (2 * np.pi))):
        clear = detector.number("photon_veto_inefficiency") * 2
        missed = np.array([unseen_probability(3.0, theta, f, detector) for f in phi])
        assert (missed > clear).mean() == pytest.approx(expected, abs=0.001)
    open_phi = 0.5 * 2 * np.pi / 40
    polar = np.radians(np.linspace(30, 138, 20_001))
    missed = np.array([unseen_probability(3.0, t, open_phi, BABAR) for t in polar]) > 0.1
    assert np.count_nonzero(np.diff(missed.astype(int)) == 1) == 6  # seven rows of modules


@pytest.mark.parametrize(("apart", "merged"), [(0.05, True), (0.08, False)])
def test_close_photons_are_one_cluster(apart, merged):
    two = photons(at(90, 0, 2.0), at(90, np.degrees(apart), 1.0))
    quiet = BELLE2.vary(photon_angle_constant=0.0, photon_angle_stochastic=0.0, photon_energy_stochastic=0.0)
    clusters = measure_clusters(two.particles(), quiet, 1)
    assert (clusters.merged[0, 1] == 0) == merged
    assert clusters.momenta_lab[0, :, 0].sum() == pytest.approx(3.0)
    if merged:
        assert clusters.momenta_lab[0, 0, 0] == pytest.approx(3.0)
        assert np.arctan2(*clusters.momenta_lab[0, 0, [2, 1]]) == pytest.approx(apart / 3, rel=1e-3)
        assert clusters.efficiency[0, 1] == 0.0


def test_a_photon_inside_another_cluster_does_not_veto():
    """Alone a second photon of 1 GeV is seen; merged into the first it is no cluster of its own."""
    for apart, unseen in ((0.05, 1.0), (0.5, BELLE2.number("photon_veto_inefficiency"))):
        seen = observe(photons(at(90, 0, 2.0), at(90, np.degrees(apart), 1.0)), STILL, 1)
        assert seen.unseen(("gamma_2",))[0] == pytest.approx(unseen, rel=0.02)  # 1 + (0.1 / E)^2


def test_displaced_photons_point_to_the_wrong_place():
    quiet = STILL.vary(photon_angle_constant=0.0, photon_angle_stochastic=0.0)
    events = photons(at(90, 0, 1.0), vertices=[np.array([[0.0, 30.0, 0.0]])])
    p = measure_clusters(events.particles(), quiet, 1).momenta_lab[0, 0]
    assert np.arctan2(p[2], p[1]) == pytest.approx(np.arcsin(30.0 / 125.0), rel=1e-9)


@pytest.mark.parametrize(("pt", "seen"), [(0.27, False), (0.29, True)])
def test_charged_particles_reach_the_barrel_above_280_mev(pt, seen):
    """pT = 0.28 GeV is what basf2 asks of a track that reaches the barrel; here it is 125 cm = 2 pT / 0.3 B."""
    momentum = np.array([[np.hypot(pt, M_MUON), pt, 0.0, 0.05]])
    clusters = measure_clusters(Events(momenta_lab={"mu-": momentum}, weights=np.ones(1)).particles(), BELLE2, 1)
    assert (clusters.momenta_lab[0, 0, 0] > 0) == seen


def test_charged_clusters_are_turned_by_the_field():
    for name, sign in (("e-", 1), ("e+", -1)):
        events = Events(momenta_lab={name: at(90, 0, 1.0)}, weights=np.ones(1))
        quiet = BELLE2.vary(photon_angle_constant=0.0, photon_angle_stochastic=0.0)
        p = measure_clusters(events.particles(), quiet, 1).momenta_lab[0, 0]
        # half of the turning angle of a chord of 125 cm; positive particles turn clockwise
        assert np.arctan2(p[2], p[1]) == pytest.approx(sign * np.arcsin(0.5 * 125.0 * 0.299792458e-2 * 1.5), rel=1e-9)


def test_klm_sees_muons_neutral_hadrons_and_leaking_photons():
    p = 2.0
    momenta = {"mu-": np.array([[np.hypot(p, M_MUON), p, 0, 0]]), "K_L0": np.array([[np.hypot(p, 0.4976), 0, p, 0]]),
               "gamma_1": at(31.8, 0, 3.0), "gamma_2": at(90, 100, 3.0),
               "mu+": np.array([[np.hypot(0.3, M_MUON), 0.3, 0, 0]])}  # fmt: skip
    seen = observe(Events(momenta_lab=momenta, weights=np.ones(1)), BELLE2, 1)
    klm = dict(zip(seen.slots, seen.klm[0], strict=True))
    assert klm["mu-"] == 1.0 and klm["mu+"] == 0.0
    assert klm["K_L0"] == pytest.approx(np.exp(-0.8) * (1 - np.exp(-3.9)) * BELLE2.number("klm_neutral_efficiency"))
    assert klm["gamma_1"] == pytest.approx(BELLE2.number("klm_photon_efficiency"))
    assert klm["gamma_2"] < 0.01
    assert seen.unseen(("gamma_1",))[0] == pytest.approx(1.0 - klm["gamma_1"])
    assert seen.unseen(("gamma_1", "gamma_2"))[0] < 0.01
    assert seen.unseen(("mu+",))[0] < 1.0 - BELLE2.number("tracking_efficiency") + 1e-9  # below the KLM, but a track
    assert seen.unseen(())[0] == 1.0


@pytest.mark.parametrize("detector", [BELLE2, BABAR], ids=lambda d: d.name)
def test_klm_is_dead_between_its_sectors(detector):
    phi = np.radians(np.arange(0.05, 360.0, 0.1))
    for theta, dead in ((90.0, detector.number("klm_sectors") * detector.number("klm_sector_gap") / (2 * np.pi)), (40.0, 0.0)):
        t = np.radians(theta)
        p = 3.0 * np.stack([np.sin(t) * np.cos(phi), np.sin(t) * np.sin(phi), np.full(len(phi), np.cos(t))], axis=1)
        momenta = np.concatenate([np.full((len(phi), 1), np.hypot(3.0, M_MUON)), p], axis=1)
        seen = observe(Events(momenta_lab={"mu-": momenta}, weights=np.ones(len(phi))), detector, 1)
        assert (seen.klm == 0.0).mean() == pytest.approx(dead, abs=0.003)


def test_recoil_photon_in_the_barrel():
    """A photon of e+e- -> gamma a, 1 + cos^2 in the centre of mass, is in the barrel in 67.5 % of events (closed form)."""
    n = 40_000
    fraction = (observe(axion(1.0, n, 6), STILL, 1).clusters.region[:, 0] == REGIONS["barrel"]).mean()
    assert fraction == pytest.approx(0.675, abs=3 * np.sqrt(0.675 * 0.325 / n) + 0.0005)


def test_a_tail_of_leaking_showers_lowers_the_energy():
    events = photons(at(90, 40, 1.0, 20_000)).particles()
    leaky = BELLE2.vary(photon_tail_fraction=0.3)
    loss = 1.0 - measure_clusters(events, leaky, 2).momenta_lab[:, 0, 0].mean()
    assert loss == pytest.approx(0.3 * 2.0 * 0.02476, rel=0.05)


def test_three_photon_columns_close_the_kinematics():
    events = axion(3.0, 200, 5)
    p = np.stack([events.momenta_lab[f"gamma_{i}"] for i in (1, 2, 3)], axis=1)
    columns = three_photon_columns(p, FIXED)
    assert np.allclose(columns["mass_squared"], 9.0) and np.allclose(columns["recoil_mass_squared"], 9.0)
    assert np.allclose(columns["m_pair"], 3.0) and np.allclose(columns["recoil_mass"], 3.0)
    assert np.allclose(columns["m_total"], FIXED.sqrt_s)
    for first in (1, 2):  # with nothing missing the pair is what recoils, whichever it is
        other = three_photon_columns(np.roll(p, first, axis=1), FIXED)
        assert np.allclose(other["mass_squared"], other["recoil_mass_squared"])
        for same in ("m_total", "energy_min_lab", "energy_min_cms", "angle_min", "dtheta_close"):
            assert np.allclose(other[same], columns[same])
    assert set(columns) == set(COLUMNS)
    assert np.allclose(mass_squared(p), 0.0, atol=1e-9)
    with pytest.raises(ValueError, match=r"shape \(200, 2, 4\), expected \(n, 3, 4\)"):
        three_photon_columns(p[:, :2], FIXED)


def test_photons_at_one_polar_angle_and_close_in_azimuth_are_told_apart():
    """What a converted photon looks like; at another azimuth the same polar angles mean nothing."""
    p = np.stack([at(90, 180, 5.0), at(80.0, 10, 3.0), at(80.2, 20, 3.0)], axis=1)
    assert three_photon_columns(p, FIXED)["dtheta_close"][0] == pytest.approx(np.radians(0.2))
    assert three_photon_columns(p, FIXED)["angle_min"][0] == pytest.approx(np.radians(9.85), rel=1e-3)  # 10 degrees times sin
    p[:, 2] = at(80.2, 40, 3.0)
    assert three_photon_columns(p, FIXED)["dtheta_close"][0] == np.pi
