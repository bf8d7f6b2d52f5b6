"""e+e- -> nu nu-bar (gamma): closed forms, radiation, what a detector sees."""

import math

import numpy as np
import pytest
from scipy.integrate import dblquad, quad

from belle2dark.constants import ALPHA, GEV2_FB
from belle2dark.simulation.beams import belle2_beams, to_cms
from belle2dark.simulation.isr import radiator
from belle2dark.simulation.nunu_gamma import generate_nunu_gamma, nunu_cross_section, nunu_gamma_density
from belle2dark.sourced import load_numbers
from tests.independent import assert_reproducible, collinear, dot, total

FIXED = belle2_beams(spread=False)
S = FIXED.sqrt_s**2
HALF = 0.5 * FIXED.sqrt_s


@pytest.fixture(scope="module")
def events():
    return generate_nunu_gamma(400_000, 1, FIXED)


def test_rate_without_photons_is_the_sum_over_flavours():
    """G_F^2 s/(12 pi) (g_V^2 + g_A^2) for mu and tau neutrinos; W exchange adds 1 to g_V and g_A of the electron neutrino."""
    numbers = load_numbers("backgrounds")
    vector, axial = -0.5 + 2 * float(numbers["sin2_theta_w"]), -0.5
    couplings = 2 * (vector**2 + axial**2) + (vector + 1) ** 2 + (axial + 1) ** 2
    expected = float(numbers["fermi_constant"]) ** 2 * S / (12 * math.pi) * couplings * GEV2_FB
    assert nunu_cross_section(S) == pytest.approx(expected, rel=1e-12)
    assert nunu_cross_section(4 * S) == pytest.approx(4 * expected)


def test_single_photon_density_has_the_soft_and_the_collinear_limit():
    alpha = ALPHA["thomson"]
    soft = 2 * alpha / math.pi / (1e-5 * (1 - 0.3**2)) * nunu_cross_section(S)
    assert nunu_gamma_density(1e-5, 0.3, S) == pytest.approx(soft, rel=1e-4)
    near = 1e-6  # 1 - cos
    x = 0.4
    splitting = alpha / (2 * math.pi) * (1 + (1 - x) ** 2) / x / near * nunu_cross_section((1 - x) * S)
    assert nunu_gamma_density(x, 1 - near, S) == pytest.approx(splitting, rel=1e-4)


def test_total_rate_is_the_collinear_radiator(events):
    beta = 0.08  # takes the singularity at v = 0 out of the quadrature

    def integrand(y):
        v = y ** (1 / beta)
        return radiator(v, FIXED.sqrt_s) * nunu_cross_section((1 - v) * S) * v / (beta * y)

    expected = quad(integrand, 1e-9, 1, limit=300)[0]
    got, error = total(events.weights)
    assert error < 0.012 * expected
    assert abs(got - expected) < 3 * error + 0.005 * expected  # 0.5 %: other radiators differ by as much


@pytest.mark.parametrize(("low", "high"), [(0.5, 5.3), (2.0, 4.0)])
def test_single_photon_rate_is_tree_level_with_collinear_radiation(events, low, high):
    """|cos theta*| < 0.9, energy range: one photon at the reduced energy, boosted along the beam, times the radiator."""
    rng, n = np.random.default_rng(2), 400_000
    v, velocity, radiated = collinear(n, FIXED.sqrt_s, 3)
    x = 0.01 ** rng.random(n)
    eta = rng.uniform(-4, 4, n)
    c = np.tanh(eta)
    energy = x * HALF * np.sqrt(1 - v) * (1 + velocity * c) / np.sqrt(1 - velocity**2)
    moved = np.tanh(eta + np.arctanh(velocity))
    weights = nunu_gamma_density(x, c, S) * (1 - v) * x * -math.log(0.01) * (1 - c * c) * 8 / n * radiated
    expected, expected_error = total(weights, (np.abs(moved) < 0.9) & (energy > low) & (energy < high))
    hardest = to_cms(events.momenta_lab["gamma_1"], FIXED)
    keep = (hardest[:, 0] > low) & (hardest[:, 0] < high) & (np.abs(hardest[:, 3]) < 0.9 * hardest[:, 0])
    got, error = total(events.weights, keep)
    assert math.hypot(error, expected_error) < 0.025 * expected
    # 4 %: the hardest photon is the one along the beam in that share of the events with two
    assert abs(got - expected) < 3 * math.hypot(error, expected_error) + 0.04 * expected
    tree = dblquad(lambda x, c: float(nunu_gamma_density(x, c, S)), -0.9, 0.9, low / HALF, min(1.0, high / HALF))[0]
    assert 0.85 * tree < got < tree  # radiation costs rate: the cross-section rises with s


def test_conservation_and_what_is_seen(events):
    lab = np.stack(list(events.momenta_lab.values()), axis=1)
    assert np.isfinite(lab).all() and (events.weights >= 0).all()
    assert np.abs(dot(lab, lab)).max() < 1e-12 * 100
    complete = events.momenta_lab["gamma_4"][:, 0] == 0
    assert np.abs(lab.sum(axis=1) - FIXED.nominal)[complete].max() < 1e-9
    assert set(np.unique(events.particles().pdg)) == {22}


def test_any_number_of_threads_and_events_gives_the_same():
    assert_reproducible(lambda n: generate_nunu_gamma(n, 4, belle2_beams()))


@pytest.mark.parametrize(("n", "key", "name"), [(0, 1, "n"), (10, 2**64, "key")])
def test_bad_requests(n, key, name):
    with pytest.raises(ValueError, match=f"{name} = "):
        generate_nunu_gamma(n, key, FIXED)
