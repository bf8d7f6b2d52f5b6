"""Decay chains: conservation, closed forms of two- and three-body kinematics, lifetimes, the dark-photon matrix element."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import dblquad, quad

from belle2dark._jit import threads
from belle2dark.constants import ALPHA
from belle2dark.simulation.decays import chain
from belle2dark.simulation.decays.inelastic import decay_chi2
from belle2dark.theory import inelastic

N = 40_000


def moving(n: int, m: float, seed: int = 1, scale: float = 2.0) -> np.ndarray:
    """n parents of mass m with random momenta."""
    p = np.random.default_rng(seed).normal(scale=scale, size=(n, 3))
    return np.column_stack([np.sqrt(m * m + (p**2).sum(axis=1)), p])


def into_rest(p: np.ndarray, parent: np.ndarray) -> np.ndarray:
    """p at rest of the parent: an independent boost with explicit gamma."""
    beta = parent[:, 1:] / parent[:, :1]
    gamma = 1.0 / np.sqrt(1.0 - (beta**2).sum(axis=1))
    along = (beta * p[:, 1:]).sum(axis=1)
    space = p[:, 1:] + beta * (gamma**2 / (gamma + 1.0) * along - gamma * p[:, 0])[:, None]
    return np.column_stack([gamma * (p[:, 0] - along), space])


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize(("m1", "m2"), [(0.0, 0.0), (0.1, 0.7), (0.000511, 0.000511), (0.5, 0.5)])
def test_two_body_conserves_and_is_on_shell(m1, m2):
    parents = moving(N, 1.2)
    a, b = chain.decay_two_body(parents, m1, m2, 7)
    assert np.abs(a + b - parents).max() < 1e-10
    # m^2 is a difference of squares of energies up to 10 GeV: 1e-14 x 100 GeV^2
    assert np.abs(a[:, 0] ** 2 - (a[:, 1:] ** 2).sum(axis=1) - m1**2).max() < 1e-11
    assert np.abs(b[:, 0] ** 2 - (b[:, 1:] ** 2).sum(axis=1) - m2**2).max() < 1e-11
    momentum = np.linalg.norm(into_rest(a, parents)[:, 1:], axis=1)
    square = (1.2**2 - (m1 + m2) ** 2) * (1.2**2 - (m1 - m2) ** 2)
    assert momentum == pytest.approx(np.full(N, math.sqrt(square) / 2.4), rel=1e-9)


def test_isotropic_without_alignment():
    parents = moving(N, 1.2)
    a, _ = chain.decay_two_body(parents, 0.1, 0.2, 3)
    d = into_rest(a, parents)[:, 1:]
    d /= np.linalg.norm(d, axis=1)[:, None]
    assert np.abs(d.mean(axis=0)).max() < 4 / math.sqrt(3 * N)
    # the tensor of second moments is 1/3 on the diagonal; variance of cos^2 is 4/45
    assert np.abs(d.T @ d / N - np.eye(3) / 3).max() < 4 * math.sqrt(4 / 45 / N)


@pytest.mark.parametrize("alignment", [-0.5, 0.0, 0.25, 1.0])
def test_alignment_is_the_density_about_the_axis_seen_at_rest(alignment):
    parents, axis = moving(N, 1.2), moving(N, 0.3, seed=5)
    a, _ = chain.decay_two_body(parents, 0.1, 0.2, 3, alignment=alignment, about=axis)
    c = cosine(into_rest(a, parents)[:, 1:], into_rest(axis, parents)[:, 1:])
    expected = lambda x: 0.5 * ((1 - alignment) * (x + 1) + alignment * (x**3 + 1))  # noqa: E731
    assert stats.kstest(c, expected).pvalue > 0.003


def test_any_number_of_threads_gives_the_same_bits_and_a_shorter_run_is_its_beginning():
    parents = moving(3 * 4096, 1.2)
    with threads(1):
        one = chain.decay_three_body(parents, (0.1, 0.2, 0.3), 9)
    two = chain.decay_three_body(parents, (0.1, 0.2, 0.3), 9)
    assert all(np.array_equal(a, b) for a, b in zip(one[:3], two[:3], strict=True))
    short = chain.decay_three_body(parents[:5000], (0.1, 0.2, 0.3), 9)
    assert np.array_equal(short.first, one.first[:5000])


def test_three_body_dalitz_plot_is_flat():
    m, masses = 1.2, (0.1, 0.3, 0.5)
    parents = moving(N, m)
    a, b, c, weights = chain.decay_three_body(parents, masses, 4)
    assert np.abs(a + b + c - parents).max() < 1e-10 and np.all(weights == 1.0)

    def edges(s12):
        e2 = (s12 - masses[0] ** 2 + masses[1] ** 2) / (2 * math.sqrt(s12))
        e3 = (m * m - s12 - masses[2] ** 2) / (2 * math.sqrt(s12))
        p2, p3 = math.sqrt(max(e2**2 - masses[1] ** 2, 0)), math.sqrt(max(e3**2 - masses[2] ** 2, 0))
        return (e2 + e3) ** 2 - (p2 + p3) ** 2, (e2 + e3) ** 2 - (p2 - p3) ** 2

    low, high = (masses[0] + masses[1]) ** 2, (m - masses[2]) ** 2
    area = dblquad(lambda _, s: 1.0, low, high, lambda s: edges(s)[0], lambda s: edges(s)[1])[0]
    # the volume of phase space is the area of the Dalitz plot / (128 pi^3 M^2)
    assert chain.three_body_volume(m, *masses) / (area / (128 * math.pi**3 * m**2)) == pytest.approx(1.0, rel=1e-6)
    s12, s23 = chain.mass(a + b) ** 2, chain.mass(b + c) ** 2
    for cut in (0.3, 0.6):
        split = low + cut * (high - low)
        part = dblquad(lambda _, s: 1.0, low, split, lambda s: edges(s)[0], lambda s: edges(s)[1])[0] / area
        assert np.mean(s12 < split) == pytest.approx(part, abs=3 * math.sqrt(part * (1 - part) / N))
    mean = dblquad(lambda t, s: t, low, high, lambda s: edges(s)[0], lambda s: edges(s)[1])[0] / area
    assert s23.mean() == pytest.approx(mean, abs=3 * s23.std() / math.sqrt(N))


def test_three_body_matrix_element_gives_the_muon_lifetime():
    """Muon decay with a massless electron: |M|^2 = 64 G_F^2 (mu.nu_e)(e.nu_mu) integrates to G_F^2 m^5 / (192 pi^3)."""
    m = 0.1056583755
    parents = moving(N, m)
    # order: electron, electron antineutrino, muon neutrino
    result = chain.decay_three_body(
        parents, (0.0, 0.0, 0.0), 4, lambda s12, s13, s23: 64 * 1.1663788e-5**2 * 0.5 * (m * m - s13) * 0.5 * s13
    )
    width = result.weights.mean() * chain.three_body_volume(m, 0, 0, 0) / (2 * m)
    error = result.weights.std() / result.weights.mean() / math.sqrt(N)
    assert width / (1.1663788e-5**2 * m**5 / (192 * math.pi**3)) == pytest.approx(1.0, rel=3 * error)


@pytest.mark.parametrize("ctau", [1e-4, 1e-2, 1.0, 100.0, 1e4])
def test_decay_lengths_are_exponential_over_many_decades(ctau):
    p = np.tile([math.hypot(0.4, 3.0), 0.0, 0.0, 3.0], (N, 1))
    start = np.tile([0.1, -0.2, 0.3], (N, 1))
    end = chain.fly(p, start, ctau, 11)
    assert np.all(end[:, :2] == start[:, :2])
    length = end[:, 2] - start[:, 2]
    assert length.mean() == pytest.approx(3.0 / 0.4 * ctau, rel=3 / math.sqrt(N))
    assert stats.kstest(length / (3.0 / 0.4 * ctau), "expon").pvalue > 0.003
    # the same random numbers at every lifetime, up to the rounding of mass and addition
    reference = chain.fly(p, None, 1.0, 11)[:, 2] * ctau
    assert length == pytest.approx(reference, rel=1e-9, abs=1e-12)


def test_flight_is_along_the_momentum():
    p = moving(1000, 0.5)
    flight = chain.fly(p, None, 2.0, 3)
    assert cosine(flight, p[:, 1:]) == pytest.approx(np.ones(1000))
    again = chain.proper_length(p, np.zeros((1000, 3)), flight)
    assert again.mean() == pytest.approx(2.0, rel=3 / math.sqrt(1000))


@pytest.mark.parametrize("target", [0.1, 0.5, 1.5])
def test_reweighting_agrees_with_a_fresh_sample(target):
    p = moving(N, 0.5)
    generated, flights = chain.fly_broadly(p, None, 3)
    fresh, weights = chain.fly(p, None, target, 4), chain.lifetime_factor(flights, target)
    for low, high in ((0.05, 1.0), (1.0, 5.0), (5.0, 30.0)):
        old, new = np.hypot(*generated[:, :2].T), np.hypot(*fresh[:, :2].T)
        shared = weights * ((old > low) & (old < high))
        direct = (new > low) & (new < high)
        error = math.hypot(shared.std(), direct.std()) / math.sqrt(N)
        assert shared.mean() == pytest.approx(direct.mean(), abs=3 * error)


def test_forced_decays_have_the_probability_and_shape_of_free_ones():
    p = np.tile([math.hypot(0.4, 3.0), 3.0, 0.0, 0.0], (N, 1))
    end, inside = chain.fly_within(p, None, 50.0, 60.0, 3)
    assert inside == pytest.approx(np.full(N, 1 - math.exp(-60 / (7.5 * 50.0))))
    assert end[:, 0].max() < 60.0
    u = -np.expm1(-end[:, 0] / (7.5 * 50.0)) / inside
    assert stats.kstest(u, "uniform").pvalue > 0.003


def test_drawn_numbers_follow_a_tabulated_density():
    x = np.array([0.0, 1.0, 1.5, 3.0, 4.0])
    f = np.array([0.0, 2.0, 0.0, 0.0, 1.0])
    values = chain.draw(N, 3, x, f)
    area = 1.0 + 0.5 + 0.5
    for a, b, part in ((0, 1, 1.0), (1, 1.5, 0.5), (1.5, 3, 0.0), (3, 4, 0.5)):
        assert np.mean((values > a) & (values < b)) == pytest.approx(part / area, abs=3 * math.sqrt(0.25 / N))
    first = values[values < 1.0]
    assert stats.kstest(first, lambda t: t**2).pvalue > 0.003


def test_inelastic_width_in_the_limit_of_a_small_splitting():
    m, delta, m_aprime = 50.0, 0.02, 200.0
    closed = 4 * 1e-6 * ALPHA["thomson"] * 0.1 * delta**5 / (15 * math.pi * m_aprime**4)
    width = inelastic.width(m, m + delta, m_aprime, 1e-3, 0.1, m_lepton=1e-7)
    # corrections are of order Delta / m = 4e-4
    assert width / closed == pytest.approx(1.0, rel=1e-3)
    stronger = inelastic.width(m, m + delta, m_aprime, 2e-3, 0.3) / inelastic.width(m, m + delta, m_aprime, 1e-3, 0.1)
    assert stronger == pytest.approx(12)


def test_inelastic_width_against_traces_over_flat_phase_space():
    """The matrix element by explicit four-vector products on flat events, with masses where nothing is small."""
    m1, m2, m_aprime, m_l = 0.4, 1.5, 1.3, 0.2
    result = chain.decay_three_body(moving(N, m2), (m1, m_l, m_l), 8)
    p1, k, l = result.first, result.second, result.third  # noqa: E741
    metric = np.array([1.0, -1.0, -1.0, -1.0])
    dot = lambda a, b: (a * b * metric).sum(axis=1)  # noqa: E731
    p2, q = p1 + k + l, k + l
    # Tr[(p1 + m1) g^mu (p2 + m2) g^nu] Tr[(k + m) g_mu (l - m) g_nu]
    gap = dot(p1, p2) - m1 * m2
    leptons = dot(k, l) + m_l**2
    product = 16 * (2 * dot(p1, k) * dot(p2, l) + 2 * dot(p1, l) * dot(p2, k) - 2 * leptons * dot(p1, p2) - 2 * gap * dot(k, l)
                    + 4 * gap * leptons)  # fmt: skip
    couplings = 16 * math.pi**2 * ALPHA["thomson"] * 0.5 * 1e-6
    squared = 0.5 * couplings * product / (dot(q, q) - m_aprime**2) ** 2
    width = squared.mean() * chain.three_body_volume(m2, m1, m_l, m_l) / (2 * m2)
    error = squared.std() / squared.mean() / math.sqrt(N)
    assert inelastic.width(m1, m2, m_aprime, 1e-3, 0.5, m_l) / width == pytest.approx(1.0, rel=3 * error)
    # and the events themselves: pair mass and lepton angle against the weighted flat ones
    chi1, minus, plus = decay_chi2(moving(N, m2, seed=9), m1, m2, m_aprime, 5, m_l)
    for name, flat, own in (("pair mass", chain.mass(q), chain.mass(minus + plus)),
                            ("chi1 l-", chain.mass(p1 + k), chain.mass(chi1 + minus))):  # fmt: skip
        for power in (1, 2, 4):
            mean = np.average(flat**power, weights=squared)
            sigma = math.hypot((squared * (flat**power - mean)).std() / squared.mean(), (own**power).std()) / math.sqrt(N)
            assert (own**power).mean() == pytest.approx(mean, abs=3 * sigma), name


def test_inelastic_events_conserve_and_follow_the_spectrum():
    parents = moving(N, 1.1)
    chi1, minus, plus = decay_chi2(parents, 1.0, 1.1, 3.0, 5)
    assert np.abs(chi1 + minus + plus - parents).max() < 1e-10
    pair = chain.mass(minus + plus)
    total = quad(lambda q: 2 * q * float(inelastic.spectrum(q * q, 1.0, 1.1, 3.0)), 0.00103, 0.1, limit=200)[0]
    part = quad(lambda q: 2 * q * float(inelastic.spectrum(q * q, 1.0, 1.1, 3.0)), 0.00103, 0.05, limit=200)[0] / total
    assert np.mean(pair < 0.05) == pytest.approx(part, abs=3 * math.sqrt(part * (1 - part) / N))
    assert inelastic.ctau_cm(1.0, 1.1, 3.0, 1e-3, 0.1) * 1e-6 * 0.1 * total / 1.973269804e-14 == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: chain.decay_two_body(p, 0.8, 0.8, 1), "closed decay"),
        (lambda p: chain.decay_two_body(p, -0.1, 0.8, 1), "daughter 1"),
        (lambda p: chain.decay_two_body(p[:, :3], 0.1, 0.1, 1), r"expected \(n, 4\)"),
        (lambda p: chain.decay_two_body(p, 0.1, 0.1, -1), "key = -1"),
        (lambda p: chain.decay_two_body(p, 0.1, 0.1, 1, alignment=2.0, about=p), "allowed -1/2 to 1"),
        (lambda p: chain.decay_two_body(p, 0.1, 0.1, 1, alignment=0.5), "without about"),
        (lambda p: chain.decay_three_body(p, (0.1, 0.1, 0.1), 1, lambda a, b, c: -a), "not negative"),
        (lambda p: chain.fly(p, None, 0.0, 1), "ctau_cm = 0.0 cm"),
        (lambda p: chain.fly(np.array([[1.0, 1.0, 0.0, 0.0]]), None, 1.0, 1), "massless"),
        (lambda p: chain.fly_within(p, None, 1.0, -2.0, 1), "reach_cm = -2.0 cm"),
        (lambda p: chain.lifetime_factor(np.ones((3, 2)), math.nan), "ctau_cm = nan cm"),
        (lambda p: chain.draw(3, 1, np.arange(3.0), -np.ones(3)), "density"),
        (lambda p: inelastic.width(1.0, 1.0005, 3.0, 1e-3, 0.1), "closed"),
        (lambda p: decay_chi2(p, 0.1, 1.2, 0.9, 1), "off shell"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(moving(10, 1.2))
