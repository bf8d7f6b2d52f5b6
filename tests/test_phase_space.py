"""n-body phase space against closed forms, quadrature of the recurrence and kinematic limits; the adaptive integrator."""

import math

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from belle2dark._jit import threads
from belle2dark.constants import M_ELECTRON, M_MUON, M_TAU
from belle2dark.simulation.phase_space import MAX_PARTICLES, integrate, largest_weight, phase_space

N = 40_000
MASSES = {
    "massless": (0.0, 0.0, 0.0, 0.0),
    "muons": (M_MUON,) * 4,
    "taus": (M_MUON, M_MUON, M_TAU, M_TAU),
    "mixed": (M_ELECTRON, M_TAU, 0.0, M_MUON),
}


def momentum(mass, a, b):
    """Breakup momentum of the Kallen function, in its product form."""
    return math.sqrt(max(0.0, (mass - a - b) * (mass + a + b) * (mass - a + b) * (mass + a - b))) / (2.0 * mass)


def quadrature(total, masses):
    """The recurrence dM^2/(2 pi) of the phase-space volume by nested quadrature."""
    if len(masses) == 2:
        return momentum(total, *masses) / (4.0 * math.pi * total)
    low, high = sum(masses[:-1]), total - masses[-1]

    def integrand(mass):
        return mass / math.pi * quadrature(mass, masses[:-1]) * momentum(total, mass, masses[-1]) / (4.0 * math.pi * total)

    return quad(integrand, low, high, epsrel=1e-6)[0]


def massless_volume(n, total):
    """The closed form of n massless particles."""
    scale = (2.0 * math.pi) ** (4 - 3 * n) * (math.pi / 2.0) ** (n - 1)
    return scale * total ** (2 * n - 4) / (math.factorial(n - 1) * math.factorial(n - 2))


def agrees(weights, expected):
    """Mean of the weights within three standard errors (plus rounding) of the expected volume."""
    return abs(weights.mean() - expected) < 3.0 * weights.std() / math.sqrt(len(weights)) + 1e-9 * expected


@pytest.mark.parametrize("n", range(2, MAX_PARTICLES + 1))
def test_massless_volume_is_the_closed_form(n):
    assert agrees(phase_space(N, n, 3.0, (0.0,) * n).weights, massless_volume(n, 3.0))


def test_two_bodies_have_one_weight_and_one_momentum():
    events = phase_space(1000, 1, 10.58, (M_MUON, M_TAU))
    p = np.linalg.norm(events.momenta[:, 0, 1:], axis=1)
    np.testing.assert_allclose(p, momentum(10.58, M_MUON, M_TAU), rtol=1e-12)
    np.testing.assert_allclose(events.weights, momentum(10.58, M_MUON, M_TAU) / (4 * math.pi * 10.58), rtol=1e-12)


@pytest.mark.parametrize("total", (3.8, 4.5, 10.58))
@pytest.mark.parametrize("kind", MASSES)
def test_massive_volumes_are_those_of_quadrature(kind, total):
    for n in (3, 4):
        masses = MASSES[kind][:n]
        assert agrees(phase_space(N, 5, total, masses).weights, quadrature(total, masses))


def test_volume_does_not_depend_on_the_order_of_the_particles():
    forward, backward = (phase_space(N, 3, 4.2, m).weights for m in (MASSES["mixed"], MASSES["mixed"][::-1]))
    error = math.hypot(forward.std(), backward.std()) / math.sqrt(N)
    assert abs(forward.mean() - backward.mean()) < 3.0 * error


def test_slow_particles_share_energy_like_a_classical_gas():
    # just above threshold phase space is even in the non-relativistic momenta: equal weights, and 3/2 of the 3/2 (n - 1)
    # degrees of freedom of one Jacobi momentum
    events = phase_space(N, 4, 3 * M_TAU + 1e-7, (M_TAU,) * 3)
    assert events.weights.std() < 1e-6 * events.weights.mean()
    kinetic = (events.momenta[:, 0, 1:] ** 2).sum(axis=1) / (2 * M_TAU)
    assert abs(kinetic.mean() - 1e-7 / 3) < 3.0 * kinetic.std() / math.sqrt(N)


def test_dalitz_plot_is_flat():
    events = phase_space(N, 6, 2.0, (0.0, 0.0, 0.0), unweighted=True).momenta
    x1, x2 = events[:, 0, 0], events[:, 1, 0]  # the triangle x1, x2 < 1, x1 + x2 > 1 in units of half the mass
    counts = np.array([np.sum(x1 < 0.5), np.sum((x1 > 0.5) & (x2 < 0.5)), np.sum((x1 > 0.5) & (x2 > 0.5))])
    expected = N * np.array([0.25, 0.25, 0.5])
    assert np.sum((counts - expected) ** 2 / expected) < 13.8  # 99.9 % of chi^2 with two degrees of freedom


def test_directions_are_isotropic():
    events = phase_space(N, 7, 5.0, MASSES["mixed"], unweighted=True).momenta
    for j in range(4):
        cosine = events[:, j, 1:] / np.linalg.norm(events[:, j, 1:], axis=1)[:, None]
        assert np.all(np.abs(cosine.mean(axis=0)) < 4.0 / math.sqrt(3 * N))
        assert np.all(np.abs((cosine**2).mean(axis=0) - 1 / 3) < 4.0 * math.sqrt(4 / 45 / N))


