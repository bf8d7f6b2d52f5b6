"""One sample for all lifetimes: shares that decay in a region, limits on a coupling that decides the lifetime."""

from __future__ import annotations

import math

import numpy as np
import pytest

from belle2dark.coupling_limits import coupling_limit
from belle2dark.lifetime_path import along, efficiencies, grid
from belle2dark.search import Coupling
from belle2dark.simulation.decays.chain import fly_broadly, lifetime_factor, proper_length

N, KEY = 100_000, 5
MASS, MOMENTUM = 1.0, 2.0
REGION = (0.5, 20.0)  # flight in the lab [cm]
PARENTS = np.tile([math.hypot(MASS, MOMENTUM), 0.0, MOMENTUM * 0.6, MOMENTUM * 0.8], (N, 1))
POINTS, FLIGHTS = fly_broadly(PARENTS, None, KEY)
INSIDE = (np.linalg.norm(POINTS, axis=1) > REGION[0]) & (np.linalg.norm(POINTS, axis=1) < REGION[1])


def share(ctau):
    """Closed form: decays between two distances of a particle with this momentum."""
    flight = ctau * MOMENTUM / MASS
    return math.exp(-REGION[0] / flight) - math.exp(-REGION[1] / flight)


def test_flights_are_what_the_points_say():
    assert proper_length(PARENTS, np.zeros((N, 3)), POINTS) == pytest.approx(FLIGHTS[:, 0], rel=1e-9)
    # density of the proper length: its inverse integrates to the range of lengths
    inside = FLIGHTS[:, 0] < 10.0
    assert (1.0 / FLIGHTS[inside, 1]).mean() * inside.mean() == pytest.approx(10.0, rel=0.03)


@pytest.mark.parametrize("ctau", 10.0 ** np.arange(-3, 4))
def test_any_lifetime_over_six_decades(ctau):
    """Efficiency of a region and, where decays are within reach, the mean length; within 3 Monte Carlo errors."""
    factor = lifetime_factor(FLIGHTS, float(ctau))
    for found, expected in ((factor * INSIDE, share(ctau)), (factor, -math.expm1(-300.0 * MASS / MOMENTUM / ctau))):
        assert found.mean() == pytest.approx(expected, abs=3 * found.std() / math.sqrt(N) + 1e-12)
    if ctau < 10.0:
        lengths = factor * FLIGHTS[:, 0]
        assert lengths.mean() == pytest.approx(ctau, abs=3 * lengths.std() / math.sqrt(N))


def limits(background_like=False):
    """Limits on a coupling c with rate 1e8 fb c^2, c tau = 1e-6 cm / c^2 and 3 events wanted at 1 fb-1 if all are seen."""
    couplings = grid(1.0)
    ctaus = (1e-6 / couplings**2)[:, None]
    efficiency = efficiencies(np.where(INSIDE, 1.0 / N, 0.0), (FLIGHTS,), ctaus)
    samples = [(float(c),) for (c,) in ctaus]

    def median(sample):
        # a fit that does worse at long lifetimes, smoothly
        more = (1.0 + sample[0]) ** 0.1 if background_like else 1.0
        return 3.0 * more / efficiencies(np.where(INSIDE, 1.0 / N, 0.0), (FLIGHTS,), np.array([sample]))[0]

    return along(couplings, efficiency, samples, median, background_like)


@pytest.mark.parametrize("background_like", [False, True])
def test_the_excluded_island_is_closed_and_right_at_both_edges(background_like):
    path = limits(background_like)
    coupling = Coupling(name="c", symbol="c", unit="", power=2, high=1.0, rate=lambda values, dataset: 1e8)
    found = coupling_limit(coupling, 1e8, (path.least,) * 5, None, path.share)
    ((low, high),) = found.excluded

    def excess(c):
        wanted = 3.0 * ((1.0 + 1e-6 / c**2) ** 0.1 if background_like else 1.0)
        return 1e8 * c**2 * share(1e-6 / c**2) / wanted - 1.0

    for edge, sign in ((low, 1), (high, -1)):  # the closed form changes sign there, to 3 % in the coupling
        assert sign * excess(edge * 1.03) > 0 > sign * excess(edge / 1.03)
    assert found.expected[2] == pytest.approx(low)


def test_nothing_is_excluded_where_decays_are_never_seen():
    couplings = grid(1.0)
    assert along(couplings, np.zeros_like(couplings), [(1.0,)] * len(couplings), lambda sample: 1.0, False) is None
    assert along(couplings, np.ones_like(couplings), [(1.0,)] * len(couplings), lambda sample: None, True) is None


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_bad_lengths_are_refused(wrong):
    with pytest.raises(ValueError, match="ctau_cm"):
        lifetime_factor(FLIGHTS, wrong)
    with pytest.raises(ValueError, match="near_cm"):
        fly_broadly(PARENTS, None, KEY, near_cm=wrong)
    with pytest.raises(ValueError, match="massless"):
        fly_broadly(np.array([[1.0, 0.0, 0.0, 1.0]]), None, KEY)
