"""Independent calculations to test generators with: squared amplitudes, flat three-body phase space, collinear radiation."""

import math
from itertools import permutations, product

import numpy as np

from belle2dark._jit import threads
from belle2dark.constants import ALPHA, GEV2_FB, M_ELECTRON
from belle2dark.simulation.beams import to_lab
from belle2dark.simulation.isr import beta_isr, radiator
from tests.dirac import GAMMA, METRIC, bar, propagator, slash, u_spinors, v_spinors

E2 = 4 * math.pi * ALPHA["thomson"]
SIGNS = np.diag(METRIC)


def dot(a, b):
    return a[..., 0] * b[..., 0] - (a[..., 1:] * b[..., 1:]).sum(axis=-1)


def polarisations(k):
    """Two real transverse vectors."""
    n = k[1:] / k[0]
    a = np.cross(n, [1, 0, 0] if abs(n[0]) < 0.7 else [0, 1, 0])
    a /= np.linalg.norm(a)
    return [np.array([0, *a]), np.array([0, *np.cross(n, a)])]


def ee_gamma(p1, p2, q1, q2, k, m=M_ELECTRON):
    """Spin-averaged |M|^2 of e-(p1) e+(p2) -> e-(q1) e+(q2) gamma(k): all eight graphs, massive."""
    total = 0.0
    for polarisation in polarisations(k):
        e, s = slash(polarisation), lambda q: propagator(q, m)
        initial = [g @ s(p1 - k) @ e + e @ s(k - p2) @ g for g in GAMMA]
        final = [e @ s(q1 + k) @ g + g @ s(-q2 - k) @ e for g in GAMMA]
        electron = [e @ s(q1 + k) @ g + g @ s(p1 - k) @ e for g in GAMMA]
        positron = [e @ s(k - p2) @ g + g @ s(-q2 - k) @ e for g in GAMMA]
        for a in u_spinors(p1, m):
            for b in map(bar, v_spinors(p2, m)):
                for c in map(bar, u_spinors(q1, m)):
                    for d in v_spinors(q2, m):
                        amplitude = 0.0
                        for i in range(4):
                            here = (b @ initial[i] @ a) * (c @ GAMMA[i] @ d) / dot(q1 + q2, q1 + q2)
                            here += (b @ GAMMA[i] @ a) * (c @ final[i] @ d) / dot(p1 + p2, p1 + p2)
                            here -= (c @ electron[i] @ a) * (b @ GAMMA[i] @ d) / dot(p2 - q2, p2 - q2)
                            here -= (c @ GAMMA[i] @ a) * (b @ positron[i] @ d) / dot(p1 - q1, p1 - q1)
                            amplitude += SIGNS[i] * here
                        total += abs(amplitude) ** 2
    return total / 4 * E2**3


def photons_only(p1, p2, photons, m=0.0):
    """Spin-averaged |M|^2 of e-(p1) e+(p2) -> photons: every order along the electron line."""
    total = 0.0
    for choice in product(*(polarisations(k) for k in photons)):
        chain = np.zeros((4, 4), complex)
        for order in permutations(range(len(photons))):
            q, line = p1, np.eye(4)
            for place, j in enumerate(order):
                line = slash(choice[j]) @ line
                q = q - photons[j]
                if place < len(photons) - 1:
                    line = propagator(q, m) @ line
            chain += line
        total += sum(abs(bar(b) @ chain @ a) ** 2 for a in u_spinors(p1, m) for b in v_spinors(p2, m))
    return total / 4 * E2 ** len(photons)


def flat_three_body(n, sqrt_s, seed):
    """Momenta (n, 3, 4) of three massless particles, evenly in phase space, and the volume of it [GeV^2]."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 2))
    over = x.sum(axis=1) > 1
    x[over] = 1 - x[over]
    pair = np.column_stack([x, 1 - x.sum(axis=1)])  # s_jk / s opposite to particle i
    energy = 0.5 * sqrt_s * (1 - pair)
    a = rng.normal(size=(n, 3))
    a /= np.linalg.norm(a, axis=1)[:, None]
    b = rng.normal(size=(n, 3))
    b -= (a * b).sum(axis=1)[:, None] * a
    b /= np.linalg.norm(b, axis=1)[:, None]
    c = 1 - 2 * pair[:, 2] / ((1 - pair[:, 0]) * (1 - pair[:, 1]))
    k1 = energy[:, :1] * a
    k2 = energy[:, 1:2] * (c[:, None] * a + np.sqrt(np.maximum(0, 1 - c * c))[:, None] * b)
    momenta = np.stack([k1, k2, -k1 - k2], axis=1)
    return np.concatenate([energy[..., None], momenta], axis=2), sqrt_s**2 / (256 * math.pi**3)


def collinear(n, sqrt_s, seed):
    """Energy fractions v lost along one beam at random, boosts along z (n,), and weights that make up the radiator."""
    rng, beta = np.random.default_rng(seed), beta_isr(sqrt_s)
    v = np.clip(rng.random(n) ** (1 / beta), 1e-15, 0.999)
    weight = radiator(v, sqrt_s) / (beta * v ** (beta - 1))
    return v, np.where(rng.random(n) < 0.5, 1, -1) * v / (2 - v), weight


def boosted(momenta, velocity):
    """Momenta (n, k, 4) boosted along z by ``velocity`` (n,)."""
    g = 1 / np.sqrt(1 - velocity**2)[:, None]
    out, b = momenta.copy(), velocity[:, None]
    out[..., 0] = g * (momenta[..., 0] + b * momenta[..., 3])
    out[..., 3] = g * (momenta[..., 3] + b * momenta[..., 0])
    return out


def angle(p):
    """Polar angle [degrees]."""
    return np.degrees(np.arctan2(np.hypot(p[..., 1], p[..., 2]), p[..., 3]))


def in_selection(lab, energy_min):
    """All three of (n, 3, 4) in the lab above ``energy_min`` [GeV] at 37.3 to 123.7 degrees."""
    theta = angle(lab)
    return ((theta > 37.3) & (theta < 123.7) & (lab[..., 0] > energy_min)).all(axis=1)


def selected(momenta_cms, beams, energy_min):
    """:func:`in_selection` of momenta given in the CMS."""
    return in_selection(to_lab(momenta_cms, beams), energy_min)


def total(weights, mask=None):
    """Sum of the weights and its Monte Carlo error."""
    w = weights if mask is None else weights[mask]
    return w.sum(), math.sqrt((w**2).sum())


def assert_reproducible(generate, n=9000):
    """``generate(n)`` gives the same bits on one thread as on all, and its first half when asked for half of it."""
    many, half = generate(n), generate(n // 2)
    with threads(1):
        one = generate(n)
    assert np.array_equal(one.weights, many.weights)
    assert np.allclose(half.weights * (n // 2), many.weights[: n // 2] * n, rtol=1e-14)
    for name, p in many.momenta_lab.items():
        assert np.array_equal(one.momenta_lab[name], p), name
        assert np.array_equal(half.momenta_lab[name], p[: n // 2]), name


def fb(value):
    """A cross-section in GeV^-2 in fb."""
    return value * GEV2_FB
