"""Radiated cross-sections against other radiators and the generators, and the published tau-pair rate."""

import math

import numba
import numpy as np
import pytest
from scipy.integrate import quad

from belle2dark.constants import ALPHA, M_ELECTRON, M_MUON, M_TAU
from belle2dark.simulation import pair
from belle2dark.simulation.beams import belle2_beams
from belle2dark.simulation.isr import COLUMNS, MAX_PHOTONS, beta_isr, radiator
from belle2dark.simulation.radiation import radiated_cross_section
from belle2dark.simulation.rng import seed_block
from belle2dark.sourced import load_numbers
from belle2dark.theory.vacuum_polarisation import running_factor

BEAMS = belle2_beams(spread=False)
SQRT_S = BEAMS.sqrt_s


def dressed(mass):
    return lambda s: np.array([pair.dressed_cross_section(float(value), mass) for value in s])


@pytest.mark.parametrize("threshold", [0.5, 4.0, 9.0, 10.5])
def test_quadrature_against_adaptive_integration(threshold):
    """A cross-section like 1/s' above a threshold, integrated by scipy in another variable."""
    b, s = beta_isr(SQRT_S), SQRT_S**2
    end = 1 - (threshold / SQRT_S) ** 2
    # ln v down to where the soft part is done analytically: v^beta
    tiny = 1e-12
    expected = tiny**b / s * float(radiator(np.array(tiny), SQRT_S)) * tiny ** (1 - b) / b
    # just below v = 1 the integrand rises fast: split there
    for low, high in ((math.log(tiny), math.log(end / 2)), (math.log(end / 2), math.log(end))):
        expected += quad(lambda t: float(radiator(np.array(math.exp(t)), SQRT_S)) * math.exp(t) / (s * (1 - math.exp(t))),
                         low, high, limit=400)[0]  # fmt: skip
    assert radiated_cross_section(lambda x: 1 / x, SQRT_S, threshold) == pytest.approx(expected, rel=1e-5)


def structure_function(u, beta):
    """Density in u of an electron with x = 1 - u^(2/beta) in an electron: Kuraev and Fadin Eq. (11), without pairs."""
    log = 2 * math.log(SQRT_S / M_ELECTRON)
    y = np.maximum(u ** (2 / beta), 1e-200)
    x = 1 - y
    soft = 1 + 0.375 * beta - beta**2 / 48 * (log / 3 + math.pi**2 - 47 / 8)
    second = beta**2 / 32 * (-4 * (1 + x) * np.log(y) - (1 + 3 * x**2) / y * np.log1p(-y) - 5 - x)
    return soft + (second - 0.25 * beta * (1 + x)) * 2 / beta * y / u


@pytest.mark.parametrize("threshold", [1.0, 4.0, 9.0])
def test_two_structure_functions_give_the_same(threshold):
    """Each beam radiates on its own: differs in the third order only; 0.6 % is what radiators differ by."""
    beta = beta_isr(SQRT_S)
    node, weight = np.polynomial.legendre.leggauss(1000)
    u, w = 0.5 * (node + 1), 0.5 * weight
    density = w * structure_function(u, beta)
    x = 1 - u ** (2 / beta)
    left = np.outer(x, x)
    born = np.where(left > (threshold / SQRT_S) ** 2, 1 / (SQRT_S**2 * left), 0.0)
    vertex = 1 + ALPHA["thomson"] / math.pi * (math.pi**2 / 3 - 0.5)
    expected = vertex * density @ born @ density
    assert radiated_cross_section(lambda s: 1 / s, SQRT_S, threshold) == pytest.approx(expected, rel=0.006)


def test_tau_pairs_have_the_published_rate():
    """0.919 +- 0.003 nb (KKMC); 1 %: the error, third-order radiation, and radiative returns to the Upsilon states (0.2 %)."""
    got = radiated_cross_section(dressed(M_TAU), SQRT_S, 2 * M_TAU)
    assert got == pytest.approx(float(load_numbers("backgrounds")["tautau_cross_section"]), rel=0.01)


def test_final_state_factor():
    """3 alpha/4 pi for light leptons, pi alpha/2v for slow ones."""
    alpha = ALPHA["thomson"]
    assert pair.final_state_factor.py_func(1.0) - 1 == pytest.approx(3 * alpha / (4 * math.pi), rel=1e-9)
    v = 1e-3
    assert (pair.final_state_factor.py_func(v) - 1) * v == pytest.approx(0.5 * math.pi * alpha, rel=1e-2)


@numba.njit(error_model="numpy")  # not cached: numba does not see changes in the functions it calls
def run(n, beam, rad, rate, out):
    s0, s1 = seed_block(np.uint64(3), 0)
    photons = np.zeros((MAX_PHOTONS, COLUMNS))
    for i in range(n):
        s0, s1, _, _, weight, (e, x, y, z, mass), axis = pair.radiated_pair(s0, s1, beam, rad, rate, photons)
        out[i, 0], out[i, 1], out[i, 2] = weight, e * e - x * x - y * y - z * z, mass
        out[i, 3] = axis[0] ** 2 + axis[1] ** 2 + axis[2] ** 2


@pytest.mark.parametrize("mass", [M_MUON, M_TAU])
def test_generated_pairs_have_the_rate_of_the_radiator(mass):
    """Totals, 1 %: what angles and third order change (0.3 % seen)."""
    out = np.empty((600_000, 4))
    run(len(out), BEAMS.kernel, *pair.pair_settings(mass, SQRT_S, (0.3, 0.3, 0.3, 0.1)), out)
    got, error = out[:, 0].mean(), out[:, 0].std() / math.sqrt(len(out))
    expected = radiated_cross_section(dressed(mass), SQRT_S, 2 * mass)
    assert error < 0.004 * expected
    assert abs(got - expected) < 0.01 * expected
    assert np.allclose(out[:, 1], out[:, 2] ** 2, rtol=1e-9, atol=1e-9)
    assert np.allclose(out[:, 3], 1, atol=1e-12)


def test_table_of_the_coupling_is_fine_enough():
    """Linear interpolation in ln s' between nodes against the function itself, 1e-3 at any pair mass."""
    _, rate = pair.pair_settings(M_MUON, SQRT_S, (0.5, 0.5))
    log_s = rate.low + rate.step * (np.arange(len(rate.running) - 1) + 0.5)
    middle = 0.5 * (rate.running[1:] + rate.running[:-1])
    assert np.abs(middle / running_factor(np.exp(log_s)) - 1).max() < 1e-3


@pytest.mark.parametrize("threshold", [0.0, 11.0, math.nan])
def test_bad_threshold(threshold):
    with pytest.raises(ValueError, match="threshold"):
        radiated_cross_section(lambda s: 1 / s, SQRT_S, threshold)
