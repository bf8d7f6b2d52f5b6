"""Tracks: the helix against stepping, resolution, efficiency of prompt and displaced tracks, vertices of two of them."""

import numpy as np
import pytest
from scipy.stats import gamma

from belle2dark._jit import threads
from belle2dark.constants import M_B0, M_KAON, M_MUON, M_PION
from belle2dark.detector.experiments import BABAR, BELLE, BELLE2
from belle2dark.detector.multitrack import multitrack_columns
from belle2dark.detector.observed import observe
from belle2dark.detector.response import reconstruct
from belle2dark.detector.tracks import helix, measure_tracks, track_numbers
from belle2dark.detector.vertexing import looks_like_conversion, looks_like_ks, pair_mass, two_track_vertex
from belle2dark.simulation.beams import to_lab
from belle2dark.simulation.displaced import convert
from belle2dark.simulation.events import Events


def muons(p3, vertices=None, mass=M_MUON, name="mu-"):
    """One charged particle per event with momenta (n, 3)."""
    p3 = np.atleast_2d(np.asarray(p3, dtype=float))
    p4 = np.concatenate([np.sqrt((p3**2).sum(-1, keepdims=True) + mass**2), p3], axis=1)
    points = {} if vertices is None else {name: np.atleast_2d(np.asarray(vertices, dtype=float))}
    return Events(momenta_lab={name: p4}, weights=np.ones(len(p4)), vertices_cm=points)


def isotropic(rng, n):
    v = rng.normal(size=(n, 3))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def decay(rng, parent, mass, m1, m2):
    """Isotropic two-body decay of four-momenta (n, 4)."""
    q = np.sqrt((mass**2 - (m1 + m2) ** 2) * (mass**2 - (m1 - m2) ** 2)) / (2 * mass)
    d = q * isotropic(rng, len(parent))
    out = []
    for sign, m in ((1, m1), (-1, m2)):
        e0 = np.hypot(q, m)
        along = sign * (parent[:, 1:] * d).sum(1)
        energy = (parent[:, 0] * e0 + along) / mass
        factor = (e0 + energy) / (mass + parent[:, 0])
        out.append(np.concatenate([energy[:, None], sign * d + factor[:, None] * parent[:, 1:]], axis=1))
    return out


def b_to_k_s(rng, mass, n, length, m=M_MUON, names=("mu-", "mu+")):
    """S -> two tracks with S from B -> K S, B at rest in the centre of mass; ``length(S)`` is the decay length [cm]."""
    p = np.sqrt((M_B0**2 - (mass + M_KAON) ** 2) * (M_B0**2 - (mass - M_KAON) ** 2)) / (2 * M_B0)
    s = np.concatenate([np.full((n, 1), np.hypot(p, mass)), p * isotropic(rng, n)], axis=1)
    s = to_lab(s, BELLE2.beams)
    minus, plus = decay(rng, s, mass, m, m)
    vertices = s[:, 1:] / np.linalg.norm(s[:, 1:], axis=1, keepdims=True) * length(s)[:, None]
    momenta = dict(zip(names, (minus, plus), strict=True))
    return Events(momenta_lab=momenta, weights=np.ones(n), vertices_cm=dict.fromkeys(names, vertices))


def stepped(start, p, charge, r, silicon):
    """What :func:`helix` says, from small steps with the Lorentz force: distance, layers, missed, strips."""
    pt = np.hypot(p[0], p[1])
    turn = -charge * 0.299792458e-2 * r.field / pt  # radians per cm of transverse path
    s = np.arange(0.0, 2 * np.pi / abs(turn), 0.02)
    phi = np.arctan2(p[1], p[0]) + turn * s
    x = start[0] + np.concatenate([[0], np.cumsum(np.cos(phi[:-1] + turn * 0.01) * 0.02)])
    y = start[1] + np.concatenate([[0], np.cumsum(np.sin(phi[:-1] + turn * 0.01) * 0.02)])
    z = start[2] + s * p[2] / pt
    radius = np.hypot(x, y)
    up = np.argmax(np.diff(radius) > 0)  # past the closest approach, if it comes first
    top = up + np.argmax(np.diff(radius[up:]) < 0)
    ends = np.flatnonzero((z < r.z_low) | (z > r.z_high) | (radius > r.r_high))
    path = radius[: min([top, *ends[:1]])]
    if not len(path):
        return 0.0, 0.0
    wires = np.linspace(r.r_low, r.r_high, 4001)
    share = ((wires > path.min()) & (wires < path.max())).mean()
    return share * r.layers, ((silicon > path.min()) & (silicon < path.max())).sum()


