"""Photons off the beams against the collinear radiator, closed forms and explicit Dirac matrices."""

import math

import numba
import numpy as np
import pytest
from scipy.integrate import dblquad, quad

from belle2dark.constants import ALPHA
from belle2dark.simulation import isr
from belle2dark.simulation.rng import seed_block
from tests.dirac import GAMMA, slash
from tests.independent import SIGNS, dot

SQRT_S = 10.58
SHARES = (0.35, 0.35, 0.2, 0.08, 0.02)


@numba.njit(error_model="numpy")  # not cached: numba does not see changes in the functions it calls
def run(key, n, sqrt_s, rad):
    """v = 1 - s'/s, weight and the photon table's first row (hardest of the collinear order) of n events."""
    s0, s1 = seed_block(np.uint64(key), 0)
    photons = np.zeros((isr.MAX_PHOTONS + 1, isr.COLUMNS))
    out = np.empty((n, 8))
    for i in range(n):
        s0, s1, k, weight, _, _ = isr.radiate(s0, s1, rad, sqrt_s, photons)
        e, x, y, z, s_prime = isr.recoil(photons, k, sqrt_s)
        out[i, 0], out[i, 1], out[i, 2] = 1.0 - s_prime / sqrt_s**2, weight, k
        norm = 0.0
        for j in range(k):
            mass2 = photons[j, 0] ** 2 - photons[j, 1] ** 2 - photons[j, 2] ** 2 - photons[j, 3] ** 2
            norm = max(norm, abs(mass2))
        out[i, 3] = norm
        out[i, 4], out[i, 5] = (photons[0, 4], photons[0, 3] / photons[0, 0]) if k > 0 else (0.0, 0.0)
        out[i, 6], out[i, 7] = e, math.sqrt(x * x + y * y + z * z)
    return out


@pytest.fixture(scope="module")
def sample():
    return run(1, 3_000_000, SQRT_S, isr.radiation(SQRT_S, 0.5, SHARES))


def mean(values):
    return values.mean(), values.std() / math.sqrt(len(values))


def test_radiation_strength():
    assert isr.beta_isr(SQRT_S) == pytest.approx(0.0877, abs=5e-5)


@pytest.mark.parametrize("v_max", [0.05, 0.3, 0.7, 0.95])
def test_energy_loss_follows_the_collinear_radiator(sample, v_max):
    """A cross-section like 1/s' cut at v_max; 0.5 % is what radiators differ by (third order, non-collinear photons)."""
    v, w = sample[:, 0], sample[:, 1]
    got, error = mean(np.where(v < v_max, w / np.maximum(1 - v, 1e-9), 0.0) * isr.virtual_factor(SQRT_S))
    b = isr.beta_isr(SQRT_S)
    # v = t^(1/beta) removes the singularity at v = 0
    expected = quad(lambda t: float(isr.radiator(np.array(t ** (1 / b)), SQRT_S)) / (1 - t ** (1 / b)) * t ** (1 / b - 1) / b,
                    1e-12, v_max**b, limit=200)[0]  # fmt: skip
    assert abs(got - expected) < 0.005 * expected + 4 * error


def test_resonance_like_cross_section_follows_the_collinear_radiator(sample):
    """A hadron-like bump at s'/s = 0.1 .. 0.2, reached by hard radiation only; 0.5 % for third order."""
    v, w = sample[:, 0], sample[:, 1]
    got, error = mean(np.where((v > 0.8) & (v < 0.9), w, 0.0) * isr.virtual_factor(SQRT_S))
    expected = quad(lambda x: float(isr.radiator(np.array(x), SQRT_S)), 0.8, 0.9)[0]
    assert error < 0.005 * expected
    assert abs(got - expected) < 0.005 * expected + 3 * error


def test_beams_that_lose_nearly_everything(sample):
    """v = 0.98 .. 0.997: 3 %, third-order double logarithms; and the same for any border between soft and hard photons."""
    expected = quad(lambda x: float(isr.radiator(np.array(x), SQRT_S)), 0.98, 0.997)[0]
    other = run(5, 1_000_000, SQRT_S, isr.radiation(SQRT_S, 0.5, SHARES, x_hard=0.04))
    (a, ea), (b, eb) = (
        mean(np.where((t[:, 0] > 0.98) & (t[:, 0] < 0.997), t[:, 1], 0.0) * isr.virtual_factor(SQRT_S)) for t in (sample, other)
    )
    assert abs(a - expected) < 0.03 * expected + 3 * ea
    assert abs(a - b) < 3 * math.hypot(ea, eb)
    assert math.hypot(ea, eb) < 0.02 * expected


@pytest.mark.parametrize(("change", "v_min"), [({"x_soft": 1e-3}, 0.1), ({"x_soft": 1e-5}, 0.1), ({"x_hard": 0.05}, 0.1)])
def test_photon_cuts_do_not_matter(sample, change, v_min):
    other = run(2, 300_000, SQRT_S, isr.radiation(SQRT_S, 0.5, SHARES, **change))
    (a, ea), (b, eb) = (mean(np.where((t[:, 0] > v_min) & (t[:, 0] < 0.9), t[:, 1], 0.0)) for t in (sample, other))
    assert math.hypot(ea, eb) < 0.01 * a
    assert abs(a - b) < 4 * math.hypot(ea, eb)


