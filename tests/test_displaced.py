"""Displaced backgrounds: K_S spectrum and lifetime, conversion probability and pair kinematics, crossing tracks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from belle2dark.constants import CTAU_KSHORT, M_ELECTRON, M_KSHORT
from belle2dark.simulation import displaced
from belle2dark.simulation.beams import belle2_beams, to_cms
from belle2dark.simulation.decays.chain import mass, proper_length
from belle2dark.simulation.events import Events
from belle2dark.simulation.hadronic import KSHORT_MOMENTUM, kshort_spectrum
from belle2dark.sourced import load_numbers

N, KEY = 40_000, 5
NUMBERS = load_numbers("mesons")
RADIUS, THICKNESS = (np.array(NUMBERS[f"material_{name}"].values) for name in ("radius", "thickness"))


def photons(energy: float, cos_theta: float, n: int = N, **more) -> Events:
    p = np.tile([energy, energy * math.sqrt(1 - cos_theta**2), 0.0, energy * cos_theta], (n, 1))
    return Events(momenta_lab={"gamma": p, **more}, weights=np.full(n, 2.0))


def test_kshort_has_mass_lifetime_and_rate():
    beams = belle2_beams()
    events = displaced.generate_kshort(N, KEY, beams)
    kshort = events.momenta_lab["pi-"] + events.momenta_lab["pi+"]
    assert mass(kshort) == pytest.approx(np.full(N, M_KSHORT), abs=1e-9)
    length = proper_length(kshort, np.zeros((N, 3)), events.vertices_cm["pi-"])
    assert stats.kstest(length / CTAU_KSHORT, "expon").pvalue > 0.003
    table = kshort_spectrum()
    assert events.weights.sum() == pytest.approx(3.69e6 * table.sum() * 0.692)
    p = np.linalg.norm(to_cms(kshort, beams)[:, 1:], axis=1)
    expected = N * table.sum(axis=1) / table.sum()
    found = np.histogram(p, KSHORT_MOMENTUM)[0]
    chi2 = ((found - expected) ** 2)[expected > 20] / expected[expected > 20]
    assert stats.chi2.sf(chi2.sum(), len(chi2)) > 0.003


def test_one_thin_layer_converts_seven_ninths_of_its_thickness():
    assert displaced.conversion_probability(0.001, 0.0) == pytest.approx(7 / 9 * 0.001, rel=1e-3)
    assert displaced.conversion_probability(0.001, 0.8) == pytest.approx(7 / 9 * 0.001 / 0.6, rel=1e-3)
    assert displaced.conversion_probability(50.0, 0.0) == pytest.approx(1.0)


@pytest.mark.parametrize("cos_theta", [0.0, 0.6, -0.8])
def test_conversions_have_the_material_s_probability_and_radii(cos_theta):
    events = displaced.convert(photons(2.0, cos_theta), "gamma", KEY)
    depth = 7 / 9 * THICKNESS / math.sqrt(1 - cos_theta**2)
    assert events.weights == pytest.approx(np.full(N, 2.0 * -math.expm1(-depth.sum())))
    assert not np.any(events.momenta_lab["gamma"])
    where = events.vertices_cm["e-_1"]
    r = np.hypot(where[:, 0], where[:, 1])
    before = np.concatenate([[0.0], np.cumsum(depth)[:-1]])
    shares = np.exp(-before) * -np.expm1(-depth) / -math.expm1(-depth.sum())
    for radius, share in zip(RADIUS, shares, strict=True):
        assert np.mean(np.abs(r - radius) < 1e-9) == pytest.approx(share, abs=3 * math.sqrt(share * (1 - share) / N))
    assert where[:, 2] == pytest.approx(r * cos_theta / math.sqrt(1 - cos_theta**2))


def test_pair_shares_the_energy_and_is_narrow():
    events = displaced.convert(photons(2.0, 0.3), "gamma", KEY)
    minus, plus = events.momenta_lab["e-_1"], events.momenta_lab["e+_1"]
    assert minus[:, 0] + plus[:, 0] == pytest.approx(np.full(N, 2.0), abs=1e-12)
    assert mass(minus) == pytest.approx(np.full(N, M_ELECTRON), rel=1e-3)
    x = minus[:, 0] / 2.0
    norm = 7 / 9
    assert stats.kstest(x, lambda t: (t - 2 / 3 * t**2 + 4 / 9 * t**3) / norm).pvalue > 0.003
    # a pair from the nucleus' field has a mass of a few electron masses
    pair = mass(minus + plus)
    assert pair.min() >= 2 * M_ELECTRON * 0.999 and np.median(pair) < 0.01
    direction = (minus + plus)[:, 1:] / np.linalg.norm((minus + plus)[:, 1:], axis=1)[:, None]
    assert np.median(np.arccos(np.clip(direction[:, 2], -1, 1)) - math.acos(0.3)) == pytest.approx(0.0, abs=1e-3)


def test_opening_angle_is_that_of_its_density():
    events = displaced.convert(photons(1.0, 0.0), "gamma", KEY)
    minus, plus = events.momenta_lab["e-_1"], events.momenta_lab["e+_1"]
    cross = np.cross(minus[:, 1:], plus[:, 1:])
    sine = np.linalg.norm(cross, axis=1) / np.linalg.norm(minus[:, 1:], axis=1) / np.linalg.norm(plus[:, 1:], axis=1)
    # both angles are u m/E with the same u: opening = u m E / (E- E+)
    u = np.arcsin(sine) * minus[:, 0] * plus[:, 0] / (M_ELECTRON * 1.0)
    density = lambda t: t * (math.exp(-0.625 * t) + 27 * math.exp(-1.875 * t))  # noqa: E731
    total = quad(density, 0, 60)[0]
    for cut in (0.5, 1.5, 4.0):
        part = quad(density, 0, cut)[0] / total
        assert np.mean(u < cut) == pytest.approx(part, abs=3 * math.sqrt(part * (1 - part) / N) + 1e-3)


def test_photons_made_late_or_soft_or_missing_do_not_convert_early():
    p = photons(1.0, 0.0, 4).momenta_lab["gamma"].copy()
    p[0] = 0.0
    p[1] *= 1e-3
    start = np.zeros((4, 3))
    start[2], start[3] = (20.0, 0.0, 0.0), (5.0, 1.0, 2.0)
    events = Events(momenta_lab={"gamma_1": p, "e-_1": p, "mu-": p}, weights=np.ones(4), vertices_cm={"gamma_1": start})
    out = displaced.convert(events, "gamma_1", KEY)
    assert out.weights[:3].tolist() == [0.0, 0.0, 0.0]
    assert out.weights[3] == pytest.approx(-math.expm1(-7 / 9 * THICKNESS[RADIUS > 5.2].sum()))
    assert np.array_equal(out.momenta_lab["e-_1"], p) and "e-_2" in out.momenta_lab
    # straight on from where it was made
    assert out.vertices_cm["e-_2"][3, 1:].tolist() == [1.0, 2.0]
    assert np.hypot(*out.vertices_cm["e-_2"][3, :2]) == pytest.approx(RADIUS[RADIUS > 5.2][0], rel=1.0)


def test_crossing_tracks_share_a_point_flat_in_log_radius():
    rng = np.random.default_rng(1)
    a, b = (np.column_stack([np.linalg.norm(p, axis=1), p]) for p in rng.normal(size=(2, N, 3)))
    b[:10] = 0.0
    events = Events(momenta_lab={"mu-": a, "mu+": b}, weights=np.ones(N))
    out = displaced.crossing_tracks(events, "mu-", "mu+", KEY)
    point = out.vertices_cm["mu-"]
    assert np.array_equal(point, out.vertices_cm["mu+"]) and not np.any(point[:10]) and not np.any(out.weights[:10])
    low, high = NUMBERS["fake_vertex_radius"].values
    r = np.hypot(point[10:, 0], point[10:, 1])
    assert stats.kstest(np.log(r / low) / math.log(high / low), "uniform").pvalue > 0.003
    assert out.weights[10:] == pytest.approx(np.full(N - 10, float(NUMBERS["fake_vertex_probability"])))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: displaced.convert(photons(1.0, 0.0, 3), "gama", 1), "nearest: gamma"),
        (lambda: displaced.crossing_tracks(photons(1.0, 0.0, 3), "gamma", "mu-", 1), "no such slot"),
        (lambda: displaced.generate_kshort(0, 1, belle2_beams()), "n = 0"),
        (lambda: displaced.generate_kshort(5, 1, belle2_beams(), process="continum"), "nearest: continuum"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