def test_unweighted_events_follow_the_weighted_ones():
    weighted, even = phase_space(N, 8, 4.0, MASSES["taus"]), phase_space(N, 9, 4.0, MASSES["taus"], unweighted=True)
    assert np.ptp(even.weights) == 0.0
    energy = weighted.momenta[:, 0, 0]
    mean = np.average(energy, weights=weighted.weights)
    error = math.hypot(np.std(weighted.weights * (energy - mean)) / weighted.weights.mean(), even.momenta[:, 0, 0].std())
    assert abs(even.momenta[:, 0, 0].mean() - mean) < 3.0 * error / math.sqrt(N)
    assert even.efficiency == pytest.approx(weighted.efficiency, rel=0.02)  # 1.5 % is three standard errors here
    assert even.weights[0] == pytest.approx(quadrature(4.0, MASSES["taus"]), rel=0.02)


@pytest.mark.parametrize("n", range(2, MAX_PARTICLES + 1))
def test_unweighting_is_affordable(n):
    # measured: 1, 0.81, 0.68, 0.57, 0.48 massless, the worst case; 0.95 and more for slow particles of equal mass
    assert phase_space(N, 10, 10.58, (0.0,) * n).efficiency > (0.99, 0.8, 0.66, 0.55, 0.46)[n - 2]
    assert phase_space(N, 10, 10.58, (1.5,) * n).efficiency > 0.9


mass = st.one_of(st.just(0.0), st.floats(1e-6, 5.0))


@settings(max_examples=60, deadline=None)
@given(masses=st.lists(mass, min_size=2, max_size=MAX_PARTICLES), kinetic=st.floats(1e-9, 1e4), key=st.integers(0, 2**64 - 1))
def test_momentum_mass_shells_and_bound_hold_everywhere(masses, kinetic, key):
    total = sum(masses) + kinetic
    events = phase_space(50, key, total, masses)
    np.testing.assert_allclose(events.momenta.sum(axis=1), np.broadcast_to([total, 0, 0, 0], (50, 4)), atol=1e-12 * total)
    squares = events.momenta[..., 0] ** 2 - (events.momenta[..., 1:] ** 2).sum(axis=-1)
    np.testing.assert_allclose(squares, np.broadcast_to(np.square(masses), squares.shape), atol=1e-12 * total**2)
    assert np.all(events.weights >= 0.0)
    assert np.all(events.weights <= largest_weight(total, masses) * (1 + 1e-12))


def test_events_do_not_depend_on_threads_or_on_how_many_are_made():
    with threads(1):
        one = phase_space(20_000, 11, 10.58, MASSES["muons"], unweighted=True)
    many = phase_space(20_000, 11, 10.58, MASSES["muons"], unweighted=True)
    assert numba.config.NUMBA_NUM_THREADS >= 1
    np.testing.assert_array_equal(one.momenta, many.momenta)
    np.testing.assert_array_equal(phase_space(5000, 11, 10.58, MASSES["muons"], unweighted=True).momenta, one.momenta[:5000])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 5.0, (1.0, 1.0)), "n = 0"),
        ((10, -1, 5.0, (1.0, 1.0)), "key = -1"),
        ((10, 1, 5.0, (1.0,)), "allowed 2 to 6"),
        ((10, 1, 5.0, (0.1,) * 7), "allowed 2 to 6"),
        ((10, 1, 5.0, (1.0, -1.0)), "not negative"),
        ((10, 1, 5.0, (1.0, math.nan)), "finite"),
        ((10, 1, 2.0, (1.0, 1.0)), "above the sum of the masses, 2 GeV"),
        ((10, 1, math.inf, (1.0, 1.0)), "total_mass = inf"),
    ],
)
def test_bad_requests_say_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        phase_space(*arguments)


def test_integrator_finds_peaks_along_the_axes():
    def peaks(x):
        return np.prod(1e-3 / ((x - 0.3) ** 2 + 1e-6), axis=1)

    exact = (math.atan(700.0) + math.atan(300.0)) ** 3
    result = integrate(peaks, 3, 12)
    assert abs(result.value - exact) < 3.5 * result.error
    assert result.error < 0.01 * exact  # plain sampling with as many points: 20 %
    assert result.chi2 < 3.0


def test_integrator_is_exact_for_a_constant_and_signs_cancel():
    assert integrate(lambda x: np.full(len(x), 2.5), 2, 13).value == pytest.approx(2.5, rel=1e-3)
    result = integrate(lambda x: np.cos(2 * math.pi * x[:, 0]), 2, 14)
    assert abs(result.value) < 3.5 * result.error


def test_integrator_refuses_bad_input():
    with pytest.raises(ValueError, match="n = 10"):
        integrate(lambda x: x[:, 0], 1, 1, n=10)
    with pytest.raises(ValueError, match="NaN or infinity"), np.errstate(divide="ignore"):
        integrate(lambda x: 1.0 / np.zeros(len(x)), 1, 1)