@pytest.mark.parametrize("detector", [BELLE2, BABAR], ids=lambda d: d.name)
def test_helix_agrees_with_stepping_through_the_field(detector):
    rng = np.random.default_rng(4)
    r, silicon = track_numbers(detector), np.array(detector.numbers["silicon_radii"].values)
    compared = 0
    for _ in range(60):
        p = rng.uniform(0.15, 2.0) * isotropic(rng, 1)[0]
        start = rng.uniform(-1, 1, 3) * rng.choice([1.0, 10.0, 40.0])
        charge = int(rng.choice([-1, 1]))
        _, _, layers, _, strips, _, _ = helix(*start, *p, charge, r, silicon)
        expected, strips_expected = stepped(start, p, charge, r, silicon)
        assert layers == pytest.approx(expected, abs=0.15)  # step and wire spacing
        assert abs(strips - strips_expected) <= (1 if np.abs(silicon - np.hypot(*start[:2])).min() < 0.03 else 0)
        compared += layers > 5
    assert compared > 20


def test_impact_parameters_are_those_of_a_straight_line_at_high_momentum():
    r, silicon = track_numbers(BELLE2), np.array([1.4])
    rng = np.random.default_rng(1)
    for _ in range(20):
        start, p = rng.uniform(-3, 3, 3), 1e5 * isotropic(rng, 1)[0]
        *_, d0, z0 = helix(*start, *p, 1, r, silicon)
        pt2 = p[0] ** 2 + p[1] ** 2
        assert abs(d0) == pytest.approx(abs(start[0] * p[1] - start[1] * p[0]) / np.sqrt(pt2), abs=1e-5)
        assert z0 == pytest.approx(
            start[2] - (start[0] * p[0] + start[1] * p[1]) / pt2 * p[2], abs=1e-4 * (1 + abs(p[2] / np.sqrt(pt2)))
        )


@pytest.mark.parametrize("detector", [BELLE2, BELLE, BABAR], ids=lambda d: d.name)
@pytest.mark.parametrize("pt", [0.5, 5.0])
def test_prompt_momentum_resolution_is_the_textbook_formula(detector, pt):
    n = 20_000
    tracks = measure_tracks(muons(np.tile([pt, 0.0, 0.0], (n, 1))).particles(), detector, 3)
    measured = np.hypot(tracks.momenta_lab[:, 0, 0], tracks.momenta_lab[:, 0, 1]) / pt - 1
    over_beta = np.hypot(pt, M_MUON) / pt
    expected = np.hypot(detector.number("pt_resolution_slope") * pt, detector.number("pt_resolution_constant") * over_beta)
    assert measured.std() == pytest.approx(expected, rel=0.015)  # 3 sigma of 1/sqrt(2 n)
    assert abs(measured.mean()) < 3 * expected / np.sqrt(n)


def test_electrons_radiate_in_the_silicon():
    """Bethe-Heitler: the mean energy kept in t radiation lengths is 2^(-t / log 2) = exp(-t)."""
    n, p = 40_000, np.tile([2.0, 0.0, 0.0], (40_000, 1))
    for start, thickness in ((0.0, BELLE2.number("tracker_material")), (14.0, 0.0)):
        events = muons(p, np.tile([start, 0, 0], (n, 1)), 0.000511, "e-")
        kept = measure_tracks(events.particles(), BELLE2, 3).momenta_lab[:, 0, 0] / 2.0
        shape = thickness / np.log(2)
        # exp(-t) is the exact mean; a thin-layer gamma variate has it to second order in the shape
        assert kept.mean() == pytest.approx(np.exp(-thickness), abs=3 * np.sqrt(thickness / 2 / n) + 0.1 * shape**2 + 3e-4)
        if thickness:
            exact = gamma.sf(-np.log(0.9), shape)
            assert (kept < 0.9).mean() == pytest.approx(exact, rel=0.06)


