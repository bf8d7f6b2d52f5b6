"""e+e- -> gamma X: closed forms, published numbers, angles, recoil, radiation."""

import math
from itertools import pairwise, permutations, product

import numpy as np
import pytest
from scipy.integrate import quad

from belle2dark.simulation.amplitudes.photons_vector import photons_vector
from belle2dark.simulation.beams import belle2_beams, to_cms
from belle2dark.simulation.gamma_gamma import gamma_gamma_cross_section
from belle2dark.simulation.gamma_x import KINDS, generate_gamma_x
from belle2dark.simulation.isr import radiator
from belle2dark.simulation.phase_space import phase_space
from belle2dark.theory.gamma_x import gamma_alp, gamma_dark_photon
from tests.dirac import GAMMA, bar, propagator, slash, u_spinors, v_spinors
from tests.independent import SIGNS, angle, assert_reproducible, collinear, dot, polarisations, total

FIXED = belle2_beams(spread=False)
ROOT = FIXED.sqrt_s
N = 200_000
every = pytest.mark.parametrize("kind", KINDS)


def rate(kind, mass, low, high):
    """Closed form at the couplings of the events [fb]."""
    return 1e-6 * float((gamma_alp if kind == "alp" else gamma_dark_photon)(ROOT, mass, low, high))


def cosine(events):
    p = to_cms(events.momenta_lab["gamma_1"], FIXED)
    return p[:, 3] / p[:, 0]


@pytest.mark.parametrize(("mass", "expected"), [(0.5, 6.3407e6), (4.0, 8.2583e6), (8.0, 2.5477e7)])
def test_dark_photon_closed_form(mass, expected):
    assert float(gamma_dark_photon(10.58, mass, -0.95, 0.95)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("mass", "expected"), [(0.5, 117.60), (1, 115.25), (2, 106.15), (4, 74.54), (6, 36.96), (8, 9.298)])
def test_alp_closed_form(mass, expected):
    assert float(1e-6 * gamma_alp(10.58, mass)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("low", "high", "table"),
    [(-0.922, 0.924, (5.34, 5.43, 6.22, 8.46, 14.7, 22.3, 40.7)), (-0.768, 0.744, (2.84, 2.90, 3.42, 4.85, 8.76, 13.5, 24.9)),
     (-0.400, 0.553, (1.33, 1.36, 1.65, 2.43, 4.54, 7.07, 13.1))],
)  # fmt: skip
def test_dark_photon_in_the_acceptance(low, high, table):
    masses = [0.1, 1, 3, 5, 7, 8, 9]
    assert np.allclose(1e-6 * gamma_dark_photon(ROOT, masses, low, high), table, rtol=5e-3)  # three digits are given


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(17, 150, (5.34, 6.22, 40.7)), (32.2, 128.7, (2.84, 3.42, 24.9)), (44, 98, (1.33, 1.65, 13.1))]
)
def test_events_in_the_acceptance_of_the_lab(low, high, expected):
    for mass, value in zip((0.1, 3, 9), expected, strict=True):
        events = generate_gamma_x(N, 1, FIXED, mass, "dark_photon", isr=False)
        theta = angle(events.momenta_lab["gamma_1"])
        got, error = total(events.weights, (theta > low) & (theta < high))
        assert abs(got - value) < 3 * error + 0.01 * value  # 1 %: the table leaves out the tilt of the boost


@pytest.mark.parametrize("mass", [0.0, 2.0, 8.0])
def test_two_photons_and_a_vector_from_dirac_matrices(mass):
    half = 5.29
    p1, p2 = np.array([half, 0, 0, half]), np.array([half, 0, 0, -half])
    for k1, k2, v in phase_space(5, 1, 2 * half, (0.0, 0.0, mass)).momenta:
        expected = 0.0
        for e1, e2 in product(polarisations(k1), polarisations(k2)):
            for mu in range(4):  # the sum over the polarisations of the vector is -g
                vertices = [(slash(e1), k1), (slash(e2), k2), (GAMMA[mu], v)]
                chain = np.zeros((4, 4), complex)
                for a, b, c in permutations(vertices):
                    chain += c[0] @ propagator(p1 - a[1] - b[1], 0.0) @ b[0] @ propagator(p1 - a[1], 0.0) @ a[0]
                amplitudes = [bar(w) @ chain @ u for u in u_spinors(p1, 0.0) for w in v_spinors(p2, 0.0)]
                expected -= SIGNS[mu] * (np.abs(amplitudes) ** 2).sum() / 4
        assert photons_vector(tuple(p1), tuple(p2), tuple(k1), tuple(k2)) == pytest.approx(expected, rel=1e-9)


def test_massless_dark_photon_is_two_photons_told_apart():
    for c in (0.3, 0.9):
        both = 2 * gamma_gamma_cross_section(ROOT**2, c)
        assert float(gamma_dark_photon(ROOT, 0.0, -c, c)) == pytest.approx(both, rel=1e-12)


def test_barrel_sees_two_thirds_of_alp_photons():
    share = float(gamma_alp(ROOT, 1.0, -0.768, 0.744) / gamma_alp(ROOT, 1.0))
    assert share == pytest.approx(0.675, abs=2e-3)


@every
@pytest.mark.parametrize("mass", [0.0, 3.0, 9.0])
def test_tree_level_rate_and_angle(kind, mass):
    events = generate_gamma_x(N, 2, FIXED, mass, kind, isr=False)
    c = cosine(events)
    edges = np.array([-0.95, -0.7, -0.2, 0.4, 0.8, 0.95])
    for low, high in pairwise(edges):
        got, error = total(events.weights, (c > low) & (c < high))
        assert error < 0.02 * got
        assert abs(got - rate(kind, mass, low, high)) < 4 * error