def test_single_photon_at_wide_angle_is_the_closed_form():
    """x > 0.2 and |cos| < 0.8: N = 2 alpha/pi Int dx/x dc [(1 - x + x^2/2)/sin^2 - x^2/4]."""
    rad = isr.radiation(SQRT_S, 0.5, (0.01, 0.99), x_soft=0.0099999)  # no soft photons, at most one hard
    out = run(3, 400_000, SQRT_S, rad)
    inside = (out[:, 2] == 1) & (out[:, 4] > 0.2) & (np.abs(out[:, 5]) < 0.8)
    got, error = mean(np.where(inside, out[:, 1], 0.0) * math.exp(isr.beta_isr(SQRT_S) * math.log(100.0)))
    alpha = ALPHA["thomson"]
    expected = dblquad(
        lambda c, x: 2 * alpha / math.pi / x * ((1 - x + x * x / 2) / (1 - c * c) - x * x / 4), 0.2, rad.x_max, -0.8, 0.8
    )[0]
    assert abs(got - expected) < 4 * error
    assert error < 0.015 * expected


def test_photons_are_massless_and_what_is_left_adds_up(sample):
    assert sample[:, 3].max() < 1e-13 * SQRT_S**2  # rounding of squares of the beam energy
    left = sample[:, 6] ** 2 - sample[:, 7] ** 2
    good = sample[:, 6] > 0
    assert np.allclose(left[good], (1 - sample[good, 0]) * SQRT_S**2, atol=1e-10)
    assert (sample[:, 1] >= 0).all() and np.isfinite(sample[:, 1]).all()


def test_single_photon_matrix_element_with_muons_from_dirac_matrices():
    """Pattern times the two-axis 1 + beta^2 cos^2 decomposition equals |M|^2 of e+e- -> gamma mu+mu- off the electrons."""
    rng = np.random.default_rng(4)
    half, ratios = 0.5 * SQRT_S, []
    p1, p2 = np.array([half, 0, 0, half]), np.array([half, 0, 0, -half])
    for _ in range(8):
        x, c, m = rng.uniform(0.1, 0.95), rng.uniform(-0.9, 0.9), 0.8
        k = x * half * np.array([1.0, math.sqrt(1 - c * c), 0, c])
        q = p1 + p2 - k
        s_prime = dot(q, q)
        mass, beta2 = math.sqrt(s_prime), 1 - 4 * m * m / s_prime
        n = rng.normal(size=3)
        n /= np.linalg.norm(n)
        rest = 0.5 * mass * math.sqrt(beta2) * n
        e = (0.5 * mass * q[0] + rest @ q[1:]) / mass
        minus = np.array([e, *(rest + q[1:] * (0.5 * mass + e) / (q[0] + mass))])
        plus = q - minus
        leptons = np.array(
            [
                [np.trace((slash(minus) + m * np.eye(4)) @ a @ (slash(plus) - m * np.eye(4)) @ b).real for b in GAMMA]
                for a in GAMMA
            ]
        )
        total = 0.0
        for i, a in enumerate(GAMMA):
            for j, b in enumerate(GAMMA):
                for r, g in enumerate(GAMMA):
                    left = a @ slash(p1 - k) @ g / (-2 * dot(p1, k)) + g @ slash(k - p2) @ a / (-2 * dot(p2, k))
                    right = g @ slash(p1 - k) @ b / (-2 * dot(p1, k)) + b @ slash(k - p2) @ g / (-2 * dot(p2, k))
                    electrons = np.trace(slash(p2) @ left @ slash(p1) @ right)
                    total += (-SIGNS[r] * electrons).real * SIGNS[i] * SIGNS[j] * leptons[i, j]
        table = np.zeros((2, isr.COLUMNS))
        table[0, 4:7] = x, 1 - c, 1 + c
        pattern, _, _ = isr._matrix_element.py_func(table, 1, 0.0, 1e30, 0.0)  # massless beams, one photon only
        energies = [dot(p, q) / mass for p in (p1, p2)]
        angles = [
            (energy * 0.5 * mass - dot(p, minus)) / (energy * np.linalg.norm(rest))
            for energy, p in zip(energies, (p1, p2), strict=True)
        ]
        shape = sum(energy**2 * (2 - beta2 + beta2 * cosine**2) for energy, cosine in zip(energies, angles, strict=True))
        ratios.append(total / s_prime**2 / (pattern / (x * x * (1 - c * c)) * shape / sum(v**2 for v in energies) / s_prime))
    assert np.allclose(ratios, ratios[0], rtol=1e-9)


@pytest.mark.parametrize("bad", [{"shares": ()}, {"shares": (0.5, -0.1)}, {"threshold": 20.0}, {"x_soft": 0.3}])
def test_bad_settings(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        isr.radiation(**{"sqrt_s": SQRT_S, "threshold": 0.5, "shares": SHARES, **bad})