def test_displaced_tracks_have_a_worse_momentum_resolution():
    p, n = np.tile([2.0, 0.0, 0.0], (4000, 1)), 4000
    widths = [
        measure_tracks(muons(p, np.tile([x, 0, 0], (n, 1))).particles(), BELLE2, 3).momenta_lab[:, 0, 0].std()
        for x in (0.0, 40.0)
    ]
    # half of the lever arm and of the layers: between 1/L and 1/L^2.5
    assert 1.2 < widths[1] / widths[0] < (111.14 / 71.14) ** 2.5


def test_prompt_efficiency_is_that_of_the_two_muon_path():
    rng = np.random.default_rng(3)
    p = rng.uniform(0.05, 3.0, (2000, 1)) * isotropic(rng, 2000)
    momenta = {
        name: np.concatenate([np.sqrt((q**2).sum(1, keepdims=True) + M_MUON**2), q], axis=1)
        for name, q in (("mu-", p), ("mu+", -p))
    }
    events = Events(momenta_lab=momenta, weights=np.ones(2000))
    fast = reconstruct(events, BELLE2, 1).factors
    general = measure_tracks(events.particles(), BELLE2, 1).efficiency.prod(axis=1)
    simple = fast["track acceptance"] * fast["tracking"]
    # all layers that the turn-on asks for: not too steep and not looping
    enough = (np.abs(p[:, 2]) / np.linalg.norm(p, axis=1) < 0.8) & (np.hypot(p[:, 0], p[:, 1]) > 0.2)
    assert np.allclose(general[enough], simple[enough], atol=1e-9)
    assert np.all(general <= simple + 1e-12)


def test_efficiency_falls_with_displacement_and_vanishes_outside_the_chamber():
    x = np.array([0.0, 1.0, 5.0, 10.0, 20.0, 40.0, 80.0, 112.0])
    pointing = measure_tracks(muons(np.tile([2.0, 0, 0], (8, 1)), np.stack([x, 0 * x, 0 * x], 1)).particles(), BELLE2, 1)
    askew = measure_tracks(muons(np.tile([1.4, 1.4, 0], (8, 1)), np.stack([x, 0 * x, 0 * x], 1)).particles(), BELLE2, 1)
    for tracks in (pointing, askew):
        assert np.all(np.diff(tracks.efficiency[:, 0]) <= 0.0)
        assert tracks.efficiency[-1, 0] == 0.0
    assert np.all(askew.efficiency[1:-1] < pointing.efficiency[1:-1])


# 95 % CL limits on B(B+ -> K+ S) B(S -> mu mu) [1e-7] at c tau = 0.1, 1, 10 cm (arXiv:2306.02830, as digitised in ALPACA):
# without background they go as one over the efficiency
PUBLISHED_LIMITS = {0.5: (0.52, 0.51, 1.21), 2.0: (0.78, 0.50, 0.74), 4.0: (2.44, 0.37, 0.33)}


@pytest.mark.parametrize("mass", PUBLISHED_LIMITS)
def test_lifetime_dependence_is_that_of_the_published_limits(mass):
    efficiency = []
    for ctau in (0.1, 1.0, 10.0):
        rng = np.random.default_rng(5)

        def length(s, ctau=ctau, rng=rng):
            return rng.exponential(size=len(s)) * ctau * np.linalg.norm(s[:, 1:], axis=1) / mass

        seen = two_track_vertex(observe(b_to_k_s(rng, mass, 15_000, length), BELLE2, 1), "mu-", "mu+", 1)
        efficiency.append((seen.efficiency * (seen.radius > 0.05)).mean())
    limits = np.array(PUBLISHED_LIMITS[mass])
    # observed limits fluctuate with single events: a factor 1.25
    assert np.allclose(np.log(np.array(efficiency) / efficiency[1]), np.log(limits[1] / limits), atol=np.log(1.25))