@every
def test_recoil_mass_energy_and_conservation(kind):
    mass = 5.0
    events = generate_gamma_x(2000, 3, FIXED, mass, kind, isr=False)
    assert np.allclose(to_cms(events.momenta_lab["gamma_1"], FIXED)[:, 0], (ROOT**2 - mass**2) / (2 * ROOT), rtol=1e-12)
    assert (events.momenta_lab["gamma_2"] == 0).all()
    radiated = generate_gamma_x(20_000, 3, FIXED, mass, kind)
    lab = np.stack(list(radiated.momenta_lab.values()), axis=1)
    assert np.isfinite(lab).all() and (radiated.weights >= 0).all()
    assert np.abs(dot(radiated.momenta_lab["x"], radiated.momenta_lab["x"]) - mass**2).max() < 1e-10
    complete = radiated.momenta_lab["gamma_4"][:, 0] == 0
    assert complete.mean() > 0.8
    assert np.abs(lab.sum(axis=1) - FIXED.nominal)[complete].max() < 1e-9


@pytest.mark.parametrize("mass", [1.0, 8.0])
def test_alp_rate_with_radiation(mass):
    beta = 0.08  # takes the singularity at v = 0 out of the quadrature
    top = (1 - mass**2 / ROOT**2) ** beta

    def integrand(y):
        v = y ** (1 / beta)
        return radiator(v, ROOT) * 1e-6 * float(gamma_alp(ROOT * math.sqrt(1 - v), mass)) * v / (beta * y)

    expected = quad(integrand, 1e-9, top * (1 - 1e-12), limit=300)[0]
    got, error = total(generate_gamma_x(N, 4, FIXED, mass, "alp").weights)
    assert error < 0.005 * expected
    assert abs(got - expected) < 3 * error + 0.006 * expected  # 0.6 %: what radiators differ by


@pytest.mark.parametrize("mass", [2.0, 7.0])
def test_dark_photon_peak_with_radiation(mass):
    """Photon with |cos theta*| < 0.7 within 10 % of its energy: tree level at s', boosted along the beam, times the radiator."""
    rng, n = np.random.default_rng(5), 400_000
    v, velocity, radiated = collinear(n, ROOT, 6)
    s = (1 - v) * ROOT**2
    eta = rng.uniform(-3, 3, n)
    c = np.tanh(eta)
    open_ = s > mass**2 * 1.001
    s = np.where(open_, s, ROOT**2)
    constant = gamma_dark_photon(ROOT, 0.0, -0.5, 0.5) / (2 * 2 * math.atanh(0.5) - 1) * ROOT**2  # 2 pi alpha^2 [fb GeV^2]
    shape = (1 + c * c + 4 * s * mass**2 / (s - mass**2) ** 2) / (1 - c * c)
    weights = 1e-6 * constant / s * (1 - mass**2 / s) * shape * (1 - c * c) * 6 / n * radiated
    peak = (ROOT**2 - mass**2) / (2 * ROOT)
    energy = (s - mass**2) / (2 * np.sqrt(s)) * (1 + velocity * c) / np.sqrt(1 - velocity**2)
    moved = np.tanh(eta + np.arctanh(velocity))
    expected, expected_error = total(weights, open_ & (np.abs(moved) < 0.7) & (np.abs(energy / peak - 1) < 0.1))
    events = generate_gamma_x(N, 7, FIXED, mass, "dark_photon")
    at = to_cms(events.momenta_lab["gamma_1"], FIXED)[:, 0]
    got, error = total(events.weights, (np.abs(cosine(events)) < 0.7) & (np.abs(at / peak - 1) < 0.1))
    assert math.hypot(error, expected_error) < 0.012 * expected
    assert abs(got - expected) < 3 * math.hypot(error, expected_error) + 0.015 * expected  # 1.5 %: radiation has angles


@every
def test_rate_goes_with_the_coupling_squared(kind):
    a, b = (generate_gamma_x(500, 8, FIXED, 1.0, kind, coupling) for coupling in (1e-3, 3e-4))
    assert np.allclose(b.weights, 0.09 * a.weights, rtol=1e-12)


@every
def test_any_number_of_threads_and_events_gives_the_same(kind):
    assert_reproducible(lambda n: generate_gamma_x(n, 9, belle2_beams(), 6.0, kind))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"n": 0}, "n = 0"), ({"key": -1}, "key = -1"), ({"mass": 10.55}, "mass = 10.55 GeV"), ({"mass": -1.0}, "mass = -1"),
     ({"kind": "alps"}, "nearest: alp"), ({"coupling": 0.0}, "coupling = 0"), ({"mass": math.nan}, "mass = nan")],
)  # fmt: skip
def test_bad_requests(arguments, message):
    with pytest.raises(ValueError, match=message):
        generate_gamma_x(**({"n": 10, "key": 1, "beams": FIXED, "mass": 1.0, "kind": "alp"} | arguments))


def test_bad_closed_form_arguments():
    with pytest.raises(ValueError, match="mass = "):
        gamma_alp(10.58, 11.0)
    with pytest.raises(ValueError, match="low = "):
        gamma_dark_photon(10.58, 1.0, -1.0, 1.0)
    with pytest.raises(ValueError, match="low = "):
        gamma_alp(10.58, 1.0, 0.5, 0.1)