@pytest.mark.parametrize(("mass", "longest", "shortest"), [(0.5, 28.0, 15.0), (2.0, 20.0, 10.0), (4.0, 20.0, 10.0)])
def test_pairs_are_lost_with_an_e_folding_of_10_to_25_cm(mass, longest, shortest):
    radii, efficiency = np.array([1.0, 10.0, 20.0, 40.0]), []
    for radius in radii:
        rng = np.random.default_rng(6)
        events = b_to_k_s(rng, mass, 8000, lambda s, r=radius: r * np.linalg.norm(s[:, 1:], axis=1) / np.hypot(s[:, 1], s[:, 2]))
        efficiency.append(observe(events, BELLE2, 1).tracks.efficiency.prod(axis=1).mean())
    folding = -1.0 / np.polyfit(radii, np.log(efficiency), 1)[0]
    assert shortest < folding < longest


def test_radial_cut_is_a_narrow_sigmoid():
    radii, passed = np.linspace(0.02, 0.08, 13), []
    for radius in radii:
        rng = np.random.default_rng(7)
        events = b_to_k_s(rng, 1.0, 4000, lambda s, r=radius: r * np.linalg.norm(s[:, 1:], axis=1) / np.hypot(s[:, 1], s[:, 2]))
        vertices = two_track_vertex(observe(events, BELLE2, 2), "mu-", "mu+", 2)
        passed.append(np.average(vertices.radius > 0.05, weights=vertices.efficiency))
    quarter, half, three = np.interp([0.1192, 0.5, 0.8808], passed, radii)  # logistic function at -2, 0 and 2 widths
    assert half == pytest.approx(0.05, abs=0.001)
    assert 0.002 < (three - quarter) / 4 < 0.01


def test_vertex_errors_of_perpendicular_tracks_are_the_impact_errors():
    n = 4000
    momenta = {
        "mu-": muons(np.tile([3.0, 0, 0], (n, 1))).momenta_lab["mu-"],
        "mu+": muons(np.tile([0, 3.0, 0], (n, 1))).momenta_lab["mu-"],
    }
    observed = observe(Events(momenta_lab=momenta, weights=np.ones(n)), BELLE2, 4)
    vertices = two_track_vertex(observed, "mu-", "mu+", 4)
    error = observed.tracks.impact_error[0, 0, 0]
    assert np.sqrt(vertices.covariance[:, 0, 0]).mean() == pytest.approx(error, rel=0.01)
    assert error == pytest.approx(15e-4, rel=0.15)  # 15 um, the vertex resolution in the collaboration's review talk
    pull = (vertices.positions_cm - observed.points_cm) / np.sqrt(np.einsum("nii->ni", vertices.covariance))
    assert np.allclose(pull.std(axis=0), 1.0, atol=3 / np.sqrt(2 * n))
    assert vertices.chi2.mean() == pytest.approx(1.0, abs=3 * np.sqrt(2 / n))


def test_tracks_from_two_places_do_not_make_a_vertex():
    n = 500
    momenta = {
        "mu-": muons(np.tile([1.0, 0.2, 0.3], (n, 1))).momenta_lab["mu-"],
        "mu+": muons(np.tile([0.8, 1.0, -0.1], (n, 1))).momenta_lab["mu-"],
    }
    shifted = Events(momenta_lab=momenta, weights=np.ones(n), vertices_cm={"mu+": np.tile([0.0, 0.0, 0.5], (n, 1))})
    vertices = two_track_vertex(observe(shifted, BELLE2, 4), "mu-", "mu+", 4)
    assert np.median(vertices.chi2) > 100


def test_ks_and_conversion_vetoes():
    rng = np.random.default_rng(2)
    ks = b_to_k_s(rng, 0.4976, 3000, lambda s: np.full(len(s), 2.0), M_PION, ("pi-", "pi+"))
    vertices = two_track_vertex(observe(ks, BELLE2, 1), "pi-", "pi+", 1)
    assert looks_like_ks(vertices, BELLE2).mean() > 0.97
    photon = b_to_k_s(
        rng, 0.005, 3000, lambda s: 2.2 * np.linalg.norm(s[:, 1:], axis=1) / np.hypot(s[:, 1], s[:, 2]), 0.000511, ("e-", "e+")
    )
    heavy = b_to_k_s(rng, 1.0, 3000, lambda s: np.full(len(s), 2.2), 0.000511, ("e-", "e+"))
    found = [two_track_vertex(observe(events, BELLE2, 1), "e-", "e+", 1) for events in (photon, heavy)]
    assert (pair_mass(found[0].momenta_lab, 0.000511, 0.000511) < 0.05).mean() > 0.95
    assert not looks_like_conversion(found[1], BELLE2).any()


def test_real_conversions_are_recognised():
    """The generator's conversions at its material: two standard deviations of the radius and a mass of nearly 0 keep most."""
    n, rng = 4000, np.random.default_rng(8)
    photon = 1.5 * np.concatenate([np.ones((n, 1)), isotropic(rng, n)], axis=1)
    events = convert(Events(momenta_lab={"gamma_1": photon}, weights=np.ones(n)), "gamma_1", 3)
    vertices = two_track_vertex(observe(events, BELLE2, 1), "e-_1", "e+_1", 2)
    assert np.average(looks_like_conversion(vertices, BELLE2), weights=events.weights * vertices.efficiency) > 0.9


def test_dimuon_mass_resolution_is_error_propagation():
    """Back-to-back tracks: only momenta count, sigma_m/m = sigma_p/p / sqrt(2)."""
    n = 20_000
    momenta = {
        "mu-": muons(np.tile([4.0, 0, 0], (n, 1))).momenta_lab["mu-"],
        "mu+": muons(np.tile([-4.0, 0, 0], (n, 1))).momenta_lab["mu-"],
    }
    tracks = observe(Events(momenta_lab=momenta, weights=np.ones(n)), BABAR, 4).tracks.momenta_lab
    mass = multitrack_columns(tracks, (-1, 1), (M_MUON, M_MUON), BABAR.beams)["m_12"]
    relative = np.hypot(
        BABAR.number("pt_resolution_slope") * 4.0, BABAR.number("pt_resolution_constant") * np.hypot(4.0, M_MUON) / 4.0
    )
    assert mass.std() / mass.mean() == pytest.approx(relative / np.sqrt(2), rel=0.02)


def test_multitrack_columns_close_the_kinematics():
    rng = np.random.default_rng(3)
    first = decay(rng, np.tile(BELLE2.beams.nominal, (100, 1)), BELLE2.beams.sqrt_s, 3.0, 2.0)
    four = [*decay(rng, first[0], 3.0, M_MUON, M_MUON), *decay(rng, first[1], 2.0, M_PION, M_PION)]
    tracks = np.stack([p[:, 1:] for p in four], axis=1)
    columns = multitrack_columns(tracks, (-1, 1, -1, 1), (M_MUON, M_MUON, M_PION, M_PION), BELLE2.beams)
    assert np.allclose(columns["m_12"], 3.0) and np.allclose(columns["m_34"], 2.0)
    assert np.allclose(columns["recoil_mass_squared_12"], 4.0, atol=1e-8)
    assert np.allclose(columns["m_total"], BELLE2.beams.sqrt_s)
    assert set(columns) == {"m_total", "recoil_mass_squared"} | {
        f"{q}_{p}" for p in ("12", "14", "23", "34") for q in ("m", "recoil_mass_squared")
    }
    with pytest.raises(ValueError, match="masses: 3 given"):
        multitrack_columns(tracks, (-1, 1, -1), (M_MUON,) * 3, BELLE2.beams)


def test_bits_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(8)
    events = b_to_k_s(rng, 1.0, 9000, lambda s: np.full(len(s), 3.0))
    with threads(1):
        one = observe(events, BELLE2, 9)
    with threads(2):
        two = observe(events, BELLE2, 9)
    for name in ("momenta_lab", "efficiency", "impact"):
        assert np.array_equal(getattr(one.tracks, name), getattr(two.tracks, name))
    assert np.array_equal(one.clusters.momenta_lab, two.clusters.momenta_lab)


def test_a_vertex_needs_two_slots():
    observed = observe(muons([[1.0, 0, 0]]), BELLE2, 1)
    with pytest.raises(ValueError, match="two different slots"):
        two_track_vertex(observed, "mu-", "mu-", 1)
    with pytest.raises(ValueError, match=r"slot 'mu\+': not one of mu-; nearest: mu-"):
        two_track_vertex(observed, "mu-", "mu+", 1)
